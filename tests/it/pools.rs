//! Which node gets a request, over which connection, and what becomes of those that cannot be served at once.

mod changes;
mod choice;
mod connections;
mod failures;
mod queue;

use std::{collections::BTreeMap, net::SocketAddr};

use tidegate_harness::{Node, Value, json};

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(Node::start(&format!("n{number}")).await);
    }
    nodes
}

fn addresses(nodes: &[Node]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

/// How often each label stands in a list.
fn shares(labels: &[String]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for label in labels {
        *shares.entry(label.as_str()).or_default() += 1;
    }
    shares
}

fn algorithm(name: &str) -> Value {
    json!({ "load_balancing": { "algorithm": name } })
}
