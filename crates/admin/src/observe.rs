//! The seam to what runs: counters and states, told by whoever has them.

use std::{fmt::Debug, future::Future, net::IpAddr, pin::Pin};

use serde_json::{Map, Value as Json};

/// There is such an object, and it has no counters, for instance because it is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCounters;

/// An answer that is coming.
pub type Coming<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A group of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its path below `statistics`, such as `globals`, `pools`, `nodes/node`; one or two segments.
    pub path: &'static str,
    /// Whether it has a set of counters per object, as opposed to being one itself (`globals`).
    pub has_objects: bool,
}

/// Tells what runs. Asked from many requests at a time. Answers count everything that was answered before the
/// question, and come soon.
pub trait Observe: Send + Sync + Debug {
    /// Groups of counters, the same ones at any time, in any order.
    fn groups(&self) -> Vec<Group>;

    /// Names of the objects of a group that has some, in any order.
    fn objects<'a>(&'a self, group: &'a str) -> Coming<'a, Vec<String>>;

    /// Counters by name. `object` is empty for a group without objects. `None`: there is no such object.
    fn counters<'a>(
        &'a self,
        group: &'a str,
        object: &'a str,
    ) -> Coming<'a, Option<Result<Map<String, Json>, NoCounters>>>;

    /// Pools and virtual servers as they are now.
    fn running(&self) -> RunningState;

    /// A pool and its nodes as they are now, leaving ones included: an object. `None`: there is no such pool.
    fn nodes(&self, pool: &str) -> Option<Json>;

    /// The last events numbered above `after`, oldest first: a list of objects; and how many there ever were.
    fn events(&self, after: u64) -> (Json, u64);

    /// What would become of a request: an object. Sends nothing and changes nothing.
    ///
    /// # Errors
    /// Why nothing can be said, a sentence for people.
    fn explain(&self, question: Question) -> Coming<'_, Result<Json, String>>;
}

/// A request to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Such as `GET`.
    pub method: String,
    /// Whether the URL is https.
    pub secure: bool,
    /// Host of the URL: a name, or an address (IPv6 in brackets).
    pub host: String,
    /// Port of the URL, given or usual.
    pub port: u16,
    /// What the `Host` header field says unless `headers` has one.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Header fields in their order.
    pub headers: Vec<(String, String)>,
    /// Address of the client.
    pub client: IpAddr,
    /// The virtual server, where it is not to be found by host and port.
    pub virtual_server: Option<String>,
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
    /// Bytes per second, both ways.
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
