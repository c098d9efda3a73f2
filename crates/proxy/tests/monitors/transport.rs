//! Probes below HTTP: connections, transactions, pings, TLS.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_harness::{tls as certificates, tls::Pair};
use tidegate_model::{
    Monitor,
    monitor::Probe,
    tls::{NodeTls, TlsVersions},
};
use tidegate_proxy::{
    monitor::{MonitorTask, Verdict},
    tls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::bench::{Bench, http, listen, monitor, nobody, node, per_node, read_head, transaction, until};

#[tokio::test]
async fn connections_are_tried() {
    let bench = Bench::new();
    let (open, _task) = listen(|_| async {}).await;
    assert_eq!(bench.opinion(Probe::Connect, open).await, Ok(()));
    assert_eq!(bench.opinion(Probe::Connect, nobody().await).await, Err("connection refused".into()));
}

#[tokio::test]
async fn transactions_say_listen_and_say_goodbye() {
    let (sender, mut goodbyes) = tokio::sync::mpsc::unbounded_channel();
    let (address, _task) = listen(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).await.unwrap();
            for part in ["220", " mail ready", "\r\n"] {
                stream.write_all(part.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut goodbye = String::new();
            drop(stream.read_to_string(&mut goodbye).await);
            drop(sender.send((hello, goodbye)));
        }
    })
    .await;
    let bench = Bench::new();
    assert_eq!(bench.opinion(transaction("HELO\r\n", "^220 [^\n]+\n", "QUIT\r\n", 0), address).await, Ok(()));
    assert_eq!(goodbyes.recv().await.unwrap(), (*b"HELO\r\n", "QUIT\r\n".to_owned()));

    let (talker, _task) = listen(|mut stream| async move {
        drop(stream.write_all(b"\xff\xfb\x01 something else entirely").await);
        drop(stream.shutdown().await);
    })
    .await;
    assert_eq!(bench.opinion(transaction("", "^\\xff\\xfb", "", 2048), talker).await, Ok(()));
    let reason = bench.opinion(transaction("", "^220", "", 2048), talker).await.unwrap_err();
    assert!(reason.contains("something else entirely` does not match `^220`"), "{reason}");
    let reason = bench.opinion(transaction("", "entirely", "", 8), talker).await.unwrap_err();
    assert!(reason.starts_with("the answer `\\xff\\xfb\\x01 some` does not match"), "{reason}");
    let (mute, _task) = listen(|stream| async move { drop(stream) }).await;
    assert!(bench.opinion(transaction("", ".+", "", 0), mute).await.is_err());
}

#[tokio::test]
async fn pings_are_answered_or_say_nothing() {
    let bench = Bench::new();
    for address in ["127.0.0.1:1", "[::1]:1"] {
        match bench.opinion(Probe::Ping, address.parse().unwrap()).await {
            Ok(()) => {}
            Err(reason) => assert!(reason.starts_with("unable: "), "{address}: {reason}"),
        }
    }
}

#[tokio::test]
async fn probes_speak_tls_as_strictly_as_the_pool() {
    let pair = Pair::ecdsa(&["127.0.0.1"]);
    let server = certificates::server(&pair, false);
    let (address, _task) = listen(move |stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(&server));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            read_head(&mut stream).await;
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
            drop(stream.shutdown().await);
        }
    })
    .await;
    let strict = NodeTls {
        send_server_name: false,
        strict_verify: true,
        common_name_match: Vec::new(),
        client_key: None,
        versions: TlsVersions::default(),
        send_close_alerts: true,
    };
    let known = BTreeMap::from([("ca".into(), Arc::from(&*pair.certificate))]);
    let other = Pair::ecdsa(&["other"]);
    let unknown = BTreeMap::from([("ca".into(), Arc::from(&*other.certificate))]);
    let client = |cas| tls::node::build(&"pool".into(), &strict, &BTreeMap::new(), cas, None).0;
    let bench = Bench::new();
    for (what, tls, passes) in
        [("lax", None, true), ("known", client(&known), true), ("unknown", client(&unknown), false)]
    {
        for probe in [http("/", "200", Some("^ok$")), Probe::Connect] {
            let node = node(address);
            let monitor = Monitor { use_tls: true, failures: 1, ..monitor("m", probe) };
            let task = MonitorTask { tls: tls.clone(), ..per_node(&Arc::new(monitor), &node) };
            bench.update(&[]);
            bench.update(&[task]);
            until("the first run", || bench.status("m").runs > 0).await;
            let status = bench.status("m");
            assert_eq!(status.verdict == Verdict::Up, passes, "{what}: {:?}", status.reason);
            if let Some(reason) = status.reason {
                assert!(reason.starts_with("TLS handshake failed: "), "{reason}");
            }
        }
    }
}
