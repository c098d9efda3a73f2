//! The numbered counters of `counter.increment` (32 bits) and `counter64.increment`.
//!
//! Each worker has cells of its own; a reader sums them. How many numbers there are is a setting
//! (`snmp.user_counters`); a counter keeps its value while the number is out of use.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use tidegate_telemetry::counters::Sharded;

/// Most counters of each width (maximum of `snmp.user_counters`).
pub(crate) const MOST_COUNTERS: u32 = 10_000;

/// The counters of the process.
#[derive(Debug)]
pub(crate) struct Counters {
    count: AtomicU32,
    cells: Sharded<Cells>,
}

/// The counters of one worker; made when a rule counts for the first time.
#[derive(Debug, Default)]
struct Cells {
    narrow: OnceLock<Box<[AtomicU64]>>,
    wide: OnceLock<Box<[AtomicU64]>>,
}

/// What the counters stand at, in the order of their numbers from 1 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readings {
    /// `counter.increment`
    pub(crate) narrow: Vec<u32>,
    /// `counter64.increment`
    pub(crate) wide: Vec<u64>,
}

impl Cells {
    fn of(&self, wide: bool) -> &OnceLock<Box<[AtomicU64]>> {
        if wide { &self.wide } else { &self.narrow }
    }
}

impl Counters {
    /// `count` counters of each width, for workers `0..workers`.
    pub(crate) fn new(workers: usize, count: u32) -> Self {
        let counters = Self { count: AtomicU32::new(0), cells: Sharded::new(workers) };
        counters.set_count(count);
        counters
    }

    /// Another `snmp.user_counters`.
    pub(crate) fn set_count(&self, count: u32) {
        self.count.store(count.min(MOST_COUNTERS), Ordering::Relaxed);
    }

    /// Adds to counter `number` (from 1 on), on worker `worker`. False = there is no such counter. A 32-bit counter
    /// wraps at 2³², the other at 2⁶⁴.
    pub(crate) fn add(&self, worker: usize, number: u32, by: i64, wide: bool) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        let Some(place) = number.checked_sub(1).filter(|place| *place < count) else { return false };
        let cells = self.cells.shard(worker).of(wide);
        let cells = cells.get_or_init(|| (0..MOST_COUNTERS).map(|_| AtomicU64::new(0)).collect());
        let Some(cell) = cells.get(place as usize) else { return false };
        // Two's complement: a negative step wraps round to a smaller sum.
        cell.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
        true
    }

    /// What every counter stands at.
    pub(crate) fn read(&self) -> Readings {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let sum = |wide: bool, place: usize| {
            let cells = self.cells.iter().filter_map(|cells| cells.of(wide).get()?.get(place));
            cells.fold(0_u64, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
        };
        Readings {
            narrow: (0..count).map(|place| sum(false, place) as u32).collect(),
            wide: (0..count).map(|place| sum(true, place)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_over_workers() {
        let counters = Counters::new(2, 3);
        for worker in 0..3 {
            assert!(counters.add(worker, 1, 1, false));
            assert!(counters.add(worker, 3, 1 << 31, false));
            assert!(counters.add(worker, 3, 1 << 31, true));
        }
        assert!(counters.add(0, 2, -5, true));
        assert!(counters.add(1, 2, 7, true));
        assert!(counters.add(1, 2, -1, false));
        for none in [0, 4, MOST_COUNTERS, u32::MAX] {
            assert!(!counters.add(0, none, 1, false), "{none}");
        }
        assert_eq!(
            counters.read(),
            Readings { narrow: vec![3, u32::MAX, 1 << 31], wide: vec![0, 2, 3 << 31] }
        );
    }

    #[test]
    fn values_outlive_changes_of_the_setting() {
        let counters = Counters::new(1, 2);
        assert!(counters.add(0, 2, 9, false));
        counters.set_count(1);
        assert!(!counters.add(0, 2, 1, false));
        assert_eq!(counters.read().narrow, [0]);
        counters.set_count(u32::MAX);
        assert_eq!(counters.read().narrow.len(), MOST_COUNTERS as usize);
        assert!(counters.add(0, MOST_COUNTERS, 1, false));
        assert_eq!(counters.read().narrow[1], 9);
    }
}
