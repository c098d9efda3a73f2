//! Metrics: exact at once, in the formats that scrapers ask for, of what happens to connections, requests and nodes.

use std::time::Duration;

use tidegate_harness::{Client, Document, Node, Port, Reply, Site, eventually, json, tls};

/// The value of a series, as the scraper sees it.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}")).parse().unwrap()
}

#[track_caller]
fn is(text: &str, expected: &[(&str, u32)]) {
    for (series, expected) in expected {
        let value = value(text, series);
        assert!((value - f64::from(*expected)).abs() < 1e-9, "{series} is {value}, not {expected}");
    }
}

#[tokio::test]
async fn whoever_has_an_answer_finds_it_counted() {
    let nodes = [
        Node::with("n", |_| Reply::ok("0123456789")).await,
        Node::with("n", |_| Reply::ok("0123456789")).await,
    ];
    let addresses = nodes.each_ref().map(|node| node.address);
    let site = Site::set_up(
        |port| {
            Document::new().server("site", port, "nodes", &json!({})).pool("nodes", &addresses, &json!({}))
        },
        |setup| setup.arguments(&["--metrics-detail", "nodes,objects,histograms"]),
    )
    .await;
    let mut sent = 0;
    for round in 1..=20 {
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let mut client = site.client().await;
            tasks.push(tokio::spawn(async move {
                for _ in 0..5 {
                    assert_eq!(client.get("/").await.status, 200);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        sent += 20;
        let text = site.tidegate.scrape().await;
        is(
            &text,
            &[
                ("tidegate_requests_total", sent),
                ("tidegate_virtual_server_requests_total{virtual_server=\"site\"}", sent),
                (
                    "tidegate_virtual_server_responses_total{virtual_server=\"site\",http_response_status_class=\"2xx\"}",
                    sent,
                ),
                ("tidegate_virtual_server_request_duration_seconds_count{virtual_server=\"site\"}", sent),
                ("http_server_request_duration_seconds_count{http_response_status_class=\"2xx\"}", sent),
                ("tidegate_pool_requests_total{pool=\"nodes\"}", sent),
                ("tidegate_pool_node_response_seconds_count{pool=\"nodes\"}", sent),
                ("tidegate_virtual_server_connections_accepted_total{virtual_server=\"site\"}", round * 4),
            ],
        );
        let of_nodes = |what: &str| -> f64 {
            let series = |address| format!("{what}{{pool=\"nodes\",node=\"{address}\"}}");
            addresses.iter().map(|address| value(&text, &series(address))).sum()
        };
        let of_pool = |what: &str| value(&text, &format!("{what}{{pool=\"nodes\"}}"));
        assert!((of_nodes("tidegate_node_requests_total") - f64::from(sent)).abs() < 0.5);
        assert!(
            (of_nodes("tidegate_node_sent_bytes_total") - of_pool("tidegate_pool_sent_bytes_total")).abs()
                < 0.5
        );
        let received = of_pool("tidegate_pool_received_bytes_total");
        assert!((of_nodes("tidegate_node_received_bytes_total") - received).abs() < 0.5);
        assert!(received > f64::from(sent) * 10.0, "{received} bytes of {sent} responses");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn scrapers_choose_the_format() {
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let scrape = async |accept: &str| {
        let mut client = Client::connect(site.tidegate.metrics()).await;
        client.request("GET", "/metrics", &[accept], b"").await
    };
    let plain = scrape("Accept: */*").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.text().contains("# EOF"));
    let open = scrape("Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
    let mut client = Client::connect(site.tidegate.metrics()).await;
    assert_eq!(client.get("/").await.status, 404);
    assert_eq!(client.request("POST", "/metrics", &[], b"").await.status, 405);
    let text = plain.text();
    is(&text, &[("tidegate_ready", 1), ("tidegate_workers", 2), ("tidegate_closed_listeners", 0)]);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(!text.contains("node=\""), "nodes are told unasked:\n{text}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn failures_have_their_counters() {
    let good =
        Node::with(
            "n",
            |request| {
                if request.target == "/missing" { Reply::status(404) } else { Reply::ok("x") }
            },
        )
        .await;
    let dead = Port::free();
    let site = Site::set_up(
        |port| {
            Document::new().server("site", port, "nodes", &json!({})).pool(
                "nodes",
                &[good.address, dead.address()],
                &json!({}),
            )
        },
        |setup| setup.arguments(&["--metrics-detail", "objects"]),
    )
    .await;
    assert_eq!(site.get("/missing").await.status, 404);
    for _ in 0..4 {
        assert_eq!(site.get("/").await.status, 200);
    }
    let mut client = site.client().await;
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert_eq!(client.response().await.status, 400);
    let text = site.tidegate.scrape().await;
    let server = |name: &str, class: &str| {
        value(
            &text,
            &format!(
                "tidegate_virtual_server_{name}{{virtual_server=\"site\",http_response_status_class=\"{class}\"}}"
            ),
        )
    };
    assert!((server("responses_total", "4xx") - 2.0).abs() < 0.5, "{text}");
    assert!((server("generated_responses_total", "4xx") - 1.0).abs() < 0.5, "{text}");
    assert!(value(&text, "tidegate_pool_connect_failures_total{pool=\"nodes\"}") >= 1.0, "{text}");
    assert!(value(&text, "tidegate_pool_retries_total{pool=\"nodes\"}") >= 1.0, "{text}");
    is(
        &text,
        &[
            ("tidegate_requests_total", 5),
            ("tidegate_pool_nodes{pool=\"nodes\"}", 2),
            ("tidegate_pool_node_responses_total{pool=\"nodes\",http_response_status_class=\"4xx\"}", 1),
        ],
    );
    site.tidegate.stop().await;
}

#[tokio::test]
async fn generations_certificates_and_handshakes() {
    let node = Node::start("n").await;
    let pair = tls::Pair::ecdsa(&["site.test"]);
    let server = json!({
        "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "site" }
    });
    let mut site = Site::with(&[node.address], server.clone(), json!({}), |document| {
        document.key("site", &pair.certificate, &pair.key)
    })
    .await;
    let mut client = Client::tls(site.address, &tls::client(tls::Version::Tls13), "site.test").await;
    assert_eq!(client.get("/").await.status, 200);
    let text = site.tidegate.scrape().await;
    is(
        &text,
        &[
            ("tidegate_tls_handshakes_total{tls_protocol_version=\"1.3\"}", 1),
            ("tidegate_virtual_server_tls_handshakes_total{virtual_server=\"site\",resumed=\"false\"}", 1),
            ("tidegate_config_last_reload_successful", 1),
            ("tidegate_config_reloads_total{outcome=\"success\"}", 1),
        ],
    );
    let ends = "tidegate_certificate_not_after_timestamp_seconds{collection=\"ssl/server_keys\",certificate=\"site\"}";
    assert!(value(&text, ends) > 1.6e9);
    let first = value(&text, "tidegate_config_generation");
    site.tidegate.change(|volume| volume.set("config/10-test", "version: 1\nvirtual_servers: 7\n"));
    eventually("a refused reading", async || {
        let text = site.tidegate.scrape().await;
        (value(&text, "tidegate_config_reloads_total{outcome=\"failure\"}") > 0.5).then_some(())
    })
    .await;
    let text = site.tidegate.scrape().await;
    is(&text, &[("tidegate_config_last_reload_successful", 0)]);
    assert!((value(&text, "tidegate_config_generation") - first).abs() < 0.5);
    let document =
        site.document(&[node.address], &server, &json!({ "connection": { "max_reply_time": 29 } }));
    let changed = document.key("site", &pair.certificate, &pair.key);
    site.tidegate.document(&changed).await;
    let text = site.tidegate.scrape().await;
    assert!(value(&text, "tidegate_config_generation") > first);
    is(&text, &[("tidegate_config_last_reload_successful", 1)]);
    // What was counted of objects that are still there goes on.
    is(&text, &[("tidegate_virtual_server_requests_total{virtual_server=\"site\"}", 1)]);
    tokio::time::timeout(Duration::from_secs(20), site.tidegate.stop()).await.unwrap();
}
