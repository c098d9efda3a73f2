//! `tcp.*`, `udp.*`: sockets of a rule's own. They are closed with the request whose rules have opened them.

use std::time::Duration;

use super::{
    Call, Function, Interrupt, Outcome, make,
    row::{TRAFFIC, works},
};
use crate::{
    host::{Answer, Heard, Need, Talk},
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("tcp.connect", "address, port[, milliseconds]", (2, 3),
        "Connects to a server, within 10 s unless told: a number for the functions below, 0 if that fails. $1: what \
         went wrong (`timeout`), empty if nothing did.",
        connect).only(TRAFFIC).waits(),
    works("tcp.read", "connection, bytes[, milliseconds]", (2, 3),
        "Reads what is there, up to so many bytes, or waits for some, 10 s unless told; empty at the end of the \
         connection. $1: what went wrong (`timeout`), empty if nothing did.",
        read).only(TRAFFIC).waits(),
    works("tcp.write", "connection, data[, milliseconds]", (2, 3),
        "Writes data, within 10 s unless told: the number of bytes, 0 if that fails. $1: what went wrong \
         (`timeout`), empty if nothing did.",
        write).only(TRAFFIC).waits(),
    works("tcp.close", "connection", (1, 1),
        "Closes a connection: 1, or 0 if there is none of this number. $1: what went wrong, empty if nothing did.",
        close).only(TRAFFIC),
    works("udp.sendTo", "host, port, data", (3, 3),
        "Sends a datagram: the number of bytes, 0 if that fails. $1: what went wrong, empty if nothing did.",
        send_to).only(TRAFFIC).waits(),
];

/// What went wrong with a number that no connection has.
const NO_CONNECTION: &str = "there is no such connection";

fn connect<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(heard) = heard(call) {
        return done(call, heard, Value::Int(0));
    }
    let host = call.text(0)?.trim_ascii().to_vec();
    let Some(port) = port_at(call, 1)? else { return fail(call, "not a port", Value::Int(0)) };
    let limit = limit_at(call, 2)?;
    call.wait(Need::Talk(Box::new(Talk::Connect { host, port, limit })))
}

fn read<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(heard) = heard(call) {
        return done(call, heard, Value::EMPTY);
    }
    let Some(socket) = socket_at(call)? else { return fail(call, NO_CONNECTION, Value::EMPTY) };
    let most = usize::try_from(call.int(1)?).unwrap_or(0);
    if most == 0 {
        call.warn("tcp.read is asked for no bytes")?;
        return fail(call, "no bytes were asked for", Value::EMPTY);
    }
    let limit = limit_at(call, 2)?;
    call.wait(Need::Talk(Box::new(Talk::Read { socket, most, limit })))
}

fn write<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(heard) = heard(call) {
        return done(call, heard, Value::Int(0));
    }
    let Some(socket) = socket_at(call)? else { return fail(call, NO_CONNECTION, Value::Int(0)) };
    let data = call.text(1)?.to_vec();
    let limit = limit_at(call, 2)?;
    call.charge(data.len())?;
    call.wait(Need::Talk(Box::new(Talk::Write { socket, data, limit })))
}

fn close<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let closed = socket_at(call)?.is_some_and(|socket| call.host.close_socket(socket));
    if !closed {
        return fail(call, NO_CONNECTION, Value::Int(0));
    }
    call.set_capture(1, Value::EMPTY);
    Ok(Value::Int(1))
}

fn send_to<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(heard) = heard(call) {
        return done(call, heard, Value::Int(0));
    }
    let host = call.text(0)?.trim_ascii().to_vec();
    let Some(port) = port_at(call, 1)? else { return fail(call, "not a port", Value::Int(0)) };
    let data = call.text(2)?.to_vec();
    call.charge(data.len())?;
    call.wait(Need::Talk(Box::new(Talk::SendTo { host, port, data })))
}

/// What came of the talk, once the rule goes on.
fn heard(call: &mut Call<'_, '_>) -> Option<Result<Heard, String>> {
    Some(match call.answer()? {
        Answer::Heard(heard) => heard,
        Answer::Refused(why) => Err(why.to_owned()),
        _ => Err("no answer".to_owned()),
    })
}

fn done<'p>(call: &mut Call<'_, 'p>, heard: Result<Heard, String>, failed: Value<'p>) -> Outcome<'p> {
    let value = match heard {
        Err(why) => return fail(call, &why, failed),
        Ok(Heard::Connected(socket)) => Value::Int(socket.into()),
        Ok(Heard::Bytes(bytes)) => call.make(bytes)?,
        Ok(Heard::Sent(bytes)) => make::number(bytes),
    };
    call.set_capture(1, Value::EMPTY);
    Ok(value)
}

fn fail<'p>(call: &mut Call<'_, 'p>, why: &str, failed: Value<'p>) -> Outcome<'p> {
    let why = call.make(why)?;
    call.set_capture(1, why);
    Ok(failed)
}

/// The number of a connection; `None` if it cannot be one.
fn socket_at(call: &mut Call<'_, '_>) -> Result<Option<u32>, Interrupt> {
    Ok(u32::try_from(call.int(0)?).ok().filter(|socket| *socket > 0))
}

/// A port; `None` and a warning if it is none.
fn port_at(call: &mut Call<'_, '_>, index: usize) -> Result<Option<u16>, Interrupt> {
    let number = call.int(index)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        call.warn(&format!("{number} is not a port"))?;
    }
    Ok(port)
}

/// Milliseconds; `None` where nothing is said.
fn limit_at(call: &mut Call<'_, '_>, index: usize) -> Result<Option<Duration>, Interrupt> {
    let milliseconds = u64::try_from(call.int(index)?).unwrap_or(0);
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds)))
}
