//! What a suspended rule waits for, fetched: bodies, time, names, other servers, directories, sockets of its own, places in
//! rate classes. Only the request that runs the rule waits; its time limits go on.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};

use tidegate_model::virtual_server::Protocol;
use tidegate_trafficscript::{Answer as Given, Need, host::Side};

use super::{body, generic, stage::Stage, stream};
use crate::{
    connection::Client,
    failure::{Failure, Kind, Progress},
    relay::Guarded,
    virtual_server::Exchange,
};

/// Gets what a rule needs. A failure ends the request, not only the rule.
pub(super) async fn fulfil(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    stage: &mut Stage<'_>,
    need: Need,
) -> Result<Given, Failure> {
    match need {
        Need::Body(Side::Request, wanted) => match stage {
            Stage::Request if exchange.server.settings.protocol != Protocol::Http => {
                generic::take_input(client, exchange, wanted).await
            }
            Stage::Request => body::take_request(client, exchange, wanted).await,
            _ => Ok(Given::Refused("the request's body can be read in request rules only")),
        },
        Need::Body(Side::Response, wanted) => match stage {
            Stage::Response { answer, .. } => body::take_response(client, exchange, answer, wanted).await,
            Stage::Spoken { leg, pool, .. } => {
                generic::take_output(client, exchange, pool, leg, wanted).await
            }
            _ => Ok(Given::Refused("the response's body can be read in response rules only")),
        },
        Need::Read { most, delimiter, bulk } => match stage {
            Stage::Response { answer, .. } => {
                stream::read(client, exchange, answer, (most, &delimiter, bulk)).await
            }
            _ => Ok(Given::Piece(Vec::new())),
        },
        Need::Write(_) if let Stage::Spoken { leg, .. } = stage => {
            generic::flush(client, exchange, leg).await
        }
        Need::Write(piece) => stream::write(client, exchange, &piece).await,
        Need::Talk(talk) => {
            let worker = Rc::clone(&client.worker);
            let mut sockets = std::mem::take(&mut exchange.said_mut().sockets);
            let talking = Box::pin(worker.shared.services.talker.talk(&mut sockets, &talk));
            let heard = within(client, exchange, talking).await;
            exchange.said_mut().sockets = sockets;
            heard.map(Given::Heard)
        }
        Need::Sleep(_)
        | Need::Fetch(_)
        | Need::Directory(_)
        | Need::Resolve(..)
        | Need::ResolveAny(_)
        | Need::ResolveAddress(_)
        | Need::Rate { .. } => {
            let worker = Rc::clone(&client.worker);
            let shared = &worker.shared;
            let peer = exchange.said().and_then(|said| said.client_before).unwrap_or(client.peer);
            let answer = shared.services.answer(&need, peer, || shared.now());
            Ok(within(client, exchange, answer).await?.unwrap_or(Given::Done))
        }
    }
}

/// Waits for `work`, within `connection.timeout` and the limits of the transaction, and while the client is there. A client
/// that has only finished sending is: it waits for its answer.
async fn within<T>(
    client: &mut Client,
    exchange: &Exchange<'_>,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let Client { worker, stream, deadline, .. } = client;
    let mut guard = Guarded::new(worker, deadline, exchange.idle_limit(), exchange.end());
    // Nothing moves while a rule waits: `connection.timeout` runs from here.
    guard.progress();
    // As at a node: the client is watched once the wait has lasted for a while.
    deadline.watch_node(true, false);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        let over = |kind| Poll::Ready(Err(Failure::new(kind, Progress::Unsent)));
        if guard.lost_client(cx, stream) {
            return over(Kind::ClientGone);
        }
        match deadline.poll_passed(cx) {
            Poll::Ready(()) => over(Kind::RuleTimedOut),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
