//! `rule.*`: the rule itself.

use super::{Function, rows::ALWAYS};
use crate::host::Phase;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    Function::works("rule.getName", "", (0, 0), ALWAYS, "Name of the rule.", |call| {
        let name = call.rule().to_owned();
        call.make(name)
    }),
    Function::works("rule.getState", "", (0, 0), ALWAYS, "When the rule runs: REQUEST, RESPONSE or COMPLETION.", |call| {
        let state = match call.host.phase() {
            Phase::Request => "REQUEST",
            Phase::Response => "RESPONSE",
            Phase::Completion => "COMPLETION",
        };
        call.make(state)
    }),
];
