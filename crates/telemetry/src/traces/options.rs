//! How spans are sampled, described and sent.

use std::{fmt, path::PathBuf, time::Duration};

use super::{endpoint::Endpoint, sampler::Sampler};

/// Most spans that may wait, whatever is set.
pub const MAX_QUEUE: usize = 1 << 20;
/// Most spans in one request to the collector, whatever is set.
pub const MAX_BATCH: usize = 8192;
/// Spans that may wait unless set.
const QUEUE: usize = 8192;
/// Spans in one request unless set.
const BATCH: usize = 512;
/// Time between two looks for spans unless set.
const DELAY: Duration = Duration::from_secs(5);
/// Time for one request unless set.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What describes the sender of all spans: attributes by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource(pub Vec<(String, String)>);

/// How tracing works.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// Where spans go.
    pub endpoint: Endpoint,
    /// Further header fields of requests. Values may be secrets.
    pub headers: Vec<(String, String)>,
    /// Time for one request.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Authorities that the collector's certificate is verified by, PEM; `None` = those of the machine.
    pub authorities: Option<PathBuf>,
    /// Which requests are recorded.
    pub sampler: Sampler,
    /// The sender.
    pub resource: Resource,
    /// Time between two looks for spans; a buffer that is half full does not wait for it.
    pub delay: Duration,
    /// Spans that may wait; as many again may be on their way.
    pub queue: usize,
    /// Spans in one request.
    pub batch: usize,
}

impl Options {
    /// Sends to `endpoint`, with every default.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            timeout: TIMEOUT,
            gzip: false,
            authorities: None,
            sampler: Sampler::default(),
            resource: Resource::default(),
            delay: DELAY,
            queue: QUEUE,
            batch: BATCH,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Options")
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .field("sampler", &self.sampler)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}
