//! A scriptable authoritative DNS server over real sockets, and discovery with small timings in front of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SOA, SRV},
    },
};
use tidegate_discovery::{Discovery, DiscoveryOptions, Event, PoolSource, Source, SourceStatus, Timing};
use tidegate_model::{NodeSet, PoolName, pool::ServiceDiscovery};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinHandle,
};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A query as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
    pub(crate) edns: Option<u16>,
    pub(crate) query: Message,
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
}

/// What the server does with a query, in order; nothing is silence.
pub(crate) enum Act {
    /// Sends; over UDP cut to what the client can take.
    Send(Message),
    /// Sends these bytes as they are (over TCP without a length).
    Bytes(Vec<u8>),
    /// Sends over UDP from another port.
    FromElsewhere(Message),
    /// Sends over TCP byte by byte.
    Pieces(Message),
    Wait(Duration),
    /// Closes the TCP connection.
    Close,
}

type Handler = Arc<dyn Fn(&Asked) -> Vec<Act> + Send + Sync>;

/// The server; ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    script: Arc<Script>,
    tasks: Vec<JoinHandle<()>>,
}

struct Script {
    handler: Mutex<Handler>,
    asked: Mutex<Vec<Asked>>,
    tcp_refused: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Server {
    pub(crate) async fn new(handler: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::bind(handler, true).await
    }

    /// A server that refuses TCP.
    pub(crate) async fn udp_only(handler: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::bind(handler, false).await
    }

    pub(crate) async fn zone(zone: Zone) -> Self {
        Self::new(move |asked| vec![Act::Send(zone.answer(asked))]).await
    }

    async fn bind(handler: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static, tcp: bool) -> Self {
        let script = Arc::new(Script {
            handler: Mutex::new(Arc::new(handler)),
            asked: Mutex::default(),
            tcp_refused: !tcp,
        });
        for _ in 0..100 {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = udp.local_addr().unwrap();
            let mut tasks = Vec::new();
            if !script.tcp_refused {
                let Ok(tcp) = TcpListener::bind(address).await else { continue };
                tasks.push(tokio::spawn(serve_tcp(tcp, Arc::clone(&script))));
            }
            tasks.push(tokio::spawn(serve_udp(udp, Arc::clone(&script))));
            return Self { address, script, tasks };
        }
        panic!("no port is free for both UDP and TCP");
    }

    pub(crate) fn handle(&self, handler: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) {
        *self.script.handler.lock().unwrap() = Arc::new(handler);
    }

    pub(crate) fn set(&self, zone: Zone) {
        self.handle(move |asked| vec![Act::Send(zone.answer(asked))]);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.script.asked.lock().unwrap().len()
    }

    /// Waits until `more` further queries have come.
    pub(crate) async fn after(&self, more: usize) {
        let start = self.count();
        until(|| self.count() >= start + more, "further queries").await;
    }
}

impl Script {
    fn acts(&self, bytes: &[u8], tcp: bool, from: SocketAddr) -> Option<(Asked, Vec<Act>)> {
        let query = Message::from_vec(bytes).ok()?;
        let question = query.queries.first()?;
        let asked = Asked {
            name: question.name().to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned(),
            kind: question.query_type(),
            tcp,
            edns: query.edns.as_ref().map(hickory_proto::op::Edns::max_payload),
            query,
            at: Instant::now(),
            from,
        };
        self.asked.lock().unwrap().push(asked.clone());
        let handler = Arc::clone(&*self.handler.lock().unwrap());
        let acts = handler(&asked);
        Some((asked, acts))
    }
}

async fn serve_udp(socket: UdpSocket, script: Arc<Script>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some((asked, acts)) = script.acts(&buffer[..length], false, from) else { continue };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            for act in acts {
                match act {
                    Act::Send(message) => {
                        let limit = usize::from(asked.edns.unwrap_or(512).max(512));
                        drop(socket.send_to(&cut(message, limit), from).await);
                    }
                    Act::Bytes(bytes) => drop(socket.send_to(&bytes, from).await),
                    Act::FromElsewhere(message) => {
                        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                        drop(other.send_to(&message.to_vec().unwrap(), from).await);
                    }
                    Act::Wait(time) => tokio::time::sleep(time).await,
                    Act::Pieces(_) | Act::Close => {}
                }
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, script: Arc<Script>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        tokio::spawn(serve_stream(stream, from, Arc::clone(&script)));
    }
}

async fn serve_stream(mut stream: TcpStream, from: SocketAddr, script: Arc<Script>) {
    let framed = |message: &Message| {
        let bytes = cut(message.clone(), 65_535);
        let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(&bytes);
        out
    };
    stream.set_nodelay(true).unwrap();
    while let Ok(length) = stream.read_u16().await {
        let mut bytes = vec![0; usize::from(length)];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        let Some((_, acts)) = script.acts(&bytes, true, from) else { return };
        for act in acts {
            match act {
                Act::Send(message) | Act::FromElsewhere(message) => {
                    drop(stream.write_all(&framed(&message)).await);
                }
                Act::Bytes(bytes) => drop(stream.write_all(&bytes).await),
                Act::Pieces(message) => {
                    for byte in framed(&message) {
                        drop(stream.write_all(&[byte]).await);
                    }
                }
                Act::Wait(time) => tokio::time::sleep(time).await,
                Act::Close => return,
            }
        }
    }
}

/// Drops records from the end — additional section first — until the message fits, and says so.
fn cut(mut message: Message, limit: usize) -> Vec<u8> {
    let fits = |message: &Message| message.to_vec().ok().filter(|bytes| bytes.len() <= limit);
    if let Some(bytes) = fits(&message) {
        return bytes;
    }
    message.metadata.truncation = true;
    let (answers, additionals) = (message.answers.clone(), message.additionals.clone());
    // How many of all records fit, by halving.
    let (mut low, mut high) = (0, answers.len() + additionals.len());
    let mut best = Vec::new();
    while low <= high {
        let middle = usize::midpoint(low, high);
        message.answers = answers.iter().take(middle).cloned().collect();
        message.additionals =
            additionals.iter().take(middle.saturating_sub(answers.len())).cloned().collect();
        match fits(&message) {
            Some(bytes) => {
                best = bytes;
                low = middle + 1;
            }
            None if middle == 0 => break,
            None => high = middle - 1,
        }
    }
    best
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_str(text).unwrap();
    name.set_fqdn(true);
    name
}

/// Starts a reply to a query.
pub(crate) fn reply(asked: &Asked, code: ResponseCode) -> Message {
    let mut message = Message::new(asked.query.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.authoritative = true;
    message.metadata.response_code = code;
    for query in &asked.query.queries {
        message.add_query(Query::query(query.name().clone(), query.query_type()));
    }
    message
}

pub(crate) fn refuse(code: ResponseCode) -> impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static {
    move |asked| vec![Act::Send(reply(asked, code))]
}

pub(crate) fn silence(_: &Asked) -> Vec<Act> {
    Vec::new()
}

/// Records by name; answers as an authority, with aliases and the addresses of SRV targets.
#[derive(Clone, Default)]
pub(crate) struct Zone {
    records: BTreeMap<String, Vec<Record>>,
    pub(crate) glue: bool,
    pub(crate) shuffle: bool,
}

impl Zone {
    pub(crate) fn new() -> Self {
        Self { records: BTreeMap::new(), glue: true, shuffle: false }
    }

    fn add(mut self, owner: &str, ttl: u32, data: RData) -> Self {
        let record = Record::from_rdata(name(owner), ttl, data);
        self.records.entry(owner.trim_end_matches('.').to_ascii_lowercase()).or_default().push(record);
        self
    }

    /// Addresses with the TTL 5.
    pub(crate) fn host(self, owner: &str, addresses: &[&str]) -> Self {
        addresses.iter().fold(self, |zone, address| zone.address(owner, 5, address))
    }

    pub(crate) fn address(self, owner: &str, ttl: u32, address: &str) -> Self {
        let data = match address.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        self.add(owner, ttl, data)
    }

    pub(crate) fn alias(self, owner: &str, target: &str) -> Self {
        self.add(owner, 5, RData::CNAME(CNAME(name(target))))
    }

    pub(crate) fn srv(self, owner: &str, port: u16, target: &str) -> Self {
        self.weighted(owner, 0, 33, port, target)
    }

    pub(crate) fn weighted(self, owner: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let target = if target == "." { Name::root() } else { name(target) };
        self.add(owner, 5, RData::SRV(SRV::new(priority, weight, port, target)))
    }

    pub(crate) fn without_glue(mut self) -> Self {
        self.glue = false;
        self
    }

    pub(crate) fn answer(&self, asked: &Asked) -> Message {
        let mut message = reply(asked, ResponseCode::NoError);
        let mut at = asked.name.clone();
        for _ in 0..32 {
            let Some(records) = self.records.get(&at) else {
                message.metadata.response_code = ResponseCode::NXDomain;
                break;
            };
            let alias = records.iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some((record, target.0.to_ascii())),
                _ => None,
            });
            if let Some((record, target)) = alias {
                message.add_answer(record.clone());
                at = target.trim_end_matches('.').to_ascii_lowercase();
                continue;
            }
            let mut found: Vec<Record> =
                records.iter().filter(|record| record.record_type() == asked.kind).cloned().collect();
            if self.shuffle {
                fastrand::shuffle(&mut found);
            }
            message.add_answers(found);
            break;
        }
        if message.answers.is_empty() {
            let soa = SOA::new(name("ns.example"), name("host.example"), 1, 1, 1, 1, 5);
            message.add_authority(Record::from_rdata(name("example"), 5, RData::SOA(soa)));
        }
        if self.glue && asked.kind == RecordType::SRV {
            let targets: BTreeSet<String> = message
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
                    _ => None,
                })
                .collect();
            for target in targets {
                message.add_additionals(self.records.get(&target).into_iter().flatten().cloned());
            }
        }
        message
    }
}

/// Small timings. `min_interval` 20 ms and `max_interval` 60 ms: a TTL of 5 s means 60 ms.
pub(crate) fn timing() -> Timing {
    let ms = Duration::from_millis;
    Timing {
        min_interval: ms(20),
        max_interval: ms(60),
        jitter_percent: 0,
        attempt_timeout: ms(150),
        refresh_deadline: ms(1000),
        attempts: 2,
        first_backoff: ms(10),
        min_backoff: ms(20),
        max_backoff: ms(100),
        empty_wait: ms(40),
        server_reprobe: ms(500),
        edns_memory: Duration::from_mins(1),
        family_recheck: Duration::from_mins(1),
        search_recheck: Duration::from_mins(1),
        resolv_conf_check: ms(30),
        max_stored_age: Duration::from_hours(1),
        store_refresh: Duration::from_mins(1),
        plugin_interval: ms(80),
        plugin_safety_cap: Duration::from_secs(5),
        plugin_kill_grace: ms(200),
        plugin_pipe_grace: ms(100),
        plugin_max_backoff: ms(200),
        plugin_spread: ms(40),
        plugin_second: ms(20),
    }
}

/// Discovery at work in a directory of its own.
pub(crate) struct World {
    pub(crate) discovery: Discovery,
    pub(crate) directory: tempfile::TempDir,
    events: mpsc::Receiver<Event>,
    sets: BTreeMap<PoolName, NodeSet>,
    /// How many sets came.
    pub(crate) changes: usize,
    pub(crate) fresh: BTreeMap<PoolName, bool>,
}

impl World {
    pub(crate) fn new(change: impl FnOnce(&mut DiscoveryOptions)) -> Self {
        Self::at(tempfile::tempdir().unwrap(), change)
    }

    pub(crate) fn at(directory: tempfile::TempDir, change: impl FnOnce(&mut DiscoveryOptions)) -> Self {
        let mut options = DiscoveryOptions::new(directory.path().join("zeus"));
        options.resolv_conf = directory.path().join("resolv.conf");
        options.hosts = directory.path().join("hosts");
        options.timing = timing();
        change(&mut options);
        let (discovery, events) = Discovery::start(options).unwrap();
        Self { discovery, directory, events, sets: BTreeMap::new(), changes: 0, fresh: BTreeMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Follows these pools and no others.
    pub(crate) fn follow(&self, pools: &[(&str, Source)]) {
        self.follow_with(pools, &[]);
    }

    pub(crate) fn follow_with(&self, pools: &[(&str, Source)], plugins: &[(&str, &str)]) {
        let sources = pools
            .iter()
            .map(|(pool, source)| PoolSource { pool: PoolName::from(*pool), source: source.clone() })
            .collect();
        let plugins =
            plugins.iter().map(|(name, text)| ((*name).into(), Arc::from(text.as_bytes()))).collect();
        self.discovery.update(sources, &plugins, &BTreeMap::new());
    }

    fn take(&mut self, event: Event) {
        if let Event::Nodes { pool, nodes, fresh } = event {
            self.changes += 1;
            self.fresh.insert(pool.clone(), fresh);
            self.sets.insert(pool, nodes);
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
    }

    pub(crate) fn set(&mut self, pool: &str) -> Option<NodeSet> {
        self.drain();
        self.sets.get(pool).cloned()
    }

    pub(crate) fn status(&self, pool: &str) -> SourceStatus {
        self.discovery.status().get(pool).cloned().unwrap_or_default()
    }

    pub(crate) fn error(&self, pool: &str) -> String {
        self.status(pool).last_error.map(|text| text.to_string()).unwrap_or_default()
    }

    /// Waits until the pool has exactly these nodes.
    pub(crate) async fn nodes(&mut self, pool: &str, nodes: &[&str]) {
        let wanted = NodeSet::of(nodes.iter().map(|node| node.parse().unwrap()));
        let keys: Vec<SocketAddr> = wanted.nodes.keys().copied().collect();
        self.until(pool, &format!("{keys:?}"), |set| set.nodes.keys().copied().collect::<Vec<_>>() == keys)
            .await;
    }

    pub(crate) async fn size(&mut self, pool: &str, size: usize) {
        self.until(pool, &format!("{size} nodes"), |set| set.len() == size).await;
    }

    pub(crate) async fn until(&mut self, pool: &str, what: &str, good: impl Fn(&NodeSet) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.drain();
            if self.sets.get(pool).is_some_and(&good) {
                return;
            }
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) => panic!("discovery ended"),
                Err(elapsed) => panic!(
                    "{elapsed}: pool {pool}: {what} wanted, {:?} there; {:#?}",
                    self.sets.get(pool).map(NodeSet::len),
                    self.status(pool)
                ),
            }
        }
    }

    /// Waits for a set that comes from an answer.
    pub(crate) async fn becomes_fresh(&mut self, pool: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.fresh.get(pool) != Some(&true) {
            assert!(Instant::now() < deadline, "pool {pool}: no set from an answer");
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.drain();
        }
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn status_is(
        &self,
        pool: &str,
        what: &str,
        good: impl Fn(&SourceStatus) -> bool,
    ) -> SourceStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(pool);
            if good(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "pool {pool}: {what} wanted; {status:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for `count` more refreshes or runs to end.
    pub(crate) async fn runs(&self, pool: &str, count: u64) {
        let start = ended(&self.status(pool));
        self.status_is(pool, "further refreshes", |status| ended(status) >= start + count).await;
    }
}

fn ended(status: &SourceStatus) -> u64 {
    let counters = &status.counters;
    counters.complete + counters.partial + counters.empty + counters.errors
}

pub(crate) async fn until(good: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !good() {
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads a source as a document would have it.
pub(crate) fn source(plugin: &str, arguments: &str) -> Source {
    Source::parse(&ServiceDiscovery {
        plugin: plugin.into(),
        arguments: arguments.into(),
        interval: None,
        timeout: None,
    })
    .unwrap()
}

/// `BuiltIn-DNS_Stateless` asking these servers.
pub(crate) fn dns(arguments: &str, servers: &[&Server]) -> Source {
    let servers = servers.iter().map(|server| format!("--nameserver={}", server.address));
    let words: Vec<String> = std::iter::once(arguments.to_owned()).chain(servers).collect();
    source("BuiltIn-DNS_Stateless", &words.join(" "))
}

/// A resolver configuration cannot name a port; tests write `address:port`, which is read too.
pub(crate) fn resolv_conf(path: &Path, servers: &[&Server], rest: &str) -> PathBuf {
    let file = path.join("resolv.conf");
    let beside = path.join("resolv.conf.new");
    let servers = servers.iter().map(|server| format!("nameserver {}", server.address));
    let lines: Vec<String> = servers.chain([rest.to_owned()]).collect();
    std::fs::write(&beside, lines.join("\n")).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    file
}

/// The hosts file.
pub(crate) fn hosts(path: &Path, text: &str) {
    std::fs::write(path.join("hosts.new"), text).unwrap();
    std::fs::rename(path.join("hosts.new"), path.join("hosts")).unwrap();
}

/// How many finished sets are in the directory.
pub(crate) fn stored(directory: &Path) -> usize {
    let finished =
        |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "json");
    directory.read_dir().map_or(0, |files| files.flatten().filter(finished).count())
}
