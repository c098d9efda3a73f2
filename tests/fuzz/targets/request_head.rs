//! Request heads: whatever is accepted has one meaning only, wherever the bytes were cut on their way here.
//!
//! The first byte of the input chooses where the head is cut in two; the rest is the head.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_http1::{
    limits::Limits,
    request::{BodyFraming, Parsed, RequestError, RequestHead, Role, Version},
};

/// Small limits, so that the fuzzer reaches them.
const LIMITS: Limits = Limits { request_line: 512, head: 2048, headers: 32 };

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let mut head = RequestHead::default();
    let outcome = head.parse(bytes, &LIMITS);
    cut_anywhere(bytes, usize::from(*cut), outcome);
    let Ok(Parsed::Complete(length)) = outcome else {
        if let Err(fault) = outcome {
            assert!(matches!(fault.status(), 400 | 414 | 417 | 431 | 501 | 505), "status {}", fault.status());
        }
        return;
    };
    one_meaning(&head, bytes, length);

    // What stands behind a head is not part of it.
    let mut alone = RequestHead::default();
    assert_eq!(alone.parse(&bytes[..length], &LIMITS), outcome);
    let mut followed = bytes[..length].to_vec();
    followed.extend_from_slice(b"GET /other HTTP/1.1\r\nHost: other\r\n\r\n");
    let mut again = RequestHead::default();
    assert_eq!(again.parse(&followed, &LIMITS), outcome);
    assert_eq!((again.framing(), again.target(&followed)), (head.framing(), head.target(bytes)));
});

/// The same bytes in two pieces come to the same end, except that a fault may be found at the first piece already.
fn cut_anywhere(bytes: &[u8], cut: usize, whole: Result<Parsed, RequestError>) {
    let cut = cut.min(bytes.len());
    let mut head = RequestHead::default();
    match head.parse(&bytes[..cut], &LIMITS) {
        Ok(Parsed::Partial) => match (head.parse(bytes, &LIMITS), whole) {
            (Ok(parts), Ok(whole)) => assert_eq!(parts, whole, "cut at {cut}"),
            // Before its end has come, a head is looked at once only.
            (Err(_) | Ok(Parsed::Partial), Err(_)) => {}
            (parts, whole) => panic!("cut at {cut}: {parts:?}, in one piece {whole:?}"),
        },
        Ok(complete) => assert_eq!(Ok(complete), whole, "complete at {cut}"),
        Err(_) => assert!(whole.is_err(), "refused at {cut} but good in one piece"),
    }
}

fn one_meaning(head: &RequestHead, bytes: &[u8], length: usize) {
    assert!(length <= LIMITS.head && length <= bytes.len());
    let text = &bytes[..length];
    assert!(text.ends_with(b"\r\n\r\n"));

    // Line ends are CR LF and nothing else; no control bytes that somebody else might cut at.
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(text[at - 1], b'\r', "bare LF at {at}"),
            b'\r' => assert_eq!(text.get(at + 1), Some(&b'\n'), "bare CR at {at}"),
            b'\t' => {}
            0..0x20 | 0x7f => panic!("control byte {byte:#04x} at {at}"),
            _ => {}
        }
    }

    assert!(!head.target(bytes).is_empty());
    assert!(head.target(bytes).iter().all(|byte| byte.is_ascii_graphic()), "target");
    assert!(!head.method_bytes(bytes).is_empty());
    assert!(head.headers().len() <= LIMITS.headers);

    // The header lines cover the header section without gap or overlap.
    let mut at = head.headers_start();
    let (mut lengths, mut codings, mut hosts) = (0, 0, 0);
    for header in head.headers() {
        assert_eq!(header.line().start, at);
        at = header.line().end;
        let line = &bytes[header.line()];
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        assert_eq!(header.name(bytes), &line[..colon]);
        assert!(!line.starts_with(b" ") && !line.starts_with(b"\t"), "obs-fold");
        let name = header.name(bytes).to_ascii_lowercase();
        match name.as_slice() {
            b"content-length" => lengths += 1,
            b"transfer-encoding" => {
                codings += 1;
                assert!(header.value(bytes).eq_ignore_ascii_case(b"chunked"));
            }
            b"host" => {
                hosts += 1;
                assert!(
                    !header.value(bytes).iter().any(|byte| matches!(byte, b'@' | b'/' | b',' | b' ' | b'\t')),
                    "Host"
                );
            }
            _ => {}
        }
        // A name that only looks like a framing header is for the node to misread.
        let looks: Vec<u8> = name.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
        match looks.as_slice() {
            b"contentlength" => assert_eq!(name, b"content-length"),
            b"transferencoding" => assert_eq!(name, b"transfer-encoding"),
            _ => {}
        }
        match header.role() {
            Role::ContentLength => assert_eq!(name, b"content-length"),
            Role::TransferEncoding => assert_eq!(name, b"transfer-encoding"),
            Role::Host => assert_eq!(name, b"host"),
            _ => {}
        }
    }
    assert_eq!(at, head.headers_end());
    assert_eq!(head.headers_end() + 2, length);

    // Exactly one framing.
    match head.framing() {
        BodyFraming::None => assert_eq!((lengths, codings), (0, 0)),
        BodyFraming::Length(value) => {
            assert_eq!((lengths, codings), (1, 0));
            let written = head.header(bytes, b"content-length").expect("a Content-Length");
            assert!(written.iter().all(u8::is_ascii_digit));
            assert_eq!(std::str::from_utf8(written).ok().and_then(|text| text.parse().ok()), Some(value));
        }
        BodyFraming::Chunked => assert_eq!((lengths, codings, head.version()), (0, 1, Version::Http11)),
    }
    assert!(hosts <= 1);
    if head.version() == Version::Http11 {
        assert_eq!(hosts, 1, "HTTP/1.1 without Host");
    }
}
