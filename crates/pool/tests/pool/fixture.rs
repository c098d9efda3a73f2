//! Pools made from a few words, and seeded random numbers.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tidegate_model::{
    GlobalSettings, Moment, PersistenceClass, Pool as Settings,
    persistence::{FailureMode, Method},
    pool::{Algorithm, NodeDelete},
};
use tidegate_pool::{Choice, NoNode, NodeSpec, Pool, PoolContext, Session, SessionKey, Slot, Tried};

pub(crate) const T0: Moment = Moment(1_000_000);
pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

pub(crate) fn after(seconds: u64) -> Moment {
    T0.after(Duration::from_secs(seconds))
}

pub(crate) fn settings() -> Settings {
    Settings {
        monitors: vec!["m1".into(), "m2".into()],
        node_delete: NodeDelete::Drain { limit: Some(Duration::from_mins(1)) },
        ..Settings::named("pool")
    }
}

pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = settings();
    change(&mut settings);
    Arc::new(settings)
}

pub(crate) fn algorithm(algorithm: Algorithm) -> Arc<Settings> {
    with(|settings| settings.algorithm = algorithm)
}

pub(crate) fn class(method: Method, failure_mode: FailureMode, delete: bool) -> Arc<PersistenceClass> {
    Arc::new(PersistenceClass { name: "class".into(), method, failure_mode, delete })
}

pub(crate) fn transparent(failure_mode: FailureMode) -> Option<Arc<PersistenceClass>> {
    let method = Method::Transparent { directives: "secure".into(), always_set: false };
    Some(class(method, failure_mode, true))
}

pub(crate) fn ip() -> Option<Arc<PersistenceClass>> {
    Some(class(Method::Ip { prefix_v4: 0, prefix_v6: 64 }, FailureMode::NewNode, true))
}

/// The node 10.0.0.n:8080 for 1 ≤ n ≤ 65,535.
pub(crate) fn node(n: u16) -> NodeSpec {
    let [high, low] = n.to_be_bytes();
    NodeSpec::of((IpAddr::from([10, 0, high, low]), 8080).into())
}

pub(crate) fn nodes(range: std::ops::RangeInclusive<u16>) -> Vec<NodeSpec> {
    range.map(node).collect()
}

pub(crate) fn weighted(weights: &[u32]) -> Vec<NodeSpec> {
    (1..).zip(weights).map(|(n, weight)| NodeSpec { weight: *weight, ..node(n) }).collect()
}

pub(crate) fn context(now: Moment) -> PoolContext {
    PoolContext::new(now, 0, SessionKey::new([7; 32]), &GlobalSettings::default())
}

pub(crate) fn build(settings: &Arc<Settings>, nodes: &[NodeSpec]) -> Arc<Pool> {
    Pool::build(settings.clone(), None, nodes, None, &context(T0))
}

pub(crate) fn rebuild(pool: &Arc<Pool>, nodes: &[NodeSpec], now: Moment) -> Arc<Pool> {
    let context = context(now);
    let after =
        Pool::build(pool.settings().clone(), pool.persistence().cloned(), nodes, Some(pool), &context);
    pool.let_go(Some(&after), now);
    after
}

/// Makes up what the data path gets from its surroundings.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The number of a node made by [`node`].
pub(crate) fn number(choice: &Choice<'_>) -> u16 {
    number_of(choice.node)
}

pub(crate) fn number_of(node: &tidegate_pool::Node) -> u16 {
    match node.address().ip() {
        IpAddr::V4(ip) => u16::from_be_bytes([ip.octets()[2], ip.octets()[3]]),
        IpAddr::V6(_) => 0,
    }
}

pub(crate) fn choose(pool: &Pool, now: Moment) -> Result<u16, NoNode> {
    pool.choose(&Session::NONE, &Tried::none(), now, 0).map(|choice| number(&choice))
}

/// Numbers of the nodes that successive requests go to.
pub(crate) fn sequence(pool: &Pool, count: usize) -> Vec<u16> {
    (0..count).map(|_| choose(pool, T0).unwrap()).collect()
}

/// How many of `count` requests go to each of the nodes 1 to `of`.
pub(crate) fn shares(pool: &Pool, of: u16, count: usize, now: Moment, random: &mut Random) -> Vec<usize> {
    let mut shares = vec![0; usize::from(of) + 1];
    for _ in 0..count {
        let choice = pool.choose(&Session::NONE, &Tried::none(), now, random.next()).unwrap();
        shares[usize::from(number(&choice))] += 1;
    }
    shares.remove(0);
    shares
}

pub(crate) fn tried(slots: &[Slot]) -> Tried {
    let mut tried = Tried::none();
    for slot in slots {
        assert!(tried.add(*slot));
    }
    tried
}

/// The slot of a node made by [`node`].
pub(crate) fn slot_of(pool: &Pool, n: u16) -> Slot {
    // Slots are handed out by choices only.
    let mut tried = Tried::none();
    loop {
        let choice = pool.choose(&Session::NONE, &tried, T0, 0).unwrap();
        if number(&choice) == n {
            return choice.slot;
        }
        assert!(tried.add(choice.slot), "node {n} is not chosen");
    }
}

pub(crate) fn member(pool: &Pool, n: u16) -> &tidegate_pool::Member {
    let wanted = node(n).address;
    pool.members().iter().find(|member| member.node.address() == wanted).unwrap()
}

/// Fails the node by requests.
pub(crate) fn fail(pool: &Pool, n: u16, now: Moment) {
    for _ in 0..pool.settings().node_connection_attempts {
        member(pool, n).node.record_failure(tidegate_pool::FailureKind::Connect, pool.settings(), now);
    }
}
