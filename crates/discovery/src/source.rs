//! What a pool asks for: a DNS question, a plugin run, or the names of a nodes table. Documents' words go in,
//! a value that can be compared comes out: pools with equal sources share one task.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tidegate_model::{PluginName, pool::ServiceDiscovery};

use crate::{
    arguments::{self, ArgumentError, Given, Kind, Spec},
    dns::name,
};

/// Longest arguments of a plugin, in bytes.
pub const MAX_ARGUMENTS: usize = 32 * 1024;
/// Most name servers one source may give.
pub const MAX_NAME_SERVERS: usize = 8;
/// The port of name servers.
pub const DNS_PORT: u16 = 53;

/// Where the nodes of a pool come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A built-in that asks DNS.
    Dns(DnsSource),
    /// A program of the `servicediscovery` catalogue.
    Plugin(PluginSource),
    /// Host names of a nodes table, each looked up by itself.
    Names(Vec<NamedNode>),
}

/// A row of a nodes table whose host is a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedNode {
    /// The name.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// Every address of the name drains.
    pub draining: bool,
    /// Weight of every address of the name.
    pub weight: Option<u32>,
    /// Priority of every address of the name.
    pub priority: Option<u32>,
}

/// A question to DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsSource {
    /// What is asked.
    pub query: Query,
    /// Which addresses are wanted.
    pub families: Families,
    /// How many addresses of a target become nodes.
    pub addresses: Addresses,
    /// Servers to ask instead of those of the resolver configuration.
    pub name_servers: Vec<SocketAddr>,
    /// What relative names are relative to.
    pub search: Search,
    /// Shortest wait between refreshes.
    pub min_poll: Option<Duration>,
    /// The pool's `interval`: longest wait between refreshes.
    pub interval: Option<Duration>,
    /// The pool's `timeout`: shortens the deadline of one refresh.
    pub timeout: Option<Duration>,
    /// Addresses are remembered until their TTL runs out (`BuiltIn-DNS_Resolver`).
    pub remembers: bool,
    /// The name stands in a nodes table, so that loopback addresses are meant.
    pub nodes_table: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// SRV records.
    Service {
        /// Their name, as configured.
        name: Arc<str>,
        /// Used in place of the port of each record.
        port: Option<u16>,
    },
    /// Address records.
    Host {
        /// Their name or an address literal, as configured.
        name: Arc<str>,
        /// Port of every node.
        port: u16,
    },
}

impl Query {
    /// The name, as configured.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Service { name, .. } | Self::Host { name, .. } => name,
        }
    }
}

/// Which address families are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Whether `address` is of a wanted family.
    pub fn want(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Both => true,
        }
    }
}

/// How many addresses of a target become nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// Each.
    All,
    /// Only the first, of the preferred family if it has some.
    First,
    /// All of one family, the preferred one if it has some: pods that share a host name count one by one and
    /// a dual-stack pod counts once. What SRV does unless told.
    OneFamily,
}

/// What relative names are relative to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Search {
    /// The search list of the resolver configuration.
    List,
    /// This domain.
    Domain(Arc<str>),
    /// Nothing: every name is full.
    Off,
}

/// A run of a program.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PluginSource {
    /// Its name in the catalogue.
    pub plugin: PluginName,
    /// Its words. May hold secrets: never shown.
    pub arguments: Vec<Arc<str>>,
    /// The pool's `interval`.
    pub interval: Option<Duration>,
    /// The pool's `timeout`.
    pub timeout: Option<Duration>,
}

impl fmt::Debug for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSource")
            .field("plugin", &self.plugin)
            .field("arguments", &format_args!("[{} hidden]", self.arguments.len()))
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Why a pool's `service_discovery` cannot work. The fault is always the document's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// `plugin` is empty.
    NoPlugin,
    /// `plugin` cannot be the name of a catalogue entry.
    BadPluginName(String),
    /// A built-in of the original product that is not supported.
    UnsupportedBuiltIn(String),
    /// `plugin_args` is longer than [`MAX_ARGUMENTS`], holds NUL, or has an unbalanced quote.
    Unsplittable(&'static str),
    /// The words are not arguments of the built-in.
    Arguments(ArgumentError),
    /// An argument has a value it cannot have.
    Value {
        /// The argument.
        argument: &'static str,
        /// The value.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// Arguments that exclude each other, or one that needs another.
    Combination(&'static str),
    /// A name that cannot be a DNS name.
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlugin => {
                f.write_str("service_discovery!plugin is empty: name a built-in or a catalogue entry")
            }
            Self::BadPluginName(name) => {
                write!(
                    f,
                    "service_discovery!plugin {name:?} is not the name of a catalogue entry: use a plain file name"
                )
            }
            Self::UnsupportedBuiltIn(name) => write!(
                f,
                "built-in {name} is not supported: use BuiltIn-DNS_Stateless, BuiltIn-DNS_Resolver or a catalogue entry"
            ),
            Self::Arguments(error) => write!(f, "service_discovery!plugin_args: {error}"),
            Self::Value { argument, value, wanted } => {
                write!(f, "service_discovery!plugin_args: --{argument}={value} is not {wanted}")
            }
            Self::Unsplittable(why) | Self::Combination(why) => {
                write!(f, "service_discovery!plugin_args: {why}")
            }
            Self::Name { name, why } => {
                write!(f, "service_discovery!plugin_args: {name:?} cannot be a DNS name: {why}")
            }
        }
    }
}

impl std::error::Error for SourceError {}

/// Name of the built-in that asks each time anew.
pub const STATELESS: &str = "BuiltIn-DNS_Stateless";
/// Name of the built-in that remembers.
pub const RESOLVER: &str = "BuiltIn-DNS_Resolver";

impl Source {
    /// Reads `service_discovery.*` of a pool.
    pub fn parse(discovery: &ServiceDiscovery) -> Result<Self, SourceError> {
        let plugin = discovery.plugin.as_str();
        if plugin.is_empty() {
            return Err(SourceError::NoPlugin);
        }
        let words = split(&discovery.arguments)?;
        match plugin {
            STATELESS => stateless(&words, discovery).map(Self::Dns),
            RESOLVER => resolver(&words, discovery).map(Self::Dns),
            other if other.to_ascii_lowercase().starts_with("builtin-") => {
                Err(SourceError::UnsupportedBuiltIn(other.to_owned()))
            }
            other if !is_file_name(other) => Err(SourceError::BadPluginName(other.to_owned())),
            _ => Ok(Self::Plugin(PluginSource {
                plugin: discovery.plugin.clone(),
                arguments: words.into_iter().map(Arc::from).collect(),
                interval: discovery.interval,
                timeout: discovery.timeout,
            })),
        }
    }

    /// The source of one name of a nodes table.
    pub(crate) fn of_named(node: &NamedNode) -> DnsSource {
        DnsSource {
            query: Query::Host { name: Arc::clone(&node.host), port: node.port },
            families: Families::Both,
            addresses: Addresses::All,
            name_servers: Vec::new(),
            search: Search::List,
            min_poll: None,
            interval: None,
            timeout: None,
            remembers: false,
            nodes_table: true,
        }
    }
}

/// Whether `name` is one path component that cannot leave its directory.
pub fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// Splits by the word rules of the POSIX shell, expanding nothing.
fn split(arguments: &str) -> Result<Vec<String>, SourceError> {
    if arguments.len() > MAX_ARGUMENTS {
        return Err(SourceError::Unsplittable("longer than 32 KiB"));
    }
    if arguments.contains('\0') {
        return Err(SourceError::Unsplittable("holds a NUL character"));
    }
    shell_words::split(arguments).map_err(|_| SourceError::Unsplittable("a quote is not closed"))
}

const STATELESS_SPECS: &[Spec] = &[
    Spec { name: "servicename", aliases: &[], kind: Kind::Text },
    Spec { name: "service", aliases: &[], kind: Kind::Text },
    Spec { name: "protocol", aliases: &[], kind: Kind::Text },
    Spec { name: "hostname", aliases: &[], kind: Kind::Text },
    Spec { name: "domain", aliases: &[], kind: Kind::Text },
    Spec { name: "port", aliases: &[], kind: Kind::Text },
    Spec { name: "ipv4", aliases: &[], kind: Kind::Switch },
    Spec { name: "ipv6", aliases: &[], kind: Kind::Switch },
    Spec { name: "all-addresses", aliases: &[], kind: Kind::Switch },
    Spec { name: "nameserver", aliases: &[], kind: Kind::Text },
    Spec { name: "nameserverport", aliases: &["nameserver-port"], kind: Kind::Text },
    Spec { name: "search", aliases: &[], kind: Kind::Switch },
    Spec { name: "search-domain", aliases: &[], kind: Kind::Text },
    Spec { name: "min-poll-interval", aliases: &[], kind: Kind::Text },
];

#[derive(Default)]
struct Words {
    service_name: Option<String>,
    service: Option<String>,
    protocol: Option<String>,
    host: Option<String>,
    domain: Option<String>,
    port: Option<u16>,
    v4: bool,
    v6: bool,
    all: Option<bool>,
    name_servers: Vec<String>,
    name_server_port: Option<u16>,
    search: Option<bool>,
    search_domain: Option<String>,
    min_poll: Option<Duration>,
}

fn stateless(words: &[String], discovery: &ServiceDiscovery) -> Result<DnsSource, SourceError> {
    let mut given = Words::default();
    for argument in arguments::read(words, STATELESS_SPECS).map_err(SourceError::Arguments)? {
        match argument {
            Given::Text("servicename", value) => given.service_name = Some(value),
            Given::Text("service", value) => given.service = Some(value),
            Given::Text("protocol", value) => given.protocol = Some(value),
            Given::Text("hostname", value) => given.host = Some(value),
            Given::Text("domain", value) => given.domain = Some(value),
            Given::Text("port", value) => given.port = Some(port("port", &value)?),
            Given::Text("nameserver", value) => given.name_servers.push(value),
            Given::Text("nameserverport", value) => {
                given.name_server_port = Some(port("nameserverport", &value)?);
            }
            Given::Text("search-domain", value) => given.search_domain = Some(value),
            Given::Text("min-poll-interval", value) => {
                given.min_poll = Some(seconds("min-poll-interval", &value)?);
            }
            Given::Switch("ipv4", on) => given.v4 = on,
            Given::Switch("ipv6", on) => given.v6 = on,
            Given::Switch("all-addresses", on) => given.all = Some(on),
            Given::Switch("search", on) => given.search = Some(on),
            Given::Text(..) | Given::Switch(..) => {}
        }
    }
    let with_domain =
        |name: String| match given.domain.as_deref().map(|domain| domain.trim_start_matches('.')) {
            Some(domain) if !domain.is_empty() => format!("{}.{domain}", name.trim_end_matches('.')),
            _ => name,
        };
    let query = match (given.service_name, given.service, given.protocol, given.host) {
        (Some(name), None, None, None) => {
            Query::Service { name: dns_name(with_domain(name))?, port: given.port }
        }
        (None, Some(service), Some(protocol), None) => {
            let name = format!("_{}._{}", service.trim_start_matches('_'), protocol.trim_start_matches('_'));
            Query::Service { name: dns_name(with_domain(name))?, port: given.port }
        }
        (None, None, None, Some(host)) => {
            let port = given.port.ok_or(SourceError::Combination("--hostname needs --port"))?;
            Query::Host { name: host_name(host, with_domain)?, port }
        }
        (None, None, None, None) => {
            return Err(SourceError::Combination(
                "one of --servicename, --service with --protocol, or --hostname with --port is needed",
            ));
        }
        (None, Some(_), None, None) => return Err(SourceError::Combination("--service needs --protocol")),
        (None, None, Some(_), None) => return Err(SourceError::Combination("--protocol needs --service")),
        (Some(_), _, _, None) => {
            return Err(SourceError::Combination("--servicename excludes --service and --protocol"));
        }
        (_, _, _, Some(_)) => {
            return Err(SourceError::Combination(
                "--hostname excludes --servicename, --service and --protocol",
            ));
        }
    };
    let addresses = match (given.all, &query) {
        (Some(true), _) | (None, Query::Host { .. }) => Addresses::All,
        (Some(false), _) => Addresses::First,
        (None, Query::Service { .. }) => Addresses::OneFamily,
    };
    let search = match (given.search, given.search_domain) {
        (Some(false), _) => Search::Off,
        (_, Some(domain)) => Search::Domain(dns_name(domain)?),
        (_, None) => Search::List,
    };
    Ok(DnsSource {
        query,
        families: families(given.v4, given.v6),
        addresses,
        name_servers: name_servers(
            "nameserver",
            &given.name_servers,
            given.name_server_port.unwrap_or(DNS_PORT),
        )?,
        search,
        min_poll: given.min_poll,
        interval: discovery.interval,
        timeout: discovery.timeout,
        remembers: false,
        nodes_table: false,
    })
}

const RESOLVER_SPECS: &[Spec] = &[
    Spec { name: "hostname", aliases: &["h"], kind: Kind::Text },
    Spec { name: "port", aliases: &["p"], kind: Kind::Text },
    Spec { name: "nameservers", aliases: &["n"], kind: Kind::Text },
    Spec { name: "ipv4", aliases: &["4"], kind: Kind::Switch },
    Spec { name: "ipv6", aliases: &["6"], kind: Kind::Switch },
    Spec { name: "verbose", aliases: &["v"], kind: Kind::Switch },
];

fn resolver(words: &[String], discovery: &ServiceDiscovery) -> Result<DnsSource, SourceError> {
    let (mut host, mut node_port, mut servers, mut v4, mut v6) = (None, 80, Vec::new(), false, false);
    for argument in arguments::read(words, RESOLVER_SPECS).map_err(SourceError::Arguments)? {
        match argument {
            Given::Text("hostname", value) => host = Some(value),
            Given::Text("port", value) => node_port = port("port", &value)?,
            Given::Text("nameservers", value) => servers
                .extend(value.split([',', ' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned)),
            Given::Switch("ipv4", on) => v4 = on,
            Given::Switch("ipv6", on) => v6 = on,
            // `--verbose` changed the output of the original only.
            Given::Text(..) | Given::Switch(..) => {}
        }
    }
    let host = host.ok_or(SourceError::Combination("--hostname is needed"))?;
    Ok(DnsSource {
        query: Query::Host { name: host_name(host, |name| name)?, port: node_port },
        families: families(v4, v6),
        addresses: Addresses::All,
        name_servers: name_servers("nameservers", &servers, DNS_PORT)?,
        search: Search::List,
        min_poll: None,
        interval: discovery.interval,
        timeout: discovery.timeout,
        remembers: true,
        nodes_table: false,
    })
}

fn families(v4: bool, v6: bool) -> Families {
    match (v4, v6) {
        (true, false) => Families::V4,
        (false, true) => Families::V6,
        (true, true) | (false, false) => Families::Both,
    }
}

fn dns_name(name: String) -> Result<Arc<str>, SourceError> {
    match name::parse(&name) {
        Ok(_) => Ok(name.into()),
        Err(why) => Err(SourceError::Name { name, why }),
    }
}

/// A host: an address literal stays as it is, a name gets its domain.
fn host_name(host: String, with_domain: impl FnOnce(String) -> String) -> Result<Arc<str>, SourceError> {
    if literal(&host).is_some() { Ok(host.into()) } else { dns_name(with_domain(host)) }
}

/// The address that `host` spells, with or without brackets.
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn port(argument: &'static str, value: &str) -> Result<u16, SourceError> {
    value.parse().ok().filter(|port| *port != 0).ok_or_else(|| SourceError::Value {
        argument,
        value: value.to_owned(),
        wanted: "a port (1-65535)",
    })
}

fn seconds(argument: &'static str, value: &str) -> Result<Duration, SourceError> {
    value
        .parse::<u32>()
        .ok()
        .filter(|seconds| *seconds <= 86_400)
        .map(|s| Duration::from_secs(s.into()))
        .ok_or_else(|| SourceError::Value {
            argument,
            value: value.to_owned(),
            wanted: "whole seconds (0-86400)",
        })
}

/// Reads `ip`, `ip:port` and `[ip]:port`.
fn name_servers(
    argument: &'static str,
    values: &[String],
    port: u16,
) -> Result<Vec<SocketAddr>, SourceError> {
    if values.len() > MAX_NAME_SERVERS {
        return Err(SourceError::Combination("more than 8 name servers"));
    }
    values
        .iter()
        .map(|value| {
            literal(value)
                .map(|address| SocketAddr::new(address, port))
                .or_else(|| value.parse().ok().filter(|server: &SocketAddr| server.port() != 0))
                .ok_or_else(|| SourceError::Value {
                    argument,
                    value: value.clone(),
                    wanted: "the address of a name server (ip or ip:port)",
                })
        })
        .collect()
}

#[cfg(test)]
mod tests;
