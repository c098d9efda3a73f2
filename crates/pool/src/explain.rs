//! Why a request gets the node it gets: every node with the reason it may or may not be chosen, and the reason for the
//! choice.
//!
//! For people who ask. In: a pool, a session, what was tried. Out: sentences. Nothing here changes anything; what
//! [`Pool::would_choose`] says is decided by the same lines as [`Pool::choose`].

use std::sync::atomic::Ordering;

use tidegate_model::{
    Moment, MonitorName,
    pool::{Algorithm, NodeState},
};

use crate::{
    choose::{Choice, Slot, Tried},
    health::Passive,
    pool::{Member, Pool},
    roster::Roster,
    session::Session,
    view::{self, NodeView},
};

/// A node and whether it may get a request without session now.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The node.
    pub node: NodeView,
    /// Whether balancing may choose it.
    pub eligible: bool,
    /// Why, or why not: a phrase without a full stop.
    pub reason: String,
}

impl Pool {
    /// Every node in slot order, with whether and why balancing may choose it for a request that has been `tried`.
    pub fn candidates(&self, tried: &Tried, now: Moment) -> Vec<Candidate> {
        let roster = self.read_roster(now);
        let candidate = |(slot, member): (u32, &Member)| {
            let (eligible, reason) = self.standing_of(slot, member, &roster, tried, now);
            Candidate { node: view::view(member), eligible, reason }
        };
        (0_u32..).zip(&self.members[..]).map(candidate).collect()
    }

    /// Whether a request without session would wait in the queue now. Changes nothing.
    pub fn would_wait(&self, now: Moment) -> bool {
        self.waits(&self.read_roster(now), now)
    }

    fn standing_of(
        &self,
        slot: u32,
        member: &Member,
        roster: &Roster,
        tried: &Tried,
        now: Moment,
    ) -> (bool, String) {
        let no = |reason: &str| (false, reason.to_owned());
        let node = &member.node;
        let health = node.health();
        match member.state {
            _ if health.gone => return no("has left the pool"),
            NodeState::Disabled => return no("is disabled"),
            _ if health.monitor_failed => {
                let monitors = node.failing_monitors();
                let names: Vec<&str> = monitors.iter().map(MonitorName::as_str).collect();
                return (false, format!("is failed by a monitor: {}", names.join(", ")));
            }
            NodeState::Draining => return no("is draining: it gets requests of its sessions only"),
            NodeState::Active if member.leaving.is_some() => {
                return no("leaves the pool: it gets requests of its sessions only");
            }
            NodeState::Active => {}
        }
        if tried.avoids(Slot(slot)) {
            return no("is avoided by a rule while there is another");
        }
        let rest = match health.passive {
            Passive::Working => None,
            Passive::Failed { until } if until > now => {
                let seconds = until.since(now).as_secs() + 1;
                return (false, format!("has failed requests; one may try it in {seconds} s"));
            }
            Passive::Trial { until } if until > now => return no("has failed; a request is trying it"),
            Passive::Failed { .. } | Passive::Trial { .. } => {
                Some("has failed requests; the next may try it")
            }
        };
        if let Some(reason) = self.full_reason(node) {
            return (false, reason);
        }
        if let Some(reason) = rest {
            let in_use = roster.resting.contains(&slot);
            return if in_use {
                (true, reason.to_owned())
            } else {
                no("has failed, and its priority is not in use")
            };
        }
        if roster.spare.contains(&slot) {
            return (false, format!("has priority {}; nodes of a higher one are enough", member.priority));
        }
        let reason = if health.introducing && roster.careful {
            "is new or has recovered a short while ago: it gets a growing share"
        } else {
            "takes requests"
        };
        (true, reason.to_owned())
    }

    /// Which limit leaves no room on the node.
    fn full_reason(&self, node: &crate::Node) -> Option<String> {
        if self.has_room(node) {
            return None;
        }
        let transactions = self.shared.transaction_limit.load(Ordering::Relaxed);
        if transactions != 0 && node.in_flight() >= transactions {
            return Some(format!(
                "has {} requests, as many as it may (max_transactions_per_node)",
                node.in_flight()
            ));
        }
        let connections = node.connections();
        Some(format!("has {connections} connections, as many as it may (max_connections_per_node)"))
    }

    /// Why the choice fell on the node: a phrase without a full stop.
    pub fn why(&self, session: &Session, choice: &Choice<'_>, tried: &Tried, now: Moment) -> String {
        if choice.sticky {
            return "the session of the request lives there".to_owned();
        }
        if choice.trial {
            return "it had failed and its rest is over: it is found out whether it works".to_owned();
        }
        let by_key =
            session.key != 0 && self.prepared(session).is_some_and(|prepared| prepared.tokens().is_some());
        let roster = self.read_roster(now);
        let slot = choice.slot.0;
        if roster.spare.contains(&slot) {
            return "every node of a higher priority has been tried".to_owned();
        }
        let others = self.candidates(tried, now);
        if others.iter().filter(|candidate| candidate.eligible).count() == 1 {
            return "it is the only node that takes the request".to_owned();
        }
        if by_key {
            return "the key of the new session leads to it, on every traffic manager of the cluster"
                .to_owned();
        }
        match self.settings.algorithm {
            Algorithm::RoundRobin => "it is its turn (round_robin)",
            Algorithm::WeightedRoundRobin => "it is its turn by weight (weighted_round_robin)",
            Algorithm::LeastConnections => "no other has fewer requests in progress (least_connections)",
            Algorithm::WeightedLeastConnections => {
                "no other has fewer requests in progress for its weight (weighted_least_connections)"
            }
            Algorithm::FastestResponseTime => {
                "it answers soonest, or it is its turn to be measured (fastest_response_time)"
            }
            Algorithm::Perceptive => {
                "it answers soonest for its load, or it is its turn to be measured (perceptive)"
            }
            Algorithm::Random => "it was drawn by lot (random); the next draw is another",
        }
        .to_owned()
    }
}
