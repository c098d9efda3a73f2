//! One look at the data path: every counter and gauge, without stopping anybody.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::{PoolName, VirtualServerName};
use tidegate_pool::NodeView;
use tidegate_telemetry::{
    counters::{
        ListenCounters, PoolCounters, ProcessCounters, ProcessTotals, RuleCounters, VirtualServerCounters,
        VirtualServerTotals,
    },
    logging,
    observation::{
        Certificate, Control, ListenAddress, Node, Observation, Pool, Process, Rate, Rule, RuleServices,
        ServiceLevel, UserCounters, VirtualServer,
    },
};

use crate::{
    proxy::Proxy,
    rules::services::rate::Observed,
    snapshot::{RunningPool, RunningServer, Snapshot},
};

impl Proxy {
    /// Everything the data path counts and knows now; [`Observation::control`] is left to the control side. Counts may
    /// miss what happens meanwhile; after [`Proxy::settle`] they miss nothing that happened before.
    pub fn observe(&self) -> Observation {
        let snapshot = self.snapshot();
        Observation {
            process: self.process(&snapshot),
            virtual_servers: virtual_servers(&snapshot),
            pools: pools(&snapshot),
            listen_addresses: snapshot
                .listening
                .iter()
                .map(|(ip, address)| ListenAddress {
                    ip: *ip,
                    connections: u64::from(address.open.now()),
                    connections_peak: u64::from(address.open.most()),
                    totals: ListenCounters::totals(&address.counters),
                })
                .collect(),
            certificates: certificates(&snapshot),
            rules: rules(&snapshot),
            rates: self.rates(),
            service_levels: self.service_levels(&snapshot),
            bandwidth: snapshot.bandwidth.values().map(|class| class.observe()).collect(),
            user_counters: self.user_counters(),
            rule_services: self.rule_services(),
            control: Control::default(),
        }
    }

    /// Bytes that each virtual server has moved, both ways, since it exists.
    pub fn virtual_server_bytes(&self) -> Vec<(VirtualServerName, u64)> {
        let snapshot = self.snapshot();
        // One that listens on several addresses is there for each of them and counts once.
        let servers: BTreeMap<_, &RunningServer> =
            snapshot.servers.values().map(|server| (server.name(), &**server)).collect();
        servers
            .into_iter()
            .map(|(name, server)| {
                let totals = VirtualServerCounters::totals(&server.counters);
                (name.clone(), totals.bytes_in + totals.bytes_out)
            })
            .collect()
    }

    /// What is counted altogether.
    pub fn process_totals(&self) -> ProcessTotals {
        ProcessCounters::totals(&self.shared.counters)
    }

    fn rates(&self) -> Vec<Rate> {
        let classes = self.shared.services.rates.observe(self.shared.now());
        let rate = |class: Observed| Rate {
            name: class.name,
            per_second: class.limits.per_second.map_or(0, |limit| limit.get().into()),
            per_minute: class.limits.per_minute.map_or(0, |limit| limit.get().into()),
            current: class.current,
            entered: class.counters.entered,
            left: class.counters.left,
            dropped: class.counters.dropped,
            waiting: class.counters.waiting as u64,
            contexts: class.counters.contexts as u64,
            contexts_forgotten: class.counters.forgotten,
            contexts_full: class.counters.together,
        };
        classes.into_iter().map(rate).collect()
    }

    fn service_levels(&self, snapshot: &Snapshot) -> Vec<ServiceLevel> {
        let now = self.shared.now();
        snapshot.service_levels.values().map(|level| level.observe(now)).collect()
    }

    fn user_counters(&self) -> UserCounters {
        let readings = self.shared.services.counters.read();
        UserCounters { narrow: readings.narrow, wide: readings.wide }
    }

    fn rule_services(&self) -> RuleServices {
        let services = &self.shared.services;
        let (data_bytes, data_limit) = services.data.usage();
        let (names, fetches) = (services.names.counters(), services.fetcher.counters());
        let (directories, sockets) = (services.directories.counters(), services.talker.counters());
        let (sleeping, sleeps_refused) = services.sleepers();
        RuleServices {
            data_entries: services.data.entries() as u64,
            data_bytes: data_bytes as u64,
            data_limit: data_limit as u64,
            names_asked: names.asked,
            names_remembered: names.remembered,
            reverse_asked: names.reverse_asked,
            reverse_remembered: names.reverse_remembered,
            names_failed: names.failed,
            names_refused: names.refused,
            fetches: fetches.requests,
            fetch_connections: fetches.connections,
            fetches_failed: fetches.failed,
            fetches_refused: fetches.refused,
            fetches_too_large: fetches.too_large,
            fetches_too_deep: fetches.too_deep,
            directories_confirmed: directories.confirmed,
            directories_denied: directories.denied,
            directories_failed: directories.failed,
            directories_refused: directories.refused,
            sockets_opened: sockets.opened,
            sockets_open: sockets.open,
            datagrams: sockets.datagrams,
            sockets_failed: sockets.failed,
            sockets_refused: sockets.refused,
            sleeping,
            sleeps_refused,
        }
    }

    fn process(&self, snapshot: &Snapshot) -> Process {
        let global = &snapshot.global;
        Process {
            up: self.shared.origin.elapsed(),
            workers: self.workers(),
            connections: self.connections(),
            snapshot: snapshot.generation,
            totals: self.process_totals(),
            ip_session_table_size: global.ip_session_table_size as u64,
            cookie_session_table_size: global.cookie_session_table_size as u64,
            tls_session_cache_size: global.tls_session_cache_size as u64,
            events_held_back: logging::held_back(),
        }
    }
}

fn virtual_servers(snapshot: &Snapshot) -> Vec<VirtualServer> {
    // One that listens on several addresses is there for each of them.
    let mut servers: BTreeMap<_, VirtualServer> =
        snapshot.servers.values().map(|server| (server.name().clone(), virtual_server(server))).collect();
    for settings in &snapshot.silent {
        servers
            .entry(settings.name.clone())
            .or_insert_with(|| VirtualServer { serving: false, ..of_settings(settings) });
    }
    servers.into_values().collect()
}

fn virtual_server(server: &RunningServer) -> VirtualServer {
    VirtualServer {
        connections: u64::from(server.connections.now()),
        connections_peak: u64::from(server.connections.most()),
        log_lines_dropped: server.log_losses.lines(),
        log_bytes_lost: server.log_losses.bytes(),
        totals: VirtualServerCounters::totals(&server.counters),
        ..of_settings(&server.settings)
    }
}

/// What is known of a virtual server that nobody has asked anything yet.
fn of_settings(settings: &tidegate_model::VirtualServer) -> VirtualServer {
    VirtualServer {
        name: settings.name.clone(),
        port: settings.port,
        protocol: settings.protocol,
        tls: settings.tls.is_some(),
        tickets: settings.tls.as_ref().is_some_and(|tls| tls.tickets),
        serving: true,
        connections: 0,
        connections_peak: 0,
        log_lines_dropped: 0,
        log_bytes_lost: 0,
        totals: VirtualServerTotals::default(),
    }
}

fn rules(snapshot: &Snapshot) -> Vec<Rule> {
    let rules = snapshot.rules.iter();
    rules
        .map(|(name, rule)| Rule { name: name.clone(), totals: RuleCounters::totals(&rule.counters) })
        .collect()
}

fn pools(snapshot: &Snapshot) -> Vec<Pool> {
    let mut used: BTreeSet<&PoolName> = BTreeSet::new();
    for pool in snapshot.servers.values().filter_map(|server| server.pool.as_ref()) {
        // A chain of failure pools has an end.
        let mut next = Some(pool);
        while let Some(pool) = next.filter(|pool| used.insert(&pool.settings.name)) {
            next = pool.failure_pool.as_ref();
        }
    }
    snapshot.pools.values().map(|pool| self::pool(pool, used.contains(&pool.settings.name))).collect()
}

fn pool(pool: &RunningPool, used: bool) -> Pool {
    let counters = pool.pool.counters();
    Pool {
        name: pool.settings.name.clone(),
        algorithm: pool.settings.algorithm,
        persistence: pool.pool.persistence().map(|class| class.method.clone()),
        used,
        totals: PoolCounters::totals(&pool.counters),
        waiting: u64::from(counters.waiting),
        sessions: counters.sessions.entries,
        sessions_evicted: counters.sessions.evicted,
        sessions_expired: counters.sessions.expired,
        sessions_moved: counters.sessions_moved,
        trials: counters.trials,
        nodes: pool.pool.nodes_status().into_iter().map(node).collect(),
    }
}

fn node(node: NodeView) -> Node {
    let totals = node.totals;
    Node {
        address: node.address,
        alive: node.alive,
        label: node.label,
        state: node.state,
        leaving: node.leaving,
        status: node.status,
        weight: node.weight,
        priority: node.priority,
        in_flight: u64::from(node.in_flight),
        connections: u64::from(node.connections),
        idle: u64::from(node.idle_connections),
        response_time: node.response_time,
        responses: totals.counted.response,
        requests: totals.requests,
        connections_opened: totals.counted.connections,
        connections_reused: totals.counted.reused,
        errors: totals.counted.errors,
        failures: totals.failed,
        refused: totals.refused,
        bytes_to_node: totals.counted.bytes_to_node,
        bytes_from_node: totals.counted.bytes_from_node,
    }
}

fn certificates(snapshot: &Snapshot) -> Vec<Certificate> {
    let of_servers = snapshot.servers.values().filter_map(|server| server.tls.as_ref());
    let of_servers = of_servers.flat_map(|tls| tls.certificate_ends()).map(|end| ("ssl/server_keys", end));
    let of_pools = snapshot.pools.values().filter_map(|pool| pool.tls.as_ref());
    let of_pools = of_pools.flat_map(|tls| tls.certificate_ends()).map(|end| ("ssl/client_keys", end));
    // The same certificate serves many virtual servers.
    let all: BTreeMap<_, _> = of_servers
        .chain(of_pools)
        .map(|(collection, (name, not_after))| ((collection, name.clone()), not_after))
        .collect();
    all.into_iter()
        .map(|((collection, name), not_after)| Certificate { collection, name, not_after })
        .collect()
}
