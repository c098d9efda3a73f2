//! PROXY headers: complete, incomplete or refused, and never a different answer once more bytes are there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_http1::proxy_header::{LONGEST, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    match whole {
        Ok(Some((header, length))) => {
            assert!(length <= bytes.len() && length <= LONGEST && length > 0);
            assert_eq!(header.source.is_some(), header.destination.is_some());
            for address in [header.source, header.destination].into_iter().flatten() {
                assert_eq!(address.ip(), address.ip().to_canonical(), "mapped addresses are IPv4 everywhere");
            }
            assert_eq!(parse(&bytes[..length]), whole, "what stands behind the header is not part of it");
            if bytes.starts_with(b"PROXY ") {
                assert!(bytes[..length].ends_with(b"\r\n") && length <= 107);
            }
        }
        Ok(None) => assert!(bytes.len() < LONGEST, "bounded waiting"),
        Err(_) => {}
    }
    // Byte by byte: undecided, then decided once and for all.
    let mut decided = None;
    for end in 0..=bytes.len().min(LONGEST + 1) {
        let now = parse(&bytes[..end]);
        match (&decided, now) {
            (None, Ok(None)) => {}
            (None, now) => decided = Some(now),
            (Some(before), now) => assert_eq!(*before, now, "at {end} bytes"),
        }
        if end > 600 {
            break;
        }
    }
});
