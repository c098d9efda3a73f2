//! A connection after `101 Switching Protocols`: bytes are relayed both ways, whatever they mean, until both
//! sides have finished or nothing has moved for `connection.timeout`.

use std::{future::poll_fn, sync::Arc, task::Poll};

use super::Answer;
use crate::{
    buffer::Output,
    connection::{Client, Flow},
    failure::Failure,
    relay::{BodyRelay, Framing, Guarded},
    snapshot::RunningPool,
    tally,
    virtual_server::Exchange,
};

pub(crate) async fn relay(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &RunningPool,
    answer: Answer,
    head: Output,
) -> Result<Flow, Failure> {
    let Answer { mut connection, mut buffer, sent, head_length, .. } = answer;
    // What the client sent behind its head belongs to the new protocol.
    let Client { worker, stream, deadline, buffer: from_client, .. } = client;
    let node = Arc::clone(connection.node());
    let mut guard = Guarded::new(worker, deadline, exchange.idle_limit(), None)
        .watch(&node, pool.settings.close_on_death);
    let mut up = BodyRelay::new(worker.buffers.lend_output(), Framing::UntilClose);
    let mut down = BodyRelay::new(head, Framing::UntilClose);
    let (mut up_done, mut down_done) = (false, false);
    // Half-close: the other direction may have more to say. A failure shows when it is read.
    let (mut node_told, mut client_told) = (false, false);
    tally::server(worker, &exchange.server).upgrades.add(1);
    guard.progress();
    poll_fn(|cx| {
        let mut moving = false;
        if !up_done {
            match up.poll(cx, stream, from_client, &mut connection.stream, &mut moving) {
                Poll::Ready(Ok(())) => up_done = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if !down_done {
            match down.poll(cx, &mut connection.stream, &mut buffer, stream, &mut moving) {
                Poll::Ready(Ok(())) => down_done = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if up_done && !node_told {
            node_told = connection.stream.poll_shutdown(cx).is_ready();
        }
        if down_done && !client_told {
            client_told = stream.poll_shutdown(cx).is_ready();
        }
        if up_done && down_done {
            return Poll::Ready(());
        }
        if moving {
            guard.progress();
        }
        guard.or_passed(cx, Poll::<()>::Pending).map(|_| ())
    })
    .await;
    exchange.answered.bytes = down.moved;
    exchange.answered.bytes_in = up.moved;
    tally::exchanged(client, pool, &node, sent + up.moved, head_length as u64 + down.moved);
    Ok(Flow::Close)
}
