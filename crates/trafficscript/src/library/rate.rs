//! `rate.*`: rate classes.

use super::{
    Call, Function, Interrupt, Outcome,
    row::{TRAFFIC, works},
};
use crate::{
    host::{Answer, Need, RateVerdict, tag},
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("rate.use", "class[, context]", (1, 2),
        "Waits for a place in the rate class; each context is counted apart. 1, or 0 if there is no such \
         class.",
        use_class).only(TRAFFIC).waits(),
    works("rate.use.noQueue", "class[, context]", (1, 2),
        "Counts for the rate class without waiting. 1 if within its limit, 0 if over it, -1 if there is no \
         such class.",
        no_queue).only(TRAFFIC),
    works("rate.getbacklog", "class[, context]", (1, 2),
        "How many wait for a place in the rate class; 0 if there is no such class.",
        |call| {
            let (class, context) = (call.text(0)?, call.text(1)?);
            match call.host.rate_backlog(&class, &context) {
                Some(waiting) => Ok(Value::Int(i64::from(waiting))),
                None => no_class(call, &class).map(|()| Value::Int(0)),
            }
        }),
];

fn no_class(call: &mut Call<'_, '_>, class: &[u8]) -> Result<(), Interrupt> {
    call.warn_as(tag::NO_RATE, &format!("there is no rate class `{}`", class.escape_ascii()))
}

fn use_class<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (class, context) = (call.text(0)?, call.text(1)?);
    match call.answer() {
        None => call.wait(Need::Rate { class: class.to_vec(), context: context.to_vec() }),
        Some(Answer::Rate(true)) => Ok(Value::Int(1)),
        Some(Answer::Refused(why)) => {
            let class = class.escape_ascii();
            Err(Interrupt::Abort(format!("no place in the rate class `{class}`: {why}")))
        }
        Some(_) => no_class(call, &class).map(|()| Value::Int(0)),
    }
}

fn no_queue<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (class, context) = (call.text(0)?, call.text(1)?);
    Ok(Value::Int(match call.host.rate(&class, &context) {
        RateVerdict::Within => 1,
        RateVerdict::Over => 0,
        RateVerdict::NoClass => {
            no_class(call, &class)?;
            -1
        }
    }))
}
