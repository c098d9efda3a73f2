//! Handshakes against what `tls::server` and `tls::node` build, in memory, with certificates made for each test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic as tests do; the lint exempts only functions marked as tests"
)]

mod authorities;
mod choice;
mod nodes;
mod problems;
mod sessions;
mod sides;
