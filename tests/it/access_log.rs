//! The access log: macros, rotation by name, what is logged.

use std::{fs, path::Path};

use tidegate_harness::{Node, Reply, Site, eventually, json, volume::Volume};

async fn lines(path: &Path, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines in {}", path.display()), async || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
    .await
}

/// The line with `part`: each worker writes its own, so that their order says nothing.
fn line_with<'a>(lines: &'a [String], part: &str) -> &'a str {
    lines.iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in {lines:?}"))
}

fn logged(path: &Path, format: &str) -> tidegate_harness::Value {
    json!({ "log": { "enabled": true, "filename": path.to_str().unwrap(), "format": format } })
}

#[tokio::test]
async fn macros() {
    let directory = Volume::new();
    let path = directory.path().join("access.log");
    let node = Node::with("n", |_| Reply::ok("12345").header("X-Answer: forty two")).await;
    let format = "%h|%l|%u|%r|%s|%b|%{Referer}i|%{User-agent}i|%{X-Answer}o|%m|%U|%q|%v|%n|%p|%{None}i";
    let site = Site::start(&[node.address], logged(&path, format), json!({})).await;
    let headers = ["Referer: http://a/", "User-Agent: one \"two\" \\ three", "Authorization: Basic bWU6cHc="];
    assert_eq!(site.request("GET", "/a/b?c=d", &headers, b"").await.status, 200);
    assert_eq!(site.request("HEAD", "/", &[], b"").await.status, 200);
    let lines = lines(&path, 2).await;
    let (get, head) = (line_with(&lines, "|GET /"), line_with(&lines, "|HEAD /"));
    let fields: Vec<&str> = get.split('|').collect();
    let (node, port) = (node.address.to_string(), site.port().to_string());
    assert_eq!(
        fields[..7],
        ["127.0.0.1", "-", "me", "GET /a/b?c=d HTTP/1.1", "200", "5", "http://a/"],
        "{get}"
    );
    assert!(!fields[7].contains(" \"two\" "), "a quote of a client stands bare: {get}");
    assert_eq!(fields[8..13], ["forty two", "GET", "/a/b", "?c=d", "site"], "{get}");
    assert_eq!(fields[13..], [node.as_str(), port.as_str(), "-"], "{get}");
    assert!(head.starts_with("127.0.0.1|-|-|HEAD / HTTP/1.1|200|"), "{head}");
    assert!(!lines.concat().contains("pw"), "a password is in the log");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn a_line_may_be_an_object() {
    let directory = Volume::new();
    let path = directory.path().join("access.log");
    let node =
        Node::with(
            "n",
            |request| {
                if request.target == "/gone" { Reply::close_now() } else { Reply::ok("12345") }
            },
        )
        .await;
    let document = |document: tidegate_harness::Document| {
        document.add("persistence", "cookies", json!({ "basic": { "type": "transparent" } }))
    };
    let pool = json!({ "basic": { "persistence_class": "cookies" } });
    let site = Site::with(&[node.address], logged(&path, "%J"), pool, document).await;
    let first = site.request("GET", "/first?a=b", &["User-Agent: \"me\""], b"").await;
    let cookie = format!("Cookie: {}", first.cookie("X-Mapping-").unwrap());
    assert_eq!(site.request("GET", "/second", &[&cookie], b"").await.status, 200);
    assert_eq!(site.request("POST", "/gone", &[], b"x").await.status, 502);
    let lines = lines(&path, 3).await;
    let object = |part: &str| -> tidegate_harness::Value {
        let line = line_with(&lines, part);
        line.parse().unwrap_or_else(|fault| panic!("{fault}: {line}"))
    };
    let (first, second, gone) = (object("/first"), object("/second"), object("/gone"));
    assert_eq!(
        (&first["status"], &first["query"], &first["user_agent"]),
        (&json!(200), &json!("a=b"), &json!("\"me\""))
    );
    assert_eq!((&first["session"], &second["session"]), (&json!("new"), &json!("kept")));
    assert_eq!((&first["pool"], &first["node"]), (&json!("nodes"), &json!(node.address.to_string())));
    assert!(first["node_response"].as_f64().unwrap() <= first["duration"].as_f64().unwrap(), "{first}");
    assert_eq!((&gone["status"], &gone["retries"]), (&json!(502), &json!(0)));
    assert!(gone["failure"].as_str().unwrap().contains("closed"), "{gone}");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn failed_requests_are_logged_too_and_no_line_is_forged() {
    let directory = Volume::new();
    let path = directory.path().join("access.log");
    let node = Node::with("n", |_| Reply::close_now()).await;
    let mut server = logged(&path, "%s \"%r\" %{X}i");
    server["log"]["client_connection_failures"] = json!(true);
    server["log"]["server_connection_failures"] = json!(true);
    let site = Site::start(&[node.address], server, json!({})).await;
    assert_eq!(site.request("POST", "/fails", &[], b"x").await.status, 502);
    let mut client = site.client().await;
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert_eq!(client.response().await.status, 400);
    assert_eq!(site.request("POST", "/again", &["X: a\"b"], b"x").await.status, 502);
    let lines = lines(&path, 2).await;
    assert_eq!(line_with(&lines, "/fails"), "502 \"POST /fails HTTP/1.1\" -");
    assert_eq!(line_with(&lines, "/again"), "502 \"POST /again HTTP/1.1\" a\\\"b");
    site.tidegate.stop().await;
}

#[tokio::test]
async fn every_request_of_a_busy_time_is_there_and_the_end_loses_none() {
    let directory = Volume::new();
    let name = directory.path().join("%v-%{%Y}t.log");
    let node = Node::start("n").await;
    let site = Site::start(&[node.address], logged(&name, "%U %h"), json!({})).await;
    let mut tasks = Vec::new();
    for connection in 0..8 {
        let mut client = site.client().await;
        tasks.push(tokio::spawn(async move {
            for number in 0..100 {
                assert_eq!(client.get(&format!("/{connection}-{number}")).await.status, 200);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    site.tidegate.stop().await;
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let file = files
        .iter()
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("site-2"))
        .unwrap_or_else(|| panic!("no file with the server's name and the year in {files:?}"));
    let text = fs::read_to_string(file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 800);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_again_on_a_change_of_name_only_for_its_server() {
    let directory = Volume::new();
    let (first, second) = (directory.path().join("first.log"), directory.path().join("second.log"));
    let node = Node::start("n").await;
    let mut site = Site::start(&[node.address], logged(&first, "%U"), json!({})).await;
    assert_eq!(site.get("/one").await.status, 200);
    assert_eq!(lines(&first, 1).await, ["/one"]);
    let document = site.document(&[node.address], &logged(&second, "%m %U"), &json!({}));
    site.tidegate.document(&document).await;
    assert_eq!(site.get("/two").await.status, 200);
    assert_eq!(lines(&second, 1).await, ["GET /two"]);
    site.tidegate.stop().await;
    assert_eq!(fs::read_to_string(&first).unwrap(), "/one\n");
}
