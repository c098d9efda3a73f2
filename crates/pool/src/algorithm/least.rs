//! `least_connections` and `weighted_least_connections`: the node with the fewest requests in progress.
//!
//! Idle connections do not count. Among equals the turn decides (with weights: the weighted turn), so a pool without
//! load is served in turn. The search ends at the first node without any request, since no node can have fewer.

use super::Candidates;

/// Fewest requests in progress.
pub(super) fn connections(candidates: &Candidates<'_>, start: usize) -> Option<u32> {
    lowest(candidates, start, |_| 1)
}

/// Fewest requests in progress in proportion to weight.
pub(super) fn weighted_connections(candidates: &Candidates<'_>, start: usize) -> Option<u32> {
    lowest(candidates, start, |slot| candidates.member(slot).weight)
}

fn lowest(candidates: &Candidates<'_>, start: usize, weight: impl Fn(u32) -> u32) -> Option<u32> {
    let mut best: Option<(u32, u64, u64)> = None;
    for slot in candidates.window(start) {
        let load = u64::from(candidates.member(slot).node.in_flight());
        if load == 0 {
            return Some(slot);
        }
        let weight = u64::from(weight(slot));
        // load / weight < best load / best weight
        if best.is_none_or(|(_, best_load, best_weight)| load * best_weight < best_load * weight) {
            best = Some((slot, load, weight));
        }
    }
    best.map(|(slot, ..)| slot)
}
