//! IP addresses and `host:port` as text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::{Call, Function, Outcome, make::charge_work, row::works};
use crate::value::Value;

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works(
        "string.ipmaskmatch",
        "ip, network",
        (2, 2),
        "1 if the address is in the network (10.0.0.0/8, 10.0.0.0/255.0.0.0, `10.`, one address, 2001:db8::/32), else 0.",
        ipmaskmatch,
    ),
    works(
        "string.validIPAddress",
        "s",
        (1, 1),
        "4 or 6 if s is an IP address of that version, else 0.",
        valid_ip_address,
    ),
    works(
        "string.normalizeIPAddress",
        "s",
        (1, 1),
        "An IP address in its canonical form; empty if s is none.",
        normalize_ip_address,
    ),
    works(
        "string.extractHost",
        "address",
        (1, 1),
        "The host of `host:port`; empty if it is not valid.",
        extract_host,
    ),
    works(
        "string.extractPort",
        "address",
        (1, 1),
        "The port of `host:port` as integer; empty if there is none or it is not valid.",
        extract_port,
    ),
    works(
        "string.dottedToBytes",
        "ip",
        (1, 1),
        "An IP address as 4 or 16 bytes; empty if it is none.",
        dotted_to_bytes,
    ),
    works(
        "string.bytesToDotted",
        "s",
        (1, 1),
        "4 or 16 bytes as IP address; empty for another length.",
        bytes_to_dotted,
    ),
];

/// Bytes of the longest text that is looked at as an address.
const LONGEST_ADDRESS: usize = 64;
/// Bytes of the longest name of a host (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 255;

/// The address that a text is, without white space around it.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = text.trim_ascii();
    if text.len() > LONGEST_ADDRESS {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Addresses of which the bits of `mask` are those of `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4 { base: u32, mask: u32 },
    V6 { base: u128, mask: u128 },
}

impl Network {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if let Some(prefix) = text.strip_suffix(b".") {
            return Self::of_prefix(prefix);
        }
        let (base, mask) = match memchr::memchr(b'/', text) {
            Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
            None => (text, None),
        };
        match address(base)? {
            IpAddr::V4(base) => {
                let mask = match mask {
                    None => u32::MAX,
                    Some(mask) => match address(mask) {
                        Some(IpAddr::V4(mask)) => mask.to_bits(),
                        Some(IpAddr::V6(_)) => return None,
                        None => u32::MAX.checked_shl(32 - bits(mask, 32)?).unwrap_or(0),
                    },
                };
                Some(Self::V4 { base: base.to_bits(), mask })
            }
            IpAddr::V6(base) => {
                let mask = match mask {
                    None => u128::MAX,
                    Some(mask) => match address(mask) {
                        Some(IpAddr::V6(mask)) => mask.to_bits(),
                        Some(IpAddr::V4(_)) => return None,
                        None => u128::MAX.checked_shl(128 - bits(mask, 128)?).unwrap_or(0),
                    },
                };
                Some(Self::V6 { base: base.to_bits(), mask })
            }
        }
    }

    /// `10.0.1` of `10.0.1.`: one to three numbers.
    fn of_prefix(text: &[u8]) -> Option<Self> {
        let mut base = 0_u32;
        let mut given = 0;
        for part in text.split(|byte| *byte == b'.') {
            if given == 3 {
                return None;
            }
            base = base << 8 | bits(part, 255)?;
            given += 1;
        }
        let free = 32 - 8 * given;
        Some(Self::V4 { base: base << free, mask: u32::MAX << free })
    }

    /// An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is in networks of either version; one written as IPv4 only in
    /// networks of its own.
    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { base, mask }, _) => match address.to_canonical() {
                IpAddr::V4(address) => (address.to_bits() ^ base) & mask == 0,
                IpAddr::V6(_) => false,
            },
            (Self::V6 { base, mask }, IpAddr::V6(address)) => (address.to_bits() ^ base) & mask == 0,
            (Self::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }
}

/// A decimal number of one to three digits, at most `most`.
fn bits(text: &[u8], most: u32) -> Option<u32> {
    if !(1..=3).contains(&text.len()) {
        return None;
    }
    text.iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
        .filter(|number| *number <= most)
}

/// `string.ipmaskmatch(ip, network)` → 1 or 0. Networks: `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.0.1.` (with the dot at
/// its end), one address, `2001:db8::/32`, `2001:db8::/ffff:ffff::`. What is no address is in no network; what is no
/// network warns and gives 0.
fn ipmaskmatch<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (ip, network) = (call.text(0)?, call.text(1)?);
    charge_work(call, ip.len().saturating_add(network.len()))?;
    let Some(parsed) = Network::parse(&network) else {
        let shown = network.get(..LONGEST_ADDRESS).unwrap_or(&network);
        call.warn(&format!("string.ipmaskmatch: \"{}\" is no network", shown.escape_ascii()))?;
        return Ok(Value::flag(false));
    };
    Ok(Value::flag(address(&ip).is_some_and(|ip| parsed.contains(ip))))
}

/// `string.validIPAddress(s)` → 4, 6, or 0.
fn valid_ip_address<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    Ok(Value::Int(match address(&text) {
        Some(IpAddr::V4(_)) => 4,
        Some(IpAddr::V6(_)) => 6,
        None => 0,
    }))
}

/// `string.normalizeIPAddress(s)` → canonical text (RFC 5952 for IPv6); empty if s is no address.
fn normalize_ip_address<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    match address(&text) {
        Some(address) => call.make(address.to_string()),
        None => Ok(Value::EMPTY),
    }
}

/// Host and port of `host:port`, `[v6]:port`, or a host alone. `None` if it is not valid.
fn host_and_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    if matches!(address(text), Some(IpAddr::V6(_))) {
        return Some((text.trim_ascii(), None));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let end = memchr::memchr(b']', rest)?;
        let (host, behind) = (rest.get(..end)?, rest.get(end + 1..)?);
        address(host).filter(IpAddr::is_ipv6)?;
        (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(b":")?) })
    } else {
        let (host, port) = match memchr::memchr(b':', text) {
            Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
            None => (text, None),
        };
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > LONGEST_HOST || !host.iter().all(named) {
            return None;
        }
        (host, port)
    };
    let port = match port {
        None => None,
        Some(digits) if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(digits).ok()?.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
    };
    Some((host, port))
}

/// `string.extractHost(address)` → host of `host:port`, `[v6]:port` (without brackets) or a host alone; empty if that is
/// not what it is.
fn extract_host<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    match host_and_port(&text) {
        Some((host, _)) => call.make(host),
        None => Ok(Value::EMPTY),
    }
}

/// `string.extractPort(address)` → port of `host:port` or `[v6]:port`, 1 to 65535, as integer; the empty string if there
/// is none or the address is not valid.
fn extract_port<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    Ok(match host_and_port(&text) {
        Some((_, Some(port))) => Value::Int(i64::from(port)),
        _ => Value::EMPTY,
    })
}

/// `string.dottedToBytes(ip)` → 4 bytes, 16 for IPv6, in network order; empty if it is no address.
fn dotted_to_bytes<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    match address(&text) {
        Some(IpAddr::V4(address)) => call.make(address.octets()),
        Some(IpAddr::V6(address)) => call.make(address.octets()),
        None => Ok(Value::EMPTY),
    }
}

/// `string.bytesToDotted(s)` → text of the address that 4 or 16 bytes are; empty for another length.
fn bytes_to_dotted<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    if let Ok(octets) = <[u8; 4]>::try_from(&*text) {
        return call.make(Ipv4Addr::from(octets).to_string());
    }
    match <[u8; 16]>::try_from(&*text) {
        Ok(octets) => call.make(Ipv6Addr::from(octets).to_string()),
        Err(_) => Ok(Value::EMPTY),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{Trial, check, v};

    #[test]
    fn networks() {
        for (ip, network, expected) in [
            ("10.1.2.3", "10.0.0.0/8", 1),
            ("11.1.2.3", "10.0.0.0/8", 0),
            ("10.1.2.3", "0.0.0.0/0", 1),
            ("10.1.2.3", "10.1.2.3/32", 1),
            ("10.1.2.3", "10.9.9.9/255.0.0.0", 1),
            ("10.1.2.3", "10.0.2.0/255.0.255.0", 1),
            ("10.1.2.3", "10.1.2.", 1),
            ("10.1.2.3", "10.", 1),
            ("10.1.2.3", "10.1.3.", 0),
            ("10.1.2.3", "10.1.2.3", 1),
            ("10.1.2.3", "10.1.2.4", 0),
            ("2001:db8::1", "2001:db8::/32", 1),
            ("2001:db9::1", "2001:db8::/32", 0),
            ("2001:db9::1", "::/0", 1),
            ("2001:db8::1", "2001:0db8::1", 1),
            ("2001:db8::1", "2001:db8::/ffff:ffff::", 1),
            ("::ffff:10.1.2.3", "10.0.0.0/8", 1),
            ("::ffff:10.1.2.3", "::ffff:0:0/96", 1),
            ("10.1.2.3", "::/0", 0),
            ("2001:db8::1", "0.0.0.0/0", 0),
            ("nonsense", "0.0.0.0/0", 0),
            ("", "10.", 0),
        ] {
            check(&[("string.ipmaskmatch", v![ip, network], &expected.to_string())]);
        }
        for network in [
            "",
            "10",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/::",
            "10.0.0.0.",
            "256.",
            "1..",
            ".",
            "::/129",
            "::/10.0.0.0",
            "host",
            "10.0.0.0/8/8",
            "\u{0}",
        ] {
            let mut trial = Trial::new();
            assert_eq!(trial.shown("string.ipmaskmatch", v!["10.1.2.3", network]), "0", "{network}");
            assert_eq!(trial.log().len(), 1, "{network}");
        }
    }

    #[test]
    fn values() {
        check(&[
            ("string.validIPAddress", v!["10.1.2.3"], "4"),
            ("string.validIPAddress", v!["::1"], "6"),
            ("string.validIPAddress", v!["10.1.2"], "0"),
            ("string.validIPAddress", v!["10.1.2.256"], "0"),
            ("string.normalizeIPAddress", v!["2001:0DB8:0:0::0001"], "\"2001:db8::1\""),
            ("string.normalizeIPAddress", v![" 10.1.2.3 "], "\"10.1.2.3\""),
            ("string.normalizeIPAddress", v!["x"], "\"\""),
            ("string.extractHost", v!["shop.example:8080"], "\"shop.example\""),
            ("string.extractHost", v!["shop.example"], "\"shop.example\""),
            ("string.extractHost", v!["[::1]:80"], "\"::1\""),
            ("string.extractHost", v!["::1"], "\"::1\""),
            ("string.extractHost", v!["a b:80"], "\"\""),
            ("string.extractHost", v![":80"], "\"\""),
            ("string.extractHost", v!["a:b"], "\"\""),
            ("string.extractHost", v!["[10.0.0.1]:80"], "\"\""),
            ("string.extractPort", v!["shop.example:8080"], "8080"),
            ("string.extractPort", v!["[::1]:80"], "80"),
            ("string.extractPort", v!["[::1]"], "\"\""),
            ("string.extractPort", v!["shop.example"], "\"\""),
            ("string.extractPort", v!["shop.example:"], "\"\""),
            ("string.extractPort", v!["shop.example:0"], "\"\""),
            ("string.extractPort", v!["shop.example:65536"], "\"\""),
            ("string.extractPort", v!["shop.example:+80"], "\"\""),
            ("string.dottedToBytes", v!["65.66.67.68"], "\"ABCD\""),
            ("string.dottedToBytes", v!["x"], "\"\""),
            ("string.bytesToDotted", v!["ABCD"], "\"65.66.67.68\""),
            ("string.bytesToDotted", v!["0123456789abcdef"], "\"3031:3233:3435:3637:3839:6162:6364:6566\""),
            ("string.bytesToDotted", v!["ABC"], "\"\""),
        ]);
        let mut trial = Trial::new();
        let bytes = trial.call("string.dottedToBytes", v!["2001:db8::1"]).unwrap();
        assert_eq!(trial.shown("string.bytesToDotted", vec![bytes]), "\"2001:db8::1\"");
    }
}
