//! What status tells of what runs, and what is Tidegate's own.

use super::*;

#[tokio::test]
async fn status_tells_what_runs_and_what_is_wrong() {
    let desktop = Desktop::new("").await;
    let status_of = "/api/tm/8.3/status/local_tm";
    let information = json_of(desktop.get(&format!("{status_of}/information")).await);
    assert_eq!(information["information"]["uuid"], "u");
    let state = json_of(desktop.get(&format!("{status_of}/state")).await)["state"].clone();
    assert_eq!(state["error_level"], "warn", "a node has failed");
    assert_eq!(state["errors"], json!([]));
    assert_eq!(state["virtual_servers"][0]["ts_redirect_pools"], json!([]));
    assert_eq!(state["failed_nodes"], json!([{"node": "192.0.2.1:80", "pools": ["p"]}]));
    let fault = |error, text: &str| Fault { error, text: text.to_owned() };
    desktop.faults.send_replace(Arc::new(vec![fault(false, "w"), fault(true, "REST: pools.p: e")]));
    let state = json_of(desktop.get(&format!("{status_of}/state")).await)["state"].clone();
    assert_eq!(
        (&state["error_level"], &state["errors"]),
        (&json!("error"), &json!(["REST: pools.p: e", "w"]))
    );

    let statistics = format!("{status_of}/statistics");
    assert_eq!(names(desktop.get(&statistics).await), ["globals", "nodes", "virtual_servers"]);
    assert_eq!(names(desktop.get(&format!("{statistics}/nodes/")).await), ["node"]);
    assert_eq!(names(desktop.get(&format!("{statistics}/nodes/node")).await), ["192.0.2.1:80"]);
    assert_eq!(names(desktop.get(&format!("{statistics}/virtual_servers")).await), ["a off", "b on"]);
    for (path, expected) in [
        ("globals", 200),
        ("virtual_servers/b%20on", 200),
        ("virtual_servers/a%20off", 400),
        ("virtual_servers/none", 404),
        ("nodes/node/192.0.2.1:80", 200),
        ("nodes/none", 404),
        ("globals/none", 404),
        ("none", 404),
    ] {
        assert_eq!(status(&desktop.get(&format!("{statistics}/{path}")).await), expected, "{path}");
    }
    let globals = json_of(desktop.get(&format!("{statistics}/globals")).await);
    assert_eq!(globals, json!({"statistics": {"total": 7}}));
    let refused = json_of(desktop.get(&format!("{statistics}/virtual_servers/a%20off")).await);
    assert_eq!(refused["error_id"], "statistics.no_counters");
}

#[tokio::test]
async fn the_end_of_the_control_loop_is_told_and_nothing_hangs() {
    let desktop = Desktop::new("").await;
    desktop.tasks[1].abort();
    let answer = desktop.put(&format!("{ACTIVE}/pools/p"), json!({})).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    desktop.tasks[0].abort();
    let answer = desktop.put(&format!("{ACTIVE}/pools/p"), json!({})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_is_ours_lies_beside_the_tree_of_the_vtm() {
    let text = r#"{"pools": [{"name": "web"}],
        "ssl": {"server_keys": [{"name": "k", "properties": {"basic": {"public": "p", "private": "SECRET"}}}]}}"#;
    let desktop = Desktop::new(text).await;
    assert_eq!(names(desktop.get("/api").await), ["tm"]);
    assert_eq!(names(desktop.get("/api/tidegate").await), ["events", "explain", "export", "nodes"]);
    assert_eq!(names(desktop.get("/api/tidegate/nodes").await), ["web"]);
    let events = json_of(desktop.get("/api/tidegate/events?after=6").await);
    assert_eq!(events, json!({ "events": [{ "number": 7 }], "seen": 9 }));
    let export = json_of(desktop.get("/api/tidegate/export").await);
    assert_eq!(export["document"]["pools"], json!([{ "name": "web" }]));
    assert!(!export.to_string().contains("SECRET"));
    assert_eq!(export["files"].as_object().unwrap().len(), 1);
    let clear = json_of(desktop.get("/api/tidegate/export?secrets=clear").await);
    assert!(clear.to_string().contains("SECRET"));
}

#[tokio::test]
async fn a_request_to_be_explained_is_read_strictly() {
    let desktop = Desktop::new("").await;
    let ask = async |body: &str| {
        let answer =
            desktop.ask("POST", "/api/tidegate/explain", Some("application/json"), body.as_bytes()).await;
        (status(&answer), json_of(answer).to_string())
    };
    let (code, said) =
        ask(r#"{"url": "https://a.example:8443/x?y", "headers": [["A", "b"]], "client": "::1"}"#).await;
    assert_eq!(code, 200, "{said}");
    for part in ["secure: true", "a.example", "8443", "/x?y", "::1", "method"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    for (body, told) in [
        ("{", "no JSON"),
        ("{}", "url"),
        (r#"{"url": "ftp://a/"}"#, "http"),
        (r#"{"url": "/x"}"#, "http"),
        (r#"{"url": "http://u:p@a/"}"#, "password"),
        (r#"{"url": "http://a/", "client": "me"}"#, "IP address"),
        (r#"{"url": "http://a/", "headers": {"A": "b"}}"#, "list"),
        (r#"{"url": "http://a/", "headers": [["A"]]}"#, "list"),
        (r#"{"url": "http://a/", "body": "x"}"#, "body"),
        (r#"{"url": "http://nowhere/"}"#, "nobody listens"),
    ] {
        let (code, said) = ask(body).await;
        assert!(code == 400 && said.contains(told), "{body}: {said}");
    }
}
