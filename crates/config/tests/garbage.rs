//! Whatever bytes come in, compiling ends, panics nowhere, and what comes out holds together.
//!
//! The seed is printed on failure; `TIDEGATE_SEED` repeats a run and `TIDEGATE_ROUNDS` makes it longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files fails")]
#![expect(clippy::disallowed_methods, reason = "tests read the sample documents; the crate itself does not")]

use std::{collections::BTreeSet, path::Path};

use fastrand::Rng;
use tidegate_config::{Compiled, Document, Input, References, compile};
use tidegate_model::{Configuration, monitor::Probe, virtual_server::DefaultPool};

/// Answers every path with some bytes.
struct Anything;

impl References for Anything {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path.len() % 4 {
            0 => Err("there is no such file".to_owned()),
            1 => Ok(b"\xff\x00".to_vec()),
            2 => Ok(b"- a\n- {node: 'a:80'}\n".to_vec()),
            _ => Ok(path.as_bytes().to_vec()),
        }
    }
}

const WORDS: &[&str] = &[
    "virtual_servers",
    "pools",
    "monitors",
    "ssl",
    "server_keys",
    "rules",
    "request_rules",
    "pool.use(\"p\");",
    "name",
    "properties",
    "basic",
    "port",
    "pool",
    "nodes_table",
    "valueFrom",
    "fileRef",
    "global_settings",
    "version",
    "content",
    "p",
    "discard",
    "failure_pool",
    "true",
    "80",
    "~",
    "''",
    "\"\\x00\"",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "<<",
    "!!binary ",
    "!!str ",
    "| ",
    ">-\n",
    "\n",
    "\n  ",
    "\n    ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "# x\n",
    "\t",
    "? ",
    "\u{feff}",
    "\u{2028}",
    "é",
    "\\",
    "\"",
    "'",
    "@",
    "`",
    "0x",
    "-1",
    "1e9",
    ".inf",
];

fn samples() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/documents");
    let mut samples = Vec::new();
    for case in std::fs::read_dir(root).unwrap() {
        let config = case.unwrap().path().join("config");
        for file in std::fs::read_dir(config).into_iter().flatten() {
            samples.push(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    samples.sort();
    assert!(!samples.is_empty());
    samples
}

fn garbage(rng: &mut Rng, samples: &[Vec<u8>]) -> Vec<u8> {
    match rng.u8(..8) {
        0 => (0..rng.usize(..200)).map(|_| rng.u8(..)).collect(),
        1 | 2 => (0..rng.usize(..80)).flat_map(|_| WORDS[rng.usize(..WORDS.len())].bytes()).collect(),
        _ => {
            let mut text = samples[rng.usize(..samples.len())].clone();
            for _ in 0..rng.usize(1..6) {
                mutate(rng, &mut text, samples);
            }
            text
        }
    }
}

fn mutate(rng: &mut Rng, text: &mut Vec<u8>, samples: &[Vec<u8>]) {
    let at = rng.usize(..=text.len());
    let end = (at + rng.usize(..40)).min(text.len());
    match rng.u8(..6) {
        0 if at < text.len() => text[at] = rng.u8(..),
        1 => drop(text.drain(at..end)),
        2 => drop(text.splice(at..at, WORDS[rng.usize(..WORDS.len())].bytes())),
        3 => {
            let piece = text[at..end].to_vec();
            drop(text.splice(at..at, piece));
        }
        4 => {
            let other = &samples[rng.usize(..samples.len())];
            let from = rng.usize(..other.len());
            let to = (from + rng.usize(..200)).min(other.len());
            drop(text.splice(at..end, other[from..to].iter().copied()));
        }
        _ => text.truncate(at),
    }
}

/// What every outcome keeps to.
fn check(compiled: &Compiled) {
    for diagnostic in &compiled.diagnostics {
        let line = diagnostic.to_string();
        assert!(!line.contains(['\n', '\r', '\0', '\u{1b}']), "{line:?}");
    }
    match &compiled.configuration {
        None => assert!(compiled.has_errors() && compiled.objects.is_empty(), "stopped without an error"),
        Some(configuration) => check_configuration(configuration),
    }
}

fn check_configuration(configuration: &Configuration) {
    for server in configuration.virtual_servers.values() {
        assert!(server.port > 0);
        match &server.pool {
            DefaultPool::Pool(name) => assert!(configuration.pools.contains_key(name)),
            DefaultPool::Missing(name) => assert!(!configuration.pools.contains_key(name)),
            DefaultPool::Discard => {}
        }
        for entry in server.request_rules.iter().chain(&server.response_rules).chain(&server.completion_rules)
        {
            let rule = &configuration.rules[&entry.rule];
            assert!(!entry.enabled || rule.program.is_some(), "a rule with an error runs");
        }
        if let Some(tls) = &server.tls {
            assert!(tls.versions.tls12 || tls.versions.tls13);
            let mapped = tls.host_mapping.iter().flat_map(|row| &row.certificates);
            assert!(
                tls.default.iter().chain(mapped).all(|name| configuration.server_keys.contains_key(name))
            );
            let known = |name| configuration.certificate_authorities.contains_key(name);
            assert!(tls.client_authorities.iter().all(known));
        }
    }
    for pool in configuration.pools.values() {
        assert!(pool.monitors.iter().all(|name| configuration.monitors.contains_key(name)));
        assert!(pool.persistence.iter().all(|name| configuration.persistence.contains_key(name)));
        assert!(pool.nodes.iter().all(|node| node.port > 0 && (1..=100).contains(&node.weight)));
        let (mut seen, mut at) = (BTreeSet::new(), Some(&pool.name));
        while let Some(name) = at {
            assert!(seen.insert(name), "failure pools form a loop");
            at = configuration.pools[name].failure_pool.as_ref();
        }
    }
    for monitor in configuration.monitors.values() {
        if let Probe::Program { program, .. } = &monitor.probe {
            assert!(configuration.monitor_scripts.contains_key(program));
        }
        if let Probe::Http { status_regex, .. } = &monitor.probe {
            assert!(regex::Regex::new(status_regex).is_ok());
        }
    }
}

#[test]
fn garbage_is_survived() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("TIDEGATE_ROUNDS").unwrap_or(1500);
    let first = number("TIDEGATE_SEED").unwrap_or(0x7de6_a7e0);
    let samples = samples();
    let mut through = 0;
    for seed in first..first + rounds {
        let outcome = std::panic::catch_unwind(|| {
            let mut rng = Rng::with_seed(seed);
            let documents: Vec<Document> = (0..rng.usize(1..4))
                .map(|index| Document { name: format!("config/{index}"), text: garbage(&mut rng, &samples) })
                .collect();
            let (base, watched) = documents.split_at(documents.len() / 2);
            let compiled = compile(&Input { base, watched, ..Input::default() }, &Anything);
            check(&compiled);
            compiled.configuration.is_some()
        });
        let applied = outcome.unwrap_or_else(|_| panic!("failed with TIDEGATE_SEED={seed}"));
        through += u64::from(applied);
    }
    assert!(through > 0, "no garbage was good enough to reach the objects");
}
