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

pub mod host;
pub mod library;
pub mod meter;
pub mod pattern;
pub mod value;

pub use self::{
    host::{Answer, Host, Need, Phase},
    value::{Text, Value},
};

mod compile_shim;
pub use compile_shim::{Compiled, Note, Options, Program, Severity, Uses, compile};
