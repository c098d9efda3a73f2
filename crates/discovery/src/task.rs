//! One source: refresh or run, apply, report, store, wait — again and again.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidegate_model::NodeSet;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    DiscoveryOptions, SourceStatus,
    dns::{Client, Lookup, LookupOutcome, resolv_conf::ResolvConf},
    plugin::{
        judge::{self, Judged},
        queue::Queue,
        run::{self, Job},
    },
    schedule::{Coverage, FailureKind, Outcome, Rules, Schedule, Step, Verdict},
    source::{DnsSource, PluginSource},
    store,
    tally::Tally,
};

/// Lookups in a row with which a source that remembers begins.
const FIRST_LOOKUPS: u32 = 3;

/// What one task does; equal ones share a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Dns(DnsSource),
    Plugin(PluginSource),
}

impl Work {
    /// What the nodes depend on; not how often they are asked for. Holds secrets.
    fn identity(&self) -> String {
        match self {
            Self::Dns(source) => {
                let DnsSource { query, families, addresses, name_servers, search, .. } = source;
                format!("dns\0{query:?}\0{families:?}\0{addresses:?}\0{name_servers:?}\0{search:?}")
            }
            Self::Plugin(source) => {
                let mut text = format!("plugin\0{}", source.plugin);
                for word in &source.arguments {
                    text.push('\0');
                    text.push_str(word);
                }
                text
            }
        }
    }
}

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Arc<DiscoveryOptions>,
    pub(crate) client: Arc<Client>,
    pub(crate) queue: Queue,
}

/// What a task tells.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The set, once one is known.
    pub(crate) nodes: Option<Arc<NodeSet>>,
    pub(crate) status: SourceStatus,
}

/// How a task begins.
#[derive(Debug)]
pub(crate) struct Begin {
    /// A set kept on disk may be used.
    pub(crate) warm: bool,
    /// Wait before the first run.
    pub(crate) delay: Duration,
    /// Changes when the program changes.
    pub(crate) program: watch::Receiver<u64>,
}

struct Task<R> {
    shared: Arc<Shared>,
    rules: Rules,
    schedule: Schedule,
    status: SourceStatus,
    nodes: Option<Arc<NodeSet>>,
    tally: Arc<Tally>,
    identity: String,
    stored: Option<Instant>,
    report: R,
}

/// Follows a source until it is aborted.
pub(crate) async fn follow(work: Work, shared: Arc<Shared>, begin: Begin, report: impl Fn(Report) + Send) {
    let (timing, policy) = (&shared.options.timing, &shared.options.policy);
    let rules = match &work {
        Work::Dns(source) => {
            Rules::of_name(timing, policy, source.interval, source.min_poll, source.remembers)
        }
        Work::Plugin(source) => Rules::of_plugin(timing, policy, source.interval),
    };
    let mut task = Task {
        rules,
        schedule: Schedule::default(),
        status: SourceStatus::default(),
        nodes: None,
        tally: Arc::default(),
        identity: work.identity(),
        stored: None,
        report,
        shared: Arc::clone(&shared),
    };
    if begin.warm {
        task.warm().await;
    }
    sleep(begin.delay).await;
    match work {
        Work::Dns(source) => task.names(source).await,
        Work::Plugin(source) => task.plugin(source, begin.program).await,
    }
}

impl<R: Fn(Report) + Send> Task<R> {
    /// Begins with the set on disk.
    async fn warm(&mut self) {
        let Some(directory) = self.directory() else { return };
        let (identity, oldest) = (self.identity.clone(), self.shared.options.timing.max_stored_age);
        let read = move || store::load(&directory, &identity, SystemTime::now(), oldest);
        if let Ok(Some((nodes, at))) = tokio::task::spawn_blocking(read).await {
            self.schedule.warm(&nodes);
            self.status.state = crate::SourceState::Stale;
            self.status.last_success = Some(at);
            self.status.nodes = nodes.len();
            self.nodes = Some(Arc::new(nodes));
            self.tell();
        }
    }

    fn directory(&self) -> Option<PathBuf> {
        self.shared.options.state_dir.clone()
    }

    async fn names(&mut self, source: DnsSource) {
        // What remembers asks several times at first: servers that rotate give another part each time.
        let mut at_once = if source.remembers { FIRST_LOOKUPS - 1 } else { 0 };
        let nodes_table = source.nodes_table;
        let mut lookup = Lookup::new(source);
        let mut conf: watch::Receiver<Arc<ResolvConf>> = self.shared.client.conf_changes();
        let mut hosts = self.shared.client.hosts_changes();
        let client = Arc::clone(&self.shared.client);
        loop {
            let found = {
                let Ok(_permit) = client.lookups.acquire().await else { return };
                conf.mark_unchanged();
                hosts.mark_unchanged();
                self.tally.count(|counters| counters.runs += 1);
                lookup.refresh(&client, &self.tally).await
            };
            let LookupOutcome { outcome, question, warning } = found;
            self.status.question = Some(question);
            self.status.warning = warning;
            let step = self.take(&outcome).await;
            if at_once > 0 && matches!(outcome.verdict, Verdict::Found { .. }) {
                at_once -= 1;
                continue;
            }
            tokio::select! {
                () = sleep(step.wait) => {}
                // New servers may know more, or know it again.
                Ok(()) = conf.changed() => {}
                Ok(()) = hosts.changed(), if nodes_table => {}
            }
        }
    }

    async fn plugin(&mut self, source: PluginSource, mut program: watch::Receiver<u64>) {
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        let interval = source.interval.unwrap_or(options.timing.plugin_interval);
        let limit = source.timeout.unwrap_or(options.timing.plugin_safety_cap);
        self.status.question = Some(source.plugin.as_str().into());
        loop {
            let waited = Instant::now();
            let ran = {
                let Some(turn) = shared.queue.turn(&source.plugin).await else { return };
                program.mark_unchanged();
                self.tally.count(|counters| counters.runs += 1);
                let job = Job {
                    root: options.home.clone(),
                    plugin: source.plugin.clone(),
                    arguments: source.arguments.clone(),
                    limit,
                    timing: options.timing.clone(),
                };
                run::run(job, turn).await
            };
            if program.has_changed().unwrap_or(false) {
                // A result of the old program says nothing of the new one.
                continue;
            }
            tracing::debug!(
                plugin = %source.plugin,
                ended = ?ran.ended,
                stderr = %String::from_utf8_lossy(&ran.stderr),
                "a discovery plugin ended"
            );
            let judged = judge::judge(&ran.ended, &ran.stdout, &options.policy, options.timing.plugin_second);
            let Judged { outcome, warning, duplicates } = judged;
            let overloaded = waited.elapsed() > interval * 2;
            self.status.warning = warning.or_else(|| {
                overloaded.then(|| {
                    "the plugin is overloaded: runs take longer than the interval; raise service_discovery!interval"
                        .into()
                })
            });
            self.tally.count(|counters| {
                counters.duplicates += duplicates;
                counters.plugin_timeouts += u64::from(matches!(ran.ended, judge::Ended::TimedOut(_)));
            });
            let step = self.take(&outcome).await;
            tokio::select! {
                () = sleep(step.wait) => {}
                Ok(()) = program.changed() => {}
            }
        }
    }

    /// Applies an outcome, tells and stores it.
    async fn take(&mut self, outcome: &Outcome) -> Step {
        let now = self.shared.client.now();
        let step = self.schedule.apply(outcome, &self.rules, now, fastrand::u64(..));
        let why = match &outcome.verdict {
            Verdict::Found { coverage: Coverage::Complete, .. } => None,
            Verdict::Found { coverage: Coverage::Partial(why) | Coverage::Without(_, why), .. }
            | Verdict::Empty(why) => Some(why),
            Verdict::Failed(failure) => Some(&failure.why),
        };
        self.tally.count(|counters| {
            match &outcome.verdict {
                Verdict::Found { coverage: Coverage::Complete, .. } => counters.complete += 1,
                Verdict::Found { .. } => counters.partial += 1,
                Verdict::Empty(_) => counters.empty += 1,
                Verdict::Failed(failure) if failure.kind == FailureKind::Busy => {}
                Verdict::Failed(_) => counters.errors += 1,
            }
            counters.added += step.added as u64;
            counters.removed += step.removed as u64;
        });
        self.status.last_error = why.cloned();
        if matches!(outcome.verdict, Verdict::Found { .. }) {
            self.status.last_success = Some(SystemTime::now());
        }
        self.status.state = step.state.clone();
        self.status.alarm = step.alarm;
        self.status.first_answer = self.schedule.answered();
        self.status.nodes = self.schedule.len();
        if self.schedule.known() && (step.changed || self.nodes.is_none()) {
            self.nodes = Some(Arc::new(self.schedule.nodes()));
        }
        self.tell();
        let due = self.stored.is_none_or(|at| at.elapsed() >= self.shared.options.timing.store_refresh);
        let good = matches!(outcome.verdict, Verdict::Found { .. }) || step.changed;
        if self.schedule.answered() && good && (step.changed || due) {
            self.store().await;
        }
        step
    }

    fn tell(&mut self) {
        self.status.counters = self.tally.get();
        (self.report)(Report { nodes: self.nodes.clone(), status: self.status.clone() });
    }

    async fn store(&mut self) {
        let (Some(directory), Some(nodes)) = (self.directory(), self.nodes.clone()) else { return };
        self.stored = Some(Instant::now());
        let identity = self.identity.clone();
        let write = move || store::save(&directory, &identity, &nodes, SystemTime::now());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::warn!(%error, "the last good nodes cannot be kept on disk; a restart would begin without them");
        }
    }
}
