//! One client connection, from accept to close: PROXY header, TLS handshake, then request after request.
//!
//! [`Client`] is the connection's state; [`crate::virtual_server::serve`] is what happens to one request.
//! Between requests a connection holds neither buffer nor head: bytes wait in the kernel. `opening` is what comes before the
//! first request, `closing` what comes after the last.

mod closing;
mod opening;

use std::{
    future::{Future, poll_fn},
    hint::cold_path,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tidegate_http1::{
    limits::Limits,
    request::{Parsed, RequestHead},
};
use tidegate_model::{Moment, virtual_server::Protocol};
use tidegate_telemetry::access_log::TlsSession;

use crate::{
    aside::aside,
    buffer::{BUFFER, Buffer, Output},
    failure::{Failure, Kind, Progress},
    relay::Guarded,
    snapshot::{ListenAddress, ListenKey, LocalServer, OpenConnections, RunningServer},
    socket::Socket,
    stream::Stream,
    tally, tcp,
    timers::Deadline,
    virtual_server::{self, Exchange},
    worker::Worker,
};

/// A client connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: Stream,
    pub(crate) deadline: Deadline,
    /// Bytes read and not consumed.
    pub(crate) buffer: Buffer,
    /// The client's address, from the PROXY header where there is one.
    pub(crate) peer: SocketAddr,
    /// The address the client connected to.
    pub(crate) local: SocketAddr,
    /// Header lines that every request of this connection gets, such as `X-Cluster-Client-Ip`.
    pub(crate) added_lines: Rc<[u8]>,
    /// The virtual server in force for the present request.
    pub(crate) server: LocalServer,
    /// What nodes and rules are told of TLS; `None` without it.
    told_tls: Option<Box<ToldTls>>,
    key: ListenKey,
    /// Generation of the snapshot `server` was taken from.
    generation: u64,
    /// Whether that snapshot has the connection's virtual server.
    wanted: bool,
    /// What is counted of the address it was accepted on.
    pub(crate) listen: Arc<ListenAddress>,
    _counted: Counted,
}

/// What nodes and rules are told of a client's TLS, fixed by the handshake.
#[derive(Debug)]
struct ToldTls {
    /// `SSLClient…` header lines.
    lines: Vec<u8>,
    /// The identifier of the session.
    id: Option<String>,
}

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The connection takes another request.
    KeepAlive,
    /// Close it.
    Close,
    /// Bytes of a request are unread: close so that the client can still read the answer.
    Linger,
    /// The answer broke off, and only the manner of closing can tell the client.
    Abort,
}

/// Counts a connection on its virtual server and in the process.
#[derive(Debug)]
struct Counted {
    worker: Rc<Worker>,
    server: Arc<OpenConnections>,
    listen: Arc<ListenAddress>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.server.leave();
        self.listen.open.leave();
        self.worker.shared.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Starts serving an accepted connection, already counted in `Shared::connections`.
pub(crate) fn spawn(
    worker: &Rc<Worker>,
    key: &ListenKey,
    (server, listen): (&Arc<RunningServer>, &Arc<ListenAddress>),
    socket: Socket,
    peer: SocketAddr,
) {
    server.connections.enter();
    listen.open.enter();
    tally::server(worker, server).connections.add(1);
    tally::process(worker).connections.add(1);
    let client = Box::new(Client {
        worker: Rc::clone(worker),
        stream: Stream::Plain(socket),
        deadline: worker.timers.deadline(),
        buffer: worker.buffers.lend(),
        peer,
        local: key.address,
        added_lines: Rc::from([]),
        server: Rc::new(Arc::clone(server)),
        told_tls: None,
        key: key.clone(),
        generation: worker.view().generation,
        wanted: true,
        listen: Arc::clone(listen),
        _counted: Counted {
            worker: Rc::clone(worker),
            server: Arc::clone(&server.connections),
            listen: Arc::clone(listen),
        },
    });
    tokio::task::spawn_local(client.run());
}

/// How the wait for a request ended.
enum Next {
    /// A head of this many bytes is in the buffer and parsed.
    Request(Box<RequestHead>, usize),
    /// The client is done, or idle for too long, or the process is going away.
    Done,
    /// What came is not a request.
    Bad(Failure),
}

impl Client {
    async fn run(mut self: Box<Self>) {
        if self.open().await.is_none() {
            return;
        }
        if self.server.settings.protocol != Protocol::Http {
            let flow = Box::pin(tcp::serve(&mut self)).await;
            return self.close(flow).await;
        }
        let mut first = true;
        let flow = loop {
            match self.next_request(first).await {
                Next::Request(mut head, length) => {
                    let flow = virtual_server::serve(&mut self, &mut head, length).await;
                    self.worker.request_heads.keep(head);
                    if flow != Flow::KeepAlive {
                        break flow;
                    }
                    // Pipelined requests that need no node never wait for anything: others get their turn here.
                    tokio::task::coop::consume_budget().await;
                }
                Next::Done => break Flow::Close,
                Next::Bad(failure) => {
                    cold_path();
                    break aside(virtual_server::refuse(&mut self, failure)).await;
                }
            }
            first = false;
        };
        self.close(flow).await;
    }

    /// The identifier of the TLS session, for rules.
    pub(crate) fn tls_id(&self) -> Option<&str> {
        self.told_tls.as_ref()?.id.as_deref()
    }

    /// The TLS session, as the access log tells it.
    pub(crate) fn tls_session(&self) -> Option<TlsSession<'_>> {
        self.stream.tls_session()
    }

    /// Waits for a complete request head. `first` = nothing was served on this connection yet.
    async fn next_request(&mut self, first: bool) -> Next {
        self.follow_snapshot();
        // Bytes of a pipelined request may be here already.
        if self.buffer.is_empty() {
            let settings = &self.server.settings;
            let wait = if first { settings.connect_timeout } else { Some(settings.keepalive_timeout) };
            self.deadline.arm(wait.map(|limit| self.worker.recent().after(limit)));
            if !self.first_bytes(first).await {
                return Next::Done;
            }
        }
        // Not before: connections that wait hold none.
        let mut head = self.worker.request_heads.lend();
        // Its last use may have ended in the middle of a head.
        head.start_over();
        match self.read_head(&mut head, first).await {
            Ok(length) => Next::Request(head, length),
            Err(otherwise) => {
                cold_path();
                self.worker.request_heads.keep(head);
                otherwise
            }
        }
    }

    /// Reads until the head that has begun is complete; `armed` = its time is running. Returns how long it is.
    async fn read_head(&mut self, head: &mut RequestHead, mut armed: bool) -> Result<usize, Next> {
        let limits = Limits::default();
        loop {
            match head.parse(self.buffer.filled(), &limits) {
                Ok(Parsed::Complete(length)) => return Ok(length),
                Ok(Parsed::Partial) => cold_path(),
                Err(error) => {
                    let kind = Kind::BadRequest(error.status(), error.reason());
                    return Err(Next::Bad(Failure::new(kind, Progress::Unsent)));
                }
            }
            if !armed {
                let limit = self.server.settings.connect_timeout;
                self.deadline.arm(limit.map(|limit| self.worker.now().after(limit)));
                armed = true;
            }
            self.buffer.compact();
            let Self { stream, deadline, buffer, .. } = self;
            let read = poll_fn(|cx| match stream.poll_fill(cx, buffer, BUFFER) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => deadline.poll_passed(cx).map(|()| None),
            })
            .await;
            match read {
                Some(Ok(n)) if n > 0 => {}
                Some(_) => return Err(Next::Done),
                None => return Err(Next::Bad(Failure::new(Kind::ClientTimedOut, Progress::Unsent))),
            }
        }
    }

    /// Waits for the first bytes of a request. False = there will be none.
    pub(crate) async fn first_bytes(&mut self, first: bool) -> bool {
        let Self { worker, stream, deadline, buffer, server, .. } = self;
        let mut hurry = Hurry::default();
        poll_fn(|cx| {
            if let Poll::Ready(read) = stream.poll_fill(cx, buffer, BUFFER) {
                return Poll::Ready(read.is_ok_and(|n| n > 0));
            }
            // An idle connection may go.
            if worker.is_draining() && !first {
                return Poll::Ready(false);
            }
            hurry.look(worker, deadline);
            deadline.poll_passed(cx).map(|()| {
                if !worker.is_draining() {
                    let counters = tally::server(worker, server);
                    if first { counters.connect_timeouts.add(1) } else { counters.keepalive_timeouts.add(1) }
                }
                false
            })
        })
        .await
    }

    /// Takes over the settings of a newer snapshot. The connection goes on whatever changed; a virtual server
    /// that is gone serves the requests of its connections until they close.
    pub(crate) fn follow_snapshot(&mut self) {
        if self.worker.runs(self.generation) {
            return;
        }
        let view = self.worker.view();
        self.generation = view.generation;
        let server = view.server(&self.key);
        self.wanted = server.is_some();
        if let Some(server) = server
            && !Arc::ptr_eq(server, &self.server)
        {
            self.server = Rc::new(Arc::clone(server));
            self.compose_added_lines();
        }
    }

    /// Whether the connection's virtual server is still there.
    pub(crate) fn is_wanted(&self) -> bool {
        let known = self.worker.runs(self.generation);
        let wanted = if known { self.wanted } else { self.worker.view().server(&self.key).is_some() };
        wanted && !self.worker.is_draining()
    }

    fn compose_added_lines(&mut self) {
        let http = &self.server.settings.http;
        let mut lines = Vec::new();
        if http.add_cluster_ip {
            lines.extend_from_slice(format!("X-Cluster-Client-Ip: {}\r\n", self.peer.ip()).as_bytes());
        }
        if http.add_x_forwarded_proto {
            let proto = if self.is_tls() { "https" } else { "http" };
            lines.extend_from_slice(format!("X-Forwarded-Proto: {proto}\r\n").as_bytes());
        }
        if let Some(told) = &self.told_tls {
            lines.extend_from_slice(&told.lines);
        }
        self.added_lines = lines.into();
    }

    /// Takes the client for somebody else (`request.setRemoteIP`). Returns who it was taken for before.
    pub(crate) fn pretend(&mut self, client: SocketAddr) -> SocketAddr {
        let before = std::mem::replace(&mut self.peer, client);
        self.compose_added_lines();
        before
    }

    /// Whether the client speaks TLS to us.
    pub(crate) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// The deadline rules of an exchange.
    pub(crate) fn guard(&self, exchange: &Exchange<'_>) -> Guarded<'_> {
        Guarded::new(&self.worker, &self.deadline, exchange.idle_limit(), exchange.end())
    }

    /// Sends all of `out`, within the limits of the exchange. An error is why that could not be: the client is gone, or
    /// the transaction's time is over.
    pub(crate) fn send(
        &mut self,
        out: Output,
        exchange: &Exchange<'_>,
    ) -> impl Future<Output = Result<(), Kind>> {
        self.send_within(out, exchange.idle_limit(), exchange.end())
    }

    /// As [`Client::send`], within `idle` of the last movement and until `end`. What the socket takes at once is sent even
    /// after the end, so that a client can be told that it has come.
    pub(crate) async fn send_within(
        &mut self,
        out: Output,
        idle: Option<Duration>,
        end: Option<Moment>,
    ) -> Result<(), Kind> {
        let Self { worker, stream, deadline, .. } = self;
        let mut guard = Guarded::new(worker, deadline, idle, end);
        guard.progress();
        let mut written = 0;
        let sent = poll_fn(|cx| {
            while let Some(rest) = out.bytes.get(written..).filter(|rest| !rest.is_empty()) {
                match stream.poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        written += n;
                        guard.progress();
                    }
                    Poll::Ready(_) => return Poll::Ready(Some(false)),
                    Poll::Pending => return guard.or_passed(cx, Poll::Pending),
                }
            }
            let flushed = stream.poll_flush(cx).map(|flushed| flushed.is_ok());
            guard.or_passed(cx, flushed)
        })
        .await;
        match sent {
            Some(true) => Ok(()),
            None if guard.transaction_is_over() => Err(Kind::TransactionTimedOut),
            Some(false) | None => Err(Kind::ClientGone),
        }
    }
}

/// How long a new connection may take for each of PROXY header, TLS handshake and first bytes of a request, once the
/// process is going away.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// A wait for the first words of a client, which becomes a short one when the process goes away: a client that was just
/// accepted may have a request on its way, and one that has nothing to say holds up nobody.
#[derive(Debug, Default)]
struct Hurry {
    told: bool,
}

impl Hurry {
    /// Moves the deadline, once.
    fn look(&mut self, worker: &Worker, deadline: &Deadline) {
        if worker.is_draining() && !std::mem::replace(&mut self.told, true) {
            deadline.arm(Some(worker.now().after(LAST_REQUEST)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, F: Future>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// The state machine of a connection is its largest allocation, idle or not.
    #[test]
    fn an_idle_connection_is_small() {
        let size = size(Client::run);
        assert!(size + size_of::<Client>() <= 1792, "{size} + {} bytes per connection", size_of::<Client>());
    }
}
