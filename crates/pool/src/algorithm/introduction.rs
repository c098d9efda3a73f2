//! Slow introduction: a node that recovered, or joined a pool that was serving, receives a growing share.
//!
//! The share grows evenly from a tenth to the whole within [`TIME`]. A request for which the node would be considered
//! draws a lot; if it loses, the node is passed over. Sessions that live on the node are not affected, and new sessions
//! that go by `rendezvous` are not either, since all traffic managers of a cluster have to agree on them.

use std::time::Duration;

use tidegate_model::Moment;

use crate::{hash::mix, node::Node};

/// How long an introduction takes.
pub(crate) const TIME: Duration = Duration::from_secs(20);

/// The whole share.
const WHOLE: u64 = 1024;
/// The share at the start.
const LEAST: u64 = WHOLE / 10;

/// When the node's introduction ends.
pub(crate) fn end(node: &Node) -> Moment {
    node.introduced_since().after(TIME)
}

/// Whether the node's introduction has lasted long enough.
pub(crate) fn is_over(node: &Node, now: Moment) -> bool {
    end(node) <= now
}

/// Whether a request with this random number may go to the node.
pub(crate) fn admits(node: &Node, now: Moment, random: u64) -> bool {
    // Another lot for each node: several newcomers are not admitted by the same requests.
    mix(random ^ u64::from(node.id()) << 32) % WHOLE < share(now.since(node.introduced_since()))
}

/// Of 1024.
fn share(age: Duration) -> u64 {
    let whole = TIME.as_millis() as u64;
    let age = (age.as_millis() as u64).min(whole);
    LEAST + (WHOLE - LEAST) * age / whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_grows_from_a_tenth_to_the_whole() {
        assert_eq!(share(Duration::ZERO), 102);
        assert_eq!(share(TIME / 2), 563);
        assert_eq!(share(TIME), 1024);
        assert_eq!(share(TIME * 5), 1024);
    }
}
