//! One request, start to finish. This is the page to read first: every line of [`serve`] is a stage, and every
//! stage is a file.
//!
//! ```text
//! request rules → forward to the pool (response rules on the way back) → completion rules → finish
//! ```

use std::{cell::Cell, hint::cold_path, num::NonZeroU32, rc::Rc, sync::Arc, time::Duration};

use tidegate_http1::{
    limits::Limits,
    request::{Method, Parsed, RequestHead, Version},
};
use tidegate_model::{BandwidthName, Moment, virtual_server::DefaultPool};
use tidegate_telemetry::logging::EventLimit;

use crate::{
    access,
    aside::aside,
    bandwidth,
    buffer::Output,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward,
    http::error_page,
    rules::{self, ResponseFields, Said, Verdict},
    service_level::RunningLevel,
    snapshot::{LocalServer, RunningPool},
    tally,
    trace::{self, Trace},
};

/// One request and what is known of its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// The parsed head; its spans point into [`Exchange::head_bytes`].
    pub(crate) head: &'a mut RequestHead,
    /// The bytes of the head, taken out of the client's buffer: a request that waits holds no more than it needs.
    bytes: Output,
    /// The virtual server as it was when the request began.
    pub(crate) server: LocalServer,
    /// When its first bytes were read, on [`crate::worker::Worker::elapsed`].
    pub(crate) began: Duration,
    /// What has been answered, for counters and the access log.
    pub(crate) answered: Answered,
    /// What rules have said about it; `None` where no rule has said anything.
    pub(crate) said: Option<Box<Said>>,
    /// Its place in a trace; `None` where tracing is off.
    pub(crate) trace: Option<Box<Trace>>,
}

/// Most times that rules can send one request to another node.
const MAX_RULE_RETRIES: u32 = 16;

/// What a client got.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Body bytes sent; of replies of our own, the head too.
    pub(crate) bytes: u64,
    /// The client knows the end of the body by the end of the connection.
    pub(crate) ends_by_close: bool,
    /// Bytes of the response head sent; a head is never so long that they would not fit.
    pub(crate) head_bytes: u32,
    /// Request body bytes received.
    pub(crate) bytes_in: u64,
    /// Further attempts that were needed.
    pub(crate) retries: u32,
    /// From its first byte to the beginning of the last response that a node has sent, microseconds.
    responded: Option<NonZeroU32>,
    /// Time in queues of pools, microseconds.
    pub(crate) queued: Cell<u32>,
    /// What else the access log wants to know; `None` without one.
    pub(crate) log: Option<Box<access::Entry>>,
}

impl Answered {
    /// A node's response has begun, so long after the first byte of the request.
    pub(crate) fn note_response(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.responded = NonZeroU32::new(micros.max(1));
    }

    /// How long it took until the last response began that a node has sent.
    pub(crate) fn responded(&self) -> Option<Duration> {
        self.responded.map(|micros| Duration::from_micros(micros.get().into()))
    }
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(client: &mut Client, head: &'a mut RequestHead, head_length: usize) -> Self {
        let mut bytes = client.worker.buffers.lend_output();
        client.buffer.pour(head_length, &mut bytes.bytes);
        Self {
            head,
            bytes,
            server: Rc::clone(&client.server),
            began: client.worker.elapsed(),
            answered: Answered::default(),
            said: None,
            trace: None,
        }
    }

    /// The bytes of the request head.
    pub(crate) fn head_bytes(&self) -> &[u8] {
        &self.bytes.bytes
    }

    /// Takes another head in the place of the client's. An error says why it is none, and all is as before: what the client
    /// has sent still says where its body ends.
    pub(crate) fn replace_head(&mut self, bytes: Output) -> Result<(), &'static str> {
        let limits = Limits::default();
        self.head.start_over();
        let why = match self.head.parse(&bytes.bytes, &limits) {
            Ok(Parsed::Complete(all)) if all == bytes.bytes.len() => {
                self.bytes = bytes;
                return Ok(());
            }
            Ok(_) => "what rules made of the request is no valid request",
            Err(error) => error.reason(),
        };
        self.head.start_over();
        let _as_before = self.head.parse(&self.bytes.bytes, &limits);
        Err(why)
    }

    /// Whether the client wants to see no body, whatever method rules have made of its own.
    pub(crate) fn wants_head_only(&self) -> bool {
        let own = self.said().and_then(|said| said.client_wants_head);
        own.unwrap_or_else(|| self.head.method() == Method::Head)
    }

    /// What rules have said.
    pub(crate) fn said(&self) -> Option<&Said> {
        self.said.as_deref()
    }

    /// What rules have said, to say more.
    pub(crate) fn said_mut(&mut self) -> &mut Said {
        self.said.get_or_insert_default()
    }

    /// What rules ordered instead of going on.
    pub(crate) fn take_ending(&mut self) -> Option<rules::Ending> {
        self.said.as_mut()?.ending.take()
    }

    /// What rules have made of the header fields of a response that no node has sent.
    pub(crate) fn take_response_edits(&mut self) -> ResponseFields {
        self.said.as_mut().map(|said| std::mem::take(&mut said.response).fields).unwrap_or_default()
    }

    /// The class of service that it counts for.
    pub(crate) fn service_level(&self) -> Option<&Arc<RunningLevel>> {
        match self.said().and_then(|said| said.service_level.as_ref()) {
            Some(chosen) => chosen.level.as_ref(),
            None => self.server.service_level.as_ref(),
        }
    }

    /// The bandwidth class that limits what the client is sent.
    pub(crate) fn client_bandwidth(&self) -> Option<&BandwidthName> {
        let chosen = self.said().and_then(|said| said.bandwidth.client.as_ref());
        chosen.map_or(self.server.settings.bandwidth.as_ref(), |chosen| chosen.class.as_ref())
    }

    /// The bandwidth class that limits what the node is sent, of a pool that has this one.
    pub(crate) fn node_bandwidth<'p>(
        &'p self,
        of_pool: Option<&'p BandwidthName>,
    ) -> Option<&'p BandwidthName> {
        let chosen = self.said().and_then(|said| said.bandwidth.node.as_ref());
        chosen.map_or(of_pool, |chosen| chosen.class.as_ref())
    }

    fn overrides(&self) -> Option<&rules::Overrides> {
        self.said().map(|said| &said.limits)
    }

    /// A limit that rules can set for this request.
    fn limit<T: Copy + Default + PartialEq>(
        &self,
        own: fn(&rules::Overrides) -> rules::Limit<T>,
        setting: Option<T>,
    ) -> Option<T> {
        self.overrides().map(own).unwrap_or_default().or(setting)
    }

    /// How long it may take as a whole (`max_transaction_duration`).
    pub(crate) fn max_transaction_duration(&self) -> Option<Duration> {
        self.limit(|own| own.max_transaction_duration, self.server.settings.max_transaction_duration)
    }

    /// When it must be over by `max_transaction_duration`.
    pub(crate) fn end(&self) -> Option<Moment> {
        self.max_transaction_duration().map(|limit| Moment::at(self.began).after(limit))
    }

    /// How long nothing may move (`connection.timeout`).
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        self.limit(|own| own.idle, self.server.settings.timeout)
    }

    /// How long a node may take to answer (`max_reply_time`).
    pub(crate) fn reply_limit(&self, pool: &RunningPool) -> Option<Duration> {
        self.limit(|own| own.max_reply_time, Some(pool.settings.max_reply_time))
    }

    /// Most nodes that are tried, and most of them that may time out.
    pub(crate) fn attempt_limits(&self, pool: &RunningPool) -> (Option<u32>, Option<u32>) {
        let settings = &pool.settings;
        (
            self.limit(|own| own.max_attempts, settings.max_connection_attempts),
            self.limit(|own| own.max_timed_out_attempts, settings.max_timed_out_connection_attempts),
        )
    }

    /// Whether the request may be sent to another node after one has seen it.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.overrides().and_then(|own| own.idempotent).unwrap_or_else(|| self.head.method().is_idempotent())
    }

    /// Whether rules may send the request to another node although one has answered it.
    pub(crate) fn may_be_sent_again(&self) -> bool {
        self.is_idempotent() && self.answered.retries < MAX_RULE_RETRIES
    }

    /// Whether a response has to pass rules or edits that rules have left for it.
    pub(crate) fn has_response_rules(&self) -> bool {
        !self.server.rules.response.is_empty()
            || self.said().is_some_and(|said| !said.response.is_empty() || said.client_wants_head.is_some())
    }

    /// Whether the client wants and may have another request on this connection.
    pub(crate) fn keeps_alive(&self, client: &Client) -> bool {
        self.head.keep_alive()
            && self.server.settings.keepalive
            && !self.said().is_some_and(Said::abandons_body)
            && client.is_wanted()
    }
}

/// Serves one request whose head fills the first `head_length` bytes of the client's buffer.
pub(crate) async fn serve(client: &mut Client, head: &mut RequestHead, head_length: usize) -> Flow {
    let mut exchange = Exchange::new(client, head, head_length);
    bandwidth::begin(client);
    tally::begun(client, &exchange);
    access::asked(&mut exchange, client);
    trace::began(&mut exchange, client);
    let flow = match answer(client, &mut exchange).await {
        Ok(flow) => {
            note_end(client, &mut exchange, flow);
            flow
        }
        Err(failure) => {
            cold_path();
            if !exchange.server.rules.completion.is_empty() {
                exchange.said_mut().failure = Some(failure);
            }
            aside(report(client, &mut exchange, failure)).await
        }
    };
    if !exchange.server.rules.completion.is_empty() {
        aside(rules::completion(client, &mut exchange)).await;
    }
    finish(client, exchange);
    flow
}

/// What completion rules are told of a request that has been answered: whether the client has got the answer.
fn note_end(client: &mut Client, exchange: &mut Exchange<'_>, flow: Flow) {
    if exchange.server.rules.completion.is_empty()
        || exchange.said().is_some_and(|said| said.failure.is_some())
    {
        return;
    }
    let kind = if client.stream.socket().is_some_and(|socket| socket.has_been_reset()) {
        Kind::ClientGone
    } else if flow == Flow::Abort {
        Kind::Rule("a rule has not finished its response")
    } else {
        return;
    };
    exchange.said_mut().failure = Some(Failure::new(kind, Progress::Answered));
}

async fn answer(client: &mut Client, exchange: &mut Exchange<'_>) -> Result<Flow, Failure> {
    let server = Rc::clone(&exchange.server);
    let mut chosen = None;
    if !server.rules.request.is_empty() || server.rules.read_answers {
        // Not boxed: it takes no more room than what comes behind it, in the same place.
        if let Verdict::Answered(flow) = rules::request(client, exchange).await? {
            return Ok(flow);
        }
        chosen = exchange.said.as_mut().and_then(|said| said.pool.take());
    }
    let (pool, discards) = match &chosen {
        Some(chosen) => (chosen.pool.as_ref(), true),
        None => (server.pool.as_ref(), server.settings.pool == DefaultPool::Discard),
    };
    match pool {
        Some(pool) => forward::to_pool(client, exchange, pool).await,
        None => Err(Failure::new(if discards { Kind::Discard } else { Kind::NoNode }, Progress::Unsent)),
    }
}

/// Tells everybody who wants to know of a request that failed.
pub(crate) fn note_failed(client: &Client, exchange: &mut Exchange<'_>, failure: Failure) {
    tell(client, failure);
    tally::failed(client, exchange, &failure);
    tally::level_of_failure(client, exchange, &failure);
    if failure.kind == Kind::ClientGone {
        exchange.server.counters.shard(client.worker.index).clients_gone.add(1);
    }
    access::failed(exchange, &failure);
    trace::failed(exchange, &failure);
}

/// Answers a failed request: the error page, a redirect, or nothing but a close.
async fn report(client: &mut Client, exchange: &mut Exchange<'_>, failure: Failure) -> Flow {
    note_failed(client, exchange, failure);
    let Some(status) = failure.status() else {
        return if exchange.answered.ends_by_close { Flow::Abort } else { Flow::Close };
    };
    // With a body on its way the connection cannot be used again.
    let body_pending = exchange.head.has_body() || exchange.said().is_some_and(Said::abandons_body);
    let close = body_pending || !exchange.keeps_alive(client);
    let mut out = client.worker.buffers.lend_output();
    let edits = exchange.take_response_edits();
    let head_only = exchange.wants_head_only();
    let needs_close_header = close || exchange.head.version() == Version::Http10;
    error_page::compose(
        &mut out.bytes,
        status,
        &failure.to_string(),
        &exchange.server.settings.error_page,
        &edits,
        head_only,
        needs_close_header,
    );
    exchange.answered.status = status;
    exchange.answered.bytes = out.bytes.len() as u64;
    tally::server(&client.worker, &exchange.server).generated(status);
    if client.send(out, exchange).await.is_err() {
        return Flow::Close;
    }
    match (body_pending, needs_close_header) {
        (true, _) => Flow::Linger,
        (false, true) => Flow::Close,
        (false, false) => Flow::KeepAlive,
    }
}

/// Answers bytes that are not a request, or a request that did not come in time.
pub(crate) async fn refuse(client: &mut Client, failure: Failure) -> Flow {
    let counters = Arc::clone(&client.server.counters);
    let counters = counters.shard(client.worker.index);
    if failure.kind == Kind::ClientTimedOut {
        counters.connect_timeouts.add(1);
    }
    tell(client, failure);
    let Some(status) = failure.status() else { return Flow::Close };
    let mut out = client.worker.buffers.lend_output();
    error_page::compose(
        &mut out.bytes,
        status,
        &failure.to_string(),
        &client.server.settings.error_page,
        &ResponseFields::default(),
        false,
        true,
    );
    counters.generated(status);
    tally::moved(client, &client.server, client.buffer.len() as u64, out.bytes.len() as u64);
    access::refused(client, &failure, status, out.bytes.len());
    let idle = client.server.settings.timeout;
    if client.send_within(out, idle, None).await.is_ok() { Flow::Linger } else { Flow::Close }
}

/// Clients decide how many there are.
static FAILED: EventLimit = EventLimit::new();

/// A request failed: an event where the operator asked for it, else a line for who debugs.
fn tell(client: &Client, failure: Failure) {
    let server = &client.server.settings;
    if failure.is_told(server.failure_log) {
        if let Some(held_back) = FAILED.admit(client.worker.recent()) {
            tracing::warn!(event = failure.event(), virtual_server = %server.name, client = %client.peer, held_back, "a request failed: {failure}");
        }
    } else {
        tracing::debug!(virtual_server = %server.name, client = %client.peer, "a request failed: {failure}");
    }
}

/// Counters, the access log and the trace.
fn finish(client: &mut Client, mut exchange: Exchange<'_>) {
    // The clock was read where the request last waited.
    let duration = client.worker.recent_elapsed().saturating_sub(exchange.began);
    tally::finished(client, &exchange, duration);
    tally::level_of_response(client, &exchange);
    access::record(client, &mut exchange);
    trace::record(client, &mut exchange);
    if let Some(client_before) = exchange.said.as_ref().and_then(|said| said.client_before) {
        client.pretend(client_before);
    }
}
