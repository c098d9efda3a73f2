//! Requests that are over as spans of OpenTelemetry: names and attributes by its semantic conventions for HTTP, and
//! what is this product's own under `tidegate.`.
//!
//! A request is one span of the kind SERVER, and each attempt at a node one of the kind CLIENT below it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1,
    trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status, span::SpanKind, status::StatusCode},
};
use prost::Message as _;

use super::{
    options::Resource,
    span::{Attempt, Fault, Finished},
};

/// Methods that the conventions know.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
/// What stands for other methods.
const OTHER: &str = "_OTHER";

/// The body of a request to a collector.
pub(super) fn encode(resource: &Resource, batch: &[Finished]) -> Vec<u8> {
    let mut spans = Vec::with_capacity(batch.iter().map(Finished::spans).sum());
    for finished in batch {
        spans.push(server(finished));
        let numbered = (0..).zip(&finished.attempts);
        spans.extend(numbered.map(|(n, attempt)| client(finished, n, attempt)));
    }
    let mut attributes = Attributes::default();
    for (name, value) in &resource.0 {
        attributes.text(name, value);
    }
    let scope = InstrumentationScope {
        name: "tidegate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(v1::Resource { attributes: attributes.0, ..v1::Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

/// The span of the request.
fn server(of: &Finished) -> Span {
    let mut attributes = Attributes::default();
    let name = attributes.method(&of.method);
    attributes.some("url.path", &of.path);
    attributes.text("url.scheme", scheme(of.tls));
    if !of.host.is_empty() {
        attributes.text("server.address", &of.host);
        attributes.number("server.port", of.port.unwrap_or(if of.tls { 443 } else { 80 }).into());
    }
    attributes.text("client.address", &of.client.to_string());
    attributes.text("network.protocol.version", of.version);
    attributes.some("user_agent.original", &of.user_agent);
    if let Some(status) = of.status {
        attributes.number("http.response.status_code", status.into());
    }
    attributes.text("tidegate.virtual_server", of.virtual_server.as_str());
    if let Some(pool) = &of.pool {
        attributes.text("tidegate.pool", pool.as_str());
    }
    if let Some(attempt) = of.attempts.last() {
        attributes.text("tidegate.node", &attempt.node);
    }
    attributes.number("tidegate.retries", of.retries.into());
    if let Some(persistence) = of.persistence {
        attributes.text("tidegate.persistence", persistence);
    }
    if !of.queued.is_zero() {
        attributes.seconds("tidegate.queue.duration", of.queued);
    }
    if let Some(fault) = of.fault {
        attributes.text("tidegate.failure", fault.text);
    }
    // A client's own doing is no error of a server: neither a status below 500 nor a client that went away.
    let ours = of.fault.filter(|fault| fault.is_error);
    let failed = match of.status {
        Some(status) => status >= 500,
        None => ours.is_some(),
    };
    let status = if failed || ours.is_some() { attributes.error(ours, of.status) } else { Status::default() };
    Span {
        span_id: of.context.span_id.get().to_be_bytes().to_vec(),
        parent_span_id: of
            .context
            .parent
            .map(|parent| parent.get().to_be_bytes().to_vec())
            .unwrap_or_default(),
        flags: flags(of, of.context.parent.is_some()),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(began(of)),
        end_time_unix_nano: nanos(of.ended),
        status: Some(status),
        ..span(of, name, attributes)
    }
}

/// The span of the attempt number `n`.
fn client(of: &Finished, n: i64, attempt: &Attempt) -> Span {
    let mut attributes = Attributes::default();
    let name = attributes.method(&attempt.method);
    attributes.text("url.full", &format!("{}://{}{}", scheme(attempt.tls), attempt.node, attempt.path));
    let ip = attempt.address.ip().to_string();
    attributes.text("server.address", &ip);
    attributes.number("server.port", attempt.address.port().into());
    attributes.text("network.peer.address", &ip);
    attributes.number("network.peer.port", attempt.address.port().into());
    attributes.text("network.protocol.version", "1.1");
    if n > 0 {
        attributes.number("http.request.resend_count", n);
    }
    if let Some(status) = attempt.status {
        attributes.number("http.response.status_code", status.into());
    }
    attributes.text("tidegate.pool", attempt.pool.as_str());
    attributes.text("tidegate.node", &attempt.node);
    attributes.flag("tidegate.connection.reused", attempt.reused);
    if let Some(time) = attempt.response_time {
        attributes.seconds("tidegate.node.response.duration", time);
    }
    if let Some(fault) = attempt.fault {
        attributes.text("tidegate.failure", fault.text);
    }
    let status = match (attempt.fault.filter(|fault| fault.is_error), attempt.status) {
        (None, None | Some(0..400)) => Status::default(),
        (fault, status) => attributes.error(fault, status),
    };
    let began = began(of);
    let end = attempt.ended.map_or(of.ended, |ended| began + ended);
    Span {
        span_id: attempt.span_id.get().to_be_bytes().to_vec(),
        parent_span_id: of.context.span_id.get().to_be_bytes().to_vec(),
        flags: flags(of, false),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: nanos(began + attempt.began),
        end_time_unix_nano: nanos(end),
        status: Some(status),
        ..span(of, name, attributes)
    }
}

/// What all spans of a request have in common.
fn span(of: &Finished, name: &str, attributes: Attributes) -> Span {
    Span {
        trace_id: of.context.trace_id.get().to_be_bytes().to_vec(),
        trace_state: of.state.clone(),
        name: name.to_owned(),
        attributes: attributes.0,
        ..Span::default()
    }
}

fn flags(of: &Finished, parent_is_remote: bool) -> u32 {
    let remote = if parent_is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(of.context.flags) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

fn began(of: &Finished) -> SystemTime {
    of.ended.checked_sub(of.duration).unwrap_or(UNIX_EPOCH)
}

fn nanos(at: SystemTime) -> u64 {
    let since: Duration = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: name.to_owned(), value, ..KeyValue::default() });
    }

    fn text(&mut self, name: &str, value: &str) {
        self.add(name, Value::StringValue(value.to_owned()));
    }

    /// A text, if there is one.
    fn some(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: i64) {
        self.add(name, Value::IntValue(value));
    }

    fn seconds(&mut self, name: &str, value: Duration) {
        self.add(name, Value::DoubleValue(value.as_secs_f64()));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.add(name, Value::BoolValue(value));
    }

    /// The method, one of a small set. Returns the span's name.
    fn method(&mut self, method: &str) -> &'static str {
        let known = METHODS.into_iter().find(|known| *known == method);
        self.text("http.request.method", known.unwrap_or(OTHER));
        if known.is_none() {
            self.text("http.request.method_original", method);
        }
        known.unwrap_or("HTTP")
    }

    /// `error.type`: the name of the fault, or the status.
    fn error(&mut self, fault: Option<Fault>, status: Option<u16>) -> Status {
        match (fault, status) {
            (Some(fault), _) => self.text("error.type", fault.name),
            (None, Some(status)) => self.text("error.type", &status.to_string()),
            (None, None) => self.text("error.type", OTHER),
        }
        // A status says what it is; a text beside it would only say it again.
        let message = fault.map(|fault| fault.text.to_owned()).unwrap_or_default();
        Status { code: StatusCode::Error.into(), message }
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
pub(super) mod tests;
