//! `counter.*`, `counter64.*`: counters of the user's own.

use super::{Call, Function, Outcome, row::works};
use crate::value::Value;

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("counter.increment", "number[, by]", (1, 2),
        "Adds to a user counter of 32 bits; 1 unless given.",
        |call| increment(call, false)),
    works("counter64.increment", "number[, by]", (1, 2),
        "Adds to a user counter of 64 bits; 1 unless given.",
        |call| increment(call, true)),
];

fn increment<'p>(call: &mut Call<'_, 'p>, wide: bool) -> Outcome<'p> {
    let number = call.int(0)?;
    let by = if call.has(1) { call.int(1)? } else { 1 };
    let known = u32::try_from(number).is_ok_and(|number| call.host.count(number, by, wide));
    if !known {
        call.warn(&format!("there is no user counter {number}"))?;
    }
    Ok(Value::EMPTY)
}
