//! Health of nodes under random events, and what choices make of it.

use std::time::Duration;

use tidegate_model::Moment;
use tidegate_pool::{
    FailureKind, HealthChange, NoNode, Session, Tried,
    health::{Event, Health, Passive, TRIAL_PATIENCE},
};

use crate::fixture::{
    Random, T0, after, build, choose, fail, member, nodes, number, sequence, settings, with,
};

#[test]
fn random_events_keep_the_invariants() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let (mut health, mut now) = (Health::NEW, T0);
        let rest = Duration::from_mins(1);
        let attempts = random.below(5) as u32;
        for step in 0..500 {
            now = now.after(Duration::from_millis(random.below(30_000)));
            let event = match random.below(12) {
                0..4 => Event::Failure { attempts, rest },
                4 | 5 => Event::Success,
                6 | 7 => Event::Try,
                8 => Event::TrialAbandoned,
                9 => Event::MonitorsFailed,
                10 => Event::MonitorsPassed,
                _ => Event::Introduced,
            };
            let next = health.on(event, now);
            let what = || format!("seed {seed} step {step}: {health:?} {event:?} {next:?}");
            assert_eq!(Health::unpack(next.pack()), next, "{}", what());
            if health.monitor_failed {
                assert!(!next.in_rotation() || event == Event::MonitorsPassed, "{}", what());
                assert!(
                    !matches!(next.passive, Passive::Trial { .. }) || next.passive == health.passive,
                    "{}",
                    what()
                );
            }
            if health.passive == Passive::Working && next.passive != Passive::Working {
                assert!(u32::from(next.failures) >= attempts.max(1), "{}", what());
                assert!(matches!(event, Event::Failure { .. }), "{}", what());
            }
            if let (Passive::Failed { until }, Passive::Trial { .. }) = (health.passive, next.passive) {
                assert!(until <= now && event == Event::Try, "{}", what());
            }
            if health.passive != Passive::Working && next.passive == Passive::Working {
                let returns = event == Event::MonitorsPassed && health.monitor_failed;
                assert!((event == Event::Success || returns) && next.introducing, "{}", what());
            }
            if let Some(moment) = next.next_try() {
                assert!(moment <= now.after(rest.max(TRIAL_PATIENCE)), "{}", what());
            }
            match health.change_to(next) {
                Some(HealthChange::Failed) => {
                    assert!(health.in_rotation() && !next.in_rotation(), "{}", what());
                }
                Some(HealthChange::Working) => {
                    assert!(!health.in_rotation() && next.in_rotation(), "{}", what());
                }
                None => assert_eq!(health.in_rotation(), next.in_rotation(), "{}", what()),
            }
            health = next;
        }
        assert!(health.on(Event::Removed, now).gone);
        assert!(!health.on(Event::Removed, now).usable(now));
    }
}

/// Whether a request is trying the node.
fn is_tried(health: &Health) -> bool {
    matches!(health.passive, Passive::Trial { .. }) && !health.monitor_failed
}

#[test]
fn requests_go_along_with_the_one_that_tries_the_only_node() {
    let try_it = |settings: &std::sync::Arc<tidegate_model::Pool>| {
        let pool = build(settings, &nodes(1..=1));
        let node = &member(&pool, 1).node;
        for _ in 0..3 {
            node.record_failure(FailureKind::Connect, pool.settings(), T0);
        }
        let choose = |now| pool.choose(&Session::NONE, &Tried::none(), now, 0).map(|choice| choice.trial);
        assert_eq!(choose(after(59)), Err(NoNode::AllFailed));
        assert_eq!(choose(after(60)), Ok(true));
        let along = choose(after(60));
        let mut tried = Tried::none();
        tried.add(pool.find(node.label()).unwrap());
        assert_eq!(pool.choose(&Session::NONE, &tried, after(60), 0).err(), Some(NoNode::AllFailed));
        node.record_failure(FailureKind::Connect, pool.settings(), after(61));
        assert_eq!(choose(after(61)), Err(NoNode::AllFailed), "the rest begins anew");
        along
    };
    assert_eq!(try_it(&std::sync::Arc::new(settings())), Ok(true));
    // Where there is a failure pool, it serves meanwhile.
    let other = with(|settings| settings.failure_pool = Some("other".into()));
    assert_eq!(try_it(&other), Err(NoNode::AllFailed));
}

#[test]
fn a_monitor_that_found_the_same_failure_ends_it() {
    let pool = build(&std::sync::Arc::new(settings()), &nodes(1..=2));
    let node = &member(&pool, 1).node;
    let fail =
        || (0..3).filter_map(|_| node.record_failure(FailureKind::Connect, pool.settings(), T0)).count();
    assert_eq!(fail(), 1);
    assert_eq!(node.set_monitor_verdict(&"m".into(), false, after(1)), None);
    assert_eq!(node.set_monitor_verdict(&"m".into(), true, after(3)), Some(HealthChange::Working));
    // One that sees nothing wrong says nothing of what requests find.
    assert_eq!(fail(), 1);
    assert_eq!(node.set_monitor_verdict(&"m".into(), true, after(4)), None);
    assert!(!node.health().in_rotation());
}

#[test]
fn choices_agree_with_health_at_every_moment() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let pool = build(&with(|settings| settings.node_connection_attempts = 2), &nodes(1..=6));
        let mut now = T0;
        for step in 0..600 {
            now = now.after(Duration::from_millis(random.below(5_000)));
            let node = &member(&pool, random.below(6) as u16 + 1).node;
            match random.below(6) {
                0 | 1 => drop(node.record_failure(FailureKind::Connect, pool.settings(), now)),
                2 => drop(node.record_success(Duration::from_millis(3), now)),
                3 => drop(node.set_monitor_verdict(&"m1".into(), false, now)),
                4 => drop(node.set_monitor_verdict(&"m1".into(), true, now)),
                _ => {}
            }
            let usable = pool.usable_nodes(now);
            let before: Vec<Health> = pool.members().iter().map(|member| member.node.health()).collect();
            match pool.choose(&Session::NONE, &Tried::none(), now, random.next()) {
                Ok(choice) => {
                    let health = before[usize::from(number(&choice)) - 1];
                    // Where there is no other, requests go along with the one that tries a node.
                    let joins = usable == 0 && is_tried(&health);
                    assert!(health.usable(now) || joins, "seed {seed} step {step} {health:?}");
                    assert_eq!(choice.trial, !health.in_rotation(), "seed {seed} step {step}");
                    // A failed node whose rest is over is tried at once.
                    let due = before.iter().any(|health| !health.in_rotation() && health.usable(now));
                    assert_eq!(choice.trial, due || joins, "seed {seed} step {step}");
                }
                Err(none) => {
                    assert_eq!((none, usable), (NoNode::AllFailed, 0), "seed {seed} step {step}");
                    assert!(!before.iter().any(is_tried), "seed {seed} step {step}");
                }
            }
        }
    }
}

#[test]
fn a_failed_node_rests_is_tried_once_and_returns_slowly() {
    let pool = build(&std::sync::Arc::new(settings()), &nodes(1..=3));
    let node = &member(&pool, 2).node;
    let failure = |now| node.record_failure(FailureKind::TimedOut, pool.settings(), now);
    assert_eq!([failure(T0), failure(T0), failure(T0)], [None, None, Some(HealthChange::Failed)]);
    assert_eq!(sequence(&pool, 4).iter().filter(|n| **n == 2).count(), 0);
    assert_eq!(pool.usable_nodes(T0), 2);

    let choose = |now| pool.choose(&Session::NONE, &Tried::none(), now, 0).unwrap();
    let trial = choose(after(60));
    assert_eq!((number(&trial), trial.trial), (2, true));
    let claim = trial.node.begin().unwrap();
    assert_ne!(number(&choose(after(60))), 2);
    assert_eq!(failure(after(61)), None, "failed already");
    drop(claim);
    assert_ne!(number(&choose(after(120))), 2);
    assert_eq!(number(&choose(after(121))), 2);
    assert_eq!(node.record_success(Duration::from_millis(1), after(122)), Some(HealthChange::Working));
    assert_eq!(node.status(), "introducing");
    let shares = crate::fixture::shares(&pool, 3, 3000, after(122), &mut Random(1));
    assert!(shares[1] < 200, "{shares:?}");
    let shares = crate::fixture::shares(&pool, 3, 3000, after(142), &mut Random(2));
    assert_eq!(shares, [1000; 3]);
    assert_eq!(node.status(), "working");
    assert_eq!(pool.counters().trials, 2);
}

#[test]
fn a_trial_that_tells_nothing_is_given_to_the_next_request() {
    let pool = build(&std::sync::Arc::new(settings()), &nodes(1..=2));
    fail(&pool, 1, T0);
    let trial = pool.choose(&Session::NONE, &Tried::none(), after(60), 0).unwrap();
    assert!(trial.trial);
    drop(trial.node.begin().unwrap());
    assert_eq!(choose(&pool, after(60)), Ok(1));
}

#[test]
fn what_a_monitor_failed_only_monitors_recover() {
    let pool = build(&std::sync::Arc::new(settings()), &nodes(1..=2));
    let node = &member(&pool, 1).node;
    let verdict = |name: &str, up, now| node.set_monitor_verdict(&name.into(), up, now);
    assert_eq!(verdict("m1", false, T0), Some(HealthChange::Failed));
    assert_eq!(verdict("m2", false, T0), None);
    assert_eq!(node.record_success(Duration::from_millis(1), T0), None);
    for seconds in [0, 60, 600, 86_400] {
        assert_eq!(choose(&pool, after(seconds)), Ok(2));
    }
    assert_eq!(verdict("m1", true, T0), None);
    assert_eq!(node.failing_monitors(), ["m2".into()]);
    assert_eq!(verdict("m2", true, T0), Some(HealthChange::Working));
}

#[test]
fn all_failed_and_all_tried() {
    let pool = build(&std::sync::Arc::new(settings()), &nodes(1..=2));
    let first = pool.choose(&Session::NONE, &Tried::none(), T0, 0).unwrap().slot;
    let mut tried = Tried::none();
    tried.add(first);
    let second = pool.choose(&Session::NONE, &tried, T0, 0).unwrap().slot;
    assert_ne!(first, second);
    tried.add(second);
    assert_eq!(pool.choose(&Session::NONE, &tried, T0, 0).unwrap_err(), NoNode::AllTried);
    fail(&pool, 1, T0);
    fail(&pool, 2, T0);
    assert_eq!(choose(&pool, T0), Err(NoNode::AllFailed));
}

#[test]
fn without_passive_monitoring_failures_are_only_counted() {
    let pool = build(&with(|settings| settings.passive_monitoring = false), &nodes(1..=1));
    fail(&pool, 1, Moment(0));
    assert_eq!(choose(&pool, T0), Ok(1));
    assert_eq!(pool.nodes_status()[0].totals.failures[FailureKind::Connect as usize], 3);
}

#[test]
fn no_choice_after_a_failure_goes_to_the_failed_node_whatever_other_threads_do() {
    let pool = build(&std::sync::Arc::new(settings()), &nodes(1..=5));
    std::thread::scope(|scope| {
        for n in 1..=4 {
            let pool = &pool;
            scope.spawn(move || {
                let node = &member(pool, n).node;
                let mut random = Random(u64::from(n));
                for round in 0..500 {
                    node.set_monitor_verdict(&"m1".into(), false, T0);
                    for _ in 0..8 {
                        let choice = pool.choose(&Session::NONE, &Tried::none(), T0, random.next()).unwrap();
                        assert_ne!(number(&choice), n, "round {round}");
                    }
                    node.set_monitor_verdict(&"m1".into(), true, T0);
                }
            });
        }
    });
    let shares = crate::fixture::shares(&pool, 5, 5000, after(20), &mut Random(9));
    assert_eq!(shares, [1000; 5]);
}
