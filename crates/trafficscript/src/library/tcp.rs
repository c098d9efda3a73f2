//! `tcp.*`, `udp.*`: connections of a rule's own.

use super::{
    Function,
    row::{TRAFFIC, planned},
};

const SOCKETS: &str =
    "connections that live as long as their request; http.request.get asks a server over HTTP";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    planned("tcp.connect", "address, port[, milliseconds]", (2, 3),
        "Connects to a server. $1: what went wrong.", SOCKETS).only(TRAFFIC),
    planned("tcp.read", "connection, bytes[, milliseconds]", (2, 3),
        "Reads up to so many bytes. $1: what went wrong.", SOCKETS).only(TRAFFIC),
    planned("tcp.write", "connection, data[, milliseconds]", (2, 3),
        "Writes data. $1: what went wrong.", SOCKETS).only(TRAFFIC),
    planned("tcp.close", "connection", (1, 1), "Closes a connection.", SOCKETS).only(TRAFFIC),
    planned("udp.sendTo", "host, port, data", (3, 3), "Sends a datagram. $1: what went wrong.", SOCKETS).only(TRAFFIC),
];
