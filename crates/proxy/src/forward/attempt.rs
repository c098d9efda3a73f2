//! One attempt at one node: connect or reuse a connection, send the request, wait for the response head.

use std::{future::poll_fn, hint::cold_path, sync::Arc, task::Poll, time::Duration};

use tidegate_http1::{
    chunked::{ChunkedRelay, Output as ChunkedOutput},
    limits::Limits,
    request::{BodyFraming, RequestHead, Version},
    response::{Edits, Parsed, ResponseError, ResponseFraming, ResponseHead},
};
use tidegate_model::Moment;
use tidegate_pool::{Node, OpenConnection};

use super::claim::{Claim, Way};
use crate::{
    aside::aside,
    bandwidth,
    buffer::{BUFFER, Buffer, Output},
    connection::Client,
    failure::{Failure, Kind, Progress},
    http::{
        request_head::{self, Additions},
        response_head::{self, BodyHeader, ConnectionHeader, Rewrite},
    },
    node::{self, NodeConnection},
    relay::{BodyRelay, Framing, Guarded, RelayError},
    snapshot::RunningPool,
    tally,
    virtual_server::Exchange,
    worker::Worker,
};

/// The first read of a response takes no more than this, so that a large body stays in the kernel for splicing.
const FIRST_READ: usize = 4096;

/// Interim responses (1xx) that a node may send before the final one.
const MAX_INTERIM: u32 = 16;

/// The body of a request, as far as it is known before it is sent.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none.
    None,
    /// All of it arrived with the head: it can be sent again to another node.
    Whole(Output),
    /// It is still coming; the framing to read it with, until an attempt has taken it.
    Streaming(Option<Framing>),
}

impl RequestBody {
    /// What there is of the body.
    pub(crate) fn of(client: &mut Client, exchange: &mut Exchange<'_>) -> Result<Self, Failure> {
        let malformed =
            || Failure::new(Kind::BadRequest(400, "the chunked body is malformed"), Progress::Unsent);
        if let Some(taken) = exchange.said.as_mut().and_then(|said| said.request_body.take()) {
            return Ok(taken.into_upload(client.worker.buffers.lend_output()));
        }
        match exchange.head.framing() {
            BodyFraming::None | BodyFraming::Length(0) => Ok(Self::None),
            BodyFraming::Length(length) => {
                let buffer = &mut client.buffer;
                if (buffer.len() as u64) < length {
                    return Ok(Self::Streaming(Some(Framing::Length(length))));
                }
                let length = length as usize;
                let mut whole = client.worker.buffers.lend_output();
                buffer.pour(length, &mut whole.bytes);
                exchange.answered.bytes_in += length as u64;
                Ok(Self::Whole(whole))
            }
            BodyFraming::Chunked => {
                let mut relay = Box::new(ChunkedRelay::new(ChunkedOutput::Chunked));
                let mut whole = client.worker.buffers.lend_output();
                let relayed =
                    relay.relay(client.buffer.filled(), &mut whole.bytes).map_err(|_| malformed())?;
                client.buffer.consume(relayed.consumed);
                exchange.answered.bytes_in += relayed.consumed as u64;
                if relayed.finished {
                    return Ok(Self::Whole(whole));
                }
                Ok(Self::Streaming(Some(Framing::After(whole, Box::new(Framing::Chunked(relay))))))
            }
        }
    }

    /// The upload: `out`, which holds the head, and the body as far as it is there.
    fn behind(&mut self, mut out: Output) -> BodyRelay {
        match self {
            Self::None => BodyRelay::new(out, Framing::None),
            Self::Whole(whole) => {
                out.bytes.extend_from_slice(&whole.bytes);
                BodyRelay::new(out, Framing::None)
            }
            Self::Streaming(framing) => match framing.take() {
                Some(Framing::After(already, rest)) => {
                    out.bytes.extend_from_slice(&already.bytes);
                    BodyRelay::new(out, *rest)
                }
                other => BodyRelay::new(out, other.unwrap_or(Framing::None)),
            },
        }
    }

    /// Takes back what [`RequestBody::behind`] gave, of which nothing has been written: `head_length` bytes of
    /// head, and the beginning of the body.
    fn take_back(&mut self, upload: BodyRelay, head_length: usize) {
        if let Self::Streaming(framing @ None) = self {
            *framing = upload.into_unsent(head_length);
        }
    }

    /// Whether it is still coming.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self, Self::Streaming(_))
    }

    /// Whether another node can get the whole request.
    pub(crate) fn is_replayable(&self) -> bool {
        match self {
            Self::None | Self::Whole(_) => true,
            Self::Streaming(framing) => framing.is_some(),
        }
    }
}

/// A request at a node, and the node's answer as far as it has come. Boxed once and handed on: it is large, and every
/// step of a request has it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) connection: NodeConnection,
    /// Of the response; nothing can be said of it before it is complete.
    pub(crate) head: Box<ResponseHead>,
    /// Bytes of the node: the head first (unless it is detached), whatever came with it behind.
    pub(crate) buffer: Buffer,
    /// Bytes of the head at the beginning of `buffer`; 0 once they are not there any more.
    pub(crate) head_length: usize,
    /// The head's bytes apart from the node's: as rules have edited it, or while they read the body.
    detached: Option<Output>,
    /// The node sends a body that the client does not get.
    pub(crate) silenced: bool,
    /// The request body that is still being sent.
    pub(crate) upload: BodyRelay,
    /// The node stopped reading the request.
    upload_broken: bool,
    /// Bytes of the request that were composed for the node: the head, and a body that was at hand.
    pub(crate) sent: u64,
    /// When the whole request was sent, on [`crate::worker::Worker::elapsed`]: the node's time to answer begins.
    asked_at: Option<Duration>,
    /// From the end of the request to the response head.
    pub(crate) response_time: Duration,
}

impl Answer {
    /// The answer to a request that is yet to be sent.
    fn awaited(worker: &Worker, connection: NodeConnection, upload: BodyRelay) -> Box<Self> {
        Box::new(Self {
            connection,
            head: worker.response_heads.lend(),
            buffer: worker.buffers.lend(),
            head_length: 0,
            detached: None,
            silenced: false,
            sent: upload.composed(),
            upload,
            upload_broken: false,
            asked_at: None,
            response_time: Duration::ZERO,
        })
    }

    /// How far the request had got.
    fn progress(&self) -> Progress {
        if self.upload.has_written() { Progress::Sent } else { Progress::Unsent }
    }

    /// Why there is no answer from a node that has closed its side.
    fn closed(&self) -> Failure {
        let stale = self.connection.reused && self.buffer.is_empty();
        Failure::new(if stale { Kind::StaleConnection } else { Kind::ClosedEarly }, self.progress())
    }

    /// The bytes of the head.
    pub(crate) fn head_bytes(&self) -> &[u8] {
        match &self.detached {
            Some(head) => &head.bytes,
            None => self.buffer.slice(0..self.head_length),
        }
    }

    /// Where the client's body ends.
    pub(crate) fn framing(&self) -> ResponseFraming {
        if self.silenced { ResponseFraming::None } else { self.head.framing() }
    }

    /// The head is done with: `buffer` begins with the body.
    pub(crate) fn consume_head(&mut self) {
        self.buffer.consume(std::mem::take(&mut self.head_length));
        self.detached = None;
    }

    /// Keeps the head's bytes apart, so that `buffer` begins with the body.
    pub(crate) fn detach_head(&mut self, mut room: Output) {
        if self.detached.is_none() {
            room.bytes.extend_from_slice(self.head_bytes());
            self.consume_head();
            self.detached = Some(room);
        }
    }

    /// Puts the head as edited in the place of the node's. Refused, nothing has changed.
    pub(crate) fn edit_head(
        &mut self,
        worker: &Worker,
        edits: &Edits<'_>,
        request: &RequestHead,
    ) -> Result<(), ResponseError> {
        let mut edited = worker.response_heads.lend();
        let mut out = worker.buffers.lend_output();
        let limits = Limits::default();
        let done = self.head.edited(self.head_bytes(), edits, &limits, request, &mut edited, &mut out.bytes);
        if done.is_ok() {
            std::mem::swap(&mut self.head, &mut edited);
            self.consume_head();
            self.detached = Some(out);
        }
        worker.response_heads.keep(edited);
        done
    }
}

/// Sends the request to the claimed node and waits for the head of its response. Interim responses are passed
/// on to the client on the way.
pub(crate) async fn attempt(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &Arc<RunningPool>,
    claim: &mut Claim,
    body: &mut RequestBody,
) -> Result<Box<Answer>, Failure> {
    let mut connection = match claim.way.take() {
        Some(Way::Idle(connection)) => {
            tally::reused(client, pool, claim.node());
            connection
        }
        Some(Way::Open(open)) => {
            cold_path();
            aside(connect(client, exchange, pool, claim, open)).await?
        }
        None => return Err(Failure::new(Kind::NoNode, Progress::Unsent)),
    };
    let claim: &Claim = claim;
    loop {
        bandwidth::of_node(client, exchange, pool, &mut connection.stream);
        let head = compose_head(client, exchange, pool, claim);
        let head_length = head.bytes.len();
        let upload = body.behind(head).in_units_of(exchange.server.settings.max_client_buffer);
        let streaming = !upload.source_is_done();
        let mut answer = Answer::awaited(&client.worker, connection, upload);
        let Err(failure) = hear(client, exchange, pool, claim.node(), &mut answer).await else {
            if streaming {
                exchange.answered.bytes_in += answer.upload.moved;
            }
            return Ok(answer);
        };
        cold_path();
        // A request of which nothing was written gives its body back, for another connection or node.
        let Answer { connection: broken, upload, .. } = *answer;
        if failure.progress == Progress::Unsent {
            body.take_back(upload, head_length);
        }
        // An idle connection that the node had closed is no news about the node: the request goes out once
        // more on a fresh connection, if that is permitted at all.
        if failure.kind != Kind::StaleConnection
            || !body.is_replayable()
            || !(exchange.is_idempotent() || failure.progress == Progress::Unsent)
        {
            return Err(failure);
        }
        tally::pool(&client.worker, pool).stale.add(1);
        connection = aside(connect(client, exchange, pool, claim, broken.replace())).await?;
    }
}

pub(super) async fn connect(
    client: &Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    claim: &Claim,
    open: OpenConnection,
) -> Result<NodeConnection, Failure> {
    let mut guard = client.guard(exchange);
    guard.limit(client.worker.now(), pool.settings.max_connect_time);
    let member = pool.pool.member(claim.slot);
    let host = exchange.head.host(exchange.head_bytes());
    let named = exchange.said().and_then(|said| said.server_name.as_deref());
    let way = node::Directions {
        source: member.and_then(|member| member.source_ip),
        node_name: member.and_then(|member| member.name.as_deref()),
        request_host: named.or_else(|| host.map(crate::http::location::host_without_port)),
    };
    let connected = node::connect(pool, open, way, &mut guard).await;
    tally::connected(client, pool, claim.node(), connected.is_ok());
    connected.map_err(|kind| {
        let kind = if guard.transaction_is_over() { Kind::TransactionTimedOut } else { kind };
        Failure::new(kind, Progress::Unsent)
    })
}

/// Sends the request and waits for a final response head, which is left at the beginning of `answer.buffer`.
async fn hear(
    client: &mut Client,
    exchange: &Exchange<'_>,
    pool: &RunningPool,
    node: &Node,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let limits = Limits::default();
    let mut interim = 0;
    loop {
        match next_event(client, exchange, pool, node, answer).await {
            Event::Bytes => {}
            Event::UploadBroken => answer.upload_broken = true,
            Event::NodeClosed => return Err(answer.closed()),
            Event::Failed(failure) => return Err(failure),
        }
        // A head may be complete, and an interim one be followed by another.
        while !answer.buffer.is_empty() {
            let Answer { head, buffer, .. } = answer;
            let length = match head.parse(buffer.filled(), &limits, exchange.head) {
                Ok(Parsed::Partial) => break,
                Ok(Parsed::Complete(length)) => length,
                Err(error) => {
                    return Err(Failure::new(Kind::InvalidResponse(error.reason()), answer.progress()));
                }
            };
            if !head.is_interim() {
                if head.status() == 101 && !is_asked_for(head, buffer.filled(), exchange) {
                    let kind = Kind::InvalidResponse("the node switched protocols unasked");
                    return Err(Failure::new(kind, answer.progress()));
                }
                let heard_at = client.worker.elapsed();
                answer.head_length = length;
                answer.response_time = heard_at.saturating_sub(answer.asked_at.unwrap_or(heard_at));
                return Ok(());
            }
            cold_path();
            interim += 1;
            if interim > MAX_INTERIM {
                let kind = Kind::InvalidResponse("the node sent too many interim responses");
                return Err(Failure::new(kind, answer.progress()));
            }
            if exchange.head.version() != Version::Http10 {
                aside(pass_on_interim(client, exchange, head, buffer.slice(0..length))).await?;
            }
            buffer.consume(length);
            // The node is at work: its time to answer begins anew.
            answer.asked_at = None;
        }
        answer.buffer.compact();
    }
}

/// The request's head for the node.
fn compose_head(client: &Client, exchange: &Exchange<'_>, pool: &RunningPool, claim: &Claim) -> Output {
    let server = &exchange.server.settings;
    let mut out = client.worker.buffers.lend_output();
    let additions = Additions {
        http: &server.http,
        lines: &client.added_lines,
        client: client.peer.ip(),
        node_label: claim.node().label(),
        keepalive: pool.settings.keepalive,
        upgrade: relays_upgrade(exchange),
        given: exchange.said().and_then(|said| said.given.as_deref()),
        trace: exchange.trace.as_ref().and_then(|trace| trace.told()),
    };
    request_head::compose(&mut out.bytes, exchange.head_bytes(), exchange.head, &additions);
    out
}

/// Whether the request asks for a protocol that the virtual server relays (`auto_upgrade_protocols`). Others, h2c above
/// all, would pass by everything that is done to requests.
fn relays_upgrade(exchange: &Exchange<'_>) -> bool {
    exchange.head.wants_upgrade()
        && !exchange.head.has_body()
        && exchange.head.header(exchange.head_bytes(), b"upgrade").is_some_and(|asked| {
            let relayed = &exchange.server.settings.http.upgrades;
            relayed.iter().any(|protocol| protocol.as_bytes().eq_ignore_ascii_case(asked))
        })
}

/// Whether a 101 is the answer to what was asked.
fn is_asked_for(head: &ResponseHead, bytes: &[u8], exchange: &Exchange<'_>) -> bool {
    let asked = exchange.head.header(exchange.head_bytes(), b"upgrade").unwrap_or_default();
    relays_upgrade(exchange)
        && head.header(bytes, b"upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case(asked))
}

enum Event {
    /// The node sent something.
    Bytes,
    /// The node stopped reading the request; it may still have answered.
    UploadBroken,
    /// The node closed its side.
    NodeClosed,
    Failed(Failure),
}

/// Sends what can be sent and waits until the node says something or a limit is reached.
async fn next_event(
    client: &mut Client,
    exchange: &Exchange<'_>,
    pool: &RunningPool,
    node: &Node,
    answer: &mut Answer,
) -> Event {
    let Answer { connection, upload, upload_broken, buffer, asked_at, .. } = answer;
    let end = exchange.end();
    let idle = exchange.idle_limit();
    let Client { worker, stream, deadline, buffer: body_buffer, .. } = client;
    let mut guard = Guarded::new(worker, deadline, idle, end).watch(node, pool.settings.close_on_death);
    let mut armed = false;
    poll_fn(|cx| {
        if !*upload_broken && !upload.is_complete() {
            let mut moving = false;
            match upload.poll(cx, stream, body_buffer, &mut connection.stream, &mut moving) {
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(RelayError::Sink(_))) => return Poll::Ready(Event::UploadBroken),
                Poll::Ready(Err(RelayError::Malformed)) => {
                    let kind = Kind::BadRequest(400, "the chunked body is malformed");
                    return Poll::Ready(Event::Failed(Failure::new(kind, progress(upload))));
                }
                Poll::Ready(Err(RelayError::Source)) => {
                    return Poll::Ready(Event::Failed(Failure::new(Kind::ClientGone, progress(upload))));
                }
            }
            if !upload.is_complete() && (moving || !armed) {
                armed = true;
                guard.progress();
            }
        }
        if asked_at.is_none() && (*upload_broken || upload.is_complete()) {
            // The node's time to answer runs from the end of the request.
            let now = if armed { worker.elapsed() } else { worker.recent_elapsed() };
            *asked_at = Some(now);
            // Whichever comes first: `connection.timeout` is of both directions, and nothing moves meanwhile.
            match exchange.reply_limit(pool) {
                Some(limit) => guard.limit(Moment::at(now), idle.map_or(limit, |idle| idle.min(limit))),
                None => guard.progress(),
            }
        }
        let room = if buffer.is_empty() { FIRST_READ } else { BUFFER };
        match connection.stream.poll_fill(cx, buffer, room) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Event::NodeClosed),
            Poll::Ready(Ok(_)) => return Poll::Ready(Event::Bytes),
            Poll::Pending => {}
        }
        if guard.lost_client(cx, stream) {
            cold_path();
            return Poll::Ready(Event::Failed(Failure::new(Kind::ClientGone, progress(upload))));
        }
        guard.or_passed(cx, Poll::<Event>::Pending).map(|passed| {
            passed.unwrap_or_else(|| {
                cold_path();
                let kind = if guard.node_died() {
                    Kind::ClosedEarly
                } else if guard.transaction_is_over() {
                    Kind::TransactionTimedOut
                } else if asked_at.is_some()
                    && idle.is_some_and(|idle| exchange.reply_limit(pool).is_none_or(|limit| idle < limit))
                {
                    Kind::IdleTimedOut
                } else if asked_at.is_some() || waits_for_node(exchange, upload, body_buffer) {
                    Kind::ReplyTimedOut
                } else {
                    Kind::ClientTimedOut
                };
                Event::Failed(Failure::new(kind, progress(upload)))
            })
        })
    })
    .await
}

/// Whether it is the node that holds up an upload: it does not read, or owes the client a 100.
fn waits_for_node(exchange: &Exchange<'_>, upload: &BodyRelay, body: &Buffer) -> bool {
    upload.has_unwritten() || !body.is_empty() || (exchange.head.expects_continue() && upload.moved == 0)
}

/// An interim response (1xx) goes to the client, less what is between node and Tidegate.
async fn pass_on_interim(
    client: &mut Client,
    exchange: &Exchange<'_>,
    head: &ResponseHead,
    bytes: &[u8],
) -> Result<(), Failure> {
    let mut out = client.worker.buffers.lend_output();
    let rewrite = Rewrite {
        server: &exchange.server,
        request_host: exchange.head.host(exchange.head_bytes()).unwrap_or_default(),
        tls: client.is_tls(),
        session_cookie: None,
        framing: BodyHeader::Drop,
        connection: ConnectionHeader::Silent,
        worker: client.worker.index,
    };
    response_head::compose(&mut out.bytes, bytes, head, &rewrite);
    tally::server(&client.worker, &exchange.server).responded(head.status());
    client.send(out, exchange).await.map_err(|kind| Failure::new(kind, Progress::Answered))
}

fn progress(upload: &BodyRelay) -> Progress {
    if upload.has_written() { Progress::Sent } else { Progress::Unsent }
}
