//! Counters: written by data workers without a locked instruction, summed when somebody reads.
//!
//! Every counted thing (a virtual server, a pool, a node) owns a [`Sharded`] table with one cell per data worker, each
//! on its own cache lines. A worker only ever writes its own cell, so a count is an ordinary load, add and store;
//! a reader sums the cells and may miss the last few events, never tear or lose one. [`counters!`](macro@crate::counters)
//! defines what a cell holds: [`Count`]s, and [`Histogram`]s and [`Measure`]s of times.

use std::{
    iter::Sum,
    ops::Add,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// One number, written by the single thread that owns it and read by any.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`. For the owning worker only: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` back from a count of things that exist now, never below zero. For the owning worker only.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// Becomes `n` if that is more. For the owning worker only.
    #[inline]
    pub fn raise(&self, n: u64) {
        if n > self.0.load(Relaxed) {
            self.0.store(n, Relaxed);
        }
    }

    /// Adds `n` with a locked instruction, for a cell that several threads write (see [`Sharded::common`]).
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number as this thread sees it.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A `T` per data worker, plus one that everybody else shares.
#[derive(Debug)]
pub struct Sharded<T> {
    cells: Box<[Padded<T>]>,
    common: Padded<T>,
}

/// Two cache lines: the processor fetches lines in pairs, so one line of distance would still be shared.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> Sharded<T> {
    /// A table for workers `0..workers`.
    pub fn new(workers: usize) -> Self {
        Self { cells: (0..workers).map(|_| Padded::default()).collect(), common: Padded::default() }
    }
}

impl<T> Sharded<T> {
    /// The cell of worker `worker` (its index). An index the table was not made for gets the common cell, where
    /// counts stay near enough rather than stop the process.
    #[inline]
    pub fn shard(&self, worker: usize) -> &T {
        match self.cells.get(worker) {
            Some(cell) => &cell.0,
            None => &self.common.0,
        }
    }

    /// The cell for threads that are no data worker. Several may write it: use [`Count::add_shared`].
    pub fn common(&self) -> &T {
        &self.common.0
    }

    /// Every cell, the common one last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.cells.iter().chain(std::iter::once(&self.common)).map(|cell| &cell.0)
    }
}

/// Upper bounds of the buckets of every [`Histogram`], µs: those that OpenTelemetry names for HTTP durations, and three
/// below them for what happens inside a cluster. One more bucket takes what is longer.
pub const BOUNDS: [u64; 17] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// Buckets of a [`Histogram`], the last one without bound.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations by size, one worker's part.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Count; BUCKETS],
    sum: Count,
}

/// Durations by size, summed over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramTotals {
    /// How many fell into each bucket alone.
    pub buckets: [u64; BUCKETS],
    /// Their sum, µs.
    pub sum: u64,
}

impl Histogram {
    /// Counts one. For the owning worker only.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let micros = micros(duration);
        // Most durations are short: the scan ends after a step or two.
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.buckets.get(bucket) {
            count.add(1);
        }
        self.sum.add(micros);
    }

    /// The numbers of this part alone.
    pub fn read(&self) -> HistogramTotals {
        HistogramTotals { buckets: self.buckets.each_ref().map(Count::get), sum: self.sum.get() }
    }
}

impl HistogramTotals {
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many were at most each bound, and at last all.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> + use<> {
        self.buckets.into_iter().scan(0, |sum: &mut u64, count| {
            *sum += count;
            Some(*sum)
        })
    }
}

impl Add for HistogramTotals {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (to, from) in self.buckets.iter_mut().zip(other.buckets) {
            *to = to.wrapping_add(from);
        }
        self.sum = self.sum.wrapping_add(other.sum);
        self
    }
}

/// Shortest, longest and mean duration, one worker's part.
#[derive(Debug, Default)]
pub struct Measure {
    count: Count,
    sum: Count,
    /// One more than the shortest, µs; 0 = none yet.
    least: Count,
    most: Count,
}

/// Shortest, longest and mean duration over all workers, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeasureTotals {
    /// How many were measured.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The shortest; 0 without any.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

impl Measure {
    /// Counts one. For the owning worker only.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let micros = micros(duration);
        self.count.add(1);
        self.sum.add(micros);
        let least = self.least.get();
        if least == 0 || micros < least - 1 {
            self.least.0.store(micros.saturating_add(1), Relaxed);
        }
        self.most.raise(micros);
    }

    /// The numbers of this part alone.
    pub fn read(&self) -> MeasureTotals {
        MeasureTotals {
            count: self.count.get(),
            sum: self.sum.get(),
            min: self.least.get().saturating_sub(1),
            max: self.most.get(),
        }
    }
}

impl MeasureTotals {
    /// The mean; 0 without any.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }
}

impl Add for MeasureTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            count: self.count.wrapping_add(other.count),
            sum: self.sum.wrapping_add(other.sum),
            min: match (self.count, other.count) {
                (0, _) => other.min,
                (_, 0) => self.min,
                _ => self.min.min(other.min),
            },
            max: self.max.max(other.max),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Adds up totals.
pub fn sum<T: Default + Add<Output = T>>(totals: impl Iterator<Item = T>) -> T {
    totals.fold(T::default(), Add::add)
}

impl Sum for HistogramTotals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        sum(totals)
    }
}

impl Sum for MeasureTotals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        sum(totals)
    }
}

/// Defines a cell of [`Count`]s, optionally with [`Histogram`]s and [`Measure`]s behind them; the struct of plain
/// numbers that cells sum up to; and the sum, as `totals` of a [`Sharded`] of cells.
#[macro_export]
macro_rules! counters {
    (
        $(#[$about:meta])*
        $cell:ident => $totals:ident { $( $(#[$what:meta])* $field:ident, )+ }
        $( times { $( $(#[$meant:meta])* $time:ident: $kind:ident => $sum:ident, )+ } )?
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $cell {
            $( $(#[$what])* pub $field: $crate::counters::Count, )+
            $( $( $(#[$meant])* pub $time: $crate::counters::$kind, )+ )?
        }

        #[doc = concat!("Sums over every worker's [`", stringify!($cell), "`].")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $totals {
            $( $(#[$what])* pub $field: u64, )+
            $( $( $(#[$meant])* pub $time: $crate::counters::$sum, )+ )?
        }

        impl $cell {
            /// The numbers of this cell alone.
            pub fn read(&self) -> $totals {
                $totals {
                    $( $field: self.$field.get(), )+
                    $( $( $time: self.$time.read(), )+ )?
                }
            }

            /// Sums over the cells.
            pub fn totals(cells: &$crate::counters::Sharded<Self>) -> $totals {
                $crate::counters::sum(cells.iter().map(Self::read))
            }
        }

        impl $totals {
            /// Every count with its name, in the order of declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [ $( (stringify!($field), self.$field), )+ ].into_iter()
            }
        }

        impl std::ops::Add for $totals {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self {
                    $( $field: self.$field.wrapping_add(other.$field), )+
                    $( $( $time: self.$time + other.$time, )+ )?
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_take_what_is_at_most_their_bound() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 10_000_000, 10_000_001, u64::MAX / 2] {
            histogram.record(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!((read.buckets[0], read.buckets[1], read.buckets[16], read.buckets[17]), (2, 1, 1, 2));
        assert_eq!(read.count(), 6);
        assert_eq!(read.cumulative().last(), Some(6));
        assert!(BOUNDS.is_sorted());
        assert_eq!((read + read).count(), 12);
    }

    #[test]
    fn measures_merge() {
        let (one, two) = (Measure::default(), Measure::default());
        assert_eq!((one.read() + two.read()).mean(), 0);
        for millis in [3, 0, 9] {
            one.record(Duration::from_millis(millis));
        }
        two.record(Duration::from_millis(4));
        let empty = Measure::default();
        let all = one.read() + empty.read() + two.read();
        assert_eq!((all.min, all.max, all.mean(), all.count), (0, 9000, 4000, 4));
        assert_eq!((empty.read() + two.read()).min, 4000);
    }

    #[test]
    fn a_peak_only_rises() {
        let peak = Count::default();
        peak.raise(3);
        peak.raise(2);
        assert_eq!(peak.get(), 3);
    }
}
