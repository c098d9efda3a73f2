//! `request.*`: the client's side of the exchange as bytes and addresses, and how the request is sent to a node.

use std::time::Duration;

use super::{
    Call, Function, Interrupt, Outcome,
    http::{body, head},
    number, raw,
    row::{REQUEST, RESPONSE, TRAFFIC, deprecated, switch, works},
};
use crate::{
    host::{Order, Side},
    pattern::Flags,
    value::Value,
};

const DSCP: &str = "marking of packets";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("request.getRemoteIP", "", (0, 0), "Address of the client.", remote_ip),
    works("request.getRemotePort", "", (0, 0), "Port of the client.", remote_port),
    works("request.getLocalIP", "", (0, 0), "Address that the client connected to.", local_ip),
    works("request.getLocalPort", "", (0, 0), "Port that the client connected to.", local_port),
    works("request.getDestIP", "", (0, 0),
        "Address that the client connected to, before translation.",
        |call| {
            let address = call.host.destination().ip().to_canonical().to_string();
            call.make(address)
        }),
    works("request.getDestPort", "", (0, 0),
        "Port that the client connected to, before translation.",
        |call| {
            Ok(Value::Int(i64::from(call.host.destination().port())))
        }),
    works("request.setRemoteIP", "address", (1, 1),
        "Takes another address as the client's, in logs and headers. 1 if it is an address, else 0.",
        set_remote_ip).only(REQUEST),
    works("request.get", "[bytes]", (0, 1),
        "Request line, header fields and body as text, or the first so many bytes of them. Of protocols other than HTTP, \
         what the client sent.",
        |call| get(call, Side::Request)).only(REQUEST).waits(),
    works("request.getLength", "", (0, 0),
        "Bytes of the request that are there.",
        |call| Ok(length(call, Side::Request))).only(REQUEST),
    works("request.getLine", "[pattern[, offset]]", (0, 2),
        "The line of the request that begins at the offset; its end is a match of the pattern, LF unless \
         given. $1: where the next one begins.",
        |call| get_line(call, Side::Request)).only(REQUEST).waits(),
    works("request.set", "data", (1, 1),
        "Replaces the request, or all that is there of what the client sent if no end of it is marked. For \
         protocols other than HTTP.",
        |call| raw::set(call, Side::Request)).of_bytes().only(REQUEST),
    works("request.skip", "bytes", (1, 1),
        "Drops bytes from the beginning of what the client sent, waiting for them. For protocols other than HTTP.",
        raw::skip).of_bytes().only(REQUEST).waits(),
    works("request.endsAt", "offset", (1, 1),
        "Says where the request ends: what follows is another one, for which the rules run again. For protocols other \
         than HTTP.",
        raw::ends_at).of_bytes().only(REQUEST),
    works("request.endsWith", "pattern", (1, 1),
        "Waits for the first match of the pattern and says that the request ends behind it. For protocols other than \
         HTTP.",
        raw::ends_with).of_bytes().only(REQUEST).waits(),
    works("request.sendResponse", "data", (1, 1),
        "Answers the request with bytes when all rules are done; no node gets it. For protocols other than HTTP.",
        raw::send_response).of_bytes().only(REQUEST),
    works("request.retry", "", (0, 0),
        "Sends the request to a node again and ends the rules of the phase. 0 if it cannot be sent again.",
        |call| {
            if call.host.order(Order::Retry) { Err(Interrupt::EndPhase) } else { Ok(Value::Int(0)) }
        }).only(RESPONSE),
    works("request.getRetries", "", (0, 0),
        "How often the request has been sent again.",
        |call| Ok(Value::Int(i64::from(call.host.retries())))),
    works("request.isResendable", "", (0, 0),
        "1 if the request could be sent again, else 0.",
        |call| Ok(Value::flag(call.host.is_resendable()))),
    works("request.avoidNode", "node", (1, 1),
        "Takes another node for the request if there is one; sessions still find theirs.",
        |call| {
            let node = call.text(0)?.to_vec();
            if !call.host.order(Order::AvoidNode(node.clone())) {
                call.warn(&format!("there is no node `{}` to avoid", node.escape_ascii()))?;
            }
            Ok(Value::EMPTY)
        }).only(TRAFFIC),
    works("request.setIdempotent", "flag", (1, 1),
        "Says whether the request may be sent again when a node fails.",
        set_idempotent).only(TRAFFIC),
    works("request.setMaxReplyTime", "seconds", (1, 1),
        "Longest time for a node to reply to this request.",
        |call| seconds(call, Order::MaxReplyTime)).only(REQUEST),
    works("request.setMaxConnectionAttempts", "attempts", (1, 1),
        "Most nodes tried for this request.",
        |call| attempts(call, Order::MaxAttempts)).only(REQUEST),
    works("request.setMaxTimedOutConnectionAttempts", "attempts", (1, 1),
        "Most nodes tried for this request after one did not reply in time.",
        |call| attempts(call, Order::MaxTimedOutAttempts)).only(REQUEST),
    works("request.setVirtualServerTimeout", "seconds", (1, 1),
        "Longest time without traffic for this connection.",
        |call| seconds(call, Order::IdleTimeout)).only(TRAFFIC),
    works("request.setMaxTransactionDuration", "seconds", (1, 1),
        "Longest time for this request as a whole; 0 = no limit.",
        |call| seconds(call, Order::MaxTransactionDuration)).only(TRAFFIC),
    works("request.getMaxTransactionDuration", "", (0, 0),
        "Longest time for this request as a whole in seconds; 0 = no limit.",
        |call| {
            let seconds = call.host.max_transaction_duration().map_or(0, |time| time.as_secs());
            Ok(number(seconds))
        }),
    works("request.setBandwidthClass", "class", (1, 1),
        "Limits what is sent to the node from now on, in this exchange; an empty name limits nothing. 1 if there is such \
         a class, else 0.",
        |call| set_bandwidth(call, Side::Request)).only(TRAFFIC).names_bandwidth(),
    works("request.getBandwidthClass", "", (0, 0),
        "The class that limits what is sent to the node; empty if none.",
        |call| bandwidth(call, Side::Request)),
    switch("request.setDSCP", "value", (1, 1),
        "Marks the packets to the node.",
        DSCP, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("request.getDSCP", "", (0, 0),
        "How the packets to the node are marked.",
        DSCP, |_| Ok(Value::Int(0))),
    switch("request.setToS", "value", (1, 1),
        "Old name of request.setDSCP.",
        DSCP, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("request.getToS", "", (0, 0), "Old name of request.getDSCP.", DSCP, |_| Ok(Value::Int(0))),
    deprecated("request.getLogEnabled", "", (0, 0), "requestlog.markedForInclusion", super::log::is_logged),
    deprecated("request.setLogEnabled", "flag", (1, 1), "requestlog.include", |call| {
        let flag = call.truth(0);
        super::log::mark(call, flag)
    }).but("leaves the request out where the flag is 0"),
];

pub(super) fn remote_ip<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let address = call.host.client().ip().to_canonical().to_string();
    call.make(address)
}

pub(super) fn remote_port<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::Int(i64::from(call.host.client().port())))
}

pub(super) fn local_ip<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let address = call.host.local().ip().to_canonical().to_string();
    call.make(address)
}

pub(super) fn local_port<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::Int(i64::from(call.host.local().port())))
}

pub(super) fn set_idempotent<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let flag = call.truth(0);
    call.host.order(Order::Idempotent(flag));
    Ok(Value::EMPTY)
}

/// `request.setBandwidthClass`, `response.setBandwidthClass`
pub(super) fn set_bandwidth<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let class = call.text(0)?.to_vec();
    let wanted = (!class.is_empty()).then(|| class.clone());
    let known = call.host.order(Order::Bandwidth(side, wanted));
    if !known {
        call.warn(&format!("there is no bandwidth class `{}`", class.escape_ascii()))?;
    }
    Ok(Value::flag(known))
}

/// `request.getBandwidthClass`, `response.getBandwidthClass`
pub(super) fn bandwidth<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let class = call.host.bandwidth_class(side).unwrap_or_default().into_owned();
    call.make(class)
}

fn set_remote_ip<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let address = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    let Some(address) = address else {
        call.warn(&format!("`{}` is not an address; the client's stays", text.escape_ascii()))?;
        return Ok(Value::Int(0));
    };
    Ok(Value::flag(call.host.order(Order::RemoteAddress(address))))
}

/// A time that may not be negative.
fn seconds<'p>(call: &mut Call<'_, 'p>, order: fn(Duration) -> Order) -> Outcome<'p> {
    match Duration::try_from_secs_f64(call.double(0)?) {
        Ok(time) => {
            call.host.order(order(time));
        }
        Err(_) => call.warn("the time is not a number of seconds; it stays as it was")?,
    }
    Ok(Value::EMPTY)
}

/// A number from 1.
fn attempts<'p>(call: &mut Call<'_, 'p>, order: fn(u32) -> Order) -> Outcome<'p> {
    match u32::try_from(call.int(0)?) {
        Ok(number @ 1..) => {
            call.host.order(order(number));
        }
        _ => call.warn("the number of attempts is not 1 or more; it stays as it was")?,
    }
    Ok(Value::EMPTY)
}

/// A message's head and as much of its body as is wanted.
fn message(call: &mut Call<'_, '_>, side: Side, most: usize) -> Result<Vec<u8>, Interrupt> {
    let mut text = head(call, side);
    call.charge(text.len())?;
    if most == 0 || most > text.len() {
        let of_body = if most == 0 { 0 } else { most - text.len() };
        text.extend(body(call, side, of_body)?.unwrap_or_default());
    }
    if most > 0 {
        text.truncate(most);
    }
    Ok(text)
}

/// `request.get`, `response.get`
pub(super) fn get<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let most = super::http::wanted(call, 0)?;
    let text = if call.host.speaks_http() { message(call, side, most)? } else { raw::get(call, side, most)? };
    call.make(text)
}

/// `request.getLength`, `response.getLength`
pub(super) fn length<'p>(call: &mut Call<'_, 'p>, side: Side) -> Value<'p> {
    if !call.host.speaks_http() {
        return raw::length(call, side);
    }
    let length = head(call, side).len() + call.host.body(side).bytes.len();
    number(length)
}

/// `request.getLine`, `response.getLine`
pub(super) fn get_line<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let offset = usize::try_from(call.int(1)?).unwrap_or(0);
    let custom = call.has(0) && !call.text(0)?.is_empty();
    if !call.host.speaks_http() {
        let (line, next) =
            raw::line(call, side, offset, |call, text, from| line_end(call, custom, text, from))?;
        call.set_capture(1, number(next));
        return call.make(line);
    }
    let text = head(call, side);
    // The head is there at once: the body is waited for only when the line is not in the head.
    if let Some(end) = line_end(call, custom, &text, offset)? {
        return line(call, &text, offset, end);
    }
    // A line without an end is as long as this.
    let most = offset.saturating_add(call.meter.limits().line);
    let text = message(call, side, most)?;
    let end = line_end(call, custom, &text, offset)?.unwrap_or(text.len());
    line(call, &text, offset, end)
}

fn line<'p>(call: &mut Call<'_, 'p>, text: &[u8], offset: usize, end: usize) -> Outcome<'p> {
    let line = text.get(offset..end).unwrap_or_default();
    call.set_capture(1, number(end.max(offset)));
    call.make(line)
}

/// Where the line that begins at `from` ends, its end included.
fn line_end(
    call: &mut Call<'_, '_>,
    custom: bool,
    text: &[u8],
    from: usize,
) -> Result<Option<usize>, Interrupt> {
    let Some(rest) = text.get(from..) else { return Ok(None) };
    if !custom {
        return Ok(memchr::memchr(b'\n', rest).map(|at| from + at + 1));
    }
    call.meter.work(rest.len())?;
    let pattern = call.pattern(0, Flags::default())?;
    let found = call.captures(&pattern, rest, 0)?;
    Ok(found.and_then(|captures| captures.get(0).map(|(_, end)| from + end)))
}
