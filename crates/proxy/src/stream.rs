//! One connection's byte stream, with or without TLS, to a client or to a node.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use rustls::{ProtocolVersion, ServerConnection};
use tidegate_telemetry::access_log::TlsSession;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use crate::{bandwidth::Limited, buffer::Buffer, socket::Socket, tls::choose::Shown};

/// A plain or TLS byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP as it is.
    Plain(Socket),
    /// TLS over TCP; boxed, because its state is large and plain connections should not pay for it.
    Tls(Box<Tls>),
    /// One of the above, of which a bandwidth class limits what is written.
    Limited(Box<Limited>),
    /// Nothing: the socket has gone into a handshake or is closed.
    Closed,
}

/// A TLS stream, and what happens when it is dropped.
#[derive(Debug)]
pub(crate) struct Tls {
    stream: TlsStream<Socket>,
    /// Whether the peer is told first, as far as the socket takes it at once (`ssl.send_close_alerts`). Client
    /// connections are shut down in their own time.
    alerts: bool,
    /// The certificate that a client was shown.
    shown: Option<Arc<Shown>>,
}

impl Drop for Tls {
    fn drop(&mut self) {
        if self.alerts
            && let TlsStream::Client(stream) = &mut self.stream
        {
            let (socket, session) = stream.get_mut();
            session.send_close_notify();
            // The connection goes either way.
            drop(session.write_tls(&mut AtOnce(socket)));
        }
    }
}

impl Stream {
    /// A stream over TLS; with `alerts`, dropping it sends close_notify.
    pub(crate) fn tls(stream: impl Into<TlsStream<Socket>>, alerts: bool) -> Self {
        Self::Tls(Box::new(Tls { stream: stream.into(), alerts, shown: None }))
    }

    /// A client's stream over TLS, which was shown a certificate.
    pub(crate) fn of_client(stream: impl Into<TlsStream<Socket>>, shown: Option<Arc<Shown>>) -> Self {
        Self::Tls(Box::new(Tls { stream: stream.into(), alerts: false, shown }))
    }

    /// The certificate that a client was shown.
    pub(crate) fn shown(&self) -> Option<&Shown> {
        match self {
            Self::Tls(tls) => tls.shown.as_deref(),
            Self::Limited(limited) => limited.stream.shown(),
            Self::Plain(_) | Self::Closed => None,
        }
    }

    /// The TLS connection of a client.
    pub(crate) fn server_tls(&self) -> Option<&ServerConnection> {
        match self {
            Self::Tls(tls) => match &tls.stream {
                TlsStream::Server(stream) => Some(stream.get_ref().1),
                TlsStream::Client(_) => None,
            },
            Self::Limited(limited) => limited.stream.server_tls(),
            Self::Plain(_) | Self::Closed => None,
        }
    }

    /// Our end of the connection.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(socket) => socket.local_address(),
            Self::Tls(tls) => tls.stream.get_ref().0.local_address(),
            Self::Limited(limited) => limited.stream.local_address(),
            Self::Closed => None,
        }
    }

    /// Version and cipher suite of the TLS session.
    pub(crate) fn tls_session(&self) -> Option<TlsSession<'_>> {
        let Self::Tls(tls) = self.unlimited() else { return None };
        let (_, connection) = tls.stream.get_ref();
        Some(TlsSession {
            version: match connection.protocol_version()? {
                ProtocolVersion::TLSv1_2 => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: connection.negotiated_cipher_suite()?.suite().as_str()?,
        })
    }

    /// Reads what is there; 0 means the peer has finished sending.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Closed => Poll::Ready(Ok(0)),
            Self::Plain(socket) => socket.poll_read_slice(cx, buf),
            Self::Limited(limited) => limited.stream.poll_read(cx, buf),
            Self::Tls(tls) => {
                let mut into = ReadBuf::new(buf);
                match ready!(Pin::new(&mut tls.stream).poll_read(cx, &mut into)) {
                    Ok(()) => Poll::Ready(Ok(into.filled().len())),
                    Err(error) => Poll::Ready(Err(error)),
                }
            }
        }
    }

    /// Reads what is there into `buffer`, at most `limit` bytes; 0 means the peer has finished sending, or that the
    /// buffer is full. An empty buffer holds no memory while the peer is awaited.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if let Self::Plain(socket) = self {
            return socket.poll_fill(cx, buffer, limit);
        }
        let polled = self.poll_read(cx, buffer.room(limit));
        buffer.fill(match &polled {
            Poll::Ready(Ok(n)) => *n,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        });
        polled
    }

    /// Writes `bytes` as far as possible. TLS may buffer: call [`Stream::poll_flush`] when done.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Self::Plain(socket) => socket.poll_write_slices(cx, &[IoSlice::new(bytes)]),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, bytes),
            Self::Limited(limited) => limited.poll_write(cx, bytes),
        }
    }

    /// Sends what TLS still holds.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Closed => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
            Self::Limited(limited) => limited.stream.poll_flush(cx),
        }
    }

    /// Tells the peer that no more bytes follow (close_notify, then FIN).
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Closed => Poll::Ready(Ok(())),
            Self::Plain(socket) => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
            Self::Limited(limited) => limited.stream.poll_shutdown(cx),
        }
    }

    /// Whether an idle connection may no longer be used: the peer closed it or sent something unasked.
    pub(crate) fn is_stale(&mut self) -> bool {
        // What rustls has decrypted and nobody read is as much out of place as bytes in the socket.
        if let Self::Tls(tls) = self.unlimited()
            && !tls.stream.get_ref().1.wants_read()
        {
            return true;
        }
        self.socket().is_none_or(Socket::is_stale)
    }

    /// Ready once the peer has reset the connection; see [`Socket::poll_reset`].
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.socket() {
            Some(socket) => socket.poll_reset(cx),
            None => Poll::Ready(()),
        }
    }

    /// Whether there is neither TLS nor a limit on it, so that the kernel can move its bytes.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether the peer speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.unlimited(), Self::Tls(_))
    }

    /// Whether a bandwidth class limits what is written.
    pub(crate) fn is_limited(&self) -> bool {
        matches!(self, Self::Limited(limited) if limited.is_at_work())
    }

    /// The stream below a limit, which has no say in what is read.
    pub(crate) fn unlimited(&self) -> &Self {
        match self {
            Self::Limited(limited) => &limited.stream,
            own => own,
        }
    }

    /// [`Stream::unlimited`], to read from.
    pub(crate) fn unlimited_mut(&mut self) -> &mut Self {
        match self {
            Self::Limited(limited) => &mut limited.stream,
            own => own,
        }
    }

    /// The socket below.
    pub(crate) fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(tls) => Some(tls_socket(&mut tls.stream)),
            Self::Limited(limited) => limited.stream.socket(),
            Self::Closed => None,
        }
    }
}

/// Writes what the socket takes without waiting.
struct AtOnce<'a>(&'a mut Socket);

impl io::Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        match self.0.poll_write_slices(&mut cx, &[IoSlice::new(bytes)]) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tls_socket(tls: &mut TlsStream<Socket>) -> &mut Socket {
    match tls {
        TlsStream::Server(stream) => stream.get_mut().0,
        TlsStream::Client(stream) => stream.get_mut().0,
    }
}
