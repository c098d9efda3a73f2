//! The REST interface of the traffic manager: configuration, status and backups over HTTPS.
//!
//! ```text
//! client ─► server (TLS, HTTP/1.1) ─► guard ─► api ─┬─ GET ──► config's view of documents + layer
//!                                                   ├─ PUT ──► desk ─► kept on disk ─► control loop ─► serving
//!                                                   └─ status: observe, faults; backups
//! ```
//!
//! REST is another writer of documents: it never touches the model, the data path or discovery. What it writes is a
//! [`Layer`](tidegate_config::Layer) that the control loop lays over the documents ([`Batch`]); what it shows comes
//! from the import the control loop tells of ([`Import`]) with the layer over it, from [`Observe`] and from the
//! list of faults.
//!
//! # Reading order
//!
//! `server`, `connections`, `body`, `guard` (`password`, `throttle`), `request`, `api` (`configuration`, `status`, `saved`), `desk`,
//! `kept`, `backups`, `files`, `certificate`, `observe`, `answer`.

mod answer;
mod api;
mod backups;
mod body;
mod certificate;
mod connections;
mod desk;
mod files;
mod guard;
mod kept;
mod observe;
mod password;
mod request;
mod server;
mod throttle;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::{
    api::{Api, Identity},
    backups::Backups,
    body::Places,
    desk::Desk,
    guard::Guard,
    kept::Generations,
    server::Server,
};
pub use crate::{
    certificate::Transport,
    desk::{Batch, Done, Import},
    kept::Kept,
    observe::{Coming, Fault, Group, NoCounters, Observe, PoolState, Question, RunningState, ServerState},
    password::{PasswordSource, Strength},
};

/// The release of the product whose interface this is, as `information` and backups tell it: clients compare it.
pub(crate) const RELEASE: &str = "22.1";
/// Directory of the interface below the state directory.
const DIRECTORY: &str = "rest";

/// Settings of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen.
    pub addresses: Vec<SocketAddr>,
    /// TLS or not.
    pub transport: Transport,
    /// Password of the user `admin`.
    pub password: PasswordSource,
    /// State directory; without one nothing outlives the process.
    pub state_dir: Option<PathBuf>,
    /// Name of the program and its version.
    pub program: String,
}

/// What connects the interface to the rest.
#[derive(Debug)]
pub struct Wiring {
    /// Imports as the control loop makes them.
    pub imports: watch::Receiver<Option<Import>>,
    /// Batches for the control loop. Room for one is enough: the next waits for the one before.
    pub batches: mpsc::Sender<Batch>,
    /// What is wrong now.
    pub faults: watch::Receiver<Arc<Vec<Fault>>>,
    /// What runs.
    pub observe: Arc<dyn Observe>,
}

/// The interface, made ready and not serving yet.
#[derive(Debug)]
pub struct Admin {
    options: Options,
    directory: Option<PathBuf>,
    generations: Generations,
    kept: Kept,
    backups: Backups,
    server: (Guard, Option<Arc<rustls::ServerConfig>>),
    identity: Identity,
}

impl Admin {
    /// Reads what was kept, the password and the certificate. Blocks for what disk and argon2 take.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn prepare(options: Options) -> Result<Self, String> {
        let mut directory = options.state_dir.as_ref().map(|directory| directory.join(DIRECTORY));
        let (generations, kept, backups) = match open(directory.as_deref()) {
            Ok(opened) => opened,
            Err(error) => {
                // Serving goes on: what the documents say does not depend on it.
                let path = directory.take().unwrap_or_default();
                warn!(
                    "{} cannot be used ({error}); what is written through REST is lost at the next start",
                    path.display()
                );
                open(None).map_err(|error| error.to_string())?
            }
        };
        let name: Arc<str> = certificate::host_name().into();
        let hash = password::load(&options.password, directory.as_deref())?;
        let guard = Guard::new(hash)?;
        let tls = certificate::load(&options.transport, directory.as_deref(), &name)?;
        for address in options.addresses.iter().filter(|address| tls.is_none() && !address.ip().is_loopback())
        {
            warn!("the REST interface listens on {address} without TLS: passwords can be read on the way");
        }
        let identity = Identity {
            name,
            uuid: uuid(directory.as_deref())?,
            platform: format!("{} on {} {}", options.program, std::env::consts::OS, std::env::consts::ARCH),
        };
        Ok(Self { options, directory, generations, kept, backups, server: (guard, tls), identity })
    }

    /// What was kept: the control loop lays it over the documents it was written over.
    pub fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Serves for as long as the task lives.
    pub async fn run(self, wiring: Wiring) {
        let Self { options, directory, generations, kept, backups, server: (guard, tls), identity } = self;
        let Wiring { imports, batches, faults, observe } = wiring;
        let backups = Arc::new(backups);
        let keeps = directory.is_some() && generations.keeps();
        let (desk, counter, current) = Desk::new(
            (generations, kept),
            imports,
            batches,
            Arc::clone(&backups),
            Arc::clone(&identity.name),
        );
        let large = Places::default();
        let api = Api { current, counter, backups, observe, faults, identity, keeps, large };
        let server = Arc::new(Server::new(api, guard, tls));
        let follow = server.follow_certificate(options.transport);
        tokio::join!(desk.run(), Arc::clone(&server).run(options.addresses), follow);
    }
}

/// What is kept in the directory.
fn open(directory: Option<&Path>) -> io::Result<(Generations, Kept, Backups)> {
    let (generations, kept) = Generations::open(directory)?;
    let backups = Backups::open(directory.map(|directory| directory.join("backups")).as_deref())?;
    Ok((generations, kept, backups))
}

/// A UUID (RFC 9562 version 4) that stays over restarts where there is a state directory.
fn uuid(directory: Option<&Path>) -> Result<String, String> {
    const FILE: &str = "uuid";
    const LENGTH: usize = 36;
    let path = directory.map(|directory| directory.join(FILE));
    if let Some(path) = &path
        && let Ok(Some(text)) = files::read_text(path, 64)
        && text.trim().len() == LENGTH
        && text.trim().bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("there are no random numbers: {error}"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let parts = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
    let uuid = parts.map(files::hex).join("-");
    if let Some(path) = &path
        && let Err(error) = files::write(path, &[uuid.as_bytes(), b"\n"])
    {
        warn!("{} cannot be written: {error}; the next start has another identity", path.display());
    }
    Ok(uuid)
}
