//! The tree as clients walk and change it, object by object.

use super::*;

#[tokio::test]
async fn the_tree_can_be_walked_from_the_root() {
    let desktop = Desktop::new(r#"{"pools": [{"name": "a b/c"}, {"name": "web"}]}"#).await;
    let mut waiting = vec!["/".to_owned()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let answer = desktop.get(&path).await;
        // The name with a slash is a fault of the document and not there; everything else is.
        let known = status(&answer) == 200 || path.contains("a%20off") && status(&answer) == 400;
        assert!(known, "{path}: {answer:?}");
        seen += 1;
        let Body::Json(json) = answer.body else { continue };
        for child in json["children"].as_array().into_iter().flatten() {
            let href = child["href"].as_str().unwrap();
            // One version is enough for the leaves.
            if href == "/api/" || href == "/api/tm/" || href.starts_with("/api/tm/8.3") {
                waiting.push(href.to_owned());
            }
        }
    }
    assert!(seen > 100, "{seen} resources");
    assert_eq!(names(desktop.get("/api/tm").await).last().unwrap(), "8.3");
    assert_eq!(names(desktop.get("/api/tm/8.3/config/active/pools").await), ["web"]);
    assert_eq!(names(desktop.get("/api/tm/7.1/config/active/ssl").await).len(), 4);
    assert_eq!(names(desktop.get("/api/tm/8.3/config/active/rate/").await).len(), 0);
}

#[tokio::test]
async fn every_verb_has_its_status() {
    let desktop = Desktop::new("").await;
    let pool = format!("{ACTIVE}/pools/web");
    let rule = format!("{ACTIVE}/rules/r");
    let json = Some("application/json");
    let octets = Some("application/octet-stream");
    let body = br#"{"properties":{}}"#.as_slice();
    for (method, target, media_type, body, expected) in [
        ("GET", pool.as_str(), None, b"".as_slice(), 404),
        ("DELETE", &pool, None, b"", 404),
        ("PUT", &pool, json, body, 201),
        ("PUT", &pool, json, body, 200),
        ("PUT", &pool, None, body, 200),
        ("PUT", &format!("{pool}/"), json, body, 200),
        ("GET", &format!("{pool}/"), None, b"", 200),
        ("PUT", &pool, octets, body, 415),
        ("PUT", &pool, json, b"{", 400),
        ("POST", &pool, json, body, 405),
        ("PATCH", &pool, json, body, 405),
        ("DELETE", &pool, None, b"", 204),
        ("GET", &pool, None, b"", 404),
        ("PUT", &rule, json, b"{}", 415),
        ("PUT", &rule, octets, b"\x00\xff", 201),
        ("PUT", &rule, octets, b"", 204),
        ("DELETE", &rule, None, b"", 204),
        ("DELETE", "/api/tm/8.3/config/active/pools", None, b"", 405),
        ("PUT", "/api/tm/8.3/config/active/pools", json, body, 405),
        ("PUT", "/api/tm/8.3/config/active", json, body, 403),
        ("PUT", "/api/tm/8.3/config/active/ssl", json, body, 403),
        ("PUT", "/api/tm/8.3", json, body, 403),
        ("PUT", "/", json, body, 403),
        ("DELETE", "/api", None, b"", 405),
        ("DELETE", "/api/tm/8.3/config/active/global_settings", None, b"", 405),
        ("PUT", "/api/tm/8.3/config/active/global_settings", json, body, 200),
        ("PUT", "/api/tm/8.3/config/active/traffic_managers/tm1", json, body, 200),
        ("PUT", "/api/tm/8.3/config/active/traffic_managers/other", json, body, 404),
        ("GET", "/api/tm/8.3/config/active/traffic_managers/other", None, b"", 404),
        ("DELETE", "/api/tm/8.3/config/active/traffic_managers/tm1", None, b"", 405),
        ("GET", "/blah", None, b"", 404),
        ("PUT", "/blah", json, body, 404),
        ("GET", "/api/tm/9.9/config/active/pools", None, b"", 404),
        ("GET", "/api/tm/8.3/config/other", None, b"", 404),
        ("GET", "/api/tm/8.3/config/active/pools/..%2f..%2fetc", None, b"", 404),
        ("PUT", "/api/tm/8.3/config/active/pools/..%2f..%2fetc", json, body, 400),
        ("PUT", "/api/tm/8.3/config/active/rules/%2e%2e", octets, b"x", 400),
        ("PUT", "/api/tm/8.3/config/active/rules/a%00b", octets, b"x", 400),
        ("GET", "/api/tm/8.3/status/other/state", None, b"", 404),
        ("GET", "/api/tm/8.3/status/tm1/state", None, b"", 200),
        ("PUT", "/api/tm/8.3/status/local_tm/state", json, body, 403),
        ("DELETE", "/api/tm/8.3/status/local_tm/state", None, b"", 405),
        ("GET", "/api/tm/8.3/status/local_tm/blah", None, b"", 404),
        ("GET", "/api/tidegate", None, b"", 200),
        ("PUT", "/api/tidegate", json, body, 403),
        ("DELETE", "/api/tidegate/export", None, b"", 405),
        ("GET", "/api/tidegate/explain", None, b"", 405),
        ("POST", "/api/tidegate/explain", json, b"{}", 400),
        ("POST", "/api/tidegate/events", json, b"{}", 405),
        ("GET", "/api/tidegate/nodes/", None, b"", 200),
        ("GET", "/api/tidegate/nodes/p", None, b"", 200),
        ("GET", "/api/tidegate/nodes/q", None, b"", 404),
        ("GET", "/api/tidegate/blah", None, b"", 404),
        ("POST", "/api/tidegate/blah", json, b"{}", 404),
    ] {
        let answer = desktop.ask(method, target, media_type, body).await;
        assert_eq!(status(&answer), expected, "{method} {target}: {answer:?}");
        if expected >= 400 {
            let body = json_of(answer);
            assert!(
                body["error_id"].is_string() && body["error_info"].is_object(),
                "{method} {target}: {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_put_answers_with_the_whole_object_and_raw_bytes_come_back() {
    let desktop = Desktop::new("").await;
    let pool = format!("{ACTIVE}/pools/Simple%20pool");
    let answer = desktop.put(&pool, json!({"basic": {"note": "n"}})).await;
    assert_eq!(status(&answer), 201);
    let shown = json_of(answer);
    assert_eq!(shown["properties"]["basic"]["note"], "n");
    assert_eq!(shown, json_of(desktop.get(&pool).await));
    assert_eq!(names(desktop.get(&format!("{ACTIVE}/pools/")).await), ["Simple pool"]);
    let bytes: Vec<u8> = (0..=255).collect();
    let rule = format!("{ACTIVE}/rules/r");
    desktop.ask("PUT", &rule, None, &bytes).await;
    let answer = desktop.get(&rule).await;
    let expected = Body::Bytes { media_type: "application/octet-stream", bytes: bytes.into() };
    assert_eq!(answer.body, expected);
}
