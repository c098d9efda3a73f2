//! What rules ask of others than the request: places of addresses, directories, sockets, interfaces. Plain values that
//! flow from a [`Host`](super::Host) or an [`Answer`](super::Answer) to the functions of `geo.*`, `auth.*`, `tcp.*`,
//! `udp.*` and `sys.*`.

use std::{fmt, net::IpAddr, time::Duration};

/// A point on the globe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// Where an address is, as far as a database knows; what it does not know is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// ISO 3166-1, two letters.
    pub country_code: String,
    /// English name of the country.
    pub country: String,
    /// English name of the city.
    pub city: String,
    /// English name of the largest subdivision of the country.
    pub region: String,
    /// Code of that subdivision, ISO 3166-2 without the country.
    pub region_code: String,
    /// Where about it is.
    pub position: Option<Position>,
}

/// A database of places.
pub trait Places: fmt::Debug + Send + Sync {
    /// Where an address is; `None` = the database does not have it.
    fn place(&self, address: IpAddr) -> Option<Place>;
}

/// Where this traffic manager is: an entry of the catalogue `locations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// Its name.
    pub name: String,
    /// `basic.latitude`, `basic.longitude`.
    pub position: Position,
}

/// A network interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// Its addresses with the bits of their network, in the order of the system.
    pub addresses: Vec<(IpAddr, u8)>,
    /// It is switched on.
    pub is_up: bool,
    /// It leads to this host only.
    pub is_loopback: bool,
}

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
