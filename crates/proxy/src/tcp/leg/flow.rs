//! How the bytes of a leg move: copied while they are few, inside the kernel once they are many and both ends are plain. In:
//! two streams and what was read of them; out: bytes at the other one, always in their order.

use std::task::{Context, Poll, ready};

use super::Leg;
use crate::{
    buffer::Buffer,
    relay::{
        BodyRelay, RelayError,
        splice::{Broken, Pipes, both::Pump},
    },
    stream::Stream,
};

/// So many bytes of one direction are copied before the kernel is left to move the rest: conversations of a few lines are
/// cheaper copied.
pub(super) const WORTH_PUMPING: u64 = 256 * 1024;

/// Both directions inside the kernel.
#[derive(Debug, Default)]
pub(super) struct Pumps {
    pub(super) up: Pump,
    pub(super) down: Pump,
}

impl Leg {
    /// Moves what there is of the request.
    pub(super) fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        (client, from_client): (&mut Stream, &mut Buffer),
        pipes: &Pipes,
        moving: &mut bool,
    ) -> Poll<Result<(), RelayError>> {
        let node = &mut self.connection.stream;
        if let Some(pumps) = &mut self.pumps
            && pumps.up.has_unwritten()
        {
            ready!(empty(cx, &mut pumps.up, &mut self.up, node, moving))?;
        }
        if self.unbounded
            && self.up.moved >= WORTH_PUMPING
            && !self.up.has_unwritten()
            && from_client.is_empty()
            // What is read is not limited.
            && let (Stream::Plain(source), Stream::Plain(sink)) = (client.unlimited_mut(), &mut *node)
        {
            let pump = &mut self.pumps.get_or_insert_default().up;
            let mut moved = 0;
            let polled = pump.poll(cx, pipes, source, sink, &mut moved);
            self.up.spliced(moved);
            *moving |= moved > 0;
            match polled {
                Poll::Ready(Err(Broken::NoPipe)) => {}
                other => return other.map_err(|why| broken(&why)),
            }
        }
        self.up.poll(cx, client, from_client, node, moving)
    }

    /// Moves what there is of the answer.
    pub(super) fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        pipes: &Pipes,
        moving: &mut bool,
    ) -> Poll<Result<(), RelayError>> {
        let node = &mut self.connection.stream;
        if let Some(pumps) = &mut self.pumps
            && pumps.down.has_unwritten()
        {
            ready!(empty(cx, &mut pumps.down, &mut self.down, client, moving))?;
        }
        if self.down.moved >= WORTH_PUMPING
            && !self.down.has_unwritten()
            && self.buffer.is_empty()
            && let (Stream::Plain(source), Stream::Plain(sink)) = (node.unlimited_mut(), &mut *client)
        {
            let pump = &mut self.pumps.get_or_insert_default().down;
            let mut moved = 0;
            let polled = pump.poll(cx, pipes, source, sink, &mut moved);
            self.down.spliced(moved);
            *moving |= moved > 0;
            match polled {
                Poll::Ready(Err(Broken::NoPipe)) => {}
                other => return other.map_err(|why| broken(&why)),
            }
        }
        self.down.poll(cx, node, &mut self.buffer, client, moving)
    }
}

/// Writes what `pump` holds before anything else goes to `sink`, even if that has come under a bandwidth class in the
/// meantime: it was taken before.
fn empty(
    cx: &mut Context<'_>,
    pump: &mut Pump,
    relay: &mut BodyRelay,
    sink: &mut Stream,
    moving: &mut bool,
) -> Poll<Result<(), RelayError>> {
    let Stream::Plain(sink) = sink.unlimited_mut() else {
        return Poll::Ready(Err(broken(&Broken::Destination)));
    };
    let mut moved = 0;
    let polled = pump.poll_empty(cx, sink, &mut moved);
    relay.spliced(moved);
    *moving |= moved > 0;
    polled.map_err(|why| broken(&why))
}

fn broken(broken: &Broken) -> RelayError {
    match broken {
        Broken::Destination => RelayError::Sink(std::io::ErrorKind::BrokenPipe.into()),
        Broken::Source | Broken::TimedOut | Broken::NoPipe => RelayError::Source,
    }
}
