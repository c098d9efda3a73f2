//! Failed logins slow down per address: a bounded table, time in, waits out.
//!
//! Every attempt that costs a check is entered before it is made, so that attempts side by side do not get round
//! the wait; a success takes it back.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 4096;
/// Failures that cost nothing: slips of people.
const FREE_FAILURES: u32 = 3;
/// Wait after the first failure that costs something; doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest time that a request is held; what has to wait longer is refused at once.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(2);
/// An address without a failure for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// Who has failed lately.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    addresses: BTreeMap<IpAddr, Entry>,
    /// Addresses forgotten early because the table was full.
    pub(crate) evicted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    /// No attempt is made before this.
    not_before: Duration,
    last: Duration,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It may be made after this wait.
    After(Duration),
    /// It is refused; the next one may be made after this.
    Refused(Duration),
}

impl Throttle {
    /// Enters an attempt of `address` at `now` (since any fixed moment) as a failed one.
    pub(crate) fn attempt(&mut self, address: IpAddr, now: Duration) -> Attempt {
        let key = host(address);
        self.make_room(key, now);
        let entry = self.addresses.entry(key).or_insert(Entry { failures: 0, not_before: now, last: now });
        if entry.last + FORGET_AFTER < now {
            entry.failures = 0;
        }
        let wait = entry.not_before.saturating_sub(now);
        if wait > LONGEST_HOLD {
            return Attempt::Refused(wait);
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        let pause = match entry.failures.checked_sub(FREE_FAILURES + 1) {
            None => Duration::ZERO,
            Some(doubled) => FIRST_WAIT.saturating_mul(1 << doubled.min(16)).min(LONGEST_WAIT),
        };
        entry.not_before = now + wait + pause;
        Attempt::After(wait)
    }

    /// The attempt was right after all.
    pub(crate) fn succeeded(&mut self, address: IpAddr) {
        self.addresses.remove(&host(address));
    }

    fn make_room(&mut self, key: IpAddr, now: Duration) {
        if self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(&key) {
            return;
        }
        self.addresses.retain(|_, entry| entry.last + FORGET_AFTER >= now);
        if self.addresses.len() >= MAX_ADDRESSES {
            let oldest = self.addresses.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.addresses.remove(&oldest);
                self.evicted += 1;
            }
        }
    }
}

/// One entry per IPv4 address and per /64 of IPv6, which is what one host has.
pub(crate) fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn waits_grow_and_then_attempts_are_refused() {
        let mut throttle = Throttle::default();
        let now = SECOND * 100;
        for _ in 0..=FREE_FAILURES {
            assert_eq!(throttle.attempt(address(1), now), Attempt::After(Duration::ZERO));
        }
        assert_eq!(throttle.attempt(address(1), now), Attempt::After(FIRST_WAIT));
        assert_eq!(throttle.attempt(address(1), now), Attempt::After(FIRST_WAIT * 3));
        assert_eq!(throttle.attempt(address(1), now), Attempt::After(FIRST_WAIT * 7));
        assert!(matches!(throttle.attempt(address(1), now), Attempt::Refused(_)));
        // Others do not notice, and nobody waits for ever.
        assert_eq!(throttle.attempt(address(2), now), Attempt::After(Duration::ZERO));
        assert!(matches!(throttle.attempt(address(1), now + LONGEST_WAIT), Attempt::After(_)));
        let later = now + FORGET_AFTER + LONGEST_WAIT + SECOND;
        assert_eq!(throttle.attempt(address(1), later), Attempt::After(Duration::ZERO));
    }

    #[test]
    fn a_success_takes_it_all_back() {
        let mut throttle = Throttle::default();
        for _ in 0..10 {
            throttle.attempt(address(1), SECOND);
        }
        throttle.succeeded(address(1));
        assert_eq!(throttle.attempt(address(1), SECOND), Attempt::After(Duration::ZERO));
    }

    #[test]
    fn the_table_is_bounded_and_a_host_has_one_entry() {
        let mut throttle = Throttle::default();
        for number in 0..=MAX_ADDRESSES as u32 {
            throttle.attempt(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), SECOND);
        }
        assert_eq!(throttle.addresses.len(), MAX_ADDRESSES);
        assert_eq!(throttle.evicted, 1);
        assert_eq!(host("2001:db8::1".parse().unwrap()), host("2001:db8::ffff:1".parse().unwrap()));
        assert_eq!(host("::ffff:192.0.2.1".parse().unwrap()), address(1));
    }
}
