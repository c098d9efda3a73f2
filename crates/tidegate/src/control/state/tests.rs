//! Tables of events and what follows from them.

mod rest_tests;

use tidegate_model::{
    VirtualServerName,
    pool::{Pool, ServiceDiscovery},
    tls::ServerTls,
    virtual_server::{DefaultPool, VirtualServer},
};

use super::*;

fn pool(name: &str, discovered: bool) -> Pool {
    let discovery = ServiceDiscovery {
        plugin: "BuiltIn-DNS_Stateless".into(),
        arguments: "--servicename=x".into(),
        interval: None,
        timeout: None,
    };
    Pool { discovery: discovered.then_some(discovery), ..Pool::named(name) }
}

fn server(name: &str, pool: &str) -> VirtualServer {
    VirtualServer { enabled: true, pool: DefaultPool::Pool(pool.into()), ..VirtualServer::named(name) }
}

/// Virtual server `vs` on pool `used`, and pool `spare` that nobody uses.
fn configuration(discovered: bool) -> Arc<Configuration> {
    let mut configuration = Configuration::default();
    for name in ["used", "spare"] {
        configuration.pools.insert(name.into(), Arc::new(pool(name, discovered)));
    }
    configuration.virtual_servers.insert("vs".into(), Arc::new(server("vs", "used")));
    Arc::new(configuration)
}

/// The same with another port.
fn another(configuration: &Arc<Configuration>, port: u16) -> Arc<Configuration> {
    let mut other = Configuration::clone(configuration);
    let mut vs = VirtualServer::clone(&other.virtual_servers[&VirtualServerName::from("vs")]);
    vs.port = port;
    other.virtual_servers.insert("vs".into(), Arc::new(vs));
    Arc::new(other)
}

fn good(configuration: &Arc<Configuration>) -> Event {
    Event::Compiled(Outcome {
        configuration: Some(Arc::clone(configuration)),
        base: None,
        objects: vec!["vservers/vs".to_owned()],
        faults: Vec::new(),
        imported: None,
        laid: None,
    })
}

fn bad() -> Event {
    bad_over(None)
}

/// Watched documents with an error over these base documents.
fn bad_over(base: Option<&Arc<Configuration>>) -> Event {
    Event::Compiled(Outcome {
        configuration: None,
        base: base.cloned(),
        objects: Vec::new(),
        faults: vec![Fault {
            severity: Severity::Error,
            text: "config/a: pools/p: nodes_tabel is no key".to_owned(),
        }],
        imported: None,
        laid: None,
    })
}

fn nodes(pool: &str, ports: std::ops::Range<u16>) -> Event {
    let set = NodeSet::of(ports.map(|port| ([127, 0, 0, 1], port).into()));
    Event::NodesFound(BTreeMap::from([(pool.into(), set)]))
}

fn serving(configuration: &Arc<Configuration>) -> Event {
    Event::Serving(Serving {
        generation: 1,
        configuration: Some(Arc::clone(configuration)),
        ..Serving::default()
    })
}

/// Short names of effects, log lines left out.
fn kinds(effects: &[Effect]) -> Vec<&'static str> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Compile(..) => Some("compile"),
            Effect::Lay(..) => Some("lay"),
            Effect::Answer(..) => Some("answer"),
            Effect::Discover(_) => Some("discover"),
            Effect::ResolveHosts(_) => Some("resolve"),
            Effect::Build(_) => Some("build"),
            Effect::TryListeners => Some("listen"),
            Effect::CheckCertificates => Some("certificates"),
            Effect::Ready(readiness) if readiness.is_ready() => Some("ready"),
            Effect::Ready(_) => Some("not ready"),
            Effect::Drain => Some("drain"),
            Effect::Log(_) | Effect::Imported(_) | Effect::Condition(_) | Effect::Active(_) => None,
        })
        .collect()
}

fn log(effects: &[Effect]) -> String {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Log(line) => Some(format!("{:?}: {}\n", line.level, line.text)),
            _ => None,
        })
        .collect()
}

/// A state with a step per event: time in milliseconds, event, expected effects.
#[derive(Default)]
struct Script(State);

impl Script {
    #[track_caller]
    fn step(&mut self, at: u64, event: Event, expected: &[&str]) -> Vec<Effect> {
        let described = format!("{event:?}");
        let effects = self.0.apply(event, Moment(at));
        assert_eq!(kinds(&effects), expected, "at {at} ms: {described:.200}");
        effects
    }

    /// Serving `configuration` without discovery, ready.
    fn serving(configuration: &Arc<Configuration>) -> Self {
        let mut script = Self::default();
        script.step(0, Event::DocumentsRead(Arc::default()), &["compile", "not ready"]);
        script.step(1, good(configuration), &["discover", "build"]);
        script.step(2, serving(configuration), &["ready"]);
        script
    }
}

#[test]
fn a_first_import_serves_and_is_ready() {
    let static_nodes = configuration(false);
    let mut script = Script::default();
    script.step(0, Event::DocumentsRead(Arc::default()), &["compile", "not ready"]);
    let effects = script.step(1, good(&static_nodes), &["discover", "build"]);
    assert!(log(&effects).contains("Creating vservers/vs"));
    let effects = script.step(2, serving(&static_nodes), &["ready"]);
    assert!(
        log(&effects).contains("generation 1 active: 1 virtual server listening, 2 pools"),
        "{}",
        log(&effects)
    );
    assert_eq!(script.0.wake(), None);
}

#[test]
fn readiness_waits_for_pools_in_use_and_not_for_ever() {
    let discovered = configuration(true);
    let mut script = Script::default();
    script.step(0, good(&discovered), &["discover", "not ready"]);
    // The build waits a moment for the first nodes, not longer.
    assert_eq!(script.0.wake(), Some(Moment(300)));
    script.step(300, Event::Tick, &["build"]);
    let effects = script.step(310, serving(&discovered), &["not ready"]);
    let Some(Effect::Ready(readiness)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(readiness.missing, ["pool used has had no answer from discovery yet"]);
    assert_eq!(script.0.wake(), Some(Moment(10_000)));
    let effects = script.step(10_000, Event::Tick, &["ready"]);
    assert!(log(&effects).contains("has not answered in time"));

    let mut script = Script::default();
    script.step(0, good(&discovered), &["discover", "not ready"]);
    script.step(5, nodes("spare", 1..2), &[]);
    script.step(10, nodes("used", 1..3), &["build"]);
    script.step(20, serving(&discovered), &["ready"]);
}

#[test]
fn documents_that_do_not_compile_change_nothing() {
    let first = configuration(false);
    let mut script = Script::serving(&first);
    script.step(100, Event::DocumentsRead(Arc::default()), &["compile"]);
    let effects = script.step(101, bad(), &[]);
    assert!(log(&effects).contains("nodes_tabel"));
    assert!(log(&effects).contains("the last good documents keep serving"));
    // Still at work.
    script.step(200, Event::DocumentsRead(Arc::default()), &["compile"]);
    script.step(201, good(&another(&first, 81)), &["discover", "build"]);

    let mut script = Script::default();
    let effects = script.step(0, bad(), &["not ready"]);
    assert!(log(&effects).contains("nothing is serving yet"));
}

#[test]
fn base_documents_serve_until_the_watched_ones_compile() {
    let base = configuration(false);
    let mut script = Script::default();
    let effects = script.step(0, bad_over(Some(&base)), &["discover", "build", "not ready"]);
    assert!(log(&effects).contains("the base documents serve meanwhile"));
    // Once something serves, a later fault does not go back to them.
    let mut script = Script::serving(&another(&base, 81));
    script.step(100, Event::DocumentsRead(Arc::default()), &["compile"]);
    let effects = script.step(101, bad_over(Some(&base)), &[]);
    assert!(log(&effects).contains("the last good documents keep serving"));
}

#[test]
fn documents_that_say_the_same_build_nothing() {
    let first = configuration(false);
    let mut script = Script::serving(&first);
    script.step(100, Event::DocumentsRead(Arc::default()), &["compile"]);
    script.step(101, good(&Arc::new(Configuration::clone(&first))), &[]);
}

#[test]
fn one_import_at_a_time_and_only_the_latest_after_it() {
    let first = configuration(false);
    let mut script = Script::serving(&first);
    script.step(100, Event::DocumentsRead(Arc::default()), &["compile"]);
    script.step(101, Event::DocumentsRead(Arc::default()), &[]);
    script.step(102, Event::DocumentsRead(Arc::default()), &[]);
    script.step(103, bad(), &["compile"]);
    script.step(104, bad(), &[]);
}

#[test]
fn a_thousand_node_changes_cost_one_build_more() {
    let discovered = configuration(true);
    let mut script = Script::default();
    script.step(0, good(&discovered), &["discover", "not ready"]);
    script.step(1, nodes("used", 1..2), &[]);
    script.step(1, nodes("spare", 1..2), &["build"]);
    for change in 0..1000 {
        script.step(2, nodes("used", 1..3 + change), &[]);
    }
    script.step(10, serving(&discovered), &["ready"]);
    assert_eq!(script.0.wake(), Some(Moment(30)));
    let effects = script.step(30, Event::Tick, &["build"]);
    let Some(Effect::Build(order)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(order.nodes[&PoolName::from("used")].len(), 1001);
    script.step(40, serving(&discovered), &[]);
    assert_eq!(script.0.wake(), None);
}

#[test]
fn nodes_that_are_the_same_or_of_no_pool_build_nothing() {
    let discovered = configuration(true);
    let mut script = Script::default();
    script.step(0, good(&discovered), &["discover", "not ready"]);
    script.step(1, nodes("used", 1..4), &[]);
    script.step(1, nodes("spare", 0..0), &["build"]);
    script.step(2, serving(&discovered), &["ready"]);
    script.step(100, nodes("used", 1..4), &[]);
    script.step(100, nodes("gone", 1..4), &[]);
    assert_eq!(script.0.wake(), None);
    let effects = script.step(101, nodes("used", 2..5), &["build"]);
    assert!(log(&effects).contains("3 nodes: +127.0.0.1:4 -127.0.0.1:1"), "{}", log(&effects));
}

#[test]
fn listeners_that_cannot_open_are_told_once_and_tried_again() {
    let first = configuration(false);
    let closed = vec![ClosedListener {
        virtual_server: "vs".into(),
        address: "0.0.0.0:80".parse().unwrap(),
        reason: "address in use".to_owned(),
    }];
    let mut script = Script::default();
    script.step(0, good(&first), &["discover", "build", "not ready"]);
    let effects = script.step(
        10,
        Event::Serving(Serving {
            generation: 1,
            configuration: Some(Arc::clone(&first)),
            closed: closed.clone(),
            ..Serving::default()
        }),
        &["ready"],
    );
    assert!(log(&effects).contains("cannot listen on 0.0.0.0:80: address in use"));
    assert_eq!(script.0.wake(), Some(Moment(2010)));
    script.step(2010, Event::Tick, &["listen"]);
    assert_eq!(script.0.wake(), None);
    let effects = script.step(2020, Event::ListenersTried(closed), &[]);
    assert_eq!(log(&effects), "");
    script.step(4020, Event::Tick, &["listen"]);
    let effects = script.step(4030, Event::ListenersTried(Vec::new()), &[]);
    assert!(log(&effects).contains("listening on 0.0.0.0:80 after all"), "{}", log(&effects));
    assert_eq!(script.0.wake(), None);
}

#[test]
fn a_draining_node_leaves_by_a_build_at_its_time() {
    let first = configuration(false);
    let mut script = Script::default();
    script.step(0, good(&first), &["discover", "build", "not ready"]);
    script.step(
        10,
        Event::Serving(Serving {
            configuration: Some(Arc::clone(&first)),
            next_expiry: Some(Moment(60_000)),
            ..Serving::default()
        }),
        &["ready"],
    );
    assert_eq!(script.0.wake(), Some(Moment(60_000)));
    script.step(60_000, Event::Tick, &["build"]);
    script.step(60_010, serving(&first), &[]);
    assert_eq!(script.0.wake(), None);
}

#[test]
fn faults_of_objects_are_told_once() {
    let first = configuration(false);
    let with_problem = || {
        Event::Serving(Serving {
            configuration: Some(Arc::clone(&first)),
            problems: vec![("ssl/server_keys/site".to_owned(), "the key does not fit".to_owned())],
            ..Serving::default()
        })
    };
    let mut script = Script::default();
    script.step(0, good(&first), &["discover", "build", "not ready"]);
    let effects = script.step(10, with_problem(), &["ready"]);
    assert!(log(&effects).contains("Error: ssl/server_keys/site: the key does not fit"));
    script.step(100, Event::HostsResolved(BTreeMap::from([("h".into(), Vec::new())])), &["build"]);
    assert_eq!(log(&script.step(110, with_problem(), &[])), "");
    script.step(200, Event::HostsResolved(BTreeMap::new()), &["build"]);
    let effects = script.step(210, serving(&first), &[]);
    assert!(log(&effects).contains("ssl/server_keys/site is in order again"));
}

#[test]
fn certificates_are_looked_at_on_every_import_and_once_a_day() {
    let plain = configuration(false);
    let mut vs = server("vs", "used");
    vs.tls = Some(ServerTls::of(["key".into()]));
    let mut with_tls = Configuration::clone(&plain);
    with_tls.virtual_servers.insert("vs".into(), Arc::new(vs));
    let with_tls = Arc::new(with_tls);
    let day = 24 * 3_600_000;
    let mut script = Script::default();
    script.step(0, good(&with_tls), &["discover", "build", "not ready"]);
    script.step(10, serving(&with_tls), &["certificates", "ready"]);
    assert_eq!(script.0.wake(), Some(Moment(10 + day)));
    script.step(10 + day, Event::Tick, &["certificates"]);
    // A build for another reason is no import.
    script.step(20 + day, Event::HostsResolved(BTreeMap::from([("h".into(), Vec::new())])), &["build"]);
    script.step(30 + day, serving(&with_tls), &[]);
    assert_eq!(script.0.wake(), Some(Moment(10 + 2 * day)));
    // Nobody wakes for certificates that are not there.
    script.step(100 + day, good(&plain), &["discover", "build"]);
    script.step(110 + day, serving(&plain), &[]);
    assert_eq!(script.0.wake(), None);
}

#[test]
fn a_lost_build_is_not_the_end() {
    let first = configuration(false);
    let mut script = Script::default();
    script.step(0, good(&first), &["discover", "build", "not ready"]);
    script.step(1, Event::BuildLost("panic".to_owned()), &[]);
    script.step(100, Event::HostsResolved(BTreeMap::from([("h".into(), Vec::new())])), &["build"]);
}

#[test]
fn unreadable_documents_are_told_once() {
    let first = configuration(false);
    let mut script = Script::serving(&first);
    let unreadable = || Event::DocumentsUnreadable("permission denied".to_owned());
    let effects = script.step(100, unreadable(), &[]);
    assert!(log(&effects).contains("what is serving stays as it is: permission denied"));
    assert_eq!(log(&script.step(200, unreadable(), &[])), "");
    let effects = script.step(300, Event::DocumentsRead(Arc::default()), &["compile"]);
    assert!(log(&effects).contains("can be read again"));
}

#[test]
fn a_build_waits_for_the_names_it_listens_on() {
    let mut named = Configuration::clone(&configuration(false));
    let mut vs = server("vs", "used");
    vs.listen = Listen::Hosts(vec![ListenHost::Name("front".into())]);
    named.virtual_servers.insert("vs".into(), Arc::new(vs));
    let mut script = Script::default();
    script.step(0, good(&Arc::new(named)), &["discover", "resolve", "not ready"]);
    let table = BTreeMap::from([("front".into(), vec!["127.0.0.1".parse().unwrap()])]);
    let effects = script.step(5, Event::HostsResolved(table), &["build"]);
    let Some(Effect::Build(order)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(order.listen_hosts.len(), 1);
}

#[test]
fn after_shutdown_nothing_starts() {
    let first = configuration(false);
    let mut script = Script::serving(&first);
    let effects = script.step(100, Event::Shutdown, &["not ready", "drain"]);
    let Some(Effect::Ready(readiness)) = effects.first() else { panic!("{effects:?}") };
    assert!(readiness.missing[0].contains("shutting down"));
    script.step(101, Event::DocumentsRead(Arc::default()), &[]);
    script.step(102, nodes("used", 1..9), &[]);
    script.step(103, Event::Shutdown, &[]);
    assert_eq!(script.0.wake(), None);
}
