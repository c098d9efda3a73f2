//! Where a request is when rules run, with what they can reach there.

use std::sync::Arc;

use tidegate_pool::Node;
use tidegate_trafficscript::host::CompletionCode;

use crate::{failure::Progress, forward::attempt::Answer, snapshot::RunningPool, tcp::leg::Leg};

/// Where the request is.
pub(crate) enum Stage<'a> {
    /// Its head was read.
    Request,
    /// A node has answered.
    Response {
        answer: &'a mut Answer,
        pool: &'a Arc<RunningPool>,
        node: &'a Arc<Node>,
        /// Whether another node may get it.
        resendable: bool,
    },
    /// A node has said something, by a protocol that is not HTTP.
    Spoken {
        leg: &'a mut Leg,
        pool: &'a Arc<RunningPool>,
        node: &'a Arc<Node>,
        /// Whether another node may get the request.
        resendable: bool,
    },
    /// It is over.
    Completion(CompletionCode),
}

impl Stage<'_> {
    /// Whether another node may get the request.
    pub(super) fn is_resendable(&self) -> bool {
        match self {
            Stage::Response { resendable, .. } => *resendable,
            // `response.flush` may have sent some of the answer since.
            Stage::Spoken { leg, resendable, .. } => *resendable && leg.progress() != Progress::Answered,
            Stage::Request | Stage::Completion(_) => false,
        }
    }

    /// The same, for one run.
    pub(super) fn lend(&mut self) -> Stage<'_> {
        match self {
            Stage::Request => Stage::Request,
            Stage::Response { answer, pool, node, resendable } => {
                Stage::Response { answer, pool, node, resendable: *resendable }
            }
            Stage::Spoken { leg, pool, node, resendable } => {
                Stage::Spoken { leg, pool, node, resendable: *resendable }
            }
            Stage::Completion(code) => Stage::Completion(code),
        }
    }
}
