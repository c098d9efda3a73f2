//! `stats`: groups of counters, and how they are shown.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::show::{Table, cell, plain};

/// What there is below a path of statistics.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Groups or objects, by name.
    Names(Vec<String>),
    /// Counters.
    Counters,
}

/// Whether an answer lists something or has counters.
pub(super) fn found(answer: &Json) -> Found {
    match super::show::children(answer) {
        Some(names) => Found::Names(names),
        None => Found::Counters,
    }
}

/// Counters of objects (empty name: of a group without objects), one row each; zeros if `all`.
pub(super) fn table(objects: &Map<String, Json>, all: bool) -> String {
    let mut table = Table::new(&["OBJECT", "COUNTER", "VALUE"]);
    let mut alone = Table::new(&["COUNTER", "VALUE"]);
    let mut left_out = 0;
    for (name, counters) in objects {
        for (counter, value) in counters.as_object().into_iter().flatten() {
            if !all && value.as_u64() == Some(0) {
                left_out += 1;
                continue;
            }
            if name.is_empty() {
                alone.row(vec![plain(counter), cell(value)]);
            } else {
                table.row(vec![plain(name), plain(counter), cell(value)]);
            }
        }
        if counters.is_null() {
            table.row(vec![plain(name), "-".to_owned(), "no counters now".to_owned()]);
        }
    }
    let table = if objects.contains_key("") { alone } else { table };
    let mut text = table.text("");
    if left_out > 0 {
        let _ = writeln!(text, "{left_out} zeros are left out; --all shows them");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Json) -> Map<String, Json> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn zeros_are_left_out_unless_asked_for() {
        let pools = of(&json!({ "web": { "b": 5, "a": 0, "state": "active" }, "off": null }));
        let expected = "OBJECT  COUNTER  VALUE\noff     -        no counters now\nweb     b        5\nweb     state    active\n1 zeros are left out; --all shows them\n";
        assert_eq!(table(&pools, false), expected);
        assert!(table(&pools, true).contains("web     a        0\n"));
        assert_eq!(table(&of(&json!({ "": { "a": 7 } })), false), "COUNTER  VALUE\na            7\n");
    }

    #[test]
    fn lists_and_counters_are_told_apart() {
        let listed = json!({ "children": [{ "name": "pools", "href": "/x/pools/" }, { "name": "globals", "href": "/x/globals" }] });
        assert_eq!(found(&listed), Found::Names(vec!["pools/".to_owned(), "globals".to_owned()]));
        assert_eq!(found(&json!({ "statistics": { "a": 1 } })), Found::Counters);
    }
}
