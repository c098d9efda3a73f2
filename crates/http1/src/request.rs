//! Request heads.
//!
//! Bytes go in, a [`RequestHead`] of spans into them comes out, or a [`RequestError`] with the status that the client
//! gets. `words` knows methods, headers and hosts, `error` the faults, `view` reads a head that is parsed.

mod error;
mod view;
mod words;

use std::ops::Range;

pub use self::{
    error::RequestError,
    words::{BodyFraming, Method, Role, Version, is_host},
};
use self::{
    error::{TARGET_TOO_LONG, unknown_version},
    words::{method_of, role_of},
};
pub use crate::head::Parsed;
use crate::{
    head::{self, Header, Syntax, content_length, is_named, list},
    limits::{Limits, MAX_CONNECTION_OPTIONS, MAX_HEADERS},
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
        let longest = limits.head.min(usize::from(u16::MAX));
        let end = if self.scanned == 0 && bytes.len() <= longest {
            // Nearly always all of it is there.
            self.read(bytes, start, limits)?
        } else {
            // What was looked at before is not read again until the end is there.
            match head::find_end(bytes, self.scanned.max(start)).filter(|end| *end > start + 2) {
                Some(end) if end > longest => {
                    self.partial(bytes.get(..end).unwrap_or_default(), start, limits)?;
                    return Err(Syntax::TooLong.into());
                }
                Some(end) => self.read(bytes.get(..end).unwrap_or_default(), start, limits)?,
                None => None,
            }
        };
        let Some(end) = end else {
            let outcome = self.partial(bytes, start, limits);
            self.scanned = bytes.len();
            return outcome.map(|()| Parsed::Partial);
        };
        self.scanned = 0;
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

    /// Reads the head that begins at `start`. Returns where it ends, or `None` where the bytes end before that.
    fn read(&mut self, bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<usize>, RequestError> {
        self.line_start = start;
        if !self.request_line(bytes, limits)? {
            return Ok(None);
        }
        let (mut host, mut length, mut encoding, mut connection) = (None, None, None, false);
        let mut fault = None;
        let mut index = 0;
        self.has_cookies = false;
        self.close = false;
        self.keep_alive = false;
        self.expects_continue = false;
        self.upgrade = false;
        let (expects, cookies) = (&mut self.expects_continue, &mut self.has_cookies);
        let most = limits.headers.min(MAX_HEADERS);
        let end = head::read_lines(bytes, self.headers_start, most, &mut self.headers, |name, value| {
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
                    fault = Some(RequestError { status: 417, reason: "only 100-continue can be expected" });
                }
                Some(Role::Cookie) => *cookies = true,
                Some(Role::HopByHop) => connection = true,
                None => {
                    fault =
                        Some(RequestError::bad("a header name only looks like one that frames the message"));
                }
                _ => {}
            }
            index += 1;
            role.unwrap_or(Role::Other)
        })?;
        let Some(end) = end else { return Ok(None) };
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.headers_end = end - 2;
        if connection {
            self.connection(bytes)?;
        }
        self.frame(bytes, length, encoding)?;
        self.find_host(bytes, host)?;
        Ok(Some(end))
    }

    /// RFC 9112 §3: method, target and version, single spaces between them, CRLF behind. False = the line is not all there.
    fn request_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        const VERSION: usize = b" HTTP/1.x\r\n".len();
        let text = bytes.get(self.line_start..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'\n', text) else { return Ok(false) };
        let line = text.get(..=length).unwrap_or_default();
        if line.len() > limits.request_line {
            return Err(TARGET_TOO_LONG);
        }
        let method = head::token_end(line);
        let target = line.get(method + 1..).unwrap_or_default();
        let target_length = target.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or_default();
        let (target, version) = target.split_at_checked(target_length).unwrap_or_default();
        if method == 0
            || line.get(method) != Some(&b' ')
            || target.is_empty()
            || !matches!(version.first(), Some(b' ' | b'\r'))
        {
            return Err(RequestError::bad("the method or target holds bytes that may not stand there"));
        }
        self.version = match version {
            b" HTTP/1.1\r\n" => Version::Http11,
            b" HTTP/1.0\r\n" => Version::Http10,
            _ => return Err(unknown_version(line)),
        };
        self.method = method_of(line.get(..method).unwrap_or_default())
            .ok_or(RequestError { status: 501, reason: "CONNECT is not served" })?;
        self.method_end = self.line_start + method;
        self.headers_start = self.line_start + line.len();
        self.target = self.method_end + 1..self.headers_start - VERSION;
        self.target_form(target)
    }

    /// RFC 9112 §3.2: a path, `*`, or an http URL.
    fn target_form(&mut self, target: &[u8]) -> Result<bool, RequestError> {
        // RFC 3986: a fragment is not part of a request's target.
        if target.contains(&b'#') {
            return Err(RequestError::bad("the target holds bytes that may not stand in a URI"));
        }
        self.authority = None;
        self.path = self.target.clone();
        match target.first() {
            Some(b'/') => {}
            Some(b'*') if target.len() == 1 && self.method == Method::Options => {}
            _ => self.absolute_form(target)?,
        }
        Ok(true)
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
        let (mut upgrade, mut options) = (false, 0);
        for index in 0..self.headers.len() {
            let Some(header) = self.headers.get(index).copied() else { break };
            if header.role() != Role::HopByHop || !is_named(header.name(bytes), b"connection") {
                continue;
            }
            for option in list(header.value(bytes)) {
                options += 1;
                if options > MAX_CONNECTION_OPTIONS {
                    return Err(RequestError::bad("Connection lists too many options"));
                }
                if is_named(option, b"close") {
                    self.close = true;
                } else if is_named(option, b"keep-alive") {
                    self.keep_alive = true;
                } else if is_named(option, b"upgrade") {
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
}

#[cfg(test)]
mod tests;
