//! The resolver configuration (`resolv.conf(5)`): text in, settings out. Unknown options are ignored, wrong
//! lines too; a missing or empty file means a name server on this host, as the C library has it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    path::Path,
    sync::Arc,
    time::Duration,
};

use hickory_proto::rr::Name;

use super::name;

/// Name servers used, as in the C library.
pub const MAX_SERVERS: usize = 3;
/// Search domains used, as Kubernetes allows.
pub const MAX_SEARCH: usize = 32;
/// Largest file read.
pub const MAX_FILE: u64 = 64 * 1024;
const MAX_NDOTS: u8 = 15;
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// What the resolver configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// Name servers in order; never empty.
    pub servers: Vec<SocketAddr>,
    /// Search domains in order.
    pub search: Vec<Name>,
    /// `ndots`, where given.
    pub ndots: Option<u8>,
    /// `timeout`, where given.
    pub timeout: Option<Duration>,
    /// `attempts`, where given.
    pub attempts: Option<u32>,
    /// `use-vc`: TCP only.
    pub tcp_only: bool,
    /// `rotate`: the first server asked changes.
    pub rotate: bool,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))],
            search: Vec::new(),
            ndots: None,
            timeout: None,
            attempts: None,
            tcp_only: false,
            rotate: false,
        }
    }
}

impl ResolvConf {
    /// Reads the text. `zone` gives the index of an interface for the zone of a link-local name server.
    pub fn parse(text: &str, zone: impl Fn(&str) -> Option<u32>) -> Self {
        let mut conf = Self { servers: Vec::new(), ..Self::default() };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < MAX_SERVERS => {
                    conf.servers.extend(words.next().and_then(|word| server(word, &zone)));
                }
                // The last of `domain` and `search` rules.
                Some("search") => conf.search = words.filter_map(domain).take(MAX_SEARCH).collect(),
                Some("domain") => conf.search = words.next().and_then(domain).into_iter().collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        match key {
            "ndots" => self.ndots = value.parse().ok().map(|ndots: u8| ndots.min(MAX_NDOTS)).or(self.ndots),
            "timeout" => {
                let seconds = value.parse().ok().map(|seconds: u64| seconds.clamp(1, MAX_TIMEOUT));
                self.timeout = seconds.map(Duration::from_secs).or(self.timeout);
            }
            "attempts" => {
                self.attempts =
                    value.parse().ok().map(|attempts: u32| attempts.clamp(1, MAX_ATTEMPTS)).or(self.attempts);
            }
            "use-vc" => self.tcp_only = true,
            "rotate" => self.rotate = true,
            _ => {}
        }
    }

    /// Whether a search domain of a cluster is there (`svc.…` or `….svc.…`).
    pub fn has_cluster_domain(&self) -> bool {
        self.search.iter().any(|domain| domain.iter().any(|label| label.eq_ignore_ascii_case(b"svc")))
    }
}

fn domain(word: &str) -> Option<Name> {
    let mut name = name::parse(word).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn server(word: &str, zone: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 53));
    }
    // `[address]:port` and `address:port` are what some resolvers accept.
    if let Ok(server) = word.parse::<SocketAddr>() {
        return Some(server);
    }
    let (address, interface) = word.split_once('%')?;
    let index = interface.parse().ok().or_else(|| zone(interface))?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, 53, 0, index)))
}

/// The index of a network interface.
fn interface_index(name: &str) -> Option<u32> {
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None).ok()?;
    rustix::net::netdevice::name_to_index(&socket, name).ok()
}

/// Reads the file if it differs from what `seen` describes. `None`: no change.
pub(crate) fn reread(path: &Path, seen: &mut Option<Vec<u8>>) -> Option<Arc<ResolvConf>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // A file that cannot be read is one that is not there: the defaults apply.
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    if seen.as_ref() == Some(&bytes) {
        return None;
    }
    let conf = ResolvConf::parse(&String::from_utf8_lossy(&bytes), interface_index);
    *seen = Some(bytes);
    Some(Arc::new(conf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text, |name| (name == "eth7").then_some(7))
    }

    #[test]
    fn a_pod() {
        let conf = parse(
            "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
        );
        assert_eq!(conf.servers, ["10.96.0.10:53".parse().unwrap()]);
        assert_eq!(conf.search.len(), 3);
        assert_eq!(conf.ndots, Some(5));
        assert!(conf.has_cluster_domain());
        assert!(!parse("search corp.example").has_cluster_domain());
    }

    #[test]
    fn e7_odd_files() {
        assert_eq!(parse(""), ResolvConf::default());
        let conf = parse("options timeout:1 attempts:1 ndots:1 use-vc unknown trust-ad ndots:x timeout:-3\n");
        assert!(conf.tcp_only);
        assert_eq!(
            (conf.ndots, conf.timeout, conf.attempts),
            (Some(1), Some(Duration::from_secs(1)), Some(1))
        );
        let search: Vec<String> = (0..40).map(|n| format!("d{n}.example")).collect();
        assert_eq!(parse(&format!("search {}", search.join(" "))).search.len(), MAX_SEARCH);
        let conf = parse(
            "nameserver 1.1.1.1\nnameserver x\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4",
        );
        assert_eq!(conf.servers.len(), 3);
        assert_eq!(parse("domain a.b\nsearch c.d e.f # comment\n; x").search.len(), 2);
        assert_eq!(parse("options ndots:200 attempts:0 timeout:900").ndots, Some(15));
    }

    #[test]
    fn e9_a_server_with_a_zone() {
        let conf = parse("nameserver fe80::1%eth7\nnameserver fe80::2%3\nnameserver fe80::3%gone\n");
        assert_eq!(conf.servers, ["[fe80::1%7]:53".parse().unwrap(), "[fe80::2%3]:53".parse().unwrap()]);
        assert_eq!(interface_index("lo"), Some(1));
    }

    #[test]
    fn e6_only_changes_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        let mut seen = None;
        assert_eq!(*reread(&path, &mut seen).unwrap(), ResolvConf::default());
        assert_eq!(reread(&path, &mut seen), None);
        std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(reread(&path, &mut seen).unwrap().servers, ["192.0.2.1:53".parse().unwrap()]);
        assert_eq!(reread(&path, &mut seen), None);
    }
}
