//! A data worker: one thread, one single-threaded runtime, its own listening sockets and its own idle
//! connections to nodes. Nothing on the request path is shared with another worker except atomics.
//!
//! [`Worker`] is what a connection on this thread can reach: the running snapshot, lent buffers, deadlines,
//! idle node connections, the clock. [`run`] is the thread: it takes [`Command`]s from
//! [`crate::proxy::Proxy`], accepts, and sweeps.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tidegate_http1::{request::RequestHead, response::ResponseHead};
use tidegate_model::Moment;
use tidegate_telemetry::counters::{ProcessCounters, Sharded};
use tokio::{
    runtime::LocalOptions,
    sync::{mpsc, oneshot},
};

use crate::{
    access,
    buffer::Buffers,
    listener::{self, Listening},
    node::IdleConnections,
    rules::{self, services::Services},
    snapshot::{ListenKey, RunningPool, Snapshot},
    timers::{SWEEP, Timers},
    trace::Trace,
};

/// What every worker shares with the control side.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The running snapshot.
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Generation of `snapshot`, so that a worker notices a new one without touching the pointer.
    pub(crate) generation: AtomicU64,
    /// Origin of every [`Moment`].
    pub(crate) origin: Instant,
    /// Open client connections of all workers.
    pub(crate) connections: AtomicU64,
    /// How many workers there are.
    pub(crate) workers: usize,
    /// What is counted altogether.
    pub(crate) counters: Sharded<ProcessCounters>,
    /// What rules share and wait for.
    pub(crate) services: Services,
}

impl Shared {
    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }
}

/// What a connection can reach on its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// 0-based.
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) idle: IdleConnections,
    pub(crate) pipes: crate::relay::splice::Pipes,
    clock: Cell<Duration>,
    view: RefCell<Rc<View>>,
    draining: Cell<bool>,
    random: RefCell<fastrand::Rng>,
    pub(crate) request_heads: Shelf<RequestHead>,
    pub(crate) response_heads: Shelf<ResponseHead>,
    pub(crate) log_entries: Shelf<access::Entry>,
    pub(crate) traces: Shelf<Trace>,
    /// What rules keep on this thread.
    pub(crate) rules: rules::OnWorker,
}

/// The snapshot a request keeps from its beginning to its end.
#[derive(Debug)]
pub(crate) struct View(Arc<Snapshot>);

impl std::ops::Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Self {
        let view = Rc::new(View(shared.snapshot.load_full()));
        let rules = rules::OnWorker::new(&view.global.rules);
        Self {
            index,
            shared,
            buffers: Rc::default(),
            timers: Rc::default(),
            idle: IdleConnections::default(),
            pipes: crate::relay::splice::Pipes::default(),
            clock: Cell::new(Duration::ZERO),
            view: RefCell::new(view),
            draining: Cell::new(false),
            random: RefCell::new(fastrand::Rng::new()),
            request_heads: Shelf::default(),
            response_heads: Shelf::default(),
            log_entries: Shelf::default(),
            traces: Shelf::default(),
            rules,
        }
    }

    /// The running snapshot; the same `Rc` until a new generation is published.
    pub(crate) fn view(&self) -> Rc<View> {
        let mut view = self.view.borrow_mut();
        if view.generation != self.shared.generation.load(Ordering::Acquire) {
            let before = Rc::clone(&view);
            *view = Rc::new(View(self.shared.snapshot.load_full()));
            if before.global.rules != view.global.rules {
                self.rules.follow(&view.global.rules);
            }
        }
        Rc::clone(&view)
    }

    /// Whether `generation` is the running snapshot's.
    pub(crate) fn runs(&self, generation: u64) -> bool {
        self.shared.generation.load(Ordering::Acquire) == generation
    }

    /// The pool as it runs now, if that is not the one given.
    pub(crate) fn rebuilt(&self, pool: &RunningPool) -> Option<Arc<RunningPool>> {
        if pool.is_stranger {
            return None;
        }
        let view = self.view();
        let now = view.pools.get(&pool.settings.name)?;
        (!Arc::ptr_eq(&now.pool, &pool.pool)).then(|| Arc::clone(now))
    }

    /// Reads the clock.
    pub(crate) fn now(&self) -> Moment {
        Moment::at(self.elapsed())
    }

    /// Reads the clock, finer: for response times.
    pub(crate) fn elapsed(&self) -> Duration {
        let elapsed = self.shared.origin.elapsed();
        self.clock.set(elapsed);
        elapsed
    }

    /// The clock as it was read last on this worker: right wherever a request has not waited since. Reading it
    /// costs nothing, and a request that never waits reads the clock twice.
    pub(crate) fn recent(&self) -> Moment {
        Moment::at(self.clock.get())
    }

    /// [`Worker::recent`], finer.
    pub(crate) fn recent_elapsed(&self) -> Duration {
        self.clock.get()
    }

    /// 64 random bits, not for secrets.
    pub(crate) fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// Whether the process is going away: connections close as soon as their request is done.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    fn begin_draining(&self) {
        self.draining.set(true);
        self.timers.wake_all();
    }

    async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0u32;
        loop {
            ticks.tick().await;
            let now = self.now();
            self.timers.sweep(now);
            self.idle.yield_to_waiting(&self.view());
            count += 1;
            if count.is_multiple_of(IDLE_SWEEP_EVERY) {
                self.idle.sweep(now, self.view().global.idle_node_timeout);
            }
        }
    }
}

/// Values kept for later requests with the memory they have grown to. Boxed, so that what a request holds of them
/// is one pointer.
#[derive(Debug)]
pub(crate) struct Shelf<T>(RefCell<Vec<Box<T>>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

/// Values a [`Shelf`] keeps.
const SHELVED: usize = 64;

impl<T: Default> Shelf<T> {
    /// A value that nobody uses.
    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    pub(crate) fn lend(&self) -> Box<T> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a value back.
    pub(crate) fn keep(&self, value: Box<T>) {
        let mut shelf = self.0.borrow_mut();
        if shelf.len() < SHELVED {
            shelf.push(value);
        }
    }
}

/// Idle node connections are looked at every this many deadline sweeps (half a second).
const IDLE_SWEEP_EVERY: u32 = 5;

/// What the control side can ask of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept on this socket, for the virtual server that owns the address in the running snapshot.
    Listen(ListenKey, std::net::TcpListener),
    /// The settings of this address's socket have changed.
    Adjust(ListenKey, listener::Options),
    /// Close the socket of this address.
    Close(ListenKey),
    /// Drop idle connections to nodes that left or are leaving; if some are gone, requests in flight have to look.
    DropLeavers {
        /// Whether some are gone for good.
        gone: bool,
    },
    /// Say when everything this worker was doing is counted.
    Settle(oneshot::Sender<()>),
    /// Stop accepting, close idle client connections, and say when no connection is left.
    Drain(oneshot::Sender<()>),
}

/// Runs a worker until its commands end. Called on the worker's own thread.
pub(crate) fn run(
    index: usize,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    runtime.block_on(obey(Rc::new(Worker::new(index, shared)), commands));
    Ok(())
}

async fn obey(worker: Rc<Worker>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut listening: HashMap<ListenKey, Listening> = HashMap::new();
    let sweeper = tokio::task::spawn_local(Rc::clone(&worker).sweep());
    while let Some(command) = commands.recv().await {
        match command {
            Command::Listen(key, socket) => match listener::start(&worker, key.clone(), socket) {
                Ok(task) => {
                    listening.insert(key, task);
                }
                Err(error) => tracing::error!(address = %key.address, %error, "failed to listen"),
            },
            Command::Adjust(key, options) => {
                if let Some(Err(error)) = listening.get(&key).map(|socket| socket.adjust(options)) {
                    tracing::error!(address = %key.address, %error, "a listening socket keeps its old options");
                }
            }
            Command::Close(key) => drop(listening.remove(&key)),
            Command::DropLeavers { gone } => {
                worker.idle.drop_leavers();
                if gone {
                    worker.timers.wake_in_flight();
                }
            }
            Command::Settle(done) => {
                // Whoever asked may have given up.
                let _heard = done.send(());
            }
            Command::Drain(done) => {
                worker.begin_draining();
                let last: Vec<Listening> = listening.drain().map(|(_, socket)| socket).collect();
                tokio::task::spawn_local(drain(Rc::clone(&worker), last, done));
            }
        }
    }
    sweeper.abort();
}

/// How often a draining worker looks whether its connections are gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// How long a draining worker still accepts: what clients see as connected is served once more, if its first bytes come
/// in that time. A connection that the kernel held back, because its client has said nothing since it was made less
/// than a second ago, goes with the socket: the client's first bytes are answered with a reset, and none of them is read.
const LAST_CALL: Duration = Duration::from_millis(200);

async fn drain(worker: Rc<Worker>, listening: Vec<Listening>, done: oneshot::Sender<()>) {
    for socket in &listening {
        socket.last_call();
    }
    tokio::time::sleep(LAST_CALL).await;
    drop(listening);
    while worker.shared.connections.load(Ordering::Acquire) > 0 {
        worker.timers.wake_all();
        tokio::time::sleep(DRAIN_POLL).await;
    }
    // Nobody waits any more if the grace period is over.
    let _heard = done.send(());
}
