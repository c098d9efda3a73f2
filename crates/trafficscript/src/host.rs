//! What a rule can see of the world and order in it. The data path implements [`Host`] for a request in flight; a
//! described request (`tidegate rule run`, tests, fuzzing) implements it in memory.
//!
//! ```text
//! Host          here          the messages, their connection, orders
//! Shared        shared        what rules share: stored values, counters, classes, pools, files, the event log
//! Surroundings  surroundings  the process and its machine: time, random numbers, places, interfaces
//! Need, Answer  here, asked   what has to be waited for
//! ```
//!
//! Nothing here waits. What a function cannot have at once it names as a [`Need`]; the driver of the machine gets it,
//! hands over the [`Answer`], and the function is called again with the same arguments.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use crate::library::usual_reason;

mod asked;
mod edit;
mod shared;
mod surroundings;

pub use asked::{DirectoryEntry, DirectoryQuery, Heard, Talk};
pub(crate) use edit::cookie_parts;
pub use edit::{Edit, FRAMING, OwnedEdit};
pub use shared::{Level, NodeState, PoolNode, RateVerdict, ServiceLevel, Shared, Store, tag};
pub use surroundings::{Interface, Location, Place, Places, Position, Surroundings};

/// When a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The head of the request is there.
    Request,
    /// The head of a node's response is there.
    Response,
    /// All is over; nothing can be changed.
    Completion,
}

/// One of the two messages of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the client to the node.
    Request,
    /// From the node to the client. In the request phase edits of it wait for the response.
    Response,
}

/// Why an edit was refused; for the event log.
pub type Refusal = &'static str;

/// As much of a body as is there, without transfer coding.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Nothing more will come.
    pub complete: bool,
}

/// A reply in place of a node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code, 100 to 999.
    pub status: u16,
    /// Reason phrase; empty = the usual one.
    pub reason: Vec<u8>,
    /// Header fields, framing left out.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a rule orders. Orders are carried out when the rules of the phase are over, the last of a kind wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The pool that serves the request, `pool.use` and `pool.select`; with an address, that node whether or not it is
    /// in the pool. The name `discard` is the built-in pool that closes the connection, as [`Order::Discard`] does.
    Pool(Vec<u8>, Option<(Vec<u8>, u16)>),
    /// `connection.discard`.
    Discard,
    /// `connection.close`: write this, then close. With `read`, what the client still sends is read first.
    Close {
        /// Bytes to write.
        data: Vec<u8>,
        /// Whether the client's bytes are read first.
        read: bool,
    },
    /// `http.sendResponse`, `http.redirect`.
    Reply(Reply),
    /// `request.retry`.
    Retry,
    /// `connection.setServiceLevelClass`; `None` = none.
    ServiceLevel(Option<Vec<u8>>),
    /// `request.setBandwidthClass`, `response.setBandwidthClass`: the class of what goes to the node (`Side::Request`) or
    /// to the client (`Side::Response`); `None` = no limit.
    Bandwidth(Side, Option<Vec<u8>>),
    /// `request.avoidNode`: the node's label, such as `10.1.2.3:80`.
    AvoidNode(Vec<u8>),
    /// `connection.setPersistence`; `None` = the pool's own.
    Persistence(Option<Vec<u8>>),
    /// `connection.setPersistenceKey`.
    PersistenceKey(Vec<u8>),
    /// `connection.setPersistenceNode`.
    PersistenceNode(Vec<u8>),
    /// `request.setRemoteIP`.
    RemoteAddress(IpAddr),
    /// `http.setIdempotent`.
    Idempotent(bool),
    /// `request.setMaxReplyTime`.
    MaxReplyTime(Duration),
    /// `request.setMaxConnectionAttempts`.
    MaxAttempts(u32),
    /// `request.setMaxTimedOutConnectionAttempts`.
    MaxTimedOutAttempts(u32),
    /// `request.setVirtualServerTimeout`.
    IdleTimeout(Duration),
    /// `request.setMaxTransactionDuration`.
    MaxTransactionDuration(Duration),
    /// `ssl.setTLSServerName`: the name to ask a node for over TLS (SNI).
    ServerName(Vec<u8>),
    /// `requestlog.include`, `requestlog.exclude`.
    LogRequest(bool),
    /// `http.stream.startResponse`: the head of a reply whose body follows in pieces; of known length, or not.
    /// In the response phase without headers of its own, the node's are kept.
    StreamStart {
        /// The head; its body is empty.
        reply: Reply,
        /// Bytes of the body, if known.
        length: Option<u64>,
        /// Whether the headers of the node's response stay.
        keep_headers: bool,
    },
    /// `http.stream.finishResponse`.
    StreamFinish,
    /// `http.stream.continueFromBackend`: the rest comes from the node.
    StreamContinue,
    /// `request.endsAt`, `request.endsWith`: the request has so many bytes.
    EndsAt(usize),
    /// `request.skip`: so many bytes at the beginning are no part of it.
    Skip(usize),
    /// `request.sendResponse`: the client gets these bytes, no node gets the request.
    Respond(Vec<u8>),
    /// `response.append`.
    Append(Vec<u8>),
    /// `response.flush`: so many bytes of the response, or all that are there, are for the client already. They are sent
    /// with the next [`Need::Write`].
    Flush(Option<usize>),
    /// `response.close`.
    CloseNode,
}

/// What a function cannot have at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// At least so many bytes of the body, or its end; [`Host::body`] has them then.
    Body(Side, usize),
    /// Some time.
    Sleep(Duration),
    /// A request to another server. Answered by [`Answer::Fetched`].
    Fetch(Box<Fetch>),
    /// Addresses of a name (`true`: IPv6). Answered by [`Answer::Resolved`].
    Resolve(Vec<u8>, bool),
    /// An address of a name, of IPv4 if it has one. Answered by [`Answer::Resolved`].
    ResolveAny(Vec<u8>),
    /// The name of an address. Answered by [`Answer::Resolved`].
    ResolveAddress(IpAddr),
    /// A place in a rate class, after waiting for it. Answered by [`Answer::Rate`].
    Rate {
        /// Name of the class.
        class: Vec<u8>,
        /// Counted apart per context.
        context: Vec<u8>,
    },
    /// A question to a directory. Answered by [`Answer::Directory`].
    Directory(Box<DirectoryQuery>),
    /// Something done with a socket of the rule's own. Answered by [`Answer::Heard`].
    Talk(Box<Talk>),
    /// Piece of a streamed response is written to the client, behind what [`Order::Flush`] has left for it. Answered by [`Answer::Done`].
    Write(Vec<u8>),
    /// A piece of the node's body, up to so many bytes, cut behind the first or (`bulk`) last delimiter in them.
    /// Consumes it. Answered by [`Answer::Piece`].
    Read {
        /// Most bytes.
        most: usize,
        /// Where to cut; empty = anywhere.
        delimiter: Vec<u8>,
        /// Behind the last delimiter rather than the first.
        bulk: bool,
    },
}

/// A request that a rule makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// `GET`, `HEAD`, `POST`, `PUT`, `DELETE`.
    pub method: &'static str,
    /// Absolute URL.
    pub url: Vec<u8>,
    /// Header fields.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Time for all of it.
    pub timeout: Option<Duration>,
    /// Certificates (DER) which alone are trusted, over a connection of its own; `None` = what the machine trusts.
    pub trusted: Option<Vec<Vec<u8>>>,
}

/// What came of a [`Need`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It cannot be had: the body is over its limit, the client is gone, time is over.
    Refused(&'static str),
    /// A response, or why there is none.
    Fetched(Result<Fetched, String>),
    /// A name or an address as text; empty if there is none.
    Resolved(Vec<u8>),
    /// 1 = go on, 0 = no such class.
    Rate(bool),
    /// A piece of a body; empty at its end.
    Piece(Vec<u8>),
    /// What a directory says of a user (`None` = there is no such user, or it has another password), or why it cannot
    /// be asked.
    Directory(Result<Option<DirectoryEntry>, String>),
    /// What came of a talk, or what went wrong; `timeout` when the time was over.
    Heard(Result<Heard, String>),
}

/// A response to a [`Fetch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Status code.
    pub status: u16,
    /// Status line as text.
    pub status_line: Vec<u8>,
    /// Header section as text.
    pub head: Vec<u8>,
    /// `Content-Type`.
    pub content_type: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

/// Times of an exchange, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the end of the request to the head of the response.
    pub node_response: Option<Duration>,
    /// In the queue of the pool.
    pub queued: Duration,
    /// Since the first byte of the request.
    pub transaction: Duration,
}

/// Something about a certificate or a TLS session, see `ssl.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFact {
    /// As in the header `SSLClientCipher`.
    Cipher,
    /// SNI.
    ServerName,
    /// Hex.
    SessionId,
    /// The site (host mapping) that was chosen.
    SiteName,
    /// Name of the certificate (`ssl/server_keys`) that was chosen.
    CertificateName,
    /// `OK`, `NoClientCert`.
    ClientCertificateStatus,
}

/// How an exchange ended, for completion rules: one of the codes of `connection.getCompletionReasonCode`.
pub type CompletionCode = &'static str;

/// What a rule sees of a request, its connection and, by [`Shared`] and [`Surroundings`], of the rest of the world; what it
/// orders.
pub trait Host: Shared + Surroundings {
    // ---- the messages

    /// Whether the protocol is HTTP. Of other protocols only the bytes are known: [`Host::body`] is all that is there of
    /// what a side has sent and nobody has consumed, [`Host::set_body`] puts others in their place.
    fn speaks_http(&self) -> bool {
        true
    }
    /// When the rule runs.
    fn phase(&self) -> Phase;
    /// Method of the request.
    fn method(&self) -> Cow<'_, [u8]>;
    /// Another method. Refused if it is not a token.
    fn set_method(&mut self, method: &[u8]) -> Result<(), Refusal>;
    /// Request target as it is now; as sent until something changed it.
    fn target(&self) -> Cow<'_, [u8]>;
    /// Another request target (origin form). Refused if a byte in it may not stand there.
    fn set_target(&mut self, target: &[u8]) -> Result<(), Refusal>;
    /// Version of a message, such as `HTTP/1.1`.
    fn version(&self, side: Side) -> &'static str;
    /// Calls `each` with the values of every field of this name, in their order.
    fn field(&self, side: Side, name: &[u8], each: &mut dyn FnMut(&[u8]));
    /// Calls `each` with name and value of every field, in their order.
    fn fields(&self, side: Side, each: &mut dyn FnMut(&[u8], &[u8]));
    /// Edits the header fields.
    fn edit(&mut self, side: Side, edit: Edit<'_>) -> Result<(), Refusal>;
    /// Status of the response; 0 while there is none.
    fn status(&self) -> u16;
    /// Reason phrase of the response; the usual one unless the host knows better.
    fn reason(&self) -> Cow<'_, [u8]> {
        usual_reason(self.status()).as_bytes().into()
    }
    /// Another status. An empty reason is the usual one.
    fn set_status(&mut self, status: u16, reason: &[u8]) -> Result<(), Refusal>;
    /// As much of a body as is there.
    fn body(&self, side: Side) -> Body<'_>;
    /// Another body; framing fields follow. A response's `Content-Encoding` is removed by the function.
    fn set_body(&mut self, side: Side, body: Vec<u8>) -> Result<(), Refusal>;

    // ---- the connection

    /// The client.
    fn client(&self) -> SocketAddr;
    /// The address the client connected to.
    fn local(&self) -> SocketAddr;
    /// The address before translation.
    fn destination(&self) -> SocketAddr {
        self.local()
    }
    /// The connection to the node: our end and its.
    fn node_connection(&self) -> Option<(SocketAddr, SocketAddr)>;
    /// Name of the virtual server.
    fn virtual_server(&self) -> Cow<'_, str>;
    /// Name of the pool that serves, or would if nothing else is ordered.
    fn pool(&self) -> Option<Cow<'_, str>>;
    /// Label of the node.
    fn node(&self) -> Option<Cow<'_, str>>;
    /// Name of the persistence class in force.
    fn persistence(&self) -> Option<Cow<'_, str>>;
    /// Name of the class of service that the request counts for.
    fn service_class(&self) -> Option<Cow<'_, str>>;
    /// Name of the bandwidth class of what goes to the node (`Side::Request`) or to the client (`Side::Response`).
    fn bandwidth_class(&self, side: Side) -> Option<Cow<'_, str>>;
    /// How often the request has been sent again.
    fn retries(&self) -> u32;
    /// Whether the request could be sent again.
    fn is_resendable(&self) -> bool;
    /// Whether the access log gets it.
    fn is_logged(&self) -> bool;
    /// `max_transaction_duration` in force.
    fn max_transaction_duration(&self) -> Option<Duration>;
    /// Times so far.
    fn times(&self) -> Times;
    /// Bytes buffered for this connection.
    fn memory(&self) -> usize;
    /// Whether the client speaks TLS to us.
    fn is_tls(&self) -> bool;
    /// Whether the client speaks TLS that is passed through, as it seems, and its first message is not all there.
    fn awaits_hello(&self) -> bool {
        false
    }
    /// Something about the TLS session; `None` without one. Of TLS that is passed through, what the client's first message says.
    fn tls(&self, fact: TlsFact) -> Option<Cow<'_, str>>;
    /// The client's certificate (DER), and the certificates of its chain.
    fn client_certificates(&self) -> Vec<Cow<'_, [u8]>>;
    /// The certificate shown to the client (DER).
    fn server_certificate(&self) -> Option<Cow<'_, [u8]>>;
    /// How the exchange ended; completion rules only.
    fn completion(&self) -> CompletionCode;

    // ---- orders

    /// Takes an order. False = it cannot be done (unknown pool, node, class; nothing to retry).
    fn order(&mut self, order: Order) -> bool;
    /// Closes a connection that [`Talk::Connect`] has opened. False = there is none of this number.
    fn close_socket(&mut self, socket: u32) -> bool;
}
