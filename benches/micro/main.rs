//! Micro.
fn main() {}
