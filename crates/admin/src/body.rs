//! What is large in memory: bodies of requests and archives, each with its place among a few.
//!
//! A place is held for as long as the bytes are: from the first byte of a body until the write it asks for is
//! answered, even when the client has gone meanwhile.

use std::{ops::Deref, sync::Arc, time::Duration};

use hyper::body::Bytes;
use tidegate_config::rest::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is larger than this needs a place, bytes.
pub(crate) const LARGE: usize = 256 << 10;
/// Large bodies in memory at a time.
const MAX_BODIES: usize = 4;
/// Whole configurations that are made into backups, or read from them, at a time: each takes a multiple of its size.
const MAX_ARCHIVES: usize = 1;
/// Archives that are being sent at a time. Not the place above: whoever reads slowly keeps nobody from making backups.
const MAX_SENT: usize = 4;
/// Longest wait for a place.
const PLACE_LIMIT: Duration = Duration::from_secs(30);

/// Places for what is large.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    bodies: Arc<Semaphore>,
    archives: Arc<Semaphore>,
    sent: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self { bodies: of(MAX_BODIES), archives: of(MAX_ARCHIVES), sent: of(MAX_SENT) }
    }
}

impl Places {
    /// A place for the body of a write, when one is free.
    pub(crate) async fn body(&self) -> Result<Place, Refusal> {
        take(&self.bodies, "too many large bodies at a time; try again").await
    }

    /// A place for a whole configuration, when it is free.
    pub(crate) async fn archive(&self) -> Result<Place, Refusal> {
        take(&self.archives, "another backup is being made or read; try again").await
    }

    /// A place for an archive that is sent, when one is free. To be had before that of [`Places::archive`].
    pub(crate) async fn sent(&self) -> Result<Place, Refusal> {
        take(&self.sent, "too many backups are being sent at a time; try again").await
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> (usize, usize) {
        (self.bodies.available_permits(), self.archives.available_permits())
    }
}

async fn take(places: &Arc<Semaphore>, busy: &str) -> Result<Place, Refusal> {
    match tokio::time::timeout(PLACE_LIMIT, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(Place { _permit: Some(permit) }),
        _ => Err(Refusal::new("service.busy", busy)),
    }
}

/// A place, given back when this is dropped. What is small has none.
#[derive(Debug, Default)]
pub(crate) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Bytes with their place.
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    place: Place,
}

impl Body {
    pub(crate) fn new(bytes: Vec<u8>, place: Place) -> Self {
        Self { bytes, place }
    }

    /// The bytes as a raw object keeps them, and the place that they have until they are kept.
    pub(crate) fn into_content(self) -> (Arc<[u8]>, Place) {
        (self.bytes.into(), self.place)
    }

    /// The bytes as an answer; the place is given back when the last of them was sent.
    pub(crate) fn into_answer(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
