//! What comes before the first request of a client connection: the PROXY header and the TLS handshake.

use std::{
    future::{Future, poll_fn},
    hint::cold_path,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    task::Poll,
};

use tidegate_http1::proxy_header;
use tidegate_model::{tls::ClientHeaders, virtual_server::ProxyProtocol};
use tidegate_telemetry::logging::EventLimit;
use tokio::io::Interest;
use tokio_rustls::{LazyConfigAcceptor, rustls::server::Acceptor};

use super::{Client, Hurry, ToldTls};
use crate::{
    aside::aside,
    socket::Socket,
    stream::Stream,
    tally,
    tls::{choose::take_shown, headers},
};

/// Clients decide how many of these events there are.
static HANDSHAKES: EventLimit = EventLimit::new();
static PROXY_HEADERS: EventLimit = EventLimit::new();

impl Client {
    /// PROXY header and TLS handshake, within `connect_timeout`. `None` = the connection is dropped.
    pub(super) async fn open(&mut self) -> Option<()> {
        let settings = Arc::clone(&self.server.settings);
        self.deadline.arm(settings.connect_timeout.map(|limit| self.worker.now().after(limit)));
        if settings.proxy_protocol != ProxyProtocol::Off {
            cold_path();
            aside(self.read_proxy_header(settings.proxy_protocol)).await?;
        }
        if self.local.ip().is_unspecified() {
            self.local = self.stream.socket().and_then(|socket| socket.local_address()).unwrap_or(self.local);
        }
        if self.server.tls.is_some() {
            // The handshake's state is large, and gone by the first request.
            aside(self.shake_hands()).await?;
        }
        self.compose_added_lines();
        Some(())
    }

    /// Looks at the first bytes without taking them, and takes exactly the PROXY header: what follows may be a
    /// TLS handshake.
    async fn read_proxy_header(&mut self, mode: ProxyProtocol) -> Option<()> {
        let mut buffer = self.worker.buffers.lend();
        let socket = self.stream.socket()?;
        let mut hurry = Hurry::default();
        let found = poll_fn(|cx| {
            let found = socket.poll_io(cx, Interest::READABLE, |fd| {
                let seen = peek(fd, buffer.room(proxy_header::LONGEST))?;
                match proxy_header::parse(buffer.room(seen)) {
                    Ok(None) if seen == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                    decided => Ok(decided),
                }
            });
            match found {
                Poll::Ready(found) => Poll::Ready(found.ok()),
                Poll::Pending => {
                    hurry.look(&self.worker, &self.deadline);
                    self.deadline.poll_passed(cx).map(|()| None)
                }
            }
        })
        .await?;
        match found {
            Ok(Some((header, length))) => {
                // The bytes were seen a moment ago: they are there.
                take(socket, buffer.room(length)).ok()?;
                self.peer = header.source.unwrap_or(self.peer);
                self.local = header.destination.unwrap_or(self.local);
                Some(())
            }
            Ok(None) => None,
            Err(_) if mode == ProxyProtocol::Optional => Some(()),
            Err(error) => {
                self.server.counters.shard(self.worker.index).proxy_header_failures.add(1);
                if let Some(held_back) = PROXY_HEADERS.admit(self.worker.now()) {
                    tracing::info!(virtual_server = %self.server.name(), client = %self.peer, %error, held_back, "dropped a connection without a valid PROXY header");
                }
                None
            }
        }
    }

    async fn shake_hands(&mut self) -> Option<()> {
        let tls = Arc::clone(self.server.tls.as_ref()?);
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::Closed) else { return None };
        let local = self.local;
        let identified = tls.settings().add_http_headers || self.server.rules.are_some();
        let wanted = identified || tls.settings().client_headers != ClientHeaders::None;
        let mut handshake = std::pin::pin!(async {
            let started = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            let config = tls.config_for(local, started.client_hello().cipher_suites());
            let mut session = None;
            let prepare = |connection: &mut _| session = headers::prepare(connection, identified);
            let stream = started.into_stream_with(Arc::clone(config), prepare).await?;
            Ok::<_, io::Error>((stream, session))
        });
        let mut hurry = Hurry::default();
        let mut shown = None;
        let shaken = poll_fn(|cx| {
            let polled = handshake.as_mut().poll(cx);
            shown = take_shown().or_else(|| shown.take());
            match polled {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => {
                    hurry.look(&self.worker, &self.deadline);
                    self.deadline.poll_passed(cx).map(|()| None)
                }
            }
        })
        .await;
        match shaken {
            Some(Ok((stream, session))) => {
                tally::shaken(self, stream.get_ref().1);
                let connection = stream.get_ref().1;
                self.told_tls = wanted.then(|| {
                    let lines = headers::client_headers(connection, tls.settings(), session);
                    Box::new(ToldTls { lines, id: headers::session_id(connection, session) })
                });
                self.stream = Stream::of_client(stream, shown);
                Some(())
            }
            outcome => {
                tally::not_shaken(self, outcome.as_ref().and_then(|shaken| shaken.as_ref().err()));
                if let Some(Err(error)) = outcome {
                    let server = &self.server.settings;
                    if !server.failure_log.tls {
                        tracing::debug!(virtual_server = %server.name, client = %self.peer, "a TLS handshake failed: {error}");
                    } else if let Some(held_back) = HANDSHAKES.admit(self.worker.now()) {
                        tracing::warn!(event = "sslfail", virtual_server = %server.name, client = %self.peer, held_back, "a TLS handshake failed: {error}");
                    }
                }
                None
            }
        }
    }
}

fn peek(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(fd, into, rustix::net::RecvFlags::PEEK)?.1)
}

fn take(socket: &Socket, into: &mut [u8]) -> io::Result<()> {
    rustix::net::recv(socket.as_fd(), into, rustix::net::RecvFlags::empty())?;
    Ok(())
}
