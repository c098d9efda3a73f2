//! What runs come to: nodes that fail and recover, pools, turns.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidegate_model::{
    Monitor,
    monitor::{Probe, Scope},
    virtual_server::ListenHost,
};
use tidegate_pool::Node;
use tidegate_proxy::monitor::{MonitorTask, Target, Verdict};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::bench::{
    Bench, DEADLINE, failed, http, listen, monitor, nobody, node, per_node, read_head, transaction, until,
};

#[tokio::test]
async fn a_node_fails_after_its_failures_and_recovers_by_one_pass() {
    let working = Arc::new(AtomicUsize::new(1));
    let (address, _task) = listen({
        let working = Arc::clone(&working);
        move |mut stream| {
            let working = Arc::clone(&working);
            async move {
                read_head(&mut stream).await;
                let answer = if working.load(Ordering::Relaxed) == 1 { "200 OK" } else { "500 Oh" };
                drop(
                    stream
                        .write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                        .await,
                );
            }
        }
    })
    .await;
    let bench = Bench::new();
    let node = node(address);
    let monitor = Arc::new(monitor("m", http("/", "200", None)));
    bench.update(&[per_node(&monitor, &node)]);
    until("the first pass", || bench.status("m").verdict == Verdict::Up).await;
    working.store(0, Ordering::Relaxed);
    until("the node has failed", || failed(&node)).await;
    assert!(bench.status("m").failures >= 3);
    let reason = bench.status("m").reason.unwrap();
    assert!(reason.contains("status 500"), "{reason}");

    // An update that changes nothing keeps the counts; one that changes the monitor keeps its verdict.
    let runs = bench.status("m").runs;
    bench.update(&[per_node(&monitor, &node)]);
    assert!(bench.status("m").runs >= runs && failed(&node));
    let changed = Arc::new(Monitor { delay: Duration::from_millis(15), ..Monitor::clone(&monitor) });
    bench.update(&[per_node(&changed, &node)]);
    assert!(failed(&node));
    working.store(1, Ordering::Relaxed);
    until("the node works again", || !failed(&node)).await;
}

#[tokio::test]
async fn a_failed_node_nobody_watches_any_more_is_given_back() {
    let bench = Bench::new();
    let node = node(nobody().await);
    let monitor = Arc::new(Monitor { failures: 1, ..monitor("m", Probe::Connect) });
    bench.update(&[per_node(&monitor, &node)]);
    until("the node has failed", || failed(&node)).await;
    bench.update(&[]);
    assert!(!failed(&node));
    let healthy = Arc::new(Monitor { health_only: true, ..Monitor::clone(&monitor) });
    bench.update(&[per_node(&healthy, &node)]);
    until("the monitor is down", || bench.status("m").verdict == Verdict::Down).await;
    assert!(!failed(&node), "health_only fails nobody");
}

#[tokio::test]
async fn a_pool_wide_monitor_fails_every_node_of_the_pool() {
    let bench = Bench::new();
    let machine = nobody().await;
    let scope = |host: ListenHost, port| Scope::PoolWide { host, port };
    let by_address = scope(ListenHost::Address(machine.ip()), Some(machine.port()));
    let nodes = [node("10.0.0.1:80".parse().unwrap()), node("10.0.0.2:80".parse().unwrap())];
    let task = |scope: Scope, nodes: &[Arc<Node>]| MonitorTask {
        pool: "pool".into(),
        monitor: Arc::new(Monitor { failures: 1, scope, ..monitor("m", Probe::Connect) }),
        target: Target::Pool(nodes.to_vec()),
        tls: None,
    };
    bench.update(&[task(by_address.clone(), &nodes[..1])]);
    until("the pool has failed", || failed(&nodes[0])).await;
    bench.update(&[task(by_address, &nodes)]);
    assert!(failed(&nodes[1]), "a node that joins a failed pool has failed");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let name = scope(ListenHost::Name("localhost".into()), Some(listener.local_addr().unwrap().port()));
    bench.update(&[task(name, &nodes)]);
    until("the pool works again", || nodes.iter().all(|node| !failed(node))).await;
    // Without a port a connection says nothing.
    bench.update(&[]);
    bench.update(&[task(scope(ListenHost::Address(IpAddr::from([127, 0, 0, 1])), None), &nodes)]);
    until("a run", || bench.status("m").runs > 0).await;
    assert_eq!(bench.status("m").verdict, Verdict::Unknown);
}

#[tokio::test]
async fn many_monitors_share_a_bounded_number_of_turns() {
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (address, _task) = listen({
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        move |mut stream| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            async move {
                most.fetch_max(at_once.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(stream.write_all(b"hello").await);
                at_once.fetch_sub(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let bench = Bench::new();
    let node = node(address);
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            let monitor = Monitor {
                timeout: DEADLINE,
                delay: Duration::from_millis(10),
                ..monitor(&format!("m{number}"), transaction("", "hello", "", 0))
            };
            per_node(&Arc::new(monitor), &node)
        })
        .collect();
    bench.update(&tasks);
    until("all have run", || bench.monitors.status().iter().all(|status| status.verdict == Verdict::Up))
        .await;
    bench.update(&[]);
    assert!(most.load(Ordering::Relaxed) <= 256, "{}", most.load(Ordering::Relaxed));
    assert!(bench.monitors.counters().runs >= 400);
}
