//! The access log of a virtual server: what a finished request tells it.
//!
//! ```text
//! asked (request line, headers) → answered (pool, node, response headers) → record (one line, never waits)
//! ```
//!
//! Nothing here runs for a virtual server that keeps no log, and all of it is out of the way of the requests of one that
//! keeps none. `log.save_all` says whether a request is logged of which rules (`requestlog.include`,
//! `requestlog.exclude`) say nothing.

use std::{
    hint::cold_path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_http1::{request::RequestHead, response::ResponseHead};
use tidegate_pool::{Node, Session, Slot, session::Found};
use tidegate_telemetry::access_log::{Captured, Details, Format, Record};

use crate::{
    connection::Client, failure::Failure, forward::claim::Claim, snapshot::RunningPool,
    virtual_server::Exchange,
};

/// What a request's line in the log needs besides what counters need.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    captured: Captured,
    pool: Option<Arc<tidegate_model::Pool>>,
    node: Option<Arc<Node>>,
    response_time: Option<Duration>,
    session: Option<&'static str>,
    failure: Option<&'static str>,
}

impl Entry {
    /// Lets go of what it points to; the memory of its texts stays.
    pub(crate) fn forget(&mut self) {
        self.pool = None;
        self.node = None;
        (self.response_time, self.session, self.failure) = (None, None, None);
    }
}

/// A request came in.
pub(crate) fn asked(exchange: &mut Exchange<'_>, client: &Client) {
    let Some(log) = &exchange.server.access_log else { return };
    cold_path();
    // Whatever rules may still say: it is too late to look at the request then.
    if !(is_wanted(exchange) || exchange.server.rules.are_some()) {
        return;
    }
    let mut entry = client.worker.log_entries.lend();
    let bytes = exchange.head_bytes();
    capture_request(&mut entry.captured, log.format(), exchange.head, bytes);
    exchange.answered.log = Some(entry);
}

/// Whether the request is for the log, as far as it is known now.
pub(crate) fn is_wanted(exchange: &Exchange<'_>) -> bool {
    let server = &exchange.server;
    server.access_log.is_some()
        && exchange
            .said()
            .and_then(|said| said.logged)
            .unwrap_or_else(|| server.settings.access_log.as_ref().is_some_and(|log| log.save_all))
}

/// A node gets it.
pub(crate) fn tried(exchange: &mut Exchange<'_>, pool: &RunningPool, claim: &Claim) {
    let Some(entry) = &mut exchange.answered.log else { return };
    cold_path();
    entry.pool = Some(Arc::clone(&pool.settings));
    entry.node = Some(Arc::clone(claim.node()));
}

/// A node answered it.
pub(crate) fn answered(exchange: &mut Exchange<'_>, head: &ResponseHead, bytes: &[u8]) {
    let Some(log) = &exchange.server.access_log else { return };
    cold_path();
    let Some(entry) = &mut exchange.answered.log else { return };
    let headers = head.headers().iter().map(|header| (header.name(bytes), header.value(bytes)));
    entry.captured.response(log.format(), headers);
}

/// How long the node took, and what became of the session.
pub(crate) fn decided(exchange: &mut Exchange<'_>, session: &Session, slot: Slot, response_time: Duration) {
    let Some(entry) = &mut exchange.answered.log else { return };
    cold_path();
    entry.response_time = Some(response_time);
    entry.session = session_word(session, slot);
}

/// What persistence decided: the session's node got the request, or another; `None` = the pool has no sessions.
pub(crate) fn session_word(session: &Session, slot: Slot) -> Option<&'static str> {
    match session.found() {
        Found::Off => None,
        Found::New => Some("new"),
        Found::Node(known) if known == slot => Some("kept"),
        Found::Node(_) | Found::Lost => Some("moved"),
    }
}

/// It could not be answered as it should.
pub(crate) fn failed(exchange: &mut Exchange<'_>, failure: &Failure) {
    if let Some(entry) = &mut exchange.answered.log {
        entry.failure = Some(failure.text());
    }
}

/// The exchange is over: one line.
pub(crate) fn record(client: &Client, exchange: &mut Exchange<'_>) {
    let Some(log) = &exchange.server.access_log else { return };
    cold_path();
    let Some(mut entry) = exchange.answered.log.take() else { return };
    if !is_wanted(exchange) {
        entry.forget();
        client.worker.log_entries.keep(entry);
        return;
    }
    let answered = &exchange.answered;
    let record = Record {
        client: client.peer.ip(),
        local: client.local,
        virtual_server: exchange.server.name().as_str(),
        pool: entry.pool.as_ref().map(|pool| pool.name.as_str()),
        node: entry.node.as_ref().map(|node| &**node.label()),
        status: (answered.status != 0).then_some(answered.status),
        body_sent: answered.bytes,
        bytes_in: answered.bytes_in + exchange.head_bytes().len() as u64,
        bytes_out: answered.bytes + u64::from(answered.head_bytes),
        duration: client.worker.elapsed().saturating_sub(exchange.began),
        retries: answered.retries,
        tls: client.tls_session(),
        captured: &entry.captured,
        details: Details {
            queued: Duration::from_micros(answered.queued.get().into()),
            response_time: entry.response_time,
            session: entry.session,
            failure: entry.failure,
            trace: exchange.trace.as_ref().map(|trace| trace.ids()),
        },
    };
    // A line that finds no room is dropped and counted by the log.
    log.write(client.worker.index, &record, SystemTime::now());
    entry.forget();
    client.worker.log_entries.keep(entry);
}

/// What came was no request: its line says so, with nothing of what was sent.
pub(crate) fn refused(client: &Client, failure: &Failure, status: u16, bytes: usize) {
    let Some(log) = &client.server.access_log else { return };
    // No rule has seen it.
    if client.server.settings.access_log.as_ref().is_none_or(|log| !log.save_all) {
        return;
    }
    let record = Record {
        client: client.peer.ip(),
        local: client.local,
        virtual_server: client.server.name().as_str(),
        pool: None,
        node: None,
        status: Some(status),
        body_sent: bytes as u64,
        bytes_in: client.buffer.len() as u64,
        bytes_out: bytes as u64,
        duration: Duration::ZERO,
        retries: 0,
        tls: client.tls_session(),
        captured: &Captured::default(),
        details: Details { failure: Some(failure.text()), ..Details::default() },
    };
    log.write(client.worker.index, &record, SystemTime::now());
}

fn capture_request(captured: &mut Captured, format: &Format, head: &RequestHead, bytes: &[u8]) {
    let line = bytes.get(head.line_start()..head.headers_start()).unwrap_or_default();
    let headers = head.headers().iter().map(|header| (header.name(bytes), header.value(bytes)));
    captured.request(format, line.strip_suffix(b"\r\n").unwrap_or(line), headers);
}
