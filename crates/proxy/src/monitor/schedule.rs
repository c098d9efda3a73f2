//! When a monitor runs next and what its results mean. Pure: time and random numbers are arguments.
//!
//! ```text
//!              pass                  `failures` in a row
//! Unknown ───────────► Up ─────────────────────────────────► Down
//!    │                  ▲                                      │
//!    │  `failures` in a row (Unknown counts as working)        │ pass
//!    └──────────────────┼─────────────────────────────────► Down
//!                       └──────────────────────────────────────┘
//! ```

use std::time::Duration;

use tidegate_model::Monitor;

/// With `back_off`, each run of a failed node makes the wait longer by one `delay`, up to this many delays ...
const MAX_BACK_OFF_DELAYS: u32 = 10;

/// ... and up to this long, so that a node that came back is found within a minute.
const MAX_BACK_OFF: Duration = Duration::from_mins(1);

/// Longest random wait before a monitor's first run; a monitor with a long delay still answers soon.
const MAX_FIRST_WAIT: Duration = Duration::from_secs(10);

/// Shortest pause between the end of a run and the start of the next, for runs that take longer than the delay.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// What a monitor thinks of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verdict {
    /// It has not passed yet and not failed often enough; the node counts as working.
    #[default]
    Unknown,
    /// It works.
    Up,
    /// It has failed `failures` times in a row and not passed since.
    Down,
}

/// The settings a schedule needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    delay: Duration,
    failures: u32,
    back_off: bool,
}

impl From<&Monitor> for Rules {
    fn from(monitor: &Monitor) -> Self {
        Self { delay: monitor.delay, failures: monitor.failures.max(1), back_off: monitor.back_off }
    }
}

impl Rules {
    /// The wait before the first run: anything from nothing to one delay, so that monitors started together spread.
    pub(crate) fn first_wait(self, random: u64) -> Duration {
        let longest = u64::try_from(self.delay.min(MAX_FIRST_WAIT).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random % longest.saturating_add(1))
    }
}

/// Results of one monitor on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// What follows from the results.
    pub(crate) verdict: Verdict,
    /// Failures since the last pass.
    pub(crate) failures: u32,
    /// Runs since the verdict became down.
    failed_runs: u32,
}

impl Schedule {
    /// Takes in the result of a run. `Some` when the verdict changed; the first pass of an unknown node is no news.
    pub(crate) fn record(&mut self, passed: bool, rules: Rules) -> Option<Verdict> {
        let before = self.verdict;
        if passed {
            *self = Self { verdict: Verdict::Up, failures: 0, failed_runs: 0 };
        } else {
            self.failures = self.failures.saturating_add(1);
            if before == Verdict::Down {
                self.failed_runs = self.failed_runs.saturating_add(1);
            } else if self.failures >= rules.failures {
                self.verdict = Verdict::Down;
            }
        }
        match (before, self.verdict) {
            (Verdict::Down, Verdict::Up) => Some(Verdict::Up),
            (Verdict::Unknown | Verdict::Up, Verdict::Down) => Some(Verdict::Down),
            _ => None,
        }
    }

    /// The wait from the end of a run that took `took` to the start of the next.
    pub(crate) fn wait(&self, rules: Rules, took: Duration) -> Duration {
        let mut every = rules.delay;
        if rules.back_off && self.verdict == Verdict::Down {
            let delays = self.failed_runs.saturating_add(1).min(MAX_BACK_OFF_DELAYS);
            every = rules.delay.saturating_mul(delays).min(MAX_BACK_OFF).max(rules.delay);
        }
        every.saturating_sub(took).max(MIN_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules(failures: u32) -> Rules {
        Rules { delay: 3 * SECOND, failures, back_off: true }
    }

    #[test]
    fn verdicts_follow_the_results() {
        use Verdict::{Down, Unknown, Up};
        // Results (+ pass, - failure), with the verdict after each and whether it was news.
        for (failures, results, expected) in [
            (3, "---", vec![(Unknown, false), (Unknown, false), (Down, true)]),
            (3, "+", vec![(Up, false)]),
            (
                3,
                "--+---",
                vec![(Unknown, false), (Unknown, false), (Up, false), (Up, false), (Up, false), (Down, true)],
            ),
            (3, "+--+--", vec![(Up, false); 6]),
            (1, "-+-+", vec![(Down, true), (Up, true), (Down, true), (Up, true)]),
            (1, "---", vec![(Down, true), (Down, false), (Down, false)]),
            (2, "--+-", vec![(Unknown, false), (Down, true), (Up, true), (Up, false)]),
        ] {
            let mut schedule = Schedule::default();
            for (step, (result, (verdict, news))) in results.chars().zip(expected).enumerate() {
                let flip = schedule.record(result == '+', rules(failures));
                assert_eq!(
                    (schedule.verdict, flip),
                    (verdict, news.then_some(verdict)),
                    "{failures} {results} step {step}"
                );
            }
        }
    }

    #[test]
    fn failed_nodes_are_asked_less_often_up_to_a_bound() {
        let mut schedule = Schedule::default();
        let mut waits = Vec::new();
        for _ in 0..14 {
            schedule.record(false, rules(2));
            waits.push(schedule.wait(rules(2), Duration::ZERO).as_secs());
        }
        assert_eq!(waits, [3, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 30, 30, 30]);
        schedule.record(true, rules(2));
        assert_eq!(schedule.wait(rules(2), Duration::ZERO), 3 * SECOND);
        let steady = Rules { back_off: false, ..rules(1) };
        let slow = Rules { delay: 100 * SECOND, ..rules(1) };
        let medium = Rules { delay: 25 * SECOND, ..rules(1) };
        for (rules, expected) in [(steady, 3), (slow, 100), (medium, 60)] {
            let mut schedule = Schedule::default();
            for _ in 0..20 {
                schedule.record(false, rules);
            }
            assert_eq!(schedule.wait(rules, Duration::ZERO).as_secs(), expected);
        }
    }

    #[test]
    fn runs_start_every_delay_and_never_overlap() {
        let schedule = Schedule::default();
        for (took, expected) in [(0, 3000), (1000, 2000), (2950, 100), (9000, 100)] {
            let wait = schedule.wait(rules(3), Duration::from_millis(took));
            assert_eq!(wait, Duration::from_millis(expected), "after {took} ms");
        }
    }

    #[test]
    fn first_runs_spread_over_the_delay() {
        let mut seen = std::collections::BTreeSet::new();
        for random in 0..10_000 {
            let wait = rules(3).first_wait(random);
            assert!(wait <= 3 * SECOND);
            seen.insert(wait.as_millis() / 300);
        }
        assert_eq!(seen.len(), 11, "every tenth of the delay is used, and its end");
        let daily = Rules { delay: 86_400 * SECOND, ..rules(3) };
        assert!(daily.first_wait(u64::MAX) <= MAX_FIRST_WAIT);
        assert_eq!(Rules { delay: Duration::ZERO, ..rules(3) }.first_wait(7), Duration::ZERO);
    }
}
