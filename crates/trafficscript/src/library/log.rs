//! `log.*`, `event.*`, `requestlog.*`, `recentconns.*`: what people read afterwards.

use super::{
    Call, Function, Outcome,
    row::{switch, works},
};
use crate::{
    host::{Level, Order},
    value::Value,
};

const CONNECTIONS: &str = "a page of recent connections";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("log.info", "message", (1, 1), "Writes to the event log.", |call| log(call, Level::Info)),
    works("log.warn", "message", (1, 1), "Writes a warning to the event log.", |call| log(call, Level::Warn)),
    works("log.error", "message", (1, 1),
        "Writes an error to the event log.",
        |call| log(call, Level::Error)),
    works("event.emit", "id, message", (2, 2),
        "Emits an event of your own and writes it to the event log. The id holds no `/` and no control \
         bytes.",
        emit),
    works("requestlog.include", "", (0, 0), "The access log gets this request.", |call| mark(call, true)),
    works("requestlog.exclude", "", (0, 0),
        "The access log does not get this request.",
        |call| mark(call, false)),
    works("requestlog.markedForInclusion", "", (0, 0),
        "1 if the access log gets this request, else 0.",
        is_logged),
    switch("recentconns.include", "", (0, 0),
        "The connection is kept for the page of recent connections.",
        CONNECTIONS, |_| Ok(Value::EMPTY)),
    switch("recentconns.exclude", "", (0, 0),
        "The connection is not kept for the page of recent connections.",
        CONNECTIONS, |_| Ok(Value::EMPTY)),
    switch("recentconns.markedForInclusion", "", (0, 0),
        "1 if the connection is kept for the page of recent connections, else 0.",
        CONNECTIONS, |_| Ok(Value::Int(0))),
];

/// The access log gets the request, or does not.
pub(super) fn mark<'p>(call: &mut Call<'_, 'p>, included: bool) -> Outcome<'p> {
    call.host.order(Order::LogRequest(included));
    Ok(Value::EMPTY)
}

/// Whether the access log gets the request.
pub(super) fn is_logged<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::flag(call.host.is_logged()))
}

fn log<'p>(call: &mut Call<'_, 'p>, level: Level) -> Outcome<'p> {
    let message = call.text(0)?;
    call.charge(message.len())?;
    call.host.log(level, &message);
    Ok(Value::EMPTY)
}

fn emit<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (id, message) = (call.text(0)?, call.text(1)?);
    call.charge(message.len())?;
    if id.is_empty() || id.iter().any(|byte| *byte == b'/' || byte.is_ascii_control()) {
        call.warn(&format!("`{}` cannot be the id of an event; none is emitted", id.escape_ascii()))?;
    } else {
        call.host.event(&id, &message);
    }
    Ok(Value::EMPTY)
}
