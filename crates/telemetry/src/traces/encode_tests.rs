//! Spans as the collector gets them.

use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroU128},
};

use super::{super::span::Context, *};

/// A request with so many attempts, all but the last of which have failed.
pub(crate) fn finished(attempts: u64) -> Finished {
    let attempt = |n: u64| Attempt {
        span_id: NonZeroU64::new(100 + n).unwrap(),
        began: Duration::from_millis(n),
        ended: (n + 1 < attempts).then(|| Duration::from_millis(n + 1)),
        pool: "pool".into(),
        node: format!("10.0.0.{n}:80").into(),
        address: ([10, 0, 0, n as u8], 80).into(),
        tls: false,
        reused: n == 0,
        method: "GET".to_owned(),
        path: "/a".to_owned(),
        status: (n + 1 == attempts).then_some(200),
        response_time: (n + 1 == attempts).then_some(Duration::from_micros(250)),
        fault: (n + 1 < attempts).then_some(CONNECT),
    };
    Finished {
        context: Context {
            trace_id: NonZeroU128::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap(),
            span_id: NonZeroU64::new(7).unwrap(),
            parent: NonZeroU64::new(6),
            flags: 1,
        },
        state: "a=1".to_owned(),
        ended: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        duration: Duration::from_millis(10),
        virtual_server: "site".into(),
        pool: (attempts > 0).then(|| "pool".into()),
        method: "GET".to_owned(),
        path: "/a".to_owned(),
        host: "example".to_owned(),
        port: None,
        tls: true,
        version: "1.1",
        client: [192, 0, 2, 1].into(),
        user_agent: String::new(),
        status: Some(200),
        retries: attempts.saturating_sub(1) as u32,
        persistence: Some("kept"),
        queued: Duration::from_millis(1),
        fault: None,
        attempts: (0..attempts).map(attempt).collect(),
    }
}

const CONNECT: Fault = Fault { name: "connect", text: "the node refused the connection", is_error: true };
const GONE: Fault = Fault { name: "client_gone", text: "the client closed the connection", is_error: false };

fn spans(finished: Finished) -> Vec<Span> {
    let resource = Resource(vec![("service.name".to_owned(), "edge".to_owned())]);
    let bytes = encode(&resource, &[finished]);
    let mut request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(request.resource_spans.len(), 1);
    let mut resource = request.resource_spans.remove(0);
    let attributes = resource.resource.take().unwrap().attributes;
    assert_eq!(texts(&attributes), BTreeMap::from([("service.name".to_owned(), "edge".to_owned())]));
    resource.scope_spans.remove(0).spans
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn expect(span: &Span, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(texts(&span.attributes), expected);
}

#[test]
fn a_request_and_its_attempts() {
    let spans = spans(finished(2));
    let [server, failed, good] = &spans[..] else { panic!("{spans:#?}") };
    expect(
        server,
        &[
            ("client.address", "192.0.2.1"),
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("network.protocol.version", "1.1"),
            ("server.address", "example"),
            ("server.port", "443"),
            ("tidegate.node", "10.0.0.1:80"),
            ("tidegate.persistence", "kept"),
            ("tidegate.pool", "pool"),
            ("tidegate.queue.duration", "0.001"),
            ("tidegate.retries", "1"),
            ("tidegate.virtual_server", "site"),
            ("url.path", "/a"),
            ("url.scheme", "https"),
        ],
    );
    let common = [
        ("http.request.method", "GET"),
        ("network.peer.port", "80"),
        ("network.protocol.version", "1.1"),
        ("server.port", "80"),
        ("tidegate.pool", "pool"),
    ];
    let with = |own: &[(&'static str, &'static str)]| [&common[..], own].concat();
    expect(
        failed,
        &with(&[
            ("error.type", "connect"),
            ("network.peer.address", "10.0.0.0"),
            ("server.address", "10.0.0.0"),
            ("tidegate.connection.reused", "true"),
            ("tidegate.failure", "the node refused the connection"),
            ("tidegate.node", "10.0.0.0:80"),
            ("url.full", "http://10.0.0.0:80/a"),
        ]),
    );
    expect(
        good,
        &with(&[
            ("http.request.resend_count", "1"),
            ("http.response.status_code", "200"),
            ("network.peer.address", "10.0.0.1"),
            ("server.address", "10.0.0.1"),
            ("tidegate.connection.reused", "false"),
            ("tidegate.node", "10.0.0.1:80"),
            ("tidegate.node.response.duration", "0.00025"),
            ("url.full", "http://10.0.0.1:80/a"),
        ]),
    );
    for span in &spans {
        assert_eq!(span.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
        assert_eq!((&*span.trace_state, &*span.name), ("a=1", "GET"));
    }
    assert_eq!(
        (&server.span_id[..], &server.parent_span_id[..]),
        (&7u64.to_be_bytes()[..], &6u64.to_be_bytes()[..])
    );
    assert_eq!((server.flags, failed.flags), (0x301, 0x101), "only the caller is elsewhere");
    assert!(failed.parent_span_id == server.span_id && good.parent_span_id == server.span_id);
    let kind = |span: &Span| (span.kind, span.status.as_ref().unwrap().code);
    assert_eq!([kind(server), kind(failed), kind(good)], [(2, 0), (3, 2), (3, 0)]);
    let end = 1_700_000_000_000_000_000;
    assert_eq!((server.start_time_unix_nano, server.end_time_unix_nano), (end - 10_000_000, end));
    assert_eq!((failed.start_time_unix_nano, failed.end_time_unix_nano), (end - 10_000_000, end - 9_000_000));
    assert_eq!((good.start_time_unix_nano, good.end_time_unix_nano), (end - 9_000_000, end));
}

#[test]
fn what_is_an_error() {
    // status, fault; error.type, message
    let table = [
        (Some(200), None, None, ""),
        (Some(404), None, None, ""),
        (Some(400), Some(Fault { name: "bad_request", is_error: false, ..CONNECT }), None, ""),
        (Some(500), None, Some("500"), ""),
        (Some(502), Some(CONNECT), Some("connect"), "the node refused the connection"),
        // The response broke off.
        (Some(200), Some(CONNECT), Some("connect"), "the node refused the connection"),
        (None, Some(CONNECT), Some("connect"), "the node refused the connection"),
        (None, Some(GONE), None, ""),
        (Some(200), Some(GONE), None, ""),
        (None, None, None, ""),
    ];
    for (status, fault, error, message) in table {
        let span = spans(Finished { status, fault, ..finished(0) }).remove(0);
        let attributes = texts(&span.attributes);
        let case = format!("{status:?} {fault:?}");
        assert_eq!(attributes.get("error.type").map(String::as_str), error, "{case}");
        assert_eq!(attributes.contains_key("tidegate.failure"), fault.is_some(), "{case}");
        let told = span.status.unwrap();
        assert_eq!((told.code, &*told.message), (if error.is_some() { 2 } else { 0 }, message), "{case}");
    }
    // To a client, a status from 400 on is an error.
    for (status, error) in [(200, None), (302, None), (404, Some("404")), (503, Some("503"))] {
        let mut of = finished(1);
        of.attempts[0].status = Some(status);
        let attributes = texts(&spans(of).remove(1).attributes);
        assert_eq!(attributes.get("error.type").map(String::as_str), error);
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let of = Finished {
        host: String::new(),
        user_agent: "curl/8".to_owned(),
        method: "BREW".to_owned(),
        context: Context { parent: None, ..finished(0).context },
        persistence: None,
        queued: Duration::ZERO,
        tls: false,
        status: None,
        version: "1.0",
        ..finished(0)
    };
    let span = spans(of).remove(0);
    expect(
        &span,
        &[
            ("client.address", "192.0.2.1"),
            ("http.request.method", "_OTHER"),
            ("http.request.method_original", "BREW"),
            ("network.protocol.version", "1.0"),
            ("tidegate.retries", "0"),
            ("tidegate.virtual_server", "site"),
            ("url.path", "/a"),
            ("url.scheme", "http"),
            ("user_agent.original", "curl/8"),
        ],
    );
    assert_eq!((span.name.as_str(), span.flags, span.parent_span_id.len()), ("HTTP", 0x101, 0));
}
