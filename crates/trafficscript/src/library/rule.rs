//! `rule.*`: the rule itself.

use super::{Function, row::works};
use crate::host::Phase;

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("rule.getName", "", (0, 0), "Name of the rule.", |call| {
        let name = call.rule().to_owned();
        call.make(name)
    }),
    works("rule.getState", "", (0, 0), "When the rule runs: REQUEST, RESPONSE or COMPLETION.", |call| {
        let state = match call.host.phase() {
            Phase::Request => "REQUEST",
            Phase::Response => "RESPONSE",
            Phase::Completion => "COMPLETION",
        };
        call.make(state)
    }),
];
