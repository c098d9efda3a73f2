use std::collections::BTreeMap;

use tidegate_model::{
    Configuration, NodeSet, Rule, RuleEntry, RuleName, VirtualServer as Server,
    persistence::Method as Type,
    pool::{NodeEntry, NodeState as State},
    virtual_server::{Listen, ListenHost, Speaks},
};
use tidegate_trafficscript::{Options, compile};

use super::*;
use crate::snapshot::{BuildContext, build};

const NOW: Moment = Moment(1_000);

fn row(port: u16, state: State) -> NodeEntry {
    let host = NodeHost::Address(Ipv4Addr::LOCALHOST.into());
    NodeEntry { host, port, state, weight: 1, priority: 1, source_ip: None }
}

fn pool(name: &str, ports: &[u16]) -> tidegate_model::Pool {
    let nodes = ports.iter().map(|port| row(*port, State::Active)).collect();
    tidegate_model::Pool { nodes, ..tidegate_model::Pool::named(name) }
}

fn server(name: &str, port: u16, pool: &str, rules: &[&str]) -> Server {
    let entry = |rule: &&str| RuleEntry {
        rule: rule.trim_start_matches('/').into(),
        enabled: !rule.starts_with('/'),
    };
    Server {
        enabled: true,
        port,
        pool: DefaultPool::Pool(pool.into()),
        request_rules: rules.iter().map(entry).collect(),
        ..Server::named(name)
    }
}

fn rule(name: &str, text: &str) -> Arc<Rule> {
    let options = Options::default();
    let compiled = compile(name, text.as_bytes(), &options, &|_| None);
    Arc::new(Rule {
        name: RuleName::from(name),
        source: text.as_bytes().into(),
        options,
        imports: Vec::new(),
        program: compiled.program,
        notes: compiled.notes.into(),
    })
}

fn world(servers: Vec<Server>, pools: Vec<tidegate_model::Pool>, rules: &[(&str, &str)]) -> Configuration {
    let mut configuration = Configuration::default();
    for server in servers {
        configuration.virtual_servers.insert(server.name.clone(), Arc::new(server));
    }
    for pool in pools {
        configuration.pools.insert(pool.name.clone(), Arc::new(pool));
    }
    for (name, text) in rules {
        configuration.rules.insert((*name).into(), rule(name, text));
    }
    configuration
}

fn snapshot(configuration: &Configuration) -> Arc<Snapshot> {
    let context = BuildContext {
        session_key: [0; 32],
        now: NOW,
        seed: 0,
        listen_hosts: BTreeMap::new(),
        ipv6: false,
        workers: 1,
        access_logs: None,
        traces: None,
    };
    let found: BTreeMap<_, NodeSet> = BTreeMap::new();
    build(configuration, &found, None, &context).snapshot
}

fn question(target: &str) -> Question {
    Question {
        method: "GET".to_owned(),
        target: target.to_owned(),
        host: "site.example".to_owned(),
        headers: Vec::new(),
        client: ([192, 0, 2, 7], 1).into(),
        secure: false,
        at: At::Port(80),
    }
}

fn ask(configuration: &Configuration, question: &Question) -> Result<Explanation, String> {
    explain(&snapshot(configuration), question, (NOW, 0), &Around::default())
}

#[test]
fn the_default_pool_and_its_node() {
    let configuration = world(vec![server("site", 80, "web", &[])], vec![pool("web", &[1, 2])], &[]);
    let found = ask(&configuration, &question("/")).unwrap();
    assert_eq!((found.server.name.as_str(), found.pools.len()), ("site", 1));
    assert_eq!(found.node.as_deref(), Some("127.0.0.1:1"));
    assert_eq!(found.verdict, "127.0.0.1:1 gets it: it is its turn (round_robin).");
    assert_eq!(found.notes, [""; 0]);
}

#[test]
fn rules_run_over_the_request_and_choose() {
    let rules = [
        ("first", "http.setHeader( \"X-A\", \"b\" ); http.removeHeader( \"Gone\" ); log.info( \"seen\" );"),
        ("api", "if( string.startsWith( http.getPath(), \"/api\" ) ) pool.use( \"api\" );"),
        ("never", "http.redirect( \"/elsewhere\" );"),
        ("broken", "$a = ;"),
        ("aborts", "string.split();"),
    ];
    let mut site = server("site", 80, "web", &["first", "/never", "broken", "api", "never"]);
    site.response_rules = vec![RuleEntry { rule: "first".into(), enabled: true }];
    let configuration = world(vec![site], vec![pool("web", &[1]), pool("api", &[2])], &rules);
    let mut asked = question("/api/x");
    asked.headers = vec![("Gone".to_owned(), "1".to_owned())];
    let found = ask(&configuration, &asked).unwrap();
    let said: Vec<_> =
        found.rules.iter().map(|rule| (rule.name.as_str(), rule.state, rule.outcome.as_str())).collect();
    let expected = [
        ("first", "ran", "header X-A: b; no header Gone; log: seen"),
        ("never", "off", "it is switched off in this list (a “/” before its name)"),
        ("broken", "off", "it has an error and does not run; the log and status/local_tm/state tell which"),
        ("api", "ran", "pool api; ends the request rules"),
        ("never", "skipped", "the rule api before it has ended the request rules"),
        ("first", "later", "runs when a node has answered"),
    ];
    assert_eq!(said, expected);
    assert_eq!(found.node.as_deref(), Some("127.0.0.1:2"));
    assert_eq!(found.pools[0].because, "a rule has chosen it");

    let found = ask(&configuration, &question("/other")).unwrap();
    assert_eq!(found.verdict, "A rule answers it: a reply: 302 Found to /elsewhere.");
    assert!(found.pools.is_empty() && found.node.is_none());
}

#[test]
fn protocols_other_than_http() {
    let rules = [
        ("routes", "if( request.getRemoteIP() == \"192.0.2.7\" ) pool.select( \"api\" );"),
        ("answers", "request.sendResponse( \"bye\" );"),
    ];
    let ask_with = |rules_of: &[&str]| {
        let mut site = server("site", 80, "web", rules_of);
        site.protocol = Protocol::Generic("pop3", Speaks::ServerFirst);
        ask(&world(vec![site], vec![pool("web", &[1]), pool("api", &[2])], &rules), &question("/")).unwrap()
    };
    let found = ask_with(&["routes"]);
    assert_eq!(found.node.as_deref(), Some("127.0.0.1:2"));
    assert_eq!(found.notes, ["its protocol is pop3: rules see a client that has not sent anything yet"]);
    let found = ask_with(&["answers"]);
    assert_eq!(found.verdict, "A rule answers it: the client is answered with bye.");
}

#[test]
fn what_rules_cannot_have_here_is_told() {
    let rules = [(
        "r",
        "$b = http.request.get( \"http://127.0.0.1:1/\" ); $h = net.dns.resolveHost( \"a.example\" ); pool.use( \"discard\" );",
    )];
    let configuration = world(vec![server("site", 80, "web", &["r"])], vec![pool("web", &[1])], &rules);
    let found = ask(&configuration, &question("/")).unwrap();
    assert_eq!(found.verdict, "A rule decides: the connection is closed without a reply.");
    let notes = found.notes.join("\n");
    assert!(notes.contains("http://127.0.0.1:1/") && notes.contains("a.example"), "{notes}");
}

#[test]
fn failure_pools_sessions_and_busy_nodes() {
    let mut web = pool("web", &[]);
    web.nodes = vec![row(1, State::Draining), row(2, State::Disabled)];
    web.failure_pool = Some("spare".into());
    web.persistence = Some("by-cookie".into());
    let mut spare = pool("spare", &[3]);
    spare.persistence = Some("by-ip".into());
    let mut configuration = world(vec![server("site", 80, "web", &[])], vec![web, spare], &[]);
    let class = |name: &str, method| PersistenceClass {
        name: name.into(),
        method,
        failure_mode: FailureMode::NewNode,
        delete: true,
    };
    for class in [
        class("by-cookie", Type::Cookie { name: "SID".into() }),
        class("by-ip", Type::Ip { prefix_v4: 0, prefix_v6: 0 }),
    ] {
        configuration.persistence.insert(class.name.clone(), Arc::new(class));
    }
    let found = ask(&configuration, &question("/")).unwrap();
    assert_eq!(found.pools.len(), 2);
    assert_eq!(found.pools[0].outcome, "No node: no node takes new sessions; the failure pool is asked.");
    assert_eq!(found.pools[0].persistence, Some(("by-cookie".to_owned(), "cookie")));
    assert_eq!(found.pools[1].because, "it is the failure pool of web");
    assert_eq!(found.pools[1].session, "no session yet: a new one");
    assert_eq!(found.node.as_deref(), Some("127.0.0.1:3"));
    // Nothing was remembered by asking.
    let again = ask(&configuration, &question("/")).unwrap();
    assert_eq!(again.pools[1].session, "no session yet: a new one");
    // Without the failure pool there is nothing but the error page.
    let mut alone = pool("web", &[]);
    alone.nodes = vec![row(1, State::Disabled)];
    configuration.pools.insert("web".into(), Arc::new(alone));
    let found = ask(&configuration, &question("/")).unwrap();
    assert!(found.verdict.starts_with("It gets the error page (503)"), "{}", found.verdict);
}

#[test]
fn a_node_that_a_rule_names() {
    let rules =
        [("in", "pool.use( \"web\", \"127.0.0.1\", 2 );"), ("out", "pool.use( \"web\", \"10.9.9.9\", 80 );")];
    for (name, node, told) in
        [("in", "127.0.0.1:2", "a rule has chosen it"), ("out", "10.9.9.9:80", "not in the pool")]
    {
        let configuration =
            world(vec![server("site", 80, "web", &[name])], vec![pool("web", &[1, 2])], &rules);
        let found = ask(&configuration, &question("/")).unwrap();
        assert_eq!(found.node.as_deref(), Some(node));
        assert!(found.pools[0].outcome.contains(told), "{}", found.pools[0].outcome);
    }
}

#[test]
fn what_rules_ask_of_others_is_assumed() {
    let rules = [(
        "asks",
        r#"$user = auth.query( "people", "ada", "secret" );
           log.info( $user["OK"] . "|" . tcp.connect( "10.0.0.1", 25 ) . "|" . udp.sendTo( "10.0.0.2", 514, "x" ) );
           log.info( "[" . geo.getCountry( "192.0.2.7" ) . "]" . geo.getLocation() );"#,
    )];
    let configuration = world(vec![server("site", 80, "web", &["asks"])], vec![pool("web", &[1])], &rules);
    let found = ask(&configuration, &question("/")).unwrap();
    assert_eq!(found.rules[0].outcome, "log: 0|0|0; log: []");
    for told in [
        "a rule asks the directory people about ada: nothing is sent here",
        "a rule connects to 10.0.0.1, port 25: nothing is sent here",
        "a rule sends to 10.0.0.2, port 514: nothing is sent here",
    ] {
        assert!(found.notes.iter().any(|note| note.starts_with(told)), "{:?}", found.notes);
    }
    assert!(!found.notes.iter().any(|note| note.contains("secret")), "{:?}", found.notes);
}

#[test]
fn the_virtual_server_is_found_by_address_port_or_name() {
    let on = |name: &str, address: [u8; 4], port| Server {
        listen: Listen::Hosts(vec![ListenHost::Address(address.into())]),
        ..server(name, port, "web", &[])
    };
    let disabled = Server { enabled: false, ..server("off", 82, "web", &[]) };
    let servers = vec![
        server("any", 80, "web", &[]),
        on("inner", [10, 0, 0, 1], 80),
        on("a", [10, 0, 0, 1], 81),
        on("b", [10, 0, 0, 2], 81),
        disabled,
    ];
    let configuration = world(servers, vec![pool("web", &[1])], &[]);
    let at = |at: At| ask(&configuration, &Question { at, ..question("/") });
    let name = |place: At| at(place).unwrap().server.name.to_string();
    assert_eq!(name(At::Port(80)), "any");
    assert_eq!(name(At::Address(([10, 0, 0, 1], 80).into())), "inner");
    assert_eq!(name(At::Address(([10, 0, 0, 9], 80).into())), "any");
    assert_eq!(name(At::Address(([10, 0, 0, 2], 81).into())), "b");
    assert_eq!(name(At::Server("a".to_owned())), "a");
    assert!(at(At::Port(80)).unwrap().notes[0].contains("inner"));
    for (place, told) in [
        (At::Port(81), "name one"),
        (At::Port(83), "these serve: a (10.0.0.1:81)"),
        (At::Address(([10, 0, 0, 9], 81).into()), "no virtual server listens there"),
        (At::Server("off".to_owned()), "disabled"),
        (At::Server("x".to_owned()), "there is no virtual server x"),
    ] {
        let error = at(place.clone()).unwrap_err();
        assert!(error.contains(told), "{place:?}: {error}");
    }
    let none = world(Vec::new(), Vec::new(), &[]);
    assert_eq!(ask(&none, &question("/")).unwrap_err(), "no virtual server is serving");
}

#[test]
fn what_is_no_request_is_refused_as_on_the_data_path() {
    let configuration = world(vec![server("site", 80, "web", &[])], vec![pool("web", &[1])], &[]);
    for (name, value) in [("Content-Length", "x"), ("A b", "c"), ("X", "a\r\nHost: b")] {
        let asked = Question { headers: vec![(name.to_owned(), value.to_owned())], ..question("/") };
        let found = ask(&configuration, &asked).unwrap();
        assert!(found.verdict.starts_with("It is refused with 400"), "{name}: {}", found.verdict);
        assert!(found.node.is_none());
    }
    let secure = ask(&configuration, &Question { secure: true, ..question("/") }).unwrap();
    assert!(secure.notes[0].contains("ssl_decrypt"), "{:?}", secure.notes);
}
