//! Rules of generic protocols.

use std::net::SocketAddr;

use rustix::process::Signal;
use rustls::ClientConnection;
use tidegate_harness::{
    Client, Node, RawNode, Site, Value, json,
    tls::{self, Pair, Version},
    wait::takes,
    wire::Wire,
    within,
};

use super::{TcpNode, ask, line, nobody, of, tls_echo};
use crate::rules::{Rules, on_request, on_response, site_of};

/// Every line is a request.
pub(super) const LINES: &str = "request.endsWith( \"\\n\" );";

/// A site of a protocol with these rules, and a pool `other` besides.
pub(super) async fn site(
    protocol: &str,
    nodes: &[SocketAddr],
    other: &[SocketAddr],
    rules: Rules<'_>,
) -> Site {
    site_with(protocol, nodes, other, rules, &json!({})).await
}

/// As [`site`], with further properties of the virtual server.
pub(super) async fn site_with(
    protocol: &str,
    nodes: &[SocketAddr],
    other: &[SocketAddr],
    rules: Rules<'_>,
    more: &Value,
) -> Site {
    site_of(nodes, rules, of(protocol, more), json!({}), |document| {
        if other.is_empty() { document } else { document.pool("other", other, &json!({})) }
    })
    .await
}

/// What a client that sends `data` gets until `length` bytes are there.
async fn gets(site: &Site, data: &str, length: usize) -> String {
    let mut client = site.client().await;
    client.send(data).await;
    String::from_utf8(within("the answer", client.wire().exactly(length)).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_line_protocol_is_routed_line_by_line() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let rule = "
        $line = request.getLine( \"\\n\", 0 );
        request.endsAt( $1 );
        if( string.startsWith( $line, 'b' ) ) pool.use( 'other' );
    ";
    let site = site("client_first", &[one.address], &[two.address], on_request(rule)).await;
    let mut client = site.client().await;
    for (sent, got) in [("a1", "one:a1"), ("b1", "two:b1"), ("b2", "two:b2"), ("a2", "one:a2")] {
        assert_eq!(ask(&mut client, sent).await, got);
    }
    // The second line of a pool goes over the connection of the first.
    assert_eq!((one.connections(), two.connections()), (2, 1));
    // A line in pieces, and two lines at once.
    client.send("b").await;
    tokio::task::yield_now().await;
    assert_eq!(ask(&mut client, "3").await, "two:b3");
    client.send("a3\r\nb4\r\n").await;
    assert_eq!(line(&mut client).await, "one:a3");
    assert_eq!(line(&mut client).await, "two:b4");
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_first_line_decides_for_the_connection() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let rule = "if( request.getLine() == \"two\\r\\n\" ) pool.use( 'other' );";
    let site = site("client_first", &[one.address], &[two.address], on_request(rule)).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "two").await, "two:two");
    assert_eq!(ask(&mut client, "one").await, "two:one");
    assert_eq!(ask(&mut site.client().await, "one").await, "one:one");
    drop(client);
    site.tidegate.stop().await;
}

/// What functions of the request do to `hello world\r\n`, seen by a node that answers lines.
#[tokio::test]
async fn functions_of_the_request() {
    let node = TcpNode::lines("n").await;
    let table = [
        ("request.endsWith( \"\\n\" );", "n:hello world\r\n"),
        ("request.endsAt( 13 );", "n:hello world\r\n"),
        ("request.skip( 6 );", "n:world\r\n"),
        ("request.set( \"other\\r\\n\" );", "n:other\r\n"),
        ("connection.setData( \"old\\r\\n\" );", "n:old\r\n"),
        ("request.set( request.get( 5 ) . \"\\r\\n\" );", "n:hello\r\n"),
        ("request.get( 13 ); request.set( request.getLength() . \"\\r\\n\" );", "n:13\r\n"),
        ("request.get( 13 ); request.set( connection.getDataLen() . \"\\r\\n\" );", "n:13\r\n"),
        ("$l = request.getLine(); request.set( $1 . ' ' . $l );", "n:13 hello world\r\n"),
        ("$l = request.getLine( ' ' ); request.set( $1 . $l . \"\\r\\n\" );", "n:6hello \r\n"),
        ("request.sendResponse( \"no node\\r\\n\" );", "no node\r\n"),
        ("connection.close( \"bye\\r\\n\" );", "bye\r\n"),
        ("request.set( string.substring( request.get(), 0, 4 ) . \"\\r\\n\" );", "n:hello\r\n"),
    ];
    for (rule, expected) in table {
        let rule = format!("request.getLine(); {rule}");
        let site = site("client_first", &[node.address], &[], on_request(&rule)).await;
        assert_eq!(gets(&site, "hello world\r\n", expected.len()).await, expected, "{rule}");
        site.tidegate.stop().await;
    }
}

/// What functions of the response do to the answer `n:hello\r\n`.
#[tokio::test]
async fn functions_of_the_response() {
    let node = TcpNode::lines("n").await;
    let table = [
        ("response.set( string.uppercase( response.get() ) );", "N:HELLO\r\n"),
        ("response.append( \"and more\\r\\n\" );", "n:hello\r\nand more\r\n"),
        ("response.flush(); response.set( \"later\\r\\n\" );", "n:hello\r\nlater\r\n"),
        ("response.flush( 2 ); response.set( \"later\\r\\n\" );", "n:later\r\n"),
        ("response.set( response.getLength() . \"\\r\\n\" );", "9\r\n"),
        ("$l = response.getLine(); response.set( $1 . $l );", "9n:hello\r\n"),
        ("$l = response.getLine( ':' ); response.set( $1 . $l );", "2n:"),
        ("response.set( connection.getNode() == '' ? 'none' : 'some' );", "some"),
        ("response.set( response.getRemoteIP() );", "127.0.0.1"),
        ("connection.close( \"bye\\r\\n\" );", "bye\r\n"),
        ("response.set( response.get( 1 ) );", "n"),
    ];
    for (rule, expected) in table {
        let rule = format!("response.get( 9 ); {rule}");
        let site = site("client_first", &[node.address], &[], on_response(&rule)).await;
        assert_eq!(gets(&site, "hello\r\n", expected.len()).await, expected, "{rule}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn response_rules_see_every_piece() {
    let node = TcpNode::lines("n").await;
    let rule = "response.set( '[' . string.trim( response.getLine() ) . \"]\\r\\n\" );";
    let site = site("server_first", &[node.address], &[], on_response(rule)).await;
    let mut client = site.client().await;
    for n in 0..5 {
        assert_eq!(ask(&mut client, &format!("{n}")).await, format!("[n:{n}]"));
    }
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_stream_is_left_alone_once_it_flows() {
    let node = TcpNode::lines("n").await;
    let rules = Rules { request: "pool.use( 'nodes' );", response: "response.set( '' );", completion: "" };
    let site = site("stream", &[node.address], &[], rules).await;
    site.tidegate.line(&["response rules do not run where the protocol is “stream”"]).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "hello").await, "n:hello");
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn closing_the_node_leaves_the_client_free_to_ask_again() {
    let node = TcpNode::lines("n").await;
    let rules = Rules { response: "response.getLine(); response.close();", ..on_request(LINES) };
    let site = site("client_first", &[node.address], &[], rules).await;
    let mut client = site.client().await;
    for n in 1..=3 {
        assert_eq!(ask(&mut client, "x").await, "n:x");
        assert_eq!(node.connections(), n);
    }
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_server_of_rules_alone() {
    let rule = "
        $line = string.trim( request.getLine() );
        request.endsAt( $1 );
        $count = connection.data.get( 'count' ) + 1;
        connection.data.set( 'count', $count );
        request.sendResponse( $count . ' ' . $line . \"\\r\\n\" );
    ";
    let site = site("client_first", &[nobody().await], &[], on_request(rule)).await;
    let mut client = site.client().await;
    client.send("a\r\nb\r\n").await;
    assert_eq!(line(&mut client).await, "1 a");
    assert_eq!(line(&mut client).await, "2 b");
    assert_eq!(ask(&mut client, "c").await, "3 c");
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn rules_on_connect() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let refused = "if( request.getRemoteIP() == '127.0.0.1' ) connection.close( \"not you\\r\\n\", 0 );";
    let more = json!({ "basic": { "rules_on_connect": true } });
    let refusing = site_with("client_first", &[one.address], &[], on_request(refused), &more).await;
    let mut client = refusing.client().await;
    assert_eq!(line(&mut client).await, "not you");
    client.closed().await;
    drop(client);
    refusing.tidegate.stop().await;
    let choosing =
        site_with("client_first", &[one.address], &[two.address], on_request("pool.use( 'other' );"), &more)
            .await;
    assert_eq!(ask(&mut choosing.client().await, "x").await, "two:x");
    choosing.tidegate.stop().await;
    // Where the node speaks first, rules run on connect anyway.
    let greeting = TcpNode::greeting("three", "hello\r\n").await;
    let server_first =
        site("server_first", &[one.address], &[greeting.address], on_request("pool.use( 'other' );")).await;
    assert_eq!(line(&mut server_first.client().await).await, "hello");
    server_first.tidegate.stop().await;
}

#[tokio::test]
async fn a_login_behind_a_banner_chooses_the_pool() {
    let one = TcpNode::greeting("one", "+OK one\r\n").await;
    let two = TcpNode::greeting("two", "+OK two\r\n").await;
    let rule = "if( string.contains( request.getLine(), 'anna' ) ) pool.use( 'other' );";
    let more = json!({ "connection": { "server_first_banner": "+OK\\r\\n" } });
    let site = site_with("pop3", &[one.address], &[two.address], on_request(rule), &more).await;
    for (user, got) in [("USER anna", "two:USER anna"), ("USER otto", "one:USER otto")] {
        let mut client = site.client().await;
        assert_eq!(line(&mut client).await, "+OK");
        assert_eq!(ask(&mut client, user).await, got);
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_marked_request_is_sent_again() {
    let closing = TcpNode::with(async |stream| {
        let _line = Wire::new(stream).line().await;
    })
    .await;
    let node = TcpNode::lines("n").await;
    let marked = site("client_first", &[closing.address, node.address], &[], on_request(LINES)).await;
    for _ in 0..4 {
        assert_eq!(ask(&mut marked.client().await, "x").await, "n:x");
    }
    marked.tidegate.stop().await;
    // A rule says no.
    let rule = "request.endsWith( \"\\n\" ); request.setIdempotent( 0 );";
    let once = site("client_first", &[closing.address], &[node.address], on_request(rule)).await;
    let mut client = once.client().await;
    client.send("x\r\n").await;
    client.closed().await;
    drop(client);
    once.tidegate.stop().await;
}

#[tokio::test]
async fn rules_send_a_request_to_another_node() {
    let (one, two) = (TcpNode::lines("bad").await, TcpNode::lines("good").await);
    let rules = Rules {
        response: "if( string.startsWith( response.getLine(), 'bad' ) ) {
            request.avoidNode( connection.getNode() );
            request.retry();
        }",
        ..on_request(LINES)
    };
    let site = site("client_first", &[one.address, two.address], &[], rules).await;
    for _ in 0..4 {
        assert_eq!(ask(&mut site.client().await, "x").await, "good:x");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn sessions_by_a_key_of_the_rule() {
    let (one, two) = (TcpNode::lines("one").await, TcpNode::lines("two").await);
    let rule = "
        $line = request.getLine();
        request.endsAt( $1 );
        connection.setPersistence( 'by key' );
        connection.setPersistenceKey( string.substring( $line, 0, 0 ) );
    ";
    let server = of("client_first", &json!({}));
    let site = site_of(&[one.address, two.address], on_request(rule), server, json!({}), |document| {
        document.add("persistence", "by key", json!({ "basic": { "type": "universal" } }))
    })
    .await;
    let mut client = site.client().await;
    let (a, b) = (ask(&mut client, "a1").await, ask(&mut client, "b1").await);
    for n in 2..6 {
        assert_eq!(ask(&mut client, &format!("a{n}")).await, a.replace("a1", &format!("a{n}")));
        assert_eq!(ask(&mut client, &format!("b{n}")).await, b.replace("b1", &format!("b{n}")));
    }
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn completion_rules_are_told_how_it_ended() {
    let node = TcpNode::lines("n").await;
    let rules = Rules {
        completion: "log.info( 'done ' . connection.getNode() . ' ' . connection.getCompletionReasonCode() );",
        ..on_request(LINES)
    };
    let site = site("client_first", &[node.address], &[], rules).await;
    let mut client = site.client().await;
    assert_eq!(ask(&mut client, "x").await, "n:x");
    client.send("y\r\n").await;
    site.tidegate.line(&["done", &node.address.to_string(), "COMPLETE"]).await;
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn functions_of_http_abort_the_rule() {
    let node = TcpNode::lines("n").await;
    let rule = "$x = http.getPath(); connection.discard();";
    let raw = site("client_first", &[node.address], &[], on_request(rule)).await;
    // The rule ends, the connection goes on.
    assert_eq!(ask(&mut raw.client().await, "hello").await, "n:hello");
    raw.tidegate.line(&["ruleabort", "http.getPath is for virtual servers whose protocol is http"]).await;
    raw.tidegate.stop().await;
    let node = Node::echo().await;
    let http = site("http", &[node.address], &[], on_request("request.set( 'x' );")).await;
    let mut client = http.client().await;
    client.send("GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n").await;
    client.rest().await;
    http.tidegate.line(&["ruleabort", "request.set is for virtual servers whose protocol is not http"]).await;
    drop(client);
    http.tidegate.stop().await;
}

#[tokio::test]
async fn a_discarded_connection_gets_nothing() {
    let node = TcpNode::lines("n").await;
    for rule in ["connection.discard();", "pool.use( 'discard' );"] {
        let site = site("client_first", &[node.address], &[], on_request(rule)).await;
        let mut client = site.client().await;
        client.send("x\r\n").await;
        client.closed().await;
        assert_eq!(node.connections(), 0);
        drop(client);
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn connections_between_requests_do_not_hold_up_the_end() {
    let node = TcpNode::lines("n").await;
    let mut site = site("client_first", &[node.address], &[], on_request(LINES)).await;
    let mut client: Client = site.client().await;
    assert_eq!(ask(&mut client, "x").await, "n:x");
    site.tidegate.signal(Signal::TERM);
    client.closed().await;
    let status =
        takes(std::time::Duration::ZERO, std::time::Duration::from_secs(5), site.tidegate.wait()).await;
    site.tidegate.assert_clean(status);
}

#[tokio::test]
async fn passed_through_tls_is_routed_by_the_name_that_is_asked_for() {
    let rule = r#"
        $name = ssl.getTLSServerName();
        log.info( "name <" . $name . "> session " . string.len( ssl.sslSessionID() ) );
        if( $name == "other" ) pool.use( "other" );
    "#;
    let [one, other] = [Pair::ecdsa(&["one"]), Pair::ecdsa(&["other"])];
    let nodes = [tls_echo(tls::server(&one, false)).await, tls_echo(tls::server(&other, false)).await];
    let site = site("ssl", &[nodes[0].address], &[nodes[1].address], on_request(rule)).await;
    for (name, pair) in [("one", &one), ("other", &other)] {
        let stream = Client::tls_stream(site.address, &tls::client(Version::Both), name).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(), pair.der(), "{name}");
        assert_eq!(ask(&mut Client::over(stream, site.address), "hello").await, "hello", "{name}");
        site.tidegate.line(&[&format!("name <{name}> session 64")]).await;
    }
    // What is no TLS has no name, and nobody waits for it.
    let mut plain = site.client().await;
    plain.send("GET / HTTP/1.1\r\n\r\n").await;
    site.tidegate.line(&["name <> session 0"]).await;
    assert!(!plain.rest().await.starts_with(b"HTTP"), "the node's answer is an alert");
    site.tidegate.stop().await;
}

/// However it comes: the rule waits for all of it.
#[tokio::test]
async fn the_name_is_waited_for() {
    let node = RawNode::start().await;
    let rule = "log.info( ssl.getTLSServerName() );";
    let site = site("https", &[node.address], &[], on_request(rule)).await;
    let name = "a-name.example".try_into().unwrap();
    let mut tls = ClientConnection::new(tls::client(Version::Both), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let mut client = site.client().await;
    for piece in hello.chunks(40) {
        client.send(piece).await;
        tokio::task::yield_now().await;
    }
    site.tidegate.line(&["a-name.example"]).await;
    let mut wire = node.accept().await;
    assert_eq!(within("the message", wire.exactly(hello.len())).await.unwrap(), hello);
    drop((wire, client));
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_large_answer_passes_rules_byte_for_byte() {
    let node = RawNode::start().await;
    let site = site("client_first", &[node.address], &[], on_response("response.append( '' );")).await;
    let data = super::noise(3, 4 << 20);
    let mut client = site.client().await;
    client.send("x").await;
    let mut wire = node.accept().await;
    within("the request", wire.exactly(1)).await.unwrap();
    let sent = data.clone();
    let serving = tokio::spawn(async move { wire.send(&sent).await.unwrap() });
    let got = within("the answer", client.wire().exactly(data.len())).await.unwrap();
    assert!(got == data);
    serving.await.unwrap();
    assert_eq!(client.rest().await, b"");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_request_that_is_still_to_come_is_passed_on() {
    let node = RawNode::start().await;
    let rule = "request.get( 1 ); request.endsAt( 300000 );";
    let site = site("client_first", &[node.address], &[], on_request(rule)).await;
    let data = super::noise(4, 300_000);
    let mut client = site.client().await;
    let mut answered = Vec::new();
    for n in 0..2 {
        client.send(&data[..1000]).await;
        client.send(&data[1000..]).await;
        let mut wire = match answered.pop() {
            Some(wire) => wire,
            None => node.accept().await,
        };
        assert!(within("the request", wire.exactly(data.len())).await.unwrap() == data, "request {n}");
        wire.send(b"ok\r\n").await.unwrap();
        assert_eq!(line(&mut client).await, "ok");
        answered.push(wire);
    }
    drop(client);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_rule_that_waits_in_vain_gets_what_there_is() {
    let rule = "connection.close( 'got ' . request.get( 100 ) );";
    let site = site("client_first", &[nobody().await], &[], on_request(rule)).await;
    let mut client = site.client().await;
    client.send("a few").await;
    client.finish().await;
    assert_eq!(client.rest().await, b"got a few");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn answers_are_sent_line_by_line() {
    let node = RawNode::start().await;
    let rules = Rules {
        response: "do { $line = response.getLine(); response.flush( $1 ); } while( $line != \".\\r\\n\" );",
        ..on_request(LINES)
    };
    let site = site("client_first", &[node.address], &[], rules).await;
    let mut client = site.client().await;
    client.send("list\r\n").await;
    let mut wire = node.accept().await;
    for text in ["+OK", "1 120", "."] {
        wire.send(format!("{text}\r\n").as_bytes()).await.unwrap();
        // It is there before the next one is sent.
        assert_eq!(line(&mut client).await, text);
    }
    drop(client);
    site.tidegate.stop().await;
}
