//! What rules ask of a pool: other classes, keys and nodes of sessions, nodes to avoid, what they see of nodes.

use std::{sync::Arc, time::Duration};

use tidegate_model::{
    GlobalSettings, Moment, PersistenceClass, Pool as Settings,
    persistence::{FailureMode, Method},
    pool::{Algorithm, NodeDelete, NodeState},
};
use tidegate_pool::{
    Asked, Choice, FailureKind, NoNode, NodeSpec, Pool, PoolContext, Session, SessionKey, Slot, Standing,
    Tried, session::Found,
};

use crate::fixture::{
    CLIENT, Random, T0, after, algorithm, build, context, fail, ip, member, node, nodes, number, rebuild,
    settings, slot_of, transparent, tried, with,
};

type Class = Arc<PersistenceClass>;

fn of(name: &str, method: Method, failure_mode: FailureMode) -> Class {
    Arc::new(PersistenceClass { name: name.into(), method, failure_mode, delete: true })
}

fn universal() -> Class {
    of("by key", Method::Universal, FailureMode::NewNode)
}

fn named(failure_mode: FailureMode) -> Class {
    of("by node", Method::Named, failure_mode)
}

fn start(own: Option<&Class>, specs: &[NodeSpec]) -> Arc<Pool> {
    Pool::build(Arc::new(settings()), own.cloned(), specs, None, &context(T0))
}

fn keyed<'a>(class: Option<&'a Class>, key: &'a str) -> Asked<'a> {
    Asked { class, key: Some(key.as_bytes()), node: None }
}

fn at<'a>(class: Option<&'a Class>, node: &'a str) -> Asked<'a> {
    Asked { class, key: None, node: Some(node) }
}

fn session(pool: &Pool, asked: &Asked<'_>, now: Moment) -> Session {
    pool.session_asked(asked, [], CLIENT, now)
}

fn choose<'a>(pool: &'a Pool, asked: &Asked<'_>) -> Result<Choice<'a>, NoNode> {
    pool.choose(&session(pool, asked, T0), &Tried::none(), T0, 0)
}

fn goes_to(pool: &Pool, asked: &Asked<'_>) -> Result<(u16, bool), NoNode> {
    choose(pool, asked).map(|choice| (number(&choice), choice.sticky))
}

/// The pool's own class and no class, with the class asked for where it is not the own.
fn both_ways(class: &Class) -> [(Arc<Pool>, Option<Class>); 2] {
    [(start(Some(class), &nodes(1..=5)), None), (start(None, &nodes(1..=5)), Some(class.clone()))]
}

#[test]
fn a_key_given_by_a_rule_keeps_its_node() {
    for (pool, asked) in both_ways(&universal()) {
        let asked = asked.as_ref();
        let keys: Vec<String> = (0..40).map(|n| format!("key {n}")).collect();
        let homes: Vec<u16> = keys.iter().map(|key| goes_to(&pool, &keyed(asked, key)).unwrap().0).collect();
        assert_eq!(pool.counters().sessions.entries, 40);
        // More nodes, in another order: the sessions stay, and with them the table.
        let mut specs = nodes(1..=9);
        specs.reverse();
        let pool = rebuild(&pool, &specs, T0);
        for (key, home) in keys.iter().zip(homes) {
            assert_eq!(goes_to(&pool, &keyed(asked, key)), Ok((home, true)), "{key}");
        }
        assert_eq!(pool.counters().sessions.entries, 40);
    }
}

#[test]
fn traffic_managers_agree_on_new_keys() {
    let (one, two) = (start(Some(&universal()), &nodes(1..=9)), start(None, &nodes(1..=9)));
    let class = universal();
    let mut homes: Vec<u16> = (0..200)
        .map(|n| {
            let key = format!("user{n}");
            let home = goes_to(&one, &keyed(None, &key)).unwrap().0;
            assert_eq!(goes_to(&two, &keyed(Some(&class), &key)).unwrap().0, home, "{key}");
            home
        })
        .collect();
    homes.sort_unstable();
    homes.dedup();
    assert_eq!(homes, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn without_key_or_node_there_is_no_session() {
    for class in [universal(), named(FailureMode::Close)] {
        for (pool, asked) in both_ways(&class) {
            let asked = Asked { class: asked.as_ref(), ..Asked::default() };
            assert_eq!(session(&pool, &asked, T0).found(), Found::New);
            let turns: Vec<u16> = (0..5).map(|_| goes_to(&pool, &asked).unwrap().0).collect();
            assert_eq!(turns, [1, 2, 3, 4, 5]);
            assert_eq!(pool.counters().sessions.entries, 0);
        }
    }
    let pool = start(Some(&named(FailureMode::Close)), &nodes(1..=2));
    assert_eq!(session(&pool, &at(None, "  "), T0).found(), Found::New);
}

#[test]
fn keys_are_bounded_and_expire() {
    let global = GlobalSettings {
        universal_session_table_size: 3,
        universal_session_expiry: Some(Duration::from_secs(10)),
        ..GlobalSettings::default()
    };
    let context = |global: &GlobalSettings| PoolContext::new(T0, 0, SessionKey::new([7; 32]), global);
    let class = universal();
    for (own, asked) in [(Some(&class), None), (None, Some(&class))] {
        let build = |global: &GlobalSettings, previous: Option<&Arc<Pool>>| {
            Pool::build(with(|_| ()), own.cloned(), &nodes(1..=3), previous, &context(global))
        };
        let pool = build(&global, None);
        for key in ["a", "b", "c", "d"] {
            choose(&pool, &keyed(asked, key)).unwrap();
        }
        let counters = pool.counters().sessions;
        assert_eq!((counters.entries, counters.evicted), (3, 1));
        let found = |pool: &Pool, key, now| session(pool, &keyed(asked, key), now).found();
        assert_eq!(found(&pool, "a", T0), Found::New);
        assert!(matches!(found(&pool, "d", after(9)), Found::Node(_)));
        assert_eq!(found(&pool, "d", after(19)), Found::New);
        assert_eq!(pool.counters().sessions.expired, 1);
        // The lifetime is raised: the table stays.
        let longer = GlobalSettings { universal_session_expiry: None, ..global.clone() };
        let pool = build(&longer, Some(&pool));
        assert!(matches!(found(&pool, "b", after(1000)), Found::Node(_)), "{own:?}");
    }
}

#[test]
fn a_node_named_by_a_rule() {
    let class = named(FailureMode::NewNode);
    let labelled = NodeSpec { label: "web:81".into(), ..NodeSpec::of("[2001:db8::7]:81".parse().unwrap()) };
    let specs = [node(1), node(2), labelled, NodeSpec::of("10.0.0.2:9090".parse().unwrap())];
    for (own, asked) in [(Some(&class), None), (None, Some(&class))] {
        let pool = start(own, &specs);
        let table: [(&str, Option<&str>); 10] = [
            ("10.0.0.2:8080", Some("10.0.0.2:8080")),
            ("10.0.0.2:9090", Some("10.0.0.2:9090")),
            ("10.0.0.2:1", Some("10.0.0.2:8080")),
            (" 10.0.0.2 ", Some("10.0.0.2:8080")),
            ("web:81", Some("[2001:db8::7]:81")),
            ("[2001:db8:0:0::7]:81", Some("[2001:db8::7]:81")),
            ("[2001:db8::7]:80", Some("[2001:db8::7]:81")),
            ("10.0.0.3:8080", None),
            ("web:82", None),
            ("nonsense", None),
        ];
        for (name, expected) in table {
            let choice = choose(&pool, &at(asked, name)).unwrap();
            assert_eq!(choice.sticky, expected.is_some(), "{name}");
            if let Some(expected) = expected {
                assert_eq!(choice.node.address(), expected.parse().unwrap(), "{name}");
            }
        }
        assert_eq!(pool.counters().sessions_moved, 3);
        assert_eq!(pool.counters().sessions.entries, 0);
    }
}

#[test]
fn failure_modes_are_those_of_the_class_asked_for() {
    let url = FailureMode::Url("http://sorry/".into());
    for mode in [FailureMode::NewNode, url, FailureMode::Close] {
        for method in [Method::Universal, Method::Named] {
            let class = of("asked", method, mode.clone());
            // The pool's own class has another mode.
            let pool = start(ip().as_ref(), &nodes(1..=3));
            let asked = Asked { class: Some(&class), key: Some(b"k"), node: Some("10.0.0.2:8080") };
            let home = goes_to(&pool, &asked).unwrap().0;
            fail(&pool, home, T0);
            let now = goes_to(&pool, &asked);
            match &mode {
                FailureMode::NewNode => assert!(now.unwrap().0 != home),
                other => {
                    assert_eq!(now, Err(NoNode::SessionFailed(other.clone())));
                    // `delete`: the next request is of a new session. A named node stays named.
                    assert_eq!(goes_to(&pool, &asked).is_ok(), class.method == Method::Universal);
                }
            }
        }
    }
}

#[test]
fn draining_nodes_serve_sessions_given_by_rules() {
    let draining = |n: u16| NodeSpec { state: NodeState::Draining, ..node(n) };
    for method in [Method::Universal, Method::Named] {
        let class = of("asked", method, FailureMode::NewNode);
        let pool = start(None, &nodes(1..=3));
        let asked = Asked { class: Some(&class), key: Some(b"k"), node: Some("10.0.0.2:8080") };
        let home = goes_to(&pool, &asked).unwrap().0;
        let specs: Vec<NodeSpec> = (1..=3).map(|n| if n == home { draining(n) } else { node(n) }).collect();
        let pool = rebuild(&pool, &specs, T0);
        assert_eq!(goes_to(&pool, &asked), Ok((home, true)));
        // It leaves: as with a class of the pool's own it stays for its sessions until the limit.
        let rest: Vec<NodeSpec> = (1..=3).filter(|n| *n != home).map(node).collect();
        let pool = rebuild(&pool, &rest, T0);
        let pool = rebuild(&pool, &rest, after(59));
        assert_eq!(goes_to(&pool, &asked), Ok((home, true)));
        let pool = rebuild(&pool, &rest, after(60));
        assert_ne!(goes_to(&pool, &asked).unwrap().0, home);
    }
}

#[test]
fn other_classes_of_every_type() {
    let pool = start(ip().as_ref(), &nodes(1..=3));
    let cookie = of("app", Method::Cookie { name: "SID".into() }, FailureMode::NewNode);
    let mapping = Arc::new(PersistenceClass {
        name: "map".into(),
        ..PersistenceClass::clone(&transparent(FailureMode::NewNode).unwrap())
    });
    let ask = |class: &Class, cookies: &'static str| {
        let asked = Asked { class: Some(class), ..Asked::default() };
        pool.session_asked(&asked, [cookies.as_bytes()], CLIENT, T0)
    };
    let new = ask(&cookie, "SID=1");
    assert_eq!((new.found(), pool.learns_cookies(), pool.learns_cookies_in(&new)), (Found::New, false, true));
    pool.learn_in(&new, [b"SID=1".as_slice()], slot_of(&pool, 2), T0);
    assert_eq!(ask(&cookie, "SID=1").found(), Found::Node(slot_of(&pool, 2)));

    let new = ask(&mapping, "");
    let line = pool.response_cookie(&new, slot_of(&pool, 3)).unwrap();
    assert!(line.starts_with(b"Set-Cookie: X-Mapping-"));
    assert_eq!(pool.class_of(&new).unwrap().name.as_str(), "map");
    assert_eq!(pool.forget_cookie(&new), None);

    let off = ask(&of("old", Method::XZeus, FailureMode::Close), "");
    assert_eq!((off.found(), pool.class_of(&off)), (Found::Off, None));
    // The pool's own class by name is its own.
    assert_eq!(pool.class_of(&ask(&ip().unwrap(), "")).unwrap(), &ip().unwrap());
}

#[test]
fn other_classes_are_bounded() {
    let pool = start(None, &nodes(1..=3));
    let classes: Vec<Class> =
        (0..20).map(|n| of(&format!("c{n}"), Method::Universal, FailureMode::NewNode)).collect();
    for (n, class) in classes.iter().enumerate() {
        let now = after(n as u64);
        pool.choose(&session(&pool, &keyed(Some(class), "k"), now), &Tried::none(), now, 0).unwrap();
        // The first stays in use.
        session(&pool, &keyed(Some(&classes[0]), "k"), now);
    }
    let counters = pool.counters();
    assert_eq!((counters.classes_evicted, counters.sessions.entries), (4, 16));
    let found = |class| session(&pool, &keyed(Some(class), "k"), after(30)).found();
    assert!(matches!(found(&classes[0]), Found::Node(_)));
    assert!(matches!(found(&classes[19]), Found::Node(_)));
    assert_eq!(found(&classes[1]), Found::New);
}

#[test]
fn a_changed_class_begins_anew() {
    let pool = start(None, &nodes(1..=3));
    let ip = |prefix_v4| of("c", Method::Ip { prefix_v4, prefix_v6: 0 }, FailureMode::NewNode);
    let entries = |class: &Class| {
        choose(&pool, &Asked { class: Some(class), ..Asked::default() }).unwrap();
        pool.counters().sessions.entries
    };
    assert_eq!([entries(&ip(0)), entries(&ip(0)), entries(&ip(24)), entries(&ip(24))], [1, 1, 1, 1]);
    let strict = Arc::new(PersistenceClass { failure_mode: FailureMode::Close, ..(*ip(24)).clone() });
    let asked = Asked { class: Some(&strict), ..Asked::default() };
    assert!(matches!(session(&pool, &asked, T0).found(), Found::Node(_)), "same keys, another mode");
}

#[test]
fn many_workers_ask_for_a_class_at_once() {
    let pool = start(None, &nodes(1..=3));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..2000 {
                    let class = of(&format!("c{}", n % 8), Method::Universal, FailureMode::NewNode);
                    choose(pool, &keyed(Some(&class), &format!("{worker} {n}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(pool.counters().sessions.entries, 8000);
    assert_eq!(pool.counters().classes_evicted, 0);
}

fn avoiding(slots: &[Slot]) -> Tried {
    let mut tried = Tried::none();
    for slot in slots {
        assert!(tried.avoid(*slot));
    }
    tried
}

#[test]
fn avoided_nodes_are_the_last_choice() {
    let mut random = Random(1);
    for kind in [
        Algorithm::RoundRobin,
        Algorithm::WeightedRoundRobin,
        Algorithm::LeastConnections,
        Algorithm::WeightedLeastConnections,
        Algorithm::FastestResponseTime,
        Algorithm::Perceptive,
        Algorithm::Random,
    ] {
        let pool = build(&algorithm(kind), &nodes(1..=4));
        let slots = [slot_of(&pool, 1), slot_of(&pool, 3)];
        let mut request = avoiding(&slots);
        let mut go = |request: &Tried| {
            pool.choose(&Session::NONE, request, T0, random.next())
                .map(|choice| (number(&choice), choice.slot))
        };
        for _ in 0..50 {
            let n = go(&request).unwrap().0;
            assert!(n == 2 || n == 4, "{kind:?} {n}");
        }
        // The others are tried in vain, then only those to be avoided are left, then none.
        for expected in [[2, 4], [2, 4], [1, 3], [1, 3]] {
            let (n, slot) = go(&request).unwrap();
            assert!(expected.contains(&n), "{kind:?} {n}");
            request.add(slot);
        }
        assert_eq!(go(&request), Err(NoNode::AllTried), "{kind:?}");
    }
}

#[test]
fn persistence_limits_and_health_win_over_avoiding() {
    let settings = with(|settings| settings.max_transactions_per_node = Some(1));
    let pool = Pool::build(settings, Some(universal()), &nodes(1..=2), None, &context(T0));
    let first = choose(&pool, &keyed(None, "k")).unwrap();
    let request = avoiding(&[first.slot]);
    let go = |asked: &Asked<'_>| {
        pool.choose(&session(&pool, asked, T0), &request, T0, 0).map(|choice| (choice.slot, choice.sticky))
    };
    assert_eq!(go(&keyed(None, "k")), Ok((first.slot, true)), "its session lives there");
    let other = go(&Asked::default()).unwrap().0;
    assert_ne!(other, first.slot);
    let claim = pool.member(other).unwrap().node.begin().unwrap();
    assert_eq!(go(&Asked::default()), Ok((first.slot, false)), "rather than wait");
    let claim_2 = first.node.begin().unwrap();
    assert_eq!(go(&Asked::default()), Err(NoNode::AllBusy { session_node: false }));
    drop((claim, claim_2));
    fail(&pool, number_at(&pool, other), T0);
    assert_eq!(go(&Asked::default()), Ok((first.slot, false)), "the other has failed");
}

fn number_at(pool: &Pool, slot: Slot) -> u16 {
    crate::fixture::number_of(&pool.member(slot).unwrap().node)
}

#[test]
fn other_priority_groups_come_before_avoided_nodes() {
    let specs = [NodeSpec { priority: 2, ..node(1) }, node(2)];
    let pool = build(&with(|settings| settings.priority_nodes = Some(1)), &specs);
    let request = avoiding(&[pool.find("10.0.0.1:8080").unwrap()]);
    assert_eq!(pool.choose(&Session::NONE, &request, T0, 0).map(|choice| number(&choice)), Ok(2));
}

#[test]
fn avoided_nodes_are_bounded_and_follow_a_rebuild() {
    let pool = build(&with(|_| ()), &nodes(1..=20));
    let slots: Vec<Slot> = (1..=20).map(|n| pool.find(&format!("10.0.0.{n}:8080")).unwrap()).collect();
    let mut request = Tried::none();
    let taken = slots.iter().filter(|slot| request.avoid(**slot)).count();
    assert_eq!(taken, Tried::MOST_AVOIDED);
    assert!(request.avoid(slots[0]), "it is there already");
    request.add(slots[19]);
    let mut specs = nodes(2..=20);
    specs.reverse();
    let later = rebuild(&pool, &specs, T0);
    let request = request.in_build(&pool, &later);
    assert!(request.avoids(later.find("10.0.0.5:8080").unwrap()));
    assert!(!request.avoids(later.find("10.0.0.17:8080").unwrap()));
    assert!(request.contains(later.find("10.0.0.20:8080").unwrap()));
}

#[test]
fn a_node_chosen_by_a_rule() {
    let limited = with(|settings| {
        settings.max_transactions_per_node = Some(1);
        settings.node_delete = NodeDelete::Immediate;
    });
    let named = NodeSpec { label: "web:81".into(), ..NodeSpec::of("[2001:db8::7]:81".parse().unwrap()) };
    let disabled = NodeSpec { state: NodeState::Disabled, ..node(3) };
    let draining = NodeSpec { state: NodeState::Draining, ..node(2) };
    let pool = build(&limited, &[node(1), draining, disabled, named]);
    let find = |name: &str| pool.find(name);
    assert_eq!(find("web:81"), find("[2001:db8:0::7]:81"));
    assert!(find("web:81").is_some());
    assert_eq!((find("10.0.0.1:8081"), find("10.0.0.1"), find("")), (None, None, None));
    let one = find("10.0.0.1:8080").unwrap();
    let choose = |slot, request: &Tried| pool.choose_node(slot, request, T0).map(|choice| choice.slot);
    assert_eq!(choose(one, &Tried::none()), Ok(one));
    assert_eq!(choose(find("10.0.0.2:8080").unwrap(), &Tried::none()), Ok(find("10.0.0.2:8080").unwrap()));
    assert_eq!(choose(find("10.0.0.3:8080").unwrap(), &Tried::none()), Err(NoNode::AllFailed));
    assert_eq!(choose(one, &tried(&[one])), Err(NoNode::AllTried));
    let claim = member(&pool, 1).node.begin().unwrap();
    assert_eq!(choose(one, &Tried::none()), Err(NoNode::AllBusy { session_node: true }));
    drop(claim);
    fail(&pool, 1, T0);
    assert_eq!(choose(one, &Tried::none()), Err(NoNode::AllFailed));
    assert!(pool.choose_node(one, &Tried::none(), after(60)).unwrap().trial);
}

#[test]
fn what_rules_see_of_nodes() {
    let specs = [
        node(1),
        NodeSpec { state: NodeState::Draining, ..node(2) },
        NodeSpec { state: NodeState::Disabled, ..node(3) },
        node(4),
        node(5),
    ];
    let pool = start(ip().as_ref(), &specs);
    fail(&pool, 4, T0);
    let pool = rebuild(&pool, &specs[..4], T0);
    let seen = |pool: &Pool| -> Vec<(String, Standing)> {
        pool.standings().map(|(label, standing)| (label.to_string(), standing)).collect()
    };
    let expected = |first, second, fifth| {
        [first, second, Standing::Disabled, Standing::Failed, fifth]
            .into_iter()
            .zip(1..)
            .map(|(standing, n)| (format!("10.0.0.{n}:8080"), standing))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&pool), expected(Standing::Active, Standing::Draining, Standing::Draining));
    pool.let_go(None, T0);
    assert_eq!(seen(&pool), []);
}

#[test]
fn what_fails_because_a_node_was_removed_is_not_held_against_it() {
    let pool = start(None, &nodes(1..=1));
    let only = pool.members()[0].node.clone();
    pool.let_go(None, T0);
    for _ in 0..10 {
        assert_eq!(only.record_failure(FailureKind::ClosedEarly, pool.settings(), T0), None);
    }
    // A request that still goes by this build gets it for want of a better one.
    assert!(crate::fixture::choose(&pool, T0).is_ok());
}

#[test]
fn a_pool_is_full_when_a_request_would_wait() {
    let limited = |change: fn(&mut Settings)| {
        with(|settings| {
            settings.max_transactions_per_node = Some(1);
            change(settings);
        })
    };
    let pool = build(&limited(|_| ()), &nodes(1..=2));
    assert!(!pool.is_full(T0));
    let first = member(&pool, 1).node.begin().unwrap();
    assert!(!pool.is_full(T0));
    let second = member(&pool, 2).node.begin().unwrap();
    assert!(pool.is_full(T0));
    drop(first);
    assert!(!pool.is_full(T0));
    fail(&pool, 1, T0);
    assert!(pool.is_full(T0), "what is left is busy");
    assert!(!pool.is_full(after(60)), "the failed node is due for a trial");
    drop(second);
    fail(&pool, 2, T0);
    assert!(!pool.is_full(T0), "nothing to wait for");
    assert!(!build(&limited(|_| ()), &[]).is_full(T0));
    let unlimited = build(&with(|_| ()), &nodes(1..=1));
    let _claims: Vec<_> = (0..100).map(|_| member(&unlimited, 1).node.begin().unwrap()).collect();
    assert!(!unlimited.is_full(T0));
}
