//! `valueFrom`: values that stand in files below the base directory.
//!
//! A mapping with the single key `valueFrom` is replaced by the text of the file it names, wherever a value is
//! expected. Reading is the caller's business ([`References`]); what is decided here is which paths may be asked
//! for at all, and how much may be read.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::{
    diagnostic::{DocumentId, Origin, Report, quote},
    nearest,
    tree::{Entry, Kind, Node, Scalar},
};

/// Largest file that a value may be read from, bytes.
pub const MAX_REFERENCE_BYTES: usize = 8 * 1024 * 1024;
/// Longest path of a reference, bytes: what the system takes.
pub const MAX_PATH_BYTES: usize = 4096;
/// Most bytes that the references of one compilation may bring in, counting a file each time it is used.
pub const MAX_REFERENCES_BYTES: usize = 64 * 1024 * 1024;

/// Reads the files that documents refer to.
pub trait References {
    /// The bytes of the file at `path`, relative to the base directory.
    ///
    /// `path` has been checked to be relative and free of `..`; an implementation still has to refuse symbolic
    /// links that lead out of the base directory.
    ///
    /// # Errors
    /// One line that tells people why the file cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// Replaces every `valueFrom` of a document.
pub(crate) struct Resolver<'a> {
    references: &'a dyn References,
    /// Each file is read once per compilation, so that one import sees one state of it.
    read: BTreeMap<String, Result<Vec<u8>, String>>,
    bytes: usize,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(references: &'a dyn References) -> Self {
        Self { references, read: BTreeMap::new(), bytes: 0 }
    }

    /// Enters what was read into a digest: a file that changes makes another import of the same documents.
    pub(crate) fn digest(&self, digest: &mut Sha256) {
        for (path, read) in &self.read {
            digest.update((path.len() as u64).to_be_bytes());
            digest.update(path);
            match read {
                Ok(bytes) => {
                    digest.update((bytes.len() as u64).to_be_bytes());
                    digest.update(bytes);
                }
                Err(_) => digest.update([0xff; 8]),
            }
        }
    }

    /// Replaces the references of a document.
    pub(crate) fn resolve(&mut self, root: &mut Node, document: DocumentId, report: &mut Report<'_>) {
        self.below(root, None, document, report);
    }

    fn below(
        &mut self,
        node: &mut Node,
        path: Option<&Step<'_>>,
        document: DocumentId,
        report: &mut Report<'_>,
    ) {
        let at = Origin { document, at: node.at };
        match &mut node.kind {
            Kind::Map(entries) => {
                if let [entry] = entries.as_slice()
                    && entry.key == "valueFrom"
                {
                    node.kind = self.replace(entry, &path.map(Step::text).unwrap_or_default(), at, report);
                    return;
                }
                for entry in entries {
                    let step = Step { parent: path, name: Some(&entry.key), index: 0 };
                    self.below(&mut entry.value, Some(&step), document, report);
                }
            }
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let name = name_of(item).map(str::to_owned);
                    let step = Step { parent: path, name: name.as_deref(), index };
                    self.below(item, Some(&step), document, report);
                }
            }
            Kind::Null | Kind::Scalar(_) | Kind::Unresolved => {}
        }
    }

    fn replace(&mut self, entry: &Entry, path: &str, at: Origin, report: &mut Report<'_>) -> Kind {
        let path = format!("{path}.valueFrom");
        let usage = || Some("write valueFrom: {fileRef: {name: data/file}}".to_owned());
        let Some(source) = single(&entry.value) else {
            report.stop(at, &path, "valueFrom takes a mapping with one key".to_owned(), usage());
            return Kind::Unresolved;
        };
        if source.key != "fileRef" {
            let hint = nearest::hint(&source.key, ["fileRef"]).or_else(|| {
                Some("fileRef is the only kind; mount Secrets and ConfigMaps as files".to_owned())
            });
            let message = format!("there is no kind of reference {}", quote(&source.key));
            report.stop(Origin { at: source.at, ..at }, &format!("{path}.{}", source.key), message, hint);
            return Kind::Unresolved;
        }
        let path = format!("{path}.fileRef");
        let name = single(&source.value).filter(|name| name.key == "name").map(|name| &name.value.kind);
        let Some(Kind::Scalar(Scalar { text: file, .. })) = name else {
            report.stop(at, &path, "fileRef takes the single key “name”, a path".to_owned(), usage());
            return Kind::Unresolved;
        };
        match self.file(file) {
            Ok(bytes) => {
                let (text, binary) = match String::from_utf8(bytes) {
                    Ok(text) => (text, None),
                    Err(error) => (String::new(), Some(error.into_bytes())),
                };
                Kind::Scalar(Scalar { text, binary, file: Some(file.as_str().into()), literal: None })
            }
            Err((message, hint)) => {
                report.error(at, &path, format!("{}: {message}", quote(file)), hint);
                Kind::Unresolved
            }
        }
    }

    fn file(&mut self, file: &str) -> Result<Vec<u8>, (String, Option<String>)> {
        check_path(file).map_err(|message| {
            (message.to_owned(), Some("give a path below the base directory".to_owned()))
        })?;
        let hint = || Some("paths are relative to the base directory, the parent of config/".to_owned());
        let read = self.read.entry(file.to_owned()).or_insert_with(|| self.references.read(file));
        let bytes = read.as_ref().map_err(|message| (message.clone(), hint()))?;
        if bytes.len() > MAX_REFERENCE_BYTES {
            let message =
                format!("the file has {} bytes; at most {MAX_REFERENCE_BYTES} are read", bytes.len());
            return Err((message, None));
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > MAX_REFERENCES_BYTES {
            let message =
                format!("the files referred to have more than {MAX_REFERENCES_BYTES} bytes together");
            return Err((message, None));
        }
        Ok(bytes.clone())
    }
}

/// A step on the way to a node. Paths are written out only for faults: that costs more than the walk.
struct Step<'a> {
    parent: Option<&'a Self>,
    /// Key of a mapping, or name of an object in a list.
    name: Option<&'a str>,
    /// Place in a list, for items without a name.
    index: usize,
}

impl Step<'_> {
    fn text(&self) -> String {
        let mut path = self.parent.map(Self::text).unwrap_or_default();
        match self.name {
            Some(name) if path.is_empty() => path.push_str(name),
            Some(name) => {
                path.push('.');
                path.push_str(name);
            }
            None => {
                path.push('[');
                path.push_str(&self.index.to_string());
                path.push(']');
            }
        }
        path
    }
}

/// The entry of a mapping that has one.
fn single(node: &Node) -> Option<&Entry> {
    match &node.kind {
        Kind::Map(entries) => match entries.as_slice() {
            [entry] => Some(entry),
            _ => None,
        },
        _ => None,
    }
}

/// Name of the object a list item defines.
fn name_of(node: &Node) -> Option<&str> {
    let Kind::Map(entries) = &node.kind else { return None };
    entries.iter().find(|entry| entry.key == "name").and_then(|entry| match &entry.value.kind {
        Kind::Scalar(scalar) => Some(scalar.text.as_str()),
        _ => None,
    })
}

/// Refuses paths that lead out of the base directory by their text alone.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("the path is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err("the path is too long");
    }
    if path.starts_with('/') {
        return Err("the path is absolute");
    }
    if path.contains('\0') {
        return Err("the path holds a NUL character");
    }
    if path.split('/').any(|part| part == "..") {
        return Err("the path leads upwards with “..”");
    }
    Ok(())
}
