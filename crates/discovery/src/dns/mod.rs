//! How names are asked: a stub resolver of our own, because the hold rules need what resolvers hide — the
//! response code, the TTL, the additional section, whether an answer was cut short.
//!
//! ```text
//! DnsSource ─► lookup ─► name (search walk) ─► exchange ─► query bytes ─► server (UDP, TCP)
//!                │                                │                          │
//! Outcome ◄──────┘◄──── answer (pure) ◄───────────┘◄─────────────────────────┘
//! ```
//!
//! [`Resolver`] answers single questions that have nothing to do with pools, over the same exchange.
//!
//! [`answer`] and [`nodes`] are pure; `servers` remembers how each name server behaves; [`resolv_conf`] reads
//! the resolver configuration, [`hosts`] the hosts file, which answers for names of nodes tables first.

pub mod answer;
mod client;
mod exchange;
pub mod hosts;
mod lookup;
pub mod name;
pub mod nodes;
pub mod resolv_conf;
mod resolver;
mod servers;
mod targets;

pub(crate) use client::Client;
pub(crate) use lookup::{Lookup, LookupOutcome};
pub use resolver::{Resolved, Resolver};
