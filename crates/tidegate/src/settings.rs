//! Settings: command line and environment in, one checked [`Settings`] out.
//!
//! A flag wins over its `TIDEGATE_*` variable, which wins over the `ZEUS_*` variable of the product this
//! follows. The environment comes in as a value, so that precedence is tested without touching the process.

pub(crate) mod ctl;
pub(crate) mod rest;
pub(crate) mod traces;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tidegate_model::LocationName;
use tidegate_telemetry::{logging::LogFormat, metrics::Details};

use self::{
    rest::{RestOptions, RestSettings},
    traces::TracesOptions,
};
use crate::{
    ctl::{CtlOptions, completion::Shell, export::ExportOptions},
    demo::script::Script,
    logging::DEFAULT_FILTER,
    rule::RuleCommand,
};

/// Most data workers that may be asked for.
const MAX_WORKERS: usize = 512;
/// Longest grace period, seconds.
const MAX_GRACE: u64 = 24 * 3600;
/// Port of the health address unless set.
const HEALTH_PORT: u16 = 19998;
/// Port of the metrics address unless set.
const METRICS_PORT: u16 = 9091;
/// Time for requests in flight after SIGTERM unless set: below the 30 s Kubernetes allows a pod.
const DEFAULT_GRACE: Duration = Duration::from_secs(25);

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    about = "In-cluster traffic manager: reads vTM documents, finds the pods of each pool, and proxies to them.",
    disable_version_flag = true,
    max_term_width = 110
)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve what the documents of the base directory say, until SIGTERM.
    Run(Box<RunOptions>),
    /// Read the documents of DIR as `run` would and print every fault.
    ///
    /// Exit status: 0 = no errors (there may be warnings), 1 = errors.
    Check(CheckOptions),
    /// Compile TrafficScript rules, and run one over a described request.
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Look at and change a running Tidegate through its REST interface.
    Ctl(Box<CtlOptions>),
    /// Write a configuration as one document: that of a running Tidegate, or that of documents.
    ///
    /// Exit status: as of `ctl`.
    Export(Box<ExportOptions>),
    /// Print a script that completes the words of this command line in a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Show the main job on this machine: DNS server, sample nodes, documents and load in one process.
    Demo(DemoOptions),
    /// Print the version.
    Version,
}

/// Options of `run`. Each can also be set by environment; a flag wins over `TIDEGATE_*`, that over `ZEUS_*`.
#[derive(Debug, Default, Args)]
pub(crate) struct RunOptions {
    /// Base directory: `DIR/config` holds the documents, the rest is data they refer to. Watched for changes.
    /// [env: TIDEGATE_BASE, ZEUS_WATCHED_CONFIG]
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,

    /// Base directory of documents that are read once at start and stay under the watched ones.
    /// [env: TIDEGATE_BASE_CONFIG, ZEUS_BASE_CONFIG]
    #[arg(long, value_name = "DIR")]
    pub(crate) base_config: Option<PathBuf>,

    /// Data workers. [default: the CPUs this process may use, cgroup limits included]
    /// [env: TIDEGATE_WORKERS]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<Workers>,

    /// Address of /livez and /readyz. [default: 127.0.0.1:19998; in Kubernetes 0.0.0.0:19998]
    /// [env: TIDEGATE_HEALTH]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) health: Option<SocketAddr>,

    /// Address of /metrics, or `off`. [default: 127.0.0.1:9091; in Kubernetes 0.0.0.0:9091]
    /// [env: TIDEGATE_METRICS]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<MetricsAddress>,

    /// Further metrics: a list of objects (more of every virtual server and pool), histograms (durations of every one in
    /// buckets) and nodes (every node). [default: none] [env: TIDEGATE_METRICS_DETAIL]
    #[arg(long, value_name = "LIST")]
    pub(crate) metrics_detail: Option<Details>,

    /// Form of the log lines on standard output. [default: human] [env: TIDEGATE_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,

    /// What is logged: a level, or a list of TARGET=LEVEL such as info,tidegate_proxy=debug. [default: info]
    /// [env: TIDEGATE_LOG_FILTER]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log_filter: Option<String>,

    /// File with the secret under which session cookies are made; give every traffic manager of a cluster the
    /// same one. [default: a derived key, which is no secret]
    /// [env: TIDEGATE_SESSION_KEY_FILE; TIDEGATE_SESSION_KEY holds the secret itself]
    #[arg(long, value_name = "FILE")]
    pub(crate) session_key_file: Option<PathBuf>,

    /// Directory that keeps the last known nodes of each pool, and what was written through REST, over a restart.
    /// [default: nothing is kept]
    /// [env: TIDEGATE_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Directory laid out as ZEUSHOME for discovery plugins and monitor programs.
    /// [default: a private temporary directory] [env: TIDEGATE_HOME, ZEUSHOME]
    #[arg(long, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Time for requests in flight after SIGTERM. [default: 25] [env: TIDEGATE_GRACE]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<Grace>,

    /// Resolver configuration that discovery follows. [default: /etc/resolv.conf] [env: TIDEGATE_RESOLV_CONF]
    #[arg(long, value_name = "FILE")]
    pub(crate) resolv_conf: Option<PathBuf>,

    /// Hosts file, which answers for host names of nodes before DNS does. [default: /etc/hosts] [env: TIDEGATE_HOSTS]
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Option<PathBuf>,

    /// Database of places for the functions geo.* of rules: GeoLite2 or GeoIP2, City or Country (.mmdb). Read again when it
    /// changes. [default: none, every place is unknown] [env: TIDEGATE_GEO_DATABASE]
    #[arg(long, value_name = "FILE")]
    pub(crate) geo_database: Option<PathBuf>,

    /// Where this traffic manager is, for geo.getLocation: an entry of the catalogue locations.
    /// [default: unknown] [env: TIDEGATE_LOCATION]
    #[arg(long, value_name = "NAME")]
    pub(crate) location: Option<String>,

    /// The REST interface.
    #[command(flatten)]
    pub(crate) rest: RestOptions,

    /// Distributed tracing.
    #[command(flatten)]
    pub(crate) traces: TracesOptions,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Base directory, as for `run --base`.
    #[arg(value_name = "DIR")]
    pub(crate) base: PathBuf,

    /// Base documents that lie under those of DIR, as for `run --base-config`.
    /// [env: TIDEGATE_BASE_CONFIG, ZEUS_BASE_CONFIG]
    #[arg(long, value_name = "DIR")]
    pub(crate) base_config: Option<PathBuf>,
}

/// Options of `demo`.
#[derive(Debug, Default, Args)]
pub(crate) struct DemoOptions {
    /// What happens when, as `ACTION@SECOND,…`, with the actions scale-up, drain, kill, restore and quit.
    #[arg(long, value_name = "SCRIPT")]
    pub(crate) script: Option<Script>,

    /// End by itself after this time, with exit status 0 when no request failed.
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,

    /// Plain lines even on a terminal.
    #[arg(long)]
    pub(crate) plain: bool,

    /// Data workers. [default: the CPUs this process may use, at most 2] [env: TIDEGATE_WORKERS]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<Workers>,
}

/// Number of data workers, 1–512.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) usize);

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().parse::<usize>() {
            Ok(count) if (1..=MAX_WORKERS).contains(&count) => Ok(Self(count)),
            _ => Err(format!("a whole number from 1 to {MAX_WORKERS} is expected")),
        }
    }
}

/// Grace period in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grace(Duration);

impl FromStr for Grace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().parse::<u64>() {
            Ok(seconds) if seconds <= MAX_GRACE => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("whole seconds from 0 to {MAX_GRACE} are expected")),
        }
    }
}

/// Where metrics are served; `off` = nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetricsAddress(Option<SocketAddr>);

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self(None));
        }
        let address = text.trim().parse().map_err(|_| "an address with a port, or off, is expected")?;
        Ok(Self(Some(address)))
    }
}

/// What is told to scrapers, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetricsSettings {
    /// `None` = nowhere.
    pub(crate) address: Option<SocketAddr>,
    /// What else.
    pub(crate) details: Details,
}

/// The variables of the process environment, by name. Values may be secrets: never logged.
pub(crate) type Environment = BTreeMap<String, String>;

/// The environment of this process; what is not UTF-8 is left out.
pub(crate) fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Where the secret of session cookies comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SessionKeySource {
    /// A file, read at start.
    File(PathBuf),
    /// The variable `TIDEGATE_SESSION_KEY`.
    Text(String),
    /// None was given.
    Derived,
}

impl fmt::Debug for SessionKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Derived => f.write_str("Derived"),
        }
    }
}

/// What `run` works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Watched base directory.
    pub(crate) base: PathBuf,
    /// Base directory of the documents under the watched ones.
    pub(crate) base_config: Option<PathBuf>,
    /// Data workers.
    pub(crate) workers: usize,
    /// Health address.
    pub(crate) health: SocketAddr,
    /// Metrics.
    pub(crate) metrics: MetricsSettings,
    /// Log form.
    pub(crate) log_format: LogFormat,
    /// Session key.
    pub(crate) session_key: SessionKeySource,
    /// What is logged.
    pub(crate) log_filter: String,
    /// Kept state.
    pub(crate) state_dir: Option<PathBuf>,
    /// `ZEUSHOME` of plugins; `None` = a private temporary directory.
    pub(crate) home: Option<PathBuf>,
    /// Time for requests in flight at the end.
    pub(crate) grace: Duration,
    /// Resolver configuration.
    pub(crate) resolv_conf: PathBuf,
    /// Hosts file.
    pub(crate) hosts: PathBuf,
    /// Database of places; `None` = every place is unknown.
    pub(crate) geo_database: Option<PathBuf>,
    /// Entry of `locations` that says where this is.
    pub(crate) location: Option<LocationName>,
    /// Whether cluster names should resolve here.
    pub(crate) in_kubernetes: bool,
    /// The REST interface; `None` = off.
    pub(crate) rest: Option<RestSettings>,
    /// Distributed tracing; `None` = off.
    pub(crate) traces: Option<tidegate_telemetry::traces::Options>,
}

/// Settings that cannot be worked with: which, and what is expected instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SettingsError(pub(crate) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The settings of `run`: flags laid over the environment laid over defaults. `cpus` is the number of CPUs
/// this process may use.
pub(crate) fn resolve(
    options: RunOptions,
    environment: &Environment,
    cpus: usize,
) -> Result<Settings, SettingsError> {
    let session_key = match (options.session_key_file, variable(environment, "TIDEGATE_SESSION_KEY")) {
        (Some(path), _) => SessionKeySource::File(path),
        (None, Some(text)) => SessionKeySource::Text(text.to_owned()),
        (None, None) => path(None, environment, &["TIDEGATE_SESSION_KEY_FILE"])
            .map_or(SessionKeySource::Derived, SessionKeySource::File),
    };
    Ok(Settings {
        base: path(options.base, environment, &["TIDEGATE_BASE", "ZEUS_WATCHED_CONFIG"]).ok_or_else(
            || {
                SettingsError(
                "no base directory is set: pass --base DIR, or set TIDEGATE_BASE or ZEUS_WATCHED_CONFIG; \
                 its config/ directory holds the documents"
                    .to_owned(),
            )
            },
        )?,
        base_config: base_config(options.base_config, environment),
        workers: workers(options.workers, environment)?.unwrap_or(cpus),
        health: parsed(options.health, environment, "TIDEGATE_HEALTH", "ADDR:PORT")?
            .unwrap_or_else(|| default_address(environment, HEALTH_PORT)),
        metrics: metrics(options.metrics, options.metrics_detail, environment)?,
        log_format: parsed(options.log_format, environment, "TIDEGATE_LOG_FORMAT", "human or json")?
            .unwrap_or_default(),
        log_filter: options
            .log_filter
            .or_else(|| variable(environment, "TIDEGATE_LOG_FILTER").map(str::to_owned))
            .unwrap_or_else(|| DEFAULT_FILTER.to_owned()),
        session_key,
        state_dir: path(options.state_dir, environment, &["TIDEGATE_STATE_DIR"]),
        home: path(options.home, environment, &["TIDEGATE_HOME", "ZEUSHOME"]),
        grace: parsed(options.grace, environment, "TIDEGATE_GRACE", "whole seconds")?
            .map_or(DEFAULT_GRACE, |grace| grace.0),
        resolv_conf: path(options.resolv_conf, environment, &["TIDEGATE_RESOLV_CONF"])
            .unwrap_or_else(|| PathBuf::from("/etc/resolv.conf")),
        hosts: path(options.hosts, environment, &["TIDEGATE_HOSTS"])
            .unwrap_or_else(|| PathBuf::from("/etc/hosts")),
        geo_database: path(options.geo_database, environment, &["TIDEGATE_GEO_DATABASE"]),
        location: options
            .location
            .as_deref()
            .or_else(|| variable(environment, "TIDEGATE_LOCATION"))
            .map(LocationName::from),
        in_kubernetes: in_kubernetes(environment),
        rest: rest::resolve(options.rest, environment)?,
        traces: traces::resolve(options.traces, environment)?,
    })
}

/// Base documents by flag or environment.
pub(crate) fn base_config(flag: Option<PathBuf>, environment: &Environment) -> Option<PathBuf> {
    path(flag, environment, &["TIDEGATE_BASE_CONFIG", "ZEUS_BASE_CONFIG"])
}

/// Data workers by flag or environment.
pub(crate) fn workers(
    flag: Option<Workers>,
    environment: &Environment,
) -> Result<Option<usize>, SettingsError> {
    Ok(parsed(flag, environment, "TIDEGATE_WORKERS", "a number of workers")?.map(|workers| workers.0))
}

/// The CPUs this process may use: affinity and cgroup limits (v1 and v2) included, a part of a CPU rounded
/// down, at least one.
pub(crate) fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(MAX_WORKERS))
}

fn metrics(
    address: Option<MetricsAddress>,
    details: Option<Details>,
    environment: &Environment,
) -> Result<MetricsSettings, SettingsError> {
    let address = parsed(address, environment, "TIDEGATE_METRICS", "ADDR:PORT or off")?;
    let details = parsed(details, environment, "TIDEGATE_METRICS_DETAIL", "a list of details")?;
    Ok(MetricsSettings {
        address: match address {
            Some(MetricsAddress(address)) => address,
            None => Some(default_address(environment, METRICS_PORT)),
        },
        details: details.unwrap_or_default(),
    })
}

/// Loopback outside a cluster; every address inside one, where the kubelet probes and Prometheus scrapes the node's
/// address.
fn default_address(environment: &Environment, port: u16) -> SocketAddr {
    let address = if in_kubernetes(environment) { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    SocketAddr::new(IpAddr::V4(address), port)
}

/// The API server's address is in the environment of every container.
fn in_kubernetes(environment: &Environment) -> bool {
    variable(environment, "KUBERNETES_SERVICE_HOST").is_some()
}

/// A variable that is set and not empty.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn path(flag: Option<PathBuf>, environment: &Environment, names: &[&str]) -> Option<PathBuf> {
    flag.or_else(|| names.iter().find_map(|name| variable(environment, name)).map(PathBuf::from))
}

fn parsed<T: FromStr>(
    flag: Option<T>,
    environment: &Environment,
    name: &str,
    expected: &str,
) -> Result<Option<T>, SettingsError>
where
    T::Err: fmt::Display,
{
    if flag.is_some() {
        return Ok(flag);
    }
    variable(environment, name)
        .map(|value| {
            value.parse().map_err(|error| {
                SettingsError(format!("{name} is `{value}`, but {expected} is expected: {error}"))
            })
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn with_base() -> RunOptions {
        RunOptions { base: Some("/flag".into()), ..RunOptions::default() }
    }

    #[test]
    fn a_flag_wins_over_tidegate_over_zeus() {
        let all = environment(&[("TIDEGATE_BASE", "/tidegate"), ("ZEUS_WATCHED_CONFIG", "/zeus")]);
        let zeus = environment(&[("ZEUS_WATCHED_CONFIG", "/zeus"), ("TIDEGATE_BASE", "")]);
        for (options, environment, expected) in [
            (with_base(), &all, "/flag"),
            (RunOptions::default(), &all, "/tidegate"),
            (RunOptions::default(), &zeus, "/zeus"),
        ] {
            let settings = resolve(options, environment, 2).unwrap();
            assert_eq!(settings.base, PathBuf::from(expected));
        }
    }

    #[test]
    fn base_documents_follow_the_same_order() {
        let all = environment(&[("TIDEGATE_BASE_CONFIG", "/tidegate"), ("ZEUS_BASE_CONFIG", "/zeus")]);
        let zeus = environment(&[("ZEUS_BASE_CONFIG", "/zeus")]);
        assert_eq!(base_config(Some("/flag".into()), &all), Some("/flag".into()));
        assert_eq!(base_config(None, &all), Some("/tidegate".into()));
        assert_eq!(base_config(None, &zeus), Some("/zeus".into()));
        assert_eq!(base_config(None, &environment(&[])), None);
    }

    #[test]
    fn defaults() {
        let settings = resolve(with_base(), &environment(&[]), 3).unwrap();
        assert_eq!(settings.workers, 3);
        assert_eq!(settings.health, "127.0.0.1:19998".parse().unwrap());
        assert_eq!(settings.log_format, LogFormat::Human);
        assert_eq!(settings.grace, Duration::from_secs(25));
        assert_eq!(settings.session_key, SessionKeySource::Derived);
        assert_eq!(settings.resolv_conf, PathBuf::from("/etc/resolv.conf"));
        assert_eq!(settings.hosts, PathBuf::from("/etc/hosts"));
    }

    #[test]
    fn the_health_address_is_reachable_for_the_kubelet() {
        let cluster = environment(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
        assert_eq!(
            resolve(with_base(), &cluster, 1).unwrap().health,
            "0.0.0.0:19998".parse::<SocketAddr>().unwrap()
        );
        let set = environment(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("TIDEGATE_HEALTH", "127.0.0.1:1")]);
        assert_eq!(
            resolve(with_base(), &set, 1).unwrap().health,
            "127.0.0.1:1".parse::<SocketAddr>().unwrap()
        );
    }

    #[test]
    fn metrics_are_on_unless_switched_off() {
        let cluster = environment(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
        let set = environment(&[("TIDEGATE_METRICS", "[::1]:1"), ("TIDEGATE_METRICS_DETAIL", "nodes")]);
        let off = environment(&[("TIDEGATE_METRICS", "OFF")]);
        for (environment, address, nodes) in [
            (&environment(&[]), Some("127.0.0.1:9091"), false),
            (&cluster, Some("0.0.0.0:9091"), false),
            (&set, Some("[::1]:1"), true),
            (&off, None, false),
        ] {
            let metrics = resolve(with_base(), environment, 1).unwrap().metrics;
            assert_eq!(metrics.address, address.map(|address| address.parse().unwrap()));
            assert_eq!(metrics.details.nodes, nodes);
        }
    }

    #[test]
    fn every_setting_is_read_from_the_environment() {
        let set = environment(&[
            ("TIDEGATE_WORKERS", "7"),
            ("TIDEGATE_LOG_FORMAT", "JSON"),
            ("TIDEGATE_GRACE", "3"),
            ("TIDEGATE_SESSION_KEY", "secret"),
            ("TIDEGATE_STATE_DIR", "/state"),
            ("TIDEGATE_HOME", "/home"),
            ("TIDEGATE_RESOLV_CONF", "/resolv"),
            ("TIDEGATE_HOSTS", "/hosts"),
            ("TIDEGATE_GEO_DATABASE", "/places"),
            ("TIDEGATE_LOCATION", "here"),
        ]);
        let settings = resolve(with_base(), &set, 1).unwrap();
        assert_eq!(settings.workers, 7);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.grace, Duration::from_secs(3));
        assert_eq!(settings.session_key, SessionKeySource::Text("secret".to_owned()));
        assert_eq!(settings.state_dir, Some("/state".into()));
        assert_eq!(settings.home, Some("/home".into()));
        assert_eq!(settings.resolv_conf, PathBuf::from("/resolv"));
        assert_eq!(settings.hosts, PathBuf::from("/hosts"));
        assert_eq!(settings.geo_database, Some("/places".into()));
        assert_eq!(settings.location, Some("here".into()));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_value_that_makes_no_sense_names_its_variable() {
        for (name, value) in [
            ("TIDEGATE_WORKERS", "0"),
            ("TIDEGATE_WORKERS", "many"),
            ("TIDEGATE_HEALTH", "19998"),
            ("TIDEGATE_LOG_FORMAT", "xml"),
            ("TIDEGATE_METRICS", "9091"),
            ("TIDEGATE_METRICS_DETAIL", "everything"),
            ("TIDEGATE_GRACE", "-1"),
        ] {
            let error = resolve(with_base(), &environment(&[(name, value)]), 1).unwrap_err();
            assert!(error.0.contains(name), "{error}");
        }
        let error = resolve(RunOptions::default(), &environment(&[]), 1).unwrap_err();
        assert!(error.0.contains("--base DIR"), "{error}");
    }

    #[test]
    fn help_names_flag_and_variable_of_every_setting() {
        use clap::CommandFactory;
        let mut command = CommandLine::command();
        command.clone().debug_assert();
        let help = command.find_subcommand_mut("run").unwrap().render_long_help().to_string();
        for text in [
            "--base ",
            "TIDEGATE_BASE,",
            "ZEUS_WATCHED_CONFIG",
            "--base-config",
            "TIDEGATE_BASE_CONFIG",
            "ZEUS_BASE_CONFIG",
            "--workers",
            "TIDEGATE_WORKERS",
            "--health",
            "TIDEGATE_HEALTH",
            "--metrics",
            "TIDEGATE_METRICS]",
            "--metrics-detail",
            "TIDEGATE_METRICS_DETAIL",
            "--log-format",
            "TIDEGATE_LOG_FORMAT",
            "--session-key-file",
            "TIDEGATE_SESSION_KEY_FILE",
            "--state-dir",
            "TIDEGATE_STATE_DIR",
            "--home",
            "TIDEGATE_HOME",
            "--grace",
            "TIDEGATE_GRACE",
            "--resolv-conf",
            "TIDEGATE_RESOLV_CONF",
            "--hosts",
            "TIDEGATE_HOSTS",
            "--geo-database",
            "TIDEGATE_GEO_DATABASE",
            "--location",
            "TIDEGATE_LOCATION",
            "--rest ",
            "TIDEGATE_REST]",
            "--rest-certificate",
            "TIDEGATE_REST_CERTIFICATE",
            "--rest-key",
            "TIDEGATE_REST_KEY",
            "--rest-plain",
            "TIDEGATE_REST_PLAIN",
            "--admin-password-file",
            "TIDEGATE_ADMIN_PASSWORD_FILE",
            "TIDEGATE_ADMIN_PASSWORD ",
            "ZEUS_PASS",
        ] {
            assert!(help.contains(text), "{text} is missing in:\n{help}");
        }
    }
}
