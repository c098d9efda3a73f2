//! Passes a node's response on to the client: head, body, and what becomes of both connections.

use std::{future::poll_fn, hint::cold_path, io, sync::Arc, task::Poll};

use tidegate_http1::{
    chunked::{ChunkedRelay, Output as ChunkedOutput},
    request::Version,
    response::ResponseFraming,
};
use tidegate_pool::{Node, Session};

use super::{Answer, claim::Claim, upgrade};
use crate::{
    access,
    aside::aside,
    buffer::Output,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    http::response_head::{self, BodyHeader, ConnectionHeader, Rewrite},
    relay::{
        BodyRelay, Framing, Guarded, RelayError,
        splice::{self, WORTH_SPLICING},
    },
    rules::Said,
    snapshot::RunningPool,
    stream::Stream,
    tally, trace,
    virtual_server::Exchange,
};

pub(crate) async fn deliver(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    claim: &Claim,
    mut answer: Box<Answer>,
) -> Result<Flow, Failure> {
    let status = answer.head.status();
    exchange.answered.status = status;
    tally::server(&client.worker, &exchange.server).responded(status);
    let upgrading = status == 101;
    let uploaded = answer.upload.is_complete();
    let plan = Plan::of(&answer, exchange, client, uploaded);
    exchange.answered.ends_by_close = plan.ends_by_close();
    let mut out = compose(client, exchange, pool, session, claim, &answer, &plan);
    let heard_head = answer.head_bytes().len() as u64;
    answer.consume_head();
    if upgrading {
        cold_path();
        return aside(upgrade::relay(client, exchange, pool, *answer, out)).await;
    }
    let unit = exchange.server.settings.max_server_buffer;
    let mut framing = plan.framing;
    let (mut already, mut taken_bytes) = (0, 0);
    let mut node_reusable = plan.node_reusable;
    if let Some(taken) = exchange.said.as_mut().and_then(|said| said.response_body.take()) {
        node_reusable &= !taken.abandons;
        taken_bytes = taken.read;
        if !matches!(framing, Framing::None) {
            already = taken.len() as u64;
            framing = taken.go_on(&mut out.bytes, exchange.head.version() == Version::Http10);
        }
    }
    let mut download = BodyRelay::new(out, framing).in_units_of(unit);
    let absorbed = download.absorb(&mut answer.buffer);
    if !plan.client_keeps
        && uploaded
        && !client.stream.is_limited()
        && ends_at_once(exchange, &download)
        && let Some(socket) = client.stream.socket()
    {
        socket.end_with_next();
    }
    let moved = match absorbed {
        Ok(()) => move_bodies(client, exchange, (pool, claim.node()), &mut answer, &mut download).await,
        Err(_) => Err(MALFORMED),
    };
    exchange.answered.bytes = already + download.moved;
    let (sent, heard) = (answer.sent + answer.upload.moved, heard_head + taken_bytes + download.moved);
    tally::exchanged(client, pool, claim.node(), sent, heard);
    client.worker.response_heads.keep(answer.head);
    if let Err(kind) = moved {
        cold_path();
        // Once the client has seen part of the response, nothing can be done but close.
        let progress = if download.has_written() { Progress::Answered } else { Progress::Sent };
        let failure = Failure::new(kind, progress);
        super::note_failure(client, pool, claim, &failure);
        return Err(failure);
    }
    let uploaded = answer.upload.is_complete();
    if uploaded && node_reusable && pool.settings.keepalive && answer.buffer.is_empty() {
        client.worker.idle.put(&client.worker, pool, answer.connection);
    } else if pool.settings.node_close_with_rst {
        answer.connection.reset_on_close();
    }
    let unread = exchange.said().is_some_and(Said::abandons_body);
    Ok(match (uploaded && !unread, plan.client_keeps) {
        (true, true) => Flow::KeepAlive,
        (true, false) => Flow::Close,
        (false, _) => Flow::Linger,
    })
}

/// Whether nothing is waited for between the last bytes of the response and the end of the client's connection.
fn ends_at_once(exchange: &Exchange<'_>, download: &BodyRelay) -> bool {
    let server = &exchange.server;
    download.source_is_done() && server.rules.completion.is_empty() && !server.settings.close_with_rst
}

/// How a response's body travels and what both sides are told.
struct Plan {
    framing: Framing,
    body_header: BodyHeader,
    connection: ConnectionHeader,
    client_keeps: bool,
    node_reusable: bool,
}

impl Plan {
    /// Whether the client sees where the body ends by the connection's end only.
    fn ends_by_close(&self) -> bool {
        matches!(self.framing, Framing::UntilClose) || self.body_header == BodyHeader::Unframed
    }

    fn of(answer: &Answer, exchange: &Exchange<'_>, client: &Client, uploaded: bool) -> Self {
        let old_client = exchange.head.version() == Version::Http10;
        let mut client_keeps = uploaded && exchange.keeps_alive(client);
        let mut node_reusable = answer.reusable();
        let (framing, body_header) = match answer.framing() {
            ResponseFraming::None if answer.head.status() == 204 => (Framing::None, BodyHeader::Drop),
            ResponseFraming::None => (Framing::None, BodyHeader::Keep),
            ResponseFraming::Length(length) => (Framing::Length(length), BodyHeader::Keep),
            ResponseFraming::Chunked if old_client => {
                client_keeps = false;
                (Framing::Chunked(Box::new(ChunkedRelay::new(ChunkedOutput::Plain))), BodyHeader::Unframed)
            }
            ResponseFraming::Chunked => {
                (Framing::Chunked(Box::new(ChunkedRelay::new(ChunkedOutput::Chunked))), BodyHeader::Keep)
            }
            ResponseFraming::UntilClose if old_client => {
                client_keeps = false;
                node_reusable = false;
                (Framing::UntilClose, BodyHeader::Keep)
            }
            ResponseFraming::UntilClose => {
                node_reusable = false;
                (Framing::UntilCloseChunked, BodyHeader::AddChunked)
            }
        };
        let connection = match (answer.head.status(), client_keeps, old_client) {
            (101, ..) => ConnectionHeader::Upgrade,
            (_, false, _) => ConnectionHeader::Close,
            (_, true, true) => ConnectionHeader::KeepAlive,
            (_, true, false) => ConnectionHeader::Silent,
        };
        Self { framing, body_header, connection, client_keeps, node_reusable }
    }
}

fn compose(
    client: &Client,
    exchange: &mut Exchange<'_>,
    pool: &RunningPool,
    session: &Session,
    claim: &Claim,
    answer: &Answer,
    plan: &Plan,
) -> Output {
    let bytes = answer.head_bytes();
    access::answered(exchange, &answer.head, bytes);
    access::decided(exchange, session, claim.slot, answer.response_time);
    trace::decided(exchange, session, claim.slot);
    let request_bytes = exchange.head_bytes();
    let mut out = client.worker.buffers.lend_output();
    let rewrite = Rewrite {
        server: &exchange.server,
        request_host: exchange.head.host(request_bytes).unwrap_or_default(),
        tls: client.is_tls(),
        session_cookie: pool.pool.response_cookie(session, claim.slot),
        framing: plan.body_header,
        connection: plan.connection,
        worker: client.worker.index,
    };
    response_head::compose(&mut out.bytes, bytes, &answer.head, &rewrite);
    exchange.answered.head_bytes = out.bytes.len() as u32;
    if !exchange.server.rules.completion.is_empty() {
        exchange.said_mut().sent_head.clone_from(&out.bytes);
    }
    out
}

/// Moves the response to the client, and what is left of the request to the node, until the response is done.
async fn move_bodies(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    (pool, node): (&RunningPool, &Node),
    answer: &mut Answer,
    download: &mut BodyRelay,
) -> Result<(), Kind> {
    let end = exchange.end();
    let idle = exchange.idle_limit();
    let Client { worker, stream, deadline, buffer: body_buffer, .. } = client;
    let mut guard = Guarded::new(worker, deadline, idle, end).watch(node, pool.settings.close_on_death);
    let Answer { connection, buffer: node_buffer, upload, .. } = answer;
    let uploaded_before = upload.moved;
    let mut upload_ended = upload.is_complete();
    let mut armed = false;
    let mut plain = stream.is_plain() && connection.stream.unlimited().is_plain();
    loop {
        let step = poll_fn(|cx| {
            let mut moving = false;
            if !upload_ended {
                match upload.poll(cx, stream, body_buffer, &mut connection.stream, &mut moving) {
                    Poll::Pending => {}
                    // Whatever ended the upload, the response may still be delivered; the connections close after it.
                    Poll::Ready(_) => upload_ended = true,
                }
            }
            let splicable = plain && upload_ended && download.still_to_come() >= WORTH_SPLICING;
            let polled = if splicable && node_buffer.is_empty() {
                download.poll_write_out(cx, stream, &mut moving).map_ok(|()| Step::Splice)
            } else {
                download
                    .poll(cx, &mut connection.stream, node_buffer, stream, &mut moving)
                    .map_ok(|()| Step::Done)
            };
            if polled.is_ready() {
                return polled.map(Some);
            }
            if guard.lost_client(cx, stream) {
                return Poll::Ready(Some(Err(RelayError::Sink(io::ErrorKind::ConnectionReset.into()))));
            }
            if moving || !armed {
                armed = true;
                guard.progress();
            }
            guard.or_passed(cx, Poll::Pending)
        })
        .await;
        match step {
            Some(Ok(Step::Done)) => break,
            Some(Ok(Step::Splice)) => match (connection.stream.unlimited_mut(), &mut *stream) {
                (Stream::Plain(from), Stream::Plain(to)) => {
                    let left = download.still_to_come();
                    let mut moved = 0;
                    guard.progress();
                    let spliced =
                        aside(splice::splice(&worker.pipes, from, to, left, &mut guard, &mut moved)).await;
                    download.spliced(moved);
                    match spliced {
                        Ok(()) => {}
                        // The body is copied instead.
                        Err(splice::Broken::NoPipe) => plain = false,
                        Err(splice::Broken::Source) => return Err(Kind::ClosedEarly),
                        Err(splice::Broken::Destination) => return Err(Kind::ClientGone),
                        Err(splice::Broken::TimedOut) => return Err(over(&guard)),
                    }
                }
                _ => return Err(Kind::ClientGone),
            },
            Some(Err(RelayError::Source)) => return Err(Kind::ClosedEarly),
            Some(Err(RelayError::Malformed)) => return Err(MALFORMED),
            Some(Err(RelayError::Sink(_))) => return Err(Kind::ClientGone),
            None => return Err(over(&guard)),
        }
    }
    exchange.answered.bytes_in += upload.moved - uploaded_before;
    if armed {
        // It waited: whoever asks what time it is has to look.
        worker.elapsed();
    }
    Ok(())
}

/// Why a guarded step was given up.
fn over(guard: &Guarded<'_>) -> Kind {
    if guard.node_died() {
        Kind::ClosedEarly
    } else if guard.transaction_is_over() {
        Kind::TransactionTimedOut
    } else {
        Kind::IdleTimedOut
    }
}

enum Step {
    Done,
    Splice,
}

const MALFORMED: Kind = Kind::InvalidResponse("the node's chunked body is malformed");
