//! Message heads rewritten as bytes: what a node gets for a client's head, and the other way round.
//!
//! Heads are copied in runs: only lines that must go or change interrupt the copy.

pub(crate) mod cookie;
pub(crate) mod error_page;
pub(crate) mod location;
pub(crate) mod request_head;
pub(crate) mod response_head;

/// Appends the lines of `bytes[..end]` from `start`, leaving out the ranges that `dropped` yields in order.
pub(crate) fn copy_lines_without(
    out: &mut Vec<u8>,
    bytes: &[u8],
    start: usize,
    end: usize,
    dropped: impl Iterator<Item = std::ops::Range<usize>>,
) {
    let mut from = start;
    for line in dropped {
        out.extend_from_slice(bytes.get(from..line.start).unwrap_or_default());
        from = line.end;
    }
    out.extend_from_slice(bytes.get(from..end).unwrap_or_default());
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{sync::Arc, time::Duration};

    use tidegate_http1::{limits::Limits, request::RequestHead, response::ResponseHead};
    use tidegate_model::{
        VirtualServer, VirtualServerName,
        virtual_server::{
            CookieRewrite, DefaultPool, ErrorPage, FailureLog, HttpOptions, Listen, LocationRewrite,
            Protocol, ProxyProtocol,
        },
    };

    use crate::snapshot::{Rewrites, Rules, RunningServer};

    /// A virtual server with the settings of an empty document.
    pub(crate) fn settings() -> VirtualServer {
        VirtualServer {
            name: VirtualServerName::from("site"),
            enabled: true,
            protocol: Protocol::Http,
            listen: Listen::Any,
            port: 80,
            pool: DefaultPool::Discard,
            request_rules: Vec::new(),
            response_rules: Vec::new(),
            completion_rules: Vec::new(),
            connect_timeout: Some(Duration::from_secs(10)),
            timeout: Some(Duration::from_secs(40)),
            keepalive: true,
            keepalive_timeout: Duration::from_secs(10),
            max_transaction_duration: None,
            max_client_buffer: 65_536,
            max_server_buffer: 65_536,
            max_concurrent_connections: None,
            proxy_protocol: ProxyProtocol::Off,
            http: HttpOptions {
                add_cluster_ip: true,
                add_x_forwarded_for: false,
                add_x_forwarded_proto: false,
                strip_x_forwarded_proto: true,
                location_rewrite: LocationRewrite::IfHostMatches,
                location_pattern: None,
                upgrades: vec!["websocket".into()],
            },
            cookie: CookieRewrite::default(),
            error_page: ErrorPage::Default,
            access_log: None,
            failure_log: FailureLog::default(),
            tls: None,
            nagle: false,
            close_with_rst: false,
        }
    }

    /// It runs, without a pool.
    pub(crate) fn running(settings: VirtualServer) -> RunningServer {
        RunningServer {
            rewrites: Rewrites::of(&settings),
            rules: Rules::default(),
            settings: Arc::new(settings),
            tls: None,
            pool: None,
            access_log: None,
            counters: Arc::new(tidegate_telemetry::counters::Sharded::new(1)),
            connections: Arc::default(),
        }
    }

    /// A parsed request.
    pub(crate) fn request(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes(), &Limits::default()).expect("a request head");
        head
    }

    /// A parsed response to a GET.
    pub(crate) fn response(text: &str) -> ResponseHead {
        let mut head = ResponseHead::default();
        let asked = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        head.parse(text.as_bytes(), &Limits::default(), &asked).expect("a response head");
        head
    }
}
