//! B: empty, negative and failing answers.

use std::time::{Duration, Instant};

use hickory_proto::{op::ResponseCode, rr::RecordType};
use tidegate_discovery::{EmptyPolicy, SourceState};

use crate::support::{Act, Server, World, Zone, dns, name, refuse, reply, silence};

const HOST: &str = "--hostname=web.example. --port=80 --ipv4";

fn zone(addresses: &[&str]) -> Zone {
    Zone::new().host("web.example", addresses)
}

/// A world in which the pool has the node 192.0.2.1 by `servers`.
async fn settled(servers: &[&Server]) -> World {
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, servers))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    world
}

async fn kept(world: &mut World) {
    world.runs("p", 4).await;
    world.drain();
    let set = world.set("p");
    assert_eq!(world.changes, 1, "{set:?}");
}

#[tokio::test]
async fn b1_one_nxdomain_between_good_answers() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = settled(&[&server]).await;
    let good = zone(&["192.0.2.1"]);
    let once = std::sync::atomic::AtomicBool::new(true);
    server.handle(move |asked| {
        let first = once.swap(false, std::sync::atomic::Ordering::Relaxed);
        vec![Act::Send(if first { reply(asked, ResponseCode::NXDomain) } else { good.answer(asked) })]
    });
    world.status_is("p", "counted", |status| status.counters.nxdomain == 1).await;
    kept(&mut world).await;
    assert_eq!(world.status("p").state, SourceState::Ok);
}

#[tokio::test]
async fn b2_steady_nxdomain_empties_after_confirmation() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = settled(&[&server]).await;
    server.handle(refuse(ResponseCode::NXDomain));
    world.nodes("p", &[]).await;
    let status = world.status("p");
    assert!(status.counters.empty >= 3);
    assert!(matches!(status.state, SourceState::Empty { needed: 3, .. }), "{:?}", status.state);
    server.set(zone(&["192.0.2.1"]));
    world.nodes("p", &["192.0.2.1:80"]).await;
}

#[tokio::test]
async fn b3_keep_never_empties() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|options| options.policy.empty = EmptyPolicy::Keep);
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    server.handle(refuse(ResponseCode::NXDomain));
    world.runs("p", 6).await;
    assert_eq!(world.status("p").state, SourceState::Stale);
    kept(&mut world).await;
}

#[tokio::test]
async fn b4_another_server_knows_better() {
    let (stale, good) =
        (Server::new(refuse(ResponseCode::NXDomain)).await, Server::zone(zone(&["192.0.2.1"])).await);
    let mut world = settled(&[&stale, &good]).await;
    kept(&mut world).await;
    assert_eq!(world.status("p").state, SourceState::Ok);
}

#[tokio::test]
async fn b5_a_family_without_records_is_left_alone() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=web.example. --port=80", &[&server]))]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    world.runs("p", 5).await;
    let v6 = server.asked().iter().filter(|asked| asked.kind == RecordType::AAAA).count();
    assert_eq!(v6, 1);
}

#[tokio::test]
async fn b6_no_records_of_either_family() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns("--hostname=web.example. --port=80", &[&server]))]);
    world.size("p", 1).await;
    server.handle(refuse(ResponseCode::NoError));
    world.nodes("p", &[]).await;
    let status = world.status("p");
    assert!(status.counters.empty >= 3 && status.counters.nodata >= 3);
}

#[tokio::test]
async fn b7_servfail_keeps() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = settled(&[&server]).await;
    server.handle(refuse(ResponseCode::ServFail));
    let status = world.status_is("p", "alarm", |status| status.alarm).await;
    assert_eq!(status.state, SourceState::Stale);
    assert!(world.error("p").contains("SERVFAIL"), "{}", world.error("p"));
    kept(&mut world).await;
}

#[tokio::test]
async fn b8_refused_by_one_server() {
    let (bad, good) =
        (Server::new(refuse(ResponseCode::Refused)).await, Server::zone(zone(&["192.0.2.1"])).await);
    let begun = Instant::now();
    let mut world = settled(&[&bad, &good]).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    kept(&mut world).await;
    let counters = world.status("p").counters;
    assert_eq!(counters.timeouts, 0);
    assert!(counters.refused >= 1);
}

#[tokio::test]
async fn b9_silence_of_one_server() {
    let (silent, good) = (Server::new(silence).await, Server::zone(zone(&["192.0.2.1"])).await);
    let mut world = settled(&[&silent, &good]).await;
    // The good one is asked first from now on.
    let first = silent.count();
    world.runs("p", 3).await;
    assert_eq!(silent.count(), first);
    // And the silent one again after a while.
    silent.after(1).await;
    kept(&mut world).await;
}

#[tokio::test]
async fn b10_silence_of_all() {
    let (one, two) = (Server::zone(zone(&["192.0.2.1"])).await, Server::zone(zone(&["192.0.2.1"])).await);
    let mut world = settled(&[&one, &two]).await;
    one.handle(silence);
    two.handle(silence);
    let status = world.status_is("p", "alarm", |status| status.alarm).await;
    assert_eq!(status.state, SourceState::Stale);
    assert!(status.counters.timeouts >= 4);
    let error = world.error("p");
    assert!(error.contains(&one.address.to_string()) && error.contains(&two.address.to_string()), "{error}");
    world.drain();
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn b11_a_long_outage_alarms_when_asked_to() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = World::new(|options| options.policy.max_stale = Some(Duration::from_millis(50)));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    server.handle(silence);
    world.status_is("p", "alarm", |status| status.alarm).await;
    server.set(zone(&["192.0.2.1"]));
    world.status_is("p", "ok", |status| status.state == SourceState::Ok && !status.alarm).await;
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn b12_formerr_to_edns_is_remembered() {
    let good = zone(&["192.0.2.1"]);
    let server = Server::new(move |asked| {
        let message =
            if asked.edns.is_some() { reply(asked, ResponseCode::FormErr) } else { good.answer(asked) };
        vec![Act::Send(message)]
    })
    .await;
    let mut world = settled(&[&server]).await;
    kept(&mut world).await;
    assert_eq!(server.asked().iter().filter(|asked| asked.edns.is_some()).count(), 1);
}

#[tokio::test]
async fn b13_an_unreachable_port_costs_no_wait() {
    let gone = Server::new(silence).await;
    let good = Server::zone(zone(&["192.0.2.1"])).await;
    let source = dns(HOST, &[&gone, &good]);
    drop(gone);
    tokio::task::yield_now().await;
    let mut world = World::new(|options| {
        options.timing.attempt_timeout = Duration::from_secs(5);
        options.timing.refresh_deadline = Duration::from_secs(10);
    });
    let begun = Instant::now();
    world.follow(&[("p", source)]);
    world.nodes("p", &["192.0.2.1:80"]).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn b14_a_wrong_id_is_ignored() {
    let good = zone(&["192.0.2.1"]);
    let server = Server::new(move |asked| {
        let mut wrong = zone(&["192.0.2.66"]).answer(asked);
        wrong.metadata.id ^= 1;
        vec![Act::Send(wrong), Act::Wait(Duration::from_millis(50)), Act::Send(good.answer(asked))]
    })
    .await;
    let mut world = settled(&[&server]).await;
    kept(&mut world).await;
    assert!(world.status("p").counters.ignored_replies >= 1);
}

#[tokio::test]
async fn b15_another_question_or_sender_is_ignored() {
    let good = zone(&["192.0.2.1"]);
    let server = Server::new(move |asked| {
        let evil = zone(&["192.0.2.66"]);
        let mut question = evil.answer(asked);
        question.queries[0].set_name(name("other.example"));
        let mut query = evil.answer(asked);
        query.metadata.message_type = hickory_proto::op::MessageType::Query;
        let mut none = evil.answer(asked);
        none.queries.clear();
        vec![
            Act::FromElsewhere(evil.answer(asked)),
            Act::Send(question),
            Act::Send(query),
            Act::Send(none),
            Act::Bytes(vec![]),
            Act::Wait(Duration::from_millis(20)),
            Act::Send(good.answer(asked)),
        ]
    })
    .await;
    let mut world = settled(&[&server]).await;
    kept(&mut world).await;
    server.handle(|asked| vec![Act::FromElsewhere(zone(&["192.0.2.66"]).answer(asked))]);
    world.status_is("p", "stale", |status| status.state == SourceState::Stale).await;
    assert_eq!(world.status("p").counters.timeouts, 2);
}

#[tokio::test]
async fn b16_malformed_answers() {
    let server = Server::zone(zone(&["192.0.2.1"])).await;
    let mut world = settled(&[&server]).await;
    let good = zone(&["192.0.2.1", "192.0.2.2"]);
    let nth = std::sync::atomic::AtomicUsize::new(0);
    server.handle(move |asked| {
        let bytes = good.answer(asked).to_vec().unwrap();
        let head = &bytes[..12];
        let broken = match nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 5 {
            // Cut inside the data of a record.
            0 => bytes[..bytes.len() - 2].to_vec(),
            // A name that points at itself.
            1 => [head, &[0xc0, 0x0c, 0, 1, 0, 1]].concat(),
            2 => [head, &vec![0xff; 60_000]].concat(),
            // Counts that promise what is not there.
            3 => [&bytes[..6], &[0xff; 6], &bytes[12..]].concat(),
            _ => head.to_vec(),
        };
        vec![Act::Bytes(broken)]
    });
    let status = world.status_is("p", "malformed", |status| status.counters.malformed >= 10).await;
    assert_eq!(status.state, SourceState::Stale);
    kept(&mut world).await;
}

#[tokio::test]
async fn b17_a_server_that_has_just_started() {
    let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
    let server = Server::zone(zone(&all)).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 5).await;
    let (one, full) = (zone(&all[..1]), zone(&all));
    let once = std::sync::atomic::AtomicBool::new(true);
    server.handle(move |asked| {
        let first = once.swap(false, std::sync::atomic::Ordering::Relaxed);
        vec![Act::Send(if first { one.answer(asked) } else { full.answer(asked) })]
    });
    kept(&mut world).await;
    assert_eq!(world.set("p").unwrap().len(), 5);
}

#[tokio::test]
async fn b18_alternating_answers_do_not_flap() {
    let (left, right) =
        (zone(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]), zone(&["192.0.2.2", "192.0.2.3", "192.0.2.4"]));
    let nth = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::new(move |asked| {
        let even = nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2);
        vec![Act::Send(if even { left.answer(asked) } else { right.answer(asked) })]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 4).await;
    world.runs("p", 12).await;
    world.drain();
    assert!(world.changes <= 2, "{}", world.changes);
    assert_eq!(world.set("p").unwrap().len(), 4);
}

#[tokio::test]
async fn b19_an_empty_pool_is_looked_at_often() {
    // The negative TTL of the zone is 5 s; the pool is looked at again after 40 ms.
    let server = Server::zone(Zone::new()).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.nodes("p", &[]).await;
    server.set(zone(&["192.0.2.1"]));
    let begun = Instant::now();
    world.nodes("p", &["192.0.2.1:80"]).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn b20_a_large_removal_can_be_held() {
    let many: Vec<String> = (1..=60).map(|last| format!("192.0.2.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let server = Server::zone(zone(&many)).await;
    let mut world = World::new(|options| options.policy.max_removal_percent = Some(50));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 60).await;
    server.set(zone(&many[..1]));
    let held = SourceState::RemovalHeld { missing: 59, held: 60 };
    world.status_is("p", "held", |status| status.state == held && status.alarm).await;
    kept(&mut world).await;
}

#[tokio::test]
async fn b21_a_name_that_never_was() {
    let server = Server::zone(Zone::new()).await;
    let mut world = World::new(|_| {});
    crate::support::resolv_conf(world.path(), &[&server], "search a.example b.example\noptions ndots:5\n");
    world.follow(&[("p", crate::support::source("BuiltIn-DNS_Stateless", "--hostname=typo --port=80"))]);
    world.nodes("p", &[]).await;
    let error = world.error("p");
    for part in ["NXDOMAIN", "all search expansions", "typo.a.example.", "typo.b.example.", "typo."] {
        assert!(error.contains(part), "{error}");
    }
}
