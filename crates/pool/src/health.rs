//! The health of one node as a pure state machine.
//!
//! In: failures and successes of requests (passive monitoring) and verdicts of monitors. Out: the next state and
//! whether the node failed or recovered. What a monitor failed, only monitors recover, whatever requests find or had found;
//! what requests alone failed is tried again with live traffic, one request at a time, once the rest time has
//! passed. [`Health`] packs into one word so that a request reads it with a single load.

use std::time::Duration;

use tidegate_model::Moment;

/// Why a request to a node failed (passive monitoring).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection within `max_connect_time`, or refused.
    Connect,
    /// No first response data within `max_reply_time`.
    TimedOut,
    /// Closed before the reply was complete.
    ClosedEarly,
    /// The reply is not valid HTTP.
    InvalidReply,
    /// The node answered 503.
    Status503,
    /// The TLS handshake with the node failed.
    Tls,
}

/// A node failed or recovered; one event-log line (`nodefail`, `nodeworking`) each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// The node takes no more requests.
    Failed,
    /// The node takes requests again.
    Working,
}

/// What requests say of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passive {
    /// Requests go there.
    Working,
    /// Rests until the moment, then one request may try it.
    Failed {
        /// End of the rest.
        until: Moment,
    },
    /// One request is trying it. If nothing is heard of that request by the moment, another may try.
    Trial {
        /// End of the patience with the trying request.
        until: Moment,
    },
}

/// Health of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// What requests say.
    pub passive: Passive,
    /// Failures without a success in between, at most [`Health::MOST_FAILURES`].
    pub failures: u16,
    /// At least one monitor says the node has failed.
    pub monitor_failed: bool,
    /// Recovered or new a short while ago: receives a growing share.
    pub introducing: bool,
    /// Removed from the pool for good.
    pub gone: bool,
}

/// Something that bears on health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was answered.
    Success,
    /// A request failed in a way passive monitoring counts.
    Failure {
        /// `node_connection_attempts`; 0 counts as 1.
        attempts: u32,
        /// `retry_fail_time`.
        rest: Duration,
    },
    /// A request wants to be the one that tries a failed node.
    Try,
    /// The trying request ended without telling anything of the node.
    TrialAbandoned,
    /// The first monitor failed.
    MonitorsFailed,
    /// The last failing monitor passed, or was taken off the pool.
    MonitorsPassed,
    /// Passive monitoring was switched off: what it found is forgotten.
    PassiveOff,
    /// The time of careful introduction is over.
    Introduced,
    /// The node was removed from the pool.
    Removed,
}

/// How long a trying request may stay silent before another may try the node.
pub const TRIAL_PATIENCE: Duration = Duration::from_mins(1);

impl FailureKind {
    /// How many kinds there are.
    pub const COUNT: usize = 6;
}

const PASSIVE_FAILED: u64 = 1;
const PASSIVE_TRIAL: u64 = 2;
const PASSIVE_MASK: u64 = 3;
const MONITOR_FAILED: u64 = 1 << 2;
const INTRODUCING: u64 = 1 << 3;
const GONE: u64 = 1 << 4;
const FAILURES_SHIFT: u32 = 5;
const UNTIL_SHIFT: u32 = 20;
const FAILURES_MASK: u64 = (1 << (UNTIL_SHIFT - FAILURES_SHIFT)) - 1;
const UNTIL_MOST: u64 = (1 << (64 - UNTIL_SHIFT)) - 1;
/// Bits that keep a node from receiving its full share.
const NOT_PLAIN: u64 = PASSIVE_MASK | MONITOR_FAILED | INTRODUCING | GONE;

impl Health {
    /// Bound of the failure count; 15 bits of the packed word.
    pub const MOST_FAILURES: u16 = FAILURES_MASK as u16;

    /// A node nothing is known of.
    pub const NEW: Self = Self {
        passive: Passive::Working,
        failures: 0,
        monitor_failed: false,
        introducing: false,
        gone: false,
    };

    /// `until` (44 bits) · failures (15 bits) · gone · introducing · monitor failed · passive state (2 bits).
    pub const fn pack(self) -> u64 {
        let (state, until) = match self.passive {
            Passive::Working => (0, 0),
            Passive::Failed { until } => (PASSIVE_FAILED, until.0),
            Passive::Trial { until } => (PASSIVE_TRIAL, until.0),
        };
        let until = if until > UNTIL_MOST { UNTIL_MOST } else { until };
        state
            | if self.monitor_failed { MONITOR_FAILED } else { 0 }
            | if self.introducing { INTRODUCING } else { 0 }
            | if self.gone { GONE } else { 0 }
            | (self.failures as u64) << FAILURES_SHIFT
            | until << UNTIL_SHIFT
    }

    /// The opposite of [`Health::pack`].
    pub const fn unpack(word: u64) -> Self {
        let until = Moment(word >> UNTIL_SHIFT);
        Self {
            passive: match word & PASSIVE_MASK {
                PASSIVE_FAILED => Passive::Failed { until },
                PASSIVE_TRIAL => Passive::Trial { until },
                _ => Passive::Working,
            },
            failures: ((word >> FAILURES_SHIFT) & FAILURES_MASK) as u16,
            monitor_failed: word & MONITOR_FAILED != 0,
            introducing: word & INTRODUCING != 0,
            gone: word & GONE != 0,
        }
    }

    /// Whether the word says: working, introduced, no failures counted. Then a success changes nothing.
    pub(crate) const fn is_spotless(word: u64) -> bool {
        word & (NOT_PLAIN | FAILURES_MASK << FAILURES_SHIFT) == 0
    }

    /// Whether the word says that the node receives its full share.
    pub(crate) const fn is_plain(word: u64) -> bool {
        word & NOT_PLAIN == 0
    }

    /// Whether the word says that a request is trying the node.
    pub(crate) const fn is_trial(word: u64) -> bool {
        word & PASSIVE_MASK == PASSIVE_TRIAL
    }

    /// Whether balancing may choose the node: working for requests and monitors.
    pub const fn in_rotation(self) -> bool {
        matches!(self.passive, Passive::Working) && !self.monitor_failed && !self.gone
    }

    /// When a request may try the node; `None` = not a matter of time.
    pub const fn next_try(self) -> Option<Moment> {
        match self.passive {
            Passive::Failed { until } | Passive::Trial { until } if !self.monitor_failed && !self.gone => {
                Some(until)
            }
            _ => None,
        }
    }

    /// In rotation, or may be tried now.
    pub fn usable(self, now: Moment) -> bool {
        self.in_rotation() || self.next_try().is_some_and(|moment| moment <= now)
    }

    /// The whole policy: what `event` makes of this health.
    #[must_use]
    pub fn on(self, event: Event, now: Moment) -> Self {
        let mut next = self;
        match event {
            Event::Success => {
                next.failures = 0;
                // Also when no trial was under way: a late answer of a node thought dead is as good as any.
                if self.passive != Passive::Working {
                    next.passive = Passive::Working;
                    next.introducing = true;
                }
            }
            Event::Failure { attempts, rest } => {
                next.failures = self.failures.saturating_add(1).min(Self::MOST_FAILURES);
                let until = Moment(now.after(rest).0.min(UNTIL_MOST));
                match self.passive {
                    Passive::Working
                        if u32::from(next.failures) < attempts.clamp(1, u32::from(Self::MOST_FAILURES)) => {}
                    Passive::Working | Passive::Trial { .. } => next.passive = Passive::Failed { until },
                    // Late failures of requests begun before do not lengthen the rest.
                    Passive::Failed { .. } => {}
                }
            }
            Event::Try => {
                if self.next_try().is_some_and(|moment| moment <= now) {
                    let until = Moment(now.after(TRIAL_PATIENCE).0.min(UNTIL_MOST));
                    next.passive = Passive::Trial { until };
                }
            }
            Event::TrialAbandoned => {
                if matches!(self.passive, Passive::Trial { .. }) {
                    next.passive = Passive::Failed { until: Moment(0) };
                }
            }
            Event::MonitorsFailed => next.monitor_failed = true,
            Event::MonitorsPassed => {
                if self.monitor_failed {
                    // What requests had found before has been found out by the monitor too, and is over with it.
                    next =
                        Self { monitor_failed: false, introducing: true, ..next.on(Event::PassiveOff, now) };
                }
            }
            Event::PassiveOff => {
                next.failures = 0;
                next.passive = Passive::Working;
            }
            Event::Introduced => next.introducing = false,
            Event::Removed => next.gone = true,
        }
        next
    }

    /// What people are told about going from here to `after`.
    pub fn change_to(self, after: Self) -> Option<HealthChange> {
        match (self.in_rotation(), after.in_rotation()) {
            _ if after.gone => None,
            (true, false) => Some(HealthChange::Failed),
            (false, true) => Some(HealthChange::Working),
            _ => None,
        }
    }

    /// One word for people.
    pub const fn word(self) -> &'static str {
        if self.gone {
            return "gone";
        }
        match self.passive {
            _ if self.monitor_failed => "monitor failed",
            Passive::Failed { .. } => "failed",
            Passive::Trial { .. } => "retrying",
            Passive::Working if self.introducing => "introducing",
            Passive::Working => "working",
        }
    }
}
