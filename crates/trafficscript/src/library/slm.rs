//! `slm.*`: service level monitoring. Without classes every request conforms.

use super::{Function, rows::ALWAYS};
use crate::value::Value;

const SERVICE_LEVELS: &str = "service level classes";

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    Function::switch("slm.conforming", "[class]", (0, 1), ALWAYS, "Percentage of requests that conform to the class; 100 if there is none.", SERVICE_LEVELS, |_| Ok(Value::Int(100))),
    Function::switch("slm.isOK", "[class]", (0, 1), ALWAYS, "1 if the class is met, else 0.", SERVICE_LEVELS, |_| Ok(Value::Int(1))),
    Function::switch("slm.threshold", "[class]", (0, 1), ALWAYS, "Percentage below which the class is not met; 0 if there is none.", SERVICE_LEVELS, |_| Ok(Value::Int(0))),
];
