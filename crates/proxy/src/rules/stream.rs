//! `http.stream.*`: a response that a rule writes piece by piece, from pieces of the node's response or its own.

use tidegate_http1::{
    chunked::{self, LAST_CHUNK},
    edit::write_line,
    request::Version,
};
use tidegate_trafficscript::{Answer as Given, host::Reply};

use super::{
    body::{self, Cut, Taken},
    late::ResponseFields,
    reply,
    said::Ending,
    seen::Seen,
    stage::Stage,
};
use crate::{
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward::attempt::Answer,
    tally,
    virtual_server::Exchange,
};

/// A response that is being written piece by piece.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// The head, until the first piece takes it along.
    head: Vec<u8>,
    status: u16,
    /// What rules had left for the head of a response, for the one that goes out if this one does not.
    edits: ResponseFields,
    framing: Framing,
    head_only: bool,
    /// The client's connection ends with the response.
    close: bool,
    /// Part of the request's body is unread.
    pending: bool,
}

/// How the client knows the end.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    /// So many bytes to go.
    Length(u64),
    UntilClose,
}

/// Bytes of the node's body that are moved at a time once a rule has handed over.
const PIECE: usize = 64 * 1024;

/// `http.stream.startResponse`. False = a response has begun already.
pub(super) fn start(
    seen: &mut Seen<'_, '_>,
    mut head: Reply,
    length: Option<u64>,
    keep_headers: bool,
) -> bool {
    if seen.exchange.said().is_some_and(|said| said.stream.is_some()) {
        return false;
    }
    if keep_headers && let Stage::Response { answer, .. } = &seen.stage {
        let bytes = answer.head_bytes();
        let fields = answer.head.headers().iter().map(|header| (header.name(bytes), header.value(bytes)));
        let given = std::mem::take(&mut head.headers);
        head.headers = fields
            .filter(|(name, _)| !given.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        head.headers.extend(given);
    }
    let edits = seen.exchange.take_response_edits();
    let old_client = seen.exchange.head.version() == Version::Http10;
    let framing = match length {
        _ if reply::is_bodyless(head.status) => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None if old_client => Framing::UntilClose,
        None => Framing::Chunked,
    };
    let answer = match &seen.stage {
        Stage::Response { answer, .. } => Some(&**answer),
        Stage::Request | Stage::Spoken { .. } | Stage::Completion(_) => None,
    };
    let pending = reply::body_is_pending(seen.exchange, answer);
    let close = framing == Framing::UntilClose || pending || !seen.exchange.keeps_alive(seen.client);
    let mut out = Vec::new();
    reply::head(&mut out, &head, &edits);
    match &framing {
        Framing::Chunked => write_line(b"Transfer-Encoding", b"chunked", &mut out),
        Framing::Length(length) if !reply::is_bodyless(head.status) => {
            write_line(b"Content-Length", length.to_string().as_bytes(), &mut out);
        }
        Framing::Length(_) | Framing::UntilClose => {}
    }
    match (close, old_client) {
        (true, _) => write_line(b"Connection", b"close", &mut out),
        (false, true) => write_line(b"Connection", b"keep-alive", &mut out),
        (false, false) => {}
    }
    out.extend_from_slice(b"\r\n");
    let head_only = seen.exchange.wants_head_only();
    let streamed = Streamed { head: out, status: head.status, edits, framing, head_only, close, pending };
    let said = seen.exchange.said_mut();
    if let Some(taken) = &mut said.response_body {
        taken.let_go();
    }
    said.stream = Some(Box::new(streamed));
    true
}

/// `http.stream.finishResponse`, `http.stream.continueFromBackend`. False = none has begun.
pub(super) fn end(seen: &mut Seen<'_, '_>, ending: Ending) -> bool {
    let begun = seen.exchange.said().is_some_and(|said| said.stream.is_some());
    if begun {
        super::orders::end(seen, ending);
    }
    begun
}

/// Writes a piece.
pub(super) async fn write(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    piece: &[u8],
) -> Result<Given, Failure> {
    let Some(mut streamed) = exchange.said_mut().stream.take() else {
        return Ok(Given::Refused("no response has been started"));
    };
    let mut out = client.worker.buffers.lend_output();
    if !streamed.head.is_empty() {
        exchange.answered.status = streamed.status;
        exchange.answered.head_bytes = streamed.head.len() as u32;
        tally::server(&client.worker, &exchange.server).generated(streamed.status);
        out.bytes.append(&mut streamed.head);
    }
    let mut refused = false;
    let mut written = piece.len();
    if !streamed.head_only && !piece.is_empty() {
        match &mut streamed.framing {
            Framing::Chunked => {
                chunked::write_chunk_head(piece.len(), &mut out.bytes);
                out.bytes.extend_from_slice(piece);
                out.bytes.extend_from_slice(b"\r\n");
            }
            Framing::Length(left) => {
                let n = piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.bytes.extend_from_slice(piece.get(..n).unwrap_or_default());
                *left -= n as u64;
                refused = n < piece.len();
                written = n;
            }
            Framing::UntilClose => out.bytes.extend_from_slice(piece),
        }
        exchange.answered.bytes += written as u64;
    }
    exchange.said_mut().stream = Some(streamed);
    let answered = |kind| Failure::new(kind, Progress::Answered);
    client.send(out, exchange).await.map_err(answered)?;
    Ok(if refused { Given::Refused("the response is longer than it was said to be") } else { Given::Done })
}

/// Takes a piece of the node's body.
pub(super) async fn read(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
    cut @ (most, ..): Cut<'_>,
) -> Result<Given, Failure> {
    let started = is_started(exchange);
    let mut searched = 0;
    let mut wanted = 1;
    loop {
        // What was only looked at is held until somebody replaces it.
        let seen = exchange.said().and_then(|said| said.response_body.as_ref()).map_or(0, Taken::seen);
        match body::take_response(client, exchange, answer, seen + wanted).await? {
            Given::Done => {}
            refused => return Ok(refused),
        }
        let Some(taken) = &mut exchange.said_mut().response_body else { return Ok(Given::Piece(Vec::new())) };
        if let Some(piece) = taken.piece(cut, &mut searched) {
            if started {
                taken.let_go();
            }
            return Ok(Given::Piece(piece));
        }
        wanted = (taken.ahead() + 1).min(most.max(1));
    }
}

/// Ends the piecewise response. With `node`, the rest of its body goes first.
pub(super) async fn finish(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    node: Option<&mut Answer>,
) -> Result<Flow, Failure> {
    if let Some(answer) = node {
        loop {
            let Given::Piece(piece) = read(client, exchange, answer, (PIECE, b"", false)).await? else {
                break;
            };
            if piece.is_empty() {
                break;
            }
            write(client, exchange, &piece).await?;
        }
    }
    write(client, exchange, b"").await?;
    let Some(streamed) = exchange.said_mut().stream.take() else { return Ok(Flow::Close) };
    match streamed.framing {
        Framing::Chunked if !streamed.head_only => {
            let mut out = client.worker.buffers.lend_output();
            out.bytes.extend_from_slice(LAST_CHUNK);
            if !reply::sent(client, exchange, out).await {
                return Ok(Flow::Abort);
            }
        }
        // Shorter than it was said to be: only the manner of closing can tell the client.
        Framing::Length(left) if left > 0 && !streamed.head_only => return Ok(Flow::Abort),
        _ => {}
    }
    Ok(match (streamed.close, streamed.pending) {
        (_, true) => Flow::Linger,
        (true, false) => Flow::Close,
        (false, false) => Flow::KeepAlive,
    })
}

/// A failure, which ends a piecewise response in the middle if the client has seen part of one.
pub(super) fn broken(exchange: &mut Exchange<'_>, failure: Failure) -> Failure {
    if !has_begun(exchange) {
        take_back(exchange);
        return failure;
    }
    exchange.answered.ends_by_close = true;
    Failure { progress: Progress::Answered, ..failure }
}

/// Takes back a response of which nothing has been sent: nobody knows how the rule would have gone on.
pub(super) fn abandon(exchange: &mut Exchange<'_>) -> Failure {
    take_back(exchange);
    Failure::new(ABORTED, Progress::Unsent)
}

/// Another response goes out in the place of one that was started, with what rules had left for the head of any.
fn take_back(exchange: &mut Exchange<'_>) {
    if let Some(said) = &mut exchange.said
        && let Some(streamed) = said.stream.take()
    {
        said.response.fields = streamed.edits;
    }
}

const ABORTED: Kind = Kind::Rule("a rule was aborted before its response had begun");

/// Whether a rule has started a response, and none of it has been sent yet or more is to follow.
pub(super) fn is_started(exchange: &Exchange<'_>) -> bool {
    exchange.said().is_some_and(|said| said.stream.is_some())
}

/// Whether a response has been started and nothing else may be sent.
pub(super) fn has_begun(exchange: &Exchange<'_>) -> bool {
    exchange.said().is_some_and(|said| said.stream.as_ref().is_some_and(|streamed| streamed.head.is_empty()))
}
