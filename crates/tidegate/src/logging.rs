//! Set-up of the log: one line per event, human or JSON, on standard output or into the demo's picture.

use std::io::{self, Write};

use tidegate_telemetry::logging::{self, LogFormat, Logging};
use tokio::sync::mpsc;
use tracing_subscriber::{EnvFilter, fmt};

/// Lines that wait for the demo's picture; more are let go.
const MAX_LINES: usize = 256;

/// What is logged unless a filter is given. The watcher of files tells of directories that went away as if that
/// were news.
pub(crate) const DEFAULT_FILTER: &str = "info,notify=error";

/// Every event becomes a line of standard output, as long as what is returned is kept.
pub(crate) fn to_stdout(format: LogFormat, filter: &str) -> Result<Logging, String> {
    logging::init(format, filter).map_err(|error| error.to_string())
}

/// Every event becomes a line of the channel.
pub(crate) fn to_channel() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(MAX_LINES);
    let lines = move || Lines(sender.clone());
    drop(
        fmt()
            .with_env_filter(EnvFilter::new(DEFAULT_FILTER))
            .with_target(false)
            .with_ansi(false)
            .without_time()
            .with_writer(lines)
            .try_init(),
    );
    receiver
}

struct Lines(mpsc::Sender<String>);

impl Write for Lines {
    /// The subscriber writes one whole line at a time.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).lines() {
            // More lines than can be shown are let go.
            drop(self.0.try_send(line.to_owned()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
