//! What holds for every function of the catalogue.

use std::collections::HashSet;

use crate::library::{
    ANY, Status, functions,
    trial::{Trial, hash, list, v},
};
use crate::value::{Container, Value};

#[test]
fn rows_are_sound() {
    let mut names = HashSet::new();
    for function in functions() {
        let name = function.name;
        assert!(names.insert(name.to_ascii_lowercase()), "{name} is there twice");
        assert!(!function.summary.is_empty(), "{name} has no summary");
        assert!(function.arity.0 <= function.arity.1, "{name}");
        let listed = function.arguments.split(',').filter(|argument| !argument.is_empty()).count();
        let open = function.arguments.contains('…');
        assert_eq!(open, function.arity.1 == ANY, "{name}: arguments and arity differ");
        assert!(open || listed == usize::from(function.arity.1), "{name}: arguments and arity differ");
        let optional = function.arguments.matches('[').count();
        assert!(
            open || listed - optional == usize::from(function.arity.0),
            "{name}: arguments and arity differ"
        );
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
        if matches!(function.status, Status::Planned | Status::Never(_)) {
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
