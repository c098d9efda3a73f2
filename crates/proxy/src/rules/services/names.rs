//! Names and addresses for `net.dns.*` and for the servers that rules send requests to.
//!
//! In: a question. Out: what the name servers know, or nothing. Who asks them is given from outside ([`Lookup`]); here
//! are the bounds: how many ask at a time, how long, and a small memory that goes by the TTL. Questions are asked on the
//! control runtime: a worker only awaits the answer, and one that is not awaited any more is still remembered.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_model::Moment;
use tokio::{runtime::Handle, sync::Semaphore};

/// Questions that are asked at a time; further ones wait, within [`TIMEOUT`].
const MOST_AT_ONCE: usize = 64;

/// Questions that are asked or wait; further ones find nothing (counted).
const MOST_WAITING: usize = 4096;

/// Longest time of one question, waiting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Answers that are remembered.
const MOST_REMEMBERED: usize = 4096;

/// Longest time an answer is remembered, whatever its TTL.
const LONGEST_MEMORY: Duration = Duration::from_mins(5);

/// How long it is remembered that a name does not exist.
const NOTHING_MEMORY: Duration = Duration::from_secs(5);

/// How long it is remembered that the name servers failed.
const FAILURE_MEMORY: Duration = Duration::from_secs(1);

/// Longest name (RFC 1035 §2.3.4), with a final dot.
const LONGEST_NAME: usize = 254;

/// A question to the name servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The IPv4 addresses of a name.
    V4(Arc<str>),
    /// The IPv6 addresses of a name.
    V6(Arc<str>),
    /// The name of an address.
    NameOf(IpAddr),
}

/// What the name servers answered; nothing at all is an answer too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Addresses, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// Name of the address, without final dot.
    pub name: Option<String>,
    /// How long it holds, where known.
    pub ttl: Option<Duration>,
}

/// A lookup in progress.
pub type Looking = Pin<Box<dyn Future<Output = Result<Found, String>> + Send>>;

/// Who asks the name servers.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// Asks, for at most `limit`. Runs on the control runtime. The error is for people.
    fn look_up(&self, question: Question, limit: Duration) -> Looking;
}

/// Counters since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameCounters {
    /// Questions of rules.
    pub(crate) asked: u64,
    /// Answered from memory.
    pub(crate) remembered: u64,
    /// Of the questions, those for the name of an address.
    pub(crate) reverse_asked: u64,
    /// Of these, those answered from memory.
    pub(crate) reverse_remembered: u64,
    /// Name servers failed or took too long.
    pub(crate) failed: u64,
    /// Refused because too many waited.
    pub(crate) refused: u64,
}

/// Resolves names for rules. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lookup: Arc<dyn Lookup>,
    runtime: Handle,
    at_once: Semaphore,
    waiting: Semaphore,
    origin: Instant,
    memory: Mutex<Memory>,
    asked: AtomicU64,
    remembered: AtomicU64,
    reverse_asked: AtomicU64,
    reverse_remembered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Names {
    /// Questions go to `lookup`, on `runtime`.
    pub(crate) fn new(lookup: Arc<dyn Lookup>, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            lookup,
            runtime,
            at_once: Semaphore::new(MOST_AT_ONCE),
            waiting: Semaphore::new(MOST_WAITING),
            origin: Instant::now(),
            memory: Mutex::default(),
            asked: AtomicU64::new(0),
            remembered: AtomicU64::new(0),
            reverse_asked: AtomicU64::new(0),
            reverse_remembered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// `net.dns.resolveHost`, `net.dns.resolveHost6`: the first address of a name as text; empty if there is none.
    pub(crate) async fn resolve(&self, name: &[u8], v6: bool) -> Vec<u8> {
        let addresses = self.addresses(name, v6).await;
        addresses.first().map(ToString::to_string).unwrap_or_default().into_bytes()
    }

    /// `net.dns.resolveIP`: the name of an address; empty if there is none.
    pub(crate) async fn name_of(&self, address: IpAddr) -> Vec<u8> {
        self.ask(Question::NameOf(address.to_canonical())).await.name.unwrap_or_default().into_bytes()
    }

    /// All addresses of one family that a name has. An address is its own name.
    pub(crate) async fn addresses(&self, name: &[u8], v6: bool) -> Vec<IpAddr> {
        match known(name, v6) {
            Known::Addresses(addresses) => addresses,
            Known::Ask(name) => {
                self.ask(if v6 { Question::V6(name) } else { Question::V4(name) }).await.addresses
            }
        }
    }

    /// Counters since the process started.
    pub(crate) fn counters(&self) -> NameCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NameCounters {
            asked: read(&self.0.asked),
            remembered: read(&self.0.remembered),
            reverse_asked: read(&self.0.reverse_asked),
            reverse_remembered: read(&self.0.reverse_remembered),
            failed: read(&self.0.failed),
            refused: read(&self.0.refused),
        }
    }

    async fn ask(&self, question: Question) -> Found {
        let reverse = u64::from(matches!(question, Question::NameOf(_)));
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        self.0.reverse_asked.fetch_add(reverse, Ordering::Relaxed);
        if let Some(found) = self.0.recall(&question) {
            self.0.remembered.fetch_add(1, Ordering::Relaxed);
            self.0.reverse_remembered.fetch_add(reverse, Ordering::Relaxed);
            return found;
        }
        let inner = Arc::clone(&self.0);
        // A task that panics or a runtime that ends finds nothing.
        self.0.runtime.spawn(async move { inner.find(question).await }).await.unwrap_or_default()
    }
}

impl Inner {
    fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }

    fn recall(&self, question: &Question) -> Option<Found> {
        let now = self.now();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).recall(question, now)
    }

    async fn find(&self, question: Question) -> Found {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Found::default();
        };
        let asked = tokio::time::timeout(TIMEOUT, async {
            let _permit = self.at_once.acquire().await;
            // Another may have asked the same meanwhile.
            if let Some(found) = self.recall(&question) {
                return Ok((found, None));
            }
            let found = self.lookup.look_up(question.clone(), TIMEOUT).await?;
            let memory = memory_of(&found);
            Ok((found, Some(memory)))
        });
        let result = asked.await.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")));
        let (found, memory) = result.unwrap_or_else(|why| {
            self.failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(?question, "a rule asked the name servers in vain: {why}");
            (Found::default(), Some(FAILURE_MEMORY))
        });
        if let Some(memory) = memory {
            let now = self.now();
            let mut known = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            known.keep(question, found.clone(), now, now.after(memory));
        }
        found
    }
}

/// How long an answer is remembered.
fn memory_of(found: &Found) -> Duration {
    if found.addresses.is_empty() && found.name.is_none() {
        return NOTHING_MEMORY;
    }
    found.ttl.unwrap_or_default().min(LONGEST_MEMORY)
}

enum Known {
    Addresses(Vec<IpAddr>),
    Ask(Arc<str>),
}

/// What need not be asked: addresses, `localhost` (RFC 6761 §6.3), and what cannot be a name.
fn known(name: &[u8], v6: bool) -> Known {
    let Ok(text) = std::str::from_utf8(name) else { return Known::Addresses(Vec::new()) };
    let text = text.trim();
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = literal.parse::<IpAddr>() {
        let address = address.to_canonical();
        return Known::Addresses(if address.is_ipv6() == v6 { vec![address] } else { Vec::new() });
    }
    let bare = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if bare == "localhost" || bare.ends_with(".localhost") {
        let address = if v6 { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        return Known::Addresses(vec![address]);
    }
    if bare.is_empty() || text.len() > LONGEST_NAME || bare.contains(char::is_whitespace) {
        return Known::Addresses(Vec::new());
    }
    Known::Ask(text.to_ascii_lowercase().into())
}

/// Answers by question, at most [`MOST_REMEMBERED`]. Pure.
#[derive(Debug, Default)]
struct Memory {
    answers: HashMap<Question, (Found, Moment)>,
    /// When what is past was last thrown away.
    swept: Moment,
}

impl Memory {
    fn recall(&self, question: &Question, now: Moment) -> Option<Found> {
        self.answers.get(question).filter(|(_, until)| now < *until).map(|(found, _)| found.clone())
    }

    fn keep(&mut self, question: Question, found: Found, now: Moment, until: Moment) {
        if until <= now {
            return;
        }
        if self.answers.len() >= MOST_REMEMBERED && !self.answers.contains_key(&question) {
            if self.swept.after(FAILURE_MEMORY) <= now {
                self.swept = now;
                self.answers.retain(|_, (_, until)| now < *until);
            }
            // Which one goes is of no consequence: it is asked again.
            let any = self.answers.keys().next().filter(|_| self.answers.len() >= MOST_REMEMBERED).cloned();
            if let Some(any) = any {
                self.answers.remove(&any);
            }
        }
        self.answers.insert(question, (found, until));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Answers from a table and counts.
    #[derive(Debug, Default)]
    pub(crate) struct Table {
        pub(crate) answers: HashMap<String, Found>,
        pub(crate) asked: AtomicUsize,
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
        silent: bool,
    }

    impl Table {
        pub(crate) fn of<const N: usize>(answers: [(&str, &[&str], Option<u64>); N]) -> Self {
            let found = |addresses: &[&str], ttl: Option<u64>| Found {
                addresses: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
                name: addresses.first().filter(|text| text.parse::<IpAddr>().is_err()).map(|&t| t.to_owned()),
                ttl: ttl.map(Duration::from_secs),
            };
            let answers = answers.map(|(name, addresses, ttl)| (name.to_owned(), found(addresses, ttl)));
            Self { answers: answers.into(), ..Self::default() }
        }
    }

    #[derive(Clone, Debug, Default)]
    pub(crate) struct Shared(pub(crate) Arc<Table>);

    impl Lookup for Shared {
        fn look_up(&self, question: Question, _: Duration) -> Looking {
            let table = Arc::clone(&self.0);
            Box::pin(async move {
                table.asked.fetch_add(1, Ordering::Relaxed);
                let now = table.at_once.fetch_add(1, Ordering::Relaxed) + 1;
                table.most_at_once.fetch_max(now, Ordering::Relaxed);
                tokio::task::yield_now().await;
                if table.silent {
                    std::future::pending::<()>().await;
                }
                table.at_once.fetch_sub(1, Ordering::Relaxed);
                let key = match question {
                    Question::V4(name) => name.to_string(),
                    Question::V6(name) => format!("{name} v6"),
                    Question::NameOf(address) => address.to_string(),
                };
                if key == "broken" {
                    return Err("SERVFAIL".to_owned());
                }
                Ok(table.answers.get(&key).cloned().unwrap_or_default())
            })
        }
    }

    pub(crate) fn names(table: Table) -> (Names, Arc<Table>) {
        let shared = Shared(Arc::new(table));
        (Names::new(Arc::new(shared.clone()), Handle::current()), shared.0)
    }

    #[test]
    fn what_need_not_be_asked() {
        type Row = (&'static [u8], bool, Option<&'static [&'static str]>);
        let table: [Row; 14] = [
            (b"192.0.2.1", false, Some(&["192.0.2.1"])),
            (b" 192.0.2.1 ", false, Some(&["192.0.2.1"])),
            (b"192.0.2.1", true, Some(&[])),
            (b"2001:db8::1", true, Some(&["2001:db8::1"])),
            (b"[2001:db8::1]", true, Some(&["2001:db8::1"])),
            (b"::ffff:192.0.2.1", false, Some(&["192.0.2.1"])),
            (b"localhost", false, Some(&["127.0.0.1"])),
            (b"LocalHost.", true, Some(&["::1"])),
            (b"a.localhost", false, Some(&["127.0.0.1"])),
            (b"", false, Some(&[])),
            (b".", false, Some(&[])),
            (b"a b", false, Some(&[])),
            (b"\xff", false, Some(&[])),
            (b"www.example", false, None),
        ];
        for (name, v6, expected) in table {
            let found = match known(name, v6) {
                Known::Addresses(addresses) => Some(addresses),
                Known::Ask(_) => None,
            };
            let expected: Option<Vec<IpAddr>> =
                expected.map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
            assert_eq!(found, expected, "{name:?} {v6}");
        }
        assert!(matches!(known(&[b'a'; 255], false), Known::Addresses(_)));
    }

    #[tokio::test]
    async fn answers_are_remembered_for_their_ttl() {
        let (names, table) = names(Table::of([
            ("web", &["192.0.2.1", "192.0.2.2"], Some(60)),
            ("web v6", &["2001:db8::1"], Some(60)),
            ("brief", &["192.0.2.3"], Some(0)),
            ("192.0.2.1", &["web.example"], Some(60)),
        ]));
        let text =
            async |name: &str, v6| String::from_utf8(names.resolve(name.as_bytes(), v6).await).unwrap();
        for _ in 0..3 {
            assert_eq!(text("Web", false).await, "192.0.2.1");
            assert_eq!(text("web", true).await, "2001:db8::1");
            assert_eq!(text("nowhere", false).await, "");
            assert_eq!(text("broken", false).await, "");
            assert_eq!(names.name_of("192.0.2.1".parse().unwrap()).await, b"web.example");
            assert_eq!(names.name_of("192.0.2.9".parse().unwrap()).await, b"");
        }
        assert_eq!(table.asked.load(Ordering::Relaxed), 6);
        for _ in 0..3 {
            assert_eq!(text("brief", false).await, "192.0.2.3");
        }
        assert_eq!(table.asked.load(Ordering::Relaxed), 9);
        let expected = NameCounters {
            asked: 21,
            remembered: 12,
            reverse_asked: 6,
            reverse_remembered: 4,
            failed: 1,
            refused: 0,
        };
        assert_eq!(names.counters(), expected);
    }

    #[tokio::test]
    async fn few_ask_at_a_time_and_not_twice_the_same() {
        let (names, table) = names(Table::default());
        let tasks: Vec<_> = (0..400)
            .map(|n| {
                let names = names.clone();
                tokio::spawn(async move { names.resolve(format!("name{}", n % 200).as_bytes(), false).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), b"");
        }
        assert!(table.most_at_once.load(Ordering::Relaxed) <= MOST_AT_ONCE);
        assert!((200..=400).contains(&table.asked.load(Ordering::Relaxed)));
    }

    #[tokio::test]
    async fn too_many_that_wait_are_refused() {
        let (names, _) = names(Table { silent: true, ..Table::default() });
        let tasks: Vec<_> = (0..MOST_WAITING)
            .map(|n| {
                let names = names.clone();
                tokio::spawn(async move { names.resolve(format!("name{n}").as_bytes(), false).await })
            })
            .collect();
        tokio::time::timeout(Duration::from_secs(20), async {
            while names.0.waiting.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(names.resolve(b"onemore", false).await, b"");
        assert_eq!(names.counters().refused, 1);
        for task in tasks {
            task.abort();
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut memory = Memory::default();
        let question = |n: usize| Question::V4(format!("{n}").into());
        let keep = |memory: &mut Memory, n, now, until| {
            memory.keep(question(n), Found::default(), Moment(now), Moment(until));
        };
        for n in 0..MOST_REMEMBERED {
            keep(&mut memory, n, 0, if n < 100 { 5000 } else { 90_000 });
        }
        keep(&mut memory, MOST_REMEMBERED, 10, 90_000);
        assert_eq!(memory.answers.len(), MOST_REMEMBERED);
        assert!(memory.recall(&question(MOST_REMEMBERED), Moment(89_999)).is_some());
        assert!(memory.recall(&question(MOST_REMEMBERED), Moment(90_000)).is_none());
        keep(&mut memory, MOST_REMEMBERED + 1, 6000, 90_000);
        assert!(memory.answers.len() <= MOST_REMEMBERED - 98, "what is past goes first");
        keep(&mut memory, 7, 6000, 6000);
        assert!(memory.recall(&question(7), Moment(6000)).is_none());
    }
}
