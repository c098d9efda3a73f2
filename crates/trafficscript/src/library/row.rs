//! Short ways to write the rows of a family's table.

use super::{Function, Native, Status, Traits};

const NO_TRAITS: Traits = Traits { changes_first: false, pattern: None, pool: None, waits: false };

/// A function that works, in every phase.
pub(super) const fn works(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    summary: &'static str,
    does: Native,
) -> Function {
    Function { name, arguments, arity, phases: &[], summary, status: Status::Works(does), traits: NO_TRAITS }
}

/// A function that changes the container which is its first argument.
pub(super) const fn mutator(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    summary: &'static str,
    does: Native,
) -> Function {
    let traits = Traits { changes_first: true, ..NO_TRAITS };
    Function { traits, ..works(name, arguments, arity, summary, does) }
}

/// The same function, with a regular expression at index `at` and its flags at index `flags`.
pub(super) const fn with_pattern(function: Function, at: u8, flags: u8) -> Function {
    let traits = Traits { pattern: Some((at, Some(flags))), ..function.traits };
    Function { traits, ..function }
}

/// An old name of the function `instead`.
pub(super) const fn deprecated(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    instead: &'static str,
    does: Native,
) -> Function {
    let status = Status::Deprecated { instead, does };
    Function { name, arguments, arity, phases: &[], summary: "Old name.", status, traits: NO_TRAITS }
}

/// A function that does not work yet.
pub(super) const fn planned(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    summary: &'static str,
) -> Function {
    Function { name, arguments, arity, phases: &[], summary, status: Status::Planned, traits: NO_TRAITS }
}

/// A function that will not be done, and why.
pub(super) const fn never(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    summary: &'static str,
    why: &'static str,
) -> Function {
    Function { name, arguments, arity, phases: &[], summary, status: Status::Never(why), traits: NO_TRAITS }
}
