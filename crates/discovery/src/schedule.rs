//! What an outcome means for the last good set, and when to ask again. Pure: outcome, moment and a random
//! number go in; the set changes and a [`Step`] comes out.
//!
//! Add at once; remove after enough complete answers in a row lacked a node; a partial answer only adds; an
//! authoritative "there is nothing" counts until the policy believes it; a failure changes nothing.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tidegate_model::{DiscoveredNode, Moment, NodeSet};

use crate::{
    options::{EmptyPolicy, Family, Policy, Timing},
    status::SourceState,
};

/// Failures in a row after which the status alarms.
pub const ALARM_AFTER: u32 = 3;
/// Longest exponent of a back-off; beyond it the limit rules anyway.
const MAX_DOUBLINGS: u32 = 20;
/// Share of one part in a million, the unit of random numbers scaled to a ratio.
const MILLION: u128 = 1_000_000;

/// What one refresh or run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it says of the nodes.
    pub verdict: Verdict,
    /// Smallest TTL of the records used.
    pub ttl: Option<Duration>,
    /// The source names the wait itself (`interval_override`).
    pub exactly: Option<Duration>,
}

/// What an outcome says of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are these.
    Found {
        /// Them.
        nodes: NodeSet,
        /// What the list leaves open.
        coverage: Coverage,
    },
    /// An authority says that there are none; how it said so.
    Empty(Arc<str>),
    /// Nothing is known.
    Failed(Failure),
}

/// What a list of nodes leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing: a node not in it is missing.
    Complete,
    /// Nothing is known of this family; the other is complete.
    Without(Family, Arc<str>),
    /// There may be more, and why.
    Partial(Arc<str>),
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault.
    pub kind: FailureKind,
    /// What happened, where, and what to do.
    pub why: Arc<str>,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The source or the way to it.
    Source,
    /// The configuration; it alarms at once.
    Configuration,
    /// Nobody's: the source was busy, and is asked again soon.
    Busy,
}

impl Outcome {
    /// A failure of `kind`.
    pub fn failed(kind: FailureKind, why: impl Into<Arc<str>>) -> Self {
        Self { verdict: Verdict::Failed(Failure { kind, why: why.into() }), ttl: None, exactly: None }
    }
}

/// How waits follow from outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The TTL, between two limits.
    Ttl {
        /// Shortest.
        floor: Duration,
        /// Longest.
        ceiling: Duration,
    },
    /// A third of the TTL and one second more.
    ThirdOfTtl {
        /// Shortest.
        floor: Duration,
        /// The second.
        more: Duration,
    },
    /// The same each time.
    Every(Duration),
}

/// The rules of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Waits after good outcomes.
    pub pace: Pace,
    /// Random part of a wait, ± percent.
    pub jitter_percent: u8,
    /// First wait after failures while no node is known; doubles to `empty_wait`.
    pub first_backoff: Duration,
    /// First wait after failures while nodes are held; doubles.
    pub min_backoff: Duration,
    /// Longest wait after failures while nodes are held.
    pub max_backoff: Duration,
    /// Longest wait while there are no nodes or the source says so.
    pub empty_wait: Duration,
    /// Shortest wait after [`FailureKind::Busy`]; the longest is twice as long.
    pub busy_wait: Duration,
    /// What "there is nothing" does.
    pub empty: EmptyPolicy,
    /// Complete answers in a row that lack a node before it leaves.
    pub removals_after: u32,
    /// Largest share that one answer may remove.
    pub max_removal_percent: Option<u8>,
    /// Nodes stay until the TTL of the last answer that had them runs out.
    pub remembers: bool,
    /// Age of the last success that alarms.
    pub max_stale: Option<Duration>,
}

impl Rules {
    /// The rules of a name. `interval` is the pool's, `min_poll` an argument of the built-in.
    pub fn of_name(
        timing: &Timing,
        policy: &Policy,
        interval: Option<Duration>,
        min_poll: Option<Duration>,
        remembers: bool,
    ) -> Self {
        let floor = timing.min_interval.max(min_poll.unwrap_or_default());
        let pace = if remembers {
            Pace::ThirdOfTtl { floor: timing.plugin_second * 10, more: timing.plugin_second }
        } else {
            Pace::Ttl { floor, ceiling: interval.unwrap_or(timing.max_interval).max(floor) }
        };
        Self {
            pace,
            jitter_percent: timing.jitter_percent,
            first_backoff: timing.first_backoff,
            min_backoff: timing.min_backoff,
            max_backoff: timing.max_backoff,
            empty_wait: timing.empty_wait,
            busy_wait: timing.min_backoff,
            empty: policy.empty,
            removals_after: policy.removals_after.max(1),
            max_removal_percent: policy.max_removal_percent,
            remembers,
            max_stale: policy.max_stale,
        }
    }

    /// The rules of a plugin that runs every `interval`.
    pub fn of_plugin(timing: &Timing, policy: &Policy, interval: Option<Duration>) -> Self {
        let interval = interval.unwrap_or(timing.plugin_interval).max(timing.min_interval);
        let first = interval.min(timing.empty_wait);
        Self {
            pace: Pace::Every(interval),
            jitter_percent: timing.jitter_percent / 2,
            first_backoff: first,
            min_backoff: first,
            max_backoff: timing.plugin_max_backoff.max(first),
            empty_wait: interval,
            busy_wait: timing.plugin_second,
            empty: policy.empty,
            // A plugin's list is one statement about all nodes, not one of several caches.
            removals_after: 1,
            max_removal_percent: policy.max_removal_percent,
            remembers: false,
            max_stale: policy.max_stale,
        }
    }

    /// "There is nothing" this often in a row is believed; `None` never.
    fn empties_needed(&self) -> Option<u32> {
        match self.empty {
            EmptyPolicy::Confirm(count) => Some(count.max(1)),
            EmptyPolicy::Immediate => Some(1),
            EmptyPolicy::Keep => None,
        }
    }
}

/// The last good set and what weighs against it.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    held: BTreeMap<SocketAddr, Held>,
    /// The source has given an answer that was applied.
    answered: bool,
    /// A set is known, even an empty one, even one from disk.
    known: bool,
    empties: u32,
    failures: u32,
    last_success: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Held {
    node: DiscoveredNode,
    /// Complete answers in a row that lacked it.
    missing: u32,
    /// When the TTL of the last answer that had it runs out.
    expires: Moment,
}

/// What an outcome did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The set differs from before, or is known for the first time.
    pub changed: bool,
    /// Nodes added.
    pub added: usize,
    /// Nodes removed.
    pub removed: usize,
    /// Wait before the next refresh.
    pub wait: Duration,
    /// The state now.
    pub state: SourceState,
    /// Someone should look.
    pub alarm: bool,
}

impl Schedule {
    /// Starts from a set kept on disk.
    pub fn warm(&mut self, nodes: &NodeSet) {
        self.held = nodes
            .nodes
            .iter()
            .map(|(address, node)| {
                (*address, Held { node: node.clone(), missing: 0, expires: Moment::default() })
            })
            .collect();
        self.known = true;
    }

    /// The set now.
    pub fn nodes(&self) -> NodeSet {
        NodeSet { nodes: self.held.iter().map(|(address, held)| (*address, held.node.clone())).collect() }
    }

    /// How many nodes are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a set is known: from an answer that was applied, or from disk.
    pub fn known(&self) -> bool {
        self.known
    }

    /// Whether an answer was ever applied.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Takes an outcome. `random` is any number; it only spreads the wait.
    pub fn apply(&mut self, outcome: &Outcome, rules: &Rules, now: Moment, random: u64) -> Step {
        let known = self.known;
        let mut step = match &outcome.verdict {
            Verdict::Found { nodes, coverage } => self.found(nodes, coverage, outcome.ttl, rules, now),
            Verdict::Empty(_) => self.empty(rules, now),
            Verdict::Failed(failure) => self.failed(failure.kind, rules, random),
        };
        step.changed |= self.known != known;
        if let (Some(exactly), false) = (outcome.exactly, matches!(outcome.verdict, Verdict::Failed(_))) {
            step.wait = exactly;
        } else if let (Verdict::Found { .. }, Some(ttl)) = (&outcome.verdict, outcome.ttl) {
            step.wait = pace(&rules.pace, ttl);
        }
        if !matches!(&outcome.verdict, Verdict::Failed(failure) if failure.kind == FailureKind::Busy) {
            step.wait = jittered(step.wait, rules.jitter_percent, random);
            // The longest wait is a promise; jitter only shortens it.
            if let (Verdict::Found { .. }, Pace::Ttl { ceiling, .. }) = (&outcome.verdict, &rules.pace) {
                step.wait = step.wait.min(*ceiling);
            }
        }
        if let (Some(limit), Some(last)) = (rules.max_stale, self.last_success) {
            step.alarm |= now.since(last) > limit;
        }
        step
    }

    fn found(
        &mut self,
        nodes: &NodeSet,
        coverage: &Coverage,
        ttl: Option<Duration>,
        rules: &Rules,
        now: Moment,
    ) -> Step {
        (self.empties, self.failures) = (0, 0);
        self.last_success = Some(now);
        (self.answered, self.known) = (true, true);
        let expires = now.after(ttl.unwrap_or_default());
        let (mut added, mut updated) = (0, false);
        for (address, node) in &nodes.nodes {
            let held = self.held.entry(*address).or_insert_with(|| {
                added += 1;
                Held { node: node.clone(), missing: 0, expires }
            });
            updated |= held.node != *node;
            *held = Held { node: node.clone(), missing: 0, expires: held.expires.max(expires) };
        }
        let judged = |address: &SocketAddr| match coverage {
            Coverage::Complete => true,
            Coverage::Without(family, _) => Family::of(address.ip()) != *family,
            Coverage::Partial(_) => false,
        };
        let mut leaving = Vec::new();
        for (address, held) in &mut self.held {
            if nodes.nodes.contains_key(address) || !judged(address) {
                continue;
            }
            held.missing = held.missing.saturating_add(1);
            if held.missing >= rules.removals_after && !(rules.remembers && now < held.expires) {
                leaving.push(*address);
            }
        }
        let too_many = rules
            .max_removal_percent
            .is_some_and(|percent| leaving.len() * 100 > self.held.len() * usize::from(percent));
        let state = match coverage {
            _ if too_many => SourceState::RemovalHeld { missing: leaving.len(), held: self.held.len() },
            Coverage::Complete => SourceState::Ok,
            Coverage::Without(..) | Coverage::Partial(_) => SourceState::Partial,
        };
        if too_many {
            leaving.clear();
        }
        for address in &leaving {
            self.held.remove(address);
        }
        Step {
            changed: added > 0 || updated || !leaving.is_empty(),
            added,
            removed: leaving.len(),
            wait: pace(&rules.pace, Duration::ZERO),
            state,
            alarm: too_many,
        }
    }

    fn empty(&mut self, rules: &Rules, now: Moment) -> Step {
        self.failures = 0;
        self.empties = self.empties.saturating_add(1);
        let count = self.empties;
        let mut removed = 0;
        let state = match rules.empties_needed() {
            Some(needed) if count >= needed => {
                removed = self.held.len();
                self.held.clear();
                (self.answered, self.known) = (true, true);
                SourceState::Empty { count, needed }
            }
            // There is nothing to keep.
            None if self.held.is_empty() => {
                (self.answered, self.known) = (true, true);
                SourceState::Empty { count, needed: 1 }
            }
            None => SourceState::Stale,
            Some(needed) if self.held.is_empty() => SourceState::Empty { count, needed },
            Some(needed) => SourceState::Suspect { count, needed },
        };
        if matches!(state, SourceState::Empty { .. }) {
            self.last_success = Some(now);
        }
        Step {
            changed: removed > 0,
            added: 0,
            removed,
            wait: pace(&rules.pace, Duration::MAX).min(rules.empty_wait),
            state,
            alarm: false,
        }
    }

    fn failed(&mut self, kind: FailureKind, rules: &Rules, random: u64) -> Step {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(MAX_DOUBLINGS);
        let wait = match kind {
            FailureKind::Busy => {
                // One to two units, so that two that collided do not collide again.
                rules.busy_wait + share(rules.busy_wait, random)
            }
            _ if self.held.is_empty() => rules
                .first_backoff
                .saturating_mul(1 << doublings)
                .min(rules.empty_wait.max(rules.first_backoff)),
            _ => rules.min_backoff.saturating_mul(1 << doublings).min(rules.max_backoff),
        };
        let state = match kind {
            FailureKind::Configuration => SourceState::ConfigError,
            FailureKind::Source | FailureKind::Busy if self.known => SourceState::Stale,
            FailureKind::Source | FailureKind::Busy => SourceState::Error,
        };
        let alarm = match kind {
            FailureKind::Configuration => true,
            FailureKind::Source => self.failures >= ALARM_AFTER,
            FailureKind::Busy => false,
        };
        Step { changed: false, added: 0, removed: 0, wait, state, alarm }
    }
}

/// The wait that `pace` makes of a TTL.
fn pace(pace: &Pace, ttl: Duration) -> Duration {
    match *pace {
        Pace::Ttl { floor, ceiling } => ttl.clamp(floor, ceiling.max(floor)),
        Pace::ThirdOfTtl { floor, more } => (ttl / 3).saturating_add(more).max(floor),
        Pace::Every(interval) => interval,
    }
}

/// `wait` ± up to `percent`, by `random`.
fn jittered(wait: Duration, percent: u8, random: u64) -> Duration {
    let percent = u32::from(percent.min(100));
    let spread = wait.saturating_mul(percent) / 100;
    wait.saturating_sub(spread).saturating_add(share(spread.saturating_mul(2), random))
}

/// A part of `whole`, by `random`.
fn share(whole: Duration, random: u64) -> Duration {
    let millionth = u128::from(random) % MILLION;
    let nanoseconds = whole.as_nanos() / MILLION * millionth;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
