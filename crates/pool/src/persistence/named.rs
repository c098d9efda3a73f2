//! `named` persistence: a rule says which node, nothing is stored.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use crate::{choose::Slot, pool::Member, session::Found};

/// The nodes of one build by what a rule may call them.
#[derive(Debug)]
pub(super) struct Named {
    labels: HashMap<Box<str>, u32>,
    hosts: HashMap<IpAddr, u32>,
}

impl Named {
    pub(super) fn new(members: &[Member]) -> Self {
        let mut labels = HashMap::with_capacity(members.len());
        let mut hosts = HashMap::with_capacity(members.len());
        for (slot, member) in (0_u32..).zip(members) {
            let address = member.node.address();
            labels.entry(address.to_string().into()).or_insert(slot);
            labels.entry((&**member.node.label()).into()).or_insert(slot);
            hosts.entry(address.ip()).or_insert(slot);
        }
        Self { labels, hosts }
    }

    /// The node of this label or address; if no node has the port, the first of the same host; else the session is
    /// lost. An empty name names nothing.
    pub(super) fn find(&self, name: &str) -> Found {
        let name = name.trim();
        if name.is_empty() {
            return Found::New;
        }
        if let Some(slot) = self.labels.get(name) {
            return Found::Node(Slot(*slot));
        }
        let address = name.parse::<SocketAddr>();
        // Another way of writing the address, such as that of IPv6 in full.
        let written = address.ok().and_then(|address| self.labels.get(&*address.to_string()));
        let host = || self.hosts.get(&host_of(name)?);
        written.or_else(host).map_or(Found::Lost, |slot| Found::Node(Slot(*slot)))
    }
}

/// The host of `address`, `address:port` or `[address]:port`, whatever the port is.
fn host_of(name: &str) -> Option<IpAddr> {
    if let Ok(ip) = name.parse() {
        return Some(ip);
    }
    let (host, _) = name.rsplit_once(':')?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_names() {
        let table = [
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("10.0.0.1:99999", Some("10.0.0.1")),
            ("10.0.0.1:", Some("10.0.0.1")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("web:80", None),
            ("web", None),
            (":", None),
            ("", None),
        ];
        for (name, host) in table {
            assert_eq!(host_of(name), host.map(|host| host.parse().unwrap()), "{name}");
        }
    }
}
