//! What can go wrong with a request: whose fault it was, and whether another node may be tried.
//!
//! [`Failure::status`] is the one place that maps a failure to what the client sees.

use std::fmt;

use tidegate_model::virtual_server::FailureLog;

/// A request that could not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) kind: Kind,
    /// How far the request had got when it happened.
    pub(crate) progress: Progress,
}

/// How far a request had got towards a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No byte of it was written to a node: any method may be tried elsewhere.
    Unsent,
    /// Bytes were written and nothing came back: an idempotent request may be tried elsewhere.
    Sent,
    /// The client has seen part of a response: nothing can be done but close.
    Answered,
}

/// The kinds of failure, by origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Client: the head broke a rule; the status is 400-class or 501/505.
    BadRequest(u16, &'static str),
    /// Client: the head or body did not arrive in time.
    ClientTimedOut,
    /// Client: it went away or its connection failed.
    ClientGone,
    /// Node: the connection was refused or failed.
    Connect,
    /// Node: the connection was not up within `max_connect_time`.
    ConnectTimedOut,
    /// Node: the TLS handshake failed.
    NodeTls,
    /// Node: it closed before a response head was complete.
    ClosedEarly,
    /// Node: a connection that had been idle turned out closed; says nothing about the node's health.
    StaleConnection,
    /// Node: no response within `max_reply_time`.
    ReplyTimedOut,
    /// Node: its response broke a rule of HTTP/1.1.
    InvalidResponse(&'static str),
    /// Node: it answered 503.
    Unavailable,
    /// Pool: it has no usable node.
    NoNode,
    /// Pool: the queue is full or the wait in it was too long.
    QueueTimedOut,
    /// Persistence: the session's node has failed and the class says to close.
    SessionLost,
    /// The transaction took longer than `max_transaction_duration`.
    TransactionTimedOut,
    /// Nothing moved in either direction for `connection.timeout`.
    IdleTimedOut,
    /// The virtual server's pool is `discard`, or a rule says so.
    Discard,
    /// Rules: the transaction took too long while one waited for something.
    RuleTimedOut,
    /// Rules: what they made of a message is none.
    Rule(&'static str),
}

impl Failure {
    pub(crate) fn new(kind: Kind, progress: Progress) -> Self {
        Self { kind, progress }
    }

    /// The status sent to the client; `None` = close without an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        if self.progress == Progress::Answered {
            return None;
        }
        Some(match self.kind {
            Kind::BadRequest(status, _) => status,
            Kind::ClientTimedOut => 408,
            Kind::Rule(_) => 500,
            Kind::Connect
            | Kind::NodeTls
            | Kind::ClosedEarly
            | Kind::StaleConnection
            | Kind::InvalidResponse(_) => 502,
            Kind::Unavailable | Kind::NoNode | Kind::QueueTimedOut => 503,
            Kind::ConnectTimedOut
            | Kind::ReplyTimedOut
            | Kind::TransactionTimedOut
            | Kind::IdleTimedOut
            | Kind::RuleTimedOut => 504,
            Kind::ClientGone | Kind::SessionLost | Kind::Discard => return None,
        })
    }

    /// What completion rules are told (`connection.getCompletionReasonCode`).
    pub(crate) fn completion(&self) -> &'static str {
        match self.kind {
            Kind::BadRequest(..) => "BAD_REQUEST",
            Kind::ClientTimedOut => "TIMEOUT_CONNECT_CLIENT",
            Kind::ClientGone => "CONNECTION_CLOSED_CLIENT",
            Kind::Connect | Kind::NodeTls | Kind::NoNode | Kind::Unavailable => "NODE_LOST",
            Kind::ConnectTimedOut => "TIMEOUT_CONNECT_SERVER",
            Kind::ClosedEarly | Kind::StaleConnection => "CONNECTION_CLOSED_SERVER",
            Kind::ReplyTimedOut | Kind::IdleTimedOut => "TIMEOUT",
            Kind::InvalidResponse(_) => "BAD_RESPONSE",
            Kind::QueueTimedOut => "TIMEOUT_NODE_QUEUE",
            Kind::SessionLost => "SESSION_PERSISTENCE_FAILURE",
            Kind::TransactionTimedOut => "TIMEOUT_MAXDURATION",
            Kind::RuleTimedOut => "TIMEOUT_PROCESSING_RULE",
            Kind::Discard => "DISCARDED_BY_RULE",
            Kind::Rule(_) => "INTERNAL_ERROR",
        }
    }

    /// What it is called in spans (`error.type`), and whether it is an error: not what the client did itself, nor what
    /// was ordered.
    pub(crate) fn name(&self) -> (&'static str, bool) {
        match self.kind {
            Kind::BadRequest(..) => ("bad_request", false),
            Kind::ClientTimedOut => ("client_timeout", false),
            Kind::ClientGone => ("client_gone", false),
            Kind::Connect => ("connect", true),
            Kind::ConnectTimedOut => ("connect_timeout", true),
            Kind::NodeTls => ("node_tls", true),
            Kind::ClosedEarly => ("closed_early", true),
            Kind::StaleConnection => ("stale_connection", true),
            Kind::ReplyTimedOut => ("reply_timeout", true),
            Kind::InvalidResponse(_) => ("invalid_response", true),
            Kind::Unavailable => ("unavailable", true),
            Kind::NoNode => ("no_node", true),
            Kind::QueueTimedOut => ("queue_timeout", true),
            Kind::SessionLost => ("session_lost", true),
            Kind::TransactionTimedOut => ("transaction_timeout", true),
            Kind::IdleTimedOut => ("idle_timeout", true),
            Kind::Discard => ("discard", false),
            Kind::RuleTimedOut => ("rule_timeout", true),
            Kind::Rule(_) => ("rule", true),
        }
    }

    /// Whether the event log should tell of it, as the virtual server is set (`log.*_failures`).
    pub(crate) fn is_told(&self, settings: FailureLog) -> bool {
        match self.kind {
            Kind::BadRequest(..) | Kind::ClientTimedOut | Kind::ClientGone => settings.client,
            // A fault of the configuration is told whatever is asked for.
            Kind::Rule(_) => true,
            _ if self.node_failure().is_some() => settings.node,
            _ => false,
        }
    }

    /// The tag of its event: `connfail` where a connection to a node could not be had, else `connerror`.
    pub(crate) fn event(&self) -> &'static str {
        match self.kind {
            Kind::Connect | Kind::ConnectTimedOut | Kind::NodeTls | Kind::NoNode => "connfail",
            _ => "connerror",
        }
    }

    /// Whether it says something about the node's health, and what.
    pub(crate) fn node_failure(&self) -> Option<tidegate_pool::FailureKind> {
        use tidegate_pool::FailureKind;
        Some(match self.kind {
            Kind::Connect => FailureKind::Connect,
            Kind::ConnectTimedOut | Kind::ReplyTimedOut => FailureKind::TimedOut,
            Kind::NodeTls => FailureKind::Tls,
            Kind::ClosedEarly => FailureKind::ClosedEarly,
            Kind::InvalidResponse(_) => FailureKind::InvalidReply,
            Kind::Unavailable => FailureKind::Status503,
            _ => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Failure {
    /// What happened, for people.
    pub(crate) fn text(&self) -> &'static str {
        match self.kind {
            Kind::BadRequest(_, what) | Kind::InvalidResponse(what) | Kind::Rule(what) => what,
            Kind::ClientTimedOut => "the client did not send its request in time",
            Kind::ClientGone => "the client closed the connection",
            Kind::Connect => "the node refused the connection",
            Kind::ConnectTimedOut => "the node did not accept the connection within max_connect_time",
            Kind::NodeTls => "the TLS handshake with the node failed",
            Kind::ClosedEarly => "the node closed the connection before answering",
            Kind::StaleConnection => "an idle connection to the node had been closed",
            Kind::ReplyTimedOut => "the node did not answer within max_reply_time",
            Kind::Unavailable => "the node answered 503",
            Kind::NoNode => "no node of the pool is usable",
            Kind::QueueTimedOut => "no node became free within queue_timeout",
            Kind::SessionLost => "the session's node has failed",
            Kind::TransactionTimedOut => "the transaction took too long",
            Kind::IdleTimedOut => "nothing moved within connection.timeout",
            Kind::RuleTimedOut => "the transaction took too long while a rule waited",
            Kind::Discard => "the connection is discarded",
        }
    }
}
