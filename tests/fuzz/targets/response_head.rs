//! Response heads: a node's answer is understood in one way or not at all.
//!
//! The first byte of the input chooses the request that is answered and where the head is cut; the rest is the head.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_http1::{
    limits::Limits,
    request::{Method, RequestHead},
    response::{Parsed, ResponseFraming, ResponseHead},
};

/// Small limits, so that the fuzzer reaches them.
const LIMITS: Limits = Limits { request_line: 512, head: 2048, headers: 32 };

/// What may have been asked.
const REQUESTS: [&[u8]; 4] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let mut request = RequestHead::default();
    let asked = request.parse(REQUESTS[usize::from(choice % 4)], &LIMITS);
    assert!(matches!(asked, Ok(Parsed::Complete(_))));

    let mut head = ResponseHead::default();
    let outcome = head.parse(bytes, &LIMITS, &request);
    let cut = usize::from(choice / 4).min(bytes.len());
    let mut parts = ResponseHead::default();
    match parts.parse(&bytes[..cut], &LIMITS, &request) {
        Ok(Parsed::Partial) => match (parts.parse(bytes, &LIMITS, &request), outcome) {
            (Ok(parts), Ok(whole)) => assert_eq!(parts, whole, "cut at {cut}"),
            // Before its end has come, a head is looked at once only.
            (Err(_) | Ok(Parsed::Partial), Err(_)) => {}
            (parts, whole) => panic!("cut at {cut}: {parts:?}, in one piece {whole:?}"),
        },
        Ok(complete) => assert_eq!(Ok(complete), outcome, "complete at {cut}"),
        Err(_) => assert!(outcome.is_err(), "refused at {cut} but good in one piece"),
    }
    if let Ok(Parsed::Complete(length)) = outcome {
        one_meaning(&head, &request, bytes, length);
    }
});

fn one_meaning(head: &ResponseHead, request: &RequestHead, bytes: &[u8], length: usize) {
    assert!(length <= LIMITS.head && length <= bytes.len());
    let text = &bytes[..length];
    assert!(text.ends_with(b"\r\n\r\n"));
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(text[at - 1], b'\r', "bare LF at {at}"),
            b'\r' => assert_eq!(text.get(at + 1), Some(&b'\n'), "bare CR at {at}"),
            0 => panic!("NUL at {at}"),
            _ => {}
        }
    }
    assert!((100..=999).contains(&head.status()));
    assert_eq!(head.is_interim(), (100..200).contains(&head.status()) && head.status() != 101);

    let mut at = head.headers_start();
    let (mut lengths, mut codings) = (0, 0);
    for header in head.headers() {
        assert_eq!(header.line().start, at);
        at = header.line().end;
        match header.name(bytes).to_ascii_lowercase().as_slice() {
            b"content-length" => lengths += 1,
            b"transfer-encoding" => codings += 1,
            _ => {}
        }
    }
    assert_eq!(at, head.headers_end());
    assert_eq!(head.headers_end() + 2, length);

    let bodiless =
        request.method() == Method::Head || head.status() < 200 || matches!(head.status(), 204 | 304);
    match head.framing() {
        ResponseFraming::None => {
            let zero = head.header(bytes, b"content-length").is_some_and(|v| v.iter().all(|b| *b == b'0'));
            assert!(bodiless || zero, "no body, status {}", head.status());
        }
        ResponseFraming::Length(value) => {
            assert!(!bodiless);
            assert_eq!((lengths, codings), (1, 0));
            let written = head.header(bytes, b"content-length").expect("a Content-Length");
            assert_eq!(std::str::from_utf8(written).ok().and_then(|text| text.parse().ok()), Some(value));
        }
        ResponseFraming::Chunked => {
            assert!(!bodiless);
            assert_eq!((lengths, codings), (0, 1));
        }
        ResponseFraming::UntilClose => {
            assert!(!bodiless);
            assert_eq!((lengths, codings), (0, 0));
            assert!(!head.keep_alive(), "a connection that has to close is not kept");
        }
    }
}
