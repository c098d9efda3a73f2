//! The one retry loop of the program: choose a node, send, listen; on failure ask what the failure permits and
//! choose again among the nodes not yet tried.
//!
//! ```text
//! to_pool ─► claim (pool, queue) ─► attempt (connect or reuse, send, await the head) ─► deliver (head, body)
//!    ▲                                  │ failed and may be retried
//!    └──────────────────────────────────┘
//! ```

pub(crate) mod attempt;
pub(crate) mod claim;
pub(crate) mod deliver;
pub(crate) mod generic;
pub(crate) mod queue;
pub(crate) mod upgrade;

use std::{hint::cold_path, sync::Arc, time::Duration};

use tidegate_http1::request::Version;
use tidegate_model::{Moment, persistence::FailureMode};
use tidegate_pool::{HealthChange, Session, Slot, Tried};

use self::{
    attempt::{Answer, attempt},
    claim::{Claim, Claimed, claim, claim_at_once},
    deliver::deliver,
};
use crate::{
    access,
    aside::aside,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    http::error_page,
    rules::{self, Said, Verdict},
    snapshot::RunningPool,
    tally, trace,
    virtual_server::Exchange,
};

/// What has been tried for one request.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Nodes that failed it; usually none.
    tried: Option<Box<Tried>>,
    made: u32,
    timed_out: u32,
    /// The body is still coming from the client.
    streaming: bool,
    /// As many nodes were tried as can be remembered.
    full: bool,
    /// The node that a rule has chosen.
    fixed: Option<Slot>,
    /// Its place in the queue of a pool that was rebuilt while it waited.
    wait: Option<Box<claim::Wait>>,
}

/// Serves the request from `pool`, or from its failure pool when all its nodes have failed.
pub(crate) async fn to_pool(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &Arc<RunningPool>,
) -> Result<Flow, Failure> {
    // Set when it is not the pool the request began with: a failure pool, or the same pool rebuilt meanwhile.
    let mut other: Option<Arc<RunningPool>> = None;
    let mut session = ask(client, exchange, pool);
    let mut body = attempt::RequestBody::of(client, exchange)?;
    let streaming = body.is_streaming();
    let mut attempts = Attempts::new(streaming);
    let mut last = Failure::new(Kind::NoNode, Progress::Unsent);
    let mut next = None;
    loop {
        let pool = other.as_ref().unwrap_or(pool);
        attempts.heed_rules(exchange, pool);
        let claimed = match next.take() {
            Some(node) => Claimed::Node(node),
            None => claim(client, exchange, pool, &session, &mut attempts).await?,
        };
        let mut claimed = match claimed {
            Claimed::Node(claimed) => claimed,
            Claimed::AllFailed => {
                cold_path();
                let Some(failure_pool) = &pool.failure_pool else {
                    tally::pool(&client.worker, pool).no_node.add(1);
                    return Err(last);
                };
                tally::pool(&client.worker, pool).failed_over.add(1);
                session = ask(client, exchange, failure_pool);
                attempts = Attempts::new(streaming);
                other = Some(Arc::clone(failure_pool));
                continue;
            }
            Claimed::Rebuilt(rebuilt) => {
                cold_path();
                session = session_of(client, exchange, &rebuilt);
                attempts.follow(pool, &rebuilt);
                other = Some(rebuilt);
                continue;
            }
            Claimed::Exhausted => return Err(last),
            Claimed::SessionFailed(mode) => {
                cold_path();
                return aside(session_failed(client, exchange, pool, &session, &mode)).await;
            }
        };
        'attempt: {
            note_attempt(client, exchange, pool, &claimed);
            let outcome = attempt(client, exchange, pool, &mut claimed, &mut body).await;
            let mut answer = match trace::heard(exchange, client, outcome) {
                Ok(answer) if answer.head.status() == 503 => {
                    cold_path();
                    let unavailable = Failure::new(Kind::Unavailable, Progress::Sent);
                    note_failure(client, pool, &claimed, &unavailable);
                    attempts.note(&unavailable, &claimed);
                    if attempts.may_retry(&unavailable, exchange, pool, &body) {
                        next = claim_at_once(client, exchange, pool, &session, &attempts);
                    }
                    if next.is_some() {
                        tally::pool(&client.worker, pool).retries_503.add(1);
                        client.worker.response_heads.keep(answer.head);
                        break 'attempt;
                    }
                    answer
                }
                Ok(answer) => answer,
                Err(failure) => {
                    cold_path();
                    note_failure(client, pool, &claimed, &failure);
                    attempts.note(&failure, &claimed);
                    if !attempts.may_retry(&failure, exchange, pool, &body) {
                        return Err(failure);
                    }
                    last = failure;
                    break 'attempt;
                }
            };
            note_answer(client, exchange, pool, &session, &claimed, &answer);
            if exchange.has_response_rules() {
                // They box what waits: connections of virtual servers without rules have no room for it.
                let resendable = body.is_replayable() && exchange.may_be_sent_again();
                let from = (pool, claimed.node());
                let verdict = rules::response(client, exchange, from, &mut answer, resendable).await;
                match verdict.inspect_err(|failure| note_failure(client, pool, &claimed, failure))? {
                    Verdict::GoOn => {}
                    Verdict::Answered(flow) => return Ok(flow),
                    Verdict::Retry => break 'attempt,
                }
            }
            return deliver(client, exchange, pool, &session, &claimed, answer).await;
        }
        cold_path();
        exchange.answered.retries += 1;
        tally::pool(&client.worker, pool).retries.add(1);
        // The nodes of today are asked, not those of when the request began.
        if next.is_none()
            && let Some(rebuilt) = client.worker.rebuilt(pool)
        {
            session = session_of(client, exchange, &rebuilt);
            attempts.follow(pool, &rebuilt);
            other = Some(rebuilt);
        }
    }
}

/// A pool is asked for a node: the session that the request has there.
fn ask(client: &Client, exchange: &mut Exchange<'_>, pool: &Arc<RunningPool>) -> Session {
    let session = session_of(client, exchange, pool);
    tally::asked(client, pool, &session);
    trace::pool(exchange, pool);
    if !exchange.server.rules.completion.is_empty() {
        exchange.said_mut().note_tried(pool, None);
    }
    session
}

/// A node is tried: whoever tells of the request later may be asked which.
fn note_attempt(client: &Client, exchange: &mut Exchange<'_>, pool: &Arc<RunningPool>, claim: &Claim) {
    trace::attempted(exchange, client, pool, claim);
    access::tried(exchange, pool, claim);
    if !exchange.server.rules.completion.is_empty() {
        exchange.said_mut().note_tried(pool, Some(claim.node()));
    }
}

/// A node has answered: what that says about it, and what the answer says about the session.
fn note_answer(
    client: &Client,
    exchange: &mut Exchange<'_>,
    pool: &Arc<RunningPool>,
    session: &Session,
    claim: &Claim,
    answer: &Answer,
) {
    let now = client.worker.recent();
    let status = answer.head.status();
    exchange.answered.note_response(client.worker.recent_elapsed().saturating_sub(exchange.began));
    if status != 503 || !pool.settings.passive_monitoring {
        note_success(pool, claim, answer.response_time, now);
    }
    tally::answered(client, pool, claim.node(), status, answer.response_time);
    if pool.pool.learns_cookies_in(session) {
        pool.pool.learn_in(session, answer.head.set_cookies(answer.head_bytes()), claim.slot, now);
    }
    if !exchange.server.rules.completion.is_empty() {
        exchange.said_mut().response_time = Some(answer.response_time);
    }
}

fn session_of(client: &Client, exchange: &Exchange<'_>, pool: &RunningPool) -> Session {
    let cookies = exchange.head.cookies(exchange.head_bytes());
    let (client_ip, now) = (client.peer.ip(), client.worker.recent());
    match exchange.said().map(Said::asked_session) {
        Some(asked) => pool.pool.session_asked(&asked, cookies, client_ip, now),
        None => pool.pool.session(cookies, client_ip, now),
    }
}

/// `failure_mode` of the persistence class, when the session's node cannot take the request.
async fn session_failed(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &RunningPool,
    session: &Session,
    mode: &FailureMode,
) -> Result<Flow, Failure> {
    let lost = Failure::new(Kind::SessionLost, Progress::Unsent);
    match mode {
        FailureMode::Url(url) => {
            // With a body on its way the connection cannot be used again.
            let body = exchange.head.has_body() || exchange.said().is_some_and(Said::abandons_body);
            let close = body || exchange.head.version() == Version::Http10 || !exchange.keeps_alive(client);
            let mut out = client.worker.buffers.lend_output();
            let cookie = pool.pool.forget_cookie(session).unwrap_or_default();
            error_page::redirect(&mut out.bytes, url, cookie, &exchange.take_response_edits(), close);
            exchange.answered.status = 302;
            exchange.answered.bytes = out.bytes.len() as u64;
            tally::server(&client.worker, &exchange.server).generated(302);
            Ok(match (client.send(out, exchange).await.is_ok(), body, close) {
                (true, true, _) => Flow::Linger,
                (true, false, false) => Flow::KeepAlive,
                (false, ..) | (true, false, true) => Flow::Close,
            })
        }
        FailureMode::Close | FailureMode::NewNode => Err(lost),
    }
}

/// Passive monitoring: a node that had failed and answers works again.
fn note_success(pool: &RunningPool, claimed: &Claim, response_time: Duration, now: Moment) {
    if claimed.node().record_success(response_time, now) == Some(HealthChange::Working) {
        tracing::info!(event = "nodeworking", pool = %pool.settings.name, node = %claimed.node().label(), "node is working again");
    }
}

/// Passive monitoring: what a failed request says about the node.
#[cold]
fn note_failure(client: &Client, pool: &RunningPool, claimed: &Claim, failure: &Failure) {
    tally::node_failed(client, claimed.node(), failure);
    if !pool.settings.passive_monitoring {
        return;
    }
    if let Some(kind) = failure.node_failure() {
        let now = client.worker.now();
        if claimed.node().record_failure(kind, &pool.settings, now).is_some() {
            tracing::warn!(event = "nodefail", pool = %pool.settings.name, node = %claimed.node().label(), reason = %failure, "node has failed");
        }
    }
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
        body: &attempt::RequestBody,
    ) -> bool {
        let settings = &pool.settings;
        let (most, most_timed_out) = exchange.attempt_limits(pool);
        let permitted = match failure.progress {
            Progress::Unsent => body.is_replayable(),
            Progress::Sent => exchange.is_idempotent() && body.is_replayable(),
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

impl Answer {
    /// Whether the node's connection may carry another request after this response.
    pub(crate) fn reusable(&self) -> bool {
        self.head.keep_alive() && !self.silenced
    }
}
