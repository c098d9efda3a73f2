//! Rules that wait, share and count: rate classes, sleep, tables, other servers, completion.

use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tidegate_harness::{
    Client, Document, Node, Port, Reply, Setup, Site,
    client::request,
    dns::{Dns, Mode},
    eventually, json,
    wait::takes,
};

use super::{Rules, on_request, site, site_with};

#[tokio::test]
async fn rate_classes_refuse_and_queue() {
    let node = Node::start("n").await;
    let rules = on_request(
        r#"
            if( http.getPath() == "/now" ) {
                if( rate.use.noQueue( "slow" ) == 0 ) http.sendResponse( 503, "text/plain", "later", "Retry-After: 1" );
            }
            if( http.getPath() == "/wait" ) {
                rate.use( "orderly", "context" );
                http.setHeader( "X-Backlog", rate.getbacklog( "orderly", "context" ) );
            }
            if( http.getPath() == "/none" ) http.setHeader( "X-Rate", rate.use( "nowhere" ) . "," . rate.use.noQueue( "nowhere" ) );
        "#,
    );
    let site = site_with(&[node.address], rules, |document| {
        document.add("rate", "slow", json!({ "basic": { "max_rate_per_minute": 3 } })).add(
            "rate",
            "orderly",
            json!({ "basic": { "max_rate_per_second": 2 } }),
        )
    })
    .await;
    let mut client = site.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/now").await.status, 200);
    }
    for _ in 0..3 {
        let response = client.get("/now").await;
        assert_eq!((response.status, response.header("Retry-After")), (503, Some("1")));
    }
    assert_eq!(client.get("/none").await.status, 200);
    assert_eq!(node.received().last().unwrap().header("X-Rate"), Some("0,-1"));
    // Two at once, then two with every second, in the order in which they came.
    let mut clients = Vec::new();
    let began = std::time::Instant::now();
    for number in 0..5_u64 {
        let mut client = site.client().await;
        client.send(request("GET", "/wait", &[&format!("X-Number: {number}")], b"")).await;
        // Whoever comes next comes behind it.
        eventually("the request to ask", async || {
            let entered = site.tidegate.metric("tidegate_rate_entered_total{class=\"orderly\"}").await;
            (entered == number + 1).then_some(())
        })
        .await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    assert!(began.elapsed() >= Duration::from_secs(2), "it took only {:?}", began.elapsed());
    let mut order: Vec<String> =
        node.received().iter().map(|request| request.header("X-Number").unwrap().to_owned()).collect();
    // Two that leave together may overtake each other on their way.
    order.chunks_mut(2).for_each(<[String]>::sort);
    assert_eq!(order, ["0", "1", "2", "3", "4"]);
    assert_eq!(site.tidegate.metric("tidegate_rate_dropped_total{class=\"slow\"}").await, 3);
    assert_eq!(site.tidegate.metric("tidegate_rate_entered_total{class=\"orderly\"}").await, 5);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn tables_and_sleep() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"
            $path = http.getPath();
            connection.data.set( "path", $path );
            if( $path == "/count" ) { data.set( "n", data.get( "n" ) + 1 ); http.sendResponse( 200, "text/plain", data.get( "n" ), "" ); }
            if( $path == "/array" ) { data.set( "a", [ 1, "two", [ "k" => 3 ] ] ); }
            if( $path == "/read" ) { $a = data.get( "a" ); http.sendResponse( 200, "text/plain", $a[1] . $a[2]["k"], "" ); }
            if( $path == "/sleep" ) connection.sleep( 300 );
            if( $path == "/long" ) connection.sleep( 600000 );
            counter.increment( 2 );
        "#,
        response: r#"
            http.setResponseHeader( "X-Path", connection.data.get( "path" ) );
            http.setResponseHeader( "X-Other", "[" . connection.data.get( "other" ) . "]" );
            connection.data.set( "other", "set by the response" );
        "#,
        completion: r#"log.info( "completed " . connection.data.get( "path" ) . ": " . connection.data.get( "other" ) . ", " . connection.getCompletionReasonCode() );"#,
    };
    let site = site(&[node.address], rules).await;
    // Connections land on both workers; the table is one.
    for expected in 1..=20 {
        assert_eq!(site.get("/count").await.text(), expected.to_string());
    }
    site.get("/array").await;
    for _ in 0..6 {
        assert_eq!(site.get("/read").await.text(), "two3");
    }
    let mut client = site.client().await;
    for _ in 0..2 {
        let response = client.get("/a").await;
        // What one request has noted is not there for the next.
        assert_eq!((response.header("X-Path"), response.header("X-Other")), (Some("/a"), Some("[]")));
        site.tidegate.line(&["completed /a: set by the response, COMPLETE"]).await;
    }
    let (least, most) = (Duration::from_millis(290), Duration::from_secs(5));
    assert_eq!(takes(least, most, client.get("/sleep")).await.status, 200);
    // Who goes away does not sleep on.
    let mut sleeper = tokio::net::TcpStream::connect(site.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut sleeper, &request("GET", "/long", &[], b"")).await.unwrap();
    let sleeping = async |count: u64| {
        eventually("the request to sleep or not", async || {
            (site.tidegate.metric("tidegate_rule_sleeping").await == count).then_some(())
        })
        .await;
    };
    sleeping(1).await;
    set_socket_linger(&sleeper, Some(Duration::ZERO)).unwrap();
    drop(sleeper);
    sleeping(0).await;
    site.tidegate.line(&["completed /long", "CONNECTION_CLOSED_CLIENT"]).await;
    let counted = site.tidegate.metric("tidegate_user_counter_total{bits=\"32\",number=\"2\"}").await;
    assert!(counted > 0 && !site.tidegate.scrape().await.contains("number=\"1\""), "{counted}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_client_leaves_while_its_body_is_waited_for() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: "http.getBody();",
        completion: r#"log.info( "ended with " . connection.getCompletionReasonCode() );"#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    let mut client = site.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 100\r\n\r\nabc").await;
    client.finish().await;
    client.closed().await;
    site.tidegate.line(&["ended with CONNECTION_CLOSED_CLIENT"]).await;
    assert_eq!(node.requests(), 0);
    assert_eq!(site.get("/").await.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn completion_tells_of_failures() {
    let node = Node::with("n", |request| match request.target.as_str() {
        "/closed" => Reply::close_now(),
        "/broken" => Reply::raw("HTTP/9 what\r\n\r\n"),
        _ => Reply::ok("n"),
    })
    .await;
    let rules = Rules {
        request: r#"if( http.getPath() == "/discard" ) connection.discard(); if( http.getPath() == "/slow" ) { request.setMaxTransactionDuration( 1 ); connection.sleep( 60000 ); }"#,
        completion: r#"
            $info = connection.getCompletionReasonInfo();
            log.info( "end of " . http.getPath() . ": " . $info["code"] . " " . $info["iserror"] . " " . http.getResponseCode() );
        "#,
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    for (path, code) in [
        ("/", "COMPLETE"),
        ("/closed", "CONNECTION_CLOSED_SERVER"),
        ("/broken", "BAD_RESPONSE"),
        ("/discard", "DISCARDED_BY_RULE"),
        ("/slow", "TIMEOUT_PROCESSING_RULE"),
    ] {
        let mut client = site.client().await;
        client.send(request("GET", path, &["Connection: close"], b"")).await;
        client.rest().await;
        site.tidegate.line(&[&format!("end of {path}: {code} ")]).await;
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn requests_of_rules_to_other_servers() {
    let node = Node::start("n").await;
    let other = Node::with("other", |request| {
        Reply::status(201).header("Content-Type: text/x").body(format!(
            "{} {}",
            request.method,
            latin_body(request)
        ))
    })
    .await;
    let script = format!(
        r#"
            if( http.getPath() == "/get" ) {{ $b = http.request.get( "http://{0}/x" ); http.sendResponse( $1, $2, $b, "" ); }}
            if( http.getPath() == "/post" ) {{ $b = http.request.post( "http://{0}/x", "data" ); http.sendResponse( $1, $2, $b, "" ); }}
            if( http.getPath() == "/none" ) {{ $b = http.request.get( "http://127.0.0.1:1/" ); http.sendResponse( 200, "text/plain", "[" . $b . "]" . $1, "" ); }}
            if( http.getPath() == "/name" ) http.sendResponse( 200, "text/plain", net.dns.resolveHost( "127.0.0.9" ), "" );
        "#,
        other.address
    );
    let site: Site = site(&[node.address], on_request(&script)).await;
    let mut client: Client = site.client().await;
    for _ in 0..2 {
        let response = client.get("/get").await;
        assert_eq!(
            (response.status, response.header("Content-Type"), response.text().as_str()),
            (201, Some("text/x"), "GET ")
        );
        let response = client.get("/post").await;
        assert_eq!((response.status, response.text().as_str()), (201, "POST data"));
        assert_eq!(client.get("/none").await.text(), "[]0");
        assert_eq!(client.get("/name").await.text(), "127.0.0.9");
    }
    assert_eq!(site.tidegate.metric("tidegate_rule_requests_total").await, 6);
    site.tidegate.stop().await;
}

/// Names come from the name servers of the resolver configuration; what they do not know, or do not say in time, is empty.
#[tokio::test]
async fn names_are_asked_of_the_name_servers() {
    let (node, dns) = (Node::start("n").await, Dns::start().await);
    dns.host("web.example.", &["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]);
    dns.host("v4.example.", &["192.0.2.8".parse().unwrap()]);
    dns.alias("other.example.", "web.example.");
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("nameserver {}\noptions timeout:1 attempts:1 ndots:1\n", dns.address);
    std::fs::write(file.path(), text).unwrap();
    let rules = Rules {
        request: r#"
            $name = string.skip( http.getPath(), 1 );
            $answer = "[" . net.dns.resolveHost( $name ) . "] [" . net.dns.resolveHost6( $name ) . "]";
            http.sendResponse( 200, "text/plain", $answer, "" );
        "#,
        completion: "log.info( \"completed \" . http.getPath() );",
        ..Rules::default()
    };
    let port = Port::free();
    let document = Document::new().server("site", port.number(), "nodes", &rules.properties()).pool(
        "nodes",
        &[node.address],
        &json!({}),
    );
    let path = file.path().to_str().unwrap();
    let setup = Setup::new(&rules.into_document(document)).arguments(&["--resolv-conf", path]);
    let tidegate = setup.start().await;
    let mut client = Client::connect(port.address()).await;
    for (name, expected) in [
        ("web.example", "[192.0.2.7] [2001:db8::7]"),
        ("web.example.", "[192.0.2.7] [2001:db8::7]"),
        ("other.example", "[192.0.2.7] [2001:db8::7]"),
        ("v4.example", "[192.0.2.8] []"),
        ("nowhere.example", "[] []"),
        ("192.0.2.9", "[192.0.2.9] []"),
        ("not..a..name", "[] []"),
    ] {
        assert_eq!(client.get(&format!("/{name}")).await.text(), expected, "{name}");
    }
    // What was asked a moment ago is not asked again.
    let asked = dns.queries();
    assert_eq!(client.get("/nowhere.example").await.text(), "[] []");
    assert_eq!(dns.queries(), asked);
    for mode in [Mode::ServFail, Mode::Refused, Mode::Garbage] {
        dns.mode(mode);
        let name = format!("/{mode:?}.example");
        assert_eq!(client.get(&name).await.text(), "[] []", "{mode:?}");
    }
    // A name server that says nothing holds up this request only, and not for long.
    dns.mode(Mode::Drop);
    let mut waiting = Client::connect(port.address()).await;
    let asked = dns.queries().0;
    waiting.send(request("GET", "/silent.example", &[], b"")).await;
    eventually("the question", async || (dns.queries().0 > asked).then_some(())).await;
    assert_eq!(client.get("/192.0.2.9").await.text(), "[192.0.2.9] []");
    let (least, most) = (Duration::ZERO, Duration::from_secs(15));
    assert_eq!(takes(least, most, waiting.response()).await.text(), "[] []");
    let failed = tidegate.metric("tidegate_rule_names_total{outcome=\"failed\"}").await;
    assert!(failed >= 6, "{failed}");
    assert_eq!(node.requests(), 0);
    tidegate.stop().await;
}

/// A client that has sent all it has to say still waits for its answer, whatever its rule waits for.
#[tokio::test]
async fn a_client_that_has_finished_sending_gets_its_answer() {
    let node = Node::start("n").await;
    let rules = Rules {
        request: r#"if( http.getPath() == "/sleep" ) connection.sleep( 700 ); http.getBody();"#,
        response: "connection.sleep( 300 );",
        ..Rules::default()
    };
    let site = site(&[node.address], rules).await;
    for (path, body) in [("/sleep", &b""[..]), ("/", b"body")] {
        let mut client = site.client().await;
        client.send(request("POST", path, &[], body)).await;
        client.finish().await;
        let response = client.response_to("POST").await;
        assert_eq!((response.status, response.node()), (200, "n"), "{path}");
    }
    site.tidegate.stop().await;
}

fn latin_body(request: &tidegate_harness::node::Received) -> String {
    tidegate_harness::wire::latin(&request.body.data)
}

/// Rules are exchanged under load: every request is served by the old ones or the new ones.
#[tokio::test]
async fn rules_change_under_load() {
    let node = Node::start("n").await;
    let script = |n: u32| format!("http.setHeader( \"X-Version\", \"{n}\" ); data.set( \"x\", {n} );");
    let respond = |n: u32| {
        format!("http.setResponseHeader( \"X-Version\", http.getHeader( \"X-Version\" ) . \"{n}\" );")
    };
    let (first, answer) = (script(0), respond(0));
    let rules = Rules { request: &first, response: &answer, ..Rules::default() };
    let mut site = site(&[node.address], rules).await;
    let mut plan = tidegate_harness::load::Plan::new(site.address);
    (plan.rate, plan.connections) = (300, 12);
    let load = tidegate_harness::load::Load::start(&plan);
    for version in 1..=5 {
        let (script, answer) = (script(version), respond(version));
        let rules = Rules { request: &script, response: &answer, ..Rules::default() };
        let document: Document =
            rules.into_document(site.document(&[node.address], &rules.properties(), &json!({})));
        site.tidegate.document(&document).await;
        eventually("the new rules", async || {
            (site.get("/").await.header("X-Version") == Some(format!("{version}{version}").as_str()))
                .then_some(())
        })
        .await;
        load.run_for(Duration::from_millis(200)).await;
    }
    let report = load.finish().await;
    assert_eq!(report.failed(), 0, "{report}\n{}", site.tidegate.log());
    assert!(report.ok > 100, "{report}");
    site.tidegate.stop().await;
}
