//! Documents: any bytes compile to a configuration or to diagnostics, and the same bytes to the same ones.
//!
//! NUL bytes cut the input into documents; the first piece is a base document when the first byte is an exclamation mark.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use tidegate_config::{Document, Input, MAX_DIAGNOSTICS, References, Severity, compile};

/// Most documents of one input.
const DOCUMENTS: usize = 4;

/// One file, and for every other path a reason why there is none.
struct Files;

impl References for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        assert!(!path.starts_with('/'), "an absolute path: {path:?}");
        assert!(path.split('/').all(|part| part != ".."), "a path out of the base directory: {path:?}");
        match path {
            "data/file" => Ok(b"text\n".to_vec()),
            _ => Err("it is not there".to_owned()),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (with_base, data) = match data {
        [b'!', rest @ ..] => (true, rest),
        _ => (false, data),
    };
    let mut documents: Vec<Document> = data
        .splitn(DOCUMENTS, |byte| *byte == 0)
        .enumerate()
        .map(|(n, text)| Document { name: format!("config/{n}0-part"), text: text.to_vec() })
        .collect();
    let base = if with_base { documents.drain(..1).collect() } else { Vec::new() };
    let input = Input { base: &base, watched: &documents, ..Input::default() };
    let compiled = compile(&input, &Files);

    let names: BTreeSet<&str> =
        base.iter().chain(&documents).map(|document| document.name.as_str()).collect();
    assert!(compiled.diagnostics.len() <= MAX_DIAGNOSTICS + 1, "{} diagnostics", compiled.diagnostics.len());
    for diagnostic in &compiled.diagnostics {
        let line = diagnostic.to_string();
        assert!(
            !line.contains(['\n', '\r', '\0', '\x1b']),
            "more than a line, or control characters: {line:?}"
        );
        assert!(!diagnostic.message.is_empty());
        assert!(diagnostic.document.is_empty() || names.contains(diagnostic.document.as_str()), "{line}");
        assert!(diagnostic.line != Some(0) && diagnostic.column != Some(0), "counted from 1: {line}");
    }
    if compiled.configuration.is_none() {
        let errors = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        assert!(errors.count() > 0, "nothing came of it and nobody is told why");
    }

    // The same input means the same, and the order in which documents are found does not matter.
    documents.reverse();
    let again = compile(&Input { base: &base, watched: &documents, ..Input::default() }, &Files);
    assert_eq!(again.diagnostics, compiled.diagnostics);
    assert_eq!(again.objects, compiled.objects);
    assert_eq!(again.configuration, compiled.configuration);
});
