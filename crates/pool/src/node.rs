//! One node of one pool: what is shared by every request that goes there.
//!
//! Identity is pool and address; weight, state and priority belong to the pool's slots. A [`Node`] lives as long as
//! the address stays in the pool, over any number of rebuilds, and with it health, counters and claims.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_model::{Moment, MonitorName, Pool as Settings, PoolName, counters::Sharded};

use crate::{
    health::{Event, FailureKind, Health, HealthChange},
    limit::Full,
    pool::Shared,
    tally::{NodeCounters, NodeTotals},
};

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// Counters of a node since it joined the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests begun.
    pub requests: u64,
    /// Failures by [`FailureKind`], in the order of its variants.
    pub failures: [u64; FailureKind::COUNT],
    /// Claims refused because a limit was reached.
    pub refused: u64,
    /// How often it was found failed, by requests or monitors.
    pub failed: u64,
    /// What data workers counted.
    pub counted: NodeTotals,
}

/// What requests touch: one cache line (two on machines that prefetch pairs).
#[repr(align(64))]
struct Hot {
    health: AtomicU64,
    in_flight: AtomicU32,
    connections: AtomicU32,
    idle: AtomicU32,
    /// Exponentially weighted response time in µs; 0 = not measured.
    response_time: AtomicU32,
    requests: AtomicU64,
    /// Begin of the careful introduction (ms).
    introduced: AtomicU64,
    /// Last choice for an existing session (ms).
    session_used: AtomicU64,
}

/// A node of a pool.
pub struct Node {
    hot: Hot,
    counters: Sharded<NodeCounters>,
    failed: AtomicU64,
    failures: [AtomicU64; FailureKind::COUNT],
    refused: AtomicU64,
    leaving: AtomicBool,
    failing_monitors: Mutex<Vec<MonitorName>>,
    id: u32,
    address: SocketAddr,
    label: Arc<str>,
    pool: PoolName,
    shared: Arc<Shared>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id)
            .field("pool", &self.pool)
            .field("address", &self.address)
            .field("health", &self.health())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// `workers`: data workers that will count for it.
    pub(crate) fn new(
        address: SocketAddr,
        label: Arc<str>,
        pool: PoolName,
        shared: Arc<Shared>,
        workers: usize,
    ) -> Self {
        Self {
            hot: Hot {
                health: AtomicU64::new(Health::NEW.pack()),
                in_flight: AtomicU32::new(0),
                connections: AtomicU32::new(0),
                idle: AtomicU32::new(0),
                response_time: AtomicU32::new(0),
                requests: AtomicU64::new(0),
                introduced: AtomicU64::new(0),
                session_used: AtomicU64::new(0),
            },
            counters: Sharded::new(workers),
            failed: AtomicU64::new(0),
            failures: Default::default(),
            refused: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            failing_monitors: Mutex::new(Vec::new()),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            label,
            pool,
            shared,
        }
    }

    /// Unique in this process; a node that left and came back as another machine has another.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As people see it: the name written in the documents, or the address.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The pool it belongs to.
    pub fn pool(&self) -> &PoolName {
        &self.pool
    }

    /// Claims a request. Fails when `max_transactions_per_node` requests are in progress.
    pub fn begin(self: &Arc<Self>) -> Result<InFlight, Full> {
        let limit = self.shared.transaction_limit.load(Ordering::Relaxed);
        if !claim(&self.hot.in_flight, limit) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full);
        }
        self.hot.requests.fetch_add(1, Ordering::Relaxed);
        Ok(InFlight { node: self.clone(), quiet: false })
    }

    /// Claims a connection. Fails when `max_connections_per_node` are open, idle ones included.
    pub fn open_connection(self: &Arc<Self>) -> Result<OpenConnection, Full> {
        let limit = self.shared.connection_limit.load(Ordering::Relaxed);
        if !claim(&self.hot.connections, limit) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(OpenConnection { node: self.clone(), idle: false })
    }

    /// A request was answered (any final status that is not counted as a failure) and its first data took
    /// `response_time`. Always called, also without passive monitoring: balancing uses the time.
    pub fn record_success(&self, response_time: Duration, now: Moment) -> Option<HealthChange> {
        self.measure(response_time);
        if Health::is_spotless(self.hot.health.load(Ordering::Relaxed)) {
            return None;
        }
        self.apply(Event::Success, now)
    }

    /// A request failed. Counts it; health changes only with `passive_monitoring`.
    pub fn record_failure(
        &self,
        kind: FailureKind,
        settings: &Settings,
        now: Moment,
    ) -> Option<HealthChange> {
        self.failures[kind as usize].fetch_add(1, Ordering::Relaxed);
        // What fails because the node was removed says nothing about it.
        if !settings.passive_monitoring || self.is_gone() {
            return None;
        }
        let event =
            Event::Failure { attempts: settings.node_connection_attempts, rest: settings.retry_fail_time };
        self.apply(event, now)
    }

    /// What a monitor of the pool says of this node. `health_only` monitors are not reported here.
    pub fn set_monitor_verdict(&self, monitor: &MonitorName, up: bool, now: Moment) -> Option<HealthChange> {
        let mut failing = self.failing_monitors.lock().unwrap_or_else(PoisonError::into_inner);
        let position = failing.iter().position(|name| name == monitor);
        match (position, up) {
            (Some(position), true) => drop(failing.remove(position)),
            (None, false) => failing.push(monitor.clone()),
            _ => return None,
        }
        let event = if failing.is_empty() { Event::MonitorsPassed } else { Event::MonitorsFailed };
        self.apply(event, now)
    }

    /// Forgets verdicts of monitors that the pool does not have any more.
    pub(crate) fn keep_monitors(&self, monitors: &[MonitorName], now: Moment) {
        let mut failing = self.failing_monitors.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.is_empty() {
            return;
        }
        failing.retain(|name| monitors.contains(name));
        if failing.is_empty() {
            self.apply(Event::MonitorsPassed, now);
        }
    }

    /// Applies an event to the health word, telling the pool when the set of nodes to choose from has changed.
    pub(crate) fn apply(&self, event: Event, now: Moment) -> Option<HealthChange> {
        let mut word = self.hot.health.load(Ordering::Acquire);
        loop {
            let before = Health::unpack(word);
            let after = before.on(event, now);
            if after == before {
                return None;
            }
            // The introduction starts before anybody can see the node as introducing.
            let returns = after.in_rotation() && !before.in_rotation();
            if after.introducing && (returns || !before.introducing) {
                self.hot.introduced.store(now.0, Ordering::Relaxed);
            }
            match self.hot.health.compare_exchange_weak(
                word,
                after.pack(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    self.shared.health_changed(before, after);
                    let change = before.change_to(after);
                    match change {
                        Some(HealthChange::Working) => self.shared.release(self),
                        Some(HealthChange::Failed) => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
                        None => {}
                    }
                    return change;
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Becomes the trying request of a failed node whose rest is over. False if another one is.
    pub(crate) fn try_failed(&self, now: Moment) -> bool {
        let word = self.hot.health.load(Ordering::Acquire);
        let before = Health::unpack(word);
        let after = before.on(Event::Try, now);
        let won = after != before
            && self
                .hot
                .health
                .compare_exchange(word, after.pack(), Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if won {
            self.shared.health_changed(before, after);
        }
        won
    }

    /// Starts the slow introduction of a node that joins a serving pool, before anybody can choose it.
    pub(crate) fn introduce(&self, now: Moment) {
        self.hot.introduced.store(now.0, Ordering::Relaxed);
        let health = Health { introducing: true, ..Health::NEW };
        self.hot.health.store(health.pack(), Ordering::Release);
    }

    fn measure(&self, response_time: Duration) {
        let sample = u32::try_from(response_time.as_micros()).unwrap_or(u32::MAX).max(1);
        let old = self.hot.response_time.load(Ordering::Relaxed);
        // A lost update between two workers loses one sample of many, so no read-modify-write.
        let new = if old == 0 { sample } else { ewma(old, sample) };
        self.hot.response_time.store(new, Ordering::Relaxed);
    }

    /// Current health.
    pub fn health(&self) -> Health {
        Health::unpack(self.hot.health.load(Ordering::Acquire))
    }

    pub(crate) fn health_word(&self) -> u64 {
        self.hot.health.load(Ordering::Relaxed)
    }

    /// Whether a request may go there now as far as health is concerned (a failed node whose rest is over counts).
    pub fn usable(&self, now: Moment) -> bool {
        self.health().usable(now)
    }

    /// Removed from the pool for good: connections to it close at once.
    pub fn is_gone(&self) -> bool {
        self.health().gone
    }

    /// Leaves the pool: requests in progress and sessions go on, idle connections are not kept.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Requests in progress, upgraded connections included.
    pub fn in_flight(&self) -> u32 {
        self.hot.in_flight.load(Ordering::SeqCst)
    }

    /// Open connections, idle ones included.
    pub fn connections(&self) -> u32 {
        self.hot.connections.load(Ordering::SeqCst)
    }

    /// Open connections that carry no request.
    pub fn idle_connections(&self) -> u32 {
        self.hot.idle.load(Ordering::SeqCst)
    }

    /// Recent average of the time to first response data; `None` = not measured.
    pub fn response_time(&self) -> Option<Duration> {
        match self.hot.response_time.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(u64::from(micros))),
        }
    }

    pub(crate) fn response_micros(&self) -> u32 {
        self.hot.response_time.load(Ordering::Relaxed)
    }

    pub(crate) fn introduced_since(&self) -> Moment {
        Moment(self.hot.introduced.load(Ordering::Relaxed))
    }

    pub(crate) fn note_session(&self, now: Moment) {
        self.hot.session_used.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn session_used(&self) -> Moment {
        Moment(self.hot.session_used.load(Ordering::Relaxed))
    }

    /// Counters since the node joined.
    pub fn totals(&self) -> Totals {
        let mut failures = [0; FailureKind::COUNT];
        for (to, from) in failures.iter_mut().zip(&self.failures) {
            *to = from.load(Ordering::Relaxed);
        }
        Totals {
            requests: self.hot.requests.load(Ordering::Relaxed),
            failures,
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            counted: NodeCounters::totals(&self.counters),
        }
    }

    /// What data workers count of it, a cell each.
    pub fn counters(&self) -> &Sharded<NodeCounters> {
        &self.counters
    }

    /// One word for people: `working`, `failed`, `monitor failed`, `retrying`, `introducing`, `leaving`, `gone`.
    pub fn status(&self) -> &'static str {
        let health = self.health();
        if self.is_leaving() && !health.gone { "leaving" } else { health.word() }
    }

    /// Names of the monitors that say the node has failed.
    pub fn failing_monitors(&self) -> Vec<MonitorName> {
        self.failing_monitors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Weight of a new sample is 1/8.
fn ewma(old: u32, sample: u32) -> u32 {
    let mixed = (u64::from(old) * 7 + u64::from(sample)).div_ceil(8);
    u32::try_from(mixed).unwrap_or(u32::MAX).max(1)
}

/// Adds one unless that exceeds `limit` (0 = no limit).
fn claim(count: &AtomicU32, limit: u32) -> bool {
    if limit == 0 {
        count.fetch_add(1, Ordering::SeqCst);
        return true;
    }
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| (now < limit).then_some(now + 1)).is_ok()
}

/// A request in progress on a node. Dropping it ends the claim and wakes the queue.
#[derive(Debug)]
pub struct InFlight {
    node: Arc<Node>,
    /// Nobody is woken when it ends.
    quiet: bool,
}

impl InFlight {
    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Ends a claim that came to nothing because the node has no room for a connection: that is no room for
    /// anybody who waits either.
    pub fn abandon(mut self) {
        self.quiet = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.node.hot.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 {
            self.node.trial_may_be_abandoned();
        }
        if !self.quiet {
            self.node.shared.release(&self.node);
        }
    }
}

impl Node {
    /// Nobody is there any more: if the trying request told nothing, the next one may try at once.
    fn trial_may_be_abandoned(&self) {
        if Health::is_trial(self.health_word()) {
            self.apply(Event::TrialAbandoned, Moment(0));
        }
    }
}

/// An open connection to a node. Dropping it ends the claim and wakes the queue.
#[derive(Debug)]
pub struct OpenConnection {
    node: Arc<Node>,
    idle: bool,
}

impl OpenConnection {
    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Says whether the connection carries no request, for the count of idle connections.
    pub fn set_idle(&mut self, idle: bool) {
        if idle == self.idle {
            return;
        }
        self.idle = idle;
        if idle {
            self.node.hot.idle.fetch_add(1, Ordering::SeqCst);
            self.node.shared.release(&self.node);
        } else {
            self.node.hot.idle.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.set_idle_quietly();
        self.node.hot.connections.fetch_sub(1, Ordering::SeqCst);
        self.node.shared.release(&self.node);
    }
}

impl OpenConnection {
    fn set_idle_quietly(&mut self) {
        if self.idle {
            self.idle = false;
            self.node.hot.idle.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
