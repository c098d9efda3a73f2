//! Active health monitors: probes on a schedule, verdicts for nodes.
