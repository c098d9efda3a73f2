//! Forwarding of HTTP: find a node, send, listen; on failure the search goes on among the nodes not yet tried, as far as
//! the failure permits.
//!
//! ```text
//! search (claim: pool, queue) ─► attempt (connect or reuse, send, await the head) ─► deliver (head, body)
//!    ▲                               │ failed and may be retried
//!    └───────────────────────────────┘
//! ```

pub(crate) mod attempt;
pub(crate) mod claim;
pub(crate) mod deliver;
pub(crate) mod generic;
pub(crate) mod queue;
pub(crate) mod search;
pub(crate) mod upgrade;

use std::{hint::cold_path, sync::Arc, time::Duration};

use tidegate_http1::request::Version;
use tidegate_model::{Moment, persistence::FailureMode};
use tidegate_pool::{HealthChange, Session};

use self::{
    attempt::{Answer, attempt},
    claim::Claim,
    deliver::deliver,
    search::{Blame, Found, Search},
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

/// Serves the request from `pool`, or from its failure pool when all its nodes have failed.
pub(crate) async fn to_pool(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    pool: &Arc<RunningPool>,
) -> Result<Flow, Failure> {
    let session = ask(client, exchange, pool);
    let mut body = attempt::RequestBody::of(client, exchange)?;
    let mut search = Search::new(pool, session, body.is_streaming());
    loop {
        let mut claimed = match search.node(client, exchange).await? {
            Found::Node(claimed) => claimed,
            Found::OtherPool => continue,
            Found::SessionFailed(mode) => {
                cold_path();
                return aside(session_failed(client, exchange, &search, &mode)).await;
            }
        };
        let pool = search.pool();
        note_attempt(client, exchange, pool, &claimed);
        let outcome = attempt(client, exchange, pool, &mut claimed, &mut body).await;
        let mut answer = match trace::heard(exchange, client, outcome) {
            Ok(answer) if answer.head.status() == 503 => {
                if search.finds_another(client, exchange, &claimed, body.is_replayable()) {
                    client.worker.response_heads.keep(answer.head);
                    continue;
                }
                answer
            }
            Ok(answer) => answer,
            Err(failure) => {
                search.failed(client, exchange, &claimed, failure, (Blame::Node, body.is_replayable()))?;
                continue;
            }
        };
        let (pool, session) = (search.pool(), &search.session);
        note_answer(client, exchange, pool, session, &claimed, &answer);
        if exchange.has_response_rules() {
            // They box what waits: connections of virtual servers without rules have no room for it.
            let resendable = body.is_replayable() && exchange.may_be_sent_again();
            let from = (pool, claimed.node());
            let verdict = rules::response(client, exchange, from, &mut answer, resendable).await;
            match verdict.inspect_err(|failure| note_failure(client, pool, &claimed, failure))? {
                Verdict::GoOn => {}
                Verdict::Answered(flow) => return Ok(flow),
                Verdict::Retry => {
                    search.again(client, exchange);
                    continue;
                }
            }
        }
        return deliver(client, exchange, pool, session, &claimed, answer).await;
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
    search: &Search<'_>,
    mode: &FailureMode,
) -> Result<Flow, Failure> {
    let lost = Failure::new(Kind::SessionLost, Progress::Unsent);
    match mode {
        FailureMode::Url(url) => {
            // With a body on its way the connection cannot be used again.
            let body = exchange.head.has_body() || exchange.said().is_some_and(Said::abandons_body);
            let close = body || exchange.head.version() == Version::Http10 || !exchange.keeps_alive(client);
            let mut out = client.worker.buffers.lend_output();
            let cookie = search.pool().pool.forget_cookie(&search.session).unwrap_or_default();
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

impl Answer {
    /// Whether the node's connection may carry another request after this response.
    pub(crate) fn reusable(&self) -> bool {
        self.head.keep_alive() && !self.silenced
    }
}
