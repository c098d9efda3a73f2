//! How many bytes may be sent now under a limit of bytes per second, and else when to ask again.
//!
//! ```text
//! Bucket (shared by all who have the limit together)     Share (of one of them)
//!        └────────────── Bucket::take(share, want, rate, now) ──────────────┘
//!                         │                       │
//!                  Ok(bytes to send)      Err(time to ask again)
//! ```
//!
//! Bandwidth is counted as time: a bucket knows up to which moment the rate is used up, never later than now and never
//! earlier than [`Rate::burst`] ago. Over any time, no more bytes are let through than the rate permits in it and one
//! burst. Workers share a bucket by two atomic words and no lock.
//!
//! Fairness: those who have to wait are counted, and while the bucket is less than half full everybody is paced at the
//! part of one of them. What some do not use fills the bucket, and from half full on everybody takes what there is.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What is saved up at most while nothing is sent.
const BURST: Duration = Duration::from_millis(100);
/// Smallest burst, bytes: slow limits let packets through that are worth sending.
const LEAST_BURST: u64 = 2048;
/// Smallest piece that is let through where more is wanted, bytes.
const LEAST_PIECE: u64 = 512;
/// Largest piece at a time, bytes.
const MOST_PIECE: u64 = 256 * 1024;
/// Longest time until one who waits asks again: the rate and who else asks may have changed.
pub const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// Those who have to wait in such a stretch of time share the rate. Longer than [`LONGEST_WAIT`], so that who waits is counted in
/// every one.
const EPOCH: u64 = nanos(Duration::from_millis(250));

/// Nanoseconds of the clock before its first moment, longer than any burst: a bucket is full from the beginning.
const FULL: u64 = 60 * SECOND;

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds, as many as there are in 584 years.
const fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(SECOND).saturating_add(time.subsec_nanos() as u64)
}

/// A limit, bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// So many bytes per second.
    pub fn of_bytes(per_second: NonZeroU64) -> Self {
        Self(per_second)
    }

    /// So many thousands of bits per second.
    pub fn of_kilobits(kilobits: std::num::NonZeroU32) -> Self {
        Self(NonZeroU64::from(kilobits).saturating_mul(const { NonZeroU64::new(125).unwrap() }))
    }

    /// Bytes that may come on top of the rate, over whatever time one looks.
    pub fn burst(self) -> u64 {
        self.bytes(self.burst_time())
    }

    /// Time that so many bytes take, rounded up, in nanoseconds.
    fn time(self, bytes: u64) -> u64 {
        // Pieces are small: this does not saturate.
        bytes.saturating_mul(SECOND).div_ceil(self.0.get())
    }

    /// Time that so many bytes take, rounded down, in nanoseconds: no more than was paid for them.
    fn time_at_most(self, bytes: u64) -> u64 {
        bytes.saturating_mul(SECOND) / self.0.get()
    }

    /// Bytes that go in so many nanoseconds, rounded down.
    fn bytes(self, time: u64) -> u64 {
        let bytes = u128::from(time) * u128::from(self.0.get()) / u128::from(SECOND);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn burst_time(self) -> u64 {
        nanos(BURST).max(self.time(LEAST_BURST))
    }

    /// Smallest piece worth a call: 2 ms of the rate.
    fn least_piece(self) -> u64 {
        (self.0.get() / 500).clamp(LEAST_PIECE, 16 * 1024)
    }

    /// Largest piece that one gets while others wait: 10 ms of the rate.
    fn most_piece(self) -> u64 {
        (self.0.get() / 100).clamp(LEAST_PIECE, MOST_PIECE)
    }
}

/// What all who have a limit together share.
#[derive(Debug, Default)]
pub struct Bucket {
    /// Nanosecond up to which the rate is used up.
    paid: AtomicU64,
    /// How many had to wait lately: a [`Waiting`].
    waiting: AtomicU64,
}

/// Of one who has part in a [`Bucket`]: when it is its turn again.
#[derive(Debug, Default)]
pub struct Share {
    /// Nanosecond from which on `sent` counts.
    since: u64,
    /// Bytes of the last piece.
    sent: u64,
    /// The epoch it was counted in, from 1.
    counted: u32,
}

impl Bucket {
    /// Takes leave to send at most `want` bytes (at least 1) and gives how many. An error is how long to wait until asking
    /// again, at most [`LONGEST_WAIT`]. `now` is the time since a moment that is the same for all of the bucket.
    ///
    /// # Errors
    /// There is nothing to be had now.
    pub fn take(&self, share: &mut Share, want: usize, rate: Rate, now: Duration) -> Result<usize, Duration> {
        let now = nanos(now).saturating_add(FULL);
        let want = (want as u64).max(1);
        let burst = rate.burst_time();
        let needed = rate.time(want.min(rate.least_piece()));
        loop {
            let paid = self.paid.load(Ordering::Acquire);
            let base = paid.max(now.saturating_sub(burst));
            let free = now.saturating_sub(base);
            let plenty = free >= burst / 2;
            // Who finds plenty owes nobody anything.
            let due = if plenty { now } else { share.due(rate, self.others(now)) };
            if due > now {
                self.count(share, want, now);
                // What others leave may fill the bucket before.
                let (wait, filled) = (due - now, burst / 2 - free);
                return Err(pause(filled.clamp(wait / 4, wait)));
            }
            if free < needed {
                self.count(share, want, now);
                return Err(pause(needed - free));
            }
            let bytes = want.min(rate.most_piece()).min(rate.bytes(free)).max(1);
            let after = base.saturating_add(rate.time(bytes));
            if self.paid.compare_exchange_weak(paid, after, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // A turn that came late counts from when it was due, as long as that is not long ago.
                share.since = due.max(now.saturating_sub(burst / 4));
                share.sent = bytes;
                return Ok(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
        }
    }

    /// Gives back what was taken a moment ago and could not be sent.
    pub fn give_back(&self, share: &mut Share, bytes: usize, rate: Rate) {
        let bytes = (bytes as u64).min(share.sent);
        share.sent -= bytes;
        let time = rate.time_at_most(bytes);
        // It never fails: the function always gives a value.
        let _given = self
            .paid
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |paid| Some(paid.saturating_sub(time)));
    }

    /// How many share the rate.
    fn others(&self, now: u64) -> u64 {
        Waiting::of(self.waiting.load(Ordering::Relaxed)).at(epoch(now)).number()
    }

    /// Counts one who has to wait, once in an epoch. Who wants but a little takes nothing from the others.
    fn count(&self, share: &mut Share, want: u64, now: u64) {
        let epoch = epoch(now);
        if share.counted == epoch || want < LEAST_PIECE {
            return;
        }
        share.counted = epoch;
        let mut seen = self.waiting.load(Ordering::Relaxed);
        loop {
            let mut waiting = Waiting::of(seen).at(epoch);
            waiting.now = waiting.now.saturating_add(1);
            match self.waiting.compare_exchange_weak(
                seen,
                waiting.word(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

/// The number of an epoch, from 1; it may come round.
fn epoch(now: u64) -> u32 {
    ((now / EPOCH) as u32).wrapping_add(1)
}

impl Share {
    /// When the next piece is due for one of `others` who share the rate evenly.
    fn due(&self, rate: Rate, others: u64) -> u64 {
        self.since.saturating_add(rate.time(self.sent).saturating_mul(others))
    }
}

fn pause(nanos: u64) -> Duration {
    Duration::from_nanos(nanos).min(LONGEST_WAIT)
}

/// How many had to wait in an epoch and in the one before, in one word.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    epoch: u32,
    before: u16,
    now: u16,
}

impl Waiting {
    fn of(word: u64) -> Self {
        Self { epoch: (word >> 32) as u32, before: (word >> 16) as u16, now: word as u16 }
    }

    fn word(self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.before) << 16 | u64::from(self.now)
    }

    /// As of this epoch. One who comes late to a new epoch is counted in it.
    fn at(self, epoch: u32) -> Self {
        match epoch.wrapping_sub(self.epoch) {
            // The clock of another worker may be a moment ahead.
            0 | u32::MAX => self,
            1 => Self { epoch, before: self.now, now: 0 },
            _ => Self { epoch, before: 0, now: 0 },
        }
    }

    fn number(self) -> u64 {
        u64::from(self.before.max(self.now).max(1))
    }
}
