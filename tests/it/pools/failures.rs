//! Nodes that fail: what is tried again where, limits of attempts, passive monitoring.

use std::time::Duration;

use tidegate_harness::{Node, Port, RawNode, Reply, Site, eventually, json, wait::takes};

use super::addresses;

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
