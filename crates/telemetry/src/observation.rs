//! One look at everything that is counted and measured, as a plain value.
//!
//! The data path and the control side fill in an [`Observation`]; statistics ([`crate::statistics`]) and metrics
//! ([`crate::metrics`]) are pure functions of it. Counts are since the object exists; what exists now is said so.

#[cfg(test)]
pub(crate) mod sample;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_model::{
    KeyName, PoolName, RuleName, VirtualServerName,
    counters::MeasureTotals,
    persistence::Method,
    pool::{Algorithm, NodeState},
    virtual_server::Protocol,
};

use crate::counters::{
    BandwidthTotals, ListenTotals, PoolTotals, ProcessTotals, RuleTotals, ServiceLevelTotals,
    VirtualServerTotals,
};

/// Everything, at one moment. Lists are in the order of names and addresses.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The process as a whole.
    pub process: Process,
    /// Every configured virtual server.
    pub virtual_servers: Vec<VirtualServer>,
    /// Every pool, with its nodes.
    pub pools: Vec<Pool>,
    /// Every IP address that virtual servers listen on.
    pub listen_addresses: Vec<ListenAddress>,
    /// Every certificate in use.
    pub certificates: Vec<Certificate>,
    /// Every rule that runs.
    pub rules: Vec<Rule>,
    /// Every rate class.
    pub rates: Vec<Rate>,
    /// Every service level class.
    pub service_levels: Vec<ServiceLevel>,
    /// Every bandwidth class.
    pub bandwidth: Vec<BandwidthClass>,
    /// What rules have counted by number.
    pub user_counters: UserCounters,
    /// What rules have asked of the process.
    pub rule_services: RuleServices,
    /// What the control side knows.
    pub control: Control,
}

/// A service level class.
#[derive(Clone, Debug)]
pub struct ServiceLevel {
    /// Its name.
    pub name: Arc<str>,
    /// Percentage of the latest requests that conform to it.
    pub conforming: u8,
    /// Whether that is above both thresholds.
    pub is_met: bool,
    /// What was counted since it exists.
    pub totals: ServiceLevelTotals,
}

/// A bandwidth class.
#[derive(Clone, Debug)]
pub struct BandwidthClass {
    /// Its name.
    pub name: Arc<str>,
    /// `maximum`, kbit/s.
    pub maximum: u32,
    /// What was counted since it exists.
    pub totals: BandwidthTotals,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: RuleName,
    /// Counts.
    pub totals: RuleTotals,
}

/// A rate class.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    /// Its name.
    pub name: String,
    /// `max_rate_per_second`; 0 = no limit.
    pub per_second: u64,
    /// `max_rate_per_minute`; 0 = no limit.
    pub per_minute: u64,
    /// Requests that passed within the last second, or minute where that is the only limit.
    pub current: u64,
    /// Requests that asked.
    pub entered: u64,
    /// Requests that went on.
    pub left: u64,
    /// Requests that were over the limit and did not wait, found the queue full, or gave up waiting.
    pub dropped: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Contexts that are counted apart now.
    pub contexts: u64,
    /// Contexts forgotten since nothing had passed lately.
    pub contexts_forgotten: u64,
    /// Requests whose context had to be counted together with others.
    pub contexts_full: u64,
}

/// The numbered counters of rules, from number 1 on.
#[derive(Clone, Debug, Default)]
pub struct UserCounters {
    /// `counter.increment`
    pub narrow: Vec<u32>,
    /// `counter64.increment`
    pub wide: Vec<u64>,
}

/// What rules have asked of the process since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleServices {
    /// Entries in `data.*` now.
    pub data_entries: u64,
    /// Bytes in `data.*` now.
    pub data_bytes: u64,
    /// `trafficscript.data_size` in bytes.
    pub data_limit: u64,
    /// Questions for names (`net.dns.*`).
    pub names_asked: u64,
    /// Questions answered from memory.
    pub names_remembered: u64,
    /// Of the questions, those for the name of an address.
    pub reverse_asked: u64,
    /// Of these, those answered from memory.
    pub reverse_remembered: u64,
    /// Questions that name servers did not answer.
    pub names_failed: u64,
    /// Questions refused because too many waited.
    pub names_refused: u64,
    /// Requests to other servers (`http.request.*`).
    pub fetches: u64,
    /// Connections opened for them.
    pub fetch_connections: u64,
    /// Requests that failed.
    pub fetches_failed: u64,
    /// Requests refused because too many waited.
    pub fetches_refused: u64,
    /// Responses that were too large.
    pub fetches_too_large: u64,
    /// Those of them refused because rules asked each other too deep.
    pub fetches_too_deep: u64,
    /// Questions to directories (`auth.query`) that were answered with a user.
    pub directories_confirmed: u64,
    /// Answers that there is no such user, or that the password is another.
    pub directories_denied: u64,
    /// Questions that were not answered.
    pub directories_failed: u64,
    /// Of these, those refused because too many waited.
    pub directories_refused: u64,
    /// Connections that rules opened (`tcp.connect`).
    pub sockets_opened: u64,
    /// Of these, those that are open now.
    pub sockets_open: u64,
    /// Datagrams that rules sent (`udp.sendTo`).
    pub datagrams: u64,
    /// Calls of `tcp.*` and `udp.sendTo` that failed.
    pub sockets_failed: u64,
    /// Of these, connections refused because too many were open.
    pub sockets_refused: u64,
    /// Requests that sleep now (`connection.sleep`).
    pub sleeping: u64,
    /// Sleeps refused because too many slept.
    pub sleeps_refused: u64,
}

/// The process as a whole.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Time since it started.
    pub up: Duration,
    /// Data workers.
    pub workers: usize,
    /// Client connections open now.
    pub connections: u64,
    /// Number of the running snapshot; grows with every change of documents or nodes.
    pub snapshot: u64,
    /// Counts.
    pub totals: ProcessTotals,
    /// `session.ip_cache_size`.
    pub ip_session_table_size: u64,
    /// `session.j2ee_cache_size`.
    pub cookie_session_table_size: u64,
    /// `ssl.cache_size`.
    pub tls_session_cache_size: u64,
    /// Events of the event log held back because they repeated.
    pub events_held_back: u64,
}

/// A virtual server.
#[derive(Clone, Debug)]
pub struct VirtualServer {
    /// Its name.
    pub name: VirtualServerName,
    /// `basic.port`.
    pub port: u16,
    /// `basic.protocol`.
    pub protocol: Protocol,
    /// Whether it speaks TLS to clients.
    pub tls: bool,
    /// Whether TLS sessions are resumed by tickets.
    pub tickets: bool,
    /// Whether it serves; not so if it is disabled, of a protocol that is not served, or has a fault.
    pub serving: bool,
    /// Client connections open now.
    pub connections: u64,
    /// The most connections at a time.
    pub connections_peak: u64,
    /// Lines of its access log dropped because the writer did not keep up.
    pub log_lines_dropped: u64,
    /// Bytes of its access log that were lost because the file could not be written.
    pub log_bytes_lost: u64,
    /// Counts.
    pub totals: VirtualServerTotals,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// `load_balancing.algorithm`.
    pub algorithm: Algorithm,
    /// How its persistence class recognises sessions; `None` = it has none.
    pub persistence: Option<Method>,
    /// Whether a virtual server, or the failure pool of another one, uses it.
    pub used: bool,
    /// Counts.
    pub totals: PoolTotals,
    /// Requests in its queue now.
    pub waiting: u64,
    /// Sessions in its table now.
    pub sessions: u64,
    /// Sessions forgotten because the table was full.
    pub sessions_evicted: u64,
    /// Sessions forgotten because they were not used.
    pub sessions_expired: u64,
    /// Requests of a session sent to another node than the session's.
    pub sessions_moved: u64,
    /// Requests that found out whether a failed node works again.
    pub trials: u64,
    /// Its nodes, leaving ones included.
    pub nodes: Vec<Node>,
}

/// A node of a pool.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// As people see it.
    pub label: Arc<str>,
    /// What configuration or discovery says.
    pub state: NodeState,
    /// Whether it is out of the configuration and finishes what it has.
    pub leaving: bool,
    /// Whether requests and monitors say that it works.
    pub alive: bool,
    /// Its state in a word or two.
    pub status: &'static str,
    /// Weight.
    pub weight: u32,
    /// Priority.
    pub priority: u32,
    /// Requests in progress.
    pub in_flight: u64,
    /// Open connections, idle ones included.
    pub connections: u64,
    /// Idle connections.
    pub idle: u64,
    /// Recent average of the time to first response data.
    pub response_time: Option<Duration>,
    /// Response times since it joined, µs.
    pub responses: MeasureTotals,
    /// Requests begun.
    pub requests: u64,
    /// Connections opened.
    pub connections_opened: u64,
    /// Requests sent over a connection that had carried one before.
    pub connections_reused: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// How often it was found failed.
    pub failures: u64,
    /// Requests that found it at its limits.
    pub refused: u64,
    /// Bytes written to it.
    pub bytes_to_node: u64,
    /// Bytes read from it.
    pub bytes_from_node: u64,
}

/// An IP address that virtual servers listen on.
#[derive(Clone, Debug)]
pub struct ListenAddress {
    /// The address as it is listened on; unspecified = every address of the machine.
    pub ip: IpAddr,
    /// Client connections open now.
    pub connections: u64,
    /// The most connections at a time.
    pub connections_peak: u64,
    /// Counts.
    pub totals: ListenTotals,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `ssl/server_keys`, or `ssl/client_keys` for one that is shown to nodes.
    pub collection: &'static str,
    /// Its name in the catalogue.
    pub name: KeyName,
    /// End of its validity, seconds since 1970.
    pub not_after: i64,
}

/// What the control side knows.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Number of the snapshot with which the documents that serve became active; 0 = none yet.
    pub config_generation: u64,
    /// When documents were imported last.
    pub imported: Option<SystemTime>,
    /// When documents were imported or REST wrote last.
    pub configured: Option<SystemTime>,
    /// Whether the last reading of documents could be imported.
    pub last_import_failed: bool,
    /// Imports since start.
    pub imports: u64,
    /// Imports that were refused.
    pub imports_failed: u64,
    /// Listening addresses that could not be opened.
    pub listeners_closed: u64,
    /// Whether the health address says ready.
    pub ready: bool,
    /// Lines of the event log dropped because standard output did not take them.
    pub log_lines_dropped: u64,
    /// Events of the event log.
    pub events: u64,
    /// How often each event type matched.
    pub event_types: Vec<(Arc<str>, u64)>,
    /// How often each action was done.
    pub actions: Vec<(Arc<str>, u64)>,
    /// What discovery says of each pool that it follows.
    pub sources: Vec<Source>,
    /// Highest rates of a second within the last hour.
    pub peaks: Peaks,
    /// What has become of spans.
    pub traces: TraceTotals,
    /// The machine.
    pub system: System,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
}

/// What has become of the spans of sampled requests; nothing but zeros where tracing is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceTotals {
    /// Spans that the collector took.
    pub exported: u64,
    /// Spans dropped because the exporter did not keep up.
    pub queue_full: u64,
    /// Spans that the collector refused.
    pub refused: u64,
    /// Spans given up because the collector was out of reach.
    pub undelivered: u64,
    /// Requests to the collector that failed.
    pub failures: u64,
}

/// What discovery says of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The pool.
    pub pool: PoolName,
    /// Its state as one lower-case word: `ok`, `waiting`, `partial`, `stale`, `suspect`, `held`, `empty`, `error`, `config_error`.
    pub state: &'static str,
    /// When the last answer came that was complete or added nodes.
    pub answered: Option<SystemTime>,
    /// Nodes it gives the pool.
    pub nodes: u64,
    /// Whether somebody should look.
    pub alarm: bool,
}

/// Highest rates of a second within the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests.
    pub requests: u64,
    /// TLS handshakes.
    pub tls_connections: u64,
}

/// A network interface, counted since it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: Arc<str>,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets received with an error.
    pub rx_errors: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Collisions.
    pub collisions: u64,
}

/// The machine, as far as the process can see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Descriptors the process may still open.
    pub descriptors_free: u64,
    /// Descriptors it has open.
    pub descriptors_open: u64,
    /// Resident memory of the process, bytes.
    pub resident: u64,
    /// Time the process has had on CPUs.
    pub cpu: Duration,
    /// Memory of the machine, bytes.
    pub memory_total: u64,
    /// Memory that could be had without swapping, bytes.
    pub memory_free: u64,
    /// Memory in buffers and page cache, bytes.
    pub memory_buffered: u64,
    /// Swap of the machine, bytes.
    pub swap_total: u64,
    /// Swap in use, bytes.
    pub swap_used: u64,
    /// Part of the last seconds that CPUs ran user code, percent.
    pub cpu_user: u64,
    /// Part of the last seconds that CPUs ran the kernel, percent.
    pub cpu_system: u64,
    /// Part of the last seconds that CPUs were idle, percent.
    pub cpu_idle: u64,
}
