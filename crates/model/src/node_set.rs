//! Who the nodes of a pool are now, as discovery found them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// A complete list of nodes. Order carries no meaning, and neither does repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet {
    /// Nodes by address; the address and port are a node's whole identity.
    pub nodes: BTreeMap<SocketAddr, DiscoveredNode>,
}

/// What discovery says of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredNode {
    /// The source asks for no new sessions on it.
    pub draining: bool,
    /// Weight 1–100, where the source gives one.
    pub weight: Option<u32>,
    /// Priority (higher is preferred), where the source gives one.
    pub priority: Option<u32>,
    /// The host name of a nodes table that this is an address of. Names that discovery met on its way, such as targets of
    /// SRV records, are none.
    pub name: Option<Arc<str>>,
}

impl NodeSet {
    /// A set of active nodes without weights.
    pub fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { nodes: addresses.into_iter().map(|address| (address, DiscoveredNode::default())).collect() }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
