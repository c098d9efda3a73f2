//! Moves message bodies between a client and a node, both ways at once, with back-pressure and bounded memory.
//!
//! A [`BodyRelay`] is one direction: it reads from its source only when all it holds has been written to its
//! sink. Upload and download are two of them polled by one task ([`crate::forward`]), so that a node that
//! answers before it has the whole request is heard. [`splice`] takes over for large plain bodies.

pub(crate) mod splice;

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tidegate_http1::chunked::{self, ChunkedRelay};
use tidegate_model::Moment;
use tidegate_pool::Node;

use crate::{
    buffer::{BUFFER, Buffer, Output},
    socket::Socket,
    stream::Stream,
    timers::Deadline,
    worker::Worker,
};

/// A connection's deadline with the rules that move it: how long nothing may happen, and when it all must end.
#[derive(Debug)]
pub(crate) struct Guarded<'a> {
    worker: &'a Worker,
    deadline: &'a Deadline,
    idle: Option<Duration>,
    end: Option<Moment>,
    /// The node whose end is the end of it, and whether its failure is too.
    node: Option<(&'a Node, bool)>,
}

impl<'a> Guarded<'a> {
    /// `idle` is `connection.timeout`, `end` comes from `max_transaction_duration`.
    pub(crate) fn new(
        worker: &'a Worker,
        deadline: &'a Deadline,
        idle: Option<Duration>,
        end: Option<Moment>,
    ) -> Self {
        deadline.watch_node(false, false);
        Self { worker, deadline, idle, end, node: None }
    }

    /// Ends as well when `node` is removed for good, or, with `close_on_death`, when it fails.
    pub(crate) fn watch(mut self, node: &'a Node, close_on_death: bool) -> Self {
        self.deadline.watch_node(true, close_on_death);
        self.node = Some((node, close_on_death));
        self
    }

    /// Whether it is the node's end that ended it.
    pub(crate) fn node_died(&self) -> bool {
        self.node.is_some_and(|(node, by_failure)| {
            let health = node.health();
            health.gone || (by_failure && !health.in_rotation())
        })
    }

    /// Something moved: the idle limit starts anew.
    pub(crate) fn progress(&mut self) {
        self.start_anew();
    }

    fn start_anew(&self) {
        let idle = self.idle.map(|limit| self.worker.now().after(limit));
        self.deadline.arm(earliest(idle, self.end));
    }

    /// The next step must be done within `limit`.
    pub(crate) fn limit(&mut self, now: Moment, limit: Duration) {
        self.deadline.arm(earliest(Some(now.after(limit)), self.end));
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        self.worker.now()
    }

    /// Whether it is the transaction as a whole whose time is over.
    pub(crate) fn transaction_is_over(&self) -> bool {
        self.end.is_some_and(|end| self.worker.now() >= end)
    }

    /// Whether the client has gone while the node had nothing to say. It is watched once that has lasted for a sweep.
    pub(crate) fn lost_client(&self, cx: &mut Context<'_>, client: &mut Stream) -> bool {
        self.deadline.has_waited() && client.poll_reset(cx).is_ready()
    }

    /// [`Guarded::lost_client`], of a plain client.
    pub(crate) fn lost_plain_client(&self, cx: &mut Context<'_>, client: &mut Socket) -> bool {
        self.deadline.has_waited() && client.poll_reset(cx).is_ready()
    }

    /// What `polled` says, or `None` once the deadline has passed.
    pub(crate) fn or_passed<T>(&self, cx: &mut Context<'_>, polled: Poll<T>) -> Poll<Option<T>> {
        match polled {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.node_died() => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.deadline.poll_passed(cx));
                // Whoever waits for bandwidth is not idle.
                if !self.deadline.is_held(self.worker.now()) || self.transaction_is_over() {
                    return Poll::Ready(None);
                }
                self.start_anew();
                self.deadline.poll_passed(cx).map(|()| None)
            }
        }
    }
}

fn earliest(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// How the rest of a body is framed by its source, and what the sink gets.
#[derive(Debug)]
pub(crate) enum Framing {
    /// Nothing follows.
    None,
    /// So many bytes, passed on as they are.
    Length(u64),
    /// Chunked: validated and re-framed, or de-chunked, by the relay inside.
    Chunked(Box<ChunkedRelay>),
    /// The rest of a body whose beginning is framed for the sink already and goes first. Only a message that has not
    /// been sent yet is in this state.
    After(Output, Box<Self>),
    /// Everything until the source closes, passed on as it is.
    UntilClose,
    /// Everything until the source closes, chunked for the sink.
    UntilCloseChunked,
}

/// Why a body could not be moved.
#[derive(Debug)]
pub(crate) enum RelayError {
    /// The source's connection failed or ended too soon.
    Source,
    /// The source broke the framing.
    Malformed,
    /// The sink's connection failed.
    Sink(#[expect(dead_code, reason = "shown by Debug in traces")] io::Error),
}

/// One direction of an exchange: what is composed and not yet written, and how much is still to come.
#[derive(Debug)]
pub(crate) struct BodyRelay {
    framing: Framing,
    /// Composed bytes for the sink: a head, re-framed chunks.
    out: Output,
    written: usize,
    flushed: bool,
    ever_written: bool,
    /// Most bytes read at a time.
    unit: usize,
    /// Body bytes read from the source.
    pub(crate) moved: u64,
}

/// Bytes that are read at a time even if a setting says fewer.
const SMALLEST_UNIT: usize = 1024;

/// Largest part of a body that is copied behind a head so that both leave in one call.
const TOGETHER: usize = BUFFER;

impl BodyRelay {
    /// `out` holds what goes first, usually the head.
    pub(crate) fn new(out: Output, framing: Framing) -> Self {
        Self { framing, out, written: 0, flushed: false, ever_written: false, unit: BUFFER, moved: 0 }
    }

    /// Reads no more than `unit` bytes at a time (`max_client_buffer`, `max_server_buffer`), within [`BUFFER`].
    pub(crate) fn in_units_of(mut self, unit: usize) -> Self {
        self.unit = unit.clamp(SMALLEST_UNIT, BUFFER);
        self
    }

    /// Bytes composed and not yet written; right after it was made, all that goes first.
    pub(crate) fn composed(&self) -> u64 {
        (self.out.bytes.len() - self.written) as u64
    }

    /// Whether nothing more is expected from the source and all is written.
    pub(crate) fn is_complete(&self) -> bool {
        self.flushed && self.written == self.out.bytes.len() && self.source_is_done()
    }

    /// Whether the source has delivered the whole body.
    pub(crate) fn source_is_done(&self) -> bool {
        match &self.framing {
            Framing::None | Framing::Length(0) => true,
            Framing::Chunked(_)
            | Framing::After(..)
            | Framing::Length(_)
            | Framing::UntilClose
            | Framing::UntilCloseChunked => false,
        }
    }

    /// The framing of a body of which nothing was written to the sink, for another sink; the first `head_length`
    /// composed bytes are not part of it.
    pub(crate) fn into_unsent(mut self, head_length: usize) -> Option<Framing> {
        if self.ever_written {
            return None;
        }
        self.out.bytes.drain(..head_length.min(self.out.bytes.len()));
        if self.out.bytes.is_empty() {
            return Some(self.framing);
        }
        Some(Framing::After(self.out, Box::new(self.framing)))
    }

    /// Whether any byte has left for the sink.
    pub(crate) fn has_written(&self) -> bool {
        self.ever_written
    }

    /// How much of a body of known length is still to come; 0 of one whose length is not known.
    pub(crate) fn still_to_come(&self) -> u64 {
        match self.framing {
            Framing::Length(left) => left,
            _ => 0,
        }
    }

    /// Says that `n` bytes were moved by other means.
    pub(crate) fn spliced(&mut self, n: u64) {
        self.moved += n;
        if let Framing::Length(left) = &mut self.framing {
            *left = left.saturating_sub(n);
        }
    }

    /// Takes body bytes that are already in `buffer` behind the composed head, so that they leave together.
    pub(crate) fn absorb(&mut self, buffer: &mut Buffer) -> Result<(), RelayError> {
        match &mut self.framing {
            Framing::None | Framing::After(..) => {}
            Framing::Length(left) => {
                let most = TOGETHER.min(usize::try_from(*left).unwrap_or(usize::MAX));
                let n = buffer.pour(most, &mut self.out.bytes) as u64;
                *left -= n;
                self.moved += n;
            }
            Framing::Chunked(relay) => {
                let relayed =
                    relay.relay(buffer.filled(), &mut self.out.bytes).map_err(|_| RelayError::Malformed)?;
                buffer.consume(relayed.consumed);
                self.moved += relayed.consumed as u64;
                if relayed.finished {
                    self.framing = Framing::None;
                }
            }
            Framing::UntilClose => {
                self.moved += buffer.pour(usize::MAX, &mut self.out.bytes) as u64;
            }
            Framing::UntilCloseChunked => {
                if !buffer.is_empty() {
                    chunked::write_chunk_head(buffer.len(), &mut self.out.bytes);
                    self.moved += buffer.pour(usize::MAX, &mut self.out.bytes) as u64;
                    self.out.bytes.extend_from_slice(b"\r\n");
                }
            }
        }
        Ok(())
    }

    /// Moves as much as can be moved now. Ready when the body is complete and written.
    /// `moving` is set whenever a byte moved.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        buffer: &mut Buffer,
        sink: &mut Stream,
        moving: &mut bool,
    ) -> Poll<Result<(), RelayError>> {
        loop {
            ready!(self.poll_write_out(cx, sink, moving))?;
            // A body of known length goes from the read buffer to the sink without another copy.
            if let Framing::Length(left) = &mut self.framing
                && *left > 0
                && !buffer.is_empty()
            {
                let n = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let n = ready!(sink.poll_write(cx, buffer.slice(0..n))).map_err(RelayError::Sink)?;
                if n == 0 {
                    return Poll::Ready(Err(RelayError::Sink(io::ErrorKind::WriteZero.into())));
                }
                buffer.consume(n);
                *left -= n as u64;
                self.moved += n as u64;
                self.flushed = false;
                *moving = true;
                continue;
            }
            if !self.source_is_done() && !buffer.is_empty() {
                let before = buffer.len();
                self.absorb(buffer)?;
                if buffer.len() != before || !self.out.bytes.is_empty() {
                    self.flushed = false;
                    continue;
                }
            }
            if !self.flushed {
                ready!(sink.poll_flush(cx)).map_err(RelayError::Sink)?;
                self.flushed = true;
            }
            if self.source_is_done() {
                return Poll::Ready(Ok(()));
            }
            buffer.compact();
            if buffer.len() == BUFFER {
                // Only an unfinished chunk line or trailer can fill a buffer; their bounds are far below that.
                return Poll::Ready(Err(RelayError::Malformed));
            }
            match ready!(source.poll_fill(cx, buffer, self.unit)) {
                Ok(0) => match self.framing {
                    Framing::UntilClose => self.framing = Framing::None,
                    Framing::UntilCloseChunked => {
                        self.out.bytes.extend_from_slice(chunked::LAST_CHUNK);
                        self.flushed = false;
                        self.framing = Framing::None;
                    }
                    _ => return Poll::Ready(Err(RelayError::Source)),
                },
                Ok(_) => *moving = true,
                Err(_) => return Poll::Ready(Err(RelayError::Source)),
            }
        }
    }

    /// Whether something composed waits for the sink.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.written < self.out.bytes.len()
    }

    /// Writes what is composed.
    pub(crate) fn poll_write_out(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut Stream,
        moving: &mut bool,
    ) -> Poll<Result<(), RelayError>> {
        while self.written < self.out.bytes.len() {
            let rest = self.out.bytes.get(self.written..).unwrap_or_default();
            match ready!(sink.poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(RelayError::Sink(io::ErrorKind::WriteZero.into()))),
                Ok(n) => {
                    self.written += n;
                    self.ever_written = true;
                    self.flushed = false;
                    *moving = true;
                }
                Err(error) => return Poll::Ready(Err(RelayError::Sink(error))),
            }
        }
        self.out.bytes.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}
