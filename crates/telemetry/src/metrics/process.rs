//! The table of metrics of the process, of certificates and of discovery.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    families::{
        Family,
        Kind::{Counter, Gauge, Histogram, Info},
    },
    lines::label,
};

/// µs of a duration.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn since_epoch(at: SystemTime) -> u64 {
    micros(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) const FAMILIES: &[Family] = &[
    Family::process("tidegate_build_info", Info, "The version that runs.", |_, _, out| {
        out.with("version", env!("CARGO_PKG_VERSION"), 1);
    })
    .labels("version"),
    Family::process("process_start_time_seconds", Gauge, "When the process started, in seconds since 1970.", |of, now, out| {
        out.seconds_with("", since_epoch(now).saturating_sub(micros(of.process.up)));
    })
    .unit("seconds"),
    Family::process("process_cpu_seconds", Counter, "Time the process has had on CPUs.", |of, _, out| {
        out.seconds_with("", micros(of.control.system.cpu));
    })
    .unit("seconds"),
    Family::value("process_resident_memory_bytes", Gauge, "Resident memory of the process.", |of| of.control.system.resident).unit("bytes"),
    Family::value("process_open_fds", Gauge, "Descriptors the process has open.", |of| of.control.system.descriptors_open),
    Family::value("process_max_fds", Gauge, "Descriptors the process may have open.", |of| of.control.system.descriptors_open + of.control.system.descriptors_free),
    Family::value("tidegate_workers", Gauge, "Data workers.", |of| of.process.workers as u64),
    Family::value("tidegate_ready", Gauge, "Whether the health address says ready.", |of| u64::from(of.control.ready)),
    Family::value("tidegate_config_generation", Gauge, "Number of the snapshot with which the documents that serve became active; 0 = none yet.", |of| of.control.config_generation),
    Family::value("tidegate_snapshot_generation", Gauge, "Number of the running snapshot; grows with every change of documents or nodes.", |of| of.process.snapshot),
    Family::value("tidegate_config_last_reload_successful", Gauge, "Whether the last reading of documents could be imported.", |of| u64::from(of.control.imported.is_some() && !of.control.last_import_failed)),
    Family::process("tidegate_config_last_reload_success_timestamp_seconds", Gauge, "When documents were imported last, in seconds since 1970.", |of, _, out| {
        if let Some(at) = of.control.imported {
            out.seconds_with("", since_epoch(at));
        }
    })
    .unit("seconds"),
    Family::each("outcome", "tidegate_config_reloads", Counter, "Readings of documents, by outcome.", |of| vec![
        ("failure", of.control.imports_failed),
        ("success", of.control.imports),
    ]),
    Family::value("tidegate_closed_listeners", Gauge, "Listening addresses that could not be opened.", |of| of.control.listeners_closed),
    Family::value("tidegate_connections", Gauge, "Client connections open now.", |of| of.process.connections),
    Family::value("tidegate_connections_accepted", Counter, "Client connections accepted.", |of| of.process.totals.connections),
    Family::value("tidegate_accept_failures", Counter, "Connections that could not be accepted for want of descriptors or memory.", |of| of.process.totals.accept_failures),
    Family::value("tidegate_requests", Counter, "Requests.", |of| of.process.totals.requests),
    Family::value("tidegate_received_bytes", Counter, "Bytes read from clients.", |of| of.process.totals.bytes_in).unit("bytes"),
    Family::value("tidegate_sent_bytes", Counter, "Bytes written to clients.", |of| of.process.totals.bytes_out).unit("bytes"),
    Family::value("tidegate_node_failed_attempts", Counter, "Attempts at nodes that failed, retried or not.", |of| of.process.totals.node_failures),
    Family::process("http_server_request_duration_seconds", Histogram, "From the first byte of a request to the last of its response, by class of status; upgraded connections left out.", |of, _, out| {
        for (class, durations) in of.process.totals.durations() {
            out.histogram(&label("http_response_status_class", class.unwrap_or("none")), durations);
        }
    })
    .unit("seconds")
    .labels("http_response_status_class"),
    Family::process("tidegate_node_response_duration_seconds", Histogram, "From the end of a request to the head of the node's response.", |of, _, out| {
        out.histogram("", &of.process.totals.node_response);
    })
    .unit("seconds"),
    Family::process("tidegate_queue_duration_seconds", Histogram, "Time in the queues of pools, of requests that waited.", |of, _, out| {
        out.histogram("", &of.process.totals.queue);
    })
    .unit("seconds"),
    Family::each("tls_protocol_version", "tidegate_tls_handshakes", Counter, "TLS handshakes with clients, by version.", |of| vec![
        ("1.2", of.process.totals.tls12),
        ("1.3", of.process.totals.tls13),
    ]),
    Family::each("reason", "tidegate_client_certificates_refused", Counter, "Handshakes that failed for the client's certificate, by reason.", |of| {
        let totals = &of.process.totals;
        vec![
            ("expired", totals.client_certificates_expired),
            ("invalid", totals.client_certificates_invalid),
            ("missing", totals.client_certificates_missing),
        ]
    }),
    Family::process("tidegate_certificate_not_after_timestamp_seconds", Gauge, "End of a certificate's validity, in seconds since 1970.", |of, _, out| {
        for certificate in &of.certificates {
            let labels = format!(
                "{},{}",
                label("collection", certificate.collection),
                label("certificate", certificate.name.as_str())
            );
            out.signed_with(&labels, certificate.not_after);
        }
    })
    .unit("seconds")
    .labels("collection, certificate"),
    Family::process("tidegate_discovery_answer_age_seconds", Gauge, "Time since discovery last had an answer for the pool.", |of, now, out| {
        for source in &of.control.sources {
            if let Some(at) = source.answered {
                let age = now.duration_since(at).unwrap_or_default();
                out.seconds_with(&label("pool", source.pool.as_str()), micros(age));
            }
        }
    })
    .unit("seconds")
    .labels("pool"),
    Family::value("tidegate_discovery_alarms", Gauge, "Pools whose discovery needs a look: faulty settings, repeated failures, an old answer, a removal held.", |of| of.control.sources.iter().filter(|source| source.alarm).count() as u64),
    Family::value("tidegate_events", Counter, "Events of the event log, those with a tag.", |of| of.control.events),
    Family::value("tidegate_event_log_dropped_lines", Counter, "Lines of the event log dropped because standard output did not take them.", |of| of.control.log_lines_dropped),
    Family::value("tidegate_event_log_held_back", Counter, "Events of the event log held back because they repeated.", |of| of.process.events_held_back),
    Family::value("tidegate_trace_spans_exported", Counter, "Spans of requests that the collector of traces took.", |of| of.control.traces.exported),
    Family::each("reason", "tidegate_trace_spans_dropped", Counter, "Spans of requests that were dropped, by reason: no room in the queue, refused by the collector, collector out of reach.", |of| vec![
        ("queue_full", of.control.traces.queue_full),
        ("refused", of.control.traces.refused),
        ("undelivered", of.control.traces.undelivered),
    ]),
    Family::value("tidegate_trace_export_failures", Counter, "Requests to the collector of traces that failed, tried again or not.", |of| of.control.traces.failures),
];
