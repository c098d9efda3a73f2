//! The head a node gets: the client's, less what is between client and Tidegate, plus what nodes are told.

use std::net::IpAddr;

use tidegate_http1::{
    edit::HeaderEdits,
    head::Header,
    request::{BodyFraming, Method, RequestHead, Role, Version},
};
use tidegate_model::virtual_server::HttpOptions;

use super::copy_lines_without;
use crate::trace::Told;

/// What is added to every request of a connection or pool.
#[derive(Debug)]
pub(crate) struct Additions<'a> {
    /// `http.*` of the virtual server.
    pub(crate) http: &'a HttpOptions,
    /// Lines fixed per connection.
    pub(crate) lines: &'a [u8],
    /// The client's address.
    pub(crate) client: IpAddr,
    /// What stands for `Host` when an HTTP/1.0 client sent none.
    pub(crate) node_label: &'a str,
    /// Whether the connection to the node may carry another request.
    pub(crate) keepalive: bool,
    /// Whether the request asks for an upgrade that is relayed.
    pub(crate) upgrade: bool,
    /// What rules have made of the head's fields: what they gave is not taken for the client's.
    pub(crate) given: Option<&'a HeaderEdits>,
    /// The request's place in its trace; `None` where tracing is off, or a rule has written one.
    pub(crate) trace: Option<Told>,
}

/// Whether the client's own lines of this kind are kept from nodes and rules: only Tidegate and its rules may say what
/// they say.
pub(crate) fn is_reserved(role: Role, http: &HttpOptions) -> bool {
    match role {
        Role::XClusterClientIp => http.add_cluster_ip,
        Role::XForwardedProto => http.strip_x_forwarded_proto,
        Role::TlsHeader => true,
        _ => false,
    }
}

/// Appends the head for the node, blank line included.
pub(crate) fn compose(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, additions: &Additions<'_>) {
    request_line(out, bytes, head);
    if !head.has_host() {
        // RFC 9112 §3.2: a request to an HTTP/1.1 server carries Host.
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(additions.node_label.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let http = additions.http;
    let is_given = |name: &[u8]| additions.given.is_some_and(|given| given.gives(name));
    let is_dropped = |header: &Header<Role>| match header.role() {
        // However the client wrote it: nodes differ in what they take for "chunked".
        Role::HopByHop | Role::NamedByConnection | Role::TransferEncoding => true,
        Role::Upgrade => !additions.upgrade,
        Role::XForwardedFor => http.add_x_forwarded_for,
        role => is_reserved(role, http) && !is_given(header.name(bytes)),
    };
    let (start, end) = (head.headers_start(), head.headers_end());
    let headers = head.headers().iter();
    match &additions.trace {
        None => {
            let dropped = headers.filter(|header| is_dropped(header));
            copy_lines_without(out, bytes, start, end, dropped.map(Header::line));
        }
        Some(trace) => {
            let dropped = headers.filter(|header| is_dropped(header) || trace.replaces(header.name(bytes)));
            copy_lines_without(out, bytes, start, end, dropped.map(Header::line));
            trace.write(out);
        }
    }
    if additions.given.is_none() {
        out.extend_from_slice(additions.lines);
    } else {
        // What a rule has given stands in the place of ours.
        for line in additions.lines.split_inclusive(|&byte| byte == b'\n') {
            if !is_given(line.split(|&byte| byte == b':').next().unwrap_or_default()) {
                out.extend_from_slice(line);
            }
        }
    }
    if http.add_x_forwarded_for {
        forwarded_for(out, bytes, head, additions.client);
    }
    if head.framing() == BodyFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if additions.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    } else if !additions.keepalive {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Nodes are spoken to in HTTP/1.1 and origin-form, whatever the client used.
fn request_line(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead) {
    if head.version() == Version::Http11 && head.is_origin_form() {
        out.extend_from_slice(bytes.get(head.line_start()..head.headers_start()).unwrap_or_default());
        return;
    }
    out.extend_from_slice(head.method_bytes(bytes));
    out.push(b' ');
    let path = head.path(bytes);
    if path.is_empty() {
        // RFC 9112 §3.2.1 and §3.2.4: no path is "/", or "*" for OPTIONS of a whole server.
        out.push(if head.method() == Method::Options { b'*' } else { b'/' });
    } else if !path.starts_with(b"/") && !path.starts_with(b"*") {
        out.push(b'/');
        out.extend_from_slice(path);
    } else {
        out.extend_from_slice(path);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `add_x_forwarded_for` appends to what the client sent, as one header.
fn forwarded_for(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, client: IpAddr) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    for header in head.headers().iter().filter(|header| header.role() == Role::XForwardedFor) {
        let value = header.value(bytes);
        if !value.is_empty() {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(format!("{client}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::{request, settings};

    fn composed(text: &str, change: impl Fn(&mut HttpOptions), keepalive: bool, upgrade: bool) -> String {
        let mut http = settings().http;
        http.add_cluster_ip = false;
        change(&mut http);
        let head = request(text);
        let additions = Additions {
            http: &http,
            lines: b"",
            client: IpAddr::from([192, 0, 2, 7]),
            node_label: "10.0.0.1:80",
            keepalive,
            upgrade,
            given: None,
            trace: None,
        };
        let mut out = Vec::new();
        compose(&mut out, text.as_bytes(), &head, &additions);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_between_client_and_tidegate_stays_there() {
        let cases = [
            ("GET /a?b HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n", "GET /a?b HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\nTE: trailers\r\nA: 1\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            ("GET http://a:81/x HTTP/1.1\r\nHost: a:81\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a:81\r\n\r\n"),
            ("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nSSLClientCertStatus: OK\r\nB: 2\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\n\r\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(composed(text, |_| {}, true, false), expected, "{text:?}");
        }
    }

    #[test]
    fn nodes_are_told_who_asks_and_what_becomes_of_the_connection() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n";
        assert_eq!(
            composed(text, |http| http.add_x_forwarded_for = true, true, false),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n\r\n"
        );
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Cluster-Client-Ip: 9.9.9.9\r\n\r\n";
        assert_eq!(
            composed(text, |http| http.add_cluster_ip = true, false, false),
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
        let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(
            composed(text, |_| {}, true, true),
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        );
    }
}
