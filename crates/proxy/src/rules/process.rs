//! What a rule may ask of the process, and how its words get into the event log.

use std::{
    ffi::OsStr,
    net::IpAddr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, sys::socket::SockaddrStorage};
use tidegate_trafficscript::host::Interface;

/// Name of this machine and its domain; the domain is empty if the name has none.
pub(crate) fn host_name() -> (&'static str, &'static str) {
    static HOST: OnceLock<(String, String)> = OnceLock::new();
    let (host, domain) = HOST.get_or_init(|| {
        let system = rustix::system::uname();
        let name = String::from_utf8_lossy(system.nodename().to_bytes());
        let (host, domain) = name.split_once('.').unwrap_or((&name, ""));
        (host.to_owned(), domain.to_owned())
    });
    (host, domain)
}

/// Seconds that local time is ahead of UTC at a time (seconds since 1970), and the zone's short name then.
pub(crate) fn local_offset(at: i64) -> (i32, String) {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let zone = ZONE.get_or_init(TimeZone::system);
    let Ok(at) = Timestamp::from_second(at) else { return (0, "UTC".to_owned()) };
    let info = zone.to_offset_info(at);
    (info.offset().seconds(), info.abbreviation().to_owned())
}

/// A variable of the process environment.
pub(super) fn environment(name: &[u8]) -> Option<Vec<u8>> {
    // Names that the system cannot have.
    if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
        return None;
    }
    std::env::var_os(OsStr::from_bytes(name)).map(OsStringExt::into_vec)
}

/// Network interfaces, and addresses of all of them, that rules are told of at most.
const MOST_INTERFACES: usize = 256;
const MOST_ADDRESSES: usize = 1024;

/// How long the list of interfaces is kept: rules may ask for it with every request.
const INTERFACES_KEPT: Duration = Duration::from_secs(1);

/// The network interfaces of this machine in the order of the system, with their IP addresses.
pub(crate) fn interfaces() -> Vec<Interface> {
    static KEPT: Mutex<Option<(Instant, Vec<Interface>)>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    match &*kept {
        Some((since, interfaces)) if since.elapsed() < INTERFACES_KEPT => interfaces.clone(),
        _ => {
            let interfaces = read_interfaces();
            *kept = Some((Instant::now(), interfaces.clone()));
            interfaces
        }
    }
}

fn read_interfaces() -> Vec<Interface> {
    // Without interfaces there are none to tell of.
    let Ok(found) = getifaddrs() else { return Vec::new() };
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut addresses = 0;
    for entry in found {
        let known = interfaces.iter().position(|interface| interface.name == entry.interface_name);
        let at = match known {
            Some(at) => at,
            None if interfaces.len() == MOST_INTERFACES => continue,
            None => {
                interfaces.push(Interface {
                    name: entry.interface_name,
                    addresses: Vec::new(),
                    is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
                    is_loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                });
                interfaces.len() - 1
            }
        };
        let address = entry.address.as_ref().and_then(ip_address);
        let bits = entry.netmask.as_ref().and_then(ip_address).map_or(0, |mask| match mask {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        });
        if let Some(address) = address
            && let Some(interface) = interfaces.get_mut(at)
            && addresses < MOST_ADDRESSES
        {
            addresses += 1;
            interface.addresses.push((address, bits as u8));
        }
    }
    interfaces
}

fn ip_address(address: &SockaddrStorage) -> Option<IpAddr> {
    let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// Longest line that a rule writes to the event log.
const MAX_LINE: usize = 4096;

/// Text for the event log: one line, without control bytes, of bounded length.
pub(super) fn printable(text: &[u8]) -> String {
    let cut = text.get(..MAX_LINE).unwrap_or(text);
    let mut line: String = String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    if cut.len() < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_interfaces() {
        let found = interfaces();
        let loopback = found.iter().find(|interface| interface.is_loopback).unwrap();
        assert!(loopback.is_up, "{found:?}");
        assert!(loopback.addresses.contains(&("127.0.0.1".parse().unwrap(), 8)), "{found:?}");
        assert_eq!(interfaces(), found);
    }
}
