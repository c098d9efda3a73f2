//! Chooses a node and claims a place on it, waiting in the pool's queue when every node is at its limit.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use tidegate_model::{Moment, persistence::FailureMode};
use tidegate_pool::{InFlight, NoNode, Node, OpenConnection, QueuePlace, Session, Slot};

use super::{queue::Place, search::Attempts};
use crate::{
    aside::aside,
    connection::Client,
    failure::{Failure, Kind, Progress},
    node::NodeConnection,
    relay::Guarded,
    snapshot::RunningPool,
    tally,
    virtual_server::Exchange,
    worker::Worker,
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
    /// The pool was rebuilt while the request waited, or before it could be had by any node of the older build.
    Rebuilt(Arc<RunningPool>),
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
    Busy { session_node: bool },
}

pub(crate) async fn claim(
    client: &mut Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &mut Attempts,
) -> Result<Claimed, Failure> {
    let may_reuse = may_reuse(exchange, pool, attempts);
    // Those who wait already come first.
    if attempts.wait.is_none()
        && !pool.queue.comes_first()
        && let Look::Claimed(claimed) = look(&client.worker, pool, session, attempts, may_reuse)
    {
        return Ok(match claimed {
            // All nodes of a build may have gone since the request began: those of today are asked before it is given up.
            Claimed::AllFailed | Claimed::Exhausted => {
                client.worker.rebuilt(pool).map_or(claimed, Claimed::Rebuilt)
            }
            claimed => claimed,
        });
    }
    aside(wait_in_queue(client, exchange, pool, session, attempts)).await
}

/// A node that can take the request at once, if there is one.
pub(crate) fn claim_at_once(
    client: &Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
) -> Option<Claim> {
    match look(&client.worker, pool, session, attempts, may_reuse(exchange, pool, attempts)) {
        Look::Claimed(Claimed::Node(claim)) => Some(claim),
        _ => None,
    }
}

/// A connection that was used before may turn out closed, and then only an idempotent request that is still at hand
/// can be sent again (`http.keepalive_non_idempotent`).
fn may_reuse(exchange: &Exchange<'_>, pool: &RunningPool, attempts: &Attempts) -> bool {
    let settings = &pool.settings;
    let repeatable = exchange.is_idempotent() && !attempts.streaming;
    // Another server name means another handshake.
    let named = exchange.said().is_some_and(|said| said.server_name.is_some());
    settings.keepalive && !named && (settings.keepalive_non_idempotent || repeatable)
}

fn look(
    worker: &Worker,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
    may_reuse: bool,
) -> Look {
    let chosen = match attempts.fixed {
        Some(slot) => pool.pool.choose_node(slot, attempts.tried(), worker.recent()),
        None => pool.pool.choose(session, attempts.tried(), worker.recent(), worker.random()),
    };
    Look::Claimed(match chosen {
        Ok(choice) => {
            // Another worker may have taken the last place in between.
            let Ok(in_flight) = choice.node.begin() else {
                return Look::Busy { session_node: choice.sticky };
            };
            let idle = if may_reuse { worker.idle.take(choice.node) } else { None };
            let way = if let Some(connection) = idle {
                Way::Idle(connection)
            } else {
                let Some(open) = room_for_connection(worker, choice.node) else {
                    in_flight.abandon();
                    return Look::Busy { session_node: choice.sticky };
                };
                Way::Open(open)
            };
            Claimed::Node(Claim { slot: choice.slot, in_flight, way: Some(way) })
        }
        Err(NoNode::AllBusy { session_node }) => return Look::Busy { session_node },
        Err(NoNode::AllTried) => Claimed::Exhausted,
        Err(NoNode::NoNodes | NoNode::AllFailed) => Claimed::AllFailed,
        Err(NoNode::SessionFailed(mode)) => Claimed::SessionFailed(mode),
    })
}

/// A place for a new connection: a free one, or that of an idle connection of this worker which may not carry the
/// request. Idle connections of other workers make room at their next sweep.
fn room_for_connection(worker: &Worker, node: &Arc<Node>) -> Option<OpenConnection> {
    node.open_connection().ok().or_else(|| worker.idle.take(node).map(NodeConnection::replace))
}

/// A wait for a node with room. It outlives rebuilds of the pool: neither place nor patience begins anew.
#[derive(Debug)]
pub(crate) struct Wait {
    place: Place,
    until: Moment,
    since: Duration,
    _counted: QueuePlace,
}

impl Wait {
    /// Takes a place at the end of the queue.
    fn begin(worker: &Worker, pool: &RunningPool) -> Result<Self, Failure> {
        let counted = pool.pool.enter_queue().map_err(|_| {
            tally::pool(worker, pool).queue_full.add(1);
            refused(worker, pool)
        })?;
        tally::waits(worker, pool);
        Ok(Self {
            place: pool.queue.join(),
            until: worker.now().after(pool.settings.queue_timeout),
            since: worker.elapsed(),
            _counted: counted,
        })
    }
}

fn refused(worker: &Worker, pool: &RunningPool) -> Failure {
    tally::pool(worker, pool).queue_timeouts.add(1);
    Failure::new(Kind::QueueTimedOut, Progress::Unsent)
}

/// Waits at most `queue_timeout` for a node with room, first come first served among all workers. A client that resets
/// its connection leaves the queue at once.
async fn wait_in_queue(
    client: &mut Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &mut Attempts,
) -> Result<Claimed, Failure> {
    let wait = match attempts.wait.take().filter(|wait| wait.place.is_in(&pool.queue)) {
        Some(wait) => wait,
        None => Box::new(Wait::begin(&client.worker, pool)?),
    };
    let claimed = wait_for_turn(client, exchange, pool, session, attempts, &wait).await;
    if let Ok(Claimed::Rebuilt(_)) = claimed {
        attempts.wait = Some(wait);
    } else {
        tally::waited(&client.worker, pool, &exchange.answered.queued, wait.since);
    }
    claimed
}

async fn wait_for_turn(
    client: &mut Client,
    exchange: &Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    attempts: &Attempts,
    wait: &Wait,
) -> Result<Claimed, Failure> {
    let Client { worker, stream, deadline, .. } = client;
    let worker: &Worker = worker;
    let may_reuse = may_reuse(exchange, pool, attempts);
    let mut guard = Guarded::new(worker, deadline, exchange.idle_limit(), exchange.end());
    let now = worker.now();
    guard.limit(now, wait.until.since(now));
    loop {
        poll_fn(|cx| {
            if wait.place.poll_called(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(Failure::new(Kind::ClientGone, Progress::Unsent)));
            }
            guard.or_passed(cx, Poll::Pending).map(|passed| {
                passed.ok_or_else(|| {
                    if guard.transaction_is_over() {
                        return Failure::new(Kind::TransactionTimedOut, Progress::Unsent);
                    }
                    refused(worker, pool)
                })
            })
        })
        .await?;
        // A node may have joined: the pool of today is asked.
        if let Some(rebuilt) = worker.rebuilt(pool) {
            return Ok(Claimed::Rebuilt(rebuilt));
        }
        match look(worker, pool, session, attempts, may_reuse) {
            Look::Claimed(claimed) => return Ok(claimed),
            Look::Busy { .. } if worker.now() >= wait.until => return Err(refused(worker, pool)),
            Look::Busy { session_node } => wait.place.wait_again(session_node),
        }
    }
}
