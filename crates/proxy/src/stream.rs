//! One connection's byte stream, with or without TLS, to a client or to a node.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::ProtocolVersion;
use tidegate_telemetry::access_log::TlsSession;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use crate::socket::Socket;

/// A plain or TLS byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP as it is.
    Plain(Socket),
    /// TLS over TCP; boxed, because its state is large and plain connections should not pay for it.
    Tls(Box<TlsStream<Socket>>),
    /// Nothing: the socket has gone into a handshake or is closed.
    Closed,
}

impl Stream {
    /// Version and cipher suite of the TLS session.
    pub(crate) fn tls_session(&self) -> Option<TlsSession<'_>> {
        let Self::Tls(tls) = self else { return None };
        let (_, connection) = tls.get_ref();
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
            Self::Tls(tls) => {
                let mut into = ReadBuf::new(buf);
                match ready!(Pin::new(tls).poll_read(cx, &mut into)) {
                    Ok(()) => Poll::Ready(Ok(into.filled().len())),
                    // A peer that closes TCP without a close_notify: framing decides whether that is a fault.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                    Err(error) => Poll::Ready(Err(error)),
                }
            }
        }
    }

    /// Writes `bytes` as far as possible. TLS may buffer: call [`Stream::poll_flush`] when done.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Self::Plain(socket) => socket.poll_write_slices(cx, &[IoSlice::new(bytes)]),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    /// Sends what TLS still holds.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Closed => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    /// Tells the peer that no more bytes follow (close_notify, then FIN).
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Closed => Poll::Ready(Ok(())),
            Self::Plain(socket) => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    /// Whether an idle connection may no longer be used: the peer closed it or sent something unasked.
    pub(crate) fn is_stale(&mut self) -> bool {
        self.socket().is_none_or(Socket::is_stale)
    }

    /// Whether there is no TLS on it, so that the kernel can move its bytes.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// The socket below.
    pub(crate) fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(tls) => Some(tls_socket(tls)),
            Self::Closed => None,
        }
    }
}

fn tls_socket(tls: &mut TlsStream<Socket>) -> &mut Socket {
    match tls {
        TlsStream::Server(stream) => stream.get_mut().0,
        TlsStream::Client(stream) => stream.get_mut().0,
    }
}
