//! `stats.*`: how long the exchange took so far, in milliseconds.

use super::{Function, number, row::works};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("stats.getServerResponseTime", "", (0, 0),
        "Milliseconds from the request to the head of the node's response; 0 while there is none.",
        |call| {
            Ok(number(call.host.times().node_response.unwrap_or_default().as_millis()))
        }),
    works("stats.getQueueTime", "", (0, 0), "Milliseconds in the queue of the pool.", |call| {
        Ok(number(call.host.times().queued.as_millis()))
    }),
    works("stats.getTransactionDuration", "", (0, 0),
        "Milliseconds since the first byte of the request.",
        |call| {
            Ok(number(call.host.times().transaction.as_millis()))
        }),
];
