//! `status/<tm>/backups/full`: making, listing, downloading, uploading, restoring and deleting backups.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use tidegate_config::rest::Refusal;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Api, Asked, MAX_ARCHIVE_BODY, MAX_JSON_BODY, cannot_be_made, configuration::noted};
use crate::{
    answer::{self, Answer},
    backups::{Backups, Saved, description, new_about, pack, unpack},
    body::Body,
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
        Method::PUT => make(api, name, asked.body).await,
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

async fn make(api: &Api, name: &str, body: Body) -> Result<Answer, Refusal> {
    let given = description(&body)?;
    drop(body);
    let place = api.large.archive().await?;
    let before = api.backups.about(name);
    let Some(current) = api.current.load_full() else {
        return Err(Refusal::new("service.starting", "the documents have not been read yet"));
    };
    let owned = name.to_owned();
    let existing = before.clone();
    let about = blocking(api, move |backups| {
        let _place = place;
        if let Some(mut about) = existing {
            // What was saved stays; only its description can be changed.
            let Saved { whole, .. } = backups.load(&owned)?;
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
    Ok(Answer::new(status, answer::Body::Json(about.shown())))
}

async fn restore(api: &Api, name: &str) -> Result<Answer, Refusal> {
    let owned = name.to_owned();
    let place = api.large.archive().await?;
    let (saved, place) = blocking(api, move |backups| Ok((backups.load(&owned)?, place))).await?;
    let Saved { about, whole, left_out } = saved;
    let written = api.counter.write(Write::Restore { whole: Arc::new(whole), _place: place }).await?;
    Ok(with_left_out(noted(api, Answer::json(about.shown()), &written), name, &left_out))
}

async fn download(api: &Api, name: &str) -> Result<Answer, Refusal> {
    let name = name.to_owned();
    let sent = api.large.sent().await?;
    let place = api.large.archive().await?;
    let archive = blocking(api, move |backups| {
        let _place = place;
        let Saved { about, whole, .. } = backups.load(&name)?;
        Ok(Body::new(pack(&about, &whole)?, sent))
    })
    .await?;
    Ok(Answer::bytes(TAR, archive.into_answer()))
}

async fn upload(api: &Api, name: &str, archive: Body) -> Result<Answer, Refusal> {
    let is_new = api.backups.about(name).is_none();
    let owned = name.to_owned();
    let left_out = blocking(api, move |backups| {
        let Saved { about, whole, left_out } = unpack(&archive)?;
        backups.save(&owned, about, &whole)?;
        Ok(left_out)
    })
    .await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    Ok(with_left_out(Answer::new(status, answer::Body::Nothing), name, &left_out))
}

/// Tells what of a backup does not count, here and in the log.
fn with_left_out(mut answer: Answer, name: &str, left_out: &[String]) -> Answer {
    for sentence in left_out {
        warn!("of the backup {name:?}: {sentence}");
    }
    // First: there is a bound, and nothing else says it to the client.
    answer.notices.splice(0..0, left_out.iter().map(|sentence| format!("left-out; {sentence}")));
    answer
}
