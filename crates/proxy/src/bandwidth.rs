//! Bandwidth classes at work: what is written to clients and nodes goes no faster than its class permits.
//!
//! ```text
//! a request begins ──begin──► the client's stream ┐             ┌─ Bucket: of the class, or of the connection alone
//! it goes to a node ─of_node─► the node's stream  ├─► Limited ──┤
//! a rule chooses a class ─────► either, at once   ┘             └─ a timer while there is nothing to be had
//! ```
//!
//! A stream under a class is a [`Limited`] around the one it was; all others pay nothing. A write takes leave from the
//! bucket first and waits where it gets none; that wait is a [`Hold`] on the connection's deadline, so that nobody is cut
//! off as idle. The class is looked up by name in every new snapshot: its settings hold for what is on its way, and a
//! class that is gone limits nothing.

use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tidegate_model::{BandwidthClass, BandwidthName, bandwidth::Sharing};
use tidegate_pool::bandwidth::{Bucket, Rate, Share};
use tidegate_telemetry::{
    counters::{BandwidthCounters, Sharded},
    observation,
};
use tokio::time::{Instant, Sleep};

use crate::{
    connection::Client,
    snapshot::RunningPool,
    stream::Stream,
    timers::{Deadline, Hold},
    virtual_server::Exchange,
    worker::Worker,
};

/// A bandwidth class, and what is left of it.
#[derive(Debug)]
pub(crate) struct RunningClass {
    pub(crate) settings: Arc<BandwidthClass>,
    rate: Rate,
    used: Arc<Used>,
}

/// What was sent under a class; kept over every build.
#[derive(Debug)]
struct Used {
    bucket: Bucket,
    counters: Sharded<BandwidthCounters>,
}

impl RunningClass {
    /// A class, with what was sent under it before.
    pub(crate) fn new(settings: Arc<BandwidthClass>, previous: Option<&Self>, workers: usize) -> Self {
        let fresh = || Arc::new(Used { bucket: Bucket::default(), counters: Sharded::new(workers) });
        Self {
            rate: Rate::of_kilobits(settings.maximum),
            settings,
            used: previous.map_or_else(fresh, |previous| Arc::clone(&previous.used)),
        }
    }

    /// The class as statistics and metrics show it.
    pub(crate) fn observe(&self) -> observation::BandwidthClass {
        observation::BandwidthClass {
            name: self.settings.name.as_str().into(),
            maximum: self.settings.maximum.get(),
            totals: BandwidthCounters::totals(&self.used.counters),
        }
    }
}

/// A request begins: what its virtual server says of the client's stream, until a rule says otherwise.
pub(crate) fn begin(client: &mut Client) {
    let class = &client.server.settings.bandwidth;
    if class.is_some() || client.stream.is_limited() {
        client.stream.limit(class.as_ref(), &client.worker, &client.deadline);
    }
}

/// A request is about to go to a node: what a rule or the pool says of the node's stream.
pub(crate) fn of_node(client: &Client, exchange: &Exchange<'_>, pool: &RunningPool, stream: &mut Stream) {
    let class = exchange.node_bandwidth(pool.settings.bandwidth.as_ref());
    if class.is_some() || stream.is_limited() {
        stream.limit(class, &client.worker, &client.deadline);
    }
}

impl Stream {
    /// Writes go by the class of this name from now on; `None` = by none. `deadline` is that of the exchange.
    #[cold]
    pub(crate) fn limit(&mut self, class: Option<&BandwidthName>, worker: &Rc<Worker>, deadline: &Deadline) {
        let at_work = || AtWork { worker: Rc::clone(worker), hold: deadline.hold(), looked: None };
        match (&mut *self, class) {
            (Self::Limited(limited), Some(class)) => {
                if limited.name != *class {
                    limited.name = class.clone();
                    limited.share = Share::default();
                }
                limited.waits = false;
                limited.at_work = Some(at_work());
            }
            (_, Some(class)) => {
                let stream = self.take_unlimited();
                *self = Self::Limited(Box::new(Limited {
                    stream,
                    name: class.clone(),
                    own: Bucket::default(),
                    share: Share::default(),
                    at_work: Some(at_work()),
                    waits: false,
                    timer: None,
                }));
            }
            // What was used of a limit of its own is remembered.
            (Self::Limited(_), None) => self.rest(),
            (_, None) => {}
        }
    }

    /// The exchange is over, and the stream waits for another one.
    pub(crate) fn rest(&mut self) {
        if let Self::Limited(limited) = self {
            limited.at_work = None;
            limited.waits = false;
        }
    }

    fn take_unlimited(&mut self) -> Self {
        match std::mem::replace(self, Self::Closed) {
            Self::Limited(limited) => limited.stream,
            own => own,
        }
    }
}

/// A stream that goes by a bandwidth class.
#[derive(Debug)]
pub(crate) struct Limited {
    /// The stream. Never limited itself.
    pub(crate) stream: Stream,
    name: BandwidthName,
    /// What it has to itself where connections do not share.
    own: Bucket,
    share: Share,
    /// `None` between two exchanges.
    at_work: Option<AtWork>,
    /// Whether the timer is running.
    waits: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a limited stream reaches while an exchange is on.
#[derive(Debug)]
struct AtWork {
    worker: Rc<Worker>,
    hold: Hold,
    /// The class as of the snapshot of this generation; `None` = there is none.
    looked: Option<(u64, Option<Arc<RunningClass>>)>,
}

impl AtWork {
    /// The class as it is now.
    fn class(&mut self, name: &BandwidthName) -> Option<Arc<RunningClass>> {
        if let Some((generation, class)) = &self.looked
            && self.worker.runs(*generation)
        {
            return class.clone();
        }
        let view = self.worker.view();
        let class = view.bandwidth.get(name).cloned();
        self.looked = Some((view.generation, class.clone()));
        class
    }
}

impl Limited {
    /// Whether there is a class to go by.
    pub(crate) fn is_at_work(&self) -> bool {
        self.at_work.is_some()
    }

    /// Writes `bytes` as far as the class permits, and waits where it permits nothing.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, name, own, share, at_work, waits, timer } = self;
        let Some(at_work) = at_work else { return stream.poll_write(cx, bytes) };
        loop {
            if *waits && let Some(timer) = timer {
                ready!(timer.as_mut().poll(cx));
            }
            let waited = std::mem::take(waits);
            let class = at_work.class(name);
            let Some(class) = class.filter(|_| !bytes.is_empty()) else {
                return stream.poll_write(cx, bytes);
            };
            let bucket = match class.settings.sharing {
                Sharing::Cluster | Sharing::Machine => &class.used.bucket,
                Sharing::Connection => &*own,
            };
            let counters = class.used.counters.shard(at_work.worker.index);
            match bucket.take(share, bytes.len(), class.rate, at_work.worker.elapsed()) {
                Ok(most) => {
                    let written = stream.poll_write(cx, bytes.get(..most).unwrap_or(bytes));
                    let sent = if let Poll::Ready(Ok(sent)) = written { sent } else { 0 };
                    if sent < most {
                        bucket.give_back(share, most - sent, class.rate);
                    }
                    counters.bytes_out.add(sent as u64);
                    return written;
                }
                Err(pause) => {
                    counters.waits.add(u64::from(!waited));
                    at_work.hold.until(at_work.worker.now().after(pause));
                    *waits = true;
                    start(timer, pause);
                }
            }
        }
    }
}

fn start(timer: &mut Option<Pin<Box<Sleep>>>, pause: Duration) {
    match timer {
        Some(timer) => timer.as_mut().reset(Instant::now() + pause),
        None => *timer = Some(Box::pin(tokio::time::sleep(pause))),
    }
}
