//! Configuration and node sets into a [`Snapshot`], keeping every part whose input did not change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use regex::bytes::Regex;
use tidegate_model::{
    Authenticator, BandwidthClass, BandwidthName, Configuration, ExtraFileName, LevelName, Moment, NodeSet,
    PoolName, RateClass, RateName, ServiceLevel, VirtualServer,
    pool::{NodeHost, NodeState},
    virtual_server::{CookieRewrite, DefaultPool, Listen, ListenHost, Substitution},
};
use tidegate_pool::{NodeSpec, Pool, PoolContext, SessionKey};
use tidegate_telemetry::{
    access_log::{AccessLog, Losses, Writer},
    counters::Sharded,
    traces::Traces,
};

use super::{
    ListenAddress, ListenKey, OpenConnections, Resource, Rewrites, Rules, RunningPool, RunningServer,
    Snapshot, rules,
};
use crate::{
    bandwidth::RunningClass,
    forward::queue::Queue,
    monitor::{self, MonitorTask},
    rules::services::directory,
    service_level::RunningLevel,
    tls,
};

/// Inputs of a build that are not configuration.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// Key of transparent cookies and rendezvous hashing.
    pub session_key: [u8; 32],
    /// The moment of the build, from [`crate::Proxy::now`].
    pub now: Moment,
    /// A random number, for random starts of round robin.
    pub seed: u64,
    /// Addresses of listen host names, resolved by the control side.
    pub listen_hosts: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// Whether this machine has IPv6: "any" is then one dual-stack socket.
    pub ipv6: bool,
    /// Data workers, for per-worker counters.
    pub workers: usize,
    /// Writes access logs; without it none are written.
    pub access_logs: Option<Arc<Writer>>,
    /// Records spans of requests; without it tracing is off. The same for every build.
    pub traces: Option<Traces>,
}

/// A fault found while building that concerns one object; the last good state of that object keeps serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object as a document path, such as `ssl/server_keys/site`.
    pub object: String,
    /// Section and key at fault, such as `basic.public`, where it is one; `content` for that of a raw object.
    pub key: Option<&'static str>,
    /// What is wrong and what to do.
    pub message: String,
    /// It only follows from faults that are reported for themselves.
    pub follows: bool,
}

impl Problem {
    /// A fault of an object as a whole.
    pub(crate) fn new(object: impl Into<String>, message: impl Into<String>) -> Self {
        Self { object: object.into(), key: None, message: message.into(), follows: false }
    }

    /// The fault is one of this key.
    pub(crate) fn of_key(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The fault follows from others.
    pub(crate) fn following(self) -> Self {
        Self { follows: true, ..self }
    }
}

/// Outcome of [`build`].
#[derive(Debug)]
pub struct Built {
    /// The new snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Faults of single objects.
    pub problems: Vec<Problem>,
    /// When a node on its way out must be dropped by another build, if any.
    pub next_expiry: Option<Moment>,
}

/// Builds a snapshot, keeping every part of `previous` whose input did not change.
///
/// `nodes` are what discovery found per pool: they are joined with the pool's own `nodes_table`.
pub fn build(
    configuration: &Configuration,
    nodes: &BTreeMap<PoolName, NodeSet>,
    previous: Option<&Arc<Snapshot>>,
    context: &BuildContext,
) -> Built {
    let known_rules = previous.map(|previous| &previous.rules);
    let mut builder = Builder {
        configuration,
        nodes,
        previous,
        context,
        problems: Vec::new(),
        pools: BTreeMap::new(),
        rules: rules::catalogue(configuration, known_rules, context.workers),
        service_levels: BTreeMap::new(),
        joined: BTreeMap::new(),
    };
    builder.service_levels = builder.levels();
    for name in configuration.pools.keys() {
        builder.pool(name, 0);
    }
    let servers = builder.servers();
    let (rates, resources) = (builder.rates(), builder.resources());
    let bandwidth = builder.bandwidth();
    let silent = builder.silent(&servers);
    let listening = builder.listening(&servers);
    let pools = builder.pools;
    let next_expiry = pools.values().filter_map(|pool| pool.pool.next_expiry(context.now)).min();
    let monitor_scripts = match previous {
        Some(previous) if *previous.monitor_scripts == configuration.monitor_scripts => {
            Arc::clone(&previous.monitor_scripts)
        }
        _ => Arc::new(configuration.monitor_scripts.clone()),
    };
    let tasks = monitor::tasks(configuration, &pools);
    let same = |known: &[MonitorTask]| {
        known.len() == tasks.len() && known.iter().zip(&tasks).all(|(known, task)| known.same(task))
    };
    let monitors = match previous {
        Some(previous) if same(&previous.monitors) => Arc::clone(&previous.monitors),
        _ => tasks.into(),
    };
    let snapshot = Arc::new(Snapshot {
        generation: previous.map_or(0, |previous| previous.generation) + 1,
        servers,
        silent,
        listening,
        pools,
        global: configuration.global.clone(),
        monitors,
        monitor_scripts,
        rates,
        resources,
        authenticators: authenticators(configuration),
        locations: configuration.locations.clone(),
        rules: builder.rules,
        service_levels: builder.service_levels,
        bandwidth,
        joined: builder.joined,
        persistence: configuration.persistence.clone(),
    });
    Built { snapshot, problems: builder.problems, next_expiry }
}

/// Every authenticator with the certificates that it trusts.
fn authenticators(configuration: &Configuration) -> Vec<directory::Source> {
    let authorities = &configuration.certificate_authorities;
    let source = |authenticator: &Arc<Authenticator>| {
        let text = authenticator.authority.as_ref().and_then(|name| authorities.get(name)).cloned();
        (Arc::clone(authenticator), text)
    };
    configuration.authenticators.values().map(source).collect()
}

struct Builder<'a> {
    configuration: &'a Configuration,
    nodes: &'a BTreeMap<PoolName, NodeSet>,
    previous: Option<&'a Arc<Snapshot>>,
    context: &'a BuildContext,
    problems: Vec<Problem>,
    pools: BTreeMap<PoolName, Arc<RunningPool>>,
    rules: rules::Catalogue,
    service_levels: BTreeMap<LevelName, Arc<RunningLevel>>,
    /// See [`Snapshot::joined`].
    joined: BTreeMap<PoolName, BTreeSet<SocketAddr>>,
}

/// Longest chain of failure pools. The configuration has none that loops; this bounds the recursion anyway.
const MAX_FAILURE_CHAIN: usize = 64;

/// The queue of a pool, woken by every place that is released; the same over all builds.
fn queue_of(pool: &Pool, previous: Option<&Arc<RunningPool>>) -> Arc<Queue> {
    let queue: Arc<Queue> = previous.map(|previous| Arc::clone(&previous.queue)).unwrap_or_default();
    pool.set_releases(queue.clone());
    queue
}

impl Builder<'_> {
    /// The pool in executable form, its failure pool first.
    fn pool(&mut self, name: &PoolName, depth: usize) -> Option<Arc<RunningPool>> {
        if let Some(done) = self.pools.get(name) {
            return Some(Arc::clone(done));
        }
        if depth > MAX_FAILURE_CHAIN {
            return None;
        }
        let settings = self.configuration.pools.get(name)?;
        let failure_pool = settings.failure_pool.as_ref().and_then(|name| self.pool(name, depth + 1));
        let previous = self.previous.and_then(|snapshot| snapshot.pools.get(name));
        let specs = self.node_specs(name, settings);
        let persistence =
            settings.persistence.as_ref().and_then(|name| self.configuration.persistence.get(name)).cloned();
        let pool = Pool::build(
            Arc::clone(settings),
            persistence,
            &specs,
            previous.map(|previous| &previous.pool),
            &PoolContext {
                workers: self.context.workers,
                ..PoolContext::new(
                    self.context.now,
                    self.context.seed,
                    SessionKey::new(self.context.session_key),
                    &self.configuration.global,
                )
            },
        );
        let tls = settings.tls.as_ref().and_then(|tls| {
            let (client, problems) = tls::node::build(
                name,
                tls,
                &self.configuration.client_keys,
                &self.configuration.certificate_authorities,
                previous.and_then(|previous| previous.tls.as_ref()),
            );
            self.problems.extend(problems);
            client
        });
        let same = |a: Option<&Arc<RunningPool>>, b: Option<&Arc<RunningPool>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let running = match previous {
            Some(previous)
                if Arc::ptr_eq(&previous.pool, &pool)
                    && previous.settings == *settings
                    && previous.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr)
                    && same(previous.failure_pool.as_ref(), failure_pool.as_ref()) =>
            {
                Arc::clone(previous)
            }
            _ => Arc::new(RunningPool {
                settings: Arc::clone(settings),
                queue: queue_of(&pool, previous),
                pool,
                tls,
                failure_pool,
                counters: previous.map_or_else(
                    || Arc::new(Sharded::new(self.context.workers)),
                    |previous| Arc::clone(&previous.counters),
                ),
                is_stranger: false,
            }),
        };
        self.pools.insert(name.clone(), Arc::clone(&running));
        Some(running)
    }

    /// The pool's own table joined with what discovery found. An address in both has the table's settings, and
    /// drains if either says so.
    fn node_specs(&mut self, name: &PoolName, settings: &tidegate_model::Pool) -> Vec<NodeSpec> {
        let mut specs: BTreeMap<SocketAddr, NodeSpec> = BTreeMap::new();
        let found = self.nodes.get(name);
        for (address, discovered) in found.iter().flat_map(|set| &set.nodes) {
            specs.insert(
                *address,
                NodeSpec {
                    address: *address,
                    label: address.to_string().into(),
                    state: if discovered.draining { NodeState::Draining } else { NodeState::Active },
                    weight: discovered.weight.unwrap_or(1),
                    priority: discovered.priority.unwrap_or(1),
                    source_ip: None,
                    name: discovered.name.clone(),
                },
            );
        }
        for entry in &settings.nodes {
            let NodeHost::Address(ip) = &entry.host else { continue };
            let address = SocketAddr::new(*ip, entry.port);
            let discovered = found.and_then(|set| set.nodes.get(&address));
            if discovered.is_some() {
                self.joined.entry(name.clone()).or_default().insert(address);
            }
            let drains = entry.state == NodeState::Active && discovered.is_some_and(|node| node.draining);
            specs.insert(
                address,
                NodeSpec {
                    address,
                    label: address.to_string().into(),
                    state: if drains { NodeState::Draining } else { entry.state },
                    weight: entry.weight,
                    priority: entry.priority,
                    source_ip: entry.source_ip,
                    name: None,
                },
            );
        }
        specs.into_values().collect()
    }

    fn rates(&self) -> BTreeMap<RateName, Arc<RateClass>> {
        let rate = |(name, class): (&RateName, &Arc<RateClass>)| {
            let previous = self.previous.and_then(|snapshot| snapshot.rates.get(name));
            (name.clone(), Arc::clone(previous.filter(|previous| *previous == class).unwrap_or(class)))
        };
        self.configuration.rates.iter().map(rate).collect()
    }

    /// Classes of service; what was counted for them stays.
    fn levels(&self) -> BTreeMap<LevelName, Arc<RunningLevel>> {
        let level = |(name, settings): (&LevelName, &Arc<ServiceLevel>)| {
            let previous = self.previous.and_then(|snapshot| snapshot.service_levels.get(name));
            let same = previous.filter(|previous| previous.settings == *settings).cloned();
            let level = same.unwrap_or_else(|| {
                let previous = previous.map(AsRef::as_ref);
                Arc::new(RunningLevel::new(Arc::clone(settings), previous, self.context.workers))
            });
            (name.clone(), level)
        };
        self.configuration.service_levels.iter().map(level).collect()
    }

    /// Bandwidth classes; what was sent under them stays.
    fn bandwidth(&self) -> BTreeMap<BandwidthName, Arc<RunningClass>> {
        let class = |(name, settings): (&BandwidthName, &Arc<BandwidthClass>)| {
            let previous = self.previous.and_then(|snapshot| snapshot.bandwidth.get(name));
            let same = previous.filter(|previous| previous.settings == *settings).cloned();
            let class = same.unwrap_or_else(|| {
                let previous = previous.map(AsRef::as_ref);
                Arc::new(RunningClass::new(Arc::clone(settings), previous, self.context.workers))
            });
            (name.clone(), class)
        };
        self.configuration.bandwidth.iter().map(class).collect()
    }

    fn resources(&self) -> BTreeMap<ExtraFileName, Arc<Resource>> {
        let same = |a: &Arc<[u8]>, b: &Arc<[u8]>| Arc::ptr_eq(a, b) || a == b;
        let resource = |(name, bytes): (&ExtraFileName, &Arc<[u8]>)| {
            let previous = self.previous.and_then(|snapshot| snapshot.resources.get(name));
            let resource = match previous.filter(|previous| same(&previous.bytes, bytes)) {
                Some(previous) => Arc::clone(previous),
                None => Arc::new(Resource { bytes: Arc::clone(bytes), since: self.context.now }),
            };
            (name.clone(), resource)
        };
        self.configuration.extra_files.iter().map(resource).collect()
    }

    fn servers(&mut self) -> HashMap<ListenKey, Arc<RunningServer>> {
        let mut servers = HashMap::new();
        for settings in self.configuration.virtual_servers.values() {
            if !settings.enabled || !settings.protocol.is_served() {
                continue;
            }
            let Some(server) = self.server(settings) else { continue };
            for address in self.addresses(settings) {
                servers.entry(ListenKey { address }).or_insert_with(|| Arc::clone(&server));
            }
        }
        servers
    }

    /// Virtual servers that are configured and not among `servers`.
    fn silent(&self, servers: &HashMap<ListenKey, Arc<RunningServer>>) -> Vec<Arc<VirtualServer>> {
        let running: HashSet<_> = servers.values().map(|server| server.name()).collect();
        let configured = self.configuration.virtual_servers.values();
        configured.filter(|settings| !running.contains(&settings.name)).cloned().collect()
    }

    /// What is counted per address; addresses that were there keep their counts.
    fn listening(
        &self,
        servers: &HashMap<ListenKey, Arc<RunningServer>>,
    ) -> BTreeMap<IpAddr, Arc<ListenAddress>> {
        let known = |ip: &IpAddr| self.previous.and_then(|previous| previous.listening.get(ip)).cloned();
        let of = |ip: IpAddr| {
            known(&ip).unwrap_or_else(|| {
                Arc::new(ListenAddress {
                    counters: Sharded::new(self.context.workers),
                    open: OpenConnections::default(),
                })
            })
        };
        let ips: BTreeSet<IpAddr> = servers.keys().map(|key| key.address.ip()).collect();
        ips.into_iter().map(|ip| (ip, of(ip))).collect()
    }

    fn server(&mut self, settings: &Arc<VirtualServer>) -> Option<Arc<RunningServer>> {
        let previous = self.previous.and_then(|snapshot| {
            snapshot.servers.values().find(|server| server.settings.name == settings.name)
        });
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let (server, problems) = tls::server::build(
                    &settings.name,
                    tls,
                    &self.configuration.server_keys,
                    &self.configuration.certificate_authorities,
                    &self.configuration.global,
                    previous.and_then(|previous| previous.tls.as_ref()),
                );
                self.problems.extend(problems);
                // Without any certificate there is nothing to serve; the problem says so.
                Some(server?)
            }
        };
        let pool = match &settings.pool {
            DefaultPool::Pool(name) => self.pools.get(name).cloned(),
            DefaultPool::Discard | DefaultPool::Missing(_) => None,
        };
        let rules = Rules::of(settings, &self.rules);
        let service_level =
            settings.service_level.as_ref().and_then(|name| self.service_levels.get(name)).cloned();
        if let Some(previous) = previous
            && previous.settings == *settings
            && previous.rules.is_same(&rules)
            && previous.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr)
            && previous.pool.as_ref().map(Arc::as_ptr) == pool.as_ref().map(Arc::as_ptr)
            && previous.service_level.as_ref().map(Arc::as_ptr) == service_level.as_ref().map(Arc::as_ptr)
        {
            return Some(Arc::clone(previous));
        }
        let log_losses = previous
            .map_or_else(|| Losses::new(self.context.workers), |previous| Arc::clone(&previous.log_losses));
        Some(Arc::new(RunningServer {
            rewrites: Rewrites::of(settings),
            service_level,
            rules,
            access_log: self.access_log(settings, previous, &log_losses),
            log_losses,
            traces: self.context.traces.clone(),
            counters: previous.map_or_else(
                || Arc::new(Sharded::new(self.context.workers)),
                |previous| Arc::clone(&previous.counters),
            ),
            connections: previous.map(|previous| Arc::clone(&previous.connections)).unwrap_or_default(),
            settings: Arc::clone(settings),
            tls,
            pool,
        }))
    }

    /// The log the virtual server writes; the one it had if nothing about it changed.
    fn access_log(
        &mut self,
        settings: &VirtualServer,
        previous: Option<&Arc<RunningServer>>,
        losses: &Arc<Losses>,
    ) -> Option<AccessLog> {
        let log = settings.access_log.as_ref()?;
        if let Some(previous) = previous
            && previous
                .settings
                .access_log
                .as_ref()
                .is_some_and(|known| (&known.filename, &known.format) == (&log.filename, &log.format))
        {
            return previous.access_log.clone();
        }
        let writer = self.context.access_logs.as_ref()?;
        match writer.open(settings.name.as_str(), &log.filename, &log.format, losses) {
            Ok(log) => Some(log),
            Err(error) => {
                let problem = Problem::new(
                    format!("virtual_servers/{}", settings.name),
                    format!("{error}; no access log is written"),
                );
                self.problems.push(problem.of_key("log.filename"));
                None
            }
        }
    }

    fn host_addresses(&mut self, settings: &VirtualServer, host: &ListenHost) -> Vec<IpAddr> {
        let name = match host {
            ListenHost::Address(ip) => return vec![*ip],
            ListenHost::Name(name) => name,
        };
        if let Some(ips) = self.context.listen_hosts.get(name) {
            return ips.clone();
        }
        let problem = Problem::new(
            format!("virtual_servers/{}", settings.name),
            format!("listen_on_hosts: {name} has no address yet; name an address of this machine"),
        );
        self.problems.push(problem.of_key("basic.listen_on_hosts"));
        Vec::new()
    }

    fn addresses(&mut self, settings: &VirtualServer) -> Vec<SocketAddr> {
        let ips = match &settings.listen {
            Listen::Any if self.context.ipv6 => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            Listen::Any => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            Listen::Hosts(hosts) => {
                hosts.iter().flat_map(|host| self.host_addresses(settings, host)).collect()
            }
        };
        ips.into_iter().map(|ip| SocketAddr::new(ip, settings.port)).collect()
    }
}

impl Rewrites {
    pub(crate) fn of(settings: &VirtualServer) -> Self {
        Self {
            location: settings.http.location_pattern.as_ref().and_then(compile),
            cookie_path: settings.cookie.path.as_ref().and_then(compile),
            cookies: settings.cookie != CookieRewrite::default(),
        }
    }
}

/// The pattern is known to compile: whoever built the configuration tried it.
fn compile(substitution: &Substitution) -> Option<(Regex, Arc<[u8]>)> {
    let regex = Regex::new(&substitution.regex).ok()?;
    Some((regex, substitution.replace.as_bytes().into()))
}

#[cfg(test)]
mod tests {
    use tidegate_model::{
        Monitor, Pool as PoolSettings,
        monitor::{Probe, Scope},
        node_set::DiscoveredNode,
        pool::NodeEntry,
    };

    use super::*;

    fn context(now: Moment) -> BuildContext {
        BuildContext {
            session_key: [0; 32],
            now,
            seed: 0,
            listen_hosts: BTreeMap::new(),
            ipv6: false,
            workers: 1,
            access_logs: None,
            traces: None,
        }
    }

    #[test]
    fn an_address_in_table_and_discovery_has_the_settings_of_the_table_and_drains_if_either_says_so() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let row = |port, state| NodeEntry {
            host: NodeHost::Address(address(port).ip()),
            port,
            state,
            weight: 7,
            priority: 1,
            source_ip: None,
        };
        let mut configuration = Configuration::default();
        let nodes = vec![row(1, NodeState::Draining), row(2, NodeState::Active), row(3, NodeState::Active)];
        configuration.pools.insert("p".into(), Arc::new(PoolSettings { nodes, ..PoolSettings::named("p") }));
        let mut set = NodeSet::of([address(1), address(2), address(4)]);
        set.nodes.insert(address(2), DiscoveredNode { draining: true, ..DiscoveredNode::default() });
        let found = BTreeMap::from([(PoolName::from("p"), set)]);
        let snapshot = build(&configuration, &found, None, &context(Moment(1))).snapshot;
        let members = snapshot.pools["p"].pool.members().iter();
        let seen: Vec<_> =
            members.map(|member| (member.node.address().port(), member.state, member.weight)).collect();
        let expected = [
            (1, NodeState::Draining, 7),
            (2, NodeState::Draining, 7),
            (3, NodeState::Active, 7),
            (4, NodeState::Active, 1),
        ];
        assert_eq!(seen, expected);
        assert_eq!(snapshot.joined["p"], BTreeSet::from([address(1), address(2)]));
    }

    #[test]
    fn the_list_of_monitors_is_kept_until_it_changes() {
        let monitor = |failures| Monitor {
            name: "m".into(),
            probe: Probe::Connect,
            scope: Scope::PerNode,
            delay: std::time::Duration::from_secs(3),
            timeout: std::time::Duration::from_secs(3),
            failures,
            back_off: true,
            use_tls: false,
            verbose: false,
            health_only: false,
        };
        let mut configuration = Configuration::default();
        let pool = PoolSettings { monitors: vec!["m".into()], ..PoolSettings::named("p") };
        configuration.pools.insert("p".into(), Arc::new(pool.clone()));
        configuration.monitors.insert("m".into(), Arc::new(monitor(3)));
        let nodes = |ports: std::ops::Range<u16>| {
            let set = NodeSet::of(ports.map(|port| ([127, 0, 0, 1], port).into()));
            BTreeMap::from([(PoolName::from("p"), set)])
        };
        let mut before = build(&configuration, &nodes(1..4), None, &context(Moment(1))).snapshot;
        assert_eq!(before.monitors.len(), 3);
        let mut step = |configuration: &Configuration, ports| {
            let after = build(configuration, &nodes(ports), Some(&before), &context(Moment(2))).snapshot;
            let kept = Arc::ptr_eq(&before.monitors, &after.monitors);
            before = after;
            kept
        };
        assert!(step(&configuration, 1..4));
        let weighty = PoolSettings { max_queue_size: Some(1), ..pool };
        configuration.pools.insert("p".into(), Arc::new(weighty));
        assert!(step(&configuration, 1..4), "a setting that concerns no monitor");
        assert!(!step(&configuration, 1..5), "a node more");
        assert!(step(&configuration, 1..5));
        configuration.monitors.insert("m".into(), Arc::new(monitor(4)));
        assert!(!step(&configuration, 1..5), "a monitor that is another");
    }
}
