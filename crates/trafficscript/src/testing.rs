//! What the tests of the language need: running a rule for what it logs, and a few functions that no library has.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    Compiled, End, Limits, Machine, Options, PatternCache, Step, compile,
    described::Described,
    host::{Answer, Level, Need, Phase},
    library::{ANY, Call, Function, Interrupt, Outcome, Status, Traits},
    value::{Container, Value},
};

/// Compiles `text` as rule `test`; it has to be without errors.
pub(crate) fn compiled(text: impl AsRef<[u8]>) -> Compiled {
    let compiled = compile("test", text.as_ref(), &Options::default(), &|_| None);
    if compiled.program.is_none() {
        let notes: Vec<_> = compiled.notes.iter().map(ToString::to_string).collect();
        panic!("{}\n{}", text.as_ref().escape_ascii(), notes.join("\n"));
    }
    compiled
}

/// Compiles a rule that may import the others.
pub(crate) fn compiled_with(text: &str, others: &[(&str, &str)]) -> Compiled {
    let others: HashMap<&str, &str> = others.iter().copied().collect();
    compile("test", text.as_bytes(), &Options::default(), &|name| {
        others.get(name).map(|text| Arc::from(text.as_bytes()))
    })
}

/// What the rule logs (warnings begin with `! `), and how it ends.
pub(crate) fn run_with(compiled: &Compiled, limits: Limits) -> (Vec<String>, End) {
    let program = compiled.program.as_ref().expect("a program");
    let mut machine = Machine::new(program, limits);
    let mut host = Described::request("GET", "/");
    let mut patterns = PatternCache::new(16, limits.match_steps);
    loop {
        match machine.run(&mut host, &mut patterns) {
            Step::Done(end) => {
                let line = |(level, line): &(Level, Vec<u8>)| {
                    let prefix = if *level == Level::Info { "" } else { "! " };
                    format!("{prefix}{}", String::from_utf8_lossy(line))
                };
                return (host.lines.iter().map(line).collect(), end);
            }
            Step::Wait(_) => machine.resume(Answer::Done),
        }
    }
}

/// As [`run_with`], with the default limits.
pub(crate) fn run(text: impl AsRef<[u8]>) -> (Vec<String>, End) {
    run_with(&compiled(text), Limits::default())
}

/// What a rule logs that ends by itself.
pub(crate) fn logged(text: impl AsRef<[u8]>) -> Vec<String> {
    let (lines, end) = run(text.as_ref());
    assert_eq!(end, End::Finished, "{}", text.as_ref().escape_ascii());
    lines
}

/// What an expression gives, as text with its type.
pub(crate) fn result(expression: &str) -> String {
    let lines = logged(format!("test.show( {expression} );"));
    lines.join(" / ")
}

const fn function(name: &'static str, arity: (u8, u8), does: crate::library::Native) -> Function {
    Function {
        name,
        arguments: "…",
        arity,
        phases: &[],
        summary: "",
        status: Status::Works(does),
        traits: Traits {
            changes_first: false,
            pattern: None,
            pool: None,
            bandwidth: false,
            waits: false,
            places: false,
            bytes: false,
        },
    }
}

/// Functions of the tests.
pub(crate) const FUNCTIONS: &[Function] = &[
    function("test.show", (1, 1), show),
    function("test.wait", (0, 0), wait),
    function("test.endPhase", (0, 0), |_| Err(Interrupt::EndPhase)),
    function("test.endRule", (0, 0), |_| Err(Interrupt::EndRule)),
    function("test.fill", (1, 1), |call| {
        let bytes = call.int(0)?.max(0) as usize;
        call.charge(bytes)?;
        Ok(Value::from(vec![b'a'; bytes]))
    }),
    Function {
        status: Status::Deprecated { instead: "log.info", does: log_info },
        ..function("test.old", (1, 1), log_info)
    },
    Function {
        status: Status::Switch { does: log_info, waits_for: "caching" },
        ..function("test.switch", (1, 1), log_info)
    },
    Function { status: Status::Planned("a moon"), ..function("test.planned", (0, ANY), log_info) },
    Function { status: Status::Never("there is no Java"), ..function("test.never", (0, ANY), log_info) },
    Function { phases: &[Phase::Response], ..function("test.response", (0, 0), |_| Ok(Value::EMPTY)) },
    Function {
        traits: Traits {
            pool: Some(0),
            changes_first: false,
            pattern: None,
            bandwidth: false,
            waits: false,
            places: false,
            bytes: false,
        },
        ..function("test.pool", (1, 1), |_| Ok(Value::EMPTY))
    },
];

fn log_info<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.host.log(Level::Info, &text);
    Ok(Value::EMPTY)
}

#[expect(clippy::unnecessary_wraps, reason = "all functions have one signature")]
fn show<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let value = call.value(0);
    call.host.log(Level::Info, shown(&value).as_bytes());
    Ok(value)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Container(container) => match &*container.borrow() {
            Container::Empty => "[]".to_owned(),
            Container::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(shown).collect();
                format!("[{}]", elements.join(","))
            }
            Container::Hash(entries) => {
                let entries = entries.iter();
                let entries: Vec<_> =
                    entries.map(|(key, value)| format!("{}=>{}", key.escape_ascii(), shown(value))).collect();
                format!("[{}]", entries.join(","))
            }
        },
    }
}

/// Waits once, then gives 1.
fn wait<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    match call.answer() {
        Some(_) => Ok(Value::Int(1)),
        None => call.wait(Need::Sleep(Duration::from_secs(1))),
    }
}
