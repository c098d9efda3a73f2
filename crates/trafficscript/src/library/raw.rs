//! Messages of protocols of which only the bytes are known: what `request.*` and `response.*` do where there is no HTTP.
//!
//! In: bytes of a side as far as they are there ([`Host::body`](crate::Host::body)), more on demand. Out: orders that mark,
//! replace, drop and send them.

use super::{Call, Interrupt, Outcome, http::wanted, number};
use crate::{
    host::{Answer, Need, Order, Side},
    pattern::Flags,
    value::Value,
};

/// At least `want` bytes of a side, or all there will ever be, as long as rules may have so many. `None` = they are still
/// to come and the rule has to wait for them.
pub(super) fn arrived(call: &mut Call<'_, '_>, side: Side, want: usize) -> Result<usize, Interrupt> {
    let want = want.min(call.meter.limits().body);
    let answer = call.answer();
    let body = call.host.body(side);
    let there = body.bytes.len();
    if there >= want || body.complete {
        return Ok(there);
    }
    match answer {
        Some(Answer::Refused(why)) => {
            call.warn(&format!("the data cannot be had: {why}"))?;
            Ok(there)
        }
        _ => Err(Interrupt::Wait(Box::new(Need::Body(side, want)))),
    }
}

/// The first `most` bytes of a side; 0 = those that are there, one at least.
pub(super) fn get(call: &mut Call<'_, '_>, side: Side, most: usize) -> Result<Vec<u8>, Interrupt> {
    let there = arrived(call, side, most.max(1))?;
    let end = if most == 0 { there } else { most.min(there) };
    call.meter.work(end)?;
    let bytes = call.host.body(side).bytes;
    Ok(bytes.get(..end).unwrap_or(bytes).to_vec())
}

/// The line of a side that begins at `offset`, and where it ends. The rest, where nothing more will come or a line may not be
/// longer.
pub(super) fn line(
    call: &mut Call<'_, '_>,
    side: Side,
    offset: usize,
    end_of: impl Fn(&mut Call<'_, '_>, &[u8], usize) -> Result<Option<usize>, Interrupt>,
) -> Result<(Vec<u8>, usize), Interrupt> {
    let longest = offset.saturating_add(call.meter.limits().line);
    let answer = call.answer();
    let body = call.host.body(side);
    let (complete, bytes) = (body.complete, body.bytes.get(..longest).unwrap_or(body.bytes).to_vec());
    let found = end_of(call, &bytes, offset)?;
    if let Some(Answer::Refused(why)) = &answer {
        call.warn(&format!("the line cannot be had: {why}"))?;
    } else if found.is_none() && !complete && bytes.len() < longest {
        return Err(Interrupt::Wait(Box::new(Need::Body(side, bytes.len() + 1))));
    }
    let end = found.unwrap_or(bytes.len()).max(offset);
    Ok((bytes.get(offset..end).unwrap_or_default().to_vec(), end))
}

/// `request.endsAt`
pub(super) fn ends_at<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    match usize::try_from(call.int(0)?) {
        Ok(at @ 1..) => {
            call.host.order(Order::EndsAt(at));
        }
        _ => call.warn("a request has to end behind its first byte; no end was marked")?,
    }
    Ok(Value::EMPTY)
}

/// `request.endsWith`
pub(super) fn ends_with<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let limit = call.meter.limits().line;
    let answer = call.answer();
    let body = call.host.body(Side::Request);
    let (complete, bytes) = (body.complete, body.bytes.get(..limit).unwrap_or(body.bytes).to_vec());
    call.meter.work(bytes.len())?;
    let pattern = call.pattern(0, Flags::default())?;
    let found = call.captures(&pattern, &bytes, 0)?.and_then(|captures| captures.get(0));
    match (found, answer) {
        (Some((_, 0)), _) => call.warn("the pattern matches nothing at all; no end was marked")?,
        (Some((_, end)), _) => {
            call.host.order(Order::EndsAt(end));
        }
        (None, Some(Answer::Refused(why))) => {
            call.warn(&format!("the end of the request cannot be had: {why}"))?;
        }
        (None, _) if complete => {}
        (None, _) if bytes.len() >= limit => {
            call.warn(&format!("the first {limit} bytes hold no end of the request; no end was marked"))?;
        }
        (None, _) => return call.wait(Need::Body(Side::Request, bytes.len() + 1)),
    }
    Ok(Value::EMPTY)
}

/// `request.set`, `response.set`
pub(super) fn set<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let data = call.text(0)?.to_vec();
    call.charge(data.len())?;
    if let Err(why) = call.host.set_body(side, data) {
        call.warn(&format!("the data stays as it is: {why}"))?;
    }
    Ok(Value::EMPTY)
}

/// `request.skip`
pub(super) fn skip<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let count = wanted(call, 0)?;
    if count > 0 {
        let there = arrived(call, Side::Request, count)?;
        call.host.order(Order::Skip(count.min(there)));
    }
    Ok(Value::EMPTY)
}

/// `request.sendResponse`
pub(super) fn send_response<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let data = call.text(0)?.to_vec();
    call.charge(data.len())?;
    call.host.order(Order::Respond(data));
    Ok(Value::EMPTY)
}

/// `response.append`
pub(super) fn append<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let data = call.text(0)?.to_vec();
    call.charge(data.len())?;
    if !call.host.order(Order::Append(data)) {
        call.warn("the response is longer than a rule may make it; nothing was appended")?;
    }
    Ok(Value::EMPTY)
}

/// `response.flush`
pub(super) fn flush<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    match call.answer() {
        None => {
            let count = wanted(call, 0)?;
            call.host.order(Order::Flush(if call.has(0) { Some(count) } else { None }));
            call.wait(Need::Write(Vec::new()))
        }
        Some(Answer::Refused(why)) => {
            call.warn(&format!("the data was not sent: {why}"))?;
            Ok(Value::EMPTY)
        }
        Some(_) => Ok(Value::EMPTY),
    }
}

/// `response.close`
pub(super) fn close_node<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    call.host.order(Order::CloseNode);
    Ok(Value::EMPTY)
}

/// `request.getLength`, `response.getLength`
pub(super) fn length<'p>(call: &Call<'_, 'p>, side: Side) -> Value<'p> {
    number(call.host.body(side).bytes.len())
}
