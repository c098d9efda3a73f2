//! Configuration documents in the vTM format to a [`Configuration`], with diagnostics for people.
//!
//! ```text
//! text ──document──► tree ──references──► tree with files in place ──┐
//! text ──document──► tree ──references──► …                          │ one after the other, base first
//!                                                                    ▼
//!      schema, nearest ──────────────────────────────────► merge (+ coerce): objects with settings
//!                                                                    │ ◄── rest::layer: what REST wrote
//!                                                                    │
//!      acted_on ──► warnings                                         ▼
//!                                                          objects::*: Configuration
//! ```
//!
//! Pure: reading files is the business of whoever calls [`compile`]; nothing here does I/O, knows the time or
//! panics, whatever bytes it is given.
//!
//! # Two kinds of faults
//!
//! * **Faults of form** – text that is not YAML or JSON, a list where a mapping belongs, an object without a name,
//!   a collection, section or key that does not exist, a `valueFrom` that is no reference. They stop the import:
//!   [`Compiled::configuration`] is `None` and the caller keeps what it has.
//! * **Faults of meaning** – a value that does not fit its key (the key counts as not written), a file that cannot
//!   be read, a reference to an object that is not there, a pattern that does not compile. The rest is applied.
//!
//! Either kind is an [`Severity::Error`]; all faults of all documents are reported at once. A [`Severity::Warning`]
//! marks what is right and not acted on yet (`acted_on` is the table).
//!
//! # Reading order
//!
//! `document`, `tree`, `references`, `schema`, `coerce`, `merge`, `acted_on`, `objects`, `pattern`,
//! `diagnostic`, `places`, `nearest`, `keys_page`, `rest`.

mod acted_on;
mod coerce;
mod diagnostic;
mod document;
mod keys_page;
mod merge;
mod nearest;
mod objects;
mod pattern;
mod places;
mod references;
pub mod rest;
mod schema;
mod tree;

pub use coerce::MAX_MISFITS;
pub use diagnostic::{Diagnostic, Excerpt, MAX_DIAGNOSTICS, MAX_QUOTE_CHARS, Severity};
pub use document::{
    MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_EXPANDED_BYTES, MAX_KEY_CHARS, MAX_NODES, MAX_SYNTAX_FAULTS,
};
pub use keys_page::keys_page;
pub use merge::{MAX_NAME_BYTES, MAX_OBJECTS};
pub use objects::pool::{BUILT_IN_PLUGINS, DISCOVERED_NODE_DRAIN};
pub use pattern::{MAX_PATTERN_BYTES, MAX_PATTERNS};
pub use references::{MAX_PATH_BYTES, MAX_REFERENCE_BYTES, MAX_REFERENCES_BYTES, References};
use std::borrow::Cow;

pub use rest::layer::Layer;
use sha2::{Digest as _, Sha256};
use tidegate_model::Configuration;

use crate::{
    diagnostic::{DocumentId, Findings, Origin, Position, Report},
    document::Reading,
    merge::Merged,
    places::Places,
    references::Resolver,
    schema::SCHEMA,
};

/// What diagnostics call the layer that REST writes.
pub const REST_DOCUMENT: &str = "REST";

/// Most documents of one compilation.
pub const MAX_DOCUMENTS: usize = 1000;
/// Most bytes that the documents of one compilation may have together.
pub const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// A document as it was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// What people call it, such as `config/40-config`. Also gives the order: documents are laid over each other
    /// in the lexical order of their names.
    pub name: String,
    /// Its text, YAML or JSON. Any bytes are safe.
    pub text: Vec<u8>,
}

impl std::fmt::Debug for Document {
    /// Leaves the text out, which may hold private keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("name", &self.name).field("bytes", &self.text.len()).finish()
    }
}

/// The documents of one import.
#[derive(Clone, Copy, Default)]
#[expect(missing_debug_implementations, reason = "whoever reads references need not be shown")]
pub struct Input<'a> {
    /// Imported once, at first run; they lie under the watched ones.
    pub base: &'a [Document],
    /// Reads what the base documents refer to, if they lie in a directory of their own.
    pub base_references: Option<&'a dyn References>,
    /// What is in the watched directory now.
    pub watched: &'a [Document],
    /// Some documents are missing here because they could not be read, so that a reference may lead into one of them.
    pub incomplete: bool,
}

/// What came of an import.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The whole configuration; `None` when a fault of form stops the import, and nothing may be changed.
    pub configuration: Option<Configuration>,
    /// What could be made of the documents when a fault of form stops the import. Never to be served: it lets whoever
    /// looks for faults go on looking.
    pub remains: Option<Configuration>,
    /// Every fault, in the order of documents and lines. At most [`MAX_DIAGNOSTICS`] and a last line.
    pub diagnostics: Vec<Diagnostic>,
    /// Every object that the documents name and that was not left out, such as `virtual_servers/site`, for the `Creating …` lines of the log.
    pub objects: Vec<String>,
    places: Places,
}

impl Compiled {
    /// Adds a fault that was found in the configuration after it was compiled.
    ///
    /// `object` is the object as a path, such as `ssl/server_keys/site`, `key` the section and key at fault, such as
    /// `basic.public`. Document, line and key path are looked up; the faults stay in order.
    pub fn add(
        &mut self,
        severity: Severity,
        object: &str,
        key: Option<&str>,
        message: String,
        hint: Option<String>,
    ) {
        let fault = self.places.diagnostic(severity, object, key, message, hint);
        let place = self.places.order(&fault);
        let at = self.diagnostics.partition_point(|known| self.places.order(known) <= place);
        self.diagnostics.insert(at, fault);
    }

    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Compiles documents into a configuration. Safe for arbitrary bytes.
pub fn compile(input: &Input<'_>, references: &dyn References) -> Compiled {
    compile_after(input, references, None)
}

/// The same, where `previous` is what was compiled last: its rules that did not change are not compiled again.
pub fn compile_after(
    input: &Input<'_>,
    references: &dyn References,
    previous: Option<&Configuration>,
) -> Compiled {
    import(input, references).lay(&Layer::default(), previous)
}

/// Documents read and laid over each other: what the REST layer is laid upon.
#[derive(Debug, Default)]
pub struct Imported {
    merged: Merged,
    /// Names of the documents, base documents first.
    names: Vec<String>,
    findings: Findings,
    /// A document could not be read.
    incomplete: bool,
    watched: usize,
    digest: ImportDigest,
}

/// What tells one import from another: the watched documents and the files they refer to, digested. Base
/// documents do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportDigest(pub [u8; 32]);

/// Reads documents and lays them over each other. Safe for arbitrary bytes.
pub fn import(input: &Input<'_>, references: &dyn References) -> Imported {
    let in_order = |documents: &'_ [Document]| {
        let mut order: Vec<usize> = (0..documents.len()).collect();
        order.sort_by(|a, b| documents[*a].name.cmp(&documents[*b].name));
        order
    };
    let base = in_order(input.base).into_iter().map(|index| &input.base[index]);
    let watched = in_order(input.watched).into_iter().map(|index| &input.watched[index]);
    let documents: Vec<&Document> = base.chain(watched).collect();
    let names: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();

    let mut report = Report::new(&names);
    report.incomplete = input.incomplete;
    let mut merged = Merged::factory();
    let mut digest = Sha256::new();
    if fits(&documents, &mut report) {
        let mut resolver = Resolver::new(references);
        let mut base_resolver = Resolver::new(input.base_references.unwrap_or(references));
        for (index, document) in documents.iter().enumerate() {
            let is_base = index < input.base.len();
            let resolver = if is_base { &mut base_resolver } else { &mut resolver };
            if !is_base {
                for part in [document.name.as_bytes(), &document.text] {
                    digest.update((part.len() as u64).to_be_bytes());
                    digest.update(part);
                }
            }
            let id = DocumentId(index);
            let Reading { root, faults } = document::read(&document.text);
            for fault in faults {
                report.stop(Origin { document: id, at: fault.at }, "", fault.message, fault.hint);
            }
            if let Some(mut root) = root {
                resolver.resolve(&mut root, id, &mut report);
                merged.lay(&root, id, &mut report);
            } else {
                report.incomplete = true;
            }
        }
        resolver.digest(&mut digest);
    }
    Imported {
        merged,
        incomplete: report.incomplete,
        findings: report.into_findings(),
        names: names.into_iter().map(str::to_owned).collect(),
        watched: input.watched.len(),
        digest: ImportDigest(digest.finalize().into()),
    }
}

impl Imported {
    /// The configuration that these documents and what REST wrote over them make. `previous` is what was compiled last:
    /// its rules that did not change are not compiled again.
    pub fn lay(&self, layer: &Layer, previous: Option<&Configuration>) -> Compiled {
        let mut names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        names.push(REST_DOCUMENT);
        let mut report = Report::resume(&names, self.findings.clone(), self.incomplete);
        let mut merged = Cow::Borrowed(&self.merged);
        if !layer.is_empty() {
            layer.lay_over(merged.to_mut(), DocumentId(self.names.len()));
        }
        acted_on::warn(&merged, &mut report);
        let configuration = objects::build(&merged, previous, &mut report);
        let stopped = self.stopped();
        let objects = if stopped { Vec::new() } else { object_names(&merged, &configuration) };
        let (configuration, remains) =
            if stopped { (None, Some(configuration)) } else { (Some(configuration), None) };
        let diagnostics = report.finish();
        Compiled { configuration, remains, diagnostics, objects, places: Places::of(&merged, &names) }
    }

    /// Whether a fault of form stops the import: nothing can be made of it.
    pub fn stopped(&self) -> bool {
        self.findings.stopped()
    }

    /// Whether there are watched documents: another import of them undoes what REST wrote.
    pub fn has_documents(&self) -> bool {
        self.watched > 0
    }

    /// What tells this import from another.
    pub fn digest(&self) -> ImportDigest {
        self.digest
    }
}

/// Whether there is not too much to read.
fn fits(documents: &[&Document], report: &mut Report<'_>) -> bool {
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    let nowhere = Origin { document: DocumentId(0), at: Position::default() };
    if documents.len() > MAX_DOCUMENTS {
        let message = format!("there are {} documents; at most {MAX_DOCUMENTS} are read", documents.len());
        report.stop(nowhere, "", message, None);
        return false;
    }
    if bytes > MAX_TOTAL_BYTES {
        let message = format!("the documents have {bytes} bytes; at most {MAX_TOTAL_BYTES} are read");
        report.stop(nowhere, "", message, None);
        return false;
    }
    true
}

/// The objects that documents name, without those that had to be left out.
fn object_names(merged: &Merged, configuration: &Configuration) -> Vec<String> {
    let is_there = |path: &str, name: &str| match path {
        "extra_files" => configuration.extra_files.contains_key(name),
        "monitor_scripts" => configuration.monitor_scripts.contains_key(name),
        "monitors" => configuration.monitors.contains_key(name),
        "persistence" => configuration.persistence.contains_key(name),
        "rules" => configuration.rules.get(name).is_some_and(|rule| rule.program.is_some()),
        "servicediscovery" => configuration.plugins.contains_key(name),
        "ssl/cas" => configuration.certificate_authorities.contains_key(name),
        "ssl/client_keys" => configuration.client_keys.contains_key(name),
        "ssl/server_keys" => configuration.server_keys.contains_key(name),
        "virtual_servers" => configuration.virtual_servers.contains_key(name),
        _ => true,
    };
    let mut names = Vec::new();
    for (path, objects) in &merged.objects {
        let singleton = SCHEMA.types.get(*path).is_some_and(|object_type| object_type.singleton);
        for (name, object) in objects {
            if object.origin.is_some() && is_there(path, name) {
                names.push(if singleton { (*path).to_owned() } else { format!("{path}/{name}") });
            }
        }
    }
    names
}
