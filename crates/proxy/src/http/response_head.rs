//! The head a client gets: the node's, less what is between node and Tidegate, with `Location` and cookies
//! rewritten as the virtual server says and the session cookie added.

use tidegate_http1::response::{ResponseHead, Role};

use super::{cookie, copy_lines_without, location};
use crate::snapshot::RunningServer;

/// What decides the rewriting of one response.
#[derive(Debug)]
pub(crate) struct Rewrite<'a> {
    pub(crate) server: &'a RunningServer,
    /// `Host` of the request, as sent.
    pub(crate) request_host: &'a [u8],
    /// Whether the client speaks TLS to us.
    pub(crate) tls: bool,
    /// A complete `Set-Cookie` line of the session, if the client needs one.
    pub(crate) session_cookie: Option<&'a [u8]>,
    /// What the client gets for the body's framing.
    pub(crate) framing: BodyHeader,
    /// What the client is told of the connection.
    pub(crate) connection: ConnectionHeader,
}

/// How the framing headers of the node are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyHeader {
    /// As the node sent them.
    Keep,
    /// The node's `Transfer-Encoding` goes: the client gets the bare data until close.
    Unframed,
    /// `Transfer-Encoding: chunked` is added.
    AddChunked,
    /// No framing header at all (204).
    Drop,
}

/// The `Connection` header for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionHeader {
    /// None: the default of HTTP/1.1.
    Silent,
    /// `keep-alive`, for an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `close`.
    Close,
    /// `upgrade`, on a 101.
    Upgrade,
}

/// Appends the head for the client, blank line included.
pub(crate) fn compose(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead, rewrite: &Rewrite<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status_and_reason(bytes));
    out.extend_from_slice(b"\r\n");
    let server = rewrite.server;
    let dropped = head.headers().iter().filter(|header| match header.role() {
        Role::HopByHop | Role::NamedByConnection => true,
        Role::Upgrade => rewrite.connection != ConnectionHeader::Upgrade,
        Role::TransferEncoding => rewrite.framing != BodyHeader::Keep,
        Role::ContentLength => rewrite.framing == BodyHeader::Drop,
        Role::Location => location::may_rewrite(server),
        Role::SetCookie => server.rewrites.cookies,
        _ => false,
    });
    copy_lines_without(
        out,
        bytes,
        head.headers_start(),
        head.headers_end(),
        dropped.map(|header| header.line()),
    );
    for header in head.headers() {
        match header.role() {
            Role::Location if location::may_rewrite(server) => {
                out.extend_from_slice(b"Location: ");
                location::rewrite(out, header.value(bytes), rewrite);
                out.extend_from_slice(b"\r\n");
            }
            Role::SetCookie if server.rewrites.cookies => {
                out.extend_from_slice(b"Set-Cookie: ");
                cookie::rewrite(out, header.value(bytes), rewrite);
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
    }
    if let Some(line) = rewrite.session_cookie {
        out.extend_from_slice(line);
    }
    if rewrite.framing == BodyHeader::AddChunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(match rewrite.connection {
        ConnectionHeader::Silent => b"".as_slice(),
        ConnectionHeader::KeepAlive => b"Connection: keep-alive\r\n",
        ConnectionHeader::Close => b"Connection: close\r\n",
        ConnectionHeader::Upgrade => b"Connection: Upgrade\r\n",
    });
    out.extend_from_slice(b"\r\n");
}
