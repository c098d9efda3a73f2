//! The harness of the integration tests: the real binary between clients and nodes that do what a test says.
//!
//! ```text
//! Client / load ──► Tidegate (process, documents in a projected volume) ──► Node, RawNode, ProcessNode
//!                        ├──────► Dns (authoritative, changed at run time)
//!                        └──────► Collector (of traces)
//! ```
//!
//! Everything is on loopback and on ports the system chose. Every wait has a deadline; a helper that meets an
//! unexpected state panics with what it saw, which fails the test that called it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the library serves tests only: what cannot be set up fails the test"
)]

pub mod client;
pub mod collector;
pub mod ctl;
pub mod dns;
pub mod document;
pub mod ldap;
pub mod load;
pub mod node;
pub mod places;
pub mod port;
pub mod process_node;
pub mod rest;
pub mod site;
pub mod tidegate;
pub mod tls;
pub mod volume;
pub mod wait;
pub mod wire;

pub use client::{Client, Response};
pub use collector::Collector;
pub use ctl::Ctl;
pub use dns::Dns;
pub use document::Document;
pub use ldap::Ldap;
pub use node::{Node, RawNode, Reply};
pub use port::Port;
pub use process_node::ProcessNode;
pub use serde_json::{Value, json};
pub use site::Site;
pub use tidegate::{Setup, Tidegate};
pub use wait::{eventually, within};
