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
    use tidegate_model::VirtualServer;

    use crate::snapshot::{Rewrites, Rules, RunningServer};

    /// A virtual server with the settings of an empty document.
    pub(crate) fn settings() -> VirtualServer {
        VirtualServer {
            enabled: true,
            timeout: Some(Duration::from_secs(40)),
            ..VirtualServer::named("site")
        }
    }

    /// It runs, without a pool.
    pub(crate) fn running(settings: VirtualServer) -> RunningServer {
        RunningServer {
            rewrites: Rewrites::of(&settings),
            service_level: None,
            rules: Rules::default(),
            settings: Arc::new(settings),
            tls: None,
            pool: None,
            access_log: None,
            log_losses: tidegate_telemetry::access_log::Losses::new(1),
            traces: None,
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
