//! What a suspended rule waits for, fetched: bodies, time, names, other servers, places in rate classes. Only the request
//! that runs the rule waits; its time limits go on.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use tidegate_trafficscript::{Answer as Given, Need, host::Side};

use super::{body, seen::Stage, stream};
use crate::{
    connection::Client,
    failure::{Failure, Kind, Progress},
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
            Stage::Request => body::take_request(client, exchange, wanted).await,
            _ => Ok(Given::Refused("the request's body can be read in request rules only")),
        },
        Need::Body(Side::Response, wanted) => match stage {
            Stage::Response { answer, .. } => body::take_response(client, exchange, answer, wanted).await,
            _ => Ok(Given::Refused("the response's body can be read in response rules only")),
        },
        Need::Read { most, delimiter, bulk } => match stage {
            Stage::Response { answer, .. } => {
                stream::read(client, exchange, answer, (most, &delimiter, bulk)).await
            }
            _ => Ok(Given::Piece(Vec::new())),
        },
        Need::Write(piece) => stream::write(client, exchange, &piece).await,
        Need::Sleep(_) | Need::Fetch(_) | Need::Resolve(..) | Need::ResolveAddress(_) | Need::Rate { .. } => {
            let shared = &client.worker.shared;
            let answer = shared.services.answer(&need, || shared.now());
            Ok(within(client, exchange, answer).await?.unwrap_or(Given::Done))
        }
    }
}

/// Waits for `work`, within the limits of the transaction.
async fn within<T>(
    client: &Client,
    exchange: &Exchange<'_>,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let guard = client.guard(exchange);
    client.deadline.arm(exchange.end());
    let done = poll_fn(|cx| {
        let polled = work.as_mut().poll(cx);
        guard.or_passed(cx, polled)
    })
    .await;
    done.ok_or_else(|| Failure::new(Kind::TransactionTimedOut, Progress::Unsent))
}
