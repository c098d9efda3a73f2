//! Request heads.

use std::{fmt, mem::MaybeUninit, ops::Range};

pub use crate::head::Parsed;
use crate::{
    head::{self, Header, Syntax, content_length, list, looks_like},
    limits::{Limits, MAX_HEADERS},
};

/// A parsed request head: spans into the bytes it was parsed from. Reusable: its memory serves head after head.
#[derive(Debug, Default)]
pub struct RequestHead {
    scanned: usize,
    line_start: usize,
    headers_start: usize,
    headers_end: usize,
    method: Method,
    method_end: usize,
    target: Range<usize>,
    path: Range<usize>,
    authority: Option<Range<usize>>,
    version: Version,
    framing: BodyFraming,
    host: Option<usize>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: bool,
    has_cookies: bool,
    headers: Vec<Header<Role>>,
}

/// Request methods that mean something to a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of RFC 9110 §9.3 by name")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// Whether the request may be sent twice: the methods vTM's passive monitoring retries.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }
}

/// The client's HTTP version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// Where a request's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none.
    #[default]
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What a header line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "headers by name")]
pub enum Role {
    /// Passed on as it is.
    Other,
    /// Between client and proxy only (RFC 9110 §7.6.1): `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`,
    /// `Proxy-Authorization`.
    HopByHop,
    /// Named by `Connection`.
    NamedByConnection,
    Upgrade,
    Host,
    ContentLength,
    TransferEncoding,
    Expect,
    Cookie,
    XForwardedFor,
    XForwardedProto,
    XClusterClientIp,
    /// `SSLClient…`, `SSLSessionID`: what only Tidegate may tell nodes.
    TlsHeader,
}

/// Why bytes are not an acceptable request, by the status the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    status: u16,
    reason: &'static str,
}

impl RequestError {
    const fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }

    /// 400, 414, 417, 431, 501 or 505.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong, as a lower-case sentence without its stop.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for RequestError {}

impl From<Syntax> for RequestError {
    fn from(syntax: Syntax) -> Self {
        match syntax {
            Syntax::LineEnd => Self::bad("a line of the head does not end with CR LF"),
            Syntax::Fold => Self::bad("a header line is folded"),
            Syntax::Name => Self::bad("a header name is not a token followed by a colon"),
            Syntax::Value => Self::bad("a header value holds control bytes"),
            Syntax::TooMany => Self { status: 431, reason: "the head has too many lines" },
            Syntax::TooLong => Self { status: 431, reason: "the head is too long" },
        }
    }
}

const TARGET_TOO_LONG: RequestError = RequestError { status: 414, reason: "the request line is too long" };

impl RequestHead {
    /// Forgets a head that was not completed or was refused: what is parsed next begins another one.
    pub fn start_over(&mut self) {
        self.scanned = 0;
    }

    /// Parses the head that begins at the start of `bytes`.
    ///
    /// Call it again with more bytes behind the same ones after [`Parsed::Partial`]: it goes on where it stopped,
    /// unless [`RequestHead::start_over`] was called.
    pub fn parse(&mut self, bytes: &[u8], limits: &Limits) -> Result<Parsed, RequestError> {
        // RFC 9112 §2.2: one empty line before the request line is tolerated.
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        if start > 0 && bytes.get(start..start + 2) == Some(b"\r\n") {
            return Err(RequestError::bad("empty lines stand where a request line is expected"));
        }
        let Some(end) = head::find_end(bytes, self.scanned.max(start)).filter(|end| *end > start + 2) else {
            let outcome = self.partial(bytes, start, limits);
            self.scanned = bytes.len();
            return outcome.map(|()| Parsed::Partial);
        };
        self.scanned = 0;
        if end - start > limits.head.min(usize::from(u16::MAX)) {
            self.partial(bytes.get(..end).unwrap_or_default(), start, limits)?;
            return Err(Syntax::TooLong.into());
        }
        self.complete(bytes.get(..end).unwrap_or_default(), start, limits)?;
        Ok(Parsed::Complete(end))
    }

    /// What can be said of a head that is not complete.
    fn partial(&self, bytes: &[u8], start: usize, limits: &Limits) -> Result<(), RequestError> {
        if head::has_bare_lf(bytes, self.scanned) {
            return Err(Syntax::LineEnd.into());
        }
        let line = bytes.get(start..).unwrap_or_default();
        let first = line.get(..limits.request_line).unwrap_or(line);
        if first.len() == limits.request_line && memchr::memchr(b'\n', first).is_none() {
            return Err(TARGET_TOO_LONG);
        }
        if bytes.len() > limits.head {
            return Err(Syntax::TooLong.into());
        }
        Ok(())
    }

    fn complete(&mut self, bytes: &[u8], start: usize, limits: &Limits) -> Result<(), RequestError> {
        let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let room = room.get_mut(..limits.headers.min(MAX_HEADERS)).unwrap_or_default();
        let mut request = httparse::Request::new(&mut []);
        let text = bytes.get(start..).unwrap_or_default();
        match request.parse_with_uninit_headers(text, room) {
            Ok(httparse::Status::Complete(length)) if length == text.len() => {}
            // httparse takes bare LFs for line ends: then it is done before our end, or sees another one.
            Ok(_) => return Err(Syntax::LineEnd.into()),
            Err(httparse::Error::Token) => {
                return Err(RequestError::bad("the method or target holds bytes that may not stand there"));
            }
            Err(httparse::Error::Version) => return Err(unknown_version(text)),
            Err(error) => return Err(head::syntax(error, text).into()),
        }
        self.line_start = start;
        self.start_line(bytes, &request, limits)?;
        self.headers_end = bytes.len() - 2;
        let (mut host, mut length, mut encoding, mut connection) = (None, None, None, false);
        let mut fault = None;
        let mut index = 0;
        self.has_cookies = false;
        self.close = false;
        self.keep_alive = false;
        self.expects_continue = false;
        self.upgrade = false;
        let (expects, cookies) = (&mut self.expects_continue, &mut self.has_cookies);
        head::lines(
            bytes,
            self.headers_start,
            self.headers_end,
            request.headers,
            &mut self.headers,
            |name, value| {
                let role = role_of(name);
                match role {
                    Some(Role::Host) if host.replace(index).is_some() => {
                        fault = Some(RequestError::bad("Host is given more than once"));
                    }
                    Some(Role::ContentLength) if length.replace(index).is_some() => {
                        fault = Some(RequestError::bad("Content-Length is given more than once"));
                    }
                    Some(Role::TransferEncoding) if encoding.replace(index).is_some() => {
                        fault = Some(RequestError::bad("Transfer-Encoding is given more than once"));
                    }
                    Some(Role::Expect) if value.eq_ignore_ascii_case(b"100-continue") => *expects = true,
                    Some(Role::Expect) => {
                        fault =
                            Some(RequestError { status: 417, reason: "only 100-continue can be expected" });
                    }
                    Some(Role::Cookie) => *cookies = true,
                    Some(Role::HopByHop) => connection = true,
                    None => {
                        fault = Some(RequestError::bad(
                            "a header name only looks like one that frames the message",
                        ));
                    }
                    _ => {}
                }
                index += 1;
                role.unwrap_or(Role::Other)
            },
        )?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        if connection {
            self.connection(bytes)?;
        }
        self.frame(bytes, length, encoding)?;
        self.find_host(bytes, host)
    }

    fn start_line(
        &mut self,
        bytes: &[u8],
        request: &httparse::Request<'_, '_>,
        limits: &Limits,
    ) -> Result<(), RequestError> {
        let method = request.method.unwrap_or_default().as_bytes();
        let target = request.path.unwrap_or_default().as_bytes();
        self.method =
            method_of(method).ok_or(RequestError { status: 501, reason: "CONNECT is not served" })?;
        self.method_end = self.line_start + method.len();
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let from = self.method_end + 1;
        self.target = from..from + target.len();
        // RFC 9112 §3: single spaces, nothing else, and CRLF.
        let line_end = self.target.end + b" HTTP/1.x".len();
        if bytes.get(self.target.clone()) != Some(target)
            || bytes.get(line_end..line_end + 2) != Some(b"\r\n")
        {
            return Err(RequestError::bad(
                "the request line is not method, target and version with single spaces",
            ));
        }
        self.headers_start = line_end + 2;
        if self.headers_start - self.line_start > limits.request_line {
            return Err(TARGET_TOO_LONG);
        }
        // RFC 3986: a target is visible ASCII, and a fragment is not part of it.
        if !target.iter().all(|&byte| byte > b' ' && byte < 0x7f && byte != b'#') {
            return Err(RequestError::bad("the target holds bytes that may not stand in a URI"));
        }
        self.authority = None;
        self.path = self.target.clone();
        match target.first() {
            Some(b'/') => Ok(()),
            Some(b'*') if target.len() == 1 && self.method == Method::Options => Ok(()),
            _ => self.absolute_form(target),
        }
    }

    /// RFC 9112 §3.2.2: `http://host/path`.
    fn absolute_form(&mut self, target: &[u8]) -> Result<(), RequestError> {
        let scheme = [b"http://".as_slice(), b"https://"]
            .into_iter()
            .find(|scheme| target.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
            .ok_or(RequestError::bad("the target is neither a path nor an http URL"))?
            .len();
        let rest = target.get(scheme..).unwrap_or_default();
        let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        if !is_host(rest.get(..length).unwrap_or_default()) {
            return Err(RequestError::bad("the target's host is not a host with an optional port"));
        }
        let authority = self.target.start + scheme;
        self.authority = Some(authority..authority + length);
        self.path = authority + length..self.target.end;
        Ok(())
    }

    /// `Connection` and what it names (RFC 9110 §7.6.1).
    fn connection(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let mut upgrade = false;
        for index in 0..self.headers.len() {
            let Some(header) = self.headers.get(index).copied() else { break };
            if header.role() != Role::HopByHop || !header.name(bytes).eq_ignore_ascii_case(b"connection") {
                continue;
            }
            for option in list(header.value(bytes)) {
                if option.eq_ignore_ascii_case(b"close") {
                    self.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    upgrade = true;
                } else {
                    self.name_by_connection(bytes, option)?;
                }
            }
        }
        self.upgrade = upgrade
            && self.version == Version::Http11
            && self
                .headers
                .iter()
                .any(|header| header.role() == Role::Upgrade && !header.value(bytes).is_empty());
        Ok(())
    }

    fn name_by_connection(&mut self, bytes: &[u8], option: &[u8]) -> Result<(), RequestError> {
        for header in &mut self.headers {
            if !header.name(bytes).eq_ignore_ascii_case(option) {
                continue;
            }
            match header.role() {
                // Removing these would change what the message is or whom it is for.
                Role::Host | Role::ContentLength | Role::TransferEncoding | Role::Cookie | Role::Expect => {
                    return Err(RequestError::bad("Connection names a header that is not its own"));
                }
                // Ours to set: a client cannot have them removed.
                Role::XForwardedFor | Role::XForwardedProto | Role::XClusterClientIp | Role::TlsHeader => {}
                Role::Other | Role::HopByHop | Role::NamedByConnection | Role::Upgrade => {
                    header.set_role(Role::NamedByConnection);
                }
            }
        }
        Ok(())
    }

    /// RFC 9112 §6: where the body ends.
    fn frame(
        &mut self,
        bytes: &[u8],
        length: Option<usize>,
        encoding: Option<usize>,
    ) -> Result<(), RequestError> {
        let value =
            |index: usize| self.headers.get(index).map(|header| header.value(bytes)).unwrap_or_default();
        self.framing = match (length, encoding) {
            (Some(_), Some(_)) => {
                return Err(RequestError::bad("both Content-Length and Transfer-Encoding are given"));
            }
            (None, Some(_)) if self.version == Version::Http10 => {
                return Err(RequestError::bad("HTTP/1.0 has no Transfer-Encoding"));
            }
            (None, Some(index)) if value(index).eq_ignore_ascii_case(b"chunked") => BodyFraming::Chunked,
            (None, Some(_)) => return Err(RequestError::bad("Transfer-Encoding is not exactly chunked")),
            (Some(index), None) => BodyFraming::Length(
                content_length(value(index)).ok_or(RequestError::bad("Content-Length is not a number"))?,
            ),
            (None, None) => BodyFraming::None,
        };
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one valid Host, equal to the target's where that has one.
    fn find_host(&mut self, bytes: &[u8], host: Option<usize>) -> Result<(), RequestError> {
        self.host = host;
        let Some(value) = host.and_then(|index| self.headers.get(index)).map(|header| header.value(bytes))
        else {
            return match self.version {
                Version::Http10 => Ok(()),
                Version::Http11 => Err(RequestError::bad("Host is missing")),
            };
        };
        if !is_host(value) {
            return Err(RequestError::bad("Host is not a host with an optional port"));
        }
        match &self.authority {
            Some(authority)
                if !bytes.get(authority.clone()).unwrap_or_default().eq_ignore_ascii_case(value) =>
            {
                Err(RequestError::bad("Host is not the host of the target"))
            }
            _ => Ok(()),
        }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as written.
    pub fn method_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.line_start..self.method_end).unwrap_or_default()
    }

    /// The target as written.
    pub fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.target.clone()).unwrap_or_default()
    }

    /// Path and query of the target; empty for an absolute URL without a path.
    pub fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.path.clone()).unwrap_or_default()
    }

    /// Whether the target is a path (or `*`), as nodes get it.
    pub fn is_origin_form(&self) -> bool {
        self.authority.is_none()
    }

    /// The client's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the body ends.
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Whether body bytes follow.
    pub fn has_body(&self) -> bool {
        !matches!(self.framing, BodyFraming::None | BodyFraming::Length(0))
    }

    /// Whether the client wants the connection kept (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        !self.close && (self.version == Version::Http11 || self.keep_alive)
    }

    /// Whether the client waits for 100 before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue && self.version == Version::Http11
    }

    /// Whether the client asks for another protocol (RFC 9110 §7.8).
    pub fn wants_upgrade(&self) -> bool {
        self.upgrade
    }

    /// Whether a Host header is there.
    pub fn has_host(&self) -> bool {
        self.host.is_some()
    }

    /// `Host`, port included.
    pub fn host<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.host.and_then(|index| self.headers.get(index)).map(|header| header.value(bytes))
    }

    /// The values of all `Cookie` headers.
    pub fn cookies<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let headers = if self.has_cookies { self.headers.as_slice() } else { &[] };
        headers.iter().filter(|header| header.role() == Role::Cookie).map(|header| header.value(bytes))
    }

    /// The header lines in order.
    pub fn headers(&self) -> &[Header<Role>] {
        &self.headers
    }

    /// The first header of this name, in any case.
    pub fn header<'a>(&self, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.headers
            .iter()
            .find(|header| header.name(bytes).eq_ignore_ascii_case(name))
            .map(|header| header.value(bytes))
    }

    /// Where the request line begins.
    pub fn line_start(&self) -> usize {
        self.line_start
    }

    /// Where the first header line begins.
    pub fn headers_start(&self) -> usize {
        self.headers_start
    }

    /// Where the blank line begins.
    pub fn headers_end(&self) -> usize {
        self.headers_end
    }
}

fn unknown_version(text: &[u8]) -> RequestError {
    let line = text.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    let is_http = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit());
    if is_http && !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        RequestError { status: 505, reason: "only HTTP/1.0 and HTTP/1.1 are spoken here" }
    } else {
        RequestError::bad("the request line is not method, target and version with single spaces")
    }
}

/// `None` = CONNECT.
fn method_of(method: &[u8]) -> Option<Method> {
    Some(match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"TRACE" => Method::Trace,
        b"PATCH" => Method::Patch,
        b"CONNECT" => return None,
        _ => Method::Other,
    })
}

/// What a header is for; `None` = its name only looks like one that frames or addresses the message.
fn role_of(name: &[u8]) -> Option<Role> {
    // Length and first letter single out nearly every name before anything is compared.
    let is = |exact: &[u8]| name.eq_ignore_ascii_case(exact);
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    Some(match (name.len(), first) {
        (2, b't') if is(b"te") => Role::HopByHop,
        (4, b'h') if is(b"host") => Role::Host,
        (6, b'c') if is(b"cookie") => Role::Cookie,
        (6, b'e') if is(b"expect") => Role::Expect,
        (7, b'u') if is(b"upgrade") => Role::Upgrade,
        (10, b'c') if is(b"connection") => Role::HopByHop,
        (10, b'k') if is(b"keep-alive") => Role::HopByHop,
        (14, b'c') if is(b"content-length") => Role::ContentLength,
        (15, b'x') if is(b"x-forwarded-for") => Role::XForwardedFor,
        (16, b'p') if is(b"proxy-connection") => Role::HopByHop,
        (17, b't') if is(b"transfer-encoding") => Role::TransferEncoding,
        (17, b'x') if is(b"x-forwarded-proto") => Role::XForwardedProto,
        (19, b'x') if is(b"x-cluster-client-ip") => Role::XClusterClientIp,
        (19, b'p') if is(b"proxy-authorization") => Role::HopByHop,
        (12, b's') if is(b"sslsessionid") => Role::TlsHeader,
        (13.., b's') if name.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"sslclient")) => {
            Role::TlsHeader
        }
        _ if is_look_alike(name) => return None,
        _ => Role::Other,
    })
}

/// Names that a lenient or CGI-style reader (`Content_Length`, `Transfer.Encoding`) takes for a framing header.
fn is_look_alike(name: &[u8]) -> bool {
    const FRAMING: [(&[u8], usize); 3] = [(b"content-length", 13), (b"transfer-encoding", 16), (b"host", 4)];
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    // Nearly every name is sorted out here, by its count of letters.
    FRAMING.iter().any(|(exact, count)| letters == *count && looks_like(name, exact))
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2): no user, no path, not empty.
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = if let Some(b'[') = value.first() {
        let Some(end) = memchr::memchr(b']', value) else { return false };
        let inside = value.get(1..end).unwrap_or_default();
        if !std::str::from_utf8(inside).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()) {
            return false;
        }
        (inside, value.get(end + 1..).unwrap_or_default())
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        let host = value.get(..end).unwrap_or_default();
        // RFC 3986 reg-name, less what no name in use has: commas, quotes, brackets and the like.
        if !host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%'))
        {
            return false;
        }
        (host, value.get(end..).unwrap_or_default())
    };
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && (digits.is_empty()
                    || std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u16>().is_ok()))
        }
        _ => false,
    };
    !host.is_empty() && port_is_good
}

#[cfg(test)]
mod tests;
