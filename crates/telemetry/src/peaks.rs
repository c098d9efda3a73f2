//! The highest rates of a second within the last hour, from totals that are looked at about once a second.
//!
//! No clock of its own: the moment comes with each look.

use tidegate_model::Moment;

use crate::{counters::ProcessTotals, observation::Peaks};

/// Minutes that are remembered.
const MINUTES: usize = 60;
/// Least time between two looks that make a rate, ms.
const LEAST_APART: u64 = 200;

/// Highest rates, minute by minute.
#[derive(Clone, Debug)]
pub struct PeakRates {
    last: Option<(Moment, Peaks)>,
    /// Highest rate in each of the last minutes, at the number of the minute modulo [`MINUTES`].
    minutes: [Peaks; MINUTES],
    minute: u64,
}

impl Default for PeakRates {
    fn default() -> Self {
        Self { last: None, minutes: [Peaks::default(); MINUTES], minute: 0 }
    }
}

impl PeakRates {
    /// Takes note of the totals as they are at `now`.
    pub fn record(&mut self, now: Moment, totals: &ProcessTotals) {
        let sums = Peaks {
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            requests: totals.requests,
            tls_connections: totals.tls12 + totals.tls13,
        };
        self.forget_until(now.0 / 60_000);
        let Some((before, last)) = self.last else {
            self.last = Some((now, sums));
            return;
        };
        let apart = now.0.saturating_sub(before.0);
        if apart < LEAST_APART {
            return;
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1000) / apart;
        let rates = combined(sums, last, rate);
        if let Some(minute) = self.minutes.get_mut(self.minute as usize % MINUTES) {
            *minute = combined(*minute, rates, u64::max);
        }
        self.last = Some((now, sums));
    }

    /// The highest rates of the last hour, per second.
    pub fn peaks(&self) -> Peaks {
        self.minutes.iter().fold(Peaks::default(), |most, minute| combined(most, *minute, u64::max))
    }

    /// Minutes up to `minute` begin without anything.
    fn forget_until(&mut self, minute: u64) {
        for passed in (self.minute + 1..=minute).take(MINUTES) {
            if let Some(rates) = self.minutes.get_mut(passed as usize % MINUTES) {
                *rates = Peaks::default();
            }
        }
        if minute.saturating_sub(self.minute) > MINUTES as u64 {
            self.minutes = [Peaks::default(); MINUTES];
        }
        self.minute = self.minute.max(minute);
    }
}

fn combined(a: Peaks, b: Peaks, with: impl Fn(u64, u64) -> u64) -> Peaks {
    Peaks {
        bytes_in: with(a.bytes_in, b.bytes_in),
        bytes_out: with(a.bytes_out, b.bytes_out),
        requests: with(a.requests, b.requests),
        tls_connections: with(a.tls_connections, b.tls_connections),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64) -> ProcessTotals {
        ProcessTotals { requests, ..ProcessTotals::default() }
    }

    #[test]
    fn the_highest_second_of_the_hour_is_remembered_and_then_forgotten() {
        let mut rates = PeakRates::default();
        let minute = |minutes: u64, millis: u64| Moment(minutes * 60_000 + millis);
        rates.record(minute(0, 0), &totals(0));
        rates.record(minute(0, 1000), &totals(500));
        rates.record(minute(0, 1100), &totals(9_999_999)); // too soon to say
        rates.record(minute(0, 3000), &totals(900));
        assert_eq!(rates.peaks().requests, 500);
        rates.record(minute(59, 0), &totals(1000));
        assert_eq!(rates.peaks().requests, 500);
        rates.record(minute(60, 0), &totals(2000));
        assert_eq!(rates.peaks().requests, 16, "only the last minute is left: {:?}", rates.peaks());
        rates.record(minute(500, 0), &totals(2000));
        assert_eq!(rates.peaks().requests, 0);
    }
}
