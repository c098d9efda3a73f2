//! Which node gets a request: algorithms, priorities, failure pools, states, passive monitoring and retry,
//! limits and the queue.

use std::{collections::BTreeMap, time::Duration};

use tidegate_harness::{
    Node, Port, RawNode, Reply, Site, Value,
    client::request,
    eventually, json,
    load::{Load, Plan},
    wait::takes,
    wire::latin,
};

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(Node::start(&format!("n{number}")).await);
    }
    nodes
}

fn addresses(nodes: &[Node]) -> Vec<std::net::SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

/// How often each label stands in a list.
fn shares(labels: &[String]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for label in labels {
        *shares.entry(label.as_str()).or_default() += 1;
    }
    shares
}

fn algorithm(name: &str) -> Value {
    json!({ "load_balancing": { "algorithm": name } })
}

#[tokio::test]
async fn round_robin_takes_turns() {
    let nodes = nodes(4).await;
    let site = Site::start(&addresses(&nodes), json!({}), algorithm("round_robin")).await;
    // Many connections, so both workers take part.
    let mut labels = Vec::new();
    for _ in 0..100 {
        labels.extend(site.nodes(4).await);
    }
    let all = shares(&labels);
    assert_eq!(all.len(), 4);
    assert!(all.values().all(|share| (90..=110).contains(share)), "{all:?}");
    // Over one connection, hence one worker, the turn is exact.
    let labels = site.nodes(40).await;
    assert!(shares(&labels).values().all(|share| *share == 10), "{labels:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn weights_share_turns_in_proportion() {
    let nodes = nodes(3).await;
    let rows: Vec<Value> = nodes
        .iter()
        .zip([1, 2, 7])
        .map(|(node, weight)| json!({ "node": node.address.to_string(), "weight": weight }))
        .collect();
    let pool = json!({
        "basic": { "nodes_table": rows },
        "load_balancing": { "algorithm": "weighted_round_robin" },
    });
    let site = Site::start(&[], json!({}), pool).await;
    let labels = site.nodes(100).await;
    let shares = shares(&labels);
    assert_eq!((shares["n0"], shares["n1"], shares["n2"]), (10, 20, 70), "{shares:?}");
    // Smooth: the heavy node does not get its turns in one run.
    let longest = labels.chunk_by(|a, b| a == b).map(<[String]>::len).max();
    assert!(longest <= Some(5), "{labels:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn least_connections_avoids_the_busy() {
    for name in ["least_connections", "weighted_least_connections", "perceptive", "fastest_response_time"] {
        let nodes = nodes(2).await;
        nodes[0].behave(|_| Reply::ok("slow").after(Duration::from_millis(400)));
        let site = Site::start(&addresses(&nodes), json!({}), algorithm(name)).await;
        let mut load = Vec::new();
        for _ in 0..4 {
            let mut client = site.client().await;
            load.push(tokio::spawn(async move {
                for _ in 0..10 {
                    assert_eq!(client.get("/").await.status, 200);
                }
            }));
        }
        for part in load {
            part.await.unwrap();
        }
        let (slow, fast) = (nodes[0].requests(), nodes[1].requests());
        assert!(fast > 2 * slow, "{name}: {slow} requests at the slow node, {fast} at the fast one");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn random_is_uniform() {
    let nodes = nodes(4).await;
    let site = Site::start(&addresses(&nodes), json!({}), algorithm("random")).await;
    let labels = site.nodes(400).await;
    let shares = shares(&labels);
    // Five standard deviations.
    assert!(shares.len() == 4 && shares.values().all(|share| (57..=143).contains(share)), "{shares:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_highest_priority_that_suffices_gets_everything() {
    let nodes = nodes(4).await;
    let rows: Vec<Value> = nodes
        .iter()
        .zip([1, 1, 5, 5])
        .map(|(node, priority)| json!({ "node": node.address.to_string(), "priority": priority }))
        .collect();
    let pool = |count: u32| {
        json!({
            "basic": { "nodes_table": rows, "node_connection_attempts": 1 },
            "load_balancing": { "priority_enabled": true, "priority_nodes": count },
        })
    };
    let mut site = Site::start(&[], json!({}), pool(2)).await;
    let labels = site.nodes(40).await;
    assert_eq!(shares(&labels).into_keys().collect::<Vec<_>>(), ["n2", "n3"]);
    // More nodes are wanted than the first group has: both groups serve.
    let document = site.document(&[], &json!({}), &pool(3));
    site.tidegate.document(&document).await;
    assert_eq!(shares(&site.nodes(40).await).len(), 4);
    // One is enough: the group stays with one of its nodes gone, and the next group serves when both are.
    let document = site.document(&[], &json!({}), &pool(1));
    site.tidegate.document(&document).await;
    let mut nodes = nodes;
    nodes[2].stop().await;
    assert_eq!(shares(&site.nodes(40).await).into_keys().collect::<Vec<_>>(), ["n3"]);
    nodes[3].stop().await;
    let labels = site.nodes(40).await;
    assert_eq!(shares(&labels).into_keys().collect::<Vec<_>>(), ["n0", "n1"]);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_failure_pool_serves_when_every_node_has_failed() {
    let mut main = Node::start("main").await;
    let spare = Node::start("spare").await;
    let pool = json!({
        "basic": { "failure_pool": "spare", "node_connection_attempts": 1 },
        "node": { "retry_fail_time": 1 },
    });
    let site = Site::with(&[main.address], json!({}), pool, |document| {
        document.pool("spare", &[spare.address], &json!({}))
    })
    .await;
    assert_eq!(site.get("/").await.node(), "main");
    main.stop().await;
    eventually("the failure pool", async || (site.get("/").await.node() == "spare").then_some(())).await;
    assert!(site.nodes(20).await.iter().all(|label| label == "spare"));
    main.restart();
    // After its rest the node is tried again with live traffic.
    eventually("the main pool", async || (site.get("/").await.node() == "main").then_some(())).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn failure_pools_that_form_a_loop_are_reported_and_do_not_hang() {
    let nobody = Port::free();
    let pool = json!({ "basic": { "failure_pool": "other", "node_connection_attempts": 1 } });
    let site = Site::with(&[nobody.address()], json!({}), pool, |document| {
        document.pool("other", &[nobody.address()], &json!({ "basic": { "failure_pool": "nodes" } }))
    })
    .await;
    site.tidegate.line(&["failure_pool"]).await;
    assert!((500..=504).contains(&site.get("/").await.status));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn disabled_and_draining_nodes_take_no_new_sessions() {
    let nodes = nodes(3).await;
    let rows = |states: [&str; 3]| {
        let rows: Vec<Value> = nodes
            .iter()
            .zip(states)
            .map(|(node, state)| json!({ "node": node.address.to_string(), "state": state }))
            .collect();
        json!({ "basic": { "nodes_table": rows } })
    };
    let mut site = Site::start(&[], json!({}), rows(["active", "draining", "disabled"])).await;
    assert_eq!(shares(&site.nodes(30).await).into_keys().collect::<Vec<_>>(), ["n0"]);
    // A request in progress at a node that becomes disabled is finished.
    nodes[0].behave(|_| Reply::ok("late").after(Duration::from_millis(700)));
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    eventually("the request to arrive", async || (nodes[0].most_in_progress() > 0).then_some(())).await;
    let document = site.document(&[], &json!({}), &rows(["disabled", "active", "draining"]));
    site.tidegate.document(&document).await;
    assert_eq!(client.response().await.text(), "late");
    assert_eq!(shares(&site.nodes(30).await).into_keys().collect::<Vec<_>>(), ["n1"]);
    // Only draining and disabled nodes: nobody may take a new session.
    let document = site.document(&[], &json!({}), &rows(["disabled", "draining", "draining"]));
    site.tidegate.document(&document).await;
    assert_eq!(site.get("/").await.status, 503);
    site.tidegate.stop().await;
}

// ---- passive monitoring and retry --------------------------------------------------------------------------------

#[tokio::test]
async fn every_kind_of_node_failure_is_tried_again_elsewhere() {
    for (name, reply) in [
        ("closes early", Reply::close_now()),
        ("no HTTP", Reply::raw("junk\r\n\r\n").close()),
        ("half a head", Reply::raw("HTTP/1.1 200 OK\r\nX-").close()),
        ("503", Reply::status(503).body("busy")),
        ("no answer in time", Reply::hang()),
    ] {
        let bad = Node::with("bad", move |_| reply.clone()).await;
        let good = Node::start("good").await;
        let pool = json!({
            "basic": { "node_connection_attempts": 2 },
            "connection": { "max_reply_time": 1 },
        });
        let site = Site::start(&[bad.address, good.address], json!({}), pool).await;
        let labels = site.nodes(8).await;
        assert!(labels.iter().all(|label| label == "good"), "{name}: {labels:?}");
        // After so many failures in a row it is left alone.
        assert_eq!(bad.requests(), 2, "{name}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_for_every_method() {
    let nobody = Port::free();
    let good = Node::start("good").await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH", "PURGE"] {
        let site = Site::start(&[nobody.address(), good.address], json!({}), json!({})).await;
        for _ in 0..4 {
            let body: &[u8] = if matches!(method, "POST" | "PUT" | "PATCH") { b"body" } else { b"" };
            let response = site.request(method, "/", &[], body).await;
            assert_eq!((response.status, response.node()), (200, "good"), "{method}");
        }
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn only_idempotent_requests_are_sent_twice() {
    for (method, twice) in [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("TRACE", true),
        ("POST", false),
        ("PATCH", false),
        ("PURGE", false),
    ] {
        let bad = Node::with("bad", |_| Reply::close_now()).await;
        let good = Node::start("good").await;
        let site = Site::start(&[bad.address, good.address], json!({}), json!({})).await;
        let body: &[u8] = if matches!(method, "POST" | "PUT" | "PATCH") { b"body" } else { b"" };
        // Until one meets the bad node.
        for _ in 0..10 {
            let before = good.requests();
            let status = site.request(method, "/", &[], body).await.status;
            if bad.requests() > 0 {
                assert_eq!(status, if twice { 200 } else { 502 }, "{method}");
                assert_eq!(good.requests() - before, usize::from(twice), "{method}");
                break;
            }
            assert_eq!(status, 200, "{method}");
        }
        assert_eq!(bad.requests(), 1, "{method}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_503_that_cannot_be_tried_elsewhere_reaches_the_client() {
    let busy = Node::with("busy", |_| Reply::status(503).body("busy").header("Retry-After: 7")).await;
    let site = Site::start(&[busy.address], json!({}), json!({})).await;
    for method in ["GET", "POST"] {
        let response = site.request(method, "/", &[], b"x").await;
        assert_eq!(response.status, 503, "{method}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_put_whose_body_is_no_longer_there_is_not_sent_twice() {
    let bad = RawNode::start().await;
    let good = Node::start("good").await;
    let site = Site::start(&[bad.address, good.address], json!({}), json!({})).await;
    // Two requests in turn: one of them meets the bad node first.
    let big = vec![b'a'; 4_000_000];
    let accept = tokio::spawn(async move {
        loop {
            let mut wire = bad.accept().await;
            drop(wire.head().await);
            drop(wire.exactly(2_000_000).await);
        }
    });
    let mut client = site.client().await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let response = client.request("PUT", "/", &[], &big).await;
        if response.header("Connection") == Some("close") {
            client = site.client().await;
        }
        statuses.push(response.status);
    }
    assert!(!statuses.contains(&200) || statuses.contains(&502) || good.requests() == 2, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 502)), "{statuses:?}");
    assert!(good.received().iter().all(|request| request.body.data == big));
    accept.abort();
    site.tidegate.stop().await;
}

#[tokio::test]
async fn attempts_are_limited() {
    let mut bad = Vec::new();
    for number in 0..5 {
        bad.push(Node::with(&format!("bad{number}"), |_| Reply::close_now()).await);
    }
    for (limit, expected) in [(0, 5), (1, 1), (3, 3)] {
        let pool = json!({ "basic": { "max_connection_attempts": limit, "node_connection_attempts": 100 } });
        let site = Site::start(&addresses(&bad), json!({}), pool).await;
        let before: usize = bad.iter().map(Node::requests).sum();
        assert_eq!(site.get("/").await.status, 502);
        let tried = bad.iter().map(Node::requests).sum::<usize>() - before;
        assert_eq!(tried, expected, "max_connection_attempts {limit}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn timed_out_attempts_have_a_limit_of_their_own() {
    let mut slow = Vec::new();
    for number in 0..4 {
        slow.push(Node::with(&format!("slow{number}"), |_| Reply::hang()).await);
    }
    let pool = json!({ "connection": { "max_reply_time": 1 } });
    let site = Site::start(&addresses(&slow), json!({}), pool).await;
    let response = takes(Duration::from_millis(1800), Duration::from_millis(3800), site.get("/")).await;
    assert_eq!(response.status, 504);
    assert_eq!(slow.iter().map(Node::requests).sum::<usize>(), 2);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn without_passive_monitoring_nothing_is_detected_or_tried_again() {
    let bad = Node::with("bad", |_| Reply::close_now()).await;
    let good = Node::start("good").await;
    let pool = json!({ "basic": { "passive_monitoring": false, "node_connection_attempts": 1 } });
    let site = Site::start(&[bad.address, good.address], json!({}), pool).await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(site.get("/").await.status == 502);
    }
    assert_eq!(failed, 10);
    assert_eq!(bad.requests(), 10);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_failed_node_rests_and_is_tried_again_with_live_traffic() {
    let flaky = Node::with("flaky", |_| Reply::close_now()).await;
    let good = Node::start("good").await;
    let pool = json!({ "basic": { "node_connection_attempts": 3 }, "node": { "retry_fail_time": 1 } });
    let site = Site::start(&[flaky.address, good.address], json!({}), pool).await;
    assert!(site.nodes(20).await.iter().all(|label| label == "good"));
    assert_eq!(flaky.requests(), 3);
    flaky.behave(|_| Reply::ok("well"));
    eventually("the node to be used again", async || (site.get("/").await.node() == "flaky").then_some(()))
        .await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn answers_of_other_kinds_are_no_failures() {
    let node = Node::with("n", |request| Reply::status(request.target[1..].parse().unwrap())).await;
    let pool = json!({ "basic": { "node_connection_attempts": 1 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    for status in [200, 302, 400, 404, 429, 500, 501, 502, 504, 200] {
        assert_eq!(site.get(&format!("/{status}")).await.status, status);
    }
    assert_eq!(node.requests(), 10);
    site.tidegate.stop().await;
}

// ---- connections to nodes ----------------------------------------------------------------------------------------

#[tokio::test]
async fn connections_to_nodes_are_used_again_up_to_the_idle_limit() {
    let node = Node::with("n", |_| Reply::ok("x").after(Duration::from_millis(100))).await;
    let pool = json!({ "basic": { "max_idle_connections_pernode": 4 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = site.client().await;
        client.send(request("GET", "/", &[], b"")).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(node.most_open(), 20);
    eventually("connections over the idle limit to go", async || (node.open() <= 4).then_some(())).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn keepalive_to_nodes_can_be_off() {
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({}), json!({ "http": { "keepalive": false } })).await;
    assert_eq!(site.nodes(5).await.len(), 5);
    assert_eq!(node.connections(), 5);
    assert!(node.received().iter().all(|request| request.header("Connection") == Some("close")));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_opens_a_fresh_connection() {
    for (on, expected) in [(false, 4), (true, 1)] {
        let node = Node::start("n").await;
        let pool = json!({ "http": { "keepalive_non_idempotent": on } });
        let site = Site::start(&[node.address], json!({}), pool).await;
        let mut client = site.client().await;
        for _ in 0..4 {
            assert_eq!(client.request("POST", "/", &[], b"x").await.status, 200);
        }
        assert_eq!(node.connections(), expected, "keepalive_non_idempotent {on}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn stale_idle_connections_are_no_errors() {
    // The node closes every connection right after its answer, without a word.
    let node = Node::with("n", |_| Reply::ok("x").close()).await;
    let pool = json!({ "basic": { "node_connection_attempts": 1, "max_connection_attempts": 1 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    let mut client = site.client().await;
    for number in 0..200 {
        let response = client.get("/").await;
        assert_eq!(response.status, 200, "request {number}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_restarts_between_requests_is_no_error() {
    let mut node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    for _ in 0..5 {
        for _ in 0..5 {
            assert_eq!(client.get("/").await.status, 200);
        }
        node.stop().await;
        node.restart();
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn requests_over_a_nodes_limit_wait_their_turn() {
    let node = Node::with("n", |_| Reply::ok("x").after(Duration::from_millis(50))).await;
    for pool in [
        json!({ "connection": { "max_transactions_per_node": 3 } }),
        json!({ "connection": { "max_connections_per_node": 3 } }),
    ] {
        let site = Site::start(&[node.address], json!({}), pool.clone()).await;
        let mut clients = Vec::new();
        for _ in 0..30 {
            let mut client = site.client().await;
            client.send(request("GET", "/", &[], b"")).await;
            clients.push(client);
        }
        for client in &mut clients {
            assert_eq!(client.response().await.status, 200);
        }
        assert!(node.most_in_progress() <= 3, "{pool}: {} at a time", node.most_in_progress());
        site.tidegate.stop().await;
    }
    assert_eq!(node.most_in_progress(), 3);
}

#[tokio::test]
async fn an_idle_connection_that_may_not_be_reused_makes_room() {
    let node = Node::start("n").await;
    let pool = json!({
        "connection": { "max_connections_per_node": 1, "queue_timeout": 5 },
        "http": { "keepalive_non_idempotent": false },
    });
    let site = Site::start(&[node.address], json!({}), pool).await;
    // The workers take turns at having the idle connection: on another worker than the request it yields to the queue.
    for _ in 0..10 {
        assert_eq!(site.get("/").await.status, 200);
        let post = site.request("POST", "/", &[], b"x");
        assert_eq!(takes(Duration::ZERO, Duration::from_secs(3), post).await.status, 200);
    }
    assert!(node.most_in_progress() <= 1);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn sessions_that_wait_for_their_node_hold_up_nobody_else() {
    let (slow, quick) = (RawNode::start().await, Node::start("quick").await);
    let pool = json!({
        "basic": { "persistence_class": "by-cookie" },
        "connection": { "max_transactions_per_node": 1, "queue_timeout": 20 },
    });
    let site = Site::with(&[slow.address, quick.address], json!({}), pool, |document| {
        document.add("persistence", "by-cookie", json!({ "basic": { "type": "transparent" } }))
    })
    .await;
    // A session on the slow node, which then keeps a request of it for good.
    let cookie = loop {
        let mut client = site.client().await;
        client.send(request("GET", "/", &[], b"")).await;
        let connection = tokio::time::timeout(Duration::from_millis(300), slow.accept()).await;
        let Ok(mut at_node) = connection else { continue };
        at_node.head().await.unwrap().unwrap();
        at_node.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let response = client.response().await;
        break response.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    };
    let of_session = format!("Cookie: {cookie}");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = site.client().await;
        client.send(request("GET", "/", &[&of_session], b"")).await;
        waiting.push(client);
    }
    for _ in 0..5 {
        takes(Duration::ZERO, Duration::from_secs(2), site.get("/")).await;
    }
    site.tidegate.assert_calm();
}

#[tokio::test]
async fn waiting_in_the_queue_has_an_end() {
    let node = Node::with("n", |_| Reply::hang()).await;
    let pool = json!({ "connection": { "max_transactions_per_node": 1, "queue_timeout": 1 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    let mut first = site.client().await;
    first.send(request("GET", "/", &[], b"")).await;
    eventually("the node to be busy", async || (node.requests() == 1).then_some(())).await;
    let response = takes(Duration::from_millis(900), Duration::from_millis(2500), site.get("/")).await;
    assert_eq!(response.status, 503);
    // The node never answers the first request: there is nothing to wait for at the end.
    site.tidegate.assert_calm();
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let node = Node::with("n", |_| Reply::hang()).await;
    let pool = json!({ "connection": {
        "max_transactions_per_node": 1, "max_queue_size": 2, "queue_timeout": 30,
    } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = site.client().await;
        client.send(request("GET", "/", &[], b"")).await;
        clients.push(tokio::spawn(async move { client.response().await.status }));
    }
    let refused = async || clients.iter().filter(|client| client.is_finished()).count();
    eventually("three to be refused", async || (refused().await == 3).then_some(())).await;
    assert_eq!(refused().await, 3);
    site.tidegate.assert_calm();
}

#[tokio::test]
async fn the_queue_is_fair_between_connections() {
    let node = Node::with("n", |_| Reply::ok("x").after(Duration::from_millis(4))).await;
    let pool = json!({ "connection": { "max_transactions_per_node": 2 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let mut client = site.client().await;
        tasks.push(tokio::spawn(async move {
            let start = std::time::Instant::now();
            let mut served = 0;
            while start.elapsed() < Duration::from_secs(2) {
                assert_eq!(client.get("/").await.status, 200);
                served += 1;
            }
            served
        }));
    }
    let mut served = Vec::new();
    for task in tasks {
        served.push(task.await.unwrap());
    }
    let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
    assert!(*least * 3 >= *most, "{served:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_is_deleted_goes_as_the_pool_says() {
    for behaviour in ["drain", "immediate"] {
        let slow = Node::with("slow", |_| Reply::ok("late").after(Duration::from_secs(2))).await;
        let other = Node::start("other").await;
        let pool = json!({ "basic": { "node_delete_behavior": behaviour } });
        let mut site = Site::start(&[slow.address], json!({}), pool.clone()).await;
        let mut client = site.client().await;
        client.send(request("POST", "/", &[], b"x")).await;
        eventually("the request to arrive", async || (slow.requests() == 1).then_some(())).await;
        let document = site.document(&[other.address], &json!({}), &pool);
        site.tidegate.document(&document).await;
        assert_eq!(site.get("/").await.node(), "other");
        let response = client.response_to("POST").await;
        assert!(behaviour == "immediate" || response.text() == "late", "{behaviour}: {}", response.text());
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn turns_and_health_outlive_a_change_of_configuration() {
    let bad = Node::with("bad", |_| Reply::close_now()).await;
    let good = Node::start("good").await;
    let pool = |seconds: u32| json!({ "basic": { "node_connection_attempts": 1 }, "connection": { "queue_timeout": seconds } });
    let mut site = Site::start(&[bad.address, good.address], json!({}), pool(10)).await;
    assert!(site.nodes(4).await.iter().all(|label| label == "good"));
    assert_eq!(bad.requests(), 1);
    let connections = good.connections();
    for seconds in [11, 12, 13] {
        let document = site.document(&[bad.address, good.address], &json!({}), &pool(seconds));
        site.tidegate.document(&document).await;
        assert!(site.nodes(4).await.iter().all(|label| label == "good"));
    }
    assert_eq!(bad.requests(), 1, "a failed node was tried again because of a change elsewhere");
    assert!(good.connections() <= connections + 2, "idle connections were lost with the change");
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_is_introduced_gently() {
    let first = nodes(2).await;
    let new = Node::start("new").await;
    let mut site = Site::start(&addresses(&first), json!({}), algorithm("least_connections")).await;
    let load = Load::start(&Plan { rate: 500, connections: 10, ..Plan::new(site.address) });
    load.run_for(Duration::from_millis(500)).await;
    let mut all = addresses(&first);
    all.push(new.address);
    let document = site.document(&all, &json!({}), &algorithm("least_connections"));
    site.tidegate.document(&document).await;
    let before = new.requests();
    load.run_for(Duration::from_secs(1)).await;
    let soon = new.requests() - before;
    let report = load.finish().await;
    assert_eq!(report.failed(), 0, "{report}");
    assert!(soon > 0, "a new node must get some requests: {report}");
    assert!(soon < 140, "a new node got {soon} of about 500 requests in its first second: {report}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_pool_without_nodes_and_one_that_does_not_exist_answer_503() {
    let site = Site::start(&[], json!({}), json!({})).await;
    let response = site.get("/").await;
    assert_eq!(response.status, 503, "{}", latin(&response.head.raw));
    site.tidegate.stop().await;
    let site = Site::set_up(
        |port| tidegate_harness::Document::new().server("site", port, "missing", &json!({})),
        |setup| setup,
    )
    .await;
    assert!((500..=504).contains(&site.get("/").await.status));
    site.tidegate.line(&["missing"]).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_whose_name_cannot_be_resolved_harms_no_other() {
    let node = Node::start("n").await;
    let rows = json!([{ "node": "nowhere.invalid:80" }, { "node": node.address.to_string() }]);
    let pool = json!({ "basic": { "nodes_table": rows } });
    let site = Site::set_up(
        |port| {
            tidegate_harness::Document::new().server("site", port, "nodes", &json!({})).pool(
                "nodes",
                &[],
                &pool,
            )
        },
        |setup| {
            // Nobody answers there.
            let setup = setup.file("data/resolv.conf", "nameserver 127.0.0.255\n").not_ready();
            let path = setup.volume.path().join("data/resolv.conf");
            setup.arguments(&["--resolv-conf", path.to_str().unwrap()])
        },
    )
    .await;
    site.tidegate.wait_status(Duration::from_secs(5), site.address, "/", 200).await;
    site.tidegate.line(&["nowhere.invalid"]).await;
    site.tidegate.stop().await;
}
