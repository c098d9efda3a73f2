//! What `/api/tidegate` shows, as JSON: the nodes of a pool, events, explanations of requests.

use std::{
    net::{IpAddr, SocketAddr},
    time::UNIX_EPOCH,
};

use serde_json::{Value as Json, json};
use tidegate_admin::Question;
use tidegate_model::{
    MonitorName,
    pool::{Algorithm, NodeState},
};
use tidegate_proxy::explain::{self, At, Candidate, Explanation, Origin, PoolNow, PoolOutcome};
use tidegate_telemetry::{events::Event, logging::timestamp};

/// Port that a described client has.
const CLIENT_PORT: u16 = 50_000;

/// A pool and its nodes.
pub(super) fn pool(pool: &PoolNow) -> Json {
    let nodes = pool.nodes.iter().map(|(candidate, origin)| {
        let mut shown = node(candidate);
        shown["origin"] = origin_word(*origin).into();
        shown
    });
    json!({
        "pool": pool.pool.name.as_str(),
        "algorithm": algorithm_word(pool.pool.algorithm),
        "discovery": pool.pool.discovery.as_ref().map(|discovery| discovery.plugin.as_str()),
        "sessions": pool.sessions,
        "waiting": pool.waiting,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn node(candidate: &Candidate) -> Json {
    let node = &candidate.node;
    json!({
        "node": &*node.label,
        "state": state_word(node.state),
        "health": node.status,
        "eligible": candidate.eligible,
        "reason": candidate.reason,
        "weight": node.weight,
        "priority": node.priority,
        "requests_in_flight": node.in_flight,
        "connections": node.connections,
        "idle_connections": node.idle_connections,
        "requests": node.totals.requests,
        "failures": node.totals.failures.iter().sum::<u64>(),
        "times_failed": node.totals.failed,
        "response_time_ms": node.response_time.map(|time| time.as_secs_f64() * 1000.0),
        "failing_monitors": node.failing_monitors.iter().map(MonitorName::as_str).collect::<Vec<_>>(),
    })
}

/// An event of the log.
pub(super) fn event(event: &Event) -> Json {
    json!({
        "number": event.number,
        "time": timestamp(event.at.duration_since(UNIX_EPOCH).unwrap_or_default()),
        "level": event.level.to_string(),
        "tag": event.tag,
        "object": event.object,
        "text": event.text,
    })
}

/// A request as REST hears it to one the data path can be asked about.
pub(super) fn question(asked: Question) -> explain::Question {
    let ip: Result<IpAddr, _> = asked.host.trim_matches(['[', ']']).parse();
    let at = match (asked.virtual_server, ip) {
        (Some(name), _) => At::Server(name),
        (None, Ok(ip)) => At::Address(SocketAddr::new(ip, asked.port)),
        (None, Err(_)) => At::Port(asked.port),
    };
    explain::Question {
        method: asked.method,
        target: asked.target,
        host: asked.authority,
        headers: asked.headers,
        client: SocketAddr::new(asked.client, CLIENT_PORT),
        secure: asked.secure,
        at,
    }
}

/// What would become of a request.
pub(super) fn explanation(found: &Explanation) -> Json {
    let rules = found.rules.iter().map(|rule| {
        json!({ "rule": rule.name, "phase": rule.phase, "state": rule.state, "outcome": rule.outcome })
    });
    json!({
        "virtual_server": found.server.name.as_str(),
        "listens": found.listens.to_string(),
        "rules": rules.collect::<Vec<_>>(),
        "pools": found.pools.iter().map(pool_outcome).collect::<Vec<_>>(),
        "node": found.node.as_deref(),
        "verdict": found.verdict,
        "notes": found.notes,
    })
}

fn pool_outcome(outcome: &PoolOutcome) -> Json {
    json!({
        "pool": outcome.pool.name.as_str(),
        "because": outcome.because,
        "algorithm": algorithm_word(outcome.pool.algorithm),
        "persistence": outcome.persistence.as_ref().map(|(name, kind)| json!({ "class": name, "type": kind })),
        "session": outcome.session,
        "nodes": outcome.candidates.iter().map(node).collect::<Vec<_>>(),
        "outcome": outcome.outcome,
    })
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Table => "table",
        Origin::Discovery => "discovery",
        Origin::Both => "both",
        Origin::Gone => "leaving",
    }
}

fn state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Active => "active",
        NodeState::Draining => "draining",
        NodeState::Disabled => "disabled",
    }
}

fn algorithm_word(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RoundRobin => "round_robin",
        Algorithm::WeightedRoundRobin => "weighted_round_robin",
        Algorithm::LeastConnections => "least_connections",
        Algorithm::WeightedLeastConnections => "weighted_least_connections",
        Algorithm::FastestResponseTime => "fastest_response_time",
        Algorithm::Perceptive => "perceptive",
        Algorithm::Random => "random",
    }
}
