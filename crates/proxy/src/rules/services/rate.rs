//! Rate classes: `rate.use`, `rate.use.noQueue`, `rate.getbacklog`.
//!
//! In: the classes of the configuration with their limits, the name of a class, a context, the time. Out: whether a
//! request may go on, or a future that is ready when it may. A class is one for all workers; its contexts are counted
//! apart. Who waits is served in order of arrival, and one that does not wait never overtakes those who do.
//!
//! `window` decides. The first in a queue sleeps until the moment the decision names, everyone else until woken; whoever
//! looks at a queue lets pass all that may, whichever worker they are on, so that no wake-up depends on one worker.

mod window;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as Task, Poll, Waker},
};

use arc_swap::ArcSwap;
use slab::Slab;
use tidegate_model::Moment;
use tidegate_trafficscript::host::RateVerdict;
use tokio::time::Sleep;

pub(crate) use self::window::Limits;
use self::window::Meter;

/// Most contexts of a class that are counted apart. Above, those that nothing has passed lately are forgotten; when
/// there are none, further contexts are counted together (counted).
pub(crate) const MOST_CONTEXTS: usize = 16_384;

/// Most requests that wait in a class, all contexts together.
pub(crate) const MOST_WAITING: usize = 16_384;

/// Contexts that are looked at for each new one, whether they can be forgotten.
const FORGET_STEPS: usize = 4;

/// Place of the context that all contexts above [`MOST_CONTEXTS`] share.
const COMMON: usize = 0;

/// The rate classes of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    classes: ArcSwap<HashMap<Box<[u8]>, Arc<Class>>>,
}

/// A rate class as it runs.
pub(crate) struct Class {
    hasher: RandomState,
    state: Mutex<State>,
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class").field("counters", &self.lock().counters).finish_non_exhaustive()
    }
}

/// Counters of a class since it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateCounters {
    /// Requests that asked.
    pub(crate) entered: u64,
    /// Requests that went on.
    pub(crate) left: u64,
    /// Requests that were over the limit and did not wait, found the queue full, or gave up waiting.
    pub(crate) dropped: u64,
    /// Requests that wait now.
    pub(crate) waiting: usize,
    /// Contexts that are counted apart now.
    pub(crate) contexts: usize,
    /// Contexts forgotten since nothing had passed lately.
    pub(crate) forgotten: u64,
    /// Requests whose context had to be counted together with others.
    pub(crate) together: u64,
}

/// A class at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) name: String,
    pub(crate) limits: Limits,
    /// See [`Class::current_rate`].
    pub(crate) current: u64,
    pub(crate) counters: RateCounters,
}

/// [`MOST_WAITING`] requests wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

struct State {
    limits: Limits,
    /// The class is not in the configuration any more: nobody waits.
    closed: bool,
    places: HashMap<u64, usize>,
    contexts: Slab<Context>,
    /// Where the search for contexts to forget goes on.
    hand: usize,
    next_ticket: u64,
    counters: RateCounters,
    /// Of all contexts, for the test of many workers.
    #[cfg(test)]
    decisions: Vec<Moment>,
}

struct Context {
    /// Hash of its name.
    key: u64,
    meter: Meter,
    /// Who waits, by ticket; the waker is there once it has been polled.
    queue: BTreeMap<u64, Option<Waker>>,
    /// Lower tickets have passed.
    served: u64,
}

impl Rates {
    /// These are the classes now. Those that were there keep what they have counted; changed limits apply to
    /// requests that wait; requests that wait in a class that is gone go on as with an unknown class.
    pub(crate) fn apply<'a>(&self, classes: impl IntoIterator<Item = (&'a str, Limits)>, now: Moment) {
        let before = self.classes.load();
        let mut after = HashMap::new();
        for (name, limits) in classes {
            let class = before.get(name.as_bytes()).cloned().unwrap_or_default();
            class.set_limits(limits, now);
            after.insert(name.as_bytes().into(), class);
        }
        let gone: Vec<Arc<Class>> = before
            .iter()
            .filter(|(name, _)| !after.contains_key(*name))
            .map(|(_, class)| class.clone())
            .collect();
        self.classes.store(Arc::new(after));
        for class in gone {
            class.close();
        }
    }

    /// A class by name.
    pub(crate) fn class(&self, name: &[u8]) -> Option<Arc<Class>> {
        self.classes.load().get(name).cloned()
    }

    /// `rate.use.noQueue`
    pub(crate) fn try_pass(&self, class: &[u8], context: &[u8], now: Moment) -> RateVerdict {
        match self.classes.load().get(class) {
            None => RateVerdict::NoClass,
            Some(class) if class.try_pass(context, now) => RateVerdict::Within,
            Some(_) => RateVerdict::Over,
        }
    }

    /// `rate.getbacklog`
    pub(crate) fn backlog(&self, class: &[u8], context: &[u8]) -> Option<u32> {
        Some(self.classes.load().get(class)?.backlog(context))
    }

    /// Every class, by name.
    pub(crate) fn observe(&self, now: Moment) -> Vec<Observed> {
        let classes = self.classes.load();
        let mut observed: Vec<_> = classes
            .iter()
            .map(|(name, class)| {
                // A statement of its own: the lock is free again behind it.
                let limits = class.lock().limits;
                Observed {
                    name: String::from_utf8_lossy(name).into_owned(),
                    limits,
                    current: class.current_rate(now),
                    counters: class.counters(),
                }
            })
            .collect();
        observed.sort_by(|a, b| a.name.cmp(&b.name));
        observed
    }
}

impl Default for Class {
    fn default() -> Self {
        let mut contexts = Slab::new();
        // The first place is COMMON.
        contexts.insert(Context::new(0, 0));
        let state = State {
            limits: Limits::default(),
            closed: false,
            places: HashMap::new(),
            contexts,
            hand: COMMON,
            next_ticket: 0,
            counters: RateCounters::default(),
            #[cfg(test)]
            decisions: Vec::new(),
        };
        Self { hasher: RandomState::new(), state: Mutex::new(state) }
    }
}

impl Class {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_limits(&self, limits: Limits, now: Moment) {
        let mut state = self.lock();
        if state.limits == limits {
            return;
        }
        state.limits = limits;
        let mut wakers = Vec::new();
        let queued: Vec<usize> = state
            .contexts
            .iter()
            .filter(|(_, context)| !context.queue.is_empty())
            .map(|(place, _)| place)
            .collect();
        for place in queued {
            state.serve(place, now, &mut wakers);
            // The first goes by the old limits still.
            wakers.extend(state.contexts[place].first_waker());
        }
        drop(state);
        wake(wakers);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let queues = state.contexts.iter_mut().map(|(_, context)| std::mem::take(&mut context.queue));
        let wakers: Vec<Waker> = queues.flat_map(BTreeMap::into_values).flatten().collect();
        state.counters.waiting = 0;
        drop(state);
        wake(wakers);
    }

    /// Lets one request pass if it may at once.
    pub(crate) fn try_pass(&self, context: &[u8], now: Moment) -> bool {
        let key = self.hasher.hash_one(context);
        let mut state = self.lock();
        let place = state.place(key, now);
        let mut wakers = Vec::new();
        state.serve(place, now, &mut wakers);
        let limits = state.limits;
        let context = &mut state.contexts[place];
        let passes = context.queue.is_empty() && context.meter.pass(limits, now).is_ok();
        state.counters.entered += 1;
        if passes {
            state.counters.left += 1;
        } else {
            state.counters.dropped += 1;
        }
        drop(state);
        wake(wakers);
        passes
    }

    /// A place in the queue of the context, to be awaited: true = go on, false = the class is gone. Dropping it leaves
    /// the queue. `clock` is asked at every look; to be awaited within a tokio runtime with time.
    pub(crate) fn wait<C: Fn() -> Moment + Unpin>(
        self: &Arc<Self>,
        context: &[u8],
        clock: C,
    ) -> Result<Wait<C>, QueueFull> {
        let key = self.hasher.hash_one(context);
        let mut state = self.lock();
        state.counters.entered += 1;
        if state.counters.waiting >= MOST_WAITING {
            state.counters.dropped += 1;
            return Err(QueueFull);
        }
        let place = state.place(key, clock());
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        if !state.closed {
            state.counters.waiting += 1;
            state.contexts[place].queue.insert(ticket, None);
        }
        drop(state);
        Ok(Wait { class: self.clone(), place, ticket, clock, sleep: None, done: false })
    }

    /// How many wait in the queue of the context.
    pub(crate) fn backlog(&self, context: &[u8]) -> u32 {
        let key = self.hasher.hash_one(context);
        let state = self.lock();
        let place = state.places.get(&key).copied().unwrap_or(COMMON);
        state.contexts.get(place).map_or(0, |context| context.queue.len() as u32)
    }

    /// Requests that passed within the last second (the last minute, if there is no limit per second), all contexts
    /// together. O(n) for n contexts.
    pub(crate) fn current_rate(&self, now: Moment) -> u64 {
        let mut state = self.lock();
        let limits = state.limits;
        state.contexts.iter_mut().map(|(_, context)| u64::from(context.meter.current(limits, now))).sum()
    }

    /// Counters since the class exists.
    pub(crate) fn counters(&self) -> RateCounters {
        let state = self.lock();
        RateCounters { contexts: state.places.len(), ..state.counters }
    }
}

impl State {
    /// Where the context of this key is; made if it is new.
    fn place(&mut self, key: u64, now: Moment) -> usize {
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        for _ in 0..FORGET_STEPS {
            self.forget_one(now);
        }
        if self.places.len() >= MOST_CONTEXTS {
            self.counters.together += 1;
            return COMMON;
        }
        let place = self.contexts.insert(Context::new(key, self.next_ticket));
        self.places.insert(key, place);
        place
    }

    /// Forgets the next context if nothing has passed lately and nobody waits there.
    fn forget_one(&mut self, now: Moment) {
        self.hand = if self.hand + 1 < self.contexts.capacity() { self.hand + 1 } else { COMMON + 1 };
        let idle = |context: &mut Context| context.queue.is_empty() && context.meter.is_idle(now);
        if self.contexts.get_mut(self.hand).is_some_and(idle) {
            let context = self.contexts.remove(self.hand);
            self.places.remove(&context.key);
            self.counters.forgotten += 1;
        }
    }

    /// Lets pass all that may, in order of arrival, and collects whom to wake: them, and the new first, who has to
    /// know when its turn comes.
    fn serve(&mut self, place: usize, now: Moment, wakers: &mut Vec<Waker>) {
        let Some(context) = self.contexts.get_mut(place) else { return };
        let mut served = 0;
        while let Some(first) = context.queue.first_entry() {
            if context.meter.pass(self.limits, now).is_err() {
                break;
            }
            #[cfg(test)]
            self.decisions.push(context.meter.latest.max(now));
            context.served = first.key() + 1;
            wakers.extend(first.remove());
            served += 1;
        }
        if served > 0 {
            self.counters.left += served as u64;
            self.counters.waiting -= served;
            wakers.extend(context.first_waker());
        }
    }
}

impl Context {
    fn new(key: u64, served: u64) -> Self {
        Self { key, meter: Meter::default(), queue: BTreeMap::new(), served }
    }

    fn first_waker(&self) -> Option<Waker> {
        self.queue.first_key_value()?.1.clone()
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

/// A place in the queue of a rate class, see [`Class::wait`].
pub(crate) struct Wait<C: Fn() -> Moment + Unpin> {
    class: Arc<Class>,
    place: usize,
    ticket: u64,
    clock: C,
    /// Of the first in the queue.
    sleep: Option<Pin<Box<Sleep>>>,
    done: bool,
}

impl<C: Fn() -> Moment + Unpin> fmt::Debug for Wait<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// What a look at the queue says to one that waits.
enum Look {
    Passed,
    Gone,
    /// The first: it may pass at this moment.
    First(Moment),
    Later,
}

impl<C: Fn() -> Moment + Unpin> Wait<C> {
    fn look(&self, waker: &Waker, now: Moment) -> Look {
        let mut state = self.class.lock();
        let mut wakers = Vec::new();
        state.serve(self.place, now, &mut wakers);
        let (limits, closed) = (state.limits, state.closed);
        // A context is forgotten, and its place used again, only when nobody waits there.
        let look = match state.contexts.get_mut(self.place) {
            Some(context) if self.ticket >= context.served => {
                let is_first =
                    context.queue.first_key_value().is_some_and(|(first, _)| *first == self.ticket);
                match context.queue.get_mut(&self.ticket) {
                    Some(known) => {
                        known.get_or_insert_with(|| waker.clone()).clone_from(waker);
                        if is_first { Look::First(context.meter.room_at(limits, now)) } else { Look::Later }
                    }
                    None => Look::Gone,
                }
            }
            _ => Look::Passed,
        };
        drop(state);
        wakers.retain(|other| !other.will_wake(waker));
        wake(wakers);
        if closed && !matches!(look, Look::Passed) { Look::Gone } else { look }
    }
}

impl<C: Fn() -> Moment + Unpin> Future for Wait<C> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<bool> {
        let wait = self.get_mut();
        loop {
            let now = (wait.clock)();
            let passed = match wait.look(task.waker(), now) {
                Look::Passed => true,
                Look::Gone => false,
                Look::Later => return Poll::Pending,
                Look::First(room) => {
                    let until = tokio::time::Instant::now() + room.since(now);
                    let sleep = match &mut wait.sleep {
                        Some(sleep) => {
                            sleep.as_mut().reset(until);
                            sleep
                        }
                        sleep => sleep.insert(Box::pin(tokio::time::sleep_until(until))),
                    };
                    if sleep.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                    continue;
                }
            };
            wait.done = true;
            return Poll::Ready(passed);
        }
    }
}

impl<C: Fn() -> Moment + Unpin> Drop for Wait<C> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.class.lock();
        let Some(context) = state.contexts.get_mut(self.place) else { return };
        let was_first = context.queue.first_key_value().is_some_and(|(first, _)| *first == self.ticket);
        let waker = if context.queue.remove(&self.ticket).is_some() {
            let waker = if was_first { context.first_waker() } else { None };
            state.counters.waiting -= 1;
            state.counters.dropped += 1;
            waker
        } else {
            None
        };
        drop(state);
        wake(waker.into_iter().collect());
    }
}

#[cfg(test)]
mod tests;
