//! Which node gets a request: pools, explicit nodes, sessions and other nodes by rule.

use std::{collections::BTreeSet, net::SocketAddr};

use tidegate_harness::{Document, Node, Reply, client::request, json};

use super::{Rules, on_request, on_response, site, site_with};

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(Node::start(&format!("n{number}")).await);
    }
    nodes
}

fn addresses(nodes: &[Node]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

#[tokio::test]
async fn rules_choose_pools_and_nodes() {
    let (usual, other, stranger) =
        (Node::start("usual").await, Node::start("other").await, Node::start("stranger").await);
    let more = [Node::start("m0").await, Node::start("m1").await];
    let script = format!(
        r#"
            $path = http.getPath();
            if( $path == "/use" ) pool.use( "other" );
            if( $path == "/select" ) pool.select( "other" );
            if( $path == "/back" ) {{ pool.select( "other" ); pool.select( "nodes" ); }}
            if( $path == "/unknown" ) pool.use( "nowhere" );
            if( $path == "/discard" ) pool.use( "discard" );
            if( $path == "/outside" ) pool.use( "other", "127.0.0.1", {} );
            if( $path == "/inside" ) pool.use( "more", "127.0.0.1", {} );
            http.setHeader( "X-Pool", connection.getPool() );
        "#,
        stranger.address.port(),
        more[1].address.port(),
    );
    let site = site_with(&[usual.address], on_request(&script), |document| {
        document.pool("other", &[other.address], &json!({})).pool("more", &addresses(&more), &json!({}))
    })
    .await;
    let mut client = site.client().await;
    for _ in 0..6 {
        for (path, label) in [
            ("/", "usual"),
            ("/use", "other"),
            ("/select", "other"),
            ("/back", "usual"),
            ("/unknown", "usual"),
            ("/outside", "stranger"),
            ("/inside", "m1"),
        ] {
            assert_eq!(client.get(path).await.node(), label, "{path}");
        }
    }
    assert_eq!(other.received().last().unwrap().header("X-Pool"), Some("other"));
    assert_eq!(stranger.connections(), 1, "connections to nodes outside are kept as well");
    client.send(request("GET", "/discard", &[], b"")).await;
    client.closed().await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_request_is_sent_to_another_node() {
    let good = Node::start("good").await;
    let bad = Node::with("bad", |request| match request.method.as_str() {
        "PUT" => Reply::status(404).body("gone").header("X-Length: yes"),
        _ => Reply::status(404).body("not here, not at all"),
    })
    .await;
    let rules = Rules {
        request: r#"if( http.getHeader( "X-Safe" ) ) { http.getBody(); http.setIdempotent( 1 ); }"#,
        response: r#"
            http.addResponseHeader( "X-Seen", connection.getNode() );
            $first = http.getResponseBody( 5 );
            if( http.getResponseCode() == 404 && request.getRetries() < 3 ) {
                request.avoidNode( connection.getNode() );
                request.retry();
            }
            http.setResponseHeader( "X-Retries", request.getRetries() );
            http.setResponseHeader( "X-First", $first );
        "#,
        ..Rules::default()
    };
    let site = site(&[good.address, bad.address], rules).await;
    let mut client = site.client().await;
    let mut retried = 0;
    for _ in 0..8 {
        let response = client.get("/").await;
        assert_eq!((response.status, response.text().as_str()), (200, "good"));
        // Nothing is left of the answer that was not taken.
        assert_eq!(response.header("X-First"), Some("good"));
        assert_eq!(response.header("X-Seen"), Some(good.address.to_string().as_str()));
        retried += response.header("X-Retries").unwrap().parse::<u32>().unwrap();
    }
    assert!(retried > 0, "the other node was asked first now and then");
    // What is not idempotent stays where it is, unless a rule says that it is.
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        seen.insert(client.request("POST", "/", &[], b"body").await.status);
        let response = client.request("POST", "/", &["X-Safe: yes"], b"body").await;
        assert_eq!((response.status, response.text().as_str()), (200, "good"));
    }
    assert!(seen.contains(&404), "{seen:?}");
    assert!(good.received().iter().all(|request| request.method == "GET" || request.body.data == b"body"));
    assert!(good.faults().is_empty() && bad.faults().is_empty());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn retries_have_an_end() {
    let node = Node::with("n", |_| Reply::status(404).body("no")).await;
    let site = site(&[node.address], on_response("request.retry();")).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        let before = node.requests();
        assert_eq!(client.get("/").await.status, 404);
        let asked = node.requests() - before;
        assert!((2..=17).contains(&asked), "asked {asked} times");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn sessions_by_rule() {
    let nodes = nodes(5).await;
    let script = r#"
        $key = http.getHeader( "X-Key" );
        if( $key ) { connection.setPersistence( "keys" ); connection.setPersistenceKey( $key ); }
        $node = http.getHeader( "X-Want" );
        if( $node ) { connection.setPersistence( "names" ); connection.setPersistenceNode( $node ); }
    "#;
    let classes = |document: Document| {
        document.add("persistence", "keys", json!({ "basic": { "type": "universal" } })).add(
            "persistence",
            "names",
            json!({ "basic": { "type": "named" } }),
        )
    };
    let site = site_with(&addresses(&nodes), on_request(script), classes).await;
    let get = async |header: String| site.request("GET", "/", &[&header], b"").await.node().to_owned();
    let mut used = BTreeSet::new();
    for key in 0..20 {
        let node = get(format!("X-Key: user {key}")).await;
        for _ in 0..4 {
            assert_eq!(get(format!("X-Key: user {key}")).await, node, "user {key}");
        }
        used.insert(node);
    }
    assert!(used.len() >= 3, "keys are spread over nodes: {used:?}");
    for node in &nodes {
        for _ in 0..2 {
            assert_eq!(get(format!("X-Want: {}", node.address)).await, node.label);
        }
    }
    // Without a word of the rule nothing sticks.
    let free: BTreeSet<String> = site.nodes(20).await.into_iter().collect();
    assert!(free.len() >= 3, "{free:?}");
    site.tidegate.stop().await;
}

/// Another address for one request, not for the connection.
#[tokio::test]
async fn the_clients_address_by_rule() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            $ip = http.getHeader( "X-True-IP" );
            if( $ip ) request.setRemoteIP( $ip );
            http.setHeader( "X-Seen", request.getRemoteIP() );
        "#,
    );
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        client.request("GET", "/", &["X-True-IP: 192.0.2.7"], b"").await;
        let received = node.only();
        assert_eq!(received.header("X-Seen"), Some("192.0.2.7"));
        assert_eq!(received.header("X-Cluster-Client-Ip"), Some("192.0.2.7"));
        client.get("/").await;
        let received = node.only();
        assert_eq!(received.header("X-Seen"), Some("127.0.0.1"));
        assert_eq!(received.header("X-Cluster-Client-Ip"), Some("127.0.0.1"));
    }
    site.tidegate.stop().await;
}
