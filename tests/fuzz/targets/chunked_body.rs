//! Chunked bodies: what a relay passes on means the same to any reader, however the bytes arrived.
//!
//! The first byte of the input is the size of the pieces in which the body arrives; the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_http1::chunked::{ChunkError, ChunkedRelay, Output};

fuzz_target!(|data: &[u8]| {
    let Some((piece, body)) = data.split_first() else { return };
    let piece = usize::from(*piece).max(1);

    let whole = relay(body, body.len().max(1), Output::Chunked);
    let pieces = relay(body, piece, Output::Chunked);
    let plain = relay(body, piece, Output::Plain);
    match (&whole, &pieces, &plain) {
        (Ok(whole), Ok(pieces), Ok(plain)) => {
            assert_eq!(whole, pieces, "pieces of {piece}");
            assert_eq!(
                (whole.finished, whole.consumed, whole.data),
                (plain.finished, plain.consumed, plain.data)
            );
            assert_eq!(plain.out.len() as u64, plain.data, "plain output is the data alone");
        }
        (Err(_), Err(_), Err(_)) => return,
        faults => panic!("pieces of {piece}: {faults:?}"),
    }
    let (Ok(whole), Ok(plain)) = (whole, plain) else { return };

    // What went on is canonical: it reads back to the same data, and relaying it changes nothing.
    let again = relay(&whole.out, whole.out.len().max(1), Output::Chunked).expect("own output is good");
    assert_eq!(again.finished, whole.finished);
    assert_eq!(again.data, whole.data);
    assert_eq!(again.out, whole.out, "relaying is idempotent");
    assert_eq!(again.consumed, whole.out.len(), "nothing incomplete is passed on");
    let (data, finished) = strict_reader(&whole.out).expect("canonical chunks");
    assert_eq!(data, plain.out);
    assert_eq!(finished, whole.finished);
    if whole.finished {
        // A next request behind the body is not touched.
        let mut followed = body[..whole.consumed].to_vec();
        followed.extend_from_slice(b"0\r\n\r\nGET / HTTP/1.1\r\n");
        let next = relay(&followed, followed.len(), Output::Chunked).expect("the same body");
        assert_eq!((next.consumed, &next.out), (whole.consumed, &whole.out));
    }
});

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    out: Vec<u8>,
    consumed: usize,
    finished: bool,
    data: u64,
}

/// Feeds `body` in pieces, offering what was left over again.
fn relay(body: &[u8], piece: usize, output: Output) -> Result<Outcome, ChunkError> {
    let mut relay = ChunkedRelay::new(output);
    let mut out = Vec::new();
    let (mut consumed, mut offered, mut finished) = (0, 0, false);
    while !finished && offered < body.len() {
        offered = (offered + piece).min(body.len());
        let step = relay.relay(&body[consumed..offered], &mut out)?;
        assert!(step.consumed <= offered - consumed);
        consumed += step.consumed;
        finished = step.finished;
    }
    Ok(Outcome { out, consumed, finished, data: relay.data_bytes() })
}

/// A reader that knows nothing but the canonical form: lower-case size without leading zeros, CR LF, data, CR LF. It is
/// written apart from the code under test on purpose. Returns the data and whether the body ended; the last chunk may
/// be incomplete.
fn strict_reader(mut bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut data = Vec::new();
    loop {
        if bytes.is_empty() {
            return Some((data, false));
        }
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = u64::from_str_radix(digits, 16).ok()?;
        if format!("{size:x}") != digits {
            return None;
        }
        bytes = &bytes[end + 2..];
        if size == 0 {
            // Trailers up to an empty line.
            loop {
                let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
                    return bytes.is_empty().then_some((data, false));
                };
                let line = &bytes[..end];
                bytes = &bytes[end + 2..];
                if line.is_empty() {
                    return bytes.is_empty().then_some((data, true));
                }
                if !line.contains(&b':') {
                    return None;
                }
            }
        }
        let n = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
        data.extend_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        if n as u64 != size || bytes.is_empty() {
            return bytes.is_empty().then_some((data, false));
        }
        bytes = bytes.strip_prefix(b"\r\n")?;
    }
}
