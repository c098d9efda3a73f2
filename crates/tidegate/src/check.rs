//! `tidegate check DIR`: reads the documents as `run` would and prints every fault.
//!
//! Compiles the documents and builds a snapshot nobody publishes, so that keys, certificates and addresses are
//! looked at too. Nothing is resolved, listened on or run.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use tidegate_admin::Kept;
use tidegate_model::Moment;
use tidegate_proxy::{BuildContext, build};

use crate::{
    control::{
        compile::{Importer, Outcome, Severity},
        following::source_of,
    },
    document_files,
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
}

impl Report {
    fn add(&mut self, severity: Severity, text: &str) {
        let name = match severity {
            Severity::Error => {
                self.errors += 1;
                "error"
            }
            Severity::Warning => {
                self.warnings += 1;
                "warning"
            }
        };
        self.lines.push(format!("{name}: {text}"));
    }

    fn summary(&self) -> String {
        let plural =
            |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        format!(
            "{}: {}, {}",
            plural(self.documents, "document"),
            plural(self.errors, "error"),
            plural(self.warnings, "warning")
        )
    }
}

fn look(options: &CheckOptions, base_config: Option<&std::path::Path>) -> Report {
    let mut report = Report::default();
    let importer = match Importer::new(&options.base, base_config) {
        Ok(importer) => importer,
        Err(reason) => {
            report.add(Severity::Error, &reason);
            return report;
        }
    };
    let files = match document_files::read(&options.base) {
        Ok(files) => files,
        Err(error) => {
            report.add(Severity::Error, &error.to_string());
            return report;
        }
    };
    if !files.directory_found {
        let directory = options.base.join(document_files::CONFIG);
        report.add(
            Severity::Warning,
            &format!("there is no {}: documents belong into it", directory.display()),
        );
    }
    report.documents = files.documents.len() + importer.base_documents();
    let Outcome { configuration, faults, .. } = importer.import(&files, &Kept::default());
    for fault in &faults {
        report.add(fault.severity, &fault.text);
    }
    if let Some(configuration) = configuration {
        for (name, pool) in &configuration.pools {
            if let Err(fault) = source_of(pool) {
                let path = format!("pools.{name}.properties.service_discovery.plugin_args");
                report.add(Severity::Error, &format!("{path}: {fault}"));
            }
        }
        let context = BuildContext {
            session_key: [0; 32],
            now: Moment::default(),
            seed: 0,
            listen_hosts: BTreeMap::new(),
            ipv6: true,
            workers: 1,
            access_logs: None,
        };
        for problem in build(&configuration, &BTreeMap::new(), None, &context).problems {
            report.add(Severity::Error, &format!("{}: {}", problem.object, problem.message));
        }
    }
    report
}
