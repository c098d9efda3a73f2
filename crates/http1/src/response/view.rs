//! What a parsed head says. Spans lead into the bytes it was parsed from: the same ones are handed in again.

use super::{ResponseFraming, ResponseHead, Role};
use crate::head::Header;

impl ResponseHead {
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
