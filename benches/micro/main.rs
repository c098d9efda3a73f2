//! Micro-benches: head parsing, `Pool::choose`, snapshot building, rules and their limits. `cargo bench -p tidegate-benches [NAME…]`.
//!
//! Each line is one function: the time of one call as the median of many samples, with the fastest sample, and the bound
//! it has to keep where there is one. A sample is a batch of calls long enough for the clock. Names given on the
//! command line choose the benches whose name contains one of them.

#![expect(clippy::print_stdout, reason = "the figures are the output")]
#![expect(clippy::expect_used, clippy::panic, reason = "a bench that cannot be set up has no figures")]

mod budgets;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_config::{Document, Input, References, compile, compile_after};
use tidegate_http1::{
    limits::Limits,
    request::{Parsed, RequestHead},
    response::ResponseHead,
};
use tidegate_model::{Configuration, Moment, NodeSet, PoolName};
use tidegate_pool::{NodeSpec, Pool, PoolContext, SessionKey, choose::Tried};
use tidegate_proxy::{BuildContext, build};
use tidegate_trafficscript::{
    End, Limits as RuleLimits, Machine, Options, PatternCache, Step, described::Described,
};

/// Time given to each bench.
const BUDGET: Duration = Duration::from_millis(600);
/// Least length of a sample, far above the resolution of the clock.
const SAMPLE: Duration = Duration::from_micros(500);
/// Pools of the snapshot, and nodes of each.
const POOLS: usize = 500;
const NODES: usize = 20;
/// Longest build of a snapshot when one pool changed.
const BUILD_BOUND: Duration = Duration::from_millis(20);
/// Rules of an import, and lines of each.
const RULES: usize = 2000;
const RULE_LINES: usize = 100;
/// Longest import of that many rules.
const RULES_BOUND: Duration = Duration::from_secs(2);

fn main() {
    // `cargo bench` adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mut runner = Runner { wanted, missed: 0 };
    heads(&mut runner);
    choices(&mut runner);
    snapshots(&mut runner);
    rule_imports(&mut runner);
    rules(&mut runner);
    budgets::budgets(&mut runner);
    if runner.missed > 0 {
        println!("{} over their bound", runner.missed);
        std::process::exit(1);
    }
}

/// Times functions and prints a line for each.
struct Runner {
    wanted: Vec<String>,
    missed: usize,
}

impl Runner {
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| name.contains(part.as_str()))
    }

    /// What is to be said of a time that has a bound.
    fn verdict(&mut self, taken: Duration, bound: Option<Duration>) -> String {
        match bound {
            Some(bound) if taken > bound => {
                self.missed += 1;
                format!("  over the bound of {bound:?}")
            }
            Some(bound) => format!("  bound {bound:?}"),
            None => String::new(),
        }
    }

    fn time(&mut self, name: &str, bound: Option<Duration>, mut call: impl FnMut()) {
        if !self.wants(name) {
            return;
        }
        let mut batch = 1_u32;
        loop {
            let taken = sample(batch, &mut call);
            if taken >= SAMPLE {
                break;
            }
            batch = batch.saturating_mul(2);
        }
        let mut samples = Vec::new();
        let end = Instant::now() + BUDGET;
        while Instant::now() < end || samples.len() < 5 {
            samples.push(sample(batch, &mut call) / batch);
        }
        samples.sort_unstable();
        let median = samples[samples.len() / 2];
        let verdict = self.verdict(median, bound);
        println!("{name:44} {median:>12.1?}  fastest {:>12.1?}{verdict}", samples[0]);
    }
}

fn sample(batch: u32, call: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..batch {
        call();
    }
    start.elapsed()
}

/// Requests as a load tool and as a browser send them, and responses.
fn heads(runner: &mut Runner) {
    const SMALL: &[u8] = b"GET /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
    const BROWSER: &[u8] = b"GET /shop/basket?item=4711&amount=2 HTTP/1.1\r\nHost: shop.example\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
        Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
        Referer: https://shop.example/shop\r\nConnection: keep-alive\r\n\
        Cookie: X-Mapping-abcdefgh=0123456789abcdef0123456789abcdef; theme=dark; visit=20260103T101112\r\n\
        Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
        Sec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 03 Jan 2026 10:11:12 GMT\r\n\
        Content-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\
        Set-Cookie: visit=20260103T101112; Path=/\r\nCache-Control: no-cache\r\n\r\n";
    let limits = Limits::default();
    let mut head = RequestHead::default();
    for (name, bytes) in [("request head, 1 line", SMALL), ("request head, 13 lines", BROWSER)] {
        assert_eq!(head.parse(bytes, &limits), Ok(Parsed::Complete(bytes.len())), "{name}");
        runner.time(name, None, || {
            assert!(black_box(&mut head).parse(black_box(bytes), &limits).is_ok());
        });
    }
    let mut response = ResponseHead::default();
    assert_eq!(response.parse(RESPONSE, &limits, &head), Ok(Parsed::Complete(RESPONSE.len())));
    runner.time("response head, 7 lines", None, || {
        assert!(black_box(&mut response).parse(black_box(RESPONSE), &limits, &head).is_ok());
    });
}

/// One choice with what a request does around it: find the session, choose, begin, end.
fn choices(runner: &mut Runner) {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let now = Moment::at(Duration::from_secs(100));
    for (algorithm, count) in
        [("round_robin", 4), ("round_robin", 1000), ("least_connections", 4), ("least_connections", 1000)]
    {
        let pool = pool(algorithm, false, count, now);
        let mut random = 1;
        runner.time(&format!("choose, {algorithm}, {count} nodes"), None, || {
            random = splitmix(random);
            let session = pool.session([], client, now);
            let choice = pool.choose(&session, &Tried::none(), now, random);
            let node = choice.map(|choice| Arc::clone(choice.node)).expect("a node");
            black_box(node.begin().ok());
        });
    }
    for count in [4, 1000] {
        let pool = pool("round_robin", true, count, now);
        let session = pool.session([], client, now);
        let choice = pool.choose(&session, &Tried::none(), now, 1);
        let slot = choice.map(|choice| choice.slot).expect("a node");
        let line = pool.response_cookie(&session, slot).expect("a cookie for a new session");
        let text = std::str::from_utf8(line).expect("a header line");
        let cookie = text.split([':', ';']).nth(1).expect("name and value").trim().as_bytes().to_vec();
        let session = pool.session([cookie.as_slice()], client, now);
        assert!(pool.choose(&session, &Tried::none(), now, 1).is_ok_and(|choice| choice.sticky));
        runner.time(&format!("choose, session cookie, {count} nodes"), None, || {
            let session = pool.session([black_box(cookie.as_slice())], client, now);
            black_box(pool.choose(&session, &Tried::none(), now, 1).is_ok());
        });
    }
}

fn pool(algorithm: &str, sessions: bool, nodes: usize, now: Moment) -> Arc<Pool> {
    let persistence = if sessions { "persistence_class: sessions" } else { "note: no sessions" };
    let configuration = configuration(&format!(
        "pools:\n- name: bench\n  properties:\n    basic:\n      {persistence}\n      nodes_table: []\n    \
         load_balancing:\n      algorithm: {algorithm}\n\
         persistence:\n- name: sessions\n  properties:\n    basic:\n      type: transparent\n"
    ));
    let settings = configuration.pools.values().next().expect("the pool");
    let persistence = configuration.persistence.values().find(|_| sessions).cloned();
    let specs: Vec<NodeSpec> = (0..nodes).map(|n| NodeSpec::of(address(1, n))).collect();
    let context = PoolContext::new(now, 1, SessionKey::new([7; 32]), &configuration.global);
    Pool::build(Arc::clone(settings), persistence, &specs, None, &context)
}

/// Five hundred discovered pools: from nothing, when nothing changed, and when the nodes of one pool did.
fn snapshots(runner: &mut Runner) {
    let mut text = String::from("pools:\n");
    for n in 0..POOLS {
        write!(
            text,
            "- name: pool-{n}\n  properties:\n    basic: {{nodes_table: [], passive_monitoring: true}}\n    \
             service_discovery: {{enabled: true, plugin: BuiltIn-DNS_Stateless, plugin_args: \
             \"--servicename=_http._tcp.pool-{n}.default.svc.cluster.local\"}}\n"
        )
        .expect("text");
    }
    text.push_str("virtual_servers:\n");
    for n in 0..POOLS {
        writeln!(
            text,
            "- {{name: server-{n}, properties: {{basic: {{enabled: true, port: {}, pool: pool-{n}}}}}}}",
            20_000 + n
        )
        .expect("text");
    }
    let configuration = configuration(&text);
    let mut nodes: BTreeMap<PoolName, NodeSet> = configuration
        .pools
        .keys()
        .enumerate()
        .map(|(n, name)| (name.clone(), NodeSet::of((0..NODES).map(|node| address(n, node)))))
        .collect();
    let context = BuildContext {
        session_key: [7; 32],
        now: Moment::at(Duration::from_secs(100)),
        seed: 1,
        listen_hosts: BTreeMap::new(),
        ipv6: true,
        workers: 2,
        access_logs: None,
        traces: None,
    };
    let title = |what: &str| format!("snapshot, {POOLS} pools x {NODES} nodes, {what}");
    runner.time(&title("from nothing"), None, || {
        black_box(build(&configuration, &nodes, None, &context));
    });
    let first = build(&configuration, &nodes, None, &context);
    assert!(first.problems.is_empty(), "{:?}", first.problems);
    runner.time(&title("unchanged"), Some(BUILD_BOUND), || {
        black_box(build(&configuration, &nodes, Some(&first.snapshot), &context));
    });
    // One pool after the other has one node replaced, each build on top of the one before, as discovery does it.
    let names: Vec<PoolName> = nodes.keys().cloned().collect();
    let (mut last, mut turn) = (first.snapshot, 0);
    runner.time(&title("one changed"), Some(BUILD_BOUND), || {
        let (round, n) = (turn / POOLS, turn % POOLS);
        let set =
            NodeSet::of((0..NODES).map(|node| address(n, if node == 0 { NODES + round % 2 } else { node })));
        nodes.insert(names[n].clone(), set);
        last = build(&configuration, &nodes, Some(&last), &context).snapshot;
        turn += 1;
    });
}

/// Documents with many rules: from nothing, and when one of them changed.
fn rule_imports(runner: &mut Runner) {
    /// Rules of a document.
    const PER_DOCUMENT: usize = 100;
    let document = |first: usize, changed: usize| {
        let mut text = String::from("rules:\n");
        for rule in first..first + PER_DOCUMENT {
            writeln!(
                text,
                "- name: rule-{rule}\n  content: |\n    $path = \"/shop/{rule}/basket\"; $n = {changed};"
            )
            .expect("text");
            for line in 0..(RULE_LINES - 1) / 3 {
                writeln!(
                    text,
                    "    if( string.startsWith( $path, \"/shop/{line}\" ) && $n != {line} ) {{\n       $parts = \
                     string.split( string.skip( $path, 6 ), \"/\" ); $n += array.length( $parts ) * 2;\n    }}"
                )
                .expect("text");
            }
        }
        Document { name: format!("config/{first:05}"), text: text.into_bytes() }
    };
    let mut documents: Vec<Document> =
        (0..RULES).step_by(PER_DOCUMENT).map(|first| document(first, 0)).collect();
    let import = |documents: &[Document], previous: Option<&Configuration>| {
        let compiled = compile_after(&Input { watched: documents, ..Input::default() }, &NoFiles, previous);
        assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics.first());
        compiled.configuration.expect("a configuration")
    };
    let title = |what: &str| format!("import, {RULES} rules x {RULE_LINES} lines, {what}");
    runner.time(&title("from nothing"), Some(RULES_BOUND), || {
        black_box(import(&documents, None));
    });
    let mut last = import(&documents, None);
    let mut turn = 0;
    runner.time(&title("one document changed"), Some(RULES_BOUND), || {
        turn += 1;
        documents[0] = document(0, turn);
        last = import(&documents, Some(&last));
    });
}

/// Rules from the beginning to the end of a machine, and compiling many of them.
fn rules(runner: &mut Runner) {
    let chain = |condition: &dyn Fn(usize) -> String| {
        let branches: Vec<_> =
            (0..20).map(|n| format!("if( {} ) {{ $found = {n}; }}", condition(n))).collect();
        format!("$path = http.getPath();\n{}", branches.join(" else "))
    };
    for (name, text, bound) in [
        ("empty", String::new(), Some(Duration::from_nanos(150))),
        ("20 if/else if, none true", chain(&|n| format!("string.startsWith( $path, \"/x{n}\" )")), None),
        ("20 if/else if, comparisons", chain(&|n| format!("$path == \"/x{n}\"")), None),
        ("20 times getHeader", "$h = http.getHeader( \"Accept\" );\n".repeat(20), None),
        ("20 joins", format!("$path = http.getPath();\n{}", "$x = $path . \"/\" . 1;\n".repeat(20)), None),
        ("regexmatch, constant", "string.regexmatch( http.getPath(), \"^/(shop|cart)/\" );".to_owned(), None),
        ("setResponseHeader", "http.setResponseHeader( \"X-Served-By\", \"tidegate\" );".to_owned(), None),
        ("loop of 1000 rounds", "for( $i = 0; $i < 1000; $i++ ) { }".to_owned(), None),
    ] {
        let program = rule(&text);
        let mut host = Described::request("GET", "/basket/12345?item=4711").header("Accept", "text/html");
        let mut patterns = PatternCache::new(57, RuleLimits::default().match_steps);
        runner.time(&format!("rule, {name}"), bound, || {
            let mut machine = Machine::new(black_box(&program), RuleLimits::default());
            assert!(matches!(machine.run(&mut host, &mut patterns), Step::Done(End::Finished)));
        });
    }
    let parts: Vec<_> = (0..25)
        .map(|n| {
            format!(
                "if( string.startsWith( $path, \"/x{n}\" ) ) {{\n  $y = $path . \"{n}\" . string.len( $x ) + {n};\n  \
                 if( string.regexmatch( $path, \"^/a{n}(.*)b\" ) && $1 ) $h[\"a\"] = {n};\n}}\n"
            )
        })
        .collect();
    let text = parts.concat();
    let text = format!("$path = http.getPath(); $x = 1;\n{text}");
    // Two thousand of them in two seconds.
    runner.time("rule of 100 lines, compiled", Some(Duration::from_millis(1)), || {
        black_box(rule(black_box(&text)));
    });
}

fn rule(text: &str) -> Arc<tidegate_trafficscript::Program> {
    let compiled = tidegate_trafficscript::compile("bench", text.as_bytes(), &Options::default(), &|_| None);
    match compiled.program {
        Some(program) => program,
        None => panic!("{:?}", compiled.notes),
    }
}

/// The address of a node of the `pool`-th pool.
fn address(pool: usize, node: usize) -> SocketAddr {
    let octet = |n: usize| u8::try_from(n % 250).unwrap_or(0);
    let ip = Ipv4Addr::new(10, octet(pool), octet(node / 250 + 10 * (pool / 250)), octet(node) + 1);
    SocketAddr::new(IpAddr::V4(ip), 8080)
}

struct NoFiles;

impl References for NoFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path} is not there"))
    }
}

fn configuration(text: &str) -> Configuration {
    let documents = [Document { name: "config/bench".to_owned(), text: text.as_bytes().to_vec() }];
    let compiled = compile(&Input { watched: &documents, ..Input::default() }, &NoFiles);
    match compiled.configuration {
        Some(configuration) if compiled.diagnostics.is_empty() => configuration,
        _ => panic!("{:?}", compiled.diagnostics),
    }
}

/// The next of a sequence of well mixed numbers.
fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
