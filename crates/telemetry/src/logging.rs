//! The event log: `tracing` to standard output, one line per event, for people or for machines.
//!
//! Lines go through a bounded queue to a thread of their own, so that a terminal or pipe that does not take them
//! stops no worker; lines that do not fit are dropped and counted. Events that can repeat without end are
//! held back with an [`EventLimit`].

mod human;

use std::{
    fmt, io,
    str::FromStr,
    sync::OnceLock,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tidegate_model::Moment;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt};

use crate::events::Collector;

/// Most lines that wait for standard output.
pub const MAX_WAITING_LINES: usize = 8192;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-01-31T12:00:00.123Z  INFO message key=value …`
    #[default]
    Human,
    /// One JSON object per line: `timestamp`, `level`, `target`, `message` and every field by its name.
    Json,
}

/// Names of the choices of [`LogFormat`], for `--help`.
pub const LOG_FORMATS: [&str; 2] = ["human", "json"];

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(format!("unknown log format {text:?}; it is human or json")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

/// Why the event log could not be set up.
#[derive(Debug)]
pub enum LoggingError {
    /// The filter is no list of `target=level`.
    Filter(String),
    /// Somebody else set up `tracing` for this process already.
    AlreadySet,
}

impl fmt::Display for LoggingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(why) => write!(
                out,
                "log filter: {why}; write a level (info) or a list such as info,tidegate_pool=debug"
            ),
            Self::AlreadySet => out.write_str("the event log of this process is set up already"),
        }
    }
}

impl std::error::Error for LoggingError {}

/// Keeps the event log going. Dropping it writes the waiting lines, for a second at most.
#[must_use = "dropping it ends the event log"]
#[derive(Debug)]
pub struct Logging {
    _guard: WorkerGuard,
}

/// Counts lines that standard output did not take; set with the event log.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines of the event log dropped because standard output did not take them.
pub fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// Sends the events of this process to standard output. `filter` is a level (`info`) or a list of `target=level`.
pub fn init(format: LogFormat, filter: &str) -> Result<Logging, LoggingError> {
    let filter = EnvFilter::try_new(filter).map_err(|error| LoggingError::Filter(error.to_string()))?;
    let (lines, guard) = queue(io::stdout());
    let dropped = lines.error_counter();
    subscribe(format, filter, lines).map_err(|_| LoggingError::AlreadySet)?;
    // It was set up just now, for the first time.
    drop(DROPPED.set(dropped));
    Ok(Logging { _guard: guard })
}

fn queue(out: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .thread_name("event-log")
        .finish(out)
}

fn subscribe(
    format: LogFormat,
    filter: EnvFilter,
    lines: NonBlocking,
) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    match format {
        LogFormat::Human => tracing::subscriber::set_global_default(human(filter, lines)),
        LogFormat::Json => tracing::subscriber::set_global_default(json(filter, lines)),
    }
}

fn human<W>(filter: EnvFilter, lines: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(human::Fields)
        .event_format(human::OneLine)
        .with_ansi(false)
        .with_writer(lines);
    collecting(layer.with_filter(filter))
}

fn json<W>(filter: EnvFilter, lines: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(lines);
    collecting(layer.with_filter(filter))
}

/// The lines, and beside them the events, which the filter of the lines does not concern.
fn collecting(lines: impl Layer<Registry> + Send + Sync + 'static) -> impl tracing::Subscriber + Send + Sync {
    Registry::default().with(lines).with(Collector.with_filter(Collector::filter()))
}

/// A time as log lines have it, RFC 3339 with milliseconds.
pub fn timestamp(since_1970: Duration) -> String {
    let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

/// Events held back by any limit since the process began.
static HELD_BACK: AtomicU64 = AtomicU64::new(0);

/// Events held back by any [`EventLimit`] since the process began.
pub fn held_back() -> u64 {
    HELD_BACK.load(Relaxed)
}

/// Lets an event that may repeat be logged a limited number of times per window, as `log.rate` and `log.time` of
/// the original do.
///
/// One limit belongs to one kind of event, as a `static`, or to one object's, as a field. Shared freely.
///
/// ```
/// # use tidegate_model::Moment;
/// # use tidegate_telemetry::logging::EventLimit;
/// static REFUSED: EventLimit = EventLimit::new();
/// # let now = Moment(0);
/// if let Some(held_back) = REFUSED.admit(now) {
///     tracing::warn!(held_back, "connection refused");
/// }
/// ```
#[derive(Debug)]
pub struct EventLimit {
    most: u64,
    window: u64,
    /// Window number (upper half, starting with 1) and events admitted in it (lower half).
    admitted: AtomicU64,
    held_back: AtomicU64,
}

/// `log.rate` by default: events per window.
pub const DEFAULT_RATE: u32 = 50;
/// `log.time` by default: the window.
pub const DEFAULT_WINDOW: Duration = Duration::from_mins(1);

impl Default for EventLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl EventLimit {
    /// [`DEFAULT_RATE`] events per [`DEFAULT_WINDOW`].
    pub const fn new() -> Self {
        Self::of(DEFAULT_RATE, DEFAULT_WINDOW)
    }

    /// `most` events per `window`; a window is a millisecond at least.
    pub const fn of(most: u32, window: Duration) -> Self {
        let millis = window.as_millis() as u64;
        Self {
            most: most as u64,
            window: if millis == 0 { 1 } else { millis },
            admitted: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Whether an event may be logged at `now`; then, how many were held back since the last one logged.
    pub fn admit(&self, now: Moment) -> Option<u64> {
        let window = (now.0 / self.window + 1) & u64::from(u32::MAX);
        let admitted =
            self.admitted.fetch_update(Relaxed, Relaxed, |state| match (state >> 32, state & 0xffff_ffff) {
                (current, count) if current == window => (count < self.most).then_some(state + 1),
                _ => (self.most > 0).then_some(window << 32 | 1),
            });
        if admitted.is_ok() {
            return Some(self.held_back.swap(0, Relaxed));
        }
        self.held_back.fetch_add(1, Relaxed);
        HELD_BACK.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests;
