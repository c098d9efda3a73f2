//! What tests of generic protocols share: nodes of their own making, sites, and questions to them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::ServerConfig;
use tidegate_harness::{Client, Site, Value, json, wait::takes, wire::Wire, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// A node of a test's own making.
pub(super) struct TcpNode {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for TcpNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TcpNode {
    /// Does this with every connection.
    pub(super) async fn with<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::AcqRel);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, connections, task }
    }

    /// Answers every line with its label and the line.
    pub(super) async fn lines(label: &'static str) -> Self {
        Self::greeting(label, "").await
    }

    /// As [`TcpNode::lines`], after a greeting.
    pub(super) async fn greeting(label: &'static str, greeting: &'static str) -> Self {
        Self::with(move |stream| answer_lines(label, greeting, stream)).await
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

async fn answer_lines(label: &'static str, greeting: &'static str, stream: TcpStream) {
    let mut wire = Wire::new(stream);
    if wire.send(greeting.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(line) = wire.line().await {
        if line == "quit" || wire.send(format!("{label}:{line}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Properties of a virtual server of a protocol, with more laid over.
pub(super) fn of(protocol: &str, more: &Value) -> Value {
    let mut all = json!({ "basic": { "protocol": protocol } });
    tidegate_harness::document::lay_over(&mut all, more);
    all
}

pub(super) async fn site(protocol: &str, nodes: &[SocketAddr], more: &Value, pool: Value) -> Site {
    Site::start(nodes, of(protocol, more), pool).await
}

pub(super) async fn ask(client: &mut Client, line: &str) -> String {
    client.send(format!("{line}\r\n")).await;
    within("an answer", client.wire().line()).await.unwrap()
}

pub(super) async fn line(client: &mut Client) -> String {
    within("a line", client.wire().line()).await.unwrap()
}

/// Waits for what a limit of one second brings about.
pub(super) async fn takes_a_second<T: std::fmt::Debug>(what: impl Future<Output = T>) -> T {
    takes(Duration::from_millis(700), Duration::from_secs(8), what).await
}

/// A node that echoes what comes over TLS.
pub(super) async fn tls_echo(config: Arc<ServerConfig>) -> TcpNode {
    let acceptor = TlsAcceptor::from(config);
    TcpNode::with(move |stream| {
        let accept = acceptor.accept(stream);
        async move {
            let Ok(mut stream) = accept.await else { return };
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..n]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// An address where nobody listens.
pub(super) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

/// Bytes that are not all alike, from a seed.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}
