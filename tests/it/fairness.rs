//! Everybody gets a turn: no client keeps a data worker to itself, and whoever waits is called when there is room.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tidegate_harness::{
    Client, Document, Node, Port, Reply, Tidegate, client::request, eventually, json, wait::takes,
};

/// Requests that the flood sends in one go.
const TOGETHER: usize = 2_000;

/// Sends requests without end and reads the answers, until the connection is shut down.
struct Flood {
    stream: TcpStream,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Flood {
    fn start(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let (mut sender, mut reader) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let many = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(TOGETHER);
        let sending = thread::spawn(move || while sender.write_all(&many).is_ok() {});
        let bytes = Arc::clone(&answered);
        let reading = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                bytes.fetch_add(n, Ordering::Relaxed);
            }
        });
        Self { stream, answered, threads: vec![sending, reading] }
    }

    fn bytes(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // It may be over already.
        let _over = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

#[tokio::test]
async fn a_client_that_pipelines_without_end_holds_up_nobody() {
    let node = Node::start("n").await;
    let (answering, other) = (Port::free(), Port::free());
    let document = Document::new()
        .raw("rules", "answer", "http.sendResponse( \"200 OK\", \"text/plain\", \"x\", \"\" );")
        .server(
            "answering",
            answering.number(),
            "nodes",
            &json!({ "basic": { "request_rules": ["answer"] } }),
        )
        .server("other", other.number(), "nodes", &json!({}))
        .pool("nodes", &[node.address], &json!({}));
    let tidegate = Tidegate::start(&document).await;
    let flood = Flood::start(answering.address());
    eventually("the flood to be answered", async || (flood.bytes() > 100_000).then_some(())).await;
    // Of as many connections some are on the worker of the flood.
    for _ in 0..12 {
        let before = flood.bytes();
        let mut client = Client::connect(other.address()).await;
        let served = takes(Duration::ZERO, Duration::from_secs(3), client.get("/")).await;
        assert_eq!(served.node(), "n");
        eventually("the flood to go on", async || (flood.bytes() > before).then_some(())).await;
    }
    drop(flood);
    tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_joins_takes_those_who_wait() {
    let busy = Node::with("busy", |_| Reply::hang()).await;
    let joins = Node::start("joins").await;
    let port = Port::free();
    let document = |nodes: &[SocketAddr]| {
        let pool = json!({ "connection": { "max_transactions_per_node": 1, "queue_timeout": 30 } });
        Document::new().server("site", port.number(), "nodes", &json!({})).pool("nodes", nodes, &pool)
    };
    let mut tidegate = Tidegate::start(&document(&[busy.address])).await;
    let mut first = Client::connect(port.address()).await;
    first.send(request("GET", "/", &[], b"")).await;
    eventually("the node to be busy", async || (busy.requests() == 1).then_some(())).await;
    let mut waits = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(port.address()).await;
        client.send(request("GET", "/", &[], b"")).await;
        waits.push(client);
    }
    let queued = async || tidegate.metric("tidegate_pool_queue_length{pool=\"nodes\"}").await == 4;
    eventually("four to wait", async || queued().await.then_some(())).await;
    tidegate.document(&document(&[busy.address, joins.address])).await;
    for client in &mut waits {
        let response = takes(Duration::ZERO, Duration::from_secs(3), client.response()).await;
        assert_eq!(response.node(), "joins");
    }
    // The node never answers the first request: there is nothing to wait for at the end.
    tidegate.assert_calm();
}

#[tokio::test]
async fn a_wait_does_not_begin_anew_when_the_pool_changes() {
    let busy = Node::with("busy", |_| Reply::hang()).await;
    let port = Port::free();
    let document = |change: usize| {
        let pool = json!({ "connection": {
            "max_transactions_per_node": 1, "queue_timeout": 2, "max_reply_time": 30 + change,
        } });
        Document::new().server("site", port.number(), "nodes", &json!({})).pool(
            "nodes",
            &[busy.address],
            &pool,
        )
    };
    let mut tidegate = Tidegate::start(&document(0)).await;
    let mut first = Client::connect(port.address()).await;
    first.send(request("GET", "/", &[], b"")).await;
    eventually("the node to be busy", async || (busy.requests() == 1).then_some(())).await;
    let mut client = Client::connect(port.address()).await;
    let began = Instant::now();
    client.send(request("GET", "/", &[], b"")).await;
    let waits = tokio::spawn(async move { (client.response().await.status, began.elapsed()) });
    let mut changes = 0;
    while !waits.is_finished() && began.elapsed() < Duration::from_secs(8) {
        changes += 1;
        tidegate.document(&document(changes)).await;
    }
    let (status, waited) = waits.await.unwrap();
    assert_eq!(status, 503);
    assert!(changes > 1 && waited < Duration::from_secs(4), "{waited:?}, {changes} changes");
    tidegate.assert_calm();
}
