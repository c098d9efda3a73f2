//! What becomes of writes: what writers hear, what imports undo, and what is there after a restart.

use super::*;

#[tokio::test]
async fn writers_hear_what_becomes_of_their_change() {
    let notices = |answer: &Answer| -> Vec<String> {
        answer.notices.iter().map(|notice| notice.split(';').next().unwrap().to_owned()).collect()
    };
    let directory = tempfile::tempdir().unwrap();
    for (text, place, expected) in [
        ("", Some(directory.path()), [].as_slice()),
        ("", None, &["not-kept"]),
        ("pools: []", None, &["undone-by-next-import", "not-kept"]),
    ] {
        let desktop = Desktop::of(text, place, None).await;
        let answer = desktop.put(&format!("{ACTIVE}/pools/p"), json!({})).await;
        assert_eq!(notices(&answer), expected, "{text:?}");
    }
    let desktop = Desktop::new("").await;
    let answer = desktop.put(&format!("{ACTIVE}/bgpneighbors/r"), json!({})).await;
    assert_eq!(notices(&answer), ["not-kept", "not-acted-on"]);
}

#[tokio::test]
async fn a_burst_is_applied_in_order_with_few_builds_and_nothing_is_lost() {
    const WRITES: usize = 1000;
    let desktop = Desktop::new("").await;
    let path = format!("{ACTIVE}/pools/p");
    let writes = (0..WRITES).map(|number| {
        let body = if number % 2 == 0 {
            json!({"basic": {"note": number.to_string()}})
        } else {
            json!({"connection": {"max_queue_size": number}})
        };
        desktop.put(&path, body)
    });
    let answers = futures_in_order(writes).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(status(&answer), if number == 0 { 201 } else { 200 });
        let shown = json_of(answer);
        // Each answer shows its own change, and the one before it.
        let (even, odd) = (number / 2 * 2, number.div_ceil(2) * 2);
        assert_eq!(shown["properties"]["basic"]["note"], even.to_string());
        assert_eq!(shown["properties"]["connection"]["max_queue_size"], odd.saturating_sub(1));
    }
    let batches = desktop.served.lock().unwrap().len();
    assert!(batches <= 3, "{batches} builds");
}

/// Polls all at once, in order, and gives what came of each.
async fn futures_in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    future::poll_fn(|context| {
        let mut waiting = false;
        for (future, outcome) in &mut futures {
            if outcome.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *outcome = Some(ready),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(|(_, outcome)| outcome).collect()
}

#[tokio::test]
async fn an_import_undoes_what_was_written_and_leaves_a_backup() {
    let desktop = Desktop::new("pools: [{name: web, properties: {basic: {note: first}}}]").await;
    let web = format!("{ACTIVE}/pools/web");
    desktop.put(&web, json!({"basic": {"note": "mine"}})).await;
    desktop.put(&format!("{ACTIVE}/pools/new"), json!({})).await;
    let import = |text: &str| desktop.imports.send_replace(Some(read(text)));
    // The same documents again undo nothing.
    import("pools: [{name: web, properties: {basic: {note: first}}}]");
    desktop.put(&format!("{ACTIVE}/pools/new"), json!({})).await;
    assert_eq!(json_of(desktop.get(&web).await)["properties"]["basic"]["note"], "mine");
    import("pools: [{name: web, properties: {basic: {note: second}}}]");
    desktop.put(&format!("{ACTIVE}/pools/later"), json!({})).await;
    assert_eq!(json_of(desktop.get(&web).await)["properties"]["basic"]["note"], "second");
    assert_eq!(names(desktop.get(&format!("{ACTIVE}/pools")).await), ["later", "web"]);
    // What was undone can be had back.
    let undone = "/api/tm/8.3/status/local_tm/backups/full/undone-by-import?restore";
    assert_eq!(status(&desktop.put(undone, json!({})).await), 200);
    assert_eq!(json_of(desktop.get(&web).await)["properties"]["basic"]["note"], "mine");
    assert_eq!(names(desktop.get(&format!("{ACTIVE}/pools")).await), ["new", "web"]);
}

#[tokio::test]
async fn a_write_that_an_import_overtakes_is_done_on_the_new_documents() {
    let next = read("pools: [{name: web, properties: {basic: {note: second}}}]");
    let desktop = Desktop::of("pools: [{name: web}]", None, Some(next)).await;
    let answer = desktop.put(&format!("{ACTIVE}/pools/web"), json!({"http": {"keepalive": false}})).await;
    let shown = json_of(answer);
    assert_eq!(shown["properties"]["basic"]["note"], "second");
    assert_eq!(shown["properties"]["http"]["keepalive"], false);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let text = "pools: [{name: web}]";
    {
        let desktop = Desktop::of(text, Some(directory.path()), None).await;
        desktop.put(&format!("{ACTIVE}/pools/new"), json!({"basic": {"note": "n"}})).await;
        desktop.ask("DELETE", &format!("{ACTIVE}/pools/web"), None, b"").await;
    }
    let desktop = Desktop::of(text, Some(directory.path()), None).await;
    assert_eq!(names(desktop.get(&format!("{ACTIVE}/pools")).await), ["new"]);
    drop(desktop);
    // Other documents at the start are an import like any other.
    let desktop = Desktop::of("pools: [{name: other}]", Some(directory.path()), None).await;
    assert_eq!(names(desktop.get(&format!("{ACTIVE}/pools")).await), ["other"]);
    assert_eq!(names(desktop.get("/api/tm/8.3/status/tm1/backups/full").await), ["undone-by-import"]);
}

#[tokio::test]
async fn a_change_that_cannot_be_kept_is_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("rest");
    let desktop = Desktop::of("", Some(&place), None).await;
    desktop.put(&format!("{ACTIVE}/pools/first"), json!({})).await;
    std::fs::remove_dir_all(&place).unwrap();
    let answer = desktop.put(&format!("{ACTIVE}/pools/second"), json!({})).await;
    assert_eq!(status(&answer), 500);
    assert_eq!(json_of(answer)["error_id"], "service.not_kept");
    assert_eq!(names(desktop.get(&format!("{ACTIVE}/pools")).await), ["first"]);
    assert_eq!(desktop.served.lock().unwrap().len(), 1);
}
