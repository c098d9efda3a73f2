//! The handle the control side holds: starts the workers, publishes snapshots, drains.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tidegate_model::{Moment, PoolName, VirtualServerName, pool::NodeState};
use tidegate_telemetry::counters::Sharded;
use tokio::sync::{mpsc, oneshot};

use crate::{
    listener,
    monitor::{self, Monitors},
    names::Lookup,
    rules::services::{ProcessFacts, Services, memory, places::Database},
    snapshot::{ListenKey, Snapshot},
    tls::server::Expiring,
    worker::{self, Command, Shared},
};

/// The running data path: workers, listeners and monitors.
///
/// To be made and used inside the control side's tokio runtime, where the monitors run.
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    /// Addresses that every worker listens on, and how.
    listening: Mutex<HashMap<ListenKey, listener::Options>>,
    monitors: Monitors,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

/// Longest wait of [`Proxy::settle`]. A worker answers between two tasks, within microseconds.
const SETTLE_LIMIT: Duration = Duration::from_millis(200);

/// A listening address that could not be opened.
#[derive(Debug)]
pub struct ListenProblem {
    /// Whose it is.
    pub virtual_server: VirtualServerName,
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub error: io::Error,
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
    pub response_time: Option<Duration>,
}

impl Proxy {
    /// Starts `workers` data workers (at least one). Nothing listens until the first [`Proxy::publish`]. `lookup`
    /// asks the name servers what rules want to know, on the runtime of the monitors.
    pub fn start(workers: usize, monitors: monitor::Options, lookup: Arc<dyn Lookup>) -> io::Result<Self> {
        let count = workers.max(1);
        let services = Services::new(count, &monitors.runtime, lookup, memory::available());
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            generation: AtomicU64::new(0),
            origin: Instant::now(),
            connections: AtomicU64::new(0),
            workers: count,
            counters: Sharded::new(count),
            services,
        });
        let monitors = Monitors::start(monitors, shared.origin);
        let mut senders = Vec::with_capacity(count);
        for index in 0..count {
            let (sender, commands) = mpsc::unbounded_channel();
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("data-{index}")).spawn(move || {
                if let Err(error) = worker::run(index, shared, commands) {
                    tracing::error!(worker = index, %error, "a data worker could not start");
                }
            })?;
            senders.push(sender);
        }
        Ok(Self { shared, workers: senders, listening: Mutex::default(), monitors })
    }

    /// The present moment on the clock that snapshots are built with.
    pub fn now(&self) -> Moment {
        self.shared.now()
    }

    /// How many workers run, for per-worker counters.
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// What rules may know of the process. Only the first call counts.
    pub fn tell(&self, facts: ProcessFacts) {
        self.shared.services.tell(facts);
    }

    /// Where addresses are, from now on.
    pub fn set_places(&self, places: Arc<Database>) {
        self.shared.services.places.replace(places);
    }

    /// The running snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// Makes a snapshot the running one: opens and closes listeners, swaps the pointer, updates monitors.
    /// Addresses that are in both stay open throughout. Opens what it can: an address that fails is reported
    /// and tried again by the next call.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) -> Vec<ListenProblem> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = snapshot.rates.values().map(AsRef::as_ref);
        self.shared.services.obey(&snapshot.global, rates, self.shared.now());
        self.shared.services.directories.follow(&snapshot.authenticators);
        // The pointer goes first: a new listener finds its virtual server at once.
        let before = self.shared.snapshot.swap(Arc::clone(snapshot));
        self.shared.generation.store(snapshot.generation, Ordering::Release);
        // Only now: a request that loses its node, or waits for one, finds the snapshot with the others.
        let now = self.shared.now();
        let gone = before.let_go(snapshot, now);
        snapshot.call_queues(&before, now);
        let same = Arc::ptr_eq(&before.monitors, &snapshot.monitors)
            && Arc::ptr_eq(&before.monitor_scripts, &snapshot.monitor_scripts);
        if !same {
            self.monitors.update(&snapshot.monitors, &snapshot.monitor_scripts);
        }
        let mut problems = Vec::new();
        listening.retain(|key, _| {
            let stays = snapshot.servers.contains_key(key);
            if !stays {
                self.tell_all(|| Command::Close(key.clone()));
                if let Some(server) = before.servers.get(key) {
                    tracing::info!(event = "vsstop", virtual_server = %server.name(), address = %key.address, "no longer listening");
                }
            }
            stays
        });
        for (key, server) in &snapshot.servers {
            let options = listener::Options {
                backlog: snapshot.global.listen_queue_size,
                nodelay: !server.settings.nagle,
                defer: server.settings.waits_for_client(),
            };
            if let Some(known) = listening.get_mut(key) {
                if *known != options {
                    *known = options;
                    self.tell_all(|| Command::Adjust(key.clone(), options));
                }
                continue;
            }
            let open = || listener::open(key.address, options);
            match (0..self.workers.len()).map(|_| open()).collect::<io::Result<Vec<_>>>() {
                Ok(sockets) => {
                    for (worker, socket) in self.workers.iter().zip(sockets) {
                        // A worker ends only with the process.
                        drop(worker.send(Command::Listen(key.clone(), socket)));
                    }
                    listening.insert(key.clone(), options);
                    tracing::info!(event = "vsstart", virtual_server = %server.name(), address = %key.address, "listening");
                }
                Err(error) => problems.push(ListenProblem {
                    virtual_server: server.settings.name.clone(),
                    address: key.address,
                    error,
                }),
            }
        }
        self.tell_all(|| Command::DropLeavers { gone });
        problems
    }

    /// Stops accepting, closes idle client connections, and waits for requests in flight, at most `limit`.
    /// Returns how many connections were left.
    pub async fn drain(&self, limit: Duration) -> u64 {
        let done: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (sender, receiver) = oneshot::channel();
                drop(worker.send(Command::Drain(sender)));
                receiver
            })
            .collect();
        let all = async {
            for worker in done {
                // A worker that is gone has no connections.
                drop(worker.await);
            }
        };
        drop(tokio::time::timeout(limit, all).await);
        self.connections()
    }

    /// Every node of the running snapshot.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let snapshot = self.shared.snapshot.load();
        snapshot
            .pools
            .values()
            .flat_map(|pool| {
                pool.pool.nodes_status().into_iter().map(|node| NodeStatus {
                    pool: pool.settings.name.clone(),
                    address: node.address,
                    state: if node.state == NodeState::Active { node.status } else { state_word(node.state) },
                    in_flight: node.in_flight,
                    requests: node.totals.requests,
                    failures: node.totals.failures.iter().sum(),
                    response_time: node.response_time,
                })
            })
            .collect()
    }

    /// Certificates of running virtual servers that have ended or will soon, seen at `now` (seconds since 1970).
    pub fn expiring_certificates(&self, now: i64) -> BTreeMap<VirtualServerName, Vec<Expiring>> {
        let snapshot = self.shared.snapshot.load();
        let notices = snapshot.servers.values().filter_map(|server| {
            let notices = server.tls.as_ref()?.expiry_notices(now);
            (!notices.is_empty()).then(|| (server.settings.name.clone(), notices))
        });
        notices.collect()
    }

    /// Every pool that is in use, and whether a node of it can take a new session; `None` = it has no nodes.
    pub fn pools_alive(&self) -> Vec<(PoolName, Option<bool>)> {
        let snapshot = self.shared.snapshot.load();
        let now = self.now();
        let alive =
            |pool: &tidegate_pool::Pool| (!pool.members().is_empty()).then(|| pool.usable_nodes(now) > 0);
        let used = snapshot.servers.values().filter_map(|server| server.pool.as_ref());
        let used: BTreeMap<_, _> = used.map(|pool| (&pool.settings.name, pool)).collect();
        used.into_iter().map(|(name, pool)| (name.clone(), alive(&pool.pool))).collect()
    }

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Waits until every worker has counted what it was doing when this was called, at most [`SETTLE_LIMIT`]: who
    /// has had an answer then finds it counted to the last byte.
    pub async fn settle(&self) {
        let done: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (sender, receiver) = oneshot::channel();
                drop(worker.send(Command::Settle(sender)));
                receiver
            })
            .collect();
        let all = async {
            for worker in done {
                drop(worker.await);
            }
        };
        drop(tokio::time::timeout(SETTLE_LIMIT, all).await);
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            drop(worker.send(command()));
        }
    }
}

fn state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Active => "active",
        NodeState::Draining => "draining",
        NodeState::Disabled => "disabled",
    }
}
