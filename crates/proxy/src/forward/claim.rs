//! Chooses a node and claims a place on it, waiting in the pool's queue when every node is at its limit.

use std::{future::poll_fn, sync::Arc};

use tidegate_model::persistence::FailureMode;
use tidegate_pool::{InFlight, NoNode, Node, OpenConnection, Session, Slot};

use super::Attempts;
use crate::{
    connection::Client,
    failure::{Failure, Kind, Progress},
    node::NodeConnection,
    snapshot::RunningPool,
    virtual_server::Exchange,
};

/// A node with a place on it. Dropping it frees the place and calls the next request in the queue.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) slot: Slot,
    in_flight: InFlight,
    /// `None` once the attempt has taken it.
    pub(crate) way: Option<Way>,
}

/// How the request gets to the node.
#[derive(Debug)]
pub(crate) enum Way {
    /// Over a connection that carried a request before.
    Idle(NodeConnection),
    /// Over a connection that may be opened.
    Open(OpenConnection),
}

impl Claim {
    pub(crate) fn node(&self) -> &Arc<Node> {
        self.in_flight.node()
    }
}

/// Outcome of [`claim`].
pub(crate) enum Claimed {
    Node(Claim),
    /// Every node was tried.
    Exhausted,
    /// Every node has failed, or there is none.
    AllFailed,
    /// The session's node cannot take the request and the class forbids another.
    SessionFailed(FailureMode),
}

/// What one look at the pool says.
enum Look {
    Claimed(Claimed),
    Busy { others_may_pass: bool },
}

pub(crate) async fn claim(
    client: &Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
) -> Result<Claimed, Failure> {
    let may_reuse = may_reuse(exchange, pool);
    // Those who wait already come first.
    if pool.queue.len() == 0
        && let Look::Claimed(claimed) = look(client, pool, session, attempts, may_reuse)
    {
        return Ok(claimed);
    }
    // Boxed, like everything rare on this path: the state of every connection has room for the largest step.
    Box::pin(wait_in_queue(client, exchange, pool, session, attempts)).await
}

/// A node that can take the request at once, if there is one.
pub(crate) fn claim_at_once(
    client: &Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
) -> Option<Claim> {
    match look(client, pool, session, attempts, may_reuse(exchange, pool)) {
        Look::Claimed(Claimed::Node(claim)) => Some(claim),
        _ => None,
    }
}

/// A connection that was used before may turn out closed, and then only an idempotent request can be sent again
/// (`http.keepalive_non_idempotent`).
fn may_reuse(exchange: &Exchange<'_>, pool: &RunningPool) -> bool {
    let settings = &pool.settings;
    settings.keepalive && (settings.keepalive_non_idempotent || exchange.head.method().is_idempotent())
}

fn look(
    client: &Client,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
    may_reuse: bool,
) -> Look {
    let worker = &client.worker;
    Look::Claimed(match pool.pool.choose(session, attempts.tried(), worker.recent(), worker.random()) {
        Ok(choice) => {
            // Another worker may have taken the last place in between.
            let Ok(in_flight) = choice.node.begin() else { return Look::Busy { others_may_pass: true } };
            let idle = if may_reuse { worker.idle.take(choice.node) } else { None };
            let way = match idle {
                Some(connection) => Way::Idle(connection),
                None => match choice.node.open_connection() {
                    Ok(open) => Way::Open(open),
                    Err(_) => return Look::Busy { others_may_pass: true },
                },
            };
            Claimed::Node(Claim { slot: choice.slot, in_flight, way: Some(way) })
        }
        Err(NoNode::AllBusy { session_node }) => return Look::Busy { others_may_pass: session_node },
        Err(NoNode::AllTried) => Claimed::Exhausted,
        Err(NoNode::NoNodes | NoNode::AllFailed) => Claimed::AllFailed,
        Err(NoNode::SessionFailed(mode)) => Claimed::SessionFailed(mode),
    })
}

/// Waits at most `queue_timeout` for a node with room, first come first served among all workers.
async fn wait_in_queue(
    client: &Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
) -> Result<Claimed, Failure> {
    let counters = pool.counters.shard(client.worker.index);
    let refused = || {
        counters.queue_timeouts.add(1);
        Failure::new(Kind::QueueTimedOut, Progress::Unsent)
    };
    let _counted = pool.pool.enter_queue().map_err(|_| refused())?;
    let place = pool.queue.join();
    counters.queued.add(1);
    let may_reuse = may_reuse(exchange, pool);
    let mut guard = client.guard(exchange);
    guard.limit(client.worker.now(), pool.settings.queue_timeout);
    loop {
        poll_fn(|cx| {
            let called = place.poll_called(cx);
            guard.or_passed(cx, called)
        })
        .await
        .ok_or_else(refused)?;
        match look(client, pool, session, attempts, may_reuse) {
            Look::Claimed(claimed) => return Ok(claimed),
            Look::Busy { others_may_pass } => place.wait_again(others_may_pass),
        }
    }
}
