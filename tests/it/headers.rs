//! What is taken away from, added to and rewritten in heads on their way, and upgrades.

use tidegate_harness::{Node, RawNode, Reply, Site, client::request, json, tls, wire::latin};

async fn echo(server: tidegate_harness::Value) -> (Node, Site) {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], server, json!({})).await;
    (node, site)
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_side() {
    let (node, site) = echo(json!({})).await;
    let response = site
        .request(
            "GET",
            "/",
            &[
                "Connection: keep-alive, X-Private, x-other",
                "Keep-Alive: timeout=5",
                "Proxy-Connection: keep-alive",
                "Proxy-Authorization: Basic eA==",
                "TE: trailers",
                "Upgrade: h2c",
                "X-Private: 1",
                "X-Other: 2",
                "X-Kept: 3",
            ],
            b"",
        )
        .await;
    assert_eq!(response.status, 200);
    let seen = node.only();
    for gone in
        ["Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Upgrade", "X-Private", "X-Other"]
    {
        assert_eq!(seen.header(gone), None, "{}", seen.text());
    }
    assert_eq!(seen.header("X-Kept"), Some("3"));
    node.behave(|_| {
        Reply::ok("x")
            .header("Connection: keep-alive, X-Private")
            .header("Keep-Alive: timeout=5")
            .header("Proxy-Connection: keep-alive")
            .header("X-Private: 1")
            .header("X-Kept: 3")
    });
    let response = site.get("/").await;
    for gone in ["Keep-Alive", "Proxy-Connection", "X-Private"] {
        assert_eq!(response.header(gone), None, "{}", latin(&response.head.raw));
    }
    assert_eq!(response.header("X-Kept"), Some("3"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn connection_cannot_take_away_what_the_proxy_relies_on() {
    let (node, site) = echo(json!({ "http": { "add_x_forwarded_for": true } })).await;
    let mut client = site.client().await;
    client
        .send(request(
            "POST",
            "/",
            &["Connection: Host, Content-Length, X-Cluster-Client-Ip, X-Forwarded-For, close"],
            b"hello",
        ))
        .await;
    let response = client.response_to("POST").await;
    if response.status == 200 {
        let seen = node.only();
        assert_eq!(seen.header("Host"), Some("site"), "{}", seen.text());
        assert_eq!(seen.body.data, b"hello");
        assert_eq!(seen.header("X-Cluster-Client-Ip"), Some("127.0.0.1"));
        assert_eq!(seen.header("X-Forwarded-For"), Some("127.0.0.1"));
    } else {
        assert_eq!(response.status, 400);
        assert_eq!(node.requests(), 0);
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_clients_address_and_scheme() {
    let cases = [
        // By default only X-Cluster-Client-Ip is set and a client's X-Forwarded-Proto goes.
        (json!({}), Some("127.0.0.1"), Some("9.9.9.9"), None),
        (json!({ "add_cluster_ip": false }), Some("6.6.6.6"), Some("9.9.9.9"), None),
        (json!({ "add_x_forwarded_for": true }), Some("127.0.0.1"), Some("9.9.9.9, 127.0.0.1"), None),
        (json!({ "add_x_forwarded_proto": true }), Some("127.0.0.1"), Some("9.9.9.9"), Some("http")),
        (json!({ "strip_x_forwarded_proto": false }), Some("127.0.0.1"), Some("9.9.9.9"), Some("ftp")),
    ];
    for (http, cluster, forwarded, proto) in cases {
        let (node, site) = echo(json!({ "http": http })).await;
        let headers = ["X-Cluster-Client-Ip: 6.6.6.6", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: ftp"];
        assert_eq!(site.request("GET", "/", &headers, b"").await.status, 200);
        let seen = node.only();
        assert_eq!(seen.header("X-Cluster-Client-Ip"), cluster, "{http}");
        assert_eq!(seen.header("X-Forwarded-For"), forwarded, "{http}");
        assert_eq!(seen.header("X-Forwarded-Proto"), proto, "{http}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn several_forwarded_headers_become_one_and_look_alikes_do_not_pass_for_ours() {
    let (node, site) = echo(json!({ "http": { "add_x_forwarded_for": true } })).await;
    let headers = ["X-Forwarded-For: 1.1.1.1", "X-Other: a", "x-forwarded-for: 2.2.2.2, 3.3.3.3"];
    assert_eq!(site.request("GET", "/", &headers, b"").await.status, 200);
    assert_eq!(node.only().header("X-Forwarded-For"), Some("1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn other_headers_keep_their_order_case_and_bytes() {
    let (node, site) = echo(json!({ "http": { "add_cluster_ip": false } })).await;
    let mut client = site.client().await;
    client
        .send("GET /a?b=c HTTP/1.1\r\nhOsT: site\r\nX-B:  two  \r\nx-a: \u{e9}\r\nX-B: one\r\nCookie: a=b\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 200);
    let seen = node.only();
    let names: Vec<&str> = seen.head.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hOsT", "X-B", "x-a", "X-B", "Cookie"]);
    assert_eq!(seen.head.start, "GET /a?b=c HTTP/1.1");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn locations_are_corrected() {
    let node = Node::with("n", |request| {
        let location = request.header("X-Location").unwrap().to_owned();
        Reply::status(302).header(&format!("Location: {location}"))
    })
    .await;
    let pair = tls::Pair::ecdsa(&["site"]);
    let config = tls::client(tls::Version::Both);
    for (http, location, expected) in [
        (json!({}), "http://site/a", "https://site/a"),
        (json!({}), "http://site:8080/a?b#c", "https://site/a?b#c"),
        (json!({}), "http://other/a", "http://other/a"),
        (json!({}), "/relative", "/relative"),
        (json!({ "location_rewrite": "never" }), "http://site/a", "http://site/a"),
        (json!({ "location_rewrite": "always" }), "http://other:81/a", "https://site/a"),
        (
            json!({ "location_regex": "^http://old/(.*)$", "location_replace": "https://new/$1" }),
            "http://old/x",
            "https://new/x",
        ),
        (
            json!({ "location_regex": "^http://old/(.*)$", "location_replace": "https://new/$1" }),
            "http://site/x",
            "https://site/x",
        ),
    ] {
        let server = json!({
            "basic": { "ssl_decrypt": true },
            "ssl": { "server_cert_default": "pair" },
            "http": http,
        });
        let site = Site::with(&[node.address], server, json!({}), |document| {
            document.key("pair", &pair.certificate, &pair.key)
        })
        .await;
        let mut client = tidegate_harness::Client::tls(site.address, &config, "site").await;
        let header = format!("X-Location: {location}");
        let response = client.request("GET", "/", &[&header], b"").await;
        assert_eq!(response.header("Location"), Some(expected), "{http} {location}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn cookies_of_nodes_are_rewritten() {
    for (cookie, from, to) in [
        (json!({}), "a=b; Domain=node; Path=/x", "a=b; Domain=node; Path=/x"),
        (
            json!({ "domain": "set_to_request" }),
            "a=b; domain=node.local; Path=/x",
            "a=b; domain=site; Path=/x",
        ),
        (
            json!({ "domain": "set_to_named", "new_domain": "example.com" }),
            "a=b; Domain=node",
            "a=b; Domain=example.com",
        ),
        (
            json!({ "path_regex": "^/internal(.*)$", "path_replace": "$1" }),
            "a=b; Path=/internal/x",
            "a=b; Path=/x",
        ),
        (json!({ "secure": "set_secure" }), "a=b", "a=b; Secure"),
        (json!({ "secure": "set_secure" }), "a=b; secure", "a=b; secure"),
        (json!({ "secure": "unset_secure" }), "a=b; Secure; HttpOnly", "a=b; HttpOnly"),
    ] {
        let line = format!("Set-Cookie: {from}");
        let node = Node::with("n", move |_| Reply::ok("").header(&line)).await;
        let site = Site::start(&[node.address], json!({ "cookie": cookie }), json!({})).await;
        let response = site.get("/").await;
        let got = response.header("Set-Cookie").unwrap().to_owned();
        assert!(got.eq_ignore_ascii_case(to), "{cookie}: {from:?} became {got:?} instead of {to:?}");
        site.tidegate.stop().await;
    }
}

const UPGRADE: &[&str] = &["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];

#[tokio::test]
async fn an_upgrade_is_relayed_raw_after_101() {
    let node = RawNode::start().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    client.send(request("GET", "/socket", UPGRADE, b"")).await;
    let mut at_node = node.accept().await;
    let head = at_node.head().await.unwrap().unwrap();
    assert_eq!(head.get("Upgrade"), Some("websocket"));
    assert!(head.get("Connection").unwrap().eq_ignore_ascii_case("upgrade"));
    at_node
        .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        .await
        .unwrap();
    let response = client.response().await;
    assert_eq!((response.status, response.header("Upgrade")), (101, Some("websocket")));
    assert_eq!(client.exactly(5).await, b"first");
    // Bytes that would never pass as HTTP, both ways, and long enough for every buffer.
    let noise: Vec<u8> = (0..400_000_u32).map(|at| (at % 256) as u8).collect();
    let (sent, received) = tokio::join!(
        async {
            client.send(&noise).await;
            client.exactly(noise.len()).await
        },
        async {
            let got = at_node.exactly(noise.len()).await.unwrap();
            at_node.send(&got).await.unwrap();
            got
        }
    );
    assert!(sent == noise && received == noise);
    drop(at_node);
    client.closed().await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        let response = client.request("GET", "/", UPGRADE, b"").await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("Upgrade"), None);
    }
    assert_eq!(client.get("/after").await.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn bytes_sent_before_101_are_not_taken_for_a_request() {
    let node = RawNode::start().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut client = site.client().await;
    let mut bytes = request("GET", "/socket", UPGRADE, b"");
    bytes.extend_from_slice(b"\x81\x05hello");
    client.send(&bytes).await;
    let mut at_node = node.accept().await;
    at_node.head().await.unwrap().unwrap();
    assert_eq!(latin(at_node.buffered()), "", "raw bytes came before the upgrade was agreed");
    at_node
        .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(client.response().await.status, 101);
    assert_eq!(at_node.exactly(7).await.unwrap(), b"\x81\x05hello");
    drop((client, at_node));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn upgrades_can_be_turned_off() {
    let node = Node::echo().await;
    let server = json!({ "http": { "autodetect_upgrade_headers": false } });
    let site = Site::start(&[node.address], server, json!({})).await;
    assert_eq!(site.request("GET", "/", UPGRADE, b"").await.status, 200);
    assert_eq!(node.only().header("Upgrade"), None);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn only_protocols_of_the_list_are_upgraded_to() {
    const H2C: &[&str] = &["Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"];
    // Without a list: WebSocket, and above all no h2c, which would pass by everything that is done to requests.
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    assert_eq!(site.request("GET", "/", H2C, b"").await.status, 200);
    assert_eq!(node.only().header("Upgrade"), None);
    site.tidegate.stop().await;
    // With one: what it names. A 101 that answers something else is none.
    let node = RawNode::start().await;
    let server = json!({ "http": { "auto_upgrade_protocols": ["Ferry"] } });
    let site = Site::start(&[node.address], server, json!({})).await;
    for (answered, status) in [("ferry", 101), ("h2c", 502)] {
        let mut client = site.client().await;
        client.send(request("GET", "/", &["Connection: Upgrade", "Upgrade: ferry"], b"")).await;
        let mut at_node = node.accept().await;
        assert_eq!(at_node.head().await.unwrap().unwrap().get("Upgrade"), Some("ferry"));
        let answer =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {answered}\r\n\r\n");
        at_node.send(answer.as_bytes()).await.unwrap();
        assert_eq!(client.response().await.status, status, "{answered}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_error_file_stands_in_for_failures_of_the_service() {
    let server = json!({ "connection_errors": { "error_file": "sorry.html" } });
    let nobody = tidegate_harness::Port::free();
    let site = Site::with(&[nobody.address()], server, json!({}), |document| {
        document.raw("extra_files", "sorry.html", "<h1>Back soon</h1>")
    })
    .await;
    let response = site.get("/").await;
    assert!((500..=504).contains(&response.status));
    assert_eq!(response.text(), "<h1>Back soon</h1>");
    assert_eq!(response.header("Content-Type"), Some("text/html"));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn discard_closes_without_an_answer() {
    let site = Site::set_up(
        |port| tidegate_harness::Document::new().server("site", port, "discard", &json!({})),
        |setup| setup,
    )
    .await;
    let mut client = site.client().await;
    client.send(request("GET", "/", &[], b"")).await;
    client.closed().await;
    site.tidegate.stop().await;
}
