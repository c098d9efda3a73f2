//! `slm.*` and the class of service of a request. Without a class every request conforms.

use std::borrow::Cow;

use super::{
    Call, Function, Interrupt, Outcome,
    row::{TRAFFIC, works},
};
use crate::{
    host::{Order, ServiceLevel},
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("slm.conforming", "[class]", (0, 1),
        "Percentage of the requests of the last 10 seconds that conform to the class, that of the request unless named; \
         100 if there is none.",
        |call| Ok(Value::Int(level(call)?.map_or(100, |level| level.conforming.into())))),
    works("slm.isOK", "[class]", (0, 1),
        "1 if the class is not below its serious threshold, or there is none; else 0.",
        |call| Ok(Value::flag(level(call)?.is_none_or(|level| level.conforming >= level.serious)))),
    works("slm.threshold", "[class]", (0, 1),
        "The serious threshold of the class: percentage below which it is not met; 0 if there is none.",
        |call| Ok(Value::Int(level(call)?.map_or(0, |level| level.serious.into())))),
    works("connection.setServiceLevelClass", "class", (1, 1),
        "Counts the request for this class, the empty string for none. 1 if there is such a class, else 0.",
        set_class).only(TRAFFIC),
    works("connection.getServiceLevelClass", "", (0, 0),
        "The class that counts the request; empty if none.",
        |call| {
            let class = call.host.service_class().map(Cow::into_owned).unwrap_or_default();
            call.make(class)
        }),
];

/// How the class is met that is named, or else that of the request. A name that is none is a warning.
fn level(call: &mut Call<'_, '_>) -> Result<Option<ServiceLevel>, Interrupt> {
    if !call.has(0) {
        let class = call.host.service_class().map(Cow::into_owned);
        return Ok(class.and_then(|class| call.host.service_level(class.as_bytes())));
    }
    let class = call.text(0)?;
    let level = call.host.service_level(&class);
    if level.is_none() {
        call.warn(&format!("there is no service level class `{}`", class.escape_ascii()))?;
    }
    Ok(level)
}

fn set_class<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let class = call.text(0)?;
    let wanted = (!class.is_empty()).then(|| class.to_vec());
    let known = call.host.order(Order::ServiceLevel(wanted));
    if !known {
        call.warn(&format!("there is no service level class `{}`", class.escape_ascii()))?;
    }
    Ok(Value::flag(known))
}
