//! `http.*`: the request line and the header fields of the request.

use super::{
    edit, field, field_as_value, field_names, field_names_as_text, fields_as_hash, has_field, head,
    keep_only, url,
};
use crate::{
    host::{Edit, Side},
    library::{
        ANY, Call, Function, Interrupt, Outcome,
        row::{TRAFFIC, deprecated, works},
    },
    value::{Text, Value},
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.getPath", "", (0, 0),
        "Path of the request, `%XX` decoded; without query, scheme and host. The `%` of a malformed escape \
         is `_`.",
        get_path),
    works("http.setPath", "path", (1, 1),
        "Sets the path; what may not stand in a URL is encoded. The query stays unless the path holds a \
         `?`.",
        set_path).only(TRAFFIC),
    works("http.setEscapedPath", "path", (1, 1),
        "Sets the path; white space, control bytes and `%` are encoded.",
        set_escaped_path).only(TRAFFIC),
    works("http.setRawPath", "path", (1, 1),
        "Sets the path as it is. What would not be a request target is encoded, with a warning.",
        set_raw_path).only(TRAFFIC),
    works("http.getRawURL", "", (0, 0), "The request target as sent.", |call| {
        let target = Value::from(&*call.host.target());
        charged(call, target)
    }),
    works("http.normalizePath", "path", (1, 1),
        "The path without `//`, `/./` and `/x/../`; empty if it is no path or leaves its root.",
        normalize_path),
    works("http.getQueryString", "", (0, 0), "The query, `%XX` decoded; empty if there is none.", |call| {
        let query = query(call);
        call.make(url::decode(&query, false))
    }),
    works("http.getRawQueryString", "", (0, 0), "The query as sent; empty if there is none.", |call| {
        let query = query(call);
        call.make(query)
    }),
    works("http.setQueryString", "query", (1, 1),
        "Sets the query; white space and control bytes are encoded. Empty = no query.",
        set_query).only(TRAFFIC),
    works("http.setRawQueryString", "query", (1, 1),
        "Sets the query as it is. What would not be a query is encoded, with a warning. Empty = no query.",
        set_raw_query).only(TRAFFIC),
    works("http.getMethod", "", (0, 0), "Method of the request, such as `GET`.", |call| {
        let method = Value::from(&*call.host.method());
        charged(call, method)
    }),
    works("http.setMethod", "method", (1, 1), "Sets the method.", set_method).only(TRAFFIC),
    works("http.getVersion", "", (0, 0), "Version of the request, such as `HTTP/1.1`.", |call| {
        let version = call.host.version(Side::Request);
        call.make(version.as_bytes())
    }),
    works("http.getRequest", "", (0, 0), "Request line and header fields as text.", |call| {
        let head = head(call, Side::Request);
        call.make(head)
    }),
    works("http.getHostHeader", "", (0, 0),
        "The host of the request in lower case, without port and final dot.",
        get_host_header),
    works("http.getHeader", "name", (1, 1),
        "Value of a header field; empty if there is none, several joined by `, `.",
        |call| {
            let name = call.text(0)?;
            field_as_value(call, Side::Request, &name)
        }),
    works("http.headerExists", "name", (1, 1), "1 if there is a header field of this name, else 0.", |call| {
        let name = call.text(0)?;
        Ok(Value::flag(has_field(call, Side::Request, &name)))
    }),
    works("http.getHeaders", "", (0, 0),
        "Hash of header names and values.",
        |call| fields_as_hash(call, Side::Request)),
    works("http.listHeaderNames", "", (0, 0),
        "Array of header names.",
        |call| field_names(call, Side::Request)),
    deprecated("http.getHeaderNames", "", (0, 0),
        "http.listHeaderNames",
        |call| field_names_as_text(call, Side::Request)).but("gives one string, with spaces between the names"),
    works("http.setHeader", "name, value", (2, 2),
        "Sets a header field of the request in place of all of its name.",
        |call| {
            let (name, value) = (call.text(0)?, call.text(1)?);
            edit(call, Side::Request, Edit::Set(&name, &value))?;
            Ok(Value::EMPTY)
        }).only(TRAFFIC),
    works("http.addHeader", "name, value", (2, 2), "Adds a header field to the request.", |call| {
        let (name, value) = (call.text(0)?, call.text(1)?);
        edit(call, Side::Request, Edit::Add(&name, &value))?;
        Ok(Value::EMPTY)
    }).only(TRAFFIC),
    works("http.removeHeader", "name", (1, 1),
        "Removes all header fields of this name from the request.",
        |call| {
            let name = call.text(0)?;
            edit(call, Side::Request, Edit::Remove(&name))?;
            Ok(Value::EMPTY)
        }).only(TRAFFIC),
    works("http.scrubRequestHeaders", "name…", (1, ANY),
        "Removes all header fields but `Host`, those that frame the message and those named, by arguments, \
         arrays, or one string with spaces.",
        |call| keep_only(call, Side::Request, &[b"host"])).only(TRAFFIC),
];

/// What was copied from the message, which is short, is charged for when the message is not borrowed any more.
fn charged<'p>(call: &mut Call<'_, 'p>, value: Value<'p>) -> Outcome<'p> {
    if let Value::Text(text) = &value {
        call.charge(text.len())?;
    }
    Ok(value)
}

fn query(call: &Call<'_, '_>) -> Vec<u8> {
    url::split(&call.host.target()).1.unwrap_or_default().to_vec()
}

fn get_path<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let target = call.host.target();
    let path = match url::split(&target).0 {
        b"" => Value::Text(Text::Constant(b"/")),
        path if memchr::memchr(b'%', path).is_none() => Value::from(path),
        path => Value::from(url::decode(path, false)),
    };
    drop(target);
    charged(call, path)
}

fn set_path<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let encoded = url::encode(&text, |byte| {
        byte == b'%' || byte != b'#' && (url::is_unreserved(byte) || url::is_reserved(byte))
    });
    replace_path(call, encoded)
}

fn set_escaped_path<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let encoded = url::encode(&text, |byte| byte != b'%' && url::is_target_byte(byte));
    replace_path(call, encoded)
}

fn set_raw_path<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let path = made_valid(call, &text)?;
    replace_path(call, path)
}

/// `text` as part of a request target; with a warning if something in it had to be encoded.
fn made_valid(call: &mut Call<'_, '_>, text: &[u8]) -> Result<Vec<u8>, Interrupt> {
    if !text.iter().copied().all(url::is_target_byte) {
        call.warn("the URL held bytes that may not stand in one; they are encoded")?;
    }
    Ok(url::encode(text, url::is_target_byte))
}

fn replace_path<'p>(call: &mut Call<'_, 'p>, path: Vec<u8>) -> Outcome<'p> {
    let mut target = path;
    if target.first() != Some(&b'/') {
        target.insert(0, b'/');
    }
    if !target.contains(&b'?')
        && let Some(query) = url::split(&call.host.target()).1
    {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    set_target(call, &target)
}

fn set_query<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let query = url::encode(&text, url::is_target_byte);
    replace_query(call, &query)
}

fn set_raw_query<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let query = made_valid(call, &text)?;
    replace_query(call, &query)
}

fn replace_query<'p>(call: &mut Call<'_, 'p>, query: &[u8]) -> Outcome<'p> {
    let mut target = url::split(&call.host.target()).0.to_vec();
    if target.is_empty() {
        target.push(b'/');
    }
    if !query.is_empty() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    set_target(call, &target)
}

fn set_target<'p>(call: &mut Call<'_, 'p>, target: &[u8]) -> Outcome<'p> {
    call.charge(target.len())?;
    if let Err(refusal) = call.host.set_target(target) {
        call.warn(&format!("the URL was not changed: {refusal}"))?;
    }
    Ok(Value::EMPTY)
}

fn set_method<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let method = call.text(0)?;
    if let Err(refusal) = call.host.set_method(&method) {
        call.warn(&format!("the method was not changed: {refusal}"))?;
    }
    Ok(Value::EMPTY)
}

fn normalize_path<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let path = call.text(0)?;
    call.make(url::normalized(&path).unwrap_or_default())
}

fn get_host_header<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let host = host_name(&field(call, Side::Request, b"host")?);
    call.make(host)
}

/// The host of `host:port`, in lower case and without a final dot.
pub(super) fn host_name(authority: &[u8]) -> Vec<u8> {
    let (host, _) = host_and_port(authority);
    host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase()
}

/// Host and port of an authority. An IPv6 address keeps its brackets.
pub(super) fn host_and_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let bracket = authority.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = authority.iter().rposition(|&byte| byte == b':').filter(|&at| at >= bracket);
    let Some(colon) = colon else { return (authority, None) };
    let (host, port) = authority.split_at(colon);
    let port = std::str::from_utf8(port.get(1..).unwrap_or_default()).ok().and_then(|port| port.parse().ok());
    (host, port)
}
