//! Response heads.

use std::{fmt, mem::MaybeUninit};

pub use crate::head::Parsed;
use crate::{
    head::{self, Header, Syntax, content_length, list},
    limits::{Limits, MAX_CONNECTION_OPTIONS, MAX_HEADERS},
    request::{Method, RequestHead},
};

/// A parsed response head: spans into the bytes it was parsed from. Reusable.
#[derive(Debug, Default)]
pub struct ResponseHead {
    scanned: usize,
    status: u16,
    headers_start: usize,
    headers_end: usize,
    framing: ResponseFraming,
    keep_alive: bool,
    has_set_cookie: bool,
    headers: Vec<Header<Role>>,
}

/// Where a response's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is none: HEAD, 1xx, 204, 304, or a length of 0.
    #[default]
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the node closes.
    UntilClose,
}

/// What a header line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "headers by name")]
pub enum Role {
    /// Passed on as it is.
    Other,
    /// Between node and proxy only: `Connection`, `Keep-Alive`, `Proxy-Connection`.
    HopByHop,
    /// Named by `Connection`.
    NamedByConnection,
    Upgrade,
    ContentLength,
    TransferEncoding,
    Location,
    SetCookie,
}

/// Why bytes are not an acceptable response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseError(&'static str);

impl ResponseError {
    /// What is wrong, as a lower-case sentence without its stop.
    pub fn reason(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ResponseError {}

impl From<Syntax> for ResponseError {
    fn from(syntax: Syntax) -> Self {
        Self(match syntax {
            Syntax::LineEnd => "a line of the node's response head does not end with CR LF",
            Syntax::Fold => "a header line of the node's response is folded",
            Syntax::Name => "a header name of the node's response is not a token followed by a colon",
            Syntax::Value => "a header value of the node's response holds control bytes",
            Syntax::TooMany => "the node's response head has too many lines",
            Syntax::TooLong => "the node's response head is too long",
        })
    }
}

impl ResponseHead {
    /// Parses the head that begins at the start of `bytes`, the answer to `request`.
    ///
    /// Call it again with more bytes behind the same ones after [`Parsed::Partial`].
    pub fn parse(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        request: &RequestHead,
    ) -> Result<Parsed, ResponseError> {
        let Some(end) = head::find_end(bytes, self.scanned) else {
            if head::has_bare_lf(bytes, self.scanned) {
                return Err(Syntax::LineEnd.into());
            }
            if bytes.len() > limits.head {
                return Err(Syntax::TooLong.into());
            }
            self.scanned = bytes.len();
            return Ok(Parsed::Partial);
        };
        self.scanned = 0;
        if end > limits.head.min(usize::from(u16::MAX)) {
            return Err(Syntax::TooLong.into());
        }
        self.complete(bytes.get(..end).unwrap_or_default(), limits, request)?;
        Ok(Parsed::Complete(end))
    }

    fn complete(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        request: &RequestHead,
    ) -> Result<(), ResponseError> {
        let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let room = room.get_mut(..limits.headers.min(MAX_HEADERS)).unwrap_or_default();
        let mut response = httparse::Response::new(&mut []);
        match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, room)
        {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Syntax::LineEnd.into()),
            Err(httparse::Error::Version | httparse::Error::Status) => {
                return Err(ResponseError("the node's status line is not an HTTP/1.x status line"));
            }
            Err(error) => return Err(head::syntax(error, bytes).into()),
        }
        self.status = response.code.unwrap_or_default();
        let old = response.version == Some(0);
        // "HTTP/1.1 200 reason" CRLF; httparse has checked the reason's bytes. A missing reason is tolerated.
        let line_end = memchr::memchr(b'\n', bytes).ok_or(Syntax::LineEnd)?;
        if bytes.get(line_end.wrapping_sub(1)) != Some(&b'\r') {
            return Err(Syntax::LineEnd.into());
        }
        if bytes.get(12).is_none_or(|byte| !matches!(byte, b' ' | b'\r'))
            || !(100..1000).contains(&self.status)
        {
            return Err(ResponseError("the node's status line is not an HTTP/1.x status line"));
        }
        self.headers_start = line_end + 1;
        self.headers_end = bytes.len() - 2;
        let (mut length, mut encoding, mut connection) = (None, None, None);
        let mut fault = None;
        let mut index = 0;
        self.has_set_cookie = false;
        let cookies = &mut self.has_set_cookie;
        head::lines(
            bytes,
            self.headers_start,
            self.headers_end,
            response.headers,
            &mut self.headers,
            |name, _| {
                let role = role_of(name);
                match role {
                    Role::ContentLength if length.replace(index).is_some() => {
                        fault = Some(ResponseError("the node's response has more than one Content-Length"));
                    }
                    Role::TransferEncoding if encoding.replace(index).is_some() => {
                        fault =
                            Some(ResponseError("the node's response has more than one Transfer-Encoding"));
                    }
                    Role::SetCookie => *cookies = true,
                    Role::HopByHop => drop(connection.get_or_insert(index)),
                    _ => {}
                }
                index += 1;
                role
            },
        )?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.keep_alive = !old;
        if let Some(first) = connection {
            self.connection(bytes, first, old)?;
        }
        self.frame(bytes, length, encoding, request.method(), old)
    }

    fn connection(&mut self, bytes: &[u8], first: usize, old: bool) -> Result<(), ResponseError> {
        let mut options = 0;
        for index in first..self.headers.len() {
            let Some(header) = self.headers.get(index).copied() else { break };
            if header.role() != Role::HopByHop || !header.name(bytes).eq_ignore_ascii_case(b"connection") {
                continue;
            }
            for option in list(header.value(bytes)) {
                options += 1;
                if options > MAX_CONNECTION_OPTIONS {
                    return Err(ResponseError("the node's Connection lists too many options"));
                }
                if option.eq_ignore_ascii_case(b"close") {
                    self.keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep_alive |= old;
                } else {
                    for named in self
                        .headers
                        .iter_mut()
                        .filter(|header| header.name(bytes).eq_ignore_ascii_case(option))
                    {
                        if named.role() == Role::Other {
                            named.set_role(Role::NamedByConnection);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn frame(
        &mut self,
        bytes: &[u8],
        length: Option<usize>,
        encoding: Option<usize>,
        method: Method,
        old: bool,
    ) -> Result<(), ResponseError> {
        let value =
            |index: usize| self.headers.get(index).map(|header| header.value(bytes)).unwrap_or_default();
        let framing = match (length, encoding) {
            (Some(_), Some(_)) => {
                return Err(ResponseError(
                    "the node's response has both Content-Length and Transfer-Encoding",
                ));
            }
            (None, Some(_)) if old => {
                return Err(ResponseError("the node's HTTP/1.0 response has a Transfer-Encoding"));
            }
            (None, Some(index)) if value(index).eq_ignore_ascii_case(b"chunked") => ResponseFraming::Chunked,
            (None, Some(_)) => {
                return Err(ResponseError("the node's Transfer-Encoding is not exactly chunked"));
            }
            (Some(index), None) => match content_length(value(index)) {
                Some(0) => ResponseFraming::None,
                Some(length) => ResponseFraming::Length(length),
                None => return Err(ResponseError("the node's Content-Length is not a number")),
            },
            (None, None) => ResponseFraming::UntilClose,
        };
        // RFC 9112 §6.3: these have no body whatever their headers say.
        let bodyless = method == Method::Head || matches!(self.status, 100..=199 | 204 | 304);
        self.framing = if bodyless { ResponseFraming::None } else { framing };
        if self.framing == ResponseFraming::UntilClose {
            self.keep_alive = false;
        }
        Ok(())
    }

    /// The status code, 100–999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether another response follows: 1xx other than 101.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Where the body ends.
    pub fn framing(&self) -> ResponseFraming {
        self.framing
    }

    /// Whether the node keeps the connection.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// `200 OK`: the status line without version and line end.
    pub fn status_and_reason<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(b"HTTP/1.1 ".len()..self.headers_start.saturating_sub(2)).unwrap_or_default()
    }

    /// The values of all `Set-Cookie` headers.
    pub fn set_cookies<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let headers = if self.has_set_cookie { self.headers.as_slice() } else { &[] };
        headers.iter().filter(|header| header.role() == Role::SetCookie).map(|header| header.value(bytes))
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

    /// Where the first header line begins.
    pub fn headers_start(&self) -> usize {
        self.headers_start
    }

    /// Where the blank line begins.
    pub fn headers_end(&self) -> usize {
        self.headers_end
    }
}

fn role_of(name: &[u8]) -> Role {
    let is = |exact: &[u8]| name.eq_ignore_ascii_case(exact);
    match name.len() {
        7 if is(b"upgrade") => Role::Upgrade,
        8 if is(b"location") => Role::Location,
        10 if is(b"set-cookie") => Role::SetCookie,
        10 if is(b"connection") || is(b"keep-alive") => Role::HopByHop,
        14 if is(b"content-length") => Role::ContentLength,
        16 if is(b"proxy-connection") => Role::HopByHop,
        17 if is(b"transfer-encoding") => Role::TransferEncoding,
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_lists_a_bounded_number_of_options() {
        let question = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut request = RequestHead::default();
        request.parse(question, &Limits::default()).unwrap();
        for (count, good) in
            [(MAX_CONNECTION_OPTIONS, true), (MAX_CONNECTION_OPTIONS + 1, false), (16_000, false)]
        {
            let options = vec!["a"; count].join(",");
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: {options}\r\nContent-Length: 0\r\n\r\n");
            let parsed = ResponseHead::default().parse(answer.as_bytes(), &Limits::default(), &request);
            assert_eq!(parsed.is_ok(), good, "{count} options: {parsed:?}");
        }
    }
}
