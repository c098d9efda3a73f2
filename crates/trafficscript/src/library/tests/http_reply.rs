//! Replies in place of a node's, and requests to other servers.

use std::time::Duration;

use super::check;
use crate::{
    Described,
    host::{Fetch, Fetched, Need, Order, Reply},
    library::testing::{call, give, lines, shown},
};

const END: &str = "EndPhase";

fn replied(host: &Described) -> &Reply {
    match host.orders.last() {
        Some(Order::Reply(reply)) => reply,
        other => panic!("no reply but {other:?}"),
    }
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    let found = reply.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, value)| std::str::from_utf8(value).unwrap())
}

#[test]
fn responses_are_sent() {
    let mut host = Described::request("GET", "/");
    let headers = "Retry-After: 5\r\nX:  y \r\nConnection: close\r\nContent-Length: 99\r\n\r\n";
    let given = give(&mut host, "http.sendResponse", &["503 Busy", "text/plain", "wait", headers]);
    assert_eq!(given, END);
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    assert_eq!(
        *replied(&host),
        Reply {
            status: 503,
            reason: b"Busy".to_vec(),
            headers: vec![field("Content-Type", "text/plain"), field("Retry-After", "5"), field("X", "y")],
            body: b"wait".to_vec(),
        }
    );
    assert!(host.lines.is_empty(), "{:?}", lines(&host));
}

#[test]
fn codes_have_many_forms() {
    for (code, status, reason, warnings) in [
        ("403", 403, "Forbidden", 0),
        ("403 Go away", 403, "Go away", 0),
        ("302", 302, "Found", 0),
        ("nonsense", 500, "Internal Server Error", 1),
        ("200 OK\r\nX: y", 500, "Internal Server Error", 1),
        ("100", 500, "Internal Server Error", 1),
    ] {
        let mut host = Described::request("GET", "/");
        assert_eq!(give(&mut host, "http.sendResponse", &[code, "", "", ""]), END);
        let reply = replied(&host);
        assert_eq!((reply.status, reply.reason.as_slice()), (status, reason.as_bytes()), "{code}");
        assert_eq!(host.lines.len(), warnings);
        assert!(reply.headers.is_empty());
    }
}

#[test]
fn no_header_can_be_injected() {
    let mut host = Described::request("GET", "/");
    let headers = "A: b\nSet-Cookie: x\r\nno colon\r\nBad Name: x\r\n: empty\r\nB: c";
    give(&mut host, "http.sendResponse", &["200", "text/html\r\nX: y", "", headers]);
    let reply = replied(&host);
    assert_eq!(header(reply, "content-type"), Some("text/html  X: y"));
    assert_eq!(reply.headers.len(), 2, "{:?}", reply.headers);
    assert_eq!(header(reply, "b"), Some("c"));
    assert_eq!(host.lines.len(), 5, "{:?}", lines(&host));
}

#[test]
fn clients_are_redirected() {
    let mut host = Described::request("GET", "/");
    assert_eq!(give(&mut host, "http.redirect", &["https://a/b c?\"d\"&e"]), END);
    let reply = replied(&host);
    assert_eq!((reply.status, header(reply, "location")), (302, Some("https://a/b%20c?\"d\"&e")));
    assert!(String::from_utf8_lossy(&reply.body).contains("href=\"https://a/b%20c?&quot;d&quot;&amp;e\""));
    assert!(host.lines.is_empty());
    give(&mut host, "http.redirect", &["/a\r\nX: y"]);
    assert_eq!(header(replied(&host), "location"), Some("/a%0D%0AX:%20y"));
    assert_eq!(host.lines.len(), 1);
}

#[test]
fn sites_are_changed() {
    let http = || Described::request("GET", "/p?q=1").header("Host", "a.example");
    let port = || Described::request("GET", "/p").header("Host", "a.example:8080");
    let https = || http().secure();
    let cases: Vec<(Described, &str, Option<&str>)> = vec![
        (http(), "b.example", Some("http://b.example/p?q=1")),
        (http(), "https://a.example", Some("https://a.example/p?q=1")),
        (http(), "https://b.example:8443/x/", Some("https://b.example:8443/x/p?q=1")),
        (http(), "A.example", None),
        (http(), "a.example.", None),
        (http(), "http://a.example:80", None),
        (http(), "a.example:81", Some("http://a.example:81/p?q=1")),
        (http(), "a.example/x", Some("http://a.example/x/p?q=1")),
        (http(), "a.example/p", None),
        (port(), "b.example", Some("http://b.example:8080/p")),
        (port(), "https://a.example", Some("https://a.example/p")),
        (port(), "b.example:80", Some("http://b.example/p")),
        (https(), "https://a.example", None),
        (https(), "b.example", Some("https://b.example/p?q=1")),
        (https(), "http://a.example", Some("http://a.example/p?q=1")),
        (Described::request("GET", "/p"), "https://[::1]", Some("https://[::1]/p")),
    ];
    for (mut host, site, location) in cases {
        let given = give(&mut host, "http.changeSite", &[site]);
        match location {
            Some(location) => {
                assert_eq!(given, END, "{site}");
                let reply = replied(&host);
                assert_eq!((reply.status, header(reply, "location")), (301, Some(location)), "{site}");
            }
            None => assert_eq!((given.as_str(), host.orders.len()), ("", 0), "{site}"),
        }
    }
    let mut host = http();
    assert_eq!(give(&mut host, "http.changeSite", &["https:///x"]), "");
    assert_eq!(host.lines.len(), 1);
}

#[test]
fn other_servers_are_asked() {
    let mut host = Described::request("GET", "/");
    let fetched = Fetched {
        status: 201,
        status_line: b"HTTP/1.1 201 Created".to_vec(),
        head: b"A: b\r\n".to_vec(),
        content_type: b"text/plain".to_vec(),
        body: b"done".to_vec(),
    };
    host.fetches.insert(b"http://h/x".to_vec(), fetched);
    let called = call(&mut host, "http.request.post", &["http://h/x", "data", "X: y\r\nBad", "2.5"]);
    assert_eq!(shown(&called.outcome.unwrap()), "done");
    let captures: Vec<_> = called.captures[..4].iter().map(shown).collect();
    assert_eq!(captures, ["201", "text/plain", "A: b\r\n", "HTTP/1.1 201 Created"]);
    let Some(Need::Fetch(fetch)) = host.needs.last() else { panic!("{:?}", host.needs) };
    assert_eq!(
        **fetch,
        Fetch {
            method: "POST",
            url: b"http://h/x".to_vec(),
            headers: vec![(b"X".to_vec(), b"y".to_vec())],
            body: b"data".to_vec(),
            timeout: Some(Duration::from_millis(2500)),
            trusted: None,
        }
    );
    check(
        &mut host,
        &[
            ("http.request.get", &["http://h/x"], "done"),
            ("http.request.head", &["http://h/x", "", "1"], "done"),
            ("http.request.delete", &["http://h/x"], "done"),
            ("http.request.put", &["http://h/x", "d"], "done"),
        ],
    );
}

#[test]
fn failed_requests_say_why() {
    for (url, why, warnings) in [
        ("http://unknown/", "no reply is described for this URL", 0),
        ("ftp://h/", "not an http or https URL", 1),
        ("http://h/\r\nX: y", "the URL holds the byte `\\r`, which may not stand in one", 1),
        ("http://h/a b", "the URL holds a space (write %20)", 1),
        (
            "http://h/a?x=ü",
            "the URL holds bytes that are not ASCII (write them as %XX, such as string.urlencode does)",
            1,
        ),
    ] {
        let mut host = Described::request("GET", "/");
        let called = call(&mut host, "http.request.get", &[url]);
        assert_eq!(shown(&called.outcome.unwrap()), "");
        let captures: Vec<_> = called.captures[..4].iter().map(shown).collect();
        assert_eq!(captures, ["0", why, "", ""], "{url}");
        assert_eq!(host.lines.len(), warnings);
    }
}
