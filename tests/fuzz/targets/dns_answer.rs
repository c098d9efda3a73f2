//! DNS answers to node sets: a message either belongs to the question and gives nodes that can be nodes, or it is refused.
//!
//! The first byte of the input chooses the question; the rest is the message. Its id is set to that of the query now and
//! then, since nothing else of a message with another id is looked at.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_discovery::{
    Family, SrvWeights,
    dns::{
        answer::{NoAnswer, Question, RecordKind, Records, query, read},
        name,
        nodes::{Choice, of_message},
    },
    source::{Addresses, Families},
};

const ID: u16 = 0x1234;
const PORT: u16 = 8080;

fuzz_target!(|data: &[u8]| {
    let Some((choice, message)) = data.split_first() else { return };
    let (text, kind) = match choice % 4 {
        0 => ("web.default.svc.cluster.local.", RecordKind::A),
        1 => ("web.default.svc.cluster.local.", RecordKind::Aaaa),
        2 => ("_http._tcp.web.default.svc.cluster.local.", RecordKind::Srv),
        _ => ("1.2.0.192.in-addr.arpa.", RecordKind::Ptr),
    };
    let question = Question { name: name::parse(text).expect("a name"), kind };
    let mut message = message.to_vec();
    if choice & 0x80 == 0
        && let [high, low, ..] = message.as_mut_slice()
    {
        [*high, *low] = ID.to_be_bytes();
    }

    let weights = if choice & 0x40 == 0 { SrvWeights::Ignore } else { SrvWeights::Honour };
    let loopback = choice & 0x20 != 0;
    let rule = Choice { families: Families::Both, addresses: Addresses::All, prefer: Family::V4, loopback };
    let answer = read(&message, &question, ID);
    let nodes = of_message(&message, &question, ID, PORT, &rule, weights);
    match (answer, nodes) {
        (Err(fault), Err(same)) => {
            assert_eq!(fault, same);
            assert!(!fault.to_string().contains(['\n', '\r', '\x1b']));
        }
        (Ok(answer), Ok((same, set))) => {
            assert_eq!(answer, same);
            let room = message.len() / 10;
            match &answer.records {
                Records::Addresses(list) => {
                    assert!(matches!(kind, RecordKind::A | RecordKind::Aaaa) && list.len() <= room);
                    assert!(list.iter().all(|ip| ip.is_ipv4() == (kind == RecordKind::A)));
                    assert!(set.nodes.keys().all(|address| address.port() == PORT));
                }
                Records::Services(list) => {
                    assert!(kind == RecordKind::Srv && list.len() <= room);
                    assert!(set.nodes.keys().all(|at| list.iter().any(|service| service.port == at.port())));
                }
                Records::Names(list) => {
                    assert!(kind == RecordKind::Ptr && list.len() <= room && set.nodes.is_empty());
                }
            }
            for (address, node) in &set.nodes {
                let ip = address.ip();
                assert!(
                    !ip.is_unspecified() && !ip.is_multicast() && (loopback || !ip.is_loopback()),
                    "{ip}"
                );
                assert!(node.weight.is_none_or(|weight| (1..=100).contains(&weight)));
            }
        }
        (answer, nodes) => panic!("{answer:?} but {nodes:?}"),
    }

    // A query is never taken for its own answer.
    let own = query(&question, ID, choice & 0x10 != 0).expect("a query");
    assert!(matches!(read(&own, &question, ID), Err(NoAnswer::Foreign(_))));
});
