//! One direction of a long conversation between plain sockets, moved inside the kernel as long as bytes are there. Between
//! them no pipe is held: thousands of quiet connections hold none.

use std::{
    io,
    os::fd::AsFd,
    task::{Context, Poll, ready},
};

use tokio::io::Interest;

use super::{Broken, PIPE_SIZE, Pipe, Pipes, transfer};
use crate::socket::Socket;

/// Times that a pipe is filled before others have their turn.
const ROUNDS: usize = 16;

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    inside: usize,
}

impl Pump {
    /// Whether bytes have been taken and not given.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.inside > 0
    }

    /// Moves what can be moved now and adds it to `moved`. Ready when the source has finished and all is written.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pipes: &Pipes,
        source: &mut Socket,
        sink: &mut Socket,
        moved: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..ROUNDS {
            ready!(self.poll_empty(cx, sink, moved))?;
            let Some(pipe) = self.pipe.take().or_else(|| pipes.take().ok()) else {
                return Poll::Ready(Err(Broken::NoPipe));
            };
            let taken =
                source.poll_io(cx, Interest::READABLE, |fd| transfer(fd, pipe.write.as_fd(), PIPE_SIZE));
            match taken {
                Poll::Pending => {
                    pipes.give_back(pipe);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => {
                    pipes.give_back(pipe);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(n)) => {
                    self.inside = n;
                    self.pipe = Some(pipe);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what has been taken and adds it to `moved`. Ready when all of it is written.
    pub(crate) fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut Socket,
        moved: &mut u64,
    ) -> Poll<Result<(), Broken>> {
        while self.inside > 0
            && let Some(pipe) = &self.pipe
        {
            let inside = self.inside;
            let given = match transfer(pipe.read.as_fd(), sink.as_fd(), inside) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(sink.poll_io(cx, Interest::WRITABLE, |fd| transfer(pipe.read.as_fd(), fd, inside)))
                }
                outcome => outcome,
            };
            match given {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Destination)),
                Ok(n) => {
                    self.inside -= n;
                    *moved += n as u64;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
