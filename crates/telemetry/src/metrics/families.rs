//! The table of metrics of virtual servers, pools and nodes; those of the process are in [`super::process`].

use std::{sync::LazyLock, time::SystemTime};

use tidegate_model::pool::NodeState;

use super::{Level, lines::Lines, process, rules};
use crate::observation::{Node, Observation, Pool, VirtualServer};

/// A metric: one name, with a sample per object and label.
#[derive(Clone, Copy)]
pub(super) struct Family {
    /// Name without the `_total` of counters.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Unit, which is then also the end of the name.
    pub(super) unit: Option<&'static str>,
    /// One sentence.
    pub(super) help: &'static str,
    /// Labels of its own besides the object's: the one of [`Samples::Each`]; of others, for the page.
    pub(super) labels: &'static str,
    pub(super) level: Level,
    pub(super) samples: Samples,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, until the process or the object begins anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Always 1; its labels say something.
    Info,
    /// Durations with buckets.
    Histogram,
    /// Durations as sum and count.
    Summary,
    /// Durations as sum and count, with buckets where [`super::Details::histograms`] asks for them.
    Duration,
}

/// Where samples come from.
#[derive(Clone, Copy)]
pub(super) enum Samples {
    /// Once.
    Process(fn(&Observation, SystemTime, &mut Lines)),
    /// Once: one sample.
    Value(fn(&Observation) -> u64),
    /// Once: a sample for each value of the label.
    Each(fn(&Observation) -> Vec<(&str, u64)>),
    /// From every virtual server.
    Server(fn(&VirtualServer, &mut Lines)),
    /// From every pool.
    Pool(fn(&Pool, &mut Lines)),
    /// From every node of every pool.
    Node(fn(&Node, &mut Lines)),
}

impl Family {
    const fn new(name: &'static str, kind: Kind, help: &'static str, samples: Samples) -> Self {
        Self { name, kind, unit: None, help, labels: "", level: Level::Always, samples }
    }

    pub(super) const fn process(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        samples: fn(&Observation, SystemTime, &mut Lines),
    ) -> Self {
        Self::new(name, kind, help, Samples::Process(samples))
    }

    /// Of the process: a number.
    pub(super) const fn value(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        sample: fn(&Observation) -> u64,
    ) -> Self {
        Self::new(name, kind, help, Samples::Value(sample))
    }

    /// Of the process: a number for each value of a label.
    pub(super) const fn each(
        label: &'static str,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        samples: fn(&Observation) -> Vec<(&str, u64)>,
    ) -> Self {
        Self::new(name, kind, help, Samples::Each(samples)).labels(label)
    }

    const fn server(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        samples: fn(&VirtualServer, &mut Lines),
    ) -> Self {
        Self::new(name, kind, help, Samples::Server(samples))
    }

    const fn pool(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        samples: fn(&Pool, &mut Lines),
    ) -> Self {
        Self::new(name, kind, help, Samples::Pool(samples))
    }

    const fn node(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        samples: fn(&Node, &mut Lines),
    ) -> Self {
        Self { level: Level::Nodes, ..Self::new(name, kind, help, Samples::Node(samples)) }
    }

    pub(super) const fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    pub(super) const fn labels(self, labels: &'static str) -> Self {
        Self { labels, ..self }
    }

    const fn more(self) -> Self {
        Self { level: Level::Objects, ..self }
    }
}

/// Every metric, in the order in which it is told.
pub(super) fn families() -> &'static [Family] {
    static ALL: LazyLock<Vec<Family>> =
        LazyLock::new(|| [process::FAMILIES, rules::FAMILIES, SERVERS, POOLS, NODES].concat());
    &ALL
}

use Kind::{Counter, Duration, Gauge, Summary};

const SERVERS: &[Family] = &[
    Family::server(
        "tidegate_virtual_server_serving",
        Gauge,
        "Whether the virtual server listens and serves.",
        |of, out| {
            out.value(u64::from(of.serving));
        },
    ),
    Family::server(
        "tidegate_virtual_server_connections",
        Gauge,
        "Client connections open now.",
        |of, out| {
            out.value(of.connections);
        },
    ),
    Family::server(
        "tidegate_virtual_server_connections_accepted",
        Counter,
        "Client connections accepted.",
        |of, out| {
            out.value(of.totals.connections);
        },
    ),
    Family::server(
        "tidegate_virtual_server_requests",
        Counter,
        "Requests whose head was complete and valid.",
        |of, out| {
            out.value(of.totals.requests);
        },
    ),
    Family::server(
        "tidegate_virtual_server_responses",
        Counter,
        "Responses sent, by class of status.",
        |of, out| {
            let totals = &of.totals;
            out.with("http_response_status_class", "1xx", totals.responses_1xx);
            out.with("http_response_status_class", "2xx", totals.responses_2xx);
            out.with("http_response_status_class", "3xx", totals.responses_3xx);
            out.with("http_response_status_class", "4xx", totals.responses_4xx);
            out.with("http_response_status_class", "5xx", totals.responses_5xx);
        },
    )
    .labels("http_response_status_class"),
    Family::server(
        "tidegate_virtual_server_failed_requests",
        Counter,
        "Requests that were not answered by a node as they should be: discarded, timed out, broken off, or without a working node.",
        |of, out| {
            let totals = &of.totals;
            out.value(
                totals.discarded
                    + totals.connect_failures
                    + totals.errors
                    + totals.reply_timeouts
                    + totals.data_timeouts
                    + totals.transaction_timeouts,
            );
        },
    ),
    Family::server(
        "tidegate_virtual_server_received_bytes",
        Counter,
        "Bytes read from clients.",
        |of, out| {
            out.value(of.totals.bytes_in);
        },
    )
    .unit("bytes"),
    Family::server("tidegate_virtual_server_sent_bytes", Counter, "Bytes written to clients.", |of, out| {
        out.value(of.totals.bytes_out);
    })
    .unit("bytes"),
    Family::server(
        "tidegate_virtual_server_request_duration_seconds",
        Duration,
        "From the first byte of a request to the last of its response.",
        |of, out| {
            out.durations(&of.totals.duration);
        },
    )
    .unit("seconds"),
    Family::server(
        "tidegate_virtual_server_tls_handshakes",
        Counter,
        "TLS handshakes with clients, by whether they resumed a session.",
        |of, out| {
            if of.tls {
                out.with("resumed", "false", of.totals.tls_handshakes.saturating_sub(of.totals.tls_resumed));
                out.with("resumed", "true", of.totals.tls_resumed);
            }
        },
    )
    .labels("resumed"),
    Family::server(
        "tidegate_virtual_server_tls_failures",
        Counter,
        "TLS handshakes with clients that failed.",
        |of, out| {
            if of.tls {
                out.value(of.totals.tls_failures);
            }
        },
    ),
    Family::server(
        "tidegate_virtual_server_access_log_dropped_lines",
        Counter,
        "Lines of the access log dropped because the writer did not keep up.",
        |of, out| {
            out.value(of.log_lines_dropped);
        },
    ),
    Family::server(
        "tidegate_virtual_server_access_log_lost_bytes",
        Counter,
        "Bytes of the access log that were lost because its file could not be written.",
        |of, out| {
            out.value(of.log_bytes_lost);
        },
    )
    .unit("bytes"),
    Family::server("tidegate_virtual_server_failures", Counter, "What went wrong, by reason.", |of, out| {
        let totals = &of.totals;
        for (reason, count) in [
            ("accept_over_limit", totals.connections_over_limit),
            ("client_connect_timeout", totals.connect_timeouts),
            ("keepalive_timeout", totals.keepalive_timeouts),
            ("data_timeout", totals.data_timeouts),
            ("transaction_timeout", totals.transaction_timeouts),
            ("node_reply_timeout", totals.reply_timeouts),
            ("node_connect", totals.connect_failures),
            ("discarded", totals.discarded),
            ("proxy_header", totals.proxy_header_failures),
            ("other", totals.errors),
        ] {
            out.with("reason", reason, count);
        }
    })
    .labels("reason")
    .more(),
    Family::server(
        "tidegate_virtual_server_generated_responses",
        Counter,
        "Responses made here and not by a node, by class of status.",
        |of, out| {
            let totals = &of.totals;
            out.with("http_response_status_class", "2xx", totals.generated_2xx);
            out.with("http_response_status_class", "3xx", totals.generated_3xx);
            out.with("http_response_status_class", "4xx", totals.generated_4xx);
            out.with("http_response_status_class", "5xx", totals.generated_5xx);
        },
    )
    .labels("http_response_status_class")
    .more(),
    Family::server(
        "tidegate_virtual_server_upgrades",
        Counter,
        "Connections switched to another protocol.",
        |of, out| {
            out.value(of.totals.upgrades);
        },
    )
    .more(),
];

const POOLS: &[Family] = &[
    Family::pool("tidegate_pool_nodes", Gauge, "Nodes of the pool, leaving ones included.", |of, out| {
        out.value(of.nodes.len() as u64);
    }),
    Family::pool(
        "tidegate_pool_nodes_available",
        Gauge,
        "Nodes that take new sessions: active, not leaving, and working as far as requests and monitors say.",
        |of, out| {
            let available = |node: &&Node| node.alive && !node.leaving && node.state == NodeState::Active;
            out.value(of.nodes.iter().filter(available).count() as u64);
        },
    ),
    Family::pool(
        "tidegate_pool_requests",
        Counter,
        "Requests for which the pool was asked for a node.",
        |of, out| {
            out.value(of.totals.requests);
        },
    ),
    Family::pool("tidegate_pool_retries", Counter, "Requests sent again to another node.", |of, out| {
        out.value(of.totals.retries);
    }),
    Family::pool(
        "tidegate_pool_connect_failures",
        Counter,
        "Connections to nodes that could not be opened.",
        |of, out| {
            out.value(of.totals.connect_failures);
        },
    ),
    Family::pool("tidegate_pool_no_node", Counter, "Requests for which no node was left.", |of, out| {
        out.value(of.totals.no_node);
    }),
    Family::pool(
        "tidegate_pool_queue_length",
        Gauge,
        "Requests that wait for a node below its limits.",
        |of, out| {
            out.value(of.waiting);
        },
    ),
    Family::pool(
        "tidegate_pool_queue_timeouts",
        Counter,
        "Requests refused because the queue was full or the wait in it too long.",
        |of, out| {
            out.value(of.totals.queue_timeouts);
        },
    ),
    Family::pool(
        "tidegate_pool_node_response_seconds",
        Duration,
        "From the end of a request to the head of the node's response.",
        |of, out| {
            out.durations(&of.totals.response);
        },
    )
    .unit("seconds"),
    Family::pool(
        "tidegate_pool_node_responses",
        Counter,
        "Responses of nodes, by class of status.",
        |of, out| {
            let totals = &of.totals;
            out.with("http_response_status_class", "1xx", totals.responses_1xx);
            out.with("http_response_status_class", "2xx", totals.responses_2xx);
            out.with("http_response_status_class", "3xx", totals.responses_3xx);
            out.with("http_response_status_class", "4xx", totals.responses_4xx);
            out.with("http_response_status_class", "5xx", totals.responses_5xx);
        },
    )
    .labels("http_response_status_class")
    .more(),
    Family::pool(
        "tidegate_pool_node_connections",
        Counter,
        "Requests by whether their connection to the node was new or had carried one before.",
        |of, out| {
            out.with("reused", "false", of.totals.connections);
            out.with("reused", "true", of.totals.reused);
        },
    )
    .labels("reused")
    .more(),
    Family::pool(
        "tidegate_pool_stale_connections",
        Counter,
        "Idle connections that turned out to be closed by the node.",
        |of, out| {
            out.value(of.totals.stale);
        },
    )
    .more(),
    Family::pool(
        "tidegate_pool_retries_503",
        Counter,
        "Requests sent again because a node answered 503.",
        |of, out| {
            out.value(of.totals.retries_503);
        },
    )
    .more(),
    Family::pool("tidegate_pool_failed_over", Counter, "Requests handed to the failure pool.", |of, out| {
        out.value(of.totals.failed_over);
    })
    .more(),
    Family::pool(
        "tidegate_pool_queue_seconds",
        Summary,
        "Time in the queue, of requests that waited.",
        |of, out| {
            out.measured(&of.totals.queue_time);
        },
    )
    .unit("seconds")
    .more(),
    Family::pool("tidegate_pool_sent_bytes", Counter, "Bytes written to nodes.", |of, out| {
        out.value(of.totals.bytes_to_nodes);
    })
    .unit("bytes")
    .more(),
    Family::pool("tidegate_pool_received_bytes", Counter, "Bytes read from nodes.", |of, out| {
        out.value(of.totals.bytes_from_nodes);
    })
    .unit("bytes")
    .more(),
    Family::pool("tidegate_pool_sessions", Gauge, "Sessions in the table of the pool.", |of, out| {
        out.value(of.sessions);
    })
    .more(),
    Family::pool(
        "tidegate_pool_session_lookups",
        Counter,
        "Requests to a pool with persistence, by whether their session was found.",
        |of, out| {
            out.with("found", "false", of.totals.session_misses);
            out.with("found", "true", of.totals.session_hits);
        },
    )
    .labels("found")
    .more(),
    Family::pool(
        "tidegate_pool_sessions_moved",
        Counter,
        "Requests of a session sent to another node than the session's.",
        |of, out| {
            out.value(of.sessions_moved);
        },
    )
    .more(),
    Family::pool("tidegate_pool_sessions_forgotten", Counter, "Sessions forgotten, by reason.", |of, out| {
        out.with("reason", "full", of.sessions_evicted);
        out.with("reason", "unused", of.sessions_expired);
    })
    .labels("reason")
    .more(),
];

const NODES: &[Family] = &[
    Family::node(
        "tidegate_node_alive",
        Gauge,
        "Whether requests and monitors say that the node works.",
        |of, out| {
            out.value(u64::from(of.alive));
        },
    ),
    Family::node(
        "tidegate_node_draining",
        Gauge,
        "Whether the node takes requests of existing sessions only, or none.",
        |of, out| {
            out.value(u64::from(of.leaving || of.state != NodeState::Active));
        },
    ),
    Family::node("tidegate_node_requests_in_flight", Gauge, "Requests in progress.", |of, out| {
        out.value(of.in_flight);
    }),
    Family::node("tidegate_node_connections", Gauge, "Open connections, idle ones included.", |of, out| {
        out.value(of.connections);
    }),
    Family::node("tidegate_node_idle_connections", Gauge, "Idle connections.", |of, out| {
        out.value(of.idle);
    }),
    Family::node("tidegate_node_requests", Counter, "Requests begun.", |of, out| {
        out.value(of.requests);
    }),
    Family::node("tidegate_node_errors", Counter, "Attempts that failed.", |of, out| {
        out.value(of.errors);
    }),
    Family::node("tidegate_node_failures", Counter, "How often the node was found failed.", |of, out| {
        out.value(of.failures);
    }),
    Family::node(
        "tidegate_node_response_seconds",
        Summary,
        "From the end of a request to the head of the response.",
        |of, out| {
            out.measured(&of.responses);
        },
    )
    .unit("seconds"),
    Family::node("tidegate_node_sent_bytes", Counter, "Bytes written to the node.", |of, out| {
        out.value(of.bytes_to_node);
    })
    .unit("bytes"),
    Family::node("tidegate_node_received_bytes", Counter, "Bytes read from the node.", |of, out| {
        out.value(of.bytes_from_node);
    })
    .unit("bytes"),
];
