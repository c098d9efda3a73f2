//! Where requests of generic protocols begin and end when something happens in their middle: pauses, closing nodes, rules
//! that answer, replace, retry and limit.

use std::time::Duration;

use rustix::{net::sockopt::set_socket_linger, process::Signal};
use tidegate_harness::{
    RawNode, json,
    tls::{self, Pair},
    wait::takes,
    wire::Wire,
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{
    TcpNode, ask, line, noise, of,
    rules::{LINES, site, site_with},
    takes_a_second,
};
use crate::rules::{Rules, on_request, on_response, site_of};

/// Tells how a request has ended.
const DONE: &str = "log.info( 'done ' . connection.getCompletionReasonCode() );";

/// A node that answers the first line of every connection with bytes that are no line, and resets or closes then.
async fn breaking(with: &'static str, reset: bool) -> TcpNode {
    TcpNode::with(move |mut stream| async move {
        let mut buffer = [0; 64];
        let _line = stream.read(&mut buffer).await;
        stream.write_all(with.as_bytes()).await.unwrap();
        if reset {
            // A reset takes with it what nobody has read.
            tokio::time::sleep(Duration::from_millis(100)).await;
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_with_pauses_is_whole_though_the_process_ends() {
    let node = RawNode::start().await;
    for rules in [on_request(LINES), Rules { response: "response.get();", ..on_request(LINES) }] {
        let mut site = site("client_first", &[node.address], &[], rules).await;
        let mut client = site.client().await;
        client.send("x\r\n").await;
        let mut wire = node.accept().await;
        assert_eq!(within("the line", wire.line()).await.unwrap(), "x");
        wire.send(b"one\r\n").await.unwrap();
        assert_eq!(line(&mut client).await, "one");
        site.tidegate.signal(Signal::TERM);
        site.tidegate.wait_refused(site.address).await;
        for text in ["two", "three"] {
            tokio::time::sleep(Duration::from_millis(300)).await;
            wire.send(format!("{text}\r\n").as_bytes()).await.unwrap();
            assert_eq!(line(&mut client).await, text);
        }
        takes(Duration::from_millis(500), Duration::from_secs(4), client.closed()).await;
        let status = takes(Duration::ZERO, Duration::from_secs(4), site.tidegate.wait()).await;
        site.tidegate.assert_clean(status);
    }
}

#[tokio::test]
async fn a_bandwidth_class_that_comes_in_the_middle_leaves_the_order_alone() {
    const LENGTH: usize = 24 << 20;
    let node = RawNode::start().await;
    for rule in ["response.setBandwidthClass( 'fast' );", "request.setBandwidthClass( 'fast' );"] {
        let server = of("client_first", &json!({ "tcp": { "proxy_close": true } }));
        let site = site_of(&[node.address], on_response(rule), server, json!({}), |document| {
            let class = json!({ "basic": { "maximum": 4_000_000, "sharing": "machine" } });
            document.add("bandwidth", "fast", class)
        })
        .await;
        let data = noise(5, LENGTH);
        let stream = within("connect", TcpStream::connect(site.address)).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let sending = tokio::spawn({
            let data = data.clone();
            async move {
                write.write_all(&data).await.unwrap();
                write.shutdown().await.unwrap();
                write
            }
        });
        let mut at_node = node.accept_stream().await;
        let mut got = vec![0; 4 << 20];
        within("the beginning", at_node.read_exact(&mut got)).await.unwrap();
        // Nobody reads until all buffers are full.
        tokio::time::sleep(Duration::from_millis(200)).await;
        at_node.write_all(b"go\r\n").await.unwrap();
        let mut word = [0; 4];
        within("the word", read.read_exact(&mut word)).await.unwrap();
        within("the rest", at_node.read_to_end(&mut got)).await.unwrap();
        let differs = got.iter().zip(&data).position(|(got, sent)| got != sent);
        assert_eq!((differs, got.len()), (None, LENGTH), "{rule}");
        assert!(
            site.tidegate.metric("tidegate_bandwidth_sent_bytes_total{class=\"fast\"}").await > 0,
            "{rule}"
        );
        drop((sending.await.unwrap(), read, at_node));
        site.tidegate.stop().await;
    }
}

/// A node that answers lines in two pieces: whoever thinks that the node has finished sees the first alone.
async fn hesitant() -> TcpNode {
    TcpNode::with(async |stream| {
        let mut wire = Wire::new(stream);
        while let Ok(line) = wire.line().await {
            let _first = wire.send(b"good").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _second = wire.send(format!(":{line}\r\n").as_bytes()).await;
        }
    })
    .await
}

#[tokio::test]
async fn nothing_of_a_failed_answer_is_part_of_the_next() {
    let good = hesitant().await;
    for reset in [false, true] {
        let bad = breaking("part", reset).await;
        let rules = Rules {
            response: "if( !string.endsWith( response.getLine(), \"\\n\" ) ) {
                request.avoidNode( connection.getNode() );
                request.retry();
            }",
            ..on_request(LINES)
        };
        let site = site("client_first", &[bad.address, good.address], &[], rules).await;
        for n in 0..3 {
            assert_eq!(ask(&mut site.client().await, "x").await, "good:x", "{reset}, {n}");
        }
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn what_has_been_flushed_is_not_asked_for_again() {
    let (bad, good) = (TcpNode::lines("bad").await, TcpNode::lines("good").await);
    let rules = Rules {
        request: "request.endsWith( \"\\n\" ); ",
        response: "response.getLine(); response.flush(); request.avoidNode( connection.getNode() ); request.retry();",
        completion: "",
    };
    let site = site("client_first", &[bad.address, good.address], &[], rules).await;
    let mut client = site.client().await;
    let _one = ask(&mut client, "x").await;
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(bad.connections() + good.connections(), 1);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_rest_of_a_request_is_not_another_one() {
    // The rule closes the node in the middle, or answers itself.
    for (request, response) in [
        ("request.get( 5 ); request.endsAt( 10 );", "response.getLine(); response.close();"),
        ("request.get( 5 ); request.endsAt( 10 ); request.sendResponse( \"early\\r\\n\" );", ""),
    ] {
        let node = RawNode::start().await;
        let rules = Rules { request, response, completion: "log.info( 'one request' );" };
        let site = site("client_first", &[node.address], &[], rules).await;
        let mut client = site.client().await;
        client.send("12345").await;
        let mut wire = None;
        if !response.is_empty() {
            let mut at_node = node.accept().await;
            assert_eq!(within("the beginning", at_node.exactly(5)).await.unwrap(), b"12345");
            at_node.send(b"early\r\n").await.unwrap();
            wire = Some(at_node);
        }
        assert_eq!(line(&mut client).await, "early");
        client.send("67890").await;
        client.closed().await;
        drop((client, wire));
        site.tidegate.line(&["one request"]).await;
        assert_eq!(site.tidegate.lines(0, &["one request"]).len(), 1, "{request}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn what_is_still_to_come_follows_what_a_rule_has_set() {
    let node = RawNode::start().await;
    let rule = "request.get( 5 ); request.endsAt( 10 ); request.set( 'x' );";
    let site = site("client_first", &[node.address], &[], on_request(rule)).await;
    let mut client = site.client().await;
    client.send("12345").await;
    let mut wire = node.accept().await;
    assert_eq!(within("the beginning", wire.exactly(1)).await.unwrap(), b"x");
    client.send("67890").await;
    assert_eq!(within("the rest", wire.exactly(5)).await.unwrap(), b"67890");
    wire.send(b"ok\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "ok");
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn time_between_requests_is_no_failure() {
    let node = TcpNode::lines("n").await;
    for limit in ["timeout", "max_transaction_duration"] {
        let rules = Rules { completion: DONE, ..on_request(LINES) };
        let more = json!({ "connection": { limit: 1 } });
        let site = site_with("client_first", &[node.address], &[], rules, &more).await;
        let mut client = site.client().await;
        assert_eq!(ask(&mut client, "x").await, "n:x");
        let end = takes_a_second(client.wire().fill()).await;
        assert_eq!(end.unwrap(), 0, "{limit}: closed, not reset");
        site.tidegate.line(&["done COMPLETE"]).await;
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn lines_sent_at_once_get_whole_answers_of_several_nodes() {
    let (one, two) = (in_pieces().await, in_pieces().await);
    let site = site("client_first", &[one.address, two.address], &[], on_request(LINES)).await;
    let mut client = site.client().await;
    client.send("1\r\n2\r\n3\r\n").await;
    for n in 1..=3 {
        assert_eq!(line(&mut client).await, format!("{n}:abc"));
    }
    drop(client);
    site.tidegate.stop().await;
}

/// A node that answers every line in four pieces.
async fn in_pieces() -> TcpNode {
    TcpNode::with(|stream| answer_in_pieces(Wire::new(stream))).await
}

async fn answer_in_pieces(mut wire: Wire) {
    while let Ok(line) = wire.line().await {
        for piece in [&line, ":", "a", "bc\r\n"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let _sent = wire.send(piece.as_bytes()).await;
        }
    }
}

#[tokio::test]
async fn a_node_is_not_blamed_for_what_the_client_keeps_back() {
    let node = RawNode::start().await;
    let pool = json!({ "connection": { "max_reply_time": 1 } });
    let table = [
        // Who may have stopped in the middle; who has the node's greeting to come; who has sent a whole line.
        ("client_first", "", "hel", 0),
        ("server_first", "", "hel", 1),
        ("client_first", LINES, "hello\r\n", 1),
        ("client_first", "request.get( 2 ); request.endsAt( 10 );", "hello", 0),
    ];
    for (protocol, rule, sent, errors) in table {
        let server = of(protocol, &json!({}));
        let site =
            site_of(&[node.address], on_request(rule), server, pool.clone(), |document| document).await;
        let mut client = site.client().await;
        client.send(sent).await;
        let _held = node.accept().await;
        takes_a_second(client.closed()).await;
        assert_eq!(
            site.tidegate.metric("tidegate_node_failed_attempts_total").await,
            errors,
            "{protocol}: {sent}"
        );
        site.tidegate.stop().await;
    }
}

/// Passes one line and waits for more.
const WAITS: &str = "response.getLine(); response.flush(); response.get( 20 );";

#[tokio::test]
async fn the_end_of_the_client_is_passed_on_while_a_rule_waits() {
    let node = RawNode::start().await;
    let more = json!({ "tcp": { "proxy_close": true } });
    let site = site_with("client_first", &[node.address], &[], on_response(WAITS), &more).await;
    let mut client = site.client().await;
    client.send("hello").await;
    let mut wire = node.accept().await;
    assert_eq!(within("the beginning", wire.exactly(5)).await.unwrap(), b"hello");
    wire.send(b"wait\r\n0123456789").await.unwrap();
    assert_eq!(line(&mut client).await, "wait");
    client.finish().await;
    assert_eq!(within("the end", wire.rest()).await.unwrap(), b"");
    wire.send(b"0123456789").await.unwrap();
    drop(wire);
    assert_eq!(client.rest().await, b"01234567890123456789");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_rule_waits_no_longer_than_its_client_and_its_time() {
    let node = RawNode::start().await;
    let rules = Rules { completion: DONE, ..on_response(WAITS) };
    let more = json!({ "connection": { "timeout": 2 } });
    let site = site_with("client_first", &[node.address], &[], rules, &more).await;
    for leaves in [true, false] {
        let mut client = site.client().await;
        client.send("hello").await;
        let mut wire = node.accept().await;
        wire.send(b"wait\r\n").await.unwrap();
        assert_eq!(line(&mut client).await, "wait");
        if leaves {
            drop(client);
            site.tidegate.line(&["done CONNECTION_CLOSED_CLIENT"]).await;
        } else {
            takes(Duration::from_secs(1), Duration::from_secs(8), client.closed()).await;
            site.tidegate.line(&["done TIMEOUT_PROCESSING_RULE"]).await;
        }
    }
    assert_eq!(site.tidegate.metric("tidegate_node_failed_attempts_total").await, 0);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_kept_connection_that_its_node_has_closed_is_replaced() {
    let node = TcpNode::with(async |stream| {
        let mut wire = Wire::new(stream);
        if let Ok(line) = wire.line().await {
            let _sent = wire.send(format!("n:{line}\r\n").as_bytes()).await;
            // Long enough for the next line to be on its way.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let site = site("client_first", &[node.address], &[], on_request(LINES)).await;
    let mut client = site.client().await;
    client.send("1\r\n2\r\n3\r\n").await;
    for n in 1..=3 {
        assert_eq!(line(&mut client).await, format!("n:{n}"));
    }
    assert_eq!(site.tidegate.metric("tidegate_node_failed_attempts_total").await, 0);
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn lines_sent_at_once_over_tls_get_whole_answers() {
    let acceptor = TlsAcceptor::from(tls::server(&Pair::ecdsa(&["node"]), false));
    let node = TcpNode::with(move |stream| {
        let accept = acceptor.accept(stream);
        async move { answer_in_pieces(Wire::new(accept.await.unwrap())).await }
    })
    .await;
    let server = of("client_first", &json!({}));
    let pool = json!({ "ssl": { "enable": true } });
    let site = site_of(&[node.address], on_request(LINES), server, pool, |document| document).await;
    let mut client = site.client().await;
    client.send("1\r\n2\r\n3\r\n").await;
    for n in 1..=3 {
        assert_eq!(line(&mut client).await, format!("{n}:abc"));
    }
    drop(client);
    site.tidegate.stop().await;
}
