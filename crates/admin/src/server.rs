//! The socket of the interface: accept, TLS, HTTP/1.1, the guard, and bodies within their bounds.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::{
    answer::Answer,
    api::{Api, Asked, EXPLAIN, MAX_ARCHIVE_BODY},
    body::{Body, LARGE, Place},
    certificate::{Followed, Transport},
    connections::{self, Connections},
    guard::{Guard, Verdict},
    request::Target,
};

/// Longest TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a request head, idle time between requests included.
const HEAD_LIMIT: Duration = Duration::from_mins(1);
/// Longest time for a body.
const BODY_LIMIT: Duration = Duration::from_mins(2);
/// Longest life of a connection.
const CONNECTION_LIMIT: Duration = Duration::from_hours(1);
/// Largest request head, bytes.
const MAX_HEAD: usize = 64 << 10;
/// How often the files of the certificate are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(2);
/// Pause before the address is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);
/// Pause after an accept that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Backlog of the listening socket.
const BACKLOG: i32 = 256;

/// Everything a connection needs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) api: Api,
    pub(crate) guard: Arc<Guard>,
    /// `None`: no TLS. Replaced when the files it was read from change.
    tls: Option<ArcSwap<ServerConfig>>,
    /// On all addresses together.
    connections: Arc<Connections>,
}

impl Server {
    pub(crate) fn new(api: Api, guard: Guard, tls: Option<Arc<ServerConfig>>) -> Self {
        let tls = tls.map(ArcSwap::new);
        Self { api, guard: Arc::new(guard), tls, connections: Arc::default() }
    }

    /// Reads the files of the certificate again and again: they are renewed while we run. Connections keep what they
    /// were made with.
    pub(crate) async fn follow_certificate(&self, transport: Transport) {
        let (Some(mut followed), Some(tls)) = (Followed::new(&transport), &self.tls) else { return };
        // Between the start and the first look they may have changed already: that look takes them in any case.
        let mut first = true;
        loop {
            let looked = spawn_blocking(move || {
                let changed = followed.changed();
                (followed, changed)
            });
            let Ok((again, changed)) = looked.await else { return };
            followed = again;
            match changed {
                Some(Ok(config)) => {
                    tls.store(config);
                    if !first {
                        info!("REST: the certificate was read again");
                    }
                }
                Some(Err(reason)) => warn!("REST: the certificate stays as it was: {reason}"),
                None => {}
            }
            first = false;
            tokio::time::sleep(CERTIFICATE_LOOK).await;
        }
    }

    /// Serves `addresses` for as long as the task lives.
    pub(crate) async fn run(self: Arc<Self>, addresses: Vec<SocketAddr>) {
        // Dropped with this task.
        let mut serving = tokio::task::JoinSet::new();
        for address in addresses {
            serving.spawn(Arc::clone(&self).serve(address));
        }
        while serving.join_next().await.is_some() {}
    }

    /// An address that cannot be had is told and tried again: the process before this one may still have it.
    async fn serve(self: Arc<Self>, address: SocketAddr) {
        let mut told = false;
        let listener = loop {
            match listen(address) {
                Ok(listener) => break listener,
                Err(error) => {
                    if !told {
                        warn!("REST cannot listen on {address} ({error}); trying again every second");
                        told = true;
                    }
                    tokio::time::sleep(BIND_AGAIN).await;
                }
            }
        };
        let shown = listener.local_addr().unwrap_or(address);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        info!("REST: {scheme}://{shown}/api/");
        self.accept(listener).await;
    }

    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        // Dropped with this task: connections end with the interface.
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            while tasks.try_join_next().is_some() {}
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!("REST: a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let server = Arc::clone(&self);
            let place = Arc::new(self.connections.enter(peer.ip()).await);
            tasks.spawn(async move {
                let served = server.connection(stream, peer.ip(), Arc::clone(&place));
                tokio::select! {
                    _ = tokio::time::timeout(CONNECTION_LIMIT, served) => {}
                    () = place.is_to_go() => debug!(peer = %peer.ip(), "REST: a silent connection was closed"),
                }
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr, place: Arc<connections::Place>) {
        // Without it answers wait for acknowledgements.
        drop(stream.set_nodelay(true));
        match &self.tls {
            None => Arc::clone(&self).requests(stream, peer, place).await,
            Some(config) => {
                let acceptor = TlsAcceptor::from(config.load_full());
                match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => Arc::clone(&self).requests(stream, peer, place).await,
                    Ok(Err(error)) => debug!(%peer, "REST: a TLS handshake failed: {error}"),
                    Err(_) => debug!(%peer, "REST: a TLS handshake took too long"),
                }
            }
        }
    }

    async fn requests(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: IpAddr,
        place: Arc<connections::Place>,
    ) {
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, place) = (Arc::clone(&self), Arc::clone(&place));
            async move { Ok::<_, Infallible>(server.answer(request, peer, &place).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            debug!(%peer, "REST: a connection broke off: {error}");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        place: &connections::Place,
    ) -> Response<Full<Bytes>> {
        place.asks();
        let asks = request.uri().path().trim_end_matches('/') == EXPLAIN;
        let writes = !asks && !matches!(*request.method(), Method::GET | Method::HEAD);
        let written = writes.then(|| (request.method().clone(), request.uri().path().to_owned()));
        let authorization = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes().to_vec());
        let verdict = self.guard.judge(authorization.as_deref(), peer).await;
        match verdict {
            Verdict::Welcome => place.welcome(),
            _ => place.refused(),
        }
        let answer = match verdict {
            Verdict::Welcome => self.admitted(request).await,
            Verdict::Stranger => {
                Answer::refused("auth.invalid", "user or password is missing or wrong (HTTP Basic)")
            }
            Verdict::Later(seconds) => {
                let text = "too many failed logins from this address; try again later";
                let mut answer = Answer::refused("auth.throttled", text);
                answer.retry_after = Some(seconds);
                answer
            }
            Verdict::Busy => Answer::refused("service.busy", "too many logins at a time; try again"),
        };
        let mut answer = answer;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.retry_after = Some(1);
        }
        if let Some((method, path)) = written
            && answer.status != StatusCode::UNAUTHORIZED
        {
            // Who changed what. A target is printable ASCII by its syntax.
            info!(%peer, status = answer.status.as_u16(), "REST: {method} {path}");
        }
        let mut response = answer.into_response();
        if verdict != Verdict::Welcome {
            // Places are for those who come in.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn admitted(&self, request: Request<Incoming>) -> Answer {
        let Some(target) = Target::read(request.uri().path(), request.uri().query()) else {
            return Answer::not_found();
        };
        let (head, body) = request.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut asked = Asked {
            // RFC 9110 section 9.3.2: as GET, and hyper leaves the body out.
            method: if head.method == Method::HEAD { Method::GET } else { head.method },
            target,
            media_type: text(CONTENT_TYPE).map(|value| essence(&value)),
            accept: text(ACCEPT).unwrap_or_default(),
            body: Body::default(),
        };
        if matches!(asked.method, Method::PUT | Method::POST) {
            let limit = match self.api.body_limit(&asked) {
                Ok(limit) => limit,
                Err(answer) => return answer,
            };
            match self.body(body, limit).await {
                Ok(body) => asked.body = body,
                Err(answer) => return answer,
            }
        }
        self.api.answer(asked).await
    }

    async fn body(&self, body: Incoming, limit: usize) -> Result<Body, Answer> {
        let too_large =
            || Answer::refused("resource.too_large", format!("the body may have at most {limit} bytes"));
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(too_large());
        }
        // Bodies of unknown length count as large where they may become so.
        let is_large = limit > LARGE && body.size_hint().exact().is_none_or(|size| size > LARGE as u64);
        let place = match (is_large, limit >= MAX_ARCHIVE_BODY) {
            (false, _) => Ok(Place::default()),
            (true, false) => self.api.large.body().await,
            (true, true) => self.api.large.archive().await,
        };
        let place = place.map_err(|refusal| Answer::refusal(&refusal))?;
        let mut bytes = Vec::with_capacity(announced as usize);
        let read = async {
            let mut body = Limited::new(body, limit);
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    bytes.extend_from_slice(&data);
                }
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        match tokio::time::timeout(BODY_LIMIT, read).await {
            Ok(Ok(())) => Ok(Body::new(bytes, place)),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err(Answer::refused("http.body", format!("the body broke off: {error}"))),
            Err(_) => Err(Answer::refused("http.timeout", "the body took too long")),
        }
    }
}

/// A media type without its parameters, in lower case.
fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// One process at a time has the address: two would share the connections and each know its own writes only.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests;
