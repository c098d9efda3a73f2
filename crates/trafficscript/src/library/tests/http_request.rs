//! The request line, header fields, cookies.

use super::check;
use crate::{
    Described,
    host::Side,
    library::testing::{give, header, lines},
};

fn request() -> Described {
    Described::request("GET", "/a%20b/c?x=1%202&y")
        .header("Host", "Shop.Example.:8080")
        .header("Accept", "text/html")
        .header("accept", "text/plain")
        .header("Empty", "")
        .header("Cookie", "a=1; b=two=2")
        .header("Cookie", "c")
}

#[test]
fn what_the_request_is() {
    check(
        &mut request(),
        &[
            ("http.getPath", &[], "/a b/c"),
            ("HTTP.getpath", &[], "/a b/c"),
            ("http.getRawURL", &[], "/a%20b/c?x=1%202&y"),
            ("http.getQueryString", &[], "x=1 2&y"),
            ("http.getRawQueryString", &[], "x=1%202&y"),
            ("http.getMethod", &[], "GET"),
            ("http.getVersion", &[], "HTTP/1.1"),
            ("http.getHostHeader", &[], "shop.example"),
            ("http.getHeader", &["ACCEPT"], "text/html, text/plain"),
            ("http.getHeader", &["None"], ""),
            ("http.headerExists", &["Empty"], "1"),
            ("http.headerExists", &["None"], "0"),
            ("http.listHeaderNames", &[], "[Host, Accept, Empty, Cookie]"),
            ("http.getHeaderNames", &[], "Host Accept Empty Cookie"),
            (
                "http.getHeaders",
                &[],
                "{Host: Shop.Example.:8080, Accept: text/html, text/plain, Empty: , Cookie: a=1; b=two=2, c}",
            ),
            ("http.getCookie", &["b"], "two=2"),
            ("http.getCookie", &["c"], ""),
            ("http.getCookie", &["A"], ""),
            ("http.cookie", &["a"], "1"),
            ("http.getCookies", &[], "{a: 1, b: two=2, c: }"),
            (
                "http.getRequest",
                &[],
                "GET /a%20b/c?x=1%202&y HTTP/1.1\r\nHost: Shop.Example.:8080\r\nAccept: text/html\r\n\
             accept: text/plain\r\nEmpty: \r\nCookie: a=1; b=two=2\r\nCookie: c\r\n\r\n",
            ),
            ("http.normalizePath", &["/a/../b//c/./d"], "/b/c/d"),
            ("http.normalizePath", &["/../a"], ""),
        ],
    );
}

#[test]
fn paths_of_odd_targets() {
    for (target, path) in [
        ("http://shop.example/a%20b?x=1", "/a b"),
        ("http://shop.example", "/"),
        ("http://shop.example?x", "/"),
        ("/%zz%4", "/_zz_4"),
        ("*", "*"),
    ] {
        assert_eq!(give(&mut Described::request("GET", target), "http.getPath", &[]), path, "{target}");
    }
}

#[test]
fn hosts() {
    for (given, host) in
        [("A", "a"), ("a:80", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("A.b.", "a.b"), ("", "")]
    {
        let mut request = Described::request("GET", "/").header("Host", given);
        assert_eq!(give(&mut request, "http.getHostHeader", &[]), host, "{given}");
    }
}

#[test]
fn targets_are_set() {
    let cases: &[(&str, &str, &str, usize)] = &[
        ("http.setPath", "/new path", "/new%20path?q=1", 0),
        ("http.setPath", "/a%20b#c", "/a%20b%23c?q=1", 0),
        ("http.setPath", "/n?other", "/n?other", 0),
        ("http.setPath", "relative", "/relative?q=1", 0),
        ("http.setPath", "/a\r\nX: y", "/a%0D%0AX:%20y?q=1", 0),
        ("http.setEscapedPath", "/a%20b c", "/a%2520b%20c?q=1", 0),
        ("http.setRawPath", "/a%20b", "/a%20b?q=1", 0),
        ("http.setRawPath", "/a b\r\n", "/a%20b%0D%0A?q=1", 1),
        ("http.setQueryString", "a=b c\r\n", "/p?a=b%20c%0D%0A", 0),
        ("http.setQueryString", "", "/p", 0),
        ("http.setRawQueryString", "a=%20", "/p?a=%20", 0),
        ("http.setRawQueryString", "a= HTTP/1.1\r\n", "/p?a=%20HTTP/1.1%0D%0A", 1),
    ];
    for (name, argument, target, warnings) in cases {
        let mut host = Described::request("GET", "/p?q=1");
        give(&mut host, name, &[argument]);
        assert_eq!(String::from_utf8_lossy(&host.target), *target, "{name} {argument:?}");
        assert_eq!(host.lines.len(), *warnings, "{:?}", lines(&host));
    }
    let mut absolute = Described::request("GET", "http://h/p?q");
    give(&mut absolute, "http.setQueryString", &["r"]);
    assert_eq!(absolute.target, b"/p?r");
}

#[test]
fn the_method_is_set() {
    let mut host = request();
    give(&mut host, "http.setMethod", &["PUT"]);
    assert_eq!(host.method, b"PUT");
    give(&mut host, "http.setMethod", &["GET / HTTP/1.1\r\n"]);
    assert_eq!(host.method, b"PUT");
    assert_eq!(lines(&host), ["Warn Rule test: Line 7: the method was not changed: it is not a method"]);
}

#[test]
fn header_fields_are_edited() {
    let mut host = request();
    let value = |host: &Described, name| header(host, Side::Request, name);
    give(&mut host, "http.setHeader", &["ACCEPT", "a/b"]);
    assert_eq!(value(&host, "Accept").as_deref(), Some("a/b"));
    give(&mut host, "http.addHeader", &["Accept", "c/d"]);
    assert_eq!(value(&host, "Accept").as_deref(), Some("a/b | c/d"));
    give(&mut host, "http.removeHeader", &["accept"]);
    assert_eq!(value(&host, "Accept"), None);
    assert!(host.lines.is_empty());

    give(&mut host, "http.setHeader", &["X", "a\r\nInjected: b\0"]);
    assert_eq!(value(&host, "X").as_deref(), Some("a  Injected: b"));
    assert_eq!(value(&host, "Injected"), None);
    give(&mut host, "http.setHeader", &["Injected: b\r\nX", "a"]);
    give(&mut host, "http.setHeader", &["Connection", "close"]);
    give(&mut host, "http.removeHeader", &["Content-Length"]);
    assert_eq!(host.lines.len(), 4, "{:?}", lines(&host));
    assert_eq!(value(&host, "Connection"), None);
}

#[test]
fn other_header_fields_are_scrubbed() {
    let arguments: [&[&str]; 2] = [&["Accept", "X"], &["x accept"]];
    for arguments in arguments {
        let mut host = request().header("Content-Length", "0").header("X", "1");
        give(&mut host, "http.scrubRequestHeaders", arguments);
        assert_eq!(give(&mut host, "http.getHeaderNames", &[]), "Host Accept Content-Length X");
        assert!(host.lines.is_empty());
    }
}

#[test]
fn cookies_are_edited() {
    let cookie = |name: &str, arguments: &[&str]| {
        let mut host = request();
        give(&mut host, name, arguments);
        (header(&host, Side::Request, "Cookie"), host.lines.len())
    };
    let some = |text: &str, warnings| (Some(text.to_owned()), warnings);
    assert_eq!(cookie("http.setCookie", &["b", "x"]), some("a=1; b=x; c=", 0));
    assert_eq!(cookie("http.setCookie", &["d", "x"]), some("a=1; b=two=2; c=; d=x", 0));
    assert_eq!(cookie("http.setCookie", &["b", "x; a=9\r\n"]), some("a=1; b=x a=9; c=", 1));
    assert_eq!(cookie("http.setCookie", &["b", "x; \r\na=9"]), some("a=1; b=x   a=9; c=", 2));
    assert_eq!(cookie("http.setCookie", &["b=", "x"]), some("a=1; b=two=2 | c", 1));
    assert_eq!(cookie("http.removeCookie", &["a"]), some("b=two=2; c=", 0));
    assert_eq!(cookie("http.removeCookie", &["none"]), some("a=1; b=two=2 | c", 0));
    let mut one = Described::request("GET", "/").header("Cookie", "a=1; a=2");
    give(&mut one, "http.setCookie", &["a", "3"]);
    assert_eq!(header(&one, Side::Request, "Cookie").as_deref(), Some("a=3"));
    give(&mut one, "http.removeCookie", &["a"]);
    assert_eq!(header(&one, Side::Request, "Cookie"), None);
}
