//! Observations for tests: as many objects as wanted, with numbers that differ from each other and from 0.

use std::{net::SocketAddr, time::Duration};

use super::*;
use crate::counters::{PoolCounters, ProcessCounters, RuleCounters, VirtualServerCounters};

/// `servers` virtual servers `vs-N` and pools `pool-N` of `nodes` nodes each.
pub(crate) fn sample(servers: u16, nodes: u8) -> Observation {
    let time = Duration::from_millis(3);
    let process = ProcessCounters::default();
    process.requests.add(7_000_000_000);
    process.bytes_in.add(5 << 32 | 9);
    process.tls13.add(3);
    process.finished(200, time);
    process.finished(404, Duration::from_secs(20));
    process.node_response.record(time);
    process.queue.record(time);
    Observation {
        process: Process {
            up: Duration::from_mins(2),
            workers: 2,
            connections: 11,
            snapshot: 8,
            totals: process.read(),
            ip_session_table_size: 32_768,
            cookie_session_table_size: 32_768,
            tls_session_cache_size: 6151,
            events_held_back: 1,
        },
        virtual_servers: (0..servers).map(virtual_server).collect(),
        pools: (0..servers).map(|n| pool(n, nodes)).collect(),
        listen_addresses: vec![ListenAddress {
            ip: [127, 0, 0, 1].into(),
            connections: 4,
            connections_peak: 5,
            totals: ListenTotals { bytes_in: 1, bytes_out: 2, requests: 3 },
        }],
        certificates: vec![Certificate {
            collection: "ssl/server_keys",
            name: "site".into(),
            not_after: 2_000_000_000,
        }],
        rules: vec![rule()],
        service_levels: vec![service_level()],
        bandwidth: vec![BandwidthClass {
            name: "slow".into(),
            maximum: 256,
            totals: BandwidthTotals { bytes_out: 5 << 32, waits: 3 },
        }],
        rates: vec![rate()],
        user_counters: UserCounters { narrow: vec![4, 5], wide: vec![6 << 32 | 1, 7] },
        rule_services: rule_services(),
        control: Control {
            config_generation: 6,
            imported: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            configured: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            imports: 2,
            events: 12,
            event_types: vec![("All Events".into(), 12)],
            actions: vec![("file".into(), 6)],
            ready: true,
            sources: vec![Source {
                pool: "pool-0".into(),
                state: "ok",
                answered: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_001)),
                nodes: u64::from(nodes),
                alarm: false,
            }],
            peaks: Peaks { bytes_in: 4, bytes_out: 3, requests: 2, tls_connections: 1 },
            traces: TraceTotals { exported: 5, queue_full: 4, refused: 3, undelivered: 2, failures: 1 },
            system: System {
                descriptors_free: 1000,
                descriptors_open: 24,
                memory_total: 16 << 30,
                ..System::default()
            },
            interfaces: vec![Interface {
                name: "eth0".into(),
                rx_bytes: 1,
                rx_packets: 2,
                rx_errors: 3,
                tx_bytes: 4,
                tx_packets: 5,
                tx_errors: 6,
                collisions: 7,
            }],
            ..Control::default()
        },
    }
}

fn service_level() -> ServiceLevel {
    ServiceLevel {
        name: "level-0".into(),
        conforming: 99,
        is_met: true,
        totals: ServiceLevelTotals {
            requests: 200,
            late: 2,
            response: MeasureTotals { count: 199, sum: 199 * 4000, min: 1000, max: 90_000 },
        },
    }
}

fn rate() -> Rate {
    Rate {
        name: "rate-0".to_owned(),
        per_second: 10,
        per_minute: 100,
        current: 3,
        entered: 9,
        left: 6,
        dropped: 2,
        waiting: 1,
        contexts: 4,
        contexts_forgotten: 5,
        contexts_full: 7,
    }
}

fn rule() -> Rule {
    let cell = RuleCounters::default();
    cell.executions.add(20);
    cell.discards.add(1);
    cell.aborts.add(2);
    cell.responds.add(3);
    cell.pool_selects.add(4);
    cell.retries.add(5);
    cell.execution_time_warnings.add(6);
    Rule { name: "rule-0".into(), totals: cell.read() }
}

fn virtual_server(n: u16) -> VirtualServer {
    let cell = VirtualServerCounters::default();
    cell.connections.add(5);
    cell.requests.add(9);
    cell.bytes_in.add(5 << 32 | 7);
    cell.responded(200);
    cell.responded(503);
    cell.generated(404);
    cell.tls_handshakes.add(4);
    cell.tls_resumed.add(1);
    cell.duration.record(Duration::from_millis(3));
    VirtualServer {
        name: format!("vs-{n}").into(),
        port: 8000 + n,
        protocol: Protocol::Http,
        tls: true,
        tickets: true,
        serving: true,
        connections: 2,
        connections_peak: 3,
        log_lines_dropped: 0,
        log_bytes_lost: 0,
        totals: cell.read(),
    }
}

fn pool(n: u16, nodes: u8) -> Pool {
    let cell = PoolCounters::default();
    cell.requests.add(9);
    cell.session_hits.add(3);
    cell.session_misses.add(1);
    cell.bytes_from_nodes.add(70);
    cell.bytes_to_nodes.add(60);
    cell.responded(200);
    cell.response.record(Duration::from_millis(3));
    cell.queue_time.record(Duration::from_secs(2));
    Pool {
        name: format!("pool-{n}").into(),
        algorithm: Algorithm::LeastConnections,
        persistence: Some(Method::Ip { prefix_v4: 0, prefix_v6: 0 }),
        used: true,
        totals: cell.read(),
        waiting: 1,
        sessions: 3,
        sessions_evicted: 0,
        sessions_expired: 2,
        sessions_moved: 1,
        trials: 0,
        nodes: (0..nodes).map(node).collect(),
    }
}

fn node(n: u8) -> Node {
    let address = SocketAddr::from(([10, 0, 0, n], 80));
    Node {
        address,
        label: address.to_string().into(),
        state: NodeState::Active,
        leaving: false,
        alive: true,
        status: "working",
        weight: 1,
        priority: 1,
        in_flight: 1,
        connections: 3,
        idle: 2,
        response_time: Some(Duration::from_millis(3)),
        responses: MeasureTotals { count: 2, sum: 6000, min: 1000, max: 5000 },
        requests: 40,
        connections_opened: 4,
        connections_reused: 36,
        errors: 1,
        failures: 1,
        refused: 0,
        bytes_to_node: 1 << 33,
        bytes_from_node: 5,
    }
}

fn rule_services() -> RuleServices {
    RuleServices {
        data_entries: 1,
        data_bytes: 1,
        data_limit: 2,
        names_asked: 14,
        names_remembered: 4,
        reverse_asked: 2,
        reverse_remembered: 1,
        names_failed: 5,
        names_refused: 6,
        fetches: 7,
        fetch_connections: 8,
        fetches_failed: 9,
        fetches_refused: 10,
        fetches_too_large: 11,
        fetches_too_deep: 12,
        directories_confirmed: 20,
        directories_denied: 14,
        directories_failed: 5,
        directories_refused: 2,
        sockets_opened: 15,
        sockets_open: 16,
        datagrams: 17,
        sockets_failed: 19,
        sockets_refused: 18,
        sleeping: 12,
        sleeps_refused: 13,
    }
}
