//! Which heads are understood and which are refused.

use super::*;

fn parse(bytes: &[u8]) -> Result<RequestHead, u16> {
    let mut head = RequestHead::default();
    match head.parse(bytes, &Limits::default()) {
        Ok(Parsed::Complete(_)) => Ok(head),
        Ok(Parsed::Partial) => Err(0),
        Err(error) => Err(error.status()),
    }
}

/// The outcome when the bytes come one by one: a refusal may come earlier, never a different answer.
fn parse_slowly(bytes: &[u8]) -> Result<RequestHead, u16> {
    let mut head = RequestHead::default();
    for end in 1..=bytes.len() {
        match head.parse(&bytes[..end], &Limits::default()) {
            Ok(Parsed::Complete(length)) => {
                assert_eq!(length, end);
                return Ok(head);
            }
            Ok(Parsed::Partial) => {}
            Err(error) => return Err(error.status()),
        }
    }
    Err(0)
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    let cases: &[(&str, u16)] = &[
        // Framing, RFC 9112 §6.
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransferEncoding: chunked\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent''''''''''''''''''''''''''''''''''''''''-Length: 1\r\n\r\n",
            400,
        ),
        // One empty line before the request line is tolerated, two are not.
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // Lines, §2.2 and §5.
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\x7fc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA\t: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA(: b\r\n\r\n", 400),
        // Host, §3.2.
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:\x01\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n", 400),
        // Request line, §3.
        ("GE T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET /\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n", 417),
    ];
    for (text, status) in cases {
        assert_eq!(parse(text.as_bytes()).map(|_| ()), Err(*status), "{text:?}");
        assert_eq!(parse_slowly(text.as_bytes()).map(|_| ()), Err(*status), "slowly: {text:?}");
    }
}

#[test]
fn what_is_right_is_understood() {
    let text = b"\r\nPOST http://Shop:81/x?y=1 HTTP/1.1\r\nhost: shop:81\r\nA:  b c \t\r\nCOOKIE: a=1\r\nTransfer-Encoding: Chunked\r\nConnection: close, A\r\nExpect: 100-Continue\r\n\r\n";
    for head in [parse(text), parse_slowly(text)] {
        let head = head.expect("a good head");
        assert_eq!(head.method(), Method::Post);
        assert_eq!(head.method_bytes(text), b"POST");
        assert_eq!(head.path(text), b"/x?y=1");
        assert!(!head.is_origin_form() && !head.keep_alive() && head.expects_continue());
        assert_eq!(head.framing(), BodyFraming::Chunked);
        assert_eq!(head.host(text), Some(&b"shop:81"[..]));
        assert_eq!(head.header(text, b"a"), Some(&b"b c"[..]));
        assert_eq!(head.cookies(text).collect::<Vec<_>>(), [b"a=1"]);
        let roles: Vec<Role> = head.headers().iter().map(Header::role).collect();
        assert_eq!(
            roles,
            [
                Role::Host,
                Role::NamedByConnection,
                Role::Cookie,
                Role::TransferEncoding,
                Role::HopByHop,
                Role::Expect
            ]
        );
    }
    for good in [
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a_b.c\r\nA:\r\nB: \u{e9}\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(parse(good.as_bytes()).is_ok(), "{good:?}");
        assert!(parse_slowly(good.as_bytes()).is_ok(), "slowly: {good:?}");
    }
}

#[test]
fn limits_hold() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(17_000));
    assert_eq!(parse(long.as_bytes()).map(|_| ()), Err(414));
    assert_eq!(parse_slowly(long.as_bytes()).map(|_| ()), Err(414));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(33_000));
    assert_eq!(parse(large.as_bytes()).map(|_| ()), Err(431));
    assert_eq!(parse_slowly(large.as_bytes()).map(|_| ()), Err(431));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(parse(many.as_bytes()).map(|_| ()), Err(431));
}

#[test]
fn a_head_left_half_way_does_not_spoil_the_next() {
    let mut head = RequestHead::default();
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "b".repeat(500));
    assert_eq!(head.parse(long.as_bytes(), &Limits::default()), Ok(Parsed::Partial));
    head.start_over();
    let next = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(head.parse(next, &Limits::default()), Ok(Parsed::Complete(next.len())));
}

#[test]
fn connection_lists_a_bounded_number_of_options() {
    for (count, expected) in
        [(MAX_CONNECTION_OPTIONS, Ok(())), (MAX_CONNECTION_OPTIONS + 1, Err(400)), (16_000, Err(400))]
    {
        let options = vec!["a"; count];
        for lines in [
            format!("Connection: {}\r\n", options.join(",")),
            options
                .chunks(count.div_ceil(2))
                .map(|half| format!("Connection: {}\r\n", half.join(", ")))
                .collect::<Vec<_>>()
                .concat(),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            if head.len() < Limits::default().head {
                assert_eq!(parse(head.as_bytes()).map(|_| ()), expected, "{count} options");
            }
        }
    }
}

/// Whatever is accepted is read in the same way by another parser, however it was spoilt before.
#[test]
fn accepted_heads_are_what_others_read() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let whole = b"PUT /a?b=%20 HTTP/1.1\r\nHost: a.b:80\r\nUser-Agent: c/1 (d)\r\nEmpty:\r\nContent-Length: 12\r\nCookie: a=\xe9;  b\t \r\nConnection: keep-alive, x\r\n\r\n";
    let mut accepted = 0;
    for _ in 0..50_000 {
        let bytes = head::tests::spoilt(whole, &mut random);
        let mut head = RequestHead::default();
        let parsed = head.parse(&bytes, &Limits::default());
        match (&parsed, parse_slowly(&bytes)) {
            (Ok(Parsed::Complete(length)), slowly) => {
                assert!(slowly.is_ok() && bytes[..*length].ends_with(b"\r\n\r\n"), "slowly {bytes:?}");
            }
            (Ok(Parsed::Partial), slowly) => assert_eq!(slowly.map(|_| ()), Err(0), "slowly {bytes:?}"),
            // In pieces, the fault may be found only when the end of the head has come.
            (Err(_), slowly) => assert!(slowly.is_err(), "slowly {bytes:?}"),
        }
        let Ok(Parsed::Complete(length)) = parsed else { continue };
        accepted += 1;
        let mut room = [httparse::EMPTY_HEADER; 16];
        let mut other = httparse::Request::new(&mut room);
        assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(length)), "{bytes:?}");
        assert_eq!(other.method.map(str::as_bytes), Some(head.method_bytes(&bytes)), "{bytes:?}");
        assert_eq!(other.path.map(str::as_bytes), Some(head.target(&bytes)), "{bytes:?}");
        head::tests::assert_same(head.headers(), other.headers, &bytes);
    }
    assert!(accepted > 1000, "{accepted} accepted");
}
