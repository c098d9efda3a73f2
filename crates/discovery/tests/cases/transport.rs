//! C: size and transport.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_proto::rr::RecordType;
use tidegate_discovery::SourceState;

use crate::support::{Act, Server, World, Zone, dns};

const HOST: &str = "--hostname=web.example. --port=80 --ipv4";

fn many(count: u16) -> Zone {
    (0..count).fold(Zone::new(), |zone, n| {
        zone.address("web.example", 5, &format!("10.0.{}.{}", n / 250, n % 250 + 1))
    })
}

#[tokio::test]
async fn c1_c9_a_cut_answer_comes_over_tcp() {
    let server = Server::zone(many(100)).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 100).await;
    assert_eq!(world.changes, 1, "never a part");
    assert_eq!(world.status("p").state, SourceState::Ok);
    assert!(server.asked().iter().any(|asked| asked.tcp));
}

#[tokio::test]
async fn c9_a_server_that_cuts_at_512() {
    let full = many(60);
    let server = Server::new(move |asked| {
        let mut message = full.answer(asked);
        if !asked.tcp {
            message.answers.truncate(28);
            message.metadata.truncation = true;
        }
        vec![Act::Send(message)]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 60).await;
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn c1_a_cut_inside_a_record() {
    let full = many(60);
    let server = Server::new(move |asked| {
        let mut message = full.answer(asked);
        if asked.tcp {
            return vec![Act::Send(message)];
        }
        message.metadata.truncation = true;
        let mut bytes = message.to_vec().unwrap();
        bytes.truncate(507);
        vec![Act::Bytes(bytes)]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 60).await;
}

#[tokio::test]
async fn c2_tcp_is_refused() {
    let full = many(20);
    let small = full.clone();
    let server = Server::udp_only(move |asked| vec![Act::Send(small.answer(asked))]).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 20).await;
    let more = many(200);
    server.handle(move |asked| {
        // Cut answers that lack some of the first nodes.
        let mut message = more.answer(asked);
        message.answers.drain(..10);
        vec![Act::Send(message)]
    });
    let status = world.status_is("p", "partial", |status| status.state == SourceState::Partial).await;
    assert!(status.nodes > 20);
    assert!(world.error("p").contains("blocked?"), "{}", world.error("p"));
    world.runs("p", 3).await;
    let set = world.set("p").unwrap();
    assert!(full.answer(&server.asked()[0]).answers.iter().all(|record| {
        let hickory_proto::rr::RData::A(a) = record.data else { return false };
        set.nodes.contains_key(&(a.0, 80).into())
    }));
}

#[tokio::test]
async fn c3_tcp_is_silent() {
    let full = many(200);
    let server =
        Server::new(move |asked| if asked.tcp { vec![] } else { vec![Act::Send(full.answer(asked))] }).await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.until("p", "a part", |set| set.len() > 10 && set.len() < 200).await;
    assert_eq!(world.status("p").state, SourceState::Partial);
    assert!(world.error("p").contains("TCP"), "{}", world.error("p"));
}

#[tokio::test]
async fn c4_tcp_in_pieces_and_pipelined() {
    let full = many(200);
    let nth = AtomicUsize::new(0);
    let server = Server::new(move |asked| {
        let message = full.answer(asked);
        if !asked.tcp {
            return vec![Act::Send(message)];
        }
        if nth.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return vec![Act::Pieces(message)];
        }
        // An answer to something else first, both in one segment.
        let mut other = message.clone();
        other.metadata.id ^= 1;
        let frame =
            |bytes: Vec<u8>| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
        vec![Act::Bytes([frame(other.to_vec().unwrap()), frame(message.to_vec().unwrap())].concat())]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 200).await;
    world.runs("p", 3).await;
    assert_eq!(world.changes, 1);
    assert_eq!(world.status("p").counters.partial, 0);
}

#[tokio::test]
async fn c5_tcp_closes_after_the_length() {
    let full = many(200);
    let good = Server::zone(full.clone()).await;
    let bad = Server::new(move |asked| {
        if asked.tcp { vec![Act::Bytes(vec![1, 0]), Act::Close] } else { vec![Act::Send(full.answer(asked))] }
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&bad, &good]))]);
    world.size("p", 200).await;
    assert_eq!(world.changes, 1);
}

#[tokio::test]
async fn c6_c8_large_answers() {
    // As many as the server's encoder gets into the 64 kB of a message.
    let server = Server::zone(many(2300)).await;
    let mut world = World::new(|options| options.timing.attempt_timeout = Duration::from_secs(3));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 2300).await;
    server.set(many(300));
    world.size("p", 300).await;
}

#[tokio::test]
async fn c7_services_whose_addresses_do_not_fit() {
    let owner = "_http._tcp.my-application-service.default.example";
    let zone = (0..500_u16).fold(Zone::new(), |zone, n| {
        let target = format!("10-0-{}-{}.my-application-service.default.example", n / 250, n % 250);
        zone.srv(owner, 80, &target).address(&target, 5, &format!("10.0.{}.{}", n / 250, n % 250))
    });
    let server = Server::zone(zone).await;
    let mut world = World::new(|options| {
        options.timing.refresh_deadline = Duration::from_secs(20);
        options.timing.attempt_timeout = Duration::from_secs(5);
        options.timing.min_interval = Duration::from_secs(2);
        options.timing.max_interval = Duration::from_secs(2);
    });
    world.follow(&[("p", dns(&format!("--servicename={owner}. --ipv4"), &[&server]))]);
    world.size("p", 500).await;
    let lookups = server.asked().iter().filter(|asked| asked.kind == RecordType::A).count();
    assert!(lookups > 0 && lookups < 500, "{lookups}");
    world.status_is("p", "ok", |status| status.state == SourceState::Ok).await;
}

#[tokio::test]
async fn c7_services_that_do_not_fit_themselves() {
    let owner = "_http._tcp.my-application-service.default.example";
    let zone = (0..1200_u16).fold(Zone::new(), |zone, n| {
        let target = format!("10-0-{}-{}.my-application-service.default.example", n / 250, n % 250);
        zone.srv(owner, 80, &target).address(&target, 5, &format!("10.0.{}.{}", n / 250, n % 250))
    });
    let server = Server::zone(zone).await;
    let mut world = World::new(|options| {
        options.timing.refresh_deadline = Duration::from_secs(20);
        options.timing.attempt_timeout = Duration::from_secs(5);
        options.timing.min_interval = Duration::from_secs(2);
        options.timing.max_interval = Duration::from_secs(2);
    });
    world.follow(&[("p", dns(&format!("--servicename={owner}. --ipv4"), &[&server]))]);
    world.until("p", "a part", |set| set.len() > 500 && set.len() < 1200).await;
    assert_eq!(world.status("p").state, SourceState::Partial);
}

#[tokio::test]
async fn c10_the_first_packet_is_lost() {
    let good = many(1);
    let nth = AtomicUsize::new(0);
    let server = Server::new(move |asked| {
        if nth.fetch_add(1, Ordering::Relaxed) == 0 { vec![] } else { vec![Act::Send(good.answer(asked))] }
    })
    .await;
    let mut world = World::new(|_| {});
    let begun = Instant::now();
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(world.status("p").counters.errors, 0);
}

#[tokio::test]
async fn c11_every_attempt_has_a_port_of_its_own() {
    let good = many(1);
    let ids = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&ids);
    let server = Server::new(move |asked| {
        seen.lock().unwrap().push((asked.query.metadata.id, asked.from));
        vec![Act::Send(good.answer(asked))]
    })
    .await;
    let mut world = World::new(|_| {});
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    server.after(8).await;
    let seen = ids.lock().unwrap().clone();
    assert!(seen.windows(2).all(|pair| pair[0].1 != pair[1].1), "{seen:?}");
    let distinct: std::collections::HashSet<u16> = seen.iter().map(|(id, _)| *id).collect();
    assert!(distinct.len() > seen.len() / 2);
}

#[tokio::test]
async fn c12_a_late_answer_of_an_open_attempt_counts() {
    let good = many(1);
    let nth = AtomicUsize::new(0);
    let server = Server::new(move |asked| {
        if nth.fetch_add(1, Ordering::Relaxed) == 0 {
            vec![Act::Wait(Duration::from_millis(300)), Act::Send(good.answer(asked))]
        } else {
            vec![]
        }
    })
    .await;
    let mut world = World::new(|options| options.timing.attempt_timeout = Duration::from_millis(200));
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 1).await;
    let status = world.status("p");
    assert_eq!((status.counters.complete, status.counters.timeouts), (1, 1));
}

#[tokio::test]
async fn c13_many_pools_and_a_slow_server() {
    // A server that answers at most so many queries at once and drops the rest.
    let busy = std::sync::Arc::new(AtomicUsize::new(0));
    let window = Mutex::new((Instant::now(), 0_u32));
    let dropped = std::sync::Arc::clone(&busy);
    let server = Server::new(move |asked| {
        let mut window = window.lock().unwrap();
        if window.0.elapsed() > Duration::from_millis(100) {
            *window = (Instant::now(), 0);
        }
        window.1 += 1;
        if window.1 > 40 {
            dropped.fetch_add(1, Ordering::Relaxed);
            return vec![];
        }
        vec![Act::Send(Zone::new().host(&asked.name, &["192.0.2.1"]).answer(asked))]
    })
    .await;
    let mut world = World::new(|options| {
        options.timing.min_interval = Duration::from_secs(1);
        options.timing.max_interval = Duration::from_secs(1);
        options.policy.concurrent_lookups = 16;
    });
    let names: Vec<String> = (0..200).map(|n| format!("p{n}")).collect();
    let pools: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), dns(&format!("--hostname={name}.example. --port=80 --ipv4"), &[&server])))
        .collect();
    world.follow(&pools);
    for name in &names {
        world.size(name, 1).await;
    }
}

#[tokio::test]
async fn c14_loss_never_removes_a_node() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let good = many(5);
    let server = Server::new(move |asked| {
        if random.lock().unwrap().u8(..10) == 0 { vec![] } else { vec![Act::Send(good.answer(asked))] }
    })
    .await;
    let mut world = World::new(|options| {
        options.timing.min_interval = Duration::from_millis(1);
        options.timing.max_interval = Duration::from_millis(1);
        options.timing.attempt_timeout = Duration::from_millis(20);
    });
    world.follow(&[("p", dns(HOST, &[&server]))]);
    world.size("p", 5).await;
    world.runs("p", 100).await;
    world.drain();
    assert_eq!(world.changes, 1, "seed {seed}");
}
