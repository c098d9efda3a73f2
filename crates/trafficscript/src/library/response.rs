//! `response.*`: the node's side of the exchange as bytes and addresses.

use super::{
    Call, Function, Outcome, raw,
    request::{self, bandwidth, set_bandwidth},
    row::{ANSWERED, RESPONSE, TRAFFIC, switch, works},
};
use crate::{host::Side, value::Value};

const DSCP: &str = "marking of packets";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("response.get", "[bytes]", (0, 1),
        "Status line, header fields and body as text, or the first so many bytes of them. Of protocols other than HTTP, \
         what the node sent.",
        |call| request::get(call, Side::Response)).only(RESPONSE).waits(),
    works("response.getLength", "", (0, 0),
        "Bytes of the response that are there.",
        |call| Ok(request::length(call, Side::Response))).only(RESPONSE),
    works("response.getLine", "[pattern[, offset]]", (0, 2),
        "The line of the response that begins at the offset; its end is a match of the pattern, LF unless \
         given. $1: where the next one begins.",
        |call| request::get_line(call, Side::Response)).only(RESPONSE).waits(),
    works("response.set", "data", (1, 1),
        "Replaces what is there of what the node sent. For protocols other than HTTP.",
        |call| raw::set(call, Side::Response)).of_bytes().only(RESPONSE),
    works("response.append", "data", (1, 1),
        "Appends to what is there of what the node sent. For protocols other than HTTP.",
        raw::append).of_bytes().only(RESPONSE),
    works("response.flush", "[bytes]", (0, 1),
        "Sends what is there of what the node sent, or the first so many bytes of it, and waits until it is sent. For \
         protocols other than HTTP.",
        raw::flush).of_bytes().only(RESPONSE).waits(),
    works("response.close", "", (0, 0),
        "Closes the connection to the node when the rules are done; what is there is sent. For protocols other than HTTP.",
        raw::close_node).of_bytes().only(RESPONSE),
    works("response.setBandwidthClass", "class", (1, 1),
        "Limits what is sent to the client from now on, in this exchange; an empty name limits nothing. 1 if there is such \
         a class, else 0.",
        |call| set_bandwidth(call, Side::Response)).only(TRAFFIC).names_bandwidth(),
    works("response.getBandwidthClass", "", (0, 0),
        "The class that limits what is sent to the client; empty if none.",
        |call| bandwidth(call, Side::Response)),
    works("response.getLocalIP", "", (0, 0),
        "Our address on the connection to the node; empty if there is none.",
        |call| address(call, End::Ours)).only(ANSWERED),
    works("response.getLocalPort", "", (0, 0),
        "Our port on the connection to the node; 0 if there is none.",
        |call| Ok(port(call, End::Ours))).only(ANSWERED),
    works("response.getRemoteIP", "", (0, 0),
        "The node's address; empty if there is none.",
        |call| address(call, End::Node)).only(ANSWERED),
    works("response.getRemotePort", "", (0, 0),
        "The node's port; 0 if there is none.",
        |call| Ok(port(call, End::Node))).only(ANSWERED),
    switch("response.setDSCP", "value", (1, 1),
        "Marks the packets to the client.",
        DSCP, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("response.getDSCP", "", (0, 0),
        "How the packets to the client are marked.",
        DSCP, |_| Ok(Value::Int(0))),
    switch("response.setToS", "value", (1, 1),
        "Old name of response.setDSCP.",
        DSCP, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("response.getToS", "", (0, 0), "Old name of response.getDSCP.", DSCP, |_| Ok(Value::Int(0))),
];

/// An end of the connection to the node.
#[derive(Clone, Copy)]
enum End {
    Ours,
    Node,
}

fn end(call: &Call<'_, '_>, end: End) -> Option<std::net::SocketAddr> {
    let (ours, node) = call.host.node_connection()?;
    Some(match end {
        End::Ours => ours,
        End::Node => node,
    })
}

fn address<'p>(call: &mut Call<'_, 'p>, which: End) -> Outcome<'p> {
    let text = end(call, which).map(|at| at.ip().to_canonical().to_string()).unwrap_or_default();
    call.make(text)
}

fn port<'p>(call: &Call<'_, 'p>, which: End) -> Value<'p> {
    Value::Int(end(call, which).map_or(0, |at| i64::from(at.port())))
}
