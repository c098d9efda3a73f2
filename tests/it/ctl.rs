//! The command line for people over the real interface: what it shows, what it changes in the traffic, and what it says
//! when it cannot.

use std::{collections::BTreeSet, fs, path::Path};

use tidegate_harness::{
    Client, Ctl, Dns, Document, Node, Port, Setup, Site, Tidegate, Value, ctl::file, eventually, json,
    rest::PASSWORD, tls::Authority, volume::Volume, within,
};

fn on(setup: Setup) -> Setup {
    setup.arguments(&["--rest", "127.0.0.1:0"]).variable("TIDEGATE_ADMIN_PASSWORD", PASSWORD)
}

async fn bare() -> (Tidegate, Ctl) {
    let tidegate = on(Setup::of(Volume::new())).start().await;
    let ctl = Ctl::of(&tidegate).await;
    (tidegate, ctl)
}

/// Labels of the nodes that answer some requests.
async fn served(port: &Port) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        let response = Client::connect(port.address()).await.get("/").await;
        seen.insert(if response.status == 200 {
            response.node().to_owned()
        } else {
            response.status.to_string()
        });
    }
    seen
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn objects_are_made_shown_changed_and_deleted() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let port = Port::free();
    let (tidegate, ctl) = bare().await;
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!("basic:\n  nodes_table:\n  - {{ node: \"{}\", weight: \"2\" }}\n", a.address);
    let pool = file(directory.path(), "pool.yaml", yaml);
    assert_eq!(ctl.ok(&["put", "pools/web", &pool]).await, "pools/web is made and serving\n");
    let server = json!({ "properties": { "basic": {
        "enabled": true, "pool": "web", "port": port.number(), "listen_on_any": false,
        "listen_on_hosts": ["127.0.0.1"],
    } } });
    let made =
        ctl.run_with(&["ctl", "put", "virtual_servers/a site", "-"], server.to_string().as_bytes()).await;
    assert_eq!((made.status, made.out.as_str()), (0, "virtual_servers/a site is made and serving\n"));
    assert!(made.err.contains("not-kept"), "{made:?}");
    assert_eq!(served(&port).await, set(&["a"]));

    let rows = format!("basic.nodes_table=[ {{ node: \"{}\" }} ]", b.address);
    let changed = ctl.ok(&["put", "pools/web", "--set", &rows, "--set", "basic.note=no: yaml # here"]).await;
    assert_eq!(changed, "pools/web is changed and serving\n");
    assert_eq!(served(&port).await, set(&["b"]));

    assert!(ctl.ok(&["get"]).await.contains("\nssl/\n"));
    assert_eq!(ctl.ok(&["get", "pools"]).await, "web\n");
    assert_eq!(ctl.ok(&["get", "virtual_servers/"]).await, "a site\n");
    assert_eq!(ctl.ok(&["get", "pools/web/basic/note"]).await, "\"no: yaml # here\"\n");
    assert_eq!(ctl.json(&["get", "virtual_servers/a site/basic/port"]).await, json!(port.number()));
    assert_eq!(ctl.json(&["get", "pools/web"]).await["properties"]["basic"]["note"], "no: yaml # here");
    let table = ctl.ok(&["get", "pools/web", "-o", "table"]).await;
    assert!(table.starts_with("KEY ") && table.contains("\nbasic.nodes_table[0].node"), "{table}");
    assert_eq!(ctl.ok(&["get", "/api"]).await, "tm/\n");
    assert_eq!(ctl.json(&["get", "status/state"]).await["state"]["error_level"], "ok");

    let rule = file(directory.path(), "rule", "http.redirect( \"/\" );\n");
    ctl.ok(&["put", "rules/away", &rule]).await;
    let faulty = file(directory.path(), "faulty", "http.redirct( \"/\" );\n");
    let written = ctl.run(&["ctl", "put", "rules/faulty", &faulty]).await;
    assert_eq!((written.status, written.out.as_str()), (1, "rules/faulty is made\n"), "{written:?}");
    for told in ["does-not-run; line 1 column 1", "http.redirct", "rules/faulty has errors and does not run"]
    {
        assert!(written.err.contains(told), "{written:?}");
    }
    ctl.ok(&["delete", "rules/faulty"]).await;
    assert_eq!(ctl.ok(&["get", "rules/away"]).await, "http.redirect( \"/\" );\n");
    assert_eq!(ctl.ok(&["delete", "rules/away"]).await, "rules/away is deleted\n");
    // What YAML a GET prints can be put again.
    let yaml = ctl.ok(&["get", "pools/web"]).await;
    let again = ctl.run_with(&["ctl", "put", "pools/web", "-", "-o", "yaml"], yaml.as_bytes()).await;
    assert_eq!((again.status, again.out), (0, yaml));

    for (arguments, status, told) in [
        (&["get", "pools/nowhere"][..], 5, "no resource"),
        (&["get", "pool"], 5, "did you mean “pools”"),
        (&["get", "pools/web/basics"], 5, "there are auto_scaling, basic"),
        (&["delete", "pools/nowhere"], 5, "no object “nowhere”"),
        (&["delete", "pools/web/basic"], 2, "whole objects"),
        (&["put", "pools/web", "--set", "basic.nte=x"], 2, "did you mean “note”"),
        (&["put", "pools/web", "--set", "basic.note"], 2, "section.key=value"),
        (&["put", "pools/web", "/nowhere"], 2, "/nowhere"),
        (&["put", "pools/web"], 2, "--set"),
        (&["put", "rules/r", "--set", "a.b=c"], 2, "content"),
        (&["put", "virtual_servers/x", "--set", "basic.port=70000"], 2, "basic.port"),
        (&["put", "virtual_servers/x", "--set", "basic.port=80"], 1, "basic.pool"),
        (&["delete", "global_settings"], 1, "GET"),
    ] {
        ctl.run(&[&["ctl"], arguments].concat()).await.fails(status, told);
    }
    let wrong = ctl.run_with(&["ctl", "put", "pools/web", "-"], br#"{"basic": {"note": 5, "no": 1}}"#).await;
    wrong.fails(1, "basic.note: ");
    wrong.fails(1, "basic.no: ");
    tidegate.stop().await;
}

#[tokio::test]
async fn nodes_of_the_table_are_drained_disabled_and_put_back_in_the_traffic() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let site = Site::set_up(
        |port| {
            Document::new()
                .server("site", port, "nodes", &json!({}))
                .pool(
                    "nodes",
                    &[a.address, b.address],
                    &json!({ "basic": { "persistence_class": "sticky" } }),
                )
                .add("persistence", "sticky", json!({ "basic": { "type": "transparent" } }))
        },
        on,
    )
    .await;
    let ctl = Ctl::of(&site.tidegate).await;
    let (at_a, at_b) = (a.address.to_string(), b.address.to_string());
    let session = eventually("a session at a", async || {
        let response = site.get("/").await;
        (response.node() == "a").then(|| response.cookie("X-Mapping").unwrap())
    })
    .await;
    let cookie = format!("Cookie: {session}");
    let new_visitors = async || {
        let mut seen = BTreeSet::new();
        for _ in 0..8 {
            seen.insert(site.get("/").await.node().to_owned());
        }
        seen
    };

    let shown = ctl.ok(&["nodes", "nodes"]).await;
    assert!(shown.starts_with("POOL   NODE") && shown.contains(&format!("nodes  {at_a}")), "{shown}");
    assert!(shown.contains("table") && shown.contains("takes requests"), "{shown}");

    let drained = ctl.run(&["ctl", "drain", "nodes", &at_a]).await;
    assert_eq!((drained.status, drained.out), (0, format!("{at_a} is draining in the pool nodes\n")));
    assert!(drained.err.contains("undone-by-next-import"), "{}", drained.err);
    assert_eq!(new_visitors().await, set(&["b"]));
    assert_eq!(site.request("GET", "/", &[&cookie], b"").await.node(), "a", "its session goes on");
    let all = ctl.json(&["nodes"]).await;
    let nodes = all[0]["nodes"].as_array().unwrap();
    let row = nodes.iter().find(|node| node["node"] == at_a).unwrap();
    assert_eq!(
        (&row["state"], &row["eligible"], &row["origin"]),
        (&json!("draining"), &json!(false), &json!("table"))
    );
    assert!(row["requests"].as_u64().unwrap() > 0, "{row}");

    assert_eq!(
        ctl.ok(&["drain", "nodes", &at_a]).await,
        format!("{at_a} is draining already in the pool nodes\n")
    );
    ctl.ok(&["disable", "nodes", &at_a]).await;
    assert_eq!(site.request("GET", "/", &[&cookie], b"").await.node(), "b");
    ctl.ok(&["undrain", "nodes", &at_a]).await;
    assert_eq!(new_visitors().await, set(&["a", "b"]));
    ctl.ok(&["forget", "nodes", &at_b]).await;
    assert_eq!(new_visitors().await, set(&["a"]));
    ctl.ok(&["enable", "nodes", &at_a]).await;

    ctl.run(&["ctl", "drain", "nodes", "127.0.0.1:1"]).await.fails(5, &at_a);
    ctl.run(&["ctl", "drain", "elsewhere", &at_a]).await.fails(5, "elsewhere");
    ctl.run(&["ctl", "nodes", "elsewhere"]).await.fails(5, "elsewhere");
    site.tidegate.stop().await;
}

const SERVICE: &str = "_http._tcp.svc.ns.svc.cluster.local";

#[tokio::test]
async fn a_node_of_discovery_is_drained_by_a_row_that_undrain_takes_out_again() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let dns = Dns::start().await;
    dns.service(SERVICE, &[a.address, b.address]);
    let arguments = format!("--servicename={SERVICE}. --nameserver={}", dns.address);
    let port = Port::free();
    let document = Document::new().server("site", port.number(), "nodes", &json!({})).discovered(
        "nodes",
        &arguments,
        &json!({}),
    );
    let tidegate = on(Setup::new(&document)).start().await;
    let ctl = Ctl::of(&tidegate).await;
    eventually("both nodes", async || (served(&port).await == set(&["a", "b"])).then_some(())).await;
    let at_a = a.address.to_string();
    let of_a = async || -> Value {
        let pool = ctl.json(&["nodes", "nodes"]).await;
        pool["nodes"].as_array().unwrap().iter().find(|node| node["node"] == at_a).unwrap().clone()
    };
    assert_eq!(of_a().await["origin"], "discovery");
    let drained = ctl.run(&["ctl", "drain", "nodes", &at_a]).await;
    assert!(drained.status == 0 && drained.err.contains("undrain nodes"), "{drained:?}");
    assert_eq!(served(&port).await, set(&["b"]));
    let now = of_a().await;
    assert_eq!((&now["origin"], &now["state"]), (&json!("both"), &json!("draining")));
    ctl.ok(&["undrain", "nodes", &at_a]).await;
    assert_eq!(of_a().await["origin"], "discovery");
    assert_eq!(ctl.json(&["get", "pools/nodes/basic/nodes_table"]).await, json!([]));
    assert_eq!(served(&port).await, set(&["a", "b"]));
    tidegate.stop().await;
}

#[tokio::test]
async fn statistics_and_events_are_shown_and_followed() {
    let node = Node::start("a").await;
    let site = Site::set_up(
        |port| {
            Document::new().server("site", port, "nodes", &json!({})).pool(
                "nodes",
                &[node.address],
                &json!({}),
            )
        },
        on,
    )
    .await;
    let ctl = Ctl::of(&site.tidegate).await;
    for _ in 0..3 {
        site.get("/").await;
    }
    let groups = ctl.ok(&["stats"]).await;
    for group in ["globals", "pools", "nodes/node", "virtual_servers"] {
        assert!(groups.lines().any(|line| line == group), "{group} in {groups}");
    }
    let counters = ctl.json(&["stats", "virtual_servers", "site"]).await;
    assert_eq!(counters["total_http_requests"], 3);
    let table = ctl.ok(&["stats", "virtual_servers"]).await;
    assert!(
        table.lines().any(|line| line.split_whitespace().eq(["site", "total_http_requests", "3"])),
        "{table}"
    );
    assert!(table.contains("zeros are left out"), "{table}");
    assert!(ctl.ok(&["stats", "globals"]).await.starts_with("COUNTER"));
    assert!(ctl.json(&["stats", "nodes/node"]).await[node.address.to_string()].is_object());
    ctl.run(&["ctl", "stats", "nonsense"]).await.fails(5, "lists the groups");
    ctl.run(&["ctl", "stats", "pools", "nonsense"]).await.fails(5, "nonsense");

    let events = ctl.json(&["events"]).await;
    let started = events.as_array().unwrap().iter().find(|event| event["tag"] == "vsstart").unwrap();
    assert_eq!((&started["object"], &started["level"]), (&json!("site"), &json!("INFO")));
    assert!(ctl.ok(&["events"]).await.starts_with("TIME "));
    assert_eq!(ctl.json(&["events", "--last", "1"]).await.as_array().unwrap().len(), 1);
    let (child, mut lines) = ctl.follow(&["events", "--follow", "--last", "0"]);
    // It is connected when it has asked once; another event comes until one is seen.
    let line = within("an event", async {
        loop {
            ctl.ok(&["put", "virtual_servers/site", "--set", "basic.enabled=false"]).await;
            ctl.ok(&["put", "virtual_servers/site", "--set", "basic.enabled=true"]).await;
            let wait = std::time::Duration::from_secs(2);
            if let Ok(line) = tokio::time::timeout(wait, lines.next_line()).await {
                return line.unwrap().unwrap();
            }
        }
    })
    .await;
    assert!(line.contains("vsst") && line.contains("site"), "{line}");
    drop(child);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_request_is_explained_and_no_node_hears_of_it() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let site = Site::set_up(
        |port| {
            Document::new()
                .server("site", port, "nodes", &json!({ "basic": {
                    "request_rules": ["api", "/off"], "response_rules": ["later"],
                } }))
                .pool("nodes", &[a.address], &json!({ "basic": { "persistence_class": "sticky" } }))
                .pool("api", &[b.address], &json!({}))
                .add("persistence", "sticky", json!({ "basic": { "type": "transparent" } }))
                .raw("rules", "api", "if( http.getPath() == \"/api\" ) pool.use( \"api\" );\nif( http.getHeader( \"X\" ) == \"1\" ) http.redirect( \"/y\" );")
                .raw("rules", "off", "connection.discard();")
                .raw("rules", "later", "http.setResponseHeader( \"X\", \"y\" );")
        },
        on,
    )
    .await;
    let ctl = Ctl::of(&site.tidegate).await;
    let url = |path: &str| format!("http://site.example:{}{path}", site.port());
    let first = ctl.json(&["explain", &url("/")]).await;
    assert_eq!(first["virtual_server"], "site");
    assert_eq!(first["node"], a.address.to_string());
    assert_eq!(first["pools"][0]["persistence"], json!({ "class": "sticky", "type": "transparent" }));
    let states: Vec<_> =
        first["rules"].as_array().unwrap().iter().map(|rule| rule["state"].clone()).collect();
    assert_eq!(states, ["ran", "off", "later"]);
    let api = ctl.json(&["explain", &url("/api")]).await;
    assert_eq!(api["node"], b.address.to_string());
    assert_eq!(api["rules"][0]["outcome"], "pool api; ends the request rules");
    let away = ctl.ok(&["explain", &url("/"), "-H", "X: 1", "-X", "POST", "--client", "10.1.2.3"]).await;
    assert!(away.contains("A rule answers it: a reply: 302"), "{away}");
    assert!(
        ctl.ok(&["explain", "http://other/", "--virtual-server", "site"])
            .await
            .contains("virtual server site")
    );
    ctl.run(&["ctl", "explain", "http://other:1/"]).await.fails(1, "no virtual server listens there");
    ctl.run(&["ctl", "explain", "other"]).await.fails(1, "http://");
    assert_eq!((a.requests(), b.requests()), (0, 0), "nothing was sent");

    // A session is found by its cookie, and what it says is what then happens.
    let response = site.get("/").await;
    let cookie = format!("Cookie: {}", response.cookie("X-Mapping").unwrap());
    let sticky = ctl.json(&["explain", &url("/"), "-H", &cookie]).await;
    assert_eq!(sticky["pools"][0]["session"], format!("a session of {}", a.address));
    assert!(sticky["verdict"].as_str().unwrap().contains("session of the request"), "{sticky}");
    site.tidegate.stop().await;
}

/// Everything the interface shows of the configuration.
async fn whole_tree(ctl: &Ctl) -> Value {
    let export = ctl.run(&["export", "-o", "yaml", "--secrets", "clear"]).await;
    assert_eq!(export.status, 0, "{export:?}");
    let mut shown = serde_json::Map::new();
    for collection in
        ["pools", "virtual_servers", "persistence", "monitors", "ssl/server_keys", "rules", "extra_files"]
    {
        for name in ctl.ok(&["get", collection]).await.lines() {
            let path = format!("{collection}/{name}");
            shown.insert(path.clone(), json!(ctl.ok(&["get", &path]).await));
        }
    }
    shown.insert("global_settings".to_owned(), ctl.json(&["get", "global_settings"]).await);
    json!([export.out, shown])
}

async fn import(base: &Path) -> (Tidegate, Ctl) {
    let check = Ctl::default().run(&["check", base.to_str().unwrap()]).await;
    assert!(check.status == 0 && check.out.contains(" 0 errors"), "{check:?}");
    let mut volume = Volume::new();
    volume.set("config/10-export", fs::read(base.join("config/10-export")).unwrap());
    for entry in fs::read_dir(base.join("secrets")).into_iter().flatten() {
        let path = entry.unwrap().path();
        volume.set(
            &format!("secrets/{}", path.file_name().unwrap().to_str().unwrap()),
            fs::read(&path).unwrap(),
        );
    }
    let tidegate = on(Setup::of(volume)).start().await;
    let ctl = Ctl::of(&tidegate).await;
    (tidegate, ctl)
}

#[tokio::test]
async fn an_export_imported_is_the_same_again() {
    let node = Node::start("a").await;
    let authority = Authority::new("authority");
    let pair = authority.issue(&["site.example"]);
    let port = Port::free();
    let document = Document::new()
        .server(
            "site",
            port.number(),
            "nodes",
            &json!({ "basic": { "request_rules": ["r"], "note": "ü: \"x\" #\n" } }),
        )
        .pool(
            "nodes",
            &[node.address],
            &json!({ "basic": { "monitors": ["Ping"], "persistence_class": "sticky" } }),
        )
        .add("persistence", "sticky", json!({ "basic": { "type": "transparent" } }))
        .add("monitors", "Ping", json!({ "basic": { "delay": 9 } }))
        .key("site: 1", &pair.certificate, &pair.key)
        .raw("rules", "r", "# a comment\n\nif( 0 ) {\n\thttp.redirect( \"/\" );\n}")
        .with(&json!({ "global_settings": { "properties": { "connection": { "listen_queue_size": 99 } } } }));
    let tidegate = on(Setup::new(&document)).start().await;
    let ctl = Ctl::of(&tidegate).await;
    // REST has its part in it too.
    ctl.ok(&["put", "pools/nodes", "--set", "basic.note=written"]).await;
    ctl.ok(&["put", "pools/other", "--set", "basic.max_idle_connections_pernode=7"]).await;
    let before = whole_tree(&ctl).await;

    let closed = ctl.run(&["export"]).await;
    assert!(closed.status == 0 && !closed.out.contains("PRIVATE KEY"), "{closed:?}");
    assert!(
        closed.err.contains("secrets/ssl.server_keys.site%3A%201.basic.private has to hold"),
        "{}",
        closed.err
    );

    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("config")).unwrap();
    let with_files = ctl.run(&["export", "--secrets-to", base.path().to_str().unwrap()]).await;
    assert_eq!((with_files.status, &with_files.out), (0, &closed.out));
    fs::write(base.path().join("config/10-export"), &with_files.out).unwrap();
    let offline = Ctl::default().run(&["export", "--base", base.path().to_str().unwrap()]).await;
    assert_eq!((offline.status, &offline.out), (0, &closed.out), "{}", offline.err);
    tidegate.stop().await;

    let (second, ctl) = import(base.path()).await;
    assert_eq!(whole_tree(&ctl).await, before);
    assert_eq!(served(&port).await, set(&["a"]));
    let clear = ctl.run(&["export", "--secrets", "clear", "-o", "json"]).await;
    assert!(clear.out.contains("PRIVATE KEY"));
    second.stop().await;

    fs::remove_dir_all(base.path().join("secrets")).unwrap();
    fs::write(base.path().join("config/10-export"), &clear.out).unwrap();
    let (third, ctl) = import(base.path()).await;
    assert_eq!(whole_tree(&ctl).await, before);
    third.stop().await;
}

#[tokio::test]
async fn who_cannot_be_reached_or_believed_is_told_with_a_status_of_its_own() {
    let state = tempfile::tempdir().unwrap();
    let setup = on(Setup::of(Volume::new())).arguments(&["--state-dir", state.path().to_str().unwrap()]);
    let tidegate = setup.start().await;
    let ctl = Ctl::of(&tidegate).await;
    let get = ["ctl", "get", "pools"];
    let wrong = ctl.clone().variable("TIDEGATE_ADMIN_PASSWORD", "wrong").run(&get).await;
    wrong.fails(4, "TIDEGATE_ADMIN_PASSWORD is wrong");
    ctl.clone().variable("TIDEGATE_ADMIN_PASSWORD", "").run(&get).await.fails(4, "no password is given");
    ctl.run(&["ctl", "get", "pools", "--user", "bob"]).await.fails(4, "does not let bob in");

    let port = Port::free();
    let nobody =
        ctl.clone().variable("TIDEGATE_CTL_URL", &format!("https://{}", port.address())).run(&get).await;
    nobody.fails(3, "is Tidegate running there");
    ctl.run(&["ctl", "get", "--url", "https://no.such.host.invalid:1"]).await.fails(3, "no connection");
    ctl.run(&["ctl", "get", "--url", "ftp://x"]).await.fails(2, "https://");
    let metrics = format!("https://{}", tidegate.metrics());
    ctl.run(&["ctl", "get", "--url", &metrics]).await.fails(3, "TLS");

    let strict = ctl.clone().variable("TIDEGATE_CTL_INSECURE", "");
    strict.run(&get).await.fails(3, "SHA-256 fingerprint");
    let certificate = state.path().join("rest/tls.pem");
    let certificate = certificate.to_str().unwrap();
    for arguments in [["--ca", certificate], ["--state-dir", state.path().to_str().unwrap()]] {
        let trusted = strict.run(&[&get[..], &arguments].concat()).await;
        assert_eq!(trusted.status, 0, "{trusted:?}");
    }
    let own = strict.clone().variable("TIDEGATE_STATE_DIR", state.path().to_str().unwrap()).run(&get).await;
    assert_eq!(own.status, 0, "{own:?}");
    let directory = tempfile::tempdir().unwrap();
    let other = file(directory.path(), "ca.pem", Authority::new("other").certificate);
    strict.run(&[&get[..], &["--ca", &other]].concat()).await.fails(3, "neither it nor its authority");
    strict.run(&[&get[..], &["--ca", "/nowhere"]].concat()).await.fails(2, "/nowhere");

    let password = file(directory.path(), "password", format!("{PASSWORD}\n"));
    let by_file = ctl
        .clone()
        .variable("TIDEGATE_ADMIN_PASSWORD", "")
        .run(&[&get[..], &["--password-file", &password]].concat())
        .await;
    assert_eq!(by_file.status, 0, "{by_file:?}");
    tidegate.stop().await;
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_trusted_for_the_hosts_it_names() {
    let authority = Authority::new("authority");
    let directory = tempfile::tempdir().unwrap();
    let ca = file(directory.path(), "ca.pem", &authority.certificate);
    for (host, status, told) in [("127.0.0.1", 0, ""), ("tm.example", 3, "not valid for name")] {
        let pair = authority.issue(&[host]);
        let certificate = file(directory.path(), "certificate.pem", &pair.certificate);
        let key = file(directory.path(), "key.pem", &pair.key);
        let files = ["--rest-certificate", &certificate, "--rest-key", &key];
        let tidegate = on(Setup::of(Volume::new())).arguments(&files).start().await;
        let ctl = Ctl::of(&tidegate).await.variable("TIDEGATE_CTL_INSECURE", "");
        let said = ctl.run(&["ctl", "get", "pools", "--ca", &ca]).await;
        assert!(said.status == status && said.err.contains(told), "{host}: {said:?}");
        tidegate.stop().await;
    }
}

#[tokio::test]
async fn completion_and_help_need_no_server() {
    let ctl = Ctl::default();
    for shell in ["bash", "zsh", "fish"] {
        let said = ctl.run(&["completion", shell]).await;
        assert!(said.status == 0 && said.out.contains("explain"), "{shell}: {}", said.err);
    }
    ctl.run(&["completion", "cmd"]).await.fails(2, "bash");
    let help = ctl.run(&["ctl", "--help"]).await;
    assert!(help.status == 0 && help.out.contains("Exit status:") && help.out.contains("TIDEGATE_CTL_URL"));
    // The script is one that the shell takes.
    let script = ctl.run(&["completion", "bash"]).await.out;
    let directory = tempfile::tempdir().unwrap();
    let script = file(directory.path(), "completion.bash", script);
    let checked = std::process::Command::new("bash").args(["-n", &script]).status();
    assert!(checked.is_err() || checked.unwrap().success());
}
