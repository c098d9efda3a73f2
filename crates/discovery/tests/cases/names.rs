//! E: the resolver configuration and the search list.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tidegate_discovery::SourceState;

use crate::support::{Act, Server, World, Zone, dns, refuse, reply, resolv_conf, source};

const POD: &str =
    "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example lan.example\noptions ndots:5\n";

fn host(name: &str) -> tidegate_discovery::Source {
    source("BuiltIn-DNS_Stateless", &format!("--hostname={name} --port=80 --ipv4"))
}

#[tokio::test]
async fn e1_the_winner_of_the_search_list_is_remembered() {
    let server = Server::zone(Zone::new().host("web.ns.svc.cluster.local", &["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], POD);
    world.follow(&[("p", host("web.ns.svc.cluster.local"))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    let walk = server.count();
    assert!((6..=7).contains(&walk), "{walk}");
    world.runs("p", 4).await;
    assert!(server.asked()[walk..].iter().all(|asked| asked.name == "web.ns.svc.cluster.local"));
}

#[tokio::test]
async fn e2_a_final_dot_is_one_name() {
    let server = Server::zone(Zone::new()).await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], POD);
    world.follow(&[("p", host("web.example."))]);
    world.nodes("p", &[]).await;
    assert!(server.asked().iter().all(|asked| asked.name == "web.example"));
}

#[tokio::test]
async fn e3_the_host_network_without_cluster_domains() {
    let server = Server::zone(Zone::new()).await;
    let world = World::new(|options| options.host_network = true);
    resolv_conf(world.path(), &[&server], "search corp.example\n");
    world.follow(&[
        ("service", source("BuiltIn-DNS_Stateless", "--servicename=_http._tcp.web")),
        ("host", host("web.ns.svc.cluster.local")),
        ("outside", host("db.corp.example")),
    ]);
    for pool in ["service", "host"] {
        let status = world.status_is(pool, "asked", |status| status.counters.nxdomain > 0).await;
        assert!(status.warning.unwrap().contains("ClusterFirstWithHostNet"));
        assert!(world.error(pool).contains("ClusterFirstWithHostNet"));
    }
    let status = world.status_is("outside", "asked", |status| status.counters.nxdomain > 0).await;
    assert_eq!(status.warning, None);
}

#[tokio::test]
async fn e4_a_failing_expansion_ends_the_walk() {
    let second = Zone::new().host("web.svc.cluster.local", &["192.0.2.1"]);
    let server = Server::new(move |asked| {
        let first = asked.name == "web.ns.svc.cluster.local";
        vec![Act::Send(if first { reply(asked, ResponseCode::ServFail) } else { second.answer(asked) })]
    })
    .await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], POD);
    world.follow(&[("p", host("web"))]);
    world.status_is("p", "error", |status| status.counters.servfail >= 3).await;
    assert_eq!(world.status("p").state, SourceState::Error);
    assert_eq!(world.set("p"), None);
    assert!(server.asked().iter().all(|asked| asked.name == "web.ns.svc.cluster.local"));
}

#[tokio::test]
async fn e5_an_earlier_name_comes_to_exist() {
    let later = Zone::new().host("web.svc.cluster.local", &["192.0.2.1"]);
    let server = Server::zone(later.clone()).await;
    let mut world = World::new(|options| options.timing.search_recheck = Duration::from_millis(50));
    resolv_conf(world.path(), &[&server], POD);
    world.follow(&[("p", host("web"))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    let earlier = Zone::new().host("web.ns.svc.cluster.local", &["192.0.2.2"]);
    server.set(later.host("web.ns.svc.cluster.local", &["192.0.2.2"]));
    let status = world.status_is("p", "warned", |status| status.warning.is_some()).await;
    assert!(status.warning.unwrap().contains("web.ns.svc.cluster.local. exists now too"));
    world.nodes("p", &["192.0.2.1:80"]).await;
    // The winner is gone: the other takes over, after the confirmation.
    server.set(earlier);
    world.nodes("p", &["192.0.2.2:80"]).await;
}

#[tokio::test]
async fn e6_the_resolver_configuration_changes() {
    let (old, new) = (
        Server::zone(Zone::new().host("web.example", &["192.0.2.1"])).await,
        Server::zone(Zone::new().host("web.example", &["192.0.2.1", "192.0.2.2"])).await,
    );
    let mut world = World::new(|options| {
        options.timing.min_interval = Duration::from_mins(1);
        options.timing.max_interval = Duration::from_mins(1);
    });
    resolv_conf(world.path(), &[&old], "");
    world.follow(&[("p", host("web.example"))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    resolv_conf(world.path(), &[&new], "");
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80"]).await;
}

#[tokio::test]
async fn e7_tcp_only() {
    let server = Server::zone(Zone::new().host("web.example", &["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], "options use-vc timeout:1 attempts:1 ndots:1 no-such-option\n");
    world.follow(&[("p", host("web.example"))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    assert!(server.asked().iter().all(|asked| asked.tcp));
}

#[tokio::test]
async fn e10_an_address_needs_no_dns() {
    let server = Server::new(refuse(ResponseCode::ServFail)).await;
    let mut world = World::new(|_| {});
    world.follow(&[
        ("four", dns("--hostname=192.0.2.7 --port=80", &[&server])),
        ("six", dns("--hostname=[2001:db8::7] --port=80", &[&server])),
    ]);
    world.nodes("four", &["192.0.2.7:80"]).await;
    world.nodes("six", &["[2001:db8::7]:80"]).await;
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn search_domain_and_no_search() {
    let server =
        Server::zone(Zone::new().host("web.own.example", &["192.0.2.1"]).host("web", &["192.0.2.2"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[
        ("own", dns("--hostname=web --port=80 --search-domain=own.example", &[&server])),
        ("none", dns("--hostname=web --port=80 --no-search", &[&server])),
        ("domain", dns("--hostname=web --port=80 --domain=own.example --no-search", &[&server])),
    ]);
    world.nodes("own", &["192.0.2.1:80"]).await;
    world.nodes("none", &["192.0.2.2:80"]).await;
    world.nodes("domain", &["192.0.2.1:80"]).await;
}
