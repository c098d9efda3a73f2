//! Documents and what they refer to in, a configuration or faults out.

use std::{fmt, path::Path, sync::Arc};

use tidegate_model::Configuration;

use crate::document_files::DocumentFiles;

/// What an import came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The configuration; `None` if some document has an error that stops the import.
    pub(crate) configuration: Option<Arc<Configuration>>,
    /// Objects the documents define, such as `vservers/site`.
    pub(crate) objects: Vec<String>,
    /// Every fault of every document.
    pub(crate) faults: Vec<Fault>,
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
pub(crate) struct Importer;

impl Importer {
    /// Reads the base documents.
    pub(crate) fn new(_base: &Path, _base_config: Option<&Path>) -> Result<Self, String> {
        Ok(Self)
    }

    /// How many base documents there are.
    pub(crate) fn base_documents(&self) -> usize {
        0
    }

    /// Compiles.
    pub(crate) fn import(&self, _files: &DocumentFiles) -> Outcome {
        Outcome { configuration: None, objects: Vec::new(), faults: Vec::new() }
    }
}

impl Outcome {
    /// An import that did not come to an end, which is a fault of the program.
    pub(crate) fn lost(reason: &impl fmt::Display) -> Self {
        let text = format!("the documents could not be compiled: {reason}");
        Self {
            configuration: None,
            objects: Vec::new(),
            faults: vec![Fault { severity: Severity::Error, text }],
        }
    }
}
