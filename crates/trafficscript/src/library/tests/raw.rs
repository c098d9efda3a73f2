//! Functions of requests and responses of protocols other than HTTP.

use crate::{
    Described, End, Limits, Machine, PatternCache, Step,
    host::{Need, Order, Phase, Side},
    library::{
        Status, Subject, functions,
        testing::{call, give, lines, shown},
    },
    testing::compiled,
};

/// A client that has sent this.
fn client(bytes: &str) -> Described {
    Described::bytes(bytes)
}

/// A node that has answered with this.
fn node(bytes: &str) -> Described {
    let mut host = client("");
    host.phase = Phase::Response;
    host.response.body = bytes.into();
    host
}

#[test]
fn bytes_are_read_as_far_as_they_are_needed() {
    // function, arguments; result, bytes that were waited for
    let table: [(&str, &[&str], &str, &[usize]); 9] = [
        ("request.get", &[], "o", &[1]),
        ("request.get", &["4"], "one\n", &[4]),
        ("request.get", &["99"], "one\ntwo\nrest", &[99]),
        ("request.getLength", &[], "0", &[]),
        ("request.getLine", &[], "one\n", &[1, 2, 3, 4]),
        ("request.getLine", &["e"], "one", &[1, 2, 3]),
        ("request.getLine", &["[\\n]", "4"], "two\n", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("connection.getData", &["3"], "one", &[3]),
        ("connection.getDataLen", &[], "0", &[]),
    ];
    for (name, arguments, expected, needs) in table {
        let mut host = client("one\ntwo\nrest");
        assert_eq!(give(&mut host, name, arguments), expected, "{name} {arguments:?}");
        let needs: Vec<_> = needs.iter().map(|&n| Need::Body(Side::Request, n)).collect();
        assert_eq!(host.needs, needs, "{name} {arguments:?}");
        let mut host = node("one\ntwo\nrest");
        let name = name.replace("request.", "response.");
        if name.starts_with("response.") {
            assert_eq!(give(&mut host, &name, arguments), expected, "{name} {arguments:?}");
        }
    }
}

#[test]
fn lines_say_where_the_next_one_begins() {
    for (offset, line, next) in [("0", "a\n", 2), ("2", "b\n", 4), ("4", "rest", 8), ("99", "", 99)] {
        let mut host = client("a\nb\nrest");
        host.request.arrived = 8;
        let called = call(&mut host, "request.getLine", &["", offset]);
        assert_eq!(shown(&called.outcome.unwrap()), line);
        assert_eq!(shown(&called.captures[0]), next.to_string());
        let mut host = node("a\nb\nrest");
        host.response.arrived = 8;
        let called = call(&mut host, "response.getLine", &["", offset]);
        assert_eq!(shown(&called.captures[0]), next.to_string());
    }
}

#[test]
fn ends_of_requests() {
    for (name, argument, order) in [
        ("request.endsAt", "4", Some(4)),
        ("request.endsAt", "0", None),
        ("request.endsAt", "-1", None),
        ("request.endsWith", "\\n", Some(4)),
        ("request.endsWith", "o\\n", Some(8)),
        ("request.endsWith", "x?", None),
        ("request.endsWith", "none", None),
    ] {
        let mut host = client("one\ntwo\n");
        host.request.arrived = 7;
        assert_eq!(give(&mut host, name, &[argument]), "", "{name} {argument}");
        let ends: Vec<_> = order.map(Order::EndsAt).into_iter().collect();
        assert_eq!(host.orders, ends, "{name} {argument}: {:?}", lines(&host));
    }
}

#[test]
fn requests_are_replaced_dropped_and_answered() {
    let mut host = client("one\ntwo\n");
    give(&mut host, "request.set", &["other"]);
    assert_eq!(host.request.body, b"other");
    give(&mut host, "connection.setData", &["older"]);
    assert_eq!(give(&mut host, "request.get", &["9"]), "older");
    let mut host = client("one\ntwo\n");
    give(&mut host, "request.skip", &["4"]);
    assert_eq!(host.needs, [Need::Body(Side::Request, 4)]);
    assert_eq!(give(&mut host, "request.get", &["3"]), "two");
    give(&mut host, "request.skip", &["-3"]);
    assert_eq!(host.orders, [Order::Skip(4)]);
    give(&mut host, "request.sendResponse", &["answer"]);
    assert_eq!(host.orders[1], Order::Respond(b"answer".to_vec()));
}

#[test]
fn responses_are_replaced_and_sent() {
    let mut host = node("answer");
    give(&mut host, "response.set", &["other"]);
    give(&mut host, "response.append", &["more"]);
    assert_eq!(host.response.body, b"othermore");
    assert_eq!(give(&mut host, "response.flush", &["5"]), "");
    assert_eq!((host.flushed.as_slice(), host.response.body.as_slice()), (&b"other"[..], &b"more"[..]));
    give(&mut host, "response.flush", &[]);
    assert_eq!(host.flushed, b"othermore");
    assert_eq!(host.needs, [Need::Write(Vec::new()), Need::Write(Vec::new())]);
    give(&mut host, "response.close", &[]);
    assert_eq!(host.orders.last(), Some(&Order::CloseNode));
}

#[test]
fn functions_for_another_protocol_abort() {
    let mut tried = [0, 0];
    for function in functions().filter(|function| matches!(function.status, Status::Works(_))) {
        let speaks_http = match function.subject() {
            Subject::Any => continue,
            Subject::Http => false,
            Subject::Bytes => true,
        };
        let arguments = vec!["$a"; function.arity.0.into()].join(", ");
        let compiled = compiled(format!("$a = 1;\n{}( {arguments} );", function.name));
        let mut host = Described::request("GET", "/");
        host.raw = !speaks_http;
        let mut machine = Machine::new(compiled.program.as_ref().unwrap(), Limits::default());
        let step = machine.run(&mut host, &mut PatternCache::new(1, 1));
        let Step::Done(End::Aborted(why)) = step else { panic!("{}: {step:?}", function.name) };
        let not = if speaks_http { "not " } else { "" };
        let expected = format!("{} is for virtual servers whose protocol is {not}http", function.name);
        assert!(why.contains(&expected), "{why}");
        assert!(host.orders.is_empty());
        tried[usize::from(speaks_http)] += 1;
    }
    assert!(tried[0] > 60 && tried[1] == 9, "{tried:?}");
}
