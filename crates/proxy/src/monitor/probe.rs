//! One run of a monitor: what is asked of a machine and whether the answer will do.
//!
//! In: a [`Probe`] compiled for its monitor, and where to. Out: an [`Outcome`] within the monitor's timeout; the reasons are
//! sentences for people, without subject or full stop.

mod http;
mod ping;
mod program;
mod tcp;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

pub(super) use program::install;
use regex::bytes::{Regex, RegexBuilder};
use tidegate_model::{Monitor, monitor};

use crate::tls::node::TlsClient;

/// What a run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The machine works.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// The run says nothing about the machine, because this side could not run it, and why. Counts as nothing.
    Unable(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// What a monitor asks, ready to run any number of times.
#[derive(Debug)]
pub(crate) enum Probe {
    Ping,
    Connect,
    Http(http::Request),
    Tcp(tcp::Transaction),
    Program(program::Program),
    /// A kind that is not run.
    Never(String),
}

/// Where a probe goes.
#[derive(Debug)]
pub(crate) struct Destination {
    /// Address to ask.
    pub(crate) ip: IpAddr,
    /// Port, if there is one.
    pub(crate) port: Option<u16>,
    /// Host name, if the machine is known by one.
    pub(crate) name: Option<Arc<str>>,
    /// TLS, if the monitor speaks it.
    pub(crate) tls: Option<Arc<TlsClient>>,
}

impl Destination {
    /// Address and port.
    fn socket(&self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.ip, port))
    }

    /// The machine as the host of a URL: `name:port`, `[::1]:port`.
    fn host(&self) -> String {
        let host = match (&self.name, self.ip) {
            (Some(name), _) => name.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
            (None, IpAddr::V4(ip)) => ip.to_string(),
        };
        match (self.port, self.tls.is_some()) {
            (None, _) | (Some(80), false) | (Some(443), true) => host,
            (Some(port), _) => format!("{host}:{port}"),
        }
    }
}

impl Probe {
    /// Compiles what a monitor asks. Programs run from `home`, laid out as `ZEUSHOME`.
    pub(crate) fn compile(monitor: &Monitor, home: &Path) -> Self {
        let compiled = match &monitor.probe {
            monitor::Probe::Ping => Ok(Self::Ping),
            monitor::Probe::Connect => Ok(Self::Connect),
            monitor::Probe::Http { path, host_header, authentication, status_regex, body_regex } => {
                http::Request::compile(
                    path,
                    host_header.as_deref(),
                    authentication.as_deref(),
                    status_regex,
                    body_regex.as_deref(),
                )
                .map(Self::Http)
            }
            monitor::Probe::TcpTransaction { write, response_regex, close, max_response_len } => {
                tcp::Transaction::compile(write, response_regex, close, *max_response_len).map(Self::Tcp)
            }
            monitor::Probe::Program { program, arguments } => {
                Ok(Self::Program(program::Program::new(home, program, arguments, monitor.timeout)))
            }
            monitor::Probe::NotYet(kind) => Err(format!("monitors of type {kind} are not run yet")),
        };
        compiled.unwrap_or_else(Self::Never)
    }

    /// Asks once. Takes `limit` at most.
    pub(crate) async fn run(&self, to: &Destination, limit: Duration) -> Outcome {
        tokio::time::timeout(limit, self.ask(to))
            .await
            .unwrap_or_else(|_| Outcome::Failed(format!("no answer within {}", seconds(limit))))
    }

    async fn ask(&self, to: &Destination) -> Outcome {
        let socket = to.socket();
        match self {
            Self::Never(why) => Outcome::Unable(why.clone()),
            Self::Ping => ping::run(to.ip).await,
            Self::Program(program) => program.run(to).await,
            Self::Connect | Self::Http(_) | Self::Tcp(_) => {
                let Some(socket) = socket else {
                    return Outcome::Unable("basic.machine names no port".into());
                };
                match self {
                    Self::Http(request) => request.run(to, socket).await.into(),
                    Self::Tcp(transaction) => transaction.run(to, socket).await.into(),
                    _ => tcp::connect(to, socket, None).await.map(drop).into(),
                }
            }
        }
    }
}

/// Compiles a regular expression for bytes, so that answers need not be UTF-8; a pattern that names Unicode classes
/// is compiled for text.
fn regex(pattern: &str) -> Result<Regex, String> {
    /// Memory of a compiled pattern.
    const MAX_COMPILED: usize = 1 << 20;
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(MAX_COMPILED)
        .build()
        .or_else(|_| RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build())
        .map_err(|error| format!("the regular expression `{pattern}` cannot be used: {error}"))
}

/// An I/O fault in a few words.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::HostUnreachable => "host unreachable".into(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::UnexpectedEof => "connection closed early".into(),
        _ => error.to_string(),
    }
}

/// A duration as people write it: `3 s`, `0.25 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// Bytes of an answer as they may stand in a log line: at most 60 characters, anything unprintable escaped.
fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let text = bytes[..bytes.len().min(SHOWN)].escape_ascii();
    if bytes.len() > SHOWN { format!("`{text}`...") } else { format!("`{text}`") }
}
