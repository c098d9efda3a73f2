//! A pool as it runs: slots with nodes, and what rebuilds carry over.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use tidegate_model::{Moment, MonitorName, PersistenceClass, Pool as Settings, pool::NodeState};

use crate::{
    choose::Slot,
    health::{Health, HealthChange},
    limit::{QueueFull, QueuePlace, Releases},
    node::Node,
};

/// A pool as it runs. Made by [`Pool::build`] only.
pub struct Pool {
    pub(crate) settings: Arc<Settings>,
    pub(crate) persistence: Option<Arc<PersistenceClass>>,
    pub(crate) members: Box<[Member]>,
    pub(crate) shared: Arc<Shared>,
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
    pub(crate) version: AtomicU64,
    pub(crate) releases: OnceLock<Arc<dyn Releases>>,
}

impl Shared {
    pub(crate) fn health_changed(&self, before: Health, after: Health) {
        let _ = (before, after);
        self.version.fetch_add(1, Ordering::AcqRel);
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

    /// The slot's node and what this build says of it.
    pub fn member(&self, slot: Slot) -> Option<&Member> {
        self.members.get(slot.0 as usize)
    }

    /// How many nodes could take a request now.
    pub fn usable_nodes(&self, now: Moment) -> usize {
        self.members.iter().filter(|m| m.node.usable(now)).count()
    }

    /// Verdict of a monitor of scope `poolwide`: while one fails, the whole pool has failed.
    pub fn set_pool_wide_verdict(
        &self,
        monitor: &MonitorName,
        up: bool,
        now: Moment,
    ) -> Option<HealthChange> {
        todo!("{monitor} {up} {now:?}")
    }

    /// When a rebuild would drop a leaving node.
    pub fn next_expiry(&self, now: Moment) -> Option<Moment> {
        todo!("{now:?}")
    }

    /// Takes a place in the queue, at most `max_queue_size`. Choose once more before sleeping.
    pub fn enter_queue(&self) -> Result<QueuePlace, QueueFull> {
        todo!()
    }

    /// Who is told when a claim was released while requests wait. The first call wins and holds for all builds.
    pub fn set_releases(&self, hook: Arc<dyn Releases>) {
        let _ = self.shared.releases.set(hook);
    }
}
