//! What a data worker hands over of a sampled request: plain values, of which spans are made elsewhere.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU64, NonZeroU128},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_model::{PoolName, VirtualServerName};

/// Most attempts of one request that have spans of their own.
pub const MAX_ATTEMPTS: usize = 16;
/// Longest path that is kept, bytes.
pub const MAX_PATH: usize = 1000;
/// Longest other text of a client that is kept, bytes.
pub const MAX_TEXT: usize = 400;

/// Where a request stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: NonZeroU128,
    /// The request's own span.
    pub span_id: NonZeroU64,
    /// The caller's span; `None` = the trace begins here.
    pub parent: Option<NonZeroU64>,
    /// Flags of the W3C trace context.
    pub flags: u8,
}

/// A sampled request that is over. Texts of clients have been cut ([`cut`]).
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its place.
    pub context: Context,
    /// The caller's `tracestate`, if it is good.
    pub state: String,
    /// When it was over.
    pub ended: SystemTime,
    /// From its first byte.
    pub duration: Duration,
    /// The virtual server.
    pub virtual_server: VirtualServerName,
    /// The pool that was asked last.
    pub pool: Option<PoolName>,
    /// The method, as the client sent it.
    pub method: String,
    /// The path, as the client sent it.
    pub path: String,
    /// Host of the `Host` header, without the port.
    pub host: String,
    /// Port of the `Host` header.
    pub port: Option<u16>,
    /// Whether the client spoke TLS.
    pub tls: bool,
    /// `1.0` or `1.1`.
    pub version: &'static str,
    /// The client's address.
    pub client: IpAddr,
    /// `User-Agent`.
    pub user_agent: String,
    /// The status the client got; `None` = no response.
    pub status: Option<u16>,
    /// How many times it was sent again to another node.
    pub retries: u32,
    /// What persistence decided: `new`, `kept` or `moved`; `None` = nothing.
    pub persistence: Option<&'static str>,
    /// Time in the queues of pools.
    pub queued: Duration,
    /// Why it could not be answered as it should.
    pub fault: Option<Fault>,
    /// What was asked of nodes, in order; [`MAX_ATTEMPTS`] at most.
    pub attempts: Vec<Attempt>,
}

impl Finished {
    /// How many spans it makes.
    pub fn spans(&self) -> usize {
        1 + self.attempts.len()
    }
}

/// Why a request, or an attempt, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One word of a small set: `error.type`.
    pub name: &'static str,
    /// For people.
    pub text: &'static str,
    /// Whether it is an error: not so what the client did itself, and what was ordered.
    pub is_error: bool,
}

/// One attempt at a node. Times are from the beginning of the request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its span, which the node is told.
    pub span_id: NonZeroU64,
    /// When the node was chosen.
    pub began: Duration,
    /// When it was over; `None` = with the request.
    pub ended: Option<Duration>,
    /// The node's pool.
    pub pool: PoolName,
    /// The node, as people see it.
    pub node: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// Whether it was spoken to in TLS.
    pub tls: bool,
    /// Whether a connection was there already.
    pub reused: bool,
    /// The method it was asked with.
    pub method: String,
    /// The path it was asked for.
    pub path: String,
    /// Its status; `None` = no response.
    pub status: Option<u16>,
    /// From the end of the request to the head of its response.
    pub response_time: Option<Duration>,
    /// Why it failed.
    pub fault: Option<Fault>,
}

/// A text of a client, as far as it is kept.
pub fn cut(text: &[u8], most: usize) -> String {
    String::from_utf8_lossy(text.get(..most).unwrap_or(text)).into_owned()
}
