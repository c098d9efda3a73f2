//! Edits become heads: the head as edited is written once, and everything behind the rules sees an ordinary message.
//! Nothing is smuggled in by an edit: a request is taken by the strict parser again, a response is made of lines that have
//! been through it and of edits that are nothing else.

use std::sync::Arc;

use tidegate_http1::{
    edit::write_line,
    head::list,
    limits::Limits,
    request::{self, Method, RequestHead},
    response::{Edits, NewLength, ResponseFraming},
};
use tidegate_telemetry::logging::EventLimit;

use crate::{
    connection::Client,
    failure::{Failure, Kind, Progress},
    forward::attempt::Answer,
    http::request_head::is_reserved,
    rules::{
        body::Taken,
        codings,
        reply::is_bodyless,
        said::{RequestEdits, ResponseEdits},
    },
    snapshot::RunningRule,
    virtual_server::Exchange,
};

const NO_REQUEST: Kind = Kind::Rule("what rules made of the request is no valid request");
const LARGE_REQUEST: Kind = Kind::Rule("rules made the head of the request larger than a head may be");
const LARGE_RESPONSE: Kind = Kind::Rule("rules made the head of the response larger than a head may be");

/// Whether a head has more bytes or lines than any head may have.
fn is_too_large(head: &[u8]) -> bool {
    let limits = Limits::default();
    // Start line and blank line are no header lines.
    head.len() > limits.head || memchr::memchr_iter(b'\n', head).count() > limits.headers + 2
}

/// Writes the edits of the request phase into the request's head.
#[inline(never)]
pub(super) fn request(client: &Client, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let reads_answers = exchange.server.rules.read_answers;
    if exchange.said.is_none() && !reads_answers {
        return Ok(());
    }
    let mut edits = std::mem::take(&mut exchange.said_mut().request);
    if reads_answers {
        ask_for_decodable(exchange, &mut edits);
    }
    let Some(said) = &mut exchange.said else { return Ok(()) };
    if let Some(trace) = &mut exchange.trace {
        trace.edited(|name| edits.fields.gives(name));
    }
    let whole = said.request_body.as_ref().filter(|taken| taken.is_complete()).map(Taken::len);
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
    let http = &exchange.server.settings.http;
    let lines = head.headers().iter().filter(|header| match header.role() {
        request::Role::ContentLength | request::Role::TransferEncoding => whole.is_none(),
        // The client's, not those that rules have given.
        request::Role::NamedByConnection => false,
        request::Role::HopByHop if is_connection(header.name(bytes)) => false,
        role if is_reserved(role, http) => false,
        // The node is not asked whether it wants what is here already.
        _ => !((edits.continued || whole.is_some()) && header.name(bytes).eq_ignore_ascii_case(b"expect")),
    });
    let lines = lines.map(|header| (header.name(bytes), bytes.get(header.line()).unwrap_or_default()));
    edits.fields.write(lines, &mut out.bytes);
    if let Some(length) = whole {
        // RFC 9110 §8.6: a request without a body says nothing about one, unless there was one.
        if length > 0 || head.has_body() {
            write_line(b"Content-Length", length.to_string().as_bytes(), &mut out.bytes);
        }
    }
    connection(head, bytes, &mut out.bytes);
    out.bytes.extend_from_slice(b"\r\n");
    let wants_head = exchange.wants_head_only();
    let too_large = is_too_large(&out.bytes);
    if let Err(why) = exchange.replace_head(out) {
        tell(client, exchange, "request", &exchange.server.rules.request, why);
        return Err(Failure::new(if too_large { LARGE_REQUEST } else { NO_REQUEST }, Progress::Unsent));
    }
    if !edits.fields.is_empty() {
        exchange.said_mut().given = Some(Box::new(edits.fields));
    }
    if wants_head != (exchange.head.method() == Method::Head) {
        exchange.said_mut().client_wants_head = Some(wants_head);
    }
    Ok(())
}

/// Response rules read the answer's body: it is asked for in a coding that they can take off.
fn ask_for_decodable(exchange: &Exchange<'_>, edits: &mut RequestEdits) {
    const FIELD: &[u8] = b"Accept-Encoding";
    let bytes = exchange.head_bytes();
    let own = exchange.head.headers().iter().map(|header| (header.name(bytes), header.value(bytes)));
    let mut accepted = Vec::new();
    edits.fields.values(FIELD, own, &mut |value| accepted.push(value.to_vec()));
    if let Some(left) = codings::decodable(&accepted) {
        // Where rules have edited all the fields they may, it stays as it is.
        let _refused = edits.fields.set(FIELD, &left);
    }
}

fn is_connection(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"connection")
}

/// Writes what the client says of its connection, less the names of fields: they were of its own fields, not of those
/// that rules have given.
fn connection(head: &RequestHead, bytes: &[u8], out: &mut Vec<u8>) {
    const OPTIONS: [&[u8]; 3] = [b"close", b"keep-alive", b"upgrade"];
    let said = |option: &[u8]| {
        let mut lines = head.headers().iter().filter(|header| is_connection(header.name(bytes)));
        lines.any(|header| list(header.value(bytes)).any(|one| one.eq_ignore_ascii_case(option)))
    };
    for option in OPTIONS.into_iter().filter(|option| said(option)) {
        write_line(b"Connection", option, out);
    }
}

/// Writes the edits of the response phase (and those that request rules have left for it) into the response's head.
#[inline(never)]
pub(super) fn response(
    client: &Client,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let wants_head = exchange.wants_head_only();
    let Some(said) = &mut exchange.said else { return Ok(()) };
    let head = &answer.head;
    let status = said.response.status.as_ref().map_or_else(|| head.status(), |(status, _)| *status);
    let body = Bodies {
        node_sends: head.framing() != ResponseFraming::None,
        node_may: exchange.head.method() != Method::Head && !is_bodyless(head.status()),
        client_may: !wants_head && !is_bodyless(status),
        bodyless: is_bodyless(status),
    };
    let length = body.length(said.response_body.as_ref());
    answer.silenced = body.node_sends && !body.client_may;
    if said.response.is_empty() && length == NewLength::Same {
        return Ok(());
    }
    let ResponseEdits { fields, status } = std::mem::take(&mut said.response);
    let status = status.as_ref().map(|(status, reason)| {
        let usual = || crate::http::error_page::reason(*status).as_bytes();
        (*status, if reason.is_empty() { usual() } else { reason })
    });
    let edits = Edits { status, fields: fields.here(), length };
    answer.edit_head(&client.worker, &edits, exchange.head).map_err(|error| {
        tell(client, exchange, "response", &exchange.server.rules.response, error.reason());
        Failure::new(LARGE_RESPONSE, Progress::Sent)
    })
}

/// Clients decide how often it happens.
static REFUSED: EventLimit = EventLimit::new();

/// Tells of a head that rules have made and that cannot be sent: why, and which rules may have made it.
fn tell(client: &Client, exchange: &Exchange<'_>, what: &str, rules: &[Arc<RunningRule>], why: &str) {
    if let Some(held_back) = REFUSED.admit(client.worker.recent()) {
        let names: Vec<_> = rules.iter().map(|rule| rule.program.name()).collect();
        let (rules, most) = (names.join(", "), Limits::default());
        tracing::warn!(
            event = "rulelogmsgwarn",
            virtual_server = %exchange.server.name(),
            rule = rules,
            held_back,
            "the head of the {what} cannot be sent as rules have made it: {why} (a head has at most {} bytes and {} lines)",
            most.head,
            most.headers
        );
    }
}

/// Which bodies there are, and may be, on both sides of a response that rules have edited.
#[derive(Clone, Copy)]
struct Bodies {
    /// The node sends one.
    node_sends: bool,
    /// The node's response could have one.
    node_may: bool,
    /// The client expects one.
    client_may: bool,
    /// The client's response has none by its status.
    bodyless: bool,
}

impl Bodies {
    /// What the edited head says of the body's length.
    fn length(self, taken: Option<&Taken>) -> NewLength {
        match (self.client_may, taken) {
            (true, Some(taken)) if taken.is_complete() => NewLength::Length(taken.len()),
            // What the node said is of a body that it does not send.
            (true, _) if !self.node_may => NewLength::Length(0),
            // RFC 9110 §8.6: it would have to be the length that a GET is told.
            (false, Some(taken)) if taken.replaced => NewLength::Silent,
            (false, _) if self.node_sends && self.bodyless => NewLength::Silent,
            _ => NewLength::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_http1::request::BodyFraming;

    #[test]
    fn length_of_edited_responses() {
        let read = || Taken::of_response(ResponseFraming::None);
        let replaced = || {
            let mut taken = Taken::of_request(BodyFraming::Length(9));
            taken.replace(b"new".to_vec());
            taken
        };
        let unread = || Taken::of_response(ResponseFraming::Length(9));
        // node sends, node may, client may, status without a body; body; framing
        let table = [
            ((true, true, true, false), None, NewLength::Same),
            ((true, true, true, false), Some(unread()), NewLength::Same),
            ((true, true, true, false), Some(replaced()), NewLength::Length(3)),
            ((false, true, true, false), Some(read()), NewLength::Length(0)),
            // HEAD.
            ((false, false, false, false), None, NewLength::Same),
            ((false, false, false, false), Some(read()), NewLength::Same),
            ((false, false, false, false), Some(replaced()), NewLength::Silent),
            // 200 becomes 304, 304 becomes 200.
            ((true, true, false, true), None, NewLength::Silent),
            ((false, false, true, false), None, NewLength::Length(0)),
            ((false, false, true, false), Some(replaced()), NewLength::Length(3)),
            // HEAD becomes GET.
            ((true, true, false, false), None, NewLength::Same),
        ];
        for (row, ((node_sends, node_may, client_may, bodyless), taken, expected)) in
            table.into_iter().enumerate()
        {
            let bodies = Bodies { node_sends, node_may, client_may, bodyless };
            assert_eq!(bodies.length(taken.as_ref()), expected, "row {row}");
        }
    }
}
