//! Active monitors, from outside: a node that a monitor has failed gets nothing until that monitor finds it well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tidegate_harness::{
    Node, Port, RawNode, Reply, Site, Value, eventually, json, tls, wait::eventually_within,
};

/// A node whose page `/health` says whether it is well, while everything else is served all the same.
async fn switchable(label: &str) -> (Node, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&well);
    let body = label.to_owned();
    let node = Node::with(label, move |request| {
        if request.target == "/health" && !seen.load(Relaxed) {
            Reply::status(500).body("ill")
        } else {
            Reply::ok(body.clone())
        }
    })
    .await;
    (node, well)
}

fn monitored() -> Value {
    json!({ "basic": { "monitors": ["check"] } })
}

/// `basic` of a monitor that runs every second and needs one failure.
fn monitor(kind: &str, more: &Value) -> Value {
    let mut all = json!({ "basic": {
        "type": kind, "delay": 1, "timeout": 1, "failures": 1, "back_off": false,
    } });
    tidegate_harness::document::lay_over(&mut all, more);
    all
}

async fn watched(nodes: &[&Node], check: Value) -> Site {
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    Site::with(&addresses, json!({}), monitored(), |document| document.add("monitors", "check", check)).await
}

async fn only(site: &Site, label: &str) {
    eventually(&format!("{label} alone to serve"), async || {
        site.nodes(6).await.iter().all(|seen| seen == label).then_some(())
    })
    .await;
}

async fn both(site: &Site) {
    eventually("both to serve", async || {
        let labels = site.nodes(6).await;
        (labels.iter().any(|label| label == "a") && labels.iter().any(|label| label == "b")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_http_monitor_fails_and_recovers_a_node() {
    let (a, well) = switchable("a").await;
    let b = Node::start("b").await;
    let check = monitor(
        "http",
        &json!({ "http": {
        "path": "/health", "host_header": "probe.example", "authentication": "user:pass",
    } }),
    );
    let site = watched(&[&a, &b], check).await;
    both(&site).await;
    well.store(false, Relaxed);
    only(&site, "b").await;
    let probe = a.received().into_iter().find(|request| request.target == "/health").unwrap();
    assert_eq!(probe.header("Host"), Some("probe.example"));
    assert_eq!(probe.header("Authorization"), Some("Basic dXNlcjpwYXNz"));
    site.tidegate.line(&["check", &a.address.to_string()]).await;
    well.store(true, Relaxed);
    both(&site).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_status_or_body_that_does_not_match_is_a_failure() {
    for http in [
        json!({ "path": "/health", "status_regex": "^2..$" }),
        json!({ "path": "/health", "status_regex": ".*", "body_regex": "^(a|b)$" }),
    ] {
        let (a, well) = switchable("a").await;
        let b = Node::start("b").await;
        let site = watched(&[&a, &b], monitor("http", &json!({ "http": http }))).await;
        both(&site).await;
        well.store(false, Relaxed);
        only(&site, "b").await;
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_connect_monitor_sees_a_closed_port() {
    let mut a = Node::start("a").await;
    let b = Node::start("b").await;
    let site = watched(&[&a, &b], monitor("connect", &json!({}))).await;
    both(&site).await;
    let mark = site.tidegate.mark();
    a.stop().await;
    // Without a request of a client: the monitor finds out by itself.
    site.tidegate.line_after(mark, &[&a.address.to_string()]).await;
    only(&site, "b").await;
    a.restart();
    both(&site).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_tcp_transaction_writes_reads_and_closes() {
    let well = Arc::new(AtomicBool::new(true));
    let (machine, seen) = (RawNode::start().await, Arc::clone(&well));
    let machine_address = machine.address;
    let (heard, mut lines) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let mut wire = machine.accept().await;
            let (seen, heard) = (Arc::clone(&seen), heard.clone());
            tokio::spawn(async move {
                let Ok(line) = wire.line().await else { return };
                drop(heard.send(line));
                let answer: &[u8] = if seen.load(Relaxed) { b"+PONG\r\n" } else { b"-ERR\r\n" };
                drop(wire.send(answer).await);
                if let Ok(line) = wire.line().await {
                    drop(heard.send(line));
                }
            });
        }
    });
    let a = Node::start("a").await;
    let check = monitor(
        "tcp_transaction",
        &json!({
            "basic": { "scope": "poolwide", "machine": machine_address.to_string() },
            "tcp": { "write_string": "PING\\r\\n", "response_regex": "^\\+PONG", "close_string": "QUIT\\r\\n" },
        }),
    );
    let site = watched(&[&a], check).await;
    assert_eq!(site.get("/").await.status, 200);
    assert_eq!(lines.recv().await.as_deref(), Some("PING"));
    assert_eq!(lines.recv().await.as_deref(), Some("QUIT"));
    // A pool-wide monitor fails the whole pool.
    well.store(false, Relaxed);
    eventually("the pool to fail", async || (site.get("/").await.status == 503).then_some(())).await;
    well.store(true, Relaxed);
    eventually("the pool to recover", async || (site.get("/").await.status == 200).then_some(())).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_program_decides_by_its_exit_status() {
    let a = Node::start("a").await;
    let b = Node::start("b").await;
    let directory = tidegate_harness::volume::Volume::new();
    let said = directory.path().join("arguments");
    let program = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nfor a in \"$@\"; do [ \"$a\" = --port={} ] && {{ echo ill; exit 1; }}; done\nexit 0\n",
        said.display(),
        a.address.port()
    );
    let check = monitor(
        "program",
        &json!({
            "basic": { "timeout": 5 },
            "script": { "program": "check.sh", "arguments": [{ "name": "mode", "value": "deep look" }] },
        }),
    );
    let addresses = [a.address, b.address];
    let site = Site::with(&addresses, json!({}), monitored(), |document| {
        document.add("monitors", "check", check).raw("monitor_scripts", "check.sh", program)
    })
    .await;
    only(&site, "b").await;
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.contains("--ipaddr=127.0.0.1") && said.contains("--mode=deep look"), "{said}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_monitor_over_tls() {
    let pair = tls::Pair::ecdsa(&["node"]);
    let a = Node::tls("a", tls::server(&pair, false), |_| Reply::ok("a")).await;
    let plain = Node::start("b").await;
    let check = monitor("http", &json!({ "basic": { "use_ssl": true } }));
    let site = Site::with(
        &[a.address, plain.address],
        json!({}),
        json!({ "basic": { "monitors": ["check"] }, "ssl": { "enable": true } }),
        |document| document.add("monitors", "check", check),
    )
    .await;
    only(&site, "a").await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn several_failures_in_a_row_are_needed() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let probes = Arc::clone(&count);
    // Two of three probes fail: never three in a row.
    let a = Node::with("a", move |request| {
        if request.target == "/health" && !probes.fetch_add(1, Relaxed).is_multiple_of(3) {
            return Reply::status(500);
        }
        Reply::ok("a")
    })
    .await;
    let check = monitor("http", &json!({ "basic": { "failures": 3 }, "http": { "path": "/health" } }));
    let site = watched(&[&a], check).await;
    eventually("seven probes", async || {
        assert_eq!(site.get("/").await.status, 200);
        (count.load(Relaxed) >= 7).then_some(())
    })
    .await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn passive_failures_do_not_recover_what_a_monitor_failed() {
    let (a, well) = switchable("a").await;
    let b = Node::start("b").await;
    let check = monitor("http", &json!({ "http": { "path": "/health" } }));
    let site = Site::with(
        &[a.address, b.address],
        json!({}),
        json!({ "basic": { "monitors": ["check"] }, "node": { "retry_fail_time": 1 } }),
        |document| document.add("monitors", "check", check),
    )
    .await;
    well.store(false, Relaxed);
    only(&site, "b").await;
    // Well past retry_fail_time live traffic still does not try it.
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        assert!(site.nodes(4).await.iter().all(|label| label == "b"));
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn one_probe_per_node_however_many_virtual_servers_use_the_pool() {
    let (a, _well) = switchable("a").await;
    let ports: Vec<Port> = (0..5).map(|_| Port::free()).collect();
    let check = monitor("http", &json!({ "http": { "path": "/health" } }));
    let site = Site::with(&[a.address], json!({}), monitored(), |mut document| {
        for port in &ports {
            document = document.server(&format!("s{}", port.number()), port.number(), "nodes", &json!({}));
        }
        document.add("monitors", "check", check)
    })
    .await;
    let count = || a.received().iter().filter(|request| request.target == "/health").count();
    eventually("a first probe", async || (count() > 0).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let probes = count();
    assert!((2..=4).contains(&probes), "{probes} probes in three seconds");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn factory_monitors_are_there() {
    let (a, _) = switchable("a").await;
    for name in ["Ping", "Connect", "Simple HTTP", "Full HTTP", "Client First", "Server First"] {
        let site = Site::start(&[a.address], json!({}), json!({ "basic": { "monitors": [name] } })).await;
        assert_eq!(site.get("/").await.status, 200, "{name}");
        assert!(site.tidegate.lines(0, &["ERROR"]).is_empty(), "{name}: {}", site.tidegate.log());
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_failed_monitor_survives_changes_elsewhere() {
    let (a, well) = switchable("a").await;
    let b = Node::start("b").await;
    let check = monitor("http", &json!({ "http": { "path": "/health" } }));
    let mut site = watched(&[&a, &b], check.clone()).await;
    well.store(false, Relaxed);
    only(&site, "b").await;
    let port = Port::free();
    let document = site
        .document(&[a.address, b.address], &json!({}), &monitored())
        .add("monitors", "check", check)
        .server("another", port.number(), "nodes", &json!({}));
    site.tidegate.document(&document).await;
    assert!(site.nodes(8).await.iter().all(|label| label == "b"));
    eventually_within(Duration::from_secs(3), "the new server", async || {
        tidegate_harness::Client::try_connect(port.address()).await.ok().map(drop)
    })
    .await;
    site.tidegate.stop().await;
}
