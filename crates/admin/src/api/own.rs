//! `/api/tidegate`: what is Tidegate's own and no part of the tree of the vTM.
//!
//! ```text
//! events?after=N            the events of the log, as far as they are remembered
//! explain                   POST a request: what would become of it
//! export?secrets=…          the running configuration as one document; secrets as references, files or in clear
//! nodes/<pool>              the nodes of a pool, with everything that is known of them
//! ```

use std::net::{IpAddr, Ipv4Addr};

use hyper::{Method, Uri, http::uri::Authority};
use serde_json::{Map, Value as Json, json};
use tidegate_config::rest::{
    Type,
    export::{SecretFile, Secrets},
    is_shallow,
};

use super::{Api, Asked, MAX_JSON_BODY, cannot_be_made, path_of};
use crate::{answer::Answer, observe::Question};

/// Its name below `/api`.
pub(super) const ROOT: &str = "tidegate";
/// What is asked by POST and changes nothing.
pub(crate) const EXPLAIN: &str = "/api/tidegate/explain";
/// Most header fields of a request to be explained.
const MAX_HEADERS: usize = 100;

const READ: &str = "GET, HEAD";
const ASK: &str = "POST";

/// The most bytes of a body, or why none is read.
pub(super) fn body_limit(segments: &[String], asked: &Asked) -> Result<usize, Answer> {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (words.as_slice(), &asked.method) {
        (["explain"], &Method::POST) => Ok(MAX_JSON_BODY),
        (["explain"], _) => Err(Answer::not_allowed(ASK)),
        ([] | ["events" | "export" | "nodes"] | ["nodes", _], &Method::PUT) => Err(cannot_be_made()),
        ([] | ["events" | "export" | "nodes"] | ["nodes", _], _) => Err(Answer::not_allowed(READ)),
        _ => Err(Answer::not_found()),
    }
}

pub(super) async fn answer(api: &Api, segments: &[String], path: &[String], asked: Asked) -> Answer {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let here = path_of(path);
    match (words.as_slice(), &asked.method) {
        (["explain"], &Method::POST) => explain(api, &asked.body).await,
        (["explain"], _) => Answer::not_allowed(ASK),
        ([], &Method::GET) => Answer::children(
            &here,
            [("events", false), ("explain", false), ("export", false), ("nodes", true)],
        ),
        (["events"], &Method::GET) => {
            let (events, seen) = api.observe.events(asked.target.after);
            Answer::json(json!({ "events": events, "seen": seen }))
        }
        (["export"], &Method::GET) => export(api, asked.target.secrets).await,
        (["nodes"], &Method::GET) => {
            let current = api.current.load_full();
            let names = match (&current, Type::of("pools")) {
                (Some(current), Some(pools)) => current.running().names(pools),
                _ => Vec::new(),
            };
            Answer::children(&here, names.into_iter().map(|name| (name, false)))
        }
        (["nodes", pool], &Method::GET) => match api.observe.nodes(pool) {
            Some(nodes) => Answer::json(nodes),
            None => Answer::not_found(),
        },
        ([] | ["events" | "export" | "nodes"] | ["nodes", _], _) => Answer::not_allowed(READ),
        _ => Answer::not_found(),
    }
}

async fn export(api: &Api, secrets: Secrets) -> Answer {
    let Some(current) = api.current.load_full() else {
        return Answer::refused("service.starting", "the documents have not been read yet");
    };
    // Takes time in proportion to the configuration.
    let place = match api.large.archive().await {
        Ok(place) => place,
        Err(refusal) => return Answer::refusal(&refusal),
    };
    let exported = tokio::task::spawn_blocking(move || {
        let _place = place;
        current.running().export(secrets)
    });
    let exported = exported.await;
    match exported {
        Ok(export) => {
            let file = |(path, file): (String, SecretFile)| {
                (path, json!({ "key": file.key, "content": file.content }))
            };
            let files: Map<String, Json> = export.files.into_iter().map(file).collect();
            Answer::json(json!({ "document": export.document, "files": files, "notes": export.notes }))
        }
        Err(error) => Answer::refused("service.failed", format!("the export failed: {error}")),
    }
}

async fn explain(api: &Api, body: &[u8]) -> Answer {
    let question = match question(body) {
        Ok(question) => question,
        Err(reason) => return Answer::refused("explain.invalid", reason),
    };
    match api.observe.explain(question).await {
        Ok(explanation) => Answer::json(json!({ "explanation": explanation })),
        Err(reason) => Answer::refused("explain.impossible", reason),
    }
}

/// Reads `{"url": …, "method": …, "headers": [[name, value], …], "client": …, "virtual_server": …}`.
fn question(body: &[u8]) -> Result<Question, String> {
    const KEYS: [&str; 5] = ["url", "method", "headers", "client", "virtual_server"];
    if !is_shallow(body) {
        return Err("the body is nested too deeply".to_owned());
    }
    let asked: Map<String, Json> =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON object: {error}"))?;
    if let Some(key) = asked.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("there is no member “{key}”; there are {}", KEYS.join(", ")));
    }
    let text = |name: &str| match asked.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("{name} is no string")),
    };
    let url = text("url")?.ok_or("the member “url” is missing")?;
    let uri: Uri = url.parse().map_err(|error| format!("“{url}” is no URL: {error}"))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(format!("“{url}” does not begin with http:// or https://")),
    };
    let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        return Err("leave user and password out of the URL".to_owned());
    }
    let client = match text("client")? {
        Some(client) => client.parse().map_err(|_| format!("client: “{client}” is no IP address"))?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    Ok(Question {
        method: text("method")?.unwrap_or("GET").to_owned(),
        secure,
        host: uri.host().unwrap_or_default().to_owned(),
        port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        authority: authority.to_owned(),
        target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: headers(asked.get("headers"))?,
        client,
        virtual_server: text("virtual_server")?.map(str::to_owned),
    })
}

fn headers(given: Option<&Json>) -> Result<Vec<(String, String)>, String> {
    let expected = || "headers is a list of [name, value]".to_owned();
    let rows = match given {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(rows)) => rows,
        Some(_) => return Err(expected()),
    };
    if rows.len() > MAX_HEADERS {
        return Err(format!("there are {} header fields; at most {MAX_HEADERS} are looked at", rows.len()));
    }
    let field = |row: &Json| match row.as_array().map(Vec::as_slice) {
        Some([Json::String(name), Json::String(value)]) => Ok((name.clone(), value.clone())),
        _ => Err(expected()),
    };
    rows.iter().map(field).collect()
}
