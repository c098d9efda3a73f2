//! The tables behind `data.*` (one in the process) and `data.local.*` (one in each worker).
//!
//! In: keys and values as bytes, the limit (`trafficscript.data_size`, `trafficscript.data_local_size`). Out: values,
//! shared rather than copied, and the bytes in use. A table outlives every change of configuration and is lost with
//! the process.
//!
//! An entry counts as its key, its value and [`ENTRY_OVERHEAD`], so that the sum is near what the process really
//! spends and the same whenever it is reckoned. When a value does not fit, nothing changes.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidegate_model::Moment;

/// Bytes that an entry costs besides key and value: two pointers with lengths, two allocations, its part of a node of
/// the tree.
pub(crate) const ENTRY_OVERHEAD: usize = 96;

/// Locks of the table of the process. Each is held for one look-up, or for the entries of one prefix.
const PARTS: usize = 64;

/// The event `datastorefull` is written at most this often per table.
const TELL_FULL_EVERY: Duration = Duration::from_mins(1);

type Entries = BTreeMap<Box<[u8]>, Arc<[u8]>>;

/// A table of values with a limit in bytes. Shared by threads.
#[derive(Debug)]
pub(crate) struct Table {
    /// Setting that limits it, for the event.
    setting: &'static str,
    parts: Box<[Mutex<Entries>]>,
    hasher: RandomState,
    limit: AtomicUsize,
    used: AtomicUsize,
    refused: AtomicU64,
    /// When the next event is due (ms).
    tell_at: AtomicU64,
}

impl Table {
    /// The table of the process.
    pub(crate) fn of_process(limit: usize) -> Self {
        Self::new("trafficscript.data_size", limit, PARTS)
    }

    /// The table of a worker.
    pub(crate) fn of_worker(limit: usize) -> Self {
        Self::new("trafficscript.data_local_size", limit, 1)
    }

    fn new(setting: &'static str, limit: usize, parts: usize) -> Self {
        Self {
            setting,
            parts: (0..parts).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            tell_at: AtomicU64::new(0),
        }
    }

    /// Another limit. Values that are there stay; below what they use, none may grow.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes in use and bytes there may be.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed), self.limit.load(Ordering::Relaxed))
    }

    /// How many entries there are. Takes the locks one after the other.
    pub(crate) fn entries(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    /// Values that did not fit.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        self.part(key).get(key).cloned()
    }

    /// Sets the value of a key. False, and nothing changes, if the table would grow over its limit.
    pub(crate) fn set(&self, key: &[u8], value: &[u8], now: Moment) -> bool {
        let value: Arc<[u8]> = value.into();
        let mut part = self.part(key);
        let known = part.get_mut(key);
        let before = known.as_ref().map_or(0, |known| cost(key, known));
        if !self.reserve(before, cost(key, &value)) {
            drop(part);
            self.tell_full(now);
            return false;
        }
        // The old value is freed when the lock is not held any more.
        let _old = match known {
            Some(known) => Some(std::mem::replace(known, value)),
            None => part.insert(key.into(), value),
        };
        drop(part);
        true
    }

    /// Removes a key. False = there was none.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let removed = self.part(key).remove_entry(key);
        if let Some((key, value)) = &removed {
            self.used.fetch_sub(cost(key, value), Ordering::Relaxed);
        }
        removed.is_some()
    }

    /// Removes every key that begins with `prefix`; all with an empty one. Other threads see parts of the table
    /// emptied one after the other.
    pub(crate) fn reset(&self, prefix: &[u8]) {
        for part in &self.parts {
            let removed = take_prefix(&mut lock(part), prefix);
            let freed: usize = removed.iter().map(|(key, value)| cost(key, value)).sum();
            self.used.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    fn part(&self, key: &[u8]) -> MutexGuard<'_, Entries> {
        let place = match self.parts.len() {
            1 => 0,
            parts => self.hasher.hash_one(key) as usize % parts,
        };
        lock(&self.parts[place])
    }

    /// Accounts for an entry that grows or shrinks. What does not grow always fits.
    fn reserve(&self, before: usize, after: usize) -> bool {
        let Some(more) = after.checked_sub(before) else {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
            return true;
        };
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: usize| used.checked_add(more).filter(|used| more == 0 || *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn tell_full(&self, now: Moment) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let due = |at: u64| (at <= now.0).then(|| now.after(TELL_FULL_EVERY).0);
        if self.tell_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok() {
            let (used, limit) = self.usage();
            tracing::warn!(
                event = "datastorefull",
                used,
                limit,
                refused = self.refused(),
                "a rule could not store a value: the table is full; remove entries or raise {}",
                self.setting
            );
        }
    }
}

fn lock(part: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that an entry counts for.
pub(crate) fn cost(key: &[u8], value: &[u8]) -> usize {
    key.len().saturating_add(value.len()).saturating_add(ENTRY_OVERHEAD)
}

/// Takes out every key that begins with `prefix`: they stand together.
fn take_prefix(entries: &mut Entries, prefix: &[u8]) -> Entries {
    if prefix.is_empty() {
        return std::mem::take(entries);
    }
    let range = (Bound::Included(prefix), Bound::Unbounded);
    let keys: Vec<Box<[u8]>> = entries
        .range::<[u8], _>(range)
        .map(|(key, _)| key)
        .take_while(|key| key.starts_with(prefix))
        .cloned()
        .collect();
    keys.iter().filter_map(|key| entries.remove_entry(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000);

    fn table(limit: usize) -> [Table; 2] {
        [Table::of_process(limit), Table::of_worker(limit)]
    }

    fn text(table: &Table, key: &str) -> Option<String> {
        table.get(key.as_bytes()).map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn values_are_kept_and_counted_to_the_byte() {
        for table in table(1 << 20) {
            let used = || table.usage().0;
            assert_eq!((text(&table, "k"), used()), (None, 0));
            assert!(table.set(b"k", b"value", NOW));
            assert_eq!((text(&table, "k"), used()), (Some("value".into()), 6 + ENTRY_OVERHEAD));
            assert!(table.set(b"k", b"v", NOW));
            assert_eq!((text(&table, "k"), used()), (Some("v".into()), 2 + ENTRY_OVERHEAD));
            assert!(table.set(b"k", b"longer value", NOW));
            assert_eq!(used(), 13 + ENTRY_OVERHEAD);
            assert!(table.set(b"", b"", NOW));
            assert_eq!((text(&table, ""), used()), (Some(String::new()), 13 + 2 * ENTRY_OVERHEAD));
            assert!(table.remove(b"k"));
            assert!(!table.remove(b"k"));
            assert!(table.remove(b""));
            assert_eq!((text(&table, "k"), used()), (None, 0));
        }
    }

    #[test]
    fn a_full_table_changes_nothing() {
        let entry = ENTRY_OVERHEAD + 10;
        for table in table(2 * entry) {
            assert!(table.set(b"a", b"123456789", NOW));
            assert!(table.set(b"b", b"123456789", NOW));
            assert!(!table.set(b"c", b"", NOW));
            assert!(!table.set(b"a", b"1234567890", NOW));
            assert_eq!(text(&table, "a"), Some("123456789".into()));
            assert_eq!((table.usage(), table.refused()), ((2 * entry, 2 * entry), 2));
            // What does not grow fits, even when the limit was lowered.
            table.set_limit(10);
            assert!(table.set(b"a", b"987654321", NOW));
            assert!(table.set(b"a", b"98765432", NOW));
            assert!(!table.set(b"a", b"987654321", NOW));
            assert!(table.remove(b"b"));
            assert!(!table.set(b"b", b"", NOW));
            table.set_limit(3 * entry);
            assert!(table.set(b"b", b"", NOW));
            assert_eq!(table.refused(), 4);
        }
    }

    #[test]
    fn a_full_table_is_told_once_a_minute() {
        let [table, _] = table(0);
        let due = |seconds| {
            let before = table.tell_at.load(Ordering::Relaxed);
            table.tell_full(NOW.after(Duration::from_secs(seconds)));
            before != table.tell_at.load(Ordering::Relaxed)
        };
        assert_eq!(
            [due(0), due(1), due(59), due(60), due(61), due(120)],
            [true, false, false, true, false, true]
        );
        assert_eq!(table.refused(), 6);
    }

    #[test]
    fn prefixes() {
        for table in table(1 << 20) {
            let keys: [&[u8]; 8] = [b"a", b"a:", b"a:1", b"a:\xff", b"a;", b"b", b"\xff", b"\xff\xff"];
            let reset = |prefix: &[u8]| -> Vec<&[u8]> {
                for key in keys {
                    assert!(table.set(key, b"v", NOW));
                }
                table.reset(prefix);
                keys.into_iter().filter(|key| table.get(key).is_some()).collect()
            };
            assert_eq!(reset(b"a:"), [&b"a"[..], b"a;", b"b", b"\xff", b"\xff\xff"]);
            assert_eq!(reset(b"\xff"), [&b"a"[..], b"a:", b"a:1", b"a:\xff", b"a;", b"b"]);
            assert_eq!(reset(b"c").len(), keys.len());
            assert_eq!(reset(b""), [&b""[..]; 0]);
            assert_eq!(table.usage().0, 0);
        }
    }

    #[test]
    fn what_threads_do_together_adds_up() {
        let seed = fastrand::u64(..);
        let limit = 200 * (ENTRY_OVERHEAD + 20);
        let table = Table::of_process(limit);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed.wrapping_add(thread));
                    for _ in 0..20_000 {
                        let key = format!("key {}", random.u32(..400));
                        match random.u32(..100) {
                            0 => table.reset(key.as_bytes()),
                            1..30 => drop(table.remove(key.as_bytes())),
                            _ => drop(table.set(key.as_bytes(), &vec![b'x'; random.usize(..40)], NOW)),
                        }
                        assert!(table.usage().0 <= limit, "seed {seed}");
                    }
                });
            }
        });
        let sum: usize =
            table.parts.iter().map(|part| lock(part).iter().map(|(k, v)| cost(k, v)).sum::<usize>()).sum();
        assert_eq!(table.usage().0, sum, "seed {seed}");
        assert!(table.refused() > 0, "seed {seed}");
        table.reset(b"");
        assert_eq!(table.usage().0, 0, "seed {seed}");
    }
}
