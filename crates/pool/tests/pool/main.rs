//! The pool as the data path uses it: build, session, choose, claim, report.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
#![allow(clippy::unnecessary_wraps, reason = "fixtures have the shape the tests pass on")]

mod algorithms;
mod bandwidth;
mod explain;
mod fixture;
mod health;
mod limits;
mod node_sets;
mod priorities;
mod rules;
mod sessions;
