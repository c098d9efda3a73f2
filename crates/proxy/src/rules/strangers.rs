//! Nodes that are in no pool: `pool.use` with an address sends the request there with a pool's settings. Each such node
//! gets a pool of its own beside the snapshot, kept for the requests that follow.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, sync::Arc};

use tidegate_model::PoolName;
use tidegate_pool::{NodeSpec, Pool, PoolContext, SessionKey};

use crate::{snapshot::RunningPool, worker::Worker};

/// Most of them that a worker keeps; with one more, all are forgotten.
const MOST: usize = 256;

/// The pools of strangers, by the pool that lends its settings.
#[derive(Debug, Default)]
pub(crate) struct Strangers(RefCell<HashMap<(PoolName, SocketAddr), Arc<RunningPool>>>);

impl Strangers {
    /// `pool` if the node is in it, otherwise one with its settings and this node alone.
    pub(super) fn pool_for(
        &self,
        worker: &Worker,
        pool: Arc<RunningPool>,
        node: SocketAddr,
    ) -> Arc<RunningPool> {
        if pool.pool.find(&node.to_string()).is_some() {
            return pool;
        }
        let mut kept = self.0.borrow_mut();
        let key = (pool.settings.name.clone(), node);
        if let Some(known) = kept.get(&key)
            && Arc::ptr_eq(&known.settings, &pool.settings)
        {
            return Arc::clone(known);
        }
        if kept.len() >= MOST {
            kept.clear();
        }
        let global = &worker.view().global;
        let alone = Arc::new(RunningPool {
            pool: Pool::build(
                Arc::clone(&pool.settings),
                None,
                &[NodeSpec::of(node)],
                None,
                &PoolContext::new(worker.now(), worker.random(), SessionKey::new([0; 32]), global),
            ),
            settings: Arc::clone(&pool.settings),
            tls: pool.tls.clone(),
            failure_pool: None,
            queue: Arc::default(),
            counters: Arc::clone(&pool.counters),
            is_stranger: true,
        });
        alone.pool.set_releases(Arc::clone(&alone.queue) as _);
        kept.insert(key, Arc::clone(&alone));
        alone
    }
}
