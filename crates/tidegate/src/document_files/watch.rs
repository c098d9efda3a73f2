//! Notices changes below the base directory and hands over what the documents then say.
//!
//! Two ways to notice: inotify, at once; and a look at the tree's [`fingerprint::Fingerprint`] every [`LOOK`], for file
//! systems where inotify is silent. Both wait until the tree has been still for a moment, since an editor or
//! `cp` writes in steps. Out flows one [`Read`] for the start and one per change or request.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

use super::{DocumentFiles, ReadError, fingerprint, read};

/// How often the tree is looked at where inotify is silent.
const LOOK: Duration = Duration::from_millis(400);
/// A look at a large tree may take at most this part of the time: the pause is that many times the look.
const LOOK_SHARE: u32 = 20;
/// How long the tree has to be still before it is read.
const STILL: Duration = Duration::from_millis(100);
/// A tree that is never still is read anyway after this.
const STILL_LIMIT: Duration = Duration::from_millis(500);

/// What one reading of the documents gave.
pub(crate) type Read = Result<Arc<DocumentFiles>, ReadError>;

/// Asks for another reading, as SIGHUP does.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadAgain(Arc<Notify>);

impl ReadAgain {
    /// The documents are read again even if nothing changed.
    pub(crate) fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks.
    pub(crate) async fn asked(&self) {
        self.0.notified().await;
    }
}

/// Reads the documents of `base` now and on every change, until the receiver of `readings` is gone.
pub(crate) async fn run(base: PathBuf, read_again: ReadAgain, readings: mpsc::Sender<Read>) {
    let touched = Arc::new(Notify::new());
    // Kept for its lifetime: dropping it ends the notifications.
    let _watcher = watcher(&base, &touched);
    let mut pause = LOOK;
    let mut known = None;
    loop {
        let cause = if known.is_none() {
            Cause::Look
        } else {
            tokio::select! {
                () = touched.notified() => Cause::Touched,
                () = read_again.asked() => Cause::Asked,
                () = tokio::time::sleep(pause) => Cause::Look,
                () = readings.closed() => return,
            }
        };
        let started = Instant::now();
        let mut now = look(&base).await;
        pause = LOOK.max(started.elapsed() * LOOK_SHARE);
        if known.is_some() && Some(now) == known && matches!(cause, Cause::Look) {
            continue;
        }
        if now.incomplete && known.is_none_or(|known: fingerprint::Fingerprint| !known.incomplete) {
            warn!(
                "{} holds too many files: changes to some are only noticed by inotify or SIGHUP",
                base.display()
            );
        }
        if known.is_some() && !matches!(cause, Cause::Asked) {
            now = settle(&base, &touched, now).await;
        }
        // Taken before reading: what changes while the documents are read is noticed by the next look.
        known = Some(now);
        let directory = base.clone();
        let reading = tokio::task::spawn_blocking(move || read(&directory).map(Arc::new)).await;
        let Ok(reading) = reading else { continue };
        if readings.send(reading).await.is_err() {
            return;
        }
    }
}

/// Why the tree is looked at.
enum Cause {
    /// inotify spoke.
    Touched,
    /// The operator asked.
    Asked,
    /// It was time to.
    Look,
}

/// Waits until the tree is still.
async fn settle(
    base: &Path,
    touched: &Notify,
    mut last: fingerprint::Fingerprint,
) -> fingerprint::Fingerprint {
    let limit = Instant::now() + STILL_LIMIT;
    loop {
        let quiet = tokio::time::timeout(STILL, touched.notified()).await.is_err();
        let now = look(base).await;
        if (quiet && now == last) || Instant::now() >= limit {
            return now;
        }
        last = now;
    }
}

async fn look(base: &Path) -> fingerprint::Fingerprint {
    let base = base.to_owned();
    match tokio::task::spawn_blocking(move || fingerprint::take(&base)).await {
        Ok(fingerprint) => fingerprint,
        // Only while the runtime ends.
        Err(_) => std::future::pending().await,
    }
}

/// inotify on the whole tree; `None` where it cannot be had, and looking every [`LOOK`] has to do.
fn watcher(base: &Path, touched: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let signal = Arc::clone(touched);
    let handler = move |event: notify::Result<notify::Event>| {
        // Opening and reading files, which this process does itself, is no change.
        let quiet = matches!(
            event,
            Ok(notify::Event { kind: EventKind::Access(kind), .. })
                if kind != AccessKind::Close(AccessMode::Write)
        );
        if !quiet {
            signal.notify_one();
        }
    };
    let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(base, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            info!(
                "inotify cannot watch {} ({error}); it is looked at every {} ms instead",
                base.display(),
                LOOK.as_millis()
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// Longest wait for a reading; the promise itself is 1 s.
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn text_of(readings: &mut mpsc::Receiver<Read>, expected: &str) {
        let wait = async {
            while let Some(reading) = readings.recv().await {
                let Ok(files) = reading else { continue };
                if files.documents.len() == 1 && files.documents[0].text == expected.as_bytes() {
                    return;
                }
            }
            panic!("the watcher ended");
        };
        tokio::time::timeout(DEADLINE, wait).await.expect(expected);
    }

    /// Writes `text` as the kubelet does: a new hidden directory, then one rename of `..data`.
    fn swap(config: &Path, version: &str, text: &str) {
        let directory = config.join(format!("..{version}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("app"), text).unwrap();
        symlink(format!("..{version}"), config.join("..data_tmp")).unwrap();
        fs::rename(config.join("..data_tmp"), config.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn swaps_writes_and_requests_are_all_read() {
        let base = tempfile::tempdir().unwrap();
        let config = base.path().join("config");
        fs::create_dir(&config).unwrap();
        swap(&config, "v1", "one");
        symlink("..data/app", config.join("app")).unwrap();
        let (sender, mut readings) = mpsc::channel(4);
        let read_again = ReadAgain::default();
        let task = tokio::spawn(run(base.path().to_owned(), read_again.clone(), sender));
        text_of(&mut readings, "one").await;
        swap(&config, "v2", "two");
        text_of(&mut readings, "two").await;
        fs::write(config.join("..v2/app"), "three").unwrap();
        text_of(&mut readings, "three").await;
        read_again.ask();
        text_of(&mut readings, "three").await;
        // A directory that appears later is noticed too.
        fs::create_dir_all(base.path().join("data/tls")).unwrap();
        text_of(&mut readings, "three").await;
        fs::write(base.path().join("data/tls/tls.crt"), "certificate").unwrap();
        text_of(&mut readings, "three").await;
        drop(readings);
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn looking_alone_notices_a_swap() {
        let base = tempfile::tempdir().unwrap();
        let config = base.path().join("config");
        fs::create_dir(&config).unwrap();
        swap(&config, "v1", "one");
        let before = look(base.path()).await;
        swap(&config, "v2", "two");
        assert_ne!(look(base.path()).await, before);
        let still = settle(base.path(), &Notify::new(), before).await;
        assert_eq!(still, look(base.path()).await);
    }
}
