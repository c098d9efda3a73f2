//! Rules at work on the data path.

#[allow(dead_code, reason = "until the data path takes all of it up")]
pub(crate) mod services;
