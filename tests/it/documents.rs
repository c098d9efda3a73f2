//! Documents: what serves follows the files, and no fault spreads.

use std::{fs, path::Path, time::Duration};

use tidegate_harness::{
    Client, Dns, Document, Node, Port, Setup, Tidegate, client::request, eventually, json, volume::Volume,
    wait::eventually_within,
};

/// How long a change may take to serve.
const SOON: Duration = Duration::from_secs(1);

fn seed(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/documents").join(file)).unwrap()
}

/// The block of a manifest under `key: |`, without its indentation.
fn block(manifest: &str, key: &str) -> String {
    let mut lines =
        manifest.lines().skip_while(|line| line.trim_end() != format!("  {key}: |")).skip(1).peekable();
    let first = lines.peek().unwrap_or_else(|| panic!("{key} is missing"));
    let indentation = first.len() - first.trim_start().len();
    let mut text = String::new();
    for line in lines.take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(indentation)))
    {
        text.push_str(line.get(indentation..).unwrap_or(""));
        text.push('\n');
    }
    text
}

/// Port and name server of a seed document made those of the test; the rest is as published.
fn local(document: &str, port: u16, dns: &Dns, service: &str) -> String {
    let document = document.replace("port: 80\n", &format!("port: {port}\n"));
    assert!(document.contains(service), "{document}");
    document.replace(
        &format!("--servicename={service}"),
        &format!("--servicename={service} --domain=ns.svc.cluster.local. --nameserver={}", dns.address),
    )
}

#[tokio::test]
async fn the_published_example_serves() {
    let dns = Dns::start().await;
    let node = Node::start("n").await;
    let service = "_http._tcp.example-application-backend-service";
    dns.service(&format!("{service}.ns.svc.cluster.local"), &[node.address]);
    let port = Port::free();
    let health = Port::free();
    let foundation = seed("deploy--vtm-kubernetes-foundation-host-networking.yaml");
    let example = seed("deploy--vtm-example-service.yaml");
    let (base, healthcheck) = foundation.split_once("name: vtm-healthcheck-config").unwrap();
    let mut volume = Volume::new();
    volume.set("config/00-vtm-base-config.yaml", block(base, "config"));
    volume.set(
        "config/00-vtm-healthcheck-config.yaml",
        block(healthcheck, "config").replace("port: 19999", &format!("port: {}", health.number())),
    );
    volume.set(
        "config/my-service-config",
        local(&block(&example, "my-service-config"), port.number(), &dns, service),
    );
    volume.set("data/simple-rule", block(&example, "simple-rule"));
    let tidegate = Setup::of(volume).start().await;
    let mut client = Client::connect(port.address()).await;
    let response = client.get("/").await;
    assert_eq!((response.status, response.node()), (200, "n"));
    tidegate.line(&["Creating", "example-pool"]).await;
    assert!(tidegate.lines(0, &["ERROR"]).is_empty(), "{}", tidegate.log());
    tidegate.stop().await;
}

#[tokio::test]
async fn the_published_basic_deployment_serves() {
    let dns = Dns::start().await;
    let node = Node::start("n").await;
    let service = "my-application-lb-service";
    dns.service("my-application-lb-service.ns.svc.cluster.local", &[node.address]);
    let port = Port::free();
    let mut volume = Volume::new();
    volume.set(
        "config/my-application-config",
        local(
            &block(&seed("basic-deployment--my-app-vtm-config.yaml"), "my-application-config"),
            port.number(),
            &dns,
            service,
        ),
    );
    volume.set(
        "data/powered-by-rule",
        block(&seed("basic-deployment--my-app-vtm-data.yaml"), "powered-by-rule"),
    );
    let tidegate = Setup::of(volume).start().await;
    let mut client = Client::connect(port.address()).await;
    assert_eq!(client.get("/").await.node(), "n");
    assert!(tidegate.lines(0, &["ERROR"]).is_empty(), "{}", tidegate.log());
    tidegate.stop().await;
}

#[tokio::test]
async fn a_change_serves_within_a_second_and_open_connections_do_not_notice() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let (first, second) = (Port::free(), Port::free());
    let document = |node: &Node| {
        Document::new().server("site", first.number(), "nodes", &json!({})).pool(
            "nodes",
            &[node.address],
            &json!({}),
        )
    };
    let mut tidegate = Tidegate::start(&document(&a)).await;
    let mut kept = Client::connect(first.address()).await;
    assert_eq!(kept.get("/").await.node(), "a");
    for (node, label) in [(&b, "b"), (&a, "a"), (&b, "b")] {
        let text = document(node).to_string();
        tidegate.change(|volume| volume.set("config/10-test", text));
        eventually_within(SOON, "the change to serve", async || {
            (kept.get("/").await.node() == label).then_some(())
        })
        .await;
    }
    // A virtual server appears and goes.
    let more = document(&b).server("second", second.number(), "nodes", &json!({}));
    tidegate.change(|volume| volume.set("config/10-test", more.to_string()));
    eventually_within(SOON, "the new port", async || {
        Client::try_connect(second.address()).await.ok().map(drop)
    })
    .await;
    let text = document(&b).to_string();
    tidegate.change(|volume| volume.set("config/10-test", text));
    eventually_within(SOON, "the port to close", async || {
        Client::try_connect(second.address()).await.is_err().then_some(())
    })
    .await;
    assert_eq!(kept.get("/").await.node(), "b");
    assert_eq!(kept.local().ip().to_string(), "127.0.0.1");
    tidegate.stop().await;
}

/// How many of these connections the port takes while nobody accepts them.
async fn queued(
    address: std::net::SocketAddr,
    attempts: usize,
    kept: &mut Vec<tokio::net::TcpStream>,
) -> usize {
    let before = kept.len();
    for _ in 0..attempts {
        let connecting = tokio::net::TcpStream::connect(address);
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), connecting).await {
            stream.try_write(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n").unwrap();
            kept.push(stream);
        }
    }
    kept.len() - before
}

#[tokio::test]
async fn socket_options_of_an_open_port_change_and_those_who_wait_stay() {
    let node = Node::start("n").await;
    let port = Port::free();
    let document = |queue: u32, nagle: bool| {
        let server = json!({ "basic": { "max_concurrent_connections": 1 }, "tcp": { "nagle": nagle } });
        Document::new()
            .server("site", port.number(), "nodes", &server)
            .pool("nodes", &[node.address], &json!({}))
            .with(&json!({ "global_settings": { "properties": { "connection": { "listen_queue_size": queue } } } }))
    };
    let mut tidegate = Tidegate::start(&document(1, false)).await;
    let mut only = Client::connect(port.address()).await;
    assert_eq!(only.get("/").await.status, 200);
    let mut waiting = Vec::new();
    let few = queued(port.address(), 12, &mut waiting).await;
    assert!(few < 12, "a queue of one per worker took {few}");
    tidegate.document(&document(100, true)).await;
    eventually("the longer queue", async || {
        (queued(port.address(), 12, &mut waiting).await == 12).then_some(())
    })
    .await;
    tidegate.document(&document(200, false)).await;
    assert_eq!(only.get("/").await.status, 200);
    drop(only);
    // Everybody who waited, before and after the changes, is served.
    for stream in waiting {
        let local = stream.local_addr().unwrap();
        assert_eq!(Client::over(stream, local).response().await.status, 200);
    }
    tidegate.stop().await;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_changes_nothing_and_is_reported_with_its_place() {
    let node = Node::start("n").await;
    let port = Port::free();
    let good = Document::new().server("site", port.number(), "nodes", &json!({})).pool(
        "nodes",
        &[node.address],
        &json!({}),
    );
    let mut tidegate = Tidegate::start(&good).await;
    for (name, text, parts) in [
        ("no YAML", "virtual_servers: [ unclosed".to_owned(), vec!["20-bad"]),
        ("no mapping", "- a\n- b\n".to_owned(), vec!["20-bad"]),
        (
            "an unknown key",
            "pools:\n- name: x\n  properties:\n    basic:\n      monitorz: []\n".to_owned(),
            vec!["20-bad", "monitorz", "monitors"],
        ),
        (
            "an unknown section",
            "pools:\n- name: x\n  properties:\n    basics:\n      note: a\n".to_owned(),
            vec!["20-bad", "basics", "basic"],
        ),
        ("an unknown collection", "virtual_serverz: []\n".to_owned(), vec!["20-bad", "virtual_servers"]),
        (
            "a value that is not closed",
            "pools:\n- name: x\n  properties:\n    connection:\n      max_reply_time: [ 1\n".to_owned(),
            vec!["20-bad"],
        ),
        (
            "a path out of the base directory",
            "rules:\n- name: x\n  content: {valueFrom: {fileRef: {name: ../../etc/hostname}}}\n".to_owned(),
            vec!["20-bad", "etc/hostname"],
        ),
        (
            "a file that is not there",
            "rules:\n- name: x\n  content: {valueFrom: {fileRef: {name: data/none}}}\n".to_owned(),
            vec!["20-bad", "data/none"],
        ),
    ] {
        let mark = tidegate.mark();
        tidegate.change(|volume| volume.set("config/20-bad", &text));
        tidegate.line_after(mark, &parts).await;
        let mut client = Client::connect(port.address()).await;
        assert_eq!(client.get("/").await.status, 200, "{name}");
        assert!(tidegate.lines(mark, &["generation", "active"]).is_empty(), "{name}: {}", tidegate.log());
    }
    // Mended, it serves at once; the other document's objects were there all the time.
    let other = Port::free();
    let text = Document::new().server("other", other.number(), "nodes", &json!({})).to_string();
    tidegate.change(|volume| volume.set("config/20-bad", text));
    eventually("the mended document", async || Client::try_connect(other.address()).await.ok().map(drop))
        .await;
    tidegate.stop().await;
}

#[tokio::test]
async fn a_value_that_cannot_be_is_reported_and_the_rest_applies() {
    let node = Node::start("n").await;
    let (port, other) = (Port::free(), Port::free());
    let document = Document::new()
        .server("site", port.number(), "nodes", &json!({ "connection": { "timeout": "soon" } }))
        .server("other", other.number(), "nodes", &json!({ "connection": { "keepalive_timeout": 100_000 } }))
        .pool("nodes", &[node.address], &json!({ "load_balancing": { "algorithm": "best" } }));
    let tidegate = Tidegate::start(&document).await;
    for parts in [
        ["site.properties.connection.timeout", "soon", "99999"],
        ["other.properties.connection.keepalive_timeout", "100000", "99999"],
        ["nodes.properties.load_balancing.algorithm", "best", "round_robin"],
    ] {
        tidegate.line(&parts).await;
    }
    for address in [port.address(), other.address()] {
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("/").await.status, 200);
    }
    tidegate.stop().await;
}

#[tokio::test]
async fn one_bad_object_never_harms_another() {
    let node = Node::start("n").await;
    let (good, bad) = (Port::free(), Port::free());
    let document = Document::new()
        .server("good", good.number(), "nodes", &json!({}))
        .server("bad", bad.number(), "nowhere", &json!({ "basic": { "response_rules": ["missing"] } }))
        .server("other", Port::free().number(), "nodes", &json!({ "basic": { "protocol": "smtp" } }))
        .pool("nodes", &[node.address], &json!({}))
        .pool(
            "worse",
            &[],
            &json!({ "basic": {
            "monitors": ["missing"], "persistence_class": "missing", "failure_pool": "worse",
        } }),
        );
    let tidegate = Tidegate::start(&document).await;
    let mut client = Client::connect(good.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    let mut client = Client::connect(bad.address()).await;
    assert!((500..=504).contains(&client.get("/").await.status));
    for parts in [["bad", "nowhere"], ["bad", "response_rules"], ["worse", "missing"], ["other", "smtp"]] {
        tidegate.line(&parts).await;
    }
    tidegate.stop().await;
}

#[tokio::test]
async fn a_port_that_somebody_else_has_harms_nobody_and_is_taken_when_free() {
    let node = Node::start("n").await;
    let good = Port::free();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let document = Document::new()
        .server("good", good.number(), "nodes", &json!({}))
        .server("late", address.port(), "nodes", &json!({}))
        .pool("nodes", &[node.address], &json!({}));
    let tidegate = Setup::new(&document).not_ready().start().await;
    tidegate.line(&["late", &address.port().to_string()]).await;
    tidegate.wait_status(Duration::from_secs(5), good.address(), "/", 200).await;
    drop(taken);
    tidegate.wait_status(Duration::from_secs(15), address, "/", 200).await;
    tidegate.stop().await;
}

#[tokio::test]
async fn documents_merge_key_by_key_in_order() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let port = Port::free();
    let mut volume = Volume::new();
    let first = Document::new()
        .server("site", port.number(), "a", &json!({ "http": { "add_x_forwarded_for": true } }))
        .pool("a", &[a.address], &json!({}));
    let second = Document::new().add("virtual_servers", "site", json!({ "basic": { "pool": "b" } })).pool(
        "b",
        &[b.address],
        &json!({}),
    );
    volume.set("config/20-first", first.to_string());
    volume.set("config/50-second.json", second.to_string());
    volume.set("config/.hidden", "this is : [ no document");
    let mut tidegate = Setup::of(volume).start().await;
    let mut client = Client::connect(port.address()).await;
    assert_eq!(client.get("/").await.node(), "b");
    assert_eq!(b.only().header("X-Forwarded-For"), Some("127.0.0.1"));
    // Without the second document everything of it is gone: an import starts from the base each time.
    tidegate.change(|volume| volume.remove("config/50-second.json"));
    eventually("the first document alone", async || (client.get("/").await.node() == "a").then_some(()))
        .await;
    tidegate.stop().await;
}

#[tokio::test]
async fn base_documents_lie_under_the_watched_ones() {
    let node = Node::start("n").await;
    let port = Port::free();
    let mut base = Volume::new();
    base.set(
        "config/00-base",
        Document::new()
            .server("site", port.number(), "nodes", &json!({}))
            .pool("nodes", &[node.address], &json!({}))
            .to_string(),
    );
    base.publish();
    let mut volume = Volume::new();
    volume.set("config/10-broken", "pools: [ unclosed");
    let mut tidegate = Setup::of(volume)
        .not_ready()
        .variable("ZEUS_BASE_CONFIG", base.path().to_str().unwrap())
        .start()
        .await;
    // What the base holds serves although the watched document is broken.
    tidegate.wait_status(Duration::from_secs(5), port.address(), "/", 200).await;
    tidegate.change(|volume| volume.set("config/10-broken", "version: 6.2\n"));
    tidegate.wait_status(Duration::from_secs(5), port.address(), "/", 200).await;
    tidegate.stop().await;
}

#[tokio::test]
async fn many_changes_in_a_row_end_with_the_last() {
    let nodes = [Node::start("a").await, Node::start("b").await];
    let port = Port::free();
    let document = |number: usize| {
        Document::new().server("site", port.number(), "nodes", &json!({})).pool(
            "nodes",
            &[nodes[number % 2].address],
            &json!({ "basic": { "note": number.to_string() } }),
        )
    };
    let mut tidegate = Tidegate::start(&document(0)).await;
    let mut client = Client::connect(port.address()).await;
    for number in 1..40 {
        tidegate.change(|volume| volume.set("config/10-test", document(number).to_string()));
        assert_eq!(client.get("/").await.status, 200);
    }
    eventually_within(SOON * 2, "the last change", async || {
        (client.get("/").await.node() == "b").then_some(())
    })
    .await;
    let descriptors = tidegate.descriptors();
    for number in 40..60 {
        tidegate.document(&document(number)).await;
    }
    client.send(request("GET", "/", &[], b"")).await;
    assert_eq!(client.response().await.node(), "b");
    assert!(tidegate.descriptors() <= descriptors + 8, "descriptors leak with changes");
    tidegate.stop().await;
}
