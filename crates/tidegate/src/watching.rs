//! What watches the whole process: the data path's observation completed by what the control side knows.
//!
//! ```text
//! control loop ── imports, generations ──┐
//! discovery ── status, on demand ────────┼─► observe ─► statistics, metrics
//! sampler ── peaks, the machine ─────────┤
//! data path ── counters ─────────────────┘
//! ```

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tidegate_discovery::{Discovery, SourceState, SourceStatus};
use tidegate_model::{Configuration, Moment, PoolName, VirtualServerName};
use tidegate_proxy::Proxy;
use tidegate_telemetry::{
    counters::ProcessTotals,
    events,
    observation::{Control, Interface, Observation, Source, System},
    peaks::PeakRates,
    system::{SystemReader, interfaces},
    throughput::Throughput,
    traces::Traces,
};
use tokio::sync::watch;

use tracing::{error, info, warn};

use crate::{
    alerts::{self, AlertCounts},
    health::Readiness,
};

/// Time between two looks at rates.
const SAMPLE: Duration = Duration::from_secs(1);
/// Descriptors are few when less than this part of them is free.
const FEW_DESCRIPTORS: u64 = 20;
/// The machine is looked at with every so many looks at rates.
const SYSTEM_EVERY: u32 = 5;

/// Everything that can be observed.
#[derive(Debug)]
pub(crate) struct Watching {
    proxy: Arc<Proxy>,
    /// Weak: discovery ends with the control loop.
    discovery: Weak<Discovery>,
    readiness: watch::Receiver<Readiness>,
    noted: Mutex<Noted>,
    /// What serves, for alerting.
    serving: watch::Sender<Arc<Configuration>>,
    alerts: Arc<AlertCounts>,
    /// `None` = tracing is off.
    traces: Option<Traces>,
    /// The last observation and its number.
    last: tokio::sync::Mutex<Option<(u64, Arc<Observation>)>>,
    /// Observations begun.
    begun: AtomicU64,
}

/// What is told, not asked for.
#[derive(Debug, Default)]
struct Noted {
    serving: Option<Arc<Configuration>>,
    config_generation: u64,
    imported: Option<SystemTime>,
    configured: Option<SystemTime>,
    last_import_failed: bool,
    imports: u64,
    imports_failed: u64,
    listeners_closed: u64,
    peaks: PeakRates,
    throughput: Throughput,
    system: System,
    interfaces: Vec<Interface>,
}

impl Noted {
    fn rates(&mut self, now: Moment, totals: &ProcessTotals, bytes: Vec<(VirtualServerName, u64)>) {
        self.peaks.record(now, totals);
        self.throughput.record(now, bytes);
    }
}

impl Watching {
    /// Watches what runs.
    pub(crate) fn new(
        proxy: Arc<Proxy>,
        discovery: &Arc<Discovery>,
        readiness: watch::Receiver<Readiness>,
        traces: Option<Traces>,
    ) -> Self {
        Self {
            proxy,
            discovery: Arc::downgrade(discovery),
            readiness,
            noted: Mutex::default(),
            serving: watch::channel(Arc::default()).0,
            alerts: Arc::default(),
            traces,
            last: tokio::sync::Mutex::default(),
            begun: AtomicU64::new(0),
        }
    }

    /// Everything as it is now; what was answered before the call is counted. Those who ask while an observation is
    /// made share the next one.
    pub(crate) async fn observe(&self) -> Arc<Observation> {
        let begun = self.begun.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some((number, observation)) = &*last
            && *number > begun
        {
            return Arc::clone(observation);
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.proxy.settle().await;
        let observation = Arc::new(Observation { control: self.control(), ..self.proxy.observe() });
        *last = Some((number, Arc::clone(&observation)));
        observation
    }

    fn control(&self) -> Control {
        let sources = self.discovery.upgrade().map(|discovery| discovery.status()).unwrap_or_default();
        let ready = self.readiness.borrow().is_ready();
        let (event_types, actions) = self.alerts.of(&self.serving.borrow());
        let noted = self.noted();
        Control {
            events: events::seen(),
            event_types,
            actions,
            config_generation: noted.config_generation,
            imported: noted.imported,
            configured: noted.configured,
            last_import_failed: noted.last_import_failed,
            imports: noted.imports,
            imports_failed: noted.imports_failed,
            listeners_closed: noted.listeners_closed,
            ready,
            log_lines_dropped: tidegate_telemetry::logging::dropped_lines(),
            sources: sources.into_iter().map(|(pool, status)| source(pool, &status)).collect(),
            peaks: noted.peaks.peaks(),
            traces: self.traces.as_ref().map(Traces::totals).unwrap_or_default(),
            system: noted.system,
            interfaces: noted.interfaces.clone(),
        }
    }

    /// Documents were read and compiled, or could not be.
    pub(crate) fn imported(&self, good: bool) {
        let mut noted = self.noted();
        noted.last_import_failed = !good;
        if good {
            noted.imports += 1;
            noted.imported = Some(SystemTime::now());
            noted.configured = noted.imported;
        } else {
            noted.imports_failed += 1;
        }
    }

    /// What REST wrote was compiled.
    pub(crate) fn written(&self) {
        self.noted().configured = Some(SystemTime::now());
    }

    /// Bytes per second of a virtual server, both ways.
    pub(crate) fn throughput(&self, server: &str) -> u64 {
        self.noted().throughput.of(server)
    }

    /// A snapshot was published.
    pub(crate) fn published(&self, configuration: &Arc<Configuration>, generation: u64, closed: usize) {
        let mut noted = self.noted();
        if !noted.serving.as_ref().is_some_and(|serving| Arc::ptr_eq(serving, configuration)) {
            noted.serving = Some(Arc::clone(configuration));
            noted.config_generation = generation;
            self.serving.send_replace(Arc::clone(configuration));
        }
        noted.listeners_closed = closed as u64;
    }

    /// Listeners were tried again.
    pub(crate) fn listeners(&self, closed: usize) {
        self.noted().listeners_closed = closed as u64;
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what event types say for as long as the task lives. `home` is the home directory.
    pub(crate) async fn alert(self: Arc<Self>, home: PathBuf) {
        alerts::run(self.serving.subscribe(), Arc::clone(&self.alerts), home).await;
    }

    /// Looks at rates and at the machine, for as long as the task lives.
    pub(crate) async fn sample(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SAMPLE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reader = Some(SystemReader::default());
        let mut count = 0u32;
        let mut pools = PoolsTold::default();
        let mut starved = false;
        loop {
            ticks.tick().await;
            let totals = self.proxy.process_totals();
            let bytes = self.proxy.virtual_server_bytes();
            self.noted().rates(self.proxy.now(), &totals, bytes);
            pools.tell(self.proxy.pools_alive());
            if count.is_multiple_of(SYSTEM_EVERY) {
                let mut kept = reader.take().unwrap_or_default();
                let read = tokio::task::spawn_blocking(move || (kept.read(), interfaces(), kept)).await;
                if let Ok((system, interfaces, kept)) = read {
                    starved = tell_descriptors(&system, starved);
                    let mut noted = self.noted();
                    noted.system = system;
                    noted.interfaces = interfaces;
                    drop(noted);
                    reader = Some(kept);
                }
            }
            count = count.wrapping_add(1);
        }
    }
}

/// Whether each pool had a usable node when it was last looked at.
#[derive(Debug, Default)]
struct PoolsTold {
    alive: BTreeMap<PoolName, bool>,
}

impl PoolsTold {
    /// The events `pooldied` and `poolok`. A pool that never had a node has not died.
    fn tell(&mut self, now: Vec<(PoolName, Option<bool>)>) {
        let before = std::mem::take(&mut self.alive);
        for (pool, usable) in now {
            let known = before.get(&pool).copied();
            let alive = match (known, usable) {
                (None, None) => continue,
                (_, usable) => usable == Some(true),
            };
            match (known, alive) {
                (None | Some(true), false) => {
                    error!(event = "pooldied", %pool, "no node of the pool is usable");
                }
                (Some(false), true) => info!(event = "poolok", %pool, "the pool has usable nodes again"),
                (None | Some(true), true) | (Some(false), false) => {}
            }
            self.alive.insert(pool, alive);
        }
    }
}

/// The event `fewfreefds`, once until there are enough again. Returns whether there are few.
fn tell_descriptors(system: &System, before: bool) -> bool {
    let all = system.descriptors_free + system.descriptors_open;
    let few = all > 0 && system.descriptors_free < all / FEW_DESCRIPTORS;
    if few && !before {
        let (open, free) = (system.descriptors_open, system.descriptors_free);
        warn!(event = "fewfreefds", open, free, "descriptors run short; raise the limit of open files");
    }
    few
}

fn source(pool: PoolName, status: &SourceStatus) -> Source {
    Source {
        pool,
        state: match status.state {
            SourceState::Waiting => "waiting",
            SourceState::Ok => "ok",
            SourceState::Partial => "partial",
            SourceState::Stale => "stale",
            SourceState::Suspect { .. } => "suspect",
            SourceState::RemovalHeld { .. } => "held",
            SourceState::Empty { .. } => "empty",
            SourceState::Error => "error",
            SourceState::ConfigError => "config_error",
        },
        answered: status.last_success,
        nodes: status.nodes as u64,
        alarm: status.alarm,
    }
}
