//! The page `docs/trafficscript-functions.md`: every function of the library, and whether it works.
//!
//! Written from the same rows that the compiler and the calls use, so it cannot say something else than the program
//! does. A test compares the file with it.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::{
    host::Phase,
    library::{Function, Status, functions},
};

const FRONT: &str = "\
# Functions of TrafficScript

Every function that rules can call, by family. [TrafficScript](trafficscript.md) is about the language itself. This page
is written by the program: after a change to the tables behind it, renew it with

```sh
TIDEGATE_BLESS=1 cargo test -p tidegate-trafficscript --test functions_page
```

How to read it:

* Arguments in brackets may be left out; `…` stands for any number of them. Names of functions may be written in upper
  or lower case.
* **In**: the rules that may call the function, `Q` request, `P` response, `C` completion; nothing where all may. A rule
  that calls another one is reported and does not run in that list.
* **State**:

| | |
|---|---|
| yes | works |
| old name | works; calling it is a warning that names the function to use |
| no effect | accepted, so that rules which call it run; what it switches does not exist yet, and calling it is told |
| planned | does not exist yet, and what it waits for; calling it is an error when the rule is compiled |
| no | will not be done, for the reason given; calling it is an error when the rule is compiled |
";

/// The heading of functions whose name has no dot.
const BARE: &str = "without family";

/// The page as Markdown.
pub fn functions_page() -> String {
    let mut families: IndexMap<&str, Vec<&Function>> = IndexMap::new();
    for function in functions() {
        let family = function.name.split_once('.').map_or(BARE, |(family, _)| family);
        families.entry(family).or_default().push(function);
    }
    if let Some(bare) = families.shift_remove(BARE) {
        families.insert(BARE, bare);
    }
    let mut page = FRONT.to_owned();
    put(
        &mut page,
        format_args!(
            "\n## Overview\n\n| Family | yes | old name | no effect | planned | no |\n|---|---|---|---|---|---|\n"
        ),
    );
    let mut sums = [0; 5];
    for (family, functions) in &families {
        let counts = counts(functions);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        put(&mut page, format_args!("| [{}](#{}) | {} |\n", title(family), anchor(family), row(counts)));
    }
    put(&mut page, format_args!("| all | {} |\n", row(sums)));
    for (family, functions) in &families {
        put(
            &mut page,
            format_args!(
                "\n## {}\n\n| Function | In | What it gives | State |\n|---|---|---|---|\n",
                heading(family)
            ),
        );
        for function in functions {
            let call = format!("{}({})", function.name, function.arguments);
            let (phases, state) = (phases(function.phases), state(&function.status));
            put(&mut page, format_args!("| `{call}` | {phases} | {} | {state} |\n", gives(function)));
        }
    }
    page
}

/// Writing to a string cannot fail.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

fn title(family: &str) -> String {
    if family == BARE { family.to_owned() } else { format!("`{family}.*`") }
}

fn heading(family: &str) -> String {
    if family == BARE { "Without family".to_owned() } else { family.to_owned() }
}

/// What a heading is linked by.
fn anchor(family: &str) -> String {
    heading(family).to_lowercase().replace(' ', "-")
}

fn counts(functions: &[&Function]) -> [usize; 5] {
    let mut counts = [0; 5];
    for function in functions {
        let index = match function.status {
            Status::Works(_) => 0,
            Status::Deprecated { .. } => 1,
            Status::Switch { .. } => 2,
            Status::Planned(_) => 3,
            Status::Never(_) => 4,
        };
        counts[index] += 1;
    }
    counts
}

fn row(counts: [usize; 5]) -> String {
    counts.map(|count| if count == 0 { String::new() } else { count.to_string() }).join(" | ")
}

fn phases(phases: &[Phase]) -> String {
    let letters = phases.iter().map(|phase| match phase {
        Phase::Request => "Q",
        Phase::Response => "P",
        Phase::Completion => "C",
    });
    letters.collect::<Vec<_>>().join(" ")
}

/// What a function gives; for an old name, the function to use.
fn gives(function: &Function) -> String {
    match function.status {
        Status::Deprecated { instead, .. } if function.summary.is_empty() => format!("As `{instead}`."),
        Status::Deprecated { instead, .. } => format!("As `{instead}`, but {}.", cell(function.summary)),
        _ => cell(function.summary),
    }
}

fn state(status: &Status) -> String {
    match status {
        Status::Works(_) => "yes".to_owned(),
        Status::Deprecated { .. } => "old name".to_owned(),
        Status::Switch { waits_for, .. } => format!("no effect; waits for {}", cell(waits_for)),
        Status::Planned(waits_for) => format!("planned; waits for {}", cell(waits_for)),
        Status::Never(reason) => format!("no: {}", cell(reason)),
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
