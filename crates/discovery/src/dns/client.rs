//! What all lookups share: settings, the resolver configuration, the hosts file, the memory of servers, the clock and
//! the limit of lookups in progress.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tidegate_model::Moment;
use tokio::sync::{Semaphore, watch};

use super::{
    hosts::{self, Hosts},
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
    seen: Mutex<Seen>,
    conf: watch::Sender<Arc<ResolvConf>>,
    hosts: watch::Sender<Arc<Hosts>>,
}

/// The files as they were read last.
#[derive(Debug, Default)]
struct Seen {
    conf: Option<Vec<u8>>,
    hosts: Option<Vec<u8>>,
}

impl Client {
    pub(crate) fn new(options: Arc<DiscoveryOptions>) -> Self {
        let mut seen = Seen::default();
        let conf = resolv_conf::reread(&options.resolv_conf, &mut seen.conf).unwrap_or_default();
        let hosts = hosts::reread(&options.hosts, &mut seen.hosts).unwrap_or_default();
        Self {
            servers: Servers::default(),
            lookups: Semaphore::new(options.policy.concurrent_lookups.clamp(1, 1024)),
            origin: Instant::now(),
            seen: Mutex::new(seen),
            conf: watch::Sender::new(conf),
            hosts: watch::Sender::new(hosts),
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

    /// The hosts file now.
    pub(crate) fn hosts(&self) -> Arc<Hosts> {
        Arc::clone(&self.hosts.borrow())
    }

    /// Tells of changes of the hosts file.
    pub(crate) fn hosts_changes(&self) -> watch::Receiver<Arc<Hosts>> {
        self.hosts.subscribe()
    }

    /// Looks at the resolver configuration and the hosts file again and again.
    pub(crate) async fn watch_files(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.options.timing.resolv_conf_check);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Short local files: cheaper to read than to send to another thread.
            let (conf, hosts) = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                (
                    resolv_conf::reread(&self.options.resolv_conf, &mut seen.conf),
                    hosts::reread(&self.options.hosts, &mut seen.hosts),
                )
            };
            if let Some(conf) = conf {
                tracing::info!(servers = ?conf.servers, "the resolver configuration changed");
                self.conf.send_replace(conf);
            }
            if let Some(hosts) = hosts {
                tracing::info!(names = hosts.len(), "the hosts file changed");
                self.hosts.send_replace(hosts);
            }
        }
    }

    /// Whether loopback addresses that `server` gave may be nodes.
    pub(crate) fn loopback_from(&self, server: SocketAddr, nodes_table: bool) -> bool {
        self.options.allow_loopback.unwrap_or_else(|| nodes_table || server.ip().is_loopback())
    }
}
