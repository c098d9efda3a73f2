//! What people do with rules, each case once where it applies and once where it does not. The rules are written for these
//! tests; requests are described, nothing is sent.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod articles;
mod often;
mod published;
mod samples;

use tidegate_trafficscript::{
    Compiled, Described, End, Limits, Options, Severity, compile,
    described::Message,
    host::{Level, Order, Reply},
};

/// Compiles a rule.
fn compiled(rule: &str) -> Compiled {
    let options = Options { variable_pool_use: true, ..Options::default() };
    compile("case", rule.as_bytes(), &options, &|_| None)
}

/// Runs a rule over a request, or over its response where there is one.
fn run(mut host: Described, rule: &str) -> Described {
    let compiled = compiled(rule);
    let errors: Vec<_> = compiled.notes.iter().filter(|note| note.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{rule}\n{errors:#?}");
    let program = compiled.program.expect("a program");
    assert!(program.uses().misplaced(host.phase).is_empty(), "{:#?}", program.uses().misplaced(host.phase));
    let end = host.run(&program, Limits::default());
    assert!(!matches!(end, End::Aborted(_)), "{end:?}\n{}", host.report());
    host
}

/// Why a rule cannot be compiled.
fn fault(rule: &str) -> String {
    let compiled = compiled(rule);
    let error = compiled.notes.iter().find(|note| note.severity == Severity::Error);
    error.map(ToString::to_string).expect("an error")
}

/// A GET request for the site shop.example.
fn get(target: &str) -> Described {
    Described::request("GET", target).header("Host", "shop.example")
}

/// A POST request with a body.
fn post(target: &str, body: &str) -> Described {
    Described::request("POST", target).header("Host", "shop.example").body(body)
}

/// A form that is sent.
fn form(target: &str, body: &str) -> Described {
    post(target, body).header("Content-Type", "application/x-www-form-urlencoded")
}

/// A response of the given type to a GET request.
fn page(status: u16, kind: &str, body: &str) -> Described {
    let mut host = get("/page");
    host.node = Some("10.0.0.1:80".to_owned());
    host.respond(status, "", Message::default().header("Content-Type", kind).body(body));
    host
}

/// From another client.
fn from(mut host: Described, address: &str) -> Described {
    host.client.set_ip(address.parse().unwrap());
    host
}

/// The pool that serves.
fn pool(host: &Described) -> String {
    host.chosen_pool().unwrap_or_default()
}

/// The reply in place of a node's.
fn reply(host: &Described) -> Option<&Reply> {
    host.orders.iter().rev().find_map(|order| match order {
        Order::Reply(reply) => Some(reply),
        _ => None,
    })
}

/// Its status; 0 if there is none.
fn status(host: &Described) -> u16 {
    reply(host).map_or(0, |reply| reply.status)
}

/// Where the client is redirected to; empty if it is not.
fn location(host: &Described) -> String {
    reply(host).map(|reply| value(&reply.headers, "Location")).unwrap_or_default()
}

/// Whether the connection is closed without a reply.
fn discarded(host: &Described) -> bool {
    host.orders.contains(&Order::Discard)
}

/// Value of a header field, several joined by `|`; empty if there is none.
fn value(headers: &[(Vec<u8>, Vec<u8>)], name: &str) -> String {
    let values = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
    values.map(|(_, value)| String::from_utf8_lossy(value)).collect::<Vec<_>>().join("|")
}

/// A header field of the request.
fn sent(host: &Described, name: &str) -> String {
    value(&host.request.headers, name)
}

/// A header field of the response.
fn given(host: &Described, name: &str) -> String {
    value(&host.response.headers, name)
}

/// The body of the response.
fn body(host: &Described) -> String {
    String::from_utf8_lossy(&host.response.body).into_owned()
}

/// What was logged at a level.
fn logged(host: &Described, level: Level) -> Vec<String> {
    let lines = host.lines.iter().filter(|(of, _)| *of == level);
    lines.map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
}

/// What was logged as information.
fn info(host: &Described) -> Vec<String> {
    logged(host, Level::Info)
}

/// The same host in front of its response.
fn answered(mut host: Described, status: u16, response: Message) -> Described {
    host.node = Some("10.0.0.1:80".to_owned());
    host.respond(status, "", response);
    host
}
