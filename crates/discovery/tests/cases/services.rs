//! D: SRV.

use tidegate_discovery::{Family, SourceState, SrvWeights};
use tidegate_model::DiscoveredNode;

use crate::support::{Act, Server, World, Zone, dns, resolv_conf, source};

const SERVICE: &str = "--servicename=_http._tcp.svc.example.";
const OWNER: &str = "_http._tcp.svc.example";

/// `count` pods with the port 8080, weighted as cluster DNS does.
fn pods(count: u16) -> Zone {
    (1..=count).fold(Zone::new(), |zone, pod| {
        let target = format!("pod{pod}.svc.example");
        zone.weighted(OWNER, 0, (100 / count).max(1), 8080, &target)
            .host(&target, &[&format!("192.0.{}.{}", 2 + pod / 250, pod % 250 + 1)])
    })
}

#[tokio::test]
async fn d1_services_with_their_addresses() {
    let server = Server::zone(pods(3)).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.nodes("p", &["192.0.2.2:8080", "192.0.2.3:8080", "192.0.2.4:8080"]).await;
    world.runs("p", 3).await;
    // One query each time: the addresses come along.
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.kind == hickory_proto::rr::RecordType::SRV));
    assert_eq!(world.status("p").question.as_deref(), Some("SRV _http._tcp.svc.example."));
}

#[tokio::test]
async fn d2_changed_weights_are_no_change() {
    let server = Server::zone(pods(3)).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.size("p", 3).await;
    server.set(pods(6));
    world.size("p", 6).await;
    let set = world.set("p").unwrap();
    assert!(set.nodes.values().all(|node| *node == DiscoveredNode::default()));
    assert_eq!(world.changes, 2);
}

#[tokio::test]
async fn d3_mixed_ports() {
    let zone = |old: u16, new: u16| {
        Zone::new()
            .srv(OWNER, old, "a.example")
            .srv(OWNER, new, "b.example")
            .host("a.example", &["192.0.2.1"])
            .host("b.example", &["192.0.2.2"])
    };
    let server = Server::zone(zone(8080, 8080)).await;
    let mut world = World::new(|_| {});
    world.follow(&[
        ("p", dns(SERVICE, &[&server])),
        ("fixed", dns(&format!("{SERVICE} --port=81"), &[&server])),
    ]);
    world.nodes("p", &["192.0.2.1:8080", "192.0.2.2:8080"]).await;
    server.set(zone(8080, 9090));
    world.nodes("p", &["192.0.2.1:8080", "192.0.2.2:9090"]).await;
    world.nodes("fixed", &["192.0.2.1:81", "192.0.2.2:81"]).await;
}

#[tokio::test]
async fn d4_a_shared_host_name_is_several_nodes() {
    let zone = Zone::new().srv(OWNER, 80, "same.example").host("same.example", &["192.0.2.1", "192.0.2.2"]);
    let server = Server::zone(zone).await;
    let mut world = World::new(|_| {});
    world.follow(&[
        ("p", dns(SERVICE, &[&server])),
        ("first", dns(&format!("{SERVICE} --no-all-addresses"), &[&server])),
    ]);
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80"]).await;
    world.nodes("first", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn d5_targets_are_looked_up_when_they_do_not_come_along() {
    let server = Server::zone(pods(40).without_glue()).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.size("p", 40).await;
    world.status_is("p", "ok", |status| status.state == SourceState::Ok).await;
}

#[tokio::test]
async fn d6_a_target_that_is_gone() {
    let two = pods(2).srv(OWNER, 8080, "gone.example");
    let server = Server::zone(two.clone().host("gone.example", &["192.0.2.9"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.size("p", 3).await;
    server.set(two);
    world.status_is("p", "partial", |status| status.state == SourceState::Partial).await;
    assert_eq!(world.set("p").unwrap().len(), 3);
    assert!(world.error("p").contains("gone.example"), "{}", world.error("p"));
    world.size("p", 2).await;
    assert!(world.status("p").counters.partial >= 2);
}

#[tokio::test]
async fn d7_only_the_other_family_comes_along() {
    let zone = Zone::new()
        .srv(OWNER, 80, "a.example")
        .srv(OWNER, 80, "b.example")
        .host("a.example", &["192.0.2.1", "2001:db8::1"])
        .host("b.example", &["2001:db8::2"]);
    let server = Server::new(move |asked| {
        let mut message = zone.answer(asked);
        message.additionals.retain(|record| record.record_type() == hickory_proto::rr::RecordType::AAAA);
        vec![Act::Send(message)]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(&format!("{SERVICE} --ipv4"), &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    let status = world.status_is("p", "warned", |status| status.warning.is_some()).await;
    assert!(status.warning.unwrap().contains("b.example"));
    assert_eq!(status.state, SourceState::Ok);
}

#[tokio::test]
async fn d8_a_dual_stack_target_is_one_node() {
    let zone = Zone::new().srv(OWNER, 80, "a.example").host("a.example", &["192.0.2.1", "2001:db8::1"]);
    let server = Server::zone(zone).await;
    let mut world = World::new(|_| {});
    world.follow(&[
        ("p", dns(SERVICE, &[&server])),
        ("all", dns(&format!("{SERVICE} --all-addresses"), &[&server])),
    ]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    world.nodes("all", &["192.0.2.1:80", "[2001:db8::1]:80"]).await;
    let mut world = World::new(|options| options.policy.prefer = Family::V6);
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.nodes("p", &["[2001:db8::1]:80"]).await;
}

#[tokio::test]
async fn d9_d17_a_plain_name_with_several_ports() {
    let zone = |second: bool| {
        let mut zone = Zone::new().host("a.example", &["192.0.2.1"]).host("b.example", &["192.0.2.2"]);
        for target in ["a.example", "b.example"] {
            zone = zone.srv("plain.example", 8080, target);
            if second {
                zone = zone.srv("plain.example", 9090, target);
            }
        }
        zone
    };
    let server = Server::zone(zone(false)).await;
    let mut world = World::new(|_| {});
    let plain = "--servicename=plain.example.";
    world.follow(&[("p", dns(plain, &[&server])), ("fixed", dns(&format!("{plain} --port=81"), &[&server]))]);
    world.nodes("p", &["192.0.2.1:8080", "192.0.2.2:8080"]).await;
    server.set(zone(true));
    let status = world.status_is("p", "refused", |status| status.state == SourceState::ConfigError).await;
    assert!(status.alarm);
    assert!(world.error("p").contains("several ports"), "{}", world.error("p"));
    world.nodes("p", &["192.0.2.1:8080", "192.0.2.2:8080"]).await;
    world.nodes("fixed", &["192.0.2.1:81", "192.0.2.2:81"]).await;
}

#[tokio::test]
async fn d10_deliberately_none() {
    let server = Server::zone(pods(1)).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.size("p", 1).await;
    server.set(Zone::new().srv(OWNER, 0, "."));
    world.nodes("p", &[]).await;
    assert!(world.error("p").contains("deliberately none"), "{}", world.error("p"));
}

#[tokio::test]
async fn d11_d12_priorities_and_weights() {
    let zone = Zone::new()
        .weighted(OWNER, 10, 1, 80, "a.example")
        .weighted(OWNER, 10, 3, 80, "b.example")
        .weighted(OWNER, 20, 5, 80, "c.example")
        .host("a.example", &["192.0.2.1"])
        .host("b.example", &["192.0.2.2"])
        .host("c.example", &["192.0.2.3"]);
    let server = Server::zone(zone).await;
    let mut world = World::new(|options| options.policy.srv_weights = SrvWeights::Honour);
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.size("p", 3).await;
    let set = world.set("p").unwrap();
    let all: Vec<_> = set.nodes.values().map(|node| (node.priority, node.weight)).collect();
    assert_eq!(all, [(Some(2), Some(33)), (Some(2), Some(100)), (Some(1), Some(100))]);
}

#[tokio::test]
async fn d13_port_zero() {
    let server =
        Server::zone(pods(2).srv(OWNER, 0, "zero.example").host("zero.example", &["192.0.2.9"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(SERVICE, &[&server]))]);
    world.size("p", 2).await;
    world.status_is("p", "counted", |status| status.counters.rejected_records >= 1).await;
}

#[tokio::test]
async fn d14_an_unknown_port_name() {
    let server = Server::zone(pods(2)).await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], "search ns.svc.example svc.example\noptions ndots:5\n");
    world.follow(&[("p", source("BuiltIn-DNS_Stateless", "--servicename=_htp._tcp.svc"))]);
    world.nodes("p", &[]).await;
    assert!(world.error("p").contains("_htp._tcp.svc.ns.svc.example."), "{}", world.error("p"));
}

#[tokio::test]
async fn d15_a_relative_service_name() {
    let zone = Zone::new()
        .srv("_http._tcp.web.ns.svc.example", 8080, "a.web.ns.svc.example")
        .host("a.web.ns.svc.example", &["192.0.2.1"]);
    let server = Server::zone(zone).await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], "search ns.svc.example svc.example example\noptions ndots:5\n");
    world.follow(&[("p", source("BuiltIn-DNS_Stateless", "--servicename=_http._tcp.web"))]);
    world.nodes("p", &["192.0.2.1:8080"]).await;
    world.runs("p", 3).await;
    assert!(server.asked().iter().all(|asked| asked.name == "_http._tcp.web.ns.svc.example"));
}

#[tokio::test]
async fn d16_a_host_name_with_a_port() {
    let server = Server::zone(Zone::new().host("svc.ns.svc.cluster.local", &["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=svc.ns.svc.cluster.local --port 80", &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
}
