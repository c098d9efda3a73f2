//! `status/<tm>`: who this is, how it is, and its counters.

use hyper::Method;
use serde_json::{Value as Json, json};

use super::{Api, Asked, cannot_be_made, path_of, saved};
use crate::{
    RELEASE,
    answer::Answer,
    observe::{Group, NoCounters, PoolState, ServerState},
};

/// Most errors that `state` shows.
const MAX_ERRORS: usize = 500;

pub(super) async fn answer(api: &Api, segments: &[String], path: &[String], asked: Asked) -> Answer {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["backups", "full", name] = words.as_slice() {
        return saved::answer(api, name, asked).await;
    }
    let found = found(api, &words, path).await;
    match asked.method {
        Method::GET => found.unwrap_or_else(Answer::not_found),
        _ if found.is_none() => Answer::not_found(),
        Method::PUT => cannot_be_made(),
        _ => Answer::not_allowed("GET, HEAD"),
    }
}

/// What there is to read at a path.
async fn found(api: &Api, words: &[&str], path: &[String]) -> Option<Answer> {
    let here = path_of(path);
    let directory = |names: &[&str]| Answer::children(&here, names.iter().map(|name| (*name, true)));
    match words {
        [] => Some(Answer::children(
            &here,
            [("backups", true), ("information", false), ("state", false), ("statistics", true)],
        )),
        ["backups"] => Some(directory(&["full"])),
        ["backups", "full"] => {
            let names = api.backups.names();
            Some(Answer::children(&here, names.iter().map(|name| (name.as_str(), false))))
        }
        ["information"] => Some(information(api)),
        ["state"] => Some(state(api)),
        ["statistics", rest @ ..] => statistics(api, rest, &here).await,
        _ => None,
    }
}

fn information(api: &Api) -> Answer {
    Answer::json(json!({ "information": {
        "platform": api.identity.platform, "tm_version": RELEASE, "uuid": api.identity.uuid,
    } }))
}

fn state(api: &Api) -> Answer {
    let faults = api.faults.borrow().clone();
    let running = api.observe.running();
    let level = if faults.iter().any(|fault| fault.error) {
        "error"
    } else if faults.is_empty() && running.failed_nodes.is_empty() {
        "ok"
    } else {
        "warn"
    };
    // Errors first: the bound must not hide them behind warnings.
    let (errors, warnings): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.error);
    let mut texts: Vec<Json> =
        errors.into_iter().chain(warnings).take(MAX_ERRORS).map(|fault| fault.text.as_str().into()).collect();
    if faults.len() > MAX_ERRORS {
        texts.push(format!("{} more are in the log", faults.len() - MAX_ERRORS).into());
    }
    let pools: Vec<Json> = running.pools.iter().map(pool).collect();
    let servers: Vec<Json> = running.virtual_servers.iter().map(server).collect();
    let failed: Vec<Json> =
        running.failed_nodes.iter().map(|(node, pools)| json!({ "node": node, "pools": pools })).collect();
    Answer::json(json!({ "state": {
        "error_level": level,
        "errors": texts,
        "failed_nodes": failed,
        "license": "not needed",
        "pools": pools,
        "tip_errors": [],
        "virtual_servers": servers,
    } }))
}

fn pool(pool: &PoolState) -> Json {
    let PoolState { name, active_nodes, disabled_nodes, draining_nodes, failure_pool } = pool;
    json!({
        "name": name,
        "active_nodes": active_nodes,
        "disabled_nodes": disabled_nodes,
        "draining_nodes": draining_nodes,
        "failure_pool": failure_pool,
    })
}

fn server(server: &ServerState) -> Json {
    let ServerState { name, pool, port, throughput } = server;
    json!({ "name": name, "pool": pool, "port": port, "throughput": throughput, "ts_redirect_pools": [] })
}

/// Groups lie one or two levels deep; below a group with objects lie their names.
async fn statistics(api: &Api, rest: &[&str], here: &str) -> Option<Answer> {
    let mut groups = api.observe.groups();
    groups.sort_by_key(|group| group.path);
    for length in (1..=rest.len().min(2)).rev() {
        let (head, tail) = rest.split_at_checked(length)?;
        let path = head.join("/");
        let Some(group) = groups.iter().find(|group| group.path == path) else { continue };
        return match (group.has_objects, tail) {
            (false, []) => counters(api, group, "").await,
            (true, []) => {
                let mut names = api.observe.objects(group.path).await;
                names.sort();
                Some(Answer::children(here, names.iter().map(|name| (name.as_str(), false))))
            }
            (true, [name]) => counters(api, group, name).await,
            _ => None,
        };
    }
    if rest.len() > 1 {
        return None;
    }
    let mut children: Vec<(&str, bool)> = Vec::new();
    for group in &groups {
        let below = match rest {
            [directory] => match group.path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')) {
                Some(below) => below,
                None => continue,
            },
            _ => group.path,
        };
        let child = match below.split_once('/') {
            Some((directory, _)) => (directory, true),
            None => (below, group.has_objects),
        };
        if !children.contains(&child) {
            children.push(child);
        }
    }
    let is_there = rest.is_empty() || !children.is_empty();
    is_there.then(|| Answer::children(here, children))
}

async fn counters(api: &Api, group: &Group, object: &str) -> Option<Answer> {
    Some(match api.observe.counters(group.path, object).await? {
        Ok(counters) => Answer::json(json!({ "statistics": counters })),
        Err(NoCounters) => Answer::refused("statistics.no_counters", "this object has no counters now"),
    })
}
