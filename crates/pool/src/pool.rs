//! A pool as it runs: slots with nodes, and what rebuilds carry over.

use std::{
    collections::HashSet,
    fmt,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tidegate_model::{Moment, PersistenceClass, Pool as Settings, pool::NodeState};

use crate::{
    choose::Slot,
    health::{Event, Health},
    limit::{QueueFull, QueuePlace, Releases},
    node::Node,
    persistence::{
        Prepared, TableCounters,
        other::{OtherClasses, Others},
    },
    roster::{Roster, takes_new_sessions},
};

/// A pool as it runs. Made by [`Pool::build`] only.
pub struct Pool {
    pub(crate) settings: Arc<Settings>,
    pub(crate) persistence: Option<Arc<PersistenceClass>>,
    pub(crate) members: Box<[Member]>,
    pub(crate) shared: Arc<Shared>,
    /// Persistence at work; `None` without class, and for classes that are not acted on.
    pub(crate) prepared: Option<Prepared>,
    /// Classes that rules asked for instead.
    pub(crate) others: OtherClasses,
    /// Who may be chosen now; replaced by the first request that finds it stale.
    pub(crate) roster: ArcSwap<Roster>,
}

/// A slot: a node and what this build says of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node.
    pub node: Arc<Node>,
    /// What the configuration says.
    pub state: NodeState,
    /// 1–100.
    pub weight: u32,
    /// Higher is preferred.
    pub priority: u32,
    /// Address to connect from.
    pub source_ip: Option<IpAddr>,
    /// Host name it is configured by, if it is.
    pub name: Option<Arc<str>>,
    /// When it leaves the pool; `None` = it does not.
    pub leaving: Option<Leaving>,
}

/// A node on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Since when.
    pub since: Moment,
    /// At the latest; `None` = no limit.
    pub until: Option<Moment>,
}

/// What all builds of a pool share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) transaction_limit: AtomicU32,
    pub(crate) connection_limit: AtomicU32,
    pub(crate) waiting: AtomicU32,
    pub(crate) turns: AtomicU64,
    version: AtomicU64,
    pub(crate) releases: OnceLock<Arc<dyn Releases>>,
    pub(crate) queued: AtomicU64,
    pub(crate) queue_refused: AtomicU64,
    pub(crate) sessions_moved: AtomicU64,
    pub(crate) trials: AtomicU64,
    pub(crate) leaving_cut_short: AtomicU64,
    pub(crate) others: Others,
}

/// Counters of a pool since it exists, over all builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Requests in the queue now.
    pub waiting: u32,
    /// Requests that entered the queue.
    pub queued: u64,
    /// Requests refused because `max_queue_size` were waiting.
    pub queue_refused: u64,
    /// Requests of a session sent to another node than the session's.
    pub sessions_moved: u64,
    /// Requests that found out whether a failed node works again.
    pub trials: u64,
    /// Leaving nodes removed early because too many were leaving.
    pub leaving_cut_short: u64,
    /// Occupation of the session tables: of the pool's own class and of those that rules asked for.
    pub sessions: TableCounters,
    /// Classes that rules asked for and that made room for another, since there were too many.
    pub classes_evicted: u64,
}

impl Shared {
    /// Of a new pool whose first turn is `seed`.
    pub(crate) fn starting(seed: u64) -> Self {
        // The counter of turns must not wrap round, which would favour some nodes.
        Self { turns: AtomicU64::new(seed >> 1), ..Self::default() }
    }

    /// Makes rosters stale if the change bears on who may be chosen. A mere count of failures does not.
    pub(crate) fn health_changed(&self, before: Health, after: Health) {
        let bearing = |health: Health| (health.in_rotation(), health.introducing, health.next_try());
        if bearing(before) != bearing(after) {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Grows with every change of health that bears on who may be chosen.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn release(&self, node: &Node) {
        if self.waiting.load(Ordering::SeqCst) > 0
            && let Some(hook) = self.releases.get()
        {
            hook.released(node);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.settings.name)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Settings of this build.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Persistence class of this build.
    pub fn persistence(&self) -> Option<&Arc<PersistenceClass>> {
        self.persistence.as_ref()
    }

    /// Every slot, leaving nodes included.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// `after`, a later build, serves now in place of this one (`None`: the pool itself is gone). Nodes that are not in it
    /// take nothing more and let go of what they have. Whether there are any.
    ///
    /// Not before: a request that loses its node has to find the build that has others.
    pub fn let_go(&self, after: Option<&Self>, now: Moment) -> bool {
        let stay: HashSet<u32> =
            after.iter().flat_map(|after| after.members()).map(|member| member.node.id()).collect();
        let mut any = false;
        for member in self.members.iter().filter(|member| !stay.contains(&member.node.id())) {
            member.node.apply(Event::Removed, now);
            any = true;
        }
        any
    }

    /// The slot's node and what this build says of it.
    pub fn member(&self, slot: Slot) -> Option<&Member> {
        self.members.get(slot.0 as usize)
    }

    /// How many nodes could take a new session now, limits aside.
    pub fn usable_nodes(&self, now: Moment) -> usize {
        self.members.iter().filter(|member| takes_new_sessions(member) && member.node.usable(now)).count()
    }

    /// Tells the queue of every node that can take requests: something other than a released claim made room. For
    /// whoever makes this build the serving one, once it is: those who are called look at the pool that serves.
    pub fn release_all(&self, now: Moment) {
        for member in self.members.iter().filter(|member| member.node.usable(now)) {
            self.shared.release(&member.node);
        }
    }

    /// When a rebuild would drop a leaving node, or should look again whether it can.
    pub fn next_expiry(&self, now: Moment) -> Option<Moment> {
        self.members.iter().filter_map(|member| self.end_of(member, now)).min()
    }

    /// Takes a place in the queue, at most `max_queue_size`. Choose once more before sleeping.
    pub fn enter_queue(&self) -> Result<QueuePlace, QueueFull> {
        QueuePlace::enter(&self.shared, self.settings.max_queue_size)
    }

    /// Counters since the pool exists.
    pub fn counters(&self) -> PoolCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolCounters {
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            queued: read(&self.shared.queued),
            queue_refused: read(&self.shared.queue_refused),
            sessions_moved: read(&self.shared.sessions_moved),
            trials: read(&self.shared.trials),
            leaving_cut_short: read(&self.shared.leaving_cut_short),
            sessions: self
                .prepared
                .as_ref()
                .map(Prepared::counters)
                .unwrap_or_default()
                .plus(self.shared.others.counters()),
            classes_evicted: self.shared.others.evicted(),
        }
    }

    /// Whether the node's limits leave room for a request. A node whose connections are all used up has room if
    /// one of them is idle.
    pub(crate) fn has_room(&self, node: &Node) -> bool {
        let transactions = self.shared.transaction_limit.load(Ordering::Relaxed);
        let connections = self.shared.connection_limit.load(Ordering::Relaxed);
        (transactions == 0 || node.in_flight() < transactions)
            && (connections == 0 || node.connections() < connections || node.idle_connections() > 0)
    }

    /// Who is told when a claim was released while requests wait. The first call wins and holds for all builds.
    pub fn set_releases(&self, hook: Arc<dyn Releases>) {
        // An error only says that there is one already.
        drop(self.shared.releases.set(hook));
    }
}
