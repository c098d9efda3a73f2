//! What the tests of the language need: a host that only keeps the event log, and a few functions that stand in where
//! the library has none of the name.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    Compiled, End, Limits, Machine, Options, PatternCache, Step, compile,
    host::{
        Answer, Body, CompletionCode, Edit, Host, Level, Need, Order, Phase, PoolNode, RateVerdict, Refusal,
        Side, Store, Times, TlsFact,
    },
    library::{ANY, Call, Function, Interrupt, Outcome, Status, Traits},
    pattern::Flags,
    value::{Container, Value},
};

/// Keeps what is logged.
#[derive(Debug, Default)]
pub(crate) struct LogHost {
    pub lines: Vec<String>,
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

impl Host for LogHost {
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
        Cow::Borrowed(b"/shop/index.html?item=1")
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
        NOWHERE
    }
    fn local(&self) -> SocketAddr {
        NOWHERE
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
        true
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
        "COMPLETE"
    }
    fn order(&mut self, _: Order) -> bool {
        true
    }
    fn load(&self, _: Store, _: &[u8]) -> Option<Arc<[u8]>> {
        None
    }
    fn store(&mut self, _: Store, _: &[u8], _: &[u8]) -> bool {
        true
    }
    fn remove(&mut self, _: Store, _: &[u8]) -> bool {
        false
    }
    fn reset(&mut self, _: Store, _: &[u8]) {}
    fn usage(&self, _: Store) -> (usize, usize) {
        (0, 0)
    }
    fn count(&mut self, _: u32, _: i64, _: bool) -> bool {
        true
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
    fn log(&mut self, level: Level, message: &[u8]) {
        let prefix = if level == Level::Info { "" } else { "! " };
        self.lines.push(format!("{prefix}{}", String::from_utf8_lossy(message)));
    }
    fn event(&mut self, _: &[u8], _: &[u8]) {}
    fn now(&self) -> Duration {
        Duration::from_secs(1_000_000_000)
    }
    fn local_offset(&self, _: i64) -> (i32, Cow<'_, str>) {
        (0, Cow::Borrowed("UTC"))
    }
    fn random(&mut self) -> u64 {
        4
    }
    fn secret_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
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

/// Compiles `text` as rule `test`; it has to be without errors.
pub(crate) fn compiled(text: impl AsRef<[u8]>) -> Compiled {
    let compiled = compile("test", text.as_ref(), &Options::default(), &|_| None);
    if compiled.program.is_none() {
        let notes: Vec<_> = compiled.notes.iter().map(ToString::to_string).collect();
        panic!("{}\n{}", text.as_ref().escape_ascii(), notes.join("\n"));
    }
    compiled
}

/// Compiles a rule that may import the others.
pub(crate) fn compiled_with(text: &str, others: &[(&str, &str)]) -> Compiled {
    let others: HashMap<&str, &str> = others.iter().copied().collect();
    compile("test", text.as_bytes(), &Options::default(), &|name| {
        others.get(name).map(|text| Arc::from(text.as_bytes()))
    })
}

/// What the rule logs (warnings begin with `! `), and how it ends.
pub(crate) fn run_with(compiled: &Compiled, limits: Limits) -> (Vec<String>, End) {
    let program = compiled.program.as_ref().expect("a program");
    let mut machine = Machine::new(program, limits);
    let mut host = LogHost::default();
    let mut patterns = PatternCache::new(16, limits.match_steps);
    loop {
        match machine.run(&mut host, &mut patterns) {
            Step::Done(end) => return (host.lines, end),
            Step::Wait(_) => machine.resume(Answer::Done),
        }
    }
}

/// As [`run_with`], with the default limits.
pub(crate) fn run(text: impl AsRef<[u8]>) -> (Vec<String>, End) {
    run_with(&compiled(text), Limits::default())
}

/// What a rule logs that ends by itself.
pub(crate) fn logged(text: impl AsRef<[u8]>) -> Vec<String> {
    let (lines, end) = run(text.as_ref());
    assert_eq!(end, End::Finished, "{}", text.as_ref().escape_ascii());
    lines
}

/// What an expression gives, as text with its type.
pub(crate) fn result(expression: &str) -> String {
    let lines = logged(format!("test.show( {expression} );"));
    lines.join(" / ")
}

const fn function(name: &'static str, arity: (u8, u8), does: crate::library::Native) -> Function {
    Function {
        name,
        arguments: "…",
        arity,
        phases: &[],
        summary: "",
        status: Status::Works(does),
        traits: Traits { changes_first: false, pattern: None, pool: None, waits: false },
    }
}

/// Functions of the tests, and of the library where the real ones are not needed.
pub(crate) const FUNCTIONS: &[Function] = &[
    function("test.show", (1, 1), show),
    function("test.wait", (0, 0), wait),
    function("test.endPhase", (0, 0), |_| Err(Interrupt::EndPhase)),
    function("test.endRule", (0, 0), |_| Err(Interrupt::EndRule)),
    function("test.fill", (1, 1), |call| {
        let bytes = call.int(0)?.max(0) as usize;
        call.charge(bytes)?;
        Ok(Value::from(vec![b'a'; bytes]))
    }),
    Function {
        status: Status::Deprecated { instead: "log.info", does: log_info },
        ..function("test.old", (1, 1), log_info)
    },
    Function {
        status: Status::Switch { does: log_info, waits_for: "caching" },
        ..function("test.switch", (1, 1), log_info)
    },
    Function { status: Status::Planned, ..function("test.planned", (0, ANY), log_info) },
    Function { status: Status::Never("there is no Java"), ..function("test.never", (0, ANY), log_info) },
    Function { phases: &[Phase::Response], ..function("test.response", (0, 0), |_| Ok(Value::EMPTY)) },
    Function {
        traits: Traits { pool: Some(0), changes_first: false, pattern: None, waits: false },
        ..function("test.pool", (1, 1), |_| Ok(Value::EMPTY))
    },
    function("log.info", (1, 1), log_info),
    function("lang.toInt", (1, 1), |call| Ok(Value::Int(call.int(0)?))),
    function("lang.toDouble", (1, 1), |call| Ok(Value::Double(call.double(0)?))),
    function("lang.toString", (1, 1), |call| Ok(call.text(0)?.into())),
    function("string.len", (1, 1), |call| Ok(Value::Int(call.text(0)?.len() as i64))),
    function("string.startsWith", (2, 2), |call| {
        let (text, start) = (call.text(0)?, call.text(1)?);
        Ok(Value::flag(text.starts_with(&start)))
    }),
    Function {
        traits: Traits { changes_first: false, pattern: Some((1, Some(2))), pool: None, waits: false },
        ..function("string.regexmatch", (2, 3), regexmatch)
    },
    Function {
        traits: Traits { changes_first: true, pattern: None, pool: None, waits: false },
        ..function("array.push", (2, ANY), push)
    },
    function("array.pop", (1, 1), |call| {
        let Some(container) = call.container(0)? else { return Ok(Value::EMPTY) };
        Ok(match &mut *container.borrow_mut() {
            Container::Array(elements) => elements.pop().unwrap_or(Value::EMPTY),
            _ => Value::EMPTY,
        })
    }),
    function("array.length", (1, 1), |call| {
        let Some(container) = call.container(0)? else { return Ok(Value::Int(0)) };
        Ok(Value::Int(match &*container.borrow() {
            Container::Empty => 0,
            Container::Array(elements) => elements.len(),
            Container::Hash(entries) => entries.len(),
        } as i64))
    }),
];

fn log_info<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.host.log(Level::Info, &text);
    Ok(Value::EMPTY)
}

fn show<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let value = call.value(0);
    call.host.log(Level::Info, shown(&value).as_bytes());
    Ok(value)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Container(container) => match &*container.borrow() {
            Container::Empty => "[]".to_owned(),
            Container::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(shown).collect();
                format!("[{}]", elements.join(","))
            }
            Container::Hash(entries) => {
                let entry = |(key, value): (&Box<[u8]>, &Value<'_>)| {
                    format!("{}=>{}", key.escape_ascii(), shown(value))
                };
                let entries: Vec<_> = entries.iter().map(entry).collect();
                format!("[{}]", entries.join(","))
            }
        },
    }
}

/// Waits once, then gives 1.
fn wait<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    match call.answer() {
        Some(_) => Ok(Value::Int(1)),
        None => call.wait(Need::Sleep(Duration::from_secs(1))),
    }
}

fn regexmatch<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let flags = Flags { caseless: call.has(2) && call.text(2)?.contains(&b'i') };
    let pattern = call.pattern(1, flags)?;
    call.charge(text.len())?;
    let Some(found) = pattern.captures_at(&text, 0).map_err(Interrupt::Abort)? else {
        return Ok(Value::Int(0));
    };
    for number in 1..=9 {
        let bytes = found.get(number).map(|(start, end)| text[start..end].to_vec()).unwrap_or_default();
        call.set_capture(number, bytes);
    }
    Ok(Value::Int(1))
}

fn push<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let Some(container) = call.container(0)? else { return Ok(Value::EMPTY) };
    for at in 1..call.count() {
        call.charge(32)?;
        let value = call.value(at);
        let mut container = container.borrow_mut();
        match &mut *container {
            Container::Array(elements) => elements.push(value),
            other => *other = Container::Array(vec![value]),
        }
    }
    Ok(Value::Container(container))
}
