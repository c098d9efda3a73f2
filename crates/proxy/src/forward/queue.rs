//! Where requests sleep when every node is at its limit (`max_connections_per_node`,
//! `max_transactions_per_node`): one queue per pool, first come first served whichever worker a request is on.
//!
//! A released place calls the first in the queue. One that cannot use it (its session belongs to another node)
//! passes the call on to the next, and holds up nobody who would take any node. How many may wait is the pool's business
//! ([`tidegate_pool::Pool::enter_queue`]). Nothing here is touched while no limit is set.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    /// Places whose requests would take any node.
    free: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, Caller>,
    /// How many of them are not bound.
    free: usize,
}

#[derive(Debug, Default)]
struct Caller {
    waker: Option<Waker>,
    called: bool,
    /// The request waits for the node of its session and for no other.
    bound: bool,
    /// Another place was released after the call and nobody else was there to be called.
    again: bool,
}

impl Queue {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Whether somebody waits for any node, and so comes before a new request. Those who wait for the node of their
    /// session hold up nobody.
    pub(crate) fn comes_first(&self) -> bool {
        self.free.load(Ordering::Acquire) > 0
    }

    /// A place at the end. Who has nobody before it that would take any node counts as called.
    pub(crate) fn join(self: &Arc<Self>) -> Place {
        let mut waiting = self.lock();
        let ticket = waiting.next;
        waiting.next += 1;
        let called = !self.comes_first();
        waiting.places.insert(ticket, Caller { called, ..Caller::default() });
        waiting.free += 1;
        self.tell(&waiting);
        drop(waiting);
        Place { queue: Arc::clone(self), ticket }
    }

    /// Makes the counts known to those who look without the lock.
    fn tell(&self, waiting: &Waiting) {
        self.length.store(waiting.places.len(), Ordering::Release);
        self.free.store(waiting.free, Ordering::Release);
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
pub(crate) struct Place {
    queue: Arc<Queue>,
    ticket: u64,
}

impl Place {
    /// Whether it is a place in `queue`.
    pub(crate) fn is_in(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

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

    /// There was no room for this request: it waits for the next call. `bound` = it waits for the node of its
    /// session, and somebody else might have use for the room that was released.
    pub(crate) fn wait_again(&self, bound: bool) {
        let mut waiting = self.queue.lock();
        if let Some(caller) = waiting.places.get_mut(&self.ticket) {
            caller.called = std::mem::take(&mut caller.again);
            let was_bound = std::mem::replace(&mut caller.bound, bound);
            waiting.free = waiting.free + usize::from(was_bound) - usize::from(bound);
            self.queue.tell(&waiting);
        }
        drop(waiting);
        if bound {
            self.queue.call_after(Some(self.ticket));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        if waiting.places.remove(&self.ticket).is_some_and(|caller| !caller.bound) {
            waiting.free -= 1;
        }
        self.queue.tell(&waiting);
        drop(waiting);
        self.queue.call_after(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(place: &Place) -> bool {
        place.poll_called(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn places_are_called_in_order_of_arrival() {
        let queue = Arc::new(Queue::default());
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
        let queue = Arc::new(Queue::default());
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
        let queue = Arc::new(Queue::default());
        let first = queue.join();
        let second = queue.join();
        first.wait_again(true);
        assert!(!called(&first) && called(&second));
    }

    #[test]
    fn who_waits_for_its_session_holds_up_nobody() {
        let queue = Arc::new(Queue::default());
        let first = queue.join();
        assert!(queue.comes_first());
        first.wait_again(true);
        assert!(!queue.comes_first() && called(&queue.join()));
    }

    #[test]
    fn a_place_is_left_by_dropping_it() {
        let queue = Arc::new(Queue::default());
        let first = queue.join();
        assert_eq!(queue.len(), 1);
        drop(first);
        assert_eq!(queue.len(), 0);
    }
}
