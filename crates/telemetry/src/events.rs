//! The events of the event log by name: what the original calls event tags, kept in memory and handed to alerting.
//!
//! ```text
//! tracing event with a field `event` ──Collector──► ring of the last events ──recent──► REST, alerting
//! ```
//!
//! An event is an ordinary line of the log whose field `event` is its tag, such as `nodefail`; the object it is about
//! is the field of its category (`pool`, `monitor`, `virtual_server`, `rule`). It comes here whatever the filter of
//! the log lets through.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tidegate_model::alert::Category;
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, filter_fn},
    layer::Context,
    registry::LookupSpan,
};

/// Events that are kept; older ones are forgotten. As many again are kept of what rules say: they say as much as clients
/// make them, and nothing else may be forgotten for it.
pub const MOST_EVENTS: usize = 1024;
/// Target of the lines that rules write (`log.*`, `event.emit`).
pub const RULE_LINES: &str = "tidegate_proxy::rules::lines";
/// Longest text of an event, bytes; the rest is cut.
const MAX_TEXT: usize = 4096;

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something happened.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something does not work.
    Serious,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Serious => "SERIOUS",
        })
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts events from 1.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// How bad.
    pub level: Level,
    /// What kind, such as `nodefail`.
    pub tag: String,
    /// What it is about: the name of a pool, monitor, virtual server or rule; empty = nothing in particular.
    pub object: String,
    /// The sentence, with further fields as `key=value` behind it.
    pub text: String,
}

impl Event {
    /// The category of its tag. Tags that rules make up are TrafficScript's.
    pub fn category(&self) -> Category {
        category(&self.tag)
    }
}

/// Tags by category. Those of `rules` are raised by what runs rules, `audit` by who changes the configuration.
pub const TAGS: &[(Category, &[&str])] = &[
    (Category::General, &["audit", "fewfreefds"]),
    (Category::Monitors, &["monitorfail", "monitorok"]),
    (Category::Pools, &["nodefail", "noderesolvefailure", "nodeworking", "pooldied", "poolok"]),
    (
        Category::Rules,
        &[
            "datastorefull",
            "norate",
            "poolactivenodesunknown",
            "pooluseunknown",
            "ruleabort",
            "rulebufferlarge",
            "rulelogmsginfo",
            "rulelogmsgserious",
            "rulelogmsgwarn",
            "rulenopersistence",
            "ruleregexslow",
            "ruleslow",
            "rulexmlerr",
        ],
    ),
    (
        Category::ServiceLevels,
        &["slmfallenbelowserious", "slmfallenbelowwarn", "slmrecoveredserious", "slmrecoveredwarn"],
    ),
    (
        Category::VirtualServers,
        &["connerror", "connfail", "sslfail", "vssslcertexpired", "vssslcerttoexpire", "vsstart", "vsstop"],
    ),
];

fn category(tag: &str) -> Category {
    let known = TAGS.iter().find(|(_, tags)| tags.contains(&tag));
    known.map_or(Category::TrafficScript, |(category, _)| *category)
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Event>,
    /// Those that rules made.
    of_rules: VecDeque<Event>,
    seen: u64,
}

static RING: Mutex<Ring> = Mutex::new(Ring::new());

fn ring() -> MutexGuard<'static, Ring> {
    RING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events numbered above `after`, oldest first, as far as they are still there.
pub fn recent(after: u64) -> Vec<Event> {
    ring().recent(after)
}

/// How many events there were.
pub fn seen() -> u64 {
    ring().seen
}

impl Ring {
    const fn new() -> Self {
        Self { events: VecDeque::new(), of_rules: VecDeque::new(), seen: 0 }
    }

    fn push(&mut self, mut event: Event, of_rule: bool) {
        self.seen += 1;
        event.number = self.seen;
        let events = if of_rule { &mut self.of_rules } else { &mut self.events };
        if events.len() == MOST_EVENTS {
            events.pop_front();
        }
        events.push_back(event);
    }

    fn recent(&self, after: u64) -> Vec<Event> {
        let behind = |events: &VecDeque<Event>| events.partition_point(|event| event.number <= after);
        let events = self.events.range(behind(&self.events)..);
        let mut events: Vec<Event> =
            events.chain(self.of_rules.range(behind(&self.of_rules)..)).cloned().collect();
        // Two runs in order.
        events.sort_by_key(|event| event.number);
        events
    }
}

/// Takes events out of `tracing`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Collector;

impl Collector {
    /// Lets events of the event log through and nothing else, so that all other lines cost nothing.
    pub(crate) fn filter() -> FilterFn<fn(&Metadata<'_>) -> bool> {
        fn has_tag(metadata: &Metadata<'_>) -> bool {
            metadata.fields().field("event").is_some()
        }
        filter_fn(has_tag as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Collector {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut taken = Taken::default();
        event.record(&mut taken);
        let Some(tag) = taken.tag else { return };
        let of_rule = event.metadata().target() == RULE_LINES;
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Serious,
            tracing::Level::WARN => Level::Warn,
            _ => Level::Info,
        };
        let object = match category(&tag) {
            Category::Pools => taken.pool,
            Category::Monitors => taken.monitor,
            Category::VirtualServers => taken.virtual_server,
            Category::Rules => taken.rule,
            Category::ServiceLevels => taken.class,
            _ => None,
        };
        let mut text = taken.message;
        text.push_str(&taken.fields);
        if text.len() > MAX_TEXT {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
        }
        let event =
            Event { number: 0, at: SystemTime::now(), level, tag, object: object.unwrap_or_default(), text };
        ring().push(event, of_rule);
    }
}

/// Fields of an event.
#[derive(Default)]
struct Taken {
    tag: Option<String>,
    message: String,
    pool: Option<String>,
    monitor: Option<String>,
    virtual_server: Option<String>,
    rule: Option<String>,
    class: Option<String>,
    fields: String,
}

impl Taken {
    fn take(&mut self, name: &str, value: String) {
        match name {
            "event" => self.tag = Some(value),
            "message" => self.message = value,
            _ => {
                // Line ends would make two lines of one event.
                let value = value.replace(char::is_control, " ");
                // Writing to a string cannot fail.
                _ = write!(self.fields, " {name}={value}");
                match name {
                    "pool" => self.pool = Some(value),
                    "monitor" => self.monitor = Some(value),
                    "virtual_server" => self.virtual_server = Some(value),
                    "rule" => self.rule = Some(value),
                    "class" => self.class = Some(value),
                    _ => {}
                }
            }
        }
    }
}

impl Visit for Taken {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;

    #[test]
    fn events_are_collected_with_their_object_and_lines_without_tag_are_not() {
        let subscriber = Registry::default().with(Collector.with_filter(Collector::filter()));
        let before = seen();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(pool = "p", "no event");
            tracing::warn!(event = "nodefail", pool = %"p", node = %"10.0.0.1:80", reason = "a\nb", "node has failed");
            tracing::error!(event = "my.own", rule = "r", "said by a rule");
            tracing::debug!(event = "nodefail", "too quiet");
        });
        let events: Vec<Event> = recent(before);
        // Other tests of the process may tell of events too.
        let find =
            |tag: &str, text: &str| events.iter().find(|e| e.tag == tag && e.text.contains(text)).unwrap();
        let failed = find("nodefail", "node has failed");
        assert_eq!((failed.level, &*failed.object, failed.category()), (Level::Warn, "p", Category::Pools));
        assert_eq!(failed.text, "node has failed pool=p node=10.0.0.1:80 reason=a b");
        let own = find("my.own", "said by a rule");
        assert_eq!((own.level, &*own.object, own.category()), (Level::Serious, "", Category::TrafficScript));
        assert!(events.iter().all(|event| !event.text.contains("no event") && !event.text.contains("quiet")));
    }

    #[test]
    fn lines_of_rules_push_out_nothing_else() {
        let subscriber = Registry::default().with(Collector.with_filter(Collector::filter()));
        let before = seen();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(event = "nodefail", pool = %"pushed", "is still here");
            for _ in 0..2 * MOST_EVENTS {
                tracing::info!(target: RULE_LINES, event = "rulelogmsginfo", rule = "r", "talks");
            }
        });
        let events = recent(before);
        assert!(events.iter().any(|event| event.text.contains("is still here")));
        assert!(events.is_sorted_by_key(|event| event.number));
    }

    #[test]
    fn the_ring_forgets_the_oldest() {
        let mut ring = Ring::new();
        let event = Event {
            number: 0,
            at: SystemTime::UNIX_EPOCH,
            level: Level::Info,
            tag: "audit".to_owned(),
            object: String::new(),
            text: String::new(),
        };
        for _ in 0..MOST_EVENTS + 5 {
            ring.push(event.clone(), false);
        }
        assert_eq!(ring.events.len(), MOST_EVENTS);
        assert_eq!(ring.events.front().unwrap().number, 6);
        assert_eq!(ring.seen, MOST_EVENTS as u64 + 5);
        // Rules forget their own only.
        for _ in 0..=MOST_EVENTS {
            ring.push(event.clone(), true);
        }
        ring.push(event, false);
        let numbers = |after| ring.recent(after).iter().map(|event| event.number).collect::<Vec<_>>();
        let most = MOST_EVENTS as u64;
        assert_eq!(
            numbers(0),
            [(7..=most + 5), (most + 7..=2 * most + 7)].into_iter().flatten().collect::<Vec<_>>()
        );
        assert_eq!(numbers(2 * most + 5), [2 * most + 6, 2 * most + 7]);
        assert_eq!(numbers(2 * most + 7), [0; 0]);
    }
}
