//! A world for the tests of functions: a host of simple maps, and calls of functions by name.

use std::{borrow::Cow, collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use super::{CAPTURES, Call, Function, Outcome, Site, Status, functions};
use crate::{
    host::{
        Body, CompletionCode, Edit, Host, Level, Order, Phase, PoolNode, RateVerdict, Refusal, Side, Store,
        Times, TlsFact,
    },
    meter::{Limits, Meter},
    pattern::PatternCache,
    value::{Container, Value, cast},
};

/// The time it is: 14 November 2023, 22:13:20.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// A world in which nothing happens: functions that need a message or a connection find an empty one.
#[derive(Debug, Default)]
pub(super) struct TestHost {
    /// Lines of the event log.
    pub(super) log: Vec<String>,
    random: u64,
    stored: HashMap<(Store, Vec<u8>), Arc<[u8]>>,
}

impl Host for TestHost {
    fn phase(&self) -> Phase {
        Phase::Request
    }
    fn method(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(b"GET")
    }
    fn set_method(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
    fn target(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(b"/")
    }
    fn set_target(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
    fn version(&self, _: Side) -> &'static str {
        "HTTP/1.1"
    }
    fn field(&self, _: Side, _: &[u8], _: &mut dyn FnMut(&[u8])) {}
    fn fields(&self, _: Side, _: &mut dyn FnMut(&[u8], &[u8])) {}
    fn edit(&mut self, _: Side, _: Edit<'_>) -> Result<(), Refusal> {
        Ok(())
    }
    fn status(&self) -> u16 {
        0
    }
    fn set_status(&mut self, _: u16, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
    fn body(&self, _: Side) -> Body<'_> {
        Body { bytes: b"", complete: true }
    }
    fn set_body(&mut self, _: Side, _: Vec<u8>) -> Result<(), Refusal> {
        Ok(())
    }
    fn client(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 40_000))
    }
    fn local(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 2], 80))
    }
    fn node_connection(&self) -> Option<(SocketAddr, SocketAddr)> {
        None
    }
    fn virtual_server(&self) -> Cow<'_, str> {
        Cow::Borrowed("test")
    }
    fn pool(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn node(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn persistence(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn retries(&self) -> u32 {
        0
    }
    fn is_resendable(&self) -> bool {
        false
    }
    fn is_logged(&self) -> bool {
        true
    }
    fn max_transaction_duration(&self) -> Option<Duration> {
        None
    }
    fn times(&self) -> Times {
        Times::default()
    }
    fn memory(&self) -> usize {
        0
    }
    fn is_tls(&self) -> bool {
        false
    }
    fn tls(&self, _: TlsFact) -> Option<Cow<'_, str>> {
        None
    }
    fn client_certificates(&self) -> Vec<Cow<'_, [u8]>> {
        Vec::new()
    }
    fn server_certificate(&self) -> Option<Cow<'_, [u8]>> {
        None
    }
    fn completion(&self) -> CompletionCode {
        ""
    }
    fn order(&mut self, _: Order) -> bool {
        true
    }
    fn load(&self, store: Store, key: &[u8]) -> Option<Arc<[u8]>> {
        self.stored.get(&(store, key.to_vec())).cloned()
    }
    fn store(&mut self, store: Store, key: &[u8], value: &[u8]) -> bool {
        self.stored.insert((store, key.to_vec()), value.into());
        true
    }
    fn remove(&mut self, store: Store, key: &[u8]) -> bool {
        self.stored.remove(&(store, key.to_vec())).is_some()
    }
    fn reset(&mut self, store: Store, prefix: &[u8]) {
        self.stored.retain(|(of, key), _| *of != store || !key.starts_with(prefix));
    }
    fn usage(&self, _: Store) -> (usize, usize) {
        (0, 0)
    }
    fn count(&mut self, _: u32, _: i64, _: bool) -> bool {
        false
    }
    fn rate(&mut self, _: &[u8], _: &[u8]) -> RateVerdict {
        RateVerdict::NoClass
    }
    fn rate_backlog(&self, _: &[u8], _: &[u8]) -> Option<u32> {
        None
    }
    fn pool_nodes(&self, _: &[u8]) -> Option<Vec<PoolNode>> {
        None
    }
    fn pool_is_full(&self, _: &[u8]) -> Option<bool> {
        None
    }
    fn resource(&self, _: &[u8]) -> Option<(Arc<[u8]>, i64)> {
        None
    }
    fn log(&mut self, _: Level, message: &[u8]) {
        self.log.push(String::from_utf8_lossy(message).into_owned());
    }
    fn event(&mut self, _: &[u8], _: &[u8]) {}
    fn now(&self) -> Duration {
        NOW
    }
    fn local_offset(&self, _: i64) -> (i32, Cow<'_, str>) {
        (0, Cow::Borrowed("UTC"))
    }
    fn random(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn secret_bytes(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.random() as u8;
        }
    }
    fn host_name(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        (Cow::Borrowed("host"), Cow::Borrowed("example"))
    }
    fn environment(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn process_id(&self) -> u32 {
        1
    }
}

static SITE: Site = Site { line: 1, pattern: None };

/// Calls of functions in one run of a rule.
#[derive(Debug)]
pub(super) struct Trial {
    /// The world.
    pub(super) host: TestHost,
    /// `import strict`.
    pub(super) strict: bool,
    captures: [Value<'static>; CAPTURES],
    meter: Meter,
    patterns: PatternCache,
}

impl Trial {
    /// A new run with the default limits.
    pub(super) fn new() -> Self {
        let limits = Limits::default();
        Self {
            host: TestHost::default(),
            strict: false,
            captures: [const { Value::EMPTY }; CAPTURES],
            patterns: PatternCache::new(8, limits.match_steps),
            meter: Meter::new(limits),
        }
    }

    /// Another limit of the steps of a match.
    pub(super) fn match_steps(&mut self, steps: u32) {
        self.patterns = PatternCache::new(8, steps);
    }

    /// Calls a function by its name.
    #[expect(clippy::needless_pass_by_value, reason = "tests write the values where they call")]
    pub(super) fn call(&mut self, name: &str, arguments: Vec<Value<'static>>) -> Outcome<'static> {
        let function = function(name);
        let (least, most) = (usize::from(function.arity.0), usize::from(function.arity.1));
        assert!(
            (least..=most).contains(&arguments.len()),
            "{name} called with {} arguments",
            arguments.len()
        );
        let does = match function.status {
            Status::Works(does) | Status::Deprecated { does, .. } | Status::Switch { does, .. } => does,
            Status::Planned | Status::Never(_) => panic!("{name} does not work"),
        };
        does(&mut Call {
            host: &mut self.host,
            rule: "test",
            arguments: &arguments,
            answer: None,
            captures: &mut self.captures,
            site: &SITE,
            meter: &mut self.meter,
            patterns: &mut self.patterns,
            strict: self.strict,
        })
    }

    /// Calls a function and shows its result as `lang.dump` does.
    pub(super) fn shown(&mut self, name: &str, arguments: Vec<Value<'static>>) -> String {
        let result =
            self.call(name, arguments).unwrap_or_else(|interrupt| panic!("{name} interrupts: {interrupt:?}"));
        self.show(&result)
    }

    /// A value as `lang.dump` shows it.
    pub(super) fn show(&mut self, value: &Value<'static>) -> String {
        let shown = self.call("lang.dump", vec![value.clone()]).unwrap();
        String::from_utf8_lossy(&cast::text(&shown).unwrap()).into_owned()
    }

    /// `$1` to `$9` as text.
    pub(super) fn captures(&self) -> Vec<String> {
        let text = |value| String::from_utf8_lossy(&cast::text(value).unwrap()).into_owned();
        self.captures.iter().map(text).collect()
    }
}

/// The function of a name, in any case.
pub(super) fn function(name: &str) -> &'static Function {
    functions()
        .find(|function| function.name.eq_ignore_ascii_case(name))
        .unwrap_or_else(|| panic!("there is no function {name}"))
}

/// Checks a table of calls: name, arguments, the result as `lang.dump` shows it. None of them may warn.
pub(super) fn check(table: &[(&str, Vec<Value<'static>>, &str)]) {
    for (name, arguments, expected) in table {
        let mut trial = Trial::new();
        let asked: Vec<String> = arguments.iter().map(|argument| trial.show(argument)).collect();
        let call = format!("{name}({})", asked.join(", "));
        assert_eq!(trial.shown(name, arguments.clone()), *expected, "{call}");
        assert_eq!(trial.host.log, [""; 0], "{call}");
    }
}

/// An array.
pub(super) fn list(elements: Vec<Value<'static>>) -> Value<'static> {
    Container::Array(elements).into()
}

/// A hash of integers.
pub(super) fn hash(entries: &[(&str, i64)]) -> Value<'static> {
    let entries = entries.iter().map(|(key, value)| (Box::from(key.as_bytes()), Value::Int(*value)));
    Container::Hash(entries.collect()).into()
}

/// What a test can write as an argument.
pub(super) trait Argument {
    /// The value it stands for.
    fn value(self) -> Value<'static>;
}

impl Argument for i32 {
    fn value(self) -> Value<'static> {
        Value::Int(self.into())
    }
}

impl Argument for i64 {
    fn value(self) -> Value<'static> {
        Value::Int(self)
    }
}

impl Argument for bool {
    fn value(self) -> Value<'static> {
        Value::flag(self)
    }
}

impl Argument for f64 {
    fn value(self) -> Value<'static> {
        Value::Double(self)
    }
}

impl Argument for &str {
    fn value(self) -> Value<'static> {
        Value::from(self.as_bytes())
    }
}

impl Argument for &[u8] {
    fn value(self) -> Value<'static> {
        Value::from(self)
    }
}

impl Argument for Value<'static> {
    fn value(self) -> Value<'static> {
        self
    }
}

/// Values of a call.
macro_rules! v {
    ($($argument:expr),* $(,)?) => {
        vec![$($crate::library::test_host::Argument::value($argument)),*]
    };
}
pub(super) use v;
