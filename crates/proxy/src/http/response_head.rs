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
    /// Index of the worker, to count rewritten headers.
    pub(crate) worker: usize,
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
    let status = head.status_and_reason(bytes);
    out.extend_from_slice(status);
    if status.len() == "200".len() {
        // RFC 9112 §4: the space is there even where the reason is not.
        out.push(b' ');
    }
    out.extend_from_slice(b"\r\n");
    let server = rewrite.server;
    let dropped = head.headers().iter().filter(|header| match header.role() {
        Role::Connection | Role::HopByHop | Role::NamedByConnection => true,
        Role::Upgrade => rewrite.connection != ConnectionHeader::Upgrade,
        Role::TransferEncoding => rewrite.framing != BodyHeader::Keep,
        Role::ContentLength => rewrite.framing == BodyHeader::Drop,
        Role::Location => location::may_rewrite(server),
        Role::SetCookie => server.rewrites.cookies,
        Role::Other => false,
    });
    copy_lines_without(
        out,
        bytes,
        head.headers_start(),
        head.headers_end(),
        dropped.map(tidegate_http1::head::Header::line),
    );
    for header in head.headers() {
        match header.role() {
            Role::Location if location::may_rewrite(server) => {
                out.extend_from_slice(b"Location: ");
                let begin = out.len();
                location::rewrite(out, header.value(bytes), rewrite);
                if out.get(begin..) != Some(header.value(bytes)) {
                    server.counters.shard(rewrite.worker).locations_rewritten.add(1);
                }
                out.extend_from_slice(b"\r\n");
            }
            Role::SetCookie if server.rewrites.cookies => {
                out.extend_from_slice(b"Set-Cookie: ");
                let begin = out.len();
                cookie::rewrite(out, header.value(bytes), rewrite);
                if out.get(begin..) != Some(header.value(bytes)) {
                    server.counters.shard(rewrite.worker).cookies_rewritten.add(1);
                }
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

#[cfg(test)]
mod tests {
    use tidegate_model::{
        VirtualServer,
        virtual_server::{CookieDomain, CookieSecure, Substitution},
    };

    use super::*;
    use crate::http::tests::{response, running, settings};

    fn composed(
        text: &str,
        settings: VirtualServer,
        framing: BodyHeader,
        connection: ConnectionHeader,
        session_cookie: Option<&[u8]>,
    ) -> String {
        let server = running(settings);
        let head = response(text);
        let rewrite = Rewrite {
            server: &server,
            request_host: b"shop:8443",
            tls: true,
            session_cookie,
            framing,
            connection,
            worker: 0,
        };
        let mut out = Vec::new();
        compose(&mut out, text.as_bytes(), &head, &rewrite);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn hop_by_hop_lines_go_and_ours_come() {
        use BodyHeader::{AddChunked, Drop, Keep, Unframed};
        use ConnectionHeader::{Close, KeepAlive, Silent, Upgrade};
        let cases = [
            (
                "HTTP/1.1 200 OK\r\nA: 1\r\nConnection: close, B\r\nB: 2\r\nContent-Length: 3\r\nKeep-Alive: 5\r\n\r\n",
                (Keep, Silent, None),
                "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 3\r\n\r\n",
            ),
            (
                "HTTP/1.0 200 OK\r\n\r\n",
                (AddChunked, Silent, None),
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                (Unframed, Close, None),
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            ),
            ("HTTP/1.1 204\r\n\r\n", (Drop, Silent, None), "HTTP/1.1 204 \r\n\r\n"),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                (Drop, KeepAlive, None),
                "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n",
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                (Keep, Upgrade, None),
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n",
                (Keep, Silent, Some(b"Set-Cookie: s=2\r\n".as_slice())),
                "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\nSet-Cookie: s=2\r\n\r\n",
            ),
        ];
        for (text, (framing, connection, cookie), expected) in cases {
            assert_eq!(composed(text, settings(), framing, connection, cookie), expected, "{text:?}");
        }
    }

    #[test]
    fn locations_and_cookies_are_made_right() {
        let mut changed = settings();
        changed.http.location_pattern = Some(Substitution {
            regex: "^http://inner/(.*)".to_owned(),
            replace: "https://outer/$1".to_owned(),
        });
        changed.cookie.domain = CookieDomain::Named("shop.example".into());
        changed.cookie.path = Some(Substitution { regex: "^/app".to_owned(), replace: "/".to_owned() });
        changed.cookie.secure = CookieSecure::Set;
        let cases = [
            ("Location: http://inner/x", "Location: https://outer/x"),
            ("Location: http://shop/x", "Location: https://shop:8443/x"),
            ("Location: http://else/x", "Location: http://else/x"),
            (
                "Set-Cookie: a=1; Domain=inner; path=/app/x; HttpOnly",
                "Set-Cookie: a=1; Domain=shop.example; Path=//x; HttpOnly; Secure",
            ),
            ("Set-Cookie: a=1; Secure", "Set-Cookie: a=1; Secure"),
            ("Set-Cookie: a=\"x;y\"", "Set-Cookie: a=\"x; y\"; Secure"),
        ];
        for (line, expected) in cases {
            let text = format!("HTTP/1.1 302 Found\r\n{line}\r\nContent-Length: 0\r\n\r\n");
            let got = composed(&text, changed.clone(), BodyHeader::Keep, ConnectionHeader::Silent, None);
            assert_eq!(
                got,
                format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n{expected}\r\n\r\n"),
                "{line}"
            );
        }
    }
}
