//! The search for a node that serves one request. The loops of [`super::to_pool`] and [`super::generic::to_pool`] ask it
//! for nodes until one of them has served or no other one may be asked.

use std::sync::Arc;

use tidegate_model::persistence::FailureMode;
use tidegate_pool::{Session, Slot, Tried};

use super::{
    ask,
    claim::{Claim, Claimed, Wait, claim, claim_at_once},
    note_failure, session_of,
};
use crate::{
    connection::Client,
    failure::{Failure, Kind, Progress},
    snapshot::RunningPool,
    tally,
    virtual_server::Exchange,
};

/// The search of one request.
#[derive(Debug)]
pub(crate) struct Search<'p> {
    /// The pool that the request was given to.
    given: &'p Arc<RunningPool>,
    /// The one in its place: its failure pool, or the same pool rebuilt meanwhile.
    other: Option<Arc<RunningPool>>,
    /// The session that the request has in the pool.
    pub(crate) session: Session,
    attempts: Attempts,
    /// Claimed while the last node's answer was still at hand.
    next: Option<Claim>,
    /// Why the last attempt failed.
    last: Failure,
}

/// What a step of the search gives.
pub(crate) enum Found {
    /// A node with a place on it.
    Node(Claim),
    /// Nothing yet; the search goes on in [`Search::pool`], which is another one now.
    OtherPool,
    /// The session's node cannot take the request and the class forbids another.
    SessionFailed(FailureMode),
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    Node,
    Client,
    /// The connection can be had anew, and the node is tried once more by that.
    Nobody,
}

impl<'p> Search<'p> {
    /// Begins in a pool that has been asked. `streaming`: the body is still coming from the client.
    pub(crate) fn new(pool: &'p Arc<RunningPool>, session: Session, streaming: bool) -> Self {
        Self {
            given: pool,
            other: None,
            session,
            attempts: Attempts::new(streaming),
            next: None,
            last: Failure::new(Kind::NoNode, Progress::Unsent),
        }
    }

    /// The pool that is asked.
    pub(crate) fn pool(&self) -> &Arc<RunningPool> {
        self.other.as_ref().unwrap_or(self.given)
    }

    /// Claims a node. An error says why no node serves the request.
    pub(crate) async fn node(
        &mut self,
        client: &mut Client,
        exchange: &mut Exchange<'_>,
    ) -> Result<Found, Failure> {
        let pool = self.other.as_ref().unwrap_or(self.given);
        self.attempts.heed_rules(exchange, pool);
        if let Some(node) = self.next.take() {
            return Ok(Found::Node(node));
        }
        match claim(client, exchange, pool, &self.session, &mut self.attempts).await? {
            Claimed::Node(node) => Ok(Found::Node(node)),
            Claimed::AllFailed => self.fail_over(client, exchange),
            Claimed::Rebuilt(rebuilt) => {
                self.follow(client, exchange, rebuilt);
                Ok(Found::OtherPool)
            }
            Claimed::Exhausted => Err(self.last),
            Claimed::SessionFailed(mode) => Ok(Found::SessionFailed(mode)),
        }
    }

    /// Every node of the pool has failed: its failure pool is asked.
    #[cold]
    fn fail_over(&mut self, client: &Client, exchange: &mut Exchange<'_>) -> Result<Found, Failure> {
        let counters = tally::pool(&client.worker, self.pool());
        let Some(failure_pool) = self.pool().failure_pool.clone() else {
            counters.no_node.add(1);
            return Err(self.last);
        };
        counters.failed_over.add(1);
        self.session = ask(client, exchange, &failure_pool);
        self.attempts = Attempts::new(self.attempts.streaming);
        self.other = Some(failure_pool);
        Ok(Found::OtherPool)
    }

    /// The nodes of today are asked, not those of when the request began.
    #[cold]
    fn follow(&mut self, client: &Client, exchange: &Exchange<'_>, rebuilt: Arc<RunningPool>) {
        self.session = session_of(client, exchange, &rebuilt);
        let before = self.other.as_ref().unwrap_or(self.given);
        self.attempts.follow(before, &rebuilt);
        self.other = Some(rebuilt);
    }

    /// A node has failed the request, of which everything is `at_hand` or not. The search goes on; an error says that no other
    /// node may get it.
    pub(crate) fn failed(
        &mut self,
        client: &Client,
        exchange: &mut Exchange<'_>,
        claim: &Claim,
        failure: Failure,
        (blame, at_hand): (Blame, bool),
    ) -> Result<(), Failure> {
        if !self.may_go_on(client, exchange, claim, &failure, (blame, at_hand)) {
            return Err(failure);
        }
        self.last = failure;
        self.again(client, exchange);
        Ok(())
    }

    /// A node has said that it is unavailable (503): whether another one takes the request at once. If none does, the client
    /// gets that answer.
    pub(crate) fn finds_another(
        &mut self,
        client: &Client,
        exchange: &mut Exchange<'_>,
        claim: &Claim,
        at_hand: bool,
    ) -> bool {
        let unavailable = Failure::new(Kind::Unavailable, Progress::Sent);
        if self.may_go_on(client, exchange, claim, &unavailable, (Blame::Node, at_hand)) {
            self.next = claim_at_once(client, exchange, self.pool(), &self.session, &self.attempts);
        }
        if self.next.is_none() {
            return false;
        }
        tally::pool(&client.worker, self.pool()).retries_503.add(1);
        self.again(client, exchange);
        true
    }

    /// Notes a failure. Returns whether another node may get the request.
    #[cold]
    fn may_go_on(
        &mut self,
        client: &Client,
        exchange: &Exchange<'_>,
        claim: &Claim,
        failure: &Failure,
        (blame, at_hand): (Blame, bool),
    ) -> bool {
        let pool = self.other.as_ref().unwrap_or(self.given);
        if blame == Blame::Node {
            note_failure(client, pool, claim, failure);
        }
        if blame != Blame::Nobody {
            self.attempts.note(failure, claim);
        }
        self.attempts.may_retry(failure, exchange, pool, at_hand)
    }

    /// The request goes to another node.
    #[cold]
    pub(crate) fn again(&mut self, client: &Client, exchange: &mut Exchange<'_>) {
        exchange.answered.retries += 1;
        tally::pool(&client.worker, self.pool()).retries.add(1);
        if self.next.is_none()
            && let Some(rebuilt) = client.worker.rebuilt(self.pool())
        {
            self.follow(client, exchange, rebuilt);
        }
    }
}

/// What has been tried for one request in one pool, however often it is rebuilt meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Nodes that failed it; usually none.
    tried: Option<Box<Tried>>,
    made: u32,
    timed_out: u32,
    /// The body is still coming from the client.
    pub(super) streaming: bool,
    /// As many nodes were tried as can be remembered.
    full: bool,
    /// The node that a rule has chosen.
    pub(super) fixed: Option<Slot>,
    /// Its place in the queue of a pool that was rebuilt while it waited.
    pub(super) wait: Option<Box<Wait>>,
}

impl Attempts {
    fn new(streaming: bool) -> Self {
        Self { streaming, ..Self::default() }
    }

    /// Notes the nodes of the pool that rules avoid by now, and the one they have chosen.
    fn heed_rules(&mut self, exchange: &Exchange<'_>, pool: &RunningPool) {
        let Some(said) = exchange.said() else { return };
        for slot in said.avoided().filter_map(|node| pool.pool.find(node)) {
            self.tried.get_or_insert_default().avoid(slot);
        }
        self.fixed = said.fixed_node().and_then(|node| pool.pool.find(node));
    }

    /// Nodes that failed the request.
    pub(crate) fn tried(&self) -> &Tried {
        const NONE: &Tried = &Tried::none();
        self.tried.as_deref().unwrap_or(NONE)
    }

    /// The pool was rebuilt: the nodes that were tried have other places.
    fn follow(&mut self, before: &RunningPool, now: &RunningPool) {
        if let Some(tried) = &mut self.tried {
            **tried = tried.in_build(&before.pool, &now.pool);
        }
    }

    fn note(&mut self, failure: &Failure, claimed: &Claim) {
        self.made += 1;
        if matches!(failure.kind, Kind::ConnectTimedOut | Kind::ReplyTimedOut) {
            self.timed_out += 1;
        }
        // Nodes are forgotten when the pool was rebuilt, attempts are not.
        self.full |=
            !self.tried.get_or_insert_default().add(claimed.slot) || self.made as usize >= Tried::MOST;
    }

    /// Whether the rules of passive monitoring permit another node: the request has to be unsent, or idempotent
    /// and still at hand, and the pool's attempt limits are not reached.
    fn may_retry(
        &self,
        failure: &Failure,
        exchange: &Exchange<'_>,
        pool: &RunningPool,
        at_hand: bool,
    ) -> bool {
        let settings = &pool.settings;
        let (most, most_timed_out) = exchange.attempt_limits(pool);
        let permitted = match failure.progress {
            Progress::Unsent => at_hand,
            Progress::Sent => exchange.is_idempotent() && at_hand,
            Progress::Answered => false,
        };
        permitted
            && !self.full
            && settings.passive_monitoring
            && failure.node_failure().is_some()
            && most.is_none_or(|limit| self.made < limit)
            && most_timed_out.is_none_or(|limit| self.timed_out < limit)
    }
}
