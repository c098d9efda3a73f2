//! What all lookups share: settings, the resolver configuration, the memory of servers, the clock and the limit
//! of lookups in progress.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tidegate_model::Moment;
use tokio::sync::{Semaphore, watch};

use super::{
    resolv_conf::{self, ResolvConf},
    servers::Servers,
};
use crate::DiscoveryOptions;

/// The shared part of the stub resolver.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) options: Arc<DiscoveryOptions>,
    pub(crate) servers: Servers,
    /// Refreshes in progress.
    pub(crate) lookups: Semaphore,
    origin: Instant,
    seen: Mutex<Option<Vec<u8>>>,
    conf: watch::Sender<Arc<ResolvConf>>,
}

impl Client {
    pub(crate) fn new(options: Arc<DiscoveryOptions>) -> Self {
        let mut seen = None;
        let conf = resolv_conf::reread(&options.resolv_conf, &mut seen).unwrap_or_default();
        Self {
            servers: Servers::default(),
            lookups: Semaphore::new(options.policy.concurrent_lookups.clamp(1, 1024)),
            origin: Instant::now(),
            seen: Mutex::new(seen),
            conf: watch::Sender::new(conf),
            options,
        }
    }

    /// The clock of discovery.
    pub(crate) fn now(&self) -> Moment {
        Moment(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The resolver configuration now.
    pub(crate) fn conf(&self) -> Arc<ResolvConf> {
        Arc::clone(&self.conf.borrow())
    }

    /// Tells of changes of the resolver configuration.
    pub(crate) fn conf_changes(&self) -> watch::Receiver<Arc<ResolvConf>> {
        self.conf.subscribe()
    }

    /// Looks at the resolver configuration again and again.
    pub(crate) async fn watch_conf(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.options.timing.resolv_conf_check);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A short local file: cheaper to read than to send to another thread.
            let changed = resolv_conf::reread(
                &self.options.resolv_conf,
                &mut self.seen.lock().unwrap_or_else(PoisonError::into_inner),
            );
            if let Some(conf) = changed {
                tracing::info!(servers = ?conf.servers, "the resolver configuration changed");
                self.conf.send_replace(conf);
            }
        }
    }

    /// Whether loopback addresses that `server` gave may be nodes.
    pub(crate) fn loopback_from(&self, server: SocketAddr, nodes_table: bool) -> bool {
        self.options.allow_loopback.unwrap_or_else(|| nodes_table || server.ip().is_loopback())
    }
}
