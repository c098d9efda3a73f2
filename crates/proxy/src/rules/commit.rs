//! Edits become heads: the head as edited is written once and taken by the strict parser again, so that everything
//! behind the rules sees an ordinary message and nothing is smuggled in by an edit.

use tidegate_http1::{edit::write_line, limits::Limits, request, response};

use crate::{
    connection::Client,
    failure::{Failure, Kind, Progress},
    forward::attempt::Answer,
    virtual_server::Exchange,
};

const NO_REQUEST: Kind = Kind::Rule("what rules made of the request is no valid request");
const NO_RESPONSE: Kind = Kind::Rule("what rules made of the response is no valid response");

/// Writes the edits of the request phase into the request's head.
pub(super) fn request(client: &Client, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let Some(said) = &mut exchange.said else { return Ok(()) };
    let edits = std::mem::take(&mut said.request);
    let whole = said.request_body.as_ref().filter(|taken| taken.is_complete()).map(|taken| taken.bytes.len());
    if edits.is_empty() && whole.is_none() {
        return Ok(());
    }
    let bytes = exchange.head_bytes();
    let head = &exchange.head;
    let mut out = client.worker.buffers.lend_output();
    out.bytes.extend_from_slice(edits.method.as_deref().unwrap_or_else(|| head.method_bytes(bytes)));
    out.bytes.push(b' ');
    // The target goes on in origin form: a Host that was set cannot disagree with it.
    match &edits.target {
        Some(target) => out.bytes.extend_from_slice(target),
        None if edits.method.is_some() || !head.is_origin_form() => match head.path(bytes) {
            b"" => out.bytes.push(b'/'),
            path => {
                out.bytes.extend_from_slice(if path.starts_with(b"/") || path == b"*" { b"" } else { b"/" });
                out.bytes.extend_from_slice(path);
            }
        },
        None => out.bytes.extend_from_slice(head.target(bytes)),
    }
    out.bytes.extend_from_slice(match head.version() {
        request::Version::Http10 => b" HTTP/1.0\r\n",
        request::Version::Http11 => b" HTTP/1.1\r\n",
    });
    let lines = head.headers().iter().filter(|header| match header.role() {
        request::Role::ContentLength | request::Role::TransferEncoding => whole.is_none(),
        _ => !(edits.continued && header.name(bytes).eq_ignore_ascii_case(b"expect")),
    });
    let lines = lines.map(|header| (header.name(bytes), bytes.get(header.line()).unwrap_or_default()));
    edits.fields.write(lines, &mut out.bytes);
    if let Some(length) = whole {
        // RFC 9110 §8.6: a request without a body says nothing about one, unless there was one.
        if length > 0 || head.has_body() {
            write_line(b"Content-Length", length.to_string().as_bytes(), &mut out.bytes);
        }
    }
    out.bytes.extend_from_slice(b"\r\n");
    let length = out.bytes.len();
    exchange.head.start_over();
    match exchange.head.parse(&out.bytes, &Limits::default()) {
        Ok(request::Parsed::Complete(all)) if all == length => exchange.replace_head_bytes(out),
        _ => return Err(Failure::new(NO_REQUEST, Progress::Unsent)),
    }
    Ok(())
}

/// Writes the edits of the response phase (and those that request rules have left for it) into the response's head.
pub(super) fn response(
    client: &Client,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let Some(said) = &mut exchange.said else { return Ok(()) };
    let body = said.response_body.as_ref();
    let whole = body.filter(|taken| taken.is_complete()).map(|taken| taken.bytes.len());
    if said.response.is_empty() && whole.is_none() {
        return Ok(());
    }
    let edits = std::mem::take(&mut said.response);
    let bytes = answer.head_bytes();
    let head = &answer.head;
    let mut out = client.worker.buffers.lend_output();
    // The version stays the node's: it says whether its connection may be kept.
    out.bytes.extend_from_slice(bytes.get(..9).unwrap_or(b"HTTP/1.1 "));
    match &edits.status {
        Some((status, reason)) => {
            out.bytes.extend_from_slice(status.to_string().as_bytes());
            out.bytes.push(b' ');
            let usual = || crate::http::error_page::reason(*status).as_bytes();
            out.bytes.extend_from_slice(if reason.is_empty() { usual() } else { reason });
        }
        None => out.bytes.extend_from_slice(head.status_and_reason(bytes)),
    }
    out.bytes.extend_from_slice(b"\r\n");
    let lines = head.headers().iter().filter(|header| match header.role() {
        response::Role::ContentLength | response::Role::TransferEncoding => whole.is_none(),
        _ => true,
    });
    let lines = lines.map(|header| (header.name(bytes), bytes.get(header.line()).unwrap_or_default()));
    edits.fields.write(lines, &mut out.bytes);
    if let Some(length) = whole {
        write_line(b"Content-Length", length.to_string().as_bytes(), &mut out.bytes);
    }
    out.bytes.extend_from_slice(b"\r\n");
    answer.replace_head(out, exchange.head).map_err(|()| Failure::new(NO_RESPONSE, Progress::Sent))
}
