//! Exact sequences and shares of the seven algorithms.

use std::{sync::Arc, thread, time::Duration};

use tidegate_model::pool::Algorithm::{
    self, FastestResponseTime, LeastConnections, Perceptive, Random as Uniform, RoundRobin,
    WeightedLeastConnections, WeightedRoundRobin,
};
use tidegate_pool::{InFlight, NodeSpec, Pool, PoolContext, Session, Tried};

use crate::fixture::{
    Random, T0, after, algorithm, build, choose, context, fail, member, node, nodes, rebuild, sequence,
    shares, slot_of, tried, weighted, with,
};

const ALL: [Algorithm; 7] = [
    RoundRobin,
    WeightedRoundRobin,
    LeastConnections,
    WeightedLeastConnections,
    FastestResponseTime,
    Perceptive,
    Uniform,
];

fn hold(pool: &Pool, n: u16, count: usize) -> Vec<InFlight> {
    (0..count).map(|_| member(pool, n).node.begin().unwrap()).collect()
}

fn answers_in(pool: &Pool, n: u16, millis: u64) {
    for _ in 0..100 {
        member(pool, n).node.record_success(Duration::from_millis(millis), T0);
    }
}

#[test]
fn exact_sequences_without_load() {
    let table: [(Algorithm, &[u32], &[u16]); 6] = [
        (RoundRobin, &[1, 1, 1], &[1, 2, 3, 1, 2, 3, 1]),
        (RoundRobin, &[9, 1, 1], &[1, 2, 3, 1, 2, 3, 1]),
        (WeightedRoundRobin, &[5, 1, 1], &[1, 1, 2, 1, 3, 1, 1, 1]),
        (WeightedRoundRobin, &[2, 2, 2], &[1, 2, 3, 1, 2, 3]),
        (LeastConnections, &[1, 1, 1], &[1, 2, 3, 1, 2, 3]),
        // Nothing in progress anywhere: the weighted turn decides.
        (WeightedLeastConnections, &[5, 1, 1], &[1, 1, 2, 1, 3, 1, 1, 1]),
    ];
    for (kind, weights, expected) in table {
        let pool = build(&algorithm(kind), &weighted(weights));
        assert_eq!(sequence(&pool, expected.len()), expected, "{kind:?} {weights:?}");
    }
}

#[test]
fn least_connections_fills_up_evenly() {
    let pool = build(&algorithm(LeastConnections), &nodes(1..=3));
    let _two = hold(&pool, 1, 2);
    let mut held = Vec::new();
    let mut chosen = Vec::new();
    for _ in 0..7 {
        let choice = pool.choose(&Session::NONE, &Tried::none(), T0, 0).unwrap();
        chosen.push(crate::fixture::number(&choice));
        held.push(choice.node.begin().unwrap());
    }
    // Two each for the others, then one each.
    chosen[..4].sort_unstable();
    chosen[4..].sort_unstable();
    assert_eq!(chosen, [2, 2, 3, 3, 1, 2, 3]);
}

#[test]
fn weighted_least_connections_fills_by_weight() {
    let pool = build(&algorithm(WeightedLeastConnections), &weighted(&[4, 2, 1]));
    let mut held = Vec::new();
    for _ in 0..700 {
        held.push(pool.choose(&Session::NONE, &Tried::none(), T0, 0).unwrap().node.begin().unwrap());
    }
    let loads: Vec<u32> = pool.members().iter().map(|member| member.node.in_flight()).collect();
    for (load, expected) in loads.iter().zip([400_u32, 200, 100]) {
        assert!(load.abs_diff(expected) <= 4, "{loads:?}");
    }
}

#[test]
fn least_connections_in_a_large_pool_finds_idle_nodes_and_stays_even() {
    let pool = build(&algorithm(LeastConnections), &nodes(1..=1000));
    let mut held = Vec::new();
    for _ in 0..3000 {
        held.push(pool.choose(&Session::NONE, &Tried::none(), T0, 0).unwrap().node.begin().unwrap());
    }
    let loads: Vec<u32> = pool.members().iter().map(|member| member.node.in_flight()).collect();
    assert!(loads.iter().all(|load| (2..=4).contains(load)), "{loads:?}");
}

#[test]
fn fastest_prefers_the_lowest_average_and_probes_the_others() {
    let mut random = Random(11);
    let pool = build(&algorithm(FastestResponseTime), &nodes(1..=4));
    assert_eq!(shares(&pool, 4, 1600, T0, &mut random), [400; 4], "nothing measured: in turn");
    for (n, millis) in [(1, 30), (2, 5), (3, 20)] {
        answers_in(&pool, n, millis);
    }
    let shares = shares(&pool, 4, 1600, T0, &mut random);
    // One of 16 in turn; node 4 is not measured and gets only that.
    for (share, expected) in shares.iter().zip([25_usize, 1525, 25, 25]) {
        assert!(share.abs_diff(expected) < 15, "{shares:?}");
    }
}

#[test]
fn perceptive_starts_as_least_connections_and_shifts_to_faster_nodes() {
    let fill = |pool: &Pool| {
        let mut held = Vec::new();
        for _ in 0..900 {
            held.push(pool.choose(&Session::NONE, &Tried::none(), T0, 0).unwrap().node.begin().unwrap());
        }
        let loads: Vec<u32> = pool.members().iter().map(|member| member.node.in_flight()).collect();
        drop(held);
        loads
    };
    let pool = build(&algorithm(Perceptive), &nodes(1..=3));
    assert!(fill(&pool).iter().all(|load| load.abs_diff(300) < 30), "{:?}", fill(&pool));
    for (n, millis) in [(1, 10), (2, 20), (3, 40)] {
        answers_in(&pool, n, millis);
    }
    let loads = fill(&pool);
    // In proportion to 4:2:1, but for the probes.
    for (load, expected) in loads.iter().zip([514_u32, 257, 129]) {
        assert!(load.abs_diff(expected) < 60, "{loads:?}");
    }
}

#[test]
fn random_is_even() {
    let seed = 12;
    let pool = build(&algorithm(Uniform), &nodes(1..=10));
    let shares = shares(&pool, 10, 100_000, T0, &mut Random(seed));
    assert!(shares.iter().all(|share| share.abs_diff(10_000) < 500), "seed {seed}: {shares:?}");
}

#[test]
fn starts_anywhere() {
    let mut firsts = [0; 4];
    for seed in 0..400 {
        let seed = Random(seed).next();
        let context = PoolContext { seed, ..context(T0) };
        let pool = Pool::build(algorithm(RoundRobin), None, &nodes(1..=4), None, &context);
        firsts[usize::from(choose(&pool, T0).unwrap()) - 1] += 1;
    }
    assert!(firsts.iter().all(|count| *count > 60), "{firsts:?}");
}

#[test]
fn turns_go_on_over_builds() {
    let pool = build(&algorithm(RoundRobin), &nodes(1..=4));
    assert_eq!(sequence(&pool, 2), [1, 2]);
    let settings = with(|settings| settings.max_queue_size = Some(5));
    let next = Pool::build(settings, None, &nodes(1..=4), Some(&pool), &context(T0));
    assert!(!Arc::ptr_eq(&pool, &next));
    assert_eq!(sequence(&next, 3), [3, 4, 1]);
}

#[test]
fn two_workers_balance_as_one() {
    for kind in ALL {
        let pool = build(&algorithm(kind), &nodes(1..=7));
        let worker = |seed| shares(&pool, 7, 35_000, T0, &mut Random(seed));
        let (first, second) = thread::scope(|scope| {
            let second = scope.spawn(|| worker(32));
            (worker(31), second.join().unwrap())
        });
        let sums: Vec<usize> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
        // All but random use each turn once, whichever worker draws it.
        let tolerance = if kind == Uniform { 500 } else { 0 };
        assert!(sums.iter().all(|sum| sum.abs_diff(10_000) <= tolerance), "{kind:?} seeds 31, 32: {sums:?}");
    }
}

#[test]
fn weights_hold_in_large_pools() {
    let specs: Vec<NodeSpec> =
        (1..=1000).map(|n| NodeSpec { weight: u32::from(n) % 100 + 1, ..node(n) }).collect();
    let cycle: u32 = specs.iter().map(|spec| spec.weight).sum();
    let pool = build(&algorithm(WeightedRoundRobin), &specs);
    let shares = shares(&pool, 1000, cycle as usize, T0, &mut Random(1));
    let expected: Vec<usize> = specs.iter().map(|spec| spec.weight as usize).collect();
    assert_eq!(shares, expected);
}

#[test]
fn every_algorithm_passes_over_tried_failed_and_full_nodes() {
    for kind in ALL {
        let settings = with(|settings| {
            settings.algorithm = kind;
            settings.max_transactions_per_node = Some(1);
        });
        let pool = build(&settings, &nodes(1..=4));
        let tried = tried(&[slot_of(&pool, 1)]);
        fail(&pool, 2, T0);
        let _full = hold(&pool, 3, 1);
        let mut random = Random(5);
        for _ in 0..100 {
            let choice = pool.choose(&Session::NONE, &tried, T0, random.next()).unwrap();
            assert_eq!(crate::fixture::number(&choice), 4, "{kind:?}");
        }
    }
}

#[test]
fn newcomers_get_a_growing_share_from_every_algorithm() {
    for kind in ALL {
        let seed = 3;
        let mut random = Random(seed);
        let old = build(&algorithm(kind), &nodes(1..=4));
        let pool = rebuild(&old, &nodes(1..=5), T0);
        let share = |seconds, random: &mut Random| shares(&pool, 5, 10_000, after(seconds), random);
        let shares = [0, 10, 20].map(|seconds| share(seconds, &mut random));
        let [first, middle, whole] = [0, 1, 2].map(|at: usize| shares[at][4]);
        assert!((100..320).contains(&first), "{kind:?} seed {seed} {shares:?}");
        assert!((900..1300).contains(&middle), "{kind:?} seed {seed} {shares:?}");
        assert!((1900..=2100).contains(&whole), "{kind:?} seed {seed} {shares:?}");
        // What the newcomer does not get is shared by all others.
        assert!(shares[0][..4].iter().all(|share| share.abs_diff(2450) < 250), "{kind:?} {shares:?}");
    }
}

#[test]
fn the_first_nodes_and_a_majority_of_newcomers_get_their_whole_share() {
    let pool = build(&algorithm(RoundRobin), &nodes(1..=2));
    assert_eq!(sequence(&pool, 4), [1, 2, 1, 2]);
    let pool = rebuild(&pool, &nodes(1..=6), T0);
    let shares = shares(&pool, 6, 6000, T0, &mut Random(4));
    assert_eq!(shares, [1000; 6]);
}
