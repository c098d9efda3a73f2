//! The functions `http.*`. This page holds what they share: fields joined as one value, edits that are made valid rather
//! than refused, and bodies that are waited for.

pub(super) mod body;
pub(super) mod cookies;
pub(super) mod fetch;
pub(super) mod forms;
pub(super) mod reply;
pub(super) mod request;
pub(super) mod response;
pub(crate) mod status;
pub(super) mod stream;
pub(super) mod switches;
pub(crate) mod url;

use std::{borrow::Cow, rc::Rc};

use indexmap::IndexMap;

use super::{
    Call, Interrupt, Outcome,
    cost::{FIELD, charge_times},
    make::charge_elements,
};
use crate::{
    host::{Answer, Edit, FRAMING, Need, Side},
    value::{Container, Text, Value, cast},
};

/// A name and its value, such as a header field, a cookie or a parameter of a form.
type Pair = (Vec<u8>, Vec<u8>);

/// The values of all fields of a name as one, joined by `separator`; `None` = there is no such field.
fn joined(
    call: &mut Call<'_, '_>,
    side: Side,
    name: &[u8],
    separator: &[u8],
) -> Result<Option<Vec<u8>>, Interrupt> {
    let mut whole: Option<Vec<u8>> = None;
    call.host.field(side, name, &mut |value| match &mut whole {
        Some(whole) => {
            whole.extend_from_slice(separator);
            whole.extend_from_slice(value);
        }
        None => whole = Some(value.to_vec()),
    });
    call.meter.work(whole.as_ref().map_or(0, Vec::len))?;
    Ok(whole)
}

/// The value of a field for a rule: empty if there is none, several joined by `, ` (RFC 9110 §5.3).
fn field_as_value<'p>(call: &mut Call<'_, 'p>, side: Side, name: &[u8]) -> Outcome<'p> {
    // Most fields stand once: their value is copied once.
    let mut first: Option<Rc<[u8]>> = None;
    let mut whole = Vec::new();
    call.host.field(side, name, &mut |value| match &first {
        None => first = Some(value.into()),
        Some(first) => {
            if whole.is_empty() {
                whole.extend_from_slice(first);
            }
            whole.extend_from_slice(b", ");
            whole.extend_from_slice(value);
        }
    });
    if !whole.is_empty() {
        return call.make(whole);
    }
    let Some(value) = first else { return Ok(Value::EMPTY) };
    call.charge(value.len())?;
    Ok(Value::Text(Text::Made(value)))
}

/// The value of a field as rules see it: empty if there is none, several joined by `, ` (RFC 9110 §5.3).
pub(super) fn field(call: &mut Call<'_, '_>, side: Side, name: &[u8]) -> Result<Vec<u8>, Interrupt> {
    Ok(joined(call, side, name, b", ")?.unwrap_or_default())
}

/// Whether there is a field of this name.
fn has_field(call: &Call<'_, '_>, side: Side, name: &[u8]) -> bool {
    let mut found = false;
    call.host.field(side, name, &mut |_| found = true);
    found
}

/// Fields of a message, those of one name joined, in the order and spelling of the first of each name.
fn all_fields(call: &mut Call<'_, '_>, side: Side) -> Result<Vec<Pair>, Interrupt> {
    let mut fields: IndexMap<Vec<u8>, Pair> = IndexMap::new();
    let mut bytes = 0;
    call.host.fields(side, &mut |name, value| {
        let (_, whole) = fields
            .entry(name.to_ascii_lowercase())
            .and_modify(|(_, whole)| whole.extend_from_slice(b", "))
            .or_insert_with(|| (name.to_vec(), Vec::new()));
        whole.extend_from_slice(value);
        bytes += name.len() + value.len();
    });
    call.meter.work(bytes)?;
    Ok(fields.into_values().collect())
}

/// Hash of a message's fields.
fn fields_as_hash<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let fields = all_fields(call, side)?;
    hash_of_strings(call, fields)
}

/// Array of the names of a message's fields.
fn field_names<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let fields = all_fields(call, side)?;
    array(call, fields.into_iter().map(|(name, _)| name))
}

/// Names of a message's fields, separated by spaces.
fn field_names_as_text<'p>(call: &mut Call<'_, 'p>, side: Side) -> Outcome<'p> {
    let names: Vec<_> = all_fields(call, side)?.into_iter().map(|(name, _)| name).collect();
    call.make(names.join(&b' '))
}

/// Head of a message as text, with the empty line at its end.
pub(super) fn head(call: &Call<'_, '_>, side: Side) -> Vec<u8> {
    let mut head = match side {
        Side::Request => {
            let mut line = call.host.method().into_owned();
            line.push(b' ');
            line.extend_from_slice(&call.host.target());
            line.push(b' ');
            line.extend_from_slice(call.host.version(side).as_bytes());
            line
        }
        Side::Response => {
            let (status, reason) = (call.host.status(), call.host.reason());
            let mut line = format!("{} {status} ", call.host.version(side)).into_bytes();
            line.extend_from_slice(&reason);
            line
        }
    };
    head.extend_from_slice(b"\r\n");
    call.host.fields(side, &mut |name, value| {
        for part in [name, b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    });
    head.extend_from_slice(b"\r\n");
    head
}

/// An array of strings.
pub(super) fn array<'p>(call: &mut Call<'_, 'p>, strings: impl IntoIterator<Item = Vec<u8>>) -> Outcome<'p> {
    let mut elements = Vec::new();
    for string in strings {
        charge_elements(call, 1, elements.len() + 1)?;
        elements.push(call.make(string)?);
    }
    Ok(Container::Array(elements).into())
}

/// A hash. Of equal keys the first counts. Values are charged for by who makes them.
pub(super) fn hash<'p>(
    call: &mut Call<'_, 'p>,
    entries: impl IntoIterator<Item = (Vec<u8>, Value<'p>)>,
) -> Outcome<'p> {
    let mut made: IndexMap<Box<[u8]>, Value<'p>> = IndexMap::new();
    for (key, value) in entries {
        charge_elements(call, 1, made.len() + 1)?;
        call.charge(key.len())?;
        made.entry(key.into_boxed_slice()).or_insert(value);
    }
    Ok(Container::Hash(made).into())
}

/// A hash of strings.
fn hash_of_strings<'p>(call: &mut Call<'_, 'p>, pairs: Vec<Pair>) -> Outcome<'p> {
    let mut entries = Vec::new();
    for (name, value) in pairs {
        entries.push((name, call.make(value)?));
    }
    hash(call, entries)
}

/// Whether a byte may stand in the value of a header field.
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `value` with spaces in place of the bytes that may not stand in a header field (RFC 9110 §5.5): nothing a rule puts
/// into a field can end it.
pub(super) fn field_value<'v>(call: &mut Call<'_, '_>, value: &'v [u8]) -> Result<Cow<'v, [u8]>, Interrupt> {
    let value = value.trim_ascii();
    if value.iter().copied().all(is_field_byte) {
        return Ok(value.into());
    }
    call.warn("a header value held bytes that may not stand in one; they are spaces now")?;
    let kept: Vec<u8> = value.iter().map(|&byte| if is_field_byte(byte) { byte } else { b' ' }).collect();
    Ok(kept.trim_ascii().to_vec().into())
}

/// Edits a header field. What may not stand in a value becomes spaces with a warning; what the host refuses otherwise is a
/// warning. Gives whether it was done.
pub(super) fn edit(call: &mut Call<'_, '_>, side: Side, edit: Edit<'_>) -> Result<bool, Interrupt> {
    let value = match edit {
        Edit::Set(_, value) | Edit::Add(_, value) | Edit::Append(_, value) => field_value(call, value)?,
        Edit::Remove(_) | Edit::SetCookie(..) | Edit::RemoveCookie(_) => Cow::default(),
    };
    let edit = match edit {
        Edit::Set(name, _) => Edit::Set(name, &value),
        Edit::Add(name, _) => Edit::Add(name, &value),
        Edit::Append(name, _) => Edit::Append(name, &value),
        Edit::Remove(_) | Edit::SetCookie(..) | Edit::RemoveCookie(_) => edit,
    };
    let name = edit.field();
    let bytes = name.len() + edit.parts().iter().map(|part| part.len()).sum::<usize>();
    call.charge(bytes)?;
    charge_times(call, bytes, FIELD)?;
    match call.host.edit(side, edit) {
        Ok(()) => Ok(true),
        Err(refusal) => {
            let name = name.escape_ascii().to_string();
            call.warn(&format!("the header `{name}` was not changed: {refusal}"))?;
            Ok(false)
        }
    }
}

/// Removes every field that is not named: by several arguments, arrays, or one argument with spaces.
fn keep_only<'p>(call: &mut Call<'_, 'p>, side: Side, always: &[&[u8]]) -> Outcome<'p> {
    let mut keep: Vec<Text<'p>> = Vec::new();
    for index in 0..call.count() {
        match call.value(index) {
            Value::Container(container) => match &*container.borrow() {
                Container::Array(elements) => keep.extend(elements.iter().filter_map(cast::text)),
                Container::Hash(_) | Container::Empty => {}
            },
            _ => keep.push(call.text(index)?.into_text()),
        }
    }
    for (name, _) in all_fields(call, side)? {
        let mut kept = is_framing(&name) || always.iter().any(|kept| kept.eq_ignore_ascii_case(&name));
        for text in &keep {
            call.meter.work(text.len())?;
            kept |= text.split(u8::is_ascii_whitespace).any(|word| word.eq_ignore_ascii_case(&name));
        }
        call.meter.work(keep.len())?;
        if !kept {
            edit(call, side, Edit::Remove(&name))?;
        }
    }
    Ok(Value::EMPTY)
}

/// Whether a field frames the message or belongs to the connection: the proxy's own.
pub(crate) fn is_framing(name: &[u8]) -> bool {
    FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name))
}

/// The first `most` bytes of a body (0 = all of it), waiting for them. `None` with a warning if they cannot be had. Who makes
/// a value of them charges for it.
pub(super) fn body(call: &mut Call<'_, '_>, side: Side, most: usize) -> Result<Option<Vec<u8>>, Interrupt> {
    let limit = call.meter.limits().body;
    let want = if most == 0 { limit } else { most.min(limit) };
    let answer = call.answer();
    let body = call.host.body(side);
    if answer.is_none() && !body.complete && body.bytes.len() < want {
        return Err(Interrupt::Wait(Box::new(Need::Body(side, want))));
    }
    if let Some(Answer::Refused(why)) = answer {
        call.warn(&format!("the body cannot be had: {why}"))?;
        return Ok(None);
    }
    let whole = most == 0 && (!body.complete || body.bytes.len() > limit);
    let piece = body.bytes.get(..want).unwrap_or(body.bytes).to_vec();
    if whole {
        call.warn(&format!("the body is longer than the {limit} bytes a rule may have"))?;
        return Ok(None);
    }
    call.meter.work(piece.len())?;
    Ok(Some(piece))
}

/// The argument that says how much of a body is wanted; 0 = all.
pub(super) fn wanted(call: &mut Call<'_, '_>, index: usize) -> Result<usize, Interrupt> {
    let most = if call.has(index) { call.int(index)? } else { 0 };
    Ok(usize::try_from(most).unwrap_or(0))
}

/// Lines of a text, without their ends (CR LF or LF).
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let none = text.is_empty();
    text.split(|&byte| byte == b'\n')
        .filter(move |_| !none)
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}
