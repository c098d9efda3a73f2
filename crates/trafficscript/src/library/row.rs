//! Short ways to write the rows of a family's table.

use super::{Function, Native, Status, Traits};
use crate::host::Phase;

/// Request rules.
pub(super) const REQUEST: &[Phase] = &[Phase::Request];
/// Response rules.
pub(super) const RESPONSE: &[Phase] = &[Phase::Response];
/// While there is traffic to change: request and response rules.
pub(super) const TRAFFIC: &[Phase] = &[Phase::Request, Phase::Response];
/// While there is a response to look at: response and completion rules.
pub(super) const ANSWERED: &[Phase] = &[Phase::Response, Phase::Completion];
/// Completion rules.
pub(super) const COMPLETION: &[Phase] = &[Phase::Completion];

impl Function {
    /// The same function, in these phases only.
    pub(super) const fn only(mut self, phases: &'static [Phase]) -> Self {
        self.phases = phases;
        self
    }

    /// The same function, which can suspend the rule.
    pub(super) const fn waits(mut self) -> Self {
        self.traits.waits = true;
        self
    }

    /// The same function, about the bytes of protocols other than HTTP.
    pub(super) const fn of_bytes(mut self) -> Self {
        self.traits.bytes = true;
        self
    }

    /// The same old name; `difference` says what it does unlike the function to use.
    pub(super) const fn but(mut self, difference: &'static str) -> Self {
        self.summary = difference;
        self
    }

    /// The same function, whose first argument names the pool that the request goes to.
    pub(super) const fn names_pool(mut self) -> Self {
        self.traits.pool = Some(0);
        self
    }

    /// The same function, whose first argument names a bandwidth class.
    pub(super) const fn names_bandwidth(mut self) -> Self {
        self.traits.bandwidth = true;
        self
    }
}

const NO_TRAITS: Traits = Traits {
    changes_first: false,
    pattern: None,
    pool: None,
    bandwidth: false,
    waits: false,
    places: false,
    bytes: false,
};

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

/// The same function, which looks into a database of places.
pub(super) const fn needs_places(function: Function) -> Function {
    let traits = Traits { places: true, ..function.traits };
    Function { traits, ..function }
}

/// The same function, with a regular expression at index `at` and its flags at index `flags`.
pub(super) const fn with_pattern(function: Function, at: u8, flags: u8) -> Function {
    let traits = Traits { pattern: Some((at, Some(flags))), ..function.traits };
    Function { traits, ..function }
}

/// An old name of the function `instead`. Where it differs, [`Function::but`] says how.
pub(super) const fn deprecated(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    instead: &'static str,
    does: Native,
) -> Function {
    let status = Status::Deprecated { instead, does };
    Function { name, arguments, arity, phases: &[], summary: "", status, traits: NO_TRAITS }
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

/// A function without effect until `waits_for` exists.
pub(super) const fn switch(
    name: &'static str,
    arguments: &'static str,
    arity: (u8, u8),
    summary: &'static str,
    waits_for: &'static str,
    does: Native,
) -> Function {
    let status = Status::Switch { does, waits_for };
    Function { name, arguments, arity, phases: &[], summary, status, traits: NO_TRAITS }
}
