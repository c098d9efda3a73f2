//! What can be said about a source: its state in one word, and what it has counted.

use std::{fmt, sync::Arc, time::SystemTime};

/// How a source is doing, in one value.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum SourceState {
    /// No answer yet.
    #[default]
    Waiting,
    /// The last answer was complete.
    Ok,
    /// The last answer was known to be incomplete; it only added nodes.
    Partial,
    /// The last refresh failed; the last good set is in use.
    Stale,
    /// The source says there is nothing, not yet often enough to be believed.
    Suspect {
        /// Such answers in a row.
        count: u32,
        /// How many are needed.
        needed: u32,
    },
    /// The source says that more nodes are gone than may go at once; they are held.
    RemovalHeld {
        /// Nodes that would have gone.
        missing: usize,
        /// Nodes held, those included.
        held: usize,
    },
    /// There are no nodes, and the source says so.
    Empty {
        /// Such answers in a row.
        count: u32,
        /// How many were needed.
        needed: u32,
    },
    /// The last refresh failed and no good set is known.
    Error,
    /// The source cannot work as configured; what was known is in use.
    ConfigError,
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("waiting for the first answer"),
            Self::Ok => f.write_str("ok"),
            Self::Partial => f.write_str("partial"),
            Self::Stale => f.write_str("stale"),
            Self::Suspect { count, needed } => write!(f, "suspect({count}/{needed})"),
            Self::RemovalHeld { missing, held } => write!(f, "removal held ({missing} of {held} nodes)"),
            Self::Empty { count, needed } => write!(f, "empty({}/{needed})", count.min(needed)),
            Self::Error => f.write_str("error"),
            Self::ConfigError => f.write_str("config error"),
        }
    }
}

/// What is known about the source of one pool.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// The state.
    pub state: SourceState,
    /// Whether the source has ever given an answer that was applied (a set on disk is none).
    pub first_answer: bool,
    /// When the last complete or partial answer came, or when the set read from disk was stored.
    pub last_success: Option<SystemTime>,
    /// The last failure in words, with what to do; kept until the next complete answer.
    pub last_error: Option<Arc<str>>,
    /// Something that works but deserves a look.
    pub warning: Option<Arc<str>>,
    /// What is asked: the record type and full name, or the plugin's name. Never its arguments.
    pub question: Option<Arc<str>>,
    /// Someone should look: wrong configuration, repeated failures, a set older than allowed, a removal held.
    pub alarm: bool,
    /// How many nodes the pool has.
    pub nodes: usize,
    /// What was counted since the source was started.
    pub counters: Counters,
}

impl SourceStatus {
    /// Whether everything but the counters and times is equal.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.state == other.state
            && self.first_answer == other.first_answer
            && self.last_error == other.last_error
            && self.warning == other.warning
            && self.question == other.question
            && self.alarm == other.alarm
            && self.nodes == other.nodes
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a source has counted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Adds the counts of `other`.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }

            /// Every counter by name, for exposition.
            pub fn list(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Refreshes or runs that were started.
    runs,
    /// Those with a complete answer.
    complete,
    /// Those with a partial answer.
    partial,
    /// Those that said there is nothing.
    empty,
    /// Those that failed.
    errors,
    /// Nodes added.
    added,
    /// Nodes removed.
    removed,
    /// Queries sent over UDP.
    udp_queries,
    /// Queries sent over TCP.
    tcp_queries,
    /// Answers NXDOMAIN.
    nxdomain,
    /// Answers without the records asked for.
    nodata,
    /// Answers SERVFAIL.
    servfail,
    /// Answers REFUSED.
    refused,
    /// Answers FORMERR.
    formerr,
    /// Answers with any other failure code.
    other_rcodes,
    /// Attempts without an answer in time.
    timeouts,
    /// Attempts that failed in the network.
    transport_errors,
    /// Answers that could not be read.
    malformed,
    /// Datagrams or messages that answered no open question.
    ignored_replies,
    /// Answers cut short by the server.
    truncated,
    /// Addresses that cannot be nodes.
    rejected_addresses,
    /// Records that cannot be used.
    rejected_records,
    /// Nodes named more than once by a plugin.
    duplicates,
    /// Plugin runs ended by their time limit.
    plugin_timeouts,
}
