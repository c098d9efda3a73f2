//! Where requests sleep when every node is at its limit (`max_connections_per_node`,
//! `max_transactions_per_node`): one queue per pool, first come first served whichever worker a request is on.
//!
//! A released place calls the first in the queue. One that cannot use it (its session belongs to another node)
//! passes the call on to the next. How many may wait is the pool's business
//! ([`tidegate_pool::Pool::enter_queue`]). Nothing here is touched while no limit is set.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tidegate_pool::{Node, Releases};

/// Requests waiting for a node, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    length: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, Caller>,
}

#[derive(Debug, Default)]
struct Caller {
    waker: Option<Waker>,
    called: bool,
    /// Another place was released after the call and nobody else was there to be called.
    again: bool,
}

impl Queue {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// A place at the end. The first in the queue counts as called.
    pub(crate) fn join(&self) -> Place<'_> {
        let mut waiting = self.lock();
        let ticket = waiting.next;
        waiting.next += 1;
        let called = waiting.places.is_empty();
        waiting.places.insert(ticket, Caller { called, ..Caller::default() });
        self.length.store(waiting.places.len(), Ordering::Release);
        Place { queue: self, ticket }
    }

    fn call_after(&self, ticket: Option<u64>) {
        let waker = {
            let mut waiting = self.lock();
            let from = ticket.map_or(0, |ticket| ticket + 1);
            if let Some((_, caller)) = waiting.places.range_mut(from..).find(|(_, caller)| !caller.called) {
                caller.called = true;
                caller.waker.take()
            } else {
                // Everybody is about to look, and may have looked just before the release.
                if let Some((_, caller)) = waiting.places.range_mut(from..).next() {
                    caller.again = true;
                }
                None
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The books are updated in single statements: a panic elsewhere cannot leave them half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Releases for Queue {
    /// A node has room again: calls the first in the queue.
    fn released(&self, _node: &Node) {
        self.call_after(None);
    }
}

/// A place in the queue. Dropping it leaves the queue and lets the next one try.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    queue: &'a Queue,
    ticket: u64,
}

impl Place<'_> {
    /// Ready when it is this request's turn to try.
    pub(crate) fn poll_called(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.queue.lock();
        let Some(caller) = waiting.places.get_mut(&self.ticket) else { return Poll::Ready(()) };
        if caller.called {
            return Poll::Ready(());
        }
        caller.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// There was no room for this request: it waits for the next call. `others` = somebody else might have use
    /// for the room that was released.
    pub(crate) fn wait_again(&self, others: bool) {
        if let Some(caller) = self.queue.lock().places.get_mut(&self.ticket) {
            caller.called = std::mem::take(&mut caller.again);
        }
        if others {
            self.queue.call_after(Some(self.ticket));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.places.remove(&self.ticket);
        self.queue.length.store(waiting.places.len(), Ordering::Release);
        drop(waiting);
        self.queue.call_after(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(place: &Place<'_>) -> bool {
        place.poll_called(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn places_are_called_in_order_of_arrival() {
        let queue = Queue::default();
        let first = queue.join();
        let second = queue.join();
        let third = queue.join();
        first.wait_again(false);
        assert!(!called(&first) && !called(&second));
        queue.call_after(None);
        assert!(called(&first) && !called(&second) && !called(&third));
        drop(first);
        assert!(called(&second) && !called(&third));
    }

    #[test]
    fn a_release_between_look_and_sleep_is_not_lost() {
        let queue = Queue::default();
        let only = queue.join();
        assert!(called(&only));
        // It looks, finds no room; now a place is released; then it says so.
        queue.call_after(None);
        only.wait_again(false);
        assert!(called(&only));
        only.wait_again(false);
        assert!(!called(&only));
    }

    #[test]
    fn a_call_that_is_of_no_use_is_passed_on() {
        let queue = Queue::default();
        let first = queue.join();
        let second = queue.join();
        first.wait_again(true);
        assert!(!called(&first) && called(&second));
    }

    #[test]
    fn a_place_is_left_by_dropping_it() {
        let queue = Queue::default();
        let first = queue.join();
        assert_eq!(queue.len(), 1);
        drop(first);
        assert_eq!(queue.len(), 0);
    }
}
