//! What rules order reaches both sides as it was meant: fields that only the proxy and its rules may set, edits of a response
//! that is yet to come, nodes given by name, and what is told at the end.

use std::time::Duration;

use tidegate_harness::{Node, RawNode, Reply, client::request, wait::takes};

use super::{Rules, on_request, site};

/// What rules give of the fields that clients may not set reaches the node; what clients send of them reaches nobody.
#[tokio::test]
async fn reserved_fields_are_those_of_rules() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"
            http.setHeader( "X-Seen", "[" . http.getHeader( "X-Forwarded-Proto" ) . http.getHeader( "X-Cluster-Client-Ip" )
                . http.getHeader( "SSLClientCertStatus" ) . "]" );
            if( http.getPath() == "/set" ) {
                http.setHeader( "X-Forwarded-Proto", "http" );
                http.setHeader( "X-Cluster-Client-Ip", "192.0.2.7" );
                http.setHeader( "SSLClientCertStatus", "OK" );
                http.addHeader( "X-Hop", "rule" );
                http.setHeader( "Cookie", "a=1" );
            }
        "#,
        response: r#"http.setResponseHeader( "X-Later", http.getHeader( "X-Forwarded-Proto" ) );"#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    let forged = [
        "X-Forwarded-Proto: forged",
        "X-Cluster-Client-Ip: forged",
        "SSLClientCertStatus: forged",
        "X-Hop: client",
        "Connection: X-Hop, Cookie",
    ];
    let response = client.request("GET", "/set", &forged, b"").await;
    assert_eq!(response.header("X-Later"), Some("http"));
    let received = node.only();
    assert_eq!(received.header("X-Seen"), Some("[]"));
    for (name, value) in [
        ("X-Forwarded-Proto", "http"),
        ("X-Cluster-Client-Ip", "192.0.2.7"),
        ("SSLClientCertStatus", "OK"),
        ("X-Hop", "rule"),
        ("Cookie", "a=1"),
    ] {
        assert_eq!(received.head.all(name), [value], "{name}");
    }
    let response = client.request("GET", "/", &forged[..3], b"").await;
    assert_eq!(response.header("X-Later"), Some(""));
    let received = node.only();
    assert_eq!(received.head.all("X-Cluster-Client-Ip"), ["127.0.0.1"]);
    assert_eq!((received.header("X-Forwarded-Proto"), received.header("SSLClientCertStatus")), (None, None));
    site.tidegate.stop().await;
}

/// What request rules say of the response is said of the one that comes, as if a response rule had said it first.
#[tokio::test]
async fn edits_of_a_response_to_come() {
    let node = Node::with("n", |request| match request.target.as_str() {
        "/bare" => Reply::ok("n"),
        _ => Reply::ok("n")
            .header("X-Multi: node")
            .header("Set-Cookie: lang=en; Path=/")
            .header("Set-Cookie: sid=node; Path=/; HttpOnly")
            .header("Set-Cookie: other=1"),
    })
    .await;
    let rules = Rules {
        request: r#"
            http.setResponseCookie( "a", "1" );
            http.setResponseCookie( "a", "2" );
            http.setResponseCookie( "sid", "mine" );
            http.removeResponseCookie( "lang" );
            http.addResponseHeader( "X-Multi", "one" );
            http.addResponseHeader( "X-Multi", "two" );
            if( http.getPath() == "/own" ) http.sendResponse( 200, "text/plain", "own", "X-Multi: own" );
        "#,
        response: r#"
            http.addResponseHeader( "X-Multi", "three" );
            if( http.getPath() == "/sorry" ) http.redirect( "/elsewhere" );
        "#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    let response = client.get("/").await;
    assert_eq!(response.headers("X-Multi"), ["node, one, two, three"]);
    assert_eq!(response.headers("Set-Cookie"), ["sid=mine; Path=/; HttpOnly", "other=1", "a=2"]);
    let response = client.get("/bare").await;
    assert_eq!(response.headers("X-Multi"), ["one, two, three"]);
    assert_eq!(response.headers("Set-Cookie"), ["a=2", "sid=mine"]);
    let response = client.get("/own").await;
    assert_eq!(response.headers("X-Multi"), ["own, one, two"]);
    assert_eq!(response.headers("Set-Cookie"), ["a=2", "sid=mine"]);
    // The node's cookies are none of the redirect's.
    let response = client.get("/sorry").await;
    assert_eq!(response.headers("Set-Cookie"), ["a=2", "sid=mine"]);
    assert_eq!(response.headers("X-Multi"), ["one, two, three"]);
    site.tidegate.stop().await;
}

/// `pool.use` takes the name of a host as well as its address.
#[tokio::test]
async fn a_node_can_be_given_by_name() {
    let (usual, stranger) = (Node::start("usual").await, Node::start("stranger").await);
    let script = format!(
        r#"
            if( http.getPath() == "/name" ) pool.use( "nodes", "localhost", {port} );
            if( http.getPath() == "/select" ) http.setHeader( "X-Selected", pool.select( "nodes", "localhost", {port} ) );
            if( http.getPath() == "/nowhere" ) pool.use( "nodes", "not..a..name", {port} );
        "#,
        port = stranger.address.port()
    );
    let site = site(&[usual.address], on_request(&script)).await;
    assert_eq!(site.get("/name").await.node(), "stranger");
    assert_eq!(site.get("/select").await.node(), "stranger");
    assert_eq!(site.get("/nowhere").await.node(), "usual");
    site.tidegate.line(&["no address was found for the host `not..a..name`"]).await;
    site.tidegate.stop().await;
}

/// Of a request that has failed, its end tells where it was tried last.
#[tokio::test]
async fn failed_requests_tell_their_last_node() {
    let node = Node::with("n", |_| Reply::close_now()).await;
    let rules = Rules {
        completion: r#"log.info( "end at " . connection.getPool() . " " . connection.getNode() );"#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    assert_eq!(site.get("/").await.status, 502);
    site.tidegate.line(&[&format!("end at nodes {}", node.address)]).await;
    site.tidegate.stop().await;
}

/// Tells how a request has ended.
const ENDED: &str =
    r#"log.info( "end of " . http.getPath() . ": " . connection.getCompletionReasonCode() );"#;

const LATE: Duration = Duration::from_millis(1500);
const EARLY: Duration = Duration::from_millis(900);
const SECOND: Duration = Duration::from_secs(1);

/// `connection.timeout` is of both directions: a silent node and a rule that waits end by it, also where a rule sets it.
#[tokio::test]
async fn nothing_moves_for_longer_than_the_timeout() {
    let node = RawNode::start().await;
    let rules = Rules {
        request: r#"
            request.setVirtualServerTimeout( 1 );
            if( http.getPath() == "/sleep" ) connection.sleep( 60000 );
        "#,
        completion: ENDED,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    for (path, code) in [("/silent", "TIMEOUT"), ("/sleep", "TIMEOUT_PROCESSING_RULE")] {
        let mut client = site.client().await;
        client.send(request("GET", path, &["Connection: close"], b"")).await;
        let rest = takes(EARLY, SECOND + LATE, client.rest()).await;
        assert!(rest.starts_with(b"HTTP/1.1 504 "), "{path}");
        site.tidegate.line(&[&format!("end of {path}: {code}")]).await;
    }
    site.tidegate.stop().await;
}

/// Whether the client has got its answer decides what completion rules are told.
#[tokio::test]
async fn an_answer_that_nobody_has_got_is_not_complete() {
    let node = RawNode::start().await;
    let rules = Rules {
        request: r#"
            if( http.getPath() == "/short" ) {
                http.stream.startResponse( 200, "text/plain", 10 );
                http.stream.writeResponse( "abc" );
                http.stream.finishResponse();
            }
        "#,
        completion: ENDED,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    for round in 0..5 {
        let path = format!("/gone{round}");
        let mut client = tokio::net::TcpStream::connect(site.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, &request("GET", &path, &[], b"")).await.unwrap();
        let mut asked = node.accept().await;
        asked.head().await.unwrap().expect("a request");
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await.unwrap();
        site.tidegate.line(&[&format!("end of {path}: CONNECTION_CLOSED_CLIENT")]).await;
    }
    let mut client = site.client().await;
    client.send(request("GET", "/short", &[], b"")).await;
    client.rest().await;
    site.tidegate.line(&["end of /short: INTERNAL_ERROR"]).await;
    site.tidegate.stop().await;
}

/// What cannot be sent is told with its cause and the rule's name.
#[tokio::test]
async fn what_rules_make_impossible_is_told() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            if( http.getPath() == "/connect" ) http.setMethod( "CONNECT" );
            $v = "0123456789";
            while( string.len( $v ) < 40000 ) $v .= $v;
            if( http.getPath() == "/large" ) http.setHeader( "X-Large", $v );
        "#,
    );
    let site = site(&[node.address], rules).await;
    assert_eq!(site.get("/connect").await.status, 200);
    site.tidegate.line(&["on request", "the method was not changed: CONNECT asks for a tunnel"]).await;
    assert_eq!(site.get("/large").await.status, 500);
    site.tidegate
        .line(&[
            "on request",
            "the head of the request cannot be sent",
            "the head is too long",
            "32768 bytes",
        ])
        .await;
    site.tidegate.stop().await;
}
