//! What is observed, as counters of the process, the machine and the caches.

use std::sync::Arc;

use tidegate_model::persistence::Method;

use super::Values;
use crate::observation::{Observation, Pool};

/// Bytes of a MByte, in which memory is told.
const MEGABYTE: u64 = 1 << 20;

/// Fills in what is counted. `None` = there is no such object.
pub(super) fn fill(values: &mut Values, of: &Observation, path: &str, object: &str) -> Option<()> {
    match path {
        "globals" => globals(values, of),
        "cache/ip_session_cache" => {
            let expired = sessions(
                values,
                of,
                |method| matches!(method, Method::Ip { .. }),
                of.process.ip_session_table_size,
            );
            values.set("expiries", expired);
        }
        "cache/j2ee_session_cache" => {
            let expired = sessions(
                values,
                of,
                |method| matches!(method, Method::Cookie { .. }),
                of.process.cookie_session_table_size,
            );
            values.set("expiries", expired);
        }
        "cache/ssl_cache" => {
            let (handshakes, resumed) = handshakes(of);
            cache(values, handshakes, resumed);
            values.set("entries_max", of.process.tls_session_cache_size);
        }
        "events" => values.set("matched", count_of(&of.control.event_types, object)?),
        "actions" => values.set("processed", count_of(&of.control.actions, object)?),
        "network_interface" => {
            let interface = of.control.interfaces.iter().find(|interface| &*interface.name == object)?;
            values.all([
                ("collisions", interface.collisions),
                ("rx_bytes", interface.rx_bytes),
                ("rx_errors", interface.rx_errors),
                ("rx_packets", interface.rx_packets),
                ("tx_bytes", interface.tx_bytes),
                ("tx_errors", interface.tx_errors),
                ("tx_packets", interface.tx_packets),
            ]);
        }
        // What does not exist here has counters only where the group itself is the object.
        _ if values.group.per_object => return None,
        _ => {}
    }
    Some(())
}

fn globals(values: &mut Values, of: &Observation) {
    let (process, control) = (&of.process, &of.control);
    let (totals, system, peaks) = (&process.totals, &control.system, &control.peaks);
    let (handshakes, resumed) = handshakes(of);
    let nodes = of.pools.iter().flat_map(|pool| &pool.nodes);
    let rules = &of.rule_services;
    let since_update = control.configured.and_then(|at| at.elapsed().ok()).unwrap_or_default();
    values.all([
        ("data_entries", rules.data_entries),
        ("data_memory_usage", rules.data_bytes),
        ("events_seen", control.events),
        ("hourly_peak_bytes_in_per_second", peaks.bytes_in),
        ("hourly_peak_bytes_out_per_second", peaks.bytes_out),
        ("hourly_peak_requests_per_second", peaks.requests),
        ("hourly_peak_ssl_connections_per_second", peaks.tls_connections),
        ("num_idle_connections", nodes.map(|node| node.idle).sum()),
        ("number_child_processes", process.workers as u64),
        ("number_dnsa_cache_hits", rules.names_remembered.saturating_sub(rules.reverse_remembered)),
        ("number_dnsa_requests", rules.names_asked.saturating_sub(rules.reverse_asked)),
        ("number_dnsptr_cache_hits", rules.reverse_remembered),
        ("number_dnsptr_requests", rules.reverse_asked),
        ("ssl_client_cert_expired", totals.client_certificates_expired),
        ("ssl_client_cert_invalid", totals.client_certificates_invalid),
        ("ssl_client_cert_not_sent", totals.client_certificates_missing),
        ("ssl_connections", totals.tls12 + totals.tls13),
        ("ssl_handshake_tlsv12", totals.tls12),
        ("ssl_handshake_tlsv13", totals.tls13),
        ("ssl_session_id_mem_cache_hit", resumed),
        ("ssl_session_id_mem_cache_miss", handshakes.saturating_sub(resumed)),
        ("sys_cpu_busy_percent", system.cpu_user + system.cpu_system),
        ("sys_cpu_idle_percent", system.cpu_idle),
        ("sys_cpu_system_busy_percent", system.cpu_system),
        ("sys_cpu_user_busy_percent", system.cpu_user),
        ("sys_fds_free", system.descriptors_free),
        ("sys_mem_buffered", system.memory_buffered / MEGABYTE),
        ("sys_mem_free", system.memory_free / MEGABYTE),
        ("sys_mem_in_use", system.memory_total.saturating_sub(system.memory_free) / MEGABYTE),
        ("sys_mem_swap_total", system.swap_total / MEGABYTE),
        ("sys_mem_swapped", system.swap_used / MEGABYTE),
        ("sys_mem_total", system.memory_total / MEGABYTE),
        ("time_last_config_update", hundredths(since_update)),
        ("total_backend_server_errors", totals.node_failures),
        ("total_bytes_in", totals.bytes_in),
        ("total_bytes_out", totals.bytes_out),
        ("total_conn", totals.connections),
        ("total_current_conn", process.connections),
        ("total_requests", totals.requests),
        ("total_transactions", totals.requests),
        ("up_time", hundredths(process.up)),
    ]);
}

fn count_of(counts: &[(Arc<str>, u64)], name: &str) -> Option<u64> {
    counts.iter().find(|(known, _)| **known == *name).map(|(_, count)| *count)
}

/// Handshakes with clients, and how many of them resumed a session.
fn handshakes(of: &Observation) -> (u64, u64) {
    let servers = of.virtual_servers.iter().map(|server| &server.totals);
    servers.fold((0, 0), |(all, resumed), totals| (all + totals.tls_handshakes, resumed + totals.tls_resumed))
}

/// The session tables of a method; returns how many sessions ended for want of use.
fn sessions(values: &mut Values, of: &Observation, is: impl Fn(&Method) -> bool, size: u64) -> u64 {
    let pools: Vec<&Pool> =
        of.pools.iter().filter(|pool| pool.persistence.as_ref().is_some_and(&is)).collect();
    let hits: u64 = pools.iter().map(|pool| pool.totals.session_hits).sum();
    let misses: u64 = pools.iter().map(|pool| pool.totals.session_misses).sum();
    cache(values, hits + misses, hits);
    values.set("entries", pools.iter().map(|pool| pool.sessions).sum());
    // Each pool has a table of its own.
    values.set("entries_max", size.saturating_mul(pools.len().max(1) as u64));
    pools.iter().map(|pool| pool.sessions_expired).sum()
}

fn cache(values: &mut Values, lookups: u64, hits: u64) {
    values.all([
        ("hits", hits),
        ("lookups", lookups),
        ("misses", lookups.saturating_sub(hits)),
        ("hit_rate", (hits * 100).checked_div(lookups).unwrap_or(0)),
    ]);
}

/// Times are told in hundredths of a second.
fn hundredths(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX)
}
