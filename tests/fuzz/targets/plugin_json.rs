//! Plugin output: a list of nodes is taken whole or not at all, and every node of it can be one.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tidegate_discovery::plugin::output::{
    MAX_OUTPUT, OVERRIDE_LIMITS, Output, OutputError, override_time, parse, read,
};

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() > MAX_OUTPUT {
        return;
    }
    let strict = parse(bytes);
    let lenient = read(bytes, true);
    for outcome in [&strict, &lenient] {
        match outcome {
            Ok(output) => sound(output),
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        assert_eq!(strict, Err(OutputError::Nothing));
    }
    // Lenient reading takes everything that strict reading takes, and the same of it.
    if let Ok(Output { code, nodes: Ok(nodes), .. }) = &strict {
        let Ok(lenient) = &lenient else { panic!("strict takes it, lenient does not: {lenient:?}") };
        assert_eq!(lenient.code, *code);
        assert_eq!(lenient.nodes.as_ref(), Ok(nodes));
    }
    // White space around the document changes nothing; a second document behind it is a fault.
    let padded = [b" \n", bytes, b"\n"].concat();
    assert_eq!(parse(&padded).is_ok(), strict.is_ok());
    if strict.is_ok() {
        assert!(parse(&[bytes, b" {}"].concat()).is_err(), "something stands behind the document");
    }
});

fn sound(output: &Output) {
    if let Ok(Some(listed)) = &output.nodes {
        for (address, node) in &listed.nodes.nodes {
            assert_ne!(address.port(), 0);
            assert!(!address.ip().is_unspecified() && !address.ip().is_multicast(), "{address}");
            assert_eq!(address.ip(), address.ip().to_canonical(), "mapped addresses are IPv4");
            assert!(node.weight.is_none_or(|weight| (1..=100).contains(&weight)), "weight {:?}", node.weight);
        }
    }
    if let Some(Ok(seconds)) = output.interval_override {
        assert!(seconds.is_finite());
        let wait = override_time(seconds, Duration::from_secs(1)).as_secs_f64();
        assert!((OVERRIDE_LIMITS.0..=OVERRIDE_LIMITS.1).contains(&wait), "{wait} s");
    }
    if let Some(error) = &output.error {
        assert!(error.chars().count() <= 301 && !error.contains(['\n', '\r', '\x1b']), "{error:?}");
    }
}
