//! Who the nodes are now.
//!
//! ```text
//! Vec<PoolSource> ──update──► manager ──one task per distinct source──► lookup (DNS) or run (plugin)
//!                                │                                            │ Outcome
//!                                │                                   Schedule::apply  (pure: hold rules,
//!                                │                                            │         confirmation, back-off)
//! mpsc::Receiver<Event> ◄────────┴──────────── sets and status ◄──────────────┘
//! ```
//!
//! A result is a transaction against the last good set: an identical answer changes nothing, an error never
//! removes a node, a partial answer only adds, and a node leaves after it was missing from enough complete
//! answers. Nothing here is ever called on the request path.
//!
//! Reading order: [`source`] (what a pool asks for), [`schedule`] (what an outcome means and when to ask
//! again), [`dns`] (how names are asked), [`plugin`] (how programs are run), [`status`] and [`options`]. The
//! drivers are `manager` (sources come and go), `task` (one source), `store` (the last good set on disk) and
//! `tally` (what the parts of a source count).

pub mod arguments;
pub mod dns;
mod manager;
pub mod options;
pub mod plugin;
pub mod schedule;
pub mod source;
pub mod status;
mod store;
mod tally;
mod task;

pub use dns::{Resolved, Resolver};
pub use manager::{Discovery, Event, PoolSource, StartError};
pub use options::{DiscoveryOptions, EmptyPolicy, Family, Policy, SrvWeights, Timing};
pub use source::{NamedNode, Source, SourceError};
pub use status::{Counters, SourceState, SourceStatus};
