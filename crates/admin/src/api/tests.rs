//! The tree of the interface over documents in memory and a control loop of a few lines.

mod sequences;

use std::{future, path::Path, sync::Mutex};

use hyper::StatusCode;
use serde_json::{Map, Value as Json, json};
use tidegate_config::{Document, Input, References, import};
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::{
    answer::Body,
    body::{Place, Places},
    desk::{Batch, Desk, Done, Import},
    kept::Generations,
    observe::{Coming, Group, NoCounters, PoolState, Question, RunningState, ServerState},
};

struct NoFiles;

impl References for NoFiles {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("there are no files here".to_owned())
    }
}

pub(crate) fn read(text: &str) -> Import {
    let watched: Vec<Document> = [text]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| Document { name: "config/a".to_owned(), text: text.as_bytes().to_vec() })
        .collect();
    let imported = import(&Input { watched: &watched, ..Input::default() }, &NoFiles);
    assert!(!imported.stopped());
    Import { over: Some(imported.digest()), imported: Arc::new(imported) }
}

#[derive(Debug)]
pub(crate) struct Seen;

impl Observe for Seen {
    fn groups(&self) -> Vec<Group> {
        let group = |(path, has_objects)| Group { path, has_objects };
        [("virtual_servers", true), ("globals", false), ("nodes/node", true)].map(group).to_vec()
    }

    fn objects<'a>(&'a self, group: &'a str) -> Coming<'a, Vec<String>> {
        let names = match group {
            "nodes/node" => vec!["192.0.2.1:80".to_owned()],
            _ => vec!["b on".to_owned(), "a off".to_owned()],
        };
        Box::pin(future::ready(names))
    }

    fn counters<'a>(
        &'a self,
        _: &'a str,
        object: &'a str,
    ) -> Coming<'a, Option<Result<Map<String, Json>, NoCounters>>> {
        Box::pin(future::ready(match object {
            "a off" => Some(Err(NoCounters)),
            "" | "b on" | "192.0.2.1:80" => Some(Ok(Map::from_iter([("total".to_owned(), json!(7))]))),
            _ => None,
        }))
    }

    fn running(&self) -> RunningState {
        RunningState {
            pools: vec![PoolState { name: "p".to_owned(), ..PoolState::default() }],
            virtual_servers: vec![ServerState { name: "v".to_owned(), port: 80, ..ServerState::default() }],
            failed_nodes: vec![("192.0.2.1:80".to_owned(), vec!["p".to_owned()])],
        }
    }

    fn nodes(&self, pool: &str) -> Option<Json> {
        (pool == "p").then(|| json!({ "nodes": [{ "node": "192.0.2.1:80" }] }))
    }

    fn events(&self, after: u64) -> (Json, u64) {
        (json!([{ "number": after + 1 }]), 9)
    }

    fn explain(&self, question: Question) -> Coming<'_, Result<Json, String>> {
        let answer = match question.host.as_str() {
            "nowhere" => Err("nobody listens there".to_owned()),
            _ => Ok(json!(format!("{question:?}"))),
        };
        Box::pin(future::ready(answer))
    }
}

/// A control loop: serves every batch that is written over the last import.
pub(crate) async fn control(
    mut batches: mpsc::Receiver<Batch>,
    imports: watch::Sender<Option<Import>>,
    served: Arc<Mutex<Vec<usize>>>,
    mut interrupt: Option<Import>,
) {
    while let Some(batch) = batches.recv().await {
        if let Some(import) = interrupt.take() {
            imports.send_replace(Some(import));
        }
        let last = imports.borrow().as_ref().and_then(|import| import.over);
        let done = if batch.over == last {
            served.lock().unwrap().push(batch.layer.len());
            Done::Serving
        } else {
            Done::Overtaken
        };
        drop(batch.done.send(done));
    }
}

struct Desktop {
    api: Api,
    imports: watch::Sender<Option<Import>>,
    faults: watch::Sender<Arc<Vec<Fault>>>,
    /// Objects in the layer of each batch that was served.
    served: Arc<Mutex<Vec<usize>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Desktop {
    async fn new(text: &str) -> Self {
        Self::of(text, None, None).await
    }

    async fn of(text: &str, directory: Option<&Path>, interrupt: Option<Import>) -> Self {
        let (imports, imported) = watch::channel(Some(read(text)));
        let (batch_sender, batches) = mpsc::channel(1);
        let (faults, faults_seen) = watch::channel(Arc::default());
        let backups = Arc::new(Backups::open(directory.map(|path| path.join("backups")).as_deref()).unwrap());
        let name: Arc<str> = "tm1".into();
        let kept = Generations::open(directory).unwrap();
        let mut imported = imported;
        imported.mark_changed();
        let (desk, counter, current) =
            Desk::new(kept, imported, batch_sender, Arc::clone(&backups), Arc::clone(&name));
        let served = Arc::new(Mutex::default());
        let tasks = vec![
            tokio::spawn(desk.run()),
            tokio::spawn(control(batches, imports.clone(), Arc::clone(&served), interrupt)),
        ];
        let api = Api {
            current,
            counter,
            backups,
            observe: Arc::new(Seen),
            faults: faults_seen,
            identity: Identity { name, uuid: "u".to_owned(), platform: "p".to_owned() },
            keeps: directory.is_some(),
            large: Places::default(),
        };
        let desktop = Self { api, imports, faults, served, tasks };
        while desktop.api.current.load().is_none() {
            tokio::task::yield_now().await;
        }
        desktop
    }

    async fn ask(&self, method: &str, target: &str, media_type: Option<&str>, body: &[u8]) -> Answer {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let Some(target) = Target::read(path, query) else { return Answer::not_found() };
        let mut asked = Asked {
            method: method.parse().unwrap(),
            target,
            media_type: media_type.map(str::to_owned),
            accept: String::new(),
            body: crate::body::Body::default(),
        };
        if matches!(asked.method, Method::PUT | Method::POST) {
            match self.api.body_limit(&asked) {
                Ok(limit) => assert!(body.len() <= limit),
                Err(answer) => return answer,
            }
            asked.body = crate::body::Body::new(body.to_vec(), Place::default());
        }
        self.api.answer(asked).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None, b"").await
    }

    async fn put(&self, path: &str, properties: Json) -> Answer {
        let body = json!({ "properties": properties }).to_string();
        self.ask("PUT", path, Some("application/json"), body.as_bytes()).await
    }
}

fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

fn json_of(answer: Answer) -> Json {
    match answer.body {
        Body::Json(json) => json,
        other => panic!("no JSON: {other:?}"),
    }
}

fn names(answer: Answer) -> Vec<String> {
    let json = json_of(answer);
    let children = json["children"].as_array().unwrap().iter();
    children.map(|child| child["name"].as_str().unwrap().to_owned()).collect()
}

const ACTIVE: &str = "/api/tm/8.3/config/active";

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
