//! The tree of the interface over documents in memory and a control loop of a few lines.

mod saved;
mod sequences;
mod status;
mod tree;
mod writes;

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
