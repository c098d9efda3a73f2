//! One request, start to finish. This is the page to read first: every line of [`serve`] is a stage, and every
//! stage is a file.
//!
//! ```text
//! admit → (request rules) → forward to the pool → (response rules) → finish
//! ```

use std::{rc::Rc, sync::Arc, time::Duration};

use tidegate_http1::request::{Method, RequestHead, Version};
use tidegate_model::{Moment, virtual_server::DefaultPool};
use tidegate_telemetry::logging::EventLimit;

use crate::{
    access,
    buffer::Output,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward,
    http::error_page,
    snapshot::LocalServer,
    tally,
};

/// One request and what is known of its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// The parsed head; its spans point into [`Exchange::head_bytes`].
    pub(crate) head: &'a RequestHead,
    /// The bytes of the head, taken out of the client's buffer: a request that waits holds no more than it needs.
    bytes: Output,
    /// The virtual server as it was when the request began.
    pub(crate) server: LocalServer,
    /// When its first bytes were read, on [`crate::worker::Worker::elapsed`].
    pub(crate) began: Duration,
    /// What has been answered, for counters and the access log.
    pub(crate) answered: Answered,
}

/// What a client got.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Body bytes sent; of replies of our own, the head too.
    pub(crate) bytes: u64,
    /// The client knows the end of the body by the end of the connection.
    pub(crate) ends_by_close: bool,
    /// Bytes of the response head sent.
    pub(crate) head_bytes: u64,
    /// Request body bytes received.
    pub(crate) bytes_in: u64,
    /// Further attempts that were needed.
    pub(crate) retries: u32,
    /// Time in queues.
    pub(crate) queued: std::cell::Cell<Duration>,
    /// What else the access log wants to know; `None` without one.
    pub(crate) log: Option<Box<access::Entry>>,
}

impl<'a> Exchange<'a> {
    fn new(client: &mut Client, head: &'a RequestHead, head_length: usize) -> Self {
        let mut bytes = client.worker.buffers.lend_output();
        bytes.bytes.extend_from_slice(client.buffer.slice(0..head_length));
        client.buffer.consume(head_length);
        Self {
            head,
            bytes,
            server: Rc::clone(&client.server),
            began: client.worker.elapsed(),
            answered: Answered::default(),
        }
    }

    /// The bytes of the request head.
    pub(crate) fn head_bytes(&self) -> &[u8] {
        &self.bytes.bytes
    }

    /// When it must be over by `max_transaction_duration`.
    pub(crate) fn end(&self) -> Option<Moment> {
        self.server.settings.max_transaction_duration.map(|limit| Moment::at(self.began).after(limit))
    }

    /// Whether the client wants and may have another request on this connection.
    pub(crate) fn keeps_alive(&self, client: &Client) -> bool {
        self.head.keep_alive() && self.server.settings.keepalive && client.is_wanted()
    }
}

/// Serves one request whose head fills the first `head_length` bytes of the client's buffer.
pub(crate) async fn serve(client: &mut Client, head: &mut RequestHead, head_length: usize) -> Flow {
    let mut exchange = Exchange::new(client, head, head_length);
    tally::begun(client, &exchange);
    access::asked(&mut exchange, client);
    let flow = match answer(client, &mut exchange).await {
        Ok(flow) => flow,
        Err(failure) => Box::pin(report(client, &mut exchange, failure)).await,
    };
    finish(client, exchange);
    flow
}

async fn answer(client: &mut Client, exchange: &mut Exchange<'_>) -> Result<Flow, Failure> {
    let server = Rc::clone(&exchange.server);
    let Some(pool) = &server.pool else {
        return Err(Failure::new(
            if server.settings.pool == DefaultPool::Discard { Kind::Discard } else { Kind::NoNode },
            Progress::Unsent,
        ));
    };
    forward::to_pool(client, exchange, pool).await
}

/// Answers a failed request: the error page, a redirect, or nothing but a close.
async fn report(client: &mut Client, exchange: &mut Exchange<'_>, failure: Failure) -> Flow {
    tell(client, failure);
    tally::failed(client, exchange, &failure);
    access::failed(exchange, &failure);
    let Some(status) = failure.status() else {
        return if exchange.answered.ends_by_close { Flow::Abort } else { Flow::Close };
    };
    // With a body on its way the connection cannot be used again.
    let body_pending = exchange.head.has_body();
    let close = body_pending || !exchange.keeps_alive(client);
    let mut out = client.worker.buffers.lend_output();
    let head_only = exchange.head.method() == Method::Head;
    let needs_close_header = close || exchange.head.version() == Version::Http10;
    error_page::compose(
        &mut out.bytes,
        status,
        &failure.to_string(),
        &exchange.server.settings.error_page,
        head_only,
        needs_close_header,
    );
    exchange.answered.status = status;
    exchange.answered.bytes = out.bytes.len() as u64;
    tally::server(&client.worker, &exchange.server).generated(status);
    if !client.send(out).await {
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
        false,
        true,
    );
    counters.generated(status);
    tally::moved(client, &client.server, client.buffer.len() as u64, out.bytes.len() as u64);
    access::refused(client, &failure, status, out.bytes.len());
    if client.send(out).await { Flow::Linger } else { Flow::Close }
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

/// Counters and the access log.
fn finish(client: &mut Client, mut exchange: Exchange<'_>) {
    // The clock was read where the request last waited.
    let duration = client.worker.recent_elapsed().saturating_sub(exchange.began);
    tally::finished(client, &exchange, duration);
    access::record(client, &mut exchange);
}
