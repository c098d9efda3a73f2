//! Which heads are understood, and that edited ones are what the parser reads.

use super::*;

/// Whatever is accepted is read in the same way by another parser, however it was spoilt before.
#[test]
fn accepted_heads_are_what_others_read() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let question = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut request = RequestHead::default();
    request.parse(question, &Limits::default()).unwrap();
    let whole = b"HTTP/1.1 200 All is well\r\nServer: a/1.0 (b)\r\nEmpty:\r\nContent-Length: 12\r\nSet-Cookie: a=\xe9;  b\t \r\nConnection: keep-alive\r\n\r\n";
    let mut accepted = 0;
    for _ in 0..50_000 {
        let bytes = head::tests::spoilt(whole, &mut random);
        let mut head = ResponseHead::default();
        let mut slow = ResponseHead::default();
        let slowly = (1..=bytes.len())
            .map(|end| slow.parse(&bytes[..end], &Limits::default(), &request))
            .find(|parsed| !matches!(parsed, Ok(Parsed::Partial)));
        let parsed = head.parse(&bytes, &Limits::default(), &request);
        match &parsed {
            Ok(Parsed::Complete(_)) => assert_eq!(slowly, Some(parsed), "slowly {bytes:?}"),
            Ok(Parsed::Partial) => assert_eq!(slowly, None, "slowly {bytes:?}"),
            // In pieces, the fault may be found only when the end of the head has come.
            Err(_) => assert!(!matches!(slowly, Some(Ok(_))), "slowly {bytes:?}: {slowly:?}"),
        }
        let Ok(Parsed::Complete(length)) = parsed else { continue };
        accepted += 1;
        let mut room = [httparse::EMPTY_HEADER; 16];
        let mut other = httparse::Response::new(&mut room);
        assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(length)), "{bytes:?}");
        assert_eq!(other.code, Some(head.status()), "{bytes:?}");
        head::tests::assert_same(head.headers(), other.headers, &bytes);
    }
    assert!(accepted > 1000, "{accepted} accepted");
}

/// What becomes of a head by edits is what the parser reads in its bytes.
#[test]
fn edited_heads_are_what_the_parser_reads() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut request = RequestHead::default();
    request.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Limits::default()).unwrap();
    let lines = [
        "Content-Length: 12",
        "Transfer-Encoding: chunked",
        "Set-Cookie: a=1",
        "X-A:  1\t",
        "Location: /",
        "x-a: 2",
        "Keep-Alive: 5",
    ];
    let names = ["X-A", "Set-Cookie", "Location", "X-New", "Server", "Connection", "Content-Length"];
    let values: [&[u8]; 6] = [b"", b" v ", b"a=2; Path=/", b"\xe9\t\xff", b"x\r\ny", b"\x7f"];
    let [mut head, mut edited, mut read]: [ResponseHead; 3] = Default::default();
    let (mut made, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let version = random.u8(..2);
        let mut bytes =
            format!("HTTP/1.{version} 20{} All is well\r\n", random.choice([0, 4]).unwrap()).into_bytes();
        for _ in 0..random.usize(..8) {
            bytes.extend_from_slice(random.choice(lines).unwrap().as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        let Ok(Parsed::Complete(_)) = head.parse(&bytes, &Limits::default(), &request) else { continue };
        let mut fields = HeaderEdits::default();
        for _ in 0..random.usize(..5) {
            let (name, value) = (random.choice(names).unwrap().as_bytes(), random.choice(values).unwrap());
            let _refused = match random.u8(..3) {
                0 => fields.set(name, value),
                1 => fields.add(name, value),
                _ => fields.remove(name),
            };
        }
        let reason = random.choice(values).unwrap();
        let status = random.bool().then(|| (random.u16(90..1010), reason));
        let length = match random.u8(..3) {
            0 => NewLength::Same,
            1 => NewLength::Silent,
            _ => NewLength::Length(random.usize(..)),
        };
        let limits = Limits { headers: random.usize(4..12), ..Limits::default() };
        let edits = Edits { status, fields: &fields, length };
        let mut out = Vec::new();
        let done = head.edited(&bytes, &edits, &limits, &request, &mut edited, &mut out);
        let parsed = read.parse(&out, &limits, &request);
        if done.is_err() {
            refused += 1;
            let bad_status = status
                .is_some_and(|(status, reason)| !(100..1000).contains(&status) || !edit::is_reason(reason));
            assert!(bad_status || parsed.is_err(), "{bytes:?} {edits:?}");
            read = ResponseHead::default();
            continue;
        }
        made += 1;
        assert_eq!(parsed, Ok(Parsed::Complete(out.len())), "{bytes:?} {edits:?}");
        // Where the node's body ends with its connection, it does so whatever status the client is told.
        edited.keep_alive |= read.keep_alive && head.framing == ResponseFraming::UntilClose;
        assert_eq!(format!("{edited:?}"), format!("{read:?}"), "{bytes:?} {edits:?}");
    }
    assert!(made > 10_000 && refused > 1000, "{made} made, {refused} refused");
}

#[test]
fn lines_that_were_edited_in_are_not_named_by_the_nodes_connection() {
    let mut request = RequestHead::default();
    request.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Limits::default()).unwrap();
    let bytes = b"HTTP/1.1 200 OK\r\nConnection: x-a, x-b\r\nX-B: 1\r\nContent-Length: 0\r\n\r\n";
    let (mut head, mut edited) = (ResponseHead::default(), ResponseHead::default());
    head.parse(bytes, &Limits::default(), &request).unwrap();
    let mut fields = HeaderEdits::default();
    fields.set(b"X-A", b"rule").unwrap();
    let edits = Edits { status: None, fields: &fields, length: NewLength::Same };
    let mut out = Vec::new();
    head.edited(bytes, &edits, &Limits::default(), &request, &mut edited, &mut out).unwrap();
    let roles: Vec<_> = edited.headers().iter().map(Header::role).collect();
    assert_eq!(roles, [Role::Connection, Role::NamedByConnection, Role::ContentLength, Role::Other]);
    assert_eq!(edited.header(&out, b"x-a"), Some(&b"rule"[..]));
}

#[test]
fn close_wins() {
    let mut request = RequestHead::default();
    request.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Limits::default()).unwrap();
    for (version, lines, expected) in [
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: close, keep-alive\r\n", false),
        ("1.0", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: x, Close\r\n", false),
        ("1.1", "Connection: x\r\n", true),
    ] {
        let answer = format!("HTTP/{version} 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
        let mut head = ResponseHead::default();
        head.parse(answer.as_bytes(), &Limits::default(), &request).unwrap();
        assert_eq!(head.keep_alive(), expected, "{answer:?}");
    }
}

#[test]
fn connection_lists_a_bounded_number_of_options() {
    let question = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut request = RequestHead::default();
    request.parse(question, &Limits::default()).unwrap();
    for (count, good) in
        [(MAX_CONNECTION_OPTIONS, true), (MAX_CONNECTION_OPTIONS + 1, false), (16_000, false)]
    {
        let options = vec!["a"; count].join(",");
        let answer = format!("HTTP/1.1 200 OK\r\nConnection: {options}\r\nContent-Length: 0\r\n\r\n");
        let parsed = ResponseHead::default().parse(answer.as_bytes(), &Limits::default(), &request);
        assert_eq!(parsed.is_ok(), good, "{count} options: {parsed:?}");
    }
}
