//! Nothing ambiguous is forwarded: each message of the corpus gets a 400-class answer and a close, and the node
//! sees nothing of it (RFC 9110, RFC 9112).

use tidegate_harness::{Client, Node, Site, json, wire::latin};

const H: &str = "Host: site\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: site\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: site\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: site\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Name, expected status and bytes of every request that is refused by its head.
#[expect(clippy::too_many_lines, reason = "a table reads best in one piece")]
fn heads() -> Vec<(&'static str, u16, Vec<u8>)> {
    let mut cases: Vec<(&'static str, u16, String)> = Vec::new();
    let mut add = |name, status, text: String| cases.push((name, status, text));

    // Framing: RFC 9112 §6.
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    add("both framings", 400, format!("{POST}{both}"));
    add(
        "both framings, the other order",
        400,
        format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    );
    for (name, lines) in [
        ("differing lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("a list of lengths", "Content-Length: 5, 5\r\n"),
        ("a list of differing lengths", "Content-Length: 5,6\r\n"),
        ("a length with a plus", "Content-Length: +5\r\n"),
        ("a negative length", "Content-Length: -5\r\n"),
        ("a space in a length", "Content-Length: 1 5\r\n"),
        ("a hexadecimal length", "Content-Length: 0x5\r\n"),
        ("an underscore in a length", "Content-Length: 1_0\r\n"),
        ("a fraction of a length", "Content-Length: 5.0\r\n"),
        ("no length", "Content-Length:\r\n"),
        ("a length of blanks", "Content-Length:  \t\r\n"),
        ("a length over 64 bits", "Content-Length: 18446744073709551621\r\n"),
        ("a length of 30 digits", "Content-Length: 999999999999999999999999999999\r\n"),
        ("a quoted length", "Content-Length: \"5\"\r\n"),
        ("digits of another script", "Content-Length: \u{665}\r\n"),
        ("a length in obs-fold", "Content-Length:\r\n 5\r\n"),
    ] {
        add(name, 400, format!("{POST}{lines}\r\nabcde"));
    }
    for (name, lines) in [
        ("chunked is not last", "Transfer-Encoding: chunked, gzip\r\n"),
        ("gzip before chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("only gzip", "Transfer-Encoding: gzip\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        ("two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("two differing lines", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        ("an empty coding", "Transfer-Encoding:\r\n"),
        ("chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("chunked with a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("a list with an empty element", "Transfer-Encoding: ,chunked\r\n"),
        ("a quoted coding", "Transfer-Encoding: \"chunked\"\r\n"),
        ("two words", "Transfer-Encoding: chunked chunked\r\n"),
        ("chunked in obs-fold", "Transfer-Encoding:\r\n chunked\r\n"),
    ] {
        add(name, 0, format!("{POST}{lines}\r\n0\r\n\r\n"));
    }
    add(
        "chunked in HTTP/1.0",
        400,
        format!("POST / HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    );

    // Look-alikes of the names that frame.
    for (name, line) in [
        ("underscore for hyphen", "Content_Length: 5"),
        ("underscore in the coding's name", "Transfer_Encoding: chunked"),
        ("space before the colon", "Content-Length : 5"),
        ("space before the colon of the coding", "Transfer-Encoding : chunked"),
        ("tab before the colon", "Transfer-Encoding\t: chunked"),
        ("no colon", "Transfer-Encoding chunked"),
        ("a name with a NUL", "Transfer-Encoding\0: chunked"),
        ("a name with a vertical tab", "Transfer-Encoding\x0b: chunked"),
        ("a name that begins with a space", " Transfer-Encoding: chunked"),
        ("a name with a high byte", "Transfer-Encoding\u{a0}: chunked"),
        ("a dotted look-alike", "Content.Length: 5"),
        ("a squeezed look-alike", "ContentLength: 5"),
    ] {
        add(name, 400, format!("{POST}{line}\r\n\r\n"));
    }

    // Syntax of the head: RFC 9112 §2.2, §5; RFC 9110 §5.5.
    for (name, text) in [
        ("obs-fold with a space", format!("{GET}X: a\r\n b\r\n\r\n")),
        ("obs-fold with a tab", format!("{GET}X: a\r\n\tb\r\n\r\n")),
        ("obs-fold before the first header", format!("GET / HTTP/1.1\r\n {H}\r\n")),
        ("bare CR in a value", format!("{GET}X: a\rb\r\n\r\n")),
        ("bare CR before CRLF", format!("{GET}X: a\r\r\n\r\n")),
        ("bare CR for a line end", format!("{GET}X: a\rTransfer-Encoding: chunked\r\n\r\n")),
        ("bare LF for a line end", format!("{GET}X: a\nY: b\r\n\r\n")),
        ("bare LF for every line end", "GET / HTTP/1.1\nHost: site\n\n".to_owned()),
        ("bare LF after the request line", format!("GET / HTTP/1.1\n{H}\r\n")),
        ("bare LF for the blank line", format!("{GET}\n")),
        ("LF in a value", format!("{GET}X: a\n b\r\n\r\n")),
        ("NUL in a value", format!("{GET}X: a\0b\r\n\r\n")),
        ("a bell in a value", format!("{GET}X: a\x07b\r\n\r\n")),
        ("DEL in a value", format!("{GET}X: a\x7fb\r\n\r\n")),
        ("a vertical tab in a value", format!("{GET}X: a\x0bb\r\n\r\n")),
        ("escape in a value", format!("{GET}X: a\x1bb\r\n\r\n")),
        ("an empty name", format!("{GET}: a\r\n\r\n")),
        ("a name with a space", format!("{GET}X Y: a\r\n\r\n")),
        ("a name with a parenthesis", format!("{GET}X(Y): a\r\n\r\n")),
        ("a name with a comma", format!("{GET}X,Y: a\r\n\r\n")),
        ("a name with a bracket", format!("{GET}X[Y]: a\r\n\r\n")),
        ("a line without a colon", format!("{GET}junk\r\n\r\n")),
        ("space before a colon", format!("{GET}X : a\r\n\r\n")),
    ] {
        add(name, 400, text);
    }

    // The request line: RFC 9112 §3.
    for (name, line) in [
        ("no version", "GET /"),
        ("two spaces after the method", "GET  / HTTP/1.1"),
        ("two spaces before the version", "GET /  HTTP/1.1"),
        ("a tab after the method", "GET\t/ HTTP/1.1"),
        ("a tab before the version", "GET /\tHTTP/1.1"),
        ("a space at the end", "GET / HTTP/1.1 "),
        ("a space before the method", " GET / HTTP/1.1"),
        ("a space in the target", "GET /a b HTTP/1.1"),
        ("NUL in the target", "GET /\0 HTTP/1.1"),
        ("a control byte in the target", "GET /\x01 HTTP/1.1"),
        ("DEL in the target", "GET /\x7f HTTP/1.1"),
        ("a fragment in the target", "GET /a#b HTTP/1.1"),
        ("a target without a slash", "GET index.html HTTP/1.1"),
        ("an asterisk with GET", "GET * HTTP/1.1"),
        ("an authority with GET", "GET site:80 HTTP/1.1"),
        ("a relative target", "GET ../a HTTP/1.1"),
        ("another scheme", "GET ftp://site/ HTTP/1.1"),
        ("a method with a brace", "G{T / HTTP/1.1"),
        ("a method with a colon", "GET: / HTTP/1.1"),
        ("an empty method", " / HTTP/1.1"),
        ("lower-case protocol", "GET / http/1.1"),
        ("another protocol", "GET / HTCPCP/1.1"),
        ("version without minor", "GET / HTTP/1"),
        ("version with two digits", "GET / HTTP/1.10"),
        ("version with a letter", "GET / HTTP/1.x"),
        ("version with a comma", "GET / HTTP/1,1"),
        ("HTTP/0.9 with a version", "GET / HTTP/0.9"),
        ("a higher minor version", "GET / HTTP/1.2"),
        ("HTTP/2.0", "GET / HTTP/2.0"),
        ("the HTTP/2 preface", "PRI * HTTP/2.0"),
    ] {
        add(name, 0, format!("{line}\r\n{H}\r\n"));
    }
    add("CONNECT", 0, "CONNECT site:443 HTTP/1.1\r\nHost: site:443\r\n\r\n".to_owned());

    // Host: RFC 9112 §3.2.
    for (name, lines) in [
        ("no Host", ""),
        ("Host twice", "Host: site\r\nHost: other\r\n"),
        ("the same Host twice", "Host: site\r\nHost: site\r\n"),
        ("Host twice in differing case", "Host: site\r\nhOST: site\r\n"),
        ("an empty Host", "Host:\r\n"),
        ("a Host of blanks", "Host:  \r\n"),
        ("user info in Host", "Host: user@site\r\n"),
        ("a path in Host", "Host: site/path\r\n"),
        ("a comma in Host", "Host: site,other\r\n"),
        ("a space in Host", "Host: site other\r\n"),
        ("a scheme in Host", "Host: http://site\r\n"),
        ("a query in Host", "Host: site?a\r\n"),
        ("a fragment in Host", "Host: site#a\r\n"),
        ("a backslash in Host", "Host: site\\other\r\n"),
        ("letters for a port", "Host: site:http\r\n"),
        ("two ports", "Host: site:80:80\r\n"),
        ("a port too large", "Host: site:99999\r\n"),
        ("only a port", "Host: :80\r\n"),
        ("an open bracket", "Host: [::1\r\n"),
        ("a bracket that holds no address", "Host: [site]\r\n"),
        ("a high byte in Host", "Host: s\u{ef}te\r\n"),
        ("a NUL in Host", "Host: site\0\r\n"),
        ("a quote in Host", "Host: \"site\"\r\n"),
        ("space before Host's colon", "Host : site\r\n"),
    ] {
        add(name, 400, format!("GET / HTTP/1.1\r\n{lines}\r\n"));
    }
    add("absolute-form that disagrees", 400, format!("GET http://other/ HTTP/1.1\r\n{H}\r\n"));
    add("absolute-form with another port", 400, format!("GET http://site:81/ HTTP/1.1\r\n{H}\r\n"));
    add("absolute-form without Host", 400, "GET http://site/ HTTP/1.1\r\n\r\n".to_owned());
    add("absolute-form with user info", 400, format!("GET http://me@site/ HTTP/1.1\r\n{H}\r\n"));
    add("absolute-form without a host", 400, "GET http:/// HTTP/1.1\r\nHost:\r\n\r\n".to_owned());
    add("Host twice in HTTP/1.0", 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".to_owned());

    // Limits.
    add("a request line over its limit", 414, format!("GET /{} HTTP/1.1\r\n{H}\r\n", "a".repeat(20_000)));
    add("a method without an end", 0, "A".repeat(70_000));
    add("a head over its limit", 431, format!("{GET}X: {}\r\n\r\n", "a".repeat(40_000)));
    add("a head that never ends", 431, format!("{GET}{}", "X: aaaaaaaaaaaaaaaaaaaa\r\n".repeat(3000)));
    add("too many headers", 431, format!("{GET}{}\r\n", "X: a\r\n".repeat(200)));
    add("an unknown expectation", 417, format!("{GET}Expect: 200-ok\r\n\r\n"));

    // One character of the table is one byte on the wire.
    cases.into_iter().map(|(name, status, text)| (name, status, bytes(&text))).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// Chunked bodies that are no chunked bodies: RFC 9112 §7.1.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let long_value = format!("1;a={}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let trailers = format!("0\r\n{}\r\n", "X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(1000));
    [
        ("no size", "\r\nabc\r\n0\r\n\r\n"),
        ("a size of letters", "xyz\r\nabc\r\n0\r\n\r\n"),
        ("a negative size", "-1\r\nabc\r\n0\r\n\r\n"),
        ("a size with a plus", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a space before the size", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a space after the size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("a tab after the size", "3\t\r\nabc\r\n0\r\n\r\n"),
        ("a space after the last size", "3\r\nabc\r\n0 \r\n\r\n"),
        ("a space before an extension", "3 ;a=b\r\nabc\r\n0\r\n\r\n"),
        ("an underscore in the size", "0_3\r\nabc\r\n0\r\n\r\n"),
        ("a size over 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("a size of very many digits", "000000000000000000000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("bare LF after the size", "3\nabc\r\n0\r\n\r\n"),
        ("bare CR after the size", "3\rabc\r\n0\r\n\r\n"),
        ("bare LF after the data", "3\r\nabc\n0\r\n\r\n"),
        ("bare LF at the end", "3\r\nabc\r\n0\r\n\n"),
        ("data longer than its size", "3\r\nabcd\r\n0\r\n\r\n"),
        ("data shorter than its size", "5\r\nabc\r\n0\r\n\r\n"),
        ("nothing between chunks", "3\r\nabc3\r\nabc\r\n0\r\n\r\n"),
        ("an extension that is no token", "3;a b\r\nabc\r\n0\r\n\r\n"),
        ("an extension with a control byte", "3;a=\x01\r\nabc\r\n0\r\n\r\n"),
        ("an extension with NUL", "3;\0\r\nabc\r\n0\r\n\r\n"),
        ("an extension with a bare CR", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        ("an extension with a bare LF", "3;a\nabc\r\n0\r\n\r\n"),
        ("an empty extension", "3;\r\nabc\r\n0\r\n\r\n"),
        ("an extension without a name", "3;=b\r\nabc\r\n0\r\n\r\n"),
        ("an extension without a value", "3;a=\r\nabc\r\n0\r\n\r\n"),
        ("an open quote in an extension", "3;a=\"b\r\nabc\r\n0\r\n\r\n"),
        ("a comma for a semicolon", "3,a\r\nabc\r\n0\r\n\r\n"),
        ("a trailer without a colon", "0\r\njunk\r\n\r\n"),
        ("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"),
        ("a trailer with a space before its colon", "0\r\nX : a\r\n\r\n"),
        ("a trailer with a control byte", "0\r\nX: a\0\r\n\r\n"),
        ("a trailer with a bare LF", "0\r\nX: a\nY: b\r\n\r\n"),
        ("an extension over its bound", long.as_str()),
        ("a value of an extension over its bound", long_value.as_str()),
        ("trailers over their bound", trailers.as_str()),
    ]
    .into_iter()
    .map(|(name, body)| (name, bytes(body)))
    .collect()
}

/// A request that would be served if bytes of the one before it leaked.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: site\r\n\r\n";

/// What is wrong with the answer, if it is not a refusal with this status (0 = any 400-class one, 501 or 505) and
/// a close.
async fn fault(client: &mut Client, expected: u16) -> Option<String> {
    let response = match client.try_response("GET").await {
        Ok(response) => response,
        Err(error) => return Some(format!("no answer: {error}")),
    };
    let right = match expected {
        0 => {
            (400..500).contains(&response.status) && response.status != 408
                || matches!(response.status, 501 | 505)
        }
        expected => response.status == expected,
    };
    if !right {
        return Some(format!("{} instead of {expected}: {}", response.status, response.text()));
    }
    if response.header("Connection") != Some("close") {
        return Some("the connection's end is not announced".to_owned());
    }
    let rest = client.rest().await;
    (!rest.is_empty()).then(|| format!("more came after the refusal: {:?}", latin(&rest)))
}

async fn refused(client: &mut Client, name: &str, expected: u16) {
    assert_eq!(fault(client, expected).await, None, "{name}");
}

#[tokio::test]
async fn ambiguous_heads_are_refused_and_no_node_sees_them() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let mut wrong = Vec::new();
    for (name, expected, bytes) in heads() {
        let mut client = site.client().await;
        client.send(&bytes).await;
        client.send(SMUGGLED).await;
        if let Some(fault) = fault(&mut client, expected).await {
            wrong.push(format!("{name}: {fault}"));
        }
        let seen = node.received();
        if !seen.is_empty() {
            wrong.push(format!("{name}: {} requests at the node", seen.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(node.faults(), Vec::<String>::new());
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_ambiguous_head_behind_a_good_request_is_refused_too() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    for (name, expected, bytes) in heads().into_iter().step_by(7) {
        let mut client = site.client().await;
        client.send([b"GET /first HTTP/1.1\r\nHost: site\r\n\r\n".as_slice(), &bytes].concat()).await;
        let response = client.response().await;
        assert_eq!(response.status, 200, "{name}");
        refused(&mut client, name, expected).await;
        assert_eq!(node.only().target, "/first", "{name}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn splitting_a_head_at_any_byte_changes_nothing() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let both = format!("{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    for text in
        [both, format!("{GET}X : a\r\n\r\n"), "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned()]
    {
        for at in 1..text.len() {
            let mut client = site.client().await;
            client.send(&text[..at]).await;
            tokio::task::yield_now().await;
            client.send(&text[at..]).await;
            refused(&mut client, &format!("{text:?} split at {at}"), 400).await;
        }
    }
    assert_eq!(node.requests(), 0);
    let good = format!("{POST}Content-Length: 5\r\nX: y\r\n\r\nabcde");
    for at in 1..good.len() {
        let mut client = site.client().await;
        client.send(&good[..at]).await;
        tokio::task::yield_now().await;
        client.send(&good[at..]).await;
        assert_eq!(client.response().await.status, 200, "split at {at}");
        assert_eq!(node.only().body.data, b"abcde", "split at {at}");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn bad_chunked_bodies_never_complete_at_a_node() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    for (name, body) in bodies() {
        let mut client = site.client().await;
        client.send(CHUNKED).await;
        client.send(&body).await;
        client.send(SMUGGLED).await;
        refused(&mut client, name, 400).await;
        let seen = node.received();
        assert!(seen.is_empty(), "{name}: the node saw {seen:#?}");
    }
    assert_eq!(node.faults(), Vec::<String>::new(), "what a node got was no canonical chunked body");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_chunked_body_split_at_any_byte_arrives_whole() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    let body = "4\r\nabcd\r\n00a;x;y=z;q=\"a;\\\"\"\r\n0123456789\r\n0\r\nX-End: yes\r\n\r\n";
    for at in 0..=body.len() {
        let mut client = site.client().await;
        client.send(CHUNKED).await;
        client.send(&body[..at]).await;
        tokio::task::yield_now().await;
        client.send(&body[at..]).await;
        assert_eq!(client.response().await.status, 200, "split at {at}");
        assert_eq!(node.only().body.data, b"abcd0123456789", "split at {at}");
    }
    assert_eq!(node.faults(), Vec::<String>::new());
    site.tidegate.stop().await;
}

/// What a node gets of these is canonical: strictness must not refuse them.
#[tokio::test]
async fn unusual_and_correct_requests_are_served() {
    let node = Node::echo().await;
    let site = Site::start(&[node.address], json!({}), json!({})).await;
    for (name, text) in [
        ("an empty line first", format!("\r\n{GET}\r\n")),
        ("blanks around a value", format!("{GET}X:  \t a b \t \r\n\r\n")),
        ("no space after the colon", "GET / HTTP/1.1\r\nHost:site\r\n\r\n".to_owned()),
        ("an empty value", format!("{GET}X:\r\n\r\n")),
        ("every token character", format!("{GET}!#$%&'*+-.^_`|~09azAZ: a\r\n\r\n")),
        ("high bytes in a value", format!("{GET}X: \u{e9}\u{ff}\r\n\r\n")),
        ("absolute-form", format!("GET http://site/a?b HTTP/1.1\r\n{H}\r\n")),
        ("absolute-form in capitals", format!("GET HTTP://SITE/a HTTP/1.1\r\n{H}\r\n")),
        ("absolute-form without a path", format!("GET http://site HTTP/1.1\r\n{H}\r\n")),
        ("OPTIONS *", format!("OPTIONS * HTTP/1.1\r\n{H}\r\n")),
        ("an unknown method", format!("PURGE / HTTP/1.1\r\n{H}\r\n")),
        ("Host with a port", "GET / HTTP/1.1\r\nHost: site:8080\r\n\r\n".to_owned()),
        ("Host as an IPv6 address", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".to_owned()),
        ("a length with zeros in front", format!("{POST}Content-Length: 0005\r\n\r\nabcde")),
        ("a length of nothing", format!("{POST}Content-Length: 0\r\n\r\n")),
        ("chunked in capitals", format!("{POST}Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n")),
        ("chunked within blanks", format!("{POST}Transfer-Encoding:  chunked \r\n\r\n0\r\n\r\n")),
        ("a query with odd characters", format!("GET /?a=[b]{{c}}|d HTTP/1.1\r\n{H}\r\n")),
        ("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n".to_owned()),
    ] {
        let mut client = site.client().await;
        client.send(bytes(&text)).await;
        let method = text.trim_start().split(' ').next().unwrap();
        let response = client.response_to(method).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let seen = node.only();
        assert!(seen.head.start.ends_with(" HTTP/1.1"), "{name}: {}", seen.head.start);
        assert!(!seen.target.starts_with("http"), "{name}: nodes are asked in origin-form: {}", seen.target);
    }
    assert_eq!(node.faults(), Vec::<String>::new());
    site.tidegate.stop().await;
}
