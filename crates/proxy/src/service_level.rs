//! Service levels: which share of requests nodes answer in the time that a class wants, over the last seconds.
//!
//! ```text
//! a node's response begins ──count(worker, time, now)──► a slot per second and worker
//!                                                       └──once a second──► above or below the thresholds: an event
//! slm.*, statistics ──conforming(now)──► share of the last WINDOW seconds
//! ```
//!
//! Workers write slots of their own and share nothing; readers add them up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    time::Duration,
};

use tidegate_model::{Moment, ServiceLevel};
use tidegate_telemetry::{
    counters::{ServiceLevelCounters, Sharded},
    observation,
};

/// Seconds over which requests count.
const WINDOW: u32 = 10;
/// Slots of a worker: those of the window, and the second that is going on.
const SLOTS: usize = WINDOW as usize + 1;

/// A class of service, and how it has been met.
#[derive(Debug)]
pub(crate) struct RunningLevel {
    pub(crate) settings: Arc<ServiceLevel>,
    met: Arc<Met>,
}

/// How a class has been met; kept over every build.
#[derive(Debug)]
struct Met {
    workers: Sharded<Slots>,
    counters: Sharded<ServiceLevelCounters>,
    /// The second in which the thresholds were looked at last, from 1.
    looked: AtomicU32,
    standing: AtomicU8,
}

/// The seconds of one worker.
#[derive(Debug, Default)]
struct Slots([Slot; SLOTS]);

/// One second.
#[derive(Debug, Default)]
struct Slot {
    /// Which, from 1; 0 = none.
    second: AtomicU32,
    requests: AtomicU32,
    conforming: AtomicU32,
}

/// Where a class stands with its thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Above both.
    Fine,
    /// Below `warning_threshold`.
    Warning,
    /// Below `serious_threshold`.
    Serious,
}

impl RunningLevel {
    /// A class, with what was counted for it before.
    pub(crate) fn new(settings: Arc<ServiceLevel>, previous: Option<&Self>, workers: usize) -> Self {
        let fresh = || {
            Arc::new(Met {
                workers: Sharded::new(workers),
                counters: Sharded::new(workers),
                looked: AtomicU32::new(0),
                standing: AtomicU8::new(0),
            })
        };
        Self { settings, met: previous.map_or_else(fresh, |previous| Arc::clone(&previous.met)) }
    }

    /// Counts a request of `worker` to which a response began after `took`; `None` = there was none. Gives the standing
    /// before and now when it has changed.
    pub(crate) fn count(
        &self,
        worker: usize,
        took: Option<Duration>,
        now: Moment,
    ) -> Option<(Standing, Standing)> {
        let second = second(now);
        let conforms = took.is_some_and(|took| took <= self.settings.response_time);
        self.met.workers.shard(worker).count(second, conforms);
        let counters = self.met.counters.shard(worker);
        counters.requests.add(1);
        counters.late.add(u64::from(!conforms));
        if let Some(took) = took {
            counters.response.record(took);
        }
        // Who comes first in a second looks.
        let looked = self.met.looked.load(Ordering::Relaxed);
        if looked == second
            || self.met.looked.compare_exchange(looked, second, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return None;
        }
        let standing = self.standing(self.conforming(now));
        let before = Standing::of(self.met.standing.swap(standing as u8, Ordering::Relaxed));
        (before != standing).then_some((before, standing))
    }

    /// Hundredths of the requests of the last seconds that conform; 100 where there were none.
    pub(crate) fn conforming(&self, now: Moment) -> u8 {
        let now = second(now);
        let (mut requests, mut conforming) = (0, 0);
        for slot in self.met.workers.iter().flat_map(|slots| &slots.0) {
            let age = now.saturating_sub(slot.second.load(Ordering::Acquire));
            if age < WINDOW {
                requests += u64::from(slot.requests.load(Ordering::Relaxed));
                conforming += u64::from(slot.conforming.load(Ordering::Relaxed));
            }
        }
        // A reader may come between two cells of a slot.
        let share = (conforming.min(requests) * 100).checked_div(requests).unwrap_or(100);
        u8::try_from(share).unwrap_or(100)
    }

    /// The class as statistics and metrics show it.
    pub(crate) fn observe(&self, now: Moment) -> observation::ServiceLevel {
        let conforming = self.conforming(now);
        observation::ServiceLevel {
            name: self.settings.name.as_str().into(),
            conforming,
            is_met: self.standing(conforming) == Standing::Fine,
            totals: ServiceLevelCounters::totals(&self.met.counters),
        }
    }

    fn standing(&self, conforming: u8) -> Standing {
        if conforming < self.settings.serious_threshold {
            Standing::Serious
        } else if conforming < self.settings.warning_threshold {
            Standing::Warning
        } else {
            Standing::Fine
        }
    }
}

/// Seconds of the clock of moments, from 1.
fn second(now: Moment) -> u32 {
    u32::try_from(now.since(Moment(0)).as_secs() + 1).unwrap_or(u32::MAX)
}

impl Slots {
    fn count(&self, second: u32, conforms: bool) {
        let Some(slot) = self.0.get(second as usize % SLOTS) else { return };
        if slot.second.load(Ordering::Relaxed) != second {
            slot.requests.store(0, Ordering::Relaxed);
            slot.conforming.store(0, Ordering::Relaxed);
            slot.second.store(second, Ordering::Release);
        }
        slot.requests.fetch_add(1, Ordering::Relaxed);
        slot.conforming.fetch_add(u32::from(conforms), Ordering::Relaxed);
    }
}

impl Standing {
    fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Fine,
            1 => Self::Warning,
            _ => Self::Serious,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(warning: u8, serious: u8) -> RunningLevel {
        let settings = ServiceLevel {
            name: "gold".into(),
            response_time: Duration::from_millis(100),
            warning_threshold: warning,
            serious_threshold: serious,
        };
        RunningLevel::new(Arc::new(settings), None, 2)
    }

    fn at(milliseconds: u64) -> Moment {
        Moment::at(Duration::from_millis(milliseconds))
    }

    const QUICK: Option<Duration> = Some(Duration::from_millis(100));
    const SLOW: Option<Duration> = Some(Duration::from_millis(101));

    #[test]
    fn the_share_is_of_the_last_seconds() {
        let level = level(50, 20);
        assert_eq!(level.conforming(at(0)), 100);
        for (worker, took) in [(0, QUICK), (1, SLOW), (0, None), (1, QUICK)] {
            level.count(worker, took, at(500));
        }
        assert_eq!(level.conforming(at(900)), 50);
        level.count(0, SLOW, at(5_000));
        assert_eq!(level.conforming(at(9_999)), 40);
        // The first second is over.
        assert_eq!(level.conforming(at(10_000)), 0);
        assert_eq!(level.conforming(at(15_000)), 100);
        // Its slot is used again.
        level.count(0, QUICK, at(11_500));
        assert_eq!(level.conforming(at(11_600)), 50);
        let later = RunningLevel::new(Arc::clone(&level.settings), Some(&level), 2);
        assert_eq!(later.conforming(at(11_600)), 50);
        let totals = later.observe(at(11_600)).totals;
        assert_eq!((totals.requests, totals.late, totals.response.count), (6, 3, 5));
    }

    #[test]
    fn changes_of_the_standing_are_told_once() {
        let level = level(50, 20);
        let mut told = Vec::new();
        let mut count = |took, seconds: std::ops::Range<u64>| {
            for second in seconds {
                for _ in 0..3 {
                    told.extend(level.count(0, took, at(second * 1000)));
                }
            }
        };
        count(QUICK, 0..3);
        count(SLOW, 3..20);
        count(QUICK, 20..40);
        use Standing::{Fine, Serious, Warning};
        assert_eq!(told, [(Fine, Warning), (Warning, Serious), (Serious, Warning), (Warning, Fine)]);
        assert_eq!(level.standing(level.conforming(at(40_000))), Fine);
    }

    #[test]
    fn thresholds_of_zero_are_never_missed() {
        let level = level(0, 0);
        assert_eq!(level.count(0, SLOW, at(0)), None);
        assert_eq!(level.standing(level.conforming(at(0))), Standing::Fine);
    }
}
