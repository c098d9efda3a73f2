//! Questions of rules to directories (`auth.query`): LDAP (RFC 4511) over TCP or TLS.
//!
//! ```text
//! connect ─► (StartTLS, TLS) ─► bind as ldap.bind_dn ─► search with ldap.filter ─► bind as who was found
//! ```
//!
//! In: an authenticator by name, a user, perhaps a password. Out: what the directory says of the user, that there is no
//! such user or another password, or why nobody knows. All of it runs on the control runtime: a worker only awaits the
//! outcome, and dropping that ends the conversation. Every question has a connection of its own.

mod ber;
mod message;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{ClientConfig, pki_types::ServerName};
use tidegate_model::{Authenticator, AuthenticatorName, directory::DirectorySecurity};
use tidegate_trafficscript::host::{DirectoryEntry, DirectoryQuery};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    runtime::Handle,
    sync::Semaphore,
    task::JoinHandle,
};

use self::message::{Outcome, Said};
use super::{dial::dial, names::Names};
use crate::tls::outbound::Trusted;

/// Questions in progress at a time; further ones wait, within [`TIMEOUT`].
const MOST_AT_ONCE: usize = 64;

/// Questions in progress or waiting; further ones fail (counted).
const MOST_WAITING: usize = 4096;

/// Longest time of one question, waiting included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest message of a directory.
const MOST_MESSAGE: usize = 1 << 20;

/// Messages that answer one search: entries, references, the end.
const MOST_MESSAGES: usize = 64;

/// Longest name of a user, and longest password.
const MOST_NAME: usize = 1024;

/// Counters since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DirectoryCounters {
    /// Answers with a user.
    pub(crate) confirmed: u64,
    /// Answers that there is no such user or another password.
    pub(crate) denied: u64,
    /// Questions without an answer, timeouts and refusals included.
    pub(crate) failed: u64,
    /// Questions refused because too many waited.
    pub(crate) refused: u64,
}

/// An authenticator, and the text of the certificates that it trusts.
pub(crate) type Source = (Arc<Authenticator>, Option<Arc<str>>);

/// Asks directories for rules.
pub(crate) struct Directories {
    inner: Arc<Inner>,
    runtime: Handle,
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directories").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

struct Inner {
    names: Names,
    /// Longest time of one question, waiting included.
    limit: Duration,
    known: ArcSwap<BTreeMap<AuthenticatorName, Arc<Directory>>>,
    waiting: Semaphore,
    confirmed: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// A directory that can be asked.
struct Directory {
    source: Source,
    /// Its own: one that is silent holds up nobody else's questions.
    at_once: Semaphore,
    /// Made with the first question that needs it.
    tls: OnceLock<Result<(Arc<ClientConfig>, ServerName<'static>), String>>,
}

/// What a question came to; `None`: no such user, or another password.
type Answer = Result<Option<DirectoryEntry>, String>;

/// Ends the task when the rule does not wait any more.
struct Task(JoinHandle<Answer>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Directories {
    /// Questions run on `runtime`; servers are found by `names`.
    pub(crate) fn new(names: Names, runtime: Handle) -> Self {
        Self::limited(names, runtime, TIMEOUT)
    }

    fn limited(names: Names, runtime: Handle, limit: Duration) -> Self {
        let inner = Inner {
            names,
            limit,
            known: ArcSwap::default(),
            waiting: Semaphore::new(MOST_WAITING),
            confirmed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner), runtime }
    }

    /// These are the authenticators from now on.
    pub(crate) fn follow<'a>(&self, sources: impl IntoIterator<Item = &'a Source>) {
        let before = self.inner.known.load();
        let directory = |source: &Source| {
            let name = source.0.name.clone();
            let same = before.get(&name).filter(|known| known.source == *source).cloned();
            let new = || {
                let at_once = Semaphore::new(MOST_AT_ONCE);
                Arc::new(Directory { source: source.clone(), at_once, tls: OnceLock::new() })
            };
            (name, same.unwrap_or_else(new))
        };
        self.inner.known.store(Arc::new(sources.into_iter().map(directory).collect()));
    }

    /// Asks. The error is what the rule gets to see. Dropping the future ends the conversation.
    pub(crate) async fn ask(&self, query: &DirectoryQuery) -> Answer {
        let (inner, query) = (Arc::clone(&self.inner), query.clone());
        let mut task = Task(self.runtime.spawn(async move { inner.within_time(&query).await }));
        let answer = (&mut task.0).await.unwrap_or_else(|_| Err("the process is ending".to_owned()));
        let counter = match &answer {
            Err(_) => &self.inner.failed,
            Ok(None) => &self.inner.denied,
            Ok(Some(_)) => &self.inner.confirmed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Counters since the process started.
    pub(crate) fn counters(&self) -> DirectoryCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DirectoryCounters {
            confirmed: read(&self.inner.confirmed),
            denied: read(&self.inner.denied),
            failed: read(&self.inner.failed),
            refused: read(&self.inner.refused),
        }
    }
}

impl Inner {
    async fn within_time(&self, query: &DirectoryQuery) -> Answer {
        let name = String::from_utf8_lossy(&query.authenticator);
        let directory = self.known.load().get(&*name).cloned();
        let Some(directory) = directory else {
            return Err(format!("there is no authenticator “{name}”"));
        };
        // Nobody has no name. A bind without a password succeeds for everybody (RFC 4513 §5.1.2).
        if query.user.is_empty() || query.password.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        if query.user.len() > MOST_NAME
            || query.password.as_ref().is_some_and(|given| given.len() > MOST_NAME)
        {
            return Err(format!("names and passwords have {MOST_NAME} bytes at most"));
        }
        let Ok(_waiting) = self.waiting.try_acquire() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(format!("{MOST_WAITING} questions to directories are in progress already"));
        };
        let run = async {
            let _permit = directory.at_once.acquire().await;
            Box::pin(self.run(&directory, query)).await
        };
        let (answer, limit) = (tokio::time::timeout(self.limit, run).await, self.limit);
        answer.unwrap_or_else(|_| Err(format!("timeout: no answer of the directory within {limit:?}")))
    }

    async fn run(&self, directory: &Directory, query: &DirectoryQuery) -> Answer {
        let authenticator = &directory.source.0;
        let mut stream = dial(&self.names, authenticator.host.as_bytes(), authenticator.port).await?;
        let mut id = 0;
        if authenticator.security == DirectorySecurity::StartTls {
            id = 1;
            let mut plain = Conversation { stream: &mut stream, id, held: Vec::new() };
            let outcome = plain.done(&message::start_tls(id)).await?;
            if outcome.code != Outcome::SUCCESS {
                return Err(format!("the directory does not begin TLS: {}", outcome.describe()));
            }
            // What came before TLS may not be taken for what comes in it.
            if !plain.held.is_empty() {
                return Err("the directory goes on in the clear after it was asked for TLS".to_owned());
            }
        }
        if authenticator.security == DirectorySecurity::None {
            return Conversation { stream, id, held: Vec::new() }.ask(authenticator, query).await;
        }
        let (config, name) = directory.tls.get_or_init(|| directory.tls()).clone()?;
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS with {}: {error}", authenticator.host))?;
        Conversation { stream, id, held: Vec::new() }.ask(authenticator, query).await
    }
}

impl Directory {
    fn tls(&self) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let (authenticator, authority) = &self.source;
        let host = &authenticator.host;
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| format!("{host} cannot be the name of a TLS server"))?;
        let trusted = match authority {
            None => Trusted::Machine,
            Some(text) => Trusted::only_pem(text)?,
        };
        Ok((trusted.config(&name)?, name))
    }
}

/// A connection to a directory.
struct Conversation<S> {
    stream: S,
    /// Number of the last question.
    id: u32,
    /// Bytes that were read and not yet looked at.
    held: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// The whole conversation, from who asks to the end.
    async fn ask(mut self, authenticator: &Authenticator, query: &DirectoryQuery) -> Answer {
        let answer = self.look_up(authenticator, query).await;
        // A courtesy.
        let farewell = message::unbind(self.id + 1);
        drop(self.stream.write_all(&farewell).await);
        drop(self.stream.shutdown().await);
        answer
    }

    async fn look_up(&mut self, authenticator: &Authenticator, query: &DirectoryQuery) -> Answer {
        if !authenticator.bind_dn.is_empty() {
            let (name, password) = (&authenticator.bind_dn, &authenticator.bind_password);
            let outcome = self.bind(name.as_bytes(), password.as_bytes()).await?;
            if outcome.code != Outcome::SUCCESS {
                return Err(format!("the directory refuses ldap.bind_dn: {}", outcome.describe()));
            }
        }
        let Some((name, mut entry)) = self.search(authenticator, &query.user).await? else { return Ok(None) };
        if let Some(password) = &query.password {
            // A bind without a name is nobody's.
            if name.is_empty() {
                return Err("the directory gives the user's entry no name".to_owned());
            }
            let outcome = self.bind(&name, password).await?;
            match outcome.code {
                Outcome::SUCCESS => {}
                Outcome::INVALID_CREDENTIALS | Outcome::INAPPROPRIATE => return Ok(None),
                _ => return Err(format!("the directory cannot check a password: {}", outcome.describe())),
            }
        }
        // Directories ignore case, hashes do not: what was asked for comes under the name it was asked for by.
        for (name, _) in &mut entry.attributes {
            let asked = &authenticator.attributes;
            if let Some(asked) = asked.iter().find(|asked| asked.as_bytes().eq_ignore_ascii_case(name)) {
                *name = asked.as_bytes().to_vec();
            }
        }
        Ok(Some(entry))
    }

    async fn bind(&mut self, name: &[u8], password: &[u8]) -> Result<Outcome, String> {
        self.id += 1;
        self.done(&message::bind(self.id, name, password)).await
    }

    /// The entry of a user; `None` if there is none.
    async fn search(
        &mut self,
        authenticator: &Authenticator,
        user: &[u8],
    ) -> Result<Option<(Vec<u8>, DirectoryEntry)>, String> {
        self.id += 1;
        self.send(&message::search(self.id, authenticator, user, TIMEOUT.as_secs() as u32)).await?;
        let mut found = None;
        let several = || Err("the filter finds more than one entry for the user".to_owned());
        for _ in 0..MOST_MESSAGES {
            match self.hear().await? {
                Said::Entry(name, entry) => {
                    if found.replace((name, entry)).is_some() {
                        return several();
                    }
                }
                Said::Other => {}
                Said::Done(outcome) => match outcome.code {
                    Outcome::SUCCESS => return Ok(found),
                    Outcome::SIZE_LIMIT => return several(),
                    _ => return Err(format!("the directory cannot be searched: {}", outcome.describe())),
                },
            }
        }
        Err(format!("the directory answers with more than {MOST_MESSAGES} messages"))
    }

    /// Asks, and hears how it ended.
    async fn done(&mut self, question: &[u8]) -> Result<Outcome, String> {
        self.send(question).await?;
        for _ in 0..MOST_MESSAGES {
            if let Said::Done(outcome) = self.hear().await? {
                return Ok(outcome);
            }
        }
        Err(format!("the directory answers with more than {MOST_MESSAGES} messages"))
    }

    async fn send(&mut self, question: &[u8]) -> Result<(), String> {
        let fault = |error| format!("the directory cannot be asked: {error}");
        self.stream.write_all(question).await.map_err(fault)?;
        self.stream.flush().await.map_err(fault)
    }

    async fn hear(&mut self) -> Result<Said, String> {
        loop {
            let unreadable = |fault| format!("the directory cannot be understood: {fault}");
            if self.held.first().is_some_and(|tag| *tag != ber::SEQUENCE) {
                return Err(unreadable("it does not speak LDAP"));
            }
            if let Some((header, content)) = ber::extent(&self.held).map_err(unreadable)? {
                let length = header + content;
                if length > MOST_MESSAGE {
                    return Err(format!("a message of the directory is longer than {MOST_MESSAGE} bytes"));
                }
                if self.held.len() >= length {
                    let message: Vec<u8> = self.held.drain(..length).collect();
                    return message::read(&message, self.id).map_err(unreadable);
                }
            }
            match self.stream.read_buf(&mut self.held).await {
                Ok(0) => return Err("the directory has closed the connection".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("the directory does not answer: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
