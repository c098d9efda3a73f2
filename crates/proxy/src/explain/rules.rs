//! The request rules of a virtual server over a described request, and what they do as words.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tidegate_model::{Moment, RuleEntry, virtual_server::DefaultPool};
use tidegate_pool::Standing;
use tidegate_trafficscript::{
    Described, End, Need, Phase,
    described::{self, Message},
    host::{Level, NodeState, Order, Places, PoolNode, RateVerdict, Talk},
};

use super::{At, Explanation, Question, RuleOutcome, fields};
use crate::{
    rules::{
        process,
        services::{ProcessFacts, Services},
    },
    snapshot::{RunningPool, RunningServer, Snapshot},
};

/// Most words said about one rule.
const MOST_PHRASES: usize = 40;

/// What rules see that is in no snapshot.
#[derive(Debug, Default)]
pub(super) struct Around {
    places: Option<Arc<dyn Places>>,
    facts: ProcessFacts,
}

impl Around {
    /// What rules see now.
    pub(super) fn of(services: &Services) -> Self {
        let places = services.places.database().map(|database| database as Arc<dyn Places>);
        Self { places, facts: services.facts().clone() }
    }
}

/// The request and the world around it, for rules.
pub(super) fn describe(
    (snapshot, around): (&Snapshot, &Around),
    server: &RunningServer,
    listens: SocketAddr,
    question: &Question,
    (now, random): (Moment, u64),
) -> Described {
    let mut host = Described::request(question.method.as_str(), question.target.as_str());
    for (name, value) in fields(question) {
        host.request = host.request.header(name, value);
    }
    host.client = question.client;
    host.local = match (&question.at, listens.ip().is_unspecified()) {
        (At::Address(address), _) => *address,
        (_, true) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listens.port()),
        (_, false) => listens,
    };
    host.tls = question.secure.then(Default::default);
    host.virtual_server = server.name().to_string();
    host.default_pool = match &server.settings.pool {
        DefaultPool::Pool(pool) => Some(pool.to_string()),
        DefaultPool::Discard => Some("discard".to_owned()),
        DefaultPool::Missing(_) => None,
    };
    host.pools =
        Some(snapshot.pools.iter().map(|(name, pool)| (name.to_string(), seen(pool, now))).collect());
    host.persistence_classes = Some(snapshot.persistence.keys().map(ToString::to_string).collect());
    host.bandwidth_classes = Some(snapshot.bandwidth.keys().map(ToString::to_string).collect());
    let rates = snapshot.rates.keys().map(|name| (name.to_string(), RateVerdict::Within));
    host.rates = Some(rates.collect::<BTreeMap<_, _>>());
    let files = snapshot.resources.iter();
    host.files = files.map(|(name, file)| (name.to_string(), (Arc::clone(&file.bytes), 0))).collect();
    host.now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    host.zone = process::local_offset(host.now.as_secs().cast_signed());
    let (name, domain) = process::host_name();
    host.host_name = (name.to_owned(), domain.to_owned());
    host.environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    host.seed = random;
    host.places.clone_from(&around.places);
    host.location = snapshot.location(around.facts.location.as_ref());
    host.rest_port = around.facts.rest_port;
    host.interfaces = process::interfaces();
    host
}

/// A pool as rules see it.
fn seen(pool: &RunningPool, now: Moment) -> described::Pool {
    let state = |standing| match standing {
        Standing::Active => NodeState::Active,
        Standing::Draining => NodeState::Draining,
        Standing::Disabled => NodeState::Disabled,
        Standing::Failed => NodeState::Failed,
    };
    let nodes = pool.pool.standings();
    described::Pool {
        nodes: nodes
            .map(|(label, standing)| PoolNode { label: Arc::clone(label), state: state(standing) })
            .collect(),
        is_full: pool.pool.would_wait(now),
    }
}

/// Runs the request rules over the description and tells of the others.
pub(super) fn run(
    snapshot: &Snapshot,
    server: &RunningServer,
    host: &mut Described,
    found: &mut Explanation,
) {
    let settings = &server.settings;
    let mut ended = None;
    for entry in &settings.request_rules {
        let outcome =
            |state, outcome| RuleOutcome { name: entry.rule.to_string(), phase: "request", state, outcome };
        let said = match (snapshot.rules.get(&entry.rule).filter(|_| entry.enabled), &ended) {
            (None, _) => outcome("off", why_off(snapshot, entry, Phase::Request)),
            (Some(_), Some(before)) => {
                outcome("skipped", format!("the rule {before} before it has ended the request rules"))
            }
            (Some(rule), None) => {
                let before = host.clone();
                let end = host.run(&rule.program, rule.limits);
                if matches!(end, End::EndedPhase) {
                    ended = Some(entry.rule.to_string());
                }
                outcome("ran", what_it_did(&before, host, &end))
            }
        };
        found.rules.push(said);
    }
    let later = [
        ("response", Phase::Response, &settings.response_rules),
        ("completion", Phase::Completion, &settings.completion_rules),
    ];
    for (phase, when, entries) in later {
        for entry in entries {
            let runs = entry.enabled && snapshot.rules.contains_key(&entry.rule);
            let (state, outcome) = match (runs, when) {
                (false, _) => ("off", why_off(snapshot, entry, when)),
                (true, Phase::Response) => ("later", "runs when a node has answered".to_owned()),
                (true, _) => ("later", "runs when all is over".to_owned()),
            };
            found.rules.push(RuleOutcome { name: entry.rule.to_string(), phase, state, outcome });
        }
    }
    found.notes.extend(assumptions(&host.needs));
}

fn why_off(snapshot: &Snapshot, entry: &RuleEntry, phase: Phase) -> String {
    match snapshot.rules.get(&entry.rule) {
        None => "it has an error and does not run; the log and status/local_tm/state tell which".to_owned(),
        Some(rule) => match rule.program.uses().misplaced(phase).first() {
            Some(note) => format!("it cannot run here: {}", note.message),
            None => "it is switched off in this list (a “/” before its name)".to_owned(),
        },
    }
}

/// What a rule has done, as one line.
fn what_it_did(before: &Described, after: &Described, end: &End) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(char::is_control, " ");
    let mut phrases = Vec::new();
    if before.method != after.method {
        phrases.push(format!("method {}", text(&after.method)));
    }
    if before.target != after.target {
        phrases.push(format!("target {}", text(&after.target)));
    }
    phrases.extend(edits(&before.request, &after.request));
    phrases.extend(after.orders.iter().skip(before.orders.len()).map(Order::phrase));
    if after.pending.len() > before.pending.len() {
        phrases.push(format!("{} edits of the response", after.pending.len() - before.pending.len()));
    }
    for (level, line) in after.lines.iter().skip(before.lines.len()) {
        // The line of an abort says what `end` says.
        if !matches!((level, end), (Level::Warn, End::Aborted(reason)) if reason.as_bytes() == line) {
            phrases.push(format!("log: {}", text(line)));
        }
    }
    match end {
        End::Aborted(reason) => phrases.push(format!("it is aborted: {reason}")),
        End::EndedPhase => phrases.push("ends the request rules".to_owned()),
        End::Finished if phrases.is_empty() => phrases.push("changes nothing".to_owned()),
        End::Finished => {}
    }
    if phrases.len() > MOST_PHRASES {
        let more = phrases.len() - MOST_PHRASES;
        phrases.truncate(MOST_PHRASES);
        phrases.push(format!("and {more} more"));
    }
    phrases.join("; ")
}

/// Header fields that are there now and were not, and the other way round.
fn edits(before: &Message, after: &Message) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(char::is_control, " ");
    let set = after.headers.iter().filter(|field| !before.headers.contains(field));
    let set = set.map(|(name, value)| format!("header {}: {}", text(name), text(value)));
    let is_gone = |name: &[u8]| !after.headers.iter().any(|(kept, _)| kept.eq_ignore_ascii_case(name));
    let gone = before.headers.iter().filter(|(name, _)| is_gone(name));
    set.chain(gone.map(|(name, _)| format!("no header {}", text(name)))).collect()
}

/// What rules asked for and could not have here.
fn assumptions(needs: &[Need]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(char::is_control, " ");
    let mut said = Vec::new();
    for need in needs {
        let assumption = match need {
            Need::Fetch(fetch) => {
                format!("a rule asks {}: nothing is sent here, so it got no answer", text(&fetch.url))
            }
            Need::Resolve(name, _) | Need::ResolveAny(name) => {
                format!("a rule looks up {}: no name server is asked here, so it found nothing", text(name))
            }
            Need::ResolveAddress(address) => {
                format!(
                    "a rule looks up the name of {address}: no name server is asked here, so it found none"
                )
            }
            Need::Directory(query) => format!(
                "a rule asks the directory {} about {}: nothing is sent here, so it got an error",
                text(&query.authenticator),
                text(&query.user)
            ),
            Need::Talk(talk) => {
                let (verb, host, port) = match &**talk {
                    Talk::Connect { host, port, .. } => ("connects to", host, port),
                    Talk::SendTo { host, port, .. } => ("sends to", host, port),
                    Talk::Read { .. } | Talk::Write { .. } => continue,
                };
                format!("a rule {verb} {}, port {port}: nothing is sent here, so it failed", text(host))
            }
            Need::Rate { class, .. } => {
                format!("the rate class {} is taken to be within its limit", text(class))
            }
            Need::Body(..) => "the body of the request is taken to be empty".to_owned(),
            Need::Sleep(_) | Need::Write(_) | Need::Read { .. } => continue,
        };
        if !said.contains(&assumption) && said.len() < MOST_PHRASES {
            said.push(assumption);
        }
    }
    said
}
