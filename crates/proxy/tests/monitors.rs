//! Monitors against real listeners on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic as tests do; the lint exempts only functions marked as tests"
)]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidegate_model::{
    GlobalSettings, Moment, Monitor, Pool as PoolSettings, ScriptName, VirtualServerName,
    monitor::{Probe, Scope},
    tls::{KeyPair, NodeTls, ServerTls, TlsVersions},
    virtual_server::ListenHost,
};
use tidegate_pool::{Node, NodeSpec, Pool, PoolContext, SessionKey};
use tidegate_proxy::{
    monitor::{MonitorStatus, MonitorTask, Monitors, Options, Target, Verdict},
    tls,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

const DEADLINE: Duration = Duration::from_secs(10);

struct Bench {
    monitors: Monitors,
    scripts: BTreeMap<ScriptName, Arc<[u8]>>,
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options { runtime: Handle::current(), zeus_home: home.path().to_owned() };
        Self { monitors: Monitors::start(options, Instant::now()), scripts: BTreeMap::new(), home }
    }

    fn update(&self, tasks: &[MonitorTask]) {
        self.monitors.update(tasks, &self.scripts);
    }

    fn status(&self, monitor: &str) -> MonitorStatus {
        let all = self.monitors.status();
        all.into_iter().find(|status| status.monitor.as_str() == monitor).expect("the monitor runs")
    }

    /// Runs one monitor on one node until it has an opinion: `Ok` when it passes, else the reason.
    async fn opinion(&self, probe: Probe, address: SocketAddr) -> Result<(), String> {
        self.opinion_of(monitor("m", probe), address).await
    }

    async fn opinion_of(&self, monitor: Monitor, address: SocketAddr) -> Result<(), String> {
        let node = node(address);
        self.update(&[]);
        self.update(&[per_node(&Arc::new(Monitor { failures: 1, ..monitor }), &node)]);
        until("the first run", || self.status("m").runs > 0).await;
        let status = self.status("m");
        match status.verdict {
            Verdict::Up => Ok(()),
            Verdict::Down => {
                assert!(failed(&node));
                Err(status.reason.unwrap().to_string())
            }
            Verdict::Unknown => Err(format!("unable: {}", status.reason.unwrap())),
        }
    }
}

/// Waits for a condition.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn node(address: SocketAddr) -> Arc<Node> {
    let settings = PoolSettings::named("pool");
    let context =
        PoolContext::new(Moment::default(), 0, SessionKey::new([0; 32]), &GlobalSettings::default());
    let pool = Pool::build(Arc::new(settings), None, &[NodeSpec::of(address)], None, &context);
    Arc::clone(&pool.members()[0].node)
}

fn failed(node: &Node) -> bool {
    !node.failing_monitors().is_empty()
}

fn monitor(name: &str, probe: Probe) -> Monitor {
    Monitor {
        name: name.into(),
        probe,
        scope: Scope::PerNode,
        delay: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        failures: 3,
        back_off: false,
        use_tls: false,
        verbose: false,
        health_only: false,
    }
}

fn per_node(monitor: &Arc<Monitor>, node: &Arc<Node>) -> MonitorTask {
    MonitorTask {
        pool: "pool".into(),
        monitor: Arc::clone(monitor),
        target: Target::Node { node: Arc::clone(node), name: None },
        tls: None,
    }
}

fn http(path: &str, status: &str, body: Option<&str>) -> Probe {
    Probe::Http {
        path: path.into(),
        host_header: None,
        authentication: None,
        status_regex: status.into(),
        body_regex: body.map(Arc::from),
    }
}

fn transaction(write: &str, response: &str, close: &str, limit: usize) -> Probe {
    Probe::TcpTransaction {
        write: write.as_bytes().into(),
        response_regex: response.into(),
        close: close.as_bytes().into(),
        max_response_len: limit,
    }
}

/// A listener whose connections are each handed to `serve`.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (address, task)
}

/// An address nobody listens on.
async fn nobody() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers every request with the same bytes.
async fn answering(answer: &'static [u8]) -> SocketAddr {
    listen(move |mut stream| async move {
        read_head(&mut stream).await;
        drop(stream.write_all(answer).await);
        drop(stream.shutdown().await);
    })
    .await
    .0
}

#[tokio::test]
async fn http_answers_are_judged_by_status_and_body() {
    let bench = Bench::new();
    let any = "^[234][0-9][0-9]$";
    for (answer, status, body, expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], any, None, Ok(())),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", any, None, Ok(())),
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            any,
            None,
            Err("status 503 does not match"),
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "^200$",
            None,
            Err("status 404 does not match `^200$`"),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", any, Some("^hello$"), Ok(())),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            any,
            Some("bye"),
            Err("the body `hello` does not match"),
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", any, Some("end$"), Ok(())),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            any,
            Some("^hello$"),
            Ok(()),
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "^200$",
            Some("ok"),
            Ok(()),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", any, Some("s"), Err("closed inside the body")),
        (b"SSH-2.0-OpenSSH_9\r\n", any, None, Err("is not HTTP")),
        (b"", any, None, Err("closed without an answer")),
    ] {
        let address = answering(answer).await;
        let result = bench.opinion(http("/", status, body), address).await;
        match expected {
            Ok(()) => assert_eq!(result, Ok(()), "{}", answer.escape_ascii()),
            Err(part) => {
                let reason = result.expect_err(part);
                assert!(reason.contains(part), "{reason} should say {part}");
            }
        }
    }
}

#[tokio::test]
async fn http_requests_say_what_the_monitor_says() {
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let (address, _task) = listen(move |mut stream| {
        let sender = sender.clone();
        async move {
            drop(sender.send(read_head(&mut stream).await));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await);
        }
    })
    .await;
    let bench = Bench::new();
    bench.opinion(http("/plain", "200", None), address).await.unwrap();
    let head = heads.recv().await.unwrap();
    assert_eq!(
        head,
        format!(
            "GET /plain HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Tidegate-Monitor\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        )
    );
    let probe = Probe::Http {
        path: "/deep?x=y".into(),
        host_header: Some("www.example.com".into()),
        authentication: Some("user:pass".into()),
        status_regex: "200".into(),
        body_regex: None,
    };
    bench.opinion(probe, address).await.unwrap();
    loop {
        let head = heads.recv().await.unwrap();
        if head.starts_with("GET /deep?x=y HTTP/1.1\r\n") {
            assert!(head.contains("\r\nHost: www.example.com\r\n"), "{head}");
            assert!(head.contains("\r\nAuthorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
            break;
        }
    }
}

#[tokio::test]
async fn answers_without_end_are_cut_and_silence_times_out() {
    let bench = Bench::new();
    let (endless, _task) = listen(|mut stream| async move {
        read_head(&mut stream).await;
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await);
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(bench.opinion(http("/", "200", Some("^x+$")), endless).await, Ok(()));
    let (endless_head, _task) = listen(|mut stream| async move {
        read_head(&mut stream).await;
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await);
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let reason = bench.opinion(http("/", "200", None), endless_head).await.unwrap_err();
    assert!(reason.contains("head exceeds"), "{reason}");
    let (silent, _task) = listen(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    for probe in [http("/", "200", None), transaction("", ".+", "", 0)] {
        let monitor = Monitor { timeout: Duration::from_millis(50), ..monitor("m", probe) };
        assert_eq!(bench.opinion_of(monitor, silent).await, Err("no answer within 0.05 s".into()));
    }
}

#[tokio::test]
async fn connections_are_tried() {
    let bench = Bench::new();
    let (open, _task) = listen(|_| async {}).await;
    assert_eq!(bench.opinion(Probe::Connect, open).await, Ok(()));
    assert_eq!(bench.opinion(Probe::Connect, nobody().await).await, Err("connection refused".into()));
}

#[tokio::test]
async fn transactions_say_listen_and_say_goodbye() {
    let (sender, mut goodbyes) = tokio::sync::mpsc::unbounded_channel();
    let (address, _task) = listen(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).await.unwrap();
            for part in ["220", " mail ready", "\r\n"] {
                stream.write_all(part.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut goodbye = String::new();
            drop(stream.read_to_string(&mut goodbye).await);
            drop(sender.send((hello, goodbye)));
        }
    })
    .await;
    let bench = Bench::new();
    assert_eq!(bench.opinion(transaction("HELO\r\n", "^220 [^\n]+\n", "QUIT\r\n", 0), address).await, Ok(()));
    assert_eq!(goodbyes.recv().await.unwrap(), (*b"HELO\r\n", "QUIT\r\n".to_owned()));

    let (talker, _task) = listen(|mut stream| async move {
        drop(stream.write_all(b"\xff\xfb\x01 something else entirely").await);
        drop(stream.shutdown().await);
    })
    .await;
    assert_eq!(bench.opinion(transaction("", "^\\xff\\xfb", "", 2048), talker).await, Ok(()));
    let reason = bench.opinion(transaction("", "^220", "", 2048), talker).await.unwrap_err();
    assert!(reason.contains("something else entirely` does not match `^220`"), "{reason}");
    let reason = bench.opinion(transaction("", "entirely", "", 8), talker).await.unwrap_err();
    assert!(reason.starts_with("the answer `\\xff\\xfb\\x01 some` does not match"), "{reason}");
    let (mute, _task) = listen(|stream| async move { drop(stream) }).await;
    assert!(bench.opinion(transaction("", ".+", "", 0), mute).await.is_err());
}

#[tokio::test]
async fn pings_are_answered_or_say_nothing() {
    let bench = Bench::new();
    for address in ["127.0.0.1:1", "[::1]:1"] {
        match bench.opinion(Probe::Ping, address.parse().unwrap()).await {
            Ok(()) => {}
            Err(reason) => assert!(reason.starts_with("unable: "), "{address}: {reason}"),
        }
    }
}

fn server_tls() -> (Arc<tls::server::TlsServer>, Arc<KeyPair>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let pair = Arc::new(KeyPair {
        name: "k".into(),
        certificate: made.cert.pem().into(),
        private_key: made.signing_key.serialize_pem().into(),
    });
    let settings = ServerTls::of(["k".into()]);
    let keys = BTreeMap::from([(pair.name.clone(), Arc::clone(&pair))]);
    let name = VirtualServerName::from("v");
    let (server, problems) =
        tls::server::build(&name, &settings, &keys, &BTreeMap::new(), &GlobalSettings::default(), None);
    assert!(problems.is_empty(), "{problems:?}");
    (server.unwrap(), pair)
}

#[tokio::test]
async fn probes_speak_tls_as_strictly_as_the_pool() {
    let (server, pair) = server_tls();
    let (address, _task) = listen(move |stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(server.config_for(stream.local_addr().unwrap())));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            read_head(&mut stream).await;
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
            drop(stream.shutdown().await);
        }
    })
    .await;
    let strict = NodeTls {
        send_server_name: false,
        strict_verify: true,
        common_name_match: Vec::new(),
        client_key: None,
        versions: TlsVersions::default(),
        send_close_alerts: true,
    };
    let known = BTreeMap::from([("ca".into(), Arc::clone(&pair.certificate))]);
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap();
    let unknown = BTreeMap::from([("ca".into(), Arc::from(other.cert.pem()))]);
    let client = |cas| tls::node::build(&"pool".into(), &strict, &BTreeMap::new(), cas, None).0;
    let bench = Bench::new();
    for (what, tls, passes) in
        [("lax", None, true), ("known", client(&known), true), ("unknown", client(&unknown), false)]
    {
        for probe in [http("/", "200", Some("^ok$")), Probe::Connect] {
            let node = node(address);
            let monitor = Monitor { use_tls: true, failures: 1, ..monitor("m", probe) };
            let task = MonitorTask { tls: tls.clone(), ..per_node(&Arc::new(monitor), &node) };
            bench.update(&[]);
            bench.update(&[task]);
            until("the first run", || bench.status("m").runs > 0).await;
            let status = bench.status("m");
            assert_eq!(status.verdict == Verdict::Up, passes, "{what}: {:?}", status.reason);
            if let Some(reason) = status.reason {
                assert!(reason.starts_with("TLS handshake failed: "), "{reason}");
            }
        }
    }
}

fn program(script: &str, arguments: &[(&str, &str)]) -> Probe {
    Probe::Program {
        program: script.into(),
        arguments: arguments.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

#[tokio::test]
async fn programs_are_called_with_arguments_and_judged_by_their_status() {
    let mut bench = Bench::new();
    let scripts = [
        ("good", "#!/bin/sh\nexit 0\n"),
        ("bad", "#!/bin/sh\necho\necho 'the disk is full'\necho more\nexit 3\n"),
        ("stderr", "#!/bin/sh\necho 'on stderr' >&2\nexit 1\n"),
        ("quiet", "#!/bin/sh\nexit 4\n"),
        ("chatty", "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x\nexit 1\n"),
        ("arguments", "#!/bin/sh\necho \"$@ in $ZEUSHOME\"\nexit 1\n"),
        ("background", "#!/bin/sh\nsleep 60 &\nexit 0\n"),
    ];
    bench.scripts =
        scripts.into_iter().map(|(name, text)| (name.into(), Arc::from(text.as_bytes()))).collect();
    let address = "127.0.0.1:80".parse().unwrap();
    assert_eq!(bench.opinion(program("good", &[]), address).await, Ok(()));
    assert_eq!(bench.opinion(program("bad", &[]), address).await, Err("the disk is full".into()));
    assert_eq!(bench.opinion(program("stderr", &[]), address).await, Err("on stderr".into()));
    let reason = bench.opinion(program("quiet", &[]), address).await.unwrap_err();
    assert!(reason.contains("exit status: 4"), "{reason}");
    assert_eq!(bench.opinion(program("chatty", &[]), address).await.unwrap_err().len(), 200);
    let reason = bench
        .opinion(program("arguments", &[("request_host", "a b"), ("x", "")]), address)
        .await
        .unwrap_err();
    let home = bench.home.path().display();
    assert_eq!(reason, format!("--ipaddr=127.0.0.1 --port=80 --timeout=5 --request_host=a b --x= in {home}"));
    assert_eq!(bench.opinion(program("background", &[]), address).await, Ok(()));
    let reason = bench.opinion(program("missing", &[]), address).await.unwrap_err();
    assert_eq!(reason, "unable: the catalogue monitor_scripts has no `missing`");
}

#[tokio::test]
async fn programs_that_do_not_end_are_killed_with_all_they_started() {
    let mut bench = Bench::new();
    let pids = bench.home.path().join("pids");
    let script = format!("#!/bin/sh\nsleep 60 &\necho $! $$ > {}\nsleep 60\n", pids.display());
    bench.scripts.insert("slow".into(), script.into_bytes().into());
    let monitor = Monitor {
        timeout: Duration::from_millis(500),
        delay: Duration::from_secs(100),
        ..monitor("m", program("slow", &[]))
    };
    // A delay this long spreads the first run over ten seconds; a short one first brings the first run forward.
    let short = Monitor { delay: Duration::from_millis(1), ..monitor };
    assert_eq!(
        bench.opinion_of(short, "127.0.0.1:80".parse().unwrap()).await,
        Err("no answer within 0.5 s".into())
    );
    bench.update(&[]);
    let pids = std::fs::read_to_string(&pids).unwrap();
    let alive = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    until("every process of the group is gone", || !pids.split_whitespace().any(alive)).await;
}

#[tokio::test]
async fn a_node_fails_after_its_failures_and_recovers_by_one_pass() {
    let working = Arc::new(AtomicUsize::new(1));
    let (address, _task) = listen({
        let working = Arc::clone(&working);
        move |mut stream| {
            let working = Arc::clone(&working);
            async move {
                read_head(&mut stream).await;
                let answer = if working.load(Ordering::Relaxed) == 1 { "200 OK" } else { "500 Oh" };
                drop(
                    stream
                        .write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                        .await,
                );
            }
        }
    })
    .await;
    let bench = Bench::new();
    let node = node(address);
    let monitor = Arc::new(monitor("m", http("/", "200", None)));
    bench.update(&[per_node(&monitor, &node)]);
    until("the first pass", || bench.status("m").verdict == Verdict::Up).await;
    working.store(0, Ordering::Relaxed);
    until("the node has failed", || failed(&node)).await;
    assert!(bench.status("m").failures >= 3);
    let reason = bench.status("m").reason.unwrap();
    assert!(reason.contains("status 500"), "{reason}");

    // An update that changes nothing keeps the counts; one that changes the monitor keeps its verdict.
    let runs = bench.status("m").runs;
    bench.update(&[per_node(&monitor, &node)]);
    assert!(bench.status("m").runs >= runs && failed(&node));
    let changed = Arc::new(Monitor { delay: Duration::from_millis(15), ..Monitor::clone(&monitor) });
    bench.update(&[per_node(&changed, &node)]);
    assert!(failed(&node));
    working.store(1, Ordering::Relaxed);
    until("the node works again", || !failed(&node)).await;
}

#[tokio::test]
async fn a_failed_node_nobody_watches_any_more_is_given_back() {
    let bench = Bench::new();
    let node = node(nobody().await);
    let monitor = Arc::new(Monitor { failures: 1, ..monitor("m", Probe::Connect) });
    bench.update(&[per_node(&monitor, &node)]);
    until("the node has failed", || failed(&node)).await;
    bench.update(&[]);
    assert!(!failed(&node));
    let healthy = Arc::new(Monitor { health_only: true, ..Monitor::clone(&monitor) });
    bench.update(&[per_node(&healthy, &node)]);
    until("the monitor is down", || bench.status("m").verdict == Verdict::Down).await;
    assert!(!failed(&node), "health_only fails nobody");
}

#[tokio::test]
async fn a_pool_wide_monitor_fails_every_node_of_the_pool() {
    let bench = Bench::new();
    let machine = nobody().await;
    let scope = |host: ListenHost, port| Scope::PoolWide { host, port };
    let by_address = scope(ListenHost::Address(machine.ip()), Some(machine.port()));
    let nodes = [node("10.0.0.1:80".parse().unwrap()), node("10.0.0.2:80".parse().unwrap())];
    let task = |scope: Scope, nodes: &[Arc<Node>]| MonitorTask {
        pool: "pool".into(),
        monitor: Arc::new(Monitor { failures: 1, scope, ..monitor("m", Probe::Connect) }),
        target: Target::Pool(nodes.to_vec()),
        tls: None,
    };
    bench.update(&[task(by_address.clone(), &nodes[..1])]);
    until("the pool has failed", || failed(&nodes[0])).await;
    bench.update(&[task(by_address, &nodes)]);
    assert!(failed(&nodes[1]), "a node that joins a failed pool has failed");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let name = scope(ListenHost::Name("localhost".into()), Some(listener.local_addr().unwrap().port()));
    bench.update(&[task(name, &nodes)]);
    until("the pool works again", || nodes.iter().all(|node| !failed(node))).await;
    // Without a port a connection says nothing.
    bench.update(&[]);
    bench.update(&[task(scope(ListenHost::Address(IpAddr::from([127, 0, 0, 1])), None), &nodes)]);
    until("a run", || bench.status("m").runs > 0).await;
    assert_eq!(bench.status("m").verdict, Verdict::Unknown);
}

#[tokio::test]
async fn many_monitors_share_a_bounded_number_of_turns() {
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (address, _task) = listen({
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        move |mut stream| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            async move {
                most.fetch_max(at_once.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(stream.write_all(b"hello").await);
                at_once.fetch_sub(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let bench = Bench::new();
    let node = node(address);
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            let monitor = Monitor {
                timeout: DEADLINE,
                delay: Duration::from_millis(10),
                ..monitor(&format!("m{number}"), transaction("", "hello", "", 0))
            };
            per_node(&Arc::new(monitor), &node)
        })
        .collect();
    bench.update(&tasks);
    until("all have run", || bench.monitors.status().iter().all(|status| status.verdict == Verdict::Up))
        .await;
    bench.update(&[]);
    assert!(most.load(Ordering::Relaxed) <= 256, "{}", most.load(Ordering::Relaxed));
    assert!(bench.monitors.counters().runs >= 400);
}
