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
mod task;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Instant,
};

use board::{Change, PoolMonitors, Standing, Watch};
pub use schedule::Verdict;
use task::{Shared, Spec, State, Task};
use tidegate_model::{
    Configuration, Moment, Monitor, MonitorName, PoolName, ScriptName,
    monitor::{Probe as ProbeSettings, Scope},
    pool::NodeState,
};
use tidegate_pool::{Member, Node};
use tokio::{runtime::Handle, task::AbortHandle};

use crate::{
    snapshot::RunningPool,
    tls::node::{self, TlsClient},
};

/// Monitors of nodes and pools altogether. What goes beyond does not run, and its nodes count as working.
const MAX_MONITORS: usize = 100_000;

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

impl MonitorTask {
    /// Whether the two are one and the same, down to the node.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let target = match (&self.target, &other.target) {
            (Target::Node { node, name }, Target::Node { node: its_node, name: its_name }) => {
                Arc::ptr_eq(node, its_node) && name == its_name
            }
            (Target::Pool(nodes), Target::Pool(its_nodes)) => {
                nodes.len() == its_nodes.len() && nodes.iter().zip(its_nodes).all(|(a, b)| Arc::ptr_eq(a, b))
            }
            _ => false,
        };
        target
            && self.pool == other.pool
            && self.monitor == other.monitor
            && self.tls.as_ref().map(Arc::as_ptr) == other.tls.as_ref().map(Arc::as_ptr)
    }
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

impl Monitors {
    /// Starts with nothing to look after.
    /// `origin` is where the moments of node health count from.
    pub fn start(options: Options, origin: Instant) -> Self {
        Self { options, shared: Arc::new(Shared::new(origin)), running: Mutex::default() }
    }

    /// Makes `tasks` the monitors that run. `scripts` is the catalogue `monitor_scripts`; changed ones are written to disk.
    pub fn update(&self, tasks: &[MonitorTask], scripts: &BTreeMap<ScriptName, Arc<[u8]>>) {
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
                tls: if task.monitor.use_tls { task.tls.clone().or_else(node::lax) } else { None },
                monitor: Arc::clone(&task.monitor),
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
        tell(&changes, self.shared.now());
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
    fn watch(&self, key: &Key, spec: Spec, run: u64, known: Option<State>) -> Watcher {
        let state = Arc::new(Mutex::new(known.unwrap_or_default()));
        let task = Task::new(
            key,
            run,
            spec.clone(),
            &self.options.zeus_home,
            Arc::clone(&state),
            Arc::clone(&self.shared),
        );
        let task = self.options.runtime.spawn(task.forever()).abort_handle();
        Watcher { spec, run, state, task }
    }
}

/// What the monitors of every pool in use check: each node on its own, or a pool as a whole. Disabled nodes are
/// not monitored.
pub(crate) fn tasks(
    configuration: &Configuration,
    pools: &BTreeMap<PoolName, Arc<RunningPool>>,
) -> Vec<MonitorTask> {
    let mut tasks = Vec::new();
    for (name, pool) in pools {
        let nodes: Vec<&Member> = monitored(pool).collect();
        for monitor in pool.settings.monitors.iter().filter_map(|name| configuration.monitors.get(name)) {
            let task = |target| MonitorTask {
                pool: name.clone(),
                monitor: Arc::clone(monitor),
                target,
                tls: pool.tls.clone(),
            };
            match monitor.scope {
                Scope::PerNode => tasks.extend(nodes.iter().map(|member| {
                    task(Target::Node { node: Arc::clone(&member.node), name: member.name.clone() })
                })),
                Scope::PoolWide { .. } => {
                    tasks.push(task(Target::Pool(
                        nodes.iter().map(|member| Arc::clone(&member.node)).collect(),
                    )));
                }
            }
        }
    }
    tasks
}

/// Nodes of the pool that monitors look after.
fn monitored(pool: &RunningPool) -> impl Iterator<Item = &Member> {
    pool.pool.members().iter().filter(|member| member.state != NodeState::Disabled)
}

/// Sets the health of nodes whose monitors changed their minds, with the events `nodefail` and `nodeworking`.
fn tell(changes: &[Change<Arc<Node>>], now: Moment) {
    for change in changes {
        let (pool, node) = (&change.pool, change.address);
        if let Some((monitor, reason)) = &change.failed {
            change.node.set_monitor_verdict(monitor, false, now);
            tracing::error!(event = "nodefail", %pool, %node, %monitor, %reason, "node has failed");
        } else {
            for monitor in change.node.failing_monitors() {
                change.node.set_monitor_verdict(&monitor, true, now);
            }
            tracing::info!(event = "nodeworking", %pool, %node, "node is working again");
        }
    }
}

/// The value under a lock; a panic elsewhere does not make it unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
