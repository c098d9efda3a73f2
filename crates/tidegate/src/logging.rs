//! Set-up of the log: one line per event, human or JSON, on standard output or into the demo's picture.

use std::io::{self, Write};

use tokio::sync::mpsc;
use tracing_subscriber::{filter::LevelFilter, fmt};

use crate::settings::LogFormat;

/// Lines that wait for the demo's picture; more are let go.
const MAX_LINES: usize = 256;

/// Every event becomes a line of standard output.
pub(crate) fn to_stdout(format: LogFormat) {
    let builder = fmt().with_max_level(LevelFilter::INFO).with_target(false);
    let outcome = match format {
        LogFormat::Human => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Only a second set-up in one process fails, and then the first holds.
    drop(outcome);
}

/// Every event becomes a line of the channel.
pub(crate) fn to_channel() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(MAX_LINES);
    let lines = move || Lines(sender.clone());
    drop(
        fmt()
            .with_max_level(LevelFilter::INFO)
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
