//! The seam to what runs: counters and states, told by whoever has them.

use std::fmt::Debug;

use serde_json::{Map, Value as Json};

/// There is such an object, and it has no counters, for instance because it is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCounters;

/// Tells what runs. Asked from many requests at a time; an answer is to come at once.
pub trait Observe: Send + Sync + Debug {
    /// Groups of counters by their path below `statistics`, such as `globals`, `pools`, `nodes/node`.
    fn groups(&self) -> Vec<String>;

    /// Names of the objects of a group, in any order; `None` for a group that is one set of counters (`globals`).
    fn objects(&self, group: &str) -> Option<Vec<String>>;

    /// Counters by name. `object` is empty for a group without objects. `None`: there is no such object.
    fn counters(&self, group: &str, object: &str) -> Option<Result<Map<String, Json>, NoCounters>>;

    /// Pools and virtual servers as they are now.
    fn running(&self) -> RunningState;
}

/// What `state` shows of pools and virtual servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningState {
    /// Every pool.
    pub pools: Vec<PoolState>,
    /// Virtual servers that are enabled.
    pub virtual_servers: Vec<ServerState>,
    /// Nodes that have failed, each with its pools.
    pub failed_nodes: Vec<(String, Vec<String>)>,
}

/// A pool with its nodes, `address:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Nodes that take requests.
    pub active_nodes: Vec<String>,
    /// Nodes that are switched off.
    pub disabled_nodes: Vec<String>,
    /// Nodes that keep the sessions they have.
    pub draining_nodes: Vec<String>,
    /// The pool that takes over; empty if there is none.
    pub failure_pool: String,
}

/// A virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerState {
    /// Its name.
    pub name: String,
    /// Its default pool.
    pub pool: String,
    /// Its port.
    pub port: u16,
    /// Bytes per second.
    pub throughput: u64,
}

/// Something that is wrong with the configuration or with what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether something asked for is not done, as opposed to being less than asked for.
    pub error: bool,
    /// Document or REST, object, key, what is wrong, hint; one line.
    pub text: String,
}
