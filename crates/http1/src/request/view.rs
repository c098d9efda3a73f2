//! What a parsed head says. Spans lead into the bytes it was parsed from: the same ones are handed in again.

use super::{BodyFraming, Method, RequestHead, Role, Version};
use crate::head::Header;

impl RequestHead {
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
