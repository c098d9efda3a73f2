//! Where answers end and lines begin: clients that send in advance, clients that have finished.

use tidegate_harness::{RawNode, wait::takes, within};

use super::{
    TcpNode, line, noise,
    rules::{LINES, site},
};
use crate::rules::{Rules, on_request};

/// Reads the answers to lines of a client that has sent all of them at once.
#[tokio::test]
async fn long_answers_to_pipelined_lines() {
    let node = RawNode::start().await;
    let site = site("client_first", &[node.address], &[], on_request(LINES)).await;
    let mut client = site.client().await;
    client.send("1\r\n2\r\n3\r\n").await;
    let serving = tokio::spawn(async move {
        let mut wire = node.accept().await;
        for n in 1..=3_u8 {
            assert_eq!(within("a line", wire.line()).await.unwrap(), n.to_string());
            // In pieces, with time for the next request to overtake the rest.
            for _ in 0..8 {
                wire.send(&vec![n; 200_000]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        wire
    });
    let all = within("the answers", client.wire().exactly(3 * 1_600_000)).await.unwrap();
    for (n, answer) in (1..=3).zip(all.chunks(1_600_000)) {
        assert!(answer.iter().all(|&byte| byte == n), "answer {n}");
    }
    drop((serving.await.unwrap(), client));
    site.tidegate.stop().await;
}

/// The rule may send the next line elsewhere, whatever it has done with the one before.
#[tokio::test]
async fn a_long_answer_is_over_before_a_line_that_goes_elsewhere() {
    const LONG: usize = 3 << 20;
    let (node, other) = (RawNode::start().await, TcpNode::lines("o").await);
    let rule = r#"
        request.endsWith( "\n" );
        $line = request.getLine();
        if( string.startsWith( $line, "other" ) ) pool.use( "other" );
        if( string.startsWith( $line, "rule" ) ) request.sendResponse( "r:rule\r\n" );
    "#;
    for (response, next, expected) in [
        ("", "other", "o:other"),
        ("", "rule", "r:rule"),
        ("response.append( '' );", "other", "o:other"),
        ("response.append( '' );", "rule", "r:rule"),
    ] {
        let rules = Rules { request: rule, response, ..Rules::default() };
        let site = site("client_first", &[node.address], &[other.address], rules).await;
        let mut client = site.client().await;
        client.send(format!("long\r\n{next}\r\n")).await;
        let mut wire = node.accept().await;
        assert_eq!(within("the line", wire.line()).await.unwrap(), "long");
        let serving = tokio::spawn(async move {
            for piece in 0..16 {
                wire.send(&vec![b'a' + piece; LONG / 16]).await.unwrap();
                tokio::task::yield_now().await;
            }
            wire
        });
        let answer = within("the answer", client.wire().exactly(LONG)).await.unwrap();
        let pieces = answer.chunks(LONG / 16).zip(b'a'..);
        assert!(pieces.into_iter().all(|(piece, byte)| piece.iter().all(|&got| got == byte)), "{next}");
        assert_eq!(line(&mut client).await, expected);
        drop((serving.await.unwrap(), client));
        site.tidegate.stop().await;
    }
}

/// A client that has asked and finished sending is there for its answers, however late the last one begins.
#[tokio::test]
async fn long_answers_go_to_a_client_that_has_finished() {
    let node = RawNode::start().await;
    let site = site("client_first", &[node.address], &[], on_request(LINES)).await;
    let data = noise(5, 9 << 20);
    for lines in ["one\r\n", "one\r\ntwo\r\n"] {
        let mut client = site.client().await;
        client.send(lines).await;
        client.finish().await;
        let mut wire = node.accept().await;
        assert_eq!(within("the line", wire.line()).await.unwrap(), "one");
        let expected = if lines.contains("two") {
            // In two pieces, of which the second seems to answer the second line.
            wire.send(b"first ").await.unwrap();
            assert_eq!(within("the line", wire.line()).await.unwrap(), "two");
            wire.send(b"answer").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            [b"first answer", &*data].concat()
        } else {
            data.clone()
        };
        let rest = data.clone();
        let sending = tokio::spawn(async move {
            wire.send(&rest).await.unwrap();
            wire
        });
        let got = within("the answers", client.wire().exactly(expected.len())).await.unwrap();
        assert!(got == expected, "{lines:?}");
        drop((sending.await.unwrap(), client));
    }
    site.tidegate.stop().await;
}

/// Where a line cannot go elsewhere, nobody has to know where the answer before it ends.
#[tokio::test]
async fn lines_in_advance_for_the_only_node_are_not_waited_for() {
    let node = TcpNode::lines("n").await;
    let site = site("client_first", &[node.address], &[], on_request(LINES)).await;
    let mut client = site.client().await;
    let all = (0..200).map(|n| format!("{n}\r\n")).collect::<Vec<_>>().concat();
    // With 50 ms for each it would take 10 s.
    let answers = async {
        client.send(all).await;
        for n in 0..200 {
            assert_eq!(line(&mut client).await, format!("n:{n}"));
        }
    };
    takes(std::time::Duration::ZERO, std::time::Duration::from_secs(5), answers).await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_client_that_has_finished_gets_its_answer() {
    let node = TcpNode::lines("n").await;
    let site = site("client_first", &[node.address], &[], on_request(LINES)).await;
    let mut client = site.client().await;
    client.send("a\r\nb\r\n").await;
    client.finish().await;
    assert_eq!(client.rest().await, b"n:a\r\nn:b\r\n");
    site.tidegate.stop().await;
}
