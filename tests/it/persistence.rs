//! Session persistence: whom a client gets again.

use std::{collections::BTreeSet, net::SocketAddr};

use tidegate_harness::{
    Document, Node, Reply, Setup, Site, Value, client::request, eventually, json, wire::latin,
};

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(Node::start(&format!("n{number}")).await);
    }
    nodes
}

fn addresses(nodes: &[Node]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

fn pool() -> Value {
    json!({ "basic": { "persistence_class": "sessions", "node_connection_attempts": 1 } })
}

async fn site(nodes: &[SocketAddr], class: Value) -> Site {
    Site::with(nodes, json!({}), pool(), |document| document.add("persistence", "sessions", class)).await
}

fn document(site: &Site, nodes: &[SocketAddr], pool: &Value, class: Value) -> Document {
    site.document(nodes, &json!({}), pool).add("persistence", "sessions", class)
}

fn transparent() -> Value {
    json!({ "basic": { "type": "transparent" } })
}

/// Starts a session: its cookie line and its node.
async fn begin(site: &Site) -> (String, String) {
    let response = site.get("/").await;
    let cookie = response.cookie("X-Mapping-").expect("a session cookie");
    (format!("Cookie: {cookie}"), response.node().to_owned())
}

async fn follow(site: &Site, cookie: &str) -> String {
    site.request("GET", "/", &[cookie], b"").await.node().to_owned()
}

#[tokio::test]
async fn the_transparent_cookie_has_the_products_form_and_sticks() {
    let nodes = nodes(4).await;
    let site = site(&addresses(&nodes), transparent()).await;
    let response = site.get("/").await;
    let line = response.header("Set-Cookie").unwrap();
    let (name, rest) = line.split_once('=').unwrap();
    let letters = name.strip_prefix("X-Mapping-").unwrap();
    assert!(letters.len() == 8 && letters.bytes().all(|byte| (b'a'..=b'p').contains(&byte)), "{line}");
    let (value, attributes) = rest.split_once(';').unwrap();
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    assert!(value.len() == 32 && value.bytes().all(hexadecimal), "{line}");
    assert_eq!(attributes.trim().to_ascii_lowercase(), "path=/", "{line}");
    // Sent only when the request lacked it, and for every visitor of a node the same.
    let cookie = format!("Cookie: a=b; {name}={value}; c=d");
    for _ in 0..20 {
        let again = site.request("GET", "/", &[&cookie], b"").await;
        assert_eq!(again.node(), response.node());
        assert_eq!(again.header("Set-Cookie"), None);
    }
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        seen.insert(begin(&site).await);
    }
    assert_eq!(seen.len(), 4, "one value per node: {seen:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn the_cookie_names_no_address_and_cannot_be_made_up() {
    let nodes = nodes(2).await;
    let site = site(&addresses(&nodes), transparent()).await;
    let (cookie, _) = begin(&site).await;
    let (name, value) = cookie.split_once('=').unwrap();
    assert!(!value.contains(&format!("{:04X}", nodes[0].address.port())));
    for made_up in ["0".repeat(32), value.chars().rev().collect(), value[..31].to_owned(), String::new()] {
        let response = site.request("GET", "/", &[&format!("{name}={made_up}")], b"").await;
        assert_eq!(response.status, 200, "{made_up}");
        assert!(response.cookie("X-Mapping-").is_some(), "{made_up} passed for a session");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn directives_and_always_set() {
    let nodes = nodes(2).await;
    let class = json!({ "basic": {
        "type": "transparent",
        "transparent_directives": "HttpOnly; SameSite=Lax",
        "transparent_always_set_cookie": true,
    } });
    let site = site(&addresses(&nodes), class).await;
    let (cookie, node) = begin(&site).await;
    let response = site.request("GET", "/", &[&cookie], b"").await;
    assert_eq!(response.node(), node);
    let line = response.header("Set-Cookie").expect("the cookie again").to_owned();
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax"), "{line}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn sessions_outlive_restart_scale_up_and_changes() {
    let nodes = nodes(5).await;
    let all = addresses(&nodes);
    for key in [None, Some("a secret for the test")] {
        let port = tidegate_harness::Port::free();
        let document = |count: usize| {
            Document::new()
                .server("site", port.number(), "nodes", &json!({}))
                .pool("nodes", &all[..count], &pool())
                .add("persistence", "sessions", transparent())
        };
        let mut setup = Setup::new(&document(3));
        if let Some(key) = key {
            setup = setup.variable("TIDEGATE_SESSION_KEY", key);
        }
        let mut tidegate = setup.start().await;
        let get = async |headers: Vec<String>| {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let mut client = tidegate_harness::Client::connect(port.address()).await;
            client.request("GET", "/", &headers, b"").await
        };
        let mut sessions = Vec::new();
        for _ in 0..6 {
            let response = get(vec![]).await;
            let cookie = format!("Cookie: {}", response.cookie("X-Mapping-").unwrap());
            sessions.push((cookie, response.node().to_owned()));
        }
        let check = async |what: &str| {
            for (cookie, node) in &sessions {
                assert_eq!(get(vec![cookie.clone()]).await.node(), node, "{what}");
            }
        };
        tidegate.restart().await;
        check("after a restart").await;
        tidegate.document(&document(5)).await;
        check("after scale-up").await;
        let other = document(5).add("persistence", "another", transparent());
        tidegate.document(&other).await;
        check("after a change elsewhere").await;
        tidegate.stop().await;
    }
}

#[tokio::test]
async fn two_traffic_managers_with_one_key_agree_and_with_two_do_not() {
    let nodes = nodes(8).await;
    let mut cookies = Vec::new();
    for key in ["one", "one", "two"] {
        let site = Site::set_up(
            |port| {
                Document::new()
                    .server("site", port, "nodes", &json!({}))
                    .pool("nodes", &addresses(&nodes), &pool())
                    .add("persistence", "sessions", transparent())
            },
            |setup| setup.variable("TIDEGATE_SESSION_KEY", key),
        )
        .await;
        let mut values = BTreeSet::new();
        for _ in 0..24 {
            let (cookie, node) = begin(&site).await;
            values.insert((node, cookie.split_once('=').unwrap().1.to_owned()));
        }
        cookies.push(values);
        site.tidegate.stop().await;
    }
    assert_eq!(cookies[0], cookies[1]);
    assert!(cookies[0].is_disjoint(&cookies[2]));
}

#[tokio::test]
async fn sessions_stay_on_a_draining_node_and_leave_a_disabled_one() {
    let nodes = nodes(2).await;
    let rows = |state: &str| {
        let mut pool = pool();
        pool["basic"]["nodes_table"] = json!([
            { "node": nodes[0].address.to_string(), "state": state },
            { "node": nodes[1].address.to_string() },
        ]);
        pool
    };
    let mut site = site(&addresses(&nodes), transparent()).await;
    let cookie = eventually("a session at the first node", async || {
        let (cookie, node) = begin(&site).await;
        (node == "n0").then_some(cookie)
    })
    .await;
    let draining = document(&site, &[], &rows("draining"), transparent());
    site.tidegate.document(&draining).await;
    for _ in 0..5 {
        assert_eq!(follow(&site, &cookie).await, "n0");
        assert_eq!(site.get("/").await.node(), "n1");
    }
    let disabled = document(&site, &[], &rows("disabled"), transparent());
    site.tidegate.document(&disabled).await;
    let response = site.request("GET", "/", &[&cookie], b"").await;
    assert_eq!(response.node(), "n1");
    assert!(response.cookie("X-Mapping-").is_some(), "the new session has its own cookie");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn failure_modes() {
    for (mode, url) in [("new_node", ""), ("url", "http://sorry.example/"), ("close", "")] {
        let mut nodes = nodes(2).await;
        let class = json!({ "basic": { "type": "transparent", "failure_mode": mode, "url": url } });
        let site = site(&addresses(&nodes), class).await;
        let cookie = eventually("a session at the first node", async || {
            let (cookie, node) = begin(&site).await;
            (node == "n0").then_some(cookie)
        })
        .await;
        nodes[0].stop().await;
        let mut client = site.client().await;
        client.send(request("GET", "/", &[&cookie], b"")).await;
        match mode {
            "new_node" => {
                let response = client.response().await;
                assert_eq!(response.node(), "n1");
                let new = response.cookie("X-Mapping-").expect("a new session");
                assert_eq!(follow(&site, &format!("Cookie: {new}")).await, "n1");
            }
            "url" => {
                let response = client.response().await;
                assert_eq!(response.status, 302);
                assert_eq!(response.header("Location"), Some(url));
            }
            _ => client.closed().await,
        }
        // Visitors without a session are served all the same.
        assert_eq!(site.get("/").await.node(), "n1", "{mode}");
        site.tidegate.stop().await;
    }
}

#[tokio::test]
async fn priority_does_not_override_a_session() {
    let nodes = nodes(2).await;
    let mut site = site(&addresses(&nodes), transparent()).await;
    let cookie = eventually("a session at the first node", async || {
        let (cookie, node) = begin(&site).await;
        (node == "n0").then_some(cookie)
    })
    .await;
    let mut pool = pool();
    pool["basic"]["nodes_table"] = json!([
        { "node": nodes[0].address.to_string(), "priority": 1 },
        { "node": nodes[1].address.to_string(), "priority": 9 },
    ]);
    pool["load_balancing"] = json!({ "priority_enabled": true });
    let document = document(&site, &[], &pool, transparent());
    site.tidegate.document(&document).await;
    for _ in 0..5 {
        assert_eq!(follow(&site, &cookie).await, "n0");
        assert_eq!(site.get("/").await.node(), "n1");
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_application_cookie_is_learned() {
    let mut nodes = Vec::new();
    for number in 0..4 {
        let label = format!("n{number}");
        let cookie = format!("Set-Cookie: APP=of-{label}-{{}}; Path=/; HttpOnly");
        nodes.push(
            Node::with(&label, move |request| {
                if request.header("Cookie").is_some() {
                    return Reply::ok("known");
                }
                let unique = format!("{}-{}", request.connection, request.number);
                Reply::ok("new").header(&cookie.replace("{}", &unique))
            })
            .await,
        );
    }
    let class = json!({ "basic": { "type": "cookie", "cookie": "APP" } });
    let site = site(&addresses(&nodes), class).await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let response = site.get("/").await;
        assert_eq!(response.headers("Set-Cookie").len(), 1, "no cookie of our own is added");
        sessions.push((response.cookie("APP=").unwrap(), response.node().to_owned()));
    }
    for _ in 0..5 {
        for (cookie, node) in &sessions {
            assert_eq!(follow(&site, &format!("Cookie: x=y; {cookie}")).await, *node);
        }
    }
    // One that nobody set is no session.
    let response = site.request("GET", "/", &["Cookie: APP=unknown"], b"").await;
    assert_eq!(response.status, 200);
    site.tidegate.stop().await;
}

#[tokio::test]
async fn an_address_sticks_to_its_node() {
    let nodes = nodes(6).await;
    let site =
        Site::with(&addresses(&nodes), json!({ "basic": { "proxy_protocol": true } }), pool(), |document| {
            document.add("persistence", "sessions", json!({ "basic": { "type": "ip" } }))
        })
        .await;
    let get = async |address: &str| {
        let mut client = site.client().await;
        let header = format!("PROXY TCP4 {address} 127.0.0.1 4000 80\r\n");
        client.send([header.as_bytes(), &request("GET", "/", &[], b"")].concat()).await;
        let response = client.response().await;
        assert_eq!(response.header("Set-Cookie"), None, "{}", latin(&response.head.raw));
        response.node().to_owned()
    };
    let mut used = BTreeSet::new();
    for host in 1..40 {
        let address = format!("10.1.2.{host}");
        let node = get(&address).await;
        for _ in 0..3 {
            assert_eq!(get(&address).await, node, "{address}");
        }
        used.insert(node);
    }
    assert!(used.len() >= 4, "addresses are spread over nodes: {used:?}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_subnet_sticks_to_its_node() {
    let nodes = nodes(6).await;
    let class = json!({ "basic": {
        "type": "ip", "subnet_prefix_length_v4": 24, "subnet_prefix_length_v6": 64,
    } });
    let site =
        Site::with(&addresses(&nodes), json!({ "basic": { "proxy_protocol": true } }), pool(), |document| {
            document.add("persistence", "sessions", class)
        })
        .await;
    let get = async |header: String| {
        let mut client = site.client().await;
        client.send([header.as_bytes(), &request("GET", "/", &[], b"")].concat()).await;
        client.response().await.node().to_owned()
    };
    let v4 = async |address: &str| get(format!("PROXY TCP4 {address} 127.0.0.1 4000 80\r\n")).await;
    let v6 = async |address: &str| get(format!("PROXY TCP6 {address} ::1 4000 80\r\n")).await;
    for subnet in 0..8 {
        let node = v4(&format!("10.1.{subnet}.1")).await;
        for host in [2, 77, 254] {
            assert_eq!(v4(&format!("10.1.{subnet}.{host}")).await, node);
        }
        let node = v6(&format!("2001:db8:0:{subnet}::1")).await;
        assert_eq!(v6(&format!("2001:db8:0:{subnet}:ffff::9")).await, node);
    }
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_type_that_does_not_work_yet_is_said_to() {
    let nodes = nodes(2).await;
    for name in ["j2ee", "asp", "ssl", "x_zeus"] {
        let site = site(&addresses(&nodes), json!({ "basic": { "type": name } })).await;
        site.tidegate.line(&["WARN", "sessions", name]).await;
        assert_eq!(site.get("/").await.status, 200, "{name}");
        site.tidegate.stop().await;
    }
}
