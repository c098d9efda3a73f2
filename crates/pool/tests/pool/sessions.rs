//! Sessions: where they live, what follows them, what ends them.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use tidegate_model::{
    Moment, PersistenceClass,
    persistence::{FailureMode, Method},
    pool::{Algorithm, NodeDelete, NodeState},
};
use tidegate_pool::{NoNode, NodeSpec, Pool, PoolContext, Session, SessionKey, Slot, Tried, session::Found};

use crate::fixture::{
    CLIENT, Random, T0, after, class, context, fail, ip, member, node, nodes, number, rebuild, settings,
    transparent, tried, with,
};

type Class = Option<Arc<PersistenceClass>>;

fn start(class: &Class, specs: &[NodeSpec]) -> Arc<Pool> {
    Pool::build(Arc::new(settings()), class.clone(), specs, None, &context(T0))
}

fn browser(pool: &Pool, cookie: &str) -> Session {
    pool.session([cookie.as_bytes()], CLIENT, T0)
}

fn address(pool: &Pool, client: &str, now: Moment) -> Session {
    pool.session([], client.parse().unwrap(), now)
}

fn goes_to(pool: &Pool, session: &Session) -> Result<(u16, bool), NoNode> {
    pool.choose(session, &Tried::none(), T0, 0).map(|choice| (number(&choice), choice.sticky))
}

/// The cookie pair of a `Set-Cookie` line.
fn pair(line: &[u8]) -> String {
    let text = std::str::from_utf8(line).unwrap().strip_prefix("Set-Cookie: ").unwrap();
    text.split(';').next().unwrap().to_owned()
}

/// Opens a session as a browser does and returns its cookie and node.
fn open(pool: &Pool) -> (String, u16) {
    let session = pool.session([], CLIENT, T0);
    let choice = pool.choose(&session, &Tried::none(), T0, 0).unwrap();
    (pair(pool.response_cookie(&session, choice.slot).unwrap()), number(&choice))
}

/// Opens sessions until one lives on the node.
fn open_on(pool: &Pool, n: u16) -> String {
    (0..100).map(|_| open(pool)).find(|(_, node)| *node == n).unwrap().0
}

fn learned() -> Class {
    Some(class(Method::Cookie { name: "SID".into() }, FailureMode::NewNode, true))
}

fn learn(pool: &Pool, value: &str) -> u16 {
    let session = browser(pool, "");
    let choice = pool.choose(&session, &Tried::none(), T0, 0).unwrap();
    pool.learn([format!("SID={value}; path=/").as_bytes()], choice.slot, T0);
    number(&choice)
}

#[test]
fn a_transparent_cookie_looks_as_documented_and_brings_the_client_back() {
    let pool = start(&transparent(FailureMode::NewNode), &nodes(1..=3));
    let session = pool.session([], CLIENT, T0);
    assert_eq!(session.found(), Found::New);
    let choice = pool.choose(&session, &Tried::none(), T0, 0).unwrap();
    let line = std::str::from_utf8(pool.response_cookie(&session, choice.slot).unwrap()).unwrap();
    let rest = line.strip_prefix("Set-Cookie: X-Mapping-").unwrap();
    let (letters, rest) = rest.split_once('=').unwrap();
    let value = rest.strip_suffix("; path=/; secure\r\n").unwrap();
    assert!(letters.len() == 8 && letters.bytes().all(|letter| (b'a'..=b'p').contains(&letter)), "{line}");
    assert!(value.len() == 32 && value.bytes().all(|digit| b"0123456789ABCDEF".contains(&digit)), "{line}");

    let cookie = format!("theme=dark; X-Mapping-{letters}={value}; lang=de");
    let back = browser(&pool, &cookie);
    assert_eq!(back.found(), Found::Node(choice.slot));
    for _ in 0..5 {
        assert_eq!(goes_to(&pool, &back), Ok((number(&choice), true)));
    }
    assert_eq!(pool.response_cookie(&back, choice.slot), None, "the client has it already");
    assert!(!pool.learns_cookies());
}

#[test]
fn always_set_repeats_the_cookie() {
    let method = Method::Transparent { directives: "".into(), always_set: true };
    let pool = start(&Some(class(method, FailureMode::NewNode, true)), &nodes(1..=3));
    let (cookie, _) = open(&pool);
    let session = browser(&pool, &cookie);
    let choice = pool.choose(&session, &Tried::none(), T0, 0).unwrap();
    assert_eq!(pair(pool.response_cookie(&session, choice.slot).unwrap()), cookie);
}

#[test]
fn every_traffic_manager_with_the_key_agrees() {
    let class = transparent(FailureMode::NewNode);
    let here = start(&class, &nodes(1..=9));
    // Another process: other order, other slots, more nodes.
    let mut specs = nodes(1..=20);
    specs.reverse();
    let there = Pool::build(Arc::new(settings()), class.clone(), &specs, None, &context(after(77)));
    for _ in 0..9 {
        let (cookie, n) = open(&here);
        assert_eq!(goes_to(&there, &browser(&there, &cookie)), Ok((n, true)));
    }
    let other = PoolContext { session_key: SessionKey::derived(b"other"), ..context(T0) };
    let stranger = Pool::build(Arc::new(settings()), class, &nodes(1..=9), None, &other);
    assert_eq!(browser(&stranger, &open(&here).0).found(), Found::Lost);
}

#[test]
fn cookies_that_are_not_ours_are_no_sessions() {
    let pool = start(&transparent(FailureMode::NewNode), &nodes(1..=3));
    let (cookie, n) = open(&pool);
    let (name, value) = cookie.split_once('=').unwrap();
    let zeros = "0".repeat(32);
    let table = [
        (format!("{name}={value}"), Some(n)),
        (format!("{name}={}", value.to_lowercase()), Some(n)),
        (format!("{name}=\"{value}\""), Some(n)),
        (format!(" {name} = {value} ;;"), Some(n)),
        (format!("{name}={zeros}; {name}={value}"), Some(n)),
        (format!("{name}=; {name}={value}"), Some(n)),
        (format!("x{name}={value}"), None),
        (format!("{name}x={value}"), None),
        (format!("{}={value}", name.to_lowercase()), None),
        (format!("{name}={value}0"), None),
        (format!("{name}={}", &value[1..]), None),
        (format!("{name}={}", value.replace(|c: char| c.is_ascii_digit(), "+")), None),
        (format!("a={name}={value}"), None),
        (name.to_owned(), None),
        (String::new(), None),
    ];
    for (text, expected) in table {
        let session = browser(&pool, &text);
        let node = match session.found() {
            Found::Node(slot) => Some(crate::fixture::number_of(&pool.member(slot).unwrap().node)),
            found => {
                assert_eq!(found, Found::New, "{text}");
                None
            }
        };
        assert_eq!(node, expected, "{text}");
    }
    let fields = ["a=1".as_bytes(), cookie.as_bytes()];
    assert!(matches!(pool.session(fields, CLIENT, T0).found(), Found::Node(_)), "several fields");
    assert_eq!(browser(&pool, &format!("{name}={zeros}")).found(), Found::Lost);
}

#[test]
fn sessions_stay_on_draining_and_leaving_nodes_but_not_on_disabled_ones() {
    for class in [transparent(FailureMode::NewNode), ip(), learned()] {
        let pool = start(&class, &nodes(1..=3));
        let find: Box<dyn Fn(&Pool) -> Session> = match &class.as_ref().unwrap().method {
            Method::Ip { .. } => {
                let client = (1..200_u8)
                    .map(|n| IpAddr::from([192, 0, 2, n]))
                    .find(|client| goes_to(&pool, &pool.session([], *client, T0)).unwrap().0 == 2)
                    .unwrap();
                Box::new(move |pool| pool.session([], client, T0))
            }
            Method::Cookie { .. } => {
                let value = (0..9).map(|n| n.to_string()).find(|value| learn(&pool, value) == 2).unwrap();
                Box::new(move |pool| browser(pool, &format!("SID={value}")))
            }
            _ => {
                let cookie = open_on(&pool, 2);
                Box::new(move |pool| browser(pool, &cookie))
            }
        };
        let state = |state| rebuild(&pool, &[node(1), NodeSpec { state, ..node(2) }, node(3)], T0);
        for (what, pool, stays) in [
            ("draining", state(NodeState::Draining), true),
            ("active", state(NodeState::Active), true),
            ("leaving", rebuild(&pool, &[node(1), node(3)], T0), true),
            ("disabled", state(NodeState::Disabled), false),
        ] {
            let (n, sticky) = goes_to(&pool, &find(&pool)).unwrap();
            assert_eq!((n == 2, sticky), (stays, stays), "{what} {class:?}");
        }
    }
}

#[test]
fn scaling_up_and_other_orders_keep_sessions() {
    for class in [transparent(FailureMode::NewNode), learned(), ip()] {
        let pool = start(&class, &nodes(1..=4));
        let mut sessions: Vec<(String, IpAddr, u16)> = Vec::new();
        for n in 0..50_u8 {
            let client = IpAddr::from([198, 51, 100, n]);
            let session = pool.session([], client, T0);
            let choice = pool.choose(&session, &Tried::none(), T0, 0).unwrap();
            pool.learn([format!("SID={n}").as_bytes()], choice.slot, T0);
            let cookie = pool.response_cookie(&session, choice.slot).map_or_else(|| format!("SID={n}"), pair);
            sessions.push((cookie, client, number(&choice)));
        }
        let mut specs = nodes(1..=40);
        specs.reverse();
        let pool = rebuild(&pool, &specs, T0);
        for (cookie, client, n) in &sessions {
            let session = pool.session([cookie.as_bytes()], *client, T0);
            assert_eq!(goes_to(&pool, &session), Ok((*n, true)), "{class:?}");
        }
    }
}

#[test]
fn failure_modes() {
    let url = FailureMode::Url("http://sorry/".into());
    for mode in [FailureMode::NewNode, url, FailureMode::Close] {
        for delete in [true, false] {
            let method = Method::Transparent { directives: "".into(), always_set: false };
            let pool = start(&Some(class(method, mode.clone(), delete)), &nodes(1..=3));
            let cookie = open_on(&pool, 2);
            let session = browser(&pool, &cookie);
            let Found::Node(slot) = session.found() else { panic!("{session:?}") };

            // The request has been tried there in vain, then the node has failed, then it has left.
            let in_vain = pool.choose(&session, &tried(&[slot]), T0, 0).map(|choice| choice.sticky);
            fail(&pool, 2, T0);
            let failed = goes_to(&pool, &session).map(|(_, sticky)| sticky);
            let expected = match &mode {
                FailureMode::NewNode => Ok(false),
                other => Err(NoNode::SessionFailed(other.clone())),
            };
            assert_eq!((&in_vain, &failed), (&expected, &expected), "{mode:?}");
            assert_eq!(pool.forget_cookie(&session).is_some(), delete, "{mode:?}");

            let gone = Pool::build(
                with(|settings| settings.node_delete = NodeDelete::Immediate),
                pool.persistence().cloned(),
                &[node(1), node(3)],
                Some(&pool),
                &context(T0),
            );
            let lost = browser(&gone, &cookie);
            assert_eq!(lost.found(), Found::Lost);
            assert_eq!(goes_to(&gone, &lost).map(|(_, sticky)| sticky), expected, "{mode:?}");
            let line = std::str::from_utf8(gone.forget_cookie(&lost).unwrap()).unwrap().to_owned();
            let name = cookie.split('=').next().unwrap();
            assert!(line.starts_with(&format!("Set-Cookie: {name}=; path=/; ")), "{line}");
            assert!(line.ends_with("max-age=0\r\n"), "{line}");
        }
    }
}

#[test]
fn a_moved_session_gets_a_new_cookie_and_is_counted() {
    let pool = start(&transparent(FailureMode::NewNode), &nodes(1..=2));
    let cookie = open_on(&pool, 2);
    fail(&pool, 2, T0);
    let session = browser(&pool, &cookie);
    let choice = pool.choose(&session, &Tried::none(), T0, 0).unwrap();
    assert_eq!((number(&choice), choice.sticky), (1, false));
    let new = pair(pool.response_cookie(&session, choice.slot).unwrap());
    assert_ne!(new, cookie);
    assert_eq!(goes_to(&pool, &browser(&pool, &new)), Ok((1, true)));
    assert_eq!(pool.counters().sessions_moved, 1);
}

#[test]
fn a_session_tries_its_failed_node_when_the_rest_is_over() {
    let pool = start(&transparent(FailureMode::Close), &nodes(1..=2));
    let session = browser(&pool, &open_on(&pool, 2));
    fail(&pool, 2, T0);
    let choose =
        |now| pool.choose(&session, &Tried::none(), now, 0).map(|choice| (number(&choice), choice.trial));
    let refused = Err(NoNode::SessionFailed(FailureMode::Close));
    assert_eq!(choose(after(59)), refused);
    assert_eq!(choose(after(60)), Ok((2, true)));
    assert_eq!(choose(after(60)), refused, "one trial at a time");
    member(&pool, 2).node.record_success(Duration::from_millis(1), after(61));
    assert_eq!(choose(after(61)), Ok((2, false)));
}

#[test]
fn a_session_waits_for_its_own_node() {
    let settings = with(|settings| settings.max_transactions_per_node = Some(1));
    let pool = Pool::build(settings, transparent(FailureMode::Close), &nodes(1..=2), None, &context(T0));
    let session = browser(&pool, &open_on(&pool, 2));
    let claim = member(&pool, 2).node.begin().unwrap();
    assert_eq!(goes_to(&pool, &session), Err(NoNode::AllBusy { session_node: true }));
    drop(claim);
    assert_eq!(goes_to(&pool, &session), Ok((2, true)));
}

#[test]
fn sessions_follow_a_failed_pool() {
    let pool = start(&transparent(FailureMode::NewNode), &nodes(1..=2));
    let session = browser(&pool, &open(&pool).0);
    let verdict = |up| {
        for member in pool.members() {
            member.node.set_monitor_verdict(&"m1".into(), up, T0);
        }
    };
    verdict(false);
    assert_eq!(goes_to(&pool, &session), Err(NoNode::AllFailed));
    verdict(true);
    assert!(goes_to(&pool, &session).unwrap().1);
}

#[test]
fn application_cookies_are_learned() {
    let pool = start(&learned(), &nodes(1..=3));
    assert!(pool.learns_cookies());
    let n = learn(&pool, "abc");
    assert_eq!(goes_to(&pool, &browser(&pool, "x=1; SID=abc")), Ok((n, true)));
    assert_eq!(goes_to(&pool, &browser(&pool, "SID=nobody; SID=abc")), Ok((n, true)), "the known one");
    assert_eq!(browser(&pool, "sid=abc").found(), Found::New);
    let Found::Node(slot) = browser(&pool, "SID=abc").found() else { panic!() };
    assert_eq!(pool.response_cookie(&browser(&pool, ""), slot), None, "no cookie of its own");
    for ended in ["SID=def; Max-Age=0", "SID=", "OTHER=def"] {
        pool.learn([ended.as_bytes()], slot, T0);
    }
    assert_eq!(pool.counters().sessions.entries, 1);
}

#[test]
fn unknown_application_cookies_go_where_every_traffic_manager_sends_them_and_fill_no_table() {
    let (here, there) = (start(&learned(), &nodes(1..=5)), start(&learned(), &nodes(1..=5)));
    let mut used = HashMap::new();
    for n in 0..500 {
        let cookie = format!("SID=value-{n}");
        let first = goes_to(&here, &browser(&here, &cookie)).unwrap();
        assert_eq!(goes_to(&here, &browser(&here, &cookie)).unwrap(), first);
        assert_eq!(goes_to(&there, &browser(&there, &cookie)).unwrap(), first);
        *used.entry(first.0).or_insert(0) += 1;
    }
    assert!(used.len() == 5 && used.values().all(|count| *count > 60), "{used:?}");
    assert_eq!(here.counters().sessions.entries, 0);
}

#[test]
fn a_learned_session_moves_with_its_node_gone() {
    let pool = start(&learned(), &nodes(1..=3));
    let n = learn(&pool, "abc");
    fail(&pool, n, T0);
    let (new, sticky) = goes_to(&pool, &browser(&pool, "SID=abc")).unwrap();
    assert!(new != n && !sticky);
    assert_eq!(goes_to(&pool, &browser(&pool, "SID=abc")), Ok((new, true)));
}

#[test]
fn tables_are_bounded_and_counted() {
    let small = PoolContext { ip_table_size: 10, ip_expiry: Some(Duration::from_secs(5)), ..context(T0) };
    let pool = Pool::build(Arc::new(settings()), ip(), &nodes(1..=3), None, &small);
    for n in 0..100_u8 {
        let session = pool.session([], [203, 0, 113, n].into(), T0);
        pool.choose(&session, &Tried::none(), T0, 0).unwrap();
    }
    let sessions = pool.counters().sessions;
    assert_eq!((sessions.entries, sessions.evicted), (10, 90));
    assert!(matches!(address(&pool, "203.0.113.99", T0).found(), Found::Node(_)));
    assert_eq!(address(&pool, "203.0.113.1", T0).found(), Found::New);
    assert_eq!(address(&pool, "203.0.113.99", after(6)).found(), Found::New);
    assert_eq!(pool.counters().sessions.expired, 1);
}

#[test]
fn subnets_share_a_session() {
    let method = Method::Ip { prefix_v4: 24, prefix_v6: 64 };
    let pool = start(&Some(class(method, FailureMode::NewNode, true)), &nodes(1..=9));
    for (a, b) in [("192.0.2.1", "192.0.2.200"), ("2001:db8::1", "2001:db8::ffff:1")] {
        let (n, _) = goes_to(&pool, &address(&pool, a, T0)).unwrap();
        assert_eq!(goes_to(&pool, &address(&pool, b, T0)), Ok((n, true)));
    }
    assert_eq!(pool.counters().sessions.entries, 2);
}

#[test]
fn traffic_managers_agree_on_new_clients_and_few_move_when_nodes_join() {
    let seed = 21;
    let mut random = Random(seed);
    let clients: Vec<IpAddr> = (0..5000).map(|_| (random.next() as u32).to_be_bytes().into()).collect();
    let placed = |specs: &[NodeSpec]| -> Vec<u16> {
        let pool = start(&ip(), specs);
        clients.iter().map(|client| goes_to(&pool, &pool.session([], *client, T0)).unwrap().0).collect()
    };
    let ten = placed(&nodes(1..=10));
    let mut reversed = nodes(1..=10);
    reversed.reverse();
    assert_eq!(ten, placed(&reversed));
    let eleven = placed(&nodes(1..=11));
    let moved: Vec<u16> = ten.iter().zip(&eleven).filter(|(a, b)| a != b).map(|(_, b)| *b).collect();
    assert!(moved.iter().all(|n| *n == 11), "only to the node that joined");
    assert!(moved.len().abs_diff(5000 / 11) < 100, "seed {seed}: {}", moved.len());
    for n in 1..=10 {
        let share = ten.iter().filter(|other| **other == n).count();
        assert!(share.abs_diff(500) < 100, "seed {seed} node {n}: {share}");
    }
}

#[test]
fn new_clients_go_by_weight_with_a_weighted_algorithm() {
    let settings = with(|settings| settings.algorithm = Algorithm::WeightedRoundRobin);
    let pool = Pool::build(settings, ip(), &crate::fixture::weighted(&[3, 1]), None, &context(T0));
    let seed = 22;
    let mut random = Random(seed);
    let mut first = 0;
    for _ in 0..4000 {
        let session = pool.session([], (random.next() as u32).to_be_bytes().into(), T0);
        first += usize::from(goes_to(&pool, &session).unwrap().0 == 1);
    }
    assert!(first.abs_diff(3000) < 150, "seed {seed}: {first}");
}

#[test]
fn types_not_acted_on_balance_only() {
    let pool = start(&Some(class(Method::J2ee, FailureMode::Close, true)), &nodes(1..=2));
    let session = browser(&pool, "JSESSIONID=1");
    assert_eq!(session.found(), Session::NONE.found());
    assert_eq!(goes_to(&pool, &session), Ok((1, false)));
    assert_eq!(goes_to(&pool, &session), Ok((2, false)));
    let slot: Slot = pool.choose(&session, &Tried::none(), T0, 0).unwrap().slot;
    assert_eq!(pool.response_cookie(&session, slot), None);
}
