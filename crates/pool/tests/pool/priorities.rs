//! Priority groups.

use tidegate_model::pool::NodeState;
use tidegate_pool::{NoNode, NodeSpec, Session, Tried};

use crate::fixture::{T0, after, build, choose, fail, member, node, number, sequence, with};

fn prioritised(priorities: &[u32]) -> Vec<NodeSpec> {
    (1..).zip(priorities).map(|(n, priority)| NodeSpec { priority: *priority, ..node(n) }).collect()
}

fn distinct(mut numbers: Vec<u16>) -> Vec<u16> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[test]
fn groups_are_added_until_enough_nodes_work() {
    // Priorities of the nodes, nodes wanted, nodes failed, nodes in use.
    type Row = (&'static [u32], Option<u32>, &'static [u16], &'static [u16]);
    let table: [Row; 8] = [
        (&[1, 2, 3, 3], None, &[], &[1, 2, 3, 4]),
        (&[1, 2, 3, 3], Some(1), &[], &[3, 4]),
        (&[1, 2, 3, 3], Some(1), &[3], &[4]),
        (&[1, 2, 3, 3], Some(1), &[3, 4], &[2]),
        (&[1, 2, 3, 3], Some(2), &[3], &[2, 4]),
        (&[1, 2, 3, 3], Some(2), &[3, 2], &[1, 4]),
        (&[1, 2, 3, 3], Some(3), &[], &[2, 3, 4]),
        (&[1, 2, 3, 3], Some(9), &[], &[1, 2, 3, 4]),
    ];
    for (priorities, wanted, failed, expected) in table {
        let pool = build(&with(|settings| settings.priority_nodes = wanted), &prioritised(priorities));
        for n in failed {
            fail(&pool, *n, T0);
        }
        assert_eq!(distinct(sequence(&pool, 12)), expected, "{priorities:?} {wanted:?} {failed:?}");
    }
}

#[test]
fn draining_and_disabled_nodes_do_not_count_as_working() {
    for state in [NodeState::Draining, NodeState::Disabled] {
        let mut specs = prioritised(&[2, 1]);
        specs[0].state = state;
        let pool = build(&with(|settings| settings.priority_nodes = Some(1)), &specs);
        assert_eq!(distinct(sequence(&pool, 4)), [2], "{state:?}");
    }
}

#[test]
fn a_failed_node_of_a_preferred_group_is_tried_and_takes_over_again() {
    let pool = build(&with(|settings| settings.priority_nodes = Some(1)), &prioritised(&[2, 1]));
    fail(&pool, 1, T0);
    assert_eq!(choose(&pool, after(59)), Ok(2));
    let choice = pool.choose(&Session::NONE, &Tried::none(), after(60), 0).unwrap();
    assert_eq!((number(&choice), choice.trial), (1, true));
    assert_eq!(choose(&pool, after(60)), Ok(2), "one trial at a time");
    member(&pool, 1).node.record_success(std::time::Duration::from_millis(1), after(61));
    assert_eq!(choose(&pool, after(61)), Ok(1));
}

#[test]
fn a_request_that_tried_all_preferred_nodes_goes_on_to_the_others() {
    let pool = build(&with(|settings| settings.priority_nodes = Some(1)), &prioritised(&[1, 2, 3]));
    let mut tried = Tried::none();
    let mut order = Vec::new();
    let end = loop {
        match pool.choose(&Session::NONE, &tried, T0, 0) {
            Ok(choice) => {
                order.push(number(&choice));
                assert!(tried.add(choice.slot));
            }
            Err(none) => break none,
        }
    };
    assert_eq!(order, [3, 2, 1]);
    assert_eq!(end, NoNode::AllTried);
}
