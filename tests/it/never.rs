//! What must never happen: a failed request under 2,000 requests per second while everything around changes.
//!
//! These tests take the machine one after the other.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::Signal;
use tidegate_harness::{
    Client, Dns, Document, Node, ProcessNode, Site, Value, eventually, json,
    load::{Load, Plan},
    tls::{self, Pair, Version},
};
use tokio::sync::{Mutex, MutexGuard};

const SERVICE: &str = "_http._tcp.svc.ns.svc.cluster.local";

/// Held by each of them.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().await
}

async fn processes(count: usize) -> Vec<ProcessNode> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(ProcessNode::start(&format!("p{number}")).await);
    }
    nodes
}

fn addresses(nodes: &[ProcessNode]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

fn discovered(dns: &Dns, port: u16, properties: &Value) -> Document {
    let arguments = format!("--servicename={SERVICE}. --nameserver={}", dns.address);
    Document::new().server("site", port, "nodes", &json!({})).discovered("nodes", &arguments, properties)
}

/// Lets the load come to its rate before anything happens.
const WARM: Duration = Duration::from_millis(700);

async fn finish(load: Load, site: &Site) {
    let report = load.finish().await;
    report.assert_perfect(|| site.tidegate.log());
    site.tidegate.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_is_replaced_one_by_one_through_dns() {
    let _machine = machine().await;
    let dns = Dns::start().await;
    let mut nodes = Vec::new();
    for number in 0..4 {
        nodes.push(Node::start(&format!("n{number}")).await);
    }
    let all = |nodes: &[Node]| nodes.iter().map(|node| node.address).collect::<Vec<_>>();
    dns.service(SERVICE, &all(&nodes));
    let site = Site::set_up(|port| discovered(&dns, port, &json!({})), |setup| setup).await;
    let load = Load::start(&Plan::new(site.address));
    load.run_for(WARM).await;
    for number in 4..8 {
        // As a rolling update goes: the new pod is ready, then the old one leaves DNS and ends a moment later.
        let mark = site.tidegate.mark();
        nodes.push(Node::start(&format!("n{number}")).await);
        dns.service(SERVICE, &all(&nodes));
        let new = nodes.last().unwrap().address;
        site.tidegate.line_after(mark, &[&format!("+{new}")]).await;
        let mut old = nodes.remove(0);
        dns.service(SERVICE, &all(&nodes));
        site.tidegate.line_after(mark, &[&format!("-{}", old.address)]).await;
        old.stop().await;
    }
    eventually("the last node to serve", async || (nodes[3].requests() > 0).then_some(())).await;
    finish(load, &site).await;
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed() {
    let _machine = machine().await;
    let mut nodes = processes(3).await;
    let site = Site::start(&addresses(&nodes), json!({}), json!({})).await;
    let load = Load::start(&Plan::new(site.address));
    load.run_for(WARM).await;
    for number in [1, 2] {
        nodes[number].kill().await;
        load.run_for(WARM).await;
        nodes[number].restart().await;
        load.run_for(WARM).await;
    }
    finish(load, &site).await;
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_stopped() {
    let _machine = machine().await;
    let nodes = processes(3).await;
    let pool = json!({ "connection": { "max_reply_time": 1, "max_connect_time": 1 } });
    let site = Site::start(&addresses(&nodes), json!({}), pool).await;
    // Requests that meet the stopped node wait a second for it: more connections keep the rate meanwhile.
    let load = Load::start(&Plan { connections: 300, ..Plan::new(site.address) });
    load.run_for(WARM).await;
    nodes[1].signal(Signal::STOP);
    load.run_for(Duration::from_secs(3)).await;
    nodes[1].signal(Signal::CONT);
    load.run_for(WARM).await;
    let report = load.finish().await;
    assert_eq!(report.failed(), 0, "{report}\n{}", site.tidegate.log());
    assert!(report.rate() >= 1900.0, "{report}");
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dns_server_restarts() {
    let _machine = machine().await;
    let mut dns = Dns::start().await;
    let nodes = processes(3).await;
    dns.service(SERVICE, &addresses(&nodes));
    let site = Site::set_up(|port| discovered(&dns, port, &json!({})), |setup| setup).await;
    let load = Load::start(&Plan::new(site.address));
    load.run_for(WARM).await;
    for _ in 0..2 {
        dns.stop().await;
        load.run_for(Duration::from_secs(2)).await;
        dns.restart().await;
        load.run_for(Duration::from_secs(1)).await;
    }
    finish(load, &site).await;
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_swapped() {
    let _machine = machine().await;
    let nodes = processes(3).await;
    let all = addresses(&nodes);
    let mut site = Site::start(&all, json!({}), json!({})).await;
    let load = Load::start(&Plan::new(site.address));
    load.run_for(WARM).await;
    for round in 0..12 {
        let mut present = all.clone();
        present.rotate_left(round % 3);
        present.truncate(1 + round % 3);
        let server = json!({ "connection": { "timeout": 100 + round } });
        let behaviour = if round % 2 == 0 { "immediate" } else { "drain" };
        let pool = json!({ "basic": { "node_delete_behavior": behaviour, "note": round.to_string() } });
        let document = site.document(&present, &server, &pool);
        site.tidegate.document(&document).await;
        load.run_for(Duration::from_millis(150)).await;
    }
    finish(load, &site).await;
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_swapped() {
    let _machine = machine().await;
    let nodes = processes(2).await;
    let pairs = [Pair::ecdsa(&["site"]), Pair::ecdsa(&["site"])];
    let config = tls::client(Version::Both);
    let all = addresses(&nodes);
    let document = |port: u16, pair: &Pair| {
        let server = json!({ "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "pair" } });
        Document::new().server("site", port, "nodes", &server).pool("nodes", &all, &json!({})).key(
            "pair",
            &pair.certificate,
            &pair.key,
        )
    };
    let mut site = Site::set_up(|port| document(port, &pairs[0]), |setup| setup).await;
    // Connections are kept for a while and then made anew, so that handshakes go on through every swap.
    let plan =
        Plan { tls: Some((Arc::clone(&config), "site")), per_connection: 150, ..Plan::new(site.address) };
    let load = Load::start(&plan);
    load.run_for(WARM).await;
    for round in 1..6 {
        let changed = document(site.port(), &pairs[round % 2]);
        site.tidegate.document(&changed).await;
        let stream = Client::tls_stream(site.address, &tls::client(Version::Tls13), "site").await.unwrap();
        assert!(stream.get_ref().1.peer_certificates().unwrap()[0].as_ref() == pairs[round % 2].der());
        load.run_for(Duration::from_millis(300)).await;
    }
    finish(load, &site).await;
    site.tidegate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_every_port_harms_nobody() {
    let _machine = machine().await;
    let nodes = processes(2).await;
    let pair = Pair::ecdsa(&["site"]);
    let secure = tidegate_harness::Port::free();
    let site = Site::with(&addresses(&nodes), json!({}), json!({}), |document| {
        let server = json!({ "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "pair" } });
        document.server("secure", secure.number(), "nodes", &server).key("pair", &pair.certificate, &pair.key)
    })
    .await;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let load = Load::start(&Plan::new(site.address));
    let ports = [site.address, secure.address(), site.tidegate.health()];
    let before = site.tidegate.rss_kib();
    for number in 0..400 {
        let Ok(mut client) = Client::try_connect(ports[number % 3]).await else { continue };
        let mut noise: Vec<u8> = (0..random.usize(1..3000)).map(|_| random.u8(..)).collect();
        if random.bool() {
            // Noise behind a beginning that is believed.
            noise.splice(
                ..0,
                b"POST / HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n".iter().copied(),
            );
        }
        client.send(&noise).await;
        if random.bool() {
            client.finish().await;
        }
    }
    let report = load.finish().await;
    assert_eq!(report.failed(), 0, "seed {seed}: {report}");
    let after = site.tidegate.rss_kib();
    assert!(after < before + 40_000, "seed {seed}: memory grew from {before} to {after} KiB");
    site.tidegate.stop().await;
}
