//! Bandwidth classes: what clients and nodes are sent goes as fast as its class permits, and no faster.

use std::time::{Duration, Instant};

use tidegate_harness::{
    Client, Document, Node, Port, RawNode, Reply, Setup, Site, Value,
    client::request,
    document::{lay_over, table},
    json,
    rest::{PASSWORD, Rest, STATUS, body},
    tls::{self, Pair, Version},
    volume::Volume,
    wait::within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A class of 8000 kbit/s.
const MEGABYTE: usize = 1_000_000;

fn class(kilobits: u32, sharing: &str) -> Value {
    json!({ "basic": { "maximum": kilobits, "sharing": sharing } })
}

fn classed(class: &str) -> Value {
    json!({ "basic": { "bandwidth_class": class } })
}

/// A node whose bodies are as long as the last step of the path says.
async fn node() -> Node {
    Node::with("n", |request| {
        let length = request.target.rsplit('/').next().and_then(|step| step.parse().ok());
        Reply::ok(vec![b'x'; length.unwrap_or(0)])
    })
    .await
}

/// Bytes per second of a request over this connection, of which `bytes` are what takes its time.
async fn rate(client: &mut Client, method: &str, path: &str, body: &[u8], bytes: usize) -> f64 {
    let begin = Instant::now();
    let response = client.request(method, path, &[], body).await;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(response.status, 200);
    bytes as f64 / took
}

fn assert_about(measured: f64, expected: usize) {
    let part = measured / expected as f64;
    assert!((0.85..=1.15).contains(&part), "{measured} bytes per second, not {expected}");
}

/// The number of a metric of a class.
async fn metric(site: &Site, name: &str, class: &str) -> u64 {
    site.tidegate.metric(&format!("tidegate_bandwidth_{name}{{class=\"{class}\"}}")).await
}

#[tokio::test]
async fn downloads_go_by_the_class_of_the_virtual_server() {
    let node = node().await;
    let pair = Pair::ecdsa(&["site"]);
    for tls in [false, true] {
        let mut server = classed("slow");
        if tls {
            let ssl = json!({ "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "pair" } });
            lay_over(&mut server, &ssl);
        }
        let site = Site::with(&[node.address], server, json!({}), |document| {
            document.add("bandwidth", "slow", class(8000, "machine")).key(
                "pair",
                &pair.certificate,
                &pair.key,
            )
        })
        .await;
        let mut client = if tls {
            Client::tls(site.address, &tls::client(Version::Both), "site").await
        } else {
            site.client().await
        };
        let bytes = 2 * MEGABYTE;
        assert_about(rate(&mut client, "GET", &format!("/{bytes}"), b"", bytes).await, MEGABYTE);
        // What comes in knows no limit.
        let up = vec![b'x'; 8 * MEGABYTE];
        assert!(rate(&mut client, "POST", "/0", &up, up.len()).await > 4.0 * MEGABYTE as f64);
        let sent = metric(&site, "sent_bytes_total", "slow").await;
        assert!((bytes as u64..bytes as u64 + 2000).contains(&sent), "{sent}");
        assert!(metric(&site, "waits_total", "slow").await > 10);
        assert_eq!(metric(&site, "limit_bytes_per_second", "slow").await, MEGABYTE as u64);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn uploads_go_by_the_class_of_the_pool() {
    let node = node().await;
    let site = Site::with(&[node.address], json!({}), classed("slow"), |document| {
        document.add("bandwidth", "slow", class(8000, "cluster"))
    })
    .await;
    let mut client = site.client().await;
    let body = vec![b'x'; 2 * MEGABYTE];
    assert_about(rate(&mut client, "POST", "/0", &body, body.len()).await, MEGABYTE);
    let bytes = 8 * MEGABYTE;
    assert!(rate(&mut client, "GET", &format!("/{bytes}"), b"", bytes).await > 4.0 * MEGABYTE as f64);
    assert!(metric(&site, "sent_bytes_total", "slow").await >= body.len() as u64);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn connections_share_evenly_or_have_each_their_own() {
    let node = node().await;
    for (sharing, expected) in [("machine", MEGABYTE / 2), ("connection", MEGABYTE)] {
        let site = Site::with(&[node.address], classed("slow"), json!({}), |document| {
            document.add("bandwidth", "slow", class(8000, sharing))
        })
        .await;
        let bytes = expected * 2;
        let path = format!("/{bytes}");
        let (mut one, mut other) = (site.client().await, site.client().await);
        let (one, other) = tokio::join!(
            rate(&mut one, "GET", &path, b"", bytes),
            rate(&mut other, "GET", &path, b"", bytes)
        );
        assert_about(one, expected);
        assert_about(other, expected);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn rules_choose_a_class() {
    let node = node().await;
    let request = r#"
        if( string.startsWith( http.getPath(), "/up" ) ) {
            $known = request.setBandwidthClass( "slow" );
            $unknown = request.setBandwidthClass( "nobody" . "" );
            response.setBandwidthClass( "" );
            http.setHeader( "X-Seen", $known . $unknown . request.getBandwidthClass() . "[" . response.getBandwidthClass() . "]" );
        }
        if( http.getPath() == "/written" ) {
            $piece = string.hexDecode( "78" );
            for( $i = 0; $i < 16; $i++ ) { $piece = $piece . $piece; }
            http.stream.startResponse( 200, "text/plain" );
            for( $i = 0; $i < 20; $i++ ) { http.stream.writeResponse( $piece ); }
            connection.setBandwidthClass( "slow" );
            for( $i = 0; $i < 20; $i++ ) { http.stream.writeResponse( $piece ); }
            http.stream.finishResponse( "" );
        }
    "#;
    let response = r#"
        if( string.startsWith( http.getPath(), "/down" ) ) response.setBandwidthClass( "slow" );
        http.setResponseHeader( "X-Class", response.getBandwidthClass() );
    "#;
    let mut server = classed("fast");
    lay_over(&mut server, &json!({ "basic": { "request_rules": ["q"], "response_rules": ["p"] } }));
    let site = Site::with(&[node.address], server, json!({}), |document: Document| {
        document
            .add("bandwidth", "slow", class(8000, "machine"))
            .add("bandwidth", "fast", class(800_000, "machine"))
            .raw("rules", "q", request)
            .raw("rules", "p", response)
    })
    .await;
    let mut client = site.client().await;
    let bytes = 3 * MEGABYTE / 2;
    assert_about(rate(&mut client, "GET", &format!("/down/{bytes}"), b"", bytes).await, MEGABYTE);
    // It held for that request alone.
    assert!(rate(&mut client, "GET", &format!("/{bytes}"), b"", bytes).await > 4.0 * MEGABYTE as f64);
    assert_eq!(client.get("/").await.header("X-Class"), Some("fast"));
    assert_eq!(client.get("/down/0").await.header("X-Class"), Some("slow"));
    let body = vec![b'x'; bytes];
    assert_about(rate(&mut client, "POST", "/up/0", &body, bytes).await, MEGABYTE);
    assert_eq!(node.received().last().unwrap().header("X-Seen"), Some("10slow[]"));
    // The second half of what a rule writes is under the class.
    let half = 20 << 16;
    assert_about(rate(&mut client, "GET", "/written", b"", half).await, MEGABYTE);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_new_maximum_holds_for_what_is_on_its_way() {
    let node = node().await;
    let mut site = Site::with(&[node.address], classed("slow"), json!({}), |document| {
        document.add("bandwidth", "slow", class(8000, "machine"))
    })
    .await;
    let (mut client, mut other) = (site.client().await, site.client().await);
    let download = tokio::spawn(async move { client.get("/6000000").await.body.data.len() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = metric(&site, "sent_bytes_total", "slow").await;
    let fast = site.document(&[node.address], &classed("slow"), &json!({}));
    site.tidegate.document(&fast.clone().add("bandwidth", "slow", class(32_000, "machine"))).await;
    let changed = Instant::now();
    assert_eq!(download.await.unwrap(), 6 * MEGABYTE);
    // The document is read a little later than it is written.
    let least = (6 * MEGABYTE) as f64 - before as f64 - 1.5 * MEGABYTE as f64;
    let took = changed.elapsed().as_secs_f64();
    assert!(took > least / (4.6 * MEGABYTE as f64) && took < 2.5, "{took}");
    // A class that is gone limits nobody.
    let download = tokio::spawn(async move { other.get("/60000000").await.body.data.len() });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let gone = Instant::now();
    site.tidegate.document(&site.document(&[node.address], &json!({}), &json!({}))).await;
    assert_eq!(within("the rest", download).await.unwrap(), 60 * MEGABYTE);
    assert!(gone.elapsed() < Duration::from_secs(6), "{:?}", gone.elapsed());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn waiting_for_bandwidth_is_not_idleness() {
    let node = node().await;
    let mut server = classed("slow");
    // Pieces of 512 bytes go every other second.
    lay_over(&mut server, &json!({ "connection": { "timeout": 1 } }));
    let site = Site::with(&[node.address], server, json!({}), |document| {
        document.add("bandwidth", "slow", class(2, "connection"))
    })
    .await;
    let mut client = site.client().await;
    let begin = Instant::now();
    assert_eq!(client.get("/2900").await.body.data.len(), 2900);
    assert!(begin.elapsed() > Duration::from_secs(2), "{:?}", begin.elapsed());
    // The end of a transaction is the end.
    let mut server = classed("slow");
    lay_over(&mut server, &json!({ "connection": { "timeout": 1, "max_transaction_duration": 1 } }));
    let mut site = site;
    let short = site.document(&[node.address], &server, &json!({}));
    site.tidegate.document(&short.add("bandwidth", "slow", class(2, "connection"))).await;
    let mut client = site.client().await;
    let begin = Instant::now();
    client.send("GET /6000 HTTP/1.1\r\nHost: site\r\n\r\n").await;
    let got = client.rest().await.len();
    assert!(got < 6000 && begin.elapsed() < Duration::from_secs(4), "{got} {:?}", begin.elapsed());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn rest_writes_classes_and_shows_what_was_sent() {
    let node = node().await;
    let port = Port::free();
    let setup = Setup::of(Volume::new()).arguments(&["--rest", "127.0.0.1:0"]);
    let tidegate = setup.variable("TIDEGATE_ADMIN_PASSWORD", PASSWORD).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("bandwidth/slow", &class(8000, "machine")).await;
    rest.write("pools/web", &json!({ "basic": { "nodes_table": table(&[node.address]) } })).await;
    let server = json!({ "basic": {
        "enabled": true, "port": port.number(), "pool": "web", "bandwidth_class": "slow",
        "listen_on_any": false, "listen_on_hosts": ["127.0.0.1"],
    } });
    rest.write("virtual_servers/site", &server).await;
    let mut client = Client::connect(port.address()).await;
    assert_eq!(client.get("/100000").await.body.data.len(), 100_000);
    // What is on its way follows at once: this would take a minute.
    let download = tokio::spawn(async move { client.get("/60000000").await.body.data.len() });
    rest.write("bandwidth/slow", &class(8_000_000, "machine")).await;
    assert_eq!(within("the download", download).await.unwrap(), 60 * MEGABYTE);
    let response = rest.get(&format!("{STATUS}/statistics/bandwidth/slow")).await;
    let counters = &body(&response)["statistics"];
    assert_eq!(counters["maximum"], 8_000_000);
    assert!(counters["bytes_out"].as_u64().unwrap() > 60_100_000, "{counters}");
    let page = rest.write("bandwidth/slow", &json!({ "basic": { "note": "as it is" } })).await;
    assert!(!page.text().contains("not-acted-on"), "{}", page.text());
    tidegate.stop().await;
}

#[tokio::test]
async fn conversations_behind_an_upgrade_go_by_the_classes_too() {
    let node = RawNode::start().await;
    let site = Site::with(&[node.address], classed("slow"), classed("slower"), |document| {
        document.add("bandwidth", "slow", class(8000, "connection")).add(
            "bandwidth",
            "slower",
            class(4000, "connection"),
        )
    })
    .await;
    let mut client = site.client().await;
    let asks = ["Connection: Upgrade", "Upgrade: websocket"];
    client.send(request("GET", "/", &asks, b"")).await;
    let mut at_node = node.accept().await;
    within("the request", at_node.head()).await.unwrap();
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    at_node.send(head).await.unwrap();
    assert_eq!(client.head().await.get("Upgrade"), Some("websocket"));
    let begin = Instant::now();
    let down = vec![b'd'; 3 * MEGABYTE / 2];
    let up = vec![b'u'; MEGABYTE];
    let length = down.len();
    let at_client = async {
        client.send(&up).await;
        client.exactly(length).await;
        begin.elapsed()
    };
    let at_node = async {
        let (io, before) = at_node.into_parts();
        let (mut read, mut write) = tokio::io::split(io);
        let writing = async { write.write_all(&down).await.unwrap() };
        let reading = async {
            read.read_exact(&mut vec![0; up.len() - before.len()]).await.unwrap();
            begin.elapsed()
        };
        tokio::join!(writing, reading).1
    };
    let (downloaded, uploaded) = tokio::join!(at_client, at_node);
    assert_about(length as f64 / downloaded.as_secs_f64(), MEGABYTE);
    assert_about(up.len() as f64 / uploaded.as_secs_f64(), MEGABYTE / 2);
    drop(client);
    site.tidegate.stop().await;
}
