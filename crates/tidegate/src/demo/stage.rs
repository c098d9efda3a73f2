//! What the demo knows of itself: the application, what visitors and Tidegate report, and what happened.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::Duration,
};

use tidegate_proxy::NodeStatus;

use super::{
    documents::POOL,
    load::Seen,
    nodes::Application,
    script::Action,
    view::{NodeRow, Picture},
};

/// Events that are remembered.
const MAX_EVENTS: usize = 200;

/// The demo's present.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The application.
    application: Application,
    /// Addresses of the service, plain and TLS.
    pub(crate) addresses: Vec<String>,
    /// What the visitors saw until the last look.
    pub(crate) seen: Seen,
    status: BTreeMap<SocketAddr, NodeStatus>,
    elapsed: Duration,
    rate: f64,
    events: VecDeque<String>,
}

impl Stage {
    /// Before the first visitor.
    pub(crate) fn new(application: Application, addresses: Vec<String>) -> Self {
        Self {
            application,
            addresses,
            seen: Seen::default(),
            status: BTreeMap::new(),
            elapsed: Duration::ZERO,
            rate: 0.0,
            events: VecDeque::new(),
        }
    }

    /// Remembers an event for the picture.
    pub(crate) fn happened(&mut self, text: String) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(text);
    }

    /// Does what the spectator asked; the sentence says what was done.
    pub(crate) async fn act(&mut self, action: Action) -> String {
        match action {
            Action::ScaleUp => match self.application.scale_up().await {
                Ok(text) => text,
                Err(error) => format!("no further node could start: {error}"),
            },
            Action::Drain => self.application.drain(),
            Action::Kill => self.application.kill().await,
            Action::Restore => self.application.restore(),
            Action::Quit => "the end".to_owned(),
        }
    }

    /// Takes in what was seen since the last look. The sentences say which nodes changed their state.
    pub(crate) fn look(&mut self, seen: Seen, status: Vec<NodeStatus>, elapsed: Duration) -> Vec<String> {
        let passed = elapsed.saturating_sub(self.elapsed).as_secs_f64();
        if passed > 0.0 {
            self.rate = seen.requests.saturating_sub(self.seen.requests) as f64 / passed;
        }
        let status: BTreeMap<SocketAddr, NodeStatus> = status
            .into_iter()
            .filter(|node| node.pool.as_str() == POOL)
            .map(|node| (node.address, node))
            .collect();
        let mut changes = Vec::new();
        for node in &self.application.nodes {
            let before = self.status.get(&node.address).map(|node| node.state);
            let now = status.get(&node.address).map(|node| node.state);
            if before != now {
                changes.push(format!(
                    "demo: node-{} in the pool: {} -> {}",
                    node.number,
                    before.unwrap_or("absent"),
                    now.unwrap_or("absent")
                ));
            }
        }
        if seen.failed > self.seen.failed {
            changes.push(format!(
                "demo: {} requests failed, the last with: {}",
                seen.failed - self.seen.failed,
                seen.last_failure.as_deref().unwrap_or("no reason")
            ));
        }
        self.seen = seen;
        self.status = status;
        self.elapsed = elapsed;
        changes
    }

    /// Who listens where, for matching log lines with nodes.
    pub(crate) fn node_addresses(&self) -> Vec<String> {
        self.application
            .nodes
            .iter()
            .map(|node| format!("node-{} is {}", node.number, node.address))
            .collect()
    }

    /// The picture of the last look.
    pub(crate) fn picture(&self) -> Picture {
        let nodes = self
            .application
            .nodes
            .iter()
            .map(|node| {
                let name = format!("node-{}", node.number);
                let sessions = self.seen.sessions_of(&name);
                let status = self.status.get(&node.address);
                NodeRow {
                    address: node.address.to_string(),
                    fate: node.fate.to_string(),
                    state: status.map_or("absent", |status| status.state).to_owned(),
                    in_flight: status.map_or(0, |status| status.in_flight),
                    requests: node.answered.load(Ordering::Relaxed),
                    failures: status.map_or(0, |status| status.failures),
                    response_time: status.and_then(|status| status.response_time).unwrap_or_default(),
                    sessions,
                    name,
                }
            })
            .collect();
        Picture {
            elapsed: self.elapsed,
            services: self.addresses.clone(),
            nodes,
            requests: self.seen.requests,
            rate: self.rate,
            failed: self.seen.failed,
            sessions: self.seen.sessions.len(),
            moved: self.seen.moved,
            median: self.seen.latency(0.5),
            tail: self.seen.latency(0.99),
            events: self.events.iter().cloned().collect(),
        }
    }

    /// The last words.
    pub(crate) fn summary(&self) -> String {
        let seen = &self.seen;
        let by_node: Vec<String> =
            seen.by_node.iter().map(|(node, requests)| format!("{node} {requests}")).collect();
        let mut summary = format!(
            "demo: {} requests, {} failed; {} sessions, {} moved to another node; answered by {}",
            seen.requests,
            seen.failed,
            seen.sessions.len(),
            seen.moved,
            if by_node.is_empty() { "nobody".to_owned() } else { by_node.join(", ") }
        );
        if let Some(failure) = &seen.last_failure {
            // Writing to a string cannot fail.
            _ = write!(summary, "\ndemo: the last failure was: {failure}");
        }
        summary
    }
}
