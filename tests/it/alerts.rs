//! Alerting: events lead to lines of files, syslog messages and programs, as event types say.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use tidegate_harness::{Document, Node, Site, eventually, json, volume::Volume};
use tokio::net::UdpSocket;

#[tokio::test]
async fn a_pool_that_dies_is_told_of() {
    let home = Volume::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let syslog = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let host = syslog.local_addr().unwrap().to_string();
    let node = Node::start("n").await;
    let address = node.address;
    let program = "#!/bin/sh\nfor part in \"$@\"; do echo \"$part\"; done >> \"$ZEUSHOME/told\"\n";
    let document = |port: u16| {
        Document::new()
            .server("site", port, "web", &json!({}))
            .pool("web", &[address], &json!({ "basic": { "monitors": ["quick"] } }))
            .add(
                "monitors",
                "quick",
                json!({ "basic": { "type": "connect", "delay": 1, "timeout": 1, "failures": 1 } }),
            )
            .raw("action_programs", "tell.sh", program)
            .add("actions", "file", json!({ "basic": { "type": "log" }, "log": { "file": "log/alerts" } }))
            .add(
                "actions",
                "logger",
                json!({ "basic": { "type": "syslog" }, "syslog": { "sysloghost": host } }),
            )
            .add("actions", "mail", json!({ "basic": { "type": "email" } }))
            .add(
                "actions",
                "tell",
                json!({ "basic": { "type": "program" }, "program": {
                    "program": "tell.sh", "arguments": [{ "name": "who", "value": "it is me" }] } }),
            )
            .add(
                "event_types",
                "trouble",
                json!({ "basic": { "actions": ["file", "logger", "tell", "mail"] },
                        "pools": { "event_tags": ["pooldied", "poolok"], "objects": ["web"] } }),
            )
            .add(
                "event_types",
                "others",
                json!({ "basic": { "actions": ["file"] },
                        "pools": { "event_tags": ["*"], "objects": ["else"] } }),
            )
    };
    let home_text = home.path().to_str().unwrap().to_owned();
    let site = Site::set_up(document, |setup| setup.arguments(&["--home", &home_text])).await;
    site.tidegate.line(&["does not act on “email”"]).await;
    site.tidegate.line(&["event=vsstart", "virtual_server=site"]).await;
    drop(node);
    site.tidegate.line(&["event=pooldied", "pool=web"]).await;
    let file = home.path().join("log/alerts");
    let line = eventually("a line of the file", async || {
        fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("\tSERIOUS\tpools/web\tpooldied\t"), "{line}");
    let mut message = vec![0; 2048];
    let received =
        tokio::time::timeout(Duration::from_secs(20), syslog.recv(&mut message)).await.unwrap().unwrap();
    let message = String::from_utf8_lossy(&message[..received]);
    assert!(message.starts_with("<27>1 ") && message.contains(" pooldied - no node"), "{message}");
    let told = eventually("the program", async || {
        fs::read_to_string(home.path().join("told")).ok().filter(|text| text.lines().count() == 3)
    })
    .await;
    assert!(told.starts_with("--who=it is me\n--eventtype=trouble\n["), "{told}");
    let events = site.tidegate.metric("tidegate_events_total").await;
    assert!(events >= 3, "{events}");
    site.tidegate.stop().await;
}
