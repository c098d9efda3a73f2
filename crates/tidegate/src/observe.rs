//! What the REST interface shows of what runs: pools and virtual servers of the configuration that serves, with
//! the states of their nodes, and statistics; and what is shown beside the tree of the vTM: nodes, events, explanations.

mod shown;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value as Json};
use tidegate_admin::{Coming, Group, NoCounters, Observe, PoolState, Question, RunningState, ServerState};
use tidegate_model::{Configuration, pool::NodeState, virtual_server::DefaultPool};
use tidegate_proxy::{NodeStatus, Proxy};
use tidegate_telemetry::{
    events,
    observation::{Node, Observation},
    statistics::{self, Value},
};
use tokio::sync::{Semaphore, watch};

use crate::watching::Watching;

/// Looks at the data path and the configuration that serves.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) active: watch::Receiver<Option<Arc<Configuration>>>,
    pub(crate) watching: Arc<Watching>,
}

/// What becomes of an object of statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Its counters are shown.
    Yes,
    /// It is listed and has none.
    Empty,
    /// As if it were not there.
    No,
}

impl Observe for Observer {
    fn groups(&self) -> Vec<Group> {
        let group = |group: &statistics::Group| Group { path: group.path, has_objects: group.per_object };
        statistics::groups().iter().map(group).collect()
    }

    fn objects<'a>(&'a self, group: &'a str) -> Coming<'a, Vec<String>> {
        Box::pin(async move {
            let observation = self.watching.observe().await;
            let configuration = self.active.borrow().clone().unwrap_or_default();
            let mut names = statistics::objects(&observation, group);
            if group == "virtual_servers" {
                names.retain(|name| server(&observation, &configuration, name) != Shown::No);
            }
            names
        })
    }

    fn counters<'a>(
        &'a self,
        group: &'a str,
        object: &'a str,
    ) -> Coming<'a, Option<Result<Map<String, Json>, NoCounters>>> {
        Box::pin(async move {
            let observation = self.watching.observe().await;
            let configuration = self.active.borrow().clone().unwrap_or_default();
            counters(&observation, &configuration, group, object)
        })
    }

    fn running(&self) -> RunningState {
        match self.active.borrow().clone() {
            Some(configuration) => {
                state(&configuration, self.proxy.nodes(), |server| self.watching.throughput(server))
            }
            None => RunningState::default(),
        }
    }

    fn nodes(&self, pool: &str) -> Option<Json> {
        self.proxy.pool_now(pool).map(|pool| shown::pool(&pool))
    }

    fn events(&self, after: u64) -> (Json, u64) {
        (events::recent(after).iter().map(shown::event).collect(), events::seen())
    }

    fn explain(&self, question: Question) -> Coming<'_, Result<Json, String>> {
        Box::pin(async move {
            // Never closed.
            let _place = EXPLAINED.acquire().await.map_err(|error| error.to_string())?;
            let proxy = Arc::clone(&self.proxy);
            let work = move || {
                let explanation = proxy.explain(&shown::question(question), fastrand::u64(..))?;
                Ok(shown::explanation(&explanation))
            };
            tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
        })
    }
}

/// Requests that are explained at a time: rules may take long.
static EXPLAINED: Semaphore = Semaphore::const_new(2);

fn counters(
    observation: &Observation,
    configuration: &Configuration,
    group: &str,
    object: &str,
) -> Option<Result<Map<String, Json>, NoCounters>> {
    let counters = statistics::counters(observation, group, object)?;
    let shown = match group {
        "virtual_servers" => server(observation, configuration, object),
        "nodes/node" | "nodes/node_inet46" | "nodes/per_pool_node" => node(observation, object),
        _ => Shown::Yes,
    };
    let json = |value| match value {
        Value::Number(number) => Json::from(number),
        Value::Word(word) => Json::from(word),
    };
    match shown {
        Shown::Yes => Some(Ok(counters.into_iter().map(|(name, value)| (name, json(value))).collect())),
        Shown::Empty => Some(Err(NoCounters)),
        Shown::No => None,
    }
}

/// One that is disabled is not there; one that is enabled and cannot serve has no counters.
fn server(observation: &Observation, configuration: &Configuration, name: &str) -> Shown {
    let observed = observation.virtual_servers.iter().find(|server| server.name.as_str() == name);
    match observed {
        Some(server) if server.serving => Shown::Yes,
        _ if configuration.virtual_servers.get(name).is_some_and(|server| server.enabled) => Shown::Empty,
        _ => Shown::No,
    }
}

/// A node that is disabled, in every pool if it is asked for as that of all pools, has no counters.
fn node(observation: &Observation, object: &str) -> Shown {
    let of_all = object.parse().ok();
    let mut same = observation.pools.iter().flat_map(|pool| {
        let of_pool = object
            .strip_prefix(pool.name.as_str())
            .and_then(|rest| rest.strip_prefix(':')?.parse().ok())
            .or(of_all);
        pool.nodes.iter().filter(move |node| Some(node.address) == of_pool)
    });
    let is_disabled = |node: &Node| node.state == NodeState::Disabled;
    if same.all(is_disabled) { Shown::Empty } else { Shown::Yes }
}

fn state(
    configuration: &Configuration,
    nodes: Vec<NodeStatus>,
    throughput: impl Fn(&str) -> u64,
) -> RunningState {
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
                throughput: throughput(server.name.as_str()),
            })
            .collect(),
        failed_nodes: failed.into_iter().collect(),
    }
}
