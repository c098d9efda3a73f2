//! Backups, and what they bring back.

use super::*;

#[tokio::test]
async fn backups_are_made_listed_fetched_brought_back_and_deleted() {
    let desktop = Desktop::new("").await;
    let full = "/api/tm/8.3/status/local_tm/backups/full";
    let one = format!("{full}/one");
    let pool = format!("{ACTIVE}/pools/p");
    desktop.put(&pool, json!({"basic": {"note": "before"}})).await;
    let answer =
        desktop.put(&one, json!({"backup": {"description": "d", "time_stamp": 1, "version": "x"}})).await;
    assert_eq!(status(&answer), 201);
    let shown = json_of(answer);
    let backup = &shown["properties"]["backup"];
    assert_eq!((&backup["description"], &backup["version"]), (&json!("d"), &json!(crate::RELEASE)));
    assert!(backup["time_stamp"].as_u64().unwrap() > 1_000_000_000);
    assert_eq!(json_of(desktop.get(&one).await), shown);
    assert_eq!(names(desktop.get(full).await), ["one"]);
    let again = desktop.put(&one, json!({"backup": {"description": "e"}})).await;
    assert_eq!(status(&again), 200);

    desktop.put(&pool, json!({"basic": {"note": "after"}})).await;
    let fetched = {
        let asked = Asked {
            method: Method::GET,
            target: Target::read(&one, None).unwrap(),
            media_type: None,
            accept: "application/x-tar".to_owned(),
            body: crate::body::Body::default(),
        };
        let answer = desktop.api.answer(asked).await;
        let Body::Bytes { media_type: "application/x-tar", bytes } = answer.body else {
            panic!("{answer:?}")
        };
        // As if it were still being sent: that keeps nobody from what follows.
        bytes
    };
    assert_eq!(status(&desktop.ask("DELETE", &one, None, b"").await), 204);
    assert_eq!(status(&desktop.get(&one).await), 404);
    let tar = Some("application/x-tar");
    assert_eq!(status(&desktop.ask("POST", &format!("{full}/two"), tar, &fetched).await), 201);
    assert_eq!(status(&desktop.ask("PUT", &format!("{full}/two"), tar, &fetched).await), 204);
    assert_eq!(status(&desktop.ask("PUT", &format!("{full}/two"), tar, b"garbage").await), 400);
    assert_eq!(status(&desktop.ask("POST", &format!("{full}/two"), None, b"").await), 415);
    let restored = desktop.put(&format!("{full}/two?restore"), json!({})).await;
    assert_eq!(status(&restored), 200);
    assert_eq!(json_of(desktop.get(&pool).await)["properties"]["basic"]["note"], "before");
    assert_eq!(status(&desktop.put(&format!("{full}/none?restore"), json!({})).await), 404);
}

#[tokio::test]
async fn what_an_archive_may_not_say_is_told_and_the_rest_is_restored() {
    let desktop = Desktop::new("").await;
    let layer = json!({"pools": {"p": {"alone": true, "properties": {
        "basic": {"note": "n"}, "connection": {"max_queue_size": -1},
    }}}});
    let about = json!({"format": 1, "description": "", "time_stamp": 1, "version": "v"});
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [("tidegate-backup.json", about), ("configuration.json", layer)] {
        let content = content.to_string();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let archive = archive.into_inner().unwrap();
    let place = "/api/tm/8.3/status/local_tm/backups/full/b";
    let answer = desktop.ask("PUT", place, Some("application/x-tar"), &archive).await;
    assert_eq!(status(&answer), 201);
    assert!(answer.notices[0].starts_with("left-out; pools/“p”: “connection.max_queue_size”"), "{answer:?}");
    assert_eq!(status(&desktop.put(&format!("{place}?restore"), json!({})).await), 200);
    let shown = json_of(desktop.get(&format!("{ACTIVE}/pools/p")).await);
    assert_eq!(shown["properties"]["basic"]["note"], "n");
    assert_eq!(shown["properties"]["connection"]["max_queue_size"], 0);
}
