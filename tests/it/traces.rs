//! Distributed tracing seen from outside: what a collector gets, what nodes are told, and that nobody else notices.

use std::{fs, path::Path, time::Duration};

use tidegate_harness::{
    Collector, Document, Node, Port, Reply, Setup, Site, Value, collector::Span, eventually, json, tls,
    volume::Volume, wait::takes,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A site over these nodes whose spans go to `url` without delay.
async fn traced(nodes: &[&Node], url: &str, server: Value, more: impl FnOnce(Setup) -> Setup) -> Site {
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let document = |port| document(port, &server).pool("nodes", &addresses, &json!({}));
    Site::set_up(document, |setup| more(to(setup, url))).await
}

/// Sends spans to `url` without delay.
fn to(setup: Setup, url: &str) -> Setup {
    setup.variable("OTEL_EXPORTER_OTLP_ENDPOINT", url).variable("OTEL_BSP_SCHEDULE_DELAY", "20")
}

fn document(port: u16, server: &Value) -> Document {
    Document::new().server("site", port, "nodes", server)
}

/// Version, trace, span and flags of a `traceparent`.
fn parts(value: Option<&str>) -> [String; 4] {
    let value = value.expect("a traceparent at the node");
    let parts: Vec<_> = value.split('-').map(str::to_owned).collect();
    parts.try_into().unwrap_or_else(|_| panic!("{value}"))
}

fn has(span: &Span, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(&span.get(name), value, "{name} in {span:#?}");
    }
}

#[tokio::test]
async fn a_request_and_its_attempt_are_spans() {
    let directory = Volume::new();
    let log = directory.path().join("access.log");
    let collector = Collector::start().await;
    let node = Node::start("n").await;
    let server = json!({ "log": { "enabled": true, "filename": log.to_str().unwrap(), "format": "%J" } });
    let site = Site::set_up(
        |port| {
            let pool = json!({ "basic": { "persistence_class": "cookies" } });
            document(port, &server).pool("nodes", &[node.address], &pool).add(
                "persistence",
                "cookies",
                json!({ "basic": { "type": "transparent" } }),
            )
        },
        |setup| {
            setup
                .arguments(&["--traces-endpoint", &collector.url()])
                .variable("OTEL_BSP_SCHEDULE_DELAY", "20")
                .variable("OTEL_SERVICE_NAME", "edge")
                .variable("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=tidegate-1")
        },
    )
    .await;
    let response = site.request("POST", "/a/b?secret=1", &["User-Agent: me"], b"x").await;
    assert_eq!(response.status, 200);
    let spans = collector.take(2).await;
    let [server, client] = &spans[..] else { panic!("{spans:#?}") };
    let address = node.address.to_string();
    has(
        server,
        &[
            ("http.request.method", json!("POST")),
            ("http.response.status_code", json!(200)),
            ("url.path", json!("/a/b")),
            ("url.scheme", json!("http")),
            ("server.address", json!("site")),
            ("server.port", json!(80)),
            ("client.address", json!("127.0.0.1")),
            ("network.protocol.version", json!("1.1")),
            ("user_agent.original", json!("me")),
            ("error.type", json!(null)),
            ("tidegate.virtual_server", json!("site")),
            ("tidegate.pool", json!("nodes")),
            ("tidegate.node", json!(address)),
            ("tidegate.retries", json!(0)),
            ("tidegate.persistence", json!("new")),
            ("tidegate.queue.duration", json!(null)),
            ("tidegate.failure", json!(null)),
        ],
    );
    has(
        client,
        &[
            ("http.request.method", json!("POST")),
            ("http.response.status_code", json!(200)),
            ("http.request.resend_count", json!(null)),
            ("url.full", json!(format!("http://{address}/a/b"))),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(node.address.port())),
            ("tidegate.connection.reused", json!(false)),
            ("tidegate.node", json!(address)),
        ],
    );
    assert_eq!((server.kind, &*server.name, &*server.parent), ("server", "POST", ""));
    assert_eq!((client.kind, &*client.name, &client.parent), ("client", "POST", &server.span_id));
    assert!(client.trace_id == server.trace_id && !server.is_error && !client.is_error);
    assert!(server.time.0 <= client.time.0 && client.time.1 <= server.time.1, "{spans:#?}");
    assert_eq!(server.resource["service.name"], json!("edge"));
    assert_eq!(server.resource["k8s.pod.name"], json!("tidegate-1"));
    let told = parts(node.only().header("traceparent"));
    assert_eq!(told, ["00", &server.trace_id, &client.span_id, "01"], "the node goes on below the attempt");
    let line: Value = first_line(&log).await.parse().unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&json!(server.trace_id), &json!(server.span_id)));
    site.tidegate.stop().await;
}

async fn first_line(path: &Path) -> String {
    eventually("a line of the access log", async || {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_once('\n').map(|(line, _)| line.to_owned())
    })
    .await
}

#[tokio::test]
async fn callers_are_followed_and_none_is_believed_that_is_malformed() {
    let collector = Collector::start().await;
    let node = Node::start("n").await;
    let site = traced(&[&node], &collector.url(), json!({}), |setup| setup).await;
    let mut client = site.client().await;
    let good = |flags: &str| format!("traceparent: 00-{TRACE}-{CALLER}-{flags}");
    let state = "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".to_owned();
    // headers; whether the trace goes on, whether it is sampled, the state that nodes get
    let table: Vec<(Vec<String>, bool, bool, &str)> = vec![
        (vec![], false, true, ""),
        (vec![good("01"), state.clone()], true, true, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (vec![good("00"), state.clone()], true, false, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (vec![good("01"), "TraceState: a=1".into(), "tracestate: b=2".into()], true, true, "a=1,b=2"),
        (vec![good("01"), "tracestate: a=1,a=2".into()], true, true, ""),
        (vec![good("01").replace("traceparent", "TRACEPARENT")], true, true, ""),
        (vec![good("ff")], true, true, ""),
        (vec![format!("traceparent: cc-{TRACE}-{CALLER}-01-later")], true, true, ""),
        // The state of a trace that is not gone on with means nothing.
        (vec![format!("traceparent: 00-{TRACE}-{CALLER}-01-later"), state.clone()], false, true, ""),
        (vec![good("01").to_uppercase(), state.clone()], false, true, ""),
        (vec![good("00"), good("00")], false, true, ""),
        (vec![format!("traceparent: 00-{}-{CALLER}-00", "0".repeat(32))], false, true, ""),
        (vec!["traceparent: ".to_owned(), state.clone()], false, true, ""),
        (vec![state], false, true, ""),
    ];
    for (headers, goes_on, sampled, state) in table {
        let lines: Vec<&str> = headers.iter().map(String::as_str).collect();
        assert_eq!(client.request("GET", "/", &lines, b"").await.status, 200);
        let received = node.only();
        let [version, trace, span, flags] = parts(received.header("traceparent"));
        assert_eq!((&*version, trace == TRACE), ("00", goes_on), "{headers:?}");
        assert_eq!(u8::from_str_radix(&flags, 16).unwrap() & 1 == 1, sampled, "{headers:?}");
        assert!(span != CALLER && trace.len() == 32 && trace != "0".repeat(32), "{headers:?}");
        assert_eq!(received.head.all("tracestate").join(","), state, "{headers:?}");
        if sampled {
            let spans = collector.take(2).await;
            assert_eq!((&spans[0].trace_id, &spans[1].span_id), (&trace, &span), "{headers:?}");
            assert_eq!(spans[0].parent, if goes_on { CALLER } else { "" }, "{headers:?}");
            assert_eq!(spans[0].flags & 0x200 != 0, goes_on, "the caller is elsewhere: {headers:?}");
            assert_eq!(spans[0].state, state, "{headers:?}");
        }
    }
    site.tidegate.stop().await;
    assert!(collector.spans().is_empty(), "what a caller has not sampled is not told");
}

#[tokio::test]
async fn a_ratio_of_nothing_still_tells_nodes_the_trace() {
    let directory = Volume::new();
    let log = directory.path().join("access.log");
    let collector = Collector::start().await;
    let node = Node::start("n").await;
    let server = json!({ "log": { "enabled": true, "filename": log.to_str().unwrap(), "format": "%J" } });
    let site =
        traced(&[&node], &collector.url(), server, |setup| setup.arguments(&["--traces-sample", "0"])).await;
    assert_eq!(site.get("/").await.status, 200);
    let [_, trace, span, flags] = parts(node.only().header("traceparent"));
    assert_eq!(flags, "00");
    let line: Value = first_line(&log).await.parse().unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&json!(trace), &json!(span)));
    // Whoever has decided is followed.
    let header = format!("traceparent: 00-{TRACE}-{CALLER}-01");
    assert_eq!(site.request("GET", "/", &[&header], b"").await.status, 200);
    assert_eq!(collector.take(2).await[0].parent, CALLER);
    site.tidegate.stop().await;
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn every_attempt_of_a_retried_request_is_a_span() {
    let collector = Collector::start().await;
    let bad = Node::with("bad", |_| Reply::close_now()).await;
    let busy = Node::with("busy", |_| Reply::status(503)).await;
    let good = Node::start("good").await;
    let site = traced(&[&bad, &busy, &good], &collector.url(), json!({}), |setup| setup).await;
    let mut requests = 0;
    while bad.requests() == 0 || busy.requests() == 0 {
        assert_eq!(site.get("/").await.status, 200);
        requests += 1;
        assert!(requests < 50, "nodes are never asked");
    }
    let failed = bad.requests() + busy.requests();
    let spans = collector.take(2 * requests + failed).await;
    let told: Vec<_> = [&bad, &busy, &good]
        .into_iter()
        .flat_map(|node| node.received().into_iter().map(|received| (node.address.to_string(), received)))
        .map(|(node, received)| (parts(received.header("traceparent"))[2].clone(), node))
        .collect();
    let mut retried = 0;
    for server in spans.iter().filter(|span| span.kind == "server") {
        let attempts: Vec<_> = spans.iter().filter(|span| span.parent == server.span_id).collect();
        assert!(!server.is_error && !attempts.is_empty());
        has(
            server,
            &[
                ("tidegate.retries", json!(attempts.len() - 1)),
                ("tidegate.node", json!(good.address.to_string())),
            ],
        );
        for (number, attempt) in attempts.iter().enumerate() {
            let node = attempt.get("tidegate.node");
            let at_node = told.iter().find(|(span, _)| *span == attempt.span_id);
            assert_eq!(
                at_node.map(|(_, node)| json!(node)),
                Some(node.clone()),
                "the node was told this span"
            );
            let resent = if number == 0 { json!(null) } else { json!(number) };
            let (error, status) = match node {
                node if node == json!(bad.address.to_string()) => (json!("closed_early"), json!(null)),
                node if node == json!(busy.address.to_string()) => (json!("503"), json!(503)),
                _ => (json!(null), json!(200)),
            };
            assert_eq!(attempt.is_error, !error.is_null());
            has(
                attempt,
                &[
                    ("error.type", error),
                    ("http.response.status_code", status),
                    ("http.request.resend_count", resent),
                ],
            );
        }
        for pair in attempts.windows(2) {
            assert!(pair[0].time.1 <= pair[1].time.0, "one after the other: {attempts:#?}");
        }
        retried += attempts.len() - 1;
    }
    assert_eq!(retried, failed);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let collector = Collector::start().await;
    let node = Node::with("n", |request| match request.target.as_str() {
        "/missing" => Reply::status(404),
        "/broken" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close(),
        _ => Reply::close_now(),
    })
    .await;
    let pool = json!({ "basic": { "passive_monitoring": false } });
    let site = Site::set_up(
        |port| document(port, &json!({})).pool("nodes", &[node.address], &pool),
        |setup| to(setup, &collector.url()),
    )
    .await;
    assert_eq!(site.request("GET", "/missing", &[], b"").await.status, 404);
    let spans = collector.take(2).await;
    has(&spans[0], &[("error.type", json!(null)), ("http.response.status_code", json!(404))]);
    has(&spans[1], &[("error.type", json!("404")), ("http.response.status_code", json!(404))]);
    assert!(!spans[0].is_error && spans[1].is_error, "404 is an error to who asks only");
    let mut client = site.client().await;
    client.send("GET /broken HTTP/1.1\r\nHost: site\r\n\r\n").await;
    client.rest().await;
    let spans = collector.take(2).await;
    for span in &spans {
        has(span, &[("error.type", json!("closed_early")), ("http.response.status_code", json!(200))]);
        assert!(span.is_error);
    }
    assert_eq!(site.request("POST", "/", &[], b"x").await.status, 502);
    let spans = collector.take(2).await;
    has(
        &spans[0],
        &[
            ("error.type", json!("closed_early")),
            ("http.response.status_code", json!(502)),
            ("tidegate.failure", json!("the node closed the connection before answering")),
        ],
    );
    has(&spans[1], &[("error.type", json!("closed_early")), ("http.response.status_code", json!(null))]);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn what_a_rule_writes_is_what_nodes_get() {
    let collector = Collector::start().await;
    let node = Node::start("n").await;
    let rule = r#"
        if( http.getPath() == "/own" ) http.setHeader( "TraceParent", "a rule's" );
        if( http.getPath() == "/state" ) http.setHeader( "tracestate", "rule=1" );
        if( http.getPath() == "/removed" ) http.removeHeader( "traceparent" );
        http.setHeader( "X-Seen", http.getHeader( "traceparent" ) );
    "#;
    let site = Site::set_up(
        |port| {
            document(port, &json!({ "basic": { "request_rules": ["rule"] } }))
                .pool("nodes", &[node.address], &json!({}))
                .raw("rules", "rule", rule)
        },
        |setup| to(setup, &collector.url()),
    )
    .await;
    let header = format!("traceparent: 00-{TRACE}-{CALLER}-01");
    for (path, by_rule) in [("/", false), ("/own", true), ("/state", false), ("/removed", false)] {
        assert_eq!(site.request("GET", path, &[&header], b"").await.status, 200);
        let received = node.only();
        let all = received.head.all("traceparent");
        let spans = collector.take(2).await;
        let ours = format!("00-{TRACE}-{}-01", spans[1].span_id);
        assert_eq!(all, [if by_rule { "a rule's" } else { &ours }], "{path}");
        let state = received.header("tracestate");
        assert_eq!(state, (path == "/state").then_some("rule=1"));
        if path == "/" {
            assert_eq!(
                received.header("X-Seen"),
                header.strip_prefix("traceparent: "),
                "rules see the client's"
            );
        }
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn off_means_that_nothing_is_touched() {
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let good = format!("TraceParent:  00-{TRACE}-{CALLER}-01");
    for lines in [
        vec![good.as_str(), "tracestate: a=1"],
        vec!["traceparent: x", "TRACEPARENT: y", "Tracestate: ,,", "tracestate:\t=  "],
        vec![],
    ] {
        assert_eq!(site.request("GET", "/", &lines, b"").await.status, 200);
        let text = node.only().text();
        let head = [&["GET / HTTP/1.1", "Host: site"], &lines[..]].concat().join("\r\n");
        assert!(text.starts_with(&format!("{head}\r\n")), "{text}");
        let count = text.to_ascii_lowercase().matches("\r\ntrace").count();
        assert_eq!(count, lines.len(), "{text}");
    }
    assert_eq!(site.tidegate.metric("tidegate_trace_spans_exported_total").await, 0);
    site.tidegate.stop().await;
}

const DROPPED: &str = "tidegate_trace_spans_dropped_total{reason=\"queue_full\"}";
const OUTAGE: &str = "traces cannot be delivered";

#[tokio::test]
async fn an_outage_of_the_collector_is_felt_by_no_request() {
    let mut collector = Collector::start().await;
    collector.node.stop().await;
    let node = Node::start("n").await;
    let site = traced(&[&node], &collector.url(), json!({}), |setup| {
        setup.variable("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    })
    .await;
    let mut client = site.client().await;
    eventually("spans are dropped", async || {
        for _ in 0..50 {
            assert_eq!(client.get("/").await.status, 200);
        }
        (site.tidegate.metric(DROPPED).await > 0).then_some(())
    })
    .await;
    assert!(site.tidegate.metric("tidegate_trace_export_failures_total").await > 0);
    site.tidegate.line(&[OUTAGE, &collector.url()]).await;
    collector.node.restart();
    site.tidegate.line(&["traces are delivered again"]).await;
    assert!(!collector.spans().is_empty(), "what waited was delivered");
    assert!(site.tidegate.metric("tidegate_trace_spans_exported_total").await > 0);
    assert_eq!(site.tidegate.lines(0, &[OUTAGE]).len(), 1, "told once:\n{}", site.tidegate.log());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_neither_requests_nor_the_end() {
    let collector = Collector::with(|_| Reply::hang()).await;
    let node = Node::start("n").await;
    let site = traced(&[&node], &collector.url(), json!({}), |setup| {
        setup.variable("OTEL_BSP_MAX_QUEUE_SIZE", "8").arguments(&["--grace", "1"])
    })
    .await;
    let mut client = site.client().await;
    eventually("spans are dropped", async || {
        for _ in 0..50 {
            assert_eq!(client.get("/").await.status, 200);
        }
        (site.tidegate.metric(DROPPED).await > 0).then_some(())
    })
    .await;
    drop(client);
    takes(Duration::ZERO, Duration::from_secs(8), site.tidegate.stop()).await;
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let node = Node::start("n").await;
    let site = traced(&[&node], &collector.url(), json!({}), |setup| {
        setup.variable("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    })
    .await;
    let mut client = site.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status, 200);
    }
    drop(client);
    assert!(collector.spans().is_empty());
    site.tidegate.stop().await;
    assert_eq!(collector.spans().len(), 10);
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted() {
    let collector = Collector::with(|_| Reply::status(400)).await;
    let node = Node::start("n").await;
    let site = traced(&[&node], &collector.url(), json!({}), |setup| setup).await;
    for round in 1..=3 {
        assert_eq!(site.get("/").await.status, 200);
        eventually("spans are refused", async || {
            let refused =
                site.tidegate.metric("tidegate_trace_spans_dropped_total{reason=\"refused\"}").await;
            (refused == 2 * round).then_some(())
        })
        .await;
    }
    assert_eq!(site.tidegate.lines(0, &[OUTAGE, "400"]).len(), 1, "{}", site.tidegate.log());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn spans_go_over_tls_packed_and_with_headers() {
    let authority = tls::Authority::new("authority");
    let pair = authority.issue(&["127.0.0.1"]);
    let directory = Volume::new();
    let path = directory.path().join("ca.pem");
    fs::write(&path, &authority.certificate).unwrap();
    let collector = Collector::tls(tls::server(&pair, false), |received| {
        let told = (received.header("Api-Key"), received.header("Content-Encoding"));
        let known = told == (Some("a b"), Some("gzip")) && received.header("User-Agent").is_some();
        Reply::status(if known { 200 } else { 400 })
    })
    .await;
    let node = Node::start("n").await;
    let url = collector.url().replace("http:", "https:");
    let site = traced(&[&node], &url, json!({}), |setup| {
        setup
            .variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b")
            .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", path.to_str().unwrap())
    })
    .await;
    for _ in 0..2 {
        assert_eq!(site.get("/").await.status, 200);
        collector.take(2).await;
    }
    assert_eq!(collector.node.connections(), 1, "the connection is kept");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn settings_that_make_no_sense_stop_the_start() {
    let port = Port::free();
    let document = document(port.number(), &json!({})).pool("nodes", &[], &json!({}));
    let mut tidegate = Setup::new(&document)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .not_ready()
        .start()
        .await;
    assert!(!tidegate.wait().await.success());
    tidegate.line(&["OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf is expected"]).await;
}
