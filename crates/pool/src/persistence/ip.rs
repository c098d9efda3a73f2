//! The key of an `ip` session: the client's address or its subnet.

use std::net::IpAddr;

use crate::hash::{FNV, fnv, mix};

/// Key of the client's subnet, never 0. A prefix of 0 means the whole address. IPv4 clients of an IPv6 socket are IPv4.
pub(super) fn key(client: IpAddr, prefix_v4: u8, prefix_v6: u8) -> u64 {
    let hash = match client.to_canonical() {
        IpAddr::V4(ip) => fnv(FNV, &(u32::from(ip) & mask_v4(prefix_v4)).to_be_bytes()),
        IpAddr::V6(ip) => fnv(FNV, &(u128::from(ip) & mask_v6(prefix_v6)).to_be_bytes()),
    };
    mix(hash).max(1)
}

fn mask_v4(prefix: u8) -> u32 {
    if prefix == 0 {
        u32::MAX
    } else {
        u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
    }
}

fn mask_v6(prefix: u8) -> u128 {
    if prefix == 0 {
        u128::MAX
    } else {
        u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_share_a_key() {
        let table = [
            ("10.1.2.3", "10.1.2.4", 24, 0, true),
            ("10.1.2.3", "10.1.3.3", 24, 0, false),
            ("10.1.2.3", "10.1.2.4", 0, 0, false),
            ("10.1.2.3", "10.1.2.4", 32, 0, false),
            ("10.1.2.3", "10.1.2.3", 0, 0, true),
            ("10.1.2.3", "::ffff:10.1.2.3", 0, 0, true),
            ("127.0.0.1", "10.0.0.1", 1, 0, true),
            ("128.0.0.1", "10.0.0.1", 1, 0, false),
            ("2001:db8::1", "2001:db8::2", 0, 64, true),
            ("2001:db8::1", "2001:db8::2", 0, 128, false),
            ("2001:db8::1", "2001:db8::2", 0, 0, false),
            ("2001:db8::1", "2001:db8:0:1::1", 0, 64, false),
            ("10.1.2.3", "10.1.2.4", 200, 0, false),
        ];
        for (a, b, v4, v6, same) in table {
            let key = |text: &str| key(text.parse().unwrap(), v4, v6);
            assert_eq!(key(a) == key(b), same, "{a} {b} /{v4} /{v6}");
        }
    }
}
