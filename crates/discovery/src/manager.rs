//! Sources come and go: keeps one task per distinct source and gives each pool the sets of its own.
//!
//! Tasks report into one table under a lock that is never held across a wait; one small task empties what is
//! pending into the channel of events, newest only, so that a slow reader costs no memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tidegate_model::{ExtraFileName, NodeSet, PluginName, PoolName};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
};

use crate::{
    Counters, DiscoveryOptions, NamedNode, Resolver, Source, SourceState, SourceStatus,
    dns::Client,
    plugin::{home::Home, queue::Queue},
    store,
    task::{self, Begin, Report, Shared, Work},
};

/// Events that wait in the channel; what is newer waits in the table, one set and one status per pool.
const MAX_EVENTS: usize = 256;

/// What a pool asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSource {
    /// The pool.
    pub pool: PoolName,
    /// Its source.
    pub source: Source,
}

/// News of a pool.
#[derive(Clone, Debug)]
pub enum Event {
    /// The nodes of the pool are now these: a complete list.
    Nodes {
        /// The pool.
        pool: PoolName,
        /// Its nodes.
        nodes: NodeSet,
        /// Whether the source answered. Otherwise the set was kept on disk and no answer has come yet.
        fresh: bool,
    },
    /// The status of the pool's source looks different.
    Status {
        /// The pool.
        pool: PoolName,
        /// Its status; `first_answer`, `state` and `last_error` are what a log needs.
        status: Box<SourceStatus>,
    },
}

/// Why discovery cannot start.
#[derive(Debug)]
pub enum StartError {
    /// There is no async runtime on this thread.
    NoRuntime,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuntime => f.write_str("discovery was started outside the control runtime"),
        }
    }
}

impl std::error::Error for StartError {}

/// Discovery at work. Dropping it ends all tasks and the plugins they run.
#[derive(Debug)]
pub struct Discovery {
    runtime: Handle,
    shared: Arc<Shared>,
    table: Arc<Table>,
    home: Mutex<Home>,
    helpers: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
struct Table {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    pools: BTreeMap<PoolName, Pool>,
    tasks: HashMap<Arc<Work>, Running>,
    pending: BTreeMap<PoolName, Pending>,
    /// Counts of tasks that are gone.
    past: Counters,
}

#[derive(Debug)]
struct Pool {
    source: Source,
    strands: Vec<Strand>,
    sent: Option<(Arc<NodeSet>, bool)>,
    told: Option<SourceStatus>,
}

/// One task's share in a pool.
#[derive(Clone, Debug)]
struct Strand {
    work: Arc<Work>,
    /// What a nodes table says of every address of a name.
    named: Option<NamedNode>,
}

#[derive(Debug)]
struct Running {
    abort: AbortHandle,
    program: watch::Sender<u64>,
    latest: Option<Report>,
    pools: BTreeSet<PoolName>,
}

#[derive(Debug, Default)]
struct Pending {
    nodes: Option<(Arc<NodeSet>, bool)>,
    status: Option<Box<SourceStatus>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Discovery {
    /// Starts on the current runtime, which should be the one of the control side.
    pub fn start(options: DiscoveryOptions) -> Result<(Self, mpsc::Receiver<Event>), StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let options = Arc::new(options);
        let client = Arc::new(Client::new(Arc::clone(&options)));
        let shared = Arc::new(Shared {
            queue: Queue::new(options.policy.concurrent_plugins),
            client: Arc::clone(&client),
            options: Arc::clone(&options),
        });
        let table = Arc::new(Table::default());
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        if let Some(directory) = options.state_dir.clone() {
            let oldest = options.timing.max_stored_age;
            drop(runtime.spawn_blocking(move || store::sweep(&directory, SystemTime::now(), oldest)));
        }
        let helpers = vec![
            runtime.spawn(client.watch_files()).abort_handle(),
            runtime.spawn(send(Arc::clone(&table), events)).abort_handle(),
        ];
        let home = Mutex::new(Home::new(options.home.clone()));
        Ok((Self { runtime, shared, table, home, helpers }, receiver))
    }

    /// Answers single questions, with the resolver configuration and the memory of name servers that pools use.
    pub fn resolver(&self) -> Resolver {
        Resolver::new(Arc::clone(&self.shared.client))
    }

    /// Follows `sources` and no others, with these plugins and extra files. A pool whose source is equal to
    /// before does not notice; one whose source differs keeps its nodes until the new source has answered.
    pub fn update(
        &self,
        sources: Vec<PoolSource>,
        plugins: &BTreeMap<PluginName, Arc<[u8]>>,
        extra_files: &BTreeMap<ExtraFileName, Arc<[u8]>>,
    ) {
        let uses_plugins = sources.iter().any(|one| matches!(one.source, Source::Plugin(_)));
        let changed = if uses_plugins || !plugins.is_empty() {
            let (changed, faults) = lock(&self.home).install(plugins, extra_files);
            for fault in faults {
                tracing::error!("{fault}");
            }
            changed
        } else {
            Vec::new()
        };
        let mut state = lock(&self.table.state);
        let wanted: BTreeMap<PoolName, Source> =
            sources.into_iter().map(|one| (one.pool, one.source)).collect();
        state.pools.retain(|pool, _| wanted.contains_key(pool));
        state.pending.retain(|pool, _| wanted.contains_key(pool));
        let mut fresh: Vec<(Arc<Work>, bool)> = Vec::new();
        for (name, source) in wanted {
            let known = state.pools.get(&name);
            if known.is_some_and(|pool| pool.source == source) {
                continue;
            }
            let strands = strands(&source);
            let cold = known.is_none_or(|pool| pool.sent.is_none());
            for strand in &strands {
                if !state.tasks.contains_key(&strand.work)
                    && !fresh.iter().any(|(work, _)| *work == strand.work)
                {
                    fresh.push((Arc::clone(&strand.work), cold));
                }
            }
            let (sent, told) = state.pools.remove(&name).map_or((None, None), |pool| (pool.sent, pool.told));
            state.pools.insert(name, Pool { source, strands, sent, told });
        }
        Self::end_unused(&mut state);
        self.begin(&mut state, fresh);
        for running in state.tasks.iter().filter(|(work, _)| match work.as_ref() {
            Work::Plugin(source) => changed.contains(&source.plugin),
            Work::Dns(_) => false,
        }) {
            running.1.program.send_modify(|generation| *generation += 1);
        }
        state.attach();
        let pools: Vec<PoolName> = state.pools.keys().cloned().collect();
        for pool in pools {
            state.refresh(&pool);
        }
        drop(state);
        self.table.news.notify_one();
    }

    fn end_unused(state: &mut State) {
        let used: HashSet<&Arc<Work>> =
            state.pools.values().flat_map(|pool| &pool.strands).map(|strand| &strand.work).collect();
        let unused: Vec<Arc<Work>> =
            state.tasks.keys().filter(|work| !used.contains(work)).cloned().collect();
        drop(used);
        for work in unused {
            if let Some(running) = state.tasks.remove(&work) {
                running.abort.abort();
                if let Some(report) = running.latest {
                    state.past.add(&report.status.counters);
                }
            }
        }
    }

    fn begin(&self, state: &mut State, works: Vec<(Arc<Work>, bool)>) {
        let timing = &self.shared.options.timing;
        let plugins = works.iter().filter(|(work, _)| matches!(work.as_ref(), Work::Plugin(_))).count();
        let mut place = 0_u32;
        for (work, warm) in works {
            // First runs of many plugins are spread evenly; a single one begins at once.
            let delay = match work.as_ref() {
                Work::Plugin(source) => {
                    let interval = source.interval.unwrap_or(timing.plugin_interval);
                    let slot = interval.min(timing.plugin_spread)
                        / u32::try_from(plugins.max(1)).unwrap_or(u32::MAX);
                    place += 1;
                    slot * (place - 1)
                }
                Work::Dns(_) => Duration::ZERO,
            };
            let (program, changes) = watch::channel(0);
            let table = Arc::downgrade(&self.table);
            let key = Arc::clone(&work);
            let report = move |report: Report| {
                if let Some(table) = table.upgrade() {
                    lock(&table.state).report(&key, report);
                    table.news.notify_one();
                }
            };
            let begin = Begin { warm, delay, program: changes };
            let task = task::follow(work.as_ref().clone(), Arc::clone(&self.shared), begin, report);
            let abort = self.runtime.spawn(task).abort_handle();
            state.tasks.insert(work, Running { abort, program, latest: None, pools: BTreeSet::new() });
        }
    }

    /// The status of each pool's source.
    pub fn status(&self) -> BTreeMap<PoolName, SourceStatus> {
        let state = lock(&self.table.state);
        state.pools.iter().map(|(name, pool)| (name.clone(), state.status(pool))).collect()
    }

    /// What all sources have counted, those that are gone included.
    pub fn counters(&self) -> Counters {
        let state = lock(&self.table.state);
        let mut sum = state.past;
        for report in state.tasks.values().filter_map(|running| running.latest.as_ref()) {
            sum.add(&report.status.counters);
        }
        sum
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        for helper in &self.helpers {
            helper.abort();
        }
        for running in lock(&self.table.state).tasks.values() {
            running.abort.abort();
        }
    }
}

fn strands(source: &Source) -> Vec<Strand> {
    match source {
        Source::Dns(dns) => vec![Strand { work: Arc::new(Work::Dns(dns.clone())), named: None }],
        Source::Plugin(plugin) => vec![Strand { work: Arc::new(Work::Plugin(plugin.clone())), named: None }],
        Source::Names(names) => names
            .iter()
            .map(|node| Strand {
                work: Arc::new(Work::Dns(Source::of_named(node))),
                named: Some(node.clone()),
            })
            .collect(),
    }
}

impl State {
    /// Tells each task whose it is.
    fn attach(&mut self) {
        for running in self.tasks.values_mut() {
            running.pools.clear();
        }
        for (name, pool) in &self.pools {
            for strand in &pool.strands {
                if let Some(running) = self.tasks.get_mut(&strand.work) {
                    running.pools.insert(name.clone());
                }
            }
        }
    }

    fn report(&mut self, work: &Arc<Work>, report: Report) {
        let Some(running) = self.tasks.get_mut(work) else { return };
        running.latest = Some(report);
        for pool in running.pools.clone() {
            self.refresh(&pool);
        }
    }

    /// Puts what is new of a pool among the pending.
    fn refresh(&mut self, name: &PoolName) {
        let Some(pool) = self.pools.get(name) else { return };
        let status = self.status(pool);
        let set = self.set(pool);
        let Some(pool) = self.pools.get_mut(name) else { return };
        if let Some((nodes, fresh)) = set
            && pool.sent.as_ref().is_none_or(|(sent, was)| *was != fresh || *sent != nodes)
        {
            pool.sent = Some((Arc::clone(&nodes), fresh));
            self.pending.entry(name.clone()).or_default().nodes = Some((nodes, fresh));
        }
        if pool.told.as_ref().is_none_or(|told| !told.looks_like(&status)) {
            pool.told = Some(status.clone());
            self.pending.entry(name.clone()).or_default().status = Some(Box::new(status));
        }
    }

    fn reports<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = (&'a Strand, Option<&'a Report>)> {
        pool.strands
            .iter()
            .map(|strand| (strand, self.tasks.get(&strand.work).and_then(|running| running.latest.as_ref())))
    }

    /// The set of a pool, once each of its tasks has tried and one has a set; and whether all are answers.
    fn set(&self, pool: &Pool) -> Option<(Arc<NodeSet>, bool)> {
        let mut fresh = true;
        let mut union: Option<Arc<NodeSet>> = None;
        for (strand, report) in self.reports(pool) {
            let report = report?;
            let Some(nodes) = &report.nodes else { continue };
            fresh &= report.status.first_answer;
            union = Some(match (union, &strand.named) {
                (None, None) => Arc::clone(nodes),
                (union, named) => {
                    let mut union = union.map_or_else(NodeSet::default, Arc::unwrap_or_clone);
                    for (address, node) in &nodes.nodes {
                        let mut node = node.clone();
                        if let Some(named) = named {
                            node.draining |= named.draining;
                            node.weight = named.weight.or(node.weight);
                            node.priority = named.priority.or(node.priority);
                            node.name = Some(Arc::clone(&named.host));
                        }
                        union.nodes.entry(*address).or_insert(node);
                    }
                    Arc::new(union)
                }
            });
        }
        // A pool without any name has the empty set.
        if pool.strands.is_empty() { Some((Arc::default(), true)) } else { Some((union?, fresh)) }
    }

    /// The status of a pool: the worst of its tasks, with the sums of all.
    fn status(&self, pool: &Pool) -> SourceStatus {
        let mut sum: Option<SourceStatus> = None;
        for (_, report) in self.reports(pool) {
            let waiting = SourceStatus::default();
            let status = report.map_or(&waiting, |report| &report.status);
            sum = Some(match sum {
                None => status.clone(),
                Some(mut sum) => {
                    if severity(&status.state) > severity(&sum.state) {
                        sum.state = status.state.clone();
                    }
                    sum.first_answer &= status.first_answer;
                    sum.last_success = sum.last_success.min(status.last_success);
                    sum.last_error = sum.last_error.or_else(|| status.last_error.clone());
                    sum.warning = sum.warning.or_else(|| status.warning.clone());
                    sum.question = match (sum.question, &status.question) {
                        (Some(a), Some(b)) => Some(format!("{a}, {b}").into()),
                        (a, b) => a.or_else(|| b.clone()),
                    };
                    sum.alarm |= status.alarm;
                    sum.nodes += status.nodes;
                    sum.counters.add(&status.counters);
                    sum
                }
            });
        }
        sum.unwrap_or_else(|| SourceStatus {
            state: SourceState::Ok,
            first_answer: true,
            ..SourceStatus::default()
        })
    }
}

fn severity(state: &SourceState) -> u8 {
    match state {
        SourceState::Ok => 0,
        SourceState::Empty { .. } => 1,
        SourceState::Partial => 2,
        SourceState::Suspect { .. } => 3,
        SourceState::Waiting => 4,
        SourceState::Stale => 5,
        SourceState::RemovalHeld { .. } => 6,
        SourceState::Error => 7,
        SourceState::ConfigError => 8,
    }
}

/// Empties what is pending into the channel.
async fn send(table: Arc<Table>, events: mpsc::Sender<Event>) {
    loop {
        let next = lock(&table.state).pending.pop_first();
        let Some((pool, pending)) = next else {
            table.news.notified().await;
            continue;
        };
        if let Some((nodes, fresh)) = pending.nodes {
            let nodes = Arc::unwrap_or_clone(nodes);
            if events.send(Event::Nodes { pool: pool.clone(), nodes, fresh }).await.is_err() {
                return;
            }
        }
        if let Some(status) = pending.status
            && events.send(Event::Status { pool, status }).await.is_err()
        {
            return;
        }
    }
}
