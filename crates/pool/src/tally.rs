//! What is counted of a node: cells that data workers write, read by status pages, statistics and metrics.

use tidegate_model::counters;

counters! {
    /// What one worker counted for one node.
    NodeCounters => NodeTotals {
        /// Connections opened.
        connections,
        /// Requests sent over a connection that had carried one before.
        reused,
        /// Attempts that failed: no connection, no answer in time, an answer that broke off or broke a rule.
        errors,
        /// Bytes written to the node, heads included.
        bytes_to_node,
        /// Bytes read from the node, heads included.
        bytes_from_node,
    }
    times {
        /// From the end of a request to the head of its response.
        response: Measure => MeasureTotals,
    }
}
