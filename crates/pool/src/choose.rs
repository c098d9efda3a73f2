//! The decision itself: session, priorities, health, limits and exclusions, then the algorithm.

use std::sync::Arc;

use tidegate_model::{Moment, persistence::FailureMode};

use crate::{node::Node, pool::Pool, session::Session};

/// Position of a node in one build of a pool. Stays the same over rebuilds only while the node list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub(crate) u32);

/// Nodes a request has been sent to already, at most [`Tried::MOST`]. Belongs to one request and one build of the pool.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    slots: [u32; Self::MOST],
    count: u8,
}

/// The node for a request.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'pool> {
    /// The node.
    pub node: &'pool Arc<Node>,
    /// Its place in this pool.
    pub slot: Slot,
    /// Chosen because the session lives there.
    pub sticky: bool,
    /// The node had failed; this request finds out whether it works again.
    pub trial: bool,
}

/// Why there is no node for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoNode {
    /// The pool has no node that may take new sessions: it is empty, or all are draining or disabled.
    NoNodes,
    /// Every node has failed: the failure pool's turn, or the error page.
    AllFailed,
    /// Every usable node has been tried by this request.
    AllTried,
    /// Limits are reached: the request may queue.
    AllBusy {
        /// It waits for the node of its session; otherwise for any.
        session_node: bool,
    },
    /// The session's node cannot take it and the class does not allow another (`Url` or `Close`).
    SessionFailed(FailureMode),
}

impl Tried {
    /// Most nodes a request is tried on.
    pub const MOST: usize = 64;

    /// None yet.
    pub const fn none() -> Self {
        Self { slots: [0; Self::MOST], count: 0 }
    }

    /// Adds a node. False when the bound is reached: give up.
    pub fn add(&mut self, slot: Slot) -> bool {
        let Some(place) = self.slots.get_mut(usize::from(self.count)) else { return false };
        *place = slot.0;
        self.count += 1;
        true
    }

    /// How many.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether the node has been tried.
    pub fn contains(&self, slot: Slot) -> bool {
        self.slots[..usize::from(self.count)].contains(&slot.0)
    }
}

impl Default for Tried {
    fn default() -> Self {
        Self::none()
    }
}

impl Pool {
    /// The node for a request of `session` that has been `tried` on some. `random` is one fresh random number.
    ///
    /// Order: the session's node, else priority group, health, limits and exclusions, then the algorithm.
    pub fn choose(
        &self,
        session: &Session,
        tried: &Tried,
        now: Moment,
        random: u64,
    ) -> Result<Choice<'_>, NoNode> {
        todo!("{session:?} {tried:?} {now:?} {random}")
    }
}
