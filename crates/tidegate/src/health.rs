//! The health address: `/livez` and `/readyz` over HTTP/1.1.
//!
//! In flows what the control loop says of readiness, out flow 200 or 503 with a text that lists what is
//! missing. The socket allows a second process beside it, so that during a surge update of a pod on the host
//! network the new one can answer before the old one has gone.

use std::{convert::Infallible, fmt::Write as _, io, net::SocketAddr, sync::Arc, time::Duration};

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
    sync::{Semaphore, watch},
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
/// Backlog of the listening socket.
const BACKLOG: i32 = 128;

/// Whether traffic should be sent here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// What is still waited for, each as a sentence without a full stop; nothing = ready.
    pub(crate) missing: Vec<String>,
}

impl Readiness {
    /// Before anything was read.
    pub(crate) fn starting() -> Self {
        Self { missing: vec!["the documents are being read for the first time".to_owned()] }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Serves `address` for as long as the task lives. An address that cannot be had is logged and tried again.
pub(crate) async fn serve(address: SocketAddr, readiness: watch::Receiver<Readiness>) {
    let mut told = false;
    let listener = loop {
        match listen(address) {
            Ok(listener) => break listener,
            Err(error) => {
                if !told {
                    warn!(
                        "the health address {address} cannot be opened ({error}); trying again every second"
                    );
                    told = true;
                }
                tokio::time::sleep(BIND_AGAIN).await;
            }
        }
    };
    let shown = listener.local_addr().unwrap_or(address);
    info!("health: http://{shown}/livez and http://{shown}/readyz");
    accept(listener, readiness).await;
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, readiness: watch::Receiver<Readiness>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let readiness = readiness.clone();
        tokio::spawn(async move {
            drop(tokio::time::timeout(CONNECTION_LIMIT, serve_connection(stream, readiness)).await);
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, readiness: watch::Receiver<Readiness>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &readiness.borrow());
        async move { Ok::<_, Infallible>(answer) }
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

/// The answer to one probe.
fn answer(method: &Method, path: &str, readiness: &Readiness) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/livez" | "/readyz" if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned())
        }
        "/livez" => (StatusCode::OK, "alive\n".to_owned()),
        "/readyz" if readiness.is_ready() => (StatusCode::OK, "ready\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, not_ready(readiness)),
        _ => (StatusCode::NOT_FOUND, "there are /livez and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Lines of a readiness answer.
const MAX_LINES: usize = 100;

fn not_ready(readiness: &Readiness) -> String {
    let mut text = "not ready:\n".to_owned();
    for missing in readiness.missing.iter().take(MAX_LINES) {
        text.push_str("- ");
        text.push_str(missing);
        text.push('\n');
    }
    if let Some(more) = readiness.missing.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        // Writing to a string cannot fail.
        _ = writeln!(text, "- and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn answers() {
        let waiting = Readiness { missing: vec!["pool p has no answer from discovery yet".to_owned()] };
        for (method, path, readiness, status) in [
            (Method::GET, "/livez", &waiting, 200),
            (Method::GET, "/readyz", &waiting, 503),
            (Method::GET, "/readyz", &Readiness::default(), 200),
            (Method::HEAD, "/readyz", &Readiness::default(), 200),
            (Method::POST, "/readyz", &Readiness::default(), 405),
            (Method::GET, "/", &Readiness::default(), 404),
        ] {
            assert_eq!(answer(&method, path, readiness).status().as_u16(), status, "{method} {path}");
        }
        assert_eq!(not_ready(&waiting), "not ready:\n- pool p has no answer from discovery yet\n");
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn readiness_follows_what_the_control_loop_says() {
        let (sender, receiver) = watch::channel(Readiness::starting());
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, receiver));
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").await.contains("read for the first time"));
        sender.send_replace(Readiness::default());
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        // A second process may take the same address.
        listen(address).unwrap();
        task.abort();
    }
}
