//! What holds for every function of the catalogue, and the functions of the exchange over a described request.

mod http_body;
mod http_reply;
mod http_request;
mod http_response;
mod http_stream;
mod others;
mod raw;
mod traffic;
mod world;

use std::collections::HashSet;

use super::{
    ANY, Status, functions,
    testing::{call, give},
    trial::{Trial, hash, list, v},
};
use crate::{
    Described, Phase,
    value::{Container, Value},
};

/// Name, arguments, and what is given.
type Cases<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];

/// Calls functions one after the other over the same request.
fn check(host: &mut Described, cases: Cases<'_>) {
    for (name, arguments, given) in cases {
        host.needs.clear();
        assert_eq!(give(host, name, arguments), *given, "{name}{arguments:?}");
    }
}

#[test]
fn rows_are_sound() {
    let mut names = HashSet::new();
    for function in functions() {
        let name = function.name;
        assert!(names.insert(name.to_ascii_lowercase()), "{name} is there twice");
        let old = matches!(function.status, Status::Deprecated { .. });
        assert!(old || !function.summary.is_empty(), "{name} has no summary");
        assert!(function.arity.0 <= function.arity.1, "{name}");
        let count = |list: &str| list.split(',').filter(|name| !name.trim().is_empty()).count();
        let listed = count(&function.arguments.replace(['[', ']'], ""));
        let open = function.arguments.contains('…');
        assert_eq!(open, function.arity.1 == ANY, "{name}: arguments and arity differ");
        assert!(open || listed == usize::from(function.arity.1), "{name}: arguments and arity differ");
        let needed = function.arguments.split('[').next().map_or(0, count);
        assert!(open || needed == usize::from(function.arity.0), "{name}: arguments and arity differ");
    }
    for function in functions() {
        if let Status::Deprecated { instead, .. } = function.status {
            let known =
                functions().any(|other| other.name == instead && matches!(other.status, Status::Works(_)));
            assert!(known, "{}: there is no {instead}", function.name);
        }
    }
}

/// Arguments nobody would write on purpose.
fn hostile() -> Vec<Value<'static>> {
    let mut values = v![
        "",
        0,
        1,
        -1,
        7,
        i64::MAX,
        i64::MIN,
        0.5,
        -1e300,
        f64::NAN,
        f64::INFINITY,
        "\u{0}",
        "a",
        "%",
        "%5$*s%u",
        "&#;&",
        "(",
        "(?=a)*?$",
        "g!i",
        "99999999999999999999",
        "-",
        "::1",
        "1.2.3.",
        "[\"a\", {\"b\": 1e999}]",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        &b"\xff\xfe\x80"[..],
        &[0x80; 20][..],
        "a".repeat(70_000).as_str(),
        "%ud800".repeat(50).as_str(),
        "[".repeat(500).as_str(),
        list(v![]),
        list(v![1, "b", list(v![0.5])]),
        hash(&[]),
        hash(&[("", 1), ("a", 2)]),
    ];
    values.push(Container::Empty.into());
    let deep = (0..150).fold(Value::Int(1), |inner, _| list(vec![inner]));
    values.push(deep);
    values
}

/// Calls every function with every hostile argument alone, then with drawn ones, often the same container twice. What is
/// asked: no panic, and an end.
#[test]
fn no_argument_makes_a_function_panic() {
    const SEED: u64 = 20_240_611;
    const DRAWS: usize = 300;
    println!("seed {SEED}");
    let mut state = SEED;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for function in functions() {
        if matches!(function.status, Status::Planned(_) | Status::Never(_)) {
            continue;
        }
        let (least, most) = (usize::from(function.arity.0), usize::from(function.arity.1).min(6));
        let mut values = hostile();
        for round in 0..DRAWS {
            if round % 50 == 0 {
                // Containers have been changed by now.
                values = hostile();
            }
            let count = least + draw(most - least + 1);
            let mut arguments: Vec<_> = (0..count).map(|_| values[draw(values.len())].clone()).collect();
            if let Some(first) = arguments.first_mut()
                && round < values.len()
            {
                *first = values[round].clone();
            }
            let mut trial = Trial::new();
            trial.strict = draw(8) == 0;
            // An interrupt is as good a result as a value; both are dropped here, nested as they may be.
            drop(trial.call(function.name, arguments));
        }
    }
}

#[test]
fn no_argument_of_a_request_makes_a_function_panic() {
    // As above, where there is something to see, and in every phase; needs are answered.
    let odd = ["", "0", "-1", "9223372036854775807", "\r\nA: b", "%", "=;,", "[", "\0", "http://", "1.0e300"];
    for row in functions() {
        if matches!(row.status, Status::Planned(_) | Status::Never(_)) {
            continue;
        }
        for phase in [Phase::Request, Phase::Response, Phase::Completion] {
            if !row.phases.is_empty() && !row.phases.contains(&phase) {
                continue;
            }
            let (fewest, most) = (usize::from(row.arity.0), usize::from(row.arity.1.min(5)));
            for count in fewest..=most {
                for text in odd {
                    let mut host = Described::request("GET", "/%zz?%=&&=a").header("Cookie", "=; ;a");
                    host.phase = phase;
                    let arguments = vec![text; count];
                    drop(call(&mut host, row.name, &arguments));
                }
            }
        }
    }
}
