//! Documents and what they refer to in, a configuration or faults out.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tidegate_admin::Kept;
use tidegate_config::{Compiled, Document, Imported, Input, Layer, import};
use tidegate_model::Configuration;

use crate::document_files::{self, DocumentFile, DocumentFiles, ReadError, References};

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
    /// What came of the last import or REST write that had no error: its rules need not be compiled again.
    last: Mutex<Option<Arc<Configuration>>>,
}

impl Importer {
    /// Reads the base documents: those of `base_config/config`, or of `base_config` itself where there is no such
    /// directory.
    pub(crate) fn new(base: &Path, base_config: Option<&Path>) -> Result<Self, String> {
        let files = match base_config {
            None => DocumentFiles::default(),
            Some(directory) => document_files::read_base(directory).map_err(|error| error.to_string())?,
        };
        Ok(Self::of(base, base_config, &files))
    }

    /// As [`Self::new`], with the base documents that can be read and why the others cannot.
    pub(crate) fn of_what_can_be_read(base: &Path, base_config: Option<&Path>) -> (Self, Vec<ReadError>) {
        let read = base_config.map(document_files::read_what_can_be_of_base);
        let (files, errors) = match read {
            None => (DocumentFiles::default(), Vec::new()),
            Some(Ok(read)) => read,
            Some(Err(error)) => (DocumentFiles::default(), vec![error]),
        };
        (Self::of(base, base_config, &files), errors)
    }

    fn of(base: &Path, base_config: Option<&Path>, files: &DocumentFiles) -> Self {
        Self {
            references: References::below(base),
            base: files.documents.iter().map(document).collect(),
            base_references: base_config.map(References::below),
            last: Mutex::default(),
        }
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

    /// Compiles the documents alone. `incomplete`: some could not be read.
    pub(crate) fn compile(&self, files: &DocumentFiles, incomplete: bool) -> Compiled {
        self.compile_over(&self.read(files, incomplete), &Layer::default())
    }

    /// Compiles for serving. What REST wrote lies over the documents it was written over; others undo it.
    pub(crate) fn import(&self, files: &DocumentFiles, kept: &Kept) -> Outcome {
        let all = self.read(files, false);
        let bare = Layer::default();
        if !all.stopped() {
            let layer = if kept.over == Some(all.digest()) { &kept.layer } else { &bare };
            return self.serve(self.compile_over(&all, layer), Arc::new(all));
        }
        let faulty = self.compile_over(&all, &bare);
        let base = self.read(&DocumentFiles::default(), false);
        let serves = !self.base.is_empty() || !kept.layer.is_empty();
        let configuration = if serves { self.compile_over(&base, &kept.layer).configuration } else { None };
        Outcome { base: configuration.map(Arc::new), ..self.serve(faulty, Arc::new(base)) }
    }

    /// Compiles what REST wrote over documents that were read before.
    pub(crate) fn lay(&self, imported: &Arc<Imported>, layer: &Arc<Layer>) -> Outcome {
        let compiled = self.compile_over(imported, layer);
        Outcome { laid: Some(Arc::clone(layer)), ..self.serve(compiled, Arc::clone(imported)) }
    }

    /// The documents laid over each other. `incomplete`: some could not be read.
    pub(crate) fn read(&self, files: &DocumentFiles, incomplete: bool) -> Imported {
        let watched: Vec<Document> = files.documents.iter().map(document).collect();
        let input = Input {
            base: &self.base,
            base_references: self.base_references.as_ref().map(|references| references as _),
            watched: &watched,
            incomplete,
        };
        import(&input, &self.references)
    }

    fn compile_over(&self, imported: &Imported, layer: &Layer) -> Compiled {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        imported.lay(layer, last.as_deref())
    }

    /// What was compiled for serving, which is kept for the next time.
    fn serve(&self, compiled: Compiled, imported: Arc<Imported>) -> Outcome {
        let outcome = Outcome::of(compiled, imported);
        if outcome.configuration.is_some() {
            self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&outcome.configuration);
        }
        outcome
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_did_not_change_are_not_compiled_again_whatever_came_between() {
        let base = tempfile::tempdir().unwrap();
        let importer = Importer::new(base.path(), None).unwrap();
        let import = |text: &str| {
            let file = DocumentFile { name: "config/a".to_owned(), text: text.as_bytes().to_vec() };
            let files = DocumentFiles { documents: vec![file], ..DocumentFiles::default() };
            importer.import(&files, &Kept::default())
        };
        let same = |before: &Arc<Configuration>, after: &Outcome, name: &str| {
            let (before, after) = (&before.rules[name], &after.configuration.as_ref().unwrap().rules[name]);
            before.program.is_some() && Arc::ptr_eq(before, after)
        };
        let first = import("rules: [{name: r, content: $a = 1;}]").configuration.unwrap();
        assert!(import("nonsense: [").configuration.is_none());
        let again = import("rules: [{name: r, content: $a = 1;}, {name: s, content: $b = 1;}]");
        assert!(same(&first, &again, "r"));
        // Those of REST are kept like those of documents, and next to them.
        let written = serde_json::json!({ "rules": { "t": { "text": "$c = 1;" } } });
        let layer = Arc::new(Layer::from_json(&written));
        let laid = importer.lay(again.imported.as_ref().unwrap(), &layer);
        assert!(same(&first, &laid, "r"));
        let once_more = importer.lay(again.imported.as_ref().unwrap(), &layer);
        assert!(same(laid.configuration.as_ref().unwrap(), &once_more, "t"));
    }
}
