//! Which requests are recorded: the samplers of the OpenTelemetry specification, by their names.

use std::num::NonZeroU128;

/// Decides whether a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// A caller that has decided is followed.
    parent_based: bool,
    /// What is decided here.
    root: Root,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Always,
    Never,
    /// Traces whose number, in its lower 63 bits but one, is below this.
    Ratio(u64),
}

/// The names there are, for messages.
const NAMES: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                     parentbased_traceidratio";

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self { parent_based: true, root: Root::Always }
    }
}

impl Sampler {
    /// The sampler of a name and argument as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` have them. The error
    /// says what is expected; its first part is whether the argument is at fault.
    pub fn named(name: &str, argument: Option<&str>) -> Result<Self, (bool, String)> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => Root::Always,
            "always_off" => Root::Never,
            "traceidratio" => ratio(argument.unwrap_or("1"))
                .ok_or_else(|| (true, "a number from 0 to 1 is expected".to_owned()))?,
            _ => return Err((false, format!("{NAMES} is expected"))),
        };
        Ok(Self { parent_based, root })
    }

    /// `parentbased_traceidratio` with this ratio; `None` = the text is no number from 0 to 1.
    pub fn of_ratio(text: &str) -> Option<Self> {
        Some(Self { parent_based: true, root: ratio(text)? })
    }

    /// Whether a request of this trace is recorded. `parent` is what the caller has decided; `None` = there is no caller.
    pub fn samples(&self, parent: Option<bool>, trace_id: NonZeroU128) -> bool {
        if self.parent_based
            && let Some(parent) = parent
        {
            return parent;
        }
        match self.root {
            Root::Always => true,
            Root::Never => false,
            // As the SDKs of OpenTelemetry do it: whoever uses the same ratio decides alike.
            Root::Ratio(below) => (trace_id.get() as u64) >> 1 < below,
        }
    }
}

fn ratio(text: &str) -> Option<Root> {
    let ratio: f64 = text.trim().parse().ok()?;
    (0.0..=1.0).contains(&ratio).then_some(Root::Ratio((ratio * (1u64 << 63) as f64) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(name: &str, argument: &str) -> Sampler {
        Sampler::named(name, Some(argument)).unwrap()
    }

    #[test]
    fn callers_are_followed_where_the_name_says_so() {
        let trace = NonZeroU128::new(1).unwrap();
        // name, without a caller, caller has not sampled, caller has
        for (name, expected) in [
            ("always_on", [true, true, true]),
            ("always_off", [false, false, false]),
            ("parentbased_always_on", [true, false, true]),
            ("parentbased_always_off", [false, false, true]),
            ("parentbased_traceidratio", [false, false, true]),
            ("traceidratio", [false, false, false]),
        ] {
            let sampler = sampler(name, "0");
            let got = [None, Some(false), Some(true)].map(|parent| sampler.samples(parent, trace));
            assert_eq!(got, expected, "{name}");
        }
        assert_eq!(Sampler::named("parentbased_always_on", None).unwrap(), Sampler::default());
    }

    #[test]
    fn a_ratio_is_kept_and_the_same_for_everybody() {
        let seed = a_seed();
        let mut number = seed;
        let mut next = || {
            // SplitMix64.
            number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        for ratio in ["0", "0.01", "0.25", "1"] {
            let sampler = Sampler::of_ratio(ratio).unwrap();
            let count = (0..100_000)
                .filter(|_| {
                    let id = u128::from(next()) << 64 | u128::from(next());
                    NonZeroU128::new(id).is_some_and(|id| sampler.samples(None, id))
                })
                .count() as f64;
            let expected = ratio.parse::<f64>().unwrap() * 100_000.0;
            assert!((count - expected).abs() <= 600.0, "seed {seed}: {count} of 100000 at {ratio}");
        }
        // Only the lower half counts, as everywhere.
        let half = Sampler::of_ratio("0.5").unwrap();
        let low = NonZeroU128::new(u128::MAX << 64 | 7).unwrap();
        let high = NonZeroU128::new(0x8000_0000_0000_0000).unwrap();
        assert!(half.samples(None, low) && !half.samples(None, high));
    }

    fn a_seed() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    }

    #[test]
    fn faults() {
        for (name, argument, at_argument) in [
            ("sometimes", None, false),
            ("parentbased_jaeger_remote", None, false),
            ("traceidratio", Some("2"), true),
            ("traceidratio", Some("-0.1"), true),
            ("parentbased_traceidratio", Some("NaN"), true),
            ("parentbased_traceidratio", Some("half"), true),
        ] {
            assert_eq!(Sampler::named(name, argument).unwrap_err().0, at_argument, "{name} {argument:?}");
        }
        assert_eq!(Sampler::of_ratio("1.1"), None);
        // The argument of a sampler that takes none does not matter.
        assert!(Sampler::named("always_on", Some("x")).is_ok());
    }
}
