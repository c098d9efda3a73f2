//! What the rules of all requests share, and the event log.

use std::sync::Arc;

use tidegate_pool::Standing;
use tidegate_trafficscript::host::{
    Level, NodeState, PoolNode, RateVerdict, ServiceLevel, Shared, Store, Surroundings,
};

use super::{
    super::{lines, process, said::Data, services::data::Table},
    Seen, named_object,
};

impl Seen<'_, '_> {
    /// `data.local`
    fn local_data(&self) -> &Table {
        self.services().local(self.client.worker.index)
    }
}

impl Shared for Seen<'_, '_> {
    fn load(&self, store: Store, key: &[u8]) -> Option<Arc<[u8]>> {
        match store {
            Store::Connection => self.exchange.said()?.data.get(key),
            Store::Worker => self.local_data().get(key),
            Store::Process => self.services().data.get(key),
        }
    }

    fn store(&mut self, store: Store, key: &[u8], value: &[u8]) -> bool {
        match store {
            Store::Connection => self.exchange.said_mut().data.set(key, value),
            Store::Worker => self.local_data().set(key, value, self.client.worker.recent()),
            Store::Process => self.services().data.set(key, value, self.client.worker.recent()),
        }
    }

    fn remove(&mut self, store: Store, key: &[u8]) -> bool {
        match store {
            Store::Connection => self.exchange.said_mut().data.remove(key),
            Store::Worker => self.local_data().remove(key),
            Store::Process => self.services().data.remove(key),
        }
    }

    fn reset(&mut self, store: Store, prefix: &[u8]) {
        match store {
            Store::Connection => self.exchange.said_mut().data.reset(prefix),
            Store::Worker => self.local_data().reset(prefix),
            Store::Process => self.services().data.reset(prefix),
        }
    }

    fn usage(&self, store: Store) -> (usize, usize) {
        match store {
            Store::Connection => {
                self.exchange.said().map_or_else(|| Data::default().usage(), |said| said.data.usage())
            }
            Store::Worker => self.local_data().usage(),
            Store::Process => self.services().data.usage(),
        }
    }

    fn count(&mut self, index: u32, by: i64, wide: bool) -> bool {
        self.services().counters.add(self.client.worker.index, index, by, wide)
    }

    fn rate(&mut self, class: &[u8], context: &[u8]) -> RateVerdict {
        self.services().rates.try_pass(class, context, self.client.worker.now())
    }

    fn rate_backlog(&self, class: &[u8], context: &[u8]) -> Option<u32> {
        self.services().rates.backlog(class, context)
    }

    fn service_level(&self, class: &[u8]) -> Option<ServiceLevel> {
        let view = self.client.worker.view();
        let level = named_object(&view.service_levels, class)?;
        let conforming = level.conforming(self.client.worker.recent());
        Some(ServiceLevel { conforming, serious: level.settings.serious_threshold })
    }

    fn pool_nodes(&self, pool: &[u8]) -> Option<Vec<PoolNode>> {
        let view = self.client.worker.view();
        let pool = named_object(&view.pools, pool)?;
        let state = |standing| match standing {
            Standing::Active => NodeState::Active,
            Standing::Draining => NodeState::Draining,
            Standing::Disabled => NodeState::Disabled,
            Standing::Failed => NodeState::Failed,
        };
        let nodes = pool.pool.standings();
        Some(
            nodes
                .map(|(label, standing)| PoolNode { label: Arc::clone(label), state: state(standing) })
                .collect(),
        )
    }

    fn pool_is_full(&self, pool: &[u8]) -> Option<bool> {
        let view = self.client.worker.view();
        Some(named_object(&view.pools, pool)?.pool.is_full(self.client.worker.recent()))
    }

    fn resource(&self, name: &[u8]) -> Option<(Arc<[u8]>, i64)> {
        let view = self.client.worker.view();
        let file = named_object(&view.resources, name)?;
        let age = self.client.worker.now().since(file.since);
        let changed = self.now().saturating_sub(age).as_secs();
        Some((Arc::clone(&file.bytes), i64::try_from(changed).unwrap_or(i64::MAX)))
    }

    fn log(&mut self, level: Level, message: &[u8]) {
        lines::log(self, level, message);
    }

    fn warn(&mut self, tag: &'static str, message: &[u8]) {
        // Not one of its lines: it is the traffic manager that speaks.
        if let Some(held_back) = self.rule.warnings.admit(self.client.worker.recent()) {
            let (server, rule) = (self.exchange.server.name(), self.rule.program.name());
            let message = process::printable(message);
            tracing::warn!(event = tag, virtual_server = %server, rule, held_back, "{message}");
        }
    }

    fn event(&mut self, id: &[u8], message: &[u8]) {
        lines::event(self, id, message);
    }
}
