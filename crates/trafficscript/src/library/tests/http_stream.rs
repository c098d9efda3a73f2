//! Streamed responses, and the switches.

use super::check;
use crate::{
    Described,
    described::Message,
    host::Order,
    library::testing::{give, lines},
};

fn response(body: &str) -> Described {
    let mut host = Described::request("GET", "/");
    host.respond(200, "", Message::default().header("A", "b").body(body));
    host
}

#[test]
fn a_response_is_written_in_pieces() {
    let mut host = Described::request("GET", "/");
    check(
        &mut host,
        &[
            ("http.stream.writeResponse", &["early"], "0"),
            ("http.stream.startResponse", &["200", "text/plain", "5", "X: y"], "1"),
            ("http.stream.writeResponse", &["abc"], "1"),
            ("http.stream.writeResponse", &[""], "1"),
            ("http.stream.startResponse", &["200", "text/plain"], "0"),
            ("http.stream.finishResponse", &["de"], "EndPhase"),
        ],
    );
    let stream = host.stream.clone().unwrap();
    assert_eq!((stream.written.as_slice(), stream.finished, stream.continued), (&b"abcde"[..], true, false));
    assert_eq!(host.lines.len(), 2, "{:?}", lines(&host));
    let Order::StreamStart { reply, length, keep_headers } = &host.orders[0] else { panic!() };
    assert_eq!((reply.status, *length, *keep_headers), (200, Some(5), false));
    assert_eq!(reply.headers.len(), 2);
}

#[test]
fn nothing_is_finished_that_was_not_begun() {
    let mut host = Described::request("GET", "/");
    assert_eq!(give(&mut host, "http.stream.finishResponse", &[]), "");
    assert_eq!(give(&mut host, "http.stream.continueFromBackend", &[]), "");
    assert_eq!(host.lines.len(), 2);
}

#[test]
fn the_nodes_body_is_taken_in_pieces() {
    let mut host = response("one\ntwo\nthree\nfour");
    check(
        &mut host,
        &[
            ("http.stream.startResponse", &["200", "text/plain", "-1"], "1"),
            ("http.stream.readResponse", &["100", "\n"], "one\n"),
            ("http.stream.readBulkResponse", &["12", "\n"], "two\nthree\n"),
            ("http.stream.readResponse", &["2"], "fo"),
            ("http.stream.readResponse", &["0"], ""),
            ("http.stream.readResponse", &["2", "\n"], "ur"),
            ("http.stream.readBulkResponse", &["2"], ""),
            ("http.stream.continueFromBackend", &["end"], "EndPhase"),
        ],
    );
    assert!(host.stream.as_ref().unwrap().continued);
    let Order::StreamStart { length, keep_headers, .. } = &host.orders[0] else { panic!() };
    assert_eq!((*length, *keep_headers), (None, true));
}

#[test]
fn switches_have_no_effect_yet() {
    check(
        &mut Described::request("GET", "/"),
        &[
            ("http.cache.disable", &[], ""),
            ("http.cache.enable", &[], ""),
            ("http.cache.exists", &["pool"], "0"),
            ("http.cache.respondIfCached", &[], ""),
            ("http.cache.setkey", &["inside"], ""),
            ("http.compress.enable", &[], "1"),
            ("http.compress.disable", &[], ""),
            ("http.aptimizer.bypass", &[], ""),
        ],
    );
}

#[test]
fn idempotence_is_ordered() {
    let mut host = Described::request("POST", "/");
    give(&mut host, "http.setIdempotent", &["1"]);
    give(&mut host, "http.setIdempotent", &[""]);
    give(&mut host, "request.setIdempotent", &["1"]);
    give(&mut host, "connection.setIdempotent", &["0"]);
    let flags: Vec<_> = [true, false, true, false].map(Order::Idempotent).to_vec();
    assert_eq!(host.orders, flags);
}
