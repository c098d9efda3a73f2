//! Where messages begin and end, both ways (RFC 9112 §6–§9, RFC 9110 §8.6, §10.1.1, §15).

use std::time::Duration;

use tidegate_harness::{
    Client, Node, RawNode, Reply, Site,
    client::request,
    eventually, json,
    wire::{Framing, Wire, latin},
};

async fn site(node: &Node) -> Site {
    Site::start(&[node.address], json!({}), json!({})).await
}

async fn raw_site() -> (RawNode, Site) {
    let node = RawNode::start().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    (node, site)
}

/// Reads a request at a raw node.
async fn take(node: &mut Wire) -> String {
    let head = node.head().await.unwrap().expect("a request");
    node.body(head.framing().unwrap().unwrap_or(Framing::None)).await.unwrap();
    latin(&head.raw)
}

#[tokio::test]
async fn chunked_bodies_with_trailers_both_ways() {
    let node = Node::with("n", |request| {
        assert_eq!(request.body.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
        Reply::raw(
            "HTTP/1.1 200 OK\r\nTrailer: X-Check\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-Check: ok\r\n\r\n",
        )
    })
    .await;
    let site = site(&node).await;
    let mut client = site.client().await;
    for _ in 0..3 {
        client
            .send(
                "POST / HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 5\r\nhello\r\n2\r\nyo\r\n0\r\nX-Sum: 7\r\n\r\n",
            )
            .await;
        let response = client.response_to("POST").await;
        assert_eq!(response.text(), "abcdefg");
        assert_eq!(response.body.trailers, [("X-Check".to_owned(), "ok".to_owned())]);
        assert_eq!(node.only().body.data, b"helloyo");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn responses_without_a_body() {
    let node = Node::with("n", |request| match request.target.as_str() {
        "/204" => Reply::raw("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        "/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 500\r\n\r\n"),
        "/head" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        "/head-chunked" => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "/head-nothing" => Reply::raw("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n"),
        _ => Reply::ok("whole"),
    })
    .await;
    let site = site(&node).await;
    let mut client = site.client().await;
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("500")),
        ("HEAD", "/head", 200, Some("500")),
        ("HEAD", "/head-chunked", 200, None),
        ("HEAD", "/head-nothing", 200, None),
        ("GET", "/", 200, Some("5")),
        ("HEAD", "/", 200, Some("5")),
        ("GET", "/", 200, Some("5")),
    ] {
        let response = client.request(method, path, &[], b"").await;
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.header("Content-Length"), length, "{method} {path}");
    }
    // All of it went over the same connections.
    assert_eq!(node.connections(), 1);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn interim_responses_go_through_and_the_final_one_follows() {
    let (node, site) = raw_site().await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    let mut at_node = node.accept().await;
    take(&mut at_node).await;
    at_node
        .send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )
        .await
        .unwrap();
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert!(response.interim.iter().all(|status| *status == 103));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_interim_response_and_no_chunks() {
    let (node, site) = raw_site().await;
    let mut client = site.client().await;
    client.send("GET / HTTP/1.0\r\nHost: site\r\n\r\n").await;
    let mut at_node = node.accept().await;
    assert!(take(&mut at_node).await.starts_with("GET / HTTP/1.1\r\n"));
    at_node
        .send(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
              2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        )
        .await
        .unwrap();
    let head = client.head().await;
    assert!(head.start.contains(" 200 "), "{}", head.start);
    assert_eq!(head.framing().unwrap(), None);
    assert_eq!(client.rest().await, b"abc");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn http_1_0_keeps_alive_only_when_asked() {
    let node = Node::start("n").await;
    let site = site(&node).await;
    let mut client = site.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    client.closed().await;
    let mut client = site.client().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!(response.status, 200);
        assert!(response.header("Connection").unwrap().eq_ignore_ascii_case("keep-alive"));
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_once() {
    let node = Node::echo().await;
    let site = site(&node).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        client
            .send("PUT / HTTP/1.1\r\nHost: site\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await;
        assert!(client.head().await.start.starts_with("HTTP/1.1 100"));
        client.send("hello").await;
        let response = client.response_to("PUT").await;
        assert_eq!((response.status, response.interim.as_slice()), (200, [].as_slice()));
        assert_eq!(node.only().body.data, b"hello");
    }
    // A client that does not wait, and one of HTTP/1.0, whose expectation is ignored (RFC 9110 §10.1.1).
    client.send("PUT / HTTP/1.1\r\nHost: site\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok").await;
    assert_eq!(client.response_to("PUT").await.status, 200);
    let mut client = site.client().await;
    client.send("PUT / HTTP/1.0\r\nHost: site\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok").await;
    let response = client.response_to("PUT").await;
    assert_eq!((response.status, response.interim.as_slice()), (200, [].as_slice()));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_final_answer_in_place_of_100_continue() {
    let (node, site) = raw_site().await;
    let mut client = site.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let mut at_node = node.accept().await;
    assert!(at_node.head().await.unwrap().is_some());
    at_node
        .send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        .await
        .unwrap();
    drop(at_node);
    let response = client.response_to("POST").await;
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_early_response_reaches_a_client_that_is_still_sending() {
    let (node, site) = raw_site().await;
    let mut client = site.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 50000000\r\n\r\n").await;
    client.send(vec![b'a'; 100_000]).await;
    let mut at_node = node.accept().await;
    assert!(at_node.head().await.unwrap().is_some());
    at_node.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    let response = client.response_to("POST").await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    // The rest of the body can no longer be told from a request: the connection must not serve another one.
    assert!(client.rest().await.is_empty());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_early_response_before_a_body_that_does_arrive_keeps_order() {
    let (node, site) = raw_site().await;
    let mut client = site.client().await;
    client.send("POST /one HTTP/1.1\r\nHost: site\r\nContent-Length: 10\r\n\r\n01234").await;
    let mut at_node = node.accept().await;
    assert!(at_node.head().await.unwrap().is_some());
    at_node.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").await.unwrap();
    assert_eq!(client.response_to("POST").await.text(), "early");
    client.send("56789GET /two HTTP/1.1\r\nHost: site\r\n\r\n").await;
    // Either the second request is served, or the connection is closed: never is a body taken for a request.
    let mut second = tokio::select! {
        at_node = node.accept() => at_node,
        rest = client.rest() => {
            assert!(rest.is_empty(), "{:?}", latin(&rest));
            return site.tidegate.stop().await;
        }
    };
    assert!(take(&mut second).await.starts_with("GET /two "));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let node = Node::with("n", |request| {
        // Odd ones are slow: order must not depend on how fast an answer is.
        let slow = request.target.ends_with(['1', '3', '5', '7', '9']);
        Reply::ok(request.target.clone()).after(Duration::from_millis(if slow { 20 } else { 0 }))
    })
    .await;
    let site = site(&node).await;
    let mut client = site.client().await;
    let mut all = Vec::new();
    for number in 0..40 {
        let body = if number % 3 == 0 { vec![b'x'; number] } else { Vec::new() };
        let method = if body.is_empty() { "GET" } else { "POST" };
        all.extend(request(method, &format!("/{number}"), &[], &body));
    }
    client.send(&all).await;
    for number in 0..40 {
        assert_eq!(client.response().await.text(), format!("/{number}"));
    }
    // A last one with close, and one behind it that must not be served.
    client
        .send(
            [request("GET", "/last", &["Connection: close"], b""), request("GET", "/no", &[], b"")].concat(),
        )
        .await;
    assert_eq!(client.response().await.text(), "/last");
    client.closed().await;
    assert!(node.received().iter().all(|request| request.target != "/no"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let node =
        Node::with("n", |request| Reply::ok(request.target.clone()).after(Duration::from_millis(150))).await;
    for proxy_close in [false, true] {
        let site =
            Site::start(&[node.address], json!({ "tcp": { "proxy_close": proxy_close } }), json!({})).await;
        let mut client = site.client().await;
        client.send([request("GET", "/a", &[], b""), request("GET", "/b", &[], b"")].concat()).await;
        client.finish().await;
        assert_eq!(client.response().await.text(), "/a");
        assert_eq!(client.response().await.text(), "/b");
        client.closed().await;
        site.tidegate.stop().await;
    }
}

/// Bytes that nobody reads any more must not cost the client the answer before them.
#[tokio::test]
async fn bytes_behind_the_last_request_do_not_cost_its_answer() {
    let (node, site) = raw_site().await;
    for extra in ["\r\n", "GET /next HTTP/1.1\r\nHost: site\r\n\r\n"] {
        let mut client = site.client().await;
        client.send(request("GET", "/", &["Connection: close"], b"")).await;
        let mut at_node = node.accept().await;
        take(&mut at_node).await;
        client.send(extra).await;
        at_node
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .await
            .unwrap();
        assert_eq!(client.response().await.text(), "hello", "{extra:?}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_client_that_ends_inside_a_message_leaves_nothing_complete_at_the_node() {
    let node = Node::echo().await;
    let site = site(&node).await;
    for text in [
        "GET / HTTP/1.1\r\nHost: si",
        "POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 10\r\n\r\n01234",
        "POST / HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
        "POST / HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n",
    ] {
        let mut client = site.client().await;
        client.send(text).await;
        client.finish().await;
        let rest = latin(&client.rest().await);
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 4"), "{text:?}: {rest}");
        assert_eq!(node.requests(), 0, "{text:?}");
    }
    site.tidegate.stop().await;
}

/// Content that shows where in it something was lost or doubled.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8).collect()
}

#[tokio::test]
async fn big_bodies_pass_unchanged_both_ways() {
    let big = pattern(12_000_000);
    let download = big.clone();
    let node = Node::with("n", move |request| match request.method.as_str() {
        "GET" if request.target == "/chunked" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in download.chunks(70_001) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            Reply::raw(bytes)
        }
        "GET" if request.target == "/close" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            bytes.extend(&download);
            Reply::raw(bytes).close()
        }
        "GET" => Reply::ok(download.clone()),
        _ => Reply::ok(if request.body.data == download { "same" } else { "differs" }),
    })
    .await;
    let site = site(&node).await;
    for path in ["/length", "/chunked", "/close"] {
        assert!(site.get(path).await.body.data == big, "{path} differs");
    }
    assert_eq!(site.request("POST", "/", &[], &big).await.text(), "same");
    let mut client = site.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for chunk in big.chunks(99_991) {
        client.send(format!("{:X}\r\n", chunk.len())).await;
        client.send(chunk).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.response_to("POST").await.text(), "same");
    site.tidegate.stop().await;
}

/// Memory may not grow with what one side sends and the other does not read.
const GROWTH: usize = 24 * 1024;

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_sender_back() {
    let node = Node::with("n", |_| Reply::ok(vec![b'a'; 64 << 20])).await;
    let site = site(&node).await;
    assert_eq!(site.request("HEAD", "/", &[], b"").await.status, 200);
    let before = site.tidegate.rss_kib();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = site.client().await;
        client.send(request("GET", "/", &[], b"")).await;
        clients.push(client);
    }
    // Each answer has begun, and nobody reads on.
    for client in &mut clients {
        assert!(client.head().await.start.contains("200"));
    }
    let mut most = 0;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        most = most.max(site.tidegate.rss_kib());
    }
    assert!(most < before + GROWTH, "memory grew from {before} to {most} KiB");
    drop(clients);
    eventually("connections to the node to go", async || (node.open() == 0).then_some(())).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_does_not_read_holds_the_client_back() {
    let (node, site) = raw_site().await;
    let before = site.tidegate.rss_kib();
    let mut client = site.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 200000000\r\n\r\n").await;
    let at_node = node.accept_stream().await;
    let block = vec![b'a'; 1 << 20];
    let mut sent = 0;
    while sent < 200 {
        let step = tokio::time::timeout(Duration::from_millis(500), client.wire().send(&block)).await;
        match step {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(sent < 60, "{sent} MiB went out with nobody reading");
    let after = site.tidegate.rss_kib();
    assert!(after < before + GROWTH, "memory grew from {before} to {after} KiB");
    drop(at_node);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn bad_responses_are_502_and_never_reach_the_client() {
    let node = RawNode::start().await;
    let pool = json!({ "basic": { "node_connection_attempts": 100 } });
    let site = Site::start(&[node.address], json!({}), pool).await;
    for (name, answer) in [
        ("no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"),
        ("no status", "HTTP/1.1\r\n\r\n"),
        ("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
        ("status 099", "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"),
        ("another major version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "both framings",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        ("an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
        ("chunked not last", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ("obs-fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
        ("bare CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
        ("bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        ("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
        ("a line without a colon", "HTTP/1.1 200 OK\r\njunk\r\n\r\n"),
        (
            "a 101 nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        ),
        ("an end inside the head", "HTTP/1.1 200 OK\r\nContent-"),
    ] {
        let mut client = site.client().await;
        // POST: what was sent is not tried again, so one connection of the node shows it all.
        client.send(request("POST", "/", &[], b"abc")).await;
        let mut at_node = node.accept().await;
        take(&mut at_node).await;
        at_node.send(answer.as_bytes()).await.unwrap();
        if name.starts_with("an end") {
            drop(at_node);
        }
        let response = client.response_to("POST").await;
        assert_eq!(response.status, 502, "{name}: {}", response.text());
        assert!(!response.text().contains("OK"), "{name}: {}", response.text());
        // The next request of the same client, if it may send one, gets its own answer and nothing of the old.
        if response.header("Connection") != Some("close") {
            client.send(request("POST", "/next", &[], b"abc")).await;
            let mut at_node = node.accept().await;
            assert!(take(&mut at_node).await.contains("/next"), "{name}");
            at_node.send(b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nnext").await.unwrap();
            assert_eq!(client.response_to("POST").await.text(), "next", "{name}");
        }
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn bytes_behind_a_response_never_answer_the_next_request() {
    let (node, site) = raw_site().await;
    for (name, answer) in [
        (
            "a second response",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray",
        ),
        ("bytes beyond the length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nonetwo"),
        (
            "bytes behind the last chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\nstray",
        ),
        ("a body behind 204", "HTTP/1.1 204 No Content\r\n\r\nstray"),
    ] {
        let mut client = site.client().await;
        client.send(request("GET", "/one", &[], b"")).await;
        let mut at_node = node.accept().await;
        take(&mut at_node).await;
        at_node.send(answer.as_bytes()).await.unwrap();
        let first = client.response().await;
        assert!(matches!(first.text().as_str(), "one" | ""), "{name}: {}", first.text());
        client.send(request("GET", "/two", &[], b"")).await;
        // The connection is spoilt: the next request needs another one.
        let mut fresh = node.accept().await;
        assert!(take(&mut fresh).await.starts_with("GET /two"), "{name}");
        fresh.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo").await.unwrap();
        assert_eq!(client.response().await.text(), "two", "{name}");
        drop(fresh);
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_answer_cut_short_ends_the_clients_connection() {
    let (node, site) = raw_site().await;
    for (name, answer) in [
        ("inside a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
        ("inside a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
        ("before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ("a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
    ] {
        let mut client = site.client().await;
        client.send(request("GET", "/", &[], b"")).await;
        let mut at_node = node.accept().await;
        take(&mut at_node).await;
        at_node.send(answer.as_bytes()).await.unwrap();
        if name != "a broken chunk" {
            drop(at_node);
        }
        // What is seen before a byte of it has gone to the client may still become a 502.
        let outcome = client.try_response("GET").await;
        let whole = outcome.as_ref().is_ok_and(|response| response.status != 502);
        assert!(!whole, "{name}: the client took it for a whole answer: {outcome:?}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_http_1_0_node_is_understood() {
    let (node, site) = raw_site().await;
    let mut client = site.client().await;
    for number in 0..3 {
        client.send(request("GET", "/", &[], b"")).await;
        let mut at_node = node.accept().await;
        take(&mut at_node).await;
        at_node.send(format!("HTTP/1.0 200 OK\r\n\r\nanswer {number}").as_bytes()).await.unwrap();
        drop(at_node);
        let response = client.response().await;
        assert_eq!(response.text(), format!("answer {number}"));
        // The client's own connection lives on where the body's end can be shown to it.
        if response.header("Connection") == Some("close") {
            client.closed().await;
            client = Client::connect(site.address).await;
        }
    }
    site.tidegate.stop().await;
}
