//! The desk where every write is done: one task, batch after batch, in the order of arrival.
//!
//! ```text
//! requests ─► commands ─► each checked and laid on top of the one before ─► kept on disk ─► control loop
//!                                                                                             │ serving
//! requests ◄────────────────────────────── answers ◄──────────────────────────────────────────┘
//! ```
//!
//! A batch is whatever has arrived while the one before was under way. It is kept, then compiled and built once; its
//! writers are answered when that is serving. An import of other documents undoes what was written: a batch it
//! overtakes is done again on the new documents.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use serde_json::Value as Json;
use tidegate_config::{
    ImportDigest, Imported, Layer,
    rest::{Change, ExpertKeys, MAX_OBJECTS, Refusal, Running, Type, Version, layer::MAX_LAYER_BYTES},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
};
use tracing::{error, warn};

use crate::{
    backups::{Backups, UNDONE},
    body::{Body, Place},
    kept::{Generations, Kept},
};

/// Writes that wait for the desk.
pub(crate) const MAX_COMMANDS: usize = 2048;
/// Writes done with one build.
const MAX_BATCH: usize = 1024;
/// Longest wait for a batch to serve.
const SERVING_LIMIT: Duration = Duration::from_secs(30);
/// Times that a batch is begun anew because documents were imported meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// An import of documents, as the control loop tells of it.
#[derive(Clone, Debug)]
pub struct Import {
    /// The documents.
    pub imported: Arc<Imported>,
    /// What tells the last good import from others; `None` before the first.
    pub over: Option<ImportDigest>,
}

/// What the control loop is to compile and serve.
#[derive(Debug)]
pub struct Batch {
    /// Everything that REST wrote.
    pub layer: Arc<Layer>,
    /// The import it was written over.
    pub over: Option<ImportDigest>,
    /// To be told when it serves.
    pub done: oneshot::Sender<Done>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is serving.
    Serving,
    /// Other documents were imported before it could be laid over the ones it was written for.
    Overtaken,
    /// Something broke; the sentence says what.
    Lost(String),
}

/// What REST shows.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) imported: Arc<Imported>,
    pub(crate) layer: Arc<Layer>,
    pub(crate) traffic_manager: Arc<str>,
}

impl Current {
    pub(crate) fn running(&self) -> Running<'_> {
        Running { imported: &self.imported, layer: &self.layer, traffic_manager: &self.traffic_manager }
    }
}

/// One write.
#[derive(Debug)]
pub(crate) enum Write {
    Put {
        version: Version,
        of: Type,
        name: String,
        expert: ExpertKeys,
        body: Body,
    },
    PutContent {
        of: Type,
        name: String,
        content: Arc<[u8]>,
        /// Held until the write is answered.
        _place: Place,
    },
    Delete {
        of: Type,
        name: String,
    },
    /// Everything becomes what a backup says; the place is held until the write is answered.
    Restore {
        whole: Arc<Layer>,
        _place: Place,
    },
}

/// What a write came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    /// Whether the object is new.
    pub(crate) created: bool,
    /// The object as a GET shows it, for objects with properties.
    pub(crate) shown: Option<Json>,
    /// Values that are kept and not acted on.
    pub(crate) not_acted_on: Vec<String>,
    /// Why the object, a rule, does not run.
    pub(crate) errors: Vec<String>,
}

type Outcome = Result<Written, Refusal>;

/// A write with its way back.
#[derive(Debug)]
struct Command {
    write: Write,
    answer: oneshot::Sender<Outcome>,
}

/// Takes writes to the desk.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    commands: mpsc::Sender<Command>,
}

impl Counter {
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.commands.max_capacity() - self.commands.capacity()
    }

    /// Hands in a write and waits until it serves.
    pub(crate) async fn write(&self, write: Write) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        self.commands.try_send(Command { write, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                warn!("{MAX_COMMANDS} REST writes are waiting; one was turned away");
                Refusal::new("service.busy", "too many writes are waiting; try again")
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> Refusal {
    Refusal::new("service.stopping", "this traffic manager is shutting down")
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    commands: mpsc::Receiver<Command>,
    imports: watch::Receiver<Option<Import>>,
    batches: mpsc::Sender<Batch>,
    generations: Option<Generations>,
    backups: Arc<Backups>,
    kept: Kept,
    imported: Option<Arc<Imported>>,
    current: Arc<ArcSwapOption<Current>>,
    traffic_manager: Arc<str>,
}

impl Desk {
    pub(crate) fn new(
        (generations, kept): (Generations, Kept),
        imports: watch::Receiver<Option<Import>>,
        batches: mpsc::Sender<Batch>,
        backups: Arc<Backups>,
        traffic_manager: Arc<str>,
    ) -> (Self, Counter, Arc<ArcSwapOption<Current>>) {
        let (sender, commands) = mpsc::channel(MAX_COMMANDS);
        let current = Arc::new(ArcSwapOption::empty());
        let desk = Self {
            commands,
            imports,
            batches,
            generations: Some(generations),
            backups,
            kept,
            imported: None,
            current: Arc::clone(&current),
            traffic_manager,
        };
        (desk, Counter { commands: sender }, current)
    }

    /// Works until nobody hands in writes any more.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                changed = self.imports.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take_import().await;
                }
                taken = self.commands.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    self.serve(std::mem::take(&mut batch)).await;
                }
            }
        }
    }

    /// Other documents undo what was written.
    async fn take_import(&mut self) {
        let Some(Import { imported, over }) = self.imports.borrow_and_update().clone() else { return };
        if self.kept.over != over {
            let undone = std::mem::replace(&mut self.kept, Kept { layer: Arc::default(), over });
            if !undone.layer.is_empty() {
                let told = match self.back_up_undone(&undone.layer).await {
                    Ok(()) => format!("the backup {UNDONE} holds what there was"),
                    Err(reason) => format!("what there was could not be made a backup: {reason}"),
                };
                warn!(
                    "an import of documents undoes what was written through REST ({} objects); {told}",
                    undone.layer.len()
                );
                if let Err(reason) = self.keep(&self.kept.clone()).await {
                    error!("the state directory cannot be written to: {reason}");
                }
            }
        }
        self.imported = Some(imported);
        self.show();
    }

    /// Keeps what an import undoes where people can get at it. The documents before may be gone (they changed
    /// while this traffic manager was down); then it is kept as written over the new ones.
    async fn back_up_undone(&self, layer: &Arc<Layer>) -> Result<(), String> {
        let imported =
            self.imported.clone().or_else(|| Some(Arc::clone(&self.imports.borrow().as_ref()?.imported)));
        let imported = imported.ok_or("there are no documents")?;
        let (backups, layer) = (Arc::clone(&self.backups), Arc::clone(layer));
        let traffic_manager = Arc::clone(&self.traffic_manager);
        let saved = spawn_blocking(move || {
            let current = Current { imported, layer, traffic_manager };
            backups.save_undone(&current.running().everything())
        });
        match saved.await {
            Ok(saved) => saved.map_err(|reason| reason.text),
            Err(reason) => Err(reason.to_string()),
        }
    }

    /// Requests see what there is from now on.
    fn show(&self) {
        let Some(imported) = &self.imported else { return };
        self.current.store(Some(Arc::new(Current {
            imported: Arc::clone(imported),
            layer: Arc::clone(&self.kept.layer),
            traffic_manager: Arc::clone(&self.traffic_manager),
        })));
    }

    async fn keep(&mut self, kept: &Kept) -> Result<(), String> {
        let Some(mut generations) = self.generations.take() else {
            return Err("an earlier write did not come to its end".to_owned());
        };
        let kept = kept.clone();
        let written = spawn_blocking(move || {
            let outcome = generations.write(&kept);
            (generations, outcome)
        });
        match written.await {
            Ok((generations, outcome)) => {
                self.generations = Some(generations);
                outcome.map_err(|error| error.to_string())
            }
            Err(reason) => Err(reason.to_string()),
        }
    }

    /// Does a batch and answers its writers.
    async fn serve(&mut self, batch: Vec<Command>) {
        let (writes, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Command { write, answer }| (write, answer)).unzip();
        let writes = Arc::new(writes);
        let mut outcomes = Vec::new();
        for attempt in 0.. {
            if self.imports.has_changed().unwrap_or_default() {
                self.take_import().await;
            }
            let Some(imported) = self.imported.clone() else {
                outcomes = writes.iter().map(|_| Err(starting())).collect();
                break;
            };
            let layer;
            (layer, outcomes) = match self.lay(imported, Arc::clone(&writes)).await {
                Ok(laid) => laid,
                Err(reason) => {
                    error!("a batch of REST writes was not done: {reason}");
                    let refusal = Refusal::new("service.failed", "the change could not be made");
                    outcomes = writes.iter().map(|_| Err(refusal.clone())).collect();
                    break;
                }
            };
            if outcomes.iter().all(Result::is_err) {
                break;
            }
            let next = Kept { layer: Arc::new(layer), over: self.kept.over };
            if let Err(reason) = self.keep(&next).await {
                error!("a REST write could not be kept and was not done: {reason}");
                let text = format!("the change cannot be kept and was not done: {reason}");
                fail(&mut outcomes, &Refusal::new("service.not_kept", text));
                break;
            }
            match self.publish(&next).await {
                Done::Serving => {
                    self.kept = next;
                    self.show();
                    break;
                }
                // Begun anew: the control loop has told of the import before it said so.
                Done::Overtaken if attempt < MAX_ATTEMPTS => {}
                Done::Overtaken => {
                    let text = "documents keep changing; nothing was written; try again";
                    fail(&mut outcomes, &Refusal::new("service.busy", text));
                    if let Err(reason) = self.keep(&self.kept.clone()).await {
                        error!("the state directory cannot be written to: {reason}");
                    }
                    break;
                }
                Done::Lost(reason) => {
                    self.kept = next;
                    self.show();
                    let text = format!("the change is kept and not serving: {reason}");
                    fail(&mut outcomes, &Refusal::new("service.not_serving", text));
                    break;
                }
            }
        }
        // Large bodies give back their places before anyone hears that the next may come.
        drop(writes);
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever has gone away is not told.
            drop(answer.send(outcome));
        }
    }

    /// Lays the writes of a batch over what there is, one after the other. On a thread of its own: bodies may be
    /// large, and control loop and discovery run here as well.
    async fn lay(
        &self,
        imported: Arc<Imported>,
        writes: Arc<Vec<Write>>,
    ) -> Result<(Layer, Vec<Outcome>), tokio::task::JoinError> {
        let before = Arc::clone(&self.kept.layer);
        let traffic_manager = Arc::clone(&self.traffic_manager);
        let laid = spawn_blocking(move || {
            let mut layer = Layer::clone(&before);
            let outcomes =
                writes.iter().map(|one| write(&imported, &mut layer, &traffic_manager, one)).collect();
            (layer, outcomes)
        });
        laid.await
    }

    async fn publish(&self, next: &Kept) -> Done {
        let (done, outcome) = oneshot::channel();
        let batch = Batch { layer: Arc::clone(&next.layer), over: next.over, done };
        let wait = async {
            if self.batches.send(batch).await.is_err() {
                return Done::Lost("this traffic manager is shutting down".to_owned());
            }
            outcome.await.unwrap_or_else(|_| Done::Lost("this traffic manager is shutting down".to_owned()))
        };
        match tokio::time::timeout(SERVING_LIMIT, wait).await {
            Ok(done) => done,
            Err(_) => {
                Done::Lost(format!("no answer from the control loop for {} s", SERVING_LIMIT.as_secs()))
            }
        }
    }
}

fn starting() -> Refusal {
    Refusal::new("service.starting", "the documents have not been read yet")
}

/// What was to be done has not been: every writer hears it.
fn fail(outcomes: &mut [Outcome], refusal: &Refusal) {
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
        *outcome = Err(refusal.clone());
    }
}

/// Lays one write over those before it.
fn write(imported: &Imported, layer: &mut Layer, traffic_manager: &str, write: &Write) -> Outcome {
    let running = Running { imported, layer, traffic_manager };
    let (of, name, change): (_, _, Change) = match write {
        Write::Put { version, of, name, expert, body } => {
            (of, name, running.put(*version, *of, name, expert, body)?)
        }
        Write::PutContent { of, name, content, .. } => {
            (of, name, running.put_content(*of, name, Arc::clone(content))?)
        }
        Write::Delete { of, name } => (of, name, running.delete(*of, name)?),
        Write::Restore { whole, .. } => {
            let restored = running.restore(whole);
            if restored.bytes() > MAX_LAYER_BYTES || restored.len() > MAX_OBJECTS {
                let text = "the backup holds more than REST may write";
                return Err(Refusal::new("resource.no_space", text));
            }
            *layer = restored;
            return Ok(Written::default());
        }
    };
    let created = change.created;
    layer.apply(change)?;
    let running = Running { imported, layer, traffic_manager };
    let written = Written { created, ..Written::default() };
    Ok(match write {
        Write::Put { version, expert, .. } => Written {
            shown: running.get(*version, *of, name, expert),
            not_acted_on: running.not_acted_on(*of, name),
            ..written
        },
        Write::PutContent { .. } => Written {
            not_acted_on: running.not_acted_on(*of, name),
            errors: running.rule_errors(*of, name),
            ..written
        },
        Write::Delete { .. } | Write::Restore { .. } => written,
    })
}
