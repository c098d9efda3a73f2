//! The rule language: source text is parsed, checked and compiled once, and run per request by a machine that can be
//! suspended. Pure: what a rule sees and does outside itself goes through [`Host`].
//!
//! ```text
//! text ──compile──► Program (shared by all workers) + notes for people
//!                      │
//! Machine::new ──► run(host) ──► Done(End)            the rule is over; what it ordered is with the host
//!                      ▲   └───► Wait(Need)           a body, a name, a place: the driver gets it
//!                      └── resume(Answer) ◄──────────┘
//! ```
//!
//! Reading order: [`value`] (what a rule computes with), [`host`] (what it can see and order), [`library`] (the
//! functions), then the compiler and the machine.

mod compiler;
pub mod described;
mod functions_page;
pub mod host;
pub mod library;
mod machine;
pub mod meter;
mod note;
pub mod pattern;
mod program;
mod syntax;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod value;

pub use self::{
    compiler::{Compiled, Options, compile},
    described::Described,
    functions_page::functions_page,
    host::{Answer, Host, Need, Phase},
    machine::{End, Machine, Step},
    meter::Limits,
    note::{Note, Severity},
    pattern::PatternCache,
    program::{Program, Uses},
    syntax::{MAX_NESTING, MAX_NOTES, MAX_TEXT},
    value::{Text, Value},
};
