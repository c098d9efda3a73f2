//! Distributed tracing: spans of requests, sent to a collector by OTLP over HTTP.
//!
//! ```text
//! data worker ──Traces::record──► its bounded buffers ──collect──► Exporter (control runtime) ──► collector
//!       └─ Sampler: whether a request is recorded, decided when it begins
//! ```
//!
//! A worker that has finished a sampled request hands over a [`Finished`]; what it takes to make spans of it, to encode
//! and to send them is done elsewhere. Buffers that are full drop what comes next and count it: a collector that is
//! slow or gone is felt by nobody but those who miss the spans.
//!
//! The messages are those of `opentelemetry-proto`. Sampling, batching and sending are done here and not by the
//! OpenTelemetry SDK: its exporter reads settings from the process's environment behind the back of ours, tells
//! every failed batch, and knows no numbers that could be shown as metrics.

mod collector;
mod encode;
mod endpoint;
mod exporter;
mod options;
mod queue;
mod sampler;
mod span;

pub use self::{
    endpoint::Endpoint,
    exporter::{Exporter, start},
    options::{MAX_BATCH, MAX_QUEUE, Options, Resource},
    queue::Traces,
    sampler::Sampler,
    span::{Attempt, Context, Fault, Finished, MAX_ATTEMPTS, MAX_PATH, MAX_TEXT, cut},
};
