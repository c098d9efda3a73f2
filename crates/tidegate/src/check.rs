//! `tidegate check DIR`: reads the documents as `run` would and prints every fault.
//!
//! Compiles the documents and builds a snapshot nobody publishes, so that keys, certificates and addresses are
//! looked at too, whatever else is wrong: a document that cannot be read or understood hides nothing of the others.
//! Nothing is resolved, listened on or run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use tidegate_config::{Compiled, Severity};
use tidegate_model::{
    Configuration, Moment,
    virtual_server::{Listen, ListenHost},
};
use tidegate_proxy::{BuildContext, Problem, build, tls::check_catalogues};

use crate::{
    control::{compile::Importer, following::source_of},
    document_files::{self, DocumentFiles},
    settings::{CheckOptions, Environment, base_config},
};

/// Prints what `run` would say. 0 = no errors, 1 = errors.
pub(crate) fn check(options: &CheckOptions, environment: &Environment) -> ExitCode {
    let base_config = base_config(options.base_config.clone(), environment);
    let report = look(options, base_config.as_deref());
    let mut out = io::stdout().lock();
    for line in &report.lines {
        drop(writeln!(out, "{line}"));
    }
    drop(writeln!(out, "{}", report.summary()));
    if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything there is to say.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    errors: usize,
    warnings: usize,
    documents: usize,
    /// `run` would take nothing of them over.
    refused: bool,
}

impl Report {
    fn add(&mut self, severity: Severity, text: &str) {
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        self.lines.push(format!("{severity}: {text}"));
    }

    fn summary(&self) -> String {
        let plural =
            |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let then = match (self.refused, self.errors) {
            (true, _) => "; nothing of them would be taken over",
            (false, 0) => "",
            (false, _) => "; they would be taken over, less what the errors name",
        };
        format!(
            "{}: {}, {}{then}",
            plural(self.documents, "document"),
            plural(self.errors, "error"),
            plural(self.warnings, "warning")
        )
    }
}

fn look(options: &CheckOptions, base_config: Option<&Path>) -> Report {
    let mut report = Report::default();
    let (importer, mut unread) = Importer::of_what_can_be_read(&options.base, base_config);
    let mut files = DocumentFiles::default();
    match document_files::read_what_can_be(&options.base) {
        Ok((found, errors)) => {
            if !found.directory_found {
                let directory = options.base.join(document_files::CONFIG);
                let text = format!("there is no {}: documents belong into it", directory.display());
                report.add(Severity::Warning, &text);
            }
            files = found;
            unread.extend(errors);
        }
        Err(error) => unread.push(error),
    }
    for error in &unread {
        report.add(Severity::Error, &error.to_string());
    }
    report.documents = files.documents.len() + importer.base_documents();
    let mut compiled = importer.compile(&files, !unread.is_empty());
    report.refused = compiled.configuration.is_none() || !unread.is_empty();
    if let Some(configuration) = compiled.configuration.take().or_else(|| compiled.remains.take()) {
        use_it(&configuration, &mut compiled);
    }
    for diagnostic in &compiled.diagnostics {
        let mut text = diagnostic.sentence().to_string();
        if let Some(excerpt) = &diagnostic.excerpt {
            text = format!("{text}\n{excerpt}").replace('\n', "\n    ");
        }
        report.add(diagnostic.severity, &text);
    }
    report
}

/// Adds the faults that show when the configuration is put to use.
fn use_it(configuration: &Configuration, compiled: &mut Compiled) {
    for (name, pool) in &configuration.pools {
        if let Err(fault) = source_of(pool) {
            let (object, key) = (format!("pools/{name}"), "service_discovery.plugin_args");
            compiled.add(Severity::Error, &object, Some(key), fault, None);
        }
    }
    let context = BuildContext {
        session_key: [0; 32],
        now: Moment::default(),
        seed: 0,
        listen_hosts: listen_hosts(configuration),
        ipv6: true,
        workers: 1,
        access_logs: None,
        traces: None,
    };
    let built = build(configuration, &BTreeMap::new(), None, &context).problems;
    let mut told = BTreeSet::new();
    for problem in check_catalogues(configuration).into_iter().chain(built) {
        let Problem { object, key, message, follows } = problem;
        // Whoever uses a key tells its faults again.
        if told.insert((object.clone(), message.clone())) {
            let severity = if follows { Severity::Warning } else { Severity::Error };
            compiled.add(severity, &object, key, message, None);
        }
    }
}

/// Some address for every host name to listen on: names are not resolved here, and that is no fault of theirs.
fn listen_hosts(configuration: &Configuration) -> BTreeMap<Arc<str>, Vec<IpAddr>> {
    let hosts = configuration.virtual_servers.values().flat_map(|server| match &server.listen {
        Listen::Any => [].as_slice(),
        Listen::Hosts(hosts) => hosts,
    });
    let names = hosts.filter_map(|host| match host {
        ListenHost::Name(name) => Some((Arc::clone(name), vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])),
        ListenHost::Address(_) => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// What is said of documents by these names.
    fn said(documents: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Report {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join(document_files::CONFIG)).unwrap();
        for (name, text) in documents {
            fs::write(base.path().join(document_files::CONFIG).join(name), text).unwrap();
        }
        prepare(base.path());
        look(&CheckOptions { base: base.path().to_owned(), base_config: None }, None)
    }

    /// One line with all these pieces.
    fn has(report: &Report, pieces: &[&str]) -> bool {
        report.lines.iter().any(|line| pieces.iter().all(|piece| line.contains(piece)))
    }

    const KEYS: &str = "ssl:
  server_keys:
  - name: unused
    properties:
      basic:
        public: nothing
        private: NEVER-SHOWN
virtual_servers:
- name: site
  properties:
    basic: {enabled: true, port: 443, pool: discard, ssl_decrypt: true}
    ssl: {server_cert_default: unused}
pools:
- name: p
  properties:
    service_discovery: {enabled: true, plugin: BuiltIn-DNS_Stateless, plugin_args: --nonsense}
";

    #[test]
    fn faults_of_rules_come_with_their_line_and_a_caret() {
        let text = "rules:\n- name: r\n  content: |\n    $a = 1;\n    $b = ;\n    no.such();\n";
        let report = said(&[("a", text)], |_| {});
        assert_eq!(report.errors, 2, "{:#?}", report.lines);
        let shown = "error: config/a:5:10: rules/r: line 2 column 6: a value expected, found `;`\n    $b = ;\n         ^";
        assert_eq!(report.lines[0], shown);
        assert!(report.lines[1].ends_with("\n    no.such();\n    ^"), "{:#?}", report.lines);
    }

    #[test]
    fn faults_that_show_in_use_have_line_and_key_path_and_follow_ups_are_warnings() {
        let report = said(&[("a", KEYS)], |_| {});
        let public = ["error: config/a:6:17: ssl.server_keys.unused.properties.basic.public: "];
        assert!(has(&report, &public), "{:#?}", report.lines);
        assert!(has(&report, &["error: config/a:7:18: ssl.server_keys.unused.properties.basic.private: "]));
        let arguments = "pools.p.properties.service_discovery.plugin_args: ";
        assert!(has(&report, &["error: config/a:16:", arguments, "--nonsense"]), "{:#?}", report.lines);
        assert!(has(&report, &["warning: config/a:11:", "virtual_servers.site", "TLS is not served"]));
        assert_eq!((report.errors, report.warnings), (3, 1), "{:#?}", report.lines);
        let summary = "1 document: 3 errors, 1 warning; they would be taken over, less what the errors name";
        assert_eq!(report.summary(), summary);
        assert!(!has(&report, &["NEVER-SHOWN"]));
    }

    #[test]
    fn a_fault_of_form_in_one_document_hides_nothing_of_another() {
        let report = said(&[("a", KEYS), ("b", "poools: []\n"), ("c", "pools: [\n")], |_| {});
        assert!(has(&report, &["config/b:1:1", "poools"]), "{:#?}", report.lines);
        assert!(has(&report, &["error: config/c:"]));
        assert!(has(&report, &["error: config/a:6:17: ssl.server_keys.unused.properties.basic.public: "]));
        assert_eq!(report.errors, 5, "{:#?}", report.lines);
    }

    #[test]
    fn a_document_that_cannot_be_read_hides_nothing_of_the_others() {
        let server = "virtual_servers: [{name: s, properties: {basic: {port: 80, pool: elsewhere}}}]";
        let report = said(&[("a", server), ("b", "poools: []\n")], |base| {
            symlink("nowhere", base.join("config/dangling")).unwrap();
        });
        assert!(has(&report, &["error: ", "config/dangling cannot be read"]), "{:#?}", report.lines);
        assert!(has(&report, &["error: config/b:1:1", "poools"]));
        assert!(has(&report, &["warning: config/a:", "“elsewhere”", "could not be read"]));
        assert_eq!((report.errors, report.warnings), (2, 1), "{:#?}", report.lines);
        assert_eq!(report.summary(), "2 documents: 2 errors, 1 warning; nothing of them would be taken over");
    }

    #[test]
    fn host_names_to_listen_on_are_no_fault() {
        let server = "virtual_servers: [{name: s, properties: {basic: {enabled: true, port: 80, pool: discard, \
                      listen_on_any: false, listen_on_hosts: [a.example]}}}]";
        let report = said(&[("a", server)], |_| {});
        assert_eq!(report.lines, [""; 0]);
    }
}
