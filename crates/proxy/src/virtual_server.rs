//! One request, start to finish. This is the page to read first: every line of [`serve`] is a stage, and every
//! stage is a file.
//!
//! ```text
//! admit → (request rules) → forward to the pool → (response rules) → finish
//! ```

use std::{rc::Rc, sync::Arc};

use tidegate_http1::request::{Method, RequestHead, Version};
use tidegate_model::{Moment, virtual_server::DefaultPool};

use crate::{
    access,
    buffer::{Buffer, Output},
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward,
    http::error_page,
    snapshot::LocalServer,
};

/// One request and what is known of its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// The parsed head; its spans point into [`Exchange::head_bytes`].
    pub(crate) head: &'a RequestHead,
    /// Length of the head in bytes.
    head_length: usize,
    /// The head's bytes once they had to leave the client's buffer.
    moved_head: Option<Output>,
    /// The virtual server as it was when the request began.
    pub(crate) server: LocalServer,
    pub(crate) began: Moment,
    /// What has been answered, for counters and the access log.
    pub(crate) answered: Answered,
}

/// What a client got.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Body bytes sent.
    pub(crate) bytes: u64,
    /// Bytes of the response head sent.
    pub(crate) head_bytes: u64,
    /// Request body bytes received.
    pub(crate) bytes_in: u64,
    /// Further attempts that were needed.
    pub(crate) retries: u32,
    /// What else the access log wants to know; `None` without one.
    pub(crate) log: Option<Box<access::Entry>>,
}

impl<'a> Exchange<'a> {
    fn new(client: &Client, head: &'a RequestHead, head_length: usize) -> Self {
        Self {
            head,
            head_length,
            moved_head: None,
            server: Rc::clone(&client.server),
            began: client.worker.now(),
            answered: Answered::default(),
        }
    }

    /// Length of the request head in bytes.
    pub(crate) fn head_length(&self) -> usize {
        self.head_length
    }

    /// The bytes of the request head.
    pub(crate) fn head_bytes<'b>(&'b self, buffer: Option<&'b Buffer>) -> &'b [u8] {
        match (&self.moved_head, buffer) {
            (Some(moved), _) => &moved.bytes,
            (None, Some(buffer)) => buffer.slice(0..self.head_length),
            (None, None) => &[],
        }
    }

    /// Moves the head out of the client's buffer, so that body bytes may be consumed from it.
    pub(crate) fn move_head(&mut self, client: &mut Client) {
        if self.moved_head.is_none()
            && let Some(buffer) = &mut client.buffer
        {
            let mut moved = client.worker.buffers.lend_output();
            moved.bytes.extend_from_slice(buffer.slice(0..self.head_length));
            buffer.consume(self.head_length);
            self.moved_head = Some(moved);
        }
    }

    /// When it must be over by `max_transaction_duration`.
    pub(crate) fn end(&self) -> Option<Moment> {
        self.server.settings.max_transaction_duration.map(|limit| self.began.after(limit))
    }

    /// Whether the client wants and may have another request on this connection.
    pub(crate) fn keeps_alive(&self, client: &Client) -> bool {
        self.head.keep_alive() && self.server.settings.keepalive && client.is_wanted()
    }

    /// Whether the request was answered without looking at its body.
    fn forget(self, client: &mut Client) {
        if self.moved_head.is_none()
            && let Some(buffer) = &mut client.buffer
        {
            buffer.consume(self.head_length);
        }
    }
}

/// Serves one request whose head fills the first `head_length` bytes of the client's buffer.
pub(crate) async fn serve(client: &mut Client, head: &mut RequestHead, head_length: usize) -> Flow {
    let mut exchange = Exchange::new(client, head, head_length);
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
    let Some(status) = failure.status() else {
        if failure.kind == Kind::Discard {
            exchange.server.counters.shard(client.worker.index).discarded.add(1);
        }
        return Flow::Close;
    };
    tracing::debug!(virtual_server = %exchange.server.name(), client = %client.peer, status, reason = %failure, "answered with an error page");
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
    match failure.kind {
        Kind::ClientTimedOut => counters.timeouts.add(1),
        _ => counters.client_errors.add(1),
    }
    tracing::debug!(virtual_server = %client.server.name(), client = %client.peer, reason = %failure, "refused a request");
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
    counters.responded(status);
    if client.send(out).await { Flow::Linger } else { Flow::Close }
}

/// Counters and the access log.
fn finish(client: &mut Client, mut exchange: Exchange<'_>) {
    let counters = exchange.server.counters.shard(client.worker.index);
    let answered = &exchange.answered;
    counters.requests.add(1);
    counters.bytes_in.add(answered.bytes_in + exchange.head_length as u64);
    counters.bytes_out.add(answered.bytes);
    counters.responded(answered.status);
    access::record(client, &mut exchange);
    exchange.forget(client);
}
