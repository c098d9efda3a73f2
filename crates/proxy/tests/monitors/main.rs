//! Monitors against real listeners on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic as tests do; the lint exempts only functions marked as tests"
)]

mod bench;
mod http;
mod programs;
mod transport;
mod verdicts;
