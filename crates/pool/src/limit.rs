//! Limits per node and the count of requests that wait for one.
//!
//! Claims are guards; a claim never exceeds its limit whatever the threads do. The queue itself (who sleeps, who is
//! woken) belongs to the data path: it enters with [`crate::Pool::enter_queue`], **chooses once more** (a claim may have been
//! released in between) and then sleeps until its [`Releases`] hook is called or `queue_timeout` passes. The hook is
//! also called when a node recovers, joins or a limit is raised. Fairness between workers is the hook's job: this crate
//! calls it once per released claim, on whatever thread released it, and knows no order among those who wait.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

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

impl QueuePlace {
    /// `most`: `max_queue_size`; without it the queue is bounded by the client connections there can be.
    pub(crate) fn enter(shared: &Arc<Shared>, most: Option<u32>) -> Result<Self, QueueFull> {
        let most = most.unwrap_or(u32::MAX);
        let entered = shared.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
            (waiting < most).then_some(waiting.saturating_add(1))
        });
        if entered.is_err() {
            shared.queue_refused.fetch_add(1, Ordering::Relaxed);
            return Err(QueueFull);
        }
        shared.queued.fetch_add(1, Ordering::Relaxed);
        Ok(Self { shared: shared.clone() })
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
