//! The thread that writes access logs, and the buffers through which data workers reach it.
//!
//! Each log has two buffers per worker, both bounded by [`MAX_BUFFERED`]. A worker appends to the first it can lock
//! without waiting; the writer thread only ever holds one of the two, and only while it swaps it for an empty one, so
//! a worker does not wait and practically never finds both taken. A line that fits in neither is dropped and
//! counted. The thread collects every [`WriterOptions::flush`], earlier when a buffer is half full.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant, SystemTime},
};

use jiff::tz::TimeZone;

use super::{
    file_name::{FileName, FileNameError},
    format::{Format, FormatError, Record},
    second::RenderedSecond,
};
use crate::counters::{Count, Sharded};

/// Most bytes one buffer holds; there are two per worker and log.
pub const MAX_BUFFERED: usize = 256 * 1024;
/// A buffer this full wakes the writer before its time.
const WAKE_AT: usize = MAX_BUFFERED / 2;
/// A buffer that grew beyond this is given back rather than kept for the next lines.
const KEEP_CAPACITY: usize = 64 * 1024;
/// The thread rests this long between two flushes, whatever the settings say.
const SHORTEST_FLUSH: Duration = Duration::from_millis(5);
/// A log that cannot be written says so in the event log this often at most.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// How the writer works.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// What `%zeushome%` stands for; relative file names start here.
    pub home: PathBuf,
    /// `log.flush_time`: the longest a line waits before it is in its file.
    pub flush: Duration,
    /// `log.reopen`: how long a file is kept open, so that a file moved away is let go. Zero = until its name changes.
    pub reopen: Duration,
    /// The zone in which lines and file names tell the time.
    pub zone: TimeZone,
}

impl WriterOptions {
    /// The product's defaults (flush 5 s, reopen 30 s) in the machine's time zone.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            flush: Duration::from_secs(5),
            reopen: Duration::from_secs(30),
            zone: TimeZone::system(),
        }
    }
}

/// Why a log was not opened. Files are opened later: a missing directory is no error here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// `log.format` is faulty.
    Format(FormatError),
    /// `log.filename` is faulty.
    FileName(FileNameError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => write!(out, "log.format: {error}"),
            Self::FileName(error) => write!(out, "log.filename: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// The writer thread. Dropping it writes what is buffered without waiting for it; [`Writer::shutdown`] waits.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The access log of one virtual server. Cheap to clone; dropping the last clone writes what is left and closes the
/// file.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Handle>);

/// What the access logs of one virtual server lost. It outlives each of them: a change of the settings opens another
/// log, and what is counted never goes back.
#[derive(Debug)]
pub struct Losses {
    workers: usize,
    dropped: Sharded<Count>,
    bytes: AtomicU64,
}

impl Losses {
    /// Nothing lost yet, counted by data workers `0..workers`.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { workers, dropped: Sharded::new(workers), bytes: AtomicU64::new(0) })
    }

    /// Lines dropped because the writer did not keep up.
    pub fn lines(&self) -> u64 {
        self.dropped.iter().map(Count::get).sum()
    }

    /// Bytes of lines that were lost because their file could not be written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(options: WriterOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            pace: Mutex::new(Pace::new(options.flush, options.reopen)),
            options,
            logs: Mutex::default(),
            wake: Wake::default(),
            stopped: (Mutex::default(), Condvar::new()),
        });
        let thread = thread::Builder::new().name("access-log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes flush interval and reopening, for all logs, from the next flush on.
    pub fn tune(&self, flush: Duration, reopen: Duration) {
        *locked(&self.shared.pace) = Pace::new(flush, reopen);
        self.shared.wake.now();
    }

    /// Opens the log of a virtual server for the data workers that `losses` counts.
    pub fn open(
        &self,
        virtual_server: &str,
        filename: &str,
        format: &str,
        losses: &Arc<Losses>,
    ) -> Result<AccessLog, OpenError> {
        let log = Arc::new(Log {
            virtual_server: virtual_server.into(),
            name: FileName::parse(filename).map_err(OpenError::FileName)?,
            format: Format::parse(format).map_err(OpenError::Format)?,
            zone: self.shared.options.zone.clone(),
            slots: Sharded::new(losses.workers),
            closed: AtomicBool::new(false),
            losses: Arc::clone(losses),
        });
        locked(&self.shared.logs).push(Arc::clone(&log));
        Ok(AccessLog(Arc::new(Handle { log, shared: Arc::clone(&self.shared) })))
    }

    /// Writes everything buffered and ends the thread, waiting `longest` at most for a disk that does not answer.
    /// Returns whether the thread ended.
    pub fn shutdown(mut self, longest: Duration) -> bool {
        self.shared.wake.stop();
        let (done, changed) = &self.shared.stopped;
        let (done, _) = changed
            .wait_timeout_while(locked(done), longest, |done| !*done)
            .unwrap_or_else(PoisonError::into_inner);
        let ended = *done;
        drop(done);
        if ended && let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        ended
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.wake.stop();
    }
}

impl AccessLog {
    /// What to capture of a request for this log.
    pub fn format(&self) -> &Format {
        &self.0.log.format
    }

    /// Logs a finished request. Does not wait; returns false when the line had to be dropped.
    pub fn write(&self, worker: usize, record: &Record<'_>, now: SystemTime) -> bool {
        let log = &self.0.log;
        let slots = log.slots.shard(worker);
        for slot in [&slots.first, &slots.second] {
            let mut slot = match slot.try_lock() {
                Ok(slot) => slot,
                Err(std::sync::TryLockError::Poisoned(slot)) => slot.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => continue,
            };
            let Slot { lines, second } = &mut *slot;
            let before = lines.len();
            if before >= MAX_BUFFERED {
                continue;
            }
            let second = second.get_or_insert_with(|| RenderedSecond::new(log.zone.clone()));
            log.format.render(record, now, second, lines);
            let after = lines.len();
            if after > MAX_BUFFERED {
                lines.truncate(before);
                continue;
            }
            drop(slot);
            if before < WAKE_AT && after >= WAKE_AT {
                self.0.shared.wake.now();
            }
            return true;
        }
        log.losses.dropped.shard(worker).add(1);
        false
    }
}

#[derive(Debug)]
struct Handle {
    log: Arc<Log>,
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.log.closed.store(true, Release);
        self.shared.wake.now();
    }
}

#[derive(Debug)]
struct Log {
    virtual_server: Box<str>,
    name: FileName,
    format: Format,
    zone: TimeZone,
    slots: Sharded<Slots>,
    /// No handle is left: write what there is and forget the log.
    closed: AtomicBool,
    losses: Arc<Losses>,
}

/// One worker's side of a log.
#[derive(Debug, Default)]
struct Slots {
    first: Mutex<Slot>,
    second: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    lines: Vec<u8>,
    second: Option<RenderedSecond>,
}

#[derive(Debug)]
struct Shared {
    options: WriterOptions,
    pace: Mutex<Pace>,
    /// Logs opened that the thread has not taken over yet.
    logs: Mutex<Vec<Arc<Log>>>,
    wake: Wake,
    stopped: (Mutex<bool>, Condvar),
}

/// What [`Writer::tune`] changes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    flush: Duration,
    reopen: Duration,
}

impl Pace {
    fn new(flush: Duration, reopen: Duration) -> Self {
        Self { flush: flush.max(SHORTEST_FLUSH), reopen }
    }
}

/// How the thread is woken before its flush interval is over. Waking never waits.
#[derive(Debug, Default)]
struct Wake {
    work: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Wake {
    fn now(&self) {
        self.work.store(true, Release);
        self.thread.get().map(Thread::unpark);
    }

    fn stop(&self) {
        self.stop.store(true, Release);
        self.thread.get().map(Thread::unpark);
    }

    /// Called by the thread: waits for a call of `now` or `stop`, `longest` at most. True = stop.
    fn wait(&self, longest: Duration) -> bool {
        self.thread.get_or_init(thread::current);
        let until = Instant::now() + longest;
        loop {
            let stop = self.stop.load(Acquire);
            let left = until.saturating_duration_since(Instant::now());
            if self.work.swap(false, AcqRel) || stop || left.is_zero() {
                return stop;
            }
            thread::park_timeout(left);
        }
    }
}

/// A file being written. Only the thread knows it.
struct Open {
    log: Arc<Log>,
    file: Option<(PathBuf, File, Instant)>,
    complained: Option<Instant>,
    /// Failed writes not yet told about.
    failures: u64,
}

impl Shared {
    fn run(&self) {
        let mut open: Vec<Open> = Vec::new();
        let mut spare = Vec::new();
        loop {
            let Pace { flush, reopen } = *locked(&self.pace);
            let stop = self.wake.wait(flush);
            self.adopt(&mut open);
            open.retain_mut(|log| {
                // Read before the buffers: lines written before the last handle went are then in them.
                let closed = log.log.closed.load(Acquire);
                log.collect(&self.options, reopen, &mut spare);
                !closed
            });
            if stop {
                break;
            }
        }
        *locked(&self.stopped.0) = true;
        self.stopped.1.notify_all();
    }

    /// Takes over the logs opened since.
    fn adopt(&self, open: &mut Vec<Open>) {
        let fresh = std::mem::take(&mut *locked(&self.logs));
        open.extend(fresh.into_iter().map(|log| Open { log, file: None, complained: None, failures: 0 }));
    }
}

impl Open {
    fn collect(&mut self, options: &WriterOptions, reopen: Duration, spare: &mut Vec<u8>) {
        let log = Arc::clone(&self.log);
        for slots in log.slots.iter() {
            for slot in [&slots.first, &slots.second] {
                std::mem::swap(&mut locked(slot).lines, spare);
                if !spare.is_empty() {
                    self.put(spare, options, reopen);
                }
                spare.clear();
                if spare.capacity() > KEEP_CAPACITY {
                    *spare = Vec::new();
                }
            }
        }
    }

    fn put(&mut self, lines: &[u8], options: &WriterOptions, reopen: Duration) {
        let path =
            self.log.name.path(&options.home, &self.log.virtual_server, SystemTime::now(), &options.zone);
        let result = self.file(&path, reopen).and_then(|file| file.write_all(lines));
        let Err(error) = result else { return };
        self.file = None;
        self.failures += 1;
        self.log.losses.bytes.fetch_add(lines.len() as u64, Relaxed);
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            tracing::error!(
                virtual_server = %self.log.virtual_server,
                path = %path.display(),
                failures = self.failures,
                lost_bytes = self.log.losses.bytes(),
                "failed to write the access log, lines are lost: {error}; check log.filename and the directory's rights"
            );
            self.complained = Some(Instant::now());
            self.failures = 0;
        }
    }

    fn file(&mut self, path: &Path, reopen: Duration) -> io::Result<&mut File> {
        let keep = self
            .file
            .as_ref()
            .is_some_and(|(open, _, since)| open == path && (reopen.is_zero() || since.elapsed() < reopen));
        let kept = self.file.take().filter(|_| keep);
        let (path, file, since) = match kept {
            Some(open) => open,
            None => (path.to_owned(), create(path)?, Instant::now()),
        };
        Ok(&mut self.file.insert((path, file, since)).1)
    }
}

/// Opens `path` for appending, its directories made where they are missing.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            open()
        }
        result => result,
    }
}

/// A lock whose data stays usable after a panic elsewhere: every change under it is a single step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
