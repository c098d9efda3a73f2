//! Stores, counters, logs, files, time, names, TLS, places.

use std::{collections::HashMap, time::Duration};

use super::check;
use crate::{
    Described,
    described::Message,
    host::{Order, Times, TlsFact},
    library::testing::{call_with, give, lines, shown, value},
    meter::Limits,
    value::{Container, Value},
};

#[test]
fn values_are_stored() {
    let mut host = Described::request("GET", "/");
    for family in ["data", "data.local"] {
        let name = |function: &str| format!("{family}.{function}");
        check(
            &mut host,
            &[
                (&name("get"), &["k"], ""),
                (&name("set"), &["k", "v"], "1"),
                (&name("set"), &["k2", "1.5"], "1"),
                (&name("get"), &["k"], "v"),
                (&name("get"), &["k2"], "1.5"),
                (&name("getMemoryUsage"), &[], "9"),
                (&name("getMemoryFree"), &[], "1048567"),
                (&name("remove"), &["k"], "1"),
                (&name("remove"), &["k"], "0"),
                (&name("set"), &["other", "v"], "1"),
                (&name("reset"), &["k"], ""),
                (&name("get"), &["k2"], ""),
                (&name("get"), &["other"], "v"),
                (&name("reset"), &[], ""),
                (&name("getMemoryUsage"), &[], "0"),
                (&name("set"), &["k", &"x".repeat(1 << 20)], "0"),
            ],
        );
    }
    check(
        &mut host,
        &[
            ("connection.data.set", &["k", "v"], "1"),
            ("data.get", &["k"], ""),
            ("connection.data.get", &["k"], "v"),
        ],
    );
}

#[test]
fn containers_come_back_as_containers() {
    let mut host = Described::request("GET", "/");
    let inner: Value<'static> = Container::Array(vec![Value::Int(1), value("x")]).into();
    let hash = [(Box::from(&b"a"[..]), inner), (Box::from(&b"b"[..]), Value::Double(0.5))];
    let hash = Container::Hash(hash.into_iter().collect()).into();
    for (family, given) in [("data", hash), ("connection.data", Container::Empty.into())] {
        let arguments = [value("k"), given];
        let set = call_with(&mut host, &format!("{family}.set"), &arguments, Limits::default());
        assert_eq!(shown(&set.outcome.unwrap()), "1");
        assert_eq!(give(&mut host, &format!("{family}.get"), &["k"]), shown(&arguments[1]));
    }
    let mut deep: Value<'static> = Container::Empty.into();
    for _ in 0..100 {
        deep = Container::Array(vec![deep]).into();
    }
    let set = call_with(&mut host, "data.set", &[value("deep"), deep], Limits::default());
    assert_eq!(shown(&set.outcome.unwrap()), "0");
    assert!(lines(&host)[0].contains("nested too deep"));
}

#[test]
fn counters_count() {
    let mut host = Described::request("GET", "/");
    check(
        &mut host,
        &[
            ("counter.increment", &["1"], ""),
            ("counter.increment", &["1", "5"], ""),
            ("counter64.increment", &["10", "-2"], ""),
            ("counter.increment", &["11"], ""),
            ("counter.increment", &["-1"], ""),
        ],
    );
    assert_eq!(host.counters.into_iter().collect::<Vec<_>>(), [(1, 6), (10, -2)]);
    assert_eq!(host.lines.len(), 2);
}

#[test]
fn lines_events_and_the_access_log() {
    let mut host = Described::request("GET", "/");
    check(
        &mut host,
        &[
            ("log.info", &["one"], ""),
            ("log.warn", &["2"], ""),
            ("log.error", &["three\n"], ""),
            ("event.emit", &["id", "message"], ""),
            ("event.emit", &["a/b", "message"], ""),
            ("event.emit", &["", "message"], ""),
            ("requestlog.markedForInclusion", &[], "1"),
            ("requestlog.exclude", &[], ""),
            ("requestlog.markedForInclusion", &[], "0"),
            ("requestlog.include", &[], ""),
            ("recentconns.include", &[], ""),
            ("recentconns.exclude", &[], ""),
            ("recentconns.markedForInclusion", &[], "0"),
        ],
    );
    let logged = lines(&host);
    assert_eq!(logged[..3], ["Info one", "Warn 2", "Error three\n"]);
    assert_eq!(logged.len(), 5);
    assert_eq!(host.events, [(b"id".to_vec(), b"message".to_vec())]);
    assert_eq!(host.orders, [Order::LogRequest(false), Order::LogRequest(true)]);
}

#[test]
fn times_of_the_exchange() {
    let mut host = Described::request("GET", "/");
    host.times = Times {
        node_response: Some(Duration::from_micros(1999)),
        queued: Duration::from_millis(7),
        transaction: Duration::from_secs(2),
    };
    check(
        &mut host,
        &[
            ("stats.getServerResponseTime", &[], "1"),
            ("stats.getQueueTime", &[], "7"),
            ("stats.getTransactionDuration", &[], "2000"),
        ],
    );
}

#[test]
fn files_of_the_catalogue() {
    let mut host = Described::request("GET", "/").file("page", "one\r\ntwo\n").file("abc", "abc");
    check(
        &mut host,
        &[
            ("resource.get", &["page"], "one\r\ntwo\n"),
            ("resource.exists", &["page"], "1"),
            ("resource.exists", &["none"], "0"),
            ("resource.getLines", &["page"], "[one, two]"),
            ("resource.getMTime", &["page"], "1704067200"),
        ],
    );
    assert!(host.lines.is_empty());
    let md5 = call_with(&mut host, "resource.getMD5", &[value("abc")], Limits::default()).outcome.unwrap();
    let Value::Text(md5) = md5 else { panic!("{md5:?}") };
    assert_eq!(md5[..4], [0x90, 0x01, 0x50, 0x98]);
    check(
        &mut host,
        &[
            ("resource.get", &["none"], ""),
            ("resource.getLines", &["none"], "[]"),
            ("resource.getMD5", &["none"], ""),
            ("resource.getMTime", &["none"], "0"),
        ],
    );
    assert_eq!(host.lines.len(), 4);
}

#[test]
fn the_rule_itself() {
    let mut host = Described::request("GET", "/");
    check(&mut host, &[("rule.getName", &[], "test"), ("rule.getState", &[], "REQUEST")]);
    host.respond(200, "", Message::default());
    check(&mut host, &[("rule.getState", &[], "RESPONSE")]);
    host.phase = crate::Phase::Completion;
    check(&mut host, &[("rule.getState", &[], "COMPLETION")]);
}

#[test]
fn time_and_the_process() {
    let mut host = Described::request("GET", "/");
    host.now = Duration::from_millis(1_709_217_005_250);
    host.zone = (-3600, "XST".to_owned());
    host.environment.insert("HOME".to_owned(), "/root".to_owned());
    check(
        &mut host,
        &[
            ("sys.time", &[], "1709217005"),
            ("sys.time.highres", &[], "1709217005.25"),
            ("sys.gmtime.format", &["%a, %d %b %Y %T %Z"], "Thu, 29 Feb 2024 14:30:05 GMT"),
            ("sys.gmtime.format", &["%Y", "0"], "1970"),
            ("sys.localtime.format", &["%H:%M %Z"], "13:30 XST"),
            ("sys.localtime.format", &["%D", "0"], "12/31/69"),
            ("sys.timeToString", &[], "Thu Feb 29 13:30:05 2024"),
            ("sys.timeToString", &["3600"], "Thu Jan  1 00:00:00 1970"),
            ("sys.time.hour", &[], "13"),
            ("sys.time.hour", &["0"], "23"),
            ("sys.time.minutes", &[], "30"),
            ("sys.time.seconds", &[], "5"),
            ("sys.time.weekday", &[], "5"),
            ("sys.time.monthday", &[], "29"),
            ("sys.time.month", &[], "2"),
            ("sys.time.year", &[], "2024"),
            ("sys.time.yearday", &[], "60"),
            ("sys.hostname", &[], "tidegate"),
            ("sys.domainname", &[], "example.com"),
            ("sys.getenv", &["HOME"], "/root"),
            ("sys.getenv", &["NONE"], ""),
            ("sys.getpid", &[], "1"),
            ("sys.isFIPS", &[], "0"),
        ],
    );
}

#[test]
fn names_are_resolved() {
    let mut host = Described::request("GET", "/");
    for (name, answer) in
        [("a.example", "192.0.2.1"), ("a.example 6", "2001:db8::1"), ("192.0.2.1", "a.example")]
    {
        host.names.insert(name.into(), answer.into());
    }
    check(
        &mut host,
        &[
            ("net.dns.resolveHost", &["a.example"], "192.0.2.1"),
            ("net.dns.resolveHost6", &["a.example"], "2001:db8::1"),
            ("net.dns.resolveHost", &["none.example"], ""),
            ("net.dns.resolveIP", &["192.0.2.1"], "a.example"),
            ("net.dns.resolveIP", &["192.0.2.2"], "192.0.2.2"),
        ],
    );
    check(
        &mut host,
        &[
            ("net.dns.resolveHost", &["192.0.2.9"], "192.0.2.9"),
            ("net.dns.resolveHost6", &["192.0.2.9"], ""),
            ("net.dns.resolveHost", &[""], ""),
            ("net.dns.resolveIP", &["no address"], "no address"),
        ],
    );
    assert!(host.needs.is_empty(), "addresses are not asked for");
}

#[test]
fn sessions_of_tls() {
    let mut plain = Described::request("GET", "/");
    check(
        &mut plain,
        &[
            ("ssl.isSSL", &[], "0"),
            ("ssl.clientCipher", &[], ""),
            ("ssl.clientCertStatus", &[], ""),
            ("ssl.clientSupportsSecureRenegotiation", &[], "0"),
            ("ssl.clientCert", &[], ""),
            ("ssl.clientCertChain", &[], ""),
            ("ssl.serverCertSubject", &[], ""),
        ],
    );
    let mut host = Described::request("GET", "/").secure();
    host.tls = Some(HashMap::from([
        (TlsFact::Cipher, "TLS_X, version=TLSv1.3, bits=256".to_owned()),
        (TlsFact::ServerName, "a.example".to_owned()),
        (TlsFact::SessionId, "AB".to_owned()),
        (TlsFact::SiteName, "*.example".to_owned()),
        (TlsFact::CertificateName, "cert".to_owned()),
        (TlsFact::ClientCertificateStatus, "OK".to_owned()),
    ]));
    check(
        &mut host,
        &[
            ("ssl.isSSL", &[], "1"),
            ("ssl.clientCipher", &[], "TLS_X, version=TLSv1.3, bits=256"),
            ("ssl.getTLSServerName", &[], "a.example"),
            ("ssl.sslSessionID", &[], "AB"),
            ("ssl.serverSiteName", &[], "*.example"),
            ("ssl.serverCertName", &[], "cert"),
            ("ssl.clientCertStatus", &[], "OK"),
            ("ssl.clientSupportsSecureRenegotiation", &[], "1"),
            ("ssl.setTLSServerName", &["node.example"], ""),
        ],
    );
    assert_eq!(host.orders, [Order::ServerName(b"node.example".to_vec())]);
}

#[test]
fn fields_of_certificates() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::new(Vec::new()).unwrap();
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    wanted.distinguished_name.push(rcgen::DnType::CountryName, "GB");
    wanted.distinguished_name.push(rcgen::DnType::CommonName, "Ada Lovelace");
    wanted.serial_number = Some(rcgen::SerialNumber::from(0x01_02_03_u64));
    wanted.not_before = rcgen::date_time_ymd(2024, 2, 29);
    wanted.not_after = rcgen::date_time_ymd(2034, 1, 1);
    let certificate = wanted.self_signed(&key).unwrap();
    let der = certificate.der().to_vec();
    let mut host = Described::request("GET", "/").secure();
    host.client_certificates = vec![der.clone(), der.clone()];
    host.server_certificate = Some(der);
    for of in ["ssl.clientCert", "ssl.serverCert"] {
        let name = |field: &str| format!("{of}{field}");
        check(
            &mut host,
            &[
                (&name("CommonName"), &[], "Ada Lovelace"),
                (&name("Subject"), &[], "C=GB, CN=Ada Lovelace"),
                (&name("Issuer"), &[], "C=GB, CN=Ada Lovelace"),
                (&name("Serial"), &[], "010203"),
                (&name("StartDate"), &[], "Feb 29 00:00:00 2024 GMT"),
                (&name("EndDate"), &[], "Jan  1 00:00:00 2034 GMT"),
                (&name("Version"), &[], "3"),
                (&name("Algorithm"), &[], "ecdsa-with-SHA256"),
            ],
        );
        let pem = give(&mut host, of, &[]);
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\nMII"), "{pem}");
        assert!(pem.ends_with("\n-----END CERTIFICATE-----\n") && pem.lines().all(|line| line.len() <= 64));
        let key = give(&mut host, &name("PublicKey"), &[]);
        assert!(key.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{key}");
        assert_eq!(give(&mut host, &name("SHA1"), &[]).len(), 40);
        assert_eq!(give(&mut host, &name("Hash"), &[]).len(), 32);
    }
    assert_eq!(give(&mut host, "ssl.clientCertSerialDec", &[]), "66051");
    let chain = give(&mut host, "ssl.clientCertChain", &[]);
    assert_eq!(chain.matches("-----BEGIN").count(), 2);
    host.client_certificates = vec![b"no certificate".to_vec()];
    assert_eq!(give(&mut host, "ssl.clientCertSubject", &[]), "");
}

#[test]
fn distances_of_places() {
    let mut host = Described::request("GET", "/");
    let mut distance = |name: &str, places: &[&str; 4]| -> f64 {
        give(&mut host, &format!("geo.getDistance{name}"), places).parse().unwrap()
    };
    let (london, paris) = (["51.5074", "-0.1278"], ["48.8566", "2.3522"]);
    let places = [london[0], london[1], paris[0], paris[1]];
    assert!((distance("KM", &places) - 343.6).abs() < 0.5);
    assert!((distance("Miles", &places) - 213.5).abs() < 0.5);
    assert!(distance("KM", &[london[0], london[1], london[0], london[1]]) < 0.001);
    assert!((distance("KM", &["91", "0", "0", "0"]) + 1.0).abs() < f64::EPSILON);
}
