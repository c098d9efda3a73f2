//! What the control loop does, as values: decided by [`super::state::State`], done by the loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tidegate_admin::{Done, Import, Kept};
use tidegate_config::{Imported, Layer};
use tidegate_model::{Configuration, NodeSet, PoolName, VirtualServerName};
use tokio::sync::oneshot;

use crate::{document_files::DocumentFiles, health::Readiness};

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Compile the documents with what REST wrote over them; ends with `Event::Compiled`.
    Compile(Arc<DocumentFiles>, Kept),
    /// Compile what REST wrote over documents that were read before; ends with `Event::Compiled`.
    Lay(Arc<Imported>, Arc<Layer>),
    /// Tell REST which documents it writes over.
    Imported(Import),
    /// Tell REST what became of a batch.
    Answer(oneshot::Sender<Done>, Done),
    /// Tell REST what is wrong now.
    Condition(Arc<Vec<tidegate_admin::Fault>>),
    /// Tell REST what serves.
    Active(Arc<Configuration>),
    /// Follow the pools of this configuration, and no others.
    Discover(Arc<Configuration>),
    /// Keep these listen host names resolved, and no others.
    ResolveHosts(BTreeSet<Arc<str>>),
    /// Build a snapshot and publish it; ends with `Event::Serving` or `Event::BuildLost`.
    Build(BuildOrder),
    /// Open again what could not be opened; ends with `Event::ListenersTried`.
    TryListeners,
    /// Tell of certificates that have ended or will soon.
    CheckCertificates,
    /// Readiness has changed.
    Ready(Readiness),
    /// Tell the operator.
    Log(Line),
    /// Stop accepting, finish, exit.
    Drain,
}

/// Inputs of a build.
#[derive(Clone, Debug)]
pub(crate) struct BuildOrder {
    /// The configuration.
    pub(crate) configuration: Arc<Configuration>,
    /// Discovered nodes of each pool. Shared: the loop copies it only when it changes while a build runs.
    pub(crate) nodes: Arc<BTreeMap<PoolName, NodeSet>>,
    /// Addresses of listen host names.
    pub(crate) listen_hosts: Arc<BTreeMap<Arc<str>, Vec<IpAddr>>>,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Something happened.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something that was asked for is not done.
    Error,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// How loud.
    pub(crate) level: Level,
    /// The virtual server it is about.
    pub(crate) virtual_server: Option<VirtualServerName>,
    /// The pool it is about.
    pub(crate) pool: Option<PoolName>,
    /// The node it is about.
    pub(crate) node: Option<SocketAddr>,
    /// The sentence.
    pub(crate) text: String,
}

impl Line {
    /// A line about nothing in particular.
    pub(crate) fn new(level: Level, text: impl Into<String>) -> Self {
        Self { level, virtual_server: None, pool: None, node: None, text: text.into() }
    }

    /// The line, said of a virtual server.
    pub(crate) fn of_virtual_server(mut self, name: VirtualServerName) -> Self {
        self.virtual_server = Some(name);
        self
    }

    /// The line, said of a pool.
    pub(crate) fn of_pool(mut self, name: PoolName) -> Self {
        self.pool = Some(name);
        self
    }
}
