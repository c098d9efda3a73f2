//! Status, header fields and cookies of the response.

use super::check;
use crate::{
    Described,
    described::Message,
    host::Side,
    library::testing::{give, header, lines},
};

fn response() -> Described {
    let mut host = Described::request("GET", "/");
    let message = Message::default()
        .header("Content-Type", "text/html")
        .header("Vary", "Accept")
        .header("vary", "Cookie")
        .header("Set-Cookie", "a=1; path=/; secure")
        .header("Set-Cookie", "b=2");
    host.respond(404, "Gone fishing", message);
    host
}

#[test]
fn what_the_response_is() {
    check(
        &mut response(),
        &[
            ("http.getResponseCode", &[], "404"),
            ("http.getResponseVersion", &[], "HTTP/1.1"),
            ("http.getResponseHeader", &["VARY"], "Accept, Cookie"),
            ("http.getResponseHeader", &["None"], ""),
            ("http.responseHeaderExists", &["vary"], "1"),
            ("http.responseHeaderExists", &["None"], "0"),
            ("http.listResponseHeaderNames", &[], "[Content-Type, Vary, Set-Cookie]"),
            ("http.getResponseHeaderNames", &[], "Content-Type Vary Set-Cookie"),
            (
                "http.getResponseHeaders",
                &[],
                "{Content-Type: text/html, Vary: Accept, Cookie, Set-Cookie: a=1; path=/; secure, b=2}",
            ),
            ("http.getResponseCookie", &["a"], "1"),
            ("http.getResponseCookie", &["none"], ""),
            ("http.getResponseCookies", &[], "{a: 1, b: 2}"),
            (
                "http.getResponse",
                &[],
                "HTTP/1.1 404 Gone fishing\r\nContent-Type: text/html\r\nVary: Accept\r\nvary: Cookie\r\n\
             Set-Cookie: a=1; path=/; secure\r\nSet-Cookie: b=2\r\n\r\n",
            ),
        ],
    );
}

#[test]
fn the_status_is_set() {
    for (arguments, status, reason, warnings) in [
        (&["503"][..], 503, "Service Unavailable", 0),
        (&["503", "Busy"], 503, "Busy", 0),
        (&["200 Fine"], 200, "Fine", 0),
        (&["7"], 404, "Gone fishing", 1),
        (&["200", "a\r\nb"], 404, "Gone fishing", 1),
    ] {
        let mut host = response();
        give(&mut host, "http.setResponseCode", arguments);
        assert_eq!(host.status, (status, reason.as_bytes().to_vec()), "{arguments:?}");
        assert_eq!(host.lines.len(), warnings, "{:?}", lines(&host));
    }
}

#[test]
fn header_fields_are_edited() {
    let mut host = response();
    let value = |host: &Described, name| header(host, Side::Response, name);
    give(&mut host, "http.addResponseHeader", &["Vary", "Origin"]);
    assert_eq!(value(&host, "Vary").as_deref(), Some("Accept, Cookie, Origin"));
    give(&mut host, "http.addResponseHeader", &["New", "1"]);
    assert_eq!(value(&host, "New").as_deref(), Some("1"));
    give(&mut host, "http.addResponseHeader", &["Set-Cookie", "c=3"]);
    assert_eq!(value(&host, "Set-Cookie").as_deref(), Some("a=1; path=/; secure | b=2 | c=3"));
    give(&mut host, "http.setResponseHeader", &["Vary", "x\r\n\r\n<script>"]);
    assert_eq!(value(&host, "Vary").as_deref(), Some("x    <script>"));
    give(&mut host, "http.removeResponseHeader", &["vary"]);
    assert_eq!(value(&host, "Vary"), None);
    assert_eq!(host.lines.len(), 1);
    give(&mut host, "http.scrubResponseHeaders", &["content-type new"]);
    assert_eq!(give(&mut host, "http.getResponseHeaderNames", &[]), "Content-Type New");
}

#[test]
fn request_rules_edit_the_response_to_come() {
    let mut host = Described::request("GET", "/");
    give(&mut host, "http.setResponseHeader", &["Server", "mine"]);
    give(&mut host, "http.addResponseHeader", &["Via", "me"]);
    give(&mut host, "http.removeResponseHeader", &["X-Powered-By"]);
    give(&mut host, "http.setResponseCookie", &["seen", "1", "path=/"]);
    assert_eq!(header(&host, Side::Response, "Server"), None);
    let message =
        Message::default().header("Server", "node").header("X-Powered-By", "x").header("Set-Cookie", "own=1");
    host.respond(200, "", message);
    assert_eq!(
        give(&mut host, "http.getResponse", &[]),
        "HTTP/1.1 200 OK\r\nServer: mine\r\nSet-Cookie: own=1\r\nVia: me\r\nSet-Cookie: seen=1; path=/\r\n\r\n"
    );
}

#[test]
fn cookies_are_set_and_removed() {
    let cookies = |name: &str, arguments: &[&str]| {
        let mut host = response();
        give(&mut host, name, arguments);
        (header(&host, Side::Response, "Set-Cookie").unwrap_or_default(), host.lines.len())
    };
    for (arguments, result, warnings) in [
        (&["a", "9"][..], "a=9; path=/; secure | b=2", 0),
        (&["a", "9", "domain=x"], "a=9; domain=x | b=2", 0),
        (&["b", "9", "; httponly"], "a=1; path=/; secure | b=9; httponly", 0),
        (&["c", "3", "path=/; secure"], "a=1; path=/; secure | b=2 | c=3; path=/; secure", 0),
        (&["c", "3"], "a=1; path=/; secure | b=2 | c=3", 0),
        (&["c", "3; x\r\n"], "a=1; path=/; secure | b=2 | c=3 x", 1),
        (&["c", "3", "path=/\r\nX: y"], "a=1; path=/; secure | b=2 | c=3; path=/  X: y", 1),
        (&["c d", "3"], "a=1; path=/; secure | b=2", 1),
    ] {
        let given = cookies("http.setResponseCookie", arguments);
        assert_eq!(given, (result.to_owned(), warnings), "{arguments:?}");
    }
    assert_eq!(cookies("http.removeResponseCookie", &["a"]), ("b=2".to_owned(), 0));
    assert_eq!(cookies("http.removeResponseCookie", &["z"]), ("a=1; path=/; secure | b=2".to_owned(), 0));
}

/// Request rules edit the response that comes, not the one that is not there.
#[test]
fn edits_of_a_response_to_come_are_made_of_it() {
    let mut host = Described::request("GET", "/");
    for (function, arguments) in [
        ("http.setResponseCookie", &["a", "1"][..]),
        ("http.setResponseCookie", &["a", "2"]),
        ("http.setResponseCookie", &["sid", "mine"]),
        ("http.removeResponseCookie", &["lang"]),
        ("http.addResponseHeader", &["X-Multi", "one"]),
        ("http.addResponseHeader", &["X-Multi", "two"]),
    ] {
        give(&mut host, function, arguments);
    }
    let message = Message::default()
        .header("X-Multi", "node")
        .header("Set-Cookie", "lang=en")
        .header("Set-Cookie", "sid=node; HttpOnly");
    host.respond(200, "", message);
    assert_eq!(
        give(&mut host, "http.getResponse", &[]),
        "HTTP/1.1 200 OK\r\nX-Multi: node, one, two\r\nSet-Cookie: sid=mine; HttpOnly\r\nSet-Cookie: a=2\r\n\r\n"
    );
}
