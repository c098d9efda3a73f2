//! The seam to discovery: pools in, node sets out.
//!
//! What a source has to say besides nodes (errors, warnings, being well again) goes to the log from here.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
};

use tidegate_discovery::{Discovery, DiscoveryOptions, Event, NamedNode, PoolSource, Source, SourceStatus};
use tidegate_model::{
    Configuration, NodeSet, Pool, PoolName,
    pool::{NodeHost, NodeState},
};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::{rule_names::RuleNames, settings::Settings};

/// Tells discovery which pools to follow.
#[derive(Debug)]
pub(crate) struct Following {
    discovery: Arc<Discovery>,
    /// Pools whose arguments are faulty, with the fault, so that it is told once.
    faulty: Mutex<BTreeSet<(PoolName, String)>>,
}

/// What discovery finds.
#[derive(Debug)]
pub(crate) struct Followed {
    events: mpsc::Receiver<Event>,
    /// The last status of each pool that was told.
    told: BTreeMap<PoolName, Told>,
}

/// What the log was told of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    error: Option<String>,
    warning: Option<String>,
}

/// Starts discovery.
pub(crate) fn start(settings: &Settings, home: &Path) -> Result<(Following, Followed), String> {
    let options = DiscoveryOptions {
        resolv_conf: settings.resolv_conf.clone(),
        hosts: settings.hosts.clone(),
        state_dir: settings.state_dir.clone(),
        host_network: settings.in_kubernetes,
        ..DiscoveryOptions::new(home)
    };
    let (discovery, events) = Discovery::start(options).map_err(|error| error.to_string())?;
    let discovery = Arc::new(discovery);
    Ok((Following { discovery, faulty: Mutex::default() }, Followed { events, told: BTreeMap::new() }))
}

impl Following {
    /// Answers rules' questions to the name servers.
    pub(crate) fn lookup(&self) -> RuleNames {
        RuleNames(self.discovery.resolver())
    }

    /// What it follows pools with, for those who watch.
    pub(crate) fn discovery(&self) -> &Arc<Discovery> {
        &self.discovery
    }

    /// Follows the pools of `configuration` and no others.
    pub(crate) fn follow(&self, configuration: &Configuration) {
        let mut sources = Vec::new();
        let mut faulty = BTreeSet::new();
        for (name, pool) in &configuration.pools {
            match source_of(pool) {
                Ok(None) => {}
                Ok(Some(source)) => sources.push(PoolSource { pool: name.clone(), source }),
                Err(fault) => drop(faulty.insert((name.clone(), fault))),
            }
        }
        let mut known = self.faulty.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (pool, fault) in faulty.difference(&known) {
            error!(%pool, "nodes cannot be discovered: {fault}");
        }
        *known = faulty;
        drop(known);
        self.discovery.update(sources, &configuration.plugins, &configuration.extra_files);
    }
}

/// Where the pool's nodes come from besides the addresses of its table. The error says what is wrong with the
/// plugin's arguments.
pub(crate) fn source_of(pool: &Pool) -> Result<Option<Source>, String> {
    if let Some(discovery) = &pool.discovery {
        return Source::parse(discovery).map(Some).map_err(|error| error.to_string());
    }
    let named: Vec<NamedNode> = pool
        .nodes
        .iter()
        .filter_map(|entry| match &entry.host {
            NodeHost::Address(_) => None,
            NodeHost::Name(_) if entry.state == NodeState::Disabled => None,
            NodeHost::Name(host) => Some(NamedNode {
                host: host.clone(),
                port: entry.port,
                draining: entry.state == NodeState::Draining,
                weight: Some(entry.weight),
                priority: Some(entry.priority),
            }),
        })
        .collect();
    Ok((!named.is_empty()).then_some(Source::Names(named)))
}

impl Followed {
    /// Waits for news and takes all that wait, at most `limit`.
    pub(crate) async fn next(&mut self, limit: usize) -> BTreeMap<PoolName, NodeSet> {
        let mut found = BTreeMap::new();
        let mut news = Vec::new();
        while found.is_empty() {
            if self.events.recv_many(&mut news, limit).await == 0 {
                // Discovery ends with the process only.
                return std::future::pending().await;
            }
            for event in news.drain(..) {
                match event {
                    Event::Nodes { pool, nodes, fresh } => {
                        if !fresh {
                            info!(%pool, "{} nodes as they were known before the restart", nodes.len());
                        }
                        found.insert(pool, nodes);
                    }
                    Event::Status { pool, status } => self.tell(&pool, &status),
                }
            }
        }
        found
    }

    /// One line per change of what is wrong.
    fn tell(&mut self, pool: &PoolName, status: &SourceStatus) {
        let now = Told {
            error: status.last_error.as_deref().map(str::to_owned),
            warning: status.warning.as_deref().map(str::to_owned),
        };
        let before = self.told.insert(pool.clone(), now.clone()).unwrap_or_default();
        let question = status.question.as_deref().unwrap_or_default();
        match (&before.error, &now.error) {
            (_, Some(error)) if before.error != now.error => {
                warn!(event = "noderesolvefailure", %pool, state = %status.state, question, nodes = status.nodes, "discovery: {error}");
            }
            (Some(_), None) => info!(%pool, question, nodes = status.nodes, "discovery works again"),
            _ => {}
        }
        if let Some(warning) = &now.warning
            && before.warning != now.warning
        {
            warn!(%pool, question, "discovery: {warning}");
        }
    }
}
