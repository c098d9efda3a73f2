use std::time::Duration;

use tidegate_model::{
    BandwidthClass,
    bandwidth::Sharing,
    monitor::{Probe, Scope},
    persistence::{FailureMode, Method},
    pool::{NodeDelete, NodeHost},
    virtual_server::{DefaultPool, ErrorPage, Listen, Protocol, Speaks},
};

use super::{monitor::unescape, *};
use crate::{Compiled, Document, Input, References, Severity, compile};

struct NoFiles;

impl References for NoFiles {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("there are no files here".to_owned())
    }
}

fn compiled(text: &str) -> (Configuration, Vec<String>) {
    let documents = [Document { name: "a".to_owned(), text: text.as_bytes().to_vec() }];
    let Compiled { configuration, diagnostics, .. } =
        compile(&Input { watched: &documents, ..Input::default() }, &NoFiles);
    let lines = diagnostics.iter().map(ToString::to_string).collect();
    (configuration.unwrap_or_else(|| panic!("{text}: {diagnostics:?}")), lines)
}

/// Compiles without any diagnostic.
fn clean(text: &str) -> Configuration {
    let (configuration, lines) = compiled(text);
    assert_eq!(lines, [""; 0], "{text}");
    configuration
}

/// Compiles with exactly one diagnostic, an error that contains these pieces.
fn faulty(text: &str, pieces: &[&str]) -> Configuration {
    let (configuration, lines) = compiled(text);
    assert_eq!(lines.len(), 1, "{text}: {lines:?}");
    for piece in ["error: a:", "1:"].iter().chain(pieces) {
        assert!(lines[0].contains(piece), "{text}: {lines:?} lacks {piece:?}");
    }
    configuration
}

fn server(properties: &str) -> String {
    format!("virtual_servers: [{{name: s, properties: {properties}}}]")
}

fn pool(properties: &str) -> String {
    format!("pools: [{{name: p, properties: {properties}}}]")
}

#[test]
fn a_virtual_server_of_two_keys_has_the_defaults_of_the_format() {
    let configuration = clean(&server("{basic: {port: 80, pool: discard}}"));
    let server = &configuration.virtual_servers["s"];
    assert!(
        !server.enabled
            && server.keepalive
            && server.http.add_cluster_ip
            && server.http.strip_x_forwarded_proto
    );
    assert_eq!((server.port, &server.pool, &server.listen), (80, &DefaultPool::Discard, &Listen::Any));
    assert_eq!(server.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(server.timeout, Some(Duration::from_mins(5)));
    assert_eq!(server.max_transaction_duration, None);
    assert_eq!((server.max_client_buffer, server.max_server_buffer), (65_536, 65_536));
    assert_eq!(server.error_page, ErrorPage::Default);
    assert!(server.tls.is_none() && server.access_log.is_none() && !server.nagle);
    assert_eq!(configuration.global, tidegate_model::GlobalSettings::default());
}

#[test]
fn what_the_model_calls_a_named_object_is_what_a_silent_document_gives() {
    use tidegate_model::{Pool, VirtualServer, tls::ServerTls};
    let named = clean(&server("{basic: {port: 80, pool: discard}}"));
    assert_eq!(*named.virtual_servers["s"], VirtualServer::named("s"));
    assert_eq!(*clean(&pool("{}")).pools["p"], Pool::named("p"));
    let keys = "ssl: {server_keys: [{name: k, properties: {basic: {public: x, private: x}}}]}\n";
    let ssl = "{basic: {port: 80, pool: discard, ssl_decrypt: true}, ssl: {server_cert_default: k}}";
    let decrypting = clean(&format!("{keys}{}", server(ssl)));
    assert_eq!(decrypting.virtual_servers["s"].tls, Some(ServerTls::of(["k".into()])));
}

#[test]
fn the_name_of_the_built_in_pool_is_taken() {
    let pools = "pools: [{name: discard, properties: {basic: {nodes_table: [{node: 'a:80'}]}}}]\n";
    let text = pools.to_owned() + &server("{basic: {port: 80, pool: discard, enabled: true}}");
    let configuration = faulty(&text, &["pools.discard", "that of the built-in pool"]);
    assert_eq!(configuration.virtual_servers["s"].pool, DefaultPool::Discard);
    assert!(configuration.pools.is_empty());
}

#[test]
fn global_settings_that_are_named_but_silent_are_the_defaults() {
    let configuration = clean("global_settings: {properties: {java: {enabled: false}}}");
    assert_eq!(configuration.global, tidegate_model::GlobalSettings::default());
}

#[test]
fn references_that_lead_nowhere() {
    let base = "port: 80, pool: discard";
    let configuration =
        faulty(&server("{basic: {port: 80, pool: web}}"), &["basic.pool: there is no pool “web”"]);
    assert_eq!(configuration.virtual_servers["s"].pool, DefaultPool::Missing("web".into()));
    faulty(
        &format!("{}\npools: [{{name: webb}}]", server("{basic: {port: 80, pool: web}}")),
        &["1:", "(did you mean “webb”?)"],
    );
    let page = faulty(
        &server(&format!("{{basic: {{{base}}}, connection_errors: {{error_file: x.html}}}}")),
        &["extra file “x.html”"],
    );
    assert_eq!(page.virtual_servers["s"].error_page, ErrorPage::Default);
    let tls = faulty(
        &server(&format!("{{basic: {{{base}, ssl_decrypt: true}}, ssl: {{server_cert_default: k}}}}")),
        &["server key “k”"],
    );
    assert_eq!(
        tls.virtual_servers["s"].tls.as_ref().unwrap().default,
        [],
        "it never falls back to plain text"
    );
    faulty(
        &server(&format!("{{basic: {{{base}, ssl_decrypt: true}}}}")),
        &["server_cert_default", "needs a certificate", "ssl.server_keys"],
    );
    for (key, value, noun) in [
        ("persistence_class", "sticky", "persistence class “sticky”"),
        ("bandwidth_class", "narrow", "bandwidth class “narrow”"),
        ("failure_pool", "other", "pool “other”"),
        ("monitors", "[Simple Http]", "did you mean “Simple HTTP”?"),
        ("monitors", "[DNS]", "monitor “DNS” cannot run: its program is missing"),
    ] {
        let configuration =
            faulty(&pool(&format!("{{basic: {{{key}: {value}}}}}")), &[&format!("basic.{key}"), noun]);
        let pool = &configuration.pools["p"];
        assert!(
            pool.persistence.is_none() && pool.failure_pool.is_none() && pool.monitors.is_empty(),
            "{key}"
        );
    }
    let discovery =
        |plugin: &str| pool(&format!("{{service_discovery: {{enabled: true, plugin: {plugin}}}}}"));
    let configuration =
        faulty(&discovery("BuiltIn-DNS_Stateles"), &["plugin", "did you mean “BuiltIn-DNS_Stateless”?"]);
    assert_eq!(configuration.pools["p"].discovery, None);
    faulty(&discovery("BuiltIn-GCE"), &["there is no service discovery plugin “BuiltIn-GCE”"]);
    faulty(&discovery("''"), &["there is no service discovery plugin “”"]);
    let client = faulty(
        &pool("{ssl: {enable: true, client_auth: true, ssl_fixed_client_certificate: me}}"),
        &["client key “me”"],
    );
    assert_eq!(client.pools["p"].tls.as_ref().unwrap().client_key, None);
}

#[test]
fn bandwidth_classes() {
    let classes = "bandwidth:\n- {name: default}\n- {name: slow, properties: {basic: {maximum: 64, sharing: connection}}}\n";
    let class = |name: &str| format!("{{basic: {{port: 80, pool: discard, bandwidth_class: {name}}}}}");
    let configuration = clean(&format!("{classes}{}", server(&class("slow"))));
    let slow = &configuration.bandwidth["slow"];
    assert_eq!((slow.maximum.get(), slow.sharing), (64, Sharing::Connection));
    let default = &configuration.bandwidth["default"];
    assert_eq!((default.maximum, default.sharing), (BandwidthClass::DEFAULT_MAXIMUM, Sharing::Cluster));
    assert_eq!(configuration.virtual_servers["s"].bandwidth.as_ref().unwrap().as_str(), "slow");
    let pools = clean(&format!("{classes}{}", pool("{basic: {bandwidth_class: slow}}")));
    assert_eq!(pools.pools["p"].bandwidth.as_ref().unwrap().as_str(), "slow");
    let missing = faulty(
        &format!("{}\n{classes}", server(&class("slo"))),
        &["basic.bandwidth_class", "no bandwidth class “slo”", "did you mean “slow”?"],
    );
    assert_eq!(missing.virtual_servers["s"].bandwidth, None);
}

#[test]
fn client_certificates_are_never_accepted_from_anybody_by_accident() {
    let text = |cas: &str, request: &str| {
        format!(
            "ssl: {{cas: [{{name: ca, content: x}}], server_keys: [{{name: k, properties: {{basic: {{public: a, private: b}}}}}}]}}\n{}",
            server(&format!(
                "{{basic: {{port: 80, pool: discard, enabled: true, ssl_decrypt: true}}, \
                 ssl: {{server_cert_default: k, request_client_cert: {request}, client_cert_cas: {cas}}}}}"
            ))
        )
    };
    assert!(clean(&text("[ca]", "require")).virtual_servers["s"].enabled);
    assert!(clean(&text("[]", "require")).virtual_servers["s"].enabled, "this is what the document says");
    let (partly, lines) = compiled(&text("[ca, cb]", "require"));
    assert_eq!(lines.len(), 1);
    assert!(partly.virtual_servers["s"].enabled);
    let (none, lines) = compiled(&text("[cb]", "require"));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!none.virtual_servers["s"].enabled);
    let (unused, _) = compiled(&text("[cb]", "dont_request"));
    assert!(unused.virtual_servers["s"].enabled);
}

#[test]
fn loops_of_failure_pools_are_cut_once() {
    let pools = |links: &[(&str, &str)]| {
        let list: Vec<String> = links
            .iter()
            .map(|(name, to)| format!("{{name: {name}, properties: {{basic: {{failure_pool: {to}}}}}}}"))
            .collect();
        format!("pools: [{}]", list.join(", "))
    };
    for (links, cut) in [
        (&[("a", "a")][..], "a"),
        (&[("a", "b"), ("b", "a")], "b"),
        (&[("a", "b"), ("b", "c"), ("c", "b")], "c"),
        (&[("c", "a"), ("a", "b"), ("b", "c"), ("d", "a")], "c"),
    ] {
        let configuration =
            faulty(&pools(links), &[&format!("pools.{cut}.properties.basic.failure_pool"), "leads back"]);
        for (name, pool) in &configuration.pools {
            assert_eq!(pool.failure_pool.is_none(), name.as_str() == cut, "{links:?}");
        }
    }
    clean(&pools(&[("a", "c"), ("b", "c"), ("c", "''")]));
    let long: Vec<(String, String)> =
        (0..2000).map(|n| (format!("p{n:05}"), format!("p{:05}", (n + 1) % 2000))).collect();
    let long: Vec<(&str, &str)> = long.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    faulty(&pools(&long), &["pools.p01999", "leads back"]);
}

#[test]
fn defaults_that_give_way_where_documents_are_silent() {
    let discovery = "service_discovery: {enabled: true, plugin: BuiltIn-DNS_Stateless";
    let drain = |seconds: u64| NodeDelete::Drain { limit: Some(Duration::from_secs(seconds)) };
    for (properties, delete, interval) in [
        ("{}".to_owned(), NodeDelete::Immediate, None),
        (format!("{{{discovery}}}}}"), drain(60), None),
        (format!("{{{discovery}, interval: 10}}}}"), drain(60), Some(10)),
        (
            format!("{{{discovery}}}, basic: {{node_delete_behavior: immediate}}}}"),
            NodeDelete::Immediate,
            None,
        ),
        (
            format!("{{{discovery}}}, basic: {{node_delete_behavior: drain}}}}"),
            NodeDelete::Drain { limit: None },
            None,
        ),
        (format!("{{{discovery}}}, basic: {{node_drain_to_delete_timeout: 5}}}}"), drain(5), None),
        (
            format!("{{{discovery}}}, basic: {{node_drain_to_delete_timeout: 0}}}}"),
            NodeDelete::Drain { limit: None },
            None,
        ),
        (
            "{basic: {node_delete_behavior: drain, node_drain_to_delete_timeout: 7}}".to_owned(),
            drain(7),
            None,
        ),
        ("{basic: {node_drain_to_delete_timeout: 7}}".to_owned(), NodeDelete::Immediate, None),
    ] {
        let configuration = clean(&pool(&properties));
        let pool = &configuration.pools["p"];
        assert_eq!(pool.node_delete, delete, "{properties}");
        let actual = pool.discovery.as_ref().and_then(|discovery| discovery.interval);
        assert_eq!(actual, interval.map(Duration::from_secs), "{properties}");
    }
}

#[test]
fn nodes() {
    let nodes = |rows: &str| pool(&format!("{{basic: {{nodes_table: [{rows}]}}}}"));
    for good in ["'1.2.3.4:80'", "'[::1]:80'", "'a-b_c.example.com:65535'"] {
        assert_eq!(clean(&nodes(&format!("{{node: {good}}}"))).pools["p"].nodes.len(), 1, "{good}");
    }
    for bad in [
        "'1.2.3.4'",
        "'1.2.3.4:0'",
        "'1.2.3.4:65536'",
        "'::1:80'",
        "'[::1]'",
        "':80'",
        "'a b:80'",
        "'1.2.3:80'",
        "'a:+80'",
        "'[a]:80'",
        "a/b:80",
    ] {
        let configuration =
            faulty(&nodes(&format!("{{node: {bad}}}")), &["nodes_table", "is not a node", "host:port"]);
        assert_eq!(configuration.pools["p"].nodes, [], "{bad}");
    }
    let twice = faulty(&nodes("{node: 'A:80', weight: 3}, {node: 'a:80'}"), &["listed twice"]);
    assert_eq!(twice.pools["p"].nodes.len(), 1);
    assert_eq!(twice.pools["p"].nodes[0].host, NodeHost::Name("a".into()));
    faulty(&nodes("{node: 'a:80', source_ip: x}"), &["source_ip “x”"]);
}

#[test]
fn patterns_must_compile_and_the_default_holds_otherwise() {
    let monitor = |key: &str, pattern: &str| {
        format!(
            "monitors: [{{name: m, properties: {{basic: {{type: http}}, http: {{{key}: '{pattern}'}}}}}}]"
        )
    };
    for (pattern, reason) in [
        ("(", "unclosed group"),
        ("a(?=b)", "look-around"),
        ("(a)\\1", "backreferences"),
        ("\\w{5000}{50}", ""),
    ] {
        let configuration = faulty(
            &monitor("status_regex", pattern),
            &["http.status_regex", "is not a regular expression", reason],
        );
        let Probe::Http { status_regex, .. } = &configuration.monitors["m"].probe else { panic!() };
        assert_eq!(&**status_regex, "^[234][0-9][0-9]$", "{pattern}");
        let configuration = faulty(&monitor("body_regex", pattern), &["http.body_regex"]);
        let Probe::Http { body_regex, .. } = &configuration.monitors["m"].probe else { panic!() };
        assert_eq!(*body_regex, None, "{pattern}");
    }
    let basic = "basic: {port: 80, pool: discard}";
    faulty(
        &server(&format!("{{{basic}, http: {{location_regex: '[', location_replace: x}}}}")),
        &["http.location_regex"],
    );
    faulty(&server(&format!("{{{basic}, cookie: {{path_regex: '['}}}}")), &["cookie.path_regex"]);
    faulty(
        &server(&format!("{{{basic}, http: {{location_regex: 'a', location_replace: \"a\\r\\nX: 1\"}}}}")),
        &["location_replace", "control character"],
    );
}

#[test]
fn factory_monitors_are_there_and_may_be_changed() {
    let configuration = clean("monitors: [{name: Simple HTTP, properties: {basic: {delay: 1}}}]");
    assert_eq!(configuration.monitors.len(), 15, "all but DNS, whose program is not ours");
    let simple = &configuration.monitors["Simple HTTP"];
    assert_eq!((simple.delay, simple.timeout), (Duration::from_secs(1), Duration::from_secs(10)));
    let ftp = &configuration.monitors["FTP"];
    let Probe::TcpTransaction { close, response_regex, .. } = &ftp.probe else { panic!("{ftp:?}") };
    assert_eq!((&**close, &**response_regex), (b"QUIT\r\n".as_slice(), "(^|\\n)220 [^\\n]+\\n"));
    assert_eq!(configuration.monitors["SIP TLS"].probe, Probe::NotYet("sip"));
    let with_program = clean("monitor_scripts: [{name: dns.pl, content: x}]");
    assert!(matches!(with_program.monitors["DNS"].probe, Probe::Program { .. }));
}

#[test]
fn monitors() {
    let monitor = |properties: &str| format!("monitors: [{{name: m, properties: {properties}}}]");
    let fresh = clean(&monitor("{}"));
    let fresh = &fresh.monitors["m"];
    assert_eq!((&fresh.probe, &fresh.scope, fresh.failures), (&Probe::Ping, &Scope::PerNode, 3));
    assert_eq!((fresh.delay, fresh.timeout), (Duration::from_secs(3), Duration::from_secs(3)));
    for (machine, port) in
        [("a.example", None), ("'a.example:80'", Some(80)), ("'[::1]:80'", Some(80)), ("'::1'", None)]
    {
        let configuration = clean(&monitor(&format!("{{basic: {{scope: poolwide, machine: {machine}}}}}")));
        let Scope::PoolWide { port: actual, .. } = configuration.monitors["m"].scope else {
            panic!("{machine}")
        };
        assert_eq!(actual, port, "{machine}");
    }
    faulty(&monitor("{basic: {scope: poolwide}}"), &["basic.machine", "is not a machine"]);
    faulty(&monitor("{basic: {type: program}, script: {program: x.sh}}"), &["monitor script “x.sh”"]);
    for (key, value) in [
        ("path", "'/a b'"),
        ("path", "a"),
        ("host_header", "\"a\\r\\nb\""),
        ("authentication", "\"NEVER\\nSHOWN\""),
    ] {
        let configuration = faulty(
            &monitor(&format!("{{basic: {{type: http}}, http: {{{key}: {value}}}}}")),
            &[key, "cannot stand in a request"],
        );
        let Probe::Http { path, host_header, authentication, .. } = &configuration.monitors["m"].probe else {
            panic!()
        };
        assert_eq!((&**path, host_header, authentication), ("/", &None, &None));
    }
}

#[test]
fn escapes() {
    for (text, bytes) in [
        ("", b"".as_slice()),
        ("plain", b"plain"),
        ("a\\r\\n\\t", b"a\r\n\t"),
        ("\\x41\\xfF\\x00", b"A\xff\x00"),
        ("\\\\n", b"\\n"),
        ("\\x4", b"\\x4"),
        ("\\xg0", b"\\xg0"),
        ("\\d\\", b"\\d\\"),
        ("é", "é".as_bytes()),
    ] {
        assert_eq!(unescape(text), bytes, "{text}");
    }
}

#[test]
fn persistence_classes() {
    let class = |basic: &str| format!("persistence: [{{name: c, properties: {{basic: {{{basic}}}}}}}]");
    let method = |basic: &str| clean(&class(basic)).persistence["c"].method.clone();
    assert_eq!(method(""), Method::Ip { prefix_v4: 0, prefix_v6: 0 });
    assert_eq!(
        method("subnet_prefix_length_v4: 24, subnet_prefix_length_v6: 64"),
        Method::Ip { prefix_v4: 24, prefix_v6: 64 }
    );
    assert_eq!(method("type: cookie, cookie: JSESSIONID"), Method::Cookie { name: "JSESSIONID".into() });
    assert!(faulty(&class("type: cookie"), &["basic.cookie", "JSESSIONID"]).persistence.is_empty());
    assert!(faulty(&class("type: cookie, cookie: 'a b'"), &["basic.cookie"]).persistence.is_empty());
    let url = faulty(&class("failure_mode: url"), &["basic.url"]);
    assert_eq!(url.persistence["c"].failure_mode, FailureMode::NewNode);
    faulty(
        &class("type: transparent, transparent_directives: \"a\\nb\""),
        &["transparent_directives", "control character"],
    );
}

#[test]
fn two_virtual_servers_do_not_own_one_place() {
    let servers = |first: &str, second: &str| {
        let entry = |name: &str, more: &str| {
            format!(
                "{{name: {name}, properties: {{basic: {{enabled: true, pool: discard, port: 80, {more}}}}}}}"
            )
        };
        format!("virtual_servers: [{}, {}]", entry("a", first), entry("b", second))
    };
    let any = "listen_on_any: true";
    let at = |hosts: &str| format!("listen_on_any: false, listen_on_hosts: [{hosts}]");
    let clash =
        faulty(&servers(any, any), &["virtual_servers.b", "basic.port", "“a” already listens on port 80"]);
    assert!(clash.virtual_servers["a"].enabled && !clash.virtual_servers["b"].enabled);
    faulty(&servers(&at("1.1.1.1, 2.2.2.2"), &at("2.2.2.2")), &["already listens"]);
    clean(&servers(&at("1.1.1.1"), &at("2.2.2.2")));
    clean(&servers(any, &at("2.2.2.2")));
    clean(&servers(any, &format!("{any}, enabled: false")).replace(
        "enabled: true, pool: discard, port: 80, listen_on_any: true, enabled",
        "pool: discard, port: 80, enabled",
    ));
    faulty(&servers(any, "listen_on_any: false"), &["listens nowhere"]);
    faulty(&servers(any, &at("2.2.2.2, 'a b'")), &["“a b” is neither"]);
}

#[test]
fn tls_versions_follow_the_global_settings_and_never_vanish() {
    let text = |global: &str, own: &str| {
        format!(
            "global_settings: {{properties: {{ssl: {{{global}}}}}}}\n{}",
            pool(&format!("{{ssl: {{enable: true, {own}}}}}"))
        )
    };
    let versions = |configuration: &Configuration| {
        let versions = configuration.pools["p"].tls.as_ref().unwrap().versions;
        (versions.tls12, versions.tls13)
    };
    assert_eq!(versions(&clean(&text("", "server_name: true"))), (true, true));
    assert_eq!(versions(&clean(&text("support_tls1_2: false", "server_name: true"))), (false, true));
    assert_eq!(versions(&clean(&text("support_tls1_2: false", "support_tls1_2: enabled"))), (true, true));
    let (none, lines) = compiled(&text("support_tls1_2: false", "support_tls1_3: disabled"));
    assert_eq!(versions(&none), (false, true));
    assert!(lines.len() == 1 && lines[0].contains("TLS 1.3 stays on"), "{lines:?}");
}

#[test]
fn raw_objects_without_content_and_keys_without_halves_are_left_out() {
    assert!(faulty("extra_files: [{name: x}]", &["extra_files.x", "no content"]).extra_files.is_empty());
    assert!(
        faulty("ssl: {cas: [{name: x, content: !!binary /w==}]}", &["ssl.cas.x", "not PEM"])
            .certificate_authorities
            .is_empty()
    );
    let half = faulty(
        "ssl: {server_keys: [{name: x, properties: {basic: {private: NEVER-SHOWN}}}]}",
        &["ssl.server_keys.x.properties.basic.public", "left out"],
    );
    assert!(half.server_keys.is_empty());
}

#[test]
fn other_protocols_are_told_of_and_kept() {
    let documents = [Document {
        name: "a".to_owned(),
        text: server("{basic: {port: 80, pool: discard, protocol: udp}}").into_bytes(),
    }];
    let compiled = compile(&Input { watched: &documents, ..Input::default() }, &NoFiles);
    assert_eq!(compiled.diagnostics.len(), 1);
    assert_eq!(compiled.diagnostics[0].severity, Severity::Warning);
    assert_eq!(compiled.configuration.unwrap().virtual_servers["s"].protocol, Protocol::Other("udp"));
}

#[test]
fn every_protocol_of_the_format_has_its_place() {
    let key = SCHEMA.types["virtual_servers"].key("basic", "protocol").unwrap();
    let crate::schema::KeyKind::Enum(values) = &key.kind else { panic!() };
    for value in values {
        let text = server(&format!("{{basic: {{port: 80, pool: discard, protocol: {value}}}}}"));
        let (configuration, lines) = compiled(&text);
        let protocol = configuration.virtual_servers["s"].protocol;
        assert_eq!(protocol.word(), value);
        assert_eq!(lines.len(), usize::from(!protocol.is_served()), "{value}: {lines:?}");
    }
}

#[test]
fn generic_protocols() {
    let text = server(
        "{basic: {port: 80, pool: discard, protocol: pop3, rules_on_connect: true}, tcp: {proxy_close: true}, \
         connection: {server_first_banner: '+OK\\r\\n'}}",
    );
    let (configuration, lines) = compiled(&text);
    assert!(lines.is_empty(), "{lines:?}");
    let server = &configuration.virtual_servers["s"];
    assert_eq!(server.protocol, Protocol::Generic("pop3", Speaks::ServerFirst));
    assert_eq!(server.generic.server_first_banner.as_deref(), Some(&b"+OK\r\n"[..]));
    assert!(server.generic.rules_on_connect && server.generic.proxy_close);
    assert!(!server.waits_for_client());
    // TLS that is passed through is not taken off.
    for (protocol, decrypts) in [("ldaps", false), ("ldap", true), ("https", false), ("http", true)] {
        let text = server_of(protocol);
        let (configuration, lines) = compiled(&text);
        assert_eq!(configuration.virtual_servers["s"].tls.is_some(), decrypts, "{protocol}");
        let told = lines.iter().any(|line| line.contains("passed through and not decrypted"));
        assert_eq!(told, !decrypts, "{protocol}: {lines:?}");
    }
}

fn server_of(protocol: &str) -> String {
    server(&format!("{{basic: {{port: 80, pool: discard, ssl_decrypt: true, protocol: {protocol}}}}}"))
}
