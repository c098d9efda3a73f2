//! Load at a fixed rate: requests leave when they are due, whether or not earlier ones were answered quickly.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{client::read_response, wire::Wire};

/// Longest time a request may take until it counts as failed.
const PATIENCE: Duration = Duration::from_secs(12);

/// What is sent.
#[derive(Clone, Debug)]
pub struct Plan {
    /// To whom.
    pub address: SocketAddr,
    /// Requests per second, over all connections.
    pub rate: u32,
    /// Connections, each kept alive.
    pub connections: u32,
    /// Method of every request.
    pub method: &'static str,
    /// With TLS, for this server name.
    pub tls: Option<(Arc<ClientConfig>, &'static str)>,
    /// Requests after which a connection is given up for a new one; 0 = never.
    pub per_connection: u32,
}

impl Plan {
    /// 2,100 GET requests per second over 42 connections.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, rate: 2100, connections: 42, method: "GET", tls: None, per_connection: 0 }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered with 200.
    pub ok: u64,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// Answers by the node's label.
    pub nodes: BTreeMap<String, u64>,
    /// Longest time from when a request was due to its answer.
    pub slowest: Duration,
    /// How long the load ran.
    pub lasted: Duration,
}

impl Report {
    /// Failures of every kind.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Requests per second that were answered well.
    pub fn rate(&self) -> f64 {
        self.ok as f64 / self.lasted.as_secs_f64()
    }

    /// Fails the test unless there was load of at least 2,000 requests per second and nothing failed.
    pub fn assert_perfect(&self, log: impl FnOnce() -> String) {
        assert!(self.failed() == 0 && self.rate() >= 2000.0, "{self}\n{}", log());
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.slowest = self.slowest.max(other.slowest);
        self.lasted = self.lasted.max(other.lasted);
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        for (node, count) in other.nodes {
            *self.nodes.entry(node).or_default() += count;
        }
    }

    fn fail(&mut self, kind: impl Into<String>) {
        *self.failures.entry(kind.into()).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent, {} answered, {} failed {:?} ({:.0} requests/s, slowest {:?}), nodes {:?}",
            self.sent,
            self.ok,
            self.failed(),
            self.failures,
            self.rate(),
            self.slowest,
            self.nodes
        )
    }
}

/// Load that runs until it is told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Report>,
    started: Instant,
}

impl Load {
    /// Starts it.
    pub fn start(plan: &Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..plan.connections {
            tasks.spawn(connection(plan.clone(), number, started, Arc::clone(&stop)));
        }
        Self { stop, tasks, started }
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets it run for so long.
    pub async fn run_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Stops it; every request that was sent is still waited for.
    pub async fn finish(mut self) -> Report {
        self.stop.store(true, Relaxed);
        let mut report = Report::default();
        while let Some(part) = self.tasks.join_next().await {
            report.add(part.unwrap());
        }
        report
    }
}

async fn connection(plan: Plan, number: u32, started: Instant, stop: Arc<AtomicBool>) -> Report {
    let mut report = Report::default();
    let pause = Duration::from_secs(1) * plan.connections / plan.rate;
    let mut due = started + pause * number / plan.connections;
    let request = format!("{} /load HTTP/1.1\r\nHost: site\r\n\r\n", plan.method).into_bytes();
    let mut wire = None;
    let mut left = plan.per_connection;
    while !stop.load(Relaxed) {
        sleep_until(due).await;
        report.sent += 1;
        match timeout(PATIENCE, once(&plan, &mut wire, &request)).await {
            Err(_) => {
                report.fail("no answer in time");
                wire = None;
            }
            Ok(Err(kind)) => {
                report.fail(kind);
                wire = None;
            }
            Ok(Ok(node)) => {
                report.ok += 1;
                *report.nodes.entry(node).or_default() += 1;
                report.slowest = report.slowest.max(due.elapsed());
            }
        }
        left = left.wrapping_sub(1);
        if left == 0 {
            left = plan.per_connection;
            wire = None;
        }
        due += pause;
    }
    report.lasted = started.elapsed();
    report
}

/// One request; the failure's kind or the node's label comes out.
async fn once(plan: &Plan, wire: &mut Option<Wire>, request: &[u8]) -> Result<String, String> {
    if wire.is_none() {
        let stream = TcpStream::connect(plan.address).await.map_err(|error| format!("connect: {error}"))?;
        drop(stream.set_nodelay(true));
        *wire = Some(match &plan.tls {
            None => Wire::new(stream),
            Some((config, name)) => {
                let name = ServerName::try_from(*name).unwrap();
                let connector = TlsConnector::from(Arc::clone(config));
                Wire::new(connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?)
            }
        });
    }
    let connection = wire.as_mut().unwrap();
    connection.send(request).await.map_err(|error| format!("send: {error}"))?;
    let response = read_response(connection, plan.method).await.map_err(|error| format!("read: {error}"))?;
    if response.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        *wire = None;
    }
    if response.status != 200 {
        return Err(format!("status {}", response.status));
    }
    Ok(response.node().to_owned())
}
