//! `slm.*`: service level monitoring. Without classes every request conforms.

use super::{Function, row::switch};
use crate::value::Value;

const SERVICE_LEVELS: &str = "service level classes";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    switch("slm.conforming", "[class]", (0, 1),
        "Percentage of requests that conform to the class; 100 if there is none.",
        SERVICE_LEVELS, |_| Ok(Value::Int(100))),
    switch("slm.isOK", "[class]", (0, 1),
        "1 if the class is met, else 0.",
        SERVICE_LEVELS, |_| Ok(Value::Int(1))),
    switch("slm.threshold", "[class]", (0, 1),
        "Percentage below which the class is not met; 0 if there is none.",
        SERVICE_LEVELS, |_| Ok(Value::Int(0))),
];
