//! Small pages over HTTP/1.1 for probes and scrapers: an address, a bounded number of connections, an answer per request.
//!
//! The socket allows a second process beside it, so that during a surge update of a pod on the host network the new
//! one can answer before the old one has gone.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{info, warn};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// Longest time for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a connection.
const CONNECTION_LIMIT: Duration = Duration::from_mins(1);
/// Largest request head, bytes.
const MAX_HEAD: usize = 16 << 10;
/// Pause before the address is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);
/// Pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Backlog of the listening socket.
const BACKLOG: i32 = 128;
/// Type of texts for people.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) text: String,
}

impl Page {
    /// A text for people.
    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, text: text.into() }
    }
}

/// What answers GET and HEAD of one address.
pub(crate) trait Pages: Send + Sync + 'static {
    /// What the log calls it, such as `health`, and the paths there are.
    const ABOUT: (&'static str, &'static [&'static str]);

    /// The page at `path`; `accept` is the request's `Accept`.
    fn page(&self, path: &str, accept: &str) -> impl Future<Output = Page> + Send;
}

/// Serves `address` for as long as the task lives. An address that cannot be had is logged and tried again.
pub(crate) async fn serve<P: Pages>(address: SocketAddr, pages: P) {
    let (name, paths) = P::ABOUT;
    let mut told = false;
    let listener = loop {
        match listen(address) {
            Ok(listener) => break listener,
            Err(error) => {
                if !told {
                    warn!(
                        "the {name} address {address} cannot be opened ({error}); trying again every second"
                    );
                    told = true;
                }
                tokio::time::sleep(BIND_AGAIN).await;
            }
        }
    };
    let shown = listener.local_addr().unwrap_or(address);
    let urls: Vec<String> = paths.iter().map(|path| format!("http://{shown}{path}")).collect();
    info!("{name}: {}", urls.join(" and "));
    accept(listener, Arc::new(pages)).await;
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

pub(crate) async fn accept<P: Pages>(listener: TcpListener, pages: Arc<P>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            drop(tokio::time::timeout(CONNECTION_LIMIT, serve_connection(stream, pages)).await);
            drop(place);
        });
    }
}

async fn serve_connection<P: Pages>(stream: TcpStream, pages: Arc<P>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(&request, &*pages).await) }
    });
    // A probe that breaks off is no event.
    drop(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// The answer to one request.
pub(crate) async fn answer<B, P: Pages>(request: &Request<B>, pages: &P) -> Response<Full<Bytes>> {
    let (_, paths) = P::ABOUT;
    let path = request.uri().path();
    let page = if !paths.contains(&path) {
        Page::text(StatusCode::NOT_FOUND, format!("there are {}\n", paths.join(" and ")))
    } else if matches!(*request.method(), Method::GET | Method::HEAD) {
        let accept = request.headers().get("accept").and_then(|value| value.to_str().ok());
        pages.page(path, accept.unwrap_or_default()).await
    } else {
        Page::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
    };
    let mut response = Response::new(Full::new(Bytes::from(page.text)));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if page.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
