//! The buffers through which data workers reach the exporter.
//!
//! As with access logs, each worker has two bounded buffers and fills the first that it can lock without waiting; the
//! exporter only ever holds one of the two, and only while it swaps it for an empty one. What finds room in neither is
//! dropped and counted.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::{sampler::Sampler, span::Finished};
use crate::{
    counters::{Count, Sharded},
    observation::TraceTotals,
};

/// What data workers record spans with. Cheap to clone.
#[derive(Clone)]
pub struct Traces(Arc<Shared>);

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("sampler", &self.0.sampler).finish_non_exhaustive()
    }
}

/// What workers and the exporter share.
pub(super) struct Shared {
    sampler: Sampler,
    slots: Sharded<Slots>,
    /// Most spans in one buffer.
    most: usize,
    wake: Notify,
    pub(super) counts: Counts,
}

/// What the exporter counts, in spans where nothing else is said.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Taken by the collector.
    pub(super) exported: AtomicU64,
    /// Refused by the collector.
    pub(super) refused: AtomicU64,
    /// Given up after the collector could not be reached, or at the end.
    pub(super) undelivered: AtomicU64,
    /// Requests to the collector that failed.
    pub(super) failures: AtomicU64,
}

/// One worker's buffers.
#[derive(Debug, Default)]
struct Slots {
    first: Mutex<Slot>,
    second: Mutex<Slot>,
    /// Spans that found no room.
    dropped: Count,
}

#[derive(Debug, Default)]
struct Slot {
    records: Vec<Finished>,
    spans: usize,
}

impl Traces {
    /// Buffers for data workers `0..workers` that hold some `queue` spans together.
    pub(super) fn new(sampler: Sampler, queue: usize, workers: usize) -> Self {
        let buffers = 2 * workers.max(1);
        Self(Arc::new(Shared {
            sampler,
            slots: Sharded::new(workers),
            most: queue.div_ceil(buffers).max(1),
            wake: Notify::new(),
            counts: Counts::default(),
        }))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }

    /// Which requests are recorded.
    pub fn sampler(&self) -> &Sampler {
        &self.0.sampler
    }

    /// Takes a request that is over. Does not wait; returns false when it had to be dropped.
    pub fn record(&self, worker: usize, finished: Finished) -> bool {
        let shared = &*self.0;
        let slots = shared.slots.shard(worker);
        let spans = finished.spans();
        for slot in [&slots.first, &slots.second] {
            let mut slot = match slot.try_lock() {
                Ok(slot) => slot,
                Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            let before = slot.spans;
            if before >= shared.most {
                continue;
            }
            slot.spans += spans;
            slot.records.push(finished);
            let half = shared.most / 2;
            let wakes = before <= half && slot.spans > half;
            drop(slot);
            if wakes {
                shared.wake.notify_one();
            }
            return true;
        }
        slots.dropped.add(spans as u64);
        false
    }

    /// What has become of spans.
    pub fn totals(&self) -> TraceTotals {
        let counts = &self.0.counts;
        TraceTotals {
            exported: counts.exported.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            undelivered: counts.undelivered.load(Relaxed),
            queue_full: self.0.slots.iter().map(|slots| slots.dropped.get()).sum(),
            failures: counts.failures.load(Relaxed),
        }
    }
}

impl Shared {
    /// Waits until a buffer is half full.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Moves everything that was recorded to `out`.
    pub(super) fn collect(&self, out: &mut Vec<Finished>) {
        for slots in self.slots.iter() {
            for slot in [&slots.first, &slots.second] {
                let taken = std::mem::take(&mut *locked(slot));
                out.extend(taken.records);
            }
        }
    }
}

/// A lock whose data stays usable after a panic elsewhere: the two parts of a slot may disagree by one record.
fn locked(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::encode::tests::finished, *};

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        // Two buffers of four spans each.
        let traces = Traces::new(Sampler::default(), 8, 1);
        let one = || finished(1);
        let taken = (0..6).filter(|_| traces.record(0, one())).count();
        // Two spans each.
        assert_eq!((taken, traces.totals().queue_full), (4, 4));
        let mut out = Vec::new();
        traces.shared().collect(&mut out);
        assert_eq!(out.len(), 4);
        assert!(traces.record(0, one()), "there is room again");
    }

    #[test]
    fn a_worker_never_waits_for_the_exporter() {
        let traces = Traces::new(Sampler::default(), 8, 1);
        let shared = traces.shared();
        let slots = shared.slots.shard(0);
        let (first, second) = (slots.first.lock().unwrap(), slots.second.lock().unwrap());
        assert!(!traces.record(0, finished(0)));
        drop(second);
        assert!(traces.record(0, finished(0)));
        drop(first);
        assert_eq!(slots.first.lock().unwrap().records.len(), 0);
        assert_eq!(traces.totals().queue_full, 1);
    }
}
