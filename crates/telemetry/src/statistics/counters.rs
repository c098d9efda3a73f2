//! What is observed, as counters of virtual servers, pools, nodes and listening addresses.

use std::net::{IpAddr, SocketAddr};

use tidegate_model::{
    counters::MeasureTotals,
    persistence::Method,
    pool::{Algorithm, NodeState},
    virtual_server::Protocol,
};

use super::{Values, machine};
use crate::observation::{Node, Observation, Pool, Rate, Rule, ServiceLevel, VirtualServer};

/// Fills in what is counted. `None` = there is no such object.
pub(super) fn fill(values: &mut Values, of: &Observation, path: &str, object: &str) -> Option<()> {
    match path {
        "virtual_servers" => {
            virtual_server(values, of.virtual_servers.iter().find(|server| server.name.as_str() == object)?);
        }
        "pools" => pool(values, of.pools.iter().find(|pool| pool.name.as_str() == object)?),
        "nodes/node" | "nodes/node_inet46" => {
            let address: SocketAddr = object.parse().ok()?;
            let nodes = of.pools.iter().flat_map(|pool| &pool.nodes);
            let same: Vec<&Node> = nodes.filter(|node| node.address == address).collect();
            node(values, &same, path == "nodes/node")?;
        }
        "nodes/per_pool_node" => per_pool_node(values, of, object)?,
        "listen_ips" => {
            let ip: IpAddr = object.parse().ok()?;
            let address = of.listen_addresses.iter().find(|address| address.ip == ip)?;
            values.all([
                ("bytes_in", address.totals.bytes_in),
                ("bytes_out", address.totals.bytes_out),
                ("current_conn", address.connections),
                ("max_conn", address.connections_peak),
                ("total_requests", address.totals.requests),
            ]);
        }
        "rules" => rule(values, of.rules.iter().find(|rule| rule.name.as_str() == object)?),
        "connection_rate_limit" => rate(values, of.rates.iter().find(|rate| rate.name == object)?),
        "service_level_monitors" => {
            service_level(values, of.service_levels.iter().find(|class| &*class.name == object)?);
        }
        "bandwidth" => {
            let class = of.bandwidth.iter().find(|class| &*class.name == object)?;
            values.all([("bytes_out", class.totals.bytes_out), ("maximum", class.maximum.into())]);
        }
        "extras/user_counters_32" => {
            values.set("counter", numbered(&of.user_counters.narrow, object).map_or(0, u64::from));
        }
        "extras/user_counters_64" => {
            values.set("counter", numbered(&of.user_counters.wide, object).unwrap_or(0));
        }
        _ => machine::fill(values, of, path, object)?,
    }
    Some(())
}

/// A user counter by its number; the first one where none is named.
fn numbered<T: Copy>(counters: &[T], object: &str) -> Option<T> {
    let number: usize = if object.is_empty() { 1 } else { object.parse().ok()? };
    counters.get(number.checked_sub(1)?).copied()
}

fn rule(values: &mut Values, rule: &Rule) {
    let totals = &rule.totals;
    values.all([
        ("aborts", totals.aborts),
        ("discards", totals.discards),
        ("execution_time_warnings", totals.execution_time_warnings),
        ("executions", totals.executions),
        ("pool_select", totals.pool_selects),
        ("responds", totals.responds),
        ("retries", totals.retries),
    ]);
}

fn rate(values: &mut Values, rate: &Rate) {
    values.all([
        ("conns_entered", rate.entered),
        ("conns_left", rate.left),
        ("current_rate", rate.current),
        ("dropped", rate.dropped),
        ("max_rate_per_min", rate.per_minute),
        ("max_rate_per_sec", rate.per_second),
        ("queue_length", rate.waiting),
    ]);
}

fn service_level(values: &mut Values, class: &ServiceLevel) {
    let response = class.totals.response;
    values.word("is_o_k", if class.is_met { "ok" } else { "notok" });
    values.all([
        ("conforming", class.conforming.into()),
        ("response_max", millis(response.max)),
        ("response_mean", millis(response.mean())),
        ("response_min", millis(response.min)),
        ("total_conn", class.totals.requests),
        ("total_non_conf", class.totals.late),
    ]);
}

fn virtual_server(values: &mut Values, server: &VirtualServer) {
    let totals = &server.totals;
    // Which of both a session was resumed with is the library's secret; where tickets are on, clients use them.
    let (by_ticket, by_cache) =
        if server.tickets { (totals.tls_resumed, 0) } else { (0, totals.tls_resumed) };
    let full = totals.tls_handshakes.saturating_sub(totals.tls_resumed);
    let responses = [
        ("1xx", totals.responses_1xx, 0),
        ("2xx", totals.responses_2xx, totals.generated_2xx),
        ("3xx", totals.responses_3xx, totals.generated_3xx),
        ("4xx", totals.responses_4xx, totals.generated_4xx),
        ("5xx", totals.responses_5xx, totals.generated_5xx),
    ];
    for (class, all, generated) in responses {
        values.set(&format!("http{class}_responses"), all);
        values.set(&format!("http_server{class}_responses"), all.saturating_sub(generated));
        if class != "1xx" {
            values.set(&format!("http_generated{class}_responses"), generated);
        }
    }
    let http = if server.protocol == Protocol::Http { totals.requests } else { 0 };
    values.all([
        ("bytes_in", totals.bytes_in),
        ("bytes_out", totals.bytes_out),
        ("connect_timed_out", totals.connect_timeouts),
        ("connection_errors", totals.errors + totals.reply_timeouts + totals.proxy_header_failures),
        ("connection_failures", totals.connect_failures),
        ("current_conn", server.connections),
        ("data_timed_out", totals.data_timeouts),
        ("direct_replies", responses.iter().map(|(_, _, generated)| generated).sum()),
        ("discard", totals.discarded),
        ("http_rewrite_cookie", totals.cookies_rewritten),
        ("http_rewrite_location", totals.locations_rewritten),
        ("keepalive_timed_out", totals.keepalive_timeouts),
        ("max_conn", server.connections_peak),
        ("max_duration_timed_out", totals.transaction_timeouts),
        ("port", u64::from(server.port)),
        ("processing_timed_out", totals.reply_timeouts),
        ("ssl_cache_lookup", by_cache),
        ("ssl_cache_resumed", by_cache),
        ("ssl_hello_retry_requested", totals.tls_hello_retries),
        ("ssl_new_session", full),
        ("ssl_ticket_received", by_ticket),
        ("ssl_ticket_resumed", by_ticket),
        ("total_http1_requests", http),
        ("total_http_requests", http),
        ("total_requests", totals.requests),
    ]);
    values.word("protocol", protocol(server.protocol));
}

/// The spelling of statistics, which is not that of documents.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol.word() {
        "client_first" => "genericclientfirst",
        "server_first" => "genericserverfirst",
        "dns_tcp" => "dnstcp",
        "ssl" => "sslforwarding",
        word => word,
    }
}

fn pool(values: &mut Values, pool: &Pool) {
    let totals = &pool.totals;
    let in_state = |state| pool.nodes.iter().filter(|node| node.state == state).count() as u64;
    values.all([
        ("bytes_in", totals.bytes_from_nodes),
        ("bytes_out", totals.bytes_to_nodes),
        ("conns_queued", pool.waiting),
        ("disabled", in_state(NodeState::Disabled)),
        ("draining", in_state(NodeState::Draining)),
        ("http1xx_responses", totals.responses_1xx),
        ("http2xx_responses", totals.responses_2xx),
        ("http3xx_responses", totals.responses_3xx),
        ("http4xx_responses", totals.responses_4xx),
        ("http5xx_responses", totals.responses_5xx),
        ("http503_retries", totals.retries_503),
        ("max_queue_time", seconds(totals.queue_time.max)),
        ("mean_queue_time", seconds(totals.queue_time.mean())),
        ("min_queue_time", seconds(totals.queue_time.min)),
        ("nodes", pool.nodes.len() as u64),
        ("queue_timeouts", totals.queue_timeouts),
        ("session_migrated", pool.sessions_moved),
        ("total_conn", totals.requests),
    ]);
    values.word(
        "algorithm",
        match pool.algorithm {
            Algorithm::RoundRobin => "roundrobin",
            Algorithm::WeightedRoundRobin => "weightedRoundRobin",
            Algorithm::Perceptive => "perceptive",
            Algorithm::LeastConnections => "leastConnections",
            Algorithm::FastestResponseTime => "fastestResponseTime",
            Algorithm::Random => "random",
            Algorithm::WeightedLeastConnections => "weightedLeastConnections",
        },
    );
    values.word(
        "persistence",
        match &pool.persistence {
            None => "none",
            Some(Method::Ip { .. }) => "ip",
            Some(Method::Universal | Method::Named) => "rule",
            Some(Method::Transparent { .. }) => "transparent",
            Some(Method::Cookie { .. } | Method::J2ee | Method::Asp) => "applicationCookie",
            Some(Method::XZeus) => "xZeusBackend",
            Some(Method::Ssl) => "ssl",
        },
    );
    let all_are = |state| !pool.nodes.is_empty() && pool.nodes.iter().all(|node| node.state == state);
    values.word(
        "state",
        if !pool.used {
            "unused"
        } else if all_are(NodeState::Disabled) {
            "disabled"
        } else if all_are(NodeState::Draining) {
            "draining"
        } else {
            "active"
        },
    );
}

/// A node of all pools that have it.
fn node(values: &mut Values, same: &[&Node], halves_only: bool) -> Option<()> {
    let first = same.first()?;
    let sum = |of: fn(&Node) -> u64| same.iter().map(|node| of(node)).sum::<u64>();
    let (to, from) = (sum(|node| node.bytes_to_node), sum(|node| node.bytes_from_node));
    if halves_only {
        values.all([
            ("bytes_to_node_hi", to >> 32),
            ("bytes_to_node_lo", to & u64::from(u32::MAX)),
            ("bytes_from_node_hi", from >> 32),
            ("bytes_from_node_lo", from & u64::from(u32::MAX)),
        ]);
    } else {
        values.all([("bytes_to_node", to), ("bytes_from_node", from), ("idle_conns", sum(|node| node.idle))]);
    }
    values.set("port", u64::from(first.address.port()));
    values.all(counted(same));
    values.word("state", if same.iter().any(|node| node.alive) { "alive" } else { "dead" });
    Some(())
}

fn per_pool_node(values: &mut Values, of: &Observation, object: &str) -> Option<()> {
    let node = of.pools.iter().find_map(|pool| {
        let address = object.strip_prefix(pool.name.as_str())?.strip_prefix(':')?;
        let address: SocketAddr = address.parse().ok()?;
        pool.nodes.iter().find(|node| node.address == address)
    })?;
    values.all([
        ("bytes_to_node", node.bytes_to_node),
        ("bytes_from_node", node.bytes_from_node),
        ("idle_conns", node.idle),
        ("node_port", u64::from(node.address.port())),
    ]);
    values.all(counted(&[node]));
    values.word(
        "state",
        match node.state {
            _ if node.leaving => "drainingtodelete",
            NodeState::Draining => "draining",
            _ if node.alive => "alive",
            _ => "dead",
        },
    );
    Some(())
}

/// Counters that every group of nodes has.
fn counted(same: &[&Node]) -> [(&'static str, u64); 10] {
    let sum = |of: fn(&Node) -> u64| same.iter().map(|node| of(node)).sum::<u64>();
    let responses: MeasureTotals = same.iter().map(|node| node.responses).sum();
    [
        ("current_conn", sum(|node| node.connections)),
        ("current_requests", sum(|node| node.in_flight)),
        ("errors", sum(|node| node.errors)),
        ("failures", sum(|node| node.failures)),
        ("new_conn", sum(|node| node.connections_opened)),
        ("pooled_conn", sum(|node| node.connections_reused)),
        ("response_max", millis(responses.max)),
        ("response_mean", millis(responses.mean())),
        ("response_min", millis(responses.min)),
        ("total_conn", sum(|node| node.requests)),
    ]
}

/// µs as milliseconds, rounded.
fn millis(micros: u64) -> u64 {
    micros.saturating_add(500) / 1000
}

/// µs as seconds, rounded.
fn seconds(micros: u64) -> u64 {
    micros.saturating_add(500_000) / 1_000_000
}
