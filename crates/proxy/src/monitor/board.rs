//! Which nodes have failed, from the verdicts of all monitors of their pools. Pure, and generic in what stands for a node.
//!
//! In: the pools with their nodes and running monitors, and verdicts as they come. Out: the nodes whose state changed.
//! A node has failed while any monitor that counts says so, be it the node's own or the pool's.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    sync::Arc,
};

use tidegate_model::{MonitorName, PoolName};

/// Which run of which monitor: the node's address for a monitor of one node, `None` for one of the whole pool.
/// Ordered by node first, so that the monitors of a node are neighbours.
pub(crate) type Watch = (Option<SocketAddr>, MonitorName);

/// A monitor as the board is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Tells this run of the monitor from earlier ones of the same name: verdicts of others are ignored.
    pub(crate) run: u64,
    /// Why the monitor fails its node, if it does.
    pub(crate) failing: Option<Arc<str>>,
    /// Not `health_only`.
    pub(crate) counts: bool,
}

/// A pool as the board is told of it.
#[derive(Clone, Debug)]
pub(crate) struct PoolMonitors<N> {
    /// Nodes with at least one monitor.
    pub(crate) nodes: BTreeMap<SocketAddr, N>,
    /// Monitors that run.
    pub(crate) monitors: BTreeMap<Watch, Standing>,
}

impl<N> Default for PoolMonitors<N> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), monitors: BTreeMap::new() }
    }
}

/// A node whose state must be set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<N> {
    pub(crate) pool: PoolName,
    pub(crate) address: SocketAddr,
    pub(crate) node: N,
    /// The monitor that fails it and why; `None`: no monitor does.
    pub(crate) failed: Option<(MonitorName, Arc<str>)>,
}

/// All pools with monitors.
#[derive(Debug)]
pub(crate) struct Board<N> {
    pools: BTreeMap<PoolName, BoardPool<N>>,
}

#[derive(Debug)]
struct BoardPool<N> {
    nodes: BTreeMap<SocketAddr, Member<N>>,
    monitors: BTreeMap<Watch, Standing>,
}

#[derive(Debug)]
struct Member<N> {
    node: N,
    failed: bool,
}

impl<N> Default for Board<N> {
    fn default() -> Self {
        Self { pools: BTreeMap::new() }
    }
}

impl<N: Clone> Board<N> {
    /// Replaces everything. Nodes that are still there keep their state unless the monitors say otherwise; a failed
    /// node that no monitor looks after any more is given back as working.
    /// `same` tells whether two nodes of one address are one and the same.
    pub(crate) fn replace(
        &mut self,
        pools: BTreeMap<PoolName, PoolMonitors<N>>,
        same: impl Fn(&N, &N) -> bool,
    ) -> Vec<Change<N>> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.pools);
        for (name, pool) in pools {
            let mut old = before.remove(&name).map(|old| old.nodes).unwrap_or_default();
            let nodes = pool.nodes.into_iter().map(|(address, node)| {
                // A node that is new at an old address starts as working, whatever its forerunner was.
                let failed =
                    old.remove(&address).filter(|old| same(&old.node, &node)).is_some_and(|old| old.failed);
                (address, Member { node, failed })
            });
            let mut pool = BoardPool { nodes: nodes.collect(), monitors: pool.monitors };
            released(&name, old, &mut changes);
            pool.settle_all(&name, &mut changes);
            self.pools.insert(name, pool);
        }
        for (name, pool) in before {
            released(&name, pool.nodes, &mut changes);
        }
        changes
    }

    /// Takes in a verdict: why the monitor fails its node, or `None` for a pass.
    pub(crate) fn verdict(
        &mut self,
        pool: &PoolName,
        watch: Watch,
        run: u64,
        failing: Option<Arc<str>>,
    ) -> Vec<Change<N>> {
        let mut changes = Vec::new();
        let Some(board) = self.pools.get_mut(pool) else { return changes };
        let address = watch.0;
        match board.monitors.entry(watch) {
            Entry::Occupied(mut standing) if standing.get().run == run => {
                standing.get_mut().failing = failing;
            }
            _ => return changes,
        }
        match address {
            Some(address) => board.settle(pool, address, &mut changes),
            None => board.settle_all(pool, &mut changes),
        }
        changes
    }
}

/// Failed nodes that are no longer monitored.
fn released<N>(pool: &PoolName, nodes: BTreeMap<SocketAddr, Member<N>>, changes: &mut Vec<Change<N>>) {
    changes.extend(nodes.into_iter().filter(|(_, member)| member.failed).map(|(address, member)| Change {
        pool: pool.clone(),
        address,
        node: member.node,
        failed: None,
    }));
}

impl<N: Clone> BoardPool<N> {
    /// The first monitor that fails the node at `address`.
    fn failing(&self, address: SocketAddr) -> Option<(MonitorName, Arc<str>)> {
        let lowest = MonitorName::from("");
        let of_pool =
            self.monitors.range((None, lowest.clone())..).take_while(|((node, _), _)| node.is_none());
        let of_node = self
            .monitors
            .range((Some(address), lowest)..)
            .take_while(|((node, _), _)| *node == Some(address));
        of_pool
            .chain(of_node)
            .filter(|(_, standing)| standing.counts)
            .find_map(|((_, name), standing)| Some((name.clone(), Arc::clone(standing.failing.as_ref()?))))
    }

    fn settle(&mut self, pool: &PoolName, address: SocketAddr, changes: &mut Vec<Change<N>>) {
        let failing = self.failing(address);
        let Some(member) = self.nodes.get_mut(&address) else { return };
        if member.failed == failing.is_some() {
            return;
        }
        member.failed = failing.is_some();
        changes.push(Change { pool: pool.clone(), address, node: member.node.clone(), failed: failing });
    }

    fn settle_all(&mut self, pool: &PoolName, changes: &mut Vec<Change<N>>) {
        let addresses: Vec<_> = self.nodes.keys().copied().collect();
        for address in addresses {
            self.settle(pool, address, changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn pools(
        nodes: &[(u16, u32)],
        monitors: &[(Option<u16>, &str, u64)],
    ) -> BTreeMap<PoolName, PoolMonitors<u32>> {
        let nodes = nodes.iter().map(|(port, node)| (address(*port), *node)).collect();
        let monitors = monitors.iter().map(|(port, name, run)| {
            let standing = Standing { run: *run, failing: None, counts: !name.starts_with("health") };
            ((port.map(address), MonitorName::from(*name)), standing)
        });
        BTreeMap::from([(PoolName::from("p"), PoolMonitors { nodes, monitors: monitors.collect() })])
    }

    fn seen(changes: &[Change<u32>]) -> Vec<(u32, bool)> {
        changes.iter().map(|change| (change.node, change.failed.is_some())).collect()
    }

    fn say(
        board: &mut Board<u32>,
        port: Option<u16>,
        name: &str,
        run: u64,
        failing: bool,
    ) -> Vec<(u32, bool)> {
        let failing = failing.then(|| Arc::from("because"));
        seen(&board.verdict(&PoolName::from("p"), (port.map(address), name.into()), run, failing))
    }

    #[test]
    fn a_node_works_only_while_all_its_monitors_pass() {
        let mut board = Board::default();
        let monitors = [(Some(1), "a", 1), (Some(1), "b", 2), (Some(2), "a", 3), (None, "whole", 4)];
        board.replace(pools(&[(1, 1), (2, 2)], &monitors), u32::eq);
        for (port, name, run, failing, expected) in [
            (Some(1), "a", 1, true, vec![(1, true)]),
            (Some(1), "b", 2, true, vec![]),
            (Some(1), "a", 1, false, vec![]),
            (None, "whole", 4, true, vec![(2, true)]),
            (Some(1), "b", 2, false, vec![]),
            (None, "whole", 4, false, vec![(1, false), (2, false)]),
            (Some(2), "a", 1, true, vec![]), // a run that is over
            (Some(3), "a", 9, true, vec![]), // a node nobody knows
        ] {
            assert_eq!(say(&mut board, port, name, run, failing), expected, "{port:?} {name} {failing}");
        }
    }

    #[test]
    fn health_only_monitors_fail_nobody() {
        let mut board = Board::default();
        board.replace(pools(&[(1, 1)], &[(Some(1), "health", 1)]), u32::eq);
        assert_eq!(say(&mut board, Some(1), "health", 1, true), []);
    }

    #[test]
    fn a_replacement_keeps_gives_back_and_moves_on() {
        let mut board = Board::default();
        let monitors = [(Some(1), "a", 1), (Some(2), "a", 2), (Some(3), "a", 3)];
        board.replace(pools(&[(1, 1), (2, 2), (3, 3)], &monitors), u32::eq);
        for port in 1..=3 {
            assert_eq!(say(&mut board, Some(port), "a", u64::from(port), true).len(), 1);
        }
        // 1 stays failed, 2 loses its monitor, 3 is another node at the same address.
        let mut next = pools(&[(1, 1), (3, 33)], &monitors);
        for standing in next.values_mut().flat_map(|pool| pool.monitors.values_mut()) {
            standing.failing = Some("because".into());
        }
        assert_eq!(seen(&board.replace(next, u32::eq)), [(2, false), (33, true)]);
        assert_eq!(seen(&board.replace(BTreeMap::new(), u32::eq)), [(1, false), (33, false)]);
    }

    #[test]
    fn nodes_that_join_a_failed_pool_have_failed() {
        let mut board = Board::default();
        let mut failed = pools(&[(1, 1)], &[(None, "whole", 1)]);
        board.replace(failed.clone(), u32::eq);
        assert_eq!(say(&mut board, None, "whole", 1, true), [(1, true)]);
        for pool in failed.values_mut() {
            pool.nodes.insert(address(2), 2);
            pool.monitors.values_mut().for_each(|standing| standing.failing = Some("because".into()));
        }
        assert_eq!(seen(&board.replace(failed, u32::eq)), [(2, true)]);
    }
}
