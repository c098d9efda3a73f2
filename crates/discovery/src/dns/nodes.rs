//! Addresses to nodes: which addresses can be nodes at all, how many of a target become nodes, and what SRV
//! priorities and weights mean. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use tidegate_model::{DiscoveredNode, NodeSet};

use super::answer::{Answer, NoAnswer, Question, Records, Service};
use crate::{
    options::{Family, SrvWeights},
    source::{Addresses, Families},
};

/// The largest weight of a node.
const MAX_WEIGHT: u32 = 100;

/// The address in its plain form (an IPv4 address inside IPv6 becomes IPv4), if it can be a node.
pub fn usable(address: IpAddr, loopback: bool) -> Option<IpAddr> {
    let address = address.to_canonical();
    let (never, local) = match address {
        IpAddr::V4(v4) => (
            v4.is_unspecified() || v4.is_multicast() || v4 == Ipv4Addr::BROADCAST || v4.octets()[0] == 0,
            v4.is_loopback() || v4.is_link_local(),
        ),
        IpAddr::V6(v6) => {
            (v6.is_unspecified() || v6.is_multicast(), v6.is_loopback() || v6.is_unicast_link_local())
        }
    };
    (!never && (loopback || !local)).then_some(address)
}

/// How addresses are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Which families are wanted.
    pub families: Families,
    /// How many addresses of a target become nodes.
    pub addresses: Addresses,
    /// The family preferred where one is to be chosen.
    pub prefer: Family,
    /// Whether loopback and link-local addresses may be nodes.
    pub loopback: bool,
}

impl Choice {
    /// The addresses of one target that become nodes, and how many could not.
    pub fn choose(&self, addresses: impl IntoIterator<Item = IpAddr>) -> (Vec<IpAddr>, u64) {
        let mut rejected = 0;
        let mut good: Vec<IpAddr> = Vec::new();
        let mut seen = BTreeSet::new();
        for address in addresses {
            match usable(address, self.loopback) {
                Some(address) if self.families.want(address) => {
                    if seen.insert(address) {
                        good.push(address);
                    }
                }
                // Of a family that is not wanted: no fault.
                Some(_) => {}
                None => rejected += 1,
            }
        }
        if self.addresses != Addresses::All {
            let preferred = |address: &IpAddr| Family::of(*address) == self.prefer;
            if good.iter().any(preferred) {
                good.retain(preferred);
            }
        }
        if self.addresses == Addresses::First {
            // The order of an answer carries no meaning and changes; the lowest is the same each time.
            good = good.into_iter().min().into_iter().collect();
        }
        (good, rejected)
    }

    /// [`Choice::choose`] among addresses that each say whether they may be loopback ones.
    pub(crate) fn choose_marked(self, addresses: &[(IpAddr, bool)]) -> (Vec<IpAddr>, u64) {
        let good = addresses.iter().filter(|(address, loopback)| usable(*address, *loopback).is_some());
        let (chosen, _) = Self { loopback: true, ..self }.choose(good.clone().map(|(address, _)| *address));
        (chosen, (addresses.len() - good.count()) as u64)
    }
}

/// SRV records with the addresses of their targets become nodes. `port` replaces the port of each record.
pub fn of_services(services: &[(Service, Vec<IpAddr>)], port: Option<u16>, weights: SrvWeights) -> NodeSet {
    let mut set = NodeSet::default();
    let priorities: BTreeSet<u16> = services.iter().map(|(service, _)| service.priority).collect();
    let mut heaviest: BTreeMap<u16, u16> = BTreeMap::new();
    for (service, _) in services {
        let weight = heaviest.entry(service.priority).or_default();
        *weight = (*weight).max(service.weight);
    }
    for (service, addresses) in services {
        let node = match weights {
            SrvWeights::Ignore => DiscoveredNode::default(),
            SrvWeights::Honour => {
                // The lowest SRV priority is preferred, the highest node priority is.
                let rank = priorities.iter().rev().position(|priority| *priority == service.priority);
                let heaviest = u32::from(heaviest.get(&service.priority).copied().unwrap_or(0)).max(1);
                let weight = (u32::from(service.weight) * MAX_WEIGHT + heaviest / 2) / heaviest;
                DiscoveredNode {
                    draining: false,
                    weight: Some(weight.clamp(1, MAX_WEIGHT)),
                    priority: Some(u32::try_from(rank.unwrap_or(0)).unwrap_or(u32::MAX).saturating_add(1)),
                    name: None,
                }
            }
        };
        for address in addresses {
            let known = set
                .nodes
                .entry(SocketAddr::new(*address, port.unwrap_or(service.port)))
                .or_insert_with(|| node.clone());
            // The same node twice: the better of both.
            known.priority = known.priority.max(node.priority);
            known.weight = known.weight.max(node.weight);
        }
    }
    set
}

/// A name without a port label that has several ports for one target: which port is meant cannot be told.
pub fn ambiguous(name_has_port_label: bool, services: &[Service]) -> bool {
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    !name_has_port_label
        && services.iter().any(|service| {
            *ports.entry(super::name::key(&service.target)).or_insert(service.port) != service.port
        })
}

/// A whole message to a set of nodes, as far as one message says: what a lookup does when nothing else has to
/// be asked.
pub fn of_message(
    bytes: &[u8],
    question: &Question,
    id: u16,
    port: u16,
    choice: &Choice,
    weights: SrvWeights,
) -> Result<(Answer, NodeSet), NoAnswer> {
    let answer = super::answer::read(bytes, question, id)?;
    let nodes = match &answer.records {
        Records::Addresses(list) => {
            NodeSet::of(choice.choose(list.iter().copied()).0.into_iter().map(|ip| SocketAddr::new(ip, port)))
        }
        Records::Services(list) => {
            let with_glue: Vec<_> = list
                .iter()
                .map(|service| {
                    let glue = answer.glue.get(&super::name::key(&service.target));
                    let addresses = glue.into_iter().flatten().map(|glue| glue.address);
                    (service.clone(), choice.choose(addresses).0)
                })
                .collect();
            of_services(&with_glue, None, weights)
        }
        Records::Names(_) => NodeSet::default(),
    };
    Ok((answer, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn choice(families: Families, addresses: Addresses, prefer: Family) -> Choice {
        Choice { families, addresses, prefer, loopback: false }
    }

    #[test]
    fn a11_addresses_that_cannot_be_nodes() {
        let all =
            ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "127.0.0.1", "::1", "169.254.1.1"];
        let given = all.iter().map(|text| ip(text)).chain([ip("192.0.2.1")]);
        let (chosen, rejected) = choice(Families::Both, Addresses::All, Family::V4).choose(given);
        assert_eq!((chosen, rejected), (vec![ip("192.0.2.1")], all.len() as u64));
        assert!(usable(ip("127.0.0.1"), true).is_some());
        assert!(usable(ip("0.0.0.0"), true).is_none());
    }

    #[test]
    fn f4_mapped_addresses_are_ipv4() {
        let given = [ip("::ffff:192.0.2.1"), ip("192.0.2.1")];
        assert_eq!(choice(Families::Both, Addresses::All, Family::V4).choose(given).0, [ip("192.0.2.1")]);
        assert_eq!(usable(ip("::ffff:127.0.0.1"), false), None);
    }

    #[test]
    fn how_many_addresses_of_a_target() {
        let given = [ip("2001:db8::1"), ip("192.0.2.2"), ip("192.0.2.1"), ip("192.0.2.2")];
        let count = |addresses, prefer| choice(Families::Both, addresses, prefer).choose(given).0;
        assert_eq!(count(Addresses::All, Family::V4).len(), 3);
        assert_eq!(count(Addresses::OneFamily, Family::V4).len(), 2);
        assert_eq!(count(Addresses::OneFamily, Family::V6), [ip("2001:db8::1")]);
        assert_eq!(count(Addresses::First, Family::V4), [ip("192.0.2.1")]);
        assert_eq!(choice(Families::V6, Addresses::All, Family::V4).choose(given).0, [ip("2001:db8::1")]);
        let only_v6 = [ip("2001:db8::1")];
        assert_eq!(choice(Families::Both, Addresses::First, Family::V4).choose(only_v6).0, only_v6);
    }

    fn service(priority: u16, weight: u16, last: u8) -> (Service, Vec<IpAddr>) {
        let target = super::super::name::parse(&format!("t{last}.example.")).unwrap();
        (Service { priority, weight, port: 80, target }, vec![IpAddr::from([192, 0, 2, last])])
    }

    #[test]
    fn d11_d12_priorities_and_weights_when_honoured() {
        let services = [service(10, 1, 1), service(10, 3, 2), service(20, 0, 3)];
        let set = of_services(&services, None, SrvWeights::Honour);
        let all: Vec<_> = set.nodes.values().map(|node| (node.priority, node.weight)).collect();
        assert_eq!(all, [(Some(2), Some(33)), (Some(2), Some(100)), (Some(1), Some(1))]);
        let set = of_services(&services, Some(81), SrvWeights::Ignore);
        assert!(set.nodes.iter().all(|(node, is)| node.port() == 81 && *is == DiscoveredNode::default()));
    }

    #[test]
    fn d9_ambiguous_ports() {
        let (one, _) = service(0, 1, 1);
        let other = Service { port: 9090, ..one.clone() };
        assert!(ambiguous(false, &[one.clone(), other.clone()]));
        assert!(!ambiguous(true, &[one.clone(), other]));
        // Different ports of different pods are a rollout, not an ambiguity.
        assert!(!ambiguous(false, &[one, service(0, 1, 2).0]));
    }
}
