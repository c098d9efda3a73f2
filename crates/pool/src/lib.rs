//! Which node gets this request: nodes and their health, balancing, session persistence, limits, node-set changes.
//!
//! ```text
//! settings + node list + previous pool ──Pool::build──► Arc<Pool>
//!
//! request ──Pool::session──► Session ──Pool::choose──► Choice ──Node::begin──► InFlight
//!                                                                   │
//!            Node::record_success / record_failure ◄── what came of it ──► Pool::response_cookie / Pool::learn
//! monitors ──Node::set_monitor_verdict──► health
//! ```
//!
//! No I/O, no clock and no randomness: `now` and random numbers are arguments. [`Pool::choose`] takes no lock and
//! allocates nothing while the health of the nodes stands still; only when it binds a session to a node, in a
//! class with a session table, it holds the lock of a part of that table for one insertion.
//!
//! Reading order: [`pool`], [`build`], [`node`], [`health`], [`session`], [`persistence`], [`algorithm`],
//! [`limit`], [`explain`].

pub mod algorithm;
pub mod bandwidth;
pub mod build;
pub mod choose;
pub mod explain;
pub mod health;
pub mod limit;
pub mod node;
pub mod persistence;
pub mod pool;
pub mod session;
pub mod tally;
pub mod view;

mod hash;
mod roster;

pub use build::{NodeSpec, PoolContext};
pub use choose::{Choice, NoNode, Slot, Tried};
pub use explain::Candidate;
pub use health::{FailureKind, HealthChange};
pub use limit::{Full, QueueFull, QueuePlace, Releases};
pub use node::{InFlight, Node, OpenConnection};
pub use persistence::{SessionKey, TableCounters};
pub use pool::{Leaving, Member, Pool, PoolCounters};
pub use session::{Asked, Session};
pub use tally::{NodeCounters, NodeTotals};
pub use view::{NodeView, Standing};
