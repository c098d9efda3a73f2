//! One run of one program: its own process group, a clean environment, bounds on time and output, and nothing
//! left behind.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};
use tidegate_model::PluginName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

use super::{home::Home, judge::Ended, leftovers, output::MAX_OUTPUT, queue::Turn};
use crate::options::Timing;

/// Bytes of standard error that are kept, the last.
const ERROR_TAIL: usize = 4096;
/// Attempts to start a file that some other child, forked while it was written, still holds open.
const BUSY_ATTEMPTS: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(10);
/// How often, and how long in all, killed members of a group are waited for.
const REAP_WAIT: Duration = Duration::from_millis(10);
const REAP_ATTEMPTS: u32 = 20;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Passed on from the process's own environment: how to reach the cluster's API and the outside.
const PASSED_ON: [&str; 8] = [
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ended: Ended,
    pub(crate) stdout: Vec<u8>,
    /// The end of standard error. May hold secrets: only for the debug log.
    pub(crate) stderr: Vec<u8>,
}

/// What to run. Its arguments may hold secrets, hence no `Debug`.
pub(crate) struct Job {
    /// The tree that is `ZEUSHOME`.
    pub(crate) root: PathBuf,
    pub(crate) plugin: PluginName,
    pub(crate) arguments: Vec<Arc<str>>,
    /// Longest time.
    pub(crate) limit: Duration,
    pub(crate) timing: Timing,
}

/// Runs a job while holding `turn`. When the caller gives up — the pool is gone — the program is asked to end,
/// then killed, in a task of its own, and only then the turn passes on.
pub(crate) async fn run(job: Job, turn: Turn) -> Ran {
    let (wanted, unwanted) = oneshot::channel::<()>();
    let work = tokio::spawn(async move {
        let ran = supervise(&job, unwanted).await;
        drop(turn);
        ran
    });
    let ran = work.await;
    drop(wanted);
    ran.unwrap_or_else(|error| Ran {
        ended: Ended::NotStarted(error.to_string()),
        stdout: Vec::new(),
        stderr: Vec::new(),
    })
}

async fn supervise(job: &Job, mut unwanted: oneshot::Receiver<()>) -> Ran {
    let Job { root, plugin, arguments, limit, timing } = job;
    let limit = *limit;
    let program = Home::plugin(root, plugin);
    let mut child = match start(root, &program, arguments).await {
        Ok(child) => child,
        Err(error) => {
            let ended = Ended::NotStarted(explain(&error, &program));
            return Ran { ended, stdout: Vec::new(), stderr: Vec::new() };
        }
    };
    let group = Group::of(&child, plugin);
    let output = Mutex::new(Vec::new());
    let errors = Mutex::new(Vec::new());
    let overflow = Notify::new();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reading = async { tokio::join!(capped(stdout, &output, &overflow), tail(stderr, &errors)) };
    tokio::pin!(reading);
    let mut all_read = false;
    let deadline = sleep(limit);
    tokio::pin!(deadline);
    let ended = loop {
        tokio::select! {
            _ = &mut reading, if !all_read => all_read = true,
            status = child.wait() => break match status {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => Ended::Exit(code),
                    (None, signal) => Ended::Signal(signal.unwrap_or(0)),
                },
                Err(error) => Ended::NotStarted(error.to_string()),
            },
            () = overflow.notified() => break Ended::TooMuch,
            () = &mut deadline => break Ended::TimedOut(limit),
            // Nobody waits for the result: an end like that of the time limit.
            _ = &mut unwanted => break Ended::TimedOut(limit),
        }
    };
    match &ended {
        Ended::TimedOut(_) => {
            group.signal(Signal::TERM);
            // Reads on meanwhile: a program that is blocked in writing cannot end.
            let wait = async {
                tokio::select! {
                    _ = child.wait() => {}
                    () = async { reading.as_mut().await; std::future::pending().await }, if !all_read => {}
                }
            };
            drop(timeout(timing.plugin_kill_grace, wait).await);
        }
        Ended::TooMuch => {}
        // What it started may still write the end of the answer.
        _ if !all_read => all_read = timeout(timing.plugin_pipe_grace, &mut reading).await.is_ok(),
        _ => {}
    }
    let abnormal = !matches!(ended, Ended::Exit(_)) || !all_read;
    group.end(&mut child, abnormal).await;
    let take =
        |bytes: &Mutex<Vec<u8>>| std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
    Ran { ended, stdout: take(&output), stderr: take(&errors) }
}

async fn start(root: &Path, program: &Path, arguments: &[Arc<str>]) -> io::Result<Child> {
    let work = Home::work(root);
    let mut command = Command::new(program);
    command
        .args(arguments.iter().map(|word| &**word))
        .env_clear()
        .env("PATH", PATH)
        .env("ZEUSHOME", root)
        .env("HOME", &work)
        .env("KUBECACHEDIR", Home::cache(root))
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .current_dir(&work)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut attempts = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts < BUSY_ATTEMPTS => {
                attempts += 1;
                sleep(BUSY_WAIT).await;
            }
            result => return result,
        }
    }
}

/// The error of a start in words that say what to repair.
fn explain(error: &io::Error, program: &Path) -> String {
    let length = std::fs::metadata(program).map(|meta| meta.len());
    match (error.raw_os_error().map(rustix::io::Errno::from_raw_os_error), length) {
        (_, Ok(0)) => "its file is empty".to_owned(),
        (Some(rustix::io::Errno::NOENT), Ok(_)) => {
            "the interpreter named in its first line does not exist in this image".to_owned()
        }
        (Some(rustix::io::Errno::NOENT), Err(_)) => {
            "there is no such entry in the servicediscovery catalogue".to_owned()
        }
        (Some(rustix::io::Errno::NOEXEC), _) => {
            "it is no program: a script needs a first line like #!/bin/bash".to_owned()
        }
        (Some(rustix::io::Errno::ACCESS), _) => {
            "it may not be executed (permission denied; is its file system mounted noexec?)".to_owned()
        }
        _ => error.to_string(),
    }
}

async fn capped(pipe: Option<impl AsyncRead + Unpin>, output: &Mutex<Vec<u8>>, overflow: &Notify) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_OUTPUT - output.len();
        output.extend_from_slice(&buffer[..length.min(room)]);
        if length > room {
            overflow.notify_one();
            return;
        }
    }
}

async fn tail(pipe: Option<impl AsyncRead + Unpin>, errors: &Mutex<Vec<u8>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.extend_from_slice(&buffer[..length]);
        let surplus = errors.len().saturating_sub(ERROR_TAIL);
        errors.drain(..surplus);
    }
}

/// The process group of a run. Dropped before its end — the whole process ends — it is killed.
struct Group {
    id: Option<Pid>,
    plugin: PluginName,
}

impl Group {
    fn of(child: &Child, plugin: &PluginName) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { id, plugin: plugin.clone() }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // No such group: it has ended, which is what is wanted.
            let _ended = kill_process_group(id, signal);
        }
    }

    /// Kills what is left and waits for it.
    async fn end(mut self, child: &mut Child, abnormal: bool) {
        self.signal(Signal::KILL);
        drop(child.wait().await);
        let Some(id) = self.id.take() else { return };
        reap(id).await;
        if abnormal {
            clean(&self.plugin, id);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn clean(plugin: &PluginName, id: Pid) {
    leftovers::of_process(plugin.as_str(), id.as_raw_nonzero().get().unsigned_abs());
}

/// Collects members of the group that have become children of this process, as the first process of a
/// container finds them.
async fn reap(id: Pid) {
    for _ in 0..REAP_ATTEMPTS {
        match waitpgid(id, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => sleep(REAP_WAIT).await,
            Err(_) => return,
        }
    }
}
