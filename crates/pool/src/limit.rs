//! Limits per node and the count of requests that wait for one.
//!
//! Claims are guards; a claim never exceeds its limit whatever the threads do. The queue itself (who sleeps, who is
//! woken) belongs to the data path: it enters with [`crate::Pool::enter_queue`], **chooses once more** (a claim may have been
//! released in between) and then sleeps until its [`Releases`] hook is called or `queue_timeout` passes.

use std::{fmt, sync::Arc};

use crate::{node::Node, pool::Shared};

/// Called after a claim on a node was released while requests wait. Must be cheap and must not block.
pub trait Releases: Send + Sync + fmt::Debug {
    /// `node` may have room for one more request.
    fn released(&self, node: &Node);
}

/// The node's limit is reached: choose again, or queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// `max_queue_size` requests wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// A place among the requests that wait for a node of the pool; dropping it leaves the queue.
#[derive(Debug)]
pub struct QueuePlace {
    pub(crate) shared: Arc<Shared>,
}
