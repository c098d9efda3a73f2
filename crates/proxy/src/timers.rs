//! Deadlines without a timer per wait.
//!
//! Every connection owns one [`Deadline`]: arming it is a store into a cell. A task of the worker sweeps all
//! deadlines every [`SWEEP`] and wakes the connections whose time has passed. A deadline therefore fires up to
//! one sweep late, which no setting (whole seconds) can tell, and costs nothing while requests flow.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;
use tidegate_model::Moment;

/// How often deadlines are looked at.
pub(crate) const SWEEP: Duration = Duration::from_millis(100);

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Timers(RefCell<Slab<Rc<Entry>>>);

#[derive(Debug)]
struct Entry {
    /// Milliseconds; `u64::MAX` = not armed.
    at: Cell<u64>,
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Woken by every sweep.
    restless: Cell<bool>,
    /// Woken when nodes are gone: a request is in flight.
    in_flight: Cell<bool>,
    /// Until when the connection waits for what is not its to give, milliseconds.
    held_until: Cell<u64>,
    /// Whether a sweep has passed since the request in flight began to wait.
    waited: Cell<Waited>,
}

/// How long a request in flight has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// There is none.
    Off,
    /// Less than a sweep.
    Little,
    /// A sweep has passed.
    Long,
}

impl Timers {
    /// A new deadline, not armed.
    pub(crate) fn deadline(self: &Rc<Self>) -> Deadline {
        let entry = Rc::new(Entry {
            at: Cell::new(u64::MAX),
            fired: Cell::new(false),
            waker: RefCell::new(None),
            restless: Cell::new(false),
            in_flight: Cell::new(false),
            held_until: Cell::new(0),
            waited: Cell::new(Waited::Off),
        });
        let key = self.0.borrow_mut().insert(Rc::clone(&entry));
        Deadline { timers: Rc::clone(self), entry, key }
    }

    /// Fires every deadline that has passed.
    pub(crate) fn sweep(&self, now: Moment) {
        self.fire(|entry| entry.at.get() <= now.0);
    }

    /// Wakes every connection so that it looks at the worker's state again, as when draining begins.
    pub(crate) fn wake_all(&self) {
        for (_, entry) in self.0.borrow().iter() {
            if let Some(waker) = entry.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Wakes every connection with a request in flight, so that it looks whether its node is gone.
    pub(crate) fn wake_in_flight(&self) {
        for (_, entry) in self.0.borrow().iter().filter(|(_, entry)| entry.in_flight.get()) {
            if let Some(waker) = entry.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    fn fire(&self, due: impl Fn(&Entry) -> bool) {
        for (_, entry) in self.0.borrow().iter() {
            let due = !entry.fired.get() && due(entry);
            if due {
                entry.fired.set(true);
            }
            let long = entry.waited.get() == Waited::Little;
            if long {
                entry.waited.set(Waited::Long);
            }
            if (due || long || entry.restless.get())
                && let Some(waker) = entry.waker.borrow().as_ref()
            {
                waker.wake_by_ref();
            }
        }
    }
}

/// One connection's deadline. Dropping it takes it out of the sweep.
#[derive(Debug)]
pub(crate) struct Deadline {
    timers: Rc<Timers>,
    entry: Rc<Entry>,
    key: usize,
}

impl Deadline {
    /// Sets or moves the deadline; `None` disarms it.
    pub(crate) fn arm(&self, at: Option<Moment>) {
        self.entry.at.set(at.map_or(u64::MAX, |moment| moment.0));
        self.entry.fired.set(false);
    }

    /// Whether the connection has a request at a node, and whether every sweep wakes it because it watches the
    /// node's health.
    pub(crate) fn watch_node(&self, in_flight: bool, restless: bool) {
        self.entry.in_flight.set(in_flight);
        self.entry.waited.set(if in_flight { Waited::Little } else { Waited::Off });
        self.entry.restless.set(restless);
    }

    /// Whether the request in flight has waited long enough for its client to be watched. The first sweep that finds
    /// it waiting wakes it for that; requests that are answered quickly never come so far.
    pub(crate) fn has_waited(&self) -> bool {
        self.entry.waited.get() == Waited::Long
    }

    /// For somebody who sometimes waits for what is not the connection's to give.
    pub(crate) fn hold(&self) -> Hold {
        Hold(Rc::clone(&self.entry))
    }

    /// Whether a [`Hold`] is on: that nothing moves is not idleness.
    pub(crate) fn is_held(&self, now: Moment) -> bool {
        self.entry.held_until.get() > now.0
    }

    /// Ready once the armed deadline has passed. Keeps the waker for the sweep.
    pub(crate) fn poll_passed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.entry.fired.get() {
            return Poll::Ready(());
        }
        let mut slot = self.entry.waker.borrow_mut();
        match &mut *slot {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            other => *other = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// A wait that is no idleness of a connection. It ends by itself: who waits on says so again.
#[derive(Debug)]
pub(crate) struct Hold(Rc<Entry>);

impl Hold {
    /// Waits until `moment`, and the sweeps that may be late.
    pub(crate) fn until(&self, moment: Moment) {
        let until = moment.after(LATE);
        self.0.held_until.set(self.0.held_until.get().max(until.0));
    }
}

/// How late a sweep may come to somebody who waits, at most.
const LATE: Duration = SWEEP.saturating_mul(3);

impl Drop for Deadline {
    fn drop(&mut self) {
        self.timers.0.borrow_mut().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn fires_when_swept_after_its_moment_and_not_before() {
        let timers = Rc::new(Timers::default());
        let deadline = timers.deadline();
        let mut cx = Context::from_waker(Waker::noop());
        deadline.arm(Some(Moment(500)));
        timers.sweep(Moment(499));
        assert_eq!(deadline.poll_passed(&mut cx), Poll::Pending);
        timers.sweep(Moment(500));
        assert_eq!(deadline.poll_passed(&mut cx), Poll::Ready(()));
        deadline.arm(None);
        timers.sweep(Moment(u64::MAX - 1));
        assert_eq!(deadline.poll_passed(&mut cx), Poll::Pending);
    }

    #[test]
    fn a_request_that_waits_is_told_by_the_first_sweep() {
        let timers = Rc::new(Timers::default());
        let deadline = timers.deadline();
        timers.sweep(Moment(0));
        assert!(!deadline.has_waited());
        deadline.watch_node(true, false);
        assert!(!deadline.has_waited());
        timers.sweep(Moment(100));
        assert!(deadline.has_waited());
        deadline.watch_node(false, false);
        timers.sweep(Moment(200));
        assert!(!deadline.has_waited());
    }

    #[test]
    fn holds_end_by_themselves() {
        let timers = Rc::new(Timers::default());
        let deadline = timers.deadline();
        let (one, other) = (deadline.hold(), deadline.hold());
        assert!(!deadline.is_held(Moment(0)));
        one.until(Moment(1000));
        other.until(Moment(200));
        assert!(deadline.is_held(Moment(1000)));
        assert!(!deadline.is_held(Moment(1000).after(LATE)));
    }

    #[test]
    fn dropping_a_deadline_frees_its_place() {
        let timers = Rc::new(Timers::default());
        drop(timers.deadline());
        assert!(timers.0.borrow().is_empty());
    }
}
