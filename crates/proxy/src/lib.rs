//! The data path: listener → TLS → HTTP → virtual server → pool → node connection.
//!
//! (Public surface first; the rooms behind it are being built.)

pub mod monitor;
pub mod tls;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tidegate_model::{Configuration, Moment, NodeSet, PoolName, VirtualServerName};

/// What runs: virtual servers by listen address, pools, TLS configurations, a generation number.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts published snapshots.
    pub generation: u64,
}

/// Inputs of a build that are not configuration.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// Key of transparent cookies and rendezvous hashing.
    pub session_key: [u8; 32],
    /// The moment of the build.
    pub now: Moment,
    /// A random number, for random starts of round robin.
    pub seed: u64,
    /// Addresses of listen host names, resolved by the control side.
    pub listen_hosts: BTreeMap<Arc<str>, Vec<std::net::IpAddr>>,
}

/// A fault found while building that concerns one object; the last good state of that object keeps serving.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The object as a document path, such as `ssl/server_keys/site`.
    pub object: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Outcome of [`build`].
#[derive(Debug)]
pub struct Built {
    /// The new snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Faults of single objects.
    pub problems: Vec<Problem>,
    /// When the next draining node must be dropped by another build, if any.
    pub next_expiry: Option<Moment>,
}

/// Builds a snapshot, keeping every part of `previous` whose input did not change.
pub fn build(
    _configuration: &Configuration,
    _nodes: &BTreeMap<PoolName, NodeSet>,
    _previous: Option<&Arc<Snapshot>>,
    _context: &BuildContext,
) -> Built {
    Built { snapshot: Arc::new(Snapshot { generation: 0 }), problems: Vec::new(), next_expiry: None }
}

/// The running data path: workers, listeners and monitors.
#[derive(Debug)]
pub struct Proxy;

/// A listening address that could not be opened.
#[derive(Debug)]
pub struct ListenProblem {
    /// Whose it is.
    pub virtual_server: VirtualServerName,
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub error: std::io::Error,
}

/// One node as an operator sees it.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Its pool.
    pub pool: PoolName,
    /// Its address.
    pub address: SocketAddr,
    /// `active`, `draining`, `disabled`, `failed`, `leaving`.
    pub state: &'static str,
    /// Requests in progress.
    pub in_flight: u32,
    /// Requests answered since start.
    pub requests: u64,
    /// Failures since start.
    pub failures: u64,
    /// Recent response time.
    pub response_time: Duration,
}

impl Proxy {
    /// Starts `workers` data workers. Nothing listens until the first [`Proxy::publish`].
    pub fn start(_workers: usize) -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Makes a snapshot the running one: opens and closes listeners, swaps the pointer, updates monitors.
    /// Addresses that are in both stay open throughout.
    pub async fn publish(&self, _snapshot: Arc<Snapshot>) -> Vec<ListenProblem> {
        Vec::new()
    }

    /// Stops accepting, closes idle client connections, and waits for requests in flight, at most `limit`.
    pub async fn drain(self, _limit: Duration) {}

    /// Every node of the running snapshot.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        Vec::new()
    }

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        0
    }
}
