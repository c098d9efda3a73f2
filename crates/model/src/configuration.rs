//! The whole configuration: every object by name, references checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    ActionName, ActionProgramName, Authenticator, AuthenticatorName, BandwidthClass, BandwidthName, CaName,
    ExtraFileName, KeyName, LevelName, Location, LocationName, Monitor, MonitorName, PersistenceClass,
    PersistenceName, PluginName, Pool, PoolName, RateClass, RateName, Rule, RuleName, ScriptName,
    ServiceLevel, VirtualServer, VirtualServerName,
    alert::{Action, EventType},
    rule::RuleSettings,
    tls::{KeyPair, TlsVersions},
    virtual_server::DefaultPool,
};

/// Everything the documents say, ready to be built into a running snapshot.
///
/// Every reference inside resolves to an object of this configuration, or was replaced and reported when the
/// documents were compiled. Objects are shared so that an unchanged object is recognised by equality and kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// `virtual_servers`, enabled or not.
    pub virtual_servers: BTreeMap<VirtualServerName, Arc<VirtualServer>>,
    /// `pools`.
    pub pools: BTreeMap<PoolName, Arc<Pool>>,
    /// `monitors`, factory monitors included.
    pub monitors: BTreeMap<MonitorName, Arc<Monitor>>,
    /// `persistence`.
    pub persistence: BTreeMap<PersistenceName, Arc<PersistenceClass>>,
    /// `ssl/server_keys`.
    pub server_keys: BTreeMap<KeyName, Arc<KeyPair>>,
    /// `ssl/client_keys`.
    pub client_keys: BTreeMap<KeyName, Arc<KeyPair>>,
    /// `ssl/cas`: PEM text of certificate authorities.
    pub certificate_authorities: BTreeMap<CaName, Arc<str>>,
    /// `servicediscovery`: plugin programs, byte for byte.
    pub plugins: BTreeMap<PluginName, Arc<[u8]>>,
    /// `monitor_scripts`: monitor programs, byte for byte.
    pub monitor_scripts: BTreeMap<ScriptName, Arc<[u8]>>,
    /// `extra_files`, byte for byte.
    pub extra_files: BTreeMap<ExtraFileName, Arc<[u8]>>,
    /// `rules`: those with an error too, which do not run.
    pub rules: BTreeMap<RuleName, Arc<Rule>>,
    /// `rate`.
    pub rates: BTreeMap<RateName, Arc<RateClass>>,
    /// `service_level_monitors`.
    pub service_levels: BTreeMap<LevelName, Arc<ServiceLevel>>,
    /// `bandwidth`.
    pub bandwidth: BTreeMap<BandwidthName, Arc<BandwidthClass>>,
    /// `locations`.
    pub locations: BTreeMap<LocationName, Arc<Location>>,
    /// `rule_authenticators`.
    pub authenticators: BTreeMap<AuthenticatorName, Arc<Authenticator>>,
    /// `event_types`, factory event types included.
    pub event_types: BTreeMap<Arc<str>, Arc<EventType>>,
    /// `actions`.
    pub actions: BTreeMap<ActionName, Arc<Action>>,
    /// `action_programs`, byte for byte.
    pub action_programs: BTreeMap<ActionProgramName, Arc<[u8]>>,
    /// `global_settings`.
    pub global: GlobalSettings,
}

impl Configuration {
    /// Pools that requests can reach: those of enabled virtual servers, those that their rules name (or every pool,
    /// where rules may compute a name), and the failure pools of all these.
    pub fn pools_in_use(&self) -> BTreeSet<&PoolName> {
        let mut used = BTreeSet::new();
        let mut waiting: Vec<&PoolName> = Vec::new();
        for server in self.virtual_servers.values().filter(|server| server.enabled) {
            if let DefaultPool::Pool(pool) = &server.pool {
                waiting.push(pool);
            }
            for rule in self.running_rules(server) {
                if self.global.rules.variable_pool_use {
                    waiting.extend(self.pools.keys());
                    break;
                }
                waiting.extend(
                    rule.pools().filter_map(|pool| self.pools.get_key_value(&pool).map(|(pool, _)| pool)),
                );
            }
        }
        while let Some(pool) = waiting.pop() {
            if used.insert(pool) {
                waiting.extend(self.pools.get(pool).and_then(|pool| pool.failure_pool.as_ref()));
            }
        }
        used
    }

    /// The rules of a virtual server that run, of all phases.
    fn running_rules<'a>(&'a self, server: &'a VirtualServer) -> impl Iterator<Item = &'a Arc<Rule>> {
        let lists = [&server.request_rules, &server.response_rules, &server.completion_rules];
        let enabled = lists.into_iter().flatten().filter(|entry| entry.enabled);
        enabled.filter_map(|entry| self.rules.get(&entry.rule))
    }
}

/// Machine-wide settings that the data path and the control side act on (`global_settings`).
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalSettings {
    /// `connection.idle_timeout`: how long an idle connection to a node is kept (default 10 s).
    pub idle_node_timeout: Duration,
    /// `connection.listen_queue_size`: backlog of listening sockets; `None` (0) means the system's choice.
    pub listen_queue_size: Option<u32>,
    /// `session.ip_cache_size`: entries of an IP persistence table (default 32768).
    pub ip_session_table_size: usize,
    /// `session.ip_cache_expiry`: lifetime of an IP session; `None` (0) means until evicted.
    pub ip_session_expiry: Option<Duration>,
    /// `session.j2ee_cache_size`, used for learned application cookies (default 32768).
    pub cookie_session_table_size: usize,
    /// `session.universal_cache_size`: entries of a table of universal persistence (default 32768).
    pub universal_session_table_size: usize,
    /// `session.universal_cache_expiry`: lifetime of a universal session; `None` (0) means until evicted.
    pub universal_session_expiry: Option<Duration>,
    /// `ssl.support_tls1_2`, `ssl.support_tls1_3`.
    pub tls_versions: TlsVersions,
    /// `ssl.tickets_enabled`.
    pub tls_tickets: bool,
    /// `ssl.cache_enabled`.
    pub tls_session_cache: bool,
    /// `ssl.cache_size`: sessions kept per virtual server (default 6151).
    pub tls_session_cache_size: usize,
    /// `ssl.tickets_ticket_expiry` (default 14400 s).
    pub tls_ticket_lifetime: Duration,
    /// `log.flush_time`: access log flush interval (default 5 s).
    pub log_flush: Duration,
    /// `log.reopen`: how often access log files are reopened (default 30 s; `None` = never).
    pub log_reopen: Option<Duration>,
    /// `trafficscript.*`.
    pub rules: RuleSettings,
    /// `snmp.user_counters`: how many counters rules have (default 10).
    pub user_counters: u32,
}

impl Default for GlobalSettings {
    fn default() -> Self {
        Self {
            idle_node_timeout: Duration::from_secs(10),
            listen_queue_size: None,
            ip_session_table_size: 32_768,
            ip_session_expiry: None,
            cookie_session_table_size: 32_768,
            universal_session_table_size: 32_768,
            universal_session_expiry: None,
            tls_versions: TlsVersions::default(),
            tls_tickets: true,
            tls_session_cache: true,
            tls_session_cache_size: 6151,
            tls_ticket_lifetime: Duration::from_hours(4),
            log_flush: Duration::from_secs(5),
            log_reopen: Some(Duration::from_secs(30)),
            rules: RuleSettings::default(),
            user_counters: 10,
        }
    }
}
