//! Whether a request is within a rate now, and if not when: a pure function of what has passed and the time.
//!
//! A limit of N per second holds for **every** second, wherever it begins, not for calendar seconds only. To know
//! that exactly, the moments of the last N requests are needed. Up to [`EXACT`] they are kept; above, requests that
//! are near each other are kept as one and taken to be as late as the latest of them could be, so that the limit is
//! kept strictly and the rate stays less than one part in [`EXACT`] below it.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use tidegate_model::{Moment, RateClass};

/// Limits up to this are kept to the millisecond.
pub(super) const EXACT: u32 = 128;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The limits of a rate class. Both apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `basic.max_rate_per_minute`; `None` (0) = no limit.
    pub(crate) per_minute: Option<NonZeroU32>,
    /// `basic.max_rate_per_second`; `None` (0) = no limit.
    pub(crate) per_second: Option<NonZeroU32>,
}

impl From<&RateClass> for Limits {
    fn from(class: &RateClass) -> Self {
        Self { per_minute: class.per_minute, per_second: class.per_second }
    }
}

/// What has passed lately.
#[derive(Debug, Default)]
pub(super) struct Meter {
    second: Window,
    minute: Window,
    /// The clocks of workers that do not agree to the millisecond never turn it back.
    pub(super) latest: Moment,
}

#[derive(Debug, Default)]
struct Window {
    entries: VecDeque<Entry>,
    sum: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When the last of them passed, at the latest.
    at: Moment,
    count: u32,
}

impl Meter {
    /// Lets one request pass and counts it, or says when there will be room for one.
    pub(super) fn pass(&mut self, limits: Limits, now: Moment) -> Result<(), Moment> {
        let now = self.advance(now);
        let room = self.room_at(limits, now);
        if room > now {
            return Err(room);
        }
        if let Some(limit) = limits.per_second {
            self.second.count(limit, SECOND, now);
        }
        if let Some(limit) = limits.per_minute {
            self.minute.count(limit, MINUTE, now);
        }
        Ok(())
    }

    /// When there is room for one request: now, or later.
    pub(super) fn room_at(&self, limits: Limits, now: Moment) -> Moment {
        let second = limits.per_second.map(|limit| self.second.room_at(limit, SECOND));
        let minute = limits.per_minute.map(|limit| self.minute.room_at(limit, MINUTE));
        [second, minute].into_iter().flatten().fold(now, Moment::max)
    }

    /// Forgets what is past. True when nothing is left that could matter.
    pub(super) fn is_idle(&mut self, now: Moment) -> bool {
        self.advance(now);
        self.second.sum == 0 && self.minute.sum == 0
    }

    /// Requests that passed within the last second, as far as a limit per second is set; else within the last minute.
    pub(super) fn current(&mut self, limits: Limits, now: Moment) -> u32 {
        self.advance(now);
        if limits.per_second.is_some() { self.second.sum } else { self.minute.sum }
    }

    fn advance(&mut self, now: Moment) -> Moment {
        self.latest = self.latest.max(now);
        self.second.forget(SECOND, self.latest);
        self.minute.forget(MINUTE, self.latest);
        self.latest
    }
}

impl Window {
    /// The first moment at which an entry is not within the window any more. Moments are whole milliseconds, rounded
    /// down: one more is needed to be sure.
    fn end(entry: Entry, width: Duration) -> Moment {
        Moment(entry.at.after(width).0.saturating_add(1))
    }

    fn forget(&mut self, width: Duration, now: Moment) {
        while let Some(entry) = self.entries.pop_front_if(|entry| Self::end(*entry, width) <= now) {
            self.sum -= entry.count;
        }
    }

    fn room_at(&self, limit: NonZeroU32, width: Duration) -> Moment {
        let mut left = self.sum;
        let mut room = Moment(0);
        for entry in &self.entries {
            if left < limit.get() {
                break;
            }
            left -= entry.count;
            room = Self::end(*entry, width);
        }
        room
    }

    fn count(&mut self, limit: NonZeroU32, width: Duration, now: Moment) {
        self.sum += 1;
        match self.entries.back_mut() {
            Some(last) if now <= last.at => last.count += 1,
            _ => {
                let grain = if limit.get() <= EXACT { Duration::ZERO } else { width / (2 * EXACT) };
                self.entries.push_back(Entry { at: now.after(grain), count: 1 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn limits(per_minute: u32, per_second: u32) -> Limits {
        Limits { per_minute: NonZeroU32::new(per_minute), per_second: NonZeroU32::new(per_second) }
    }

    #[test]
    fn values() {
        // What happens at which moment (ms): it passes (None), or there is room at …
        type Steps = &'static [(u64, Option<u64>)];
        let table: [(Limits, Steps); 5] = [
            (limits(0, 0), &[(0, None), (0, None), (0, None)]),
            (
                limits(0, 1),
                &[(5, None), (5, Some(1006)), (1005, Some(1006)), (1006, None), (1006, Some(2007))],
            ),
            (
                limits(0, 3),
                &[(0, None), (400, None), (400, None), (500, Some(1001)), (1001, None), (1001, Some(1401))],
            ),
            (
                limits(4, 2),
                &[
                    (0, None),
                    (0, None),
                    (0, Some(1001)),
                    (2000, None),
                    (2000, None),
                    // The minute is full, and so is the second; the later one counts.
                    (2000, Some(60_001)),
                    (60_001, None),
                    (60_001, None),
                    (60_001, Some(62_001)),
                ],
            ),
            // Time does not go back.
            (limits(0, 1), &[(5000, None), (10, Some(6001)), (6000, Some(6001)), (6001, None)]),
        ];
        for (limits, steps) in table {
            let mut meter = Meter::default();
            for (at, expected) in steps {
                let room = meter.pass(limits, Moment(*at)).err().map(|room| room.0);
                assert_eq!(room, *expected, "{limits:?} at {at}");
            }
        }
    }

    #[test]
    fn changed_limits_apply_to_what_has_passed() {
        let mut meter = Meter::default();
        for _ in 0..10 {
            assert_eq!(meter.pass(limits(0, 10), Moment(0)), Ok(()));
        }
        assert_eq!(meter.pass(limits(0, 10), Moment(1)), Err(Moment(1001)));
        assert_eq!(meter.pass(limits(0, 11), Moment(1)), Ok(()));
        assert_eq!(meter.pass(limits(0, 1), Moment(1001)), Err(Moment(1002)));
        assert_eq!(meter.pass(limits(0, 0), Moment(1001)), Ok(()));
        assert!(!meter.is_idle(Moment(1001)));
        assert!(meter.is_idle(Moment(1002)));
    }

    #[test]
    fn no_window_ever_has_more_and_few_have_much_less() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for limit in [1, 2, 7, 100, 128, 129, 1000, 20_000] {
            let limits = limits(0, limit);
            let (mut meter, mut now, mut passed) = (Meter::default(), 0, Vec::new());
            // Demand is above the limit most of the time.
            while now < 20_000 {
                now += random.u64(..4);
                for _ in 0..random.u32(..=limit / 100 + 1) {
                    if meter.pass(limits, Moment(now)).is_ok() {
                        passed.push(now);
                    }
                }
                assert!(meter.second.entries.len() <= 2 * EXACT as usize + 2, "seed {seed}");
            }
            let most = limit as usize;
            // A closed second: the one after it is more than a second later.
            let crowded = passed.iter().zip(&passed[most..]).find(|(first, next)| *next - *first <= 1000);
            assert_eq!(crowded, None, "limit {limit} seed {seed}");
            let least = 20 * most * 97 / 100;
            assert!(passed.len() >= least, "{} of {least}, limit {limit} seed {seed}", passed.len());
        }
    }

    #[test]
    fn a_request_that_comes_when_it_was_told_passes() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let limits = limits(random.u32(..2000), random.u32(..500));
            let (mut meter, mut now) = (Meter::default(), Moment(random.u64(..1 << 40)));
            for _ in 0..500 {
                if let Err(room) = meter.pass(limits, now) {
                    assert!(room > now, "seed {seed}");
                    assert_eq!(meter.pass(limits, Moment(room.0 - 1)), Err(room), "{limits:?} seed {seed}");
                    assert_eq!(meter.pass(limits, room), Ok(()), "{limits:?} seed {seed}");
                    now = room;
                }
                now.0 += random.u64(..20);
            }
        }
    }
}
