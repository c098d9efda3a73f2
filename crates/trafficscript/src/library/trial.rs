//! Calls of functions by name with values of any kind, over a described request in which nothing happens: what the tests
//! of functions that look at nothing but their arguments need.

use std::time::Duration;

use super::{CAPTURES, Call, Outcome, Site, Status, testing::function};
use crate::{
    Described,
    meter::{Limits, Meter},
    pattern::PatternCache,
    value::{Container, Value, cast},
};

/// The time it is: 14 November 2023, 22:13:20.
const NOW: Duration = Duration::from_secs(1_700_000_000);

static SITE: Site = Site { line: 1, pattern: None };

/// Calls of functions in one run of a rule.
#[derive(Debug)]
pub(super) struct Trial {
    /// The world.
    pub(super) host: Described,
    /// `import strict`.
    pub(super) strict: bool,
    captures: [Value<'static>; CAPTURES],
    meter: Meter,
    patterns: PatternCache,
}

impl Trial {
    /// A new run with the default limits.
    pub(super) fn new() -> Self {
        let limits = Limits::default();
        let mut host = Described::request("GET", "/");
        host.now = NOW;
        Self {
            host,
            strict: false,
            captures: [const { Value::EMPTY }; CAPTURES],
            patterns: PatternCache::new(8, limits.match_steps),
            meter: Meter::new(limits),
        }
    }

    /// Another limit of the steps of a match.
    pub(super) fn match_steps(&mut self, steps: u32) {
        self.patterns = PatternCache::new(8, steps);
    }

    /// Calls a function by its name.
    #[expect(clippy::needless_pass_by_value, reason = "tests write the values where they call")]
    pub(super) fn call(&mut self, name: &str, arguments: Vec<Value<'static>>) -> Outcome<'static> {
        let function = function(name);
        let (least, most) = (usize::from(function.arity.0), usize::from(function.arity.1));
        assert!(
            (least..=most).contains(&arguments.len()),
            "{name} called with {} arguments",
            arguments.len()
        );
        let does = match function.status {
            Status::Works(does) | Status::Deprecated { does, .. } | Status::Switch { does, .. } => does,
            Status::Planned(_) | Status::Never(_) => panic!("{name} does not work"),
        };
        does(&mut Call {
            host: &mut self.host,
            rule: "test",
            arguments: &arguments,
            answer: None,
            captures: &mut self.captures,
            site: &SITE,
            meter: &mut self.meter,
            patterns: &mut self.patterns,
            strict: self.strict,
        })
    }

    /// Calls a function and shows its result as `lang.dump` does.
    pub(super) fn shown(&mut self, name: &str, arguments: Vec<Value<'static>>) -> String {
        let result =
            self.call(name, arguments).unwrap_or_else(|interrupt| panic!("{name} interrupts: {interrupt:?}"));
        self.show(&result)
    }

    /// A value as `lang.dump` shows it.
    pub(super) fn show(&mut self, value: &Value<'static>) -> String {
        let shown = self.call("lang.dump", vec![value.clone()]).unwrap();
        String::from_utf8_lossy(&cast::text(&shown).unwrap()).into_owned()
    }

    /// Lines of the event log.
    pub(super) fn log(&self) -> Vec<String> {
        self.host.lines.iter().map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// `$1` to `$9` as text.
    pub(super) fn captures(&self) -> Vec<String> {
        let text = |value| String::from_utf8_lossy(&cast::text(value).unwrap()).into_owned();
        self.captures.iter().map(text).collect()
    }
}

/// Checks a table of calls: name, arguments, the result as `lang.dump` shows it. None of them may warn.
pub(super) fn check(table: &[(&str, Vec<Value<'static>>, &str)]) {
    for (name, arguments, expected) in table {
        let mut trial = Trial::new();
        let asked: Vec<String> = arguments.iter().map(|argument| trial.show(argument)).collect();
        let call = format!("{name}({})", asked.join(", "));
        assert_eq!(trial.shown(name, arguments.clone()), *expected, "{call}");
        assert_eq!(trial.log(), [""; 0], "{call}");
    }
}

/// An array.
pub(super) fn list(elements: Vec<Value<'static>>) -> Value<'static> {
    Container::Array(elements).into()
}

/// A hash of integers.
pub(super) fn hash(entries: &[(&str, i64)]) -> Value<'static> {
    let entries = entries.iter().map(|(key, value)| (Box::from(key.as_bytes()), Value::Int(*value)));
    Container::Hash(entries.collect()).into()
}

/// What a test can write as an argument.
pub(super) trait Argument {
    /// The value it stands for.
    fn value(self) -> Value<'static>;
}

impl Argument for i32 {
    fn value(self) -> Value<'static> {
        Value::Int(self.into())
    }
}

impl Argument for i64 {
    fn value(self) -> Value<'static> {
        Value::Int(self)
    }
}

impl Argument for bool {
    fn value(self) -> Value<'static> {
        Value::flag(self)
    }
}

impl Argument for f64 {
    fn value(self) -> Value<'static> {
        Value::Double(self)
    }
}

impl Argument for &str {
    fn value(self) -> Value<'static> {
        Value::from(self.as_bytes())
    }
}

impl Argument for &[u8] {
    fn value(self) -> Value<'static> {
        Value::from(self)
    }
}

impl Argument for Value<'static> {
    fn value(self) -> Value<'static> {
        self
    }
}

/// Values of a call.
macro_rules! v {
    ($($argument:expr),* $(,)?) => {
        vec![$($crate::library::trial::Argument::value($argument)),*]
    };
}
pub(super) use v;
