//! Access logs: one line per request, written off the data workers.
//!
//! A [`Format`] is compiled once from `log.format` and says which header values a worker has to keep of a request
//! ([`Captured`]). When the request is done the worker fills a [`Record`] and hands it to [`AccessLog::write`], which
//! renders it into the worker's own bounded buffer. One thread, the [`Writer`], collects the buffers, opens files by
//! name (`log.filename`, [`FileName`]) and writes. See [`format`](mod@format) for the macros.

pub mod capture;
pub mod file_name;
pub mod format;
mod json;
pub mod second;
pub mod writer;

pub use capture::Captured;
pub use file_name::FileName;
pub use format::{Details, Format, FormatError, Record, TlsSession};
pub use second::RenderedSecond;
pub use writer::{AccessLog, Losses, Writer, WriterOptions};
