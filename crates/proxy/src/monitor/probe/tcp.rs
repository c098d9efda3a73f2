//! Connections of probes, plain or TLS, and the probes `connect` and `tcp_transaction`.

use std::net::SocketAddr;

use regex::bytes::Regex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Destination, excerpt, in_words, regex};

/// Most bytes of an answer that are read, whatever `max_response_len` says.
const MAX_RESPONSE: usize = 1 << 20;

/// Bytes read at a time.
const READ: usize = 4096;

/// A connection of a probe.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads into the end of `buffer`, at most [`READ`] bytes and never past `limit` in all. 0 at the end of the stream, or
    /// when the limit is reached.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize, String> {
        async fn from(
            stream: &mut (impl AsyncRead + Unpin),
            buffer: &mut Vec<u8>,
            most: usize,
        ) -> std::io::Result<usize> {
            let start = buffer.len();
            buffer.resize(start + most, 0);
            let read = stream.read(&mut buffer[start..]).await;
            buffer.truncate(start + *read.as_ref().unwrap_or(&0));
            read
        }
        let most = READ.min(limit.saturating_sub(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let read = match self {
            Self::Plain(stream) => from(stream, buffer, most).await,
            Self::Tls(stream) => from(stream, buffer, most).await,
        };
        match read {
            // Servers that close without a TLS alert have still ended their answer.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            read => read.map_err(|error| in_words(&error)),
        }
    }

    /// Writes everything.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        async fn to(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
            stream.write_all(bytes).await?;
            stream.flush().await
        }
        match self {
            Self::Plain(stream) => to(stream, bytes).await,
            Self::Tls(stream) => to(stream, bytes).await,
        }
        .map_err(|error| in_words(&error))
    }

    /// Ends the sending side. Faults do not matter any more.
    pub(super) async fn finish(&mut self) {
        let finished = match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        };
        if let Err(error) = finished {
            tracing::trace!(%error, "a probe's connection did not end cleanly");
        }
    }
}

/// Connects, with a TLS handshake where the destination asks for one. `host` is the name the request is for, without port.
pub(super) async fn connect(
    to: &Destination,
    socket: SocketAddr,
    host: Option<&str>,
) -> Result<Stream, String> {
    let stream = TcpStream::connect(socket).await.map_err(|error| in_words(&error))?;
    let Some(tls) = &to.tls else { return Ok(Stream::Plain(stream)) };
    let (config, name) = tls.session(socket, to.name.as_deref(), host.map(str::as_bytes));
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| format!("TLS handshake failed: {}", in_words(&error)))?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// `tcp_transaction`: say something, wait for an answer that matches, say goodbye.
#[derive(Debug)]
pub(crate) struct Transaction {
    write: Box<[u8]>,
    response: Regex,
    close: Box<[u8]>,
    limit: usize,
}

impl Transaction {
    /// `max_response_len` 0 means the built-in limit.
    pub(super) fn compile(
        write: &[u8],
        response: &str,
        close: &[u8],
        max_response_len: usize,
    ) -> Result<Self, String> {
        let limit = if max_response_len == 0 { MAX_RESPONSE } else { max_response_len.min(MAX_RESPONSE) };
        Ok(Self { write: write.into(), response: regex(response)?, close: close.into(), limit })
    }

    pub(super) async fn run(&self, to: &Destination, socket: SocketAddr) -> Result<(), String> {
        let mut stream = connect(to, socket, None).await?;
        if !self.write.is_empty() {
            stream.write(&self.write).await?;
        }
        let mut answer = Vec::new();
        while !self.response.is_match(&answer) {
            if stream.read(&mut answer, self.limit).await? == 0 {
                return Err(if answer.is_empty() {
                    "connection closed without an answer".to_owned()
                } else {
                    format!("the answer {} does not match `{}`", excerpt(&answer), self.response.as_str())
                });
            }
        }
        if !self.close.is_empty()
            && let Err(error) = stream.write(&self.close).await
        {
            tracing::trace!(%error, "a probe's closing words were not wanted");
        }
        stream.finish().await;
        Ok(())
    }
}
