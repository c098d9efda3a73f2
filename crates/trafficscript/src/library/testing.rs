//! Calls of functions for tests, with a described request as the world.

use super::{CAPTURES, Call, Function, Interrupt, Outcome, Site, Status, functions};
use crate::{
    Described, Host, Value,
    meter::{Limits, Meter},
    pattern::PatternCache,
    value::{Container, Text},
};

/// What came of a call.
pub(crate) struct Called {
    pub(crate) outcome: Outcome<'static>,
    pub(crate) captures: [Value<'static>; CAPTURES],
}

/// The row of a function.
pub(crate) fn function(name: &str) -> &'static Function {
    functions()
        .find(|function| function.name.eq_ignore_ascii_case(name))
        .unwrap_or_else(|| panic!("there is no function {name}"))
}

/// Calls a function, answering its needs.
pub(crate) fn call_with(
    host: &mut Described,
    name: &str,
    arguments: &[Value<'static>],
    limits: Limits,
) -> Called {
    static SITE: Site = Site { line: 7, pattern: None };
    let row = function(name);
    assert!(
        row.phases.is_empty() || row.phases.contains(&host.phase),
        "{name} may not be called in {:?}",
        host.phase
    );
    let count = u8::try_from(arguments.len()).unwrap();
    assert!((row.arity.0..=row.arity.1).contains(&count), "{name} takes {:?} arguments", row.arity);
    let (Status::Works(does) | Status::Deprecated { does, .. } | Status::Switch { does, .. }) = row.status
    else {
        panic!("{name} does not work");
    };
    let mut captures = [Value::EMPTY; CAPTURES];
    let mut meter = Meter::new(limits);
    let mut patterns = PatternCache::new(10, limits.match_steps);
    let mut answer = None;
    loop {
        let outcome = does(&mut Call {
            host,
            rule: "test",
            arguments,
            answer: answer.take(),
            captures: &mut captures,
            site: &SITE,
            meter: &mut meter,
            patterns: &mut patterns,
            strict: false,
        });
        match outcome {
            Err(Interrupt::Wait(need)) => {
                assert!(row.traits.waits, "{name} waits, which its row does not say");
                assert!(host.needs.len() < 10, "{name} waits again and again");
                answer = Some(Box::new(host.answer(&need)));
            }
            outcome => return Called { outcome, captures },
        }
    }
}

/// Calls a function, answering its needs. Arguments are JSON-like: see [`value`].
pub(crate) fn call(host: &mut Described, name: &str, arguments: &[&str]) -> Called {
    let arguments: Vec<_> = arguments.iter().map(|text| value(text)).collect();
    call_with(host, name, &arguments, Limits::default())
}

/// What a function gives, as text: see [`shown`].
pub(crate) fn give(host: &mut Described, name: &str, arguments: &[&str]) -> String {
    match call(host, name, arguments).outcome {
        Ok(value) => shown(&value),
        Err(interrupt) => format!("{interrupt:?}"),
    }
}

/// A value of its text: `12` an integer, `1.5` a double, all else a string.
pub(crate) fn value(text: &str) -> Value<'static> {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    match text.parse::<f64>() {
        Ok(number) if text.contains('.') => number.into(),
        _ => Value::Text(Text::Made(text.as_bytes().into())),
    }
}

/// A value as text: strings as they are, arrays as `[a, b]`, hashes as `{k: v}`.
pub(crate) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Container(container) => match &*container.borrow() {
            Container::Empty => "[]".to_owned(),
            Container::Array(elements) => {
                format!("[{}]", elements.iter().map(shown).collect::<Vec<_>>().join(", "))
            }
            Container::Hash(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| format!("{}: {}", String::from_utf8_lossy(key), shown(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        },
    }
}

/// The lines in the event log.
pub(crate) fn lines(host: &Described) -> Vec<String> {
    host.lines.iter().map(|(level, line)| format!("{level:?} {}", String::from_utf8_lossy(line))).collect()
}

/// A value of a header field of the request (or the response) as it is now.
pub(crate) fn header(host: &dyn Host, side: crate::host::Side, name: &str) -> Option<String> {
    let mut found: Option<String> = None;
    host.field(side, name.as_bytes(), &mut |value| {
        let value = String::from_utf8_lossy(value);
        found = Some(match found.take() {
            Some(before) => format!("{before} | {value}"),
            None => value.into_owned(),
        });
    });
    found
}
