//! What discovery is started with: places on disk, times, and policies, each with the product's default.

use std::{path::PathBuf, time::Duration};

/// Everything [`crate::Discovery::start`] needs.
#[derive(Clone, Debug)]
pub struct DiscoveryOptions {
    /// The resolver configuration, usually `/etc/resolv.conf`. Re-read when it changes.
    pub resolv_conf: PathBuf,
    /// The hosts file, usually `/etc/hosts`: answers for names of nodes tables before DNS does. Re-read when it changes.
    pub hosts: PathBuf,
    /// Root of the tree that plugins see as `ZEUSHOME`; created when missing.
    pub home: PathBuf,
    /// Where the last good sets are kept; `None` keeps none.
    pub state_dir: Option<PathBuf>,
    /// The process shares the host's network; sharpens the warning about missing cluster search domains.
    pub host_network: bool,
    /// Whether loopback and link-local addresses may become nodes. `None`: only when the name server that
    /// gave them is itself on a loopback address, and for names written in a nodes table.
    pub allow_loopback: Option<bool>,
    /// All times.
    pub timing: Timing,
    /// All policies.
    pub policy: Policy,
}

impl DiscoveryOptions {
    /// The product's defaults with `home` as the plugin tree.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            home: home.into(),
            state_dir: None,
            host_network: false,
            allow_loopback: None,
            timing: Timing::default(),
            policy: Policy::default(),
        }
    }
}

/// Every time that discovery keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Shortest wait between two refreshes of a name (1 s).
    pub min_interval: Duration,
    /// Longest wait between two refreshes of a name whose pool sets no interval (30 s).
    pub max_interval: Duration,
    /// Random part of a wait, ± percent (10).
    pub jitter_percent: u8,
    /// Wait for one answer before the next attempt starts (1 s).
    pub attempt_timeout: Duration,
    /// Longest time of one whole refresh (5 s).
    pub refresh_deadline: Duration,
    /// Attempts per name server in one exchange (2).
    pub attempts: u32,
    /// Wait after the first failure while no node is known (200 ms); doubles.
    pub first_backoff: Duration,
    /// Wait after the first failure while nodes are held (1 s); doubles.
    pub min_backoff: Duration,
    /// Longest wait after failures while nodes are held (30 s).
    pub max_backoff: Duration,
    /// Longest wait while the pool is empty or about to be (2 s).
    pub empty_wait: Duration,
    /// How long a server that was silent or refused is asked last (30 s).
    pub server_reprobe: Duration,
    /// How long a server is asked without EDNS after it answered FORMERR to it (10 min).
    pub edns_memory: Duration,
    /// How long a family that had no records is left alone while the other has some (30 s).
    pub family_recheck: Duration,
    /// How often the names earlier in the search list than the one in use are looked at (5 min).
    pub search_recheck: Duration,
    /// How often the resolver configuration and the hosts file are looked at (2 s).
    pub resolv_conf_check: Duration,
    /// Oldest set on disk that is used at start (1 h).
    pub max_stored_age: Duration,
    /// How often the set on disk is renewed while nothing changes (60 s).
    pub store_refresh: Duration,
    /// Interval of a plugin whose pool sets none (10 s).
    pub plugin_interval: Duration,
    /// Longest run of a plugin whose pool sets no timeout (300 s).
    pub plugin_safety_cap: Duration,
    /// Time between asking a plugin's process group to end and killing it (2 s).
    pub plugin_kill_grace: Duration,
    /// How long output is read on after the plugin itself has ended (500 ms).
    pub plugin_pipe_grace: Duration,
    /// Longest wait after repeated plugin failures (60 s).
    pub plugin_max_backoff: Duration,
    /// First runs of plugins are spread over at most this long (5 s).
    pub plugin_spread: Duration,
    /// Unit of a plugin's `interval_override` (1 s); only tests change it.
    pub plugin_second: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            min_interval: seconds(1),
            max_interval: seconds(30),
            jitter_percent: 10,
            attempt_timeout: seconds(1),
            refresh_deadline: seconds(5),
            attempts: 2,
            first_backoff: Duration::from_millis(200),
            min_backoff: seconds(1),
            max_backoff: seconds(30),
            empty_wait: seconds(2),
            server_reprobe: seconds(30),
            edns_memory: seconds(600),
            family_recheck: seconds(30),
            search_recheck: seconds(300),
            resolv_conf_check: seconds(2),
            max_stored_age: seconds(3600),
            store_refresh: seconds(60),
            plugin_interval: seconds(10),
            plugin_safety_cap: seconds(300),
            plugin_kill_grace: seconds(2),
            plugin_pipe_grace: Duration::from_millis(500),
            plugin_max_backoff: seconds(60),
            plugin_spread: seconds(5),
            plugin_second: seconds(1),
        }
    }
}

/// Every choice that is not a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What an authoritative "there is nothing" does.
    pub empty: EmptyPolicy,
    /// Consecutive complete answers that lack a node before it leaves (2).
    pub removals_after: u32,
    /// Largest share of a set, in percent, that one answer may remove; more is held and alarmed.
    pub max_removal_percent: Option<u8>,
    /// Age of the last success after which the status alarms; `None` never.
    pub max_stale: Option<Duration>,
    /// Most nodes in one set (10 000); an answer with more is refused whole.
    pub max_nodes: usize,
    /// What SRV priorities and weights mean.
    pub srv_weights: SrvWeights,
    /// The family asked first, and chosen where one address of a target is wanted.
    pub prefer: Family,
    /// Accept plugin output that is nearly right: bad nodes are dropped, numbers may be text, and the exit
    /// status may be non-zero.
    pub lenient_plugins: bool,
    /// Refreshes of names that may be in progress at once (32).
    pub concurrent_lookups: usize,
    /// Plugins that may run at once; `None` = four for each CPU.
    pub concurrent_plugins: Option<usize>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            empty: EmptyPolicy::Confirm(3),
            removals_after: 2,
            max_removal_percent: None,
            max_stale: None,
            max_nodes: 10_000,
            srv_weights: SrvWeights::Ignore,
            prefer: Family::V4,
            lenient_plugins: false,
            concurrent_lookups: 32,
            concurrent_plugins: None,
        }
    }
}

/// What an authoritative "there is nothing" does to a pool that has nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyPolicy {
    /// Applied after so many in a row.
    Confirm(u32),
    /// Applied at once.
    Immediate,
    /// Never applied.
    Keep,
}

/// What SRV priorities and weights mean (RFC 2782). Cluster DNS gives equal weights that change with every
/// scale event, so they are ignored unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrvWeights {
    /// All nodes alike.
    Ignore,
    /// Passed on as node priority (lowest SRV priority = highest node priority) and weight (scaled to 1–100).
    Honour,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, A records.
    V4,
    /// IPv6, AAAA records.
    V6,
}

impl Family {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The family of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
