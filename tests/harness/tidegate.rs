//! The binary under test as a process.

use std::{
    env,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
};

use crate::{
    Client, Document, Port,
    volume::Volume,
    wait::{eventually, eventually_within, within},
};

/// Longest time until it is ready.
const READY: Duration = Duration::from_secs(20);
/// Log lines kept.
const MAX_LINES: usize = 200_000;

/// Path of a program of this workspace, built beside the test.
///
/// `cargo test --workspace` builds all of them; a single package's tests do not build another's binary.
pub fn built(program: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let directory = test.parent().and_then(Path::parent).unwrap();
    let path = directory.join(program);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins` or `cargo test --workspace`, which build it",
        path.display()
    );
    path
}

/// What Tidegate is started with.
#[derive(Debug)]
pub struct Setup {
    /// The base directory.
    pub volume: Volume,
    /// `TMPDIR` of the process: what it leaves there goes with the test.
    temporary: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    wait_ready: bool,
}

impl Setup {
    /// One document, `config/10-test`.
    pub fn new(document: &Document) -> Self {
        let mut volume = Volume::new();
        volume.set("config/10-test", document.to_string());
        Self::of(volume)
    }

    /// A base directory made ready.
    pub fn of(mut volume: Volume) -> Self {
        volume.publish();
        let temporary = tempfile::tempdir().unwrap();
        Self { volume, temporary, arguments: Vec::new(), environment: Vec::new(), wait_ready: true }
    }

    /// Adds a file to the base directory.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.volume.set(path, content);
        self.volume.publish();
        self
    }

    /// Adds arguments of `run`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Does not wait until it is ready.
    #[must_use]
    pub fn not_ready(mut self) -> Self {
        self.wait_ready = false;
        self
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(self) -> Tidegate {
        let (health, metrics) = (Port::free(), Port::free());
        let (child, log) = launch(&self, &health, &metrics);
        let tidegate = Tidegate { setup: self, health, metrics, child, log };
        if tidegate.setup.wait_ready {
            tidegate.wait_ready().await;
        }
        tidegate
    }
}

/// Tidegate, running. It is killed when dropped.
#[derive(Debug)]
pub struct Tidegate {
    setup: Setup,
    health: Port,
    metrics: Port,
    child: Child,
    log: Log,
}

/// Lines of standard output and error, in order.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = log.0.lock().unwrap();
                if kept.len() < MAX_LINES {
                    kept.push(line);
                }
            }
        });
    }
}

fn launch(setup: &Setup, health: &Port, metrics: &Port) -> (Child, Log) {
    let mut command = Command::new(built("tidegate"));
    command
        .arg("run")
        .arg("--base")
        .arg(setup.volume.path())
        .args(["--workers", "2", "--health", &health.address().to_string()])
        .args(["--metrics", &metrics.address().to_string()])
        .args(rest_off(setup))
        .args(&setup.arguments)
        .env_clear()
        .env("TMPDIR", setup.temporary.path())
        .envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .envs(setup.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let log = Log::default();
    log.follow(child.stdout.take().unwrap());
    log.follow(child.stderr.take().unwrap());
    (child, log)
}

/// Its port is fixed unless it is set, so it is off in tests that do not ask for it.
fn rest_off(setup: &Setup) -> &'static [&'static str] {
    if setup.arguments.iter().any(|argument| argument == "--rest") { &[] } else { &["--rest", "off"] }
}

impl Tidegate {
    /// Starts with one document and waits until it is ready.
    pub async fn start(document: &Document) -> Self {
        Setup::new(document).start().await
    }

    /// The health address.
    pub fn health(&self) -> SocketAddr {
        self.health.address()
    }

    /// The metrics address.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.address()
    }

    /// All metrics, in the Prometheus format.
    pub async fn scrape(&self) -> String {
        let mut client = Client::connect(self.metrics()).await;
        client.get("/metrics").await.text()
    }

    /// The sum of the samples of a metric, scraped now: of all with this name, or of the one with its labels behind it.
    pub async fn metric(&self, series: &str) -> u64 {
        let text = self.scrape().await;
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(series)?;
            (rest.starts_with(' ') || rest.starts_with('{')).then_some(rest)
        });
        let values = samples.map(|rest| rest.rsplit(' ').next().unwrap_or_default().parse::<u64>().unwrap());
        values.reduce(|sum, value| sum + value).unwrap_or_else(|| panic!("no {series} in:\n{text}"))
    }

    /// Status of a page of the health address; 0 = no answer.
    pub async fn health_status(&self, path: &str) -> u16 {
        let Ok(mut client) = Client::try_connect(self.health()).await else { return 0 };
        client.send(crate::client::request("GET", path, &["Connection: close"], b"")).await;
        client.try_response("GET").await.map_or(0, |response| response.status)
    }

    async fn wait_ready(&self) {
        let deadline = tokio::time::Instant::now() + READY;
        while self.health_status("/readyz").await != 200 {
            assert!(
                tokio::time::Instant::now() < deadline && !self.log().contains("Error:"),
                "Tidegate is not ready:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Standard output may lag behind the page; a mark taken now must lie behind the first generation's line.
        self.line(&["generation", "active"]).await;
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.0.lock().unwrap().join("\n")
    }

    /// Number of lines logged so far: a mark for [`Tidegate::line_after`].
    pub fn mark(&self) -> usize {
        self.log.0.lock().unwrap().len()
    }

    /// Waits for a line that holds every one of `parts`.
    pub async fn line(&self, parts: &[&str]) -> String {
        self.line_after(0, parts).await
    }

    /// Waits for a line behind `mark` that holds every one of `parts`.
    pub async fn line_after(&self, mark: usize, parts: &[&str]) -> String {
        let find = || {
            let log = self.log.0.lock().unwrap();
            log.iter().skip(mark).find(|line| parts.iter().all(|part| line.contains(part))).cloned()
        };
        for _ in 0..1500 {
            if let Some(line) = find() {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no line with {parts:?} in:\n{}", self.log());
    }

    /// Lines behind `mark` that hold every one of `parts`.
    pub fn lines(&self, mark: usize, parts: &[&str]) -> Vec<String> {
        let log = self.log.0.lock().unwrap();
        log.iter().skip(mark).filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
    }

    /// Changes files of the base directory in one swap per volume. Does not wait for the effect.
    pub fn change(&mut self, change: impl FnOnce(&mut Volume)) {
        change(&mut self.setup.volume);
        self.setup.volume.publish();
    }

    /// Replaces the document of [`Setup::new`] and waits until it serves.
    pub async fn document(&mut self, document: &Document) {
        let mark = self.mark();
        self.change(|volume| volume.set("config/10-test", document.to_string()));
        self.line_after(mark, &["generation", "active"]).await;
    }

    /// The base directory.
    pub fn base(&self) -> &Path {
        self.setup.volume.path()
    }

    /// The temporary directory of the process.
    pub fn temporary(&self) -> &Path {
        self.setup.temporary.path()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().expect("a running process")).unwrap()).unwrap()
    }

    /// Resident memory, KiB.
    pub fn rss_kib(&self) -> usize {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid().as_raw_nonzero())).unwrap().count()
    }

    /// Waits for the end of the process.
    pub async fn wait(&mut self) -> ExitStatus {
        within("end of the process", self.child.wait()).await.unwrap()
    }

    /// SIGTERM, and a clean end: status 0 and no panic in the log.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait().await;
        self.assert_clean(status);
    }

    /// Fails the test unless the process ended well.
    pub fn assert_clean(&self, status: ExitStatus) {
        assert!(status.success(), "ended with {status}:\n{}", self.log());
        self.assert_calm();
    }

    /// Fails the test if anything panicked.
    pub fn assert_calm(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "a panic:\n{log}");
    }

    /// Ends the process by SIGTERM and starts it again with the same base directory, ports and settings.
    pub async fn restart(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait().await;
        self.assert_clean(status);
        (self.child, self.log) = launch(&self.setup, &self.health, &self.metrics);
        self.wait_ready().await;
    }

    /// Kills the process at once and starts it again, as [`Tidegate::restart`] does.
    pub async fn kill_and_restart(&mut self) {
        self.signal(Signal::KILL);
        self.wait().await;
        self.assert_calm();
        (self.child, self.log) = launch(&self.setup, &self.health, &self.metrics);
        self.wait_ready().await;
    }

    /// Writes what was logged to a file, for a look after a failure.
    pub fn save_log(&self, file: &mut File) {
        use std::io::Write as _;
        file.write_all(self.log().as_bytes()).unwrap();
    }

    /// Waits until nothing listens on `address` any more.
    pub async fn wait_refused(&self, address: SocketAddr) {
        eventually("the port to close", async || Client::try_connect(address).await.is_err().then_some(()))
            .await;
    }

    /// Waits until `path` at `address` is answered with `status`.
    pub async fn wait_status(&self, limit: Duration, address: SocketAddr, path: &str, status: u16) {
        eventually_within(limit, &format!("status {status} of {path}"), async || {
            let mut client = Client::try_connect(address).await.ok()?;
            client.send(crate::client::request("GET", path, &["Connection: close"], b"")).await;
            (client.try_response("GET").await.ok()?.status == status).then_some(())
        })
        .await;
    }
}
