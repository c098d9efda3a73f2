//! Limits, the queue and its hook.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use tidegate_pool::{NoNode, Node, Pool, QueueFull, Releases, Session, Tried};

use crate::fixture::{T0, build, choose, context, fail, member, nodes, rebuild, settings, with};

#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Releases for Count {
    fn released(&self, _: &Node) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn eight_threads_never_exceed_a_limit() {
    let pool = build(&with(|settings| settings.max_transactions_per_node = Some(3)), &nodes(1..=4));
    let in_use: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    let (peak, done) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut held = Vec::new();
                for round in 0..4000_u64 {
                    match pool.choose(&Session::NONE, &Tried::none(), T0, round) {
                        Ok(choice) => {
                            if let Ok(claim) = choice.node.begin() {
                                let place = usize::from(crate::fixture::number_of(claim.node())) - 1;
                                peak.fetch_max(
                                    in_use[place].fetch_add(1, Ordering::SeqCst) + 1,
                                    Ordering::SeqCst,
                                );
                                held.push((place, claim));
                                done.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        Err(none) => assert_eq!(none, NoNode::AllBusy { session_node: false }),
                    }
                    if round % 3 == 0 {
                        for (place, claim) in held.drain(..) {
                            in_use[place].fetch_sub(1, Ordering::SeqCst);
                            drop(claim);
                        }
                    }
                }
                for (place, claim) in held {
                    in_use[place].fetch_sub(1, Ordering::SeqCst);
                    drop(claim);
                }
            });
        }
    });
    assert!(peak.load(Ordering::SeqCst) <= 3);
    assert!(done.load(Ordering::SeqCst) > 1000);
    assert!(pool.members().iter().all(|member| member.node.in_flight() == 0));
}

#[test]
fn connections_are_limited_but_idle_ones_can_be_used() {
    let pool = build(&with(|settings| settings.max_connections_per_node = Some(2)), &nodes(1..=1));
    let node = &member(&pool, 1).node;
    let mut first = node.open_connection().unwrap();
    let second = node.open_connection().unwrap();
    assert!(node.open_connection().is_err());
    assert_eq!(choose(&pool, T0), Err(NoNode::AllBusy { session_node: false }));
    first.set_idle(true);
    assert_eq!(choose(&pool, T0), Ok(1));
    first.set_idle(false);
    assert_eq!(choose(&pool, T0), Err(NoNode::AllBusy { session_node: false }));
    drop(second);
    assert_eq!(choose(&pool, T0), Ok(1));
    assert_eq!(node.totals().refused, 1);
}

#[test]
fn the_queue_is_bounded() {
    let pool = build(&with(|settings| settings.max_queue_size = Some(2)), &nodes(1..=1));
    let first = pool.enter_queue().unwrap();
    let _second = pool.enter_queue().unwrap();
    assert_eq!(pool.enter_queue().err(), Some(QueueFull));
    drop(first);
    let _third = pool.enter_queue().unwrap();
    let counters = pool.counters();
    assert_eq!((counters.waiting, counters.queued, counters.queue_refused), (2, 3, 1));
    // 0 in the document: no bound of its own.
    let pool = build(&Arc::new(settings()), &nodes(1..=1));
    let places: Vec<_> = (0..1000).map(|_| pool.enter_queue().unwrap()).collect();
    assert_eq!(places.len(), 1000);
}

#[test]
fn the_queue_is_bounded_under_eight_threads() {
    let pool = build(&with(|settings| settings.max_queue_size = Some(5)), &nodes(1..=1));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    let place = pool.enter_queue();
                    assert!(pool.counters().waiting <= 5);
                    drop(place);
                }
            });
        }
    });
    assert_eq!(pool.counters().waiting, 0);
}

#[test]
fn the_hook_is_called_while_requests_wait() {
    let hook = Arc::new(Count::default());
    let calls = || hook.0.swap(0, Ordering::SeqCst);
    let limited = with(|settings| settings.max_transactions_per_node = Some(1));
    let pool = build(&limited, &nodes(1..=2));
    pool.set_releases(hook.clone());
    drop(member(&pool, 1).node.begin().unwrap());
    assert_eq!(calls(), 0, "nobody waits");

    let claim = member(&pool, 1).node.begin().unwrap();
    let place = pool.enter_queue().unwrap();
    drop(claim);
    assert_eq!(calls(), 1, "a claim was released");
    let mut connection = member(&pool, 1).node.open_connection().unwrap();
    connection.set_idle(true);
    assert_eq!(calls(), 1, "a connection became idle");
    drop(connection);
    assert_eq!(calls(), 1, "a connection was closed");
    member(&pool, 1).node.set_monitor_verdict(&"m1".into(), false, T0);
    assert_eq!(calls(), 0);
    member(&pool, 1).node.set_monitor_verdict(&"m1".into(), true, T0);
    assert_eq!(calls(), 1, "a node recovered");
    fail(&pool, 2, T0);
    let pool = rebuild(&pool, &nodes(1..=3), T0);
    assert_eq!(calls(), 0, "a build that does not serve yet has nothing for those who wait");
    pool.release_all(T0);
    assert_eq!(calls(), 2, "a node joined: those that work are reported");
    let raised = with(|settings| settings.max_transactions_per_node = Some(9));
    let pool = Pool::build(raised, None, &nodes(1..=3), Some(&pool), &context(T0));
    pool.release_all(T0);
    assert_eq!(calls(), 2, "a limit was raised");
    drop(place);
    drop(member(&pool, 1).node.begin().unwrap());
    assert_eq!(calls(), 0, "nobody waits any more");
}

#[test]
fn limits_of_a_new_build_hold_at_once() {
    let pool = build(&Arc::new(settings()), &nodes(1..=1));
    let _claims = [member(&pool, 1).node.begin().unwrap(), member(&pool, 1).node.begin().unwrap()];
    let limited = with(|settings| settings.max_transactions_per_node = Some(2));
    let _next = Pool::build(limited, None, &nodes(1..=1), Some(&pool), &context(T0));
    assert!(member(&pool, 1).node.begin().is_err());
}
