//! What happens in a demo, and when: a script such as `scale-up@3,drain@6,kill@9`, or a key.

use std::{fmt, str::FromStr, time::Duration};

/// Most steps of a script.
const MAX_STEPS: usize = 1000;
/// Latest second of a step.
const MAX_SECOND: f64 = 86_400.0;

/// Something a spectator does to the sample application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A further node starts and enters DNS.
    ScaleUp,
    /// A node leaves DNS and goes on answering.
    Drain,
    /// A node dies without a word; DNS still lists it.
    Kill,
    /// What was drained or killed comes back.
    Restore,
    /// The demo ends.
    Quit,
}

impl Action {
    /// Every action with its name in a script and its key.
    const ALL: [(Self, &'static str, char); 5] = [
        (Self::ScaleUp, "scale-up", '+'),
        (Self::Drain, "drain", 'd'),
        (Self::Kill, "kill", 'k'),
        (Self::Restore, "restore", 'r'),
        (Self::Quit, "quit", 'q'),
    ];

    /// The action of a key.
    pub(crate) fn of_key(key: char) -> Option<Self> {
        // `=` is `+` without shift on many keyboards.
        let key = if key == '=' { '+' } else { key.to_ascii_lowercase() };
        Self::ALL.iter().find(|(_, _, its)| *its == key).map(|(action, _, _)| *action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(action, _, _)| action == self).map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}

/// Actions with their times from the start of the demo, earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script(pub(crate) Vec<(Duration, Action)>);

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for step in text.split(',').map(str::trim).filter(|step| !step.is_empty()) {
            let (name, second) = step
                .split_once('@')
                .ok_or_else(|| format!("`{step}` has no time; write it as {step}@SECOND"))?;
            let (action, ..) =
                Action::ALL.iter().find(|(_, its, _)| *its == name.trim()).ok_or_else(|| {
                    let names: Vec<&str> = Action::ALL.iter().map(|(_, name, _)| *name).collect();
                    format!("`{name}` is no action; there are {}", names.join(", "))
                })?;
            let second: f64 = second
                .trim()
                .parse()
                .ok()
                .filter(|second| (0.0..=MAX_SECOND).contains(second))
                .ok_or_else(|| format!("`{second}` is no time in seconds (0 to {MAX_SECOND})"))?;
            steps.push((Duration::from_secs_f64(second), *action));
            if steps.len() > MAX_STEPS {
                return Err(format!("a script has at most {MAX_STEPS} steps"));
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_order_of_time() {
        let script: Script = "kill@9, scale-up@3,drain@6.5,".parse().unwrap();
        assert_eq!(
            script.0,
            [
                (Duration::from_secs(3), Action::ScaleUp),
                (Duration::from_millis(6500), Action::Drain),
                (Duration::from_secs(9), Action::Kill),
            ]
        );
        assert_eq!("".parse::<Script>().unwrap(), Script::default());
    }

    #[test]
    fn faults_say_what_is_expected() {
        for (text, expected) in [
            ("kill", "kill@SECOND"),
            ("explode@3", "scale-up, drain, kill, restore, quit"),
            ("kill@soon", "no time in seconds"),
            ("kill@-1", "no time in seconds"),
            ("kill@NaN", "no time in seconds"),
        ] {
            let error = text.parse::<Script>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn keys() {
        assert_eq!(Action::of_key('+'), Some(Action::ScaleUp));
        assert_eq!(Action::of_key('='), Some(Action::ScaleUp));
        assert_eq!(Action::of_key('D'), Some(Action::Drain));
        assert_eq!(Action::of_key('x'), None);
    }
}
