//! What the traffic manager has been told to do, valid by construction.
//!
//! ```text
//! documents ──config::compile──► Configuration ──proxy::snapshot::build──► what runs
//!                                     ▲
//!                      NodeSet ───────┘  who the nodes are now, from discovery
//! ```
//!
//! Everything here is plain comparable data: no I/O, no clock, no randomness. A value of one of these types
//! has been checked by whoever built it, so the code behind never checks again. Doc comments name the
//! configuration key (`section.key` of the document format) a field comes from.
//!
//! Reading order: [`name`], [`configuration`], [`virtual_server`], [`pool`], [`persistence`], [`monitor`],
//! [`tls`], [`rule`], [`service_level`], [`bandwidth`], [`directory`], [`node_set`], [`moment`]; [`mod@counters`] are what the
//! crates above count with.

pub mod alert;
pub mod bandwidth;
pub mod configuration;
pub mod counters;
pub mod directory;
pub mod moment;
pub mod monitor;
pub mod name;
pub mod node_set;
pub mod persistence;
pub mod pool;
pub mod rule;
pub mod service_level;
pub mod tls;
pub mod virtual_server;

pub use bandwidth::BandwidthClass;
pub use configuration::{Configuration, GlobalSettings};
pub use directory::{Authenticator, Location};
pub use moment::Moment;
pub use monitor::Monitor;
pub use name::{
    ActionName, ActionProgramName, AuthenticatorName, BandwidthName, CaName, ExtraFileName, KeyName,
    LevelName, LocationName, MonitorName, PersistenceName, PluginName, PoolName, RateName, RuleName,
    ScriptName, VirtualServerName,
};
pub use node_set::{DiscoveredNode, NodeSet};
pub use persistence::PersistenceClass;
pub use pool::Pool;
pub use rule::{RateClass, Rule, RuleEntry};
pub use service_level::ServiceLevel;
pub use virtual_server::VirtualServer;
