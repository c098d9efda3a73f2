//! Nodes in the test's own process: HTTP nodes that answer as told, and raw ones that hand over the stream.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    wait::within,
    wire::{Body, Framing, Head, Wire, latin},
};

/// Requests remembered by a node; a load test sends more than anybody wants to read.
const MAX_REMEMBERED: usize = 4096;

/// A request as a node received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Number of the connection, from 0.
    pub connection: usize,
    /// Number of the request on its connection, from 0.
    pub number: usize,
    /// Method.
    pub method: String,
    /// Target.
    pub target: String,
    /// Head.
    pub head: Head,
    /// Body.
    pub body: Body,
}

impl Received {
    /// The head as text.
    pub fn text(&self) -> String {
        latin(&self.head.raw)
    }

    /// The value of a header that stands once at most.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }
}

/// What a node does with a request.
#[derive(Clone, Debug)]
pub struct Reply {
    delay: Duration,
    bytes: Vec<u8>,
    body: Option<Vec<u8>>,
    after: After,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    KeepOpen,
    Close,
    Hang,
}

impl Reply {
    /// A response with a status and headers; the body and its length come with [`Reply::body`].
    pub fn status(status: u16) -> Self {
        let bytes = format!("HTTP/1.1 {status} Status\r\n").into_bytes();
        Self { delay: Duration::ZERO, bytes, body: Some(Vec::new()), after: After::KeepOpen }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// Whether it is a response of this status.
    pub fn is_status(&self, status: u16) -> bool {
        self.bytes.starts_with(format!("HTTP/1.1 {status} ").as_bytes())
    }

    /// Exactly these bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { delay: Duration::ZERO, bytes: bytes.into(), body: None, after: After::KeepOpen }
    }

    /// No answer, and the connection closed at once.
    pub fn close_now() -> Self {
        Self::raw("").close()
    }

    /// No answer, ever.
    pub fn hang() -> Self {
        Self { after: After::Hang, ..Self::raw("") }
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Waits before answering.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection afterwards.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.after = After::Close;
        self
    }

    /// Sends what there is and then nothing more, with the connection open.
    #[must_use]
    pub fn then_hang(mut self) -> Self {
        self.after = After::Hang;
        self
    }

    fn into_bytes(self, label: &str, head_only: bool) -> Vec<u8> {
        let mut bytes = self.bytes;
        if let Some(body) = self.body {
            bytes.extend_from_slice(
                format!("X-Node: {label}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
            );
            if !head_only {
                bytes.extend_from_slice(&body);
            }
        }
        bytes
    }
}

type Behaviour = dyn Fn(&Received) -> Reply + Send + Sync;

#[derive(Default)]
struct Stats {
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    requests: AtomicUsize,
    in_progress: AtomicUsize,
    most_in_progress: AtomicUsize,
    remembered: Mutex<Vec<Received>>,
    faults: Mutex<Vec<String>>,
}

/// An HTTP/1.1 node on a loopback port. It stops when dropped.
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// Sent in `X-Node`.
    pub label: String,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
    stats: Arc<Stats>,
    task: Option<JoinHandle<()>>,
    acceptor: Option<TlsAcceptor>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("address", &self.address)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Node {
    /// A node that answers every request with 200 and its label.
    pub async fn start(label: &str) -> Self {
        let body = label.to_owned();
        Self::with(label, move |_| Reply::ok(body.clone())).await
    }

    /// A node that answers with what it received, head and body verbatim.
    pub async fn echo() -> Self {
        Self::with("echo", |request| {
            let mut body = request.head.raw.clone();
            body.extend_from_slice(&request.body.raw);
            Reply::ok(body)
        })
        .await
    }

    /// A node that does as told.
    pub async fn with(label: &str, behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(label, None, behaviour).await
    }

    /// As [`Node::with`], over TLS.
    pub async fn tls(
        label: &str,
        config: Arc<ServerConfig>,
        behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::launch(label, Some(TlsAcceptor::from(config)), behaviour).await
    }

    async fn launch(
        label: &str,
        acceptor: Option<TlsAcceptor>,
        behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut node = Self {
            address: listener.local_addr().unwrap(),
            label: label.to_owned(),
            behaviour: Arc::new(Mutex::new(Arc::new(behaviour))),
            stats: Arc::default(),
            task: None,
            acceptor,
        };
        node.serve(listener);
        node
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = Shared {
            label: self.label.clone(),
            behaviour: Arc::clone(&self.behaviour),
            stats: Arc::clone(&self.stats),
            acceptor: self.acceptor.clone(),
        };
        self.task = Some(tokio::spawn(async move {
            // Connections end with the set, hence with the node.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(shared.clone().connection(stream));
            }
        }));
    }

    /// Closes the listening socket and every connection.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            drop(task.await);
        }
        self.stats.open.store(0, Relaxed);
        self.stats.in_progress.store(0, Relaxed);
    }

    /// Listens again where it did before.
    pub fn restart(&mut self) {
        assert!(self.task.is_none(), "the node is running");
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.serve(socket.listen(128).unwrap());
    }

    /// Changes what it does.
    pub fn behave(&self, behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// Requests received so far.
    pub fn requests(&self) -> usize {
        self.stats.requests.load(Relaxed)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.stats.connections.load(Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.stats.open.load(Relaxed)
    }

    /// Most connections that were open at a time.
    pub fn most_open(&self) -> usize {
        self.stats.most_open.load(Relaxed)
    }

    /// Most requests that were in progress at a time.
    pub fn most_in_progress(&self) -> usize {
        self.stats.most_in_progress.load(Relaxed)
    }

    /// The requests received so far, and forgets them.
    pub fn received(&self) -> Vec<Received> {
        std::mem::take(&mut self.stats.remembered.lock().unwrap())
    }

    /// The only request received since the last look.
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "requests at the node: {received:#?}");
        received.remove(0)
    }

    /// What clients of the node did wrong: bytes that are no request.
    pub fn faults(&self) -> Vec<String> {
        self.stats.faults.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Shared {
    label: String,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
    stats: Arc<Stats>,
    acceptor: Option<TlsAcceptor>,
}

/// Counts down when the connection ends, however it does.
struct Open(Arc<Stats>);

impl Drop for Open {
    fn drop(&mut self) {
        _ = self.0.open.try_update(Relaxed, Relaxed, |open| Some(open.saturating_sub(1)));
    }
}

impl Shared {
    async fn connection(self, stream: TcpStream) {
        let number = self.stats.connections.fetch_add(1, Relaxed);
        let open = self.stats.open.fetch_add(1, Relaxed) + 1;
        self.stats.most_open.fetch_max(open, Relaxed);
        let _open = Open(Arc::clone(&self.stats));
        drop(stream.set_nodelay(true));
        let wire = match &self.acceptor {
            None => Wire::new(stream),
            Some(acceptor) => match acceptor.accept(stream).await {
                Ok(stream) => Wire::new(stream),
                Err(_) => return,
            },
        };
        if let Err(error) = self.requests(wire, number).await
            && error.kind() == io::ErrorKind::InvalidData
        {
            self.stats.faults.lock().unwrap().push(error.to_string());
        }
    }

    async fn requests(&self, mut wire: Wire, connection: usize) -> io::Result<()> {
        for number in 0.. {
            let Some(head) = wire.head().await? else { return Ok(()) };
            let framing = head.framing()?.unwrap_or(Framing::None);
            if head.get("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
                wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let body = wire.body(framing).await?;
            let mut words = head.start.split(' ');
            let received = Received {
                connection,
                number,
                method: words.next().unwrap_or_default().to_owned(),
                target: words.next().unwrap_or_default().to_owned(),
                head,
                body,
            };
            let head_only = received.method == "HEAD";
            self.stats.requests.fetch_add(1, Relaxed);
            let behaviour = Arc::clone(&self.behaviour.lock().unwrap());
            let reply = behaviour(&received);
            {
                let mut remembered = self.stats.remembered.lock().unwrap();
                if remembered.len() < MAX_REMEMBERED {
                    remembered.push(received);
                }
            }
            let busy = self.stats.in_progress.fetch_add(1, Relaxed) + 1;
            self.stats.most_in_progress.fetch_max(busy, Relaxed);
            if reply.delay > Duration::ZERO {
                tokio::time::sleep(reply.delay).await;
            }
            let after = reply.after;
            // The client may send its next request the moment it has the answer.
            _ = self.stats.in_progress.try_update(Relaxed, Relaxed, |busy| Some(busy.saturating_sub(1)));
            wire.send(&reply.into_bytes(&self.label, head_only)).await?;
            match after {
                After::KeepOpen => {}
                After::Close => return Ok(()),
                After::Hang => std::future::pending().await,
            }
        }
        Ok(())
    }
}

/// A node that hands each connection to the test.
#[derive(Debug)]
pub struct RawNode {
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
}

impl RawNode {
    /// Listens on a loopback port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self { address: listener.local_addr().unwrap(), listener }
    }

    /// The next connection.
    pub async fn accept(&self) -> Wire {
        let (stream, _) = within("a connection to the node", self.listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::new(stream)
    }

    /// The next connection's stream.
    pub async fn accept_stream(&self) -> TcpStream {
        let (stream, _) = within("a connection to the node", self.listener.accept()).await.unwrap();
        stream
    }
}

/// Answers every request at `listener` with 200 and `label`, for as long as it is polled.
pub async fn serve_label(label: &str, listener: TcpListener) {
    let body = label.to_owned();
    let behaviour: Arc<Behaviour> = Arc::new(move |_: &Received| Reply::ok(body.clone()));
    let shared = Shared {
        label: label.to_owned(),
        behaviour: Arc::new(Mutex::new(behaviour)),
        stats: Arc::default(),
        acceptor: None,
    };
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(shared.clone().connection(stream));
    }
}
