//! How client connections end: clients that leave before their answer, and connections that are closed by a reset.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tidegate_harness::{
    Client, Node, RawNode, Reply, Site,
    client::request,
    eventually, json,
    tls::{self, Pair, Version},
    wait::{takes, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Within this a client's leaving must have reached the node.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn connect(address: SocketAddr) -> TcpStream {
    within("connect", TcpStream::connect(address)).await.unwrap()
}

/// Leaves with a reset.
fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_place_at_its_silent_node() {
    let node = RawNode::start().await;
    let limits = json!({ "connection": { "max_transactions_per_node": 1 } });
    let site = Site::start(&[node.address], json!({}), limits).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let beginnings = [
        ("before an answer", String::new()),
        ("in the middle of a head", head[..20].to_owned()),
        ("in the middle of a small body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_owned()),
        ("in the middle of a large body", format!("{head}{}", "x".repeat(100_000))),
        (
            "in the middle of a chunked body",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_owned(),
        ),
    ];
    for (when, beginning) in beginnings {
        // At once, and after the node has been silent for a while.
        for silence in [Duration::ZERO, Duration::from_millis(400)] {
            let mut client = connect(site.address).await;
            client.write_all(&request("GET", "/", &[], b"")).await.unwrap();
            let mut asked = node.accept().await;
            asked.head().await.unwrap().expect("a request");
            asked.send(beginning.as_bytes()).await.unwrap();
            if beginning.contains("\r\n\r\n") {
                within("the beginning", client.read_exact(&mut [0; 3])).await.unwrap();
            }
            tokio::time::sleep(silence).await;
            reset(client);
            // What is unread at the client's end makes this a reset as well, so an error is an end.
            let ended = takes(Duration::ZERO, AT_ONCE, asked.rest()).await;
            assert!(ended.map_or(true, |rest| rest.is_empty()), "{when}");
        }
    }
    // The only place at the node is free.
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    let mut asked = takes(Duration::ZERO, AT_ONCE, node.accept()).await;
    asked.head().await.unwrap().expect("a request");
    asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(client.response().await.text(), "ok");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_in_the_queue_gives_its_place_back() {
    let node = RawNode::start().await;
    let pair = Pair::ecdsa(&["site"]);
    let config = tls::client(Version::Both);
    for encrypted in [false, true] {
        let server = if encrypted {
            json!({ "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "pair" } })
        } else {
            json!({})
        };
        let limits = json!({ "connection": {
            "max_transactions_per_node": 1, "max_queue_size": 1, "queue_timeout": 30,
        } });
        let site = Site::with(&[node.address], server, limits, |document| {
            document.key("pair", &pair.certificate, &pair.key)
        })
        .await;
        let connect = async || {
            if encrypted { Client::tls(site.address, &config, "site").await } else { site.client().await }
        };
        let waiting = async |length: u64| {
            let series = "tidegate_pool_queue_length{pool=\"nodes\"}";
            let seen = async || (site.tidegate.metric(series).await == length).then_some(());
            takes(Duration::ZERO, AT_ONCE, eventually(&format!("{series} {length}"), seen)).await;
        };
        let mut first = connect().await;
        first.send(request("GET", "/first", &[], b"")).await;
        let mut asked = node.accept().await;
        asked.head().await.unwrap().expect("a request");
        for _ in 0..3 {
            let leaving = connect_stream(site.address, encrypted.then_some(&config)).await;
            waiting(1).await;
            reset(leaving);
            waiting(0).await;
        }
        // The only place in the queue is free: the next one waits there until the node is.
        let mut second = connect().await;
        second.send(request("GET", "/second", &["Connection: close"], b"")).await;
        waiting(1).await;
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await.unwrap();
        assert_eq!(first.response().await.text(), "a");
        // Over the same connection, or over one of the other worker.
        let mut again = tokio::select! {
            head = asked.head() => { head.unwrap().expect("a request"); asked }
            mut other = node.accept() => { other.head().await.unwrap().expect("a request"); other }
        };
        again.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb").await.unwrap();
        assert_eq!(second.response().await.text(), "b");
        drop((first, second));
        site.tidegate.stop().await;
    }
}

/// A request under way over a connection that [`reset`] can end.
async fn connect_stream(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> TcpStream {
    let head = request("GET", "/leaving", &[], b"");
    let Some(config) = tls else {
        let mut plain = connect(address).await;
        plain.write_all(&head).await.unwrap();
        return plain;
    };
    let mut encrypted = Client::tls_stream(address, config, "site").await.unwrap();
    encrypted.write_all(&head).await.unwrap();
    encrypted.flush().await.unwrap();
    encrypted.into_inner().0
}

#[tokio::test]
async fn a_tls_client_that_leaves_is_noticed_too() {
    let node = RawNode::start().await;
    let pair = Pair::ecdsa(&["site"]);
    let server = json!({ "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "pair" } });
    let site = Site::with(&[node.address], server, json!({}), |document| {
        document.key("pair", &pair.certificate, &pair.key)
    })
    .await;
    let config = tls::client(Version::Both);
    let mut client = Client::tls_stream(site.address, &config, "site").await.unwrap();
    client.write_all(&request("GET", "/", &[], b"")).await.unwrap();
    let mut asked = node.accept().await;
    asked.head().await.unwrap().expect("a request");
    reset(client.into_inner().0);
    drop(takes(Duration::ZERO, AT_ONCE, asked.rest()).await);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_client_that_has_only_finished_sending_waits_for_a_slow_node() {
    let slow = Duration::from_millis(700);
    let node = Node::with("n", move |_| Reply::ok("slow").after(slow)).await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    client.finish().await;
    assert_eq!(client.response().await.text(), "slow");
    client.closed().await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_reset_comes_only_after_the_client_has_its_answer() {
    let body = vec![b'x'; 1_000_000];
    let node = Node::with("n", {
        let body = body.clone();
        move |request| if request.target == "/large" { Reply::ok(body.clone()) } else { Reply::ok("small") }
    })
    .await;
    let site = Site::start(&[node.address], json!({ "tcp": { "close_with_rst": true } }), json!({})).await;
    for (target, length) in [("/small", 5), ("/large", body.len())] {
        // A client that takes its time, with little room for what it has not read.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut client = within("connect", socket.connect(site.address)).await.unwrap();
        client.write_all(&request("GET", target, &["Connection: close"], b"")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut answer = Vec::new();
        let end = within("the end", client.read_to_end(&mut answer)).await;
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(answer.len() - head, length, "{target}");
        assert_eq!(end.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset), "{target}");
    }
    site.tidegate.stop().await;
}
