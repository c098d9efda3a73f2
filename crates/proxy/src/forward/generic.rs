//! Requests of generic protocols: the same search for a node as [`super::to_pool`], with a leg in place of an attempt.
//!
//! ```text
//! search (claim) ─► try_node: reach (the leg that is there, or connect), ask, relay ─► the next request, or the end
//!    ▲                   │ failed and may be retried
//!    └───────────────────┘
//! ```

use std::{sync::Arc, time::Duration};

use tidegate_model::virtual_server::Speaks;
use tidegate_pool::Session;

use super::{
    attempt,
    claim::{Claim, Way},
    note_attempt, note_success,
    search::{Blame, Found, Search},
};
use crate::{
    access, bandwidth,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    rules::{self, Verdict},
    snapshot::RunningPool,
    tally,
    tcp::{
        Conversation,
        leg::{Event, Leg, Manner},
        reply_limit, swallow_banner,
        talk::{Output, Request, Rest},
    },
    virtual_server::Exchange,
};

/// What follows when a node is done with a request.
enum After {
    /// Another request.
    Next,
    /// Another node gets this one.
    Retry,
    /// The connection ends so.
    End(Flow),
}

/// Serves the request from `pool`, or from its failure pool when all its nodes have failed.
pub(crate) async fn to_pool(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &Arc<RunningPool>,
    conversation: &mut Conversation,
    (mut request, speaks): (Request, Speaks),
) -> Result<Flow, Failure> {
    let session = super::ask(client, exchange, pool);
    // Connections that carried anything before are of no use here.
    let mut search = Search::new(pool, session, true);
    if exchange.said().is_none_or(|said| said.limits.idempotent.is_none()) && exchange.server.rules.are_some()
    {
        // Without an end nobody knows what the node has made of it.
        exchange.said_mut().limits.idempotent = Some(request.rest != Rest::Unbounded);
    }
    loop {
        if search.pool().settings.max_connections_per_node.is_some() {
            // It could be in its own way.
            leave(conversation, search.pool());
        }
        let mut claimed = match search.node(client, exchange).await? {
            Found::Node(claimed) => claimed,
            Found::OtherPool => continue,
            // There is no way to send a client of such a protocol elsewhere.
            Found::SessionFailed(_) => return Err(Failure::new(Kind::SessionLost, Progress::Unsent)),
        };
        let pool = search.pool();
        note_attempt(client, exchange, pool, &claimed);
        let from = (pool, &search.session, &mut claimed);
        match try_node(client, exchange, from, conversation, (&mut request, speaks)).await {
            Ok(After::Next) => return Ok(Flow::KeepAlive),
            Ok(After::End(flow)) => {
                leave(conversation, pool);
                return Ok(flow);
            }
            Ok(After::Retry) => {
                leave(conversation, pool);
                search.again(client, exchange);
            }
            Err(failure) => {
                let blame = blame(conversation.leg.as_ref(), &failure, speaks);
                leave(conversation, pool);
                let at_hand = failure.progress == Progress::Unsent || request.rest == Rest::Whole;
                search.failed(client, exchange, &claimed, failure, (blame, at_hand))?;
            }
        }
        if let Some(talk) = exchange.said.as_mut().and_then(|said| said.talk.as_mut()) {
            // Nothing of the failed answer is part of the next one.
            talk.output = Output::default();
        }
    }
}

/// A node that is silent may wait for more of a request that the client has not finished, unless the node has to speak first.
/// One that has closed a kept connection before it got the next request may do so.
fn blame(leg: Option<&Leg>, failure: &Failure, speaks: Speaks) -> Blame {
    match (failure.kind, leg) {
        (Kind::ReplyTimedOut, Some(leg)) if speaks != Speaks::ServerFirst && !leg.has_sent_all() => {
            Blame::Client
        }
        (Kind::ClosedEarly, Some(leg)) if leg.was_closed_before() => Blame::Nobody,
        _ => Blame::Node,
    }
}

/// Closes the connection to the node of the last request, if there is one.
fn leave(conversation: &mut Conversation, pool: &RunningPool) {
    if let Some(mut leg) = conversation.leg.take()
        && pool.settings.node_close_with_rst
    {
        leg.connection.reset_on_close();
    }
}

/// Sends the request to the claimed node and relays until it is done with it.
async fn try_node(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    (pool, session, claim): (&Arc<RunningPool>, &Session, &mut Claim),
    conversation: &mut Conversation,
    (request, speaks): (&mut Request, Speaks),
) -> Result<After, Failure> {
    reach(client, exchange, pool, claim, conversation, speaks).await?;
    let Some(leg) = conversation.leg.as_mut() else {
        return Err(Failure::new(Kind::NoNode, Progress::Unsent));
    };
    let settings = &exchange.server.settings;
    let has_rules = speaks != Speaks::Stream && !exchange.server.rules.response.is_empty();
    let units = (settings.max_client_buffer, settings.max_server_buffer);
    let manner = Manner {
        rules: has_rules,
        more_is_here: !conversation.behind.is_empty(),
        may_leave: exchange.server.rules.divert()
            || pool.settings.max_connections_per_node.is_some()
            || pool.pool.members().len() > 1,
        proxy_close: settings.generic.proxy_close,
        reply_limit: reply_limit(exchange, pool, speaks),
    };
    bandwidth::of_node(client, exchange, pool, &mut leg.connection.stream);
    let sent = leg.ask(&client.worker, request, units, has_rules);
    tally::exchanged(client, pool, claim.node(), sent, 0);
    let asked_at = client.worker.elapsed();
    let mut noted = false;
    loop {
        let event = leg.relay(client, exchange, pool, manner).await;
        if leg.has_heard() && !noted {
            noted = true;
            if request.rest != Rest::Whole {
                // Nobody gets it again.
                request.bytes = Vec::new();
            }
            let took = client.worker.elapsed().saturating_sub(asked_at);
            note_heard(client, exchange, pool, (session, claim), took);
        }
        match event {
            Event::Heard => {}
            Event::Spoke => {
                let resendable = request.rest == Rest::Whole
                    && leg.progress() != Progress::Answered
                    && exchange.may_be_sent_again();
                let from = (pool, claim.node());
                match Box::pin(rules::generic::response(client, exchange, from, leg, resendable)).await? {
                    Verdict::GoOn => {}
                    Verdict::Retry => return Ok(After::Retry),
                    Verdict::Answered(flow) => return Ok(After::End(flow)),
                }
            }
            Event::NodeDone => {
                let asks_again = leg.is_left() || manner.more_is_here || !client.buffer.is_empty();
                return node_done(leg, request, speaks, asks_again);
            }
            Event::Next => return Ok(After::Next),
            Event::ClientDone => return Ok(After::End(Flow::Close)),
            Event::Failed(kind) => return Err(Failure::new(kind, leg.progress())),
        }
    }
}

/// The node has finished: whether it should have, and what comes next. A node that closes behind its answer leaves the client
/// free to ask again (`asks_again`) if it has done so already, or a rule has closed; not in the middle of a request, whose rest
/// would be taken for another one.
fn node_done(leg: &Leg, request: &Request, speaks: Speaks, asks_again: bool) -> Result<After, Failure> {
    let progress = leg.progress();
    let owes = !leg.has_heard()
        && !leg.client_has_finished()
        && (speaks != Speaks::Stream || progress == Progress::Unsent);
    if owes {
        return Err(Failure::new(Kind::ClosedEarly, progress));
    }
    let goes_on = asks_again && request.rest != Rest::Unbounded && leg.has_sent_all();
    Ok(if goes_on { After::Next } else { After::End(Flow::Linger) })
}

/// Makes `conversation.leg` a way to the claimed node.
async fn reach(
    client: &mut Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    claim: &mut Claim,
    conversation: &mut Conversation,
    speaks: Speaks,
) -> Result<(), Failure> {
    let open = match claim.way.take() {
        Some(Way::Open(open)) => open,
        Some(Way::Idle(connection)) => connection.replace(),
        None => return Err(Failure::new(Kind::NoNode, Progress::Unsent)),
    };
    if conversation.leg.as_mut().is_some_and(|leg| Arc::ptr_eq(leg.node(), claim.node()) && leg.is_usable()) {
        tally::reused(client, pool, claim.node());
        if let Some(leg) = &mut conversation.leg {
            leg.reuse();
        }
        return Ok(());
    }
    leave(conversation, pool);
    let connection = attempt::connect(client, exchange, pool, claim, open).await?;
    let mut leg = Leg::new(&client.worker, connection);
    if speaks == Speaks::ServerFirst && exchange.server.settings.generic.server_first_banner.is_some() {
        swallow_banner(client, exchange, &mut leg, reply_limit(exchange, pool, speaks)).await?;
    }
    conversation.leg = Some(leg);
    Ok(())
}

/// A node has begun to answer.
fn note_heard(
    client: &Client,
    exchange: &mut Exchange<'_>,
    pool: &RunningPool,
    (session, claim): (&Session, &Claim),
    took: Duration,
) {
    let since = client.worker.recent_elapsed().saturating_sub(exchange.began);
    exchange.answered.note_response(since);
    if pool.settings.passive_monitoring {
        note_success(pool, claim, took, client.worker.recent());
    }
    tally::heard(client, pool, claim.node(), took);
    access::decided(exchange, session, claim.slot, took);
    if !exchange.server.rules.completion.is_empty() {
        exchange.said_mut().response_time = Some(took);
    }
}
