//! `request.*`, `response.*`, `connection.*`, `pool.*`, `rate.*`.

use std::{collections::BTreeMap, time::Duration};

use super::check;
use crate::{
    Described, Phase,
    described::Message,
    host::{Need, NodeState, Order, PoolNode, RateVerdict, ServiceLevel},
    library::testing::{call, give, lines, shown},
};

fn node(label: &str, state: NodeState) -> PoolNode {
    PoolNode { label: label.into(), state }
}

fn nodes() -> Vec<PoolNode> {
    vec![
        node("10.0.0.1:80", NodeState::Active),
        node("10.0.0.2:80", NodeState::Active),
        node("10.0.0.3:80", NodeState::Draining),
        node("10.0.0.4:80", NodeState::Disabled),
        node("web.example:80", NodeState::Failed),
        node("[2001:db8::1]:80", NodeState::Failed),
    ]
}

#[test]
fn who_is_connected() {
    let mut host = Described::request("GET", "/");
    host.client = "[::ffff:192.0.2.7]:40000".parse().unwrap();
    check(
        &mut host,
        &[
            ("request.getRemoteIP", &[], "192.0.2.7"),
            ("request.getRemotePort", &[], "40000"),
            ("request.getLocalIP", &[], "198.51.100.1"),
            ("request.getLocalPort", &[], "80"),
            ("request.getDestIP", &[], "198.51.100.1"),
            ("request.getDestPort", &[], "80"),
            ("connection.getRemoteIP", &[], "192.0.2.7"),
            ("connection.getRemotePort", &[], "40000"),
            ("connection.getLocalIP", &[], "198.51.100.1"),
            ("connection.getLocalPort", &[], "80"),
            ("connection.getVirtualServer", &[], "example"),
            ("connection.getPool", &[], "default"),
            ("connection.getNode", &[], ""),
            ("connection.getMemoryUsage", &[], "0"),
            ("connection.getPersistence", &[], ""),
            ("request.setRemoteIP", &["203.0.113.9"], "1"),
            ("request.getRemoteIP", &[], "203.0.113.9"),
            ("request.setRemoteIP", &["nobody"], "0"),
            ("request.getRemoteIP", &[], "203.0.113.9"),
        ],
    );
    assert_eq!(host.lines.len(), 1);
}

#[test]
fn the_node_is_known_with_its_response() {
    let mut host = Described::request("GET", "/");
    host.respond(200, "", Message::default());
    check(
        &mut host,
        &[
            ("response.getLocalIP", &[], ""),
            ("response.getRemoteIP", &[], ""),
            ("response.getLocalPort", &[], "0"),
            ("response.getRemotePort", &[], "0"),
        ],
    );
    host.node = Some("10.0.0.1:80".to_owned());
    host.node_connection = Some(("10.9.9.9:5000".parse().unwrap(), "10.0.0.1:80".parse().unwrap()));
    check(
        &mut host,
        &[
            ("connection.getNode", &[], "10.0.0.1:80"),
            ("response.getLocalIP", &[], "10.9.9.9"),
            ("response.getLocalPort", &[], "5000"),
            ("response.getRemoteIP", &[], "10.0.0.1"),
            ("response.getRemotePort", &[], "80"),
        ],
    );
}

#[test]
fn the_request_as_bytes() {
    let mut host = Described::request("POST", "/x").header("A", "b").body("one\ntwo");
    let head = "POST /x HTTP/1.1\r\nA: b\r\n\r\n";
    let length = head.len();
    check(
        &mut host,
        &[
            ("request.get", &["4"], "POST"),
            ("connection.getData", &["4"], "POST"),
            ("request.getLength", &[], &length.to_string()),
            ("request.getLine", &[], "POST /x HTTP/1.1\r\n"),
            ("connection.getLine", &[], "POST /x HTTP/1.1\r\n"),
            ("request.getLine", &["[ /]x"], "POST /x"),
            ("request.get", &[], &format!("{head}one\ntwo")),
            ("connection.getDataLen", &[], &(length + 7).to_string()),
            ("request.getLine", &["", "1000"], ""),
        ],
    );
    let next = |offset: &str| {
        let mut host = Described::request("POST", "/x").header("A", "b").body("one\ntwo");
        let called = call(&mut host, "request.getLine", &["\n", offset]);
        (shown(&called.outcome.unwrap()), shown(&called.captures[0]), host.needs.len())
    };
    assert_eq!(next("0"), ("POST /x HTTP/1.1\r\n".to_owned(), "18".to_owned(), 0));
    assert_eq!(next("18"), ("A: b\r\n".to_owned(), "24".to_owned(), 0));
    assert_eq!(next("26"), ("one\n".to_owned(), "30".to_owned(), 1));
    assert_eq!(next("30"), ("two".to_owned(), "33".to_owned(), 1));
}

#[test]
fn the_response_as_bytes() {
    let mut host = Described::request("GET", "/");
    host.respond(200, "", Message::default().body("one\ntwo"));
    check(
        &mut host,
        &[
            ("response.get", &["15"], "HTTP/1.1 200 OK"),
            ("response.getLength", &[], "19"),
            ("response.getLine", &["", "19"], "one\n"),
            ("response.get", &[], "HTTP/1.1 200 OK\r\n\r\none\ntwo"),
        ],
    );
}

#[test]
fn what_is_ordered_about_the_request() {
    let mut host = Described::request("GET", "/");
    check(
        &mut host,
        &[
            ("request.avoidNode", &["10.0.0.1:80"], ""),
            ("request.setMaxReplyTime", &["2.5"], ""),
            ("request.setMaxReplyTime", &["-1"], ""),
            ("request.setMaxConnectionAttempts", &["3"], ""),
            ("request.setMaxConnectionAttempts", &["0"], ""),
            ("request.setMaxTimedOutConnectionAttempts", &["2"], ""),
            ("request.setVirtualServerTimeout", &["40"], ""),
            ("request.getMaxTransactionDuration", &[], "0"),
            ("request.setMaxTransactionDuration", &["60"], ""),
            ("request.getMaxTransactionDuration", &[], "60"),
            ("connection.setPersistenceKey", &["key"], ""),
            ("connection.setPersistenceNode", &["10.0.0.1:80"], ""),
            ("connection.setPersistence", &["class"], "1"),
            ("connection.getPersistence", &[], "class"),
            ("connection.setPersistence", &[], "1"),
            ("connection.setPersistenceClass", &["other"], "1"),
            ("request.getLogEnabled", &[], "1"),
            ("request.setLogEnabled", &["0"], ""),
            ("request.getLogEnabled", &[], "0"),
        ],
    );
    let text = |text: &str| text.as_bytes().to_vec();
    assert_eq!(
        host.orders,
        [
            Order::AvoidNode(text("10.0.0.1:80")),
            Order::MaxReplyTime(Duration::from_millis(2500)),
            Order::MaxAttempts(3),
            Order::MaxTimedOutAttempts(2),
            Order::IdleTimeout(Duration::from_secs(40)),
            Order::MaxTransactionDuration(Duration::from_mins(1)),
            Order::PersistenceKey(text("key")),
            Order::PersistenceNode(text("10.0.0.1:80")),
            Order::Persistence(Some(text("class"))),
            Order::Persistence(None),
            Order::Persistence(Some(text("other"))),
            Order::LogRequest(false),
        ]
    );
    assert_eq!(host.lines.len(), 2, "{:?}", lines(&host));
    host.persistence_classes = Some(Vec::new());
    assert_eq!(give(&mut host, "connection.setPersistence", &["class"]), "0");
    assert_eq!(host.lines.len(), 3);
}

#[test]
fn requests_are_sent_again() {
    let mut host = Described::request("GET", "/");
    host.respond(502, "", Message::default());
    host.retries = 2;
    check(
        &mut host,
        &[
            ("request.getRetries", &[], "2"),
            ("request.isResendable", &[], "1"),
            ("request.retry", &[], "EndPhase"),
        ],
    );
    assert_eq!(host.orders, [Order::Retry]);
    host.resendable = false;
    check(&mut host, &[("request.isResendable", &[], "0"), ("request.retry", &[], "0")]);
}

#[test]
fn connections_end() {
    let mut host = Described::request("GET", "/");
    check(
        &mut host,
        &[
            ("connection.discard", &[], "EndPhase"),
            ("connection.drop", &[], "EndPhase"),
            ("connection.close", &["bye"], "EndPhase"),
            ("connection.close", &["bye", "0"], "EndPhase"),
        ],
    );
    let close = |read| Order::Close { data: b"bye".to_vec(), read };
    assert_eq!(host.orders, [Order::Discard, Order::Discard, close(true), close(false)]);
}

#[test]
fn sleep_takes_time() {
    let mut host = Described::request("GET", "/");
    let before = host.now;
    check(
        &mut host,
        &[
            ("connection.sleep", &["1500"], ""),
            ("connection.sleep", &["0"], ""),
            ("connection.sleep", &["-5"], ""),
        ],
    );
    assert_eq!(host.now, before + Duration::from_millis(1500));
}

#[test]
fn how_it_ended() {
    let mut host = Described::request("GET", "/");
    host.phase = Phase::Completion;
    let info = |host: &mut Described, code| {
        host.completion = code;
        give(host, "connection.getCompletionReasonInfo", &[])
    };
    assert_eq!(give(&mut host, "connection.getCompletionReasonCode", &[]), "COMPLETE");
    assert_eq!(
        info(&mut host, "COMPLETE"),
        "{code: COMPLETE, message: The exchange is complete, iserror: 0, isservererror: 0, isclienterror: 0, \
         istimeout: 0, isprocessingtimeout: 0}"
    );
    assert_eq!(
        info(&mut host, "TIMEOUT_CONNECT_SERVER"),
        "{code: TIMEOUT_CONNECT_SERVER, message: No node took the connection in time, iserror: 1, \
         isservererror: 1, isclienterror: 0, istimeout: 1, isprocessingtimeout: 0}"
    );
    assert!(info(&mut host, "TIMEOUT_PROCESSING_RULE").ends_with("istimeout: 1, isprocessingtimeout: 1}"));
    assert!(info(&mut host, "BAD_REQUEST").contains("isclienterror: 1"));
}

#[test]
fn pools_are_chosen() {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut host = Described::request("GET", "/").pool("web", nodes());
    host.names.insert(text("h.example"), text("192.0.2.5"));
    host.names.insert(text("six.example 6"), text("2001:db8::5"));
    check(
        &mut host,
        &[
            ("pool.select", &["web"], "1"),
            ("pool.select", &["none"], "0"),
            ("pool.select", &["web", "h.example", "8080"], "1"),
            ("pool.select", &["web", "six.example", "8080"], "1"),
            ("pool.select", &["web", "nowhere.example", "8080"], "1"),
            ("pool.select", &["web", "h.example", "0"], "1"),
            ("pool.select", &["discard"], "1"),
            ("pool.use", &["web"], "EndPhase"),
            ("pool.use", &["web", "10.1.1.1", "81"], "EndPhase"),
            ("pool.use", &["none"], "EndPhase"),
            ("pool.use", &["discard"], "EndPhase"),
        ],
    );
    assert_eq!(
        host.orders,
        [
            Order::Pool(text("web"), None),
            Order::Pool(text("web"), Some((text("192.0.2.5"), 8080))),
            Order::Pool(text("web"), Some((text("2001:db8::5"), 8080))),
            Order::Pool(text("web"), None),
            Order::Pool(text("web"), None),
            Order::Pool(text("discard"), None),
            Order::Pool(text("web"), None),
            Order::Pool(text("web"), Some((text("10.1.1.1"), 81))),
            Order::Discard,
        ]
    );
    let unknown = "Warn Rule test: Line 7: there is no pool `none`; the default pool is used";
    assert_eq!(lines(&host)[0], unknown);
    let nowhere = "Warn Rule test: Line 7: no address was found for the host `nowhere.example`; the pool chooses the node";
    assert_eq!((lines(&host)[1].as_str(), lines(&host)[3].as_str()), (nowhere, unknown));
}

#[test]
fn pools_are_looked_at() {
    let mut host = Described::request("GET", "/").pool("web", nodes());
    check(
        &mut host,
        &[
            ("pool.activenodes", &["web"], "2"),
            ("pool.failednodes", &["web"], "2"),
            ("pool.drainingnodes", &["web"], "1"),
            ("pool.disablednodes", &["web"], "1"),
            ("pool.listactivenodes", &["web"], "[10.0.0.1:80, 10.0.0.2:80]"),
            ("pool.listdrainingnodes", &["web"], "[10.0.0.3:80]"),
            ("pool.listdisablednodes", &["web"], "[10.0.0.4:80]"),
            ("pool.listfailednodes", &["web"], "[web.example:80, [2001:db8::1]:80]"),
            (
                "pool.listallnodes",
                &["web"],
                "[10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80, 10.0.0.4:80, web.example:80, [2001:db8::1]:80]",
            ),
            ("pool.checknode", &["web", "10.0.0.1", "80"], "ACTIVE"),
            ("pool.checknode", &["web", "10.0.0.3", "80"], "DRAINING"),
            ("pool.checknode", &["web", "10.0.0.4", "80"], "DISABLED"),
            ("pool.checknode", &["web", "2001:db8::1", "80"], "DEAD"),
            ("pool.checknode", &["web", "10.0.0.1", "81"], "NOTINPOOL"),
            ("pool.checknode", &["web", "web.example", "81"], "NOTINPOOL"),
            ("pool.checknode", &["web", "other.example", "80"], "NOSUCHHOST"),
            ("pool.checknode", &["none", "10.0.0.1", "80"], "NOSUCHPOOL"),
            ("connection.checkLimits", &["web"], "1"),
            ("connection.checkLimits", &[], "-1"),
            ("connection.checkLimits", &["none"], "-1"),
        ],
    );
    assert!(host.lines.is_empty());
    host.pools.as_mut().unwrap().get_mut("web").unwrap().is_full = true;
    check(
        &mut host,
        &[
            ("connection.checkLimits", &["web"], "0"),
            ("pool.activenodes", &["none"], "0"),
            ("pool.listallnodes", &["none"], "[]"),
        ],
    );
    assert_eq!(host.lines.len(), 2);
}

#[test]
fn rates_are_asked() {
    let mut host = Described::request("GET", "/");
    host.backlog = 4;
    host.rates = Some(BTreeMap::from([
        ("free".to_owned(), RateVerdict::Within),
        ("busy".to_owned(), RateVerdict::Over),
    ]));
    check(
        &mut host,
        &[
            ("rate.use", &["free"], "1"),
            ("rate.use", &["free", "context"], "1"),
            ("rate.use", &["none"], "0"),
            ("rate.use.noQueue", &["free"], "1"),
            ("rate.use.noQueue", &["busy", "context"], "0"),
            ("rate.use.noQueue", &["none"], "-1"),
            ("rate.getbacklog", &["busy"], "4"),
            ("rate.getbacklog", &["none"], "0"),
            ("rate.use", &["busy"], "Abort(\"no place in the rate class `busy`: the time is over\")"),
        ],
    );
    assert_eq!(host.lines.len(), 3);
    host.needs.clear();
    give(&mut host, "rate.use", &["free", "me"]);
    assert_eq!(host.needs, [Need::Rate { class: b"free".to_vec(), context: b"me".to_vec() }]);
}

#[test]
fn classes_that_do_not_exist_yet() {
    let mut host = Described::request("GET", "/");
    check(
        &mut host,
        &[
            ("request.setDSCP", &["10"], ""),
            ("request.getDSCP", &[], "0"),
            ("request.setToS", &["10"], ""),
            ("request.getToS", &[], "0"),
            ("response.setDSCP", &["10"], ""),
            ("response.getDSCP", &[], "0"),
            ("response.setToS", &["10"], ""),
            ("response.getToS", &[], "0"),
        ],
    );
}

#[test]
fn classes_of_bandwidth() {
    let mut host = Described::request("GET", "/");
    host.bandwidth_classes = Some(vec!["slow".to_owned(), "slower".to_owned()]);
    check(
        &mut host,
        &[
            ("request.getBandwidthClass", &[], ""),
            ("response.getBandwidthClass", &[], ""),
            ("request.setBandwidthClass", &["slow"], "1"),
            ("response.setBandwidthClass", &["slower"], "1"),
            ("request.getBandwidthClass", &[], "slow"),
            ("connection.getBandwidthClass", &[], "slower"),
            ("connection.setBandwidthClass", &["slow"], "1"),
            ("response.getBandwidthClass", &[], "slow"),
            ("response.setBandwidthClass", &["nobody"], "0"),
            ("response.getBandwidthClass", &[], "slow"),
            ("response.setBandwidthClass", &[""], "1"),
            ("response.getBandwidthClass", &[], ""),
            ("request.getBandwidthClass", &[], "slow"),
        ],
    );
    assert_eq!(host.lines.len(), 1);
    assert!(host.report().contains("Also: bandwidth class slow to the node"), "{}", host.report());
}

#[test]
fn classes_of_service() {
    let mut host = Described::request("GET", "/");
    let level = |conforming, serious| ServiceLevel { conforming, serious };
    host.service_levels = Some([("gold".to_owned(), level(40, 50)), ("tin".to_owned(), level(40, 0))].into());
    check(
        &mut host,
        &[
            ("connection.getServiceLevelClass", &[], ""),
            ("slm.conforming", &[], "100"),
            ("slm.isOK", &[], "1"),
            ("slm.threshold", &[], "0"),
            ("slm.conforming", &["gold"], "40"),
            ("slm.isOK", &["gold"], "0"),
            ("slm.threshold", &["gold"], "50"),
            ("slm.isOK", &["tin"], "1"),
            ("slm.conforming", &["nobody"], "100"),
            ("slm.isOK", &["nobody"], "1"),
            ("slm.threshold", &["nobody"], "0"),
            ("connection.setServiceLevelClass", &["nobody"], "0"),
            ("connection.setServiceLevelClass", &["gold"], "1"),
            ("connection.getServiceLevelClass", &[], "gold"),
            ("slm.isOK", &[], "0"),
            ("connection.setServiceLevelClass", &[""], "1"),
            ("connection.getServiceLevelClass", &[], ""),
            ("slm.isOK", &[], "1"),
        ],
    );
    assert_eq!(host.lines.len(), 4);
}
