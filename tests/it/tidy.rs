//! The repository itself: front pages, file sizes, who knows whom.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longest source file, lines.
const MAX_LINES: usize = 700;
/// Longest file of integration tests, which are tables for the most part.
const MAX_TEST_LINES: usize = 800;

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files below a directory, build output and hidden directories left out.
pub(super) fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, extensions));
            }
        } else if path.extension().is_some_and(|ext| extensions.iter().any(|wanted| ext == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Crates of the workspace that each crate may know, as `ARCHITECTURE.md` draws them.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &["trafficscript"]),
    ("http1", &[]),
    ("config", &["model", "trafficscript"]),
    ("trafficscript", &[]),
    ("pool", &["model"]),
    ("telemetry", &["model"]),
    ("discovery", &["model"]),
    ("proxy", &["model", "http1", "pool", "telemetry", "trafficscript"]),
    ("admin", &["config"]),
    ("tidegate", &["model", "config", "discovery", "proxy", "telemetry", "trafficscript", "admin"]),
];

#[test]
fn crates_know_only_what_is_below_them() {
    let mut seen = 0;
    for (name, allowed) in MAY_KNOW {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let (uses, tests) = manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
        // The harness knows none of them, and only their tests may know it.
        let tests = tests.lines().filter(|line| !line.starts_with("tidegate-harness"));
        for line in
            uses.lines().chain(tests).filter(|line| line.starts_with("tidegate-") && line.contains('='))
        {
            let known = line.split([' ', '=', '.']).next().unwrap().trim_start_matches("tidegate-");
            assert!(allowed.contains(&known), "{name} must not know {known}");
            seen += 1;
        }
    }
    assert!(seen > 0, "no dependency was read: the manifests are written in another way");
    assert_eq!(
        fs::read_dir(root().join("crates")).unwrap().count(),
        MAY_KNOW.len(),
        "a crate is not in the table"
    );
}

#[test]
fn every_crate_and_module_begins_with_its_front_page() {
    let mut bare = Vec::new();
    for path in files(&root(), &["rs"]) {
        // Unit tests in a file of their own are part of the module they test.
        if path.file_stem().unwrap().to_string_lossy().ends_with("tests") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if !first.starts_with("//!") {
            bare.push(path);
        }
    }
    assert!(bare.is_empty(), "no //! paragraph at the top of {bare:#?}");
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.join("src/lib.rs").is_file() || path.join("src/main.rs").is_file(),
            "{} has no front page",
            path.display()
        );
    }
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long: Vec<_> = files(&root(), &["rs"])
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, path)| {
            let tests =
                path.strip_prefix(root()).unwrap().components().any(|part| part.as_os_str() == "tests");
            *lines > if tests { MAX_TEST_LINES } else { MAX_LINES }
        })
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:#?}");
}

#[test]
fn crates_share_lints_and_edition() {
    for path in files(&root(), &["toml"]) {
        let text = fs::read_to_string(&path).unwrap();
        if path.ends_with("Cargo.toml")
            && text.contains("[package]")
            && !path.starts_with(root().join("tests/fuzz"))
        {
            assert!(text.contains("[lints]\nworkspace = true"), "{} has lints of its own", path.display());
            assert!(
                text.contains("edition.workspace = true"),
                "{} has an edition of its own",
                path.display()
            );
        }
    }
}
