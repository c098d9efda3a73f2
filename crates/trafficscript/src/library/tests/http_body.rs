//! Forms, bodies, multipart.

use std::io::Write as _;

use flate2::{Compression, write::*};

use super::check;
use crate::{
    Described, Phase,
    described::Message,
    host::{Need, Side},
    library::testing::{call, call_with, give, header, lines, shown, value},
    meter::Limits,
};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[test]
fn parameters_of_the_query() {
    let mut host = Described::request("GET", "/?a=1&b=x+y&a=%32&c&=e&%zz=q");
    check(
        &mut host,
        &[
            ("http.getFormParam", &["a"], "1"),
            ("http.getFormParam", &["a", ","], "1,2"),
            ("http.getFormParam", &["b"], "x y"),
            ("http.getFormParam", &["none"], ""),
            ("http.getFormParams", &[], "{a: [1, 2], b: x y, c: , : e, _zz: q}"),
            ("http.listFormParamNames", &[], "[a, b, c, , _zz]"),
            ("http.getFormParamNames", &["|"], "a|b|c||_zz"),
            ("http.getFormParamNames", &[], "a b c  _zz"),
            ("http.doesFormParamExist", &["c"], "1"),
            ("http.doesFormParamExist", &["d"], "0"),
        ],
    );
    assert!(host.needs.is_empty(), "no body is waited for without a form");
}

#[test]
fn parameters_of_the_body() {
    let mut host = Described::request("POST", "/?a=1").header("Content-Type", FORM).body("a=2&b=3&b=4");
    check(
        &mut host,
        &[
            ("http.getFormParam", &["a"], "1"),
            ("http.getFormParam", &["b"], "3"),
            ("http.getFormParam", &["b", "+"], "3+4"),
            ("http.getFormParams", &[], "{a: 1, b: [3, 4]}"),
            ("http.doesFormParamExist", &["b"], "1"),
        ],
    );
    let mut not_a_form = Described::request("POST", "/").header("Content-Type", "text/plain").body("b=3");
    assert_eq!(give(&mut not_a_form, "http.getFormParam", &["b"]), "");
    assert!(not_a_form.needs.is_empty());

    let mut refused = Described::request("POST", "/").header("Content-Type", FORM).body("b=3");
    refused.request.refused = Some("the client is gone");
    assert_eq!(give(&mut refused, "http.getFormParam", &["b"]), "");
    assert_eq!(lines(&refused), ["Warn Rule test: Line 7: the body cannot be had: the client is gone"]);

    let mut later = Described::request("POST", "/?a=1").header("Content-Type", FORM).body("b=3");
    later.phase = Phase::Response;
    assert_eq!(give(&mut later, "http.getFormParam", &["a"]), "1");
    assert_eq!(give(&mut later, "http.getFormParam", &["b"]), "");
}

#[test]
fn the_body_is_waited_for() {
    let mut host = Described::request("POST", "/").body("line 1\r\nline 2\n\nline 4");
    assert_eq!(give(&mut host, "http.getBody", &["6"]), "line 1");
    assert_eq!(host.needs, [Need::Body(Side::Request, 6)]);
    assert_eq!(give(&mut host, "http.getBody", &["4"]), "line");
    assert_eq!(host.needs.len(), 1, "what is there is not waited for");
    assert_eq!(give(&mut host, "http.getBody", &[]), "line 1\r\nline 2\n\nline 4");
    assert_eq!(give(&mut host, "http.getBody", &["0"]), "line 1\r\nline 2\n\nline 4");
    assert_eq!(give(&mut host, "http.getBody", &["1000"]), "line 1\r\nline 2\n\nline 4");
    assert_eq!(give(&mut host, "http.getBodyLines", &[]), "[line 1, line 2, , line 4]");
    assert_eq!(give(&mut host, "http.getBodyLines", &["9"]), "[line 1, l]");
    assert_eq!(host.needs.len(), 2);
    assert_eq!(give(&mut Described::request("GET", "/"), "http.getBody", &[]), "");
    assert_eq!(give(&mut Described::request("GET", "/"), "http.getBodyLines", &[]), "[]");
}

#[test]
fn a_body_that_is_too_long_is_empty() {
    let limits = Limits { body: 5, ..Limits::default() };
    let get = |body: &str, bytes: &str| {
        let mut host = Described::request("POST", "/").body(body);
        let called = call_with(&mut host, "http.getBody", &[value(bytes)], limits);
        (shown(&called.outcome.unwrap()), host.lines.len())
    };
    assert_eq!(get("12345", "0"), ("12345".to_owned(), 0));
    assert_eq!(get("123456", "0"), (String::new(), 1));
    assert_eq!(get("123456", "3"), ("123".to_owned(), 0));
    assert_eq!(get("123456", "6"), ("12345".to_owned(), 0));
}

#[test]
fn the_body_is_set() {
    let mut host = Described::request("POST", "/").header("Transfer-Encoding", "chunked").body("old");
    give(&mut host, "http.setBody", &["new one"]);
    assert_eq!(header(&host, Side::Request, "Content-Length").as_deref(), Some("7"));
    assert_eq!(header(&host, Side::Request, "Transfer-Encoding"), None);
    assert_eq!(give(&mut host, "http.getBody", &[]), "new one");
    assert!(host.needs.is_empty());
}

#[test]
fn parts_of_a_multipart_body() {
    let body = "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Type: text/plain\r\n\r\n\
                one\r\n--XXline\r\ntwo\r\n--XX\r\n\r\nno head\r\n--XX--\r\nepilogue";
    let mut host = Described::request("POST", "/")
        .header("Content-Type", "multipart/form-data; charset=x; Boundary=\"XX\"")
        .body(body);
    let called = call(&mut host, "http.getMultipartAttachment", &["0"]);
    assert_eq!(shown(&called.outcome.unwrap()), "one\r\n--XXline\r\ntwo");
    assert_eq!(shown(&called.captures[0]), "text/plain");
    assert_eq!(
        shown(&called.captures[1]),
        "Content-Disposition: form-data; name=\"f\"\r\nContent-Type: text/plain\r\n"
    );
    check(
        &mut host,
        &[
            ("http.getMultipartAttachment", &["1"], "no head"),
            ("http.getMultipartAttachment", &["2"], ""),
            ("http.getMultipartAttachment", &["-1"], ""),
        ],
    );
    let mut other = Described::request("POST", "/").header("Content-Type", "text/plain").body("--XX");
    assert_eq!(give(&mut other, "http.getMultipartAttachment", &["0"]), "");
    assert!(other.needs.is_empty());
}

fn response(coding: &str, body: Vec<u8>) -> Described {
    let mut host = Described::request("GET", "/");
    let message = Message::default().body(body);
    let message = if coding.is_empty() { message } else { message.header("Content-Encoding", coding) };
    host.respond(200, "", message);
    host
}

#[test]
fn coded_responses_are_decoded() {
    let text = "a text that is longer than its code\n".repeat(40);
    let bytes = text.as_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    zlib.write_all(bytes).unwrap();
    raw.write_all(bytes).unwrap();
    let (gzip, zlib, raw) = (gzip.finish().unwrap(), zlib.finish().unwrap(), raw.finish().unwrap());
    for (coding, body) in
        [("", bytes), ("gzip", &gzip), ("X-GZIP", &gzip), ("deflate", &zlib), ("deflate", &raw)]
    {
        let mut host = response(coding, body.to_vec());
        assert_eq!(give(&mut host, "http.getResponseBody", &["6"]), "a text", "{coding}");
        assert_eq!(give(&mut host, "http.getResponseBody", &[]), text, "{coding}");
        let first = give(&mut host, "http.getResponseBodyLines", &["40"]);
        assert_eq!(first, "[a text that is longer than its code, a te]", "{coding}");
        assert!(host.lines.is_empty(), "{:?}", lines(&host));
    }

    let limits = Limits { body: 500, ..Limits::default() };
    let mut bomb = response("gzip", gzip.clone());
    let called = call_with(&mut bomb, "http.getResponseBody", &[], limits);
    assert_eq!(shown(&called.outcome.unwrap()), "");
    assert!(lines(&bomb)[0].ends_with("is not decoded: it is longer than 500 bytes"), "{:?}", lines(&bomb));

    let mut damaged = response("gzip", gzip[..gzip.len() / 2].to_vec());
    assert_eq!(give(&mut damaged, "http.getResponseBody", &[]), "");
    assert!(lines(&damaged)[0].contains("it is damaged"));
    let mut unknown = response("br", b"xyz".to_vec());
    assert_eq!(give(&mut unknown, "http.getResponseBody", &[]), "xyz");
    assert!(lines(&unknown)[0].contains("`br`"));
}

#[test]
fn the_response_body_is_set() {
    let mut host = response("gzip", b"coded".to_vec());
    give(&mut host, "http.setResponseBody", &["plain"]);
    assert_eq!(header(&host, Side::Response, "Content-Encoding"), None);
    assert_eq!(header(&host, Side::Response, "Content-Length").as_deref(), Some("5"));
    assert_eq!(give(&mut host, "http.getResponseBody", &[]), "plain");
    give(&mut host, "http.setResponseBody", &["other", "chunked"]);
    assert_eq!(host.response.body, b"other");
}

/// Every parameter that is looked at counts, whether or not it is the one.
#[test]
fn many_parameters_reach_a_limit() {
    for (name, arguments) in [
        ("http.getFormParam", &["none"][..]),
        ("http.doesFormParamExist", &["none"]),
        ("http.getFormParams", &[]),
        ("http.listFormParamNames", &[]),
    ] {
        for body in ["&", "a&", "a=b&"] {
            let mut host =
                Described::request("POST", "/").header("Content-Type", FORM).body(body.repeat(200_000));
            let given = give(&mut host, name, arguments);
            assert!(given.contains("instructions without yielding"), "{name} {body}: {given}");
        }
    }
}
