//! The REST interface of the real binary: what it writes serves, stays, and never halves.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tidegate_harness::{
    Client, Document, Node, Port, Setup, Tidegate, Value,
    document::table,
    json,
    rest::{ACTIVE, PASSWORD, Rest, STATUS, body},
    tls::{self, Pair, Version},
    volume::Volume,
    wait::eventually_within,
};

/// No documents, the interface on a port the system chooses.
fn setup(state: Option<&Path>) -> Setup {
    on(Setup::of(Volume::new()), state)
}

fn on(setup: Setup, state: Option<&Path>) -> Setup {
    let setup = setup.arguments(&["--rest", "127.0.0.1:0"]).variable("TIDEGATE_ADMIN_PASSWORD", PASSWORD);
    match state {
        Some(state) => setup.arguments(&["--state-dir", state.to_str().unwrap()]),
        None => setup,
    }
}

fn server(port: &Port, pool: &str) -> Value {
    json!({ "basic": {
        "enabled": true, "port": port.number(), "pool": pool,
        "listen_on_any": false, "listen_on_hosts": ["127.0.0.1"],
    } })
}

async fn serves(port: &Port) -> String {
    Client::connect(port.address()).await.get("/").await.node().to_owned()
}

#[tokio::test]
async fn a_pool_and_a_virtual_server_serve_when_the_answer_is_there_and_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let port = Port::free();
    let mut tidegate = setup(Some(state.path())).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    // The virtual server first: it may name a pool that comes later.
    assert_eq!(rest.put("virtual_servers/site", &server(&port, "web")).await.status, 201);
    let faults = body(&rest.get(&format!("{STATUS}/state")).await)["state"].clone();
    assert_eq!(faults["error_level"], "error");
    assert!(faults["errors"].to_string().contains("virtual_servers.site.properties.basic.pool"), "{faults}");
    rest.write("pools/web", &json!({ "basic": { "nodes_table": table(&[a.address]) } })).await;
    assert_eq!(serves(&port).await, "a");
    let state_now = body(&rest.get(&format!("{STATUS}/state")).await)["state"].clone();
    assert_eq!(state_now["error_level"], "ok", "{state_now}");
    assert_eq!(state_now["pools"][0]["active_nodes"], json!([a.address.to_string()]));
    assert_eq!(state_now["virtual_servers"][0]["name"], "site");

    for (node, label) in [(&b, "b"), (&a, "a"), (&b, "b")] {
        rest.write("pools/web", &json!({ "basic": { "nodes_table": table(&[node.address]) } })).await;
        assert_eq!(serves(&port).await, label);
    }
    let before = rest.properties("virtual_servers/site").await;
    tidegate.restart().await;
    let mut rest = Rest::connect(&tidegate).await;
    assert_eq!(serves(&port).await, "b");
    assert_eq!(rest.properties("virtual_servers/site").await, before);
    tidegate.kill_and_restart().await;
    assert_eq!(serves(&port).await, "b");

    let mut rest = Rest::connect(&tidegate).await;
    rest.write("virtual_servers/site", &json!({ "basic": { "enabled": false } })).await;
    tidegate.wait_refused(port.address()).await;
    rest.delete("virtual_servers/site").await;
    rest.delete("pools/web").await;
    assert!(rest.names(&format!("{ACTIVE}/pools")).await.is_empty());
    tidegate.stop().await;
}

#[tokio::test]
async fn a_node_is_drained_by_a_put_and_sessions_stay() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let port = Port::free();
    let tidegate = setup(None).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("persistence/sticky", &json!({ "basic": { "type": "transparent" } })).await;
    let rows = |drained: Option<&Node>| -> Value {
        let row = |node: &Node| {
            let is_drained = drained.is_some_and(|drained| drained.address == node.address);
            json!({ "node": node.address.to_string(), "state": if is_drained { "draining" } else { "active" } })
        };
        json!({ "basic": { "nodes_table": [row(&a), row(&b)] } })
    };
    let mut pool = rows(None);
    pool["basic"]["persistence_class"] = json!("sticky");
    rest.write("pools/web", &pool).await;
    rest.write("virtual_servers/site", &server(&port, "web")).await;

    let first = Client::connect(port.address()).await.get("/").await;
    let (drained, other) = if first.node() == "a" { (&a, "b") } else { (&b, "a") };
    let cookie = format!("Cookie: {}", first.cookie("X-Mapping").expect("a session"));
    rest.write("pools/web", &rows(Some(drained))).await;
    for _ in 0..20 {
        assert_eq!(serves(&port).await, other, "a new visitor");
        let kept = Client::connect(port.address()).await.request("GET", "/", &[&cookie], b"").await;
        assert_eq!(kept.node(), first.node(), "the session");
    }
    let shown = body(&rest.get(&format!("{STATUS}/state")).await);
    assert_eq!(shown["state"]["pools"][0]["draining_nodes"], json!([drained.address.to_string()]));
    // Only the table was written.
    assert_eq!(rest.properties("pools/web").await["basic"]["persistence_class"], "sticky");
    tidegate.stop().await;
}

#[tokio::test]
async fn who_has_no_password_sees_nothing() {
    let tidegate = setup(None).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    let right = rest.authorization.clone();
    for method in ["HEAD", "GET"] {
        for path in ["/", "/api", "/api/tm/8.3/", &format!("{ACTIVE}/pools/"), "/blah"] {
            rest.authorization = String::new();
            assert_eq!(rest.ask(method, path, "text/plain", b"").await.status, 401, "{method} {path}");
            rest.authorization.clone_from(&right);
            let expected = if path == "/blah" { 404 } else { 200 };
            let response = rest.ask(method, path, "text/plain", b"").await;
            assert_eq!(response.status, expected, "{method} {path}");
            assert!(method == "GET" || response.body.data.is_empty());
        }
    }
    rest.authorization = "Authorization: Basic YWRtaW46d3Jvbmc=".to_owned();
    let refused = rest.put("pools/web", &json!({})).await;
    assert_eq!((refused.status, &body(&refused)["error_id"]), (401, &json!("auth.invalid")));
    assert!(refused.header("WWW-Authenticate").is_some());
    // Guessing slows down and does not lock out who knows the password.
    let start = Instant::now();
    let mut refused = 0;
    for number in 0..8 {
        rest.authorization = basic(&format!("guess {number}"));
        let answer = rest.get("/api").await;
        assert_eq!(answer.header("Connection"), Some("close"));
        refused = answer.status;
    }
    assert!(refused == 429 || start.elapsed() > Duration::from_millis(500), "{refused}");
    rest.authorization = right;
    assert_eq!(rest.get("/api").await.status, 200);
    assert!(rest.names(&format!("{ACTIVE}/pools")).await.is_empty());
    tidegate.stop().await;
}

#[tokio::test]
async fn bad_bodies_are_refused_and_change_nothing() {
    let node = Node::start("a").await;
    let port = Port::free();
    let tidegate = setup(None).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("pools/web", &json!({ "basic": { "nodes_table": table(&[node.address]) } })).await;
    rest.write("virtual_servers/site", &server(&port, "web")).await;
    let before = rest.properties("virtual_servers/site").await;
    let object = format!("{ACTIVE}/virtual_servers/site");
    let deep = format!("{{\"properties\":{}", "[".repeat(100_000));
    for (media_type, bytes, status) in [
        ("application/json", b"{".as_slice(), 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", deep.as_bytes(), 400),
        ("application/json", br#"{"properties":{"basic":{"port":0}}}"#, 400),
        ("application/json", br#"{"properties":{"basic":{"port":70000}}}"#, 400),
        ("application/json", br#"{"properties":{"basic":{"enabled":false,"port":"80"}}}"#, 400),
        ("application/json", br#"{"properties":{"basic":{"enabled":false}},"more":1}"#, 400),
        ("text/xml", b"<x/>", 415),
    ] {
        let response = rest.ask("PUT", &object, media_type, bytes).await;
        assert_eq!(response.status, status, "{}", response.text());
        assert!(body(&response)["error_info"].is_object(), "{}", response.text());
        assert_eq!(rest.properties("virtual_servers/site").await, before);
    }
    // A body over its bound ends the connection at the latest.
    let mut large = Rest::connect(&tidegate).await;
    large.send("PUT", &object, "application/json", &vec![b' '; 9 << 20]).await;
    let refused = large.response("PUT").await.map_or(413, |response| response.status);
    assert_eq!(refused, 413);
    assert_eq!(serves(&port).await, "a");
    tidegate.stop().await;
}

#[tokio::test]
async fn documents_lie_below_and_their_next_import_undoes() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let port = Port::free();
    let document = |note: &str| {
        Document::new().server("site", port.number(), "web", &json!({})).pool(
            "web",
            &[a.address],
            &json!({ "basic": { "note": note } }),
        )
    };
    let state = tempfile::tempdir().unwrap();
    let mut tidegate = on(Setup::new(&document("one")), Some(state.path())).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    let answer = rest.write("pools/web", &json!({ "basic": { "nodes_table": table(&[b.address]) } })).await;
    assert!(answer.header("Tidegate-Notice").unwrap().starts_with("undone-by-next-import;"), "{answer:?}");
    assert_eq!(serves(&port).await, "b");
    // A restart with the same documents is no import of others.
    tidegate.restart().await;
    assert_eq!(serves(&port).await, "b");
    tidegate.change(|volume| volume.set("config/10-test", document("two").to_string()));
    eventually_within(Duration::from_secs(5), "the documents to serve", async || {
        (serves(&port).await == "a").then_some(())
    })
    .await;
    let mut rest = Rest::connect(&tidegate).await;
    assert_eq!(rest.properties("pools/web").await["basic"]["note"], "two");
    // What was undone can be had back.
    let undone = format!("{STATUS}/backups/full/undone-by-import?restore");
    let restored = rest.ask("PUT", &undone, "application/json", br#"{"properties":{}}"#).await;
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(serves(&port).await, "b");
    // A document that does not compile undoes nothing.
    tidegate.change(|volume| volume.set("config/20-bad", "pools: {"));
    tidegate.line(&["not imported", "the last good documents keep serving"]).await;
    assert_eq!(serves(&port).await, "b");
    let shown = body(&rest.get(&format!("{STATUS}/state")).await);
    assert!(shown["state"]["errors"].to_string().contains("config/20-bad"), "{shown}");
    tidegate.stop().await;
}

#[tokio::test]
async fn a_thousand_puts_at_once_all_count() {
    const CONNECTIONS: usize = 20;
    const EACH: usize = 50;
    let tidegate = setup(None).start().await;
    let address = Rest::address(&tidegate).await;
    let writers = (0..CONNECTIONS).map(|writer| async move {
        let mut rest = Rest::to(address).await;
        for number in 0..EACH {
            let name = format!("pools/{writer}-{number}");
            let body = json!({ "properties": { "basic": { "note": name } } }).to_string();
            rest.send("PUT", &format!("{ACTIVE}/{name}"), "application/json", body.as_bytes()).await;
        }
        for number in 0..EACH {
            let response = rest.response("PUT").await.unwrap();
            assert_eq!(response.status, 201, "{}", response.text());
            assert_eq!(body(&response)["properties"]["basic"]["note"], format!("pools/{writer}-{number}"));
        }
    });
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    writers.for_each(|writer| drop(tasks.spawn(writer)));
    tasks.join_all().await;
    println!("{} PUTs in {:?}", CONNECTIONS * EACH, start.elapsed());
    let mut rest = Rest::to(address).await;
    assert_eq!(rest.names(&format!("{ACTIVE}/pools")).await.len(), CONNECTIONS * EACH);
    tidegate.stop().await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_writes_leaves_the_old_or_the_new() {
    let state = tempfile::tempdir().unwrap();
    let mut tidegate = setup(Some(state.path())).start().await;
    let mut acknowledged = BTreeSet::new();
    let mut sent = 0;
    for round in 0..6_u64 {
        let mut rest = Rest::connect(&tidegate).await;
        let kill = tokio::time::sleep(Duration::from_millis(60 + 35 * round));
        tokio::pin!(kill);
        loop {
            let name = format!("p{sent:05}");
            let body = json!({ "properties": { "basic": { "note": name } } }).to_string();
            let write = async {
                rest.send("PUT", &format!("{ACTIVE}/pools/{name}"), "application/json", body.as_bytes())
                    .await;
                rest.response("PUT").await
            };
            sent += 1;
            tokio::select! {
                biased;
                () = &mut kill => break,
                response = write => {
                    if response.is_ok_and(|response| response.status == 201) {
                        acknowledged.insert(name);
                    }
                }
            }
        }
        tidegate.kill_and_restart().await;
        let mut rest = Rest::connect(&tidegate).await;
        let found: BTreeSet<String> = rest.names(&format!("{ACTIVE}/pools")).await.into_iter().collect();
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and gone after kill {round}: {lost:?}");
        // What was not acknowledged is there whole or not at all.
        for name in found.difference(&acknowledged) {
            let shown = rest.properties(&format!("pools/{name}")).await;
            assert_eq!(shown["basic"]["note"], name.as_str());
        }
        acknowledged = found;
    }
    assert!(acknowledged.len() > 6, "{} writes in all rounds", acknowledged.len());
    // A newest generation that is broken is passed over. (`….new` is what a kill left of one that was being written.)
    let newest = fs::read_dir(state.path().join("rest"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("generation-"))
        .filter(|path| path.extension().is_none())
        .max()
        .unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    tidegate.kill_and_restart().await;
    tidegate.line(&["cannot be used", "the generation before it counts"]).await;
    let mut rest = Rest::connect(&tidegate).await;
    assert_eq!(rest.names(&format!("{ACTIVE}/pools")).await.len(), acknowledged.len() - 1);
    tidegate.stop().await;
}

#[tokio::test]
async fn without_tls_and_with_a_generated_password() {
    let state = tempfile::tempdir().unwrap();
    let start = || {
        Setup::of(Volume::new()).arguments(&[
            "--rest",
            "127.0.0.1:0",
            "--rest-plain",
            "--state-dir",
            state.path().to_str().unwrap(),
        ])
    };
    let tidegate = start().variable("ZEUS_PASS", "STRONG").start().await;
    let line = tidegate.line(&["Generated random password for vTM: "]).await;
    let password = line.rsplit("vTM: ").next().unwrap().to_owned();
    assert_eq!(password.len(), 16, "{line}");
    let check = async |tidegate: &Tidegate| {
        let mut rest = Rest::plain(Rest::address(tidegate).await).await;
        assert_eq!(rest.get("/api").await.status, 401);
        rest.authorization = basic(&password);
        assert_eq!(rest.get("/api").await.status, 200);
    };
    check(&tidegate).await;
    tidegate.stop().await;
    // It stays, and is not told again.
    let tidegate = start().start().await;
    check(&tidegate).await;
    assert!(tidegate.lines(0, &["Generated random password"]).is_empty());
    tidegate.stop().await;
}

/// An `Authorization` line for `admin`.
fn basic(password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in format!("admin:{password}").as_bytes().chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bytes);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            encoded.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    format!("Authorization: Basic {encoded}")
}

#[tokio::test]
async fn backups_leave_and_come_back() {
    let state = tempfile::tempdir().unwrap();
    let mut tidegate = setup(Some(state.path())).start().await;
    let mut rest = Rest::connect(&tidegate).await;
    rest.write("pools/web", &json!({ "basic": { "note": "before" } })).await;
    let one = format!("{STATUS}/backups/full/one");
    let about = br#"{"properties":{"backup":{"description":"d"}}}"#;
    assert_eq!(rest.ask("PUT", &one, "application/json", about).await.status, 201);
    rest.write("pools/web", &json!({ "basic": { "note": "after" } })).await;
    tidegate.restart().await;
    let mut rest = Rest::connect(&tidegate).await;
    assert_eq!(rest.names(&format!("{STATUS}/backups/full")).await, ["one"]);
    let restore = format!("{one}?restore");
    assert_eq!(rest.ask("PUT", &restore, "application/json", br#"{"properties":{}}"#).await.status, 200);
    assert_eq!(rest.properties("pools/web").await["basic"]["note"], "before");
    assert_eq!(rest.ask("DELETE", &one, "text/plain", b"").await.status, 204);
    assert_eq!(rest.get(&one).await.status, 404);
    tidegate.stop().await;
}

#[tokio::test]
async fn the_certificate_of_the_interface_is_renewed_without_a_restart() {
    let (old, new) = (Pair::ecdsa(&["old"]), Pair::ecdsa(&["new"]));
    let certificates = tempfile::tempdir().unwrap();
    let path = |name: &str| certificates.path().join(name);
    let write = |certificate: &str, key: &str| {
        fs::write(path("tls.crt"), certificate).unwrap();
        fs::write(path("tls.key"), key).unwrap();
    };
    write(&old.certificate, &old.key);
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let files = ["--rest-certificate", certificate.to_str().unwrap(), "--rest-key", key.to_str().unwrap()];
    let tidegate = setup(None).arguments(&files).start().await;
    let address = Rest::address(&tidegate).await;
    let shown = async || {
        let stream = Client::tls_stream(address, &tls::client(Version::Both), "localhost").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    assert!(shown().await == old.der());
    let mut kept = Rest::connect(&tidegate).await;
    // Half of the renewal: the old pair stays, and the reason is told.
    write(&new.certificate, &old.key);
    tidegate.line(&["REST: the certificate stays as it was", "tls.crt"]).await;
    assert!(shown().await == old.der());
    write(&new.certificate, &new.key);
    tidegate.line(&["REST: the certificate was read again"]).await;
    assert!(shown().await == new.der());
    assert_eq!(kept.get(ACTIVE).await.status, 200, "a connection of before goes on");
    tidegate.stop().await;
}
