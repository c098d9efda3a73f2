//! The main job on one machine: DNS server, sample nodes, documents and visitors in one process.
//!
//! Tidegate itself runs exactly as `tidegate run` does ([`run::serve`]), on documents in a temporary base
//! directory. Everything around it is the demo's: [`dns`] answers for a headless service, [`nodes`] is the
//! application, [`load`] visits it, [`script`] and keys change it, [`view`] shows it.

mod dns;
mod documents;
mod load;
mod nodes;
pub(crate) mod script;
mod stage;
mod view;

use std::{
    collections::VecDeque,
    future::pending,
    io::{self, IsTerminal, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use tidegate_telemetry::logging::LogFormat;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::{
    load::{Tally, Visitors},
    nodes::Application,
    script::{Action, Script},
    stage::Stage,
    view::Screen,
};
use crate::{
    health::Readiness,
    logging::DEFAULT_FILTER,
    run::{self, Hooks, Status, Stop},
    settings::{
        DemoOptions, Environment, MetricsSettings, SessionKeySource, Settings, SettingsError, usable_cpus,
        workers,
    },
};

/// Nodes at the start.
const NODES: usize = 3;
/// Data workers at most, unless set: a demo should not take the whole machine.
const MAX_DEMO_WORKERS: usize = 2;
/// Longest wait for Tidegate to be ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Time between two pictures.
const DRAW_PAUSE: Duration = Duration::from_millis(500);
/// Time between two plain lines.
const LINE_PAUSE: Duration = Duration::from_secs(2);
/// Time for requests in flight at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Whether the demo will draw pictures, in which case log lines must not go to standard output.
pub(crate) fn is_live(options: &DemoOptions) -> bool {
    !options.plain && io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Runs the demo. `logs` gives the log lines of the running Tidegate where they are not printed.
pub(crate) async fn run(
    options: DemoOptions,
    environment: &Environment,
    logs: Option<mpsc::Receiver<String>>,
) -> Result<ExitCode, String> {
    let live = is_live(&options);
    let base = tempfile::Builder::new()
        .prefix("tidegate-demo-")
        .tempdir()
        .map_err(|error| format!("a temporary directory is needed: {error}"))?;
    let service = dns::Service::default();
    let dns = dns::start(service.clone())
        .await
        .map_err(|error| format!("the demo's DNS server cannot start: {error}"))?;
    let application = Application::start(service, NODES)
        .await
        .map_err(|error| format!("the demo's sample nodes cannot start: {error}"))?;
    let [plain, tls, health] = free_ports().map_err(|error| format!("no free port on loopback: {error}"))?;
    let certificate = documents::write(base.path(), documents::Ports { plain, tls, dns })
        .map_err(|error| format!("the demo's documents cannot be written: {error}"))?;
    let workers = workers(options.workers, environment)
        .map_err(|SettingsError(reason)| reason)?
        .unwrap_or_else(|| usable_cpus().min(MAX_DEMO_WORKERS));
    let settings = settings(base.path().to_owned(), SocketAddr::from((Ipv4Addr::LOCALHOST, health)), workers);

    let addresses = vec![format!("http://127.0.0.1:{plain}/"), format!("https://127.0.0.1:{tls}/")];
    let screen =
        if live { Some(Screen::open().map_err(|error| format!("no terminal: {error}"))?) } else { None };
    let (mut screen, keys) = screen.map_or((None, None), |(screen, keys)| (Some(screen), Some(keys)));
    let mut stage = Stage::new(application, addresses);
    let intro = [
        format!("demo: the service is at {} and {}", stage.addresses[0], stage.addresses[1]),
        format!("demo: try  curl -i {}  and  curl -ik {}", stage.addresses[0], stage.addresses[1]),
        format!("demo: the DNS server is at {dns}, health at http://127.0.0.1:{health}/readyz"),
        format!("demo: the documents are in {}/config", base.path().display()),
    ];
    for line in intro {
        tell(&mut stage, live, line);
    }
    if live && options.script.is_none() {
        stage.happened("press + d k r to change the application, q to end".to_owned());
    }

    let mut tidegate = Tidegate::start(settings);
    let outcome = show(
        &mut stage,
        &mut tidegate,
        Show { options, plain, tls, certificate, screen: screen.as_mut(), keys, logs },
    )
    .await;
    let left = tidegate.stop().await;
    // The terminal is given back before the last words.
    drop(screen);
    outcome?;
    left?;
    print(&stage.summary());
    Ok(if stage.seen.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The running Tidegate.
struct Tidegate {
    stop: watch::Sender<Stop>,
    status: watch::Receiver<Status>,
    readiness: watch::Receiver<Readiness>,
    task: JoinHandle<Result<(), String>>,
}

impl Tidegate {
    fn start(settings: Settings) -> Self {
        let (stop, stop_receiver) = watch::channel(Stop::No);
        let (status_sender, status) = watch::channel(Status::default());
        let (readiness_sender, readiness) = watch::channel(Readiness::starting());
        let hooks = Hooks {
            stop: stop_receiver,
            status: status_sender,
            readiness: readiness_sender,
            reads_on_hangup: false,
        };
        let task = tokio::spawn(run::serve(settings, hooks));
        Self { stop, status, readiness, task }
    }

    /// Ends it as SIGTERM would.
    async fn stop(self) -> Result<(), String> {
        self.stop.send_replace(Stop::Graceful);
        self.task.await.map_err(|error| error.to_string())?
    }
}

/// What the show needs beside the stage.
struct Show<'a> {
    options: DemoOptions,
    plain: u16,
    tls: u16,
    certificate: String,
    screen: Option<&'a mut Screen>,
    keys: Option<mpsc::Receiver<Action>>,
    logs: Option<mpsc::Receiver<String>>,
}

/// From the first request to the end: by key, script, time, signal, or because Tidegate could not start.
async fn show(stage: &mut Stage, tidegate: &mut Tidegate, show: Show<'_>) -> Result<(), String> {
    let Show { options, plain, tls, certificate, mut screen, mut keys, mut logs } = show;
    let live = screen.is_some();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    // The terminal was closed.
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let started = Instant::now();
    let tally = Tally::default();
    let mut visitors: Option<Visitors> = None;
    let mut steps: VecDeque<(Duration, Action)> =
        options.script.map(|Script(steps)| steps.into()).unwrap_or_default();
    let end = options.seconds.map(Duration::from_secs);
    let mut ticks = tokio::time::interval(if live { DRAW_PAUSE } else { LINE_PAUSE });
    // Times of the script and of --for count from readiness.
    let mut ready_at: Option<Instant> = None;
    loop {
        let due = |at: Option<Duration>| {
            let at = ready_at.zip(at).map(|(ready, at)| ready + at);
            async move {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => pending().await,
                }
            }
        };
        let action = tokio::select! {
            () = due(steps.front().map(|(at, _)| *at)) => steps.pop_front().map(|(_, action)| action),
            Some(action) = next(&mut keys) => Some(action),
            Some(line) = next(&mut logs) => {
                stage.happened(line);
                None
            }
            () = due(end) => Some(Action::Quit),
            _ = interrupt.recv() => Some(Action::Quit),
            _ = terminate.recv() => Some(Action::Quit),
            _ = hangup.recv() => Some(Action::Quit),
            Ok(()) = tidegate.readiness.changed() => {
                if tidegate.readiness.borrow_and_update().is_ready() && visitors.is_none() {
                    for node in stage.node_addresses() {
                        tell(stage, live, format!("demo: {node}"));
                    }
                    tell(stage, live, "demo: ready; visitors come in".to_owned());
                    ready_at = Some(Instant::now());
                    visitors = Some(
                        Visitors::start(plain, tls, &certificate, &tally)
                            .map_err(|error| format!("the demo's visitors cannot start: {error}"))?,
                    );
                }
                None
            }
            _ = ticks.tick() => {
                if ready_at.is_none() && started.elapsed() > READY_LIMIT {
                    let missing = tidegate.readiness.borrow().missing.join(", ");
                    return Err(format!("Tidegate was not ready in time: {missing}"));
                }
                let nodes = tidegate.status.borrow().nodes.clone();
                for change in stage.look(tally.seen(), nodes, started.elapsed()) {
                    tell(stage, live, change);
                }
                let picture = stage.picture();
                match &mut screen {
                    Some(screen) => screen.draw(&picture).map_err(|error| format!("the terminal is gone: {error}"))?,
                    None if ready_at.is_some() => print(&view::summary_line(&picture)),
                    None => {}
                }
                None
            }
            () = stopped(&tidegate.task) => break,
        };
        match action {
            None => {}
            Some(Action::Quit) => break,
            Some(action) => {
                let sentence = stage.act(action).await;
                tell(stage, live, format!("demo: {sentence}"));
            }
        }
    }
    if let Some(visitors) = visitors {
        visitors.stop().await;
    }
    let nodes = tidegate.status.borrow().nodes.clone();
    stage.look(tally.seen(), nodes, ready_at.unwrap_or(started).elapsed());
    Ok(())
}

/// Ends when the task has ended, which [`Tidegate::stop`] then explains.
async fn stopped(task: &JoinHandle<Result<(), String>>) {
    while !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The next of a channel; waits for ever where there is none.
async fn next<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match channel {
        Some(receiver) => receiver.recv().await,
        None => pending().await,
    }
}

fn settings(base: PathBuf, health: SocketAddr, workers: usize) -> Settings {
    Settings {
        base,
        base_config: None,
        workers,
        health,
        metrics: MetricsSettings::default(),
        log_format: LogFormat::Human,
        log_filter: DEFAULT_FILTER.to_owned(),
        session_key: SessionKeySource::Text(format!("{:032x}", fastrand::u128(..))),
        state_dir: None,
        home: None,
        grace: GRACE,
        resolv_conf: PathBuf::from("/etc/resolv.conf"),
        hosts: PathBuf::from("/etc/hosts"),
        geo_database: None,
        location: None,
        in_kubernetes: false,
        rest: None,
        traces: None,
    }
}

/// Ports that are free now; all held until all are found, so that they differ.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Into the picture, or as a line.
fn tell(stage: &mut Stage, live: bool, text: String) {
    if !live {
        print(&text);
    }
    stage.happened(text);
}

fn print(text: &str) {
    // Whoever closed standard output does not want the line.
    drop(writeln!(io::stdout().lock(), "{text}"));
}
