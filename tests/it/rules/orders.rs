//! Orders of rules that hold for one request: its limits, and whether it is logged.

use std::{fs, time::Duration};

use tidegate_harness::{Node, Reply, client::request, eventually, json, volume::Volume};

use super::{Rules, on_request, site, site_of};

/// 0 lifts a limit, as it does in the settings of the virtual server and the pool.
#[tokio::test]
async fn a_limit_of_0_is_none() {
    let node = Node::with("n", |_| Reply::ok("late").after(Duration::from_millis(1400))).await;
    let rules = on_request(
        r#"
            $path = http.getPath();
            if( $path == "/whole" ) request.setMaxTransactionDuration( 0 );
            if( $path == "/idle" ) { request.setMaxTransactionDuration( 0 ); request.setVirtualServerTimeout( 0 ); }
            if( $path == "/reply" ) { request.setMaxTransactionDuration( 0 ); request.setMaxReplyTime( 0 ); }
            if( $path == "/short" ) { request.setMaxTransactionDuration( 0 ); request.setMaxReplyTime( 0.2 ); }
            http.setHeader( "X-Duration", request.getMaxTransactionDuration() );
        "#,
    );
    let server = json!({ "connection": { "max_transaction_duration": 1 } });
    let site = site_of(&[node.address], rules, server, json!({}), |document| document).await;
    for (path, status, duration) in [
        ("/", 504, "1"),
        ("/whole", 200, "0"),
        ("/idle", 200, "0"),
        ("/reply", 200, "0"),
        ("/short", 504, "0"),
    ] {
        assert_eq!(site.get(path).await.status, status, "{path}");
        assert_eq!(node.only().header("X-Duration"), Some(duration), "{path}");
    }
    site.tidegate.stop().await;
}

/// `requestlog.*` and its old names decide, `log.save_all` where they say nothing.
#[tokio::test]
async fn rules_choose_what_is_logged() {
    let volume = Volume::new();
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"
            $path = http.getPath();
            if( string.startsWith( $path, "/in" ) ) requestlog.include();
            if( string.startsWith( $path, "/out" ) ) requestlog.exclude();
            if( string.startsWith( $path, "/old-in" ) ) request.setLogEnabled( 1 );
            if( string.startsWith( $path, "/old-out" ) ) request.setLogEnabled( 0 );
            http.setHeader( "X-Logged", requestlog.markedForInclusion() );
        "#,
        response: r#"if( http.getPath() == "/out/and-in" ) requestlog.include();"#,
        completion: r#"if( http.getPath() == "/in/and-out" ) requestlog.exclude();"#,
    };
    for save_all in [true, false] {
        let path = volume.path().join(format!("{save_all}.log"));
        let server = json!({ "log": {
            "enabled": true, "filename": path.to_str().unwrap(), "format": "%U %h", "save_all": save_all,
        } });
        let site = site_of(&[node.address], rules, server, json!({}), |document| document).await;
        let mut client = site.client().await;
        let unsaid = if save_all { "1" } else { "0" };
        for (path, logged) in [
            ("/unsaid", unsaid),
            ("/in", "1"),
            ("/out", "0"),
            ("/old-in", "1"),
            ("/old-out", "0"),
            ("/in/and-out", "1"),
            ("/out/and-in", "0"),
            ("/in/last", "1"),
        ] {
            assert_eq!(client.get(path).await.status, 200);
            assert_eq!(node.received().last().unwrap().header("X-Logged"), Some(logged), "{path}");
        }
        let lines = eventually("the last line", async || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.contains("/in/last").then_some(text)
        })
        .await;
        let mut expected =
            vec!["/in 127.0.0.1", "/old-in 127.0.0.1", "/out/and-in 127.0.0.1", "/in/last 127.0.0.1"];
        if save_all {
            expected.insert(0, "/unsaid 127.0.0.1");
        }
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "save_all {save_all}");
        site.tidegate.stop().await;
    }
}

/// What a rule answers itself is within the limits of its request, like the answer of a node.
#[tokio::test]
async fn a_client_that_does_not_read_keeps_to_the_limits() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            $path = http.getPath();
            $large = "012345678901234";
            for( $i = 0; $i < 20; $i++ ) $large .= $large;
            if( string.startsWith( $path, "/whole" ) ) request.setMaxTransactionDuration( 1 );
            else request.setVirtualServerTimeout( 1 );
            if( string.endsWith( $path, "/reply" ) ) http.sendResponse( 200, "text/plain", $large, "" );
            if( string.endsWith( $path, "/close" ) ) connection.close( $large, 0 );
            http.stream.startResponse( 200, "text/plain" );
            http.stream.writeResponse( $large );
            http.stream.finishResponse();
        "#,
    );
    let site = site(&[node.address], rules).await;
    let mut clients = Vec::new();
    for path in
        ["/whole/reply", "/whole/close", "/whole/stream", "/idle/reply", "/idle/close", "/idle/stream"]
    {
        let mut client = site.client().await;
        client.send(request("GET", path, &[], b"")).await;
        clients.push(client);
    }
    // Nobody has read a byte.
    eventually("the connections to end", async || {
        let open = site.tidegate.metric("tidegate_virtual_server_connections{virtual_server=\"site\"}").await;
        let asked =
            site.tidegate.metric("tidegate_virtual_server_requests_total{virtual_server=\"site\"}").await;
        (open == 0 && asked == 6).then_some(())
    })
    .await;
    for mut client in clients {
        assert!(client.rest().await.len() < 15 << 20);
    }
    site.tidegate.stop().await;
}
