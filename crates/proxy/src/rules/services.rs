//! What rules share and wait for, apart from the request they run on.
//!
//! ```text
//! data.*, data.local.*      data      tables of bytes with a byte limit, of the process and of each worker
//! rate.*                    rate      classes: decisions by sliding windows, a queue per context
//! counter.*, counter64.*    counters  numbered counters, a cell per worker
//! ```
//!
//! All of it lives as long as the process, whatever becomes of the configuration; a new configuration changes
//! limits and sets of names. Nothing here knows a request.

pub(crate) mod counters;
pub(crate) mod data;
pub(crate) mod memory;
pub(crate) mod rate;
