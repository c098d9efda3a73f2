//! Who may run when: one run at a time of each plugin file, since public scripts lock each other out, and a
//! limit on all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidegate_model::PluginName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Runs at once for each CPU.
const PER_CPU: usize = 4;
/// Most plugin files that are kept apart; beyond it those that nothing waits for are forgotten.
const MAX_FILES: usize = 4096;

/// The queues.
#[derive(Debug)]
pub(crate) struct Queue {
    files: Mutex<HashMap<PluginName, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

/// A place at work; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn {
    _file: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Queue {
    /// `limit` runs at once, or four for each CPU.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let limit = limit.unwrap_or(cpus * PER_CPU).clamp(1, 1024);
        Self { files: Mutex::default(), all: Arc::new(Semaphore::new(limit)) }
    }

    /// Waits for a turn of `plugin`. `None` never happens while the queue lives.
    pub(crate) async fn turn(&self, plugin: &PluginName) -> Option<Turn> {
        let file = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            if files.len() >= MAX_FILES {
                files.retain(|_, file| Arc::strong_count(file) > 1);
            }
            Arc::clone(files.entry(plugin.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        // The file first: whoever waits for it must not hold a place that another file could use.
        let file = file.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _file: file, _all: all })
    }
}
