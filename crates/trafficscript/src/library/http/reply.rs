//! `http.*`: replies in place of a node's. They end the rules of the phase. No value a rule gives can make a second header
//! field or a second response of one.

use super::{Pair, field, field_value, has_field, is_framing, request, status, url};
use crate::{
    host::{Order, Reply, Side},
    library::{
        Call, Function, Interrupt, Outcome,
        row::{TRAFFIC, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.sendResponse", "code, type, body, headers", (4, 4),
        "Replies in place of a node and ends the rules of the phase. Code as `403`, `\"302\"` or `\"403 \
         Forbidden\"`; headers separated by CR LF.",
        send_response).only(TRAFFIC),
    works("http.redirect", "url", (1, 1),
        "Redirects the client with status 302 and ends the rules of the phase.",
        |call| {
            let location = call.text(0)?;
            redirect(call, 302, &location)
        }).only(TRAFFIC),
    works("http.changeSite", "site", (1, 1),
        "Redirects the client with status 301 to another site, keeping path, query, port and scheme, and \
         ends the rules of the phase; does nothing when the request is there already. The site may have a \
         scheme, a port and a path to put before.",
        change_site).only(TRAFFIC),
];

/// Status and reason of an argument; 500 with a warning if it is none.
pub(super) fn code(call: &mut Call<'_, '_>, index: usize) -> Result<(u16, Vec<u8>), Interrupt> {
    let text = call.text(index)?;
    if let Some(status) = status::parse(&text) {
        return Ok(status);
    }
    call.warn(&format!("`{}` is not a status; 500 is sent", text.escape_ascii()))?;
    Ok((500, status::usual_reason(500).into()))
}

/// Most header lines that a rule may give to a reply.
const MAX_LINES: usize = 256;

/// Header fields of a reply: its type, and what the text of header lines gives. What is no header field is left out with
/// a warning, framing fields without one, for they are the proxy's own.
pub(super) fn headers(call: &mut Call<'_, '_>, kind: &[u8], text: &[u8]) -> Result<Vec<Pair>, Interrupt> {
    let mut fields = Vec::new();
    let kind = field_value(call, kind)?.into_owned();
    if !kind.is_empty() {
        fields.push((b"Content-Type".to_vec(), kind));
    }
    let typed = !fields.is_empty();
    let mut rest = text;
    let mut lines = 0;
    while !rest.is_empty() {
        if lines == MAX_LINES {
            call.warn(&format!("there are more than {MAX_LINES} header lines; the rest is left out"))?;
            break;
        }
        lines += 1;
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 2..).unwrap_or_default();
        if line.trim_ascii().is_empty() {
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !is_token(name) || !value.iter().copied().all(super::is_field_byte) {
            call.warn(&format!("`{}` is not a header line; it is left out", line.escape_ascii()))?;
        } else if !(is_framing(name) || typed && name.eq_ignore_ascii_case(b"content-type")) {
            fields.push((name.to_vec(), value.to_vec()));
        }
    }
    Ok(fields)
}

/// Whether it is a token (RFC 9110 §5.6.2), as names of header fields are.
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn send_response<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (status, reason) = code(call, 0)?;
    let (kind, body, text) = (call.text(1)?, call.text(2)?, call.text(3)?);
    let headers = headers(call, &kind, &text)?;
    call.charge(body.len())?;
    reply(call, Reply { status, reason, headers, body: body.to_vec() })
}

fn reply<'p>(call: &mut Call<'_, 'p>, reply: Reply) -> Outcome<'p> {
    if call.host.order(Order::Reply(reply)) {
        return Err(Interrupt::EndPhase);
    }
    call.warn("no reply can be sent any more")?;
    Ok(Value::EMPTY)
}

fn redirect<'p>(call: &mut Call<'_, 'p>, status: u16, location: &[u8]) -> Outcome<'p> {
    let location = location.trim_ascii();
    if location.iter().any(u8::is_ascii_control) {
        call.warn("the address of a redirect held control bytes; they are encoded")?;
    }
    // Encoding makes three bytes of one at most, escaping six.
    call.charge(location.len().saturating_mul(9))?;
    let location = url::encode(location, |byte| byte > b' ' && byte != 0x7f);
    let mut escaped = Vec::with_capacity(location.len());
    for &byte in &location {
        match byte {
            b'&' => escaped.extend_from_slice(b"&amp;"),
            b'<' => escaped.extend_from_slice(b"&lt;"),
            b'>' => escaped.extend_from_slice(b"&gt;"),
            b'"' => escaped.extend_from_slice(b"&quot;"),
            byte => escaped.push(byte),
        }
    }
    let body = [
        &b"<html><head><title>Redirect</title></head><body>It is <a href=\""[..],
        &escaped,
        b"\">here</a>.</body></html>\n",
    ]
    .concat();
    let headers = vec![(b"Location".to_vec(), location), (b"Content-Type".to_vec(), b"text/html".to_vec())];
    reply(call, Reply { status, reason: status::usual_reason(status).into(), headers, body })
}

fn change_site<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let site = call.text(0)?;
    let secure = call.host.is_tls();
    let (target_secure, rest, scheme_given) = match url::scheme_end(&site) {
        Some(end) if site[..end].eq_ignore_ascii_case(b"https://") => (true, &site[end..], true),
        Some(end) => (false, &site[end..], true),
        None => (secure, &site[..], false),
    };
    let slash = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    let (authority, prefix) = rest.split_at(slash);
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let (host, port) = request::host_and_port(authority);
    if host.is_empty() {
        call.warn(&format!("`{}` is not the name of a site; no redirect is made", site.escape_ascii()))?;
        return Ok(Value::EMPTY);
    }

    let usual = |secure: bool| if secure { 443 } else { 80 };
    let (usual_there, usual_here) = (usual(target_secure), usual(secure));
    let known = has_field(call, Side::Request, b"host");
    let current = field(call, Side::Request, b"host")?;
    let (current_host, current_port) = request::host_and_port(&current);
    let current_port = if known { current_port } else { Some(call.host.local().port()) };
    // The port is kept with the scheme; another scheme has its own usual one.
    let port = match port {
        None if !scheme_given || target_secure == secure => current_port,
        port => port,
    };
    let (path, query) = {
        let target = call.host.target();
        let (path, query) = url::split(&target);
        (path.to_vec(), query.map(<[u8]>::to_vec))
    };
    let below = prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    let there = target_secure == secure
        && request::host_name(host) == request::host_name(current_host)
        && port.unwrap_or(usual_there) == current_port.unwrap_or(usual_here)
        && below;
    if there {
        return Ok(Value::EMPTY);
    }

    let mut location = if target_secure { b"https://".to_vec() } else { b"http://".to_vec() };
    location.extend_from_slice(host);
    if let Some(port) = port.filter(|&port| port != usual_there) {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    location.extend_from_slice(prefix);
    location.extend_from_slice(if path.is_empty() { b"/" } else { &path });
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(&query);
    }
    redirect(call, 301, &location)
}
