//! Response heads.
//!
//! Bytes go in, a [`ResponseHead`] of spans into them comes out, or a [`ResponseError`]. `view` reads a head that is parsed.

mod view;

use std::fmt;

pub use crate::head::Parsed;
use crate::{
    edit::{self, HeaderEdits},
    head::{self, Header, Syntax, content_length, is_named, list},
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

/// What becomes of a head.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'e> {
    /// Another status (100–999) and reason phrase, which may be empty.
    pub status: Option<(u16, &'e [u8])>,
    /// Header fields.
    pub fields: &'e HeaderEdits,
    /// What it says of the body's length.
    pub length: NewLength,
}

/// What an edited head says of the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewLength {
    /// What it said.
    Same,
    /// So many bytes.
    Length(usize),
    /// Nothing.
    Silent,
}

/// What a header line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "headers by name")]
pub enum Role {
    /// Passed on as it is.
    Other,
    /// Between node and proxy only, as the next.
    Connection,
    /// `Keep-Alive`, `Proxy-Connection`.
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
        let longest = limits.head.min(usize::from(u16::MAX));
        let end = if self.scanned == 0 && bytes.len() <= longest {
            // Nearly always all of it is there.
            self.read(bytes, limits, request)?
        } else {
            // What was looked at before is not read again until the end is there.
            match head::find_end(bytes, self.scanned) {
                Some(end) if end > longest => return Err(Syntax::TooLong.into()),
                Some(end) => self.read(bytes.get(..end).unwrap_or_default(), limits, request)?,
                None => None,
            }
        };
        let Some(end) = end else {
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
        Ok(Parsed::Complete(end))
    }

    /// Reads the head. Returns where it ends, or `None` where the bytes end before that.
    fn read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        request: &RequestHead,
    ) -> Result<Option<usize>, ResponseError> {
        let Some(old) = self.status_line(bytes)? else { return Ok(None) };
        let (mut length, mut encoding, mut connection) = (None, None, None);
        let mut fault = None;
        let mut index = 0;
        self.has_set_cookie = false;
        let cookies = &mut self.has_set_cookie;
        let most = limits.headers.min(MAX_HEADERS);
        let end = head::read_lines(bytes, self.headers_start, most, &mut self.headers, |name, _| {
            let role = role_of(name);
            match role {
                Role::ContentLength if length.replace(index).is_some() => {
                    fault = Some(ResponseError("the node's response has more than one Content-Length"));
                }
                Role::TransferEncoding if encoding.replace(index).is_some() => {
                    fault = Some(ResponseError("the node's response has more than one Transfer-Encoding"));
                }
                Role::SetCookie => *cookies = true,
                Role::Connection => drop(connection.get_or_insert(index)),
                _ => {}
            }
            index += 1;
            role
        })?;
        let Some(end) = end else { return Ok(None) };
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.headers_end = end - 2;
        self.keep_alive = !old;
        if let Some(first) = connection {
            self.connection(bytes, first, old)?;
        }
        self.frame(bytes, length, encoding, request.method(), old)?;
        Ok(Some(end))
    }

    /// RFC 9112 §4: `HTTP/1.1 200 reason` CRLF. Returns whether it is HTTP/1.0, or `None` where the line is not all there.
    fn status_line(&mut self, bytes: &[u8]) -> Result<Option<bool>, ResponseError> {
        const REASON: usize = b"HTTP/1.1 200".len();
        const NONE: ResponseError = ResponseError("the node's status line is not an HTTP/1.x status line");
        let Some((start, rest)) = bytes.split_at_checked(REASON) else {
            // What cannot become one is refused at once.
            let begun = [b"HTTP/1.1 ", b"HTTP/1.0 "]
                .iter()
                .any(|version| version.starts_with(bytes) || bytes.starts_with(*version));
            return if begun { Ok(None) } else { Err(NONE) };
        };
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', code @ ..] = start else {
            return Err(NONE);
        };
        if !code.iter().all(u8::is_ascii_digit) {
            return Err(NONE);
        }
        self.status = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        // A missing reason is tolerated.
        if self.status < 100 || !matches!(rest.first(), Some(b' ' | b'\r') | None) {
            return Err(NONE);
        }
        let end = head::field_value_end(bytes, REASON);
        match bytes.get(end..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(None),
            [b'\r' | b'\n', ..] => return Err(Syntax::LineEnd.into()),
            _ => return Err(NONE),
        }
        self.headers_start = end + 2;
        Ok(Some(*minor == b'0'))
    }

    /// Writes this head as edited behind `out`, which is empty, and makes `into` the head of these bytes.
    ///
    /// `into` is what [`ResponseHead::parse`] would read there: lines that stay have been through it, and edits hold nothing
    /// that it would refuse or that frames the message. Only [`Role::NamedByConnection`] is not given to lines that were
    /// edited in: the node has named its own. An error leaves `into` without meaning.
    pub fn edited(
        &self,
        bytes: &[u8],
        edits: &Edits<'_>,
        limits: &Limits,
        request: &RequestHead,
        into: &mut Self,
        out: &mut Vec<u8>,
    ) -> Result<(), ResponseError> {
        // The version stays the node's: it says whether its connection may be kept.
        out.extend_from_slice(bytes.get(..b"HTTP/1.1 ".len()).unwrap_or_default());
        match edits.status {
            Some((status @ 100..1000, reason)) if edit::is_reason(reason) => {
                into.status = status;
                out.extend_from_slice(
                    &[status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8),
                );
                out.push(b' ');
                out.extend_from_slice(reason);
            }
            Some(_) => return Err(ResponseError("this is not a status of HTTP")),
            None => {
                into.status = self.status;
                out.extend_from_slice(self.status_and_reason(bytes));
            }
        }
        out.extend_from_slice(b"\r\n");
        into.headers_start = out.len();
        into.headers.clear();
        let (mut length, mut encoding) = (None, None);
        let mut placed = edit::Placed::default();
        for header in &self.headers {
            let kept = into.headers.len();
            match header.role() {
                Role::ContentLength | Role::TransferEncoding if edits.length != NewLength::Same => continue,
                Role::ContentLength => length = Some(kept),
                Role::TransferEncoding => encoding = Some(kept),
                _ => {}
            }
            let name = header.name(bytes);
            match edits.fields.take_place(name, &mut placed) {
                None => {
                    into.headers.push(header.moved_to(out.len()));
                    out.extend_from_slice(bytes.get(header.line()).unwrap_or_default());
                }
                Some(values) => values.for_each(|value| into.write(name, value, out)),
            }
        }
        edits.fields.unplaced(placed).for_each(|(name, value)| into.write(name, value, out));
        if let NewLength::Length(bytes) = edits.length {
            length = Some(into.headers.len());
            into.write(b"Content-Length", bytes.to_string().as_bytes(), out);
        }
        into.headers_end = out.len();
        out.extend_from_slice(b"\r\n");
        if out.len() > limits.head {
            return Err(Syntax::TooLong.into());
        }
        if into.headers.len() > limits.headers {
            return Err(Syntax::TooMany.into());
        }
        into.scanned = 0;
        into.has_set_cookie = into.headers.iter().any(|header| header.role() == Role::SetCookie);
        into.keep_alive = self.keep_alive;
        into.frame(out, length, encoding, request.method(), bytes.starts_with(b"HTTP/1.0"))
    }

    /// Writes one more header line.
    #[inline(never)]
    fn write(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        self.headers.push(Header::written_at(out.len(), name, value, role_of(name)));
        edit::write_line(name, value, out);
    }

    fn connection(&mut self, bytes: &[u8], first: usize, old: bool) -> Result<(), ResponseError> {
        let (mut options, mut closes) = (0, false);
        for index in first..self.headers.len() {
            let Some(header) = self.headers.get(index).copied() else { break };
            if header.role() != Role::Connection {
                continue;
            }
            let value = header.value(bytes);
            // Nearly always all there is.
            if self.persistence_option(value, old, &mut closes) {
                options += 1;
                continue;
            }
            for option in list(value) {
                options += 1;
                if options > MAX_CONNECTION_OPTIONS {
                    return Err(ResponseError("the node's Connection lists too many options"));
                }
                if !self.persistence_option(option, old, &mut closes) {
                    self.name_by_connection(bytes, option);
                }
            }
        }
        // Whatever else is said.
        self.keep_alive &= !closes;
        Ok(())
    }

    /// `close` and `keep-alive` (RFC 9112 §9.3). False = the option is another one.
    fn persistence_option(&mut self, option: &[u8], old: bool, closes: &mut bool) -> bool {
        if is_named(option, b"keep-alive") {
            self.keep_alive |= old;
            true
        } else if is_named(option, b"close") {
            *closes = true;
            true
        } else {
            false
        }
    }

    fn name_by_connection(&mut self, bytes: &[u8], option: &[u8]) {
        for named in &mut self.headers {
            if named.role() == Role::Other && named.name(bytes).eq_ignore_ascii_case(option) {
                named.set_role(Role::NamedByConnection);
            }
        }
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
}

/// What a header is for. There is less to know than of a request: `TE`, `Expect` and `Proxy-Authorization` say nothing in a
/// response, and nodes are not suspected of names that only look like others.
#[expect(clippy::inline_always, reason = "it is asked for every line of every response")]
#[inline(always)]
fn role_of(name: &[u8]) -> Role {
    // Length and first letter single out nearly every name before anything is compared.
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    match (name.len(), first) {
        (7, b'u') if is_named(name, b"upgrade") => Role::Upgrade,
        (8, b'l') if is_named(name, b"location") => Role::Location,
        (10, b's') if is_named(name, b"set-cookie") => Role::SetCookie,
        (10, b'c') if is_named(name, b"connection") => Role::Connection,
        (10, b'k') if is_named(name, b"keep-alive") => Role::HopByHop,
        (14, b'c') if is_named(name, b"content-length") => Role::ContentLength,
        (16, b'p') if is_named(name, b"proxy-connection") => Role::HopByHop,
        (17, b't') if is_named(name, b"transfer-encoding") => Role::TransferEncoding,
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests;
