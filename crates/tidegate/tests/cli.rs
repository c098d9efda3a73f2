//! The commands as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn tidegate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .env_remove("TIDEGATE_BASE")
        .env_remove("TIDEGATE_BASE_CONFIG")
        .env_remove("ZEUS_WATCHED_CONFIG")
        .env_remove("ZEUS_BASE_CONFIG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn base(documents: &[(&str, &str)]) -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir_all(base.path().join("config")).unwrap();
    for (name, text) in documents {
        let path = base.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    base
}

fn check(base: &Path) -> (Option<i32>, String) {
    let output = tidegate(&["check", base.to_str().unwrap()]);
    (output.status.code(), stdout(&output))
}

#[test]
fn version() {
    let output = tidegate(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_or_setting_has_status_2() {
    for arguments in [&["run"][..], &["run", "--workers", "0"], &["fly"], &["demo", "--script", "fly@3"]] {
        let output = tidegate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_base_that_is_no_directory_has_status_1() {
    let output = tidegate(&["run", "--base", "/nonexistent/base"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("/nonexistent/base"), "{output:?}");
    let (status, text) = check(Path::new("/nonexistent/base"));
    assert_eq!(status, Some(1), "{text}");
}

const GOOD: &str = "
version: 6.2
virtual_servers:
- name: site
  properties:
    basic: { enabled: true, port: 18080, protocol: http, pool: nodes }
pools:
- name: nodes
  properties:
    basic:
      nodes_table: [ { node: '127.0.0.1:18081' } ]
";

#[test]
fn check_finds_nothing_in_good_documents() {
    let base = base(&[("config/40-site", GOOD)]);
    let (status, text) = check(base.path());
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("1 document: 0 errors"), "{text}");
}

#[test]
fn check_names_document_and_key_of_every_fault() {
    let base = base(&[
        ("config/40-site", &GOOD.replace("nodes_table", "nodes_tabel").replace("18080", "180800")),
        ("config/50-broken", "virtual_servers: [\n"),
    ]);
    let (status, text) = check(base.path());
    assert_eq!(status, Some(1), "{text}");
    for expected in ["config/40-site", "nodes_tabel", "nodes_table", "port", "config/50-broken"] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}

#[test]
fn check_looks_into_keys_and_references() {
    let document = "
ssl:
  server_keys:
  - name: site
    properties:
      basic:
        public: { valueFrom: { fileRef: { name: data/tls.crt } } }
        private: { valueFrom: { fileRef: { name: ../tls.key } } }
        note: ''
        request: ''
";
    let base = base(&[("config/site", document), ("data/tls.crt", "no certificate")]);
    let (status, text) = check(base.path());
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("../tls.key") && text.contains("base directory"), "{text}");
}

#[test]
fn the_demo_runs_its_script_and_loses_no_request() {
    let output =
        tidegate(&["demo", "--plain", "--for", "6", "--script", "scale-up@1,kill@2,drain@3,restore@4"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["node-4 started", "node-1 was killed", "node-2 left DNS", "came back", " 0 failed"] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}
