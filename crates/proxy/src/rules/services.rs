//! What rules share and wait for, apart from the request they run on.
//!
//! ```text
//! data.*, data.local.*      data      tables of bytes with a byte limit, of the process and of each worker
//! rate.*                    rate      classes: decisions by sliding windows, a queue per context
//! counter.*, counter64.*    counters  numbered counters, a cell per worker
//! net.dns.*                 names     questions to the name servers, with a small memory
//! http.request.*            fetch     requests to other servers, on the control runtime
//! auth.query                directory questions to directories, on the control runtime
//! tcp.*, udp.sendTo         sockets   conversations of a request's own, on its worker
//! geo.*                     places    a database, replaced when its file changes
//! connection.sleep          here
//! ```
//!
//! All of it lives as long as the process, whatever becomes of the configuration: [`Services::obey`] changes limits and
//! sets of names. Nothing here knows a request: what a rule waits for comes as a [`Need`], [`Services::answer`] gets it.

pub(crate) mod counters;
pub(crate) mod data;
pub(crate) mod dial;
pub(crate) mod directory;
pub(crate) mod fetch;
pub(crate) mod memory;
pub mod names;
pub mod places;
pub(crate) mod rate;
pub(crate) mod sockets;

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_model::{GlobalSettings, LocationName, Moment, RateClass, rule::MemoryAmount};
use tidegate_trafficscript::host::{Answer, Need};
use tokio::runtime::Handle;

use self::{
    counters::Counters,
    data::Table,
    directory::Directories,
    fetch::Fetcher,
    names::{Lookup, Names},
    places::Atlas,
    rate::{Limits, Rates},
    sockets::Talker,
};

/// Requests that sleep at a time in the process (`connection.sleep`); further ones are refused (counted).
const MOST_SLEEPING: u64 = 65_536;

/// Longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// What rules may know of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Port of the REST interface; `None` = it is off.
    pub rest_port: Option<u16>,
    /// The entry of `locations` that says where this traffic manager is.
    pub location: Option<LocationName>,
}

/// What the rules of all workers share.
#[derive(Debug)]
pub(crate) struct Services {
    /// `data.*`
    pub(crate) data: Table,
    /// `data.local.*`, by worker.
    local: Box<[Table]>,
    /// `rate.*`
    pub(crate) rates: Rates,
    /// `counter.*`, `counter64.*`
    pub(crate) counters: Counters,
    /// `net.dns.*`
    pub(crate) names: Names,
    /// `http.request.*`
    pub(crate) fetcher: Fetcher,
    /// `auth.query`
    pub(crate) directories: Directories,
    /// `tcp.*`, `udp.sendTo`
    pub(crate) talker: Talker,
    /// `geo.*`
    pub(crate) places: Atlas,
    /// What the process was told about itself, once.
    facts: OnceLock<ProcessFacts>,
    /// What the process may use, in bytes.
    memory: u64,
    sleeping: AtomicU64,
    sleeps_refused: AtomicU64,
}

impl Services {
    /// For workers `0..workers` (at least one). What waits for the network runs on `runtime`; `lookup` asks the name
    /// servers. `memory`: bytes that the process may use, see [`memory::available`].
    pub(crate) fn new(workers: usize, runtime: &Handle, lookup: Arc<dyn Lookup>, memory: u64) -> Self {
        let names = Names::new(lookup, runtime.clone());
        Self {
            data: Table::of_process(0),
            local: (0..workers.max(1)).map(|_| Table::of_worker(0)).collect(),
            rates: Rates::default(),
            counters: Counters::new(workers, 0),
            fetcher: Fetcher::new(names.clone(), runtime.clone(), None),
            directories: Directories::new(names.clone(), runtime.clone()),
            talker: Talker::new(names.clone()),
            names,
            places: Atlas::default(),
            facts: OnceLock::new(),
            memory,
            sleeping: AtomicU64::new(0),
            sleeps_refused: AtomicU64::new(0),
        }
    }

    /// The table of a worker.
    pub(crate) fn local(&self, worker: usize) -> &Table {
        &self.local[worker % self.local.len()]
    }

    /// What the process is; only the first call counts.
    pub(crate) fn tell(&self, facts: ProcessFacts) {
        drop(self.facts.set(facts));
    }

    /// What the process is; nothing until it was told.
    pub(crate) fn facts(&self) -> &ProcessFacts {
        static NOTHING: ProcessFacts = ProcessFacts { rest_port: None, location: None };
        self.facts.get().unwrap_or(&NOTHING)
    }

    /// Goes by these settings and rate classes from now on.
    pub(crate) fn obey<'a>(
        &self,
        global: &GlobalSettings,
        rates: impl IntoIterator<Item = &'a RateClass>,
        now: Moment,
    ) {
        let bytes = |amount: MemoryAmount| usize::try_from(amount.of(self.memory)).unwrap_or(usize::MAX);
        self.data.set_limit(bytes(global.rules.data_size));
        for local in &self.local {
            local.set_limit(bytes(global.rules.data_local_size));
        }
        self.counters.set_count(global.user_counters);
        self.rates.apply(rates.into_iter().map(|class| (class.name.as_str(), Limits::from(class))), now);
    }

    /// Gets what a rule waits for. `None`: that is not for here but for whoever has the request. To be awaited on a
    /// worker; dropping the future gives up what was waited for.
    pub(crate) async fn answer<C: Fn() -> Moment + Unpin>(
        &self,
        need: &Need,
        client: SocketAddr,
        clock: C,
    ) -> Option<Answer> {
        Some(match need {
            Need::Sleep(time) => self.sleep(*time).await,
            Need::Fetch(fetch) => {
                Answer::Fetched(Box::pin(self.fetcher.fetch(fetch.as_ref().clone(), client)).await)
            }
            Need::Resolve(name, v6) => Answer::Resolved(Box::pin(self.names.resolve(name, *v6)).await),
            Need::ResolveAny(name) => {
                Answer::Resolved(match Box::pin(self.names.resolve(name, false)).await {
                    none if none.is_empty() => Box::pin(self.names.resolve(name, true)).await,
                    found => found,
                })
            }
            Need::ResolveAddress(address) => Answer::Resolved(Box::pin(self.names.name_of(*address)).await),
            Need::Rate { class, context } => match self.rates.class(class) {
                None => Answer::Rate(false),
                Some(class) => match class.wait(context, clock) {
                    Ok(wait) => Answer::Rate(wait.await),
                    Err(rate::QueueFull) => Answer::Refused("too many requests wait in the rate class"),
                },
            },
            Need::Directory(query) => Answer::Directory(Box::pin(self.directories.ask(query)).await),
            Need::Body(..) | Need::Write(_) | Need::Read { .. } | Need::Talk(_) => return None,
        })
    }

    async fn sleep(&self, time: Duration) -> Answer {
        let _place = Sleeping(&self.sleeping);
        if self.sleeping.fetch_add(1, Ordering::Relaxed) >= MOST_SLEEPING {
            self.sleeps_refused.fetch_add(1, Ordering::Relaxed);
            return Answer::Refused("too many requests sleep");
        }
        tokio::time::sleep(time.min(LONGEST_SLEEP)).await;
        Answer::Done
    }

    /// Requests that sleep now, and those that were refused to.
    pub(crate) fn sleepers(&self) -> (u64, u64) {
        (self.sleeping.load(Ordering::Relaxed), self.sleeps_refused.load(Ordering::Relaxed))
    }
}

/// One that sleeps.
struct Sleeping<'a>(&'a AtomicU64);

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tidegate_trafficscript::host::{Fetch, Side};

    use super::{names::tests::Shared, *};

    const NOW: Moment = Moment(1000);
    const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    fn services() -> Services {
        Services::new(2, &Handle::current(), Arc::new(Shared::default()), 10_000)
    }

    #[tokio::test]
    async fn settings_are_obeyed_and_values_stay() {
        let services = services();
        assert!(!services.data.set(b"k", b"v", NOW), "nothing fits before the first configuration");
        let mut global = GlobalSettings { user_counters: 3, ..GlobalSettings::default() };
        global.rules.data_size = MemoryAmount::Percent(50);
        global.rules.data_local_size = MemoryAmount::Bytes(700);
        let class = RateClass { name: "r".into(), per_minute: None, per_second: NonZeroU32::new(1) };
        services.obey(&global, [&class], NOW);
        assert_eq!((services.data.usage(), services.local(1).usage()), ((0, 5000), (0, 700)));
        assert!(services.data.set(b"k", b"v", NOW) && services.local(1).set(b"k", b"v", NOW));
        assert_eq!(services.local(0).get(b"k"), None);
        assert!(services.counters.add(0, 3, 1, false));
        assert!(services.rates.class(b"r").is_some());
        services.obey(&GlobalSettings::default(), [], NOW);
        assert_eq!(services.data.usage().1, 500);
        assert!(services.data.get(b"k").is_some());
        assert_eq!(services.counters.read().narrow.len(), 10);
        assert!(services.rates.class(b"r").is_none());
    }

    #[tokio::test]
    async fn needs_are_answered() {
        let services = services();
        let class = RateClass { name: "r".into(), per_minute: None, per_second: NonZeroU32::new(1) };
        services.obey(&GlobalSettings::default(), [&class], NOW);
        let fetch = Fetch {
            method: "GET",
            url: b"http://nowhere.test/".into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            trusted: None,
        };
        let rate = |class: &str| Need::Rate { class: class.into(), context: Vec::new() };
        let table = [
            (Need::Sleep(Duration::from_millis(1)), Some(Answer::Done)),
            (Need::Fetch(Box::new(fetch)), Some(Answer::Fetched(Err("nowhere.test has no address".into())))),
            (Need::Resolve(b"localhost".into(), false), Some(Answer::Resolved(b"127.0.0.1".into()))),
            (Need::ResolveAddress("192.0.2.1".parse().unwrap()), Some(Answer::Resolved(Vec::new()))),
            (rate("r"), Some(Answer::Rate(true))),
            (rate("s"), Some(Answer::Rate(false))),
            (Need::Body(Side::Request, 1), None),
            (Need::Write(Vec::new()), None),
        ];
        for (need, expected) in table {
            assert_eq!(services.answer(&need, CLIENT, || NOW).await, expected, "{need:?}");
        }
        assert_eq!(services.sleepers(), (0, 0));
    }

    #[tokio::test]
    async fn sleepers_are_bounded() {
        let services = services();
        services.sleeping.store(MOST_SLEEPING, Ordering::Relaxed);
        let need = Need::Sleep(Duration::ZERO);
        assert!(matches!(services.answer(&need, CLIENT, || NOW).await, Some(Answer::Refused(_))));
        assert_eq!(services.sleepers(), (MOST_SLEEPING, 1));
        services.sleeping.store(0, Ordering::Relaxed);
        // Who gives up does not sleep any more.
        let need = Need::Sleep(Duration::from_hours(1));
        let long = services.answer(&need, CLIENT, || NOW);
        assert!(tokio::time::timeout(Duration::from_millis(5), long).await.is_err());
        assert_eq!(services.sleepers(), (0, 1));
    }
}
