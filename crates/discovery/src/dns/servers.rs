//! How each name server behaved, so that the next exchange begins with one that answers. Pure, and shared by all
//! tasks without a lock around the whole.

use std::net::SocketAddr;

use dashmap::DashMap;
use tidegate_model::Moment;

use crate::options::Timing;

/// Most servers remembered; sources may name their own.
const MAX_REMEMBERED: usize = 1024;

/// The memory, shared by all tasks.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    known: DashMap<SocketAddr, Behaviour>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Behaviour {
    /// Asked last until then.
    avoid_until: Option<Moment>,
    /// Asked without EDNS until then.
    plain_until: Option<Moment>,
}

impl Servers {
    /// `servers` in the order to ask: those that lately failed last, otherwise as configured, beginning with
    /// the one at `first`.
    pub(crate) fn order(&self, servers: &[SocketAddr], first: usize, now: Moment) -> Vec<SocketAddr> {
        let mut order = servers.to_vec();
        if !order.is_empty() {
            let count = order.len();
            order.rotate_left(first % count);
        }
        order.sort_by_cached_key(|server| {
            self.known.get(server).and_then(|seen| seen.avoid_until).is_some_and(|until| now < until)
        });
        order
    }

    /// Whether EDNS may be sent to `server`.
    pub(crate) fn edns(&self, server: SocketAddr, now: Moment) -> bool {
        self.known.get(&server).and_then(|seen| seen.plain_until).is_none_or(|until| now >= until)
    }

    /// `server` was silent, unreachable or refused.
    pub(crate) fn failed(&self, server: SocketAddr, timing: &Timing, now: Moment) {
        self.note(server, |seen| seen.avoid_until = Some(now.after(timing.server_reprobe)));
    }

    /// `server` answered.
    pub(crate) fn answered(&self, server: SocketAddr) {
        if let Some(mut seen) = self.known.get_mut(&server) {
            seen.avoid_until = None;
        }
    }

    /// `server` cannot read EDNS.
    pub(crate) fn no_edns(&self, server: SocketAddr, timing: &Timing, now: Moment) {
        self.note(server, |seen| seen.plain_until = Some(now.after(timing.edns_memory)));
    }

    fn note(&self, server: SocketAddr, change: impl FnOnce(&mut Behaviour)) {
        // What is forgotten is only an optimisation.
        if self.known.len() >= MAX_REMEMBERED && !self.known.contains_key(&server) {
            self.known.clear();
        }
        change(&mut self.known.entry(server).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b9_a_silent_server_is_asked_last_for_a_while() {
        let servers = Servers::default();
        let all: Vec<SocketAddr> = vec!["192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap()];
        let timing = Timing::default();
        let now = Moment(1000);
        assert_eq!(servers.order(&all, 0, now), all);
        assert_eq!(servers.order(&all, 1, now), [all[1], all[0]]);
        servers.failed(all[0], &timing, now);
        assert_eq!(servers.order(&all, 0, now), [all[1], all[0]]);
        let later = now.after(timing.server_reprobe);
        assert_eq!(servers.order(&all, 0, later), all);
        servers.answered(all[0]);
        assert_eq!(servers.order(&all, 0, now), all);
    }

    #[test]
    fn b12_formerr_is_remembered() {
        let servers = Servers::default();
        let server = "192.0.2.1:53".parse().unwrap();
        let timing = Timing::default();
        servers.no_edns(server, &timing, Moment(0));
        assert!(!servers.edns(server, Moment(599_999)));
        assert!(servers.edns(server, Moment(600_000)));
    }
}
