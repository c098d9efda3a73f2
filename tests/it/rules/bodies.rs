//! Bodies that rules read and replace.

use tidegate_harness::{Node, RawNode, Reply, client::request, eventually, wire::latin};

use super::{on_request, on_response, site};

/// Bytes that differ from each other at every distance.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

const RECEIVED: &str = "tidegate_received_bytes_total";

fn chunked(path: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

const REQUEST: &str = r#"
    $path = http.getPath();
    if( $path == "/read" ) http.setHeader( "X-Body", http.getBody() );
    if( $path == "/edit" ) http.setBody( string.uppercase( http.getBody() ) . "!" );
    if( $path == "/blind" ) http.setBody( "instead" );
    if( $path == "/part" ) http.setHeader( "X-Part", string.len( http.getBody( 1000 ) ) );
    if( $path == "/all" ) http.setHeader( "X-All", string.len( http.getBody() ) );
    if( $path == "/get" ) { http.setBody( "" ); http.setMethod( "GET" ); }
    if( $path == "/answer" ) { $b = http.getBody(); http.sendResponse( 200, "text/plain", $b, "" ); }
"#;

/// What a response rule could not read is not asked for.
#[tokio::test]
async fn nodes_are_asked_for_codings_that_rules_take_off() {
    const ACCEPTED: &str = "gzip, br;q=0.9, zstd";
    let node = Node::start("n").await;
    for (rule, expected) in [
        ("if( http.getPath() == \"/never\" ) http.getResponseBody();", "gzip"),
        ("http.setResponseHeader( \"X-A\", \"b\" );", ACCEPTED),
    ] {
        let site = site(&[node.address], on_response(rule)).await;
        let mut client = site.client().await;
        let accepted = format!("Accept-Encoding: {ACCEPTED}");
        assert_eq!(client.request("GET", "/", &[&accepted], b"").await.status, 200);
        assert_eq!(node.only().header("Accept-Encoding"), Some(expected));
        assert_eq!(client.request("GET", "/", &[], b"").await.status, 200);
        assert_eq!(node.only().header("Accept-Encoding"), None);
        drop(client);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn request_bodies() {
    let node = Node::start("n").await;
    let site = site(&[node.address], on_request(REQUEST)).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        assert_eq!(client.request("POST", "/read", &[], b"hello").await.status, 200);
        let received = node.only();
        assert_eq!(
            (received.header("X-Body"), received.body.data.as_slice()),
            (Some("hello"), &b"hello"[..])
        );
        client.send(chunked("/read", &[b"hel", b"lo"])).await;
        assert_eq!(client.response_to("POST").await.status, 200);
        let received = node.only();
        assert_eq!(
            (received.header("X-Body"), received.body.data.as_slice()),
            (Some("hello"), &b"hello"[..])
        );
        assert_eq!(client.request("POST", "/edit", &[], b"hello").await.status, 200);
        let received = node.only();
        assert_eq!(
            (received.header("Content-Length"), received.body.data.as_slice()),
            (Some("6"), &b"HELLO!"[..])
        );
        client.send(chunked("/edit", &[b"he", b"llo"])).await;
        assert_eq!(client.response_to("POST").await.status, 200);
        let received = node.only();
        assert_eq!(received.header("Transfer-Encoding"), None);
        assert_eq!(received.body.data, b"HELLO!");
        assert_eq!(client.get("/edit").await.status, 200);
        assert_eq!(node.only().body.data, b"!");
        assert_eq!(client.get("/read").await.status, 200);
        assert_eq!(node.only().header("Content-Length"), None);
        let response = client.request("POST", "/answer", &[], b"hello").await;
        assert_eq!((response.text().as_str(), response.header("Connection")), ("hello", None));
    }
    assert!(node.faults().is_empty());
    // The client waits until it is told to send.
    client
        .send("POST /read HTTP/1.1\r\nHost: site\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.head().await.start, "HTTP/1.1 100 Continue");
    client.send("hello").await;
    let response = client.response_to("POST").await;
    assert_eq!((response.status, response.interim.len()), (200, 0));
    assert_eq!(node.only().header("Expect"), None);
    // The rule does not want the body: nobody asks for it.
    client
        .send("POST /blind HTTP/1.1\r\nHost: site\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let response = client.response_to("POST").await;
    assert_eq!(
        (response.status, response.interim.len(), response.header("Connection")),
        (200, 0, Some("close"))
    );
    assert_eq!(node.only().body.data, b"instead");
    site.tidegate.stop().await;
}

/// A body that is not read is never taken for a request, even if it is one.
#[tokio::test]
async fn abandoned_bodies_do_not_become_requests() {
    let node = Node::start("n").await;
    let site = site(&[node.address], on_request(REQUEST)).await;
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: site\r\n\r\n";
    for path in ["/blind", "/get"] {
        for all in [request("POST", path, &[], smuggled), chunked(path, &[smuggled])] {
            let mut client = site.client().await;
            client.send(all).await;
            let response = client.response_to("POST").await;
            assert_eq!((response.status, response.header("Connection")), (200, Some("close")), "{path}");
            client.closed().await;
            let received = node.only();
            assert_eq!(received.target, path);
            match path {
                "/get" => assert_eq!((received.method.as_str(), received.body.data.len()), ("GET", 0)),
                _ => assert_eq!(received.body.data, b"instead"),
            }
        }
    }
    assert!(node.faults().is_empty());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn large_uploads_pass_unchanged_behind_what_was_read() {
    let node = Node::start("n").await;
    let site = site(&[node.address], on_request(REQUEST)).await;
    let body = pattern(5 << 20);
    let mut client = site.client().await;
    let before = site.tidegate.metric(RECEIVED).await;
    assert_eq!(client.request("POST", "/part", &[], &body).await.status, 200);
    let received = node.only();
    assert_eq!(received.header("X-Part"), Some("1000"));
    assert!(received.body.data == body, "the body differs");
    let counted = site.tidegate.metric(RECEIVED).await - before;
    assert!((5 << 20..(5 << 20) + 4096).contains(&counted), "{counted} bytes counted");
    client.send(chunked("/part", &body.chunks(70_001).collect::<Vec<_>>())).await;
    assert_eq!(client.response_to("POST").await.status, 200);
    let received = node.only();
    assert_eq!(received.header("X-Part"), Some("1000"));
    assert!(received.body.data == body, "the body differs");
    assert_eq!(client.request("POST", "/part", &[], b"short").await.status, 200);
    assert_eq!(node.only().header("X-Part"), Some("5"));
    // More than rules may have: they get nothing, the node gets all.
    let body = pattern(18 << 20);
    assert_eq!(client.request("POST", "/all", &[], &body).await.status, 200);
    let received = node.only();
    assert_eq!(received.header("X-All"), Some("0"));
    assert!(received.body.data == body, "the body differs");
    assert!(node.faults().is_empty());
    site.tidegate.stop().await;
}

const RESPONSE: &str = r#"
    $path = http.getPath();
    if( string.startsWith( $path, "/edit" ) ) http.setResponseBody( string.uppercase( http.getResponseBody() ) . "!" );
    if( string.startsWith( $path, "/read" ) ) http.setResponseHeader( "X-Body", http.getResponseBody() );
    if( string.startsWith( $path, "/part" ) ) http.setResponseHeader( "X-Part", string.len( http.getResponseBody( 1000 ) ) );
    if( string.startsWith( $path, "/blind" ) ) http.setResponseBody( "instead" );
"#;

const ZIPPED: [u8; 43] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 202, 44, 40, 72, 77, 81, 40, 73, 173, 40, 81, 200, 79, 83, 40, 201,
    72, 85, 200, 203, 79, 73, 5, 0, 37, 36, 161, 244, 23, 0, 0, 0,
];

#[tokio::test]
async fn response_bodies() {
    let node = Node::with("n", |request| match request.target.rsplit('-').next().unwrap() {
        "chunked" => Reply::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        ),
        "close" => Reply::raw("HTTP/1.1 200 OK\r\n\r\nhello").close(),
        "gzip" => {
            let mut bytes =
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 43\r\n\r\n".to_vec();
            bytes.extend_from_slice(&ZIPPED);
            Reply::raw(bytes)
        }
        "304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 500\r\n\r\n"),
        "204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => Reply::ok("hello"),
    })
    .await;
    let site = site(&[node.address], on_response(RESPONSE)).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        for kind in ["length", "chunked", "close"] {
            let response = client.get(&format!("/edit-{kind}")).await;
            assert_eq!(
                (response.text().as_str(), response.header("Content-Length")),
                ("HELLO!", Some("6")),
                "{kind}"
            );
            assert_eq!(response.header("Transfer-Encoding"), None);
            let response = client.get(&format!("/read-{kind}")).await;
            assert_eq!(
                (response.text().as_str(), response.header("X-Body")),
                ("hello", Some("hello")),
                "{kind}"
            );
            let response = client.get(&format!("/blind-{kind}")).await;
            assert_eq!(response.text(), "instead", "{kind}");
            let response = client.get(&format!("/part-{kind}")).await;
            assert_eq!((response.text().as_str(), response.header("X-Part")), ("hello", Some("5")), "{kind}");
        }
        let response = client.get("/edit-gzip").await;
        assert_eq!(response.text(), "ZIPPED TEXT OF THE NODE!");
        assert_eq!(response.header("Content-Encoding"), None);
        let response = client.get("/read-gzip").await;
        assert_eq!(response.header("X-Body"), Some("zipped text of the node"));
        assert_eq!(
            (response.body.data.as_slice(), response.header("Content-Encoding")),
            (&ZIPPED[..], Some("gzip"))
        );
        // A HEAD is told what a GET is, or nothing.
        let response = client.request("HEAD", "/read-length", &[], b"").await;
        assert_eq!((response.header("X-Body"), response.header("Content-Length")), (Some(""), Some("5")));
        let response = client.request("HEAD", "/edit-length", &[], b"").await;
        assert_eq!((response.status, response.header("Content-Length")), (200, None));
        for (path, length) in
            [("/read-304", Some("500")), ("/edit-304", None), ("/read-204", None), ("/edit-204", None)]
        {
            let response = client.get(path).await;
            assert_eq!(response.header("Content-Length"), length, "{path}");
        }
        assert_eq!(client.get("/").await.text(), "hello");
        // HTTP/1.0 knows no chunks.
        let mut old = site.client().await;
        old.send("GET /part-chunked HTTP/1.0\r\n\r\n").await;
        let all = latin(&old.rest().await);
        assert!(all.ends_with("\r\n\r\nhello"), "{all}");
    }
    assert!(node.faults().is_empty());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn large_responses_pass_unchanged_behind_what_was_read() {
    let body = pattern(5 << 20);
    let sent = body.clone();
    let node = Node::with("n", move |request| match request.target.as_str() {
        "/part-length" => Reply::ok(sent.clone()),
        other => {
            let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
            if other == "/part-chunked" {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in sent.chunks(70_001) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
                Reply::raw(bytes)
            } else {
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(&sent);
                Reply::raw(bytes).close()
            }
        }
    })
    .await;
    let site = site(&[node.address], on_response(RESPONSE)).await;
    let mut client = site.client().await;
    for kind in ["length", "chunked", "close", "length"] {
        let response = client.get(&format!("/part-{kind}")).await;
        assert_eq!(response.header("X-Part"), Some("1000"), "{kind}");
        assert!(response.body.data == body, "the body differs: {kind}");
    }
    site.tidegate.stop().await;
}

/// The client does not wait for a body that it does not get, and nobody else gets the rest of it.
#[tokio::test]
async fn a_body_is_replaced_while_the_node_sends() {
    let node = RawNode::start().await;
    let site = site(&[node.address], on_response(RESPONSE)).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        client.send(request("GET", "/blind", &[], b"")).await;
        let mut wire = node.accept().await;
        wire.head().await.unwrap().unwrap();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc").await.unwrap();
        let response = client.response().await;
        assert_eq!((response.text().as_str(), response.header("Connection")), ("instead", None));
        eventually("the node's connection to end", async || {
            matches!(wire.fill().await, Ok(0) | Err(_)).then_some(())
        })
        .await;
    }
    site.tidegate.stop().await;
}
