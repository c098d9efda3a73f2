//! `status/<tm>/backups/full`: making, listing, downloading, uploading, restoring and deleting backups.

use std::sync::Arc;

use hyper::{Method, StatusCode, body::Bytes};
use tidegate_config::rest::Refusal;
use tokio::task::spawn_blocking;

use super::{Api, Asked, MAX_ARCHIVE_BODY, MAX_JSON_BODY, cannot_be_made, configuration::noted};
use crate::{
    answer::{Answer, Body},
    backups::{Backups, description, new_about, pack, unpack},
    desk::Write,
};

const TAR: &str = "application/x-tar";
const ALLOWED: &str = "GET, HEAD, PUT, POST, DELETE";

/// The most bytes of a body, or why none is read.
pub(super) fn body_limit(segments: &[String], asked: &Asked) -> Result<usize, Answer> {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["backups", "full", _] if is_archive(asked) => Ok(MAX_ARCHIVE_BODY),
        ["backups", "full", _] if asked.method == Method::PUT => Ok(MAX_JSON_BODY),
        ["backups", "full", _] => {
            Err(Answer::refused("http.unsupported_media_type", format!("an archive is sent as {TAR}")))
        }
        _ if asked.method == Method::PUT => Err(cannot_be_made()),
        _ => Err(Answer::not_allowed("GET, HEAD")),
    }
}

fn is_archive(asked: &Asked) -> bool {
    asked.media_type.as_deref() == Some(TAR)
}

/// Answers for the backup `name`.
pub(super) async fn answer(api: &Api, name: &str, asked: Asked) -> Answer {
    let outcome = match asked.method {
        Method::GET if asked.accept.contains(TAR) => download(api, name).await,
        Method::GET => match api.backups.about(name) {
            Some(about) => Ok(Answer::json(about.shown())),
            None => Ok(Answer::not_found()),
        },
        Method::PUT | Method::POST if is_archive(&asked) => upload(api, name, asked.body).await,
        Method::PUT if asked.target.restore => restore(api, name).await,
        Method::PUT => make(api, name, &asked.body).await,
        Method::DELETE => {
            let name = name.to_owned();
            blocking(api, move |backups| backups.delete(&name)).await.map(|()| Answer::nothing())
        }
        _ => Ok(Answer::not_allowed(ALLOWED)),
    };
    outcome.unwrap_or_else(|refusal| Answer::refusal(&refusal))
}

/// Runs what blocks for the disk.
async fn blocking<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Backups) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let backups = Arc::clone(&api.backups);
    spawn_blocking(move || work(&backups))
        .await
        .unwrap_or_else(|error| Err(Refusal::new("service.failed", error.to_string())))
}

async fn make(api: &Api, name: &str, body: &[u8]) -> Result<Answer, Refusal> {
    let given = description(body)?;
    let before = api.backups.about(name);
    let Some(current) = api.current.load_full() else {
        return Err(Refusal::new("service.starting", "the documents have not been read yet"));
    };
    let owned = name.to_owned();
    let existing = before.clone();
    let about = blocking(api, move |backups| {
        if let Some(mut about) = existing {
            // What was saved stays; only its description can be changed.
            let (_, whole) = backups.load(&owned)?;
            if let Some(given) = given {
                about.description = given;
            }
            backups.save(&owned, about.clone(), &whole)?;
            return Ok(about);
        }
        let about = new_about(given.unwrap_or_default());
        backups.save(&owned, about.clone(), &current.running().everything())?;
        Ok(about)
    })
    .await?;
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(Answer::new(status, Body::Json(about.shown())))
}

async fn restore(api: &Api, name: &str) -> Result<Answer, Refusal> {
    let owned = name.to_owned();
    let (about, whole) = blocking(api, move |backups| backups.load(&owned)).await?;
    let written = api.counter.write(Write::Restore(Arc::new(whole))).await?;
    Ok(noted(api, Answer::json(about.shown()), &written))
}

async fn download(api: &Api, name: &str) -> Result<Answer, Refusal> {
    let name = name.to_owned();
    let archive = blocking(api, move |backups| {
        let (about, whole) = backups.load(&name)?;
        pack(&about, &whole)
    })
    .await?;
    Ok(Answer::bytes(TAR, archive.into()))
}

async fn upload(api: &Api, name: &str, archive: Bytes) -> Result<Answer, Refusal> {
    let is_new = api.backups.about(name).is_none();
    let name = name.to_owned();
    blocking(api, move |backups| {
        let (about, whole) = unpack(&archive)?;
        backups.save(&name, about, &whole)
    })
    .await?;
    Ok(if is_new { Answer::new(StatusCode::CREATED, Body::Nothing) } else { Answer::nothing() })
}
