//! The end: SIGTERM finishes what is in flight, SIGHUP reads again, health says what is going on.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::Signal;
use tidegate_harness::{
    Client, Node, RawNode, Reply, Setup, Site, Value,
    client::request,
    eventually, json,
    tls::Pair,
    wait::{takes, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
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

/// A connection over which nothing is sent; the kernel keeps it to itself for a second, in wait of its first bytes.
async fn silent(site: &Site) -> TcpStream {
    within("connect", TcpStream::connect(site.address)).await.unwrap()
}

#[tokio::test]
async fn clients_that_say_nothing_do_not_hold_up_the_end() {
    // Much shorter than the time a client has for its first words while the process stays.
    let soon = Duration::from_secs(5);
    let end = async |server: Value| {
        let node = Node::start("n").await;
        let pair = Pair::ecdsa(&["site"]);
        let mut site = Site::with(&[node.address], server, json!({}), |document| {
            document.key("pair", &pair.certificate, &pair.key)
        })
        .await;
        let mut accepted = silent(&site).await;
        eventually("the kernel to hand it over", async || {
            (site.tidegate.metric("tidegate_connections").await == 1).then_some(())
        })
        .await;
        let mut held_back = silent(&site).await;
        site.tidegate.signal(Signal::TERM);
        let status = takes(Duration::ZERO, soon, site.tidegate.wait()).await;
        site.tidegate.assert_clean(status);
        assert!(!site.tidegate.log().contains("cut off"), "{}", site.tidegate.log());
        let read = within("the end", accepted.read(&mut [0; 9])).await;
        assert!(matches!(read, Ok(0)), "{read:?}");
        // Nobody ever had the one that was held back: what it sends now meets a reset.
        drop(held_back.write_all(b"GET ").await);
        let read = within("a reset", held_back.read(&mut [0; 9])).await;
        assert!(read.as_ref().map_or(true, |read| *read == 0), "{read:?}");
    };
    tokio::join!(
        end(json!({ "basic": { "connect_timeout": 60 } })),
        end(json!({
            "basic": { "connect_timeout": 60, "ssl_decrypt": true },
            "ssl": { "server_cert_default": "pair" },
        })),
        end(json!({ "basic": { "connect_timeout": 60, "proxy_protocol": true } })),
    );
}

#[tokio::test]
async fn a_client_that_connected_before_the_end_may_still_ask_once() {
    let node = Node::start("n").await;
    // Its first bytes have to come soon after the end has begun; a slow machine gets another try.
    for _ in 0..5 {
        let mut site = Site::start(&[node.address], json!({}), json!({})).await;
        let mut idle = site.client().await;
        assert_eq!(idle.get("/").await.status, 200);
        let mut waiting = site.client().await;
        let signalled = Instant::now();
        site.tidegate.signal(Signal::TERM);
        // Idle connections close when the end has begun.
        idle.closed().await;
        waiting.send(request("GET", "/", &[], b"")).await;
        let in_time = signalled.elapsed() < Duration::from_millis(150);
        let response = waiting.try_response("GET").await;
        let status = site.tidegate.wait().await;
        site.tidegate.assert_clean(status);
        if in_time {
            let response = response.unwrap();
            assert_eq!(response.status, 200);
            assert_eq!(response.header("Connection"), Some("close"), "the client should not come again");
            waiting.closed().await;
            return;
        }
    }
    panic!("the end never began in time");
}

#[tokio::test]
async fn a_client_that_asks_when_nobody_accepts_any_more_is_turned_away_whole() {
    let node = Node::with("n", |received| match received.target.as_str() {
        "/slow" => Reply::ok("late").after(Duration::from_secs(2)),
        _ => Reply::ok("x"),
    })
    .await;
    let mut site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut busy = site.client().await;
    busy.send(request("POST", "/slow", &[], b"x")).await;
    eventually("the request to arrive", async || (node.requests() == 1).then_some(())).await;
    let mut held_back = silent(&site).await;
    site.tidegate.signal(Signal::TERM);
    site.tidegate.wait_refused(site.address).await;
    let mut answer = Vec::new();
    // The answer to the request may be a reset, before or after it is written.
    drop(held_back.write_all(&request("GET", "/", &[], b"")).await);
    drop(within("the end", held_back.read_to_end(&mut answer)).await);
    // Where the machine was so slow that the kernel had handed it over before, it is served like any other.
    let served = answer.starts_with(b"HTTP/1.1 200 ");
    assert!(served || answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(node.requests(), 1 + usize::from(served));
    assert_eq!(busy.response_to("POST").await.text(), "late", "others are not concerned");
    let status = site.tidegate.wait().await;
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
async fn the_private_home_of_a_killed_process_is_removed_by_the_next() {
    let node = Node::start("n").await;
    let mut site = Site::start(&[node.address], json!({}), json!({})).await;
    let homes = |site: &Site| -> Vec<PathBuf> {
        let entries = fs::read_dir(site.tidegate.temporary()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains("tidegate-home-")).collect()
    };
    let left = homes(&site);
    assert_eq!(left.len(), 1, "{left:?}");
    site.tidegate.kill_and_restart().await;
    assert_eq!(homes(&site).len(), 2, "the one that was left might be that of a process that has just begun");
    let old = SystemTime::now() - Duration::from_hours(1);
    for home in homes(&site) {
        File::open(home).unwrap().set_modified(old).unwrap();
    }
    site.tidegate.kill_and_restart().await;
    let kept = homes(&site);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_ne!(kept, left);
    site.tidegate.signal(Signal::TERM);
    site.tidegate.wait().await;
    assert_eq!(homes(&site).len(), 0);
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
