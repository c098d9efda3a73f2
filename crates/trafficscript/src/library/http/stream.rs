//! `http.stream.*`: a response written, or a node's body read, piece by piece.

use super::reply;
use crate::{
    host::{Answer, Need, Order, Phase, Reply},
    library::{
        Call, Function, Interrupt, Outcome,
        row::{RESPONSE, TRAFFIC, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.stream.startResponse", "code, type[, length[, headers]]", (2, 4),
        "Begins a reply whose body follows in pieces; once per request. Length in bytes, negative if \
         unknown. In a response rule without headers the node's are kept. 1 if it is begun, else 0.",
        start).only(TRAFFIC),
    works("http.stream.writeResponse", "data", (1, 1),
        "Writes a piece of the body. 1 if it is written, else 0.",
        |call| {
            let data = call.text(0)?;
            Ok(Value::flag(write(call, &data)?))
        }).only(TRAFFIC).waits(),
    works("http.stream.finishResponse", "[data]", (0, 1),
        "Writes the last piece of the body and ends the rules of the phase.",
        |call| finish(call, Order::StreamFinish)).only(TRAFFIC).waits(),
    works("http.stream.continueFromBackend", "[data]", (0, 1),
        "Writes a piece of the body, lets the rest come from the node, and ends the rules of the phase.",
        |call| finish(call, Order::StreamContinue)).only(TRAFFIC).waits(),
    works("http.stream.readResponse", "bytes[, delimiter]", (1, 2),
        "Takes up to so many bytes from the node's body, to the first delimiter in them; empty at its end.",
        |call| read(call, false)).only(RESPONSE).waits(),
    works("http.stream.readBulkResponse", "bytes[, delimiter]", (1, 2),
        "Takes up to so many bytes from the node's body, to the last delimiter in them; empty at its end.",
        |call| read(call, true)).only(RESPONSE).waits(),
];

fn start<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (status, reason) = reply::code(call, 0)?;
    let (kind, length, text) = (call.text(1)?, call.int(2)?, call.text(3)?);
    let headers = reply::headers(call, &kind, &text)?;
    let keep_headers = !call.has(3) && call.host.phase() == Phase::Response;
    let order = Order::StreamStart {
        reply: Reply { status, reason, headers, body: Vec::new() },
        length: if call.has(2) { u64::try_from(length).ok() } else { None },
        keep_headers,
    };
    let begun = call.host.order(order);
    if !begun {
        call.warn("a response is on its way already; no other is begun")?;
    }
    Ok(Value::flag(begun))
}

/// Writes a piece, waiting for it.
fn write(call: &mut Call<'_, '_>, data: &[u8]) -> Result<bool, Interrupt> {
    match call.answer() {
        Some(Answer::Refused(why)) => {
            call.warn(&format!("a piece of the response was not written: {why}"))?;
            Ok(false)
        }
        Some(_) => Ok(true),
        None if data.is_empty() => Ok(true),
        None => {
            call.charge(data.len())?;
            Err(Interrupt::Wait(Box::new(Need::Write(data.to_vec()))))
        }
    }
}

fn finish<'p>(call: &mut Call<'_, 'p>, order: Order) -> Outcome<'p> {
    let data = call.text(0)?;
    write(call, &data)?;
    if call.host.order(order) {
        return Err(Interrupt::EndPhase);
    }
    call.warn("no response has been begun with http.stream.startResponse")?;
    Ok(Value::EMPTY)
}

fn read<'p>(call: &mut Call<'_, 'p>, bulk: bool) -> Outcome<'p> {
    match call.answer() {
        Some(Answer::Piece(piece)) => call.make(piece),
        Some(Answer::Refused(why)) => {
            call.warn(&format!("the body of the response cannot be had: {why}"))?;
            Ok(Value::EMPTY)
        }
        Some(_) => Ok(Value::EMPTY),
        None => {
            let most = call.int(0)?;
            let limit = call.meter.limits().body;
            let most = usize::try_from(most).unwrap_or(0).min(limit);
            if most == 0 {
                return Ok(Value::EMPTY);
            }
            let delimiter = call.text(1)?.to_vec();
            call.wait(Need::Read { most, delimiter, bulk })
        }
    }
}
