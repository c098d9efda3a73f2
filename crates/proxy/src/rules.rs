//! The rules of a virtual server at work on one request: each phase runs its rules in their order; what they have said is
//! carried out when the phase is over.
//!
//! ```text
//! head of the request ──request()──► edits written, pool chosen ──► forward
//!                         └──► reply, close, discard
//! head of the answer ──response()──► edits written ──► deliver
//!                         ├──► reply        └──► another node (request.retry)
//! all over ──completion()
//! ```
//!
//! A rule runs on the worker within the limits of its [`Machine`]; when it needs something that is not there it is
//! suspended, and only then is anything allocated for waiting. Virtual servers without rules pay one comparison.

mod body;
mod codings;
mod commit;
mod fields;
pub(crate) mod generic;
mod late;
mod lines;
mod orders;
pub(crate) mod process;
mod reply;
mod said;
mod seen;
pub(crate) mod services;
mod stage;
mod strangers;
mod stream;
mod wait;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use tidegate_model::rule::RuleSettings;
use tidegate_pool::Node;
use tidegate_telemetry::logging::EventLimit;
use tidegate_trafficscript::{End, Machine, Need, Step, pattern::PatternCache};

pub(crate) use self::body::MAX_TAKEN;
pub(crate) use self::late::ResponseFields;
pub(crate) use self::said::{Data, Ending, Limit, Overrides, Said};
use self::{seen::Seen, stage::Stage};
use crate::{
    aside::aside,
    connection::{Client, Flow},
    failure::{Failure, Kind, Progress},
    forward::attempt::Answer,
    snapshot::{RunningPool, RunningRule},
    tally,
    virtual_server::Exchange,
    worker::Worker,
};

/// What the rules of a phase come to.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The request or response goes on, as edited.
    GoOn,
    /// Another node gets the request.
    Retry,
    /// The client has been answered.
    Answered(Flow),
}

/// Runs the request rules.
pub(crate) async fn request(client: &mut Client, exchange: &mut Exchange<'_>) -> Result<Verdict, Failure> {
    let server = Rc::clone(&exchange.server);
    if let Some(suspended) = start(&server.rules.request, client, exchange, &mut Stage::Request) {
        let done = aside(suspended.to_the_end(client, exchange, &mut Stage::Request)).await;
        done.map_err(|failure| stream::broken(exchange, failure))?;
    }
    match take_ending(exchange) {
        None => commit::request(client, exchange).map(|()| Verdict::GoOn),
        Some(ending) => {
            let done = aside(carry_out(client, exchange, ending, None)).await;
            done.map_err(|failure| stream::broken(exchange, failure))
        }
    }
}

/// Runs the response rules on a node's answer.
pub(crate) async fn response(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    (pool, node): (&Arc<RunningPool>, &Arc<Node>),
    answer: &mut Answer,
    resendable: bool,
) -> Result<Verdict, Failure> {
    // A switch of protocols is no response to edit.
    if answer.head.status() == SWITCHING_PROTOCOLS {
        return Ok(Verdict::GoOn);
    }
    // What rules make of this answer is neither for another node's nor for an error page.
    let before = exchange.said().map(|said| said.response.clone());
    let verdict = past_response_rules(client, exchange, (pool, node), answer, resendable).await;
    if matches!(verdict, Ok(Verdict::Retry) | Err(_))
        && let Some(said) = &mut exchange.said
    {
        said.response = before.unwrap_or_default();
    }
    verdict
}

async fn past_response_rules(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    (pool, node): (&Arc<RunningPool>, &Arc<Node>),
    answer: &mut Answer,
    resendable: bool,
) -> Result<Verdict, Failure> {
    let server = Rc::clone(&exchange.server);
    if let Some(said) = &mut exchange.said {
        // What request rules have said of the response, as if it came first of all that response rules say.
        let bytes = answer.head_bytes();
        let fields = answer.head.headers().iter().map(|header| (header.name(bytes), header.value(bytes)));
        said.response.fields.meet(&fields);
    }
    let mut stage = Stage::Response { answer: &mut *answer, pool, node, resendable };
    if let Some(suspended) = start(&server.rules.response, client, exchange, &mut stage) {
        let done = aside(suspended.to_the_end(client, exchange, &mut stage)).await;
        done.map_err(|failure| stream::broken(exchange, failure))?;
    }
    let Some(ending) = take_ending(exchange) else {
        return commit::response(client, exchange, answer).map(|()| Verdict::GoOn);
    };
    let done = aside(carry_out(client, exchange, ending, Some(answer))).await;
    let verdict = done.map_err(|failure| stream::broken(exchange, failure))?;
    let said = exchange.said_mut();
    let body = said.response_body.take().map_or(0, |taken| taken.read);
    let head = answer.head_bytes().len() as u64;
    tally::exchanged(client, pool, node, answer.sent + answer.upload.moved, head + body);
    if matches!(verdict, Verdict::Retry) {
        said.stream = None;
    }
    Ok(verdict)
}

/// 101: what follows is no HTTP.
const SWITCHING_PROTOCOLS: u16 = 101;

/// Runs the completion rules. Nothing they do reaches the client or a node.
pub(crate) async fn completion(client: &mut Client, exchange: &mut Exchange<'_>) {
    let server = Rc::clone(&exchange.server);
    let code =
        exchange.said().and_then(|said| said.failure).map_or("COMPLETE", |failure| failure.completion());
    let mut stage = Stage::Completion(code);
    if let Some(suspended) = start(&server.rules.completion, client, exchange, &mut stage) {
        // What ends the waiting ends the rules; the request is over already.
        let _over = suspended.to_the_end(client, exchange, &mut stage).await;
    }
}

/// Rules of one phase of which one waits for something.
struct Suspended<'p> {
    rule: &'p RunningRule,
    machine: Machine<'p>,
    need: Need,
    /// The rules behind it.
    later: &'p [Arc<RunningRule>],
}

/// Runs rules until all have run (`None`) or one waits.
#[inline(never)]
fn start<'p>(
    mut rules: &'p [Arc<RunningRule>],
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    stage: &mut Stage<'_>,
) -> Option<Box<Suspended<'p>>> {
    while let [rule, later @ ..] = rules {
        rule.counters.shard(client.worker.index).executions.add(1);
        if let Some(taken) = exchange.said.as_mut().and_then(|said| said.response_body.as_mut()) {
            taken.rewind();
        }
        let mut machine = Machine::new(&rule.program, rule.limits);
        match go_on(rule, &mut machine, client, exchange, stage) {
            Gone::Waits(need) => return Some(Box::new(Suspended { rule, machine, need, later })),
            Gone::Next => rules = later,
            Gone::Last => return None,
        }
    }
    None
}

/// How far a rule has got.
enum Gone {
    /// It is over; the next one runs.
    Next,
    /// It has ended the phase.
    Last,
    /// It needs something.
    Waits(Need),
}

/// Runs one rule as far as it gets.
fn go_on<'p>(
    rule: &'p RunningRule,
    machine: &mut Machine<'p>,
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    stage: &mut Stage<'_>,
) -> Gone {
    let worker = Rc::clone(&client.worker);
    let began = worker.recent_elapsed();
    let mut seen = Seen { client: &mut *client, exchange: &mut *exchange, stage: stage.lend(), rule };
    let step = machine.run(&mut seen, &mut worker.rules.patterns.borrow_mut());
    if machine.instructions() > UNTIMED {
        note_time(rule, &worker, worker.elapsed().saturating_sub(began));
    }
    note_memory(rule, client, exchange);
    match step {
        Step::Wait(need) => Gone::Waits(need),
        Step::Done(End::Finished) => Gone::Next,
        Step::Done(End::EndedPhase) => {
            note_ending(rule, exchange, worker.index);
            Gone::Last
        }
        Step::Done(End::Aborted(reason)) => {
            aborted(client, exchange, rule, &reason);
            if stream::is_started(exchange) {
                // Nobody knows how the response would have gone on.
                exchange.said_mut().ending = Some(Ending::Broken);
                return Gone::Last;
            }
            Gone::Next
        }
    }
}

impl Suspended<'_> {
    /// Gets what is needed and goes on, until all rules have run.
    async fn to_the_end(
        mut self: Box<Self>,
        client: &mut Client,
        exchange: &mut Exchange<'_>,
        stage: &mut Stage<'_>,
    ) -> Result<(), Failure> {
        let mut busy = 0;
        loop {
            let given = wait::fulfil(client, exchange, stage, self.need).await?;
            // What is needed may be there already, time and again: others have their turn.
            busy += self.machine.instructions() + WAIT_COST;
            if busy > TURN {
                busy = 0;
                tokio::task::yield_now().await;
            }
            // Time has passed.
            client.worker.now();
            self.machine.resume(given);
            match go_on(self.rule, &mut self.machine, client, exchange, stage) {
                Gone::Waits(need) => self.need = need,
                Gone::Last => return Ok(()),
                Gone::Next => match start(self.later, client, exchange, stage) {
                    Some(next) => self = next,
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Instructions after which others on the worker have their turn when a rule waits for something that is there already.
const TURN: u32 = 20_000;
/// Instructions that such a wait counts for.
const WAIT_COST: u32 = 200;

/// So many instructions take less time than is worth a look at the clock: some 0.1 ms at most.
const UNTIMED: u32 = 128;

/// Clients decide how often a rule is slow.
static SLOW: EventLimit = EventLimit::new();

/// Counts and tells of a run that took longer than `trafficscript.execution_time_warning`.
fn note_time(rule: &RunningRule, worker: &Worker, took: Duration) {
    if rule.time_warning.is_none_or(|limit| took <= limit) {
        return;
    }
    rule.counters.shard(worker.index).execution_time_warnings.add(1);
    if let Some(held_back) = SLOW.admit(worker.recent()) {
        let milliseconds = took.as_millis();
        tracing::warn!(
            event = "ruleslow",
            rule = rule.program.name(),
            milliseconds,
            held_back,
            "a rule ran for long"
        );
    }
}

/// Clients decide how often a rule holds much.
static LARGE: EventLimit = EventLimit::new();

/// Tells, once for a request, that a rule made its connection hold more than `trafficscript.memory_warning`.
fn note_memory(rule: &RunningRule, client: &Client, exchange: &mut Exchange<'_>) {
    let (Some(limit), Some(said)) = (rule.memory_warning, &mut exchange.said) else { return };
    let bytes = said.held();
    if bytes <= limit || std::mem::replace(&mut said.told_large, true) {
        return;
    }
    if let Some(held_back) = LARGE.admit(client.worker.recent()) {
        tracing::warn!(event = "rulebufferlarge", virtual_server = %exchange.server.name(), rule = rule.program.name(), bytes, held_back, "a rule made a connection hold much");
    }
}

/// Counts how a rule has ended its phase.
fn note_ending(rule: &RunningRule, exchange: &Exchange<'_>, worker: usize) {
    let counters = rule.counters.shard(worker);
    match exchange.said().and_then(|said| said.ending.as_ref()) {
        Some(Ending::Discard) => counters.discards.add(1),
        Some(Ending::Retry) => counters.retries.add(1),
        Some(
            Ending::Reply(_) | Ending::Close { .. } | Ending::Streamed | Ending::StreamedOn | Ending::Broken,
        ) => counters.responds.add(1),
        None => counters.pool_selects.add(1),
    }
}

/// Clients decide how often a faulty rule is aborted.
static ABORTED: EventLimit = EventLimit::new();

fn aborted(client: &Client, exchange: &Exchange<'_>, rule: &RunningRule, reason: &str) {
    rule.counters.shard(client.worker.index).aborts.add(1);
    if let Some(held_back) = ABORTED.admit(client.worker.recent()) {
        tracing::warn!(event = "ruleabort", virtual_server = %exchange.server.name(), rule = rule.program.name(), held_back, "a rule was aborted: {reason}");
    }
}

/// What the rules ordered instead of going on. A response that one of them has started and not finished is complete with
/// the phase.
fn take_ending(exchange: &mut Exchange<'_>) -> Option<Ending> {
    exchange.take_ending().or_else(|| stream::is_started(exchange).then_some(Ending::Streamed))
}

/// Does what the rules ordered instead of going on.
async fn carry_out(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    ending: Ending,
    answer: Option<&mut Answer>,
) -> Result<Verdict, Failure> {
    if stream::has_begun(exchange) && !matches!(ending, Ending::Streamed | Ending::StreamedOn) {
        return Ok(Verdict::Answered(Flow::Abort));
    }
    let flow = match ending {
        Ending::Retry => return Ok(Verdict::Retry),
        Ending::Discard => return Err(Failure::new(Kind::Discard, Progress::Unsent)),
        Ending::Close { data, read } => reply::close(client, exchange, data, read).await,
        Ending::Reply(reply) => reply::send(client, exchange, reply, answer.as_deref()).await,
        Ending::Broken => return Err(stream::abandon(exchange)),
        Ending::Streamed => stream::finish(client, exchange, None).await?,
        Ending::StreamedOn => stream::finish(client, exchange, answer).await?,
    };
    Ok(Verdict::Answered(flow))
}

/// What rules keep on a worker.
#[derive(Debug)]
pub(crate) struct OnWorker {
    patterns: RefCell<PatternCache>,
    strangers: strangers::Strangers,
}

impl OnWorker {
    pub(crate) fn new(settings: &RuleSettings) -> Self {
        Self { patterns: RefCell::new(patterns(settings)), strangers: strangers::Strangers::default() }
    }

    /// Other settings hold from now on.
    pub(crate) fn follow(&self, settings: &RuleSettings) {
        self.patterns.replace(patterns(settings));
    }
}

fn patterns(settings: &RuleSettings) -> PatternCache {
    PatternCache::new(settings.pattern_cache, settings.match_steps.get())
}
