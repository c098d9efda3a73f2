//! Trace contexts: one line is a `traceparent`, the others are a `tracestate`. What is read is written and read again
//! as the same, and nothing that two readers could take for different things gets through.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_http1::trace_context::{
    MAX_STATE, MAX_STATE_MEMBERS, PARENT_LENGTH, RANDOM, SAMPLED, TraceParent, is_trace_state,
};

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let value = lines.next().unwrap_or_default();
    if let Some(parent) = TraceParent::parse(value) {
        assert!(value.len() >= PARENT_LENGTH && parent.flags & !(SAMPLED | RANDOM) == 0);
        let text = parent.text();
        assert_eq!(TraceParent::parse(&text), Some(parent));
        // The numbers are written as they came.
        assert_eq!(text[3..52], value[3..52]);
        assert!(value.len() == PARENT_LENGTH || (value[PARENT_LENGTH] == b'-' && !value.starts_with(b"00")));
    }
    let states: Vec<&[u8]> = lines.collect();
    if is_trace_state(states.iter().copied()) {
        let joined = states.join(&b',');
        assert!(states.iter().map(|state| state.len()).sum::<usize>() <= MAX_STATE);
        if joined.len() <= MAX_STATE {
            assert!(is_trace_state([joined.as_slice()]), "several fields are one list");
        }
        let members: Vec<&[u8]> = joined
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
            .collect();
        assert!(members.len() <= MAX_STATE_MEMBERS);
        for (index, member) in members.iter().enumerate() {
            assert_eq!(member.iter().filter(|byte| **byte == b'=').count(), 1);
            assert!(member.iter().all(|byte| (b' '..=b'~').contains(byte)));
            let key = |member: &[u8]| member.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
            assert!(members[..index].iter().all(|other| key(other) != key(member)), "a key stands once");
        }
    }
});
