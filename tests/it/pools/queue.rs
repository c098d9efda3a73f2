//! Limits per node and the queue before them.

use std::time::Duration;

use tidegate_harness::{Node, RawNode, Reply, Site, client::request, eventually, json, wait::takes};

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
