//! Timers towards clients (`connect_timeout`, `keepalive_timeout`, `timeout`, `max_transaction_duration`).

use std::time::Duration;

use tidegate_harness::{
    Document, Node, RawNode, Reply, Site, client::request, eventually, json, wait::takes, wire::latin, within,
};

/// Timers are swept, and the machine may be busy.
const LATE: Duration = Duration::from_millis(1500);
const SECOND: Duration = Duration::from_secs(1);
/// What may be missing from a whole second because the clock runs from before the first byte.
const EARLY: Duration = Duration::from_millis(900);

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({ "basic": { "connect_timeout": 1 } }), json!({})).await;
    let mut client = site.client().await;
    client.send("GET / HTTP/1.1\r\n").await;
    let rest = takes(EARLY, SECOND + LATE, async {
        // A byte now and then does not extend the time.
        loop {
            client.send("X").await;
            if let Ok(rest) = tokio::time::timeout(Duration::from_millis(100), client.rest()).await {
                break latin(&rest);
            }
        }
    })
    .await;
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408 "), "{rest}");
    // So is one that sends nothing at all.
    let mut client = site.client().await;
    let rest = takes(EARLY, SECOND + LATE, client.rest()).await;
    assert!(rest.is_empty() || latin(&rest).starts_with("HTTP/1.1 408 "));
    assert_eq!(node.requests(), 0);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let node = Node::start("n").await;
    let server = json!({ "connection": { "keepalive_timeout": 1 } });
    let site = Site::start(&[node.address], server, json!({})).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/").await.status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.get("/").await.status, 200);
    takes(EARLY, SECOND + LATE, client.closed()).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn without_keepalive_every_answer_closes() {
    let node = Node::start("n").await;
    let server = json!({ "connection": { "keepalive": false } });
    let site = Site::start(&[node.address], server, json!({})).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/").await.header("Connection"), Some("close"));
    client.closed().await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_off() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({ "connection": { "timeout": 1 } }), json!({})).await;
    let mut client = site.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 100\r\n\r\nabc").await;
    let rest = takes(EARLY, SECOND + LATE, client.rest()).await;
    assert!(rest.is_empty() || latin(&rest).starts_with("HTTP/1.1 4"), "{}", latin(&rest));
    assert_eq!(node.requests(), 0);
    // One that goes on, however slowly, is served.
    let mut client = site.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 6\r\n\r\n").await;
    for byte in ["a", "b", "c", "d", "e", "f"] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send(byte).await;
    }
    assert_eq!(client.response_to("POST").await.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_answer_that_stalls_is_cut_off() {
    let node = RawNode::start().await;
    let site = Site::start(&[node.address], json!({ "connection": { "timeout": 1 } }), json!({})).await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    let mut at_node = node.accept().await;
    at_node.head().await.unwrap().unwrap();
    at_node.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").await.unwrap();
    let rest = takes(EARLY, SECOND + LATE, client.rest()).await;
    assert!(latin(&rest).ends_with("\r\n\r\nabc"));
    within("the node's connection to go", at_node.rest()).await.ok();
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut_off() {
    let node = Node::with("n", |_| Reply::ok(vec![b'a'; 64 << 20])).await;
    let site = Site::start(&[node.address], json!({ "connection": { "timeout": 1 } }), json!({})).await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    assert!(client.head().await.start.contains("200"));
    takes(
        Duration::from_millis(200),
        SECOND + LATE + LATE,
        eventually("the node's connection to go", async || (node.open() == 0).then_some(())),
    )
    .await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_transaction_has_a_longest_duration() {
    let server = json!({ "connection": { "max_transaction_duration": 1 } });
    let node = RawNode::start().await;
    let site = Site::start(&[node.address], server, json!({})).await;
    // The node answers a byte now and then: no other timer sees anything wrong.
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    let mut at_node = node.accept().await;
    at_node.head().await.unwrap().unwrap();
    at_node.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    takes(EARLY, SECOND + LATE, async {
        loop {
            drop(at_node.send(b"x").await);
            if let Ok(rest) = tokio::time::timeout(Duration::from_millis(100), client.rest()).await {
                break rest.len();
            }
        }
    })
    .await;
    // The node never answers: the client hears of it.
    let mut client = site.client().await;
    client.send(request("POST", "/", &[], b"x")).await;
    let _at_node = node.accept().await;
    let response = takes(EARLY, SECOND + LATE, client.response_to("POST")).await;
    assert_eq!(response.status, 504);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_does_not_answer_in_time_is_504() {
    let node = Node::with("n", |_| Reply::hang()).await;
    let pool = json!({ "connection": { "max_reply_time": 1 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    let mut client = site.client().await;
    client.send(request("POST", "/", &[], b"x")).await;
    let response = takes(EARLY, SECOND + LATE, client.response_to("POST")).await;
    assert_eq!(response.status, 504);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_goes() {
    let node = Node::start("n").await;
    let server = json!({ "basic": { "max_concurrent_connections": 4 } });
    let site = Site::set_up(
        |port| {
            Document::new().server("site", port, "nodes", &server).pool("nodes", &[node.address], &json!({}))
        },
        |setup| setup.arguments(&["--metrics-detail", "objects"]),
    )
    .await;
    let mut first = Vec::new();
    for _ in 0..4 {
        let mut client = site.client().await;
        assert_eq!(client.get("/").await.status, 200);
        first.push(client);
    }
    let held_up = async || {
        let metrics = site.tidegate.scrape().await;
        let line = metrics.lines().find(|line| line.contains("accept_over_limit") && line.contains("site"));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    assert_eq!(held_up().await, 0, "nobody waits");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = site.client().await;
        client.send(request("GET", "/", &["Connection: close"], b"")).await;
        waiting.push(client);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(node.requests(), 4, "more connections than allowed were served");
    let times = held_up().await;
    assert!((1..=2).contains(&times), "{times} times in 300 ms on two workers");
    drop(first);
    for client in &mut waiting {
        assert_eq!(client.response().await.status, 200);
    }
    site.tidegate.stop().await;
}
