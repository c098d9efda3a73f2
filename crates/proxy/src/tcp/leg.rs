//! The way to one node and back: bytes both ways at once, with back-pressure and bounded memory, until something happens
//! that others have to decide on ([`Event`]).

mod flow;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_pool::Node;
use tokio::time::Sleep;

use self::flow::{Pumps, WORTH_PUMPING};
use super::talk::{Request, Rest};
use crate::{
    buffer::{BUFFER, Buffer},
    connection::Client,
    failure::{Kind, Progress},
    node::NodeConnection,
    relay::{BodyRelay, Framing, Guarded, RelayError, splice::Pipes},
    snapshot::RunningPool,
    stream::Stream,
    tally,
    virtual_server::Exchange,
    worker::Worker,
};

/// A node that has answered and then said nothing for so long has said all, where the process waits for its end.
const SILENCE_AT_THE_END: Duration = Duration::from_secs(1);

/// A node that has said nothing for so long has answered, where the next request was there before its answer and may go to
/// another node.
const SILENCE_BEFORE_THE_NEXT: Duration = Duration::from_millis(50);

/// How far the request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    /// It is being sent.
    Going,
    /// All of it is sent: its end was marked.
    Sent,
    /// The client has finished sending, and all is sent.
    Finished,
    /// The node takes nothing more.
    Broken,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The node has begun to answer.
    Heard,
    /// The node has said something that rules have to see: it is in [`Leg::buffer`].
    Spoke,
    /// The node has finished, and the client has everything.
    NodeDone,
    /// The client has sent the beginning of another request.
    Next,
    /// The client has finished, and is told nothing more.
    ClientDone,
    /// It is over.
    Failed(Kind),
}

/// How bytes are relayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Rules see what the node says.
    pub(crate) rules: bool,
    /// The client may have sent something behind the request that was read already.
    pub(crate) more_is_here: bool,
    /// A request that came before the answer to the last one waits until the node is silent. Else it is looked at at once: it
    /// may be for the same node.
    pub(crate) settles: bool,
    /// `tcp.proxy_close`
    pub(crate) proxy_close: bool,
    /// How long the node may take to begin its answer.
    pub(crate) reply_limit: Option<Duration>,
}

/// A connection to a node, and what moves over it for the present request.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) connection: NodeConnection,
    /// The pool whose node it leads to.
    pool: Arc<RunningPool>,
    /// Bytes of the node that were read and not consumed.
    pub(crate) buffer: Buffer,
    up: BodyRelay,
    upload: Upload,
    down: BodyRelay,
    /// Large flows between plain sockets.
    pumps: Option<Box<Pumps>>,
    /// No end of the request is marked.
    unbounded: bool,
    /// The node has been told that the client has finished.
    told: bool,
    /// The node has said something since the request began.
    heard: bool,
    /// The client has got something of it.
    delivered: bool,
    /// The node has finished, or is to be left.
    pub(crate) ended: bool,
    /// A rule leaves it.
    left: bool,
    /// The node is polled before the client: large flows take turns.
    node_first: bool,
    /// It carried a request before the present one.
    reused: bool,
    /// Whether the client had sent another request when the node began to answer; `None` = nobody has looked yet.
    overtakes: Option<bool>,
    /// Runs while the node is silent and another request waits.
    silence: Option<Pin<Box<Sleep>>>,
    /// What is counted already of `up` and `down`.
    counted: (u64, u64),
}

impl Leg {
    /// A leg over a new connection; nothing is asked yet.
    pub(crate) fn new(worker: &Worker, connection: NodeConnection, pool: &Arc<RunningPool>) -> Self {
        Self {
            connection,
            pool: Arc::clone(pool),
            buffer: worker.buffers.lend(),
            up: BodyRelay::new(worker.buffers.lend_output(), Framing::None),
            upload: Upload::Sent,
            down: BodyRelay::new(worker.buffers.lend_output(), Framing::UntilClose),
            pumps: None,
            unbounded: false,
            told: false,
            heard: false,
            delivered: false,
            ended: false,
            left: false,
            node_first: false,
            reused: false,
            overtakes: None,
            silence: None,
            counted: (0, 0),
        }
    }

    /// The pool it was claimed in.
    pub(crate) fn pool(&self) -> &Arc<RunningPool> {
        &self.pool
    }

    /// The node at the other end.
    pub(crate) fn node(&self) -> &Arc<Node> {
        self.connection.node()
    }

    /// Whether another request may be sent over it: the node has not closed it, so far as that can be told now. What it has
    /// still to say of the last request goes before its answer to the next one.
    pub(crate) fn is_usable(&mut self) -> bool {
        if self.ended || self.upload == Upload::Broken {
            return false;
        }
        if self.buffer.is_empty() {
            // Under TLS an end is one more record: only reading tells it from what is still to be said.
            let mut cx = Context::from_waker(Waker::noop());
            let read = self.connection.stream.poll_fill(&mut cx, &mut self.buffer, BUFFER);
            self.ended = matches!(read, Poll::Ready(Ok(0) | Err(_)));
        }
        !self.ended
    }

    /// It gets another request, in the pool of today.
    pub(crate) fn reuse(&mut self, pool: &Arc<RunningPool>) {
        self.reused = true;
        self.pool = Arc::clone(pool);
    }

    /// Leaves the node.
    pub(crate) fn leave(mut self) {
        if self.pool.settings.node_close_with_rst {
            self.connection.reset_on_close();
        }
    }

    /// Whether nobody knows if the last answer is over, because the client had sent more before it began.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.overtakes == Some(true)
    }

    /// The last answer is over.
    pub(crate) fn settle(&mut self) {
        self.overtakes = Some(false);
    }

    /// Whether its end says nothing about the node: it was closed while nobody asked anything.
    pub(crate) fn was_closed_before(&self) -> bool {
        self.reused && !self.heard
    }

    /// Begins to send a request. Returns how many bytes of it were at hand.
    pub(crate) fn ask(
        &mut self,
        worker: &Worker,
        request: &Request,
        units: (usize, usize),
        rules: bool,
    ) -> u64 {
        let framing = match request.rest {
            Rest::Whole => Framing::None,
            Rest::More(left) => Framing::Length(left),
            Rest::Unbounded => Framing::UntilClose,
        };
        let mut out = worker.buffers.lend_output();
        out.bytes.extend_from_slice(&request.bytes);
        self.up = BodyRelay::new(out, framing).in_units_of(units.0);
        self.upload = Upload::Going;
        let down = if rules { Framing::None } else { Framing::UntilClose };
        self.down = BodyRelay::new(worker.buffers.lend_output(), down).in_units_of(units.1);
        self.unbounded = request.rest == Rest::Unbounded;
        (self.heard, self.delivered) = (false, false);
        self.counted = (0, 0);
        (self.overtakes, self.silence) = (None, None);
        request.bytes.len() as u64
    }

    /// Whether the node has said something.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// The client gets what rules have made of the node's words; `closes` = and nothing more.
    pub(crate) fn say(&mut self, worker: &Worker, bytes: Vec<u8>, closes: bool) -> u64 {
        let mut out = worker.buffers.lend_output();
        let n = bytes.len() as u64;
        out.bytes = bytes;
        self.down = BodyRelay::new(out, Framing::None);
        self.ended |= closes;
        self.left |= closes;
        n
    }

    /// Whether it is over because a rule has said so (`response.close`).
    pub(crate) fn is_left(&self) -> bool {
        self.left
    }

    /// The client has got bytes of the answer in another way.
    pub(crate) fn note_delivered(&mut self) {
        self.delivered = true;
    }

    /// How far the request has got, should it fail now.
    pub(crate) fn progress(&self) -> Progress {
        if self.delivered || self.down.has_written() || self.down.moved > 0 {
            Progress::Answered
        } else if self.up.has_written() || self.up.moved > 0 {
            Progress::Sent
        } else {
            Progress::Unsent
        }
    }

    /// Whether the client finished before the node did.
    pub(crate) fn client_has_finished(&self) -> bool {
        self.upload == Upload::Finished
    }

    /// Whether the node has all of the request, whose end was marked: what the client sends now is another one.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.upload == Upload::Sent
    }

    /// Relays until something happens.
    pub(crate) async fn relay(
        &mut self,
        client: &mut Client,
        exchange: &mut Exchange<'_>,
        pool: &RunningPool,
        manner: Manner,
    ) -> Event {
        let Client { worker, stream, deadline, buffer, listen, .. } = client;
        let worker: &Worker = worker;
        let node = Arc::clone(self.node());
        let server = &exchange.server;
        let (idle, end) = (exchange.idle_limit(), exchange.end());
        let mut guard = Guarded::new(worker, deadline, idle, end).watch(&node, pool.settings.close_on_death);
        let answered = &mut exchange.answered;
        let was_heard = self.heard;
        let arm = |guard: &mut Guarded<'_>, heard: bool| match manner.reply_limit.filter(|_| !heard) {
            Some(limit) => guard.limit(worker.now(), idle.map_or(limit, |idle| idle.min(limit))),
            None => guard.progress(),
        };
        arm(&mut guard, was_heard);
        let mut last = guard.now();
        poll_fn(|cx| {
            let mut moving = false;
            let event = self.step(cx, (stream, buffer), &worker.pipes, manner, &mut moving);
            if moving || event.is_some() {
                let (up, down) = self.uncounted();
                answered.bytes_in += up;
                answered.bytes += down;
                tally::moved_on((worker, listen, server), (up, down));
                tally::exchanged_on(worker, pool, &node, up, down);
            }
            if !was_heard && self.heard && !matches!(event, Some(Event::Spoke | Event::NodeDone)) {
                return Poll::Ready(match event {
                    Some(Event::Failed(kind)) => Event::Failed(kind),
                    _ => Event::Heard,
                });
            }
            if let Some(event) = event {
                return Poll::Ready(event);
            }
            if moving {
                arm(&mut guard, self.heard);
                last = guard.now();
            }
            let is_over = || guard.now().since(last) >= SILENCE_AT_THE_END;
            if worker.is_draining() && self.is_between_requests(buffer) && is_over() {
                return Poll::Ready(Event::ClientDone);
            }
            if self.upload != Upload::Going && guard.lost_client(cx, stream) {
                return Poll::Ready(Event::Failed(Kind::ClientGone));
            }
            guard.or_passed(cx, Poll::<()>::Pending).map(|_| {
                Event::Failed(if guard.node_died() {
                    Kind::ClosedEarly
                } else if self.is_between_requests(buffer) {
                    // The time was the client's to ask again.
                    return Event::ClientDone;
                } else if guard.transaction_is_over() {
                    Kind::TransactionTimedOut
                } else if !self.heard && manner.reply_limit.is_some() {
                    Kind::ReplyTimedOut
                } else {
                    Kind::IdleTimedOut
                })
            })
        })
        .await
    }

    /// Bytes that came from the client and went to it since they were counted last.
    fn uncounted(&mut self) -> (u64, u64) {
        let now = (self.up.moved, self.down.moved);
        let before = std::mem::replace(&mut self.counted, now);
        (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1))
    }

    /// Whether the client has all that the node has said to the request so far, and has not asked anything else.
    fn is_between_requests(&self, from_client: &Buffer) -> bool {
        self.heard && self.has_sent_all() && !self.has_unwritten() && from_client.is_empty()
    }

    /// Moves what can be moved now.
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        (client, from_client): (&mut Stream, &mut Buffer),
        pipes: &Pipes,
        manner: Manner,
        moving: &mut bool,
    ) -> Option<Event> {
        // Who goes first may use up the task's share of the thread.
        self.node_first = !self.node_first && self.upload == Upload::Going && self.up.moved >= WORTH_PUMPING;
        let event = if self.node_first {
            let event = self.listen(cx, client, pipes, manner, moving);
            event.or_else(|| self.send(cx, (client, from_client), pipes, manner.proxy_close, moving))
        } else {
            let event = self.send(cx, (client, from_client), pipes, manner.proxy_close, moving);
            event.or_else(|| self.listen(cx, client, pipes, manner, moving))
        };
        if event.is_some() {
            return event;
        }
        if self.upload != Upload::Sent || !self.heard || self.has_unwritten() {
            return None;
        }
        if manner.more_is_here || !from_client.is_empty() {
            self.overtakes.get_or_insert(true);
            return self.poll_next(cx, manner);
        }
        let read = client.poll_fill(cx, from_client, BUFFER);
        self.overtakes.get_or_insert(matches!(read, Poll::Ready(Ok(1..))));
        match read {
            Poll::Ready(Ok(0)) if manner.proxy_close => {
                self.upload = Upload::Finished;
                self.tell(cx);
                None
            }
            // It has asked all it will ask, and is there for the answer.
            Poll::Ready(Ok(0)) => match self.poll_silence(cx, SILENCE_AT_THE_END) {
                Poll::Ready(()) => Some(Event::ClientDone),
                Poll::Pending => None,
            },
            Poll::Ready(Ok(_)) => self.poll_next(cx, manner),
            Poll::Ready(Err(_)) => Some(Event::Failed(Kind::ClientGone)),
            Poll::Pending => None,
        }
    }

    /// Another request is there. A client that had not waited for the answer does not say that the answer is over: only the
    /// node's silence does, where that is to be known.
    fn poll_next(&mut self, cx: &mut Context<'_>, manner: Manner) -> Option<Event> {
        let waits = manner.settles && self.is_unsettled();
        if waits && self.poll_silence(cx, SILENCE_BEFORE_THE_NEXT).is_pending() {
            return None;
        }
        Some(Event::Next)
    }

    /// Whether the node has been silent for so long since it was first asked. It begins anew with whatever the node says.
    fn poll_silence(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<()> {
        self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().poll(cx)
    }

    /// Sends what there is of the request.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        (client, from_client): (&mut Stream, &mut Buffer),
        pipes: &Pipes,
        proxy_close: bool,
        moving: &mut bool,
    ) -> Option<Event> {
        if self.upload == Upload::Going {
            match self.poll_up(cx, (client, from_client), pipes, moving) {
                Poll::Ready(Ok(())) => {
                    self.upload = if self.unbounded { Upload::Finished } else { Upload::Sent };
                }
                // What the node has said may still be read.
                Poll::Ready(Err(RelayError::Sink(_))) => self.upload = Upload::Broken,
                Poll::Ready(Err(RelayError::Source | RelayError::Malformed)) => {
                    return Some(Event::Failed(Kind::ClientGone));
                }
                Poll::Pending => {}
            }
        }
        if self.upload == Upload::Finished {
            if !proxy_close {
                return Some(Event::ClientDone);
            }
            self.tell(cx);
        }
        None
    }

    /// Tells the node that the client has finished.
    fn tell(&mut self, cx: &mut Context<'_>) {
        if !self.told {
            self.told = self.connection.stream.poll_shutdown(cx).is_ready();
        }
    }

    /// Takes what the node says.
    fn listen(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        pipes: &Pipes,
        manner: Manner,
        moving: &mut bool,
    ) -> Option<Event> {
        if manner.rules {
            self.hear_for_rules(cx, client, moving)
        } else {
            self.hear(cx, client, pipes, moving)
        }
    }

    fn has_unwritten(&self) -> bool {
        self.down.has_unwritten()
            || !self.buffer.is_empty()
            || self.pumps.as_ref().is_some_and(|pumps| pumps.down.has_unwritten())
    }

    /// Passes on what the node says.
    fn hear(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        pipes: &Pipes,
        moving: &mut bool,
    ) -> Option<Event> {
        let before = self.down.moved;
        let polled = self.poll_down(cx, client, pipes, moving);
        if self.down.moved > before || !self.buffer.is_empty() {
            self.heard = true;
            self.silence = None;
        }
        match polled {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                self.ended = true;
                Some(Event::NodeDone)
            }
            Poll::Ready(Err(RelayError::Sink(_))) => Some(Event::Failed(Kind::ClientGone)),
            Poll::Ready(Err(RelayError::Source | RelayError::Malformed)) => {
                self.ended = true;
                Some(Event::Failed(Kind::ClosedEarly))
            }
        }
    }

    /// Sends what rules have passed, and reads what they have to see next.
    fn hear_for_rules(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        moving: &mut bool,
    ) -> Option<Event> {
        match self.down.poll(cx, &mut self.connection.stream, &mut self.buffer, client, moving) {
            Poll::Pending => return None,
            Poll::Ready(Ok(())) => self.delivered |= self.down.has_written(),
            Poll::Ready(Err(_)) => return Some(Event::Failed(Kind::ClientGone)),
        }
        if self.ended {
            return Some(Event::NodeDone);
        }
        if self.buffer.is_empty() {
            match self.connection.stream.poll_fill(cx, &mut self.buffer, BUFFER) {
                Poll::Pending => return None,
                Poll::Ready(Ok(0)) => {
                    self.ended = true;
                    return Some(Event::NodeDone);
                }
                Poll::Ready(Ok(_)) => *moving = true,
                Poll::Ready(Err(_)) => {
                    self.ended = true;
                    return Some(Event::Failed(Kind::ClosedEarly));
                }
            }
        }
        self.heard = true;
        self.silence = None;
        Some(Event::Spoke)
    }

    /// Reads more of what the node says, for a rule that waits for it, while the request goes on. False = there is nothing
    /// more.
    pub(crate) async fn fill(
        &mut self,
        client: &mut Client,
        exchange: &mut Exchange<'_>,
        pool: &RunningPool,
    ) -> Result<bool, Kind> {
        let Client { worker, stream, deadline, buffer, .. } = client;
        let node = Arc::clone(self.node());
        let mut guard = Guarded::new(worker, deadline, exchange.idle_limit(), exchange.end())
            .watch(&node, pool.settings.close_on_death);
        let proxy_close = exchange.server.settings.generic.proxy_close;
        guard.progress();
        let read = poll_fn(|cx| {
            let mut moving = false;
            let sent = self.send(cx, (stream, buffer), &worker.pipes, proxy_close, &mut moving);
            if sent.is_some() {
                return Poll::Ready(Err(Kind::ClientGone));
            }
            if moving {
                guard.progress();
            }
            self.buffer.compact();
            let polled = self.connection.stream.poll_fill(cx, &mut self.buffer, BUFFER);
            if polled.is_pending() && self.upload != Upload::Going && guard.lost_client(cx, stream) {
                return Poll::Ready(Err(Kind::ClientGone));
            }
            guard.or_passed(cx, polled).map(Ok)
        })
        .await?;
        match read {
            Some(Ok(0)) => {
                self.ended = true;
                Ok(false)
            }
            Some(Ok(_)) => Ok(true),
            Some(Err(_)) => Err(Kind::ClosedEarly),
            None if guard.node_died() => Err(Kind::ClosedEarly),
            None => Err(Kind::RuleTimedOut),
        }
    }
}
