//! The policy of the control loop: an event and the time in, effects out. No I/O, no clock.
//!
//! What it keeps: the last documents that compiled, who the nodes are, and which of build, import and listener
//! retry is under way. At most one import and one build run at a time; whatever arrives meanwhile makes one
//! more when it ends, so that a burst costs one build.

mod describe;
mod readiness;
mod rest;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tidegate_admin::Kept;
use tidegate_model::{
    Configuration, Moment, NodeSet, PoolName, VirtualServerName,
    monitor::Scope,
    pool::NodeHost,
    virtual_server::{Listen, ListenHost},
};

use self::{
    describe::{active, creating, difference, listens},
    readiness::FirstAnswers,
    rest::Rest,
};
use super::{
    compile::{Fault, Outcome, Severity},
    effect::{BuildOrder, Effect, Level, Line},
    event::{ClosedListener, Event, Serving},
};
use crate::{document_files::DocumentFiles, health::Readiness};

/// Least time between the end of a build and the start of the next: what arrives in between shares it.
const BUILD_GAP: Duration = Duration::from_millis(20);
/// Longest time a new configuration waits for the first nodes of its new pools, so that a request need not
/// find a pool empty that is only not known yet.
const FIRST_NODES_WAIT: Duration = Duration::from_millis(300);
/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_hours(24);
/// Pause before closed listeners are tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// Everything the control loop knows.
#[derive(Debug)]
pub(crate) struct State {
    import: Import,
    rest: Rest,
    /// The last configuration that compiled.
    configuration: Option<Arc<Configuration>>,
    nodes: Arc<BTreeMap<PoolName, NodeSet>>,
    listen_hosts: Arc<BTreeMap<Arc<str>, Vec<IpAddr>>>,
    first_answers: FirstAnswers,
    build: Build,
    /// The configuration that is serving.
    serving: Option<Arc<Configuration>>,
    next_expiry: Option<Moment>,
    problems: BTreeSet<(String, String)>,
    closed: BTreeSet<ClosedListener>,
    listeners: Listeners,
    /// When certificates are looked at again; `None` while nobody uses any.
    certificates_due: Option<Moment>,
    /// Listen host names are being resolved for the first time.
    hosts_awaited: bool,
    readiness: Readiness,
    was_ready: bool,
    draining: bool,
}

/// Reading of documents.
#[derive(Debug, Default)]
struct Import {
    /// A compilation is under way.
    running: bool,
    /// What was read since it began.
    waiting: Option<Arc<DocumentFiles>>,
    /// The last reading failed: the reason, so that it is told once.
    unreadable: Option<String>,
}

/// Building of snapshots.
#[derive(Debug, Default)]
struct Build {
    /// A build is under way.
    running: bool,
    /// Something has changed since it began.
    wanted: bool,
    /// The next one does not start before this.
    not_before: Moment,
    /// Waits for first nodes until this.
    held_until: Option<Moment>,
}

/// Closed listeners.
#[derive(Debug, Default)]
enum Listeners {
    /// All open, or about to be seen to by a build.
    #[default]
    Open,
    /// Tried again at this moment.
    TryAt(Moment),
    /// Being tried.
    Trying,
}

impl Default for State {
    fn default() -> Self {
        Self {
            import: Import::default(),
            rest: Rest::default(),
            configuration: None,
            nodes: Arc::default(),
            listen_hosts: Arc::default(),
            first_answers: FirstAnswers::default(),
            build: Build::default(),
            serving: None,
            next_expiry: None,
            problems: BTreeSet::new(),
            closed: BTreeSet::new(),
            listeners: Listeners::Open,
            certificates_due: None,
            hosts_awaited: false,
            readiness: Readiness::starting(),
            was_ready: false,
            draining: false,
        }
    }
}

impl State {
    /// Before anything was read, with what REST wrote before.
    pub(crate) fn new(kept: Kept) -> Self {
        Self { rest: Rest::new(kept), ..Self::default() }
    }

    /// What follows from `event`.
    pub(crate) fn apply(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.draining {
            return effects;
        }
        let may_be_wrong = !matches!(event, Event::Tick | Event::NodesFound(_) | Event::HostsResolved(_));
        match event {
            Event::DocumentsRead(files) => self.documents_read(files, &mut effects),
            Event::DocumentsUnreadable(reason) => self.documents_unreadable(reason, &mut effects),
            Event::Compiled(outcome) => self.compiled(outcome, now, &mut effects),
            Event::Written(batch) => self.written(batch, &mut effects),
            Event::NodesFound(found) => self.nodes_found(found, &mut effects),
            Event::HostsResolved(hosts) => {
                self.hosts_awaited = false;
                if *self.listen_hosts != hosts {
                    self.listen_hosts = Arc::new(hosts);
                    self.build.wanted |= self.configuration.is_some();
                }
            }
            Event::Serving(serving) => self.now_serving(serving, now, &mut effects),
            Event::BuildLost(reason) => {
                self.build.running = false;
                self.build.not_before = now.after(BUILD_GAP);
                self.plan_listeners(now);
                self.rest_lost(&reason, &mut effects);
                effects.push(Effect::Log(Line::new(
                    Level::Error,
                    format!("a snapshot could not be built, the last one keeps serving: {reason}"),
                )));
            }
            Event::ListenersTried(closed) => {
                self.listeners = Listeners::Open;
                self.listeners_seen(closed, now, &mut effects);
            }
            Event::Tick => {}
            Event::Shutdown => {
                self.draining = true;
                self.readiness =
                    Readiness { missing: vec!["this traffic manager is shutting down".to_owned()] };
                effects.push(Effect::Ready(self.readiness.clone()));
                effects.push(Effect::Drain);
                return effects;
            }
        }
        self.due(now, &mut effects);
        self.tell_readiness(now, &mut effects);
        if may_be_wrong {
            self.tell_condition(&mut effects);
        }
        effects
    }

    /// When [`Event::Tick`] is next needed.
    pub(crate) fn wake(&self) -> Option<Moment> {
        if self.draining {
            return None;
        }
        let build = (self.build.wanted && !self.build.running)
            .then(|| self.build.not_before.max(self.build.held_until.unwrap_or_default()));
        let expiry = self.next_expiry.filter(|_| !self.build.running);
        let listeners = match self.listeners {
            Listeners::TryAt(at) => Some(at),
            Listeners::Open | Listeners::Trying => None,
        };
        let answers = (!self.was_ready).then(|| self.first_answers.next_deadline()).flatten();
        [build, expiry, listeners, answers, self.certificates_due].into_iter().flatten().min()
    }

    fn documents_read(&mut self, files: Arc<DocumentFiles>, effects: &mut Vec<Effect>) {
        if self.import.unreadable.take().is_some() {
            effects.push(Effect::Log(Line::new(Level::Info, "the documents can be read again")));
        }
        if self.import.running {
            self.import.waiting = Some(files);
        } else {
            self.import.running = true;
            effects.push(Effect::Compile(files, self.rest.kept()));
        }
    }

    fn documents_unreadable(&mut self, reason: String, effects: &mut Vec<Effect>) {
        if self.import.unreadable.as_ref() == Some(&reason) {
            return;
        }
        let consequence =
            if self.serving.is_some() { "what is serving stays as it is" } else { "nothing is serving yet" };
        effects.push(Effect::Log(Line::new(
            Level::Error,
            format!("the documents cannot be read; {consequence}: {reason}"),
        )));
        self.import.unreadable = Some(reason);
    }

    fn compiled(&mut self, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        self.import.running = false;
        if outcome.laid.is_some() {
            self.laid(outcome, now, effects);
        } else {
            self.imported(outcome, now, effects);
        }
        // One compilation at a time; documents first, since they may undo what REST writes.
        if let Some(files) = self.import.waiting.take() {
            self.import.running = true;
            effects.push(Effect::Compile(files, self.rest.kept()));
        } else {
            self.lay_next(effects);
        }
    }

    /// Documents were compiled.
    fn imported(&mut self, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        for fault in &outcome.faults {
            effects.push(Effect::Log(fault_line(fault)));
        }
        self.rest_imported(&outcome, effects);
        let Some(configuration) = outcome.configuration else {
            // The base documents hold what must not depend on anybody's next edit, such as a health check.
            let base = outcome.base.filter(|_| self.configuration.is_none());
            let consequence = match (&self.configuration, &base) {
                (Some(_), _) => "the last good documents keep serving",
                (None, Some(_)) => "the base documents serve meanwhile",
                (None, None) => "nothing is serving yet",
            };
            effects.push(Effect::Log(Line::new(
                Level::Error,
                format!("the documents were not imported because of the errors above; {consequence}"),
            )));
            if let Some(base) = base {
                self.serve(base, now, effects);
            }
            return;
        };
        if self.configuration.as_ref() == Some(&configuration) {
            effects.push(Effect::Log(Line::new(
                Level::Info,
                "the documents were read again and say what they said before",
            )));
            return;
        }
        for object in outcome.objects {
            effects.push(Effect::Log(creating(&object)));
        }
        self.rest_follows(&configuration);
        self.serve(configuration, now, effects);
    }

    /// The next generation is made of this configuration.
    fn serve(&mut self, configuration: Arc<Configuration>, now: Moment, effects: &mut Vec<Effect>) {
        self.follow(&configuration, now, effects);
        self.configuration = Some(configuration);
        self.build.wanted = true;
        self.build.held_until = self.awaits_more(now).then(|| now.after(FIRST_NODES_WAIT));
    }

    /// Discovery and name resolution follow the new configuration.
    fn follow(&mut self, configuration: &Arc<Configuration>, now: Moment, effects: &mut Vec<Effect>) {
        let discovered: BTreeSet<&PoolName> = configuration
            .pools
            .iter()
            .filter(|(_, pool)| {
                pool.discovery.is_some()
                    || pool.nodes.iter().any(|node| matches!(node.host, NodeHost::Name(_)))
            })
            .map(|(name, _)| name)
            .collect();
        if self.nodes.keys().any(|pool| !discovered.contains(pool)) {
            Arc::make_mut(&mut self.nodes).retain(|pool, _| discovered.contains(pool));
        }
        self.first_answers.follow(&discovered, now);
        effects.push(Effect::Discover(Arc::clone(configuration)));
        let names = listen_host_names(configuration);
        if self.configuration.as_deref().map(listen_host_names).unwrap_or_default() != names {
            self.hosts_awaited = !names.is_empty();
            effects.push(Effect::ResolveHosts(names));
        }
    }

    fn nodes_found(&mut self, found: BTreeMap<PoolName, NodeSet>, effects: &mut Vec<Effect>) {
        for (pool, set) in found {
            // An answer that was under way when its pool went.
            if !self.first_answers.knows(&pool) {
                continue;
            }
            let first = self.first_answers.answered(&pool);
            let before = self.nodes.get(&pool);
            if before == Some(&set) {
                continue;
            }
            if let Some(text) = difference(before, &set, first) {
                let level = if set.is_empty() { Level::Warn } else { Level::Info };
                effects.push(Effect::Log(Line::new(level, text).of_pool(pool.clone())));
            }
            Arc::make_mut(&mut self.nodes).insert(pool, set);
            self.build.wanted = true;
        }
    }

    fn now_serving(&mut self, serving: Serving, now: Moment, effects: &mut Vec<Effect>) {
        self.build.running = false;
        self.build.not_before = now.after(BUILD_GAP);
        self.next_expiry = serving.next_expiry;
        self.problems_seen(serving.problems, effects);
        self.listeners_seen(serving.closed, now, effects);
        if let Some(configuration) = serving.configuration {
            let same = self.serving.as_ref().is_some_and(|serving| Arc::ptr_eq(serving, &configuration));
            if !same {
                let silent = self.silent(&configuration);
                effects.push(Effect::Log(active(serving.generation, &configuration, silent)));
                effects.push(Effect::Active(Arc::clone(&configuration)));
                let uses_tls = configuration
                    .virtual_servers
                    .values()
                    .any(|server| server.enabled && server.tls.is_some());
                self.certificates_due = uses_tls.then_some(now);
                self.serving = Some(configuration);
            }
            self.rest_serving(effects);
        }
    }

    /// How many virtual servers should listen and do not, or not everywhere.
    fn silent(&self, configuration: &Configuration) -> usize {
        let faulty = |name: &VirtualServerName| {
            let object = format!("virtual_servers/{name}");
            self.closed.iter().any(|listener| listener.virtual_server == *name)
                || self.problems.iter().any(|(of, _)| *of == object)
        };
        configuration
            .virtual_servers
            .values()
            .filter(|server| listens(server) && faulty(&server.name))
            .count()
    }

    /// Reports faults of objects that are new, and objects that have none any more.
    fn problems_seen(&mut self, problems: Vec<(String, String)>, effects: &mut Vec<Effect>) {
        let problems: BTreeSet<(String, String)> = problems.into_iter().collect();
        for (object, message) in problems.difference(&self.problems) {
            effects.push(Effect::Log(Line::new(Level::Error, format!("{object}: {message}"))));
        }
        let faulty: BTreeSet<&String> = problems.iter().map(|(object, _)| object).collect();
        let healed: BTreeSet<&String> = self
            .problems
            .iter()
            .map(|(object, _)| object)
            .filter(|object| !faulty.contains(object))
            .collect();
        for object in healed {
            effects.push(Effect::Log(Line::new(Level::Info, format!("{object} is in order again"))));
        }
        self.problems = problems;
    }

    /// Reports listeners that are newly closed or open again, and plans the next try.
    fn listeners_seen(&mut self, closed: Vec<ClosedListener>, now: Moment, effects: &mut Vec<Effect>) {
        let closed: BTreeSet<ClosedListener> = closed.into_iter().collect();
        let known: BTreeSet<_> = self.closed.iter().map(listener_of).collect();
        for listener in closed.iter().filter(|listener| !known.contains(&listener_of(listener))) {
            let ClosedListener { virtual_server, address, reason } = listener;
            effects.push(Effect::Log(
                Line::new(
                    Level::Error,
                    format!(
                        "cannot listen on {address}: {reason}; trying again every {} s",
                        LISTEN_AGAIN.as_secs()
                    ),
                )
                .of_virtual_server(virtual_server.clone()),
            ));
        }
        let still: BTreeSet<_> = closed.iter().map(listener_of).collect();
        for listener in self.closed.iter().filter(|listener| !still.contains(&listener_of(listener))) {
            let wanted = self.configuration.as_ref().and_then(|configuration| {
                configuration
                    .virtual_servers
                    .get(&listener.virtual_server)
                    .filter(|server| server.enabled && server.port == listener.address.port())
            });
            if wanted.is_none() {
                continue;
            }
            effects.push(Effect::Log(
                Line::new(Level::Info, format!("listening on {} after all", listener.address))
                    .of_virtual_server(listener.virtual_server.clone()),
            ));
        }
        self.closed = closed;
        self.plan_listeners(now);
    }

    /// Plans the next try of what is closed.
    fn plan_listeners(&mut self, now: Moment) {
        self.listeners =
            if self.closed.is_empty() { Listeners::Open } else { Listeners::TryAt(now.after(LISTEN_AGAIN)) };
    }

    /// Whether names or nodes that a new configuration needs are about to be known.
    fn awaits_more(&self, now: Moment) -> bool {
        self.hosts_awaited || self.first_answers.waiting(now)
    }

    /// Starts what is wanted and may start now.
    fn due(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.next_expiry.is_some_and(|at| at <= now) && !self.build.running {
            self.next_expiry = None;
            self.build.wanted = true;
        }
        if self.certificates_due.is_some_and(|at| at <= now) {
            self.certificates_due = Some(now.after(CERTIFICATES_EVERY));
            effects.push(Effect::CheckCertificates);
        }
        let awaits_more = self.awaits_more(now);
        if self.build.held_until.is_some_and(|until| until <= now || !awaits_more) {
            self.build.held_until = None;
        }
        let trying = matches!(self.listeners, Listeners::Trying);
        let may_build = self.build.wanted
            && !self.build.running
            && !trying
            && self.build.held_until.is_none()
            && self.build.not_before <= now;
        if may_build && let Some(configuration) = &self.configuration {
            self.build.running = true;
            self.build.wanted = false;
            // The publish that ends the build tries every listener.
            self.listeners = Listeners::Open;
            effects.push(Effect::Build(BuildOrder {
                configuration: Arc::clone(configuration),
                nodes: Arc::clone(&self.nodes),
                listen_hosts: Arc::clone(&self.listen_hosts),
            }));
        }
        if let Listeners::TryAt(at) = self.listeners
            && at <= now
            && !self.build.running
        {
            self.listeners = Listeners::Trying;
            effects.push(Effect::TryListeners);
        }
    }

    fn tell_readiness(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        // Kept once reached: a new pool that cannot be found must not take the others out of service.
        if self.was_ready {
            return;
        }
        let readiness = match &self.serving {
            None if self.import.unreadable.is_some() => {
                Readiness { missing: vec!["the documents cannot be read; see the log".to_owned()] }
            }
            None => {
                Readiness { missing: vec!["the first import is not serving yet; see the log".to_owned()] }
            }
            Some(configuration) => Readiness { missing: self.first_answers.missing(configuration, now) },
        };
        if readiness != self.readiness {
            if readiness.is_ready() {
                self.was_ready = true;
                let serving = self.serving.as_deref();
                for pool in
                    serving.map(|serving| self.first_answers.overdue(serving, now)).unwrap_or_default()
                {
                    let text = "discovery has not answered in time; ready without its nodes";
                    effects.push(Effect::Log(Line::new(Level::Warn, text).of_pool(pool)));
                }
                effects.push(Effect::Log(Line::new(Level::Info, "ready")));
            }
            effects.push(Effect::Ready(readiness.clone()));
            self.readiness = readiness;
        }
    }
}

/// The line of the log for a fault of the documents.
fn fault_line(fault: &Fault) -> Line {
    let level = match fault.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
    };
    Line::new(level, fault.to_string())
}

/// What identifies a listener, whatever keeps it closed.
fn listener_of(listener: &ClosedListener) -> (&VirtualServerName, SocketAddr) {
    (&listener.virtual_server, listener.address)
}

/// Host names of listeners, and of machines that pool-wide monitors probe.
fn listen_host_names(configuration: &Configuration) -> BTreeSet<Arc<str>> {
    let listening = configuration.virtual_servers.values().filter(|server| server.enabled);
    let listening = listening.flat_map(|server| match &server.listen {
        Listen::Any => [].as_slice(),
        Listen::Hosts(hosts) => hosts.as_slice(),
    });
    let probed = configuration.monitors.values().filter_map(|monitor| match &monitor.scope {
        Scope::PoolWide { host, .. } => Some(host),
        Scope::PerNode => None,
    });
    listening
        .chain(probed)
        .filter_map(|host| match host {
            ListenHost::Name(name) => Some(Arc::clone(name)),
            ListenHost::Address(_) => None,
        })
        .collect()
}
