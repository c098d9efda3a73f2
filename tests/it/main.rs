//! Integration tests: the real binary, seen from its clients, its nodes, its documents and its DNS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed; the lint exempts only functions marked as tests"
)]

mod framing;
mod headers;
mod strictness;
mod timeouts;
