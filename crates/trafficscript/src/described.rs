//! A described request as a [`Host`](crate::Host) in memory: what `tidegate rule run`, tests and fuzzing give to rules.
//!
//! In: a request, perhaps a response, and what else of the world is wanted (pools, files, answers of other servers).
//! Out: all that rules ordered, edited and logged, as values and as a [report](Described::report) for people.
//!
//! ```text
//! Described::request("GET", "/x") ──► run, answering each Need with Described::answer
//!        │ respond(response)      ──► run the response rules
//!        └ report()
//! ```

mod host;
mod report;
mod shared;
mod surroundings;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    End, Limits, Machine, PatternCache, Program, Step,
    host::{
        Answer, CompletionCode, DirectoryEntry, Fetched, Heard, Interface, Level, Location, Need, Order,
        OwnedEdit, Phase, Places, PoolNode, RateVerdict, ServiceLevel, Side, Store, Times, TlsFact,
    },
};

/// Room of each store.
const STORE: usize = 1 << 20;
/// Compiled patterns that are kept during a run.
const PATTERNS: usize = 57;
/// Needs that are answered in a run: the time of a described request does not end.
const MAX_NEEDS: usize = 10_000;
/// Number of user counters.
const COUNTERS: u32 = 10;
/// The time, unless one is given: 1 January 2024, in seconds since 1970.
const NOW: u32 = 1_704_067_200;

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// Such as `HTTP/1.1`.
    pub version: &'static str,
    /// Header fields in their order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body, as sent.
    pub body: Vec<u8>,
    /// How much of the body is there before a rule asks for it.
    pub arrived: usize,
    /// Why the body cannot be had, if so.
    pub refused: Option<&'static str>,
}

/// A pool.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Its nodes.
    pub nodes: Vec<PoolNode>,
    /// Whether a request would wait for a place.
    pub is_full: bool,
}

/// A streamed response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The body so far.
    pub written: Vec<u8>,
    /// It was finished.
    pub finished: bool,
    /// The rest comes from the node.
    pub continued: bool,
}

/// A user of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Password.
    pub password: Vec<u8>,
    /// What the directory says.
    pub entry: DirectoryEntry,
}

/// A described request, and the world around it.
#[derive(Clone, Debug)]
pub struct Described {
    /// When the rule runs.
    pub phase: Phase,
    /// The protocol is not HTTP: the bodies are the bytes of both sides.
    pub raw: bool,
    /// What `response.flush` has sent.
    pub flushed: Vec<u8>,
    /// Method of the request.
    pub method: Vec<u8>,
    /// Request target.
    pub target: Vec<u8>,
    /// The request.
    pub request: Message,
    /// Status and reason of the response; 0 while there is none.
    pub status: (u16, Vec<u8>),
    /// The response.
    pub response: Message,
    /// Edits of the response that wait for it.
    pub pending: Vec<OwnedEdit>,
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// The connection to the node: our end and its.
    pub node_connection: Option<(SocketAddr, SocketAddr)>,
    /// Label of the node.
    pub node: Option<String>,
    /// Name of the virtual server.
    pub virtual_server: String,
    /// Name of the default pool.
    pub default_pool: Option<String>,
    /// Pools by name; `None` = every pool that is named exists.
    pub pools: Option<BTreeMap<String, Pool>>,
    /// Persistence classes; `None` = every class that is named exists.
    pub persistence_classes: Option<Vec<String>>,
    /// Bandwidth classes; `None` = every class that is named exists.
    pub bandwidth_classes: Option<Vec<String>>,
    /// Rate classes and what they say; `None` = every class that is named exists and is within its limit.
    pub rates: Option<BTreeMap<String, RateVerdict>>,
    /// Classes of service and how they are met; `None` = every class that is named exists and is met.
    pub service_levels: Option<BTreeMap<String, ServiceLevel>>,
    /// How many wait in each rate class.
    pub backlog: u32,
    /// How often the request has been sent again.
    pub retries: u32,
    /// Whether it could be sent again.
    pub resendable: bool,
    /// Times so far.
    pub times: Times,
    /// What is known of the client's TLS; `None` without TLS.
    pub tls: Option<HashMap<TlsFact, String>>,
    /// The client's certificate and its chain (DER).
    pub client_certificates: Vec<Vec<u8>>,
    /// The certificate shown (DER).
    pub server_certificate: Option<Vec<u8>>,
    /// How the exchange ended.
    pub completion: CompletionCode,
    /// Files and when they changed.
    pub files: BTreeMap<String, (Arc<[u8]>, i64)>,
    /// Time since 1970.
    pub now: Duration,
    /// Seconds that local time is ahead of UTC, and its name.
    pub zone: (i32, String),
    /// Host name and domain.
    pub host_name: (String, String),
    /// Variables of the environment.
    pub environment: BTreeMap<String, String>,
    /// What random numbers follow from.
    pub seed: u64,
    /// What other servers reply, by URL.
    pub fetches: HashMap<Vec<u8>, Fetched>,
    /// Addresses and names by name or address as text; IPv6 addresses under the name with ` 6` behind it.
    pub names: HashMap<Vec<u8>, Vec<u8>>,
    /// Where addresses are.
    pub places: Option<Arc<dyn Places>>,
    /// Where the traffic manager is.
    pub location: Option<Location>,
    /// Users of the authenticators there are.
    pub directories: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Person>>,
    /// What comes of the talks of rules with other servers, one after the other.
    pub heard: VecDeque<Result<Heard, String>>,
    /// Connections of rules that are open.
    pub sockets: BTreeSet<u32>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
    /// Port of the REST interface.
    pub rest_port: Option<u16>,

    /// What was ordered.
    pub orders: Vec<Order>,
    /// What was needed.
    pub needs: Vec<Need>,
    /// What was logged.
    pub lines: Vec<(Level, Vec<u8>)>,
    /// Events: id and message.
    pub events: Vec<(Vec<u8>, Vec<u8>)>,
    /// User counters.
    pub counters: BTreeMap<u32, i64>,
    /// The streamed response, once begun.
    pub stream: Option<Stream>,
    stores: HashMap<Store, BTreeMap<Vec<u8>, Arc<[u8]>>>,
}

impl Default for Message {
    fn default() -> Self {
        Self { version: "HTTP/1.1", headers: Vec::new(), body: Vec::new(), arrived: 0, refused: None }
    }
}

impl Message {
    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body, which a rule has to wait for.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Described {
    /// A request without header fields, at the beginning of the request rules.
    pub fn request(method: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        let at = |address: [u8; 4], port| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), port);
        Self {
            phase: Phase::Request,
            raw: false,
            flushed: Vec::new(),
            method: method.into(),
            target: target.into(),
            request: Message::default(),
            status: (0, Vec::new()),
            response: Message::default(),
            pending: Vec::new(),
            client: at([192, 0, 2, 1], 50_000),
            local: at([198, 51, 100, 1], 80),
            node_connection: None,
            node: None,
            virtual_server: "example".to_owned(),
            default_pool: Some("default".to_owned()),
            pools: None,
            persistence_classes: None,
            bandwidth_classes: None,
            rates: None,
            service_levels: None,
            backlog: 0,
            retries: 0,
            resendable: true,
            times: Times::default(),
            tls: None,
            client_certificates: Vec::new(),
            server_certificate: None,
            completion: "COMPLETE",
            files: BTreeMap::new(),
            now: Duration::from_secs(u64::from(NOW)),
            zone: (0, "UTC".to_owned()),
            host_name: ("tidegate".to_owned(), "example.com".to_owned()),
            environment: BTreeMap::new(),
            seed: 1,
            fetches: HashMap::new(),
            names: HashMap::new(),
            places: None,
            location: None,
            directories: BTreeMap::new(),
            heard: VecDeque::new(),
            sockets: BTreeSet::new(),
            interfaces: Vec::new(),
            rest_port: None,
            orders: Vec::new(),
            needs: Vec::new(),
            lines: Vec::new(),
            events: Vec::new(),
            counters: BTreeMap::new(),
            stream: None,
            stores: HashMap::new(),
        }
    }

    /// Bytes that a client sends by a protocol other than HTTP, at the beginning of the request rules.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { raw: true, ..Self::request("", "").body(bytes) }
    }

    /// With one more header field of the request.
    #[must_use]
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a body of the request, which a rule has to wait for.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request = self.request.body(body);
        self
    }

    /// With TLS, of which nothing is known but that it is there.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.tls = Some(HashMap::new());
        self.local.set_port(443);
        self
    }

    /// With a pool. Pools that are not described then do not exist.
    #[must_use]
    pub fn pool(mut self, name: &str, nodes: Vec<PoolNode>) -> Self {
        let pool = Pool { nodes, is_full: false };
        self.pools.get_or_insert_default().insert(name.to_owned(), pool);
        self
    }

    /// With a file of the catalogue.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), (content.into().into(), i64::from(NOW)));
        self
    }

    /// The node's response is there: the response rules begin. Edits that waited for it are made.
    pub fn respond(&mut self, status: u16, reason: impl Into<Vec<u8>>, response: Message) {
        self.phase = Phase::Response;
        self.status = (status, reason.into());
        self.response = response;
        for edit in std::mem::take(&mut self.pending) {
            host::apply(&mut self.response.headers, edit.get());
        }
    }

    /// What comes of a need.
    pub fn answer(&mut self, need: &Need) -> Answer {
        self.needs.push(need.clone());
        match need {
            Need::Body(side, bytes) => {
                let message = self.message_mut(*side);
                if let Some(why) = message.refused {
                    return Answer::Refused(why);
                }
                message.arrived = message.arrived.max((*bytes).min(message.body.len()));
                // The end is seen when there is less than was asked for.
                if message.arrived < *bytes || message.arrived == message.body.len() {
                    message.arrived = usize::MAX;
                }
                Answer::Done
            }
            Need::Sleep(time) => {
                self.now += *time;
                Answer::Done
            }
            Need::Fetch(fetch) => Answer::Fetched(match self.fetches.get(&fetch.url) {
                Some(fetched) => Ok(fetched.clone()),
                None => Err("no reply is described for this URL".to_owned()),
            }),
            Need::Resolve(name, six) => {
                let key = if *six { [name, &b" 6"[..]].concat() } else { name.clone() };
                Answer::Resolved(self.names.get(&key).cloned().unwrap_or_default())
            }
            Need::ResolveAny(name) => {
                let six = || self.names.get(&[name, &b" 6"[..]].concat());
                Answer::Resolved(self.names.get(name).or_else(six).cloned().unwrap_or_default())
            }
            Need::ResolveAddress(address) => {
                let key = address.to_string().into_bytes();
                Answer::Resolved(self.names.get(&key).cloned().unwrap_or_default())
            }
            Need::Rate { class, .. } => match self.rate_of(class) {
                RateVerdict::Within => Answer::Rate(true),
                RateVerdict::Over => Answer::Refused("the time is over"),
                RateVerdict::NoClass => Answer::Rate(false),
            },
            Need::Directory(query) => Answer::Directory(match self.directories.get(&query.authenticator) {
                None => Err("no directory is described for this authenticator".to_owned()),
                Some(people) => {
                    let person = people.get(&query.user);
                    let known = person.filter(|person| {
                        query.password.as_ref().is_none_or(|password| *password == person.password)
                    });
                    Ok(known.map(|person| person.entry.clone()))
                }
            }),
            Need::Talk(_) => {
                let nothing = || Err("no other end is described".to_owned());
                let heard = self.heard.pop_front().unwrap_or_else(nothing);
                if let Ok(Heard::Connected(socket)) = heard {
                    self.sockets.insert(socket);
                }
                Answer::Heard(heard)
            }
            Need::Write(piece) => match &mut self.stream {
                Some(stream) if !stream.finished => {
                    stream.written.extend_from_slice(piece);
                    Answer::Done
                }
                _ if self.raw => Answer::Done,
                _ => Answer::Refused("no response has been begun"),
            },
            Need::Read { most, delimiter, bulk } => {
                let body = &mut self.response.body;
                let end = cut(body.get(..*most).unwrap_or(body), delimiter, *bulk);
                Answer::Piece(body.drain(..end).collect())
            }
        }
    }

    /// Runs a rule and answers what it needs. A rule that is aborted leaves a warning in the event log, as everywhere.
    pub fn run(&mut self, program: &Program, limits: Limits) -> End {
        let mut machine = Machine::new(program, limits);
        let mut patterns = PatternCache::new(PATTERNS, limits.match_steps);
        let mut answered = 0;
        let end = loop {
            match machine.run(self, &mut patterns) {
                Step::Done(end) => break end,
                Step::Wait(_) if answered == MAX_NEEDS => {
                    let name = program.name();
                    break End::Aborted(format!("Rule {name}: it has waited {MAX_NEEDS} times"));
                }
                Step::Wait(need) => {
                    answered += 1;
                    machine.resume(self.answer(&need));
                }
            }
        };
        if let End::Aborted(line) = &end {
            self.lines.push((Level::Warn, line.clone().into_bytes()));
        }
        end
    }

    /// The pool that was ordered last, or the default one.
    pub fn chosen_pool(&self) -> Option<String> {
        let ordered = self.orders.iter().rev().find_map(|order| match order {
            Order::Pool(name, _) => Some(String::from_utf8_lossy(name).into_owned()),
            _ => None,
        });
        ordered.or_else(|| self.default_pool.clone())
    }

    fn message(&self, side: Side) -> &Message {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    fn message_mut(&mut self, side: Side) -> &mut Message {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    fn rate_of(&self, class: &[u8]) -> RateVerdict {
        match &self.rates {
            None => RateVerdict::Within,
            Some(rates) => {
                let class = String::from_utf8_lossy(class);
                rates.get(&*class).copied().unwrap_or(RateVerdict::NoClass)
            }
        }
    }
}

/// Where to cut a piece: behind its first or last delimiter, or at its end.
fn cut(piece: &[u8], delimiter: &[u8], bulk: bool) -> usize {
    let at = match bulk {
        _ if delimiter.is_empty() => None,
        true => memchr::memmem::rfind(piece, delimiter),
        false => memchr::memmem::find(piece, delimiter),
    };
    at.map_or(piece.len(), |at| at + delimiter.len())
}
