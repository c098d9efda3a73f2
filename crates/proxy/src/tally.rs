//! Where the data path counts: one function per thing that happens to a connection or request.
//!
//! All of them write cells of the worker they run on ([`tidegate_telemetry::counters`]): ordinary additions in memory
//! that no other thread writes. A request that nothing happens to costs about twenty of them.

use std::{cell::Cell, time::Duration};

use tidegate_pool::{Node, Session, session::Found};
use tidegate_telemetry::counters::{PoolCounters, ProcessCounters, VirtualServerCounters};

use crate::{
    connection::Client,
    failure::{Failure, Kind},
    service_level::{RunningLevel, Standing},
    snapshot::{ListenAddress, RunningPool, RunningServer},
    virtual_server::Exchange,
    worker::Worker,
};

/// The worker's cell of the process.
pub(crate) fn process(worker: &Worker) -> &ProcessCounters {
    worker.shared.counters.shard(worker.index)
}

/// The worker's cell of a virtual server.
pub(crate) fn server<'a>(worker: &Worker, server: &'a RunningServer) -> &'a VirtualServerCounters {
    server.counters.shard(worker.index)
}

/// The worker's cell of a pool.
pub(crate) fn pool<'a>(worker: &Worker, pool: &'a RunningPool) -> &'a PoolCounters {
    pool.counters.shard(worker.index)
}

/// A complete request head was accepted. Counted before anything is answered, so that whoever has an answer finds his
/// request counted.
pub(crate) fn begun(client: &Client, exchange: &Exchange<'_>) {
    server(&client.worker, &exchange.server).requests.add(1);
    process(&client.worker).requests.add(1);
    client.listen.counters.shard(client.worker.index).requests.add(1);
}

/// The request is over, `duration` after it began.
pub(crate) fn finished(client: &Client, exchange: &Exchange<'_>, duration: Duration) {
    let answered = &exchange.answered;
    let (bytes_in, bytes_out) = (
        answered.bytes_in + exchange.head_bytes().len() as u64,
        answered.bytes + u64::from(answered.head_bytes),
    );
    moved(client, &exchange.server, bytes_in, bytes_out);
    // What follows an upgrade is a conversation of any length.
    if answered.status != 101 {
        process(&client.worker).finished(answered.status, duration);
        server(&client.worker, &exchange.server).duration.record(duration);
    }
}

/// A request of a protocol without statuses is over, `duration` after it began. Its bytes were counted as they moved.
pub(crate) fn conversed(client: &Client, exchange: &Exchange<'_>, duration: Duration) {
    server(&client.worker, &exchange.server).duration.record(duration);
    process(&client.worker).finished(0, duration);
}

/// A node has begun to answer by a protocol without statuses, `after` it was asked.
pub(crate) fn heard(client: &Client, of: &RunningPool, node: &Node, after: Duration) {
    pool(&client.worker, of).response.record(after);
    process(&client.worker).node_response.record(after);
    node.counters().shard(client.worker.index).response.record(after);
}

/// Bytes came from and went to a client.
pub(crate) fn moved(client: &Client, of: &RunningServer, bytes_in: u64, bytes_out: u64) {
    moved_on((&client.worker, &client.listen, of), (bytes_in, bytes_out));
}

/// [`moved`], of a connection that is in use.
pub(crate) fn moved_on(
    (worker, listen, of): (&Worker, &ListenAddress, &RunningServer),
    (bytes_in, bytes_out): (u64, u64),
) {
    let (server, process) = (server(worker, of), process(worker));
    let listen = listen.counters.shard(worker.index);
    server.bytes_in.add(bytes_in);
    process.bytes_in.add(bytes_in);
    listen.bytes_in.add(bytes_in);
    server.bytes_out.add(bytes_out);
    process.bytes_out.add(bytes_out);
    listen.bytes_out.add(bytes_out);
}

/// A request failed for good.
pub(crate) fn failed(client: &Client, exchange: &Exchange<'_>, failure: &Failure) {
    let counters = server(&client.worker, &exchange.server);
    match failure.kind {
        Kind::Discard => counters.discarded.add(1),
        // It is counted as a response.
        Kind::BadRequest(..) => {}
        Kind::ClientTimedOut => counters.data_timeouts.add(1),
        Kind::TransactionTimedOut | Kind::IdleTimedOut | Kind::RuleTimedOut => {
            let over = exchange.end().is_some_and(|end| client.worker.now() >= end);
            if over { counters.transaction_timeouts.add(1) } else { counters.data_timeouts.add(1) }
        }
        Kind::Connect | Kind::ConnectTimedOut | Kind::NodeTls => counters.connect_failures.add(1),
        Kind::ReplyTimedOut => counters.reply_timeouts.add(1),
        Kind::ClientGone
        | Kind::Rule(_)
        | Kind::ClosedEarly
        | Kind::StaleConnection
        | Kind::InvalidResponse(_)
        | Kind::Unavailable
        | Kind::NoNode
        | Kind::QueueTimedOut
        | Kind::SessionLost => counters.errors.add(1),
    }
}

/// A pool was asked for a node.
pub(crate) fn asked(client: &Client, of: &RunningPool, session: &Session) {
    let counters = pool(&client.worker, of);
    counters.requests.add(1);
    match session.found() {
        Found::Off => {}
        Found::Node(_) => counters.session_hits.add(1),
        Found::New | Found::Lost => counters.session_misses.add(1),
    }
}

/// A request goes over a connection that carried one before.
pub(crate) fn reused(client: &Client, of: &RunningPool, node: &Node) {
    pool(&client.worker, of).reused.add(1);
    node.counters().shard(client.worker.index).reused.add(1);
}

/// A connection to a node was opened, or not.
pub(crate) fn connected(client: &Client, of: &RunningPool, node: &Node, success: bool) {
    let counters = pool(&client.worker, of);
    if success {
        counters.connections.add(1);
        node.counters().shard(client.worker.index).connections.add(1);
    } else {
        counters.connect_failures.add(1);
    }
}

/// An attempt at a node failed, whether or not another follows.
pub(crate) fn node_failed(client: &Client, node: &Node, failure: &Failure) {
    if failure.node_failure().is_some() {
        node.counters().shard(client.worker.index).errors.add(1);
        process(&client.worker).node_failures.add(1);
    }
}

/// The head of a node's final response is there, `after` the end of the request.
pub(crate) fn answered(client: &Client, of: &RunningPool, node: &Node, status: u16, after: Duration) {
    let counters = pool(&client.worker, of);
    counters.responded(status);
    counters.response.record(after);
    process(&client.worker).node_response.record(after);
    node.counters().shard(client.worker.index).response.record(after);
}

/// An exchange with a node is over.
pub(crate) fn exchanged(client: &Client, of: &RunningPool, node: &Node, to_node: u64, from_node: u64) {
    exchanged_on(&client.worker, of, node, to_node, from_node);
}

/// [`exchanged`], of a connection that is in use.
pub(crate) fn exchanged_on(worker: &Worker, of: &RunningPool, node: &Node, to_node: u64, from_node: u64) {
    let counters = pool(worker, of);
    counters.bytes_to_nodes.add(to_node);
    counters.bytes_from_nodes.add(from_node);
    let counters = node.counters().shard(worker.index);
    counters.bytes_to_node.add(to_node);
    counters.bytes_from_node.add(from_node);
}

/// A request begins to wait in the queue of a pool.
pub(crate) fn waits(worker: &Worker, of: &RunningPool) {
    pool(worker, of).queued.add(1);
}

/// A wait in the queue of a pool is over, however it ended. `queued` is where the request adds up its waits.
pub(crate) fn waited(worker: &Worker, of: &RunningPool, queued: &Cell<u32>, since: Duration) {
    let waited = worker.elapsed().saturating_sub(since);
    pool(worker, of).queue_time.record(waited);
    process(worker).queue.record(waited);
    let waited = u32::try_from(waited.as_micros()).unwrap_or(u32::MAX);
    queued.set(queued.get().saturating_add(waited));
}

/// A TLS handshake with a client is complete.
pub(crate) fn shaken(client: &Client, connection: &rustls::ServerConnection) {
    let counters = server(&client.worker, &client.server);
    counters.tls_handshakes.add(1);
    match connection.handshake_kind() {
        Some(rustls::HandshakeKind::Resumed) => counters.tls_resumed.add(1),
        Some(rustls::HandshakeKind::FullWithHelloRetryRequest) => counters.tls_hello_retries.add(1),
        _ => {}
    }
    match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => process(&client.worker).tls13.add(1),
        _ => process(&client.worker).tls12.add(1),
    }
}

/// A TLS handshake with a client failed.
pub(crate) fn not_shaken(client: &Client, error: Option<&std::io::Error>) {
    server(&client.worker, &client.server).tls_failures.add(1);
    let error =
        error.and_then(std::io::Error::get_ref).and_then(|error| error.downcast_ref::<rustls::Error>());
    let counters = process(&client.worker);
    match error {
        Some(rustls::Error::NoCertificatesPresented) => counters.client_certificates_missing.add(1),
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. },
        )) => counters.client_certificates_expired.add(1),
        Some(rustls::Error::InvalidCertificate(_)) => counters.client_certificates_invalid.add(1),
        _ => {}
    }
}

/// A request is over to which a node has responded: what that says about its class of service.
pub(crate) fn level_of_response(client: &Client, exchange: &Exchange<'_>) {
    if let (Some(level), Some(took)) = (exchange.service_level(), exchange.answered.responded()) {
        count_level(client, level, Some(took));
    }
}

/// A request failed for good: what that says about its class of service.
pub(crate) fn level_of_failure(client: &Client, exchange: &Exchange<'_>, failure: &Failure) {
    let of_nodes =
        failure.node_failure().is_some() || matches!(failure.kind, Kind::NoNode | Kind::QueueTimedOut);
    if let Some(level) = exchange.service_level()
        && of_nodes
        && exchange.answered.responded().is_none()
    {
        count_level(client, level, None);
    }
}

fn count_level(client: &Client, level: &RunningLevel, took: Option<Duration>) {
    let now = client.worker.recent();
    let Some((before, standing)) = level.count(client.worker.index, took, now) else { return };
    let (class, conforming) = (level.settings.name.as_str(), level.conforming(now));
    match (before, standing) {
        (_, Standing::Serious) => {
            tracing::error!(
                event = "slmfallenbelowserious",
                class,
                conforming,
                "a service level class is not met"
            );
        }
        (Standing::Serious, _) => {
            tracing::warn!(
                event = "slmrecoveredserious",
                class,
                conforming,
                "a service level class is met again"
            );
        }
        (_, Standing::Warning) => {
            tracing::warn!(
                event = "slmfallenbelowwarn",
                class,
                conforming,
                "a service level class is hardly met"
            );
        }
        (_, Standing::Fine) => {
            tracing::info!(
                event = "slmrecoveredwarn",
                class,
                conforming,
                "a service level class is well met again"
            );
        }
    }
}
