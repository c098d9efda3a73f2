//! What is said of a choice is what the choice then does, and saying it changes nothing.

use std::time::Duration;

use tidegate_model::{
    persistence::{FailureMode, Method},
    pool::{Algorithm, NodeState},
};
use tidegate_pool::{Asked, NodeSpec, Pool, Session, Tried, session::Found};

use crate::fixture::*;

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RoundRobin,
    Algorithm::WeightedRoundRobin,
    Algorithm::LeastConnections,
    Algorithm::WeightedLeastConnections,
    Algorithm::FastestResponseTime,
    Algorithm::Perceptive,
    Algorithm::Random,
];

/// Asks and then chooses: both give the same.
fn agree(
    pool: &Pool,
    session: &Session,
    tried: &Tried,
    now: tidegate_model::Moment,
    random: u64,
) -> Result<u16, tidegate_pool::NoNode> {
    let counters = pool.counters();
    let said: Vec<_> = (0..3)
        .map(|_| {
            pool.would_choose(session, tried, now, random)
                .map(|choice| (number(&choice), choice.sticky, choice.trial))
        })
        .collect();
    assert_eq!(pool.counters(), counters, "saying it changes nothing");
    let done =
        pool.choose(session, tried, now, random).map(|choice| (number(&choice), choice.sticky, choice.trial));
    assert_eq!(said, vec![done.clone(); 3]);
    done.map(|(number, ..)| number)
}

#[test]
fn every_algorithm_chooses_what_was_said() {
    for kind in ALGORITHMS {
        let mut random = Random(7);
        let nodes = weighted(&[1, 5, 2, 1, 3]);
        let pool = build(&algorithm(kind), &nodes);
        let mut claims = Vec::new();
        for step in 0..200_u64 {
            let now = after(step);
            match random.below(8) {
                0 => fail(&pool, random.below(5) as u16 + 1, now),
                1 => drop(claims.pop()),
                2 => drop(
                    member(&pool, random.below(5) as u16 + 1)
                        .node
                        .record_success(Duration::from_millis(random.below(50)), now),
                ),
                _ => {}
            }
            let mut tried = Tried::none();
            if random.below(4) == 0
                && let Some(slot) = pool.find(&node(random.below(5) as u16 + 1).address.to_string())
            {
                tried.avoid(slot);
            }
            if let Ok(chosen) = agree(&pool, &Session::NONE, &tried, now, random.next()) {
                claims.extend(member(&pool, chosen).node.begin().ok());
            }
        }
    }
}

#[test]
fn sessions_of_a_table_are_looked_up_and_not_used() {
    let class = class(Method::Universal, FailureMode::NewNode, true);
    let context = context(T0);
    let pool = Pool::build(settings().into(), Some(class.clone()), &nodes(1..=5), None, &context);
    let asked = |key: &'static [u8]| Asked { key: Some(key), ..Asked::default() };
    let find = |key| pool.would_find_session(&asked(key), [], CLIENT, T0);
    assert_eq!(find(b"a").found(), Found::New);
    let said = agree(&pool, &find(b"a"), &Tried::none(), T0, 1).unwrap();
    assert!(matches!(find(b"a").found(), Found::Node(_)), "the choice was remembered");
    assert_eq!(agree(&pool, &find(b"a"), &Tried::none(), T0, 2), Ok(said));
    assert_eq!(find(b"b").found(), Found::New, "nobody chose for this one");
    assert_eq!(pool.counters().sessions.entries, 1);

    // A class that only a rule asks for gets no table by being looked at.
    let other = Asked { class: Some(&class), key: Some(b"a"), ..Asked::default() };
    let plain = build(&with(|_| {}), &nodes(1..=5));
    for _ in 0..3 {
        assert_eq!(plain.would_find_session(&other, [], CLIENT, T0).found(), Found::New);
    }
    let session = plain.session_asked(&other, [], CLIENT, T0);
    let chosen = agree(&plain, &session, &Tried::none(), T0, 3).unwrap();
    let again = plain.would_find_session(&other, [], CLIENT, T0);
    assert_eq!(agree(&plain, &again, &Tried::none(), T0, 4), Ok(chosen));
}

#[test]
fn every_node_has_its_reason() {
    let states = [
        NodeState::Active,
        NodeState::Draining,
        NodeState::Disabled,
        NodeState::Active,
        NodeState::Active,
        NodeState::Active,
        NodeState::Active,
    ];
    let specs: Vec<NodeSpec> = (1..)
        .zip(states)
        .map(|(n, state)| NodeSpec { state, priority: if n == 6 { 1 } else { 2 }, ..node(n) })
        .collect();
    let settings = with(|settings| {
        settings.priority_nodes = Some(1);
        settings.max_transactions_per_node = Some(1);
    });
    let pool = build(&settings, &specs);
    fail(&pool, 4, T0);
    member(&pool, 5).node.set_monitor_verdict(&"m1".into(), false, T0);
    let claim = member(&pool, 7).node.begin().unwrap();
    let mut said: Vec<(bool, String)> = Vec::new();
    for candidate in pool.candidates(&Tried::none(), T0) {
        said.push((candidate.eligible, candidate.reason));
    }
    let expected = [
        (true, "takes requests"),
        (false, "draining"),
        (false, "disabled"),
        (false, "has failed requests; one may try it in 61 s"),
        (false, "monitor: m1"),
        (false, "priority 1"),
        (false, "max_transactions_per_node"),
    ];
    for ((eligible, reason), (expected_eligible, part)) in said.iter().zip(expected) {
        assert!(*eligible == expected_eligible && reason.contains(part), "{part}: {reason}");
    }
    let choice = pool.would_choose(&Session::NONE, &Tried::none(), T0, 0).unwrap();
    assert_eq!(number(&choice), 1);
    assert!(pool.why(&Session::NONE, &choice, &Tried::none(), T0).contains("only node"));
    drop(claim);
    let choice = pool.would_choose(&Session::NONE, &Tried::none(), T0, 0).unwrap();
    assert!(pool.why(&Session::NONE, &choice, &Tried::none(), T0).contains("round_robin"));
    // The rest of the failed node is over: the next request tries it.
    let later = after(3600);
    let failed = pool.candidates(&Tried::none(), later).swap_remove(3);
    assert!(failed.eligible && failed.reason.contains("the next may try it"), "{}", failed.reason);
    let choice = pool.would_choose(&Session::NONE, &Tried::none(), later, 0).unwrap();
    assert!(
        choice.trial && pool.why(&Session::NONE, &choice, &Tried::none(), later).contains("rest is over")
    );
}
