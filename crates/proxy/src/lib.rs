//! The data path: from an accepted connection to a node and back.
//!
//! ```text
//! listener::accept → connection (PROXY header, TLS, head) → virtual_server::serve
//!     → forward::to_pool (claim a node → attempt → deliver) → relay → node
//!
//! Configuration + node sets ──build──► Snapshot ──Proxy::publish──► one pointer swap, seen by every worker
//! ```
//!
//! Every data worker is one thread with a single-threaded runtime, its own listening sockets and its own idle
//! connections to nodes: nothing on the request path takes a lock or crosses to another thread.
//!
//! Reading order: [`virtual_server`] (the page to read first), [`forward`], [`relay`], [`connection`],
//! [`listener`], [`worker`], [`snapshot`], then [`tls`], [`monitor`] and [`explain`].

mod access;
mod aside;
mod bandwidth;
mod buffer;
mod connection;
pub mod explain;
mod failure;
mod forward;
mod http;
mod listener;
pub mod monitor;
mod node;
mod observe;
mod proxy;
mod relay;
mod rules;
mod service_level;
pub mod snapshot;
mod socket;
mod stream;
mod tally;
mod tcp;
mod timers;
pub mod tls;
mod trace;
mod virtual_server;
mod worker;

pub use self::{
    proxy::{ListenProblem, NodeStatus, Proxy},
    rules::services::{ProcessFacts, names, places},
    snapshot::{BuildContext, Built, Problem, Resource, Snapshot, build},
};
