//! Connections to nodes: taken from the worker's idle ones, or made; given back, or closed.
//!
//! A [`NodeConnection`] knows whether it was reused: one that was and fails before the node says anything had
//! probably been closed by the node in the meantime, which says nothing about the node (see
//! [`crate::failure::Kind::StaleConnection`]).

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    hash::{BuildHasherDefault, Hasher},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tidegate_model::Moment;
use tidegate_pool::{Node, OpenConnection};
use tidegate_telemetry::logging::EventLimit;
use tokio_rustls::TlsConnector;

use crate::{
    failure::Kind,
    relay::Guarded,
    snapshot::{RunningPool, Snapshot},
    socket::Socket,
    stream::Stream,
    worker::Worker,
};

/// An open connection to a node.
#[derive(Debug)]
pub(crate) struct NodeConnection {
    /// The bytes.
    pub(crate) stream: Stream,
    /// Whether it carried a request before.
    pub(crate) reused: bool,
    open: OpenConnection,
}

impl NodeConnection {
    /// The node at the other end.
    pub(crate) fn node(&self) -> &Arc<Node> {
        self.open.node()
    }

    /// Closes the connection and hands its place on the node to another one.
    pub(crate) fn replace(self) -> OpenConnection {
        self.open
    }

    /// Makes the coming close a reset (`node_close_with_rst`).
    pub(crate) fn reset_on_close(&mut self) {
        if let Some(socket) = self.stream.socket() {
            socket.reset_on_close();
        }
    }
}

/// How a connection is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directions<'a> {
    /// `source_ip`: the address to connect from.
    pub(crate) source: Option<IpAddr>,
    /// Host name the node is configured by.
    pub(crate) node_name: Option<&'a str>,
    /// Host of the request, without port.
    pub(crate) request_host: Option<&'a [u8]>,
}

/// Connects to the node that `open` is a place on and does the TLS handshake if the pool asks for one. The guard's
/// deadline must be armed with `max_connect_time`.
pub(crate) async fn connect(
    pool: &RunningPool,
    open: OpenConnection,
    way: Directions<'_>,
    guard: &mut Guarded<'_>,
) -> Result<NodeConnection, Kind> {
    let node = open.node();
    let mut socket = Socket::connect(node.address(), way.source, !pool.settings.nagle).map_err(|error| {
        tracing::debug!(pool = %pool.settings.name, node = %node.label(), %error, "failed to connect");
        Kind::Connect
    })?;
    poll_fn(|cx| {
        let connected = socket.poll_connected(cx);
        guard.or_passed(cx, connected)
    })
    .await
    .ok_or(Kind::ConnectTimedOut)?
    .map_err(|_| Kind::Connect)?;
    let stream = match &pool.tls {
        None => Stream::Plain(socket),
        Some(tls) => {
            let (config, name) = tls.session(node.address(), way.node_name, way.request_host);
            let mut handshake = std::pin::pin!(TlsConnector::from(config).connect(name, socket));
            let shaken = poll_fn(|cx| {
                let polled = Future::poll(handshake.as_mut(), cx);
                guard.or_passed(cx, polled)
            })
            .await
            .ok_or(Kind::ConnectTimedOut)?;
            match shaken {
                Ok(stream) => {
                    Stream::tls(stream, pool.settings.tls.as_ref().is_some_and(|tls| tls.send_close_alerts))
                }
                Err(error) => {
                    if let Some(held_back) = HANDSHAKES.admit(guard.now()) {
                        tracing::warn!(pool = %pool.settings.name, node = %node.label(), %error, held_back, "failed the TLS handshake with the node");
                    }
                    return Err(Kind::NodeTls);
                }
            }
        }
    };
    Ok(NodeConnection { stream, reused: false, open })
}

/// A node that fails its handshakes fails them all.
static HANDSHAKES: EventLimit = EventLimit::new();

/// One worker's idle connections to nodes, newest last.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections(RefCell<HashMap<u32, Vec<Idle>, BuildHasherDefault<NodeIdHasher>>>);

#[derive(Debug)]
struct Idle {
    connection: NodeConnection,
    since: Moment,
}

impl IdleConnections {
    /// The idle connection to `node` that was used last, if one is still good.
    pub(crate) fn take(&self, node: &Node) -> Option<NodeConnection> {
        let mut all = self.0.borrow_mut();
        let idle = all.get_mut(&node.id())?;
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if !connection.stream.is_stale() {
                connection.open.set_idle(false);
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete, unless its node has enough of them or is leaving.
    pub(crate) fn put(&self, worker: &Worker, pool: &RunningPool, mut connection: NodeConnection) {
        let node = connection.node();
        if node.is_gone()
            || node.is_leaving()
            || node.idle_connections() >= pool.settings.max_idle_connections_pernode
        {
            return;
        }
        let id = node.id();
        connection.open.set_idle(true);
        connection.stream.rest();
        self.0.borrow_mut().entry(id).or_default().push(Idle { connection, since: worker.recent() });
    }

    /// Closes connections that have been idle for `limit`, and those their nodes have closed.
    pub(crate) fn sweep(&self, now: Moment, limit: Duration) {
        self.retain(|idle| now.since(idle.since) < limit && !idle.connection.stream.is_stale());
    }

    /// Closes connections that stand in the way of requests waiting for a place on the same pool: the places
    /// of `max_connections_per_node` are shared by all workers, idle connections are not.
    pub(crate) fn yield_to_waiting(&self, view: &Snapshot) {
        let waited_for = |idle: &Idle| {
            view.pools.get(idle.connection.node().pool()).is_some_and(|pool| pool.queue.len() > 0)
        };
        self.retain(|idle| !waited_for(idle));
    }

    /// Closes connections to nodes that left the pool or are on their way out.
    pub(crate) fn drop_leavers(&self) {
        self.retain(|idle| !idle.connection.node().is_gone() && !idle.connection.node().is_leaving());
    }

    fn retain(&self, mut keep: impl FnMut(&mut Idle) -> bool) {
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain_mut(&mut keep);
            !idle.is_empty()
        });
    }
}

/// Node ids are small unique numbers: they are their own hash, spread by one multiplication.
#[derive(Debug, Default)]
struct NodeIdHasher(u64);

impl Hasher for NodeIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
