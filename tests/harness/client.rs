//! A client that sends exactly the bytes a test gives it and reads responses strictly.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    wait::within,
    wire::{self, Body, Framing, Head, Wire},
};

/// A client connection.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    local: SocketAddr,
}

/// A response with the interim ones that came before it.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// The head.
    pub head: Head,
    /// The body.
    pub body: Body,
    /// Status codes of 1xx responses before it.
    pub interim: Vec<u16>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        wire::latin(&self.body.data)
    }

    /// The value of a header that stands once at most.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head.all(name)
    }

    /// The label of the node that answered.
    pub fn node(&self) -> &str {
        self.header("X-Node").unwrap_or_default()
    }

    /// `name=value` of the cookie set whose name begins with `prefix`.
    pub fn cookie(&self, prefix: &str) -> Option<String> {
        self.headers("Set-Cookie")
            .into_iter()
            .find(|cookie| cookie.starts_with(prefix))
            .map(|cookie| cookie.split(';').next().unwrap().to_owned())
    }
}

impl Client {
    /// Connects in the clear.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// Connects in the clear, or says why not.
    pub async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = within("connect", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self { wire: Wire::new(stream), local })
    }

    /// Connects with TLS.
    pub async fn tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let stream = Self::tls_stream(address, config, name)
            .await
            .unwrap_or_else(|error| panic!("handshake with {address} for {name}: {error}"));
        let local = stream.get_ref().0.local_addr().unwrap();
        Self { wire: Wire::new(stream), local }
    }

    /// The TLS stream itself, for a look at the handshake.
    pub async fn tls_stream(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = within("connect", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        within("TLS handshake", TlsConnector::from(Arc::clone(config)).connect(name, stream)).await
    }

    /// Takes over a stream.
    pub fn over(io: impl wire::Io + 'static, local: SocketAddr) -> Self {
        Self { wire: Wire::new(io), local }
    }

    /// This end's address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends bytes. That the peer has closed meanwhile shows when reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(within("send", self.wire.send(bytes.as_ref())).await);
    }

    /// Ends the sending side.
    pub async fn finish(&mut self) {
        drop(self.wire.finish().await);
    }

    /// Sends a GET and reads its response.
    pub async fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[], b"").await
    }

    /// Sends a request with further header lines and reads its response.
    pub async fn request(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Response {
        self.send(request(method, path, headers, body)).await;
        self.response_to(method).await
    }

    /// Reads the response to `method`; fails the test if there is none.
    pub async fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method).await.unwrap_or_else(|error| panic!("no response to {method}: {error}"))
    }

    /// Reads the response to a GET.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// Reads the response to `method`.
    pub async fn try_response(&mut self, method: &str) -> io::Result<Response> {
        within("response", read_response(&mut self.wire, method)).await
    }

    /// The next head alone.
    pub async fn head(&mut self) -> Head {
        within("response head", self.wire.head()).await.unwrap().expect("a response head")
    }

    /// Exactly so many bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        within("bytes", self.wire.exactly(length)).await.unwrap()
    }

    /// Everything until the peer closes; a reset counts as closing.
    pub async fn rest(&mut self) -> Vec<u8> {
        match within("close", self.wire.rest()).await {
            Ok(rest) => rest,
            Err(_) => self.wire.buffered().to_vec(),
        }
    }

    /// Fails the test unless the peer closes without another byte.
    pub async fn closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "before closing came {:?}", wire::latin(&rest));
    }

    /// Whether the peer has closed by now, without waiting.
    pub async fn is_closed(&mut self) -> bool {
        matches!(
            tokio::time::timeout(std::time::Duration::from_millis(1), self.wire.fill()).await,
            Ok(Ok(0) | Err(_))
        )
    }

    /// The connection's bytes.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// The bytes of a request to `Host: site`.
pub fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: site\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Reads one response and the interim ones before it.
pub async fn read_response(wire: &mut Wire, method: &str) -> io::Result<Response> {
    let mut interim = Vec::new();
    loop {
        let head = wire.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = status(&head)?;
        if (100..200).contains(&status) && status != 101 {
            interim.push(status);
            continue;
        }
        let framing = match status {
            _ if method == "HEAD" => Framing::None,
            101 | 204 | 304 => Framing::None,
            _ => head.framing()?.unwrap_or(Framing::Close),
        };
        let body = wire.body(framing).await?;
        return Ok(Response { status, head, body, interim });
    }
}

fn status(head: &Head) -> io::Result<u16> {
    head.start
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{:?} is no status line", head.start))
        })
}
