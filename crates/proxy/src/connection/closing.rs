//! How a client connection ends. In: what its last request has left of it ([`Flow`]). Out: a FIN behind everything that the
//! client was sent, or a reset.

use std::{future::poll_fn, task::Poll, time::Duration};

use super::{Client, Flow};
use crate::{aside::aside, buffer::BUFFER};

/// How long a closing connection reads what the client is still sending, or waits for a client that takes nothing more
/// of its answer.
const LINGER: Duration = Duration::from_secs(2);

/// How long a closing connection over TLS tries to say so (close_notify).
const FAREWELL: Duration = Duration::from_secs(1);

/// Pauses between looks whether a client has taken its answer: the first, and the longest.
const DELIVERY_LOOK: Duration = Duration::from_millis(1);
const DELIVERY_LOOK_MOST: Duration = Duration::from_millis(50);

/// How much a closing connection reads at most.
const LINGER_BYTES: usize = 1024 * 1024;

impl Client {
    /// Waits until the client has acknowledged every byte, as long as it goes on doing so. A reset would throw away
    /// what it has not.
    async fn delivered(&mut self) {
        let mut pause = DELIVERY_LOOK;
        let mut least = u32::MAX;
        let mut until = self.worker.now().after(LINGER);
        // The system says nothing when the last byte is acknowledged: it is asked, ever more rarely.
        while let Some(Ok(left)) = self.stream.socket().map(|socket| socket.undelivered())
            && left > 0
        {
            let now = self.worker.now();
            if left < least {
                least = left;
                until = now.after(LINGER);
            } else if now >= until {
                self.server.counters.shard(self.worker.index).resets_undelivered.add(1);
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(DELIVERY_LOOK_MOST);
        }
    }

    /// Ends the connection. Closing a socket with unread bytes sends RST, which can destroy an answer the
    /// client has not read yet: such a connection sends FIN first and drains for a short while.
    pub(super) async fn close(mut self: Box<Self>, flow: Flow) {
        if self.server.settings.close_with_rst || flow == Flow::Abort {
            if flow != Flow::Abort {
                aside(self.delivered()).await;
            }
            if let Some(socket) = self.stream.socket() {
                socket.reset_on_close();
            }
            return;
        }
        let unread = flow == Flow::Linger || self.stream.socket().is_some_and(|socket| socket.has_unread());
        if !unread && !self.is_tls() {
            return; // Dropping the socket sends FIN.
        }
        self.deadline.arm(Some(self.worker.now().after(if unread { LINGER } else { FAREWELL })));
        let Self { worker, stream, deadline, .. } = &mut *self;
        let mut scratch = worker.buffers.lend();
        let mut finished = false;
        let mut budget = LINGER_BYTES;
        poll_fn(|cx| {
            if !finished {
                match stream.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => finished = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll_passed(cx),
                }
            }
            while unread && budget > 0 {
                match stream.poll_read(cx, scratch.room(BUFFER)) {
                    Poll::Ready(Ok(n)) if n > 0 => budget = budget.saturating_sub(n),
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll_passed(cx),
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}
