//! What rules ask of directories and by sockets of their own: plain values that flow in a [`Need`](super::Need) from the
//! functions of `auth.*`, `tcp.*` and `udp.*`, and in an [`Answer`](super::Answer) back to them.

use std::{fmt, time::Duration};

/// A question to a directory, `auth.query`.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectoryQuery {
    /// Name of an entry of `rule_authenticators`.
    pub authenticator: Vec<u8>,
    /// The user.
    pub user: Vec<u8>,
    /// To be checked, if given.
    pub password: Option<Vec<u8>>,
}

/// Without the password.
impl fmt::Debug for DirectoryQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryQuery")
            .field("authenticator", &String::from_utf8_lossy(&self.authenticator))
            .field("user", &String::from_utf8_lossy(&self.user))
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

/// What a directory says of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Attributes as the directory spells them, with their values, in its order.
    pub attributes: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// Something done with a socket of a rule's own, `tcp.*` and `udp.sendTo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Opens a TCP connection.
    Connect {
        /// An address or a name.
        host: Vec<u8>,
        /// Port.
        port: u16,
        /// Longest time; `None` = the host's own.
        limit: Option<Duration>,
    },
    /// Reads what is there, at least a byte unless the connection has ended.
    Read {
        /// As [`Heard::Connected`] has given it.
        socket: u32,
        /// Most bytes.
        most: usize,
        /// Longest time; `None` = the host's own.
        limit: Option<Duration>,
    },
    /// Writes everything.
    Write {
        /// As [`Heard::Connected`] has given it.
        socket: u32,
        /// What to write.
        data: Vec<u8>,
        /// Longest time; `None` = the host's own.
        limit: Option<Duration>,
    },
    /// Sends a datagram.
    SendTo {
        /// An address or a name.
        host: Vec<u8>,
        /// Port.
        port: u16,
        /// What to send.
        data: Vec<u8>,
    },
}

/// What came of a [`Talk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A connection, by this number (from 1).
    Connected(u32),
    /// Bytes; empty at the end of the connection.
    Bytes(Vec<u8>),
    /// So many bytes are on their way.
    Sent(usize),
}
