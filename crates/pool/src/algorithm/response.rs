//! `fastest_response_time` and `perceptive`: the node that answers soonest.
//!
//! Both go by the recent average time to first response data. One request in [`PROBE_EVERY`] goes to the node whose turn it
//! is instead: that measures nodes not measured yet, and notices when a slow node has become fast.

use super::{Candidates, WINDOW};

/// One request in this many is sent in turn.
const PROBE_EVERY: u64 = 16;

/// Differences below this many µs are noise (perceptive).
const FLOOR: u64 = 1000;

fn probe(candidates: &Candidates<'_>, turn: u64) -> Option<u32> {
    if !turn.is_multiple_of(PROBE_EVERY) {
        return None;
    }
    let start = candidates.roster.schedule.position(turn / PROBE_EVERY, candidates.len());
    candidates.next_from(start)
}

/// Lowest average; while nothing is measured, in turn.
pub(super) fn fastest(candidates: &Candidates<'_>, turn: u64, start: usize) -> Option<u32> {
    probe(candidates, turn).or_else(|| {
        let unmeasured_last = |slot: &u32| match candidates.member(*slot).node.response_micros() {
            0 => u32::MAX,
            micros => micros,
        };
        candidates.window(start).min_by_key(unmeasured_last)
    })
}

/// Lowest product of requests in progress (this one included) and average. While nothing is measured, or all
/// nodes are equally fast, that is least connections. A node not measured yet counts as average.
pub(super) fn perceptive(candidates: &Candidates<'_>, turn: u64, start: usize) -> Option<u32> {
    if let Some(slot) = probe(candidates, turn) {
        return Some(slot);
    }
    let mut window = [(0_u32, 0_u64, 0_u64); WINDOW];
    let mut len = 0;
    let (mut sum, mut measured) = (0, 0);
    for (place, slot) in window.iter_mut().zip(candidates.window(start)) {
        let node = &candidates.member(slot).node;
        let micros = u64::from(node.response_micros());
        if micros > 0 {
            sum += micros;
            measured += 1;
        }
        *place = (slot, u64::from(node.in_flight()) + 1, micros);
        len += 1;
    }
    let mean = if measured == 0 { FLOOR } else { sum / measured };
    window[..len]
        .iter()
        .min_by_key(|(_, load, micros)| load * if *micros == 0 { mean } else { *micros }.max(FLOOR))
        .map(|(slot, ..)| *slot)
}
