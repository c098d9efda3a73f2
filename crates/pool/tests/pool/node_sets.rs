//! What a change of the node list does to nodes.

use std::{sync::Arc, time::Duration};

use tidegate_model::pool::{NodeDelete, NodeState};
use tidegate_pool::{NoNode, NodeSpec, Pool, PoolContext, SessionKey, build::MOST_LEAVING};

use crate::fixture::{
    T0, after, build, choose, context, fail, member, node, nodes, number_of, rebuild, sequence, settings,
    transparent, with,
};

fn delete(behaviour: NodeDelete) -> Arc<tidegate_model::Pool> {
    with(|settings| settings.node_delete = behaviour)
}

fn numbers(pool: &Pool) -> Vec<u16> {
    pool.members().iter().map(|member| number_of(&member.node)).collect()
}

#[test]
fn an_equal_build_is_the_same_pool() {
    let class = transparent(tidegate_model::persistence::FailureMode::NewNode);
    let first = Pool::build(Arc::new(settings()), class.clone(), &nodes(1..=3), None, &context(T0));
    // Equal values in other places, another seed and time, and a repeated address.
    let mut specs = nodes(1..=3);
    specs.push(NodeSpec { weight: 9, ..node(1) });
    let again = PoolContext { seed: 99, ..context(after(9)) };
    let second = Pool::build(
        Arc::new(settings()),
        class.as_deref().cloned().map(Arc::new),
        &specs,
        Some(&first),
        &again,
    );
    assert!(Arc::ptr_eq(&first, &second));

    let other_key = PoolContext { session_key: SessionKey::new([8; 32]), ..context(T0) };
    let changes: [(&str, Arc<Pool>); 7] = [
        ("fewer", rebuild(&first, &nodes(1..=2), T0)),
        ("more", rebuild(&first, &nodes(1..=4), T0)),
        ("weight", rebuild(&first, &[NodeSpec { weight: 2, ..node(1) }, node(2), node(3)], T0)),
        ("name", rebuild(&first, &[NodeSpec { name: Some("n".into()), ..node(1) }, node(2), node(3)], T0)),
        ("order", rebuild(&first, &[node(2), node(1), node(3)], T0)),
        ("class", Pool::build(first.settings().clone(), None, &nodes(1..=3), Some(&first), &context(T0))),
        ("key", Pool::build(first.settings().clone(), class, &nodes(1..=3), Some(&first), &other_key)),
    ];
    for (what, changed) in changes {
        assert!(!Arc::ptr_eq(&first, &changed), "{what}");
    }
}

#[test]
fn survivors_keep_health_counters_and_claims() {
    let pool = build(&Arc::new(settings()), &nodes(1..=3));
    fail(&pool, 2, T0);
    let claim = member(&pool, 3).node.begin().unwrap();
    let next = rebuild(&pool, &[node(4), node(3), node(2)], T0);
    for n in [2, 3] {
        assert!(Arc::ptr_eq(&member(&pool, n).node, &member(&next, n).node));
    }
    assert_eq!(member(&next, 2).node.status(), "failed");
    assert_eq!(member(&next, 3).node.in_flight(), 1);
    drop(claim);
    assert_eq!(member(&next, 3).node.in_flight(), 0);
    assert_eq!(member(&next, 3).node.totals().requests, 1);
}

#[test]
fn a_repeated_address_counts_once() {
    let pool = build(&Arc::new(settings()), &[node(1), NodeSpec { weight: 7, ..node(1) }, node(2)]);
    assert_eq!(numbers(&pool), [1, 2]);
    assert_eq!(member(&pool, 1).weight, 1);
}

#[test]
fn a_node_that_leaves_drains_until_the_limit() {
    let class = transparent(tidegate_model::persistence::FailureMode::NewNode);
    let pool = Pool::build(Arc::new(settings()), class, &nodes(1..=2), None, &context(T0));
    let gone = member(&pool, 2).node.clone();
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    assert_eq!(numbers(&pool), [1, 2]);
    assert_eq!(sequence(&pool, 3), [1, 1, 1]);
    assert!(gone.is_leaving() && !gone.is_gone());
    assert_eq!(pool.nodes_status()[1].status, "leaving");
    assert_eq!(pool.next_expiry(T0), Some(after(60)));
    let same = rebuild(&pool, &nodes(1..=1), after(59));
    assert!(Arc::ptr_eq(&pool, &same));
    let pool = rebuild(&pool, &nodes(1..=1), after(60));
    assert_eq!(numbers(&pool), [1]);
    assert!(gone.is_gone());
    assert_eq!(pool.next_expiry(after(60)), None);
}

#[test]
fn a_node_without_sessions_leaves_when_its_requests_have_ended() {
    let pool = build(&delete(NodeDelete::Drain { limit: None }), &nodes(1..=2));
    let claim = member(&pool, 2).node.begin().unwrap();
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    assert_eq!(pool.next_expiry(after(10)), Some(after(15)), "looks again");
    let pool = rebuild(&pool, &nodes(1..=1), after(10));
    assert_eq!(numbers(&pool), [1, 2]);
    drop(claim);
    assert!(pool.next_expiry(after(10)).is_some_and(|end| end <= after(10)));
    assert_eq!(numbers(&rebuild(&pool, &nodes(1..=1), after(10))), [1]);
}

#[test]
fn without_limit_a_node_with_sessions_leaves_after_an_hour_of_silence() {
    let class = transparent(tidegate_model::persistence::FailureMode::NewNode);
    let settings = delete(NodeDelete::Drain { limit: None });
    let pool = Pool::build(settings, class, &nodes(1..=2), None, &context(T0));
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    assert_eq!(pool.next_expiry(T0), Some(after(3600)));
    assert_eq!(numbers(&rebuild(&pool, &nodes(1..=1), after(3599))), [1, 2]);
    assert_eq!(numbers(&rebuild(&pool, &nodes(1..=1), after(3600))), [1]);
}

#[test]
fn immediate_deletion_removes_at_once() {
    let pool = build(&delete(NodeDelete::Immediate), &nodes(1..=2));
    let gone = member(&pool, 2).node.clone();
    let next = rebuild(&pool, &nodes(1..=1), T0);
    assert_eq!(numbers(&next), [1]);
    assert!(gone.is_gone());
    // Requests that still hold the build before do not go there either.
    assert_eq!(sequence(&pool, 3), [1, 1, 1]);
}

#[test]
fn requests_of_the_build_before_find_a_node_when_all_were_replaced() {
    let pool = build(&delete(NodeDelete::Immediate), &nodes(1..=2));
    let next = rebuild(&pool, &nodes(3..=4), T0);
    assert_eq!(numbers(&next), [3, 4]);
    let still = sequence(&pool, 4);
    assert!(still.iter().all(|number| [1, 2].contains(number)), "{still:?}");
}

#[test]
fn a_node_that_returns_while_leaving_is_revived() {
    let pool = build(&Arc::new(settings()), &nodes(1..=2));
    let node_two = member(&pool, 2).node.clone();
    fail(&pool, 2, T0);
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    let pool = rebuild(&pool, &nodes(1..=2), after(1));
    assert!(Arc::ptr_eq(&node_two, &member(&pool, 2).node));
    assert!(!node_two.is_leaving());
    assert_eq!(member(&pool, 2).leaving, None);
    assert_eq!(node_two.status(), "failed", "it keeps its health");
    assert_eq!(pool.next_expiry(after(1)), None);
}

#[test]
fn a_node_that_returns_later_is_another_node() {
    let pool = build(&delete(NodeDelete::Immediate), &nodes(1..=2));
    let first = member(&pool, 2).node.id();
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    let pool = rebuild(&pool, &nodes(1..=2), T0);
    assert_ne!(first, member(&pool, 2).node.id());
    assert!(!member(&pool, 2).node.is_gone());
}

#[test]
fn states_decide_who_takes_new_sessions() {
    use NodeState::{Active, Disabled, Draining};
    let table: [(&[NodeState], Result<u16, NoNode>); 6] = [
        (&[], Err(NoNode::NoNodes)),
        (&[Draining], Err(NoNode::NoNodes)),
        (&[Disabled], Err(NoNode::NoNodes)),
        (&[Disabled, Draining], Err(NoNode::NoNodes)),
        (&[Disabled, Active], Ok(2)),
        (&[Active, Draining], Ok(1)),
    ];
    for (states, expected) in table {
        let specs: Vec<NodeSpec> =
            (1..).zip(states).map(|(n, state)| NodeSpec { state: *state, ..node(n) }).collect();
        let pool = build(&Arc::new(settings()), &specs);
        for _ in 0..3 {
            assert_eq!(choose(&pool, T0), expected, "{states:?}");
        }
        assert_eq!(pool.usable_nodes(T0), usize::from(expected.is_ok()), "{states:?}");
    }
}

#[test]
fn leaving_nodes_are_bounded() {
    let pool = build(&delete(NodeDelete::Drain { limit: None }), &nodes(1..=3000));
    let held: Vec<_> = pool.members().iter().map(|member| member.node.begin().unwrap()).collect();
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    assert_eq!(pool.members().len(), 1 + MOST_LEAVING);
    assert_eq!(pool.counters().leaving_cut_short, 2999 - MOST_LEAVING as u64);
    drop(held);
}

#[test]
fn monitors_and_passive_monitoring_taken_off_the_pool_are_forgotten() {
    let pool = build(&Arc::new(settings()), &nodes(1..=3));
    fail(&pool, 1, T0);
    member(&pool, 2).node.set_monitor_verdict(&"m1".into(), false, T0);
    member(&pool, 3).node.set_monitor_verdict(&"m2".into(), false, T0);
    assert_eq!(choose(&pool, T0), Err(NoNode::AllFailed));
    let settings = with(|settings| {
        settings.monitors = vec!["m2".into()];
        settings.passive_monitoring = false;
    });
    let pool = Pool::build(settings, None, &nodes(1..=3), Some(&pool), &context(T0));
    let working: Vec<bool> = pool.members().iter().map(|member| member.node.health().in_rotation()).collect();
    assert_eq!(working, [true, true, false]);
    assert!(choose(&pool, T0).is_ok());
}

#[test]
fn five_hundred_unchanged_pools_and_one_changed_are_quick() {
    let class = transparent(tidegate_model::persistence::FailureMode::NewNode);
    let build = |n: u16, nodes: &[NodeSpec], previous: Option<&Arc<Pool>>| {
        let settings = with(|settings| settings.name = format!("pool {n}").into());
        Pool::build(settings, class.clone(), nodes, previous, &context(T0))
    };
    let pools: Vec<Arc<Pool>> = (0..500).map(|n| build(n, &nodes(1..=20), None)).collect();
    let mut changed = 0;
    for (n, pool) in (0..).zip(&pools) {
        let list = if n == 250 { nodes(2..=21) } else { nodes(1..=20) };
        changed += usize::from(!Arc::ptr_eq(pool, &build(n, &list, Some(pool))));
    }
    assert_eq!(changed, 1);
}

#[test]
fn drain_limits_follow_the_settings() {
    let pool = Pool::build(
        delete(NodeDelete::Drain { limit: None }),
        transparent(tidegate_model::persistence::FailureMode::NewNode),
        &nodes(1..=2),
        None,
        &context(T0),
    );
    let pool = rebuild(&pool, &nodes(1..=1), T0);
    let class = pool.persistence().cloned();
    let settings = delete(NodeDelete::Drain { limit: Some(Duration::from_secs(30)) });
    let shorter = Pool::build(settings, class.clone(), &nodes(1..=1), Some(&pool), &context(after(10)));
    assert_eq!(shorter.next_expiry(after(10)), Some(after(30)));
    let now =
        Pool::build(delete(NodeDelete::Immediate), class, &nodes(1..=1), Some(&shorter), &context(after(11)));
    assert_eq!(numbers(&now), [1]);
}
