use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use super::*;

fn limits(per_minute: u32, per_second: u32) -> Limits {
    Limits { per_minute: NonZeroU32::new(per_minute), per_second: NonZeroU32::new(per_second) }
}

fn class(limits: Limits) -> Arc<Class> {
    let class = Arc::new(Class::default());
    class.set_limits(limits, Moment(0));
    class
}

/// A clock that tests set.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl Clock {
    fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Task::from_waker(Waker::noop()))
}

#[test]
fn classes_and_contexts() {
    let rates = Rates::default();
    let verdicts = |class: &str, context: &str, at: u64| {
        [0; 3].map(|_| rates.try_pass(class.as_bytes(), context.as_bytes(), Moment(at)))
    };
    use RateVerdict::{NoClass, Over, Within};
    assert_eq!(verdicts("a", "", 0), [NoClass; 3]);
    rates.apply([("a", limits(0, 2)), ("b", limits(2, 0)), ("free", limits(0, 0))], Moment(0));
    for context in ["", "x", "y"] {
        assert_eq!(verdicts("a", context, 0), [Within, Within, Over], "{context}");
        assert_eq!(verdicts("b", context, 0), [Within, Within, Over], "{context}");
    }
    assert_eq!(verdicts("free", "", 0), [Within; 3]);
    assert_eq!(verdicts("a", "x", 1001), [Within, Within, Over]);
    assert_eq!(verdicts("b", "x", 1001), [Over; 3]);
    // A new configuration: what was counted stays.
    rates.apply([("a", limits(0, 3))], Moment(1001));
    assert_eq!(verdicts("a", "x", 1001), [Within, Over, Over]);
    assert_eq!((verdicts("b", "", 1001), rates.backlog(b"b", b"")), ([NoClass; 3], None));
    assert_eq!(rates.backlog(b"a", b"x"), Some(0));
    let counters = rates.observe(Moment(1001));
    assert_eq!(counters.len(), 1);
    assert_eq!(rates.class(b"a").unwrap().current_rate(Moment(1001)), 3);
    assert_eq!(rates.class(b"a").unwrap().current_rate(Moment(2003)), 0);
    let RateCounters { entered, left, dropped, contexts, .. } = counters[0].counters;
    assert_eq!((entered, left, dropped, contexts), (15, 9, 6, 3));
}

#[test]
fn who_waits_is_served_in_order_and_not_overtaken() {
    runtime().block_on(async {
        let (class, clock) = (class(limits(0, 2)), Clock::default());
        let mut waits: Vec<_> = (0..5).map(|_| class.wait(b"c", || clock.now()).unwrap()).collect();
        assert_eq!(class.backlog(b"c"), 5);
        // Whoever looks lets pass all that may.
        assert!(poll(&mut waits[4]).is_pending());
        assert_eq!((class.backlog(b"c"), class.backlog(b"")), (3, 0));
        assert!(!class.try_pass(b"c", clock.now()));
        assert!(class.try_pass(b"", clock.now()));
        assert_eq!(poll(&mut waits[1]), Poll::Ready(true));
        assert_eq!(poll(&mut waits[0]), Poll::Ready(true));
        clock.set(1000);
        assert!(waits[2..].iter_mut().all(|wait| poll(wait).is_pending()));
        clock.set(1001);
        // There is room, but not for those that come later.
        assert!(!class.try_pass(b"c", clock.now()));
        assert_eq!(poll(&mut waits[3]), Poll::Ready(true));
        assert_eq!(poll(&mut waits[2]), Poll::Ready(true));
        assert!(poll(&mut waits[4]).is_pending());
        let RateCounters { entered, left, dropped, waiting, .. } = class.counters();
        assert_eq!((entered, left, dropped, waiting), (8, 5, 2, 1));
    });
}

#[test]
fn who_gives_up_leaves_the_queue() {
    runtime().block_on(async {
        let (class, clock) = (class(limits(0, 1)), Clock::default());
        let mut waits: Vec<_> = (0..4).map(|_| class.wait(b"", || clock.now()).unwrap()).collect();
        assert_eq!(poll(&mut waits[0]), Poll::Ready(true));
        // The second would be next; the third gives up too.
        drop(waits.remove(1));
        drop(waits.remove(1));
        assert_eq!(class.backlog(b""), 1);
        clock.set(1001);
        assert_eq!(poll(&mut waits[1]), Poll::Ready(true));
        drop(waits);
        let RateCounters { left, dropped, waiting, .. } = class.counters();
        assert_eq!((left, dropped, waiting), (2, 2, 0));
    });
}

/// A waker that counts.
#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_next_first_is_woken() {
    runtime().block_on(async {
        let (class, clock) = (class(limits(0, 1)), Clock::default());
        assert!(class.try_pass(b"", clock.now()));
        let woken: Vec<Arc<Woken>> = (0..3).map(|_| Arc::default()).collect();
        let mut waits: Vec<_> = (0..3).map(|_| class.wait(b"", || clock.now()).unwrap()).collect();
        for (wait, woken) in waits.iter_mut().zip(&woken) {
            let waker = woken.clone().into();
            assert!(Pin::new(wait).poll(&mut Task::from_waker(&waker)).is_pending());
        }
        let count = || -> Vec<usize> { woken.iter().map(|woken| woken.0.load(Ordering::Relaxed)).collect() };
        assert_eq!(count(), [0, 0, 0]);
        drop(waits.remove(0));
        assert_eq!(count(), [0, 1, 0], "it has to know when its turn comes");
        clock.set(1001);
        assert!(!class.try_pass(b"", clock.now()));
        assert_eq!(count(), [0, 2, 1], "one passes, one becomes the first");
        class.set_limits(limits(0, 2), clock.now());
        assert_eq!(count(), [0, 2, 2]);
        assert_eq!(class.backlog(b""), 0);
    });
}

#[test]
fn changed_limits_apply_to_those_who_wait() {
    runtime().block_on(async {
        let (class, clock) = (class(limits(1, 0)), Clock::default());
        assert!(class.try_pass(b"", clock.now()));
        let wait = class.wait(b"", || clock.now()).unwrap();
        let raise = async {
            // The other has gone to sleep for a minute.
            tokio::task::yield_now().await;
            clock.set(2000);
            class.set_limits(limits(0, 5), clock.now());
        };
        let both = async { tokio::join!(wait, raise).0 };
        assert_eq!(tokio::time::timeout(Duration::from_secs(30), both).await, Ok(true));
    });
}

#[test]
fn a_class_that_is_gone_holds_up_nobody() {
    runtime().block_on(async {
        let (rates, clock) = (Rates::default(), Clock::default());
        rates.apply([("a", limits(0, 1))], clock.now());
        let class = rates.class(b"a").unwrap();
        let mut first = class.wait(b"", || clock.now()).unwrap();
        let mut second = class.wait(b"", || clock.now()).unwrap();
        assert_eq!(poll(&mut first), Poll::Ready(true));
        assert!(poll(&mut second).is_pending());
        rates.apply([], clock.now());
        assert_eq!(poll(&mut second), Poll::Ready(false));
        assert_eq!(poll(&mut class.wait(b"", || clock.now()).unwrap()), Poll::Ready(false));
        assert_eq!(class.counters().waiting, 0);
    });
}

#[test]
fn queues_and_contexts_are_bounded() {
    let class = class(limits(0, 1));
    for context in 0..MOST_CONTEXTS {
        assert!(class.try_pass(&context.to_be_bytes(), Moment(0)));
    }
    // Above the bound contexts share one count, which is the strict side.
    assert!(class.try_pass(b"one more", Moment(0)));
    assert!(!class.try_pass(b"and another", Moment(0)));
    let RateCounters { contexts, together, forgotten, .. } = class.counters();
    assert_eq!((contexts, together, forgotten), (MOST_CONTEXTS, 2, 0));
    // Those that nothing has passed lately make room, a few at a time.
    for context in 0..1000_u32 {
        assert!(class.try_pass(&[&b"new"[..], &context.to_be_bytes()].concat(), Moment(1001)));
    }
    let RateCounters { contexts, together, forgotten, .. } = class.counters();
    assert_eq!((together, forgotten), (2, 4000));
    assert_eq!(contexts, MOST_CONTEXTS - 3000);

    let waits: Vec<_> = (0..MOST_WAITING).map(|_| class.wait(b"c", || Moment(1001)).unwrap()).collect();
    assert_eq!(class.wait(b"d", || Moment(1001)).unwrap_err(), QueueFull);
    drop(waits);
    assert!(class.wait(b"d", || Moment(1001)).is_ok());
}

/// Four workers, each a runtime of its own, on the real clock. Requests wait or do not, give up, and the limits change
/// under way; in every second no more pass than the highest limit in force allows, and all that stay are served.
#[test]
fn many_workers() {
    const HIGH: u32 = 200;
    const LOW: u32 = 120;
    let seed = fastrand::u64(..);
    let class = class(limits(0, HIGH));
    let origin = Instant::now();
    let clock = move || Moment::at(origin.elapsed());
    let passed = Mutex::new(Vec::new());
    let (gave_up, lowered) = (AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (class, passed, gave_up, lowered) = (&class, &passed, &gave_up, &lowered);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(worker));
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async {
                    let mut tasks = Vec::new();
                    for _ in 0..120 {
                        let patience =
                            (random.u32(..5) == 0).then(|| Duration::from_millis(random.u64(..300)));
                        let (class, delay) = (class.clone(), Duration::from_millis(random.u64(..200)));
                        tasks.push(tokio::task::spawn_local(async move {
                            tokio::time::sleep(delay).await;
                            let wait = class.wait(b"c", clock).unwrap();
                            match patience {
                                Some(patience) => tokio::time::timeout(patience, wait).await.ok(),
                                None => Some(wait.await),
                            }
                            .map(|passed| {
                                assert!(passed);
                                origin.elapsed()
                            })
                        }));
                    }
                    if worker == 0 {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        class.set_limits(limits(0, LOW), clock());
                        lowered.store(clock().0, Ordering::Relaxed);
                    }
                    for task in tasks {
                        // Far above what it takes: a lost wake-up would wait for ever.
                        let end = tokio::time::timeout(Duration::from_mins(1), task).await;
                        match end.unwrap_or_else(|_| panic!("starved, seed {seed}")).unwrap() {
                            Some(at) => passed.lock().unwrap().push(at),
                            None => drop(gave_up.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                });
            });
        }
    });
    let counters = class.counters();
    let passed = passed.into_inner().unwrap();
    assert_eq!(passed.len() + gave_up.into_inner(), 480, "seed {seed}");
    assert_eq!((counters.entered, counters.waiting), (480, 0), "seed {seed}");
    // One may be let pass and give up before it notices.
    assert_eq!(counters.left + counters.dropped, 480, "seed {seed}");
    assert!(counters.left >= passed.len() as u64, "seed {seed}");
    // Never more in any second than the limit, by the moments of the decisions.
    let state = class.lock();
    let decisions: Vec<Moment> = state.decisions.clone();
    assert_eq!(decisions.len() as u64, counters.left, "seed {seed}");
    let crowded = |decisions: &[Moment], limit: u32| {
        let next = decisions.get(limit as usize..).unwrap_or_default();
        decisions.iter().zip(next).any(|(first, next)| next.0 - first.0 <= 1000)
    };
    assert!(!crowded(&decisions, HIGH), "seed {seed}");
    let lowered = lowered.into_inner();
    let later = decisions.partition_point(|at| at.0 <= lowered);
    assert!(!crowded(&decisions[later..], LOW), "seed {seed}");
    // And not much later than it could be: 480 at most, 200 at once and then 120 in each second.
    assert!(passed.iter().all(|at| *at < Duration::from_secs(20)), "seed {seed}");
}
