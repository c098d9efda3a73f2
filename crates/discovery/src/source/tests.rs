use super::*;

fn parse(plugin: &str, arguments: &str) -> Result<Source, SourceError> {
    Source::parse(&ServiceDiscovery {
        plugin: plugin.into(),
        arguments: arguments.into(),
        interval: Some(Duration::from_secs(20)),
        timeout: None,
    })
}

fn dns(arguments: &str) -> DnsSource {
    match parse(STATELESS, arguments).unwrap() {
        Source::Dns(source) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn shapes_of_the_stateless_built_in() {
    let service = |name: &str, port| Query::Service { name: name.into(), port };
    assert_eq!(dns("--servicename=_http._tcp.svc").query, service("_http._tcp.svc", None));
    assert_eq!(dns("--servicename=_http._tcp.svc --port 81").query, service("_http._tcp.svc", Some(81)));
    assert_eq!(dns("--service=http --protocol=tcp --domain=a.b").query, service("_http._tcp.a.b", None));
    assert_eq!(dns("--servicename=plain").query, service("plain", None));
    assert_eq!(
        dns("--hostname=h --port 80 --domain=d.").query,
        Query::Host { name: "h.d.".into(), port: 80 }
    );
    assert_eq!(dns("--hostname=192.0.2.1 --port=80 --domain=d").query.name().as_ref(), "192.0.2.1");
    assert_eq!(dns("--servicename=a").addresses, Addresses::OneFamily);
    assert_eq!(dns("--servicename=a --all-addresses").addresses, Addresses::All);
    assert_eq!(dns("--servicename=a --no-all-addresses").addresses, Addresses::First);
    assert_eq!(dns("--hostname=a --port=1").addresses, Addresses::All);
    assert_eq!(dns("--hostname=a --port=1 --ipv4").families, Families::V4);
    assert_eq!(dns("--hostname=a --port=1 --ipv4 --ipv6").families, Families::Both);
    assert_eq!(dns("--hostname=a --port=1 --ipv4 --noipv4").families, Families::Both);
    assert_eq!(dns("--servicename=a --no-search").search, Search::Off);
    assert_eq!(dns("--servicename=a --search-domain=x.y").search, Search::Domain("x.y".into()));
    assert_eq!(dns("--servicename=a --min-poll-interval=7").min_poll, Some(Duration::from_secs(7)));
    assert_eq!(dns("--servicename=a").interval, Some(Duration::from_secs(20)));
}

#[test]
fn name_servers_take_ports() {
    let servers = |arguments: &str| dns(&format!("--servicename=a {arguments}")).name_servers;
    assert_eq!(servers(""), []);
    assert_eq!(
        servers(
            "--nameserver=192.0.2.1 --nameserver=192.0.2.2:5353 --nameserver [2001:db8::1]:54 --nameserver=2001:db8::2"
        ),
        [
            "192.0.2.1:53".parse().unwrap(),
            "192.0.2.2:5353".parse().unwrap(),
            "[2001:db8::1]:54".parse().unwrap(),
            "[2001:db8::2]:53".parse().unwrap()
        ]
    );
    assert_eq!(servers("--nameserver=192.0.2.1 --nameserverport=54"), ["192.0.2.1:54".parse().unwrap()]);
    assert_eq!(servers("--nameserver=192.0.2.1 --nameserver-port=54"), ["192.0.2.1:54".parse().unwrap()]);
}

#[test]
fn the_resolver_built_in() {
    let Source::Dns(source) = parse(RESOLVER, "-h web -n '192.0.2.1, 192.0.2.2' -4 -v").unwrap() else {
        panic!()
    };
    assert_eq!(source.query, Query::Host { name: "web".into(), port: 80 });
    assert_eq!(source.name_servers.len(), 2);
    assert_eq!(source.families, Families::V4);
    assert!(source.remembers);
    assert!(matches!(parse(RESOLVER, "-p 80"), Err(SourceError::Combination(_))));
}

#[test]
fn plugins_hide_their_arguments() {
    let source = parse("K8s-get-nodeport-ips.sh", "-s 'my service' --token=hush").unwrap();
    let Source::Plugin(plugin) = &source else { panic!() };
    assert_eq!(
        plugin.arguments.iter().map(|word| &**word).collect::<Vec<_>>(),
        ["-s", "my service", "--token=hush"]
    );
    assert!(!format!("{source:?}").contains("hush"));
}

#[test]
fn refusals_say_what_to_do() {
    for (plugin, arguments, text) in [
        ("", "", "empty"),
        ("a/b", "", "plain file name"),
        ("..", "", "plain file name"),
        ("BuiltIn-GCE", "-n x", "not supported"),
        ("p", "'open", "not closed"),
        ("p", "a\0b", "NUL"),
        (STATELESS, "", "is needed"),
        (STATELESS, "--hostname=a", "needs --port"),
        (STATELESS, "--hostname=a --port=0", "1-65535"),
        (STATELESS, "--hostname=a --port=1 --servicename=b", "excludes"),
        (STATELESS, "--service=a", "needs --protocol"),
        (STATELESS, "--protocol=a", "needs --service"),
        (STATELESS, "--servicename=a --service=b --protocol=c", "excludes"),
        (STATELESS, "--servicename=a --nameserver=dns.example", "ip or ip:port"),
        (STATELESS, "--servicename=a --bogus", "unknown option"),
        (STATELESS, "--servicename=a..b", "DNS name"),
        (STATELESS, "--servicename=a --min-poll-interval=x", "whole seconds"),
    ] {
        let error = parse(plugin, arguments).unwrap_err().to_string();
        assert!(error.contains(text), "{plugin} {arguments}: {error}");
    }
    let long = "x ".repeat(MAX_ARGUMENTS);
    assert!(parse("p", &long).unwrap_err().to_string().contains("32 KiB"));
}

#[test]
fn e8_names_at_their_limits() {
    let name = |length: usize| {
        let mut name = String::new();
        while name.len() + 63 < length {
            name.push_str(&"a".repeat(62));
            name.push('.');
        }
        name.push_str(&"b".repeat(length - name.len()));
        assert_eq!(name.len(), length);
        name
    };
    let check = |name: &str| parse(STATELESS, &format!("--hostname={name} --port=1"));
    assert!(check(&name(253)).is_ok());
    assert!(check(&format!("{}.", name(253))).is_ok());
    assert!(matches!(check(&name(254)), Err(SourceError::Name { .. })));
    assert!(check(&"c".repeat(63)).is_ok());
    assert!(matches!(check(&"c".repeat(64)), Err(SourceError::Name { .. })));
    assert!(check("bücher.example").is_ok());
}
