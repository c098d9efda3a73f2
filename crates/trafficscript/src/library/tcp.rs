//! `tcp.*`, `udp.*`: connections of a rule's own.

use super::{Function, rows::TRAFFIC};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    Function::planned("tcp.connect", "address, port[, milliseconds]", (2, 3), TRAFFIC, "Connects to a server. $1: what went wrong."),
    Function::planned("tcp.read", "connection, bytes[, milliseconds]", (2, 3), TRAFFIC, "Reads up to so many bytes. $1: what went wrong."),
    Function::planned("tcp.write", "connection, data[, milliseconds]", (2, 3), TRAFFIC, "Writes data. $1: what went wrong."),
    Function::planned("tcp.close", "connection", (1, 1), TRAFFIC, "Closes a connection."),
    Function::planned("udp.sendTo", "host, port, data", (3, 3), TRAFFIC, "Sends a datagram. $1: what went wrong."),
];
