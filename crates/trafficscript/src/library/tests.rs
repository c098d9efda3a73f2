//! Every function with values, called over a described request; and what all rows have in common.

mod http_body;
mod http_reply;
mod http_request;
mod http_response;
mod http_stream;
mod traffic;
mod world;

use std::collections::HashSet;

use super::{ANY, Status, functions};
use crate::{
    Described,
    library::testing::{call, function, give},
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
fn names_are_unique() {
    let mut names = HashSet::new();
    for row in functions() {
        assert!(names.insert(row.name.to_ascii_lowercase()), "{} stands twice", row.name);
    }
}

#[test]
fn arguments_fit_their_number() {
    for row in functions() {
        let number = |text: &str| text.split(',').filter(|name| !name.trim().is_empty()).count();
        let needed = row.arguments.split('[').next().map_or(0, number);
        let all = number(&row.arguments.replace(['[', ']'], ""));
        let (fewest, most) = (usize::from(row.arity.0), usize::from(row.arity.1));
        if row.arguments.contains('…') {
            assert_eq!(row.arity.1, ANY, "{}", row.name);
        } else {
            assert_eq!((fewest, most), (needed, all), "{}({})", row.name, row.arguments);
        }
    }
}

#[test]
fn old_names_have_new_ones_that_work() {
    for row in functions() {
        if let Status::Deprecated { instead, .. } = row.status {
            assert!(
                matches!(function(instead).status, Status::Works(_)),
                "{} instead of {}",
                instead,
                row.name
            );
        }
    }
}

#[test]
fn summaries_are_sentences() {
    for row in functions() {
        assert!(row.summary.len() > 3 && row.summary.ends_with('.'), "{}: {}", row.name, row.summary);
    }
}

#[test]
fn no_argument_is_a_fault() {
    // Whatever the arguments are, a function gives a value, ends the phase or aborts; it does not panic.
    let odd = ["", "0", "-1", "9223372036854775807", "\r\nA: b", "%", "=;,", "[", "\0", "http://", "1.0e300"];
    for row in functions() {
        if !matches!(row.status, Status::Works(_) | Status::Deprecated { .. } | Status::Switch { .. }) {
            continue;
        }
        for phase in [crate::Phase::Request, crate::Phase::Response, crate::Phase::Completion] {
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
