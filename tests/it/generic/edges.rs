//! Where requests of generic protocols begin and end when something happens in their middle: pauses, closing nodes, rules
//! that answer, replace, retry and limit.

use std::{net::SocketAddr, time::Duration};

use rustix::{net::sockopt::set_socket_linger, process::Signal};
use tidegate_harness::{RawNode, Site, json, wait::takes, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::{
    LineNode, ask, line, noise, of,
    rules::{Rules, on_request, site, site_with},
};

/// Every line is a request.
const LINES: &str = "request.endsWith( \"\\n\" );";

/// A node that answers the first line of every connection with bytes that are no line, and resets or closes then.
async fn breaking(with: &'static str, reset: bool) -> (SocketAddr, JoinHandle<()>) {
    let node = RawNode::start().await;
    let address = node.address;
    let serving = tokio::spawn(async move {
        loop {
            let mut stream = node.accept_stream().await;
            let mut buffer = [0; 64];
            let _line = stream.read(&mut buffer).await;
            stream.write_all(with.as_bytes()).await.unwrap();
            if reset {
                // A reset takes with it what nobody has read.
                tokio::time::sleep(Duration::from_millis(100)).await;
                set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            }
        }
    });
    (address, serving)
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
        let mut server = of("client_first", &json!({ "tcp": { "proxy_close": true } }));
        server["basic"]["response_rules"] = json!(["on response"]);
        let site = Site::with(&[node.address], server, json!({}), |document| {
            document.raw("rules", "on response", rule).add(
                "bandwidth",
                "fast",
                json!({ "basic": { "maximum": 4_000_000, "sharing": "machine" } }),
            )
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
        drop((sending.await.unwrap(), read, at_node));
        site.tidegate.stop().await;
    }
}

/// A node that answers lines in two pieces: whoever thinks that the node has finished sees the first alone.
async fn hesitant() -> (SocketAddr, JoinHandle<()>) {
    let node = RawNode::start().await;
    let address = node.address;
    let serving = tokio::spawn(async move {
        loop {
            let mut wire = node.accept().await;
            while let Ok(line) = wire.line().await {
                let _first = wire.send(b"good").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _second = wire.send(format!(":{line}\r\n").as_bytes()).await;
            }
        }
    });
    (address, serving)
}

#[tokio::test]
async fn nothing_of_a_failed_answer_is_part_of_the_next() {
    let (good, answering) = hesitant().await;
    for reset in [false, true] {
        let (bad, breaking) = breaking("part", reset).await;
        let rules = Rules {
            response: "if( !string.endsWith( response.getLine(), \"\\n\" ) ) {
                request.avoidNode( connection.getNode() );
                request.retry();
            }",
            ..on_request(LINES)
        };
        let site = site("client_first", &[bad, good], &[], rules).await;
        for n in 0..3 {
            assert_eq!(ask(&mut site.client().await, "x").await, "good:x", "{reset}, {n}");
        }
        breaking.abort();
        site.tidegate.stop().await;
    }
    answering.abort();
}

#[tokio::test]
async fn what_has_been_flushed_is_not_asked_for_again() {
    let (bad, good) = (LineNode::start("bad").await, LineNode::start("good").await);
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
    let node = LineNode::start("n").await;
    for limit in ["timeout", "max_transaction_duration"] {
        let rules = Rules {
            completion: "log.info( 'done ' . connection.getCompletionReasonCode() );",
            ..on_request(LINES)
        };
        let more = json!({ "connection": { limit: 1 } });
        let site = site_with("client_first", &[node.address], &[], rules, &more).await;
        let mut client = site.client().await;
        assert_eq!(ask(&mut client, "x").await, "n:x");
        let end = takes(Duration::from_millis(700), Duration::from_secs(8), client.wire().fill()).await;
        assert_eq!(end.unwrap(), 0, "{limit}: closed, not reset");
        site.tidegate.line(&["done COMPLETE"]).await;
        site.tidegate.stop().await;
    }
}
