//! Rules that go wrong: only they are ended.

use std::time::{Duration, Instant};

use tidegate_harness::{Document, Node, Reply, Site, client::request, json};

use super::{Rules, on_request, site, site_with};

#[tokio::test]
async fn only_the_faulty_run_is_ended() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"
            sub down( $n ) { return down( $n + 1 ); }
            $path = http.getPath();
            http.setHeader( "X-Before", "set" );
            if( $path == "/loop" ) while( 1 ) { }
            if( $path == "/pattern" ) {
                string.regexmatch( "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "^(a|a)*(a|a)*(a|a)*$" );
                string.regexmatch( "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "^(a+)+\\1$" );
            }
            if( $path == "/deep" ) down( 0 );
            if( $path == "/memory" ) { $v = "0123456789"; while( 1 ) $v = $v . $v; }
            http.setHeader( "X-After", "set" );
        "#,
        response: r#"http.setResponseHeader( "X-Later", "yes" );"#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for (aborts, path) in ["/loop", "/deep", "/memory", "/pattern"].into_iter().enumerate() {
        let response = client.get(path).await;
        assert_eq!((response.status, response.header("X-Later")), (200, Some("yes")), "{path}");
        let received = node.only();
        assert_eq!((received.header("X-Before"), received.header("X-After")), (Some("set"), None), "{path}");
        let counted = site.tidegate.metric("tidegate_rule_aborts_total{rule=\"on request\"}").await;
        assert_eq!(counted, aborts as u64 + 1, "{path}");
    }
    site.tidegate.line(&["ruleabort", "on request"]).await;
    assert_eq!(site.tidegate.metric("tidegate_rule_executions_total{rule=\"on response\"}").await, 4);
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(node.only().header("X-After"), Some("set"));
    site.tidegate.stop().await;
}

/// What rules may do and operators want to know of: bodies that are held, patterns that take long, and what goes wrong, each
/// under its tag and with the name of the rule.
#[tokio::test]
async fn warnings_name_the_rule() {
    let node = Node::with("n", |_| Reply::ok("x".repeat(3000))).await;
    let rules = Rules {
        request: r#"
            $path = http.getPath();
            if( $path == "/body" ) http.getBody();
            if( $path == "/made" ) http.setBody( string.urlencode( http.getBody() ) );
            if( $path == "/pattern" ) string.regexmatch( "aaaaaaaaaaaaaaaaaa!", "^(a+)+\1$" );
            if( $path == "/rate" ) rate.use.noQueue( "nowhere" );
            if( $path == "/class" ) connection.setPersistence( "nobody" );
            if( $path == "/nodes" ) pool.activenodes( "nothing" );
            if( $path == "/xml" ) xml.xpath.matchNodeSet( "<a>", "", "/a" );
            if( $path == "/full" ) for( $i = 0; $i < 5; $i++ ) data.set( "key" . $i, "0123456789" );
            if( $path == "/zero" ) $x = 1 / ( $path == "/" );
            if( $path == "/said" ) { log.info( "info said" ); log.warn( "warn said" ); log.error( "error said" ); event.emit( "my.own", "emitted" ); }
        "#,
        response: r#"if( http.getPath() == "/answer" ) http.getResponseBody();"#,
        ..Rules::default()
    };
    let site = site_with(&[node.address], rules, |document| {
        document.with(&json!({ "global_settings": { "properties": { "trafficscript": {
            "memory_warning": 1000, "regex_match_warn_percentage": 1, "data_size": "40",
        } } } }))
    })
    .await;
    let mut client = site.client().await;
    let large = vec![b'a'; 2000];
    for (path, body, parts) in [
        ("/body", large.as_slice(), ["rulebufferlarge", "rule=\"on request\" bytes=2000"]),
        ("/made", &[b' '; 400], ["rulebufferlarge", "rule=\"on request\" bytes=1200"]),
        ("/answer", b"", ["rulebufferlarge", "rule=\"on response\" bytes=3000"]),
        ("/pattern", b"", ["ruleregexslow", "took more than 50000 of the 5000000 steps"]),
        ("/rate", b"", ["norate", "there is no rate class `nowhere`"]),
        ("/class", b"", ["rulenopersistence", "there is no session persistence class `nobody`"]),
        ("/nodes", b"", ["poolactivenodesunknown", "there is no pool `nothing`"]),
        ("/xml", b"", ["rulexmlerr", "XPath: the document is no XML"]),
        ("/full", b"", ["datastorefull", "there is no room to store `key"]),
        ("/zero", b"", ["rulelogmsgwarn", "Division by zero"]),
        ("/said", b"", ["rulelogmsginfo", "info said"]),
        ("/said", b"", ["rulelogmsgwarn", "warn said"]),
        ("/said", b"", ["rulelogmsgserious", "error said"]),
        ("/said", b"", ["my.own", "emitted"]),
    ] {
        assert_eq!(client.request("POST", path, &[], body).await.status, 200, "{path}");
        let line = site.tidegate.line(&parts).await;
        assert!(line.contains("on re"), "no rule in {line}");
    }
    // Small bodies and quick patterns are nobody's concern.
    let mark = site.tidegate.mark();
    client.request("POST", "/body", &[], b"small").await;
    client.request("POST", "/said", &[], b"").await;
    site.tidegate.line_after(mark, &["info said"]).await;
    assert_eq!(site.tidegate.lines(mark, &["rulebufferlarge"]), [""; 0]);
    site.tidegate.stop().await;
}

/// Others on the same worker are served while rules of some run for as long as they may.
#[tokio::test]
async fn others_are_served_meanwhile() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"if( http.getPath() == "/loop" ) while( 1 ) { string.regexmatch( "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "^(a+)+$" ); }"#,
    );
    let site = site(&[node.address], rules).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut client = site.client().await;
        client.send([request("GET", "/loop", &[], b""), request("GET", "/loop", &[], b"")].concat()).await;
        busy.push(client);
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..8 {
        let began = Instant::now();
        assert_eq!(site.get("/").await.status, 200);
        slowest = slowest.max(began.elapsed());
    }
    println!("slowest answer beside faulty rules: {slowest:?}");
    // Eight runs, each within its limits, on two workers of a debug build.
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
    for client in &mut busy {
        assert_eq!(client.response().await.status, 200);
        assert_eq!(client.response().await.status, 200);
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_rule_with_an_error_does_not_run() {
    let node = Node::start("n").await;
    let server = json!({ "basic": { "request_rules": ["broken", "/off", "good"] } });
    let site: Site = Site::with(&[node.address], server, json!({}), |document: Document| {
        document
            .raw("rules", "broken", "http.setHeader( \"X-Broken\", ;")
            .raw("rules", "off", "http.setHeader( \"X-Off\", \"yes\" );")
            .raw("rules", "good", "http.setHeader( \"X-Good\", \"yes\" );")
    })
    .await;
    assert_eq!(site.get("/").await.status, 200);
    let received = node.only();
    assert_eq!(received.header("X-Good"), Some("yes"));
    assert_eq!((received.header("X-Broken"), received.header("X-Off")), (None, None));
    site.tidegate.line(&["broken"]).await;
    site.tidegate.stop().await;
}
