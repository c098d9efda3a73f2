//! The balancing algorithms: which of the nodes that are ready takes a request without session.
//!
//! In: the roster, the turn (an atomic counter all workers share, so that two workers together balance as one), one
//! random number. Out: a slot. What every algorithm has in common is in `Candidates`: nodes the request has tried,
//! nodes at a limit and most of the time nodes being introduced are passed over.
//!
//! `load_balancing.algorithm` and where it is: `round_robin` and `random` here; `weighted_round_robin` in
//! `schedule`; `least_connections` and `weighted_least_connections` in `least`; `fastest_response_time` and
//! `perceptive` in `response`. Sessions that are known by a key but to no table go by `rendezvous`.
//!
//! The algorithms that compare nodes look at no more than [`WINDOW`] of them per request, the window moving on by
//! one node with each request. Up to that many nodes they are exact; in larger pools a request goes to the best
//! of the window, which keeps the cost of a choice independent of the number of nodes.

pub(crate) mod introduction;
pub(crate) mod least;
pub(crate) mod rendezvous;
pub(crate) mod response;
pub(crate) mod schedule;

use tidegate_model::{Moment, pool::Algorithm};

pub(crate) use schedule::Schedule;

use crate::{
    choose::{Slot, Tried},
    hash::{below, mix},
    health::Health,
    node::Node,
    pool::{Member, Pool},
    roster::Roster,
};

/// Most nodes that are compared for one request.
pub const WINDOW: usize = 32;

/// One request's view of the nodes that are ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) roster: &'a Roster,
    pub(crate) tried: &'a Tried,
    pub(crate) now: Moment,
    pub(crate) random: u64,
    /// Whether nodes being introduced may be passed over.
    pub(crate) careful: bool,
}

impl<'a> Candidates<'a> {
    /// How many nodes are ready.
    pub(crate) fn len(&self) -> usize {
        self.roster.ready.len()
    }

    /// The slot at a position of the roster.
    pub(crate) fn slot(&self, position: usize) -> u32 {
        self.roster.ready[position]
    }

    pub(crate) fn member(&self, slot: u32) -> &'a Member {
        &self.pool.members[slot as usize]
    }

    /// Untried, not to be avoided, with room for a request, and not passed over for being new.
    pub(crate) fn is_available(&self, slot: u32) -> bool {
        let node = &self.member(slot).node;
        !self.tried.leaves_out(Slot(slot)) && self.pool.has_room(node) && self.is_admitted(node)
    }

    fn is_admitted(&self, node: &Node) -> bool {
        !self.careful
            || Health::is_plain(node.health_word())
            || introduction::admits(node, self.now, self.random)
    }

    /// The first available node from `start` on, round the roster.
    pub(crate) fn next_from(&self, start: usize) -> Option<u32> {
        let (before, after) = self.roster.ready.split_at(start);
        after.iter().chain(before).copied().find(|slot| self.is_available(*slot))
    }

    /// Available nodes from `start` on, round the roster, at most [`WINDOW`].
    pub(crate) fn window(&self, start: usize) -> impl Iterator<Item = u32> {
        let (before, after) = self.roster.ready.split_at(start);
        after.iter().chain(before).copied().filter(|slot| self.is_available(*slot)).take(WINDOW)
    }

    /// The position whose turn it is. The turn of a node that is being introduced and passed over goes to one
    /// drawn by lot, in proportion to the turns: its neighbour would get twice its share.
    fn start(&self, turn: u64) -> usize {
        const DRAWS: u64 = 8;
        let position = |turn| self.roster.schedule.position(turn, self.len());
        let admitted = |position: &usize| self.is_admitted(&self.member(self.slot(*position)).node);
        let start = position(turn);
        if !self.careful || admitted(&start) {
            return start;
        }
        let mut draws = (1..=DRAWS).map(|draw| position(mix(self.random.wrapping_add(draw))));
        draws.find(admitted).unwrap_or(start)
    }
}

/// Chooses for a request without session. `turn` gives the number of a turn. `None`: no node is available; the caller
/// finds out why.
pub(crate) fn pick(candidates: Candidates<'_>, turn: impl Fn() -> u64) -> Option<u32> {
    if candidates.len() == 0 {
        return None;
    }
    let found = pick_from(&candidates, &turn);
    if found.is_none() && candidates.careful {
        return pick_from(&Candidates { careful: false, ..candidates }, &turn);
    }
    found
}

fn pick_from(candidates: &Candidates<'_>, turn: &impl Fn() -> u64) -> Option<u32> {
    let algorithm = candidates.pool.settings.algorithm;
    if algorithm == Algorithm::Random {
        // A draw that cannot be used is repeated, so that a neighbour does not get twice its share; from the last
        // on in turn.
        const DRAWS: u64 = 8;
        let draws = (1..=DRAWS).map(|draw| mix(candidates.random.wrapping_add(draw << 32)));
        let mut position = below(candidates.random, candidates.len());
        for draw in draws {
            if candidates.is_available(candidates.slot(position)) {
                return Some(candidates.slot(position));
            }
            position = below(draw, candidates.len());
        }
        return candidates.next_from(position);
    }
    let turn = turn();
    let start = candidates.start(turn);
    match algorithm {
        Algorithm::RoundRobin | Algorithm::WeightedRoundRobin | Algorithm::Random => {
            candidates.next_from(start)
        }
        Algorithm::LeastConnections => least::connections(candidates, start),
        Algorithm::WeightedLeastConnections => least::weighted_connections(candidates, start),
        Algorithm::FastestResponseTime => response::fastest(candidates, turn, start),
        Algorithm::Perceptive => response::perceptive(candidates, turn, start),
    }
}
