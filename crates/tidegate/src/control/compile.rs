//! Documents and what they refer to in, a configuration or faults out.

use std::{fmt, path::Path, sync::Arc};

use tidegate_admin::Kept;
use tidegate_config::{Compiled, Document, Imported, Input, Layer, import};
use tidegate_model::Configuration;

use crate::document_files::{self, DocumentFile, DocumentFiles, References};

/// What an import came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The configuration; `None` if some document has an error that stops the import.
    pub(crate) configuration: Option<Arc<Configuration>>,
    /// The base documents alone, where the watched ones have such an error.
    pub(crate) base: Option<Arc<Configuration>>,
    /// Objects the documents define, such as `virtual_servers/site`.
    pub(crate) objects: Vec<String>,
    /// Every fault of every document.
    pub(crate) faults: Vec<Fault>,
    /// The documents, for REST to be laid over: all of them, or the base documents alone where the watched ones
    /// stop the import.
    pub(crate) imported: Option<Arc<Imported>>,
    /// No documents were read; this is what REST wrote, laid over those that were read before.
    pub(crate) laid: Option<Arc<Layer>>,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The author should know.
    Warning,
    /// The author has to do something.
    Error,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// How bad.
    pub(crate) severity: Severity,
    /// Document, key path, what is wrong, hint.
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compiles documents, base documents under them.
#[derive(Debug)]
pub(crate) struct Importer {
    references: References,
    /// Read once, with what they refer to: what they hold back must not come loose later.
    base: Vec<Document>,
    base_references: Option<References>,
}

impl Importer {
    /// Reads the base documents: those of `base_config/config`, or of `base_config` itself where there is no such
    /// directory.
    pub(crate) fn new(base: &Path, base_config: Option<&Path>) -> Result<Self, String> {
        let documents = match base_config {
            None => Vec::new(),
            Some(directory) => {
                let files = document_files::read_base(directory).map_err(|error| error.to_string())?;
                files.documents.iter().map(document).collect()
            }
        };
        Ok(Self {
            references: References::below(base),
            base: documents,
            base_references: base_config.map(References::below),
        })
    }

    /// How many base documents there are.
    pub(crate) fn base_documents(&self) -> usize {
        self.base.len()
    }

    /// Whether the base documents by themselves can be imported. They are read once: what is wrong with them cannot
    /// be put right later.
    pub(crate) fn base_is_sound(&self) -> Result<(), Vec<Fault>> {
        let outcome = self.import(&DocumentFiles::default(), &Kept::default());
        if outcome.configuration.is_some() { Ok(()) } else { Err(outcome.faults) }
    }

    /// Compiles. What REST wrote lies over the documents it was written over; others undo it.
    pub(crate) fn import(&self, files: &DocumentFiles, kept: &Kept) -> Outcome {
        let watched: Vec<Document> = files.documents.iter().map(document).collect();
        let input = Input {
            base: &self.base,
            base_references: self.base_references.as_ref().map(|references| references as _),
            watched: &watched,
        };
        let all = import(&input, &self.references);
        let bare = Layer::default();
        if !all.stopped() {
            let layer = if kept.over == Some(all.digest()) { &kept.layer } else { &bare };
            return Outcome::new(all.lay(layer), all);
        }
        let base = import(&Input { watched: &[], ..input }, &self.references);
        let serves = !self.base.is_empty() || !kept.layer.is_empty();
        let configuration = if serves { base.lay(&kept.layer).configuration } else { None };
        Outcome { base: configuration.map(Arc::new), ..Outcome::new(all.lay(&bare), base) }
    }
}

/// Compiles what REST wrote over documents that were read before.
pub(crate) fn lay(imported: &Arc<Imported>, layer: &Arc<Layer>) -> Outcome {
    let compiled = imported.lay(layer);
    Outcome { laid: Some(Arc::clone(layer)), ..Outcome::of(compiled, Arc::clone(imported)) }
}

fn document(file: &DocumentFile) -> Document {
    Document { name: file.name.clone(), text: file.text.clone() }
}

impl tidegate_config::References for References {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Self::read(self, path)
    }
}

impl Outcome {
    fn new(compiled: Compiled, imported: Imported) -> Self {
        Self::of(compiled, Arc::new(imported))
    }

    fn of(compiled: Compiled, imported: Arc<Imported>) -> Self {
        let severity = |severity| match severity {
            tidegate_config::Severity::Warning => Severity::Warning,
            tidegate_config::Severity::Error => Severity::Error,
        };
        let fault = |diagnostic: &tidegate_config::Diagnostic| Fault {
            severity: severity(diagnostic.severity),
            text: diagnostic.sentence().to_string(),
        };
        Self {
            configuration: compiled.configuration.map(Arc::new),
            base: None,
            objects: compiled.objects,
            faults: compiled.diagnostics.iter().map(fault).collect(),
            imported: Some(imported),
            laid: None,
        }
    }

    /// An import that did not come to an end, which is a fault of the program.
    pub(crate) fn lost(reason: &impl fmt::Display) -> Self {
        let text = format!("the documents could not be compiled: {reason}");
        Self {
            configuration: None,
            base: None,
            objects: Vec::new(),
            faults: vec![Fault { severity: Severity::Error, text }],
            imported: None,
            laid: None,
        }
    }
}
