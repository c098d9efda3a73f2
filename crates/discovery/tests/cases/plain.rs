//! A: plain addresses. F: families.

use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use tidegate_discovery::{Family, NamedNode, Source, SourceState};

use crate::support::{Act, Server, World, Zone, dns, hosts, resolv_conf, silence, source};

const HOST: &str = "--hostname=web.example. --port=80";

fn zone(addresses: &[&str]) -> Zone {
    Zone::new().host("web.example", addresses)
}

#[tokio::test]
async fn a1_first_start() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.2", "192.0.2.3"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"]).await;
    let status = world.status_is("p", "ok", |status| status.state == SourceState::Ok).await;
    assert!(status.first_answer && status.last_error.is_none() && !status.alarm);
    assert_eq!(status.question.as_deref(), Some("A+AAAA web.example."));
}

#[tokio::test]
async fn a2_first_start_without_dns() {
    let server = Server::new(silence).await;
    let mut world = World::new(|options| options.timing.refresh_deadline = Duration::from_millis(300));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    let status = world.status_is("p", "error", |status| status.state == SourceState::Error).await;
    assert!(!status.first_answer);
    assert!(world.error("p").contains("no answer"), "{}", world.error("p"));
    assert_eq!(world.set("p"), None);
    world.runs("p", 2).await;
    server.set(zone(&["192.0.2.1"]));
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn a3_a4_scale_up_and_down() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.2", "192.0.2.3"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 3).await;
    server.set(zone(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]));
    world.size("p", 5).await;
    server.set(zone(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]));
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"]).await;
    let counters = world.status("p").counters;
    assert_eq!((counters.added, counters.removed), (5, 2));
}

#[tokio::test]
async fn a5_rolling_replacement() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.2"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 2).await;
    for round in 1..=10 {
        let (one, two) = (format!("192.0.2.{}", round + 1), format!("192.0.2.{}", round + 2));
        server.set(zone(&[&one, &two]));
        world.nodes("p", &[&format!("{one}:80"), &format!("{two}:80")]).await;
    }
    assert_eq!(world.discovery.counters().removed, 10);
}

#[tokio::test]
async fn a6_order_is_no_change() {
    let mut shuffled = zone(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]);
    shuffled.shuffle = true;
    let server = Server::zone(shuffled).await;
    let mut world = World::new(|options| {
        options.timing.min_interval = Duration::from_millis(1);
        options.timing.max_interval = Duration::from_millis(1);
    });
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 4).await;
    world.runs("p", 200).await;
    world.drain();
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn a7_the_same_address_twice() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn a8_ttl_zero_is_no_hot_loop() {
    let server = Server::zone(Zone::new().address("web.example", 0, "192.0.2.1")).await;
    let mut world = World::new(|options| options.timing.min_interval = Duration::from_millis(100));
    world.follow(&[("p", dns(&format!("{HOST} --ipv4"), &[&server]))]);
    world.size("p", 1).await;
    server.after(4).await;
    let times: Vec<Instant> = server.asked().iter().map(|asked| asked.at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(95)), "{times:?}");
}

#[tokio::test]
async fn a9_a_long_ttl_is_not_waited_for() {
    let server = Server::zone(Zone::new().address("web.example", 86_400, "192.0.2.1")).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    server.after(4).await;
}

#[tokio::test]
async fn a10_the_smallest_ttl_rules() {
    let mixed = Zone::new()
        .address("web.example", 30, "192.0.2.1")
        .address("web.example", 1, "192.0.2.2")
        .address("web.example", 60, "192.0.2.3");
    let server = Server::zone(mixed).await;
    let mut world = World::new(|options| options.timing.max_interval = Duration::from_secs(30));
    world.follow(&[("p", dns(&format!("{HOST} --ipv4"), &[&server]))]);
    world.size("p", 3).await;
    server.after(1).await;
    let asked = server.asked();
    let wait = asked[1].at - asked[0].at;
    assert!(wait >= Duration::from_millis(950) && wait < Duration::from_secs(5), "{wait:?}");
}

#[tokio::test]
async fn a11_addresses_that_cannot_be_nodes() {
    let server =
        Server::zone(zone(&["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "127.0.0.1", "192.0.2.1"]))
            .await;
    let mut world = World::new(|options| options.allow_loopback = Some(false));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    let status = world.status_is("p", "counted", |status| status.counters.rejected_addresses >= 5).await;
    assert_eq!(status.state, SourceState::Ok);
}

#[tokio::test]
async fn a12_only_invalid_addresses() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    server.set(zone(&["0.0.0.0"]));
    world.status_is("p", "stale", |status| status.state == SourceState::Stale).await;
    world.runs("p", 4).await;
    world.nodes("p", &["192.0.2.1:80"]).await;
    assert!(world.error("p").contains("can be a node"));
}

#[tokio::test]
async fn a13_aliases_are_followed() {
    let server = Server::zone(
        zone(&["192.0.2.1", "192.0.2.2"])
            .alias("one.example", "two.example")
            .alias("two.example", "three.example")
            .alias("three.example", "web.example"),
    )
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=one.example. --port=80", &[&server]))]);
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80"]).await;
}

#[tokio::test]
async fn a13_an_alias_whose_target_is_not_in_the_message() {
    let full = zone(&["192.0.2.1"]).alias("one.example", "web.example");
    let server = Server::new(move |asked| {
        let mut message = full.answer(asked);
        if asked.name == "one.example" {
            message.answers.truncate(1);
        }
        vec![Act::Send(message)]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=one.example. --port=80", &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn a14_alias_loops_and_long_chains() {
    let mut long = zone(&["192.0.2.1"]);
    for hop in 0..20 {
        long = long.alias(&format!("h{hop}.example"), &format!("h{}.example", hop + 1));
    }
    long = long
        .alias("h20.example", "web.example")
        .alias("a.example", "b.example")
        .alias("b.example", "a.example");
    let server = Server::zone(long).await;
    let world = World::new(|_| {});
    world.follow(&[
        ("long", dns("--hostname=h0.example. --port=80", &[&server])),
        ("loop", dns("--hostname=a.example. --port=80", &[&server])),
    ]);
    for pool in ["long", "loop"] {
        world.status_is(pool, "error", |status| status.state == SourceState::Error).await;
        assert!(world.error(pool).contains("CNAME"), "{}", world.error(pool));
    }
}

#[tokio::test]
async fn a15_letter_case_does_not_matter() {
    let full = zone(&["192.0.2.1"]);
    let server = Server::new(move |asked| {
        let mut message = full.answer(asked);
        for query in &mut message.queries {
            query.set_name(crate::support::name("WEB.Example."));
        }
        for record in &mut message.answers {
            record.name = crate::support::name("wEB.eXAMPLE.");
        }
        vec![Act::Send(message)]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=Web.EXAMPLE --port=80 --no-search", &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn a17_a_node_missing_once_stays() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.2"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(&format!("{HOST} --ipv4"), &[&server]))]);
    world.size("p", 2).await;
    let (both, one) = (zone(&["192.0.2.1", "192.0.2.2"]), zone(&["192.0.2.1"]));
    let nth = std::sync::atomic::AtomicUsize::new(0);
    server.handle(move |asked| {
        let odd = nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 == 1;
        vec![Act::Send(if odd { one.answer(asked) } else { both.answer(asked) })]
    });
    server.after(8).await;
    world.drain();
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn a18_a_node_comes_back_after_it_left() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.2"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 2).await;
    server.set(zone(&["192.0.2.1"]));
    world.size("p", 1).await;
    server.set(zone(&["192.0.2.1", "192.0.2.2"]));
    world.size("p", 2).await;
    assert_eq!(world.status("p").counters.added, 3);
}

#[tokio::test]
async fn a19_more_nodes_than_allowed_are_refused_whole() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|options| options.policy.max_nodes = 10);
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    let many: Vec<String> = (1..=11).map(|last| format!("192.0.2.{last}")).collect();
    server.set(zone(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    world.status_is("p", "stale", |status| status.state == SourceState::Stale).await;
    assert!(world.error("p").contains("11 nodes are more than the 10"), "{}", world.error("p"));
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn a20_equal_sources_share_their_queries() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|options| {
        options.timing.min_interval = Duration::from_millis(500);
        options.timing.max_interval = Duration::from_millis(500);
    });
    let source = dns(&format!("{HOST} --ipv4"), &[&server]);
    world.follow(&[("one", source.clone()), ("two", source.clone())]);
    world.size("one", 1).await;
    world.size("two", 1).await;
    assert_eq!(server.count(), 1);
    // A pool that joins has the set at once.
    world.follow(&[("one", source.clone()), ("two", source.clone()), ("three", source)]);
    world.size("three", 1).await;
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn f1_both_families() {
    let server = Server::zone(zone(&["192.0.2.1", "2001:db8::1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[
        ("both", dns(HOST, &[&server])),
        ("four", dns(&format!("{HOST} --ipv4"), &[&server])),
        ("six", dns(&format!("{HOST} --ipv6"), &[&server])),
        ("first", dns(&format!("{HOST} --no-all-addresses"), &[&server])),
    ]);
    world.nodes("both", &["192.0.2.1:80", "[2001:db8::1]:80"]).await;
    world.nodes("four", &["192.0.2.1:80"]).await;
    world.nodes("six", &["[2001:db8::1]:80"]).await;
    world.nodes("first", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn f2_one_family_fails() {
    let server = Server::zone(zone(&["192.0.2.1", "2001:db8::1"])).await;
    let mut world = World::new(|options| options.policy.prefer = Family::V6);
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 2).await;
    let four = zone(&["192.0.2.2"]);
    server.handle(move |asked| match asked.kind {
        RecordType::AAAA => Vec::new(),
        _ => vec![Act::Send(four.answer(asked))],
    });
    world.nodes("p", &["192.0.2.2:80", "[2001:db8::1]:80"]).await;
    assert_eq!(world.status("p").state, SourceState::Partial);
}

#[tokio::test]
async fn f4_mapped_addresses_are_ipv4() {
    let server = Server::zone(zone(&["192.0.2.1", "::ffff:192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
}

fn named(host: &str) -> NamedNode {
    NamedNode { host: host.into(), port: 80, draining: false, weight: None, priority: None }
}

#[tokio::test]
async fn names_of_a_nodes_table() {
    let server = Server::zone(zone(&["192.0.2.1"]).host("db.example", &["192.0.2.9"])).await;
    let mut world = World::new(|_| {});
    resolv_conf(world.path(), &[&server], "search example\n");
    let node = |host, weight| NamedNode { weight, ..named(host) };
    world.follow(&[(
        "p",
        Source::Names(vec![node("web", Some(3)), node("db", None), node("192.0.2.7", None)]),
    )]);
    world.nodes("p", &["192.0.2.1:80", "192.0.2.7:80", "192.0.2.9:80"]).await;
    let set = world.set("p").unwrap();
    assert_eq!(set.nodes[&"192.0.2.1:80".parse().unwrap()].weight, Some(3));
    // Certificates are held against the name as it is written.
    assert_eq!(set.nodes[&"192.0.2.1:80".parse().unwrap()].name.as_deref(), Some("web"));
    // One name that fails does not take the others away.
    server.set(Zone::new().host("db.example", &["192.0.2.9"]));
    world.nodes("p", &["192.0.2.7:80", "192.0.2.9:80"]).await;
}

#[tokio::test]
async fn the_hosts_file_answers_for_names_of_a_nodes_table_first() {
    let zone = zone(&["192.0.2.1"]).host("db.example", &["192.0.2.9"]);
    let server = Server::zone(zone).await;
    let directory = tempfile::tempdir().unwrap();
    resolv_conf(directory.path(), &[&server], "search example\n");
    hosts(
        directory.path(),
        "127.0.0.9 Web # loopback is meant\n192.0.2.7 web\n0.0.0.0 web\n192.0.2.8 web.example\n",
    );
    let mut world = World::at(directory, |_| {});
    world.follow(&[
        ("table", Source::Names(vec![named("web"), named("db")])),
        ("built-in", dns(HOST, &[&server])),
    ]);
    world.nodes("table", &["127.0.0.9:80", "192.0.2.7:80", "192.0.2.9:80"]).await;
    assert!(world.status("table").question.unwrap().contains("hosts file web"));
    assert!(world.status("table").counters.rejected_addresses >= 1);
    // Built-ins ask DNS, as they say.
    world.nodes("built-in", &["192.0.2.1:80"]).await;
    hosts(world.path(), "192.0.2.7 web\n192.0.2.10 web\n192.0.2.11 db\n");
    world.nodes("table", &["192.0.2.7:80", "192.0.2.10:80", "192.0.2.11:80"]).await;
    // A name that is taken out is asked for; one that none of its addresses can be a node of keeps what it had.
    hosts(world.path(), "0.0.0.0 db\n");
    world.nodes("table", &["192.0.2.1:80", "192.0.2.11:80"]).await;
    assert!(world.error("table").contains("hosts file"), "{}", world.error("table"));
}

#[tokio::test]
async fn the_resolver_built_in_asks_three_times_at_first() {
    let nth = std::sync::atomic::AtomicUsize::new(1);
    let server = Server::new(move |asked| {
        let last = nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let zone = Zone::new().address("web.example", 60, &format!("192.0.2.{}", last.min(3)));
        vec![Act::Send(zone.answer(asked))]
    })
    .await;
    let mut world = World::new(|options| options.timing.plugin_second = Duration::from_mins(1));
    let arguments = format!("--hostname=web.example. --ipv4 --nameservers={}", server.address);
    world.follow(&[("p", source("BuiltIn-DNS_Resolver", &arguments))]);
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"]).await;
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn the_resolver_built_in_remembers() {
    let one = |address: &str| Zone::new().address("web.example", 1, address);
    let server = Server::zone(one("192.0.2.1")).await;
    let mut world = World::new(|_| {});
    let arguments = format!("--hostname=web.example. --nameservers={}", server.address);
    world.follow(&[("p", source("BuiltIn-DNS_Resolver", &arguments))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    // Each answer has another node; those of earlier answers stay until their TTL has run out.
    server.set(one("192.0.2.2"));
    world.nodes("p", &["192.0.2.1:80", "192.0.2.2:80"]).await;
    let begun = Instant::now();
    world.nodes("p", &["192.0.2.2:80"]).await;
    assert!(begun.elapsed() > Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_restart_during_an_outage_begins_warm() {
    let server = Server::zone(zone(&["192.0.2.1", "192.0.2.2"])).await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut world = World::new(|options| options.state_dir = Some(state.clone()));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 2).await;
    crate::support::until(|| crate::support::stored(&state) == 1, "a set on disk").await;
    drop(world);
    server.handle(silence);
    let mut world = World::new(|options| options.state_dir = Some(state.clone()));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 2).await;
    assert!(!world.fresh["p"]);
    let status = world.status("p");
    assert_eq!(status.state, SourceState::Stale);
    assert!(!status.first_answer && status.last_success.is_some());
    server.set(zone(&["192.0.2.1", "192.0.2.2"]));
    world.status_is("p", "answered", |status| status.first_answer).await;
    world.becomes_fresh("p").await;
    assert_eq!(world.set("p").unwrap().len(), 2);
}
