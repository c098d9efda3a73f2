//! Active monitors: probes on a schedule, and the verdicts that fail nodes and bring them back.
//!
//! ```text
//! update(tasks) ──keyed diff──► one task per (pool, node, monitor) on the control runtime
//!                                  │ wait (schedule) → permit → probe, bounded by its timeout
//!                                  ▼
//!                               Schedule::record ──verdict──► Board ──nodes that changed──► Node, event log
//! ```
//!
//! In: which monitors look after which nodes, on every publication of a snapshot. Out: the monitors' half of each
//! node's health record, and the events `monitorfail`, `monitorok`, `nodefail` and `nodeworking`. Monitors that did not change
//! keep their schedule and their counts; one that changed keeps its verdict until its new runs say otherwise.
//! Nothing here runs on a data worker.

mod board;
mod probe;
mod schedule;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use board::{Board, Change, PoolMonitors, Standing, Watch};
use probe::{Destination, Outcome, Probe};
pub use schedule::Verdict;
use schedule::{Rules, Schedule};
use tidegate_model::{
    Monitor, MonitorName, PoolName, ScriptName,
    monitor::{Probe as ProbeSettings, Scope},
    virtual_server::ListenHost,
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::tls::node::{self, TlsClient};

/// Probes under way at one time; more wait for their turn and are counted.
const MAX_PROBES_AT_ONCE: usize = 256;

/// Monitors of nodes and pools altogether. What goes beyond does not run, and its nodes count as working.
const MAX_MONITORS: usize = 100_000;

/// Different reasons for not running a monitor that are logged before silence.
const MAX_COMPLAINTS: usize = 256;

/// Longest wait for the address of a pool-wide machine; the last good one is used after it.
const MAX_RESOLVE: Duration = Duration::from_secs(2);

/// What monitors need from outside.
#[derive(Clone, Debug)]
pub struct Options {
    /// The runtime probes run on; never a data worker's.
    pub runtime: Handle,
    /// Folder that scripts see as `ZEUSHOME`; theirs lie below it in `zxtm/conf/scripts`.
    pub zeus_home: PathBuf,
}

/// One monitor looking after one node or one pool.
#[derive(Clone, Debug)]
pub struct MonitorTask {
    /// The pool the target belongs to.
    pub pool: PoolName,
    /// What to do and how often.
    pub monitor: Arc<Monitor>,
    /// Whom it concerns.
    pub target: Target,
    /// TLS of the pool, if it has any: used by monitors with `use_ssl`. Without it such a monitor accepts any certificate.
    pub tls: Option<Arc<TlsClient>>,
}

/// Whom a monitor concerns. Disabled nodes are not handed over.
#[derive(Clone, Debug)]
pub enum Target {
    /// One node (`scope` `pernode`).
    Node {
        /// The node.
        node: Arc<Node>,
        /// Host name it was configured by, if it was.
        name: Option<Arc<str>>,
    },
    /// All nodes of the pool (`scope` `poolwide`): they fail when the monitor's machine fails.
    Pool(Vec<Arc<Node>>),
}

/// What one monitor knows.
#[derive(Clone, Debug)]
pub struct MonitorStatus {
    /// Its pool.
    pub pool: PoolName,
    /// Its name.
    pub monitor: MonitorName,
    /// The node it looks after; `None` for a pool-wide monitor.
    pub node: Option<SocketAddr>,
    /// What it thinks.
    pub verdict: Verdict,
    /// Failures since the last pass.
    pub failures: u32,
    /// Runs since it started.
    pub runs: u64,
    /// Why the last run failed or could not be made, if it did not pass.
    pub reason: Option<Arc<str>>,
}

/// Counts of all monitors since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitorCounters {
    /// Probes made.
    pub runs: u64,
    /// Probes that had to wait for their turn.
    pub delayed: u64,
    /// Monitors that could not be started because there were too many.
    pub refused: u64,
}

/// All running monitors. Dropping it stops them and leaves nodes as they are.
#[derive(Debug)]
pub struct Monitors {
    options: Options,
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    watches: BTreeMap<Key, Watcher>,
    scripts: BTreeMap<ScriptName, Arc<[u8]>>,
    next_run: u64,
}

type Key = (PoolName, Watch);

/// What all monitor tasks share.
#[derive(Debug)]
struct Shared {
    /// Results are recorded while this is held, so that an update sees either all or nothing of a run.
    board: Mutex<Board<Arc<Node>>>,
    permits: Semaphore,
    /// Reasons already given for monitors that cannot run.
    complaints: Mutex<BTreeSet<(MonitorName, String)>>,
    runs: AtomicU64,
    delayed: AtomicU64,
    refused: AtomicU64,
}

/// One running monitor.
#[derive(Debug)]
struct Watcher {
    spec: Spec,
    run: u64,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What makes a monitor start anew when it changes.
#[derive(Clone, Debug)]
struct Spec {
    monitor: Arc<Monitor>,
    name: Option<Arc<str>>,
    tls: Option<Arc<TlsClient>>,
    script: Option<Arc<[u8]>>,
}

impl Spec {
    fn same(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        tls && self.monitor == other.monitor && self.name == other.name && self.script == other.script
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    schedule: Schedule,
    runs: u64,
    reason: Option<Arc<str>>,
}

impl Monitors {
    /// Starts with nothing to look after.
    pub fn start(options: Options) -> Self {
        let shared = Shared {
            board: Mutex::default(),
            permits: Semaphore::new(MAX_PROBES_AT_ONCE),
            complaints: Mutex::default(),
            runs: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { options, shared: Arc::new(shared), running: Mutex::default() }
    }

    /// Makes `tasks` the monitors that run. `scripts` is the catalogue `monitor_scripts`; changed ones are written to disk.
    pub fn update(&self, tasks: Vec<MonitorTask>, scripts: &BTreeMap<ScriptName, Arc<[u8]>>) {
        let mut running = lock(&self.running);
        let running = &mut *running;
        if running.scripts != *scripts {
            for (script, error) in probe::install(&self.options.zeus_home, scripts) {
                tracing::error!(%script, %error, "a monitor script cannot be written");
            }
            running.scripts.clone_from(scripts);
        }
        let mut board = lock(&self.shared.board);
        let mut before = std::mem::take(&mut running.watches);
        let mut pools: BTreeMap<PoolName, PoolMonitors<Arc<Node>>> = BTreeMap::new();
        for task in tasks {
            if matches!(task.monitor.probe, ProbeSettings::NotYet(_)) {
                self.shared.complain(&task.monitor.name, "this type of monitor is not run yet");
                continue;
            }
            if running.watches.len() >= MAX_MONITORS {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                self.shared.complain(&task.monitor.name, "more than 100000 monitors would run");
                continue;
            }
            let pool = pools.entry(task.pool.clone()).or_default();
            let (address, name) = match &task.target {
                Target::Node { node, name } => {
                    pool.nodes.insert(node.address(), Arc::clone(node));
                    (Some(node.address()), name.clone())
                }
                Target::Pool(nodes) => {
                    pool.nodes.extend(nodes.iter().map(|node| (node.address(), Arc::clone(node))));
                    (None, None)
                }
            };
            let key = (task.pool.clone(), (address, task.monitor.name.clone()));
            let spec = Spec {
                script: match &task.monitor.probe {
                    ProbeSettings::Program { program, .. } => scripts.get(program).cloned(),
                    _ => None,
                },
                tls: if task.monitor.use_tls { task.tls.or_else(node::lax) } else { None },
                monitor: task.monitor,
                name,
            };
            let watcher = match before.remove(&key) {
                Some(watcher) if watcher.spec.same(&spec) => watcher,
                old => {
                    running.next_run += 1;
                    self.watch(&key, spec, running.next_run, old.map(|old| lock(&old.state).clone()))
                }
            };
            let state = lock(&watcher.state);
            let failing = (state.schedule.verdict == Verdict::Down)
                .then(|| state.reason.clone().unwrap_or_else(|| Arc::from("it failed before")));
            drop(state);
            let counts = !watcher.spec.monitor.health_only;
            pool.monitors.insert(key.1.clone(), Standing { run: watcher.run, failing, counts });
            running.watches.insert(key, watcher);
        }
        let changes = board.replace(pools, Arc::ptr_eq);
        tell(&changes);
    }

    /// What every monitor knows.
    pub fn status(&self) -> Vec<MonitorStatus> {
        let running = lock(&self.running);
        let statuses = running.watches.iter().map(|((pool, (node, monitor)), watcher)| {
            let state = lock(&watcher.state);
            MonitorStatus {
                pool: pool.clone(),
                monitor: monitor.clone(),
                node: *node,
                verdict: state.schedule.verdict,
                failures: state.schedule.failures,
                runs: state.runs,
                reason: state.reason.clone(),
            }
        });
        statuses.collect()
    }

    /// Counts since start.
    pub fn counters(&self) -> MonitorCounters {
        MonitorCounters {
            runs: self.shared.runs.load(Ordering::Relaxed),
            delayed: self.shared.delayed.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// Starts one monitor; `known` is what its forerunner of the same name knew.
    fn watch(&self, (pool, watch): &Key, spec: Spec, run: u64, known: Option<State>) -> Watcher {
        let state = Arc::new(Mutex::new(known.unwrap_or_default()));
        let task = Task {
            pool: pool.clone(),
            watch: watch.clone(),
            run,
            rules: Rules::from(&*spec.monitor),
            probe: Probe::compile(&spec.monitor, &self.options.zeus_home),
            machine: Machine::of(watch.0, &spec),
            spec: spec.clone(),
            state: Arc::clone(&state),
            shared: Arc::clone(&self.shared),
        };
        let task = self.options.runtime.spawn(task.forever()).abort_handle();
        Watcher { spec, run, state, task }
    }
}

impl Shared {
    /// Says once why a monitor cannot run.
    fn complain(&self, monitor: &MonitorName, reason: &str) {
        let mut complaints = lock(&self.complaints);
        if complaints.len() < MAX_COMPLAINTS && complaints.insert((monitor.clone(), reason.to_owned())) {
            tracing::warn!(%monitor, reason, "a monitor cannot run; its nodes count as working as far as it is concerned");
        }
    }
}

/// The machine that is asked.
#[derive(Debug)]
struct Machine {
    host: ListenHost,
    port: Option<u16>,
    name: Option<Arc<str>>,
    /// Where `host` was found last.
    last: Option<IpAddr>,
}

impl Machine {
    fn of(node: Option<SocketAddr>, spec: &Spec) -> Self {
        match (node, &spec.monitor.scope) {
            (None, Scope::PoolWide { host, port }) => Self {
                host: host.clone(),
                port: *port,
                name: match host {
                    ListenHost::Name(name) => Some(Arc::clone(name)),
                    ListenHost::Address(_) => None,
                },
                last: None,
            },
            (node, _) => {
                let node = node.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
                Self {
                    host: ListenHost::Address(node.ip()),
                    port: Some(node.port()),
                    name: spec.name.clone(),
                    last: None,
                }
            }
        }
    }

    /// The machine's address now. A name that cannot be resolved is where it was: a fault of the name service is none of
    /// the machine.
    async fn address(&mut self) -> Result<IpAddr, String> {
        let name = match &self.host {
            ListenHost::Address(ip) => return Ok(*ip),
            ListenHost::Name(name) => Arc::clone(name),
        };
        let found = match tokio::time::timeout(MAX_RESOLVE, tokio::net::lookup_host((&*name, 0))).await {
            Ok(Ok(mut found)) => found.next().ok_or_else(|| "no address".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {}", probe::seconds(MAX_RESOLVE))),
        };
        match (found, self.last) {
            (Ok(found), _) => {
                self.last = Some(found.ip());
                Ok(found.ip())
            }
            (Err(_), Some(last)) => Ok(last),
            (Err(error), None) => Err(format!("the address of `{name}` is not known: {error}")),
        }
    }
}

/// A monitor at work.
struct Task {
    pool: PoolName,
    watch: Watch,
    run: u64,
    rules: Rules,
    probe: Probe,
    machine: Machine,
    spec: Spec,
    state: Arc<Mutex<State>>,
    shared: Arc<Shared>,
}

impl Task {
    async fn forever(mut self) {
        sleep(self.rules.first_wait(fastrand::u64(..))).await;
        loop {
            let started = Instant::now();
            let outcome = self.once().await;
            let wait = self.record(&outcome, started.elapsed());
            sleep(wait).await;
        }
    }

    /// One run, in its turn.
    async fn once(&mut self) -> Outcome {
        let permit = if let Ok(permit) = self.shared.permits.try_acquire() {
            Ok(permit)
        } else {
            self.shared.delayed.fetch_add(1, Ordering::Relaxed);
            self.shared.permits.acquire().await
        };
        let Ok(_permit) = permit else { return Outcome::Unable("monitors are being stopped".into()) };
        self.shared.runs.fetch_add(1, Ordering::Relaxed);
        let ip = match self.machine.address().await {
            Ok(ip) => ip,
            Err(reason) => return Outcome::Unable(reason),
        };
        let destination = Destination {
            ip,
            port: self.machine.port,
            name: self.machine.name.clone(),
            tls: self.spec.tls.clone(),
        };
        self.probe.run(&destination, self.spec.monitor.timeout).await
    }

    /// Takes in the result of a run, and says how long to wait for the next.
    fn record(&self, outcome: &Outcome, took: Duration) -> Duration {
        let monitor = &self.spec.monitor;
        let (passed, reason) = match outcome {
            Outcome::Passed => (Some(true), None),
            Outcome::Failed(reason) => (Some(false), Some(Arc::<str>::from(reason.as_str()))),
            Outcome::Unable(reason) => {
                self.shared.complain(&monitor.name, reason);
                (None, Some(Arc::from(reason.as_str())))
            }
        };
        if monitor.verbose {
            tracing::info!(pool = %self.pool, monitor = %monitor.name, node = %self.shown(), ?outcome, ?took, "monitor run");
        }
        let mut board = lock(&self.shared.board);
        let mut state = lock(&self.state);
        state.runs += 1;
        state.reason.clone_from(&reason);
        let news = passed.and_then(|passed| state.schedule.record(passed, self.rules));
        let wait = state.schedule.wait(self.rules, took);
        drop(state);
        let Some(verdict) = news else { return wait };
        self.announce(verdict, reason.as_deref());
        let failing = reason.filter(|_| verdict == Verdict::Down);
        let changes = board.verdict(&self.pool, self.watch.clone(), self.run, failing);
        tell(&changes);
        drop(board);
        wait
    }

    /// `monitorfail` or `monitorok`.
    fn announce(&self, verdict: Verdict, reason: Option<&str>) {
        let (pool, monitor, node) = (&self.pool, &self.spec.monitor.name, self.shown());
        if verdict == Verdict::Down {
            let reason = reason.unwrap_or_default();
            tracing::warn!(event = "monitorfail", %pool, %monitor, node, reason, "monitor has detected a failure");
        } else {
            tracing::info!(event = "monitorok", %pool, %monitor, node, "monitor is working again");
        }
    }

    /// The machine as people know it.
    fn shown(&self) -> String {
        let host = match &self.machine.host {
            ListenHost::Name(name) => name.to_string(),
            ListenHost::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
            ListenHost::Address(IpAddr::V4(ip)) => ip.to_string(),
        };
        self.machine.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }
}

/// Sets the health of nodes whose monitors changed their minds, with the events `nodefail` and `nodeworking`.
fn tell(changes: &[Change<Arc<Node>>]) {
    for change in changes {
        let (pool, node) = (&change.pool, change.address);
        change.node.set_monitor_failed(change.failed.is_some());
        if let Some((monitor, reason)) = &change.failed {
            tracing::error!(event = "nodefail", %pool, %node, %monitor, %reason, "node has failed");
        } else {
            tracing::info!(event = "nodeworking", %pool, %node, "node is working again");
        }
    }
}

/// The value under a lock; a panic elsewhere does not make it unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands in for the pool's node until that crate has one.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    failed: std::sync::atomic::AtomicBool,
}
impl Node {
    /// x
    pub fn new(address: SocketAddr) -> Self {
        Self { address, failed: false.into() }
    }
    /// x
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// x
    pub fn set_monitor_failed(&self, failed: bool) {
        self.failed.store(failed, Ordering::Relaxed);
    }
    /// x
    pub fn monitor_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}
