//! The trace of a request: what its spans say, and what nodes are told of it.
//!
//! ```text
//! began (the caller's context, sampling) → attempted (a node is told) → heard → decided → record (never waits)
//! ```
//!
//! Nothing here runs for a virtual server without tracing: nothing is read, heads pass as they are, and the code is out of
//! their way. A request that is not sampled is only given its numbers. See [`tidegate_telemetry::traces`] for what becomes of records.

use std::{
    hint::cold_path,
    num::{NonZeroU64, NonZeroU128},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_http1::{
    request::{RequestHead, Role, Version},
    trace_context::{PARENT_LENGTH, SAMPLED, TraceParent, is_trace_state},
};
use tidegate_pool::{Session, Slot};
use tidegate_telemetry::traces::{Attempt, Context, Fault, Finished, MAX_ATTEMPTS, MAX_PATH, MAX_TEXT, cut};

use crate::{
    access,
    connection::Client,
    failure::Failure,
    forward::{
        attempt::Answer,
        claim::{Claim, Way},
    },
    http::location::host_without_port,
    snapshot::RunningPool,
    virtual_server::Exchange,
};

const PARENT: &[u8] = b"traceparent";
const STATE: &[u8] = b"tracestate";

/// Where a request stands in its trace.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Trace and span of the request itself.
    own: TraceParent,
    /// The span that nodes are told.
    told: NonZeroU64,
    /// Whether the `tracestate` of the request goes on to nodes.
    passes_state: bool,
    /// A rule has written the `traceparent` that nodes get.
    by_rule: bool,
    /// What is recorded; `None` = it is not sampled.
    span: Option<Box<Finished>>,
}

impl Default for Trace {
    /// Of no request.
    fn default() -> Self {
        let own = TraceParent { trace_id: NonZeroU128::MIN, span_id: NonZeroU64::MIN, flags: 0 };
        Self { own, told: own.span_id, passes_state: false, by_rule: false, span: None }
    }
}

/// What a node's head says of the trace.
#[derive(Debug)]
pub(crate) struct Told {
    parent: [u8; PARENT_LENGTH],
    passes_state: bool,
}

impl Told {
    /// Whether a header of the request has to go.
    pub(crate) fn replaces(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(PARENT) || (!self.passes_state && name.eq_ignore_ascii_case(STATE))
    }

    /// Appends the line that nodes get.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"traceparent: ");
        out.extend_from_slice(&self.parent);
        out.extend_from_slice(b"\r\n");
    }
}

impl Trace {
    /// Trace and span of the request.
    pub(crate) fn ids(&self) -> (NonZeroU128, NonZeroU64) {
        (self.own.trace_id, self.own.span_id)
    }

    /// What the node is told; `None` = what stands in the head already.
    pub(crate) fn told(&self) -> Option<Told> {
        if self.by_rule {
            return None;
        }
        let parent = TraceParent { span_id: self.told, ..self.own };
        Some(Told { parent: parent.text(), passes_state: self.passes_state })
    }

    /// Rules have edited the head: whether they gave it a `traceparent` or `tracestate` of their own.
    pub(crate) fn edited(&mut self, gives: impl Fn(&[u8]) -> bool) {
        self.by_rule |= gives(PARENT);
        self.passes_state |= gives(STATE);
    }
}

/// A request came in: reads the caller's context, and decides whether the request is recorded.
pub(crate) fn began(exchange: &mut Exchange<'_>, client: &Client) {
    let Some(traces) = &exchange.server.traces else { return };
    cold_path();
    let (head, bytes) = (&*exchange.head, exchange.head_bytes());
    let worker = &client.worker;
    let caller = caller(head, bytes);
    let span_id = number(worker.random());
    let trace_id = caller.map_or_else(
        || {
            let id = u128::from(worker.random()) << 64 | u128::from(worker.random());
            NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN)
        },
        |caller| caller.trace_id,
    );
    let sampled = traces.sampler().samples(caller.map(|caller| caller.is_sampled()), trace_id);
    let kept = caller.map_or(0, |caller| caller.flags & !SAMPLED);
    let own = TraceParent { trace_id, span_id, flags: kept | if sampled { SAMPLED } else { 0 } };
    let passes_state = caller.is_some() && is_trace_state(values(head, bytes, STATE));
    let span = sampled.then(|| {
        let context =
            Context { trace_id, span_id, parent: caller.map(|caller| caller.span_id), flags: own.flags };
        let state = if passes_state { state(head, bytes) } else { String::new() };
        asked(exchange, client, context, state)
    });
    let mut trace = worker.traces.lend();
    *trace = Trace { own, told: span_id, passes_state, by_rule: false, span };
    exchange.trace = Some(trace);
}

/// The caller's place in the trace. One field, or none is believed.
fn caller(head: &RequestHead, bytes: &[u8]) -> Option<TraceParent> {
    let mut parents = values(head, bytes, PARENT);
    let parent = TraceParent::parse(parents.next()?)?;
    parents.next().is_none().then_some(parent)
}

/// Values of a field that is meant for whoever comes next.
fn values<'h>(head: &'h RequestHead, bytes: &'h [u8], name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    let named = head
        .headers()
        .iter()
        .filter(move |header| header.role() == Role::Other && header.name(bytes).eq_ignore_ascii_case(name));
    named.map(|header| header.value(bytes))
}

/// The caller's state as one list.
fn state(head: &RequestHead, bytes: &[u8]) -> String {
    let all: Vec<&[u8]> = values(head, bytes, STATE).collect();
    String::from_utf8_lossy(&all.join(b",".as_slice())).into_owned()
}

fn number(random: u64) -> NonZeroU64 {
    NonZeroU64::new(random).unwrap_or(NonZeroU64::MIN)
}

/// What a sampled request says of itself.
fn asked(exchange: &Exchange<'_>, client: &Client, context: Context, state: String) -> Box<Finished> {
    let (head, bytes) = (&*exchange.head, exchange.head_bytes());
    let authority = head.host(bytes).unwrap_or_default();
    let host = host_without_port(authority);
    let port = authority.get(host.len()..).and_then(|rest| rest.strip_prefix(b":"));
    let port = port.and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
    Box::new(Finished {
        context,
        state,
        ended: SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        virtual_server: exchange.server.name().clone(),
        pool: None,
        method: cut(head.method_bytes(bytes), MAX_TEXT),
        path: cut(path(head, bytes), MAX_PATH),
        host: cut(host.trim_ascii(), MAX_TEXT),
        port,
        tls: client.is_tls(),
        version: match head.version() {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        },
        client: client.peer.ip(),
        user_agent: cut(head.header(bytes, b"user-agent").unwrap_or_default(), MAX_TEXT),
        status: None,
        retries: 0,
        persistence: None,
        queued: Duration::ZERO,
        fault: None,
        attempts: Vec::new(),
    })
}

/// The path without the query, which may hold secrets.
fn path<'h>(head: &RequestHead, bytes: &'h [u8]) -> &'h [u8] {
    match head.path(bytes).split(|byte| *byte == b'?').next() {
        Some(path) if !path.is_empty() => path,
        _ => b"/",
    }
}

/// A pool is asked for a node.
pub(crate) fn pool(exchange: &mut Exchange<'_>, pool: &RunningPool) {
    if let Some(span) = recorded(exchange) {
        span.pool = Some(pool.settings.name.clone());
    }
}

/// A node was chosen, and gets the request next.
pub(crate) fn attempted(exchange: &mut Exchange<'_>, client: &Client, pool: &RunningPool, claim: &Claim) {
    let Some(trace) = &exchange.trace else { return };
    cold_path();
    let Some(span) = &trace.span else { return };
    let told =
        if span.attempts.len() < MAX_ATTEMPTS { number(client.worker.random()) } else { trace.own.span_id };
    let began = client.worker.elapsed().saturating_sub(exchange.began);
    let (head, bytes) = (&*exchange.head, exchange.head_bytes());
    let attempt = Attempt {
        span_id: told,
        began,
        ended: None,
        pool: pool.settings.name.clone(),
        node: Arc::clone(claim.node().label()),
        address: claim.node().address(),
        tls: pool.tls.is_some(),
        reused: matches!(claim.way, Some(Way::Idle(_))),
        method: cut(head.method_bytes(bytes), MAX_TEXT),
        path: cut(path(head, bytes), MAX_PATH),
        status: None,
        response_time: None,
        fault: None,
    };
    let Some(trace) = &mut exchange.trace else { return };
    trace.told = told;
    if let Some(span) = &mut trace.span {
        end_attempt(span, began);
        span.pool = Some(attempt.pool.clone());
        if span.attempts.len() < MAX_ATTEMPTS {
            span.attempts.push(attempt);
        }
    }
}

/// The last attempt is over, if it was not before.
fn end_attempt(span: &mut Finished, now: Duration) {
    if let Some(attempt) = span.attempts.last_mut()
        && attempt.ended.is_none()
    {
        attempt.ended = Some(now);
    }
}

/// The node has answered, or failed. The outcome comes and goes by value: a borrowed one would stay in the state of every
/// connection.
pub(crate) fn heard(
    exchange: &mut Exchange<'_>,
    client: &Client,
    outcome: Result<Box<Answer>, Failure>,
) -> Result<Box<Answer>, Failure> {
    let now = client.worker.recent_elapsed().saturating_sub(exchange.began);
    if let Some(span) = recorded(exchange)
        && let Some(attempt) = span.attempts.last_mut().filter(|attempt| attempt.ended.is_none())
    {
        note(attempt, now, &outcome);
    }
    outcome
}

fn note(attempt: &mut Attempt, now: Duration, outcome: &Result<Box<Answer>, Failure>) {
    match outcome {
        Ok(answer) => {
            attempt.status = Some(answer.head.status());
            attempt.response_time = Some(answer.response_time);
        }
        Err(failure) => {
            attempt.fault = Some(fault(failure));
            attempt.ended = Some(now.max(attempt.began));
        }
    }
}

/// What became of the session.
pub(crate) fn decided(exchange: &mut Exchange<'_>, session: &Session, slot: Slot) {
    if let Some(span) = recorded(exchange) {
        span.persistence = access::session_word(session, slot);
    }
}

/// It could not be answered as it should.
pub(crate) fn failed(exchange: &mut Exchange<'_>, failure: &Failure) {
    let Some(span) = recorded(exchange) else { return };
    let fault = fault(failure);
    span.fault = Some(fault);
    // A response that broke off is the node's doing.
    if failure.node_failure().is_some()
        && let Some(attempt) = span.attempts.last_mut()
        && attempt.ended.is_none()
    {
        attempt.fault = Some(fault);
    }
}

/// The exchange is over: one record, if it is sampled.
pub(crate) fn record(client: &Client, exchange: &mut Exchange<'_>) {
    let Some(mut trace) = exchange.trace.take() else { return };
    cold_path();
    if let Some(mut span) = trace.span.take()
        && let Some(traces) = &exchange.server.traces
    {
        let answered = &exchange.answered;
        span.ended = SystemTime::now();
        span.duration = client.worker.elapsed().saturating_sub(exchange.began);
        span.status = (answered.status != 0).then_some(answered.status);
        span.retries = answered.retries;
        span.queued = Duration::from_micros(answered.queued.get().into());
        // A record that finds no room is dropped and counted there.
        traces.record(client.worker.index, *span);
    }
    client.worker.traces.keep(trace);
}

fn recorded<'e>(exchange: &'e mut Exchange<'_>) -> Option<&'e mut Finished> {
    let trace = exchange.trace.as_mut()?;
    cold_path();
    trace.span.as_deref_mut()
}

fn fault(failure: &Failure) -> Fault {
    let (name, is_error) = failure.name();
    Fault { name, text: failure.text(), is_error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        request_head::{Additions, compose},
        tests::request,
    };

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(lines: &str) -> (Option<TraceParent>, bool) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let head = request(&text);
        (caller(&head, text.as_bytes()), is_trace_state(values(&head, text.as_bytes(), STATE)))
    }

    #[test]
    fn one_caller_or_none_is_believed() {
        let good = TraceParent::parse(GOOD.as_bytes());
        assert!(good.is_some());
        for (lines, expected) in [
            (format!("traceparent: {GOOD}\r\n"), good),
            (format!("TraceParent:{GOOD} \r\n"), good),
            (format!("traceparent: {GOOD}\r\ntraceparent: {GOOD}\r\n"), None),
            (format!("traceparent: {GOOD}, {GOOD}\r\n"), None),
            ("traceparent: x\r\n".to_owned(), None),
            (format!("traceparent: {GOOD}\r\ntraceparent: x\r\n"), None),
            // Meant for us alone.
            (format!("Connection: traceparent\r\ntraceparent: {GOOD}\r\n"), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&lines).0, expected, "{lines}");
        }
        assert!(read("tracestate: a=1\r\ntracestate: b=2\r\n").1);
        assert!(!read("tracestate: a=1\r\ntracestate: a=2\r\n").1);
    }

    #[test]
    fn states_are_told_as_one_list() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\ntracestate: a=1\r\nX: y\r\nTracestate: b=2,c=3\r\n\r\n";
        assert_eq!(state(&request(text), text.as_bytes()), "a=1,b=2,c=3");
    }

    #[test]
    fn nodes_get_one_place_in_the_trace_and_the_rest_as_it_came() {
        let told = Told { parent: *GOOD.as_bytes().first_chunk().unwrap(), passes_state: false };
        for (passes_state, state) in [(true, "tracestate: a=1\r\n"), (false, "")] {
            let text = "GET / HTTP/1.1\r\nHost: a\r\nTraceParent: x\r\nA: 1\r\ntracestate: a=1\r\ntraceparent: y\r\n\r\n";
            let mut http = crate::http::tests::settings().http;
            http.add_cluster_ip = false;
            let additions = Additions {
                http: &http,
                lines: b"",
                client: [192, 0, 2, 7].into(),
                node_label: "n",
                keepalive: true,
                upgrade: false,
                given: None,
                trace: Some(Told { passes_state, ..told }),
            };
            let mut out = Vec::new();
            compose(&mut out, text.as_bytes(), &request(text), &additions);
            let expected = format!("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n{state}traceparent: {GOOD}\r\n\r\n");
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn what_a_rule_writes_is_left_alone() {
        let mut trace = Trace::default();
        assert!(
            trace.told().is_some_and(|told| told.replaces(b"Traceparent") && told.replaces(b"TRACESTATE"))
        );
        trace.edited(|_| false);
        trace.edited(|name| name == STATE);
        assert!(trace.told().is_some_and(|told| told.replaces(PARENT) && !told.replaces(STATE)));
        trace.edited(|name| name == PARENT);
        assert!(trace.told().is_none());
    }
}
