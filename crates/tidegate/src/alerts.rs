//! Alerting: events of the event log lead to the actions of the event types they belong to.
//!
//! ```text
//! events::recent ─► every event type that matches ─► its actions: a line in a file, syslog, a program
//! ```
//!
//! Actions are done one after the other, apart from everything else; programs beside each other, up to a bound.
//! What could not be done is a line of the log that is no event itself, so that no alert can cause another one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use tidegate_model::{
    ActionName, ActionProgramName, Configuration,
    alert::{Action, ActionKind, EventType},
};
use tidegate_telemetry::events::{self, Event, Level};
use tokio::{
    net::{UdpSocket, lookup_host},
    process::Command,
    sync::{Semaphore, watch},
};
use tracing::{info, warn};

/// Time between two looks for events.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Programs that run at a time; what goes beyond is not run.
const MAX_PROGRAMS: usize = 8;
/// Longest run of a program whose action has no `timeout`.
const PROGRAM_CAP: Duration = Duration::from_mins(10);
/// Longest wait for the address of a syslog host.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Port of syslog over UDP (RFC 5426).
const SYSLOG_PORT: u16 = 514;
/// Facility of syslog messages: system daemons (RFC 5424 section 6.2.1).
const FACILITY: u8 = 3;
/// Where programs lie below the home directory.
const PROGRAMS: &str = "zxtm/conf/actionprogs";

/// How often event types matched and actions were done.
#[derive(Debug, Default)]
pub(crate) struct AlertCounts(Mutex<Counts>);

/// Counts by name.
pub(crate) type Named = Vec<(Arc<str>, u64)>;

#[derive(Debug, Default)]
struct Counts {
    matched: BTreeMap<Arc<str>, u64>,
    processed: BTreeMap<ActionName, u64>,
}

impl AlertCounts {
    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts of every configured event type and action, by name.
    pub(crate) fn of(&self, configuration: &Configuration) -> (Named, Named) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let matched = |name: &Arc<str>| counts.matched.get(name).copied().unwrap_or(0);
        let processed = |name: &ActionName| counts.processed.get(name).copied().unwrap_or(0);
        (
            configuration.event_types.keys().map(|name| (Arc::clone(name), matched(name))).collect(),
            configuration.actions.keys().map(|name| (name.as_str().into(), processed(name))).collect(),
        )
    }
}

/// Does what event types say for as long as the task lives. `home` is the home directory.
pub(crate) async fn run(
    configuration: watch::Receiver<Arc<Configuration>>,
    counts: Arc<AlertCounts>,
    home: PathBuf,
) {
    let mut alerts = Alerts { counts, home, programs: Arc::new(Semaphore::new(MAX_PROGRAMS)), syslog: None };
    // What happened before there was a configuration is of interest too.
    let mut last = 0;
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        for event in events::recent(last) {
            if event.number > last + 1 {
                warn!("{} events were forgotten before their actions were done", event.number - last - 1);
            }
            last = event.number;
            let configuration = Arc::clone(&configuration.borrow());
            alerts.tell(&configuration, &event).await;
        }
    }
}

struct Alerts {
    counts: Arc<AlertCounts>,
    home: PathBuf,
    programs: Arc<Semaphore>,
    syslog: Option<UdpSocket>,
}

/// The event types an event belongs to.
fn matching<'a>(
    configuration: &'a Configuration,
    event: &'a Event,
) -> impl Iterator<Item = &'a Arc<EventType>> {
    let category = event.category();
    configuration
        .event_types
        .values()
        .filter(move |event_type| event_type.matches(category, &event.tag, &event.object))
}

impl Alerts {
    async fn tell(&mut self, configuration: &Configuration, event: &Event) {
        for event_type in matching(configuration, event) {
            self.counts
                .change(|counts| *counts.matched.entry(Arc::clone(&event_type.name)).or_default() += 1);
            for action in event_type.actions.iter().filter_map(|name| configuration.actions.get(name)) {
                let done = self.act(configuration, event_type, action, event).await;
                self.counts.change(|counts| *counts.processed.entry(action.name.clone()).or_default() += 1);
                match done {
                    Err(reason) => warn!(action = %action.name, "an alert could not be told: {reason}"),
                    Ok(()) if action.verbose => info!(action = %action.name, "told of {}", event.tag),
                    Ok(()) => {}
                }
            }
        }
    }

    async fn act(
        &mut self,
        configuration: &Configuration,
        event_type: &EventType,
        action: &Action,
        event: &Event,
    ) -> Result<(), String> {
        match &action.kind {
            ActionKind::Log { file } => {
                let path = self.home.join(&**file);
                let line = log_line(event);
                let append =
                    move || append(&path, &line).map_err(|error| format!("{}: {error}", path.display()));
                tokio::task::spawn_blocking(append).await.map_err(|error| error.to_string())?
            }
            ActionKind::Syslog { host, limit } => {
                self.syslog(host, &syslog_message(event, &host_name(), *limit)).await
            }
            ActionKind::Program { program, arguments } => {
                let content = configuration.action_programs.get(program);
                let content = content.ok_or_else(|| format!("there is no action program {program}"))?;
                let mut given: Vec<String> =
                    arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect();
                given.push(format!("--eventtype={}", event_type.name));
                given.push(log_line(event).trim_end().to_owned());
                let limit = action.timeout.unwrap_or(PROGRAM_CAP);
                self.program(program, content, given, limit)
            }
            // Reported when the documents were compiled.
            ActionKind::NotActedOn => Ok(()),
        }
    }

    async fn syslog(&mut self, host: &str, message: &[u8]) -> Result<(), String> {
        let address = tokio::time::timeout(LOOKUP_LIMIT, syslog_address(host))
            .await
            .map_err(|_| format!("the address of {host} was not found in time"))??;
        if self.syslog.is_none() {
            let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
            let socket = match UdpSocket::bind(any).await {
                Ok(socket) => socket,
                Err(_) => UdpSocket::bind("0.0.0.0:0").await.map_err(|error| error.to_string())?,
            };
            self.syslog = Some(socket);
        }
        let Some(socket) = &self.syslog else { return Ok(()) };
        let mapped = match address {
            SocketAddr::V4(v4) if socket.local_addr().is_ok_and(|local| local.is_ipv6()) => {
                SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port())
            }
            other => other,
        };
        socket.send_to(message, mapped).await.map(drop).map_err(|error| format!("{address}: {error}"))
    }

    /// Starts a program and lets it run.
    fn program(
        &self,
        name: &ActionProgramName,
        content: &Arc<[u8]>,
        arguments: Vec<String>,
        limit: Duration,
    ) -> Result<(), String> {
        let Ok(place) = Arc::clone(&self.programs).try_acquire_owned() else {
            return Err(format!("{MAX_PROGRAMS} programs are running already, {name} was not started"));
        };
        let (home, name, content) = (self.home.clone(), name.clone(), Arc::clone(content));
        tokio::spawn(async move {
            let (directory, file) = (home.join(PROGRAMS), file_name(&name));
            let install = move || install(&directory, &file, &content);
            let outcome = match tokio::task::spawn_blocking(install).await {
                Ok(Ok(path)) => run_program(&path, &home, &arguments, limit).await,
                Ok(Err(error)) => Err(format!("it cannot be written: {error}")),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = outcome {
                warn!(program = %name, "an action program failed: {reason}");
            }
            drop(place);
        });
        Ok(())
    }
}

/// A name that stays in its directory: what is no letter, digit, `-`, `_` or inner `.` is written as `%XX`.
fn file_name(name: &ActionProgramName) -> String {
    let mut file = String::new();
    for (at, byte) in name.as_str().bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0) {
            file.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            _ = write!(file, "%{byte:02X}");
        }
    }
    file
}

/// Writes the program unless it is there already, byte for byte.
fn install(directory: &Path, file: &str, content: &[u8]) -> std::io::Result<PathBuf> {
    let path = directory.join(file);
    if std::fs::read(&path).is_ok_and(|there| there == content) {
        return Ok(path);
    }
    std::fs::create_dir_all(directory)?;
    // A program that is running cannot be written to, but replaced.
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(content)?;
    new.as_file().set_permissions(std::fs::Permissions::from_mode(0o700))?;
    // Closed first: a program that somebody may write to cannot be run.
    new.into_temp_path().persist(&path)?;
    Ok(path)
}

async fn run_program(path: &Path, home: &Path, arguments: &[String], limit: Duration) -> Result<(), String> {
    let mut child = Command::new(path)
        .args(arguments)
        .env_clear()
        .env("ZEUSHOME", home)
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it cannot be started: {error}"))?;
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("it ended with {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it ran longer than {} s and was ended", limit.as_secs())),
    }
}

/// The address of a syslog host, `host`, `host:port` or nothing for this machine.
async fn syslog_address(host: &str) -> Result<SocketAddr, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, SYSLOG_PORT));
    }
    let named = match host {
        "" => format!("127.0.0.1:{SYSLOG_PORT}"),
        _ if host.contains(':') => host.to_owned(),
        _ => format!("{host}:{SYSLOG_PORT}"),
    };
    let mut found = lookup_host(&named).await.map_err(|error| format!("{host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address"))
}

/// Time in brackets, level, object, tag and text with tabs between them, as the original's event log has it.
fn log_line(event: &Event) -> String {
    let since = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = tidegate_telemetry::logging::timestamp(since);
    let object = if event.object.is_empty() {
        event.category().section().to_owned()
    } else {
        format!("{}/{}", event.category().section(), event.object)
    };
    format!("[{time}]\t{}\t{object}\t{}\t{}\n", event.level, event.tag, event.text)
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())
}

/// A message of RFC 5424 section 6, at most `limit` bytes long.
fn syslog_message(event: &Event, host: &str, limit: usize) -> Vec<u8> {
    let severity = match event.level {
        Level::Info => 6,
        Level::Warn => 4,
        Level::Serious => 3,
    };
    let since = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = tidegate_telemetry::logging::timestamp(since);
    let tag: String = event.tag.chars().filter(char::is_ascii_graphic).take(32).collect();
    let tag = if tag.is_empty() { "-" } else { &tag };
    let pid = std::process::id();
    let mut text =
        format!("<{}>1 {time} {host} tidegate {pid} {tag} - {}", FACILITY * 8 + severity, event.text);
    text.truncate(text.floor_char_boundary(limit));
    text.into_bytes()
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() || name.contains(' ') { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn event() -> Event {
        Event {
            number: 1,
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
            level: Level::Serious,
            tag: "pooldied".to_owned(),
            object: "web".to_owned(),
            text: "no node is left pool=web é".to_owned(),
        }
    }

    #[test]
    fn lines_and_messages() {
        assert_eq!(
            log_line(&event()),
            "[2023-11-14T22:13:20.250Z]\tSERIOUS\tpools/web\tpooldied\tno node is left pool=web é\n"
        );
        let message = String::from_utf8(syslog_message(&event(), "machine", 480)).unwrap();
        assert!(message.starts_with("<27>1 2023-11-14T22:13:20.250Z machine tidegate "), "{message}");
        assert!(message.ends_with(" pooldied - no node is left pool=web é"), "{message}");
        let length = message.len();
        assert_eq!(
            syslog_message(&event(), "machine", length - 1).len(),
            length - 2,
            "a character is not cut"
        );
    }

    #[test]
    fn program_names_stay_in_their_directory() {
        for (name, file) in [("a-b_c.sh", "a-b_c.sh"), ("../x", "%2E.%2Fx"), ("ä", "%C3%A4")] {
            assert_eq!(file_name(&name.into()), file);
        }
    }

    #[tokio::test]
    async fn syslog_hosts() {
        for (host, address) in [
            ("", "127.0.0.1:514"),
            ("10.0.0.1", "10.0.0.1:514"),
            ("10.0.0.1:5140", "10.0.0.1:5140"),
            ("::1", "[::1]:514"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(syslog_address(host).await.unwrap(), address.parse().unwrap(), "{host}");
        }
    }
}
