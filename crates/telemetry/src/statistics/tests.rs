use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value as Json;
use tidegate_model::{
    persistence::Method,
    pool::{Algorithm, NodeState},
    virtual_server::Protocol,
};

use super::*;
use crate::observation::{Node, Pool, sample::sample};

fn schema() -> Json {
    serde_json::from_str(include_str!("../../../config/data/schema.json")).unwrap()
}

fn schema_groups() -> Vec<(String, Json)> {
    let schema = schema();
    let groups = schema["statistics"].as_object().unwrap();
    let path = |path: &String| path.trim_start_matches("status/local_tm/statistics/").to_owned();
    groups.iter().map(|(name, group)| (path(name), group.clone())).collect()
}

#[test]
fn groups_and_counters_are_those_of_the_schema() {
    let of_schema = schema_groups();
    assert_eq!(of_schema.len(), groups().len());
    for (path, group) in &of_schema {
        let ours = super::group(path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(ours.per_object, group["per_object"] == true, "{path}");
        let counters = group["counters"].as_object().unwrap();
        let kind = |name: &str| match counters[name]["type"].as_str().unwrap() {
            "uint" => Kind::Number,
            "uint64" => Kind::Wide,
            "string" => Kind::Word,
            other => panic!("{other}"),
        };
        let theirs: BTreeSet<_> =
            counters.keys().map(|name| (name.as_str(), format!("{:?}", kind(name)))).collect();
        let ours: BTreeSet<_> =
            ours.counters.iter().map(|(name, kind)| (*name, format!("{kind:?}"))).collect();
        assert_eq!(ours, theirs, "{path}");
    }
}

/// Every object of every group has all counters; words are among those of the schema.
#[test]
fn every_object_has_every_counter() {
    let observation = sample(3, 2);
    for (path, group) in schema_groups() {
        let names =
            if group["per_object"] == true { objects(&observation, &path) } else { vec![String::new()] };
        for object in names {
            let values = counters(&observation, &path, &object).unwrap_or_else(|| panic!("{path} {object}"));
            for (name, counter) in group["counters"].as_object().unwrap() {
                let value = values.get(name).unwrap_or_else(|| panic!("{path} {name}"));
                match (value, counter["enum"].as_array()) {
                    (Value::Word(word), Some(words)) => {
                        assert!(words.iter().any(|known| known == word), "{path} {name} is {word}");
                    }
                    (Value::Number(_), None) => {}
                    other => panic!("{path} {name}: {other:?}"),
                }
                if counter["type"] == "uint64" {
                    let half = |suffix: &str| match values.get(&format!("{name}{suffix}")) {
                        Some(Value::Number(half)) => *half,
                        other => panic!("{path} {name}{suffix}: {other:?}"),
                    };
                    assert_eq!(*value, Value::Number(half("_hi") << 32 | half("_lo")), "{path} {name}");
                }
            }
        }
    }
    assert_eq!(counters(&observation, "pools", "none"), None);
    assert_eq!(counters(&observation, "nodes/node", "pool-0"), None);
    assert_eq!(counters(&observation, "rules", "any"), None);
    assert_eq!(counters(&observation, "none", ""), None);
    assert_eq!(objects(&observation, "rules"), ["rule-0"]);
    assert!(objects(&observation, "glb_services").is_empty());
}

#[test]
fn words_are_spelled_as_statistics_spell_them() {
    let mut observation = sample(1, 1);
    let word = |observation: &Observation, path: &str, object: &str, name: &str| match counters(
        observation,
        path,
        object,
    )
    .unwrap()[name]
    {
        Value::Word(word) => word,
        Value::Number(_) => panic!("{name} is a number"),
    };
    let words = |path: &str, name: &str| {
        let groups = schema_groups();
        let (_, group) = groups.iter().find(|(known, _)| known == path).unwrap();
        group["counters"][name]["enum"].as_array().unwrap().clone()
    };
    let protocols = schema()["resources"]["virtual_servers"]["sections"]["basic"]["protocol"]["enum"].clone();
    for protocol in protocols.as_array().unwrap() {
        let name: &'static str = protocol.as_str().unwrap().to_owned().leak();
        observation.virtual_servers[0].protocol =
            if name == "http" { Protocol::Http } else { Protocol::Other(name) };
        let told = word(&observation, "virtual_servers", "vs-0", "protocol");
        assert!(words("virtual_servers", "protocol").iter().any(|known| known == told), "{name}: {told}");
    }
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::WeightedRoundRobin,
        Algorithm::LeastConnections,
        Algorithm::WeightedLeastConnections,
        Algorithm::FastestResponseTime,
        Algorithm::Perceptive,
        Algorithm::Random,
    ] {
        observation.pools[0].algorithm = algorithm;
        let told = word(&observation, "pools", "pool-0", "algorithm");
        assert!(words("pools", "algorithm").iter().any(|known| known == told), "{told}");
    }
    for (method, told) in [
        (None, "none"),
        (Some(Method::Cookie { name: "a".into() }), "applicationCookie"),
        (Some(Method::Transparent { directives: "".into(), always_set: false }), "transparent"),
        (Some(Method::Named), "rule"),
        (Some(Method::XZeus), "xZeusBackend"),
    ] {
        observation.pools[0].persistence = method;
        assert_eq!(word(&observation, "pools", "pool-0", "persistence"), told);
    }
    type Change = fn(&mut Pool);
    let states: [(Change, &str); 4] = [
        (|_| {}, "active"),
        (|pool| pool.nodes[0].state = NodeState::Draining, "draining"),
        (|pool| pool.nodes[0].state = NodeState::Disabled, "disabled"),
        (|pool| pool.used = false, "unused"),
    ];
    for (change, told) in states {
        change(&mut observation.pools[0]);
        assert_eq!(word(&observation, "pools", "pool-0", "state"), told);
    }
    let mut observation = sample(1, 1);
    type ChangeNode = fn(&mut Node);
    let states: [(ChangeNode, &str); 4] = [
        (|_| {}, "alive"),
        (|node| node.alive = false, "dead"),
        (|node| node.state = NodeState::Draining, "draining"),
        (|node| node.leaving = true, "drainingtodelete"),
    ];
    for (change, told) in states {
        change(&mut observation.pools[0].nodes[0]);
        assert_eq!(word(&observation, "nodes/per_pool_node", "pool-0:10.0.0.0:80", "state"), told);
    }
}

#[test]
fn numbers() {
    let observation = sample(2, 2);
    let number =
        |path: &str, object: &str, name: &str| match counters(&observation, path, object).unwrap()[name] {
            Value::Number(number) => number,
            Value::Word(word) => panic!("{name} is {word}"),
        };
    for (path, object, name, expected) in [
        ("virtual_servers", "vs-1", "total_http_requests", 9),
        ("virtual_servers", "vs-1", "port", 8001),
        ("virtual_servers", "vs-1", "bytes_in_hi", 5),
        ("virtual_servers", "vs-1", "bytes_in_lo", 7),
        ("virtual_servers", "vs-1", "http4xx_responses", 1),
        ("virtual_servers", "vs-1", "http_generated4xx_responses", 1),
        ("virtual_servers", "vs-1", "http_server4xx_responses", 0),
        ("virtual_servers", "vs-1", "http_server2xx_responses", 1),
        ("virtual_servers", "vs-1", "ssl_new_session", 3),
        ("virtual_servers", "vs-1", "ssl_ticket_resumed", 1),
        ("pools", "pool-0", "bytes_in", 70),
        ("pools", "pool-0", "nodes", 2),
        ("pools", "pool-0", "max_queue_time", 2),
        ("nodes/node", "10.0.0.1:80", "total_conn", 80),
        ("nodes/node", "10.0.0.1:80", "bytes_to_node_hi", 4),
        ("nodes/node_inet46", "10.0.0.1:80", "bytes_to_node", 4 << 32),
        ("nodes/per_pool_node", "pool-1:10.0.0.1:80", "response_mean", 3),
        ("listen_ips", "127.0.0.1", "max_conn", 5),
        ("bandwidth", "slow", "maximum", 256),
        ("bandwidth", "slow", "bytes_out_hi", 5),
        ("service_level_monitors", "level-0", "conforming", 99),
        ("service_level_monitors", "level-0", "response_mean", 4),
        ("service_level_monitors", "level-0", "total_non_conf", 2),
        ("cache/ip_session_cache", "", "hit_rate", 75),
        ("cache/ip_session_cache", "", "expiries", 4),
        ("globals", "", "total_requests", 7_000_000_000),
        ("globals", "", "up_time", 12_000),
        ("globals", "", "number_dnsa_requests", 12),
        ("globals", "", "number_dnsptr_cache_hits", 1),
        ("globals", "", "ssl_connections", 3),
        ("network_interface", "eth0", "collisions", 7),
        ("traffic_ips/ip_gateway", "", "gateway_ping_requests", 0),
    ] {
        assert_eq!(number(path, object, name), expected, "{path} {object} {name}");
    }
}

/// What the page says of statistics.
const PAGE_HEAD: &str = "# Statistics\n\n\
    The groups of `status/…/statistics` of the REST API, with the counters that are kept and those that are always \
    0. A group that is not listed belongs to a feature that does not exist here, and has no objects \
    or only zeros. A counter marked * is 64 bits wide and also there as `…_hi` and `…_lo`.\n\n\
    Response times are whole milliseconds since the node joined its pool, queue times whole seconds, sizes of memory \
    MBytes, times since hundredths of a second. `current_conn` of a node counts connections, idle ones included, and \
    `current_requests` requests in progress. A node is named `address:port`, a node of a pool `pool:address:port`.\n\n\
    This page is written by the program: after a change, renew it with\n\n\
    ```sh\nTIDEGATE_BLESS=1 cargo test -p tidegate-telemetry page_of_statistics\n```\n";

#[test]
fn the_page_of_statistics_is_up_to_date() {
    let observation = sample(1, 1);
    let mut page = PAGE_HEAD.to_owned();
    for group in groups() {
        let object = objects(&observation, group.path).into_iter().next().unwrap_or_default();
        let mut values = Values { group, counters: Counters::new() };
        if counters::fill(&mut values, &observation, group.path, &object).is_none() {
            continue;
        }
        let kept: Vec<String> = group
            .counters
            .iter()
            .filter(|(name, _)| values.counters.contains_key(*name))
            .map(|(name, kind)| format!("`{name}`{}", if *kind == Kind::Wide { "\\*" } else { "" }))
            .collect();
        if !kept.is_empty() {
            let zero: Vec<String> = group
                .counters
                .iter()
                .filter(|(name, _)| !values.counters.contains_key(*name))
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            write!(page, "\n## {}\n\n{}\n", group.path, kept.join(", ")).unwrap();
            if !zero.is_empty() {
                write!(page, "\nAlways 0: {}\n", zero.join(", ")).unwrap();
            }
        }
    }
    crate::page::check("statistics.md", &page, "page_of_statistics");
}
