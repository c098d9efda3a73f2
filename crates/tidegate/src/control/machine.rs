//! Does what the control loop decided: compiles, builds, publishes, follows discovery, logs.
//!
//! Effects in, I/O out. Imports and builds run on blocking threads and report back as events; the order of
//! builds is kept because [`super::state::State`] asks for one at a time.

use std::{
    collections::BTreeSet,
    net::{Ipv6Addr, UdpSocket},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_admin::Import;
use tidegate_config::Layer;
use tidegate_model::{Configuration, Moment};
use tidegate_proxy::{BuildContext, ListenProblem, Proxy, build, tls::server::Expiring};
use tidegate_telemetry::{access_log::Writer, traces::Traces};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};
use tracing::{debug, error, field, info, warn};

use super::{
    compile::{Importer, Outcome},
    effect::{BuildOrder, Effect, Level, Line},
    event::{ClosedListener, Event, Serving},
    following::Following,
};
use crate::{health::Readiness, places::Notices, watching::Watching};

/// Longest wait for a build under way at the end.
const LAST_BUILD_LIMIT: Duration = Duration::from_secs(5);

/// What the machine works with.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The data path.
    pub(crate) proxy: Arc<Proxy>,
    /// Compiles documents.
    pub(crate) importer: Arc<Importer>,
    /// Follows pools.
    pub(crate) discovery: Following,
    /// Way back to the loop.
    pub(crate) events: mpsc::Sender<Event>,
    /// Names to keep resolved.
    pub(crate) listen_hosts: watch::Sender<BTreeSet<Arc<str>>>,
    /// What the health address says.
    pub(crate) readiness: watch::Sender<Readiness>,
    /// Key of session cookies.
    pub(crate) session_key: [u8; 32],
    /// Data workers.
    pub(crate) workers: usize,
    /// Writes access logs.
    pub(crate) access_logs: Arc<Writer>,
    /// Records spans; `None` = tracing is off.
    pub(crate) traces: Option<Traces>,
    /// What REST is told.
    pub(crate) rest: Told,
    /// What there is to tell about places.
    pub(crate) place_notices: Arc<Notices>,
    /// Is told what an operator may want to know.
    pub(crate) watching: Arc<Watching>,
}

/// What the REST interface is told. Nobody listens where it is off.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Documents it writes over.
    pub(crate) imports: watch::Sender<Option<Import>>,
    /// What is wrong.
    pub(crate) faults: watch::Sender<Arc<Vec<tidegate_admin::Fault>>>,
    /// What serves.
    pub(crate) active: watch::Sender<Option<Arc<Configuration>>>,
}

/// The doing half of the control loop.
#[derive(Debug)]
pub(crate) struct Machine {
    parts: Parts,
    ipv6: bool,
    /// The build or listener retry under way.
    building: Option<JoinHandle<()>>,
}

impl Machine {
    /// A machine at rest.
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, ipv6: has_ipv6(), building: None }
    }

    /// The time that snapshots are built with.
    pub(crate) fn now(&self) -> Moment {
        self.parts.proxy.now()
    }

    /// Starts or does one thing; never waits.
    pub(crate) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Compile(files, kept) => {
                let importer = Arc::clone(&self.parts.importer);
                self.compile(None, move || importer.import(&files, &kept));
            }
            Effect::Lay(imported, layer) => {
                let laid = Some(Arc::clone(&layer));
                let importer = Arc::clone(&self.parts.importer);
                self.compile(laid, move || importer.lay(&imported, &layer));
            }
            Effect::Imported(import) => drop(self.parts.rest.imports.send_replace(Some(import))),
            // Whoever has stopped waiting is not told.
            Effect::Answer(waiting, done) => drop(waiting.send(done)),
            Effect::Condition(faults) => drop(self.parts.rest.faults.send_replace(faults)),
            Effect::Active(configuration) => {
                self.parts.rest.active.send_replace(Some(configuration));
            }
            Effect::Discover(configuration) => self.parts.discovery.follow(&configuration),
            Effect::ResolveHosts(names) => {
                self.parts.listen_hosts.send_replace(names);
            }
            Effect::Build(order) => self.build(order),
            Effect::TryListeners => self.try_listeners(),
            Effect::CheckCertificates => self.check_certificates(),
            Effect::Ready(readiness) => {
                self.parts.readiness.send_replace(readiness);
            }
            Effect::Log(line) => write(&line),
            // The loop ends on it.
            Effect::Drain => {}
        }
    }

    /// Waits for a build under way, so that nothing is published after it returns.
    pub(crate) async fn finish(&mut self) {
        if let Some(building) = self.building.take()
            && tokio::time::timeout(LAST_BUILD_LIMIT, building).await.is_err()
        {
            warn!("the last build did not end in time");
        }
    }

    /// Runs a compilation; `laid` is what REST wrote, if that is all there is to compile.
    fn compile(&self, laid: Option<Arc<Layer>>, work: impl FnOnce() -> Outcome + Send + 'static) {
        let events = self.parts.events.clone();
        let watching = Arc::clone(&self.parts.watching);
        tokio::spawn(async move {
            let outcome = match spawn_blocking(work).await {
                Ok(outcome) => outcome,
                Err(reason) => Outcome { laid, ..Outcome::lost(&reason) },
            };
            let good = outcome.configuration.is_some();
            match outcome.laid {
                None => watching.imported(good),
                Some(_) if good => watching.written(),
                Some(_) => {}
            }
            // The loop is gone only at the end.
            drop(events.send(Event::Compiled(outcome)).await);
        });
    }

    fn build(&mut self, order: BuildOrder) {
        let global = &order.configuration.global;
        self.parts.access_logs.tune(global.log_flush, global.log_reopen.unwrap_or_default());
        let proxy = Arc::clone(&self.parts.proxy);
        let events = self.parts.events.clone();
        let watching = Arc::clone(&self.parts.watching);
        let place_notices = Arc::clone(&self.parts.place_notices);
        let context = BuildContext {
            session_key: self.parts.session_key,
            now: proxy.now(),
            seed: fastrand::u64(..),
            listen_hosts: order.listen_hosts.as_ref().clone(),
            ipv6: self.ipv6,
            workers: self.parts.workers,
            access_logs: Some(Arc::clone(&self.parts.access_logs)),
            traces: self.parts.traces.clone(),
        };
        self.building = Some(tokio::spawn(async move {
            let work = spawn_blocking(move || {
                let previous = proxy.snapshot();
                let built = build(&order.configuration, &order.nodes, Some(&previous), &context);
                let closed = proxy.publish(&built.snapshot);
                watching.published(&order.configuration, built.snapshot.generation, closed.len());
                place_notices.tell(&order.configuration);
                debug!(generation = built.snapshot.generation, "snapshot published");
                Serving {
                    generation: built.snapshot.generation,
                    configuration: Some(order.configuration),
                    problems: built
                        .problems
                        .into_iter()
                        .map(|problem| (problem.object, problem.message))
                        .collect(),
                    closed: closed.into_iter().map(closed_listener).collect(),
                    next_expiry: built.next_expiry,
                }
            });
            let event = match work.await {
                Ok(serving) => Event::Serving(serving),
                Err(reason) => Event::BuildLost(reason.to_string()),
            };
            drop(events.send(event).await);
        }));
    }

    fn check_certificates(&self) {
        for (virtual_server, notices) in self.parts.proxy.expiring_certificates(unix_time()) {
            for Expiring { certificate, ended, message } in notices {
                if ended {
                    error!(event = "vssslcertexpired", %virtual_server, %certificate, "{message}");
                } else {
                    warn!(event = "vssslcerttoexpire", %virtual_server, %certificate, "{message}");
                }
            }
        }
    }

    fn try_listeners(&mut self) {
        let proxy = Arc::clone(&self.parts.proxy);
        let events = self.parts.events.clone();
        let watching = Arc::clone(&self.parts.watching);
        self.building = Some(tokio::spawn(async move {
            let work = spawn_blocking(move || {
                let closed = proxy.publish(&proxy.snapshot());
                watching.listeners(closed.len());
                closed.into_iter().map(closed_listener).collect()
            });
            let event = match work.await {
                Ok(closed) => Event::ListenersTried(closed),
                Err(reason) => Event::BuildLost(reason.to_string()),
            };
            drop(events.send(event).await);
        }));
    }
}

/// Seconds since 1970.
fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn closed_listener(problem: ListenProblem) -> ClosedListener {
    ClosedListener {
        virtual_server: problem.virtual_server,
        address: problem.address,
        reason: listen_reason(&problem.error),
    }
}

/// Whose fault it is and what to do.
fn listen_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program listens there; stop it or change the port".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability NET_BIND_SERVICE".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have the address (yet)".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether IPv6 sockets can be had.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

fn write(line: &Line) {
    let virtual_server = line.virtual_server.as_ref().map(field::display);
    let pool = line.pool.as_ref().map(field::display);
    let node = line.node.as_ref().map(field::display);
    match line.level {
        Level::Info => info!(virtual_server, pool, node, "{}", line.text),
        Level::Warn => warn!(virtual_server, pool, node, "{}", line.text),
        Level::Error => error!(virtual_server, pool, node, "{}", line.text),
    }
}
