//! Nodes found through a real DNS server over real sockets, and by plugin programs.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tidegate_harness::{
    Dns, Document, Node, Reply, Setup, Site, client::request, dns::Mode, eventually, json,
    wait::eventually_within,
};

const SERVICE: &str = "_http._tcp.svc.ns.svc.cluster.local";

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

fn arguments(dns: &Dns) -> String {
    format!("--servicename={SERVICE}. --nameserver={}", dns.address)
}

async fn site(arguments: &str) -> Site {
    Site::set_up(
        |port| {
            Document::new().server("site", port, "nodes", &json!({})).discovered(
                "nodes",
                arguments,
                &json!({}),
            )
        },
        |setup| setup,
    )
    .await
}

/// Waits until exactly these labels serve.
async fn served_by(site: &Site, expected: &[&str]) {
    eventually(&format!("{expected:?} to serve"), async || {
        let mut client = site.client().await;
        let mut seen = BTreeSet::new();
        for _ in 0..expected.len().max(1) * 3 {
            let response = client.get("/").await;
            if response.status != 200 {
                return expected.is_empty().then_some(());
            }
            seen.insert(response.node().to_owned());
        }
        (seen.iter().map(String::as_str).collect::<Vec<_>>() == expected).then_some(())
    })
    .await;
}

async fn stays(site: &Site, expected: &[&str]) {
    for _ in 0..30 {
        let response = site.get("/").await;
        assert_eq!(response.status, 200);
        assert!(expected.contains(&response.node()), "{} serves", response.node());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_service_scales_up_and_down() {
    let dns = Dns::start().await;
    let nodes = nodes(4).await;
    let all = addresses(&nodes);
    dns.service(SERVICE, &all[..2]);
    let site = site(&arguments(&dns)).await;
    served_by(&site, &["n0", "n1"]).await;
    let mark = site.tidegate.mark();
    dns.service(SERVICE, &all);
    served_by(&site, &["n0", "n1", "n2", "n3"]).await;
    site.tidegate.line_after(mark, &[&all[3].to_string()]).await;
    dns.service(SERVICE, &all[2..]);
    served_by(&site, &["n2", "n3"]).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_left_finishes_what_it_has_and_keeps_its_sessions() {
    let dns = Dns::start().await;
    let nodes = nodes(2).await;
    let all = addresses(&nodes);
    dns.service(SERVICE, &all);
    let site = Site::set_up(
        |port| {
            Document::new()
                .server("site", port, "nodes", &json!({}))
                .discovered(
                    "nodes",
                    &arguments(&dns),
                    &json!({ "basic": { "persistence_class": "sessions" } }),
                )
                .add("persistence", "sessions", json!({ "basic": { "type": "transparent" } }))
        },
        |setup| setup,
    )
    .await;
    let cookie = eventually("a session at the first node", async || {
        let response = site.get("/").await;
        (response.node() == "n0").then(|| format!("Cookie: {}", response.cookie("X-Mapping-").unwrap()))
    })
    .await;
    nodes[0].behave(|_| Reply::ok("late").after(Duration::from_secs(4)));
    let before = nodes[0].requests();
    let mut busy = site.client().await;
    busy.send(request("POST", "/", &[&cookie], b"x")).await;
    eventually("the request to arrive", async || (nodes[0].requests() > before).then_some(())).await;
    nodes[0].behave(|_| Reply::ok("n0"));
    dns.service(SERVICE, &all[1..]);
    served_by(&site, &["n1"]).await;
    for _ in 0..5 {
        assert_eq!(site.request("GET", "/", &[&cookie], b"").await.node(), "n0", "a session lost its node");
    }
    assert_eq!(busy.response_to("POST").await.text(), "late");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn failures_of_dns_change_nothing() {
    for mode in [Mode::Drop, Mode::ServFail, Mode::Refused, Mode::Garbage, Mode::WrongId] {
        let dns = Dns::start().await;
        let nodes = nodes(2).await;
        dns.service(SERVICE, &addresses(&nodes));
        let site = site(&arguments(&dns)).await;
        served_by(&site, &["n0", "n1"]).await;
        dns.mode(mode);
        let (before, _) = dns.queries();
        eventually("queries", async || (dns.queries().0 > before + 1).then_some(())).await;
        stays(&site, &["n0", "n1"]).await;
        dns.service(SERVICE, &addresses(&nodes[1..]));
        dns.mode(Mode::Answer);
        eventually_within(Duration::from_secs(40), &format!("recovery from {mode:?}"), async || {
            site.nodes(4).await.iter().all(|label| label == "n1").then_some(())
        })
        .await;
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_again_over_tcp() {
    let dns = Dns::start().await;
    let nodes = nodes(3).await;
    dns.service(SERVICE, &addresses(&nodes));
    dns.mode(Mode::Truncate);
    let site = site(&arguments(&dns)).await;
    served_by(&site, &["n0", "n1", "n2"]).await;
    assert!(dns.queries().1 > 0);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_service_of_many_nodes_comes_whole() {
    let dns = Dns::start().await;
    let node = Node::start("n").await;
    let mut all = vec![node.address];
    all.extend((0..150).map(|number| SocketAddr::from(([127, 0, 1, number], 9))));
    dns.service(SERVICE, &all);
    let site = site(&arguments(&dns)).await;
    site.tidegate.line(&["151 nodes"]).await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn addresses_of_a_host_name() {
    let dns = Dns::start().await;
    let node = Node::start("n").await;
    let port = node.address.port();
    dns.alias("alias.cluster.local", "host.cluster.local");
    dns.host("host.cluster.local", &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    for arguments in [
        format!("--hostname=host.cluster.local. --port={port} --nameserver={}", dns.address),
        format!("--hostname alias --domain=cluster.local. --port {port} --nameserver {}", dns.address),
        format!("--HOST=host.cluster.local. --port={port} --ipv4 --nameserver={}", dns.address),
        format!(
            "--hostname=host.cluster.local. --port={port} --nameserver=127.0.0.1 --nameserverport={}",
            dns.address.port()
        ),
    ] {
        let site = site(&arguments).await;
        served_by(&site, &["n"]).await;
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_said_to() {
    for arguments in ["--nonsense=1", "--hostname=a", "--service=http", ""] {
        let port = tidegate_harness::Port::free();
        let document = Document::new().server("site", port.number(), "nodes", &json!({})).discovered(
            "nodes",
            arguments,
            &json!({}),
        );
        let tidegate = Setup::new(&document).not_ready().start().await;
        tidegate.line(&["ERROR", "plugin_args", "pool=nodes"]).await;
        tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_restart_during_a_dns_outage_starts_warm() {
    let mut dns = Dns::start().await;
    let nodes = nodes(2).await;
    dns.service(SERVICE, &addresses(&nodes));
    let state = tidegate_harness::volume::Volume::new();
    let mut site = Site::set_up(
        |port| {
            Document::new().server("site", port, "nodes", &json!({})).discovered(
                "nodes",
                &arguments(&dns),
                &json!({}),
            )
        },
        |setup| setup.arguments(&["--state-dir", state.path().to_str().unwrap()]),
    )
    .await;
    served_by(&site, &["n0", "n1"]).await;
    dns.stop().await;
    site.tidegate.restart().await;
    served_by(&site, &["n0", "n1"]).await;
    site.tidegate.stop().await;
}

/// A plugin as the public ones are: a program that prints one JSON document.
fn plugin(body: &str) -> String {
    format!("#!/bin/sh\n{body}\n")
}

#[tokio::test]
async fn a_plugin_program_lists_the_nodes() {
    let nodes = nodes(3).await;
    let [a, b, c] = [nodes[0].address, nodes[1].address, nodes[2].address];
    let files = tidegate_harness::volume::Volume::new();
    let answer = files.path().join("answer");
    let entry = |node: SocketAddr| format!("{{\"ip\":\"127.0.0.1\",\"port\":{}}}", node.port());
    std::fs::write(&answer, format!("{{\"version\":1,\"code\":200,\"nodes\":[{}]}}", entry(a))).unwrap();
    let script = plugin(&format!("echo \"$@\" >> {}.arguments\ncat {}", answer.display(), answer.display()));
    let site = Site::set_up(
        |port| {
            Document::new()
                .server("site", port, "nodes", &json!({}))
                .pool(
                    "nodes",
                    &[],
                    &json!({ "service_discovery": {
                        "enabled": true, "plugin": "list.sh", "plugin_args": "--zone 'a b' -x", "interval": 1,
                    } }),
                )
                .raw("servicediscovery", "list.sh", script)
        },
        |setup| setup,
    )
    .await;
    served_by(&site, &["n0"]).await;
    let (b, c) = (entry(b), entry(c));
    std::fs::write(&answer, format!("{{\"version\":1,\"code\":200,\"nodes\":[{b},{c}]}}")).unwrap();
    served_by(&site, &["n1", "n2"]).await;
    // What is no good answer changes nothing and is said.
    for (bad, part) in [
        ("{\"version\":1,\"code\":500,\"error\":\"the zone is closed\"}", "the zone is closed"),
        ("no JSON at all", "list.sh"),
    ] {
        let mark = site.tidegate.mark();
        std::fs::write(&answer, bad).unwrap();
        site.tidegate.line_after(mark, &[part]).await;
        stays_short(&site, &["n1", "n2"]).await;
    }
    let said = std::fs::read_to_string(files.path().join("answer.arguments")).unwrap();
    assert!(said.contains("--zone a b -x"), "{said}");
    site.tidegate.stop().await;
}

async fn stays_short(site: &Site, expected: &[&str]) {
    for _ in 0..10 {
        let response = site.get("/").await;
        assert!(expected.contains(&response.node()), "{} {}", response.status, response.node());
    }
}
