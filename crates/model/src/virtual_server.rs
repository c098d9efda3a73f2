//! A virtual server: the client side of a service.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{BandwidthName, LevelName, PoolName, RuleEntry, VirtualServerName, tls::ServerTls};

/// An entry of `virtual_servers`.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualServer {
    /// Its name.
    pub name: VirtualServerName,
    /// `basic.enabled`.
    pub enabled: bool,
    /// `basic.protocol`.
    pub protocol: Protocol,
    /// `basic.listen_on_any`, `basic.listen_on_hosts`.
    pub listen: Listen,
    /// `basic.port`, 1–65535.
    pub port: u16,
    /// `basic.pool`.
    pub pool: DefaultPool,
    /// `basic.request_rules`, in order.
    pub request_rules: Vec<RuleEntry>,
    /// `basic.response_rules`, in order.
    pub response_rules: Vec<RuleEntry>,
    /// `basic.completion_rules`, in order.
    pub completion_rules: Vec<RuleEntry>,
    /// `basic.connect_timeout`: time for the client to send a complete head; `None` (0) = no limit.
    pub connect_timeout: Option<Duration>,
    /// `connection.timeout`: longest time without data in either direction; `None` (0) = no limit.
    pub timeout: Option<Duration>,
    /// `connection.keepalive`.
    pub keepalive: bool,
    /// `connection.keepalive_timeout`: idle time between requests.
    pub keepalive_timeout: Duration,
    /// `connection.max_transaction_duration`: first byte to completion; `None` (0) = no limit.
    pub max_transaction_duration: Option<Duration>,
    /// `connection.max_client_buffer`, bytes.
    pub max_client_buffer: usize,
    /// `connection.max_server_buffer`, bytes.
    pub max_server_buffer: usize,
    /// `basic.max_concurrent_connections`; `None` (0) = no limit.
    pub max_concurrent_connections: Option<u32>,
    /// `basic.proxy_protocol`, `basic.proxy_protocol_optional`.
    pub proxy_protocol: ProxyProtocol,
    /// `http.*`.
    pub http: HttpOptions,
    /// `cookie.*`.
    pub cookie: CookieRewrite,
    /// `connection_errors.error_file`.
    pub error_page: ErrorPage,
    /// `log.*`; `None` when `log.enabled` is false.
    pub access_log: Option<AccessLog>,
    /// `log.*_failures`.
    pub failure_log: FailureLog,
    /// `basic.ssl_decrypt` and `ssl.*`; `None` = plain.
    pub tls: Option<ServerTls>,
    /// `basic.slm_class`, a class of this configuration.
    pub service_level: Option<LevelName>,
    /// `basic.bandwidth_class`, a class of this configuration: what is sent to clients.
    pub bandwidth: Option<BandwidthName>,
    /// `tcp.nagle` on client connections.
    pub nagle: bool,
    /// `tcp.close_with_rst`.
    pub close_with_rst: bool,
    /// What holds for protocols of which only the bytes are known.
    pub generic: GenericOptions,
}

impl VirtualServer {
    /// Whether nothing happens over its connections before clients have spoken.
    pub fn waits_for_client(&self) -> bool {
        match self.protocol {
            Protocol::Generic(_, Speaks::ClientFirst) => !self.generic.rules_on_connect,
            Protocol::Generic(..) => false,
            Protocol::Http | Protocol::Other(_) => true,
        }
    }

    /// What a document gives that only names it, on port 80 and with the pool `discard`, which have no defaults.
    pub fn named(name: impl Into<VirtualServerName>) -> Self {
        Self {
            name: name.into(),
            enabled: false,
            protocol: Protocol::Http,
            listen: Listen::Any,
            port: 80,
            pool: DefaultPool::Discard,
            request_rules: Vec::new(),
            response_rules: Vec::new(),
            completion_rules: Vec::new(),
            connect_timeout: Some(Duration::from_secs(10)),
            timeout: Some(Duration::from_mins(5)),
            keepalive: true,
            keepalive_timeout: Duration::from_secs(10),
            max_transaction_duration: None,
            max_client_buffer: 65_536,
            max_server_buffer: 65_536,
            max_concurrent_connections: None,
            proxy_protocol: ProxyProtocol::Off,
            http: HttpOptions::default(),
            cookie: CookieRewrite::default(),
            error_page: ErrorPage::Default,
            access_log: None,
            failure_log: FailureLog::default(),
            tls: None,
            service_level: None,
            bandwidth: None,
            nagle: false,
            close_with_rst: false,
            generic: GenericOptions::default(),
        }
    }
}

/// `basic.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http`: full HTTP handling, TLS by `ssl_decrypt`.
    Http,
    /// Bytes both ways, whatever they mean; the word of the document, and who speaks first.
    Generic(&'static str, Speaks),
    /// Another protocol of the document format. Such a virtual server is reported and does not listen yet.
    Other(&'static str),
}

impl Protocol {
    /// Whether virtual servers of this protocol listen.
    pub fn is_served(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Its word in documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Generic(word, _) | Self::Other(word) => word,
        }
    }
}

/// Who speaks first over a connection of a generic protocol, which is when rules run and a node is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The client: nothing happens before its first bytes are there.
    ClientFirst,
    /// The node: it is connected to at once, or when the client has answered
    /// [`GenericOptions::server_first_banner`].
    ServerFirst,
    /// Either: a node is connected to at once, and no response rules run.
    Stream,
}

/// Settings of virtual servers of generic protocols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenericOptions {
    /// `connection.server_first_banner`, control characters as bytes: what the client is told in place of the node's first
    /// words; `None` (empty) = nothing. For [`Speaks::ServerFirst`].
    pub server_first_banner: Option<Arc<[u8]>>,
    /// `basic.rules_on_connect`: request rules do not wait for the client's first bytes. For [`Speaks::ClientFirst`].
    pub rules_on_connect: bool,
    /// `tcp.proxy_close`: when the client has finished sending, the node is told so and may go on; otherwise both
    /// connections are closed.
    pub proxy_close: bool,
}

/// Addresses a virtual server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `listen_on_any`: every address, IPv4 and IPv6.
    Any,
    /// `listen_on_hosts`.
    Hosts(Vec<ListenHost>),
}

/// An entry of `basic.listen_on_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenHost {
    /// An address as written.
    Address(IpAddr),
    /// A name, resolved by the control side before listening.
    Name(Arc<str>),
}

/// `basic.pool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultPool {
    /// A pool of this configuration.
    Pool(PoolName),
    /// The built-in `discard`: close without an answer.
    Discard,
    /// A pool that does not exist: reported, and every request answered with the error page.
    Missing(PoolName),
}

/// `basic.proxy_protocol` with `basic.proxy_protocol_optional`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// No PROXY header is expected.
    Off,
    /// A connection without a valid PROXY header is dropped.
    Required,
    /// A connection without one is handled as an ordinary connection.
    Optional,
}

/// `http.*` of a virtual server.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpOptions {
    /// `add_cluster_ip`: set `X-Cluster-Client-Ip`, replacing what the client sent.
    pub add_cluster_ip: bool,
    /// `add_x_forwarded_for`: append the client's address.
    pub add_x_forwarded_for: bool,
    /// `add_x_forwarded_proto`.
    pub add_x_forwarded_proto: bool,
    /// `strip_x_forwarded_proto`: remove the client's copy first.
    pub strip_x_forwarded_proto: bool,
    /// `location_rewrite`.
    pub location_rewrite: LocationRewrite,
    /// `location_regex` with `location_replace`, tried before `location_rewrite`.
    pub location_pattern: Option<Substitution>,
    /// Protocols that are relayed raw after a matching 101, compared without regard to case: those of
    /// `auto_upgrade_protocols`, `websocket` where there are none, nothing without `autodetect_upgrade_headers`.
    pub upgrades: Vec<Arc<str>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            add_cluster_ip: true,
            add_x_forwarded_for: false,
            add_x_forwarded_proto: false,
            strip_x_forwarded_proto: true,
            location_rewrite: LocationRewrite::IfHostMatches,
            location_pattern: None,
            upgrades: vec!["websocket".into()],
        }
    }
}

/// `http.location_rewrite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationRewrite {
    /// Leave `Location` as the node sent it.
    Never,
    /// Correct scheme and port when the host is the one of the request.
    IfHostMatches,
    /// Correct scheme, host and port.
    Always,
}

/// A regular expression and its replacement text (`$1`–`$9` name groups). The pattern is known to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// The pattern.
    pub regex: String,
    /// What a match becomes.
    pub replace: String,
}

/// `cookie.*`: how cookies set by nodes are rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CookieRewrite {
    /// `domain`, `new_domain`.
    pub domain: CookieDomain,
    /// `path_regex`, `path_replace`.
    pub path: Option<Substitution>,
    /// `secure`.
    pub secure: CookieSecure,
}

/// `cookie.domain`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum CookieDomain {
    /// `no_rewrite`.
    #[default]
    Keep,
    /// `set_to_request`: the host of the request.
    Request,
    /// `set_to_named` with `cookie.new_domain`.
    Named(Arc<str>),
}

/// `cookie.secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CookieSecure {
    /// `no_modify`.
    #[default]
    Keep,
    /// `set_secure`.
    Set,
    /// `unset_secure`.
    Unset,
}

/// `connection_errors.error_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorPage {
    /// `Default`: Tidegate's own short page.
    Default,
    /// The bytes of an Extra File, sent as the body of an error.
    File(Arc<[u8]>),
}

/// `log.*` of a virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// `filename`, macros included (`%zeushome%`, `%v`, `%{strftime}t`).
    pub filename: Arc<str>,
    /// `format`, macros included.
    pub format: Arc<str>,
    /// `save_all`: every request is logged of which rules do not say otherwise; else those that rules include.
    pub save_all: bool,
}

/// Which failures are told in the event log (`log.*` of a virtual server, whether or not it keeps an access log).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FailureLog {
    /// `client_connection_failures`.
    pub client: bool,
    /// `server_connection_failures`.
    pub node: bool,
    /// `ssl_failures`.
    pub tls: bool,
}
