//! Requests that rules make to other servers: `http.request.get` and its relatives.
//!
//! In: a [`Fetch`]. Out: status, header section and body, or a text that says why there are none. HTTP/1.1 over TCP or
//! TLS; an `https` server has to show a certificate for its name that the authorities of the machine vouch for (the
//! original checks nothing here; a rule that trusts an answer should be able to), or one of the certificates that the rule
//! gives (`http.request.ssl.get`). Redirects are not followed.
//!
//! All of it runs on the control runtime: a worker only awaits the outcome, and dropping that ends the request. `GET`,
//! `HEAD` and `DELETE` share idle connections; `POST` and `PUT` open one of their own, since they could not be sent
//! again over another when an idle one turns out closed; so does what trusts certificates of its own.

mod depth;
mod message;
mod target;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Response,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tidegate_trafficscript::host::{Fetch, Fetched};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Handle,
    sync::Semaphore,
    task::JoinHandle,
};

use self::{
    depth::{Depths, MOST_DEPTH, Mark},
    target::{Server, Target, target},
};
use super::{dial::dial, names::Names};
use crate::tls::{node::native_roots, outbound::Trusted, provider};

/// Requests in progress at a time; further ones wait, within their own time.
const MOST_AT_ONCE: usize = 256;

/// Requests in progress or waiting; further ones fail (counted).
const MOST_WAITING: usize = 4096;

/// Time of a request whose rule says nothing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time of a request, whatever the rule says.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

/// Longest body of a response.
const MOST_BODY: usize = 8 << 20;

/// Bytes of bodies that all requests in progress hold together.
const MOST_HELD: usize = 128 << 20;

/// Longest header section of a response.
const MOST_HEAD: usize = 64 << 10;

/// Most header fields of a response.
const MOST_FIELDS: usize = 256;

/// Idle connections, altogether and to one server.
const MOST_IDLE: usize = 256;
const MOST_IDLE_PER_SERVER: usize = 8;

/// How long a connection is kept idle.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// A connection to a server.
struct Sender {
    requests: SendRequest<Full<Bytes>>,
    mark: Mark,
}

impl Sender {
    async fn send(
        &mut self,
        request: hyper::Request<Full<Bytes>>,
        depth: u8,
    ) -> hyper::Result<Response<Incoming>> {
        self.mark.set(depth);
        self.requests.send_request(request).await
    }
}

/// Counters since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchCounters {
    /// Requests of rules.
    pub(crate) requests: u64,
    /// Connections opened.
    pub(crate) connections: u64,
    /// Requests that failed, timeouts and refusals included.
    pub(crate) failed: u64,
    /// Requests refused because too many waited.
    pub(crate) refused: u64,
    /// Responses given up because they were too large.
    pub(crate) too_large: u64,
    /// Requests refused because rules asked each other too deep.
    pub(crate) too_deep: u64,
}

/// Makes requests for rules. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetcher {
    inner: Arc<Inner>,
    runtime: Handle,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

struct Inner {
    names: Names,
    at_once: Semaphore,
    waiting: Semaphore,
    idle: Mutex<Idle>,
    /// Made with the first request that needs it.
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    held: AtomicUsize,
    depths: Arc<Depths>,
    requests: AtomicU64,
    connections: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    too_large: AtomicU64,
    too_deep: AtomicU64,
}

/// Idle connections by server.
#[derive(Default)]
struct Idle {
    servers: HashMap<Server, Vec<(Sender, Instant)>>,
    count: usize,
    /// A task throws away what is idle too long.
    swept: bool,
}

/// Ends the task when the rule does not wait any more.
struct Task(JoinHandle<Result<Fetched, String>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fetcher {
    /// Requests run on `runtime`; servers are found by `names`. `roots`: authorities instead of the machine's.
    pub(crate) fn new(names: Names, runtime: Handle, roots: Option<RootCertStore>) -> Self {
        let tls = OnceLock::new();
        if let Some(roots) = roots {
            tls.get_or_init(|| client_config(roots));
        }
        let inner = Inner {
            names,
            at_once: Semaphore::new(MOST_AT_ONCE),
            waiting: Semaphore::new(MOST_WAITING),
            idle: Mutex::default(),
            tls,
            held: AtomicUsize::new(0),
            depths: Arc::default(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            too_deep: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner), runtime }
    }

    /// Makes a request for a rule that a request of `client` runs. The error is what the rule gets to see. Dropping the future
    /// ends the request.
    pub(crate) async fn fetch(&self, fetch: Fetch, client: SocketAddr) -> Result<Fetched, String> {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::clone(&self.inner);
        let depth = inner.depths.of(client) + 1;
        if depth > MOST_DEPTH {
            self.inner.too_deep.fetch_add(1, Ordering::Relaxed);
            self.inner.failed.fetch_add(1, Ordering::Relaxed);
            return Err(format!("rules ask servers whose rules ask servers, more than {MOST_DEPTH} deep"));
        }
        let mut task = Task(self.runtime.spawn(async move { inner.within_time(fetch, depth).await }));
        let result = (&mut task.0).await.unwrap_or_else(|_| Err("the process is ending".to_owned()));
        if result.is_err() {
            self.inner.failed.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Counters since the process started.
    pub(crate) fn counters(&self) -> FetchCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FetchCounters {
            requests: read(&self.inner.requests),
            connections: read(&self.inner.connections),
            failed: read(&self.inner.failed),
            refused: read(&self.inner.refused),
            too_large: read(&self.inner.too_large),
            too_deep: read(&self.inner.too_deep),
        }
    }
}

/// Verifies servers by `roots`.
fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Inner {
    async fn within_time(self: Arc<Self>, fetch: Fetch, depth: u8) -> Result<Fetched, String> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(format!("{MOST_WAITING} requests of rules are in progress already"));
        };
        let limit = fetch.timeout.unwrap_or(TIMEOUT).min(LONGEST_TIMEOUT);
        let run = async {
            let _permit = self.at_once.acquire().await;
            Box::pin(self.run(fetch, depth)).await
        };
        tokio::time::timeout(limit, run)
            .await
            .unwrap_or_else(|_| Err(format!("timeout: no complete response within {limit:?}")))
    }

    async fn run(self: &Arc<Self>, fetch: Fetch, depth: u8) -> Result<Fetched, String> {
        let target = target(&fetch.url)?;
        // What one rule trusts is nothing to another.
        let shares = fetch.trusted.is_none() && matches!(fetch.method, "GET" | "HEAD" | "DELETE");
        if shares {
            while let Some(mut sender) = self.take_idle(&target) {
                // Closed since: the next one, or a fresh one.
                if sender.requests.ready().await.is_err() {
                    continue;
                }
                match sender.send(message::request(&fetch, &target)?, depth).await {
                    Ok(response) => return self.finish(&target, sender, response, shares).await,
                    // The server closed it while the request was on its way: it has not seen the request, or will
                    // see it twice, which these methods allow.
                    Err(error)
                        if error.is_canceled() || error.is_closed() || error.is_incomplete_message() => {}
                    Err(error) => return Err(message::describe(&error)),
                }
            }
        }
        let mut sender = self.connect(&target, fetch.trusted.as_deref()).await?;
        let response = sender.send(message::request(&fetch, &target)?, depth).await;
        let response = response.map_err(|error| message::describe(&error))?;
        self.finish(&target, sender, response, shares).await
    }

    /// Reads the body and keeps the connection if it may be used again.
    async fn finish(
        self: &Arc<Self>,
        target: &Target,
        sender: Sender,
        response: Response<Incoming>,
        shares: bool,
    ) -> Result<Fetched, String> {
        let (head, mut body) = response.into_parts();
        let mut fetched = message::fetched(&head);
        // hyper looks at its own bound when it has read more than one piece only.
        if fetched.head.len() > MOST_HEAD {
            self.too_large.fetch_add(1, Ordering::Relaxed);
            return Err(format!("the header section of the response is longer than {MOST_HEAD} bytes"));
        }
        let mut held = Held { inner: self, bytes: 0 };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| message::describe(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if fetched.body.len() + data.len() > MOST_BODY || !held.more(data.len()) {
                self.too_large.fetch_add(1, Ordering::Relaxed);
                return Err(if fetched.body.len() + data.len() > MOST_BODY {
                    format!("the body of the response is longer than {MOST_BODY} bytes")
                } else {
                    format!("the responses to rules are together longer than {MOST_HELD} bytes")
                });
            }
            fetched.body.extend_from_slice(data);
        }
        if shares {
            self.keep_idle(target, sender);
        }
        Ok(fetched)
    }

    async fn connect(&self, target: &Target, trusted: Option<&[Vec<u8>]>) -> Result<Sender, String> {
        let stream = dial(&self.names, target.host.as_bytes(), target.port).await?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        let from = stream.local_addr().map_err(|error| error.to_string())?;
        let requests = if target.tls {
            self.shake_hands(target, stream, trusted).await?
        } else {
            handshake(stream).await?
        };
        Ok(Sender { requests, mark: self.depths.opened(from) })
    }

    /// `trusted`: certificates (DER) that alone count.
    async fn shake_hands(
        &self,
        target: &Target,
        stream: TcpStream,
        trusted: Option<&[Vec<u8>]>,
    ) -> Result<SendRequest<Full<Bytes>>, String> {
        let name = ServerName::try_from(target.host.to_string())
            .map_err(|_| format!("{} cannot be the name of a TLS server", target.host))?;
        let config = match trusted {
            None => self.tls.get_or_init(|| client_config(native_roots())).clone()?,
            Some(certificates) => {
                let certificates = certificates.iter().map(|der| CertificateDer::from(der.clone()));
                Trusted::Only(certificates.collect()).config(&name)?
            }
        };
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS with {}: {error}", target.host))?;
        handshake(stream).await
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self, target: &Target) -> Option<Sender> {
        let mut idle = self.idle();
        let place = idle.servers.get_mut(&target.server())?;
        let (sender, _) = place.pop()?;
        idle.count -= 1;
        Some(sender)
    }

    fn keep_idle(self: &Arc<Self>, target: &Target, sender: Sender) {
        let mut idle = self.idle();
        if sender.requests.is_closed() || idle.count >= MOST_IDLE {
            return;
        }
        let place = idle.servers.entry(target.server()).or_default();
        if place.len() >= MOST_IDLE_PER_SERVER {
            return;
        }
        place.push((sender, Instant::now()));
        idle.count += 1;
        if !std::mem::replace(&mut idle.swept, true) {
            drop(tokio::spawn(Arc::clone(self).sweep()));
        }
    }

    /// Throws away connections that are idle too long, until none is left.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE_TIME / 2).await;
            let mut idle = self.idle();
            idle.servers.retain(|_, connections| {
                connections
                    .retain(|(sender, since)| !sender.requests.is_closed() && since.elapsed() < IDLE_TIME);
                !connections.is_empty()
            });
            idle.count = idle.servers.values().map(Vec::len).sum();
            if idle.count == 0 {
                idle.swept = false;
                return;
            }
        }
    }
}

/// Begins HTTP/1.1 on a connection. A task of the runtime drives it until both sides are done with it.
async fn handshake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let begun = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_FIELDS)
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = begun.map_err(|error| message::describe(&error))?;
    drop(tokio::spawn(async move {
        // Whoever waits for the response hears of it.
        drop(connection.await);
    }));
    Ok(sender)
}

/// A share of [`MOST_HELD`].
struct Held<'a> {
    inner: &'a Inner,
    bytes: usize,
}

impl Held<'_> {
    fn more(&mut self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= MOST_HELD);
        let taken = self.inner.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.inner.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
