//! Read-out for people: live view, status pages, logs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tidegate_model::{MonitorName, pool::NodeState};

use crate::{
    node::Totals,
    pool::{Member, Pool},
};

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
    /// A word or two: `working`, `draining`, `disabled`, or one of [`crate::Node::status`].
    pub status: &'static str,
    /// Whether requests and monitors say that it works.
    pub alive: bool,
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
    /// Monitors that fail it, those of scope `poolwide` included.
    pub failing_monitors: Vec<MonitorName>,
}

impl Pool {
    /// Every node in slot order.
    pub fn nodes_status(&self) -> Vec<NodeView> {
        self.members.iter().map(view).collect()
    }
}

fn view(member: &Member) -> NodeView {
    let node = &member.node;
    let status = match member.state {
        _ if node.is_gone() || node.is_leaving() => node.status(),
        NodeState::Disabled => "disabled",
        NodeState::Draining if node.health().in_rotation() => "draining",
        NodeState::Draining | NodeState::Active => node.status(),
    };
    NodeView {
        id: node.id(),
        address: node.address(),
        label: node.label().clone(),
        state: member.state,
        leaving: member.leaving.is_some(),
        status,
        alive: node.health().in_rotation(),
        weight: member.weight,
        priority: member.priority,
        in_flight: node.in_flight(),
        connections: node.connections(),
        idle_connections: node.idle_connections(),
        response_time: node.response_time(),
        totals: node.totals(),
        failing_monitors: node.failing_monitors(),
    }
}
