//! One monitor at work on one machine: wait, probe, record, tell.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_model::{Moment, Monitor, MonitorName, PoolName, monitor::Scope, virtual_server::ListenHost};
use tidegate_pool::Node;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    Key,
    board::{Board, Watch},
    lock,
    probe::{self, Destination, Outcome, Probe},
    schedule::{Rules, Schedule, Verdict},
    tell,
};
use crate::tls::node::TlsClient;

/// Probes under way at one time; more wait for their turn and are counted.
const MAX_PROBES_AT_ONCE: usize = 256;

/// Different reasons for not running a monitor that are logged before silence.
const MAX_COMPLAINTS: usize = 256;

/// Longest wait for the address of a pool-wide machine; the last good one is used after it.
const MAX_RESOLVE: Duration = Duration::from_secs(2);

/// What all monitor tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    origin: std::time::Instant,
    /// Results are recorded while this is held, so that an update sees either all or nothing of a run.
    pub(super) board: Mutex<Board<Arc<Node>>>,
    pub(super) permits: Semaphore,
    /// Reasons already given for monitors that cannot run.
    pub(super) complaints: Mutex<BTreeSet<(MonitorName, String)>>,
    pub(super) runs: AtomicU64,
    pub(super) delayed: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// What makes a monitor start anew when it changes.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) monitor: Arc<Monitor>,
    pub(super) name: Option<Arc<str>>,
    pub(super) tls: Option<Arc<TlsClient>>,
    pub(super) script: Option<Arc<[u8]>>,
}

impl Spec {
    /// Whether nothing changed.
    pub(super) fn same(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        tls && self.monitor == other.monitor && self.name == other.name && self.script == other.script
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    pub(super) runs: u64,
    pub(super) reason: Option<Arc<str>>,
}

impl Shared {
    pub(super) fn new(origin: std::time::Instant) -> Self {
        Self {
            origin,
            board: Mutex::default(),
            permits: Semaphore::new(MAX_PROBES_AT_ONCE),
            complaints: Mutex::default(),
            runs: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The moment that node health is told.
    pub(super) fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }

    /// Says once why a monitor cannot run.
    pub(super) fn complain(&self, monitor: &MonitorName, reason: &str) {
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
pub(super) struct Task {
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
    /// A monitor ready to work; programs run from `home`.
    pub(super) fn new(
        (pool, watch): &Key,
        run: u64,
        spec: Spec,
        home: &Path,
        state: Arc<Mutex<State>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            pool: pool.clone(),
            watch: watch.clone(),
            run,
            rules: Rules::from(&*spec.monitor),
            probe: Probe::compile(&spec.monitor, home),
            machine: Machine::of(watch.0, &spec),
            spec,
            state,
            shared,
        }
    }

    /// Runs until the task is aborted.
    pub(super) async fn forever(mut self) {
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
        tell(&changes, self.shared.now());
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
