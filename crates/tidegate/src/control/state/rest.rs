//! What the REST interface writes: laid over the documents, served like them, answered when it serves.
//!
//! One batch is under way at a time, and one compilation: documents go first. A batch that was written over other
//! documents than the present ones is sent back, for REST to write it over these.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_admin::{Batch, Done, Import, Kept};
use tidegate_config::{Imported, Layer};
use tidegate_model::{Configuration, Moment};
use tokio::sync::oneshot;

use super::{State, fault_line};
use crate::control::{
    compile::{Fault, Outcome, Severity},
    effect::Effect,
};

/// What the control loop knows of REST.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What REST wrote, and over which import.
    kept: Kept,
    /// The documents it lies over.
    imported: Option<Arc<Imported>>,
    /// Waits for a compilation to end.
    waiting: Option<Batch>,
    /// Is being compiled.
    laying: Option<oneshot::Sender<Done>>,
    /// Compiled, and to be answered when this serves.
    answer_at: Option<(oneshot::Sender<Done>, Arc<Configuration>)>,
    /// Faults of what was compiled last for serving.
    faults: Vec<Fault>,
    /// Faults of documents that were not imported.
    import_faults: Vec<Fault>,
    /// What REST was last told is wrong.
    told: Arc<Vec<tidegate_admin::Fault>>,
}

impl Rest {
    pub(super) fn new(kept: Kept) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept.clone()
    }
}

impl State {
    /// REST wrote something.
    pub(super) fn written(&mut self, batch: Batch, effects: &mut Vec<Effect>) {
        if let Some(before) = self.rest.waiting.replace(batch) {
            // REST waits for each answer; should it ever not, the earlier batch is in the later one.
            effects.push(Effect::Answer(before.done, Done::Overtaken));
        }
        self.lay_next(effects);
    }

    /// Compiles the batch that waits, if nothing else is being compiled.
    pub(super) fn lay_next(&mut self, effects: &mut Vec<Effect>) {
        if self.import.running {
            return;
        }
        let Some(Batch { layer, over, done }) = self.rest.waiting.take() else { return };
        match &self.rest.imported {
            Some(imported) if over == self.rest.kept.over => {
                self.import.running = true;
                self.rest.laying = Some(done);
                effects.push(Effect::Lay(Arc::clone(imported), layer));
            }
            _ => effects.push(Effect::Answer(done, Done::Overtaken)),
        }
    }

    /// What REST wrote was compiled.
    pub(super) fn laid(&mut self, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        let Some(done) = self.rest.laying.take() else { return };
        let Outcome { configuration, faults, laid, .. } = outcome;
        let known: BTreeSet<&str> = self.rest.faults.iter().map(|fault| fault.text.as_str()).collect();
        let new = faults.iter().filter(|fault| !known.contains(fault.text.as_str()));
        effects.extend(new.map(|fault| Effect::Log(fault_line(fault))));
        let Some(configuration) = configuration else {
            let reason = faults.first().map_or("it could not be compiled", |fault| &fault.text).to_owned();
            return effects.push(Effect::Answer(done, Done::Lost(reason)));
        };
        self.rest.faults = faults;
        self.rest.kept.layer = laid.unwrap_or_default();
        if let Some(same) = self.configuration.clone().filter(|same| *same == configuration) {
            self.rest.answer_at = Some((done, same));
            return self.rest_serving(effects);
        }
        self.rest.answer_at = Some((done, Arc::clone(&configuration)));
        self.serve(configuration, now, effects);
    }

    /// Documents were compiled: other ones than before undo what REST wrote.
    pub(super) fn rest_imported(&mut self, outcome: &Outcome, effects: &mut Vec<Effect>) {
        if outcome.configuration.is_some() {
            self.rest.faults.clone_from(&outcome.faults);
            self.rest.import_faults.clear();
        } else {
            self.rest.import_faults.clone_from(&outcome.faults);
        }
        let Some(imported) = &outcome.imported else { return };
        if outcome.configuration.is_some() {
            let over = Some(imported.digest());
            if self.rest.kept.over != over {
                self.rest.kept = Kept { layer: Arc::new(Layer::default()), over };
                if let Some((done, _)) = self.rest.answer_at.take() {
                    effects.push(Effect::Answer(done, Done::Overtaken));
                }
            }
        } else if self.rest.imported.is_some() {
            // What is serving stays.
            return;
        }
        self.rest.imported = Some(Arc::clone(imported));
        let import = Import { imported: Arc::clone(imported), over: self.rest.kept.over };
        effects.push(Effect::Imported(import));
    }

    /// A batch that waits to serve is part of this configuration, which goes before the one it waited for.
    pub(super) fn rest_follows(&mut self, configuration: &Arc<Configuration>) {
        if let Some((_, awaited)) = &mut self.rest.answer_at {
            *awaited = Arc::clone(configuration);
        }
    }

    /// Answers the batch whose configuration is serving.
    pub(super) fn rest_serving(&mut self, effects: &mut Vec<Effect>) {
        let serving = self.serving.as_ref();
        let is_serving =
            |awaited: &Arc<Configuration>| serving.is_some_and(|serving| Arc::ptr_eq(serving, awaited));
        if self.rest.answer_at.as_ref().is_some_and(|(_, awaited)| is_serving(awaited))
            && let Some((done, _)) = self.rest.answer_at.take()
        {
            effects.push(Effect::Answer(done, Done::Serving));
        }
    }

    /// A build broke off.
    pub(super) fn rest_lost(&mut self, reason: &str, effects: &mut Vec<Effect>) {
        if let Some((done, _)) = self.rest.answer_at.take() {
            effects.push(Effect::Answer(done, Done::Lost(reason.to_owned())));
        }
    }

    /// Tells REST what is wrong, when that has changed.
    pub(super) fn tell_condition(&mut self, effects: &mut Vec<Effect>) {
        let of = |fault: &Fault| tidegate_admin::Fault {
            error: fault.severity == Severity::Error,
            text: fault.text.clone(),
        };
        let error = |text: String| tidegate_admin::Fault { error: true, text };
        let mut now: Vec<tidegate_admin::Fault> = Vec::new();
        now.extend(self.import.unreadable.clone().map(error));
        now.extend(self.rest.import_faults.iter().chain(&self.rest.faults).map(of));
        now.extend(self.problems.iter().map(|(object, message)| error(format!("{object}: {message}"))));
        now.extend(self.closed.iter().map(|listener| {
            let (server, address) = (&listener.virtual_server, listener.address);
            error(format!("virtual_servers/{server}: cannot listen on {address}: {}", listener.reason))
        }));
        if now != *self.rest.told {
            self.rest.told = Arc::new(now);
            effects.push(Effect::Condition(Arc::clone(&self.rest.told)));
        }
    }
}
