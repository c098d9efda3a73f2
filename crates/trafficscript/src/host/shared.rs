//! What rules share with each other and with the rest of the traffic manager: stored values, counters, classes, pools,
//! files and the event log.

use std::sync::Arc;

/// What is there for all rules.
pub trait Shared {
    /// A stored value.
    fn load(&self, store: Store, key: &[u8]) -> Option<Arc<[u8]>>;
    /// Stores a value. False = the store is full.
    fn store(&mut self, store: Store, key: &[u8], value: &[u8]) -> bool;
    /// Removes a value. False = there was none.
    fn remove(&mut self, store: Store, key: &[u8]) -> bool;
    /// Removes every value whose key begins with `prefix`.
    fn reset(&mut self, store: Store, prefix: &[u8]);
    /// Bytes in use and bytes there may be.
    fn usage(&self, store: Store) -> (usize, usize);
    /// Adds to a user counter. False = there is no counter of this number.
    fn count(&mut self, index: u32, by: i64, wide: bool) -> bool;
    /// Asks a rate class without waiting.
    fn rate(&mut self, class: &[u8], context: &[u8]) -> RateVerdict;
    /// How many wait for a place in a rate class; `None` = no such class.
    fn rate_backlog(&self, class: &[u8], context: &[u8]) -> Option<u32>;
    /// How a class of service is met; `None` = no such class.
    fn service_level(&self, class: &[u8]) -> Option<ServiceLevel>;
    /// The nodes of a pool; `None` = no such pool.
    fn pool_nodes(&self, pool: &[u8]) -> Option<Vec<PoolNode>>;
    /// Whether a request to the pool would wait for a place; `None` = no such pool.
    fn pool_is_full(&self, pool: &[u8]) -> Option<bool>;
    /// A file of the catalogue `extra_files`, and when it changed (seconds since 1970).
    fn resource(&self, name: &[u8]) -> Option<(Arc<[u8]>, i64)>;
    /// Writes a line to the event log.
    fn log(&mut self, level: Level, message: &[u8]);
    /// Writes a warning about the rule to the event log, under the tag of its kind. Clients may cause many: the host may
    /// hold some back.
    fn warn(&mut self, _tag: &'static str, message: &[u8]) {
        self.log(Level::Warn, message);
    }
    /// Emits an event of the user's own.
    fn event(&mut self, id: &[u8], message: &[u8]);
}

/// Where `data.*` and its relatives keep values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Store {
    /// `connection.data`: this connection.
    Connection,
    /// `data.local`: this worker.
    Worker,
    /// `data`: this process.
    Process,
}

/// How a class of service is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLevel {
    /// Hundredths of the latest requests that conform.
    pub conforming: u8,
    /// `serious_threshold`: hundredths below which the class is not met.
    pub serious: u8,
}

/// Outcome of a question to a rate class that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateVerdict {
    /// Counted and within the limit.
    Within,
    /// Over the limit.
    Over,
    /// There is no such class.
    NoClass,
}

/// A node of a pool as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNode {
    /// `address:port`.
    pub label: Arc<str>,
    /// Its state.
    pub state: NodeState,
}

/// State of a node as rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Takes requests.
    Active,
    /// Takes requests of its sessions only.
    Draining,
    /// Takes none by configuration.
    Disabled,
    /// Has failed.
    Failed,
}

/// Severity of a line in the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `log.info`
    Info,
    /// `log.warn`, and what goes wrong in a rule
    Warn,
    /// `log.error`
    Error,
}

/// Tags of warnings about rules in the event log.
pub mod tag {
    /// Something went wrong in a rule.
    pub const FAULT: &str = "rulelogmsgwarn";
    /// A regular expression took many steps.
    pub const SLOW_MATCH: &str = "ruleregexslow";
    /// A document or a query of `xml.*` is none.
    pub const XML: &str = "rulexmlerr";
    /// A store of `data.*` is full.
    pub const STORE_FULL: &str = "datastorefull";
    /// There is no such rate class.
    pub const NO_RATE: &str = "norate";
    /// There is no such session persistence class.
    pub const NO_PERSISTENCE: &str = "rulenopersistence";
    /// The request cannot go to this pool: there is none.
    pub const NO_POOL: &str = "pooluseunknown";
    /// The nodes of this pool cannot be told: there is none.
    pub const NO_POOL_NODES: &str = "poolactivenodesunknown";
}
