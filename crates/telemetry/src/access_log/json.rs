//! The macro `%J`: a request as one JSON object, for whatever collects logs.
//!
//! Times are seconds. What does not apply is left out: `node` where none answered, `tls_version` of plain connections.
//! Texts that clients sent are cut, so that every line is a whole object within the longest line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::format::{Record, push, request_line};

/// Longest request target, bytes.
const MAX_TARGET: usize = 1000;
/// Longest header value or name of an object, bytes.
const MAX_TEXT: usize = 400;

/// Header values of a request, as far as it had them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers<'a> {
    pub(super) host: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
}

/// Appends the object, without line end.
pub(super) fn render(record: &Record<'_>, headers: Headers<'_>, now: SystemTime, out: &mut Vec<u8>) {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut object = Object { out, first: true };
    object.out.push(b'{');
    object.plain("time", crate::logging::timestamp(since));
    object.plain("client", record.client);
    object.plain("local", record.local);
    object.text("virtual_server", Some(record.virtual_server.as_bytes()), MAX_TEXT);
    object.text("pool", record.pool.map(str::as_bytes), MAX_TEXT);
    object.text("node", record.node.map(str::as_bytes), MAX_TEXT);
    let line = request_line(record.captured.line());
    object.text("method", some(line.method), MAX_TEXT);
    object.text("path", some(line.path), MAX_TARGET);
    object.text("query", some(line.query.strip_prefix(b"?").unwrap_or(line.query)), MAX_TEXT);
    object.text("host", headers.host, MAX_TEXT);
    object.text("user_agent", headers.user_agent, MAX_TEXT);
    object.text("referer", headers.referer, MAX_TEXT);
    if let Some(status) = record.status {
        object.number("status", u64::from(status));
    }
    object.number("bytes_in", record.bytes_in);
    object.number("bytes_out", record.bytes_out);
    object.seconds("duration", record.duration);
    let details = &record.details;
    if !details.queued.is_zero() {
        object.seconds("queued", details.queued);
    }
    if let Some(time) = details.response_time {
        object.seconds("node_response", time);
    }
    object.number("retries", u64::from(record.retries));
    object.text("session", details.session.map(str::as_bytes), MAX_TEXT);
    object.text("failure", details.failure.map(str::as_bytes), MAX_TEXT);
    if let Some((trace, span)) = details.trace {
        object.plain("trace_id", format_args!("{trace:032x}"));
        object.plain("span_id", format_args!("{span:016x}"));
    }
    object.text("tls_version", record.tls.map(|tls| tls.version.as_bytes()), MAX_TEXT);
    object.text("tls_cipher", record.tls.map(|tls| tls.cipher.as_bytes()), MAX_TEXT);
    object.out.push(b'}');
}

fn some(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text)
}

struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        push(self.out, format_args!("\"{name}\":"));
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        push(self.out, format_args!("{value}"));
    }

    fn seconds(&mut self, name: &str, value: Duration) {
        self.name(name);
        push(self.out, format_args!("{}.{:06}", value.as_secs(), value.subsec_micros()));
    }

    /// Text of our own, in which nothing needs escaping.
    fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        push(self.out, format_args!("\"{value}\""));
    }

    /// Text of any kind. Bytes that are not ASCII are told as the characters of Latin-1, so that none gets lost.
    fn text(&mut self, name: &str, value: Option<&[u8]>, most: usize) {
        let Some(value) = value else { return };
        self.name(name);
        self.out.push(b'"');
        for &byte in value.get(..most).unwrap_or(value) {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                0x20..0x7f => self.out.push(byte),
                _ => push(self.out, format_args!("\\u{byte:04x}")),
            }
        }
        self.out.push(b'"');
    }
}
