//! Constructors of the rows of the catalogue, and the phases they name.

use super::{Function, Native, Status, Traits};
use crate::host::Phase;

/// May be called in every phase.
pub(super) const ALWAYS: &[Phase] = &[];
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
    const fn row(
        name: &'static str,
        arguments: &'static str,
        arity: (u8, u8),
        phases: &'static [Phase],
        summary: &'static str,
        status: Status,
    ) -> Self {
        let traits = Traits { changes_first: false, pattern: None, pool: None, waits: false };
        Self { name, arguments, arity, phases, summary, status, traits }
    }

    /// A function that works.
    pub(super) const fn works(
        name: &'static str,
        arguments: &'static str,
        arity: (u8, u8),
        phases: &'static [Phase],
        summary: &'static str,
        does: Native,
    ) -> Self {
        Self::row(name, arguments, arity, phases, summary, Status::Works(does))
    }

    /// An old name of a function that works.
    pub(super) const fn deprecated(
        name: &'static str,
        arguments: &'static str,
        arity: (u8, u8),
        phases: &'static [Phase],
        instead: &'static str,
        does: Native,
    ) -> Self {
        let status = Status::Deprecated { instead, does };
        Self::row(name, arguments, arity, phases, "An old name.", status)
    }

    /// A function without effect until `waits_for` exists.
    pub(super) const fn switch(
        name: &'static str,
        arguments: &'static str,
        arity: (u8, u8),
        phases: &'static [Phase],
        summary: &'static str,
        waits_for: &'static str,
        does: Native,
    ) -> Self {
        Self::row(name, arguments, arity, phases, summary, Status::Switch { does, waits_for })
    }

    /// A function that is not there yet.
    pub(super) const fn planned(
        name: &'static str,
        arguments: &'static str,
        arity: (u8, u8),
        phases: &'static [Phase],
        summary: &'static str,
    ) -> Self {
        Self::row(name, arguments, arity, phases, summary, Status::Planned)
    }

    /// A function that will not be there.
    pub(super) const fn never(
        name: &'static str,
        arguments: &'static str,
        arity: (u8, u8),
        summary: &'static str,
        why: &'static str,
    ) -> Self {
        Self::row(name, arguments, arity, ALWAYS, summary, Status::Never(why))
    }

    /// It can suspend the rule.
    pub(super) const fn waits(mut self) -> Self {
        self.traits.waits = true;
        self
    }

    /// Its first argument names a pool.
    pub(super) const fn names_pool(mut self) -> Self {
        self.traits.pool = Some(0);
        self
    }
}
