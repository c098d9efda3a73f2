//! Discovery against a real DNS server over real sockets and real plugin processes. Each test is named after
//! the case it covers: `a…` plain addresses, `b…` empty and failing answers, `c…` size and transport, `d…` SRV,
//! `e…` names and the resolver configuration, `f…` families, `p…` plugins.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

mod failing;
mod names;
mod plain;
mod plugins;
mod services;
mod support;
mod transport;
