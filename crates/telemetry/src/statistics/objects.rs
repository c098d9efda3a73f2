//! Which objects each group has, and how they are named.

use std::collections::BTreeSet;

use crate::observation::{Node, Observation, Pool};

/// The objects of a group that has some, in the order of names. Empty for any other.
pub fn objects(observation: &Observation, path: &str) -> Vec<String> {
    match path {
        "virtual_servers" => {
            observation.virtual_servers.iter().map(|server| server.name.to_string()).collect()
        }
        "pools" => observation.pools.iter().map(|pool| pool.name.to_string()).collect(),
        "listen_ips" => observation.listen_addresses.iter().map(|address| address.ip.to_string()).collect(),
        "nodes/node" | "nodes/node_inet46" => {
            let nodes = observation.pools.iter().flat_map(|pool| &pool.nodes);
            let addresses: BTreeSet<_> = nodes.map(|node| node.address).collect();
            addresses.into_iter().map(|address| address.to_string()).collect()
        }
        "nodes/per_pool_node" => {
            let names = observation
                .pools
                .iter()
                .flat_map(|pool| pool.nodes.iter().map(move |node| per_pool_name(pool, node)));
            names.collect()
        }
        "rules" => observation.rules.iter().map(|rule| rule.name.to_string()).collect(),
        "connection_rate_limit" => observation.rates.iter().map(|rate| rate.name.clone()).collect(),
        "service_level_monitors" => {
            observation.service_levels.iter().map(|class| class.name.to_string()).collect()
        }
        "bandwidth" => observation.bandwidth.iter().map(|class| class.name.to_string()).collect(),
        "events" => observation.control.event_types.iter().map(|(name, _)| name.to_string()).collect(),
        "actions" => observation.control.actions.iter().map(|(name, _)| name.to_string()).collect(),
        "network_interface" => {
            observation.control.interfaces.iter().map(|interface| interface.name.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// A node of a pool: `pool:address:port`, an IPv6 address in brackets.
fn per_pool_name(pool: &Pool, node: &Node) -> String {
    format!("{}:{}", pool.name, node.address)
}
