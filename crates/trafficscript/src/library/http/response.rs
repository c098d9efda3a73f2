//! `http.*`: status and header fields of the response.

use super::{
    edit, field_as_value, field_names, field_names_as_text, fields_as_hash, has_field, head, keep_only,
    status,
};
use crate::{
    host::{Edit, Side},
    library::{
        ANY, Call, Function, Outcome,
        row::{ANSWERED, RESPONSE, TRAFFIC, deprecated, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.getResponseCode", "", (0, 0), "Status of the response, such as 200.", |call| {
        Ok(Value::Int(i64::from(call.host.status())))
    }).only(ANSWERED),
    works("http.setResponseCode", "code[, message]", (1, 2),
        "Sets the status of the response; without a message it has its usual reason.",
        set_code).only(RESPONSE),
    works("http.getResponseVersion", "", (0, 0), "Version of the response, such as `HTTP/1.1`.", |call| {
        let version = call.host.version(Side::Response);
        call.make(version.as_bytes())
    }).only(ANSWERED),
    works("http.getResponse", "", (0, 0), "Status line and header fields of the response as text.", |call| {
        let head = head(call, Side::Response);
        call.make(head)
    }).only(ANSWERED),
    works("http.getResponseHeader", "name", (1, 1),
        "Value of a header field of the response; empty if there is none, several joined by `, `.",
        |call| {
            let name = call.text(0)?;
            field_as_value(call, Side::Response, &name)
        }).only(ANSWERED),
    works("http.responseHeaderExists", "name", (1, 1),
        "1 if the response has a header field of this name, else 0.",
        |call| {
            let name = call.text(0)?;
            Ok(Value::flag(has_field(call, Side::Response, &name)))
        }).only(ANSWERED),
    works("http.getResponseHeaders", "", (0, 0),
        "Hash of header names and values of the response.",
        |call| fields_as_hash(call, Side::Response)).only(ANSWERED),
    works("http.listResponseHeaderNames", "", (0, 0),
        "Array of header names of the response.",
        |call| field_names(call, Side::Response)).only(ANSWERED),
    deprecated("http.getResponseHeaderNames", "", (0, 0),
        "http.listResponseHeaderNames",
        |call| field_names_as_text(call, Side::Response)).but("gives one string, with spaces between the names").only(ANSWERED),
    works("http.setResponseHeader", "name, value", (2, 2),
        "Sets a header field of the response in place of all of its name. In a request rule: of the response \
         to come.",
        |call| {
            let (name, value) = (call.text(0)?, call.text(1)?);
            edit(call, Side::Response, Edit::Set(&name, &value))?;
            Ok(Value::EMPTY)
        }).only(TRAFFIC),
    works("http.addResponseHeader", "name, value", (2, 2),
        "Appends to the value of a header field of the response, behind `, `; adds the field if there is \
         none. `Set-Cookie` is always added.",
        add_header).only(TRAFFIC),
    works("http.removeResponseHeader", "name", (1, 1),
        "Removes all header fields of this name from the response.",
        |call| {
            let name = call.text(0)?;
            edit(call, Side::Response, Edit::Remove(&name))?;
            Ok(Value::EMPTY)
        }).only(TRAFFIC),
    works("http.scrubResponseHeaders", "name…", (1, ANY),
        "Removes all header fields but those that frame the message and those named, by arguments, arrays, \
         or one string with spaces.",
        |call| keep_only(call, Side::Response, &[])).only(RESPONSE),
];

fn set_code<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let mut line = call.text(0)?.to_vec();
    if call.has(1) {
        line.push(b' ');
        line.extend_from_slice(&call.text(1)?);
    }
    let done = match status::parse(&line) {
        Some((status, reason)) => call.host.set_status(status, &reason),
        None => Err("it is not a number from 200 to 999 with a reason behind it"),
    };
    if let Err(refusal) = done {
        let line = line.escape_ascii().to_string();
        call.warn(&format!("the status was not changed to `{line}`: {refusal}"))?;
    }
    Ok(Value::EMPTY)
}

fn add_header<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (name, value) = (call.text(0)?, call.text(1)?);
    let mut held = 0;
    call.host.field(Side::Response, &name, &mut |value| held += value.len());
    call.charge(held)?;
    edit(call, Side::Response, Edit::Append(&name, &value))?;
    Ok(Value::EMPTY)
}
