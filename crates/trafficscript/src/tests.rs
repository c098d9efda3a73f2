//! Tests of the language as a whole: text in, log lines out.

mod append;
mod faults;
mod foreign;
mod limits;
mod patterns;
mod statements;
mod values;
