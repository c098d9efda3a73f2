//! The words of request heads: methods, versions, what header lines are for, hosts.

use crate::head::{is_named, looks_like};

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

/// `None` = CONNECT.
pub(super) fn method_of(method: &[u8]) -> Option<Method> {
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
///
/// Of [`FRAMING`](crate::edit::FRAMING) only `Trailer` has no role: it goes on as the trailers do. `Proxy-Authorization` is
/// for us when a client sends it, and a field like any other when a rule gives it to a node.
pub(super) fn role_of(name: &[u8]) -> Option<Role> {
    // Length and first letter single out nearly every name before anything is compared.
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    Some(match (name.len(), first) {
        (2, b't') if is_named(name, b"te") => Role::HopByHop,
        (4, b'h') if is_named(name, b"host") => Role::Host,
        (6, b'c') if is_named(name, b"cookie") => Role::Cookie,
        (6, b'e') if is_named(name, b"expect") => Role::Expect,
        (7, b'u') if is_named(name, b"upgrade") => Role::Upgrade,
        (10, b'c') if is_named(name, b"connection") => Role::HopByHop,
        (10, b'k') if is_named(name, b"keep-alive") => Role::HopByHop,
        (14, b'c') if is_named(name, b"content-length") => Role::ContentLength,
        (15, b'x') if is_named(name, b"x-forwarded-for") => Role::XForwardedFor,
        (16, b'p') if is_named(name, b"proxy-connection") => Role::HopByHop,
        (17, b't') if is_named(name, b"transfer-encoding") => Role::TransferEncoding,
        (17, b'x') if is_named(name, b"x-forwarded-proto") => Role::XForwardedProto,
        (19, b'x') if is_named(name, b"x-cluster-client-ip") => Role::XClusterClientIp,
        (19, b'p') if is_named(name, b"proxy-authorization") => Role::HopByHop,
        (12, b's') if is_named(name, b"sslsessionid") => Role::TlsHeader,
        (13.., b's') if name.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"sslclient")) => {
            Role::TlsHeader
        }
        _ if is_look_alike(name) => return None,
        _ => Role::Other,
    })
}

/// Names that a lenient or CGI-style reader (`Content_Length`, `Transfer.Encoding`) takes for a framing header. Those only
/// that decide where the message ends or whom it is for: whoever mistakes another one reads the same messages.
fn is_look_alike(name: &[u8]) -> bool {
    const FRAMING: [(&[u8], usize); 3] = [(b"content-length", 13), (b"transfer-encoding", 16), (b"host", 4)];
    // Nearly every name is sorted out here, by its first letter, then by its count of letters.
    let first = name.iter().find(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    if !matches!(first, Some(b'c' | b't' | b'h')) {
        return false;
    }
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
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
        // RFC 3986 reg-name, less what no name in use has: commas, quotes, brackets and the like.
        let end = value.iter().position(|&byte| !is_in_name(byte)).unwrap_or(value.len());
        value.split_at_checked(end).unwrap_or_default()
    };
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => {
            let number = digits.iter().try_fold(0u32, |number, digit| {
                digit.is_ascii_digit().then(|| (number * 10 + u32::from(digit - b'0')).min(1 << 16))
            });
            number.is_some_and(|number| number < 1 << 16)
        }
        _ => false,
    };
    !host.is_empty() && port_is_good
}

/// Whether `byte` may stand in a host's name or IPv4 address.
fn is_in_name(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let one = byte as u8;
        table[byte] = one.is_ascii_alphanumeric() || matches!(one, b'-' | b'.' | b'_' | b'~' | b'%');
        byte += 1;
    }
    table
};
