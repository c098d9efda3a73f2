//! The probe `program`: a script of the `monitor_scripts` catalogue.
//!
//! Called as `SCRIPT --ipaddr=ADDRESS --port=PORT --timeout=SECONDS --NAME=VALUE ...` with `ZEUSHOME` set, in a process group of its
//! own. Exit status 0 means the node works; otherwise the first line it printed is the reason.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tidegate_model::ScriptName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};

use super::{Destination, Outcome};

/// Bytes of a program's output that are kept; what follows is read and dropped.
const MAX_OUTPUT: usize = 8 * 1024;

/// Characters of the reason that is taken from the output.
const MAX_REASON: usize = 200;

/// Another thread that starts a process just while the file is being written makes the first start fail; it is repeated
/// this often ...
const BUSY_RETRIES: u32 = 10;

/// ... after this long.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long output is waited for once the program has ended and its group is gone.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// What a program gets of this process's environment, which may hold secrets.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// Where the scripts lie below `ZEUSHOME`.
const SCRIPTS: &str = "zxtm/conf/scripts";

/// Writes the scripts below `home`. Files whose content is right are left alone; files of other names too.
pub(crate) fn install(
    home: &Path,
    scripts: &BTreeMap<ScriptName, Arc<[u8]>>,
) -> Vec<(ScriptName, io::Error)> {
    let mut faults = Vec::new();
    for (name, content) in scripts {
        if let Err(error) = write(&path(home, name), content) {
            faults.push((name.clone(), error));
        }
    }
    faults
}

/// Puts a file in place as a whole: written beside it and renamed, executable by its owner.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&beside)?;
    io::Write::write_all(&mut file, content)?;
    drop(file);
    std::fs::rename(&beside, path)
}

/// The file of a script. Characters that could lead elsewhere are written `%HH`.
fn path(home: &Path, name: &ScriptName) -> PathBuf {
    let mut file = String::new();
    for byte in name.as_str().bytes() {
        let leading_dot = byte == b'.' && file.is_empty();
        if (byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b' ')) && !leading_dot {
            file.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(file, "%{byte:02X}");
        }
    }
    home.join(SCRIPTS).join(file)
}

/// A program with its arguments.
#[derive(Debug)]
pub(crate) struct Program {
    name: ScriptName,
    home: PathBuf,
    path: PathBuf,
    timeout: Duration,
    arguments: Vec<String>,
}

impl Program {
    pub(super) fn new(
        home: &Path,
        name: &ScriptName,
        arguments: &[(Arc<str>, Arc<str>)],
        timeout: Duration,
    ) -> Self {
        Self {
            path: path(home, name),
            name: name.clone(),
            home: home.to_owned(),
            timeout,
            arguments: arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect(),
        }
    }

    pub(super) async fn run(&self, to: &Destination) -> Outcome {
        let mut child = match self.start(to).await {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.exists() => {
                return Outcome::Unable(format!("the catalogue monitor_scripts has no `{}`", self.name));
            }
            Err(error) => return Outcome::Unable(format!("`{}` cannot be started: {error}", self.name)),
        };
        // However this ends, be it by the monitor's timeout, nothing the program started stays behind.
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        let (stdout_pipe, stderr_pipe) = (child.stdout.take(), child.stderr.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = {
            let reading =
                async { tokio::join!(keep(stdout_pipe, &mut stdout), keep(stderr_pipe, &mut stderr)) };
            tokio::pin!(reading);
            let mut all_read = false;
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status,
                    _ = &mut reading, if !all_read => all_read = true,
                }
            };
            drop(group);
            if !all_read && tokio::time::timeout(OUTPUT_GRACE, reading).await.is_err() {
                tracing::debug!(script = %self.name, "a process that left the script's group holds its output open");
            }
            status
        };
        match status {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => Outcome::Failed(
                reason(&stdout)
                    .or_else(|| reason(&stderr))
                    .unwrap_or_else(|| format!("`{}` ended with {status}", self.name)),
            ),
            Err(error) => Outcome::Unable(format!("`{}` was lost: {error}", self.name)),
        }
    }

    async fn start(&self, to: &Destination) -> io::Result<Child> {
        let mut command = Command::new(&self.path);
        command.arg(format!("--ipaddr={}", to.ip));
        if let Some(port) = to.port {
            command.arg(format!("--port={port}"));
        }
        command
            .arg(format!("--timeout={}", self.timeout.as_secs().max(1)))
            .args(&self.arguments)
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("ZEUSHOME", &self.home)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut attempts = 0;
        loop {
            match command.spawn() {
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts < BUSY_RETRIES =>
                {
                    attempts += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                spawned => return spawned,
            }
        }
    }
}

/// Kills a process group when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error means that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Reads everything a program prints and keeps the first [`MAX_OUTPUT`] bytes.
async fn keep(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let room = MAX_OUTPUT - kept.len();
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// The first line that says anything, cut and made printable.
fn reason(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_names_stay_inside_the_folder() {
        for (name, file) in [
            ("dns.pl", "dns.pl"),
            ("my check-1_2.sh", "my check-1_2.sh"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            (".hidden", "%2Ehidden"),
            ("..", "%2E."),
            ("a/b\0c", "a%2Fb%00c"),
        ] {
            assert_eq!(
                path(Path::new("/home"), &name.into()),
                Path::new("/home/zxtm/conf/scripts").join(file)
            );
        }
    }

    #[test]
    fn the_reason_is_the_first_line_that_says_anything() {
        assert_eq!(reason(b"\n  \n no answer \nmore"), Some("no answer".into()));
        assert_eq!(reason(b"bad\x1b[31m"), Some("bad [31m".into()));
        assert_eq!(reason(b""), None);
        assert_eq!(reason(&[b'x'; 9999]).map(|reason| reason.len()), Some(MAX_REASON));
    }
}
