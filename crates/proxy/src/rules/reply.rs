//! Endings that rules order: a reply of their own, bytes and a close, nothing and a close.

use std::time::SystemTime;

use tidegate_http1::{
    edit::{self, write_line},
    request::Version,
};
use tidegate_trafficscript::host::Reply;

use crate::{
    buffer::Output,
    connection::{Client, Flow},
    failure::{Failure, Progress},
    forward::attempt::Answer,
    http::error_page,
    rules::{ResponseFields, Said},
    tally,
    virtual_server::Exchange,
};

/// Sends a rule's reply in place of a node's response, or of `answer`.
pub(super) async fn send(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    reply: Reply,
    answer: Option<&Answer>,
) -> Flow {
    let body_pending = body_is_pending(exchange, answer);
    let close = body_pending || !exchange.keeps_alive(client);
    let old_client = exchange.head.version() == Version::Http10;
    let edits = exchange.take_response_edits();
    let mut out = client.worker.buffers.lend_output();
    head(&mut out.bytes, &reply, &edits);
    if !is_bodyless(reply.status) {
        write_line(b"Content-Length", reply.body.len().to_string().as_bytes(), &mut out.bytes);
    }
    if close {
        write_line(b"Connection", b"close", &mut out.bytes);
    } else if old_client {
        write_line(b"Connection", b"keep-alive", &mut out.bytes);
    }
    out.bytes.extend_from_slice(b"\r\n");
    exchange.answered.status = reply.status;
    exchange.answered.head_bytes = out.bytes.len() as u32;
    tally::server(&client.worker, &exchange.server).generated(reply.status);
    if !exchange.wants_head_only() && !is_bodyless(reply.status) {
        out.bytes.extend_from_slice(&reply.body);
        exchange.answered.bytes = reply.body.len() as u64;
    }
    match (sent(client, exchange, out).await, body_pending, close) {
        (true, true, _) => Flow::Linger,
        (true, false, false) => Flow::KeepAlive,
        (false, ..) | (true, false, true) => Flow::Close,
    }
}

/// Status line and header fields of a reply, the blank line left out. What could not be a field is left out too.
pub(super) fn head(out: &mut Vec<u8>, reply: &Reply, edits: &ResponseFields) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(reply.status.to_string().as_bytes());
    out.push(b' ');
    let reason = if reply.reason.is_empty() || !edit::is_reason(&reply.reason) {
        error_page::reason(reply.status).as_bytes()
    } else {
        &reply.reason
    };
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    let fields = reply.headers.iter().filter(|(name, value)| edit::check(name, value).is_ok());
    let fields = fields.map(|(name, value)| (name.as_slice(), value.as_slice()));
    let mut dated = false;
    edits.over(&fields).fields(fields, &mut |name, value| {
        dated |= name.eq_ignore_ascii_case(b"date");
        write_line(name, value, out);
    });
    if !dated {
        // RFC 9110 §6.6.1: whoever answers and has a clock says when.
        write_line(b"Date", httpdate::fmt_http_date(SystemTime::now()).as_bytes(), out);
    }
}

/// Writes bytes of the rule's choice and closes.
pub(super) async fn close(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    data: Vec<u8>,
    read: bool,
) -> Flow {
    let mut out = client.worker.buffers.lend_output();
    out.bytes.extend_from_slice(&data);
    exchange.answered.bytes = data.len() as u64;
    if sent(client, exchange, out).await && read { Flow::Linger } else { Flow::Close }
}

/// Sends the end of a response. False = the client is gone, which completion rules are told.
pub(super) async fn sent(client: &mut Client, exchange: &mut Exchange<'_>, out: Output) -> bool {
    let sent = client.send(out, exchange).await;
    if let Err(kind) = sent
        && !exchange.server.rules.completion.is_empty()
    {
        exchange.said_mut().failure = Some(Failure::new(kind, Progress::Answered));
    }
    sent.is_ok()
}

/// Whether bytes of the request's body are unread, before it went to a node or once `answer` is there.
pub(super) fn body_is_pending(exchange: &Exchange<'_>, answer: Option<&Answer>) -> bool {
    let said = exchange.said();
    let abandoned = said.is_some_and(Said::abandons_body);
    match (answer, said.and_then(|said| said.request_body.as_ref())) {
        (Some(answer), _) => abandoned || !answer.upload.is_complete(),
        (None, Some(taken)) => abandoned || !taken.is_complete(),
        (None, None) => exchange.head.has_body(),
    }
}

/// Statuses whose responses have no body (RFC 9110 §6.4.1).
pub(super) fn is_bodyless(status: u16) -> bool {
    matches!(status, 204 | 304)
}
