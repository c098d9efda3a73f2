//! The tree of the interface: which path is answered by what.
//!
//! ```text
//! /api/tm/<version>/config/active/…       configuration
//! /api/tm/<version>/status/<tm>/…         status, backups
//! /api/tidegate/…                         what is Tidegate's own
//! ```

mod configuration;
mod own;
mod saved;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use hyper::Method;
use tidegate_config::rest::Version;
use tokio::sync::watch;

pub(crate) use self::own::EXPLAIN;
use crate::{
    answer::Answer,
    backups::Backups,
    body::{Body, Places},
    desk::{Counter, Current},
    observe::{Fault, Observe},
    request::Target,
};

/// Largest body of a resource with properties, bytes.
pub(crate) const MAX_JSON_BODY: usize = 8 << 20;
/// Largest raw resource, bytes. Clients send at most 20 480 000.
pub(crate) const MAX_RAW_BODY: usize = 20 << 20;
/// Largest backup archive, bytes.
pub(crate) const MAX_ARCHIVE_BODY: usize = 128 << 20;

/// A request that was let in.
#[derive(Debug)]
pub(crate) struct Asked {
    /// GET for HEAD as well.
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// Without parameters, lower case.
    pub(crate) media_type: Option<String>,
    pub(crate) accept: String,
    pub(crate) body: Body,
}

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Api {
    /// `None` until documents were read for the first time.
    pub(crate) current: Arc<ArcSwapOption<Current>>,
    pub(crate) counter: Counter,
    pub(crate) backups: Arc<Backups>,
    pub(crate) observe: Arc<dyn Observe>,
    pub(crate) faults: watch::Receiver<Arc<Vec<Fault>>>,
    pub(crate) identity: Identity,
    /// Whether what is written outlives the process.
    pub(crate) keeps: bool,
    /// Places for large bodies and whole configurations.
    pub(crate) large: Places,
}

/// Who this traffic manager is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Its name.
    pub(crate) name: Arc<str>,
    pub(crate) uuid: String,
    pub(crate) platform: String,
}

/// A path, taken apart.
enum Route<'a> {
    /// Children by name.
    Directory(Vec<&'a str>),
    /// Below `config/active`.
    Configuration(Version, &'a [String]),
    /// Below `status/<tm>`.
    Status(&'a [String]),
    /// Below `/api/tidegate`.
    Own(&'a [String]),
    Nothing,
}

impl Api {
    /// The most bytes the body of a PUT or POST may have, or why there is none to be read.
    pub(crate) fn body_limit(&self, asked: &Asked) -> Result<usize, Answer> {
        match self.route(&asked.target.segments) {
            Route::Configuration(version, rest) => configuration::body_limit(version, rest, asked),
            Route::Status(rest) => saved::body_limit(rest, asked),
            Route::Own(rest) => own::body_limit(rest, asked),
            Route::Directory(_) => Err(cannot_be_made()),
            Route::Nothing => Err(Answer::not_found()),
        }
    }

    /// The answer to a request.
    pub(crate) async fn answer(&self, asked: Asked) -> Answer {
        let segments = asked.target.segments.clone();
        match self.route(&segments) {
            Route::Directory(children) => match asked.method {
                Method::GET => {
                    Answer::children(&path_of(&segments), children.into_iter().map(|name| (name, true)))
                }
                Method::PUT => cannot_be_made(),
                _ => Answer::not_allowed("GET, HEAD"),
            },
            Route::Configuration(version, rest) => {
                configuration::answer(self, version, rest, &segments, asked).await
            }
            Route::Status(rest) => status::answer(self, rest, &segments, asked).await,
            Route::Own(rest) => own::answer(self, rest, &segments, asked).await,
            Route::Nothing => Answer::not_found(),
        }
    }

    fn route<'a>(&'a self, segments: &'a [String]) -> Route<'a> {
        let (Some("api") | None) = segments.first().map(String::as_str) else { return Route::Nothing };
        // Not among the children of `/api`: clients that walk the tree find the one they know.
        if segments.get(1).map(String::as_str) == Some(own::ROOT) {
            return Route::Own(segments.get(2..).unwrap_or_default());
        }
        let (Some("tm") | None) = segments.get(1).map(String::as_str) else { return Route::Nothing };
        let version = match segments.get(2) {
            Some(text) => match Version::parse(text) {
                Some(version) => version,
                None => return Route::Nothing,
            },
            None => {
                return Route::Directory(match segments.len() {
                    0 => vec!["api"],
                    1 => vec!["tm"],
                    _ => Version::all().map(Version::text).collect(),
                });
            }
        };
        let words: Vec<&str> = segments.iter().skip(3).take(2).map(String::as_str).collect();
        match words.as_slice() {
            [] => Route::Directory(vec!["config", "status"]),
            ["config"] => Route::Directory(vec!["active"]),
            ["status"] => Route::Directory(vec![LOCAL]),
            ["config", "active"] => Route::Configuration(version, segments.get(5..).unwrap_or_default()),
            ["status", name] if *name == LOCAL || **name == *self.identity.name => {
                Route::Status(segments.get(5..).unwrap_or_default())
            }
            _ => Route::Nothing,
        }
    }
}

/// This traffic manager, whatever its name.
const LOCAL: &str = "local_tm";

/// The path of these segments as it stands in links, without a final slash.
fn path_of(segments: &[String]) -> String {
    segments.iter().fold(String::new(), |path, segment| path + "/" + &crate::request::encoded(segment))
}

fn cannot_be_made() -> Answer {
    Answer::refused("resource.forbidden", "nothing can be made here")
}
