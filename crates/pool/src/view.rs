//! Read-out for people: live view, status pages, logs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tidegate_model::{MonitorName, pool::NodeState};

use crate::{node::Totals, pool::Pool};

/// A node as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// [`crate::Node::id`].
    pub id: u32,
    /// Address.
    pub address: SocketAddr,
    /// As people see it.
    pub label: Arc<str>,
    /// What the configuration says.
    pub state: NodeState,
    /// Leaves the pool.
    pub leaving: bool,
    /// One word: `working`, `failed`, `draining`, …
    pub status: &'static str,
    /// Weight.
    pub weight: u32,
    /// Priority.
    pub priority: u32,
    /// Requests in progress.
    pub in_flight: u32,
    /// Open connections.
    pub connections: u32,
    /// Idle connections.
    pub idle_connections: u32,
    /// Recent average.
    pub response_time: Option<Duration>,
    /// Counters.
    pub totals: Totals,
    /// Monitors that fail it.
    pub failing_monitors: Vec<MonitorName>,
}

impl Pool {
    /// Every node in slot order.
    pub fn nodes_status(&self) -> Vec<NodeView> {
        todo!()
    }
}
