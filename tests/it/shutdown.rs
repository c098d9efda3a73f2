//! The end: SIGTERM finishes what is in flight, SIGHUP reads again, health says what is going on.

use std::time::Duration;

use rustix::process::Signal;
use tidegate_harness::{
    Client, Node, RawNode, Reply, Setup, Site, client::request, eventually, json, wait::takes,
};

#[tokio::test]
async fn sigterm_finishes_requests_and_takes_no_new_connections() {
    let node = Node::with("n", |_| Reply::ok("late").after(Duration::from_secs(1))).await;
    let mut site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut idle = site.client().await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut busy = site.client().await;
    busy.send(request("POST", "/", &[], b"x")).await;
    eventually("the request to arrive", async || (node.requests() == 2).then_some(())).await;
    site.tidegate.signal(Signal::TERM);
    site.tidegate.wait_refused(site.address).await;
    idle.closed().await;
    let response = busy.response_to("POST").await;
    assert_eq!(response.text(), "late");
    assert_eq!(response.header("Connection"), Some("close"), "the client should know not to come again");
    busy.closed().await;
    let status = takes(Duration::ZERO, Duration::from_secs(3), site.tidegate.wait()).await;
    site.tidegate.assert_clean(status);
}

#[tokio::test]
async fn the_grace_period_has_an_end() {
    let node = RawNode::start().await;
    let mut site = Site::set_up(
        |port| {
            tidegate_harness::Document::new().server("site", port, "nodes", &json!({})).pool(
                "nodes",
                &[node.address],
                &json!({}),
            )
        },
        |setup| setup.arguments(&["--grace", "1"]),
    )
    .await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    let _at_node = node.accept().await;
    site.tidegate.signal(Signal::TERM);
    let status = takes(Duration::from_millis(900), Duration::from_secs(4), site.tidegate.wait()).await;
    site.tidegate.assert_clean(status);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let node = RawNode::start().await;
    let mut site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    let _at_node = node.accept().await;
    site.tidegate.signal(Signal::TERM);
    site.tidegate.wait_refused(site.address).await;
    site.tidegate.signal(Signal::INT);
    takes(Duration::ZERO, Duration::from_secs(3), site.tidegate.wait()).await;
    site.tidegate.assert_calm();
}

#[tokio::test]
async fn sighup_reads_the_documents_again() {
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mark = site.tidegate.mark();
    site.tidegate.signal(Signal::HUP);
    site.tidegate.line_after(mark, &["SIGHUP"]).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/").await.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn health_pages() {
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/", 404), ("/nothing", 404)] {
        assert_eq!(site.tidegate.health_status(path).await, status, "{path}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn not_ready_while_a_first_discovery_answer_is_missing_and_ready_after_its_deadline() {
    let dns = tidegate_harness::Dns::start().await;
    dns.mode(tidegate_harness::dns::Mode::Drop);
    let port = tidegate_harness::Port::free();
    let document =
        tidegate_harness::Document::new().server("site", port.number(), "nodes", &json!({})).discovered(
            "nodes",
            &format!("--servicename=_http._tcp.svc.cluster.local. --nameserver={}", dns.address),
            &json!({}),
        );
    let tidegate = Setup::new(&document).not_ready().start().await;
    eventually("live", async || (tidegate.health_status("/livez").await == 200).then_some(())).await;
    eventually("the listener", async || Client::try_connect(port.address()).await.ok().map(drop)).await;
    assert_eq!(tidegate.health_status("/readyz").await, 503);
    takes(
        Duration::from_secs(6),
        Duration::from_secs(14),
        eventually("ready", async || (tidegate.health_status("/readyz").await == 200).then_some(())),
    )
    .await;
    tidegate.stop().await;
}
