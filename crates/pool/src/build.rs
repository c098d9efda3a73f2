//! The only constructor of a pool, and what it takes over from the one before.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tidegate_model::{GlobalSettings, Moment, PersistenceClass, Pool as Settings, pool::NodeState};

use crate::{persistence::SessionKey, pool::Pool};

/// A node as configuration and discovery want it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Where it listens. With the pool, the node's identity.
    pub address: SocketAddr,
    /// As people see it.
    pub label: Arc<str>,
    /// `state`, or draining as discovery asks.
    pub state: NodeState,
    /// 1–100.
    pub weight: u32,
    /// Higher is preferred.
    pub priority: u32,
    /// Address to connect from.
    pub source_ip: Option<IpAddr>,
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
}

impl PoolContext {
    /// Takes the table sizes from the global settings.
    pub fn new(now: Moment, seed: u64, session_key: SessionKey, global: &GlobalSettings) -> Self {
        Self {
            now,
            seed,
            session_key,
            ip_table_size: global.ip_session_table_size,
            ip_expiry: global.ip_session_expiry,
            cookie_table_size: global.cookie_session_table_size,
        }
    }
}

impl Pool {
    /// Builds the pool, keeping every node of `previous` whose address is still there. If nothing changed the result
    /// is `previous` itself. A repeated address counts once, the first time.
    pub fn build(
        settings: Arc<Settings>,
        persistence: Option<Arc<PersistenceClass>>,
        nodes: &[NodeSpec],
        previous: Option<&Arc<Self>>,
        context: &PoolContext,
    ) -> Arc<Self> {
        todo!("{settings:?} {persistence:?} {nodes:?} {previous:?} {context:?}")
    }
}
