//! `pools`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tidegate_model::{
    Configuration, MonitorName, PersistenceName, PluginName, Pool, PoolName,
    pool::{Algorithm, NodeDelete, NodeEntry, NodeHost, NodeState, ServiceDiscovery},
    virtual_server::ListenHost,
};

use super::{Reader, cell_number, cell_text, host_and_port, readers, tls};
use crate::{
    coerce::Row,
    diagnostic::{Report, quote},
    merge::Merged,
};

/// How long a node that discovery no longer names goes on with what it has, where the documents are silent.
pub const DISCOVERED_NODE_DRAIN: Duration = Duration::from_mins(1);
/// Plugins that are part of Tidegate.
pub const BUILT_IN_PLUGINS: [&str; 2] = ["BuiltIn-DNS_Resolver", "BuiltIn-DNS_Stateless"];

/// Builds the pools and cuts failure pools that lead back to where they started.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    let mut pools: Vec<(Reader<'_>, Pool)> = Vec::new();
    for reader in readers(merged, "pools") {
        if !takes_built_in_name(&reader, report) {
            pools.push((reader, pool(&reader, merged, configuration, report)));
        }
    }
    cut_loops(&mut pools, report);
    configuration.pools = pools.into_iter().map(|(_, pool)| (pool.name.clone(), Arc::new(pool))).collect();
}

/// `discard` is the built-in pool that closes connections: another of that name would never be meant.
fn takes_built_in_name(reader: &Reader<'_>, report: &mut Report<'_>) -> bool {
    let taken = reader.name() == "discard";
    if taken {
        let message = "the name “discard” is that of the built-in pool, which closes connections; this pool is left \
                       out, give it another name";
        reader.object_fault(report, message.to_owned());
    }
    taken
}

fn pool(
    reader: &Reader<'_>,
    merged: &Merged,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Pool {
    let discovery = discovery(reader, configuration, report);
    Pool {
        name: reader.name().into(),
        nodes: nodes(reader, report),
        node_delete: node_delete(reader, discovery.is_some()),
        discovery,
        algorithm: algorithm(&reader.text("load_balancing", "algorithm")),
        priority_nodes: reader
            .flag("load_balancing", "priority_enabled")
            .then(|| reader.number("load_balancing", "priority_nodes")),
        failure_pool: failure_pool(reader, merged, report),
        persistence: persistence(reader, configuration, report),
        bandwidth: reader.bandwidth(configuration, "data goes to its nodes without a limit", report),
        monitors: monitors(reader, merged, configuration, report),
        passive_monitoring: reader.flag("basic", "passive_monitoring"),
        max_connection_attempts: reader.limit("basic", "max_connection_attempts"),
        max_timed_out_connection_attempts: reader.limit("basic", "max_timed_out_connection_attempts"),
        node_connection_attempts: reader.number("basic", "node_connection_attempts"),
        retry_fail_time: reader.seconds("node", "retry_fail_time"),
        close_on_death: reader.flag("node", "close_on_death"),
        max_idle_connections_pernode: reader.number("basic", "max_idle_connections_pernode"),
        node_close_with_rst: reader.flag("basic", "node_close_with_rst"),
        max_connect_time: reader.seconds("connection", "max_connect_time"),
        max_reply_time: reader.seconds("connection", "max_reply_time"),
        max_connections_per_node: reader.limit("connection", "max_connections_per_node"),
        max_transactions_per_node: reader.limit("connection", "max_transactions_per_node"),
        max_queue_size: reader.limit("connection", "max_queue_size"),
        queue_timeout: reader.seconds("connection", "queue_timeout"),
        keepalive: reader.flag("http", "keepalive"),
        keepalive_non_idempotent: reader.flag("http", "keepalive_non_idempotent"),
        nagle: reader.flag("tcp", "nagle"),
        tls: tls::node(reader, configuration, report),
    }
}

fn algorithm(word: &str) -> Algorithm {
    match word {
        "weighted_round_robin" => Algorithm::WeightedRoundRobin,
        "least_connections" => Algorithm::LeastConnections,
        "weighted_least_connections" => Algorithm::WeightedLeastConnections,
        "fastest_response_time" => Algorithm::FastestResponseTime,
        "perceptive" => Algorithm::Perceptive,
        "random" => Algorithm::Random,
        _ => Algorithm::RoundRobin,
    }
}

fn nodes(reader: &Reader<'_>, report: &mut Report<'_>) -> Vec<NodeEntry> {
    let mut nodes: Vec<NodeEntry> = Vec::new();
    let mut seen = HashSet::new();
    for row in reader.rows("basic", "nodes_table") {
        let Some(node) = node(reader, row, report) else { continue };
        if seen.insert(format!("{:?} {}", node.host, node.port)) {
            nodes.push(node);
            continue;
        }
        let message =
            format!("the node {} is listed twice; the first row counts", quote(&cell_text(row, "node")));
        reader.fault(report, "basic", "nodes_table", message, None);
    }
    nodes
}

fn node(reader: &Reader<'_>, row: &Row, report: &mut Report<'_>) -> Option<NodeEntry> {
    let written = cell_text(row, "node");
    let Some((host, port)) = host_and_port(&written) else {
        let message = format!("{} is not a node; the row is left out", quote(&written));
        let hint = Some("write host:port, an IPv6 address in brackets".to_owned());
        reader.fault(report, "basic", "nodes_table", message, hint);
        return None;
    };
    let source = cell_text(row, "source_ip");
    let source_ip = source.parse().ok();
    if source_ip.is_none() && !source.is_empty() {
        let message = format!("the source_ip {} is not an address; the system chooses one", quote(&source));
        reader.fault(report, "basic", "nodes_table", message, None);
    }
    Some(NodeEntry {
        host: match host {
            ListenHost::Address(address) => NodeHost::Address(address),
            ListenHost::Name(name) => NodeHost::Name(name),
        },
        port,
        state: match &*cell_text(row, "state") {
            "draining" => NodeState::Draining,
            "disabled" => NodeState::Disabled,
            _ => NodeState::Active,
        },
        weight: cell_number(row, "weight").unwrap_or(1),
        priority: cell_number(row, "priority").unwrap_or(1),
        source_ip,
    })
}

fn discovery(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Option<ServiceDiscovery> {
    if !reader.flag("service_discovery", "enabled") {
        return None;
    }
    let plugin = reader.text("service_discovery", "plugin");
    if !BUILT_IN_PLUGINS.contains(&&*plugin) && !configuration.plugins.contains_key(&*plugin) {
        let known = configuration.plugins.keys().map(PluginName::as_str).chain(BUILT_IN_PLUGINS);
        let then = "no nodes are discovered";
        let at = ("service_discovery", "plugin");
        reader.missing(report, at, "servicediscovery", &plugin, (known, then));
        return None;
    }
    Some(ServiceDiscovery {
        plugin: (&*plugin).into(),
        arguments: reader.text("service_discovery", "plugin_args"),
        interval: reader
            .is_set("service_discovery", "interval")
            .then(|| reader.seconds("service_discovery", "interval")),
        timeout: reader.time_limit("service_discovery", "timeout"),
    })
}

fn node_delete(reader: &Reader<'_>, discovered: bool) -> NodeDelete {
    let written = reader.time_limit("basic", "node_drain_to_delete_timeout");
    match (reader.is_set("basic", "node_delete_behavior"), &*reader.text("basic", "node_delete_behavior")) {
        (true, "drain") => NodeDelete::Drain { limit: written },
        (true, _) => NodeDelete::Immediate,
        (false, _) if !discovered => NodeDelete::Immediate,
        (false, _) if reader.is_set("basic", "node_drain_to_delete_timeout") => {
            NodeDelete::Drain { limit: written }
        }
        (false, _) => NodeDelete::Drain { limit: Some(DISCOVERED_NODE_DRAIN) },
    }
}

fn persistence(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Option<PersistenceName> {
    let name = reader.some_text("basic", "persistence_class")?;
    if configuration.persistence.contains_key(&*name) {
        return Some((&*name).into());
    }
    let known = configuration.persistence.keys().map(PersistenceName::as_str);
    let then = "sessions do not stick";
    reader.missing(report, ("basic", "persistence_class"), "persistence", &name, (known, then));
    None
}

fn monitors(
    reader: &Reader<'_>,
    merged: &Merged,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Vec<MonitorName> {
    let mut monitors: Vec<MonitorName> = Vec::new();
    let mut seen = HashSet::new();
    for name in reader.list("basic", "monitors") {
        if configuration.monitors.contains_key(&**name) {
            if seen.insert(name) {
                monitors.push((&**name).into());
            }
        } else if merged.has("monitors", name) && !merged.written("monitors", name) {
            let message =
                format!("the monitor {} cannot run: its program is missing; it is not used", quote(name));
            let hint = Some("put the program into monitor_scripts".to_owned());
            reader.fault(report, "basic", "monitors", message, hint);
        } else {
            let known = configuration.monitors.keys().map(MonitorName::as_str);
            reader.missing(report, ("basic", "monitors"), "monitors", name, (known, "it is not used"));
        }
    }
    monitors
}

fn failure_pool(reader: &Reader<'_>, merged: &Merged, report: &mut Report<'_>) -> Option<PoolName> {
    let name = reader.some_text("basic", "failure_pool")?;
    if merged.has("pools", &name) {
        return Some((&*name).into());
    }
    let known = merged.of("pools").map(|(name, _)| name);
    let then = "there is no failure pool";
    reader.missing(report, ("basic", "failure_pool"), "pools", &name, (known, then));
    None
}

/// Cuts the link that closes a loop. Walked in the order of names, so equal documents are cut alike.
fn cut_loops(pools: &mut [(Reader<'_>, Pool)], report: &mut Report<'_>) {
    let place = |pools: &[(Reader<'_>, Pool)], name: &PoolName| {
        pools.binary_search_by(|(_, pool)| pool.name.cmp(name)).ok()
    };
    // 0: not walked yet, otherwise the walk that came by; each pool is walked once.
    let mut walked = vec![0_usize; pools.len()];
    for start in 0..pools.len() {
        let (walk, mut at) = (start + 1, start);
        while walked[at] == 0 {
            walked[at] = walk;
            let next = pools[at].1.failure_pool.as_ref().and_then(|name| place(pools, name));
            let Some(next) = next else { break };
            if walked[next] == walk {
                let (reader, pool) = &mut pools[at];
                let name = pool.failure_pool.take();
                let name = name.as_ref().map_or("", PoolName::as_str);
                let message =
                    format!("the failure pool {} leads back to this pool; it is not used here", quote(name));
                reader.fault(report, "basic", "failure_pool", message, None);
                break;
            }
            at = next;
        }
    }
}
