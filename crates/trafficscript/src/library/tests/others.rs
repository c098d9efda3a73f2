//! Places, directories, sockets, interfaces, verified requests: what is asked of others.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use super::{check, list, v};
use crate::{
    Described,
    described::Person,
    host::{DirectoryEntry, Fetched, Heard, Interface, Location, Need, Place, Places, Position, Talk},
    library::testing::{call, call_with, give, lines, shown, value},
    meter::Limits,
};

#[derive(Debug)]
struct Known(HashMap<IpAddr, Place>);

impl Places for Known {
    fn place(&self, address: IpAddr) -> Option<Place> {
        self.0.get(&address).cloned()
    }
}

fn world() -> Described {
    let place = |country: [&str; 2], city: &str, region: [&str; 2], position: Option<(f64, f64)>| Place {
        country_code: country[0].into(),
        country: country[1].into(),
        city: city.into(),
        region: region[1].into(),
        region_code: region[0].into(),
        position: position.map(|(latitude, longitude)| Position { latitude, longitude }),
    };
    let known = [
        (
            "192.0.2.1",
            place(["GB", "United Kingdom"], "London", ["ENG", "England"], Some((51.5074, -0.1278))),
        ),
        ("2001:db8::1", place(["FR", "France"], "Paris", ["IDF", "Île-de-France"], Some((48.8566, 2.3522)))),
        ("192.0.2.2", place(["DE", "Germany"], "", ["", ""], None)),
    ];
    let known = known.into_iter().map(|(address, place)| (address.parse().unwrap(), place)).collect();
    let mut host = Described::request("GET", "/");
    host.places = Some(Arc::new(Known(known)));
    host.location =
        Some(Location { name: "here".into(), position: Position { latitude: 1.5, longitude: -2.5 } });
    host
}

#[test]
fn where_addresses_are() {
    let mut host = world();
    check(
        &mut host,
        &[
            ("geo.getCountryCode", &["192.0.2.1"], "GB"),
            ("geo.getCountryCode", &["::ffff:192.0.2.1"], "GB"),
            ("geo.getCountryCode", &["[2001:db8::1]"], "FR"),
            ("geo.getCountry", &[" 192.0.2.1 "], "United Kingdom"),
            ("geo.getCity", &["192.0.2.1"], "London"),
            ("geo.getRegion", &["2001:db8::1"], "Île-de-France"),
            ("geo.getRegionCode", &["192.0.2.1"], "ENG"),
            ("geo.getLatitude", &["192.0.2.1"], "51.5074"),
            ("geo.getLongitude", &["192.0.2.1"], "-0.1278"),
            ("geo.getCountryCode", &["192.0.2.2"], "DE"),
            ("geo.getCity", &["192.0.2.2"], ""),
            ("geo.getLatitude", &["192.0.2.2"], "-1"),
            ("geo.getCountry", &["192.0.2.3"], ""),
            ("geo.getLongitude", &["192.0.2.3"], "-1"),
            ("geo.getIPDistanceKM", &["192.0.2.1", "192.0.2.2"], "-1"),
            ("geo.getIPDistanceMiles", &["192.0.2.3", "192.0.2.1"], "-1"),
            ("geo.getLocation", &[], "here"),
            ("geo.getLocationLonLat", &[], "[-2.5, 1.5]"),
        ],
    );
    let mut distance = |unit: &str| -> f64 {
        let name = format!("geo.getIPDistance{unit}");
        give(&mut host, &name, &["192.0.2.1", "2001:db8::1"]).parse().unwrap()
    };
    assert!((distance("KM") - 343.6).abs() < 0.5 && (distance("Miles") - 213.5).abs() < 0.5);
    assert!(host.lines.is_empty());
    check(&mut host, &[("geo.getCountry", &["nobody"], ""), ("geo.getLatitude", &[""], "-1")]);
    assert_eq!(lines(&host)[0], "Warn Rule test: Line 7: `nobody` is not an IP address");
}

#[test]
fn without_a_database_every_place_is_unknown() {
    check(
        &mut Described::request("GET", "/"),
        &[
            ("geo.getCountryCode", &["192.0.2.1"], ""),
            ("geo.getLatitude", &["192.0.2.1"], "-1"),
            ("geo.getIPDistanceKM", &["192.0.2.1", "192.0.2.1"], "-1"),
            ("geo.getLocation", &[], ""),
            ("geo.getLocationLonLat", &[], "-1"),
        ],
    );
    for (text, expected) in [
        (
            "log.info( 1 );\n$a = geo.getCity( \"192.0.2.1\" ) . geo.getCountry( \"192.0.2.1\" );",
            Some("geo.getCity"),
        ),
        ("$a = geo.getDistanceKM( 1, 2, 3, 4 ) . geo.getLocation();", None),
    ] {
        let program =
            crate::compile("r", text.as_bytes(), &crate::Options::default(), &|_| None).program.unwrap();
        assert_eq!(program.uses().asks_for_places(), expected.map(|name| (name, 2)));
    }
}

#[test]
fn directories_are_asked() {
    let mut host = Described::request("GET", "/");
    let entry = DirectoryEntry {
        attributes: vec![
            (b"mail".into(), vec![b"ada@example.com".into()]),
            (b"memberOf".into(), vec![b"cn=a".into(), b"cn=b".into()]),
            (b"note".into(), Vec::new()),
            (b"OK".into(), vec![b"forged".into()]),
        ],
    };
    let people = BTreeMap::from([(b"ada".to_vec(), Person { password: b"secret".into(), entry })]);
    host.directories.insert(b"ldap".into(), people);
    let known = "{OK: 1, Error: , mail: ada@example.com, memberOf: [cn=a, cn=b], note: }";
    check(
        &mut host,
        &[
            ("auth.query", &["ldap", "ada"], known),
            ("auth.query", &["ldap", "ada", "secret"], known),
            ("auth.query", &["ldap", "ada", "wrong"], "{OK: 0, Error: }"),
            ("auth.query", &["ldap", "ada", ""], "{OK: 0, Error: }"),
            ("auth.query", &["ldap", "bob"], "{OK: 0, Error: }"),
            (
                "auth.query",
                &["other", "ada"],
                "{OK: 0, Error: no directory is described for this authenticator}",
            ),
        ],
    );
    let debug = format!("{:?}", {
        host.needs.clear();
        give(&mut host, "auth.query", &["ldap", "ada", "secret"]);
        &host.needs
    });
    assert!(debug.contains("ada") && !debug.contains("secret"), "{debug}");
}

#[test]
fn sockets_of_a_rule() {
    let mut host = Described::request("GET", "/");
    host.heard = [
        Ok(Heard::Connected(1)),
        Ok(Heard::Sent(4)),
        Ok(Heard::Bytes(b"pong".into())),
        Err("timeout".to_owned()),
        Ok(Heard::Sent(2)),
    ]
    .into();
    let mut talk = |name: &str, arguments: &[&str]| {
        host.needs.clear();
        let called = call(&mut host, name, arguments);
        (shown(&called.outcome.unwrap()), shown(&called.captures[0]), host.needs.pop())
    };
    let need = |talk: Talk| Some(Need::Talk(Box::new(talk)));
    let ms = |milliseconds| Some(Duration::from_millis(milliseconds));
    let said = |result: &str, why: &str, need: Option<Need>| (result.to_owned(), why.to_owned(), need);
    assert_eq!(
        talk("tcp.connect", &["192.0.2.1", "80", "500"]),
        said("1", "", need(Talk::Connect { host: b"192.0.2.1".into(), port: 80, limit: ms(500) }))
    );
    assert_eq!(
        talk("tcp.write", &["1", "ping"]),
        said("4", "", need(Talk::Write { socket: 1, data: b"ping".into(), limit: None }))
    );
    assert_eq!(
        talk("tcp.read", &["1", "100", "20"]),
        said("pong", "", need(Talk::Read { socket: 1, most: 100, limit: ms(20) }))
    );
    assert_eq!(
        talk("tcp.read", &["1", "100", "-5"]),
        said("", "timeout", need(Talk::Read { socket: 1, most: 100, limit: None }))
    );
    assert_eq!(
        talk("udp.sendTo", &["log.example", "514", "hi"]),
        said("2", "", need(Talk::SendTo { host: b"log.example".into(), port: 514, data: b"hi".into() }))
    );
    assert_eq!(talk("tcp.close", &["1"]), said("1", "", None));
    for (name, arguments, result, why) in [
        ("tcp.close", &["1"][..], "0", "there is no such connection"),
        ("tcp.read", &["0", "1"], "", "there is no such connection"),
        ("tcp.read", &["1", "0"], "", "no bytes were asked for"),
        ("tcp.write", &["-1", "x"], "0", "there is no such connection"),
        ("tcp.connect", &["a", "0"], "0", "not a port"),
        ("udp.sendTo", &["a", "65536", "x"], "0", "not a port"),
    ] {
        assert_eq!(talk(name, arguments), said(result, why, None), "{name} {arguments:?}");
    }
    assert_eq!(talk("tcp.connect", &["a", "80"]).1, "no other end is described");
}

#[test]
fn interfaces_and_the_rest_port() {
    let mut host = Described::request("GET", "/");
    let interface = |name: &str, addresses: &[(&str, u8)], is_up, is_loopback| Interface {
        name: name.into(),
        addresses: addresses.iter().map(|(text, bits)| (text.parse().unwrap(), *bits)).collect(),
        is_up,
        is_loopback,
    };
    host.interfaces = vec![
        interface("lo", &[("127.0.0.1", 8), ("::1", 128)], true, true),
        interface("eth0", &[("192.0.2.1", 24), ("2001:db8::1", 64)], true, false),
        interface("eth1", &[], false, false),
    ];
    let name = "sys.getnetworkinterfaces";
    check(
        &mut host,
        &[
            (name, &[], "{lo: [127.0.0.1, ::1], eth0: [192.0.2.1, 2001:db8::1], eth1: []}"),
            (name, &["up noloopback"], "{eth0: [192.0.2.1, 2001:db8::1]}"),
            (name, &["UP,ipv4"], "{lo: [127.0.0.1], eth0: [192.0.2.1]}"),
            (name, &["noloopback ipv6 mask"], "{eth0: [2001:db8::1/64], eth1: []}"),
            ("sys.getRestApiPort", &[], "0"),
        ],
    );
    assert!(host.lines.is_empty());
    check(&mut host, &[(name, &["up noloopback down"], "{eth0: [192.0.2.1, 2001:db8::1]}")]);
    assert_eq!(host.lines.len(), 1);
    host.rest_port = Some(9070);
    check(&mut host, &[("sys.getRestApiPort", &[], "9070")]);
}

#[test]
fn verified_requests() {
    let certificate = || {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap()
    };
    let (one, two) = (certificate(), certificate());
    let (both, url) = (format!("{}{}", one.pem(), two.pem()), "https://h/x");
    let two_given = Some(vec![one.der().to_vec(), two.der().to_vec()]);
    let mut host = Described::request("GET", "/");
    host.fetches.insert(url.into(), Fetched { status: 200, body: b"done".into(), ..Fetched::default() });
    let mut ask = |arguments: Vec<crate::Value<'static>>| {
        host.needs.clear();
        let called = call_with(&mut host, "http.request.ssl.get", &arguments, Limits::default());
        assert_eq!(shown(&called.outcome.unwrap()), "done");
        let Some(Need::Fetch(fetch)) = host.needs.pop() else { panic!("nothing is asked") };
        assert_eq!(fetch.method, "GET");
        (fetch.trusted, fetch.headers.len(), fetch.timeout.map(|timeout| timeout.as_secs()))
    };
    assert_eq!(ask(v![url]), (None, 0, None));
    assert_eq!(ask(v![url, "A: b", 3]), (None, 1, Some(3)));
    assert_eq!(ask(v![url, both.as_str()]), (two_given.clone(), 0, None));
    assert_eq!(ask(v![url, one.pem().as_str(), two.pem().as_str(), "A: b"]), (two_given.clone(), 1, None));
    let array = list(v![one.pem().as_str(), two.pem().as_str()]);
    assert_eq!(ask(v![url, array, "A: b", 2]), (two_given, 1, Some(2)));

    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let mut host = Described::request("GET", "/");
    for (arguments, why) in [
        (v!["http://h/x"], "not an https URL"),
        (v![url, list(Vec::new())], "no certificate is given"),
        (v![url, list(v!["text"])], "no certificate is given"),
        (v![url, key.as_str()], "a PEM text holds a PRIVATE KEY, not a certificate"),
        (v![url, list(vec![value(&one.pem().repeat(65))])], "more than 64 certificates are given"),
    ] {
        let called = call_with(&mut host, "http.request.ssl.get", &arguments, Limits::default());
        assert_eq!(
            (shown(&called.outcome.unwrap()), shown(&called.captures[0])),
            (String::new(), "0".into())
        );
        assert_eq!(shown(&called.captures[1]), why);
    }
    assert!(host.needs.is_empty());
    assert_eq!(host.lines.len(), 5);
}
