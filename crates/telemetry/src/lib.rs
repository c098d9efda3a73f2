//! What Tidegate tells about itself: counters, access logs and the event log.
//!
//! The data path writes, everyone else reads. A data worker counts into cells that only it writes
//! ([`counters`]), renders a finished request into its own buffer of the virtual server's access log
//! ([`access_log`]), and says what an operator must know through `tracing`, with repeated events held back by
//! a limit ([`logging`]). None of the three makes a worker wait: not for a lock, not for a disk, not for a
//! terminal. What could not be kept is dropped and counted. Spans of requests ([`traces`]) go the way of access logs,
//! and from there to a collector.

pub mod access_log;
pub mod counters;
pub mod events;
pub mod logging;
pub mod metrics;
pub mod observation;
#[cfg(test)]
mod page;
pub mod peaks;
pub mod statistics;
pub mod system;
pub mod throughput;
pub mod traces;
