//! The pool as the data path uses it: build, session, choose, claim, report.

mod algorithms;
mod fixture;
mod health;
mod limits;
mod node_sets;
mod priorities;
mod sessions;
