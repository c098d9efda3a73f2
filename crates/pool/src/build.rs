//! The only constructor of a pool, and what it takes over from the one before.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use tidegate_model::{
    GlobalSettings, Moment, PersistenceClass, Pool as Settings,
    pool::{NodeDelete, NodeState},
};

use crate::{
    health::Event,
    node::Node,
    persistence::{Prepared, SessionKey},
    pool::{Leaving, Member, Pool, Shared},
    roster::{Roster, takes_new_sessions},
};

/// Most nodes of a pool that leave at a time; above that those that have been leaving longest go at once (counted).
pub const MOST_LEAVING: usize = 1024;

/// A leaving node stays at least this long unless the drain limit is shorter: by then every worker has the new
/// build.
const LEAST_LEAVING: Duration = Duration::from_secs(2);

/// When to look again at a leaving node that has requests in progress.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Without drain limit, sessions of a leaving node have ended when none was used for this long.
const QUIET: Duration = Duration::from_hours(1);

/// A node as configuration and discovery want it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Where it listens. With the pool, the node's identity.
    pub address: SocketAddr,
    /// As people see it. A node keeps the label it joined with.
    pub label: Arc<str>,
    /// `state`, or draining as discovery asks.
    pub state: NodeState,
    /// 1–100.
    pub weight: u32,
    /// Higher is preferred.
    pub priority: u32,
    /// Address to connect from.
    pub source_ip: Option<IpAddr>,
    /// Host name it is configured by, if it is: what its certificate has to be valid for.
    pub name: Option<Arc<str>>,
}

impl NodeSpec {
    /// An active node of weight and priority 1, labelled with its address.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            address,
            label: address.to_string().into(),
            state: NodeState::Active,
            weight: 1,
            priority: 1,
            source_ip: None,
            name: None,
        }
    }
}

/// What a build needs besides the pool's own settings.
#[derive(Clone, Debug)]
pub struct PoolContext {
    /// The time of the build.
    pub now: Moment,
    /// A random number; decides where a new pool's turns start.
    pub seed: u64,
    /// Key of the values of transparent cookies.
    pub session_key: SessionKey,
    /// `session.ip_cache_size`.
    pub ip_table_size: usize,
    /// `session.ip_cache_expiry`.
    pub ip_expiry: Option<Duration>,
    /// `session.j2ee_cache_size`.
    pub cookie_table_size: usize,
    /// Data workers, for what each counts of a node.
    pub workers: usize,
    /// `session.universal_cache_size`.
    pub universal_table_size: usize,
    /// `session.universal_cache_expiry`.
    pub universal_expiry: Option<Duration>,
}

impl PoolContext {
    /// Takes the table sizes from the global settings. For one data worker.
    pub fn new(now: Moment, seed: u64, session_key: SessionKey, global: &GlobalSettings) -> Self {
        Self {
            now,
            seed,
            session_key,
            ip_table_size: global.ip_session_table_size,
            ip_expiry: global.ip_session_expiry,
            cookie_table_size: global.cookie_session_table_size,
            workers: 1,
            universal_table_size: global.universal_session_table_size,
            universal_expiry: global.universal_session_expiry,
        }
    }

    /// Whether persistence classes are prepared alike with both.
    pub(crate) fn prepares_like(&self, other: &Self) -> bool {
        let sizes = |of: &Self| (of.ip_table_size, of.cookie_table_size, of.universal_table_size);
        self.session_key == other.session_key
            && sizes(self) == sizes(other)
            && (self.ip_expiry, self.universal_expiry) == (other.ip_expiry, other.universal_expiry)
    }
}

impl Pool {
    /// Builds the pool, keeping every node of `previous` whose address is still there. If nothing changed the
    /// result is `previous` itself. A repeated address counts once, the first time.
    ///
    /// Nodes that are not in `nodes` any more leave as `node_delete_behavior` says; call again by
    /// [`Pool::next_expiry`]. Those that are not in the result at all go on until [`Pool::let_go`]. `previous` has to be
    /// the newest build of the pool. O(n) for n nodes.
    pub fn build(
        settings: Arc<Settings>,
        persistence: Option<Arc<PersistenceClass>>,
        nodes: &[NodeSpec],
        previous: Option<&Arc<Self>>,
        context: &PoolContext,
    ) -> Arc<Self> {
        let previous = previous.filter(|previous| previous.settings.name == settings.name);
        let leaving = previous.map(|previous| previous.leaving_after(&settings, nodes, context.now));
        if let (Some(previous), Some(leaving)) = (previous, &leaving)
            && previous.is_current(&settings, persistence.as_deref(), nodes, leaving, context)
        {
            if previous.shared.others.set_context(context) {
                previous.others.store(Arc::default());
            }
            return previous.clone();
        }
        let shared =
            previous.map_or_else(|| Arc::new(Shared::starting(context.seed)), |pool| pool.shared.clone());
        let serving = previous.is_some_and(|pool| pool.members.iter().any(takes_new_sessions));
        let mut old: HashMap<SocketAddr, &Member> = previous
            .iter()
            .flat_map(|pool| &pool.members)
            .map(|member| (member.node.address(), member))
            .collect();
        let mut seen = HashSet::with_capacity(nodes.len());
        let mut members = Vec::with_capacity(nodes.len());
        for spec in nodes.iter().filter(|spec| seen.insert(spec.address)) {
            let node = old.remove(&spec.address).map_or_else(
                || {
                    let node = Node::new(
                        spec.address,
                        spec.label.clone(),
                        settings.name.clone(),
                        shared.clone(),
                        context.workers,
                    );
                    if serving {
                        node.introduce(context.now);
                    }
                    Arc::new(node)
                },
                |member| member.node.clone(),
            );
            node.set_leaving(false);
            members.push(spec.member(node));
        }
        for member in leaving.into_iter().flatten() {
            member.node.set_leaving(true);
            members.push(member);
        }
        let shared_prepared = previous.and_then(|pool| pool.prepared.as_ref());
        let prepared =
            persistence.as_deref().and_then(|class| Prepared::new(class, &members, shared_prepared, context));
        let pool = Self {
            settings,
            persistence,
            members: members.into(),
            shared,
            prepared,
            others: ArcSwap::default(),
            roster: ArcSwap::default(),
        };
        pool.shared.others.set_context(context);
        pool.obey_settings(context.now);
        pool.roster.store(Arc::new(Roster::new(&pool, context.now)));
        Arc::new(pool)
    }

    /// Applies what the settings say to the state that all builds share.
    fn obey_settings(&self, now: Moment) {
        let settings = &self.settings;
        let limit = |limit: Option<u32>| limit.unwrap_or(0);
        self.shared.transaction_limit.store(limit(settings.max_transactions_per_node), Ordering::Relaxed);
        self.shared.connection_limit.store(limit(settings.max_connections_per_node), Ordering::Relaxed);
        for member in &self.members {
            member.node.keep_monitors(&settings.monitors, now);
            if !settings.passive_monitoring {
                member.node.apply(Event::PassiveOff, now);
            }
        }
    }

    /// The members that leave, or go on leaving, when `nodes` are the nodes.
    fn leaving_after(&self, settings: &Settings, nodes: &[NodeSpec], now: Moment) -> Vec<Member> {
        let NodeDelete::Drain { limit } = settings.node_delete else { return Vec::new() };
        // While the list stands still, which is nearly always, no set is needed to know who left.
        let stays = |(member, spec): (&Member, &NodeSpec)| member.node.address() == spec.address;
        let same = self.members.len() >= nodes.len() && self.members.iter().zip(nodes).all(stays);
        let addresses: HashSet<SocketAddr> =
            if same { HashSet::new() } else { nodes.iter().map(|spec| spec.address).collect() };
        let rest = if same { &self.members[nodes.len()..] } else { &self.members[..] };
        let mut leaving: Vec<Member> = rest
            .iter()
            .filter(|member| !addresses.contains(&member.node.address()))
            .map(|member| {
                let since = member.leaving.map_or(now, |leaving| leaving.since);
                let until = limit.map(|limit| since.after(limit));
                Member { leaving: Some(Leaving { since, until }), ..member.clone() }
            })
            .filter(|member| self.end_of(member, now).is_none_or(|end| end > now))
            .collect();
        if leaving.len() > MOST_LEAVING {
            leaving.sort_by_key(|member| member.leaving.map(|leaving| std::cmp::Reverse(leaving.since)));
            let cut = (leaving.len() - MOST_LEAVING) as u64;
            self.shared.leaving_cut_short.fetch_add(cut, Ordering::Relaxed);
            leaving.truncate(MOST_LEAVING);
        }
        leaving
    }

    /// When the member is to be removed, or looked at again; `None` = it is not leaving.
    ///
    /// At the latest when the drain limit passes. Without persistence as soon as it has no request in progress.
    /// With it and without limit, when no session has used it for [`QUIET`].
    pub(crate) fn end_of(&self, member: &Member, now: Moment) -> Option<Moment> {
        let Leaving { since, until } = member.leaving?;
        let sessions = self.prepared.is_some() || self.shared.others.in_use();
        let quiet = match (sessions, until) {
            (false, _) => Some(since.after(LEAST_LEAVING)),
            (true, None) => Some(since.max(member.node.session_used()).after(QUIET)),
            (true, Some(_)) => None,
        };
        let busy = member.node.in_flight() > 0;
        let quiet = quiet.map(|quiet| if busy { quiet.max(now.after(LOOK_AGAIN)) } else { quiet });
        [until, quiet].into_iter().flatten().min()
    }

    /// Whether a build with these arguments would be the same as this one.
    fn is_current(
        &self,
        settings: &Arc<Settings>,
        persistence: Option<&PersistenceClass>,
        nodes: &[NodeSpec],
        leaving: &[Member],
        context: &PoolContext,
    ) -> bool {
        if !(Arc::ptr_eq(&self.settings, settings) || self.settings == *settings)
            || self.persistence.as_deref() != persistence
            || !self
                .prepared
                .as_ref()
                .zip(persistence)
                .is_none_or(|(prepared, class)| prepared.is_current(class, context))
        {
            return false;
        }
        let staying = self.members.iter().take_while(|member| member.leaving.is_none()).count();
        let (staying, left) = self.members.split_at(staying);
        let same_members = |nodes: &mut dyn Iterator<Item = &NodeSpec>| {
            staying.iter().all(|member| nodes.next().is_some_and(|spec| spec.is(member)))
                && nodes.next().is_none()
        };
        if left.len() != leaving.len()
            || !left.iter().zip(leaving).all(|(a, b)| a.leaving == b.leaving && Arc::ptr_eq(&a.node, &b.node))
        {
            return false;
        }
        if nodes.len() == staying.len() {
            return same_members(&mut nodes.iter());
        }
        // Longer: perhaps addresses are repeated.
        let mut seen = HashSet::with_capacity(staying.len());
        nodes.len() > staying.len()
            && same_members(&mut nodes.iter().filter(|spec| seen.insert(spec.address)))
    }
}

impl NodeSpec {
    fn member(&self, node: Arc<Node>) -> Member {
        Member {
            node,
            state: self.state,
            weight: self.weight.max(1),
            priority: self.priority,
            source_ip: self.source_ip,
            name: self.name.clone(),
            leaving: None,
        }
    }

    fn is(&self, member: &Member) -> bool {
        self.address == member.node.address()
            && self.state == member.state
            && self.weight.max(1) == member.weight
            && self.priority == member.priority
            && self.source_ip == member.source_ip
            && self.name == member.name
    }
}
