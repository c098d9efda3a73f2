//! What the control loop hears.

use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr, sync::Arc};

use tidegate_admin::Batch;
use tidegate_model::{Configuration, Moment, NodeSet, PoolName, VirtualServerName};

use crate::{control::compile::Outcome, document_files::DocumentFiles};

/// One thing that happened. Bursts of node changes arrive as one event.
#[derive(Debug)]
pub(crate) enum Event {
    /// The documents were read, because they changed or because somebody asked.
    DocumentsRead(Arc<DocumentFiles>),
    /// The documents could not be read; the sentence says why.
    DocumentsUnreadable(String),
    /// An import was compiled.
    Compiled(Outcome),
    /// REST wrote something.
    Written(Batch),
    /// Discovery found nodes; complete sets, the latest of each pool.
    NodesFound(BTreeMap<PoolName, NodeSet>),
    /// Listen host names were resolved; complete.
    HostsResolved(BTreeMap<Arc<str>, Vec<IpAddr>>),
    /// A build ended and its snapshot is serving.
    Serving(Serving),
    /// A build or a try of listeners broke off, which is a fault of the program.
    BuildLost(String),
    /// Listeners were tried again; what is still closed.
    ListenersTried(Vec<ClosedListener>),
    /// A moment that [`super::state::State::wake`] asked for has come.
    Tick,
    /// End: finish what is in flight and exit.
    Shutdown,
}

/// Outcome of one build and publish.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    /// Number of the snapshot.
    pub(crate) generation: u64,
    /// The configuration it was built from.
    pub(crate) configuration: Option<Arc<Configuration>>,
    /// Faults of single objects.
    pub(crate) problems: Vec<(String, String)>,
    /// Addresses that could not be opened.
    pub(crate) closed: Vec<ClosedListener>,
    /// When the next draining node leaves by another build.
    pub(crate) next_expiry: Option<Moment>,
}

/// An address that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClosedListener {
    /// Whose it is.
    pub(crate) virtual_server: VirtualServerName,
    /// The address.
    pub(crate) address: SocketAddr,
    /// Why, for people.
    pub(crate) reason: String,
}
