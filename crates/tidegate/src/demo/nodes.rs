//! The demo's sample application: small HTTP servers on loopback that tell their own name.
//!
//! [`Application`] scales, drains, kills and restores them; a node is in DNS or not, and running or not, and
//! those two together are its state.

use std::{
    convert::Infallible,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};

use super::dns::Service;

/// Most nodes of the sample application.
const MAX_NODES: usize = 12;
/// Connections a node holds at a time.
const MAX_CONNECTIONS: usize = 512;
/// Header of every answer with the name of the node.
pub(crate) const NODE_HEADER: &str = "x-sample-node";

/// What the spectator did to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In DNS and answering.
    Running,
    /// Out of DNS and answering.
    Drained,
    /// In DNS and dead.
    Killed,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Drained => "out of DNS",
            Self::Killed => "killed",
        })
    }
}

/// One node of the sample application.
#[derive(Debug)]
pub(crate) struct SampleNode {
    /// 1, 2, 3, …
    pub(crate) number: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What was done to it.
    pub(crate) fate: Fate,
    /// Requests it answered, without those of the monitor.
    pub(crate) answered: Arc<AtomicU64>,
    server: Option<JoinHandle<()>>,
}

/// The sample application.
#[derive(Debug)]
pub(crate) struct Application {
    /// Its nodes, oldest first.
    pub(crate) nodes: Vec<SampleNode>,
    service: Service,
}

impl Application {
    /// Starts `count` nodes and puts them into DNS.
    pub(crate) async fn start(service: Service, count: usize) -> io::Result<Self> {
        let mut application = Self { nodes: Vec::new(), service };
        for _ in 0..count {
            application.scale_up().await?;
        }
        Ok(application)
    }

    /// One node more. The sentence is for the spectator.
    pub(crate) async fn scale_up(&mut self) -> io::Result<String> {
        if self.nodes.len() >= MAX_NODES {
            return Ok(format!("the sample application has at most {MAX_NODES} nodes"));
        }
        let number = self.nodes.len() as u32 + 1;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let server = Some(serve(listener, number, Arc::clone(&answered)));
        self.service.add(number, address.port());
        self.nodes.push(SampleNode { number, address, fate: Fate::Running, answered, server });
        Ok(format!("node-{number} started on {address} and entered DNS"))
    }

    /// Takes the oldest running node out of DNS; it goes on answering.
    pub(crate) fn drain(&mut self) -> String {
        match self.spare() {
            Some(node) => {
                node.fate = Fate::Drained;
                let number = node.number;
                self.service.remove(number);
                format!("node-{number} left DNS; it keeps its sessions and gets no new ones")
            }
            None => LAST.to_owned(),
        }
    }

    /// Ends the oldest running node at once, connections and all; DNS still lists it.
    pub(crate) async fn kill(&mut self) -> String {
        match self.spare() {
            Some(node) => {
                node.fate = Fate::Killed;
                if let Some(server) = node.server.take() {
                    server.abort();
                    // Gone when this returns, port and connections; that it was cancelled is no news.
                    drop(server.await);
                }
                format!("node-{} was killed; DNS still lists it", node.number)
            }
            None => LAST.to_owned(),
        }
    }

    /// Brings back every node that was drained or killed.
    pub(crate) fn restore(&mut self) -> String {
        let mut restored = Vec::new();
        for node in self.nodes.iter_mut().filter(|node| node.fate != Fate::Running) {
            if node.server.is_none() {
                // Its old connections may linger on the port.
                let Ok(listener) = listen_again(node.address) else { continue };
                node.server = Some(serve(listener, node.number, Arc::clone(&node.answered)));
            }
            node.fate = Fate::Running;
            self.service.add(node.number, node.address.port());
            restored.push(format!("node-{}", node.number));
        }
        if restored.is_empty() {
            "every node is running".to_owned()
        } else {
            format!("{} came back", restored.join(", "))
        }
    }

    /// The oldest running node, unless it is the last.
    fn spare(&mut self) -> Option<&mut SampleNode> {
        let mut running: Vec<&mut SampleNode> =
            self.nodes.iter_mut().filter(|node| node.fate == Fate::Running).collect();
        (running.len() > 1).then(|| running.swap_remove(0))
    }
}

const LAST: &str = "the last running node stays, or nobody could answer";

fn listen_again(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves until aborted; the connections are part of the task and end with it.
fn serve(listener: TcpListener, number: u32, answered: Arc<AtomicU64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
                continue;
            }
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let answered = Arc::clone(&answered);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let answered = Arc::clone(&answered);
                    async move { Ok::<_, Infallible>(answer(number, &request, &answered).await) }
                });
                // A client that goes away is no concern of a sample.
                drop(
                    hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    })
}

async fn answer(number: u32, request: &Request<Incoming>, answered: &AtomicU64) -> Response<Full<Bytes>> {
    // The monitor asks for `/`, visitors for a page.
    if request.uri().path() != "/" {
        answered.fetch_add(1, Ordering::Relaxed);
        // As if there were something to do.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..8))).await;
    }
    let name = format!("node-{number}");
    let mut response = Response::new(Full::new(Bytes::from(format!("Hello, this is {name}.\n"))));
    if let Ok(value) = name.parse() {
        response.headers_mut().insert(NODE_HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(application: &Application) -> Vec<Fate> {
        application.nodes.iter().map(|node| node.fate).collect()
    }

    #[tokio::test]
    async fn the_application_is_scaled_drained_killed_and_restored() {
        let mut application = Application::start(Service::default(), 3).await.unwrap();
        application.drain();
        application.kill().await;
        assert_eq!(fates(&application), [Fate::Drained, Fate::Killed, Fate::Running]);
        assert_eq!(application.kill().await, LAST);
        application.scale_up().await.unwrap();
        assert!(application.restore().contains("node-1, node-2"));
        assert_eq!(fates(&application), [Fate::Running; 4]);
        assert_eq!(application.restore(), "every node is running");
    }
}
