//! `connection.*`: the connection as a whole, its persistence, and how it ended.

use std::time::Duration;

use super::{
    Call, Function, Interrupt, Outcome, http, number, raw, request,
    row::{COMPLETION, REQUEST, TRAFFIC, deprecated, works},
};
use crate::{
    host::{Need, Order, Side, tag},
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("connection.discard", "", (0, 0),
        "Closes the connection at once and ends the rules of the phase.",
        discard).only(TRAFFIC),
    deprecated("connection.drop", "", (0, 0), "connection.discard", discard).only(TRAFFIC),
    works("connection.close", "data[, read]", (1, 2),
        "Writes data, closes the connection and ends the rules of the phase. Unless `read` is 0, what the \
         client still sends is read first.",
        close).only(TRAFFIC),
    works("connection.getVirtualServer", "", (0, 0), "Name of the virtual server.", |call| {
        let name = call.host.virtual_server().into_owned();
        call.make(name)
    }),
    works("connection.getPool", "", (0, 0), "Name of the pool that serves the request.", |call| {
        let name = call.host.pool().map(String::from).unwrap_or_default();
        call.make(name)
    }),
    works("connection.getNode", "", (0, 0),
        "The node, such as `10.1.2.3:80`; empty until it is chosen.",
        |call| {
            let name = call.host.node().map(String::from).unwrap_or_default();
            call.make(name)
        }),
    works("connection.setPersistence", "[class]", (0, 1),
        "Session persistence by this class for the request; without an argument by the pool's. 1 if there is \
         such a class, else 0.",
        set_persistence).only(REQUEST),
    deprecated("connection.setPersistenceClass", "[class]", (0, 1),
        "connection.setPersistence",
        set_persistence).only(REQUEST),
    works("connection.getPersistence", "", (0, 0),
        "Name of the session persistence class in force; empty if none.",
        |call| {
            let name = call.host.persistence().map(String::from).unwrap_or_default();
            call.make(name)
        }),
    works("connection.setPersistenceKey", "key", (1, 1),
        "The key that tells sessions apart, for universal session persistence.",
        |call| {
            let key = call.text(0)?.to_vec();
            call.host.order(Order::PersistenceKey(key));
            Ok(Value::EMPTY)
        }).only(REQUEST),
    works("connection.setPersistenceNode", "node", (1, 1),
        "The node of the session, such as `10.1.2.3:80`, for named-node session persistence.",
        |call| {
            let node = call.text(0)?.to_vec();
            call.host.order(Order::PersistenceNode(node));
            Ok(Value::EMPTY)
        }).only(REQUEST),
    works("connection.sleep", "milliseconds", (1, 1), "Waits.", sleep).only(TRAFFIC).waits(),
    works("connection.checkLimits", "[pool]", (0, 1),
        "1 if a request to the pool would be served at once, 0 if it would wait, -1 if there is no such \
         pool.",
        check_limits).only(REQUEST),
    works("connection.getMemoryUsage", "", (0, 0),
        "Bytes buffered for this connection.",
        |call| Ok(number(call.host.memory()))),
    works("connection.getCompletionReasonCode", "", (0, 0),
        "How the exchange ended, such as `COMPLETE`.",
        |call| {
            let code = call.host.completion();
            call.make(code)
        }).only(COMPLETION),
    works("connection.getCompletionReasonInfo", "", (0, 0),
        "Hash that says how the exchange ended: code, message, iserror, isservererror, isclienterror, \
         istimeout, isprocessingtimeout.",
        completion_info).only(COMPLETION),
    deprecated("connection.getData", "[bytes]", (0, 1),
        "request.get",
        |call| request::get(call, Side::Request)).only(REQUEST).waits(),
    deprecated("connection.getDataLen", "", (0, 0),
        "request.getLength",
        |call| Ok(request::length(call, Side::Request))).only(REQUEST),
    deprecated("connection.getLine", "[pattern[, offset]]", (0, 2),
        "request.getLine",
        |call| request::get_line(call, Side::Request)).only(REQUEST).waits(),
    deprecated("connection.setData", "data", (1, 1),
        "request.set",
        |call| raw::set(call, Side::Request)).of_bytes().only(REQUEST),
    deprecated("connection.getLocalIP", "", (0, 0), "request.getLocalIP", request::local_ip),
    deprecated("connection.getLocalPort", "", (0, 0), "request.getLocalPort", request::local_port),
    deprecated("connection.getRemoteIP", "", (0, 0), "request.getRemoteIP", request::remote_ip),
    deprecated("connection.getRemotePort", "", (0, 0), "request.getRemotePort", request::remote_port),
    deprecated("connection.setIdempotent", "flag", (1, 1),
        "request.setIdempotent",
        request::set_idempotent).only(TRAFFIC),
    deprecated("connection.setBandwidthClass", "class", (1, 1),
        "response.setBandwidthClass",
        |call| request::set_bandwidth(call, Side::Response)).only(TRAFFIC).names_bandwidth(),
    deprecated("connection.getBandwidthClass", "", (0, 0),
        "response.getBandwidthClass",
        |call| request::bandwidth(call, Side::Response)),
];

fn discard<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    call.host.order(Order::Discard);
    Err(Interrupt::EndPhase)
}

fn close<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let data = call.text(0)?.to_vec();
    call.charge(data.len())?;
    let read = !call.has(1) || call.truth(1);
    call.host.order(Order::Close { data, read });
    Err(Interrupt::EndPhase)
}

fn set_persistence<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let class = if call.has(0) { Some(call.text(0)?.to_vec()) } else { None };
    let known = call.host.order(Order::Persistence(class.clone()));
    if !known {
        let class = class.unwrap_or_default();
        let message = format!("there is no session persistence class `{}`", class.escape_ascii());
        call.warn_as(tag::NO_PERSISTENCE, &message)?;
    }
    Ok(Value::flag(known))
}

fn sleep<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let time = u64::try_from(call.int(0)?).unwrap_or(0);
    if time > 0 && call.answer().is_none() {
        return call.wait(Need::Sleep(Duration::from_millis(time)));
    }
    Ok(Value::EMPTY)
}

fn check_limits<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let pool = if call.has(0) {
        call.text(0)?.to_vec()
    } else {
        call.host.pool().map(|pool| pool.into_owned().into_bytes()).unwrap_or_default()
    };
    Ok(Value::Int(match call.host.pool_is_full(&pool) {
        Some(true) => 0,
        Some(false) => 1,
        None => -1,
    }))
}

/// Whose fault an end was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nobody,
    Node,
    Client,
    /// Our own, or not to be told.
    Other,
}

/// How an exchange can end: code, for people, fault, whether a time was over, whether it was the time of a rule.
const ENDS: &[(&str, &str, Fault, bool, bool)] = &[
    ("COMPLETE", "The exchange is complete", Fault::Nobody, false, false),
    ("DISCARDED_BY_RULE", "A rule discarded the connection", Fault::Nobody, false, false),
    ("CONFIG_CHANGED", "The configuration changed", Fault::Nobody, false, false),
    ("PARENT_CONNECTION_ENDED", "The connection it belonged to ended", Fault::Nobody, false, false),
    ("CONNECTION_ERROR", "A connection failed", Fault::Other, false, false),
    ("CONNECTION_CLOSED_SERVER", "The node closed the connection", Fault::Node, false, false),
    ("CONNECTION_CLOSED_CLIENT", "The client closed the connection", Fault::Client, false, false),
    ("TIMEOUT_NODE_QUEUE", "No node had a place in time", Fault::Node, true, false),
    ("TIMEOUT_PROCESSING_RULE", "The time was over while a rule ran", Fault::Other, true, true),
    ("TIMEOUT_PROCESSING_WAX", "The time was over while the content was optimised", Fault::Other, true, true),
    ("TIMEOUT", "There was no traffic for too long", Fault::Other, true, false),
    ("TIMEOUT_CONNECT_CLIENT", "The client did not send a request in time", Fault::Client, true, false),
    ("TIMEOUT_CONNECT_SERVER", "No node took the connection in time", Fault::Node, true, false),
    ("TIMEOUT_MAXDURATION", "The exchange took too long", Fault::Other, true, false),
    ("TIMEOUT_SIP_MAXDURATION", "The SIP exchange took too long", Fault::Other, true, false),
    ("TIMEOUT_SIP_REQUEST", "The SIP request had no reply in time", Fault::Node, true, false),
    ("TIMEOUT_UDP_INACTIVE", "The UDP session had no traffic for too long", Fault::Other, true, false),
    ("SESSION_PERSISTENCE_FAILURE", "The node of the session cannot serve", Fault::Node, false, false),
    ("NODE_LOST", "The connection to the node was lost", Fault::Node, false, false),
    ("SOCKET_LOST", "A connection was lost", Fault::Other, false, false),
    ("WRITE_FAILURE", "Nothing could be written to a connection", Fault::Other, false, false),
    ("BAD_REQUEST", "The client's request was malformed", Fault::Client, false, false),
    ("BAD_RESPONSE", "The node's response was malformed", Fault::Node, false, false),
    ("SIP_REQUEST_TOO_LARGE", "The SIP request was too large", Fault::Client, false, false),
    ("INTERNAL_ERROR", "The traffic manager failed", Fault::Other, false, false),
];

fn completion_info<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let code = call.host.completion();
    let unknown = (code, code, Fault::Other, false, false);
    let &(code, message, fault, timeout, processing) =
        ENDS.iter().find(|(known, ..)| *known == code).unwrap_or(&unknown);
    let entries = [
        ("code", Value::from(code.as_bytes())),
        ("message", Value::from(message.as_bytes())),
        ("iserror", Value::flag(fault != Fault::Nobody)),
        ("isservererror", Value::flag(fault == Fault::Node)),
        ("isclienterror", Value::flag(fault == Fault::Client)),
        ("istimeout", Value::flag(timeout)),
        ("isprocessingtimeout", Value::flag(processing)),
    ];
    http::hash(call, entries.into_iter().map(|(key, value)| (key.as_bytes().to_vec(), value)))
}
