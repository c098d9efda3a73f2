//! Every macro, what clients cannot do to a line, and the faults of a format.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::*;

const DEFAULT: &str = r#"%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-agent}i""#;

/// Renders `format` for a request with this line and these headers, through `change`.
fn check(
    format: &str,
    line: &str,
    headers: &[(&str, &str)],
    change: impl FnOnce(&mut Record<'_>),
    expected: &str,
) {
    let format = Format::parse(format).unwrap();
    let mut captured = Captured::default();
    captured.request(
        &format,
        line.as_bytes(),
        headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    );
    captured.response(&format, [(&b"content-type"[..], &b"text/html"[..])]);
    let mut record = Record {
        client: [192, 0, 2, 7].into(),
        local: ([127, 0, 0, 1], 8080).into(),
        virtual_server: "web",
        pool: Some("p1"),
        node: Some("10.0.0.1:80"),
        status: Some(200),
        body_sent: 128,
        bytes_in: 70,
        bytes_out: 300,
        duration: Duration::from_micros(1_234_567),
        retries: 0,
        tls: None,
        captured: &captured,
        details: Details::default(),
    };
    change(&mut record);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let mut out = b"before\n".to_vec();
    format.render(&record, now, &mut RenderedSecond::new(TimeZone::UTC), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), format!("before\n{expected}\n"));
}

fn plain(format: &str, expected: &str) {
    check(format, "GET /a/b?c=d HTTP/1.1", &[], |_| {}, expected);
}

#[test]
fn the_default_format() {
    check(
        DEFAULT,
        "GET /a?b HTTP/1.1",
        &[("referer", "http://r/"), ("user-agent", "wrk"), ("authorization", "Basic YWxpY2U6c2VjcmV0")],
        |_| {},
        r#"192.0.2.7 - alice [09/Sep/2001:01:46:40 +0000] "GET /a?b HTTP/1.1" 200 128 "http://r/" "wrk""#,
    );
    plain(DEFAULT, r#"192.0.2.7 - - [09/Sep/2001:01:46:40 +0000] "GET /a/b?c=d HTTP/1.1" 200 128 "-" "-""#);
}

#[test]
fn every_macro() {
    plain("%h|%l|%u", "192.0.2.7|-|-");
    plain("%m|%U|%q", "GET|/a/b|?c=d");
    plain("%s|%b|%B", "200|128|128");
    plain("%v|%n|%A|%p", "web|10.0.0.1:80|127.0.0.1|8080");
    plain("%T|%D", "1|1234567");
    plain("%P|%R|%I|%O|%V|%C", "p1|0|70|300|-|-");
    plain("%{%Y-%m-%d}t %{%s}t 100%%", "2001-09-09 1000000000 100%");
    plain("%{Content-Type}o %{X-None}o", "text/html -");
    plain(
        "%v %t %h %A:%p %n %B %b %T",
        "web [09/Sep/2001:01:46:40 +0000] 192.0.2.7 127.0.0.1:8080 10.0.0.1:80 128 128 1",
    );
    plain("", "");
    plain("ünïcode", "ünïcode");
}

#[test]
fn what_a_request_did_not_have() {
    check(
        "%s %b %B %n %P %m%U%q|%r",
        "",
        &[],
        |record| {
            record.status = None;
            record.body_sent = 0;
            record.node = None;
            record.pool = None;
        },
        "- - 0 - - |",
    );
    check("%{x}i", "GET / HTTP/1.1", &[("x", "")], |_| {}, "-");
}

#[test]
fn addresses_and_tls() {
    check(
        "%h %A %V %C %R",
        "GET / HTTP/1.1",
        &[],
        |record| {
            record.client = "2001:db8::1".parse().unwrap();
            record.local = "[::1]:443".parse().unwrap();
            record.tls = Some(TlsSession { version: "TLSv1.3", cipher: "TLS13_AES_128_GCM_SHA256" });
            record.retries = 2;
        },
        "2001:db8::1 ::1 TLSv1.3 TLS13_AES_128_GCM_SHA256 2",
    );
}

#[test]
fn forms_of_the_request_line() {
    for (line, method, path, query) in [
        ("GET / HTTP/1.1", "GET", "/", ""),
        ("GET /?a?b HTTP/1.1", "GET", "/", "?a?b"),
        ("GET http://h/p?q HTTP/1.1", "GET", "/p", "?q"),
        ("GET http://h?q HTTP/1.1", "GET", "", "?q"),
        ("GET http://h HTTP/1.1", "GET", "", ""),
        ("GET /http://h/ HTTP/1.1", "GET", "/http://h/", ""),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", ""),
        ("nonsense", "nonsense", "", ""),
        ("", "", "", ""),
    ] {
        let line = request_line(line.as_bytes());
        let expected =
            RequestLine { method: method.as_bytes(), path: path.as_bytes(), query: query.as_bytes() };
        assert_eq!(line, expected);
    }
}

#[test]
fn no_client_forges_a_line_or_a_field() {
    check(
        r#""%r" "%{a}i""#,
        "GET /\r\n1.2.3.4 - - \" HTTP/1.1",
        &[("a", "x\" 200 \\ \u{1b}[31m\u{7f}\u{e9}")],
        |_| {},
        r#""GET /\x0d\x0a1.2.3.4 - - \" HTTP/1.1" "x\" 200 \\ \x1b[31m\x7f\xc3\xa9""#,
    );
    // "a b\n:x"
    check("%u", "GET / HTTP/1.1", &[("Authorization", "basic YSBiCjp4")], |_| {}, r"a\x20b\x0a");
}

#[test]
fn users() {
    for (header, user_name) in [
        ("Basic YWxpY2U6c2VjcmV0", "alice"),
        ("Basic YWxpY2U=", "alice"),
        ("Basic OnNlY3JldA==", "-"),
        ("Basic !!!", "-"),
        ("Basic", "-"),
        ("Bearer YWxpY2U6c2VjcmV0", "-"),
    ] {
        let mut out = Vec::new();
        user(Some(header.as_bytes()), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), user_name, "{header}");
    }
}

#[test]
fn a_line_end_in_the_format_is_a_space() {
    plain("a\nb", "a b");
}

#[test]
fn lines_are_bounded() {
    let macros = "%{a}i".repeat(20);
    let format = Format::parse(&macros).unwrap();
    let value = vec![b'x'; 4096];
    let mut captured = Captured::default();
    captured.request(&format, b"", [(&b"a"[..], &value[..])]);
    let record = Record {
        client: [127, 0, 0, 1].into(),
        local: ([127, 0, 0, 1], 1).into(),
        virtual_server: "",
        pool: None,
        node: None,
        status: None,
        body_sent: 0,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        retries: 0,
        tls: None,
        captured: &captured,
        details: Details::default(),
    };
    let mut out = Vec::new();
    format.render(&record, SystemTime::UNIX_EPOCH, &mut RenderedSecond::new(TimeZone::UTC), &mut out);
    assert_eq!((out.len(), out.last()), (MAX_LINE + 1, Some(&b'\n')));
}

#[test]
fn headers_are_captured_once_each() {
    let format = Format::parse("%u %{Referer}i %{Referer}i %{X}o").unwrap();
    assert_eq!(
        format.request_headers().iter().map(|name| &**name).collect::<Vec<_>>(),
        ["Authorization", "Referer"]
    );
    assert_eq!(format.response_headers().len(), 1);
}

#[test]
fn faults() {
    let fault = |format: &str| Format::parse(format).unwrap_err();
    assert_eq!(fault("a %z"), FormatError::Unknown("%z".into(), 2));
    assert_eq!(fault("é %é"), FormatError::Unknown("%é".into(), 3));
    assert_eq!(fault("%{a}x"), FormatError::Unknown("%{a}x".into(), 0));
    assert_eq!(fault("a%"), FormatError::Unfinished(1));
    assert_eq!(fault("%{Referer"), FormatError::Unfinished(0));
    assert_eq!(fault("%{Referer}"), FormatError::Unfinished(0));
    assert_eq!(fault("%{%!}t"), FormatError::Time("%!".into()));
    assert_eq!(fault("%{}i"), FormatError::HeaderName(String::new()));
    assert_eq!(fault("%{a b}o"), FormatError::HeaderName("a b".into()));
    assert_eq!(fault(&"x".repeat(MAX_FORMAT + 1)), FormatError::TooLong);
    let many = (0..=MAX_MACROS).map(|n| format!("%{{h{n}}}i")).collect::<Vec<_>>().concat();
    assert_eq!(fault(&many), FormatError::TooManyMacros);
    assert!(fault("%z").to_string().contains("%{X}i"));
}

#[test]
fn a_request_as_json() {
    let details = Details {
        queued: Duration::from_millis(2),
        response_time: Some(Duration::from_micros(1500)),
        session: Some("kept"),
        failure: None,
        trace: NonZeroU128::new(0xabc).zip(NonZeroU64::new(u64::MAX)),
    };
    check(
        "%J",
        "GET /a\"b?c=d HTTP/1.1",
        &[("host", "shop"), ("user-agent", "t\u{1}")],
        |record| record.details = details,
        concat!(
            r#"{"time":"2001-09-09T01:46:40.000Z","client":"192.0.2.7","local":"127.0.0.1:8080","virtual_server":"web","#,
            r#""pool":"p1","node":"10.0.0.1:80","method":"GET","path":"/a\"b","query":"c=d","host":"shop","#,
            r#""user_agent":"t\u0001","status":200,"bytes_in":70,"bytes_out":300,"duration":1.234567,"#,
            r#""queued":0.002000,"node_response":0.001500,"retries":0,"session":"kept","#,
            r#""trace_id":"00000000000000000000000000000abc","span_id":"ffffffffffffffff"}"#,
        ),
    );
}

#[test]
fn an_object_is_whole_whatever_clients_send() {
    let format = Format::parse("%J").unwrap();
    let nasty: Vec<u8> = (0..=255).cycle().filter(|byte| *byte != b' ').take(8192).collect();
    let mut captured = Captured::default();
    let line = [b"G ET /", nasty.as_slice(), b"?", &nasty, b" HTTP/1.1"].concat();
    let headers = [(&b"host"[..], &nasty[..]), (b"user-agent", &nasty), (b"referer", &nasty)];
    captured.request(&format, &line, headers);
    let long = "é".repeat(1000);
    let record = Record {
        client: [127, 0, 0, 1].into(),
        local: ([127, 0, 0, 1], 1).into(),
        virtual_server: &long,
        pool: Some(&long),
        node: None,
        status: None,
        body_sent: 0,
        bytes_in: u64::MAX,
        bytes_out: u64::MAX,
        duration: Duration::MAX,
        retries: u32::MAX,
        tls: Some(TlsSession { version: "TLSv1.3", cipher: "TLS13_AES_256_GCM_SHA384" }),
        captured: &captured,
        details: Details { failure: Some("the node refused the connection"), ..Details::default() },
    };
    let mut out = Vec::new();
    format.render(&record, SystemTime::now(), &mut RenderedSecond::new(TimeZone::UTC), &mut out);
    assert!(out.len() <= MAX_LINE, "{}", out.len());
    let object: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(object["failure"], "the node refused the connection");
    assert!(object.get("node").is_none());
}
