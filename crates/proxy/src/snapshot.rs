//! What runs: the configuration in executable form, published as one pointer.
//!
//! [`build::build`] is the only constructor and keeps every part of the previous snapshot whose input did not
//! change, so that nodes, idle connections, counters and sessions live through any change of configuration or
//! discovery. What changes per request (health, counts) lives in cells inside the shared parts.

mod build;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use regex::bytes::Regex;
use tidegate_model::{
    BandwidthName, ExtraFileName, GlobalSettings, LevelName, Location, LocationName, Moment,
    PersistenceClass, PersistenceName, PoolName, RateClass, RateName, ScriptName, VirtualServer,
    VirtualServerName,
};
use tidegate_telemetry::{
    access_log::{AccessLog, Losses},
    counters::{ListenCounters, PoolCounters, Sharded, VirtualServerCounters},
    traces::Traces,
};
use tidegate_trafficscript::host;

pub use self::build::{BuildContext, Built, Problem, build};
pub(crate) use self::rules::{Rules, RunningRule};
use crate::{
    bandwidth::RunningClass,
    forward::queue::Queue,
    rules::services::directory,
    service_level::RunningLevel,
    tls::{node::TlsClient, server::TlsServer},
};

/// What runs: virtual servers by listen address, pools, TLS configurations, a generation number.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts built snapshots, from 1; 0 is the empty one a process starts with.
    pub generation: u64,
    pub(crate) servers: HashMap<ListenKey, Arc<RunningServer>>,
    /// Virtual servers that do not listen: disabled, of another protocol, or with a fault.
    pub(crate) silent: Vec<Arc<VirtualServer>>,
    /// What is counted per listening address.
    pub(crate) listening: BTreeMap<IpAddr, Arc<ListenAddress>>,
    pub(crate) pools: BTreeMap<PoolName, Arc<RunningPool>>,
    pub(crate) global: GlobalSettings,
    /// What monitors check, derived once; the same one as before while no pool and no monitor has changed, so that
    /// publishing leaves them alone.
    pub(crate) monitors: Arc<[crate::monitor::MonitorTask]>,
    /// `monitor_scripts`.
    pub(crate) monitor_scripts: Arc<BTreeMap<ScriptName, Arc<[u8]>>>,
    /// `rate`: limits only. What has been counted against them is kept by name elsewhere.
    pub(crate) rates: BTreeMap<RateName, Arc<RateClass>>,
    /// `extra_files`, for rules.
    pub(crate) resources: BTreeMap<ExtraFileName, Arc<Resource>>,
    /// `rule_authenticators`, with the certificates that each trusts.
    pub(crate) authenticators: Vec<directory::Source>,
    /// `locations`.
    pub(crate) locations: BTreeMap<LocationName, Arc<Location>>,
    /// `rules` that compiled.
    pub(crate) rules: rules::Catalogue,
    /// `service_level_monitors`.
    pub(crate) service_levels: BTreeMap<LevelName, Arc<RunningLevel>>,
    /// `bandwidth`.
    pub(crate) bandwidth: BTreeMap<BandwidthName, Arc<RunningClass>>,
    /// Addresses that both the table of a pool and discovery name, for people.
    pub(crate) joined: BTreeMap<PoolName, BTreeSet<SocketAddr>>,
    /// `persistence`, for rules that choose one.
    pub(crate) persistence: BTreeMap<PersistenceName, Arc<PersistenceClass>>,
}

/// A file that rules can read.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// The first build that had this content.
    pub since: Moment,
}

impl Snapshot {
    pub(crate) fn empty() -> Self {
        Self {
            generation: 0,
            servers: HashMap::new(),
            silent: Vec::new(),
            listening: BTreeMap::new(),
            pools: BTreeMap::new(),
            global: GlobalSettings::default(),
            monitors: Arc::default(),
            monitor_scripts: Arc::default(),
            rates: BTreeMap::new(),
            resources: BTreeMap::new(),
            authenticators: Vec::new(),
            locations: BTreeMap::new(),
            rules: BTreeMap::new(),
            service_levels: BTreeMap::new(),
            bandwidth: BTreeMap::new(),
            joined: BTreeMap::new(),
            persistence: BTreeMap::new(),
        }
    }

    /// The rate class of this name. The same `Arc` over all builds until its limits change.
    pub fn rate(&self, name: &str) -> Option<&Arc<RateClass>> {
        self.rates.get(name)
    }

    /// The file of this name. The same `Arc` over all builds until its content changes.
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name)
    }

    /// Where a traffic manager is, by the name of its location.
    pub(crate) fn location(&self, name: Option<&LocationName>) -> Option<host::Location> {
        let location = self.locations.get(name?)?;
        let position = host::Position { latitude: location.latitude, longitude: location.longitude };
        Some(host::Location { name: location.name.to_string(), position })
    }

    /// Lets go of the nodes that `after`, which serves now, does not have. Whether there are any.
    pub(crate) fn let_go(&self, after: &Self, now: Moment) -> bool {
        let mut any = false;
        for (name, pool) in &self.pools {
            let after = after.pools.get(name).map(|after| &after.pool);
            if after.is_none_or(|after| !Arc::ptr_eq(&pool.pool, after)) {
                any |= pool.pool.let_go(after.map(AsRef::as_ref), now);
            }
        }
        any
    }

    /// Serves from now on, in the place of `before`: requests that wait for a node of a changed pool look again.
    pub(crate) fn call_queues(&self, before: &Self, now: Moment) {
        for (name, pool) in &self.pools {
            let before = before.pools.get(name);
            if before.is_some_and(|before| !Arc::ptr_eq(&before.pool, &pool.pool)) {
                pool.pool.release_all(now);
            }
        }
    }

    /// The virtual server that listens on `key`.
    pub(crate) fn server(&self, key: &ListenKey) -> Option<&Arc<RunningServer>> {
        self.servers.get(key)
    }
}

/// A listening socket's identity. Its options (`nagle`, `listen_queue_size`) change without reopening it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ListenKey {
    pub(crate) address: SocketAddr,
}

/// What is counted of one IP address that virtual servers listen on.
#[derive(Debug)]
pub(crate) struct ListenAddress {
    pub(crate) counters: Sharded<ListenCounters>,
    pub(crate) open: OpenConnections,
}

/// How many connections are open, and how many ever were at a time.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    now: AtomicU32,
    most: AtomicU32,
}

impl OpenConnections {
    /// One more.
    pub(crate) fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        // The peak is written only while it grows.
        if now > self.most.load(Ordering::Relaxed) {
            self.most.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// One less.
    pub(crate) fn leave(&self) {
        self.now.fetch_sub(1, Ordering::AcqRel);
    }

    /// Open now.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Acquire)
    }

    /// The most at a time.
    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }
}

/// A virtual server in executable form.
pub(crate) struct RunningServer {
    pub(crate) settings: Arc<VirtualServer>,
    pub(crate) tls: Option<Arc<TlsServer>>,
    /// `None`: `discard`, or a pool that does not exist (see `settings.pool`).
    pub(crate) pool: Option<Arc<RunningPool>>,
    pub(crate) rewrites: Rewrites,
    pub(crate) rules: Rules,
    /// The class of service that its requests count for.
    pub(crate) service_level: Option<Arc<RunningLevel>>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) log_losses: Arc<Losses>,
    /// `None`: tracing is off, and requests pay one look at this.
    pub(crate) traces: Option<Traces>,
    pub(crate) counters: Arc<Sharded<VirtualServerCounters>>,
    pub(crate) connections: Arc<OpenConnections>,
}

/// A virtual server as one connection holds it: a request clones it without touching a count that workers share.
pub(crate) type LocalServer = Rc<Arc<RunningServer>>;

impl RunningServer {
    /// Whether `max_concurrent_connections` is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.settings.max_concurrent_connections.is_some_and(|limit| self.connections.now() >= limit)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &VirtualServerName {
        &self.settings.name
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

/// Compiled patterns of a virtual server, and whether responses need looking at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrites {
    pub(crate) location: Option<(Regex, Arc<[u8]>)>,
    pub(crate) cookie_path: Option<(Regex, Arc<[u8]>)>,
    /// Whether any `cookie.*` setting changes cookies.
    pub(crate) cookies: bool,
}

/// A pool in executable form.
pub(crate) struct RunningPool {
    pub(crate) settings: Arc<tidegate_model::Pool>,
    pub(crate) pool: Arc<tidegate_pool::Pool>,
    pub(crate) tls: Option<Arc<TlsClient>>,
    /// Used when every node of this pool has failed. Chains have no loops.
    pub(crate) failure_pool: Option<Arc<Self>>,
    /// Where requests wait when every node is at its limit.
    pub(crate) queue: Arc<Queue>,
    pub(crate) counters: Arc<Sharded<PoolCounters>>,
    /// Of a node that is in no pool: not part of a snapshot, and never rebuilt.
    pub(crate) is_stranger: bool,
}

impl fmt::Debug for RunningPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningPool").field("name", &self.settings.name).finish_non_exhaustive()
    }
}
