//! `tidegate run`: wires documents, discovery, control loop, data path and health address, and ends them.
//!
//! ```text
//! document_files::watch ─► control loop ─► proxy (data workers)
//!         discovery ─────────┘      └────► health
//! ```

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tidegate_admin::{Admin, Wiring};
use tidegate_proxy::{NodeStatus, ProcessFacts, Proxy, monitor};
use tidegate_telemetry::{
    access_log::{Writer, WriterOptions},
    traces::{self, Traces},
};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tracing::{error, info, warn};

use crate::{
    control::{
        self, Inputs, MAX_EVENTS,
        compile::Importer,
        event::Event,
        following,
        machine::{self, Machine, Told},
    },
    document_files::watch::{self as document_watch, ReadAgain},
    health::{Health, Readiness},
    home::Home,
    listen_hosts,
    metrics::Metrics,
    observe::Observer,
    pages,
    places::{Keeper, Notices},
    session_key,
    settings::{Environment, Settings},
    watching::Watching,
    zeus_variables,
};

/// Readings of documents that wait for the control loop.
const MAX_READINGS: usize = 4;
/// Time between two looks at the nodes, for those who watch.
const STATUS_PAUSE: Duration = Duration::from_millis(250);

/// Longest wait for the last lines of access logs to reach their files.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(2);

/// Time for the last spans at the end: what is left of the grace period, within these bounds.
const LAST_SPANS_LIMIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Whether to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Go on.
    No,
    /// Finish what is in flight.
    Graceful,
    /// Do not wait for it.
    Now,
}

/// What an operator sees of the data path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// Every node of every pool.
    pub(crate) nodes: Vec<NodeStatus>,
}

/// Ties to whoever runs it.
#[derive(Debug)]
pub(crate) struct Hooks {
    /// When to end.
    pub(crate) stop: watch::Receiver<Stop>,
    /// What is going on; only kept up to date while somebody listens.
    pub(crate) status: watch::Sender<Status>,
    /// Whether it is ready.
    pub(crate) readiness: watch::Sender<Readiness>,
    /// Whether SIGHUP reads the documents again.
    pub(crate) reads_on_hangup: bool,
}

/// `tidegate run`: serves until SIGTERM or SIGINT; a second one ends at once. SIGHUP reads the documents again.
/// The error is for the operator.
pub(crate) async fn run(settings: Settings, environment: &Environment) -> Result<(), String> {
    for note in zeus_variables::notes(environment) {
        if note.warning {
            warn!("{} {}", note.name, note.text);
        } else {
            info!("{} {}", note.name, note.text);
        }
    }
    let signal = |kind| signal(kind).map_err(|error| format!("signals cannot be handled: {error}"));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop_sender, stop) = watch::channel(Stop::No);
    tokio::spawn(async move {
        for stop in [Stop::Graceful, Stop::Now] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            match stop {
                Stop::Graceful => info!("{name}: finishing what is in flight"),
                Stop::No | Stop::Now => warn!("{name} again: ending at once"),
            }
            stop_sender.send_replace(stop);
        }
        // Kept so that the receivers do not see it go.
        stop_sender.closed().await;
    });
    let hooks = Hooks {
        stop,
        status: watch::channel(Status::default()).0,
        readiness: watch::channel(Readiness::starting()).0,
        reads_on_hangup: true,
    };
    serve(settings, hooks).await
}

/// Serves the documents of `settings.base` until told to stop. The error is for the operator: something without
/// which there is no point in starting.
pub(crate) async fn serve(settings: Settings, mut hooks: Hooks) -> Result<(), String> {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = settings.workers,
        "Tidegate starts with the documents of {}",
        settings.base.join("config").display()
    );
    if !settings.base.is_dir() {
        return Err(format!(
            "the base directory {} is not a directory; its config/ directory should hold the documents",
            settings.base.display()
        ));
    }
    let key = session_key::load(&settings.session_key)?;
    if let Some(warning) = key.warning {
        warn!("{warning}");
    }
    let importer = importer(&settings).await?;
    let home = Home::prepare(settings.home.as_deref())?;
    let admin = admin(&settings).await?;
    let kept = admin.as_ref().map(Admin::kept).unwrap_or_default();

    let (events_sender, events) = mpsc::channel(MAX_EVENTS);
    let (readings_sender, readings) = mpsc::channel(MAX_READINGS);
    let (names_sender, names) = watch::channel(BTreeSet::new());
    let (batches_sender, batches) = mpsc::channel(1);
    let rest = Told::default();
    let (discovery, nodes) = following::start(&settings, home.path())?;
    let monitors = monitor::Options { runtime: Handle::current(), zeus_home: home.path().to_owned() };
    let proxy = Proxy::start(settings.workers, monitors, Arc::new(discovery.lookup()))
        .map(Arc::new)
        .map_err(|error| format!("the data workers cannot start: {error}"))?;
    proxy.tell(facts(&settings));
    let access_logs = Writer::start(WriterOptions::new(home.path()))
        .map(Arc::new)
        .map_err(|error| format!("the writer of access logs cannot start: {error}"))?;
    let read_again = ReadAgain::default();
    let tracing = Tracing::start(settings.traces.clone(), settings.workers)?;
    let watching = Arc::new(Watching::new(
        Arc::clone(&proxy),
        discovery.discovery(),
        hooks.readiness.subscribe(),
        tracing.traces.clone(),
    ));

    let mut tasks = JoinSet::new();
    tasks.spawn(document_watch::run(settings.base.clone(), read_again.clone(), readings_sender));
    tasks.spawn(listen_hosts::run(names, events_sender.clone()));
    tasks.spawn(pages::serve(settings.health, Health(hooks.readiness.subscribe())));
    if let Some(address) = settings.metrics.address {
        let metrics = Metrics { watching: Arc::clone(&watching), details: settings.metrics.details };
        tasks.spawn(pages::serve(address, metrics));
    }
    keep_places(&settings, &proxy, &mut tasks, hooks.reads_on_hangup.then_some(read_again)).await;
    tasks.spawn(Arc::clone(&watching).sample());
    tasks.spawn(Arc::clone(&watching).alert(home.path().to_owned()));
    tasks.spawn(report_status(Arc::clone(&proxy), hooks.status.clone()));
    tasks.spawn(shut_down(hooks.stop.clone(), events_sender.clone()));
    if let Some(admin) = admin {
        tasks.spawn(admin.run(Wiring {
            imports: rest.imports.subscribe(),
            batches: batches_sender,
            faults: rest.faults.subscribe(),
            observe: Arc::new(Observer {
                proxy: Arc::clone(&proxy),
                active: rest.active.subscribe(),
                watching: Arc::clone(&watching),
            }),
        }));
    }

    let mut machine = Machine::new(machine::Parts {
        proxy: Arc::clone(&proxy),
        importer: Arc::new(importer),
        discovery,
        events: events_sender,
        listen_hosts: names_sender,
        readiness: hooks.readiness.clone(),
        session_key: key.key,
        workers: settings.workers,
        access_logs: Arc::clone(&access_logs),
        traces: tracing.traces.clone(),
        rest,
        place_notices: Arc::new(Notices::new(settings.geo_database.is_some(), settings.location.clone())),
        watching,
    });
    control::run(Inputs { events, readings, batches, nodes }, kept, &mut machine).await;

    // Health answers, not ready, until the end; a build under way must not open listeners again.
    machine.finish().await;
    let (left, rest_of_grace) = drain(&proxy, &mut hooks.stop, settings.grace).await;
    hooks.status.send_replace(Status { nodes: proxy.nodes() });
    tasks.shutdown().await;
    tracing.finish(rest_of_grace).await;
    drop(machine);
    if let Some(writer) = Arc::into_inner(access_logs) {
        // Blocks for what the disk takes, bounded; nothing else is left to do.
        writer.shutdown(LAST_LINES_LIMIT);
    }
    if left == 0 {
        info!("every request in flight was finished; the end");
    } else {
        warn!("{left} connections were cut off after the grace period; the end");
    }
    Ok(())
}

/// What rules may know of the process.
fn facts(settings: &Settings) -> ProcessFacts {
    let rest = settings.rest.as_ref().and_then(|rest| rest.addresses.first());
    ProcessFacts { rest_port: rest.map(SocketAddr::port), location: settings.location.clone() }
}

/// Reads the database of places, so that the first requests find it, and follows its file. SIGHUP reads it again, and the
/// documents, which `documents` asks for; `None` = SIGHUP does nothing.
async fn keep_places(
    settings: &Settings,
    proxy: &Arc<Proxy>,
    tasks: &mut JoinSet<()>,
    documents: Option<ReadAgain>,
) {
    let read_again = ReadAgain::default();
    if let Some(path) = settings.geo_database.clone() {
        let keeper = Keeper::start(path, Arc::clone(proxy)).await;
        tasks.spawn(keeper.run(read_again.clone()));
    }
    if let Some(documents) = documents {
        tasks.spawn(read_on_hangup([documents, read_again]));
    }
}

/// Waits for requests in flight. Returns how many connections were left, and what is left of `grace`.
async fn drain(proxy: &Proxy, stop: &mut watch::Receiver<Stop>, grace: Duration) -> (u64, Duration) {
    let began = Instant::now();
    tokio::select! {
        left = proxy.drain(grace) => (left, grace.saturating_sub(began.elapsed())),
        _ = stop.wait_for(|stop| *stop == Stop::Now) => (proxy.connections(), Duration::ZERO),
    }
}

/// Tracing, and the task that sends spans; neither where it is off.
struct Tracing {
    traces: Option<Traces>,
    exporter: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Tracing {
    fn start(options: Option<traces::Options>, workers: usize) -> Result<Self, String> {
        let Some(options) = options else { return Ok(Self { traces: None, exporter: None }) };
        let (traces, exporter) = traces::start(options, workers)?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self { traces: Some(traces), exporter: Some((stop, tokio::spawn(exporter.run(stopped)))) })
    }

    /// Sends what is left within the rest of the grace period, as far as [`LAST_SPANS_LIMIT`] allows.
    async fn finish(self, rest_of_grace: Duration) {
        let Some((stop, mut task)) = self.exporter else { return };
        let (least, most) = LAST_SPANS_LIMIT;
        let limit = rest_of_grace.clamp(least, most);
        stop.send_replace(true);
        if tokio::time::timeout(limit, &mut task).await.is_err() {
            task.abort();
            warn!("the last spans could not be sent within {limit:?}; some are lost");
        }
    }
}

/// Base documents are read once, here: without them nothing may start, since what they hold back would be open.
async fn importer(settings: &Settings) -> Result<Importer, String> {
    let (base, base_config) = (settings.base.clone(), settings.base_config.clone());
    let read = move || {
        let importer = Importer::new(&base, base_config.as_deref())?;
        importer.base_is_sound().map_err(|faults| {
            for fault in &faults {
                error!("{fault}");
            }
            "the base documents stop the import; nothing may start without them".to_owned()
        })?;
        Ok(importer)
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}

/// What the REST interface needs is read before anything starts: a password that cannot be read must not be made
/// up, and what REST wrote has to lie over the first import.
async fn admin(settings: &Settings) -> Result<Option<Admin>, String> {
    let Some(rest) = settings.rest.clone() else { return Ok(None) };
    let options = tidegate_admin::Options {
        addresses: rest.addresses,
        transport: rest.transport,
        password: rest.password,
        state_dir: settings.state_dir.clone(),
        program: format!("Tidegate {}", env!("CARGO_PKG_VERSION")),
    };
    let prepared = tokio::task::spawn_blocking(|| Admin::prepare(options)).await;
    prepared.map_err(|error| error.to_string())?.map(Some)
}

/// SIGHUP asks for another reading.
async fn read_on_hangup(read_again: [ReadAgain; 2]) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            warn!("SIGHUP cannot be handled: {error}");
            return;
        }
    };
    while hangup.recv().await.is_some() {
        info!("SIGHUP: reading the documents again");
        read_again.iter().for_each(ReadAgain::ask);
    }
}

async fn report_status(proxy: Arc<Proxy>, status: watch::Sender<Status>) {
    let mut ticks = tokio::time::interval(STATUS_PAUSE);
    loop {
        ticks.tick().await;
        if status.receiver_count() > 0 {
            status.send_replace(Status { nodes: proxy.nodes() });
        }
    }
}

/// Tells the control loop once.
async fn shut_down(mut stop: watch::Receiver<Stop>, events: mpsc::Sender<Event>) {
    // A sender that is gone cannot say "go on" any more.
    drop(stop.wait_for(|stop| *stop != Stop::No).await);
    drop(events.send(Event::Shutdown).await);
    std::future::pending::<()>().await;
}
