//! Connections to nodes: used again, opened anew, found closed.

use std::time::Duration;

use tidegate_harness::{Node, Reply, Site, client::request, eventually, json};

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
