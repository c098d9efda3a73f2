//! Documents of real deployments and what comes of them, compared with a file beside each.
//!
//! A case is a directory of `tests/data/documents`: `base/` and `config/` hold the documents, everything else is
//! reference data, `expected.txt` is the outcome. `TIDEGATE_BLESS=1 cargo test -p tidegate-config --test documents`
//! writes the outcomes anew; look at the difference before keeping it.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files fails")]
#![expect(clippy::disallowed_methods, reason = "tests read and renew files; the crate itself does not")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use tidegate_config::{Document, Input, References, compile};
use tidegate_model::Configuration;

struct Directory(PathBuf);

impl References for Directory {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(path)).map_err(|error| error.kind().to_string())
    }
}

fn documents(directory: &Path) -> Vec<Document> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let folder = directory.file_name().unwrap().to_str().unwrap();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| Document {
            name: format!("{folder}/{}", entry.file_name().to_str().unwrap()),
            text: std::fs::read(entry.path()).unwrap(),
        })
        .collect()
}

fn show(case: &Path) -> String {
    let (base, watched) = (documents(&case.join("base")), documents(&case.join("config")));
    let compiled =
        compile(&Input { base: &base, watched: &watched, ..Input::default() }, &Directory(case.to_owned()));
    let mut text = String::new();
    for diagnostic in &compiled.diagnostics {
        writeln!(text, "{diagnostic}").unwrap();
    }
    for object in &compiled.objects {
        writeln!(text, "Creating {object}").unwrap();
    }
    match &compiled.configuration {
        None => text.push_str("nothing is changed\n"),
        Some(configuration) => write!(text, "{:#?}", only_written(configuration, &compiled.objects)).unwrap(),
    }
    text.push('\n');
    text
}

/// Without factory monitors, event types and actions, which are the same everywhere.
fn only_written(configuration: &Configuration, objects: &[String]) -> Configuration {
    let mut configuration = configuration.clone();
    configuration.monitors.retain(|name, _| objects.contains(&format!("monitors/{name}")));
    configuration.event_types.retain(|name, _| objects.contains(&format!("event_types/{name}")));
    configuration.actions.retain(|name, _| objects.contains(&format!("actions/{name}")));
    configuration
}

#[test]
fn every_case_comes_out_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/documents");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    assert!(cases.len() >= 6, "the cases are gone from {}", root.display());
    for case in cases {
        let (actual, expected) = (show(&case), case.join("expected.txt"));
        let secret = actual.lines().find(|line| line.starts_with(['e', 'w']) && line.contains("NEVER-SHOWN"));
        assert_eq!(secret, None, "{}: a diagnostic shows a secret", case.display());
        // Rules of real deployments work; only the cases about rules have faulty ones.
        let about_rules = case.file_name().unwrap().to_str().unwrap().starts_with("rules-");
        let of_rules = actual.lines().find(|line| line.starts_with(['e', 'w']) && line.contains("rules"));
        assert!(about_rules || of_rules.is_none(), "{}: {of_rules:?}", case.display());
        if std::env::var_os("TIDEGATE_BLESS").is_some() {
            std::fs::write(&expected, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        let place = actual.lines().zip(expected.lines()).position(|(a, e)| a != e);
        assert!(
            actual == expected,
            "{}: differs from expected.txt at line {:?}; it came out as\n{actual}",
            case.display(),
            place.map(|line| line + 1),
        );
    }
}
