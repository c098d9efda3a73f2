//! What data workers count: one cell per worker and counted thing, summed when somebody reads.
//!
//! The cells are [`mod@tidegate_model::counters`]; here is what is in them for the process, a virtual server, a listening
//! address and a pool. What is counted per node belongs to the node (`tidegate_pool::Node`).

use tidegate_model::counters;
pub use tidegate_model::counters::{Count, Histogram, HistogramTotals, Measure, MeasureTotals, Sharded};

counters! {
    /// What one worker counted altogether: unlike its parts, this never goes back when an object is removed.
    ProcessCounters => ProcessTotals {
        /// Client connections accepted.
        connections,
        /// Accepting a connection failed for want of descriptors or memory.
        accept_failures,
        /// Requests.
        requests,
        /// Bytes read from clients.
        bytes_in,
        /// Bytes written to clients.
        bytes_out,
        /// TLS handshakes completed with TLS 1.2.
        tls12,
        /// TLS handshakes completed with TLS 1.3.
        tls13,
        /// Requests that a node failed, retried or not.
        node_failures,
        /// Clients that were to show a certificate and did not.
        client_certificates_missing,
        /// Clients whose certificate was refused because its time is over.
        client_certificates_expired,
        /// Clients whose certificate was refused for another reason.
        client_certificates_invalid,
    }
    times {
        /// From the first byte of a request to the last of its response, of responses 200–299.
        responses_2xx: Histogram => HistogramTotals,
        /// Of responses 300–399.
        responses_3xx: Histogram => HistogramTotals,
        /// Of responses 400–499.
        responses_4xx: Histogram => HistogramTotals,
        /// Of responses 500–599.
        responses_5xx: Histogram => HistogramTotals,
        /// Of requests that got no response.
        unanswered: Histogram => HistogramTotals,
        /// From the end of a request to the head of the node's response.
        node_response: Histogram => HistogramTotals,
        /// Time in the queues of pools.
        queue: Histogram => HistogramTotals,
    }
}

impl ProcessCounters {
    /// Counts a finished request.
    #[inline]
    pub fn finished(&self, status: u16, duration: std::time::Duration) {
        let histogram = match status {
            200..=299 => &self.responses_2xx,
            300..=399 => &self.responses_3xx,
            400..=499 => &self.responses_4xx,
            500..=599 => &self.responses_5xx,
            _ => &self.unanswered,
        };
        histogram.record(duration);
    }
}

impl ProcessTotals {
    /// Durations of finished requests by class of status, `None` = no response.
    pub fn durations(&self) -> [(Option<&'static str>, &HistogramTotals); 5] {
        [
            (Some("2xx"), &self.responses_2xx),
            (Some("3xx"), &self.responses_3xx),
            (Some("4xx"), &self.responses_4xx),
            (Some("5xx"), &self.responses_5xx),
            (None, &self.unanswered),
        ]
    }
}

counters! {
    /// What one worker counted for one listening IP address.
    ListenCounters => ListenTotals {
        /// Bytes read from clients.
        bytes_in,
        /// Bytes written to clients.
        bytes_out,
        /// Requests.
        requests,
    }
}

counters! {
    /// What one worker counted for one service level class.
    ServiceLevelCounters => ServiceLevelTotals {
        /// Requests of the class that are over.
        requests,
        /// Of them, those that were answered too late or not at all.
        late,
    }
    times {
        /// From the beginning of a request to the head of the node's response.
        response: Measure => MeasureTotals,
    }
}

counters! {
    /// What one worker counted for one bandwidth class.
    BandwidthCounters => BandwidthTotals {
        /// Bytes written under the class, before TLS.
        bytes_out,
        /// Times that a write had to wait.
        waits,
    }
}

counters! {
    /// What one worker counted for one virtual server.
    VirtualServerCounters => VirtualServerTotals {
        /// Client connections accepted and admitted.
        connections,
        /// Times that connections began to wait, on a worker, because `max_concurrent_connections` was reached.
        connections_over_limit,
        /// Connections closed without an answer: pool `discard`, or nothing to serve them.
        discarded,
        /// Request heads read completely and accepted.
        requests,
        /// Bytes read from clients, before decryption is taken off.
        bytes_in,
        /// Bytes written to clients.
        bytes_out,
        /// Final and interim responses passed on or made here, by class.
        responses_1xx,
        /// Responses 200–299.
        responses_2xx,
        /// Responses 300–399.
        responses_3xx,
        /// Responses 400–499.
        responses_4xx,
        /// Responses 500–599.
        responses_5xx,
        /// 200–299 that were made here, not by a node.
        generated_2xx,
        /// 300–399 that were made here.
        generated_3xx,
        /// 400–499 that were made here.
        generated_4xx,
        /// 500–599 that were made here.
        generated_5xx,
        /// Connections closed because a request did not come within `connect_timeout`.
        connect_timeouts,
        /// Idle connections closed because no request came within `keepalive_timeout`.
        keepalive_timeouts,
        /// Requests given up because nothing moved for `timeout`.
        data_timeouts,
        /// Requests given up because `max_transaction_duration` was over.
        transaction_timeouts,
        /// Requests given up because no node answered within `max_reply_time`.
        reply_timeouts,
        /// Requests that no node answered because connecting to nodes failed.
        connect_failures,
        /// Requests that broke off for another reason: the client went away, a node broke off.
        errors,
        /// `Location` headers rewritten.
        locations_rewritten,
        /// `Set-Cookie` headers rewritten.
        cookies_rewritten,
        /// TLS handshakes completed, resumed ones included.
        tls_handshakes,
        /// TLS handshakes that resumed an earlier session.
        tls_resumed,
        /// TLS handshakes in which the client had to be asked for another key exchange.
        tls_hello_retries,
        /// TLS handshakes that failed.
        tls_failures,
        /// Connections dropped for a missing or malformed PROXY header.
        proxy_header_failures,
        /// Connections switched to another protocol by a 101 response.
        upgrades,
        /// Requests whose client was gone before it had its answer.
        clients_gone,
        /// Connections reset (`tcp.close_with_rst`) although the client had not taken all bytes in time.
        resets_undelivered,
    }
    times {
        /// From the first byte of a request to the last of its response.
        duration: Histogram => HistogramTotals,
    }
}

impl VirtualServerCounters {
    /// Counts a response by the class of its status; other numbers count nothing.
    #[inline]
    pub fn responded(&self, status: u16) {
        match status {
            100..=199 => self.responses_1xx.add(1),
            200..=299 => self.responses_2xx.add(1),
            300..=399 => self.responses_3xx.add(1),
            400..=499 => self.responses_4xx.add(1),
            500..=599 => self.responses_5xx.add(1),
            _ => {}
        }
    }

    /// Counts a response that was made here.
    pub fn generated(&self, status: u16) {
        self.responded(status);
        match status {
            200..=299 => self.generated_2xx.add(1),
            300..=399 => self.generated_3xx.add(1),
            400..=499 => self.generated_4xx.add(1),
            500..=599 => self.generated_5xx.add(1),
            _ => {}
        }
    }
}

counters! {
    /// What one worker counted for one rule.
    RuleCounters => RuleTotals {
        /// Runs that were begun.
        executions,
        /// Runs that discarded the connection.
        discards,
        /// Runs that a limit or a fault has ended.
        aborts,
        /// Runs that answered the client themselves.
        responds,
        /// Runs that chose a pool and ended the phase.
        pool_selects,
        /// Runs that sent the request to another node.
        retries,
        /// Runs that took longer than `trafficscript.execution_time_warning`.
        execution_time_warnings,
    }
}

counters! {
    /// What one worker counted for one pool.
    PoolCounters => PoolTotals {
        /// Requests for which this pool was asked for a node.
        requests,
        /// New connections opened to nodes.
        connections,
        /// Requests sent on an idle connection to a node.
        reused,
        /// Connections to nodes that failed to open.
        connect_failures,
        /// Idle connections that turned out to be closed by the node when a request was sent.
        stale,
        /// Requests sent again to another node after a failure.
        retries,
        /// Requests sent again to another node after it answered 503.
        retries_503,
        /// Requests that waited in the queue for a node below its limits.
        queued,
        /// Requests refused because `queue_timeout` passed in the queue, or the queue was full.
        queue_timeouts,
        /// Requests turned away because the queue was full.
        queue_full,
        /// Requests for which no node could be chosen.
        no_node,
        /// Requests answered by the failure pool instead.
        failed_over,
        /// Requests whose session was found.
        session_hits,
        /// Requests whose session was not found, or that had none yet.
        session_misses,
        /// Bytes written to nodes.
        bytes_to_nodes,
        /// Bytes read from nodes.
        bytes_from_nodes,
        /// Responses of nodes, 100–199.
        responses_1xx,
        /// Responses of nodes, 200–299.
        responses_2xx,
        /// Responses of nodes, 300–399.
        responses_3xx,
        /// Responses of nodes, 400–499.
        responses_4xx,
        /// Responses of nodes, 500–599.
        responses_5xx,
    }
    times {
        /// From the end of a request to the head of the node's response.
        response: Histogram => HistogramTotals,
        /// Time in the queue, of requests that waited.
        queue_time: Measure => MeasureTotals,
    }
}

impl PoolCounters {
    /// Counts a node's response by the class of its status; other numbers count nothing.
    #[inline]
    pub fn responded(&self, status: u16) {
        match status {
            100..=199 => self.responses_1xx.add(1),
            200..=299 => self.responses_2xx.add(1),
            300..=399 => self.responses_3xx.add(1),
            400..=499 => self.responses_4xx.add(1),
            500..=599 => self.responses_5xx.add(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn workers_count_apart_and_a_reader_sums() {
        let counters = Arc::new(Sharded::<VirtualServerCounters>::new(4));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let counters = Arc::clone(&counters);
                thread::spawn(move || {
                    let cell = counters.shard(worker);
                    for _ in 0..10_000 {
                        cell.requests.add(1);
                        cell.responded(if worker == 0 { 404 } else { 200 });
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        let totals = VirtualServerCounters::totals(&counters);
        assert_eq!((totals.requests, totals.responses_2xx, totals.responses_4xx), (40_000, 30_000, 10_000));
    }

    #[test]
    fn a_gauge_goes_up_and_down_but_not_below_zero() {
        let counters = Sharded::<VirtualServerCounters>::new(1);
        let current = &counters.shard(0).upgrades;
        current.add(2);
        current.sub(1);
        assert_eq!(VirtualServerCounters::totals(&counters).upgrades, 1);
        current.sub(5);
        assert_eq!(VirtualServerCounters::totals(&counters).upgrades, 0);
    }

    #[test]
    fn an_unknown_worker_counts_in_the_common_cell() {
        let counters = Sharded::<PoolCounters>::new(1);
        counters.shard(7).retries.add_shared(1);
        counters.common().retries.add_shared(1);
        counters.shard(0).retries.add(1);
        assert_eq!(counters.common().retries.get(), 2);
        assert_eq!(PoolCounters::totals(&counters).retries, 3);
        assert_eq!(counters.iter().count(), 2);
    }

    #[test]
    fn every_class_of_status_has_its_count() {
        let cell = VirtualServerCounters::default();
        for status in [100, 199, 200, 304, 404, 499, 500, 599, 600, 99] {
            cell.responded(status);
        }
        let read = cell.read();
        let classes = [
            read.responses_1xx,
            read.responses_2xx,
            read.responses_3xx,
            read.responses_4xx,
            read.responses_5xx,
        ];
        assert_eq!(classes, [2, 1, 1, 2, 2]);
    }

    #[test]
    fn totals_name_their_numbers() {
        let cell = PoolCounters::default();
        cell.stale.add(3);
        let named: Vec<_> = cell.read().named().filter(|(_, value)| *value != 0).collect();
        assert_eq!(named, [("stale", 3)]);
    }

    #[test]
    fn cells_do_not_share_cache_lines() {
        let counters = Sharded::<PoolCounters>::new(2);
        let (one, two) = (std::ptr::from_ref(counters.shard(0)), std::ptr::from_ref(counters.shard(1)));
        assert!(one.addr().abs_diff(two.addr()) >= 128);
        assert_eq!(one.addr() % 128, 0);
    }
}
