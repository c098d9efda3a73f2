//! Monitors at work, and listeners for them to probe.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidegate_model::{
    GlobalSettings, Moment, Monitor, Pool as PoolSettings, ScriptName,
    monitor::{Probe, Scope},
};
use tidegate_pool::{Node, NodeSpec, Pool, PoolContext, SessionKey};
use tidegate_proxy::monitor::{MonitorStatus, MonitorTask, Monitors, Options, Target, Verdict};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::JoinHandle,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Bench {
    pub(crate) monitors: Monitors,
    pub(crate) scripts: BTreeMap<ScriptName, Arc<[u8]>>,
    pub(crate) home: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options { runtime: Handle::current(), zeus_home: home.path().to_owned() };
        Self { monitors: Monitors::start(options, Instant::now()), scripts: BTreeMap::new(), home }
    }

    pub(crate) fn update(&self, tasks: &[MonitorTask]) {
        self.monitors.update(tasks, &self.scripts);
    }

    pub(crate) fn status(&self, monitor: &str) -> MonitorStatus {
        let all = self.monitors.status();
        all.into_iter().find(|status| status.monitor.as_str() == monitor).expect("the monitor runs")
    }

    /// Runs one monitor on one node until it has an opinion: `Ok` when it passes, else the reason.
    pub(crate) async fn opinion(&self, probe: Probe, address: SocketAddr) -> Result<(), String> {
        self.opinion_of(monitor("m", probe), address).await
    }

    pub(crate) async fn opinion_of(&self, monitor: Monitor, address: SocketAddr) -> Result<(), String> {
        let node = node(address);
        self.update(&[]);
        self.update(&[per_node(&Arc::new(Monitor { failures: 1, ..monitor }), &node)]);
        until("the first run", || self.status("m").runs > 0).await;
        let status = self.status("m");
        match status.verdict {
            Verdict::Up => Ok(()),
            Verdict::Down => {
                assert!(failed(&node));
                Err(status.reason.unwrap().to_string())
            }
            Verdict::Unknown => Err(format!("unable: {}", status.reason.unwrap())),
        }
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn node(address: SocketAddr) -> Arc<Node> {
    let settings = PoolSettings::named("pool");
    let context =
        PoolContext::new(Moment::default(), 0, SessionKey::new([0; 32]), &GlobalSettings::default());
    let pool = Pool::build(Arc::new(settings), None, &[NodeSpec::of(address)], None, &context);
    Arc::clone(&pool.members()[0].node)
}

pub(crate) fn failed(node: &Node) -> bool {
    !node.failing_monitors().is_empty()
}

pub(crate) fn monitor(name: &str, probe: Probe) -> Monitor {
    Monitor {
        name: name.into(),
        probe,
        scope: Scope::PerNode,
        delay: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        failures: 3,
        back_off: false,
        use_tls: false,
        verbose: false,
        health_only: false,
    }
}

pub(crate) fn per_node(monitor: &Arc<Monitor>, node: &Arc<Node>) -> MonitorTask {
    MonitorTask {
        pool: "pool".into(),
        monitor: Arc::clone(monitor),
        target: Target::Node { node: Arc::clone(node), name: None },
        tls: None,
    }
}

pub(crate) fn http(path: &str, status: &str, body: Option<&str>) -> Probe {
    Probe::Http {
        path: path.into(),
        host_header: None,
        authentication: None,
        status_regex: status.into(),
        body_regex: body.map(Arc::from),
    }
}

pub(crate) fn transaction(write: &str, response: &str, close: &str, limit: usize) -> Probe {
    Probe::TcpTransaction {
        write: write.as_bytes().into(),
        response_regex: response.into(),
        close: close.as_bytes().into(),
        max_response_len: limit,
    }
}

/// A listener whose connections are each handed to `serve`.
pub(crate) async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (address, task)
}

/// An address nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

pub(crate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers every request with the same bytes.
pub(crate) async fn answering(answer: &'static [u8]) -> SocketAddr {
    listen(move |mut stream| async move {
        read_head(&mut stream).await;
        drop(stream.write_all(answer).await);
        drop(stream.shutdown().await);
    })
    .await
    .0
}
