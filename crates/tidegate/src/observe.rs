//! What the REST interface shows of what runs: pools and virtual servers of the configuration that serves, with
//! the states of their nodes.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use tidegate_admin::{NoCounters, Observe, PoolState, RunningState, ServerState};
use tidegate_model::{Configuration, virtual_server::DefaultPool};
use tidegate_proxy::{NodeStatus, Proxy};
use tokio::sync::watch;

/// Looks at the data path and the configuration that serves.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) active: watch::Receiver<Option<Arc<Configuration>>>,
}

impl Observe for Observer {
    fn groups(&self) -> Vec<String> {
        Vec::new()
    }

    fn objects(&self, _: &str) -> Option<Vec<String>> {
        None
    }

    fn counters(&self, _: &str, _: &str) -> Option<Result<Map<String, Value>, NoCounters>> {
        None
    }

    fn running(&self) -> RunningState {
        match self.active.borrow().clone() {
            Some(configuration) => state(&configuration, self.proxy.nodes()),
            None => RunningState::default(),
        }
    }
}

fn state(configuration: &Configuration, nodes: Vec<NodeStatus>) -> RunningState {
    let mut pools: BTreeMap<String, PoolState> = configuration
        .pools
        .values()
        .map(|pool| {
            let name = pool.name.to_string();
            let failure_pool = pool.failure_pool.as_ref().map(ToString::to_string).unwrap_or_default();
            (name.clone(), PoolState { name, failure_pool, ..PoolState::default() })
        })
        .collect();
    let mut failed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes {
        let Some(pool) = pools.get_mut(node.pool.as_str()) else { continue };
        let address = node.address.to_string();
        match node.state {
            "failed" => failed.entry(address).or_default().push(pool.name.clone()),
            "disabled" => pool.disabled_nodes.push(address),
            "draining" | "leaving" => pool.draining_nodes.push(address),
            _ => pool.active_nodes.push(address),
        }
    }
    let servers = configuration.virtual_servers.values().filter(|server| server.enabled);
    RunningState {
        pools: pools.into_values().collect(),
        virtual_servers: servers
            .map(|server| ServerState {
                name: server.name.to_string(),
                pool: match &server.pool {
                    DefaultPool::Pool(pool) | DefaultPool::Missing(pool) => pool.to_string(),
                    DefaultPool::Discard => "discard".to_owned(),
                },
                port: server.port,
                throughput: 0,
            })
            .collect(),
        failed_nodes: failed.into_iter().collect(),
    }
}
