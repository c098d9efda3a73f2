//! Rules of generic protocols: request rules on what the client has sent, response rules on every piece that the node says.

use std::{rc::Rc, sync::Arc};

use tidegate_pool::Node;
use tidegate_trafficscript::Answer as Given;

use super::{Ending, Verdict, body::MAX_TAKEN, stage::Stage, start};
use crate::{
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward::generic::settle,
    snapshot::RunningPool,
    tally,
    tcp::{
        self, Conversation,
        leg::Leg,
        talk::{Request, Rest},
    },
    virtual_server::Exchange,
};

/// What the request rules come to.
#[derive(Debug)]
pub(crate) enum Next {
    /// A node gets the request.
    Forward(Request),
    /// The client has been answered; this is what it has sent behind the request.
    Replied(Vec<u8>),
    /// The connection ends so.
    Close(Flow),
}

const TOO_LARGE: Given = Given::Refused("it is more than rules may hold");

/// Runs the request rules.
pub(crate) async fn request(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    conversation: &mut Conversation,
) -> Result<Next, Failure> {
    let server = Rc::clone(&exchange.server);
    tcp::absorb(client, exchange);
    if let Some(suspended) = start(&server.rules.request, client, exchange, &mut Stage::Request) {
        Box::pin(suspended.to_the_end(client, exchange, &mut Stage::Request)).await?;
    }
    match exchange.take_ending() {
        Some(Ending::Close { data, read }) => {
            Box::pin(settle(client, exchange, conversation)).await?;
            return Ok(Next::Close(close(client, exchange, data, read).await));
        }
        Some(_) => return Err(Failure::new(Kind::Discard, Progress::Unsent)),
        None => {}
    }
    let Some(talk) = &mut exchange.said_mut().talk else { return Ok(Next::Forward(Request::default())) };
    let (request, reply) = (talk.input.take(), talk.reply.take());
    let Some(reply) = reply else { return Ok(Next::Forward(request)) };
    Box::pin(settle(client, exchange, conversation)).await?;
    send(client, exchange, reply).await?;
    Ok(match request.rest {
        // What is still to come of it would be taken for the next one.
        Rest::More(_) => Next::Close(Flow::Linger),
        Rest::Whole | Rest::Unbounded => Next::Replied(request.behind),
    })
}

/// Runs the response rules on what the node has said. What they pass goes to the client with the next relaying.
pub(crate) async fn response(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    (pool, node): (&Arc<RunningPool>, &Arc<Node>),
    leg: &mut Leg,
    resendable: bool,
) -> Result<Verdict, Failure> {
    let server = Rc::clone(&exchange.server);
    hear(client, exchange, pool, leg);
    {
        let mut stage = Stage::Spoken { leg: &mut *leg, pool, node, resendable };
        if let Some(suspended) = start(&server.rules.response, client, exchange, &mut stage) {
            Box::pin(suspended.to_the_end(client, exchange, &mut stage)).await?;
        }
    }
    let ending = exchange.take_ending();
    let Some(talk) = &mut exchange.said_mut().talk else { return Ok(Verdict::GoOn) };
    let out = talk.output.take();
    let closes = std::mem::take(&mut talk.output.closes);
    match ending {
        None => {
            let n = leg.say(&client.worker, out, closes);
            exchange.answered.bytes += n;
            tally::moved(client, &exchange.server, 0, n);
            Ok(Verdict::GoOn)
        }
        Some(Ending::Retry) => Ok(Verdict::Retry),
        Some(Ending::Close { data, read }) => {
            Ok(Verdict::Answered(close(client, exchange, data, read).await))
        }
        Some(_) => Err(Failure::new(Kind::Discard, Progress::Answered)),
    }
}

/// Puts what the node has said before rules.
fn hear(client: &Client, exchange: &mut Exchange<'_>, pool: &RunningPool, leg: &mut Leg) {
    let Some(talk) = &mut exchange.said_mut().talk else { return };
    let taken = talk.output.held.absorb(&mut leg.buffer);
    if leg.ended {
        talk.output.held.finish();
    }
    tally::exchanged(client, pool, leg.node(), 0, taken as u64);
}

/// At least so many bytes of what the client sends, or all of it.
pub(super) async fn take_input(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    wanted: usize,
) -> Result<Given, Failure> {
    if wanted > MAX_TAKEN {
        return Ok(TOO_LARGE);
    }
    loop {
        tcp::absorb(client, exchange);
        let Some(talk) = &exchange.said_mut().talk else { return Ok(Given::Done) };
        if talk.input.held.is_finished() || talk.input.held.bytes().len() >= wanted {
            return Ok(Given::Done);
        }
        tcp::read_input(client, exchange).await?;
    }
}

/// At least so many bytes of what the node says, or all of it.
pub(super) async fn take_output(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &RunningPool,
    leg: &mut Leg,
    wanted: usize,
) -> Result<Given, Failure> {
    if wanted > MAX_TAKEN {
        return Ok(TOO_LARGE);
    }
    loop {
        hear(client, exchange, pool, leg);
        let Some(talk) = &exchange.said_mut().talk else { return Ok(Given::Done) };
        if talk.output.held.is_finished() || talk.output.held.bytes().len() >= wanted {
            return Ok(Given::Done);
        }
        leg.fill(client, exchange, pool).await.map_err(|kind| Failure::new(kind, leg.progress()))?;
    }
}

/// Sends what `response.flush` has left for the client.
pub(super) async fn flush(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    leg: &mut Leg,
) -> Result<Given, Failure> {
    let Some(talk) = &mut exchange.said_mut().talk else { return Ok(Given::Done) };
    let bytes = std::mem::take(&mut talk.output.flushed);
    if !bytes.is_empty() {
        leg.note_delivered();
        send(client, exchange, bytes).await?;
    }
    Ok(Given::Done)
}

/// Sends bytes of a rule's making.
async fn send(client: &mut Client, exchange: &mut Exchange<'_>, bytes: Vec<u8>) -> Result<(), Failure> {
    let mut out = client.worker.buffers.lend_output();
    let n = bytes.len() as u64;
    out.bytes = bytes;
    client.send(out, exchange).await.map_err(|kind| Failure::new(kind, Progress::Answered))?;
    exchange.answered.bytes += n;
    tally::moved(client, &exchange.server, 0, n);
    Ok(())
}

/// `connection.close`
async fn close(client: &mut Client, exchange: &mut Exchange<'_>, data: Vec<u8>, read: bool) -> Flow {
    let sent = send(client, exchange, data).await;
    if let Err(failure) = sent
        && !exchange.server.rules.completion.is_empty()
    {
        exchange.said_mut().failure = Some(failure);
    }
    if sent.is_ok() && read { Flow::Linger } else { Flow::Close }
}
