//! `log.format`: the macros of a log line, compiled once.
//!
//! | macro | text |
//! |---|---|
//! | `%h` | client address |
//! | `%l` | `-` (the remote log name of the common format, never known) |
//! | `%u` | user of a basic `Authorization`, or `-` |
//! | `%t`, `%{strftime}t` | time the request ended, `[dd/Mon/yyyy:HH:MM:SS +zzzz]`, or by the given format without brackets |
//! | `%r` | request line |
//! | `%m`, `%U`, `%q` | method, path, query with its `?` (nothing without one) |
//! | `%s` | status sent to the client, or `-` |
//! | `%b`, `%B` | body bytes sent to the client; `%b` writes `-` for none |
//! | `%v`, `%n` | virtual server; node, or `-` |
//! | `%A`, `%p` | local address and port of the client's connection |
//! | `%T` | duration in whole seconds (`%D` tells more) |
//! | `%{X}i`, `%{X}o` | request header X, response header X, or `-` |
//! | `%%` | `%` |
//!
//! Letters of our own, for what the original can log too but under letters that are not public:
//!
//! | macro | text |
//! |---|---|
//! | `%P` | pool, or `-` |
//! | `%R` | how many times the request was sent again to another node |
//! | `%I`, `%O` | bytes read from and written to the client for this request, heads included |
//! | `%D` | duration in microseconds |
//! | `%J` | the whole request as a JSON object: client, virtual server, pool, node, method, path, status, bytes, durations, retries, session (`new`, `kept` or `moved`), failure, trace, TLS |
//! | `%V`, `%C` | TLS version and cipher suite of the client's connection, or `-` |
//!
//! Whatever a client or node sent is escaped, so that no line can be forged: control bytes, bytes from 0x7F on,
//! quotes and backslashes become `\xHH`, `\"` and `\\`.

use std::{
    fmt,
    io::Write,
    net::{IpAddr, SocketAddr},
    num::{NonZeroU64, NonZeroU128},
    time::{Duration, SystemTime},
};

use super::{
    capture::Captured,
    json,
    second::{COMMON, RenderedSecond, is_strftime},
};

/// Longest `log.format`, bytes.
pub const MAX_FORMAT: usize = 4096;
/// Most header and time macros of either kind in a format.
pub const MAX_MACROS: usize = 64;
/// Longest line, bytes without the line end. The rest is cut.
pub const MAX_LINE: usize = 16 * 1024;

/// A compiled `log.format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pieces: Vec<Piece>,
    times: Vec<Box<str>>,
    request_headers: Vec<Box<str>>,
    response_headers: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Client,
    None,
    User(usize),
    CommonTime(usize),
    Time(usize),
    RequestLine,
    Method,
    Path,
    Query,
    Status,
    BodyOrDash,
    Body,
    VirtualServer,
    Node,
    LocalAddress,
    LocalPort,
    Seconds,
    Micros,
    Pool,
    Retries,
    BytesIn,
    BytesOut,
    TlsVersion,
    TlsCipher,
    /// Places of the headers `Host`, `User-Agent` and `Referer`.
    Json([usize; 3]),
    RequestHeader(usize),
    ResponseHeader(usize),
}

/// A request that is done, as a log line tells it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The client's address, from the PROXY header where one was read.
    pub client: IpAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
    /// The virtual server's name.
    pub virtual_server: &'a str,
    /// The pool that answered; `None` when no pool was asked.
    pub pool: Option<&'a str>,
    /// The node that answered, `address:port`; `None` when none did.
    pub node: Option<&'a str>,
    /// The status sent; `None` when the client got no response.
    pub status: Option<u16>,
    /// Body bytes sent to the client.
    pub body_sent: u64,
    /// Bytes read from the client for this request.
    pub bytes_in: u64,
    /// Bytes written to the client for this request.
    pub bytes_out: u64,
    /// First byte of the request to last byte of the response.
    pub duration: Duration,
    /// How many times it was sent again to another node.
    pub retries: u32,
    /// The client's TLS session; `None` = plain.
    pub tls: Option<TlsSession<'a>>,
    /// Request line and headers.
    pub captured: &'a Captured,
    /// What else is known.
    pub details: Details,
}

/// What only the JSON form tells of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details {
    /// Time in the queues of pools.
    pub queued: Duration,
    /// From the end of the request to the head of the node's response.
    pub response_time: Option<Duration>,
    /// What persistence decided: `new`, `kept` or `moved`; `None` = the pool has none.
    pub session: Option<&'static str>,
    /// Why it could not be answered as it should.
    pub failure: Option<&'static str>,
    /// Trace and span of the request; `None` = tracing is off.
    pub trace: Option<(NonZeroU128, NonZeroU64)>,
}

/// The TLS session of a client connection, as a log line tells it.
#[derive(Clone, Copy, Debug)]
pub struct TlsSession<'a> {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite's IANA name.
    pub cipher: &'a str,
}

/// Why a text is no log format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// Longer than [`MAX_FORMAT`] bytes.
    TooLong,
    /// More than [`MAX_MACROS`] headers or times.
    TooManyMacros,
    /// A macro that does not exist; what was written, and its offset.
    Unknown(String, usize),
    /// `%{…` without `}`, or `%` at the end; the offset.
    Unfinished(usize),
    /// `%{…}t` whose text is no strftime format.
    Time(String),
    /// `%{…}i` or `%{…}o` without a name that a header can have.
    HeaderName(String),
}

impl fmt::Display for FormatError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(out, "longer than {MAX_FORMAT} bytes"),
            Self::TooManyMacros => write!(out, "more than {MAX_MACROS} header or time macros"),
            Self::Unknown(what, at) => write!(
                out,
                "unknown macro {what:?} at offset {at}; known are %h %l %u %t %{{strftime}}t %r %m %U %q %s %b %B %v %n %A \
                 %p %T %{{X}}i %{{X}}o %P %R %I %O %D %V %C %J %%"
            ),
            Self::Unfinished(at) => {
                write!(out, "unfinished macro at offset {at}; write %% for a percent sign")
            }
            Self::Time(text) => write!(out, "{text:?} is no strftime format"),
            Self::HeaderName(name) => write!(out, "{name:?} cannot be a header's name"),
        }
    }
}

impl std::error::Error for FormatError {}

impl Format {
    /// Compiles a `log.format`.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.len() > MAX_FORMAT {
            return Err(FormatError::TooLong);
        }
        let mut format = Self {
            pieces: Vec::new(),
            times: Vec::new(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
        };
        let mut plain = Vec::new();
        let mut rest = text.chars();
        loop {
            let at = text.len() - rest.as_str().len();
            match rest.next() {
                None => break,
                Some('%') => match format.piece(&mut rest, at)? {
                    None => plain.push(b'%'),
                    Some(piece) => {
                        format.text(&mut plain);
                        format.pieces.push(piece);
                    }
                },
                // A line end in the format would make two lines of one request.
                Some(c) if c.is_control() => plain.push(b' '),
                Some(c) => plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        format.text(&mut plain);
        Ok(format)
    }

    /// Names of the request headers to capture, in the order of [`Captured::request_header`].
    pub fn request_headers(&self) -> &[Box<str>] {
        &self.request_headers
    }

    /// Names of the response headers to capture, in the order of [`Captured::response_header`].
    pub fn response_headers(&self) -> &[Box<str>] {
        &self.response_headers
    }

    /// Appends `record`'s line and its line end to `out`. `second` must serve this format alone.
    pub fn render(
        &self,
        record: &Record<'_>,
        now: SystemTime,
        second: &mut RenderedSecond,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let times = second.texts(&self.times, now);
        for piece in &self.pieces {
            if let Piece::Json([host, user_agent, referer]) = piece {
                let header = |index: &usize| record.captured.request_header(*index);
                let headers = json::Headers {
                    host: header(host),
                    user_agent: header(user_agent),
                    referer: header(referer),
                };
                json::render(record, headers, now, out);
            } else {
                render_piece(piece, record, times, out);
            }
        }
        out.truncate(start + MAX_LINE);
        out.push(b'\n');
    }

    fn text(&mut self, plain: &mut Vec<u8>) {
        if !plain.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(plain).into()));
        }
    }

    /// The macro after a `%` at `at`; `None` for `%%`.
    fn piece(&mut self, rest: &mut std::str::Chars<'_>, at: usize) -> Result<Option<Piece>, FormatError> {
        let letter = rest.next().ok_or(FormatError::Unfinished(at))?;
        Ok(Some(match letter {
            '%' => return Ok(None),
            '{' => {
                let (inside, after) = rest.as_str().split_once('}').ok_or(FormatError::Unfinished(at))?;
                *rest = after.chars();
                let letter = rest.next().ok_or(FormatError::Unfinished(at))?;
                return self.with_argument(inside, letter, at).map(Some);
            }
            'h' => Piece::Client,
            'l' => Piece::None,
            'u' => Piece::User(index_of(&mut self.request_headers, "Authorization")?),
            't' => Piece::CommonTime(index_of(&mut self.times, COMMON)?),
            'r' => Piece::RequestLine,
            'm' => Piece::Method,
            'U' => Piece::Path,
            'q' => Piece::Query,
            's' => Piece::Status,
            'b' => Piece::BodyOrDash,
            'B' => Piece::Body,
            'v' => Piece::VirtualServer,
            'n' => Piece::Node,
            'A' => Piece::LocalAddress,
            'p' => Piece::LocalPort,
            'T' => Piece::Seconds,
            'D' => Piece::Micros,
            'P' => Piece::Pool,
            'R' => Piece::Retries,
            'I' => Piece::BytesIn,
            'O' => Piece::BytesOut,
            'V' => Piece::TlsVersion,
            'C' => Piece::TlsCipher,
            'J' => Piece::Json([
                index_of(&mut self.request_headers, "Host")?,
                index_of(&mut self.request_headers, "User-Agent")?,
                index_of(&mut self.request_headers, "Referer")?,
            ]),
            other => return Err(FormatError::Unknown(format!("%{other}"), at)),
        }))
    }

    fn with_argument(&mut self, inside: &str, letter: char, at: usize) -> Result<Piece, FormatError> {
        match letter {
            't' if is_strftime(inside) => Ok(Piece::Time(index_of(&mut self.times, inside)?)),
            't' => Err(FormatError::Time(inside.into())),
            'i' | 'o' if !is_header_name(inside) => Err(FormatError::HeaderName(inside.into())),
            'i' => Ok(Piece::RequestHeader(index_of(&mut self.request_headers, inside)?)),
            'o' => Ok(Piece::ResponseHeader(index_of(&mut self.response_headers, inside)?)),
            other => Err(FormatError::Unknown(format!("%{{{inside}}}{other}"), at)),
        }
    }
}

/// The place of `name` in `names`, added if it is new.
fn index_of(names: &mut Vec<Box<str>>, name: &str) -> Result<usize, FormatError> {
    if let Some(index) = names.iter().position(|known| **known == *name) {
        return Ok(index);
    }
    if names.len() == MAX_MACROS {
        return Err(FormatError::TooManyMacros);
    }
    names.push(name.into());
    Ok(names.len() - 1)
}

/// RFC 9110 §5.6.2, token.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn render_piece(piece: &Piece, record: &Record<'_>, times: &[String], out: &mut Vec<u8>) {
    let time = |index: usize| times.get(index).map_or("-", String::as_str);
    match piece {
        Piece::Text(text) => out.extend_from_slice(text),
        Piece::Client => push(out, format_args!("{}", record.client)),
        Piece::None => out.push(b'-'),
        Piece::User(index) => user(record.captured.request_header(*index), out),
        Piece::CommonTime(index) => push(out, format_args!("[{}]", time(*index))),
        Piece::Time(index) => escape(time(*index).as_bytes(), out),
        Piece::RequestLine => escape(record.captured.line(), out),
        Piece::Method => escape(request_line(record.captured.line()).method, out),
        Piece::Path => escape(request_line(record.captured.line()).path, out),
        Piece::Query => escape(request_line(record.captured.line()).query, out),
        Piece::Status => match record.status {
            Some(status) => push(out, format_args!("{status}")),
            None => out.push(b'-'),
        },
        Piece::BodyOrDash if record.body_sent == 0 => out.push(b'-'),
        Piece::Body | Piece::BodyOrDash => push(out, format_args!("{}", record.body_sent)),
        Piece::VirtualServer => escape(record.virtual_server.as_bytes(), out),
        Piece::Node => value(record.node.map(str::as_bytes), out),
        Piece::LocalAddress => push(out, format_args!("{}", record.local.ip())),
        Piece::LocalPort => push(out, format_args!("{}", record.local.port())),
        Piece::Seconds => push(out, format_args!("{}", record.duration.as_secs())),
        Piece::Micros => push(out, format_args!("{}", record.duration.as_micros())),
        Piece::Pool => value(record.pool.map(str::as_bytes), out),
        Piece::Retries => push(out, format_args!("{}", record.retries)),
        Piece::BytesIn => push(out, format_args!("{}", record.bytes_in)),
        Piece::BytesOut => push(out, format_args!("{}", record.bytes_out)),
        Piece::TlsVersion => value(record.tls.map(|tls| tls.version.as_bytes()), out),
        Piece::TlsCipher => value(record.tls.map(|tls| tls.cipher.as_bytes()), out),
        // Rendered by its own module.
        Piece::Json(_) => {}
        Piece::RequestHeader(index) => value(record.captured.request_header(*index), out),
        Piece::ResponseHeader(index) => value(record.captured.response_header(*index), out),
    }
}

pub(super) fn push(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    drop(out.write_fmt(text));
}

fn value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) if !value.is_empty() => escape(value, out),
        _ => out.push(b'-'),
    }
}

/// Appends `bytes` with everything that could end a line, a quoted field or a terminal's patience made visible.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..0x7f => out.push(byte),
            _ => hex(byte, out),
        }
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    push(out, format_args!("\\x{byte:02x}"));
}

/// Parts of a request line. An absolute-form target counts from its path on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) query: &'a [u8],
}

pub(super) fn request_line(line: &[u8]) -> RequestLine<'_> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let mut target = words.next().unwrap_or_default();
    if !target.starts_with(b"/")
        && let Some(scheme) = target.windows(3).position(|three| three == b"://")
    {
        let after = target.get(scheme + 3..).unwrap_or_default();
        let path = after.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(after.len());
        target = after.get(path..).unwrap_or_default();
    }
    let (path, query) = target.split_at(target.iter().position(|byte| *byte == b'?').unwrap_or(target.len()));
    RequestLine { method, path, query }
}

/// `%u`: the user of `Authorization: Basic …`, its spaces escaped too because the common format has it unquoted.
fn user(authorization: Option<&[u8]>, out: &mut Vec<u8>) {
    let user = authorization.and_then(|value| {
        let (scheme, rest) = value.split_at_checked(6)?;
        scheme.eq_ignore_ascii_case(b"basic ").then(|| base64(rest.trim_ascii()))?
    });
    match user.as_deref().and_then(|pair| pair.split(|byte| *byte == b':').next()) {
        Some(user) if !user.is_empty() => {
            for part in user.split_inclusive(|byte| *byte == b' ') {
                match part.split_last() {
                    Some((b' ', before)) => {
                        escape(before, out);
                        hex(b' ', out);
                    }
                    _ => escape(part, out),
                }
            }
        }
        _ => out.push(b'-'),
    }
}

/// RFC 4648 §4 base64, padding optional; `None` when it is not.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
