//! What rules share, for a described request.

use std::sync::Arc;

use super::{COUNTERS, Described, Pool, STORE};
use crate::host::{Level, PoolNode, RateVerdict, ServiceLevel, Shared, Store};

impl Described {
    pub(super) fn pool_named(&self, name: &[u8]) -> Option<Pool> {
        let name = String::from_utf8_lossy(name);
        match &self.pools {
            None => Some(Pool::default()),
            Some(pools) => pools.get(&*name).cloned(),
        }
    }
}

impl Shared for Described {
    fn load(&self, store: Store, key: &[u8]) -> Option<Arc<[u8]>> {
        self.stores.get(&store)?.get(key).cloned()
    }

    fn store(&mut self, store: Store, key: &[u8], value: &[u8]) -> bool {
        let (used, most) = self.usage(store);
        let values = self.stores.entry(store).or_default();
        let old = values.get(key).map_or(0, |old| key.len() + old.len());
        if used - old + key.len() + value.len() > most {
            return false;
        }
        values.insert(key.to_vec(), value.into());
        true
    }

    fn remove(&mut self, store: Store, key: &[u8]) -> bool {
        self.stores.get_mut(&store).is_some_and(|values| values.remove(key).is_some())
    }

    fn reset(&mut self, store: Store, prefix: &[u8]) {
        if let Some(values) = self.stores.get_mut(&store) {
            values.retain(|key, _| !key.starts_with(prefix));
        }
    }

    fn usage(&self, store: Store) -> (usize, usize) {
        let values = self.stores.get(&store);
        let used = values.map_or(0, |values| values.iter().map(|(key, value)| key.len() + value.len()).sum());
        (used, STORE)
    }

    fn count(&mut self, index: u32, by: i64, _wide: bool) -> bool {
        let known = (1..=COUNTERS).contains(&index);
        if known {
            let counter = self.counters.entry(index).or_default();
            *counter = counter.wrapping_add(by);
        }
        known
    }

    fn rate(&mut self, class: &[u8], _context: &[u8]) -> RateVerdict {
        self.rate_of(class)
    }

    fn rate_backlog(&self, class: &[u8], _context: &[u8]) -> Option<u32> {
        (self.rate_of(class) != RateVerdict::NoClass).then_some(self.backlog)
    }

    fn service_level(&self, class: &[u8]) -> Option<ServiceLevel> {
        match &self.service_levels {
            None => Some(ServiceLevel { conforming: 100, serious: 0 }),
            Some(levels) => levels.get(&*String::from_utf8_lossy(class)).copied(),
        }
    }

    fn pool_nodes(&self, pool: &[u8]) -> Option<Vec<PoolNode>> {
        self.pool_named(pool).map(|pool| pool.nodes)
    }

    fn pool_is_full(&self, pool: &[u8]) -> Option<bool> {
        self.pool_named(pool).map(|pool| pool.is_full)
    }

    fn resource(&self, name: &[u8]) -> Option<(Arc<[u8]>, i64)> {
        self.files.get(&*String::from_utf8_lossy(name)).cloned()
    }

    fn log(&mut self, level: Level, message: &[u8]) {
        self.lines.push((level, message.to_vec()));
    }

    fn event(&mut self, id: &[u8], message: &[u8]) {
        self.events.push((id.to_vec(), message.to_vec()));
    }
}
