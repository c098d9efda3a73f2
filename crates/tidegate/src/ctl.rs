//! `tidegate ctl`: a running Tidegate seen and changed through its REST interface.
//!
//! ```text
//! words ──path──► what is meant ──client──► REST ──► JSON ──show──► table, YAML or JSON
//! ```
//!
//! What is decided here is pure: which path is meant ([`path`]), what becomes of a `nodes_table` ([`nodes`]), how
//! an answer looks ([`show`]). [`client`] does all the talking; [`commands`] are the lines between.

mod client;
mod commands;
pub(crate) mod completion;
mod explain;
pub(crate) mod export;
mod nodes;
mod path;
mod show;
mod stats;

use std::{
    fmt,
    future::Future,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};

use self::show::Format;
use crate::settings::{Environment, SettingsError, ctl::AccessOptions};

const STATUSES: &str = "\
Exit status:
  0  done
  1  the interface refused it, or something else failed
  2  the command line or a setting is wrong
  3  no connection, or its certificate is not trusted
  4  user or password are wrong or missing
  5  there is no such resource";

/// Options of `ctl`.
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub(crate) struct CtlOptions {
    /// How to reach it.
    #[command(flatten)]
    access: AccessOptions,

    /// Form of what is printed. [default: table; of objects that `get` shows: yaml]
    #[arg(short, long, value_name = "FORM", global = true)]
    output: Option<Format>,

    #[command(subcommand)]
    command: CtlCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum CtlCommand {
    /// Show a resource: a collection, an object, a section or a key of it.
    ///
    /// PATH lies below /api/tm/8.3/config/active: pools, pools/web, pools/web/basic, pools/web/basic/monitors,
    /// ssl/server_keys/site. Below status it lies below /api/tm/8.3/status/local_tm: status/state. With a leading
    /// slash it is a path of the interface, encoded: /api/tm.
    Get {
        /// What is shown.
        #[arg(value_name = "PATH", default_value = "")]
        path: String,
    },
    /// Change an object, or make one. Keys that are not named stay as they are.
    #[command(after_help = "Examples:\n  tidegate ctl put pools/web --set basic.note=hello --set \
                            'basic.monitors=[ Ping, Simple HTTP ]'\n  tidegate ctl put pools/web web.yaml\n  \
                            tidegate ctl put rules/redirect redirect.rts")]
    Put(PutOptions),
    /// Delete an object.
    Delete {
        /// The object, as for `get`.
        #[arg(value_name = "PATH")]
        path: String,
    },
    /// Show the nodes of a pool, or of all pools.
    Nodes {
        /// The pool.
        #[arg(value_name = "POOL")]
        pool: Option<String>,
    },
    /// Give a node no new sessions; those it has go on. A node of discovery gets a row in nodes_table for that.
    Drain(NodeOptions),
    /// Give a node no requests at all.
    Disable(NodeOptions),
    /// Put a node into service again. The row that drained a node of discovery is taken out.
    #[command(visible_alias = "enable")]
    Undrain(NodeOptions),
    /// Take a node out of nodes_table. A node of discovery stays in the pool, with what discovery says of it.
    Forget(NodeOptions),
    /// Show counters: the groups there are, one group, or one object of it.
    Stats {
        /// The group, such as pools or nodes/node.
        #[arg(value_name = "GROUP")]
        group: Option<String>,
        /// The object.
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Zeros too.
        #[arg(long)]
        all: bool,
    },
    /// Show the events that are remembered, oldest first.
    Events {
        /// Go on with those that come.
        #[arg(short, long)]
        follow: bool,
        /// Only the last so many.
        #[arg(short = 'n', long, value_name = "COUNT")]
        last: Option<usize>,
    },
    /// Say what would become of a request: virtual server, rules, pool, node, and why. Nothing is sent to a node.
    Explain(ExplainOptions),
}

/// Options of `put`.
#[derive(Debug, Args)]
struct PutOptions {
    /// The object, as for `get`.
    #[arg(value_name = "PATH")]
    path: String,
    /// Its properties (JSON or YAML), or its content where it has no properties; - = standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A key and its value; lists and tables as YAML. May be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE", required_unless_present = "file")]
    set: Vec<String>,
}

/// Options of `drain` and its like.
#[derive(Debug, Args)]
struct NodeOptions {
    /// The pool.
    #[arg(value_name = "POOL")]
    pool: String,
    /// The node, as `nodes` shows it: 10.1.2.3:80.
    #[arg(value_name = "NODE")]
    node: String,
}

/// Options of `explain`.
#[derive(Debug, Args)]
struct ExplainOptions {
    /// The URL, as a client would ask for it. Port and host choose the virtual server.
    #[arg(value_name = "URL")]
    request: String,
    /// The method.
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header field of the request, such as its cookie. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "'NAME: VALUE'")]
    headers: Vec<String>,
    /// Address of the client. [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    client: Option<std::net::IpAddr>,
    /// The virtual server, where its port is another one outside.
    #[arg(long, value_name = "NAME")]
    virtual_server: Option<String>,
}

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    kind: Kind,
    text: String,
}

/// What kind of failure it is: the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Refused,
    Usage,
    NoConnection,
    NotAllowed,
    NotFound,
}

impl Failure {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    fn refused(text: impl Into<String>) -> Self {
        Self::new(Kind::Refused, text)
    }

    fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::usage(error.0)
    }
}

impl Kind {
    fn status(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::NotAllowed => 4,
            Self::NotFound => 5,
        }
    }
}

/// Does what is asked.
pub(crate) fn ctl(options: CtlOptions, environment: &Environment) -> ExitCode {
    let CtlOptions { access, output, command } = options;
    let access = crate::settings::ctl::resolve(access, environment);
    finish(access.map_err(Failure::from).and_then(|access| {
        let commands = commands::Commands::new(access, output)?;
        on_runtime(commands.run(command))?
    }))
}

/// Runs what talks to a server. One thread is enough.
fn on_runtime<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::refused(format!("nothing can be run: {error}")))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.text);
            ExitCode::from(failure.kind.status())
        }
    }
}

/// Says something beside the output.
fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "tidegate: {text}"));
}

/// Writes bytes to standard output. Whoever closed it does not want them.
fn print(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}
