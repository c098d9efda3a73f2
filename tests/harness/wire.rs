//! HTTP/1.1 as bytes, read strictly and without the product's own parser: heads, bodies, trailers.

use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A stream of either kind, plain or TLS.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One end of a connection with what was read and not used yet.
pub struct Wire {
    io: Box<dyn Io>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("buffer", &String::from_utf8_lossy(&self.buffer)).finish_non_exhaustive()
    }
}

/// A head as received.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Every byte, blank line included.
    pub raw: Vec<u8>,
    /// The first line.
    pub start: String,
    /// Name as written and trimmed value of every header.
    pub headers: Vec<(String, String)>,
}

/// A body as received.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The content.
    pub data: Vec<u8>,
    /// Every byte on the wire, chunk framing included.
    pub raw: Vec<u8>,
    /// Lines of the trailer section.
    pub trailers: Vec<(String, String)>,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// When the sender closes.
    Close,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Wire {
    /// Reads and writes `io`.
    pub fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), buffer: Vec::new() }
    }

    /// Writes all bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// Ends the sending side.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    /// The stream itself, with what was read beyond the last message.
    pub fn into_parts(self) -> (Box<dyn Io>, Vec<u8>) {
        (self.io, self.buffer)
    }

    /// Reads once into the buffer; 0 = the peer has ended.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(16 << 10);
        self.io.read_buf(&mut self.buffer).await
    }

    /// What was read and not used yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Everything until the peer ends.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Exactly `length` bytes.
    pub async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// A line without its CRLF.
    pub async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let line = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("a line without CRLF"))?;
                return Ok(latin(line));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.fill().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next head; `None` when the peer ended before its first byte.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let raw: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Head::parse(raw).map(Some);
            }
            if self.fill().await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(invalid(format!("ended inside a head: {:?}", latin(&self.buffer))));
            }
        }
    }

    /// The body that follows a head.
    pub async fn body(&mut self, framing: Framing) -> io::Result<Body> {
        match framing {
            Framing::None => Ok(Body::default()),
            Framing::Length(length) => {
                let data = self.exactly(length).await?;
                Ok(Body { raw: data.clone(), data, trailers: Vec::new() })
            }
            Framing::Close => {
                let data = self.rest().await?;
                Ok(Body { raw: data.clone(), data, trailers: Vec::new() })
            }
            Framing::Chunked => self.chunked().await,
        }
    }

    async fn chunked(&mut self) -> io::Result<Body> {
        let mut body = Body::default();
        loop {
            let line = self.line().await?;
            body.raw.extend_from_slice(line.as_bytes());
            body.raw.extend_from_slice(b"\r\n");
            let digits = line.split(';').next().unwrap();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(invalid(format!("{line:?} is no chunk size")));
            }
            let size = usize::from_str_radix(digits, 16).map_err(|error| invalid(error.to_string()))?;
            if size == 0 {
                break;
            }
            let data = self.exactly(size).await?;
            body.data.extend_from_slice(&data);
            body.raw.extend_from_slice(&data);
            if self.exactly(2).await? != b"\r\n" {
                return Err(invalid("a chunk does not end with CRLF"));
            }
            body.raw.extend_from_slice(b"\r\n");
        }
        loop {
            let line = self.line().await?;
            body.raw.extend_from_slice(line.as_bytes());
            body.raw.extend_from_slice(b"\r\n");
            if line.is_empty() {
                return Ok(body);
            }
            body.trailers.push(header(&line)?);
        }
    }
}

impl Head {
    fn parse(raw: Vec<u8>) -> io::Result<Self> {
        let text = latin(&raw);
        let mut lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(header).collect::<io::Result<_>>()?;
        Ok(Self { raw, start, headers })
    }

    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name)
    }

    /// The value of a header that may stand once at most.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands more than once: {all:?}");
        all.first().copied()
    }

    /// The framing that Content-Length and Transfer-Encoding say, which must agree with RFC 9112 §6.
    pub fn framing(&self) -> io::Result<Option<Framing>> {
        match (self.all("Transfer-Encoding").as_slice(), self.all("Content-Length").as_slice()) {
            ([], []) => Ok(None),
            (["chunked"], []) => Ok(Some(Framing::Chunked)),
            ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map(|length| Some(Framing::Length(length))).map_err(|_| invalid("length"))
            }
            (encodings, lengths) => Err(invalid(format!("framing by {encodings:?} and {lengths:?}"))),
        }
    }
}

/// Every value of a header in a list.
pub fn all<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

fn header(line: &str) -> io::Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("{line:?} is no header line")))?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(invalid(format!("{line:?} is no header line")));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// Bytes as text, one character each.
pub fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
