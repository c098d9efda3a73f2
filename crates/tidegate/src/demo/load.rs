//! The demo's visitors: a few requests a second, some with a session cookie and some without.
//!
//! Each visitor keeps a connection as a browser does and opens another when it is closed. What they see flows
//! into [`Tally`]: requests, failures, latency, and on which node each session is.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::SendRequest,
    header::{COOKIE, HOST as HOST_HEADER, SET_COOKIE},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{documents::HOST, nodes::NODE_HEADER};

/// Visitors with a session cookie.
pub(crate) const SESSIONS: usize = 9;
/// Visitors without.
const STRANGERS: usize = 3;
/// Mean time between two requests of a visitor.
const PAUSE: Duration = Duration::from_millis(400);
/// Longest time for a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Requests over one connection before a visitor opens another.
const REQUESTS_PER_CONNECTION: u32 = 20;
/// Latencies kept for the median and the tail.
const MAX_LATENCIES: usize = 2048;

/// What the visitors have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Seen>>);

/// What the visitors have seen until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Requests answered or failed.
    pub(crate) requests: u64,
    /// Requests without a good answer.
    pub(crate) failed: u64,
    /// The last failure.
    pub(crate) last_failure: Option<String>,
    /// Sessions that found themselves on another node than before.
    pub(crate) moved: u64,
    /// Answers by node name.
    pub(crate) by_node: BTreeMap<String, u64>,
    /// Node of each session.
    pub(crate) sessions: BTreeMap<usize, String>,
    latencies: Vec<Duration>,
    next_latency: usize,
}

impl Tally {
    /// A copy of what was seen.
    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answered(&self, visitor: &Visitor, node: &str, latency: Duration) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.answered(visitor.session.then_some(visitor.number), node, latency);
    }

    fn failed(&self, reason: String) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests += 1;
        seen.failed += 1;
        seen.last_failure = Some(reason);
    }
}

impl Seen {
    fn answered(&mut self, session: Option<usize>, node: &str, latency: Duration) {
        self.requests += 1;
        *self.by_node.entry(node.to_owned()).or_default() += 1;
        if let Some(session) = session {
            let before = self.sessions.insert(session, node.to_owned());
            if before.is_some_and(|before| before != node) {
                self.moved += 1;
            }
        }
        // A ring of the latest.
        if self.latencies.len() < MAX_LATENCIES {
            self.latencies.push(latency);
        } else if let Some(place) = self.latencies.get_mut(self.next_latency) {
            *place = latency;
        }
        self.next_latency = (self.next_latency + 1) % MAX_LATENCIES;
    }

    /// Sessions on a node.
    pub(crate) fn sessions_of(&self, node: &str) -> usize {
        self.sessions.values().filter(|its| *its == node).count()
    }

    /// The latency that `share` (0 to 1) of the latest requests stayed below.
    pub(crate) fn latency(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        sorted.get(place).copied().unwrap_or_default()
    }
}

/// The visitors; they stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Visitors(tokio::task::JoinSet<()>);

impl Visitors {
    /// Sends visitors to the plain and the TLS port until dropped.
    pub(crate) fn start(plain: u16, tls: u16, certificate: &str, tally: &Tally) -> io::Result<Self> {
        let connector = connector(certificate)?;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..SESSIONS + STRANGERS {
            // Every third comes by TLS.
            let by_tls = number % 3 == 2;
            let visitor = Visitor {
                number,
                session: number < SESSIONS,
                port: if by_tls { tls } else { plain },
                connector: by_tls.then(|| connector.clone()),
            };
            tasks.spawn(visitor.run(tally.clone()));
        }
        Ok(Self(tasks))
    }

    /// Lets every visitor end.
    pub(crate) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

fn connector(certificate: &str) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

struct Visitor {
    number: usize,
    session: bool,
    port: u16,
    connector: Option<TlsConnector>,
}

type Sender = SendRequest<Empty<Bytes>>;

impl Visitor {
    async fn run(self, tally: Tally) {
        let mut cookie = None;
        let mut connection: Option<(Sender, u32)> = None;
        loop {
            tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
            let started = Instant::now();
            let outcome = tokio::time::timeout(REQUEST_LIMIT, self.visit(&mut connection, &mut cookie)).await;
            match outcome {
                Ok(Ok(node)) => tally.answered(&self, &node, started.elapsed()),
                Ok(Err(reason)) => {
                    connection = None;
                    tally.failed(reason);
                }
                Err(_) => {
                    connection = None;
                    tally.failed("no answer in time".to_owned());
                }
            }
        }
    }

    /// One request. The answer names its node; the error says what went wrong.
    async fn visit(
        &self,
        connection: &mut Option<(Sender, u32)>,
        cookie: &mut Option<String>,
    ) -> Result<String, String> {
        let (mut sender, used) = match connection.take() {
            Some((sender, used)) if used < REQUESTS_PER_CONNECTION && !sender.is_closed() => (sender, used),
            _ => (self.connect().await?, 0),
        };
        let mut request = Request::get("/hello").header(HOST_HEADER, HOST);
        if let Some(cookie) = cookie.as_deref().filter(|_| self.session) {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let node = header(NODE_HEADER).map(str::to_owned);
        let set_cookie = header(SET_COOKIE.as_str()).and_then(|value| value.split(';').next());
        if let Some(set) = set_cookie {
            *cookie = Some(set.to_owned());
        }
        response.into_body().collect().await.map_err(|error| error.to_string())?;
        *connection = Some((sender, used + 1));
        match node {
            Some(node) if status.is_success() => Ok(node),
            _ => Err(format!("answer {status}")),
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        match &self.connector {
            None => handshake(TokioIo::new(stream)).await,
            Some(connector) => {
                let name = ServerName::try_from(HOST).map_err(|error| error.to_string())?;
                let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
                handshake(TokioIo::new(stream)).await
            }
        }
    }
}

async fn handshake<S>(stream: S) -> Result<Sender, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // Its fault, if any, is seen by the request.
        drop(connection.await);
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_changes_its_node_is_counted_as_moved() {
        let mut seen = Seen::default();
        for (session, node) in [(Some(1), "a"), (Some(1), "a"), (None, "b"), (Some(1), "b"), (Some(2), "b")] {
            seen.answered(session, node, Duration::from_millis(1));
        }
        assert_eq!((seen.requests, seen.moved), (5, 1));
        assert_eq!((seen.sessions_of("a"), seen.sessions_of("b")), (0, 2));
        assert_eq!(seen.by_node["b"], 3);
    }

    #[test]
    fn latencies_are_of_the_latest_requests() {
        let mut seen = Seen::default();
        assert_eq!(seen.latency(0.5), Duration::ZERO);
        for millis in 0..MAX_LATENCIES as u64 + 101 {
            seen.answered(None, "a", Duration::from_millis(millis));
        }
        assert_eq!(seen.latency(0.0), Duration::from_millis(101));
        assert_eq!(seen.latency(1.0), Duration::from_millis(MAX_LATENCIES as u64 + 100));
    }
}
