//! What would become of a request: which virtual server takes it, what its rules do, which pool and which node it gets,
//! and why.
//!
//! ```text
//! Question ──► virtual server (by address and port) ──► request rules over a described request
//!     ──► pool, session ──► Pool::would_choose, and every node with its reason ──► Explanation
//! ```
//!
//! Nothing is sent and nothing changes: no turn is used up, no session moves, nothing is counted. What rules see of the
//! request is what is described; what they keep (`data.*`), ask name servers and other servers for, is empty.

mod rules;
use self::rules::Around;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tidegate_http1::{head::Parsed, limits::Limits as HeadLimits, request::RequestHead};
use tidegate_model::{
    Moment, PersistenceClass,
    persistence::{FailureMode, Method},
    pool::NodeHost,
    virtual_server::{DefaultPool, Protocol, VirtualServer},
};
pub use tidegate_pool::Candidate;
use tidegate_pool::{Asked, Choice, NoNode, Session, Tried, session::Found};
use tidegate_trafficscript::{Described, host::Order};

use crate::{
    proxy::Proxy,
    snapshot::{RunningPool, RunningServer, Snapshot},
};

/// A request to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// Such as `GET`.
    pub method: String,
    /// Path and query, `/` at least.
    pub target: String,
    /// Value of the `Host` header field, unless `headers` has one.
    pub host: String,
    /// Header fields in their order.
    pub headers: Vec<(String, String)>,
    /// Who asks.
    pub client: SocketAddr,
    /// Whether the client speaks TLS.
    pub secure: bool,
    /// Where the request arrives.
    pub at: At,
}

/// Where a request arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// At this virtual server.
    Server(String),
    /// At this address and port.
    Address(SocketAddr),
    /// At some address of this traffic manager, and this port.
    Port(u16),
}

/// What would become of it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The virtual server.
    pub server: Arc<VirtualServer>,
    /// Where it listens.
    pub listens: SocketAddr,
    /// Rules in the order in which they come, those of later phases behind.
    pub rules: Vec<RuleOutcome>,
    /// Pools in the order in which they are asked: the one that is chosen, then failure pools.
    pub pools: Vec<PoolOutcome>,
    /// Label of the node that would get it now; `None`: no node gets it.
    pub node: Option<Arc<str>>,
    /// What becomes of it, in a sentence.
    pub verdict: String,
    /// What else there is to know: what was assumed, and what does not fit.
    pub notes: Vec<String>,
}

/// A rule and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOutcome {
    /// Its name.
    pub name: String,
    /// `request`, `response` or `completion`.
    pub phase: &'static str,
    /// `ran`, `skipped` (a rule before it has ended the phase), `off` (it cannot run), `later` (it runs when a node has
    /// answered, or when all is over).
    pub state: &'static str,
    /// What it does, or why it does nothing.
    pub outcome: String,
}

/// A pool that is asked for a node.
#[derive(Clone, Debug)]
pub struct PoolOutcome {
    /// Its settings.
    pub pool: Arc<tidegate_model::Pool>,
    /// Why it is asked.
    pub because: String,
    /// The persistence class in force and its type.
    pub persistence: Option<(String, &'static str)>,
    /// What is known of the session, a phrase.
    pub session: String,
    /// Its nodes.
    pub candidates: Vec<Candidate>,
    /// What comes of it, a sentence.
    pub outcome: String,
}

/// Where a node of a pool comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `nodes_table`.
    Table,
    /// Discovery, or the name of a row of `nodes_table`.
    Discovery,
    /// Both.
    Both,
    /// Neither any more: it leaves.
    Gone,
}

/// A pool and its nodes as they are now.
#[derive(Clone, Debug)]
pub struct PoolNow {
    /// Its settings.
    pub pool: Arc<tidegate_model::Pool>,
    /// Its nodes, leaving ones included, each with where it comes from.
    pub nodes: Vec<(Candidate, Origin)>,
    /// Sessions in its tables.
    pub sessions: u64,
    /// Requests in its queue.
    pub waiting: u64,
}

impl Proxy {
    /// A pool and its nodes; `None`: there is no such pool.
    pub fn pool_now(&self, name: &str) -> Option<PoolNow> {
        let snapshot = self.snapshot();
        let pool = snapshot.pools.get(name)?;
        let joined = snapshot.joined.get(name);
        let in_table = |address: SocketAddr| {
            pool.settings.nodes.iter().any(|row| match row.host {
                NodeHost::Address(ip) => SocketAddr::new(ip, row.port) == address,
                NodeHost::Name(_) => false,
            })
        };
        let origin = |candidate: &Candidate| match candidate.node.address {
            _ if candidate.node.leaving => Origin::Gone,
            address if joined.is_some_and(|joined| joined.contains(&address)) => Origin::Both,
            address if in_table(address) => Origin::Table,
            _ => Origin::Discovery,
        };
        let with_origin = |candidate: Candidate| {
            let origin = origin(&candidate);
            (candidate, origin)
        };
        let candidates = pool.pool.candidates(&Tried::none(), self.now());
        let counters = pool.pool.counters();
        Some(PoolNow {
            pool: Arc::clone(&pool.settings),
            nodes: candidates.into_iter().map(with_origin).collect(),
            sessions: counters.sessions.entries,
            waiting: u64::from(counters.waiting),
        })
    }

    /// What would become of a request now. May take some time (rules are run), so not on a data worker. `random` is one
    /// fresh random number.
    ///
    /// # Errors
    /// Why no virtual server takes it, for people.
    pub fn explain(&self, question: &Question, random: u64) -> Result<Explanation, String> {
        explain(&self.snapshot(), question, (self.now(), random), &Around::of(&self.shared.services))
    }
}

fn explain(
    snapshot: &Snapshot,
    question: &Question,
    (now, random): (Moment, u64),
    around: &Around,
) -> Result<Explanation, String> {
    let (listens, server, mut notes) = server_of(snapshot, question)?;
    if server.is_full() {
        notes.push(
            "it has as many connections as it may (max_concurrent_connections): a new one waits".to_owned(),
        );
    }
    let mut found = Explanation {
        server: Arc::clone(&server.settings),
        listens,
        rules: Vec::new(),
        pools: Vec::new(),
        node: None,
        verdict: String::new(),
        notes,
    };
    if let Some(fault) = fault_of(question) {
        found.verdict = fault;
        return Ok(found);
    }
    let mut host = rules::describe((snapshot, around), server, listens, question, (now, random));
    if let Protocol::Generic(word, _) = server.settings.protocol {
        host.raw = true;
        let note = format!("its protocol is {word}: rules see a client that has not sent anything yet");
        found.notes.push(note);
    }
    rules::run(snapshot, server, &mut host, &mut found);
    if let Some(reply) = host.orders.iter().rev().find(|order| ends(order)) {
        let what =
            if matches!(reply, Order::Discard | Order::Close { .. }) { "decides" } else { "answers it" };
        found.verdict = format!("A rule {what}: {}.", reply.phrase());
    } else {
        choose_pool(snapshot, server, &host, (now, random), &mut found);
    }
    Ok(found)
}

/// Whether the request goes to no pool.
fn ends(order: &Order) -> bool {
    matches!(
        order,
        Order::Discard
            | Order::Close { .. }
            | Order::Reply(_)
            | Order::StreamStart { .. }
            | Order::Respond(_)
    )
}

/// The virtual server that takes the request, and where.
fn server_of<'s>(
    snapshot: &'s Snapshot,
    question: &Question,
) -> Result<(SocketAddr, &'s Arc<RunningServer>, Vec<String>), String> {
    let mut servers: Vec<(SocketAddr, &Arc<RunningServer>)> =
        snapshot.servers.iter().map(|(key, server)| (key.address, server)).collect();
    servers.sort_by_key(|(address, _)| *address);
    let mut notes = Vec::new();
    let found = match &question.at {
        At::Server(name) => {
            let found = servers.iter().find(|(_, server)| server.name().as_str() == name);
            found.copied().ok_or_else(|| why_silent(snapshot, name))?
        }
        At::Address(address) => {
            let exact = servers.iter().find(|(known, _)| known == address);
            let any = servers.iter().find(|(known, _)| takes_any(*known, *address));
            exact.or(any).copied().ok_or_else(|| nobody(&servers, address.port()))?
        }
        At::Port(port) => {
            servers.retain(|(address, _)| address.port() == *port);
            let any = servers.iter().find(|(address, _)| address.ip().is_unspecified());
            let Some(first) = any.or_else(|| servers.first()).copied() else {
                let all =
                    snapshot.servers.iter().map(|(key, server)| (key.address, server)).collect::<Vec<_>>();
                return Err(nobody(&all, *port));
            };
            let others: Vec<String> = servers
                .iter()
                .filter(|(_, server)| !Arc::ptr_eq(server, first.1))
                .map(|(address, server)| format!("{} ({address})", server.name()))
                .collect();
            if !others.is_empty() && !first.0.ip().is_unspecified() {
                let text =
                    "several virtual servers have this port at different addresses; name one, or an address";
                return Err(format!("{text}: {} ({}), {}", first.1.name(), first.0, others.join(", ")));
            }
            if !others.is_empty() {
                notes.push(format!("at other addresses of this port: {}", others.join(", ")));
            }
            first
        }
    };
    let (address, server) = found;
    match (question.secure, server.tls.is_some()) {
        (true, false) => notes.push(
            "the URL is https, and this virtual server does not decrypt TLS (ssl_decrypt): such a client fails".to_owned(),
        ),
        (false, true) => {
            notes.push("the URL is http, and this virtual server speaks TLS: such a client fails".to_owned());
        }
        _ => {}
    }
    Ok((address, server, notes))
}

/// Whether a socket on all addresses takes connections to this one.
fn takes_any(listens: SocketAddr, address: SocketAddr) -> bool {
    let any = match listens.ip() {
        IpAddr::V6(ip) => ip == Ipv6Addr::UNSPECIFIED,
        IpAddr::V4(ip) => ip == Ipv4Addr::UNSPECIFIED && address.is_ipv4(),
    };
    any && listens.port() == address.port()
}

fn nobody(servers: &[(SocketAddr, &Arc<RunningServer>)], port: u16) -> String {
    let mut known: Vec<String> =
        servers.iter().map(|(address, server)| format!("{} ({address})", server.name())).collect();
    known.sort();
    if known.is_empty() {
        return "no virtual server is serving".to_owned();
    }
    format!("no virtual server listens there on port {port}; these serve: {}", known.join(", "))
}

fn why_silent(snapshot: &Snapshot, name: &str) -> String {
    let Some(settings) = snapshot.silent.iter().find(|settings| settings.name.as_str() == name) else {
        return format!("there is no virtual server {name}");
    };
    let why = match settings.protocol {
        _ if !settings.enabled => "it is disabled".to_owned(),
        Protocol::Other(protocol) => format!("its protocol is {protocol}"),
        Protocol::Http | Protocol::Generic(..) => {
            "it has a fault, which the log and status/local_tm/state tell".to_owned()
        }
    };
    format!("the virtual server {name} does not serve: {why}")
}

/// Why the request would not be taken, as the parser of the data path says.
fn fault_of(question: &Question) -> Option<String> {
    let bytes = head_of(question);
    match RequestHead::default().parse(&bytes, &HeadLimits::default()) {
        Ok(Parsed::Complete(all)) if all == bytes.len() => None,
        Ok(_) => Some("It is refused: the request has a line end where none may be.".to_owned()),
        Err(error) => Some(format!("It is refused with {}: {}.", error.status(), error.reason())),
    }
}

fn head_of(question: &Question) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", question.method, question.target);
    for (name, value) in fields(question) {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Header fields with `Host`.
fn fields(question: &Question) -> impl Iterator<Item = (&str, &str)> {
    let has_host = question.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = (!has_host).then_some(("Host", question.host.as_str()));
    host.into_iter().chain(question.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// What rules ordered of pool and session.
struct Ordered {
    class: Option<Arc<PersistenceClass>>,
    key: Option<Vec<u8>>,
    node: Option<String>,
    avoided: Vec<String>,
}

fn ordered(snapshot: &Snapshot, orders: &[Order]) -> Ordered {
    let mut ordered = Ordered { class: None, key: None, node: None, avoided: Vec::new() };
    for order in orders {
        match order {
            Order::Persistence(class) => {
                let name = class.as_deref().map(String::from_utf8_lossy);
                ordered.class = name.and_then(|name| snapshot.persistence.get(&*name).cloned());
            }
            Order::PersistenceKey(key) => ordered.key = Some(key.clone()),
            Order::PersistenceNode(node) => ordered.node = Some(String::from_utf8_lossy(node).into_owned()),
            Order::AvoidNode(node) => ordered.avoided.push(String::from_utf8_lossy(node).into_owned()),
            _ => {}
        }
    }
    ordered
}

/// The pool, its failure pools, and the node.
fn choose_pool(
    snapshot: &Snapshot,
    server: &RunningServer,
    host: &Described,
    (now, random): (Moment, u64),
    found: &mut Explanation,
) {
    let by_rule = host.orders.iter().rev().find_map(|order| match order {
        Order::Pool(name, node) => Some((String::from_utf8_lossy(name).into_owned(), node.clone())),
        _ => None,
    });
    let mut because = "it is the default pool of the virtual server".to_owned();
    let mut fixed = None;
    let first = match by_rule {
        None => server.pool.as_ref(),
        Some((name, node)) => {
            "a rule has chosen it".clone_into(&mut because);
            fixed = node.and_then(|(address, port)| {
                let address = String::from_utf8_lossy(&address).into_owned();
                Some(SocketAddr::new(address.trim_matches(['[', ']']).parse().ok()?, port))
            });
            if name == "discard" {
                "The connection is closed: a rule has chosen the pool discard."
                    .clone_into(&mut found.verdict);
                return;
            }
            snapshot.pools.get(name.as_str())
        }
    };
    let Some(mut pool) = first else {
        found.verdict = match &server.settings.pool {
            DefaultPool::Missing(name) => format!("It gets the error page: there is no pool {name}."),
            _ => "The connection is closed: the pool is discard.".to_owned(),
        };
        return;
    };
    let ordered = ordered(snapshot, &host.orders);
    let asked =
        Asked { class: ordered.class.as_ref(), key: ordered.key.as_deref(), node: ordered.node.as_deref() };
    let cookies = || {
        let named = host.request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
        named.map(|(_, value)| value.as_slice())
    };
    loop {
        let session = pool.pool.would_find_session(&asked, cookies(), host.client.ip(), now);
        let mut tried = Tried::none();
        for slot in ordered.avoided.iter().filter_map(|node| pool.pool.find(node)) {
            tried.avoid(slot);
        }
        let class = pool.pool.class_of(&session);
        let mut outcome = PoolOutcome {
            pool: Arc::clone(&pool.settings),
            because,
            persistence: class.map(|class| (class.name.to_string(), type_of(&class.method))),
            session: session_phrase(pool, &session),
            candidates: pool.pool.candidates(&tried, now),
            outcome: String::new(),
        };
        if let Some(node) = fixed
            && pool.pool.find(&node.to_string()).is_none()
        {
            outcome.outcome =
                format!("A rule has chosen {node}, which is not in the pool: it gets the request.");
            found.node = Some(node.to_string().into());
            found.verdict = format!("{node} gets it.");
            found.pools.push(outcome);
            return;
        }
        let chosen = match fixed.and_then(|node| pool.pool.find(&node.to_string())) {
            Some(slot) => pool.pool.would_choose_node(slot, &tried, now),
            None => pool.pool.would_choose(&session, &tried, now, random),
        };
        let next = conclude(pool, chosen, (&session, &tried, fixed.is_some(), now), &mut outcome, found);
        found.pools.push(outcome);
        match next {
            Some(failure_pool) => {
                because = format!("it is the failure pool of {}", pool.settings.name);
                pool = failure_pool;
            }
            None => return,
        }
    }
}

/// What the choice means. Some: the failure pool is asked.
fn conclude<'p>(
    pool: &'p Arc<RunningPool>,
    chosen: Result<Choice<'_>, NoNode>,
    (session, tried, by_rule, now): (&Session, &Tried, bool, Moment),
    outcome: &mut PoolOutcome,
    found: &mut Explanation,
) -> Option<&'p Arc<RunningPool>> {
    let nobody = |outcome: &mut PoolOutcome, found: &mut Explanation, text: &str| {
        text.clone_into(&mut outcome.outcome);
        text.clone_into(&mut found.verdict);
    };
    match chosen {
        Ok(choice) => {
            let why = if by_rule {
                "a rule has chosen it".to_owned()
            } else {
                pool.pool.why(session, &choice, tried, now)
            };
            let label = Arc::clone(choice.node.label());
            outcome.outcome = format!("{label} gets it: {why}.");
            found.verdict.clone_from(&outcome.outcome);
            if pool.queue.comes_first() {
                found
                    .notes
                    .push(format!("requests wait in the queue of {}: they come first", pool.settings.name));
            }
            found.node = Some(label);
        }
        Err(NoNode::AllBusy { session_node }) => {
            let what = if session_node { "the node of its session is" } else { "all nodes are" };
            let limit = pool.settings.queue_timeout.as_secs();
            let text = format!("It waits in the queue for at most {limit} s: {what} at their limit.");
            nobody(outcome, found, &text.replace("is at their", "is at its"));
        }
        Err(NoNode::AllTried) => nobody(outcome, found, "It gets the error page: every node was tried."),
        Err(NoNode::SessionFailed(mode)) => {
            let text = match mode {
                FailureMode::Url(url) => {
                    format!("It is sent to {url}: the node of its session cannot take it (failure_mode).")
                }
                FailureMode::Close | FailureMode::NewNode => {
                    "The connection is closed: the node of its session cannot take it (failure_mode)."
                        .to_owned()
                }
            };
            nobody(outcome, found, &text);
        }
        Err(no @ (NoNode::NoNodes | NoNode::AllFailed)) => {
            let why = match no {
                NoNode::AllFailed => "every node has failed",
                _ => "no node takes new sessions",
            };
            if let Some(failure_pool) = &pool.failure_pool {
                outcome.outcome = format!("No node: {why}; the failure pool is asked.");
                return Some(failure_pool);
            }
            nobody(
                outcome,
                found,
                &format!("It gets the error page (503): {why}, and there is no failure pool."),
            );
        }
    }
    None
}

fn session_phrase(pool: &RunningPool, session: &Session) -> String {
    match session.found() {
        Found::Off => "no session persistence".to_owned(),
        Found::New => "no session yet: a new one".to_owned(),
        Found::Node(slot) => {
            let label =
                pool.pool.member(slot).map(|member| Arc::clone(member.node.label())).unwrap_or_default();
            format!("a session of {label}")
        }
        Found::Lost => "a session of a node that is not in the pool any more".to_owned(),
    }
}

/// `basic.type` of a persistence class.
fn type_of(method: &Method) -> &'static str {
    match method {
        Method::Transparent { .. } => "transparent",
        Method::Cookie { .. } => "cookie",
        Method::Ip { .. } => "ip",
        Method::Universal => "universal",
        Method::Named => "named",
        Method::J2ee => "j2ee",
        Method::Asp => "asp",
        Method::Ssl => "ssl",
        Method::XZeus => "x_zeus",
    }
}
