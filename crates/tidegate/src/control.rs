//! The control loop: documents, discovery and signals in, one snapshot after another out.
//!
//! ```text
//! REST ──────┐
//! documents ─┤                                   ┌─► compile ─────────► Compiled ─┐
//! discovery ─┼─► event ─► state.apply ─► effects ┼─► build + publish ─► Serving ──┤
//! signals   ─┘      ▲                            └─► discovery, readiness, log    │
//!                   └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`state::State`] decides, [`Machine`] does. Whatever takes time runs on a task or a blocking thread of its
//! own and comes back as an event, so that the loop is always free to hear the next one.

pub(crate) mod compile;
pub(crate) mod effect;
pub(crate) mod event;
pub(crate) mod following;
pub(crate) mod machine;
pub(crate) mod state;

use std::future::pending;

use tidegate_admin::{Batch, Kept};
use tidegate_model::Moment;
use tokio::sync::mpsc;

use self::{effect::Effect, event::Event, following::Followed, machine::Machine, state::State};
use crate::document_files::watch::Read;

/// Events that wait for the loop.
pub(crate) const MAX_EVENTS: usize = 256;
/// Discovery updates taken into one event.
const MAX_COALESCED: usize = 4096;

/// Everything the loop hears from.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// Ends of imports and builds, resolved names, signals.
    pub(crate) events: mpsc::Receiver<Event>,
    /// Documents.
    pub(crate) readings: mpsc::Receiver<Read>,
    /// What REST writes.
    pub(crate) batches: mpsc::Receiver<Batch>,
    /// Nodes.
    pub(crate) nodes: Followed,
}

impl Inputs {
    /// The next event, and [`Event::Tick`] at `wake`. All node changes that wait come as one.
    async fn next(&mut self, now: Moment, wake: Option<Moment>) -> Event {
        let woken = async {
            match wake {
                Some(at) => tokio::time::sleep(at.since(now)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            // In this order, so that a flood of node changes cannot hold up an end or a shutdown.
            biased;
            Some(event) = self.events.recv() => event,
            Some(reading) = self.readings.recv() => match reading {
                Ok(files) => Event::DocumentsRead(files),
                Err(error) => Event::DocumentsUnreadable(error.to_string()),
            },
            Some(batch) = self.batches.recv() => Event::Written(batch),
            () = woken => Event::Tick,
            found = self.nodes.next(MAX_COALESCED) => Event::NodesFound(found),
        }
    }
}

/// Runs until shutdown, beginning with what REST wrote before. What is in flight at the end is left to
/// [`Machine::finish`].
pub(crate) async fn run(mut inputs: Inputs, kept: Kept, machine: &mut Machine) {
    let mut state = State::new(kept);
    loop {
        let event = inputs.next(machine.now(), state.wake()).await;
        for effect in state.apply(event, machine.now()) {
            if matches!(effect, Effect::Drain) {
                return;
            }
            machine.perform(effect);
        }
    }
}
