//! `monitors`, factory monitors included.

use std::sync::Arc;

use tidegate_model::{
    Configuration, Monitor,
    monitor::{Probe, Scope},
};

use super::{Reader, cell_text, host, host_and_port, readers};
use crate::{
    diagnostic::{Report, quote},
    merge::Merged,
};

/// Builds the monitors. One whose program is not in the catalogue is left out.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "monitors") {
        let Some(probe) = probe(&reader, configuration, report) else { continue };
        let monitor = Monitor {
            name: reader.name().into(),
            probe,
            scope: scope(&reader, report),
            delay: reader.seconds("basic", "delay"),
            timeout: reader.seconds("basic", "timeout"),
            failures: reader.number("basic", "failures"),
            back_off: reader.flag("basic", "back_off"),
            use_tls: reader.flag("basic", "use_ssl"),
            verbose: reader.flag("basic", "verbose"),
            health_only: reader.flag("basic", "health_only"),
        };
        configuration.monitors.insert(reader.name().into(), Arc::new(monitor));
    }
}

fn probe(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> Option<Probe> {
    Some(match &*reader.text("basic", "type") {
        "connect" => Probe::Connect,
        "http" => Probe::Http {
            path: header_text(reader, report, "path").unwrap_or_else(|| Arc::from("/")),
            host_header: header_text(reader, report, "host_header"),
            authentication: header_text(reader, report, "authentication"),
            status_regex: reader.pattern_or_default(report, "http", "status_regex"),
            body_regex: reader.pattern(report, "http", "body_regex"),
        },
        "tcp_transaction" => Probe::TcpTransaction {
            write: unescape(&reader.text("tcp", "write_string")).into(),
            response_regex: reader.pattern_or_default(report, "tcp", "response_regex"),
            close: unescape(&reader.text("tcp", "close_string")).into(),
            max_response_len: reader.number("tcp", "max_response_len") as usize,
        },
        "program" => {
            let program = reader.text("script", "program");
            if !configuration.monitor_scripts.contains_key(&*program) {
                let known = configuration.monitor_scripts.keys().map(tidegate_model::ScriptName::as_str);
                let then = "the monitor is left out";
                reader.missing(report, ("script", "program"), "monitor_scripts", &program, (known, then));
                return None;
            }
            let rows = reader.rows("script", "arguments");
            let arguments = rows.iter().map(|row| (cell_text(row, "name"), cell_text(row, "value")));
            Probe::Program { program: (&*program).into(), arguments: arguments.collect() }
        }
        "rtsp" => Probe::NotYet("rtsp"),
        "sip" => Probe::NotYet("sip"),
        _ => Probe::Ping,
    })
}

/// Text of the `http` section that goes into a request head, where control characters must not get.
fn header_text(reader: &Reader<'_>, report: &mut Report<'_>, key: &str) -> Option<Arc<str>> {
    let text = reader.some_text("http", key)?;
    let blank_in_path = key == "path" && (text.contains(' ') || !text.starts_with('/'));
    if text.chars().any(char::is_control) || blank_in_path {
        let message = "the value cannot stand in a request; the default is used".to_owned();
        let hint = (key == "path").then(|| "a path begins with / and holds no blanks".to_owned());
        reader.fault(report, "http", key, message, hint);
        return None;
    }
    Some(text)
}

fn scope(reader: &Reader<'_>, report: &mut Report<'_>) -> Scope {
    if &*reader.text("basic", "scope") != "poolwide" {
        return Scope::PerNode;
    }
    let machine = reader.text("basic", "machine");
    if let Some((host, port)) = host_and_port(&machine) {
        return Scope::PoolWide { host, port: Some(port) };
    }
    if let Some(host) = host(&machine) {
        return Scope::PoolWide { host, port: None };
    }
    let message = format!("{} is not a machine; the monitor runs for every node", quote(&machine));
    let hint = Some("scope poolwide needs basic.machine as host or host:port".to_owned());
    reader.fault(report, "basic", "machine", message, hint);
    Scope::PerNode
}

/// Resolves `\r`, `\n`, `\t`, `\\` and `\xHH`; any other backslash stands for itself.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |offset: usize| bytes.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16));
        let (resolved, length) = match (byte, bytes.get(at + 1)) {
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (b'\\', Some(b'x')) => match (hex(2), hex(3)) {
                (Some(high), Some(low)) => ((high * 16 + low) as u8, 4),
                _ => (b'\\', 1),
            },
            _ => (*byte, 1),
        };
        out.push(resolved);
        at += length;
    }
    out
}
