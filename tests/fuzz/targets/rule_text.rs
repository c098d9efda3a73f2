//! Rules: any bytes compile to a program or to errors that say where, and the same bytes to the same ones.
//!
//! A NUL byte cuts the input into the rule and another one that it may import as `other`.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidegate_trafficscript::{MAX_NOTES, Options, Severity, compile};

fuzz_target!(|data: &[u8]| {
    let (text, other) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], Some(&data[at + 1..])),
        None => (data, None),
    };
    let imports = |name: &str| other.filter(|_| name == "other").map(Arc::from);
    let compiled = compile("rule", text, &Options::default(), &imports);
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    let errors = compiled.notes.iter().filter(|note| note.severity == Severity::Error).count();
    assert_eq!(compiled.program.is_none(), errors > 0, "{:?}", compiled.notes);
    assert!(compiled.notes.len() <= MAX_NOTES);
    for note in &compiled.notes {
        let shown = note.to_string();
        assert!(!note.message.is_empty());
        assert!(note.line >= 1 && note.line as usize <= lines, "there are {lines} lines\n{shown}");
        assert!(note.column >= 1 && note.column as usize <= text.len() + 1, "{shown}");
        let bad = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
        assert!(!shown.contains(bad), "control characters: {shown:?}");
    }
    let again = compile("rule", text, &Options::default(), &imports);
    assert_eq!(compiled.notes, again.notes);
});
