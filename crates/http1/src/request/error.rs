//! Why bytes are not an acceptable request, and what the client is told.

use std::fmt;

use crate::head::Syntax;

/// Why bytes are not an acceptable request, by the status the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    pub(super) status: u16,
    pub(super) reason: &'static str,
}

impl RequestError {
    pub(super) const fn bad(reason: &'static str) -> Self {
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

pub(super) const TARGET_TOO_LONG: RequestError =
    RequestError { status: 414, reason: "the request line is too long" };

/// The request line has a version that is not spoken here, or is none.
pub(super) fn unknown_version(text: &[u8]) -> RequestError {
    let line = text.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    let is_http = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit());
    if is_http && !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        RequestError { status: 505, reason: "only HTTP/1.0 and HTTP/1.1 are spoken here" }
    } else {
        RequestError::bad("the request line is not method, target and version with single spaces")
    }
}
