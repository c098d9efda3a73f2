//! Integration tests: the real binary, seen from its clients, its nodes, its documents and its DNS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed; the lint exempts only functions marked as tests"
)]

mod access_log;
mod alerts;
mod bandwidth;
mod ctl;
mod deployment;
mod discovery;
mod documents;
mod fairness;
mod framing;
mod generic;
mod headers;
mod leaving;
mod metrics;
mod monitors;
mod never;
mod persistence;
mod pools;
mod proxy_protocol;
mod rest;
mod rest_statistics;
mod rules;
mod shutdown;
mod strictness;
mod tidy;
mod timeouts;
mod tls;
mod traces;
