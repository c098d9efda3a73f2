//! Responses that rules write piece by piece.

use tidegate_harness::{Node, Reply, Site, client::request};

use super::{Rules, on_request, on_response, site};

/// The response breaks off, and the client can tell.
async fn breaks_off(site: &Site, path: &str) {
    let mut client = site.client().await;
    client.send(request("GET", path, &[], b"")).await;
    assert!(client.try_response("GET").await.is_err(), "{path}");
}

#[tokio::test]
async fn a_response_in_pieces() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            $path = http.getPath();
            if( $path == "/whole" ) {
                http.stream.startResponse( 200, "text/plain" );
                for( $i = 0; $i < 5; $i++ ) { http.stream.writeResponse( "piece " . $i . "\n" ); connection.sleep( 2 ); }
                http.stream.finishResponse( "end" );
            }
            if( $path == "/length" ) {
                http.stream.startResponse( 200, "text/plain", 6 );
                http.stream.writeResponse( "abc" );
                http.stream.finishResponse( "def" );
            }
            if( $path == "/short" ) {
                http.stream.startResponse( 200, "text/plain", 6 );
                http.stream.finishResponse( "abc" );
            }
            if( $path == "/unfinished" ) {
                http.stream.startResponse( 200, "text/plain" );
                http.stream.writeResponse( "abc" );
            }
            if( $path == "/aborted" ) {
                http.stream.startResponse( 200, "text/plain" );
                http.stream.writeResponse( "abc" );
                while( 1 ) { }
            }
        "#,
    );
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        let response = client.get("/whole").await;
        assert_eq!(response.text(), "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\nend");
        assert_eq!(
            (response.header("Transfer-Encoding"), response.header("Content-Type")),
            (Some("chunked"), Some("text/plain"))
        );
        let response = client.get("/length").await;
        assert_eq!((response.text().as_str(), response.header("Content-Length")), ("abcdef", Some("6")));
        let response = client.request("HEAD", "/whole", &[], b"").await;
        assert_eq!(response.status, 200);
        // What no rule has finished is complete with the rules; the node is not asked.
        assert_eq!(client.get("/unfinished").await.text(), "abc");
        assert_eq!(node.requests(), 0);
    }
    client.send("GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.response().await;
    assert!(response.text().ends_with("end") && response.header("Transfer-Encoding").is_none());
    // What breaks off is seen to.
    for path in ["/short", "/aborted"] {
        breaks_off(&site, path).await;
    }
    assert_eq!(node.requests(), 0);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn pieces_of_the_nodes_response() {
    let lines = (0..2000).map(|n| format!("line {n} of the old text\n")).collect::<Vec<_>>().concat();
    let sent = lines.clone();
    let node = Node::with("n", move |request| {
        if request.target.ends_with("/broken") {
            return Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc\n").close();
        }
        Reply::ok(sent.clone()).header("X-Node-Header: kept")
    })
    .await;
    let rules = on_response(
        r#"
            $path = http.getPath();
            if( string.startsWith( $path, "/every" ) ) {
                http.stream.startResponse( 200, "text/plain" );
                $piece = http.stream.readBulkResponse( 4096, "\n" );
                while( string.len( $piece ) ) {
                    http.stream.writeResponse( string.replaceAll( $piece, "old", "new" ) );
                    $piece = http.stream.readBulkResponse( 4096, "\n" );
                }
                http.stream.finishResponse();
            }
            if( string.startsWith( $path, "/first" ) ) {
                http.stream.startResponse( 200, "text/plain" );
                $line = http.stream.readResponse( 4096, "\n" );
                http.stream.continueFromBackend( string.replace( $line, "old", "new" ) );
            }
        "#,
    );
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        let response = client.get("/every").await;
        assert!(response.text() == lines.replace("old", "new"), "{}", response.text());
        assert_eq!(response.header("X-Node-Header"), Some("kept"));
        let response = client.request("POST", "/first", &[], b"upload").await;
        assert!(response.text() == lines.replacen("old", "new", 1), "{}", response.text());
        assert_eq!(client.get("/").await.text(), lines);
    }
    // Before the client has seen a piece there is an answer, later only an end.
    assert_eq!(client.get("/every/broken").await.status, 502);
    breaks_off(&site, "/first/broken").await;
    site.tidegate.stop().await;
}

/// Looking at the beginning of a body takes nothing from the message: whoever comes next on the connection would get the
/// bytes of another response in the place of those that are missing.
#[tokio::test]
async fn looking_at_pieces_takes_nothing_away() {
    let body = (0..500).map(|n| format!("{n:03} ")).collect::<Vec<_>>().concat();
    let sent = body.clone();
    let node = Node::with("n", move |request| {
        let mut kinds = request.target.trim_start_matches('/').split('/');
        match kinds.next() {
            Some("chunked") => Reply::raw(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{}\r\n3e8\r\n{}\r\n0\r\n\r\n",
                &sent[..1000],
                &sent[1000..]
            )),
            Some("close") => Reply::raw(format!("HTTP/1.1 200 OK\r\n\r\n{sent}")).close(),
            Some("large") => Reply::ok(sent.repeat(9000)),
            _ => Reply::ok(sent.clone()),
        }
    })
    .await;
    let rules = on_response(
        r#"
            $path = http.getPath();
            if( string.endsWith( $path, "/looks" ) || string.endsWith( $path, "/aborts" ) ) {
                http.setResponseHeader( "X-Seen", http.stream.readResponse( 4 ) . http.stream.readResponse( 100, "7" ) );
                if( string.endsWith( $path, "/aborts" ) ) while( 1 ) { }
            }
            if( string.endsWith( $path, "/reads" ) ) {
                http.stream.readResponse( 8 );
                http.setResponseBody( http.getResponseBody() . "!" );
            }
            if( string.endsWith( $path, "/streams" ) ) {
                $seen = http.stream.readResponse( 8 );
                http.stream.startResponse( 200, "text/plain" );
                http.stream.continueFromBackend( "<" . $seen . ">" );
            }
            if( string.endsWith( $path, "/all" ) ) {
                $pieces = 0;
                while( string.len( http.stream.readResponse( 1000000 ) ) ) $pieces++;
                http.setResponseHeader( "X-Seen", $pieces );
            }
        "#,
    );
    let site = site(&[node.address], rules).await;
    for kind in ["length", "chunked", "close"] {
        let paths =
            ["looks", "aborts", "reads", "streams", "all", "not"].map(|path| format!("/{kind}/{path}"));
        let mut client = site.client().await;
        client.send(paths.iter().flat_map(|path| request("GET", path, &[], b"")).collect::<Vec<u8>>()).await;
        for path in &paths {
            let response = client.response().await;
            let expected = match path.rsplit('/').next() {
                Some("reads") => format!("{body}!"),
                Some("streams") => format!("<{}>{}", &body[..8], &body[8..]),
                _ => body.clone(),
            };
            assert!(response.text() == expected, "{path}: {}", response.text());
            let seen = match path.rsplit('/').next() {
                Some("looks" | "aborts") => Some("000 001 002 003 004 005 006 007"),
                Some("all") => Some("1"),
                _ => None,
            };
            assert_eq!(response.header("X-Seen"), seen, "{path}");
        }
    }
    // No more is held than rules may hold; the client gets all of it.
    let mut client = site.client().await;
    for path in ["/large/all", "/large/looks", "/large/not"] {
        let response = client.get(path).await;
        assert!(response.text() == body.repeat(9000), "{path}: {} bytes", response.body.data.len());
        if path == "/large/all" {
            let pieces: u32 = response.header("X-Seen").unwrap().parse().unwrap();
            assert!(pieces >= 16, "{pieces} pieces");
        }
    }
    site.tidegate.stop().await;
}

/// A response that a rule has started and nobody has seen is not sent when the rule is aborted: it would be a whole one.
#[tokio::test]
async fn an_abort_before_the_first_piece_is_an_error() {
    let node = Node::start("n").await;
    let text = r#"
        $path = http.getPath();
        if( string.startsWith( $path, "/PHASE" ) ) {
            http.stream.startResponse( 200, "text/plain" );
            if( $path == "/PHASE/begun" ) http.stream.writeResponse( "abc" );
            while( 1 ) { }
        }
    "#;
    let (request_rule, response_rule) = (text.replace("PHASE", "request"), text.replace("PHASE", "response"));
    let request_rule = format!("http.setResponseHeader( \"X-Left\", \"yes\" );{request_rule}");
    let rules = Rules { request: &request_rule, response: &response_rule, ..Rules::default() };
    let site = site(&[node.address], rules).await;
    for phase in ["/request", "/response"] {
        let mut client = site.client().await;
        client.send([request("GET", phase, &[], b""), request("GET", "/", &[], b"")].concat()).await;
        let response = client.response().await;
        assert_eq!((response.status, response.header("X-Left")), (500, Some("yes")), "{phase}");
        assert!(response.text().contains("aborted"), "{phase}: {}", response.text());
        assert_eq!(client.response().await.status, 200, "{phase}");
        breaks_off(&site, &format!("{phase}/begun")).await;
    }
    site.tidegate.stop().await;
}
