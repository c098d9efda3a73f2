//! Bytes per second now, by virtual server, from totals that are looked at about once a second.
//!
//! No clock of its own: the moment comes with each look.

use std::collections::{BTreeMap, VecDeque};

use tidegate_model::{Moment, VirtualServerName};

/// Looks that are remembered; the rate is that between the first and the last of them.
const LOOKS: usize = 6;

/// The last looks at totals.
#[derive(Clone, Debug, Default)]
pub struct Throughput {
    looks: VecDeque<(Moment, BTreeMap<VirtualServerName, u64>)>,
}

impl Throughput {
    /// Takes note of the bytes that each virtual server has moved as of `now`, since it exists.
    pub fn record(&mut self, now: Moment, bytes: impl IntoIterator<Item = (VirtualServerName, u64)>) {
        if self.looks.back().is_some_and(|(last, _)| *last >= now) {
            return;
        }
        if self.looks.len() >= LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, bytes.into_iter().collect()));
    }

    /// Bytes per second over the last seconds; 0 of a virtual server that was not seen twice.
    pub fn of(&self, server: &str) -> u64 {
        let mut seen = self.looks.iter().filter_map(|(at, bytes)| Some((at.0, *bytes.get(server)?)));
        let Some((mut first, mut before)) = seen.next() else { return 0 };
        let (mut last, mut total) = (first, before);
        for (at, bytes) in seen {
            if bytes < total {
                // It was removed and is there again: what it moved before does not count.
                (first, before) = (at, bytes);
            }
            (last, total) = (at, bytes);
        }
        match last.saturating_sub(first) {
            0 => 0,
            apart => total.saturating_sub(before).saturating_mul(1000) / apart,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(throughput: &mut Throughput, at: u64, bytes: &[(&str, u64)]) {
        let bytes = bytes.iter().map(|(name, bytes)| (VirtualServerName::from(*name), *bytes));
        throughput.record(Moment(at), bytes);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut throughput = Throughput::default();
        assert_eq!(throughput.of("a"), 0);
        record(&mut throughput, 1000, &[("a", 500)]);
        assert_eq!(throughput.of("a"), 0, "one look makes no rate");
        record(&mut throughput, 2000, &[("a", 1500), ("b", 0)]);
        record(&mut throughput, 3500, &[("a", 3000), ("b", 30)]);
        assert_eq!((throughput.of("a"), throughput.of("b"), throughput.of("c")), (1000, 20, 0));
        for at in 4..20 {
            record(&mut throughput, at * 1000, &[("a", 3000)]);
        }
        assert_eq!((throughput.of("a"), throughput.of("b")), (0, 0), "idle, and gone");
        assert_eq!(throughput.looks.len(), LOOKS);
    }

    #[test]
    fn a_virtual_server_that_begins_anew_begins_at_its_new_total() {
        let mut throughput = Throughput::default();
        record(&mut throughput, 1000, &[("a", 1_000_000)]);
        record(&mut throughput, 2000, &[("a", 100)]);
        assert_eq!(throughput.of("a"), 0);
        record(&mut throughput, 2000, &[("a", 900)]);
        record(&mut throughput, 4000, &[("a", 300)]);
        assert_eq!(throughput.of("a"), 100);
        record(&mut throughput, 5000, &[("a", u64::MAX)]);
        assert!(throughput.of("a") > 1 << 50, "the largest numbers are no trouble");
    }
}
