//! Rules that go wrong: only they are ended.

use std::time::{Duration, Instant};

use tidegate_harness::{Document, Node, Site, client::request, json};

use super::{Rules, metric, site};

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
        let counted = metric(&site, "tidegate_rule_aborts_total{rule=\"on request\"}").await;
        assert_eq!(counted, aborts as u64 + 1, "{path}");
    }
    site.tidegate.line(&["ruleabort", "on request"]).await;
    assert_eq!(metric(&site, "tidegate_rule_executions_total{rule=\"on response\"}").await, 4);
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(node.only().header("X-After"), Some("set"));
    site.tidegate.stop().await;
}

/// Others on the same worker are served while rules of some run for as long as they may.
#[tokio::test]
async fn others_are_served_meanwhile() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"if( http.getPath() == "/loop" ) while( 1 ) { string.regexmatch( "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "^(a+)+$" ); }"#,
        ..Rules::default()
    };
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
