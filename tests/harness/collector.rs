//! A collector of traces: takes spans by OTLP over HTTP and remembers them.

use std::{
    collections::BTreeMap,
    io::Read as _,
    sync::{Arc, Mutex},
};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1,
};
use prost::Message as _;
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::{
    node::{Node, Received, Reply},
    wait::eventually,
};

/// A span, its numbers as hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its trace.
    pub trace_id: String,
    /// Its number.
    pub span_id: String,
    /// The span it is part of; empty = none.
    pub parent: String,
    /// `tracestate`.
    pub state: String,
    /// Flags of the trace context, and whether the parent is elsewhere.
    pub flags: u32,
    /// `server` or `client`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// When it began and ended, nanoseconds since 1970.
    pub time: (u64, u64),
    /// Whether it is an error.
    pub is_error: bool,
    /// Attributes by name.
    pub attributes: BTreeMap<String, Value>,
    /// Attributes of the sender.
    pub resource: BTreeMap<String, Value>,
}

impl Span {
    /// An attribute; null = it has none of that name.
    pub fn get(&self, name: &str) -> Value {
        self.attributes.get(name).cloned().unwrap_or_default()
    }
}

/// A collector on a loopback port. It stops when dropped.
#[derive(Debug)]
pub struct Collector {
    /// The server below.
    pub node: Node,
    spans: Spans,
}

/// What was taken.
#[derive(Clone, Debug, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

impl Spans {
    /// What the server below does.
    fn behind(
        self,
        answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
        move |received| {
            let reply = answer(received);
            if reply.is_status(200) {
                self.0.lock().unwrap().extend(read(received));
            }
            reply
        }
    }
}

impl Collector {
    /// Takes whatever comes.
    pub async fn start() -> Self {
        Self::with(|_| Reply::ok("").header("Content-Type: application/x-protobuf")).await
    }

    /// Answers as told. Only spans that are answered with 200 are remembered.
    pub async fn with(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let spans = Spans::default();
        Self { node: Node::with("collector", spans.clone().behind(answer)).await, spans }
    }

    /// As [`Collector::with`], over TLS.
    pub async fn tls(
        config: Arc<ServerConfig>,
        answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let spans = Spans::default();
        Self { node: Node::tls("collector", config, spans.clone().behind(answer)).await, spans }
    }

    /// `http://address`, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.node.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.0.lock().unwrap().clone()
    }

    /// Waits until there are so many spans; returns all, in the order of their beginning, and forgets them.
    pub async fn take(&self, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans"), async || {
            let mut spans = self.spans.0.lock().unwrap();
            (spans.len() >= count).then(|| {
                let mut spans = std::mem::take(&mut *spans);
                spans.sort_by_key(|span| (span.time.0, span.kind != "server"));
                spans
            })
        })
        .await
    }
}

fn read(received: &Received) -> Vec<Span> {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/v1/traces"));
    assert_eq!(received.header("Content-Type"), Some("application/x-protobuf"));
    let mut body = received.body.data.clone();
    if received.header("Content-Encoding") == Some("gzip") {
        let mut unpacked = Vec::new();
        GzDecoder::new(body.as_slice()).read_to_end(&mut unpacked).unwrap();
        body = unpacked;
    }
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = attributes(resource_spans.resource.unwrap().attributes);
        for scope_spans in resource_spans.scope_spans {
            assert_eq!(scope_spans.scope.unwrap().name, "tidegate");
            spans.extend(scope_spans.spans.into_iter().map(|of| span(of, &resource)));
        }
    }
    spans
}

fn span(of: v1::Span, resource: &BTreeMap<String, Value>) -> Span {
    assert_eq!((of.trace_id.len(), of.span_id.len()), (16, 8));
    assert!(of.start_time_unix_nano <= of.end_time_unix_nano, "{of:?}");
    Span {
        trace_id: hex(&of.trace_id),
        span_id: hex(&of.span_id),
        parent: hex(&of.parent_span_id),
        state: of.trace_state,
        flags: of.flags,
        kind: match v1::span::SpanKind::try_from(of.kind).unwrap() {
            v1::span::SpanKind::Server => "server",
            v1::span::SpanKind::Client => "client",
            other => panic!("a span of the kind {other:?}"),
        },
        name: of.name,
        time: (of.start_time_unix_nano, of.end_time_unix_nano),
        is_error: of.status.unwrap().code() == v1::status::StatusCode::Error,
        attributes: attributes(of.attributes),
        resource: resource.clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn attributes(of: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let count = of.len();
    let value = |value: any_value::Value| match value {
        any_value::Value::StringValue(text) => json!(text),
        any_value::Value::IntValue(number) => json!(number),
        any_value::Value::DoubleValue(number) => json!(number),
        any_value::Value::BoolValue(flag) => json!(flag),
        other => panic!("an attribute {other:?}"),
    };
    let all: BTreeMap<_, _> =
        of.into_iter().map(|own| (own.key, value(own.value.unwrap().value.unwrap()))).collect();
    assert_eq!(all.len(), count, "an attribute stands twice");
    all
}
