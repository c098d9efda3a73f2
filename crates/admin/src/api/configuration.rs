//! `config/active`: collections, objects and singletons.

use hyper::{Method, StatusCode, body::Bytes};
use tidegate_config::rest::{
    Type, Version,
    place::{self, Place},
};

use super::{Api, Asked, MAX_JSON_BODY, MAX_RAW_BODY, cannot_be_made, path_of};
use crate::{
    answer::{Answer, Body},
    desk::{Write, Written},
};

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";
const READ: &str = "GET, HEAD";
const READ_WRITE: &str = "GET, HEAD, PUT";
const ALL: &str = "GET, HEAD, PUT, DELETE";

/// The most bytes of a body, or why none is read.
pub(super) fn body_limit(version: Version, segments: &[String], asked: &Asked) -> Result<usize, Answer> {
    let Some(place) = place::place(version, segments) else { return Err(Answer::not_found()) };
    if asked.method != Method::PUT {
        return Err(Answer::not_allowed(allowed(place)));
    }
    match place {
        Place::Directory => Err(cannot_be_made()),
        Place::Collection(_) => Err(Answer::not_allowed(READ)),
        Place::Object(of, _) | Place::Singleton(of) => {
            check_media_type(of, asked.media_type.as_deref())?;
            Ok(if of.is_raw() { MAX_RAW_BODY } else { MAX_JSON_BODY })
        }
    }
}

/// Clients tell raw collections from others by the 415 that JSON gets there.
fn check_media_type(of: Type, given: Option<&str>) -> Result<(), Answer> {
    let (fits, wanted) = match given {
        None => (true, ""),
        Some(given) if of.is_raw() => (given != JSON, OCTETS),
        Some(given) => (given == JSON, JSON),
    };
    if fits {
        return Ok(());
    }
    Err(Answer::refused("http.unsupported_media_type", format!("send this resource as {wanted}")))
}

fn allowed(place: Place<'_>) -> &'static str {
    match place {
        Place::Directory | Place::Collection(_) => READ,
        Place::Singleton(_) => READ_WRITE,
        Place::Object(of, _) if of.is_machines() => READ_WRITE,
        Place::Object(..) => ALL,
    }
}

pub(super) async fn answer(
    api: &Api,
    version: Version,
    segments: &[String],
    path: &[String],
    asked: Asked,
) -> Answer {
    let Some(place) = place::place(version, segments) else { return Answer::not_found() };
    match (asked.method.clone(), place) {
        (Method::GET, _) => read(api, version, place, segments, path, &asked),
        (Method::PUT, Place::Object(of, name)) => put(api, version, of, name, asked).await,
        (Method::PUT, Place::Singleton(of)) => put(api, version, of, "", asked).await,
        (Method::PUT, Place::Directory) => cannot_be_made(),
        (Method::DELETE, Place::Object(of, name)) if !of.is_machines() => {
            let write = Write::Delete { of, name: name.to_owned() };
            match api.counter.write(write).await {
                Ok(written) => noted(api, Answer::nothing(), &written),
                Err(refusal) => Answer::refusal(&refusal),
            }
        }
        _ => Answer::not_allowed(allowed(place)),
    }
}

fn read(
    api: &Api,
    version: Version,
    place: Place<'_>,
    segments: &[String],
    path: &[String],
    asked: &Asked,
) -> Answer {
    let Some(current) = api.current.load_full() else {
        return Answer::refused("service.starting", "the documents have not been read yet");
    };
    let running = current.running();
    match place {
        Place::Directory => {
            let children = place::children(version, segments);
            Answer::children(&path_of(path), children.iter().map(|(name, more)| (name.as_str(), *more)))
        }
        Place::Collection(of) => {
            Answer::children(&path_of(path), running.names(of).into_iter().map(|name| (name, false)))
        }
        Place::Object(of, name) if of.is_raw() => match running.content(of, name) {
            Some(content) => Answer::bytes(OCTETS, Bytes::from_owner(content)),
            None => Answer::not_found(),
        },
        Place::Object(of, name) => match running.get(version, of, name, &asked.target.expert) {
            Some(shown) => Answer::json(shown),
            None => Answer::not_found(),
        },
        Place::Singleton(of) => match running.get(version, of, "", &asked.target.expert) {
            Some(shown) => Answer::json(shown),
            None => Answer::not_found(),
        },
    }
}

async fn put(api: &Api, version: Version, of: Type, name: &str, asked: Asked) -> Answer {
    let name = name.to_owned();
    let write = if of.is_raw() {
        let (content, place) = asked.body.into_content();
        Write::PutContent { of, name, content, _place: place }
    } else {
        Write::Put { version, of, name, expert: asked.target.expert, body: asked.body }
    };
    let written = match api.counter.write(write).await {
        Ok(written) => written,
        Err(refusal) => return Answer::refusal(&refusal),
    };
    let status = match (written.created, of.is_raw()) {
        (true, _) => StatusCode::CREATED,
        (false, true) => StatusCode::NO_CONTENT,
        (false, false) => StatusCode::OK,
    };
    let body = match &written.shown {
        Some(shown) => Body::Json(shown.clone()),
        None => Body::Nothing,
    };
    noted(api, Answer::new(status, body), &written)
}

/// Tells the writer what will undo the change, and what of it does nothing.
pub(super) fn noted(api: &Api, mut answer: Answer, written: &Written) -> Answer {
    let has_documents = api.current.load().as_ref().is_some_and(|current| current.imported.has_documents());
    if has_documents {
        answer.notices.push(
            "undone-by-next-import; documents are watched, and the next import of changed documents undoes this"
                .to_owned(),
        );
    }
    if !api.keeps {
        answer.notices.push("not-kept; without a state directory this is lost at the next start".to_owned());
    }
    answer.notices.extend(written.errors.iter().map(|error| format!("does-not-run; {error}")));
    answer.notices.extend(written.not_acted_on.iter().map(|told| format!("not-acted-on; {told}")));
    answer
}
