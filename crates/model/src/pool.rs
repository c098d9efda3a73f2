//! A pool: the node side of a service.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{BandwidthName, MonitorName, PersistenceName, PluginName, PoolName, tls::NodeTls};

/// An entry of `pools`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// `basic.nodes_table`.
    pub nodes: Vec<NodeEntry>,
    /// `service_discovery.*`; `None` when disabled.
    pub discovery: Option<ServiceDiscovery>,
    /// `load_balancing.algorithm`.
    pub algorithm: Algorithm,
    /// `load_balancing.priority_nodes` when `priority_enabled`.
    pub priority_nodes: Option<u32>,
    /// `basic.failure_pool`. A chain of failure pools has no loop.
    pub failure_pool: Option<PoolName>,
    /// `basic.persistence_class`.
    pub persistence: Option<PersistenceName>,
    /// `basic.bandwidth_class`, a class of this configuration: what is sent to nodes.
    pub bandwidth: Option<BandwidthName>,
    /// `basic.monitors`.
    pub monitors: Vec<MonitorName>,
    /// `basic.passive_monitoring`.
    pub passive_monitoring: bool,
    /// `basic.max_connection_attempts`; `None` (0) = every node may be tried.
    pub max_connection_attempts: Option<u32>,
    /// `basic.max_timed_out_connection_attempts`; `None` (0) = no limit.
    pub max_timed_out_connection_attempts: Option<u32>,
    /// `basic.node_connection_attempts`: consecutive failures until a node is marked failed.
    pub node_connection_attempts: u32,
    /// `node.retry_fail_time`: rest of a passively failed node.
    pub retry_fail_time: Duration,
    /// `node.close_on_death`.
    pub close_on_death: bool,
    /// `basic.max_idle_connections_pernode`.
    pub max_idle_connections_pernode: u32,
    /// `basic.node_close_with_rst`.
    pub node_close_with_rst: bool,
    /// `basic.node_delete_behavior`, `basic.node_drain_to_delete_timeout`. Where the document is silent, a
    /// pool with service discovery drains for 60 s and any other deletes at once.
    pub node_delete: NodeDelete,
    /// `connection.max_connect_time`.
    pub max_connect_time: Duration,
    /// `connection.max_reply_time`.
    pub max_reply_time: Duration,
    /// `connection.max_connections_per_node`; `None` (0) = no limit.
    pub max_connections_per_node: Option<u32>,
    /// `connection.max_transactions_per_node`; `None` (0) = no limit.
    pub max_transactions_per_node: Option<u32>,
    /// `connection.max_queue_size`; `None` (0) = no limit.
    pub max_queue_size: Option<u32>,
    /// `connection.queue_timeout`.
    pub queue_timeout: Duration,
    /// `http.keepalive`.
    pub keepalive: bool,
    /// `http.keepalive_non_idempotent`.
    pub keepalive_non_idempotent: bool,
    /// `tcp.nagle` on connections to nodes.
    pub nagle: bool,
    /// `ssl.*`; `None` when `ssl.enable` is false.
    pub tls: Option<NodeTls>,
}

impl Pool {
    /// What a document gives that only names it.
    pub fn named(name: impl Into<PoolName>) -> Self {
        Self {
            name: name.into(),
            nodes: Vec::new(),
            discovery: None,
            algorithm: Algorithm::RoundRobin,
            priority_nodes: None,
            failure_pool: None,
            persistence: None,
            bandwidth: None,
            monitors: Vec::new(),
            passive_monitoring: true,
            max_connection_attempts: None,
            max_timed_out_connection_attempts: Some(2),
            node_connection_attempts: 3,
            retry_fail_time: Duration::from_mins(1),
            close_on_death: false,
            max_idle_connections_pernode: 50,
            node_close_with_rst: false,
            node_delete: NodeDelete::Immediate,
            max_connect_time: Duration::from_secs(4),
            max_reply_time: Duration::from_secs(30),
            max_connections_per_node: None,
            max_transactions_per_node: None,
            max_queue_size: None,
            queue_timeout: Duration::from_secs(10),
            keepalive: true,
            keepalive_non_idempotent: false,
            nagle: true,
            tls: None,
        }
    }
}

/// A row of `basic.nodes_table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// Host part of `node`.
    pub host: NodeHost,
    /// Port part of `node`.
    pub port: u16,
    /// `state`.
    pub state: NodeState,
    /// `weight`, 1–100.
    pub weight: u32,
    /// `priority`; a higher value is preferred.
    pub priority: u32,
    /// `source_ip`: address to connect from.
    pub source_ip: Option<IpAddr>,
}

/// Host part of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeHost {
    /// An IP address.
    Address(IpAddr),
    /// A name, resolved by discovery.
    Name(Arc<str>),
}

/// What the configuration says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NodeState {
    /// Takes new sessions.
    #[default]
    Active,
    /// Takes only requests of its existing sessions.
    Draining,
    /// Takes no requests and is not monitored.
    Disabled,
}

/// `load_balancing.algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Next usable node in turn.
    #[default]
    RoundRobin,
    /// Turns in proportion to weight.
    WeightedRoundRobin,
    /// Fewest requests in progress.
    LeastConnections,
    /// Fewest requests in progress by weight.
    WeightedLeastConnections,
    /// Lowest recent response time.
    FastestResponseTime,
    /// Load and response time together.
    Perceptive,
    /// Uniform choice.
    Random,
}

/// What happens to a node that leaves the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeDelete {
    /// Connections to it are closed at once and requests that may be retried go to another node.
    Immediate,
    /// No new sessions; requests in flight and existing sessions go on until they end or the limit passes.
    Drain {
        /// `node_drain_to_delete_timeout`; `None` (0) = no limit.
        limit: Option<Duration>,
    },
}

/// `service_discovery.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDiscovery {
    /// `plugin`: a built-in or an entry of the `servicediscovery` catalogue.
    pub plugin: PluginName,
    /// `plugin_args`, as written. May hold secrets: never logged.
    pub arguments: Arc<str>,
    /// `interval`; `None` when the document does not set it, so that DNS follows the TTL.
    pub interval: Option<Duration>,
    /// `timeout`; `None` (0) = the runner's safety cap.
    pub timeout: Option<Duration>,
}
