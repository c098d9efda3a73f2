//! Read-out for people: live view, status pages, logs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tidegate_model::{Moment, MonitorName, pool::NodeState};

use crate::{
    choose::Slot,
    node::Totals,
    pool::{Member, Pool},
    roster::Roster,
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

/// What a node is to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes requests.
    Active,
    /// Takes requests of its sessions only: by configuration, or because it leaves the pool.
    Draining,
    /// Takes none by configuration.
    Disabled,
    /// Has failed, whatever else holds of it but `Disabled`.
    Failed,
}

impl Pool {
    /// Label and standing of every node that is in the pool, in slot order. A node that requests have failed stays
    /// `Failed` until one has found out that it works again.
    pub fn standings(&self) -> impl Iterator<Item = (&Arc<str>, Standing)> {
        self.members.iter().filter(|member| !member.node.is_gone()).map(|member| {
            let standing = match member.state {
                NodeState::Disabled => Standing::Disabled,
                _ if !member.node.health().in_rotation() => Standing::Failed,
                NodeState::Draining => Standing::Draining,
                NodeState::Active if member.leaving.is_some() => Standing::Draining,
                NodeState::Active => Standing::Active,
            };
            (member.node.label(), standing)
        })
    }

    /// Where the node of this label or address is in the pool. Leaving nodes are found too. O(n).
    pub fn find(&self, node: &str) -> Option<Slot> {
        let labelled = self.members.iter().position(|member| **member.node.label() == *node);
        let place = labelled.or_else(|| {
            let address: SocketAddr = node.parse().ok()?;
            self.members.iter().position(|member| member.node.address() == address)
        });
        place.and_then(|place| u32::try_from(place).ok()).map(Slot)
    }

    /// Whether a request without session would wait in the queue now: there are nodes that could serve it and all
    /// are at a limit.
    pub fn is_full(&self, now: Moment) -> bool {
        self.waits(&self.current_roster(now), now)
    }

    pub(crate) fn waits(&self, roster: &Roster, now: Moment) -> bool {
        let has_room = |slot: &u32| self.has_room(&self.members[*slot as usize].node);
        let tries = || {
            let is_due = |slot: &&u32| self.members[**slot as usize].node.usable(now);
            roster.next_try <= now && roster.resting.iter().filter(is_due).any(has_room)
        };
        !roster.ready.is_empty() && !roster.ready.iter().any(has_room) && !tries()
    }

    /// Every node in slot order.
    pub fn nodes_status(&self) -> Vec<NodeView> {
        self.members.iter().map(view).collect()
    }
}

pub(crate) fn view(member: &Member) -> NodeView {
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
