//! Virtual servers of generic TCP protocols: who speaks first, passed-through TLS, the end of connections, failing nodes,
//! large flows, and their rules.

mod answers;
mod edges;
mod rules;
mod set_up;

use std::{sync::Arc, time::Duration};

use rustix::process::Signal;
use tidegate_harness::{
    Client, RawNode, Site, Value, eventually, json,
    tls::{self, Pair, Version},
    wait::takes,
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::set_up::{TcpNode, ask, line, nobody, noise, of, site, takes_a_second, tls_echo};

#[tokio::test]
async fn clients_that_speak_first() {
    let node = TcpNode::lines("n").await;
    for protocol in ["client_first", "ldap", "stream", "server_first"] {
        let site = site(protocol, &[node.address], &json!({}), json!({})).await;
        let mut client = site.client().await;
        for n in 0..20 {
            assert_eq!(ask(&mut client, &format!("line {n}")).await, format!("n:line {n}"), "{protocol}");
        }
        // The node's end is the client's.
        client.send("quit\r\n").await;
        client.closed().await;
        drop(client);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn nothing_happens_before_a_client_that_speaks_first() {
    let node = TcpNode::lines("n").await;
    let more = json!({ "basic": { "connect_timeout": 1 } });
    let site = site("client_first", &[node.address], &more, json!({})).await;
    let mut client = site.client().await;
    takes_a_second(client.closed()).await;
    assert_eq!(node.connections(), 0);
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn nodes_that_speak_first() {
    let node = TcpNode::greeting("n", "+OK ready\r\n").await;
    for protocol in ["server_first", "pop3", "imapv4", "telnet", "stream"] {
        let site = site(protocol, &[node.address], &json!({}), json!({})).await;
        let mut client = site.client().await;
        assert_eq!(line(&mut client).await, "+OK ready", "{protocol}");
        assert_eq!(ask(&mut client, "hello").await, "n:hello", "{protocol}");
        drop(client);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_banner_stands_for_the_first_words_of_nodes() {
    let node = TcpNode::greeting("n", "220-mail\r\n220 of the node\r\n").await;
    let more = json!({ "connection": { "server_first_banner": "220 here\\r\\n" } });
    let site = site("server_first", &[node.address], &more, json!({})).await;
    let mut client = site.client().await;
    assert_eq!(line(&mut client).await, "220 here");
    assert_eq!(node.connections(), 0, "no node is needed yet");
    assert_eq!(ask(&mut client, "EHLO me").await, "n:EHLO me");
    assert_eq!(ask(&mut client, "NOOP").await, "n:NOOP");
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn tls_is_passed_through() {
    let pair = Pair::ecdsa(&["node"]);
    let node = tls_echo(tls::server(&pair, false)).await;
    for protocol in ["ssl", "https", "imaps", "pop3s", "ldaps"] {
        let site = site(protocol, &[node.address], &json!({}), json!({})).await;
        let stream = Client::tls_stream(site.address, &tls::client(Version::Both), "node").await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(), pair.der(), "{protocol}");
        let mut client = Client::over(stream, site.address);
        assert_eq!(ask(&mut client, "hello").await, "hello", "{protocol}");
        drop(client);
        site.tidegate.stop().await;
    }
}

/// A site that is to take off its clients' TLS.
async fn decrypting(protocol: &str, node: &TcpNode, pair: &Pair, pool: Value) -> Site {
    let more = json!({ "basic": { "ssl_decrypt": true }, "ssl": { "server_cert_default": "pair" } });
    Site::with(&[node.address], of(protocol, &more), pool, |document| {
        document.key("pair", &pair.certificate, &pair.key)
    })
    .await
}

#[tokio::test]
async fn tls_is_taken_off_and_put_on() {
    let pair = Pair::ecdsa(&["site"]);
    let plain = TcpNode::lines("n").await;
    let other = tls_echo(tls::server(&pair, false)).await;
    for (node, pool, expected) in
        [(plain, json!({}), "n:hello"), (other, json!({ "ssl": { "enable": true } }), "hello")]
    {
        let site = decrypting("client_first", &node, &pair, pool).await;
        let mut client = Client::tls(site.address, &tls::client(Version::Both), "site").await;
        assert_eq!(ask(&mut client, "hello").await, expected);
        // A large flow both ways through TLS.
        if expected == "hello" {
            let data = vec![b'z'; 300_000];
            client.send(&data).await;
            assert_eq!(client.exactly(data.len()).await, data);
        }
        drop(client);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn decrypting_what_is_passed_through_is_a_fault() {
    let node = TcpNode::lines("n").await;
    let pair = Pair::ecdsa(&["site"]);
    let site = decrypting("ssl", &node, &pair, json!({})).await;
    site.tidegate.line(&["passed through and not decrypted", "client_first"]).await;
    // It is passed through.
    assert_eq!(ask(&mut site.client().await, "plain").await, "n:plain");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn other_protocols_are_told_of() {
    for protocol in ["ftp", "smtp", "udp", "dns", "rtsp", "siptcp"] {
        let node = TcpNode::lines("n").await;
        let site = site(protocol, &[node.address], &json!({}), json!({})).await;
        site.tidegate.line(&[&format!("does not act on “{protocol}” yet")]).await;
        site.tidegate.wait_refused(site.address).await;
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_the_client_is_passed_on_where_it_is_asked_for() {
    let node = RawNode::start().await;
    let more = json!({ "tcp": { "proxy_close": true } });
    let with = site("client_first", &[node.address], &more, json!({})).await;
    let mut client = with.client().await;
    client.send("all of it").await;
    client.finish().await;
    let mut at_node = node.accept().await;
    assert_eq!(within("the end", at_node.rest()).await.unwrap(), b"all of it");
    // The node has all the time it wants, and the client gets all it says.
    at_node.send(b"and the answer").await.unwrap();
    drop(at_node);
    assert_eq!(client.rest().await, b"and the answer");
    drop(client);
    with.tidegate.stop().await;

    let without = site("client_first", &[node.address], &json!({}), json!({})).await;
    let mut client = without.client().await;
    client.send("all of it").await;
    let mut at_node = node.accept().await;
    assert_eq!(within("the data", at_node.exactly(9)).await.unwrap(), b"all of it");
    client.finish().await;
    assert_eq!(within("the end", at_node.rest()).await.unwrap(), b"");
    client.closed().await;
    drop(client);
    without.tidegate.stop().await;
}

#[tokio::test]
async fn the_error_file_is_sent_where_no_node_answers() {
    for protocol in ["client_first", "server_first"] {
        let server = of(protocol, &json!({ "connection_errors": { "error_file": "sorry" } }));
        let nobody = tidegate_harness::Port::free();
        let site = Site::with(&[nobody.address()], server, json!({}), |document| {
            document.raw("extra_files", "sorry", "-ERR back soon\r\n")
        })
        .await;
        let mut client = site.client().await;
        client.send("hello\r\n").await;
        assert_eq!(line(&mut client).await, "-ERR back soon", "{protocol}");
        client.closed().await;
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_refuses_is_replaced() {
    let node = TcpNode::lines("n").await;
    for protocol in ["client_first", "server_first", "stream"] {
        let site = site(protocol, &[nobody().await, node.address], &json!({}), json!({})).await;
        for _ in 0..4 {
            assert_eq!(ask(&mut site.client().await, "hello").await, "n:hello", "{protocol}");
        }
        let metrics = site.tidegate.scrape().await;
        assert!(metrics.contains("tidegate_"), "{metrics}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_closes_before_it_was_asked_anything_is_replaced() {
    let closing = TcpNode::with(async |stream| drop(stream)).await;
    let node = TcpNode::greeting("n", "+OK\r\n").await;
    let site = site("server_first", &[closing.address, node.address], &json!({}), json!({})).await;
    for _ in 0..4 {
        assert_eq!(line(&mut site.client().await).await, "+OK");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn all_nodes_fail() {
    let other = TcpNode::lines("other").await;
    let dead = nobody().await;
    let alone = site("client_first", &[dead], &json!({}), json!({})).await;
    let mut client = alone.client().await;
    client.send("hello\r\n").await;
    client.closed().await;
    drop(client);
    alone.tidegate.stop().await;

    let pool = json!({ "basic": { "failure_pool": "other", "node_connection_attempts": 1 } });
    let site = Site::with(&[dead], of("client_first", &json!({})), pool, |document| {
        document.pool("other", &[other.address], &json!({}))
    })
    .await;
    eventually("the failure pool", async || {
        let mut client = site.client().await;
        client.send("hello\r\n").await;
        (client.wire().line().await.ok()? == "other:hello").then_some(())
    })
    .await;
    site.tidegate.stop().await;
}

#[tokio::test]
async fn idle_connections_end() {
    let node = TcpNode::lines("n").await;
    let more = json!({ "connection": { "timeout": 1 } });
    for protocol in ["client_first", "stream"] {
        let site = site(protocol, &[node.address], &more, json!({})).await;
        let mut client = site.client().await;
        assert_eq!(ask(&mut client, "hello").await, "n:hello");
        takes_a_second(client.closed()).await;
        drop(client);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn conversations_have_a_longest_time() {
    let node = TcpNode::lines("n").await;
    let more = json!({ "connection": { "max_transaction_duration": 1 } });
    let site = site("client_first", &[node.address], &more, json!({})).await;
    let mut client = site.client().await;
    let talk = async {
        loop {
            client.send("hello\r\n").await;
            if client.wire().line().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    takes_a_second(talk).await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_node_that_says_nothing_has_failed() {
    let silent = RawNode::start().await;
    let pool = json!({ "connection": { "max_reply_time": 1 } });
    let site = site("client_first", &[silent.address], &json!({}), pool).await;
    let mut client = site.client().await;
    client.send("hello\r\n").await;
    let _held = silent.accept().await;
    takes_a_second(client.closed()).await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn large_flows_both_ways_at_once() {
    const LENGTH: usize = 24 << 20;
    let node = RawNode::start().await;
    for protocol in ["client_first", "stream"] {
        let site =
            site(protocol, &[node.address], &json!({ "tcp": { "proxy_close": true } }), json!({})).await;
        let (there, back) = (Arc::new(noise(1, LENGTH)), Arc::new(noise(2, LENGTH)));
        let stream = within("connect", TcpStream::connect(site.address)).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let up = tokio::spawn({
            let there = Arc::clone(&there);
            async move {
                write.write_all(&there).await.unwrap();
                write.shutdown().await.unwrap();
                write
            }
        });
        let (mut node_read, mut node_write) = node.accept_stream().await.into_split();
        let down = tokio::spawn({
            let back = Arc::clone(&back);
            async move {
                node_write.write_all(&back).await.unwrap();
                node_write
            }
        });
        let at_client = tokio::spawn(async move {
            let mut got = vec![0; LENGTH];
            read.read_exact(&mut got).await.unwrap();
            (read, got)
        });
        let mut got = Vec::new();
        within("the upload", node_read.read_to_end(&mut got)).await.unwrap();
        assert!(got == **there, "{protocol}: {} of {LENGTH} bytes", got.len());
        let (read, got) = within("the download", at_client).await.unwrap();
        assert!(got == **back, "{protocol}");
        drop((read, up.await.unwrap(), down.await.unwrap()));
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn slow_readers_hold_back_who_writes() {
    let node = RawNode::start().await;
    let site = site("stream", &[node.address], &json!({}), json!({})).await;
    let client = within("connect", TcpStream::connect(site.address)).await.unwrap();
    let at_node = node.accept_stream().await;
    // Nobody reads at the client: the node can write only as much as buffers of the system and ours hold.
    let block = vec![0; 1 << 20];
    let mut written = 0_usize;
    loop {
        tokio::select! {
            ready = at_node.writable() => ready.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(500)) => break,
        }
        written += at_node.try_write(&block).unwrap_or(0);
        assert!(written < 256 << 20, "nothing holds back the node");
    }
    assert!(site.tidegate.rss_kib() < 200 << 10, "{} KiB", site.tidegate.rss_kib());
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn sessions_by_address() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let pool = json!({ "basic": { "persistence_class": "by ip" } });
    let site = Site::with(&[one.address, two.address], of("client_first", &json!({})), pool, |document| {
        document.add("persistence", "by ip", json!({ "basic": { "type": "ip" } }))
    })
    .await;
    let first = ask(&mut site.client().await, "x").await;
    for _ in 0..8 {
        assert_eq!(ask(&mut site.client().await, "x").await, first);
    }
    assert_eq!(one.connections() + two.connections(), 9);
    assert!(one.connections() == 0 || two.connections() == 0);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn nodes_take_turns() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let site = site("client_first", &[one.address, two.address], &json!({}), json!({})).await;
    for _ in 0..4 {
        ask(&mut site.client().await, "x").await;
        ask(&mut site.client().await, "x").await;
    }
    assert_eq!((one.connections(), two.connections()), (4, 4));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn connections_wait_for_a_place_on_a_node() {
    let node = TcpNode::lines("n").await;
    let pool = json!({ "connection": { "max_connections_per_node": 1 } });
    let site = site("client_first", &[node.address], &json!({}), pool).await;
    let mut first = site.client().await;
    assert_eq!(ask(&mut first, "first").await, "n:first");
    let mut second = site.client().await;
    second.send("second\r\n").await;
    eventually("the second to wait", async || {
        (site.tidegate.metric("tidegate_pool_queue_length").await == 1).then_some(())
    })
    .await;
    first.finish().await;
    assert_eq!(line(&mut second).await, "n:second");
    drop(first);
    drop(second);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn who_the_client_is_by_the_proxy_header() {
    let node = TcpNode::lines("n").await;
    let more = json!({ "basic": { "proxy_protocol": true, "connect_timeout": 2 } });
    let site = site("client_first", &[node.address], &more, json!({})).await;
    let mut client = site.client().await;
    client.send("PROXY TCP4 10.1.2.3 127.0.0.1 4096 80\r\n").await;
    assert_eq!(ask(&mut client, "hello").await, "n:hello");
    let mut without = site.client().await;
    without.send("hello\r\n").await;
    without.closed().await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_removed_node_lets_its_connections_finish() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let pool = json!({ "basic": {
        "node_delete_behavior": "drain", "node_drain_to_delete_timeout": 0,
    } });
    let server = of("client_first", &json!({}));
    let mut site = Site::start(&[one.address], server.clone(), pool.clone()).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "before").await, "one:before");
    let document = site.document(&[two.address], &server, &pool);
    site.tidegate.document(&document).await;
    assert_eq!(ask(&mut client, "after").await, "one:after");
    assert_eq!(ask(&mut site.client().await, "new").await, "two:new");
    // At once.
    let pool = json!({ "basic": { "node_delete_behavior": "immediate" } });
    let site_now = site.document(&[two.address], &server, &pool);
    site.tidegate.document(&site_now).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "x").await, "two:x");
    let document = site.document(&[one.address], &server, &pool);
    site.tidegate.document(&document).await;
    within("the end", client.rest()).await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_conversations() {
    let node = TcpNode::lines("n").await;
    let mut site = site("client_first", &[node.address], &json!({}), json!({})).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "before").await, "n:before");
    site.tidegate.signal(Signal::TERM);
    site.tidegate.wait_refused(site.address).await;
    assert_eq!(ask(&mut client, "after").await, "n:after");
    client.send("quit\r\n").await;
    client.closed().await;
    let status = takes(Duration::ZERO, Duration::from_secs(5), site.tidegate.wait()).await;
    site.tidegate.assert_clean(status);
}

#[tokio::test]
async fn conversations_are_logged_and_counted_as_they_go_on() {
    let node = TcpNode::lines("n").await;
    let logs = tempfile::tempdir().unwrap();
    let file = logs.path().join("log");
    let more = json!({ "log": { "enabled": true, "filename": file, "format": "%h %P %I %O" } });
    let site = site("client_first", &[node.address], &more, json!({})).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "hello").await, "n:hello");
    eventually("bytes to be counted", async || {
        let series = "tidegate_virtual_server_received_bytes_total{virtual_server=\"site\"}";
        (site.tidegate.metric(series).await == 7).then_some(())
    })
    .await;
    client.send("quit\r\n").await;
    client.closed().await;
    let line = eventually("the line", async || {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    assert!(line.starts_with("127.0.0.1 ") && line.trim_end().ends_with(" 13 9"), "{line}");
    site.tidegate.stop().await;
}
