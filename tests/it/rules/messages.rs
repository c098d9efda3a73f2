//! Heads as rules edit them, and replies of rules.

use tidegate_harness::{Document, Node, Port, Reply, Setup, Site, client::request, json};

use super::{Rules, site, site_with};

/// The rules of the published example documents, where they stand in them: a probe's virtual server without a node, and
/// headers of responses.
#[tokio::test]
async fn the_rules_of_the_example_documents() {
    let node = Node::start("n").await;
    let probe = Port::free();
    let port = Port::free();
    let document = Document::new()
        .server(
            "site",
            port.number(),
            "nodes",
            &json!({ "basic": { "response_rules": ["Powered-By", "Response-Headers"] } }),
        )
        .pool("nodes", &[node.address], &json!({}))
        .server(
            "Internal Health Check",
            probe.number(),
            "discard",
            &json!({ "basic": { "request_rules": ["internal_healthcheck"] } }),
        )
        .raw(
            "rules",
            "Powered-By",
            "    http.setResponseHeader(\"X-Powered-By\", \"Pulse Secure vTM deployed by Helm\");\n",
        )
        .raw("rules", "Response-Headers", "http.setResponseHeader( \"X-Served-Via\", sys.hostname() );\n")
        .raw("rules", "internal_healthcheck", "http.sendResponse( '200 OK', 'text/plain', '', '');");
    let tidegate = Setup::new(&document).start().await;
    let mut client = tidegate_harness::Client::connect(port.address()).await;
    for _ in 0..3 {
        let response = client.get("/").await;
        assert_eq!(response.text(), "n");
        assert_eq!(response.header("X-Powered-By"), Some("Pulse Secure vTM deployed by Helm"));
        assert!(response.header("X-Served-Via").is_some_and(|name| !name.is_empty() && !name.contains('.')));
    }
    let mut client = tidegate_harness::Client::connect(probe.address()).await;
    for _ in 0..3 {
        let response = client.get("/").await;
        assert_eq!((response.status, response.text().as_str()), (200, ""));
        assert_eq!(response.header("Content-Type"), Some("text/plain"));
        assert_eq!(response.header("Content-Length"), Some("0"));
    }
    tidegate.stop().await;
}

#[tokio::test]
async fn heads_are_edited_both_ways() {
    let node = Node::with("n", |request| {
        Reply::ok(request.text()).header("X-Double: 1").header("X-Double: 2").header("X-Inner: secret")
    })
    .await;
    let rules = Rules {
        request: r#"
            http.setHeader( "X-Set", "one" );
            http.addHeader( "X-Many", "b" );
            http.addHeader( "X-Many", "c" );
            http.removeHeader( "X-Gone" );
            http.setHeader( "Host", "inner.example:81" );
            http.setPath( "/new path" );
            http.setHeader( "Content-Length", "7" );
            http.setHeader( "Transfer-Encoding", "chunked" );
            http.addHeader( "Connection", "close" );
            http.setHeader( "X-Bad", "a\r\nX-Smuggled: b" );
            http.setResponseCookie( "seen", "yes", "path=/" );
        "#,
        response: r#"
            http.setResponseHeader( "X-Double", http.getPath() );
            http.removeResponseHeader( "X-Inner" );
            http.setResponseHeader( "Content-Length", "1" );
            http.setResponseHeader( "X-Host", http.getHostHeader() );
            http.setResponseCode( 203, "Edited" );
        "#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        let response =
            client.request("POST", "/old?q=1", &["X-Many: a", "X-Gone: x", "X-SET: zero"], b"hello").await;
        assert_eq!(response.head.start, "HTTP/1.1 203 Edited");
        assert_eq!(response.headers("X-Double"), ["/new path"]);
        assert_eq!(response.header("X-Inner"), None);
        assert_eq!(response.header("X-Host"), Some("inner.example"));
        assert_eq!(response.cookie("seen=").as_deref(), Some("seen=yes"));
        let received = node.only();
        assert_eq!(received.target, "/new%20path?q=1");
        assert_eq!(received.header("Host"), Some("inner.example:81"));
        assert_eq!(received.head.all("X-Many"), ["a", "b", "c"]);
        assert_eq!(received.head.all("X-Set"), ["one"]);
        assert_eq!(received.header("X-Gone"), None);
        assert_eq!(received.header("X-Smuggled"), None);
        assert_eq!(received.header("Content-Length"), Some("5"));
        assert_eq!(received.header("Transfer-Encoding"), None);
        assert_eq!(received.body.data, b"hello");
    }
    assert!(node.faults().is_empty());
    site.tidegate.stop().await;
}

/// What request rules say of the response holds for error pages too; what response rules make of a node's answer does not.
#[tokio::test]
async fn error_pages_have_the_edits_that_request_rules_left() {
    let node = Node::with("n", |request| match request.target.as_str() {
        "/short" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").close(),
        "/broken" => Reply::raw("HTTP/9 what\r\n\r\n"),
        _ => Reply::ok("n"),
    })
    .await;
    let rules = Rules {
        request: r#"
            http.setResponseCookie( "seen", "yes", "path=/" );
            http.setResponseHeader( "Strict-Transport-Security", "max-age=60" );
            http.setResponseHeader( "Content-Type", "text/x" );
            http.removeResponseHeader( "Cache-Control" );
            if( http.getPath() == "/none" ) pool.use( "nobody" );
        "#,
        response: r#"http.setResponseHeader( "X-Answer", "edited" ); http.getResponseBody();"#,
        ..Rules::default()
    };
    let site = site_with(&[node.address], rules, |document| document.pool("nobody", &[], &json!({}))).await;
    for (path, status) in [("/none", 503), ("/broken", 502), ("/short", 502)] {
        let response = site.get(path).await;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.cookie("seen=").as_deref(), Some("seen=yes"), "{path}");
        assert_eq!(response.header("Strict-Transport-Security"), Some("max-age=60"), "{path}");
        assert_eq!(response.headers("Content-Type"), ["text/x"], "{path}");
        assert_eq!((response.header("Cache-Control"), response.header("X-Answer")), (None, None), "{path}");
        assert!(response.text().starts_with("<!doctype html>"), "{path}");
    }
    let response = site.get("/").await;
    assert_eq!((response.header("X-Answer"), response.headers("Set-Cookie").len()), (Some("edited"), 1));
    site.tidegate.stop().await;
}

/// A rule cannot make a head grow without bound: edits are refused, and a head that became too large is an error that says so.
#[tokio::test]
async fn heads_do_not_grow_without_bound() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"
            sub long( $bytes ) { $v = "0123456789"; while( string.len( $v ) < $bytes ) $v .= $v; return $v; }
            $path = http.getPath();
            if( $path == "/names" ) for( $i = 0; $i < 80; $i++ ) http.addHeader( "X-" . $i, "v" );
            if( $path == "/values" ) for( $i = 0; $i < 80; $i++ ) http.addHeader( "X-Many", $i );
            if( $path == "/bytes" ) for( $i = 0; $i < 20; $i++ ) http.addHeader( "X-Many", long( 9000 ) );
            if( $path == "/one" ) http.setHeader( "X-Large", long( 40000 ) );
        "#,
        response: r#"
            $v = "0123456789";
            while( string.len( $v ) < 40000 ) $v .= $v;
            if( http.getPath() == "/answer" ) http.setResponseHeader( "X-Large", $v );
        "#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for (path, most, told) in [
        ("/names", 64, "too many header fields are edited"),
        ("/values", 64, "a header field would have too many values"),
    ] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
        let received = node.only();
        let added = received
            .head
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("X-") && name != "X-Cluster-Client-Ip");
        assert_eq!(added.count(), most, "{path}");
        site.tidegate.line(&["rulelogmsgwarn", told]).await;
    }
    for (path, told) in [
        ("/bytes", "rules made the head of the request larger than a head may be"),
        ("/one", "rules made the head of the request larger than a head may be"),
        ("/answer", "rules made the head of the response larger than a head may be"),
    ] {
        let mark = site.tidegate.mark();
        assert_eq!(site.get(path).await.status, 500, "{path}");
        site.tidegate.line_after(mark, &["connerror", told]).await;
    }
    site.tidegate.line(&["all edits of one head would have too many bytes"]).await;
    assert_eq!(site.get("/").await.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn replies_of_rules() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"
            $path = http.getPath();
            if( $path == "/number" ) http.sendResponse( 403, "text/html", "<p>no</p>", "X-A: 1\r\nX-B: 2" );
            if( $path == "/text" ) http.sendResponse( "299 As You Like", "text/plain", "text", "Connection: close\r\nContent-Length: 99" );
            if( $path == "/empty" ) http.sendResponse( 204, "", "", "" );
            if( $path == "/redirect" ) http.redirect( "http://elsewhere.example/x?y" );
            if( $path == "/site" ) http.changeSite( "www.example.com" );
            if( $path == "/close" ) connection.close( "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi" );
            if( $path == "/discard" ) connection.discard();
        "#,
        response: r#"if( http.getPath() == "/late" ) http.redirect( "/sorry" );"#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    // One connection for all of them.
    let response = client.get("/number").await;
    assert_eq!(
        (response.head.start.as_str(), response.text().as_str()),
        ("HTTP/1.1 403 Forbidden", "<p>no</p>")
    );
    assert_eq!((response.header("X-A"), response.header("X-B")), (Some("1"), Some("2")));
    assert!(response.header("Date").is_some_and(|date| date.ends_with(" GMT")));
    let response = client.get("/text").await;
    assert_eq!(
        (response.head.start.as_str(), response.text().as_str()),
        ("HTTP/1.1 299 As You Like", "text")
    );
    assert_eq!(response.header("Connection"), None);
    let response = client.request("HEAD", "/text", &[], b"").await;
    assert_eq!((response.status, response.header("Content-Length")), (299, Some("4")));
    let response = client.get("/empty").await;
    assert_eq!((response.status, response.header("Content-Length")), (204, None));
    let response = client.get("/redirect").await;
    assert_eq!((response.status, response.header("Location")), (302, Some("http://elsewhere.example/x?y")));
    let response = client.get("/site?q=1").await;
    assert_eq!(
        (response.status, response.header("Location")),
        (301, Some("http://www.example.com/site?q=1"))
    );
    let response = client.get("/late").await;
    assert_eq!((response.status, response.header("Location")), (302, Some("/sorry")));
    let response = client.request("POST", "/late", &[], b"body").await;
    assert_eq!((response.status, response.header("Connection")), (302, None), "the body has been sent on");
    assert_eq!(client.get("/").await.text(), "n");
    // Two at once.
    client
        .send(
            [
                request("GET", "/text", &[], b""),
                request("GET", "/number", &[], b""),
                request("GET", "/", &[], b""),
            ]
            .concat(),
        )
        .await;
    assert_eq!(client.response().await.status, 299);
    assert_eq!(client.response().await.status, 403);
    assert_eq!(client.response().await.text(), "n");
    // HTTP/1.0 with and without keep-alive.
    client.send("GET /text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.header("Connection")), ("text", Some("keep-alive")));
    client.send("GET /text HTTP/1.0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.header("Connection")), ("text", Some("close")));
    client.closed().await;
    // A body that nobody reads is no request.
    let mut client = site.client().await;
    client.send(request("POST", "/text", &[], b"GET /smuggled HTTP/1.1\r\nHost: site\r\n\r\n")).await;
    let response = client.response_to("POST").await;
    assert_eq!((response.text().as_str(), response.header("Connection")), ("text", Some("close")));
    client.closed().await;
    let mut client = site.client().await;
    client.send(request("GET", "/close", &[], b"")).await;
    assert_eq!(client.response().await.text(), "hi");
    client.closed().await;
    let mut client = site.client().await;
    client.send(request("GET", "/discard", &[], b"")).await;
    client.closed().await;
    assert!(node.received().iter().all(|request| request.target != "/smuggled"));
    site.tidegate.stop().await;
}

/// What the client may see of a body goes by its own method and the status it gets; what the node sends, by the node's.
#[tokio::test]
async fn methods_and_statuses_that_change_the_framing() {
    let node = Node::with("n", |request| match request.target.as_str() {
        "/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        "/204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => Reply::ok(format!("{} {}", request.method, request.target)),
    })
    .await;
    let rules = Rules {
        request: r#"$m = http.getHeader( "X-Method" ); if( $m ) http.setMethod( $m );"#,
        response: r#"$c = http.getHeader( "X-Code" ); if( $c ) http.setResponseCode( $c );"#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        // The node sends none, the client waits for one.
        let response = client.request("GET", "/a", &["X-Method: HEAD"], b"").await;
        assert_eq!((response.status, response.text().as_str()), (200, ""));
        // The node sends one, the client does not want it.
        let response = client.request("HEAD", "/b", &["X-Method: GET"], b"").await;
        assert_eq!((response.status, response.header("Content-Length")), (200, Some("6")));
        for code in ["304", "204"] {
            let response = client.request("GET", "/c", &[&format!("X-Code: {code}")], b"").await;
            assert_eq!(
                (response.status.to_string().as_str(), response.header("Content-Length")),
                (code, None)
            );
        }
        for path in ["/304", "/204"] {
            let response = client.request("GET", path, &["X-Code: 200"], b"").await;
            assert_eq!((response.status, response.header("Content-Length")), (200, Some("0")));
        }
        assert_eq!(client.get("/d").await.text(), "GET /d");
    }
    assert!(node.faults().is_empty());
    site.tidegate.stop().await;
}

/// An edit that leaves no valid head is the rule's fault: 500, told, and nothing of the body is taken for a request.
#[tokio::test]
async fn a_head_that_grows_too_large() {
    let node = Node::start("n").await;
    const GROW: &str = r#"$v = "0123456789"; while( string.len( $v ) < 20000 ) { $v = $v . $v; }"#;
    let rules = Rules {
        request: &format!(
            r#"{GROW} if( http.getPath() == "/q" ) {{ http.setHeader( "X-A", $v ); http.setHeader( "X-B", $v ); }}"#
        ),
        response: &format!(
            r#"{GROW} if( http.getPath() == "/r" ) {{ http.setResponseHeader( "X-A", $v ); http.setResponseHeader( "X-B", $v ); }}"#
        ),
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: site\r\n\r\n";
    let mut client = site.client().await;
    client.send(request("POST", "/q", &[], smuggled)).await;
    let response = client.response_to("POST").await;
    assert_eq!((response.status, response.header("Connection")), (500, Some("close")));
    client.closed().await;
    site.tidegate.line(&["WARN", "site", "the head of the request larger than a head may be"]).await;
    let mut client = site.client().await;
    assert_eq!(client.request("HEAD", "/q", &[], b"").await.status, 500);
    assert_eq!(client.get("/r").await.status, 500);
    site.tidegate.line(&["WARN", "site", "the head of the response larger than a head may be"]).await;
    assert_eq!(client.get("/").await.text(), "n");
    assert!(node.received().iter().all(|request| request.target != "/smuggled"));
    site.tidegate.stop().await;
}

/// What is written when a protocol is switched is the node's.
#[tokio::test]
async fn an_upgrade_passes_untouched() {
    let node = Node::with("n", |_| {
        Reply::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        )
        .close()
    })
    .await;
    let rules = Rules {
        request: r#"http.setResponseCookie( "a", "b" );"#,
        response: r#"http.setResponseHeader( "X-A", "b" ); http.setResponseBody( "no" );"#,
        ..Rules::default()
    };
    let site: Site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &["Connection: Upgrade", "Upgrade: websocket"], b"")).await;
    let response = client.response().await;
    assert_eq!((response.status, response.header("X-A"), response.header("Set-Cookie")), (101, None, None));
    assert_eq!(client.rest().await, b"hello");
    drop(client);
    site.tidegate.stop().await;
}
