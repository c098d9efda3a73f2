//! Connections of virtual servers whose protocol is known by its bytes only (`client_first`, `server_first`, `stream` and
//! those that behave as one of them).
//!
//! ```text
//! serve ─► banner, first bytes ─► request rules ─► forward::generic (claim a node → leg → relay both ways)
//!   ▲                                 └► reply, close           │ response rules on what the node says
//!   └──────────── the next request, where rules have marked its end ◄┘
//! ```
//!
//! A connection is one request without an end, unless rules mark one (`request.endsAt`, `request.endsWith`): what follows is
//! another request, for which the rules run again and a node is chosen anew. Each of them is an [`Exchange`] with a head
//! of no bytes, so that choice of pool and node, sessions, limits and counters are those of every other request.

pub(crate) mod leg;
pub(crate) mod talk;

use std::{future::poll_fn, net::SocketAddr, rc::Rc, task::Poll};

use tidegate_model::{
    Moment,
    virtual_server::{DefaultPool, ErrorPage, Protocol, Speaks},
};

use self::{
    leg::Leg,
    talk::{Input, Request, Rest, Talk},
};
use crate::{
    access, bandwidth,
    buffer::BUFFER,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward, rules, tally,
    virtual_server::{Exchange, note_failed},
};

/// What outlives a request of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// The way to the node of the last request.
    pub(crate) leg: Option<Leg>,
    /// What the client has sent behind the last request, and rules had before them.
    pub(crate) behind: Vec<u8>,
    /// The client sends nothing more.
    finished: bool,
    /// `connection.data`
    data: rules::Data,
    /// The client as the network has it, where rules take it for another.
    client_before: Option<SocketAddr>,
}

/// Who speaks first on the connections of a virtual server; `None` for HTTP.
pub(crate) fn speaks(protocol: Protocol) -> Option<Speaks> {
    match protocol {
        Protocol::Generic(_, speaks) => Some(speaks),
        Protocol::Http | Protocol::Other(_) => None,
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(client: &mut Client) -> Flow {
    let mut conversation = Conversation::default();
    let mut first = true;
    loop {
        client.follow_snapshot();
        let server = Rc::clone(&client.server);
        let generic = &server.settings.generic;
        let speaks = speaks(server.settings.protocol).unwrap_or(Speaks::Stream);
        if first
            && speaks == Speaks::ServerFirst
            && let Some(banner) = &generic.server_first_banner
        {
            let mut out = client.worker.buffers.lend_output();
            out.bytes.extend_from_slice(banner);
            tally::moved(client, &server, 0, banner.len() as u64);
            if client.send_within(out, server.settings.timeout, None).await.is_err() {
                return Flow::Close;
            }
        }
        let waits = !first
            || server.settings.waits_for_client()
            || (speaks == Speaks::ServerFirst && generic.server_first_banner.is_some());
        if waits && conversation.behind.is_empty() && !has_input(client, first).await {
            return Flow::Close;
        }
        let mut head = client.worker.request_heads.lend();
        head.start_over();
        let mut exchange = Exchange::new(client, &mut head, 0);
        let flow = one(client, &mut exchange, &mut conversation, speaks).await;
        drop(exchange);
        client.worker.request_heads.keep(head);
        if flow != Flow::KeepAlive {
            return flow;
        }
        first = false;
        tokio::task::coop::consume_budget().await;
    }
}

/// Waits for bytes of the client: the first ones of the connection within `connect_timeout`, others within
/// `connection.timeout`. False = there will be none.
async fn has_input(client: &mut Client, first: bool) -> bool {
    if !client.buffer.is_empty() {
        return true;
    }
    let settings = &client.server.settings;
    let wait = if first { settings.connect_timeout } else { settings.timeout };
    client.deadline.watch_node(false, false);
    client.deadline.arm(wait.map(|limit| client.worker.now().after(limit)));
    client.first_bytes(first).await
}

/// One request, start to finish.
async fn one(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    conversation: &mut Conversation,
    speaks: Speaks,
) -> Flow {
    bandwidth::begin(client);
    tally::begun(client, exchange);
    access::asked(exchange, client);
    if exchange.server.rules.are_some() {
        let said = exchange.said_mut();
        said.data = std::mem::take(&mut conversation.data);
        said.client_before = conversation.client_before;
        let input = Input::beginning_with(std::mem::take(&mut conversation.behind), conversation.finished);
        said.talk = Some(Box::new(Talk { input, ..Talk::default() }));
    }
    let flow = match answer(client, exchange, conversation, speaks).await {
        Ok(flow) => flow,
        Err(failure) => {
            if !exchange.server.rules.completion.is_empty() {
                exchange.said_mut().failure = Some(failure);
            }
            // What fails then has failed already.
            let _settled = Box::pin(forward::generic::settle(client, exchange, conversation)).await;
            report(client, exchange, failure).await
        }
    };
    if !exchange.server.rules.completion.is_empty() {
        Box::pin(rules::completion(client, exchange)).await;
    }
    finish(client, exchange, conversation);
    if flow == Flow::KeepAlive && !client.is_wanted() { Flow::Linger } else { flow }
}

async fn answer(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    conversation: &mut Conversation,
    speaks: Speaks,
) -> Result<Flow, Failure> {
    let server = Rc::clone(&exchange.server);
    let mut request = Request { behind: Vec::new(), ..Request::default() };
    let mut chosen = None;
    if server.rules.request.is_empty() {
        request.bytes = std::mem::take(&mut conversation.behind);
        if let Some(talk) = exchange.said.as_mut().and_then(|said| said.talk.as_mut()) {
            request = talk.input.take();
        }
    } else {
        match rules::generic::request(client, exchange, conversation).await? {
            rules::generic::Next::Forward(left) => request = left,
            rules::generic::Next::Replied(behind) => {
                conversation.behind = behind;
                return Ok(Flow::KeepAlive);
            }
            rules::generic::Next::Close(flow) => return Ok(flow),
        }
        chosen = exchange.said.as_mut().and_then(|said| said.pool.take());
    }
    conversation.behind = std::mem::take(&mut request.behind);
    let (pool, discards) = match &chosen {
        Some(chosen) => (chosen.pool.as_ref(), true),
        None => (server.pool.as_ref(), server.settings.pool == DefaultPool::Discard),
    };
    let Some(pool) = pool else {
        return Err(Failure::new(if discards { Kind::Discard } else { Kind::NoNode }, Progress::Unsent));
    };
    // Rules have run on connect; a node is of no use before the client has spoken.
    if speaks == Speaks::ClientFirst
        && server.settings.generic.rules_on_connect
        && request.bytes.is_empty()
        && request.rest == Rest::Unbounded
        && !has_input(client, true).await
    {
        return Ok(Flow::Close);
    }
    forward::generic::to_pool(client, exchange, pool, conversation, (request, speaks)).await
}

/// Reads more of what the client sends, for a rule that waits for it.
pub(crate) async fn read_input(client: &mut Client, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let (idle, end) = (exchange.idle_limit(), exchange.end());
    client.buffer.compact();
    let Client { worker, stream, deadline, buffer, .. } = client;
    let mut guard = crate::relay::Guarded::new(worker, deadline, idle, end);
    guard.progress();
    let read = poll_fn(|cx| {
        let polled = stream.poll_fill(cx, buffer, BUFFER);
        guard.or_passed(cx, polled)
    })
    .await;
    let failed = match read {
        Some(Ok(0)) => {
            if let Some(talk) = &mut exchange.said_mut().talk {
                talk.input.held.finish();
            }
            return Ok(());
        }
        Some(Ok(_)) => {
            absorb(client, exchange);
            return Ok(());
        }
        Some(Err(_)) => Kind::ClientGone,
        None if guard.transaction_is_over() => Kind::TransactionTimedOut,
        None => Kind::ClientTimedOut,
    };
    Err(Failure::new(failed, Progress::Unsent))
}

/// Puts what was read from the client before rules.
pub(crate) fn absorb(client: &mut Client, exchange: &mut Exchange<'_>) {
    let Some(talk) = exchange.said.as_mut().and_then(|said| said.talk.as_mut()) else { return };
    let taken = talk.input.held.absorb(&mut client.buffer) as u64;
    exchange.answered.bytes_in += taken;
    tally::moved(client, &exchange.server, taken, 0);
}

/// Tells of a request that failed, and says how the connection ends. A client that has got nothing of an answer gets the bytes
/// of `connection_errors.error_file`, where the failure is the service's; else only the manner of closing can tell it.
async fn report(client: &mut Client, exchange: &mut Exchange<'_>, failure: Failure) -> Flow {
    note_failed(client, exchange, failure);
    let server = Rc::clone(&exchange.server);
    if let ErrorPage::File(bytes) = &server.settings.error_page
        && failure.status().is_some_and(|status| status >= 500)
    {
        let mut out = client.worker.buffers.lend_output();
        out.bytes.extend_from_slice(bytes);
        exchange.answered.bytes += bytes.len() as u64;
        tally::moved(client, &server, 0, bytes.len() as u64);
        // A client that does not take it is told in no other way.
        let _sent = client.send(out, exchange).await;
        return Flow::Linger;
    }
    match failure.kind {
        Kind::ClosedEarly | Kind::TransactionTimedOut if failure.progress == Progress::Answered => {
            Flow::Abort
        }
        _ => Flow::Close,
    }
}

/// Counters and the access log; what the next request begins with.
fn finish(client: &mut Client, exchange: &mut Exchange<'_>, conversation: &mut Conversation) {
    let duration = client.worker.elapsed().saturating_sub(exchange.began);
    tally::conversed(client, exchange, duration);
    tally::level_of_response(client, exchange);
    access::record(client, exchange);
    if let Some(said) = exchange.said.as_mut() {
        conversation.data = std::mem::take(&mut said.data);
        conversation.client_before = said.client_before;
        if let Some(talk) = &said.talk {
            conversation.finished |= talk.input.held.is_finished();
        }
    }
}

/// How long a node may take until it says something, where it has to.
pub(crate) fn reply_limit(
    exchange: &Exchange<'_>,
    pool: &crate::snapshot::RunningPool,
    speaks: Speaks,
) -> Option<std::time::Duration> {
    (speaks != Speaks::Stream).then(|| exchange.reply_limit(pool)).flatten()
}

/// Longest first words of a node that are swallowed: those behind go to the client.
const LONGEST_BANNER: usize = 8 * 1024;

/// Where the first words of a node end: behind the first line, or the last of the lines that say with `nnn-` that more
/// follow (RFC 5321 §4.2.1). `None` = they have not ended yet.
fn banner_end(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        end += line.len();
        let goes_on = matches!(line, [a, b, c, b'-', ..] if [a, b, c].into_iter().all(u8::is_ascii_digit));
        if line.ends_with(b"\n") && !goes_on {
            return Some(end);
        }
    }
    (bytes.len() >= LONGEST_BANNER).then_some(bytes.len())
}

/// Reads the first words of a node and drops them: the client has had the virtual server's.
pub(crate) async fn swallow_banner(
    client: &Client,
    exchange: &Exchange<'_>,
    leg: &mut Leg,
    limit: Option<std::time::Duration>,
) -> Result<(), Failure> {
    let failed = |kind| Failure::new(kind, Progress::Unsent);
    let mut guard = client.guard(exchange);
    let now: Moment = client.worker.now();
    match limit {
        Some(limit) => guard.limit(now, limit),
        None => guard.progress(),
    }
    loop {
        if let Some(end) = banner_end(leg.buffer.filled()) {
            leg.buffer.consume(end);
            return Ok(());
        }
        leg.buffer.compact();
        let read = poll_fn(|cx| {
            let polled: Poll<_> = leg.connection.stream.poll_fill(cx, &mut leg.buffer, LONGEST_BANNER);
            guard.or_passed(cx, polled)
        })
        .await;
        match read {
            Some(Ok(n)) if n > 0 => {}
            Some(_) => return Err(failed(Kind::ClosedEarly)),
            None if guard.transaction_is_over() => return Err(failed(Kind::TransactionTimedOut)),
            None => return Err(failed(Kind::ReplyTimedOut)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_of_nodes() {
        for (bytes, end) in [
            ("", None),
            ("220 mail", None),
            ("220 mail\r\n", Some(10)),
            ("+OK ready\r\nmore", Some(11)),
            ("220-one\r\n", None),
            ("220-one\r\n220 two\r\n", Some(18)),
            ("220-one\r\n220-two\r\n220", None),
            ("\n", Some(1)),
        ] {
            assert_eq!(banner_end(bytes.as_bytes()), end, "{bytes:?}");
        }
        assert_eq!(banner_end(&[b'x'; LONGEST_BANNER]), Some(LONGEST_BANNER));
    }
}
