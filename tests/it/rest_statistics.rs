//! Statistics of the REST interface: exact at once, in the shapes that scrapers read.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tidegate_harness::{
    Client, Node, Port, Reply, Setup, Tidegate, Value, json,
    rest::{PASSWORD, Rest, STATUS, body},
    volume::Volume,
    wait::eventually_within,
};

async fn start() -> Tidegate {
    let setup = Setup::of(Volume::new()).arguments(&["--rest", "127.0.0.1:0"]);
    setup.variable("TIDEGATE_ADMIN_PASSWORD", PASSWORD).start().await
}

fn server(port: &Port, enabled: bool, protocol: &str) -> Value {
    json!({ "basic": {
        "enabled": enabled, "port": port.number(), "pool": "web", "protocol": protocol,
        "listen_on_any": false, "listen_on_hosts": ["127.0.0.1"],
    } })
}

/// The counters at a path below `statistics`, which must be there.
async fn counters(rest: &mut Rest, path: &str) -> Value {
    let response = rest.get(&format!("{STATUS}/statistics/{path}")).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    body(&response)["statistics"].clone()
}

/// Status and error of a path below `statistics`.
async fn refused(rest: &mut Rest, path: &str) -> (u16, String) {
    let response = rest.get(&format!("{STATUS}/statistics/{path}")).await;
    (response.status, body(&response)["error_id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn counters_are_exact_as_soon_as_the_answer_is_there() {
    const BODY: &str = "0123456789";
    let node = Node::with("n", |_| Reply::ok(BODY)).await;
    let port = Port::free();
    let tidegate = start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("pools/web", &json!({ "basic": { "nodes_table": [{ "node": node.address.to_string() }] } }))
        .await;
    rest.write("virtual_servers/my%20site", &server(&port, true, "http")).await;

    let fresh = counters(&mut rest, "virtual_servers/my%20site").await;
    assert_eq!((&fresh["total_http_requests"], &fresh["port"]), (&json!(0), &json!(port.number())));
    let mut sent = 0;
    for _ in 0..20 {
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let address = port.address();
            tasks.push(tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                for _ in 0..3 {
                    assert_eq!(client.get("/").await.status, 200);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        sent += 12;
        let of_server = counters(&mut rest, "virtual_servers/my%20site").await;
        for name in ["total_http_requests", "total_requests", "http2xx_responses"] {
            assert_eq!(of_server[name], sent, "{name}");
        }
        assert_eq!(of_server["protocol"], "http");
        let bytes = of_server["bytes_out"].as_u64().unwrap();
        assert!(bytes > sent * BODY.len() as u64, "{bytes}");
        assert_eq!((&of_server["bytes_out_hi"], &of_server["bytes_out_lo"]), (&json!(0), &json!(bytes)));
        let pool = counters(&mut rest, "pools/web").await;
        assert_eq!(
            (&pool["total_conn"], &pool["algorithm"], &pool["state"]),
            (&json!(sent), &json!("roundrobin"), &json!("active"))
        );
        let name = node.address.to_string();
        assert_eq!(counters(&mut rest, &format!("nodes/node/{name}")).await["total_conn"], sent);
        assert_eq!(counters(&mut rest, &format!("nodes/per_pool_node/web:{name}")).await["total_conn"], sent);
        assert_eq!(counters(&mut rest, "listen_ips/127.0.0.1").await["total_requests"], sent);
        assert_eq!(counters(&mut rest, "globals").await["total_requests"], sent);
    }
    tidegate.stop().await;
}

#[tokio::test]
async fn every_group_and_object_can_be_followed_and_all_at_once() {
    let node = Node::start("n").await;
    let port = Port::free();
    let tidegate = start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("pools/web", &json!({ "basic": { "nodes_table": [{ "node": node.address.to_string() }] } }))
        .await;
    rest.write("virtual_servers/site", &server(&port, true, "http")).await;

    let mut waiting = vec![format!("{STATUS}/statistics")];
    let mut leaves = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        let response = rest.get(&path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let shown = body(&response);
        if let Some(counters) = shown.get("statistics") {
            for (name, value) in counters.as_object().unwrap() {
                assert!(value.is_u64() || value.is_string(), "{path} {name} {value}");
            }
            leaves.insert(path);
        } else {
            let children = shown["children"].as_array().unwrap();
            waiting.extend(children.iter().map(|child| child["href"].as_str().unwrap().to_owned()));
        }
    }
    let below = format!("{STATUS}/statistics/");
    for path in
        ["globals", "virtual_servers/site", "pools/web", "cache/ssl_session_cache", "listen_ips/127.0.0.1"]
    {
        assert!(leaves.contains(&format!("{below}{path}")), "{path} in {leaves:?}");
    }
    // Scrapers ask for everything at the same time.
    let address = Rest::address(&tidegate).await;
    let mut tasks = Vec::new();
    for start in 0..25 {
        let leaves: Vec<String> = leaves.iter().cloned().collect();
        tasks.push(tokio::spawn(async move {
            let mut rest = Rest::to(address).await;
            for path in leaves.iter().cycle().skip(start).take(40) {
                assert_eq!(rest.get(path).await.status, 200, "{path}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    tidegate.stop().await;
}

#[tokio::test]
async fn what_is_disabled_or_cannot_serve_has_no_counters() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let (on, off, other) = (Port::free(), Port::free(), Port::free());
    let tidegate = start().await;
    let mut rest = Rest::connect(&tidegate).await;
    let nodes =
        json!([{ "node": a.address.to_string() }, { "node": b.address.to_string(), "state": "disabled" }]);
    rest.write("pools/web", &json!({ "basic": { "nodes_table": nodes } })).await;
    rest.write("virtual_servers/on", &server(&on, true, "http")).await;
    rest.write("virtual_servers/off", &server(&off, false, "http")).await;
    rest.write("virtual_servers/other", &server(&other, true, "ftp")).await;

    assert_eq!(rest.names(&format!("{STATUS}/statistics/virtual_servers")).await, ["on", "other"]);
    let not_found = (404, "resource.not_found".to_owned());
    let no_counters = (400, "statistics.no_counters".to_owned());
    assert_eq!(refused(&mut rest, "virtual_servers/off").await, not_found);
    assert_eq!(refused(&mut rest, "virtual_servers/none").await, not_found);
    assert_eq!(refused(&mut rest, "virtual_servers/other").await, no_counters);
    for group in ["nodes/node/", "nodes/node_inet46/", "nodes/per_pool_node/web:"] {
        assert_eq!(counters(&mut rest, &format!("{group}{}", a.address)).await["state"], "alive");
        assert_eq!(refused(&mut rest, &format!("{group}{}", b.address)).await, no_counters, "{group}");
    }
    // It is there once it is switched on, and gone once it is switched off.
    rest.write("virtual_servers/off", &json!({ "basic": { "enabled": true } })).await;
    assert_eq!(counters(&mut rest, "virtual_servers/off").await["total_requests"], 0);
    rest.write("virtual_servers/off", &json!({ "basic": { "enabled": false } })).await;
    assert_eq!(refused(&mut rest, "virtual_servers/off").await, not_found);
    // In another pool the same node works, so together it has counters.
    rest.write("pools/more", &json!({ "basic": { "nodes_table": [{ "node": b.address.to_string() }] } }))
        .await;
    assert_eq!(counters(&mut rest, &format!("nodes/node/{}", b.address)).await["state"], "alive");
    assert_eq!(refused(&mut rest, &format!("nodes/per_pool_node/web:{}", b.address)).await, no_counters);
    tidegate.stop().await;
}

#[tokio::test]
async fn the_state_tells_throughput_and_a_write_is_an_update() {
    let node = Node::with("n", |_| Reply::ok("x".repeat(100_000))).await;
    let port = Port::free();
    let tidegate = start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("pools/web", &json!({ "basic": { "nodes_table": [{ "node": node.address.to_string() }] } }))
        .await;
    rest.write("virtual_servers/site", &server(&port, true, "http")).await;
    let written = Instant::now();
    let mut client = Client::connect(port.address()).await;
    // The least that any window of looks can show; a window is at most a few seconds long.
    eventually_within(Duration::from_secs(15), "throughput", async || {
        assert_eq!(client.get("/").await.status, 200);
        let state =
            body(&Rest::connect(&tidegate).await.get(&format!("{STATUS}/state")).await)["state"].clone();
        (state["virtual_servers"][0]["throughput"].as_u64().unwrap() > 1000).then_some(())
    })
    .await;
    rest.write("pools/web", &json!({ "basic": { "note": "n" } })).await;
    let since = counters(&mut rest, "globals").await["time_last_config_update"].as_u64().unwrap();
    let passed = written.elapsed();
    assert!(u128::from(since) * 10 < passed.as_millis(), "{since} hundredths, {passed:?}");
    tidegate.stop().await;
}
