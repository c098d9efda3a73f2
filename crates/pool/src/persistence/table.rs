//! A bounded session table: session key → node id, least recently used sessions forgotten first.
//!
//! Shared by all workers. Split into parts with a lock each that is held for one look-up, so that workers rarely
//! meet.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_model::Moment;

use super::TableCounters;
use crate::hash::PlainMap;

/// Locks of a table.
const PARTS: usize = 16;
/// Tables up to this size have one part, which keeps their bound and order exact.
const SMALL: usize = 1024;
/// Most sessions forgotten by one insertion when a table has become smaller.
const EVICTIONS_AT_ONCE: usize = 4;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Table {
    parts: Box<[Mutex<Part>]>,
    /// Sessions per part.
    capacity: AtomicU64,
    /// ms; 0 = none.
    expiry: AtomicU64,
    entries: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
}

/// Sessions in a list from most to least recently used.
#[derive(Debug)]
struct Part {
    places: PlainMap<u64, u32>,
    sessions: Vec<Entry>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    node: u32,
    newer: u32,
    older: u32,
    used: Moment,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        let parts = if capacity <= SMALL { 1 } else { PARTS };
        let table = Self {
            parts: (0..parts).map(|_| Mutex::new(Part::new())).collect(),
            capacity: AtomicU64::new(0),
            expiry: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        };
        table.set_limits(capacity, None);
        table
    }

    /// A smaller table forgets sessions little by little, with insertions.
    pub(super) fn set_limits(&self, capacity: usize, expiry: Option<Duration>) {
        let per_part = (capacity / self.parts.len()).clamp(1, NONE as usize - 1);
        self.capacity.store(per_part as u64, Ordering::Relaxed);
        let expiry = expiry.map_or(0, |expiry| u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX).max(1));
        self.expiry.store(expiry, Ordering::Relaxed);
    }

    fn part(&self, key: u64) -> MutexGuard<'_, Part> {
        // The map inside uses the low bits, and the very highest as tags.
        let part = (key >> 40) as usize & (self.parts.len() - 1);
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of a session, which becomes the most recently used.
    pub(super) fn get(&self, key: u64, now: Moment) -> Option<u32> {
        let expiry = self.expiry.load(Ordering::Relaxed);
        let mut part = self.part(key);
        let place = *part.places.get(&key)?;
        let used = part.sessions[place as usize].used;
        if expiry != 0 && used.after(Duration::from_millis(expiry)) <= now {
            part.remove(place);
            drop(part);
            self.entries.fetch_sub(1, Ordering::Relaxed);
            self.expired.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        part.touch(place, now);
        Some(part.sessions[place as usize].node)
    }

    /// What [`Table::get`] would find. The table stays as it is.
    pub(super) fn peek(&self, key: u64, now: Moment) -> Option<u32> {
        let expiry = self.expiry.load(Ordering::Relaxed);
        let part = self.part(key);
        let session = part.sessions.get(*part.places.get(&key)? as usize)?;
        let is_over = expiry != 0 && session.used.after(Duration::from_millis(expiry)) <= now;
        (!is_over).then_some(session.node)
    }

    /// Puts a session in, or moves it to another node.
    pub(super) fn insert(&self, key: u64, node: u32, now: Moment) {
        let capacity = self.capacity.load(Ordering::Relaxed) as usize;
        let mut part = self.part(key);
        if let Some(place) = part.places.get(&key).copied() {
            part.sessions[place as usize].node = node;
            part.touch(place, now);
            return;
        }
        let mut evicted = 0;
        while part.places.len() >= capacity && evicted < EVICTIONS_AT_ONCE {
            let oldest = part.oldest;
            part.remove(oldest);
            evicted += 1;
        }
        part.add(key, node, now);
        drop(part);
        self.entries.fetch_add(1, Ordering::Relaxed);
        if evicted > 0 {
            self.entries.fetch_sub(evicted as u64, Ordering::Relaxed);
            self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        }
    }

    /// Takes a session out, if it is there.
    pub(super) fn remove(&self, key: u64) {
        let mut part = self.part(key);
        if let Some(place) = part.places.get(&key).copied() {
            part.remove(place);
            drop(part);
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counters(&self) -> TableCounters {
        TableCounters {
            entries: self.entries.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
        }
    }
}

impl Part {
    fn new() -> Self {
        Self {
            places: PlainMap::default(),
            sessions: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    fn add(&mut self, key: u64, node: u32, now: Moment) {
        let entry = Entry { key, node, newer: NONE, older: NONE, used: now };
        let place = if let Some(place) = self.free.pop() {
            self.sessions[place as usize] = entry;
            place
        } else {
            self.sessions.push(entry);
            (self.sessions.len() - 1) as u32
        };
        self.places.insert(key, place);
        self.link(place);
    }

    fn remove(&mut self, place: u32) {
        self.unlink(place);
        self.places.remove(&self.sessions[place as usize].key);
        self.free.push(place);
    }

    fn touch(&mut self, place: u32, now: Moment) {
        self.sessions[place as usize].used = now;
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
    }

    fn link(&mut self, place: u32) {
        let second = self.newest;
        self.sessions[place as usize].newer = NONE;
        self.sessions[place as usize].older = second;
        match self.sessions.get_mut(second as usize) {
            Some(second) => second.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: u32) {
        let Entry { newer, older, .. } = self.sessions[place as usize];
        match self.sessions.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.sessions.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::hash::{below, mix, next};

    const T: Moment = Moment(0);

    #[test]
    fn forgets_the_least_recently_used() {
        let table = Table::new(2);
        table.insert(1, 10, T);
        table.insert(2, 20, T);
        assert_eq!(table.get(1, T), Some(10));
        table.insert(3, 30, T);
        assert_eq!(table.get(2, T), None);
        assert_eq!((table.get(1, T), table.get(3, T)), (Some(10), Some(30)));
        assert_eq!(table.counters(), TableCounters { entries: 2, evicted: 1, expired: 0 });
    }

    #[test]
    fn expires_by_last_use() {
        let table = Table::new(8);
        table.set_limits(8, Some(Duration::from_secs(10)));
        table.insert(1, 10, Moment(0));
        assert_eq!(table.get(1, Moment(9_000)), Some(10));
        assert_eq!(table.get(1, Moment(18_000)), Some(10));
        assert_eq!(table.get(1, Moment(28_000)), None);
        assert_eq!(table.counters(), TableCounters { entries: 0, evicted: 0, expired: 1 });
    }

    #[test]
    fn is_bounded_whatever_its_size_was() {
        for (first, then) in [(100, 10), (4096, 512), (1, 1), (0, 0), (5000, 3)] {
            let table = Table::new(first);
            for key in 0..10_000 {
                table.insert(mix(key), 1, T);
            }
            assert!(table.counters().entries <= first.max(1) as u64);
            table.set_limits(then, None);
            for key in 10_000..30_000 {
                table.insert(mix(key), 1, T);
            }
            let bound = then.max(table.parts.len()) as u64;
            assert!(table.counters().entries <= bound, "{first} {then} {:?}", table.counters());
        }
    }

    #[test]
    fn agrees_with_a_simple_list() {
        let seed = 0x5eed;
        let mut state = seed;
        let table = Table::new(16);
        let mut list: VecDeque<(u64, u32)> = VecDeque::new();
        for step in 0..20_000_u32 {
            let key = below(next(&mut state), 40) as u64 + 1;
            let place = list.iter().position(|(other, _)| *other == key);
            match next(&mut state) % 4 {
                0 | 1 => {
                    let expected = place.and_then(|place| list.remove(place));
                    assert_eq!(table.get(key, T), expected.map(|(_, node)| node), "seed {seed} step {step}");
                    list.extend(expected);
                }
                2 => {
                    match place {
                        Some(place) => drop(list.remove(place)),
                        None if list.len() == 16 => drop(list.pop_front()),
                        None => {}
                    }
                    list.push_back((key, step));
                    table.insert(key, step, T);
                }
                _ => {
                    table.remove(key);
                    if let Some(place) = place {
                        list.remove(place);
                    }
                }
            }
            assert_eq!(table.counters().entries, list.len() as u64, "seed {seed} step {step}");
        }
    }
}
