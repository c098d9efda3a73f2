use std::str::FromStr as _;

use hickory_proto::rr::{
    Record,
    rdata::{A, AAAA, CNAME, SRV},
};

use super::*;

fn question(kind: RecordKind) -> Question {
    Question { name: Name::from_str("web.example.").unwrap(), kind }
}

fn message(kind: RecordKind) -> Message {
    let bytes = query(&question(kind), 7, false).unwrap();
    let mut message = Message::from_vec(&bytes).unwrap();
    message.metadata.message_type = MessageType::Response;
    message
}

fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_str(owner).unwrap(), ttl, data)
}

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    record(owner, ttl, RData::CNAME(CNAME(Name::from_str(target).unwrap())))
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    record(owner, ttl, RData::A(A::new(192, 0, 2, last)))
}

fn reads(message: &Message, kind: RecordKind) -> Result<Answer, NoAnswer> {
    read(&message.to_vec().unwrap(), &question(kind), 7)
}

#[test]
fn queries_ask_for_recursion_and_a_payload_that_fits() {
    let sent = Message::from_vec(&query(&question(RecordKind::A), 7, true).unwrap()).unwrap();
    assert!(sent.metadata.recursion_desired);
    assert_eq!(sent.edns.map(|edns| edns.max_payload()), Some(UDP_PAYLOAD));
}

#[test]
fn a10_a13_the_smallest_ttl_along_the_chain() {
    let mut sent = message(RecordKind::A);
    sent.add_answers([alias("web.example.", 20, "B.example."), alias("b.example.", 9, "c.example.")]);
    sent.add_answers([a("C.EXAMPLE.", 30, 1), a("c.example.", 60, 2), a("other.example.", 1, 3)]);
    let answer = reads(&sent, RecordKind::A).unwrap();
    assert_eq!(answer.ttl, Some(Duration::from_secs(9)));
    assert_eq!(
        answer.records,
        Records::Addresses(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()])
    );
    assert_eq!(answer.alias, None);
}

#[test]
fn an_alias_may_lead_out_of_the_message() {
    let mut sent = message(RecordKind::A);
    sent.add_answer(alias("web.example.", 20, "b.example."));
    let answer = reads(&sent, RecordKind::A).unwrap();
    assert_eq!(answer.alias, Some(Name::from_str("b.example.").unwrap()));
    assert!(!answer.says_no_data());
}

#[test]
fn a14_loops_and_long_chains() {
    let mut sent = message(RecordKind::A);
    sent.add_answers([alias("web.example.", 1, "b.example."), alias("b.example.", 1, "web.example.")]);
    assert_eq!(reads(&sent, RecordKind::A), Err(NoAnswer::Aliases));
    let chain = |hops: usize| {
        let mut sent = message(RecordKind::A);
        let name = |hop: usize| if hop == 0 { "web.example.".to_owned() } else { format!("h{hop}.example.") };
        sent.add_answers((0..hops).map(|hop| alias(&name(hop), 1, &name(hop + 1))));
        sent.add_answer(a(&name(hops), 1, 1));
        reads(&sent, RecordKind::A)
    };
    assert!(chain(MAX_ALIASES).is_ok());
    assert_eq!(chain(MAX_ALIASES + 1), Err(NoAnswer::Aliases));
}

#[test]
fn services_and_their_addresses() {
    let mut sent = message(RecordKind::Srv);
    let target = Name::from_str("Pod.example.").unwrap();
    sent.add_answer(record("web.example.", 5, RData::SRV(SRV::new(1, 2, 80, target.clone()))));
    sent.add_additionals([
        a("pod.EXAMPLE.", 3, 1),
        record("pod.example.", 3, RData::AAAA(AAAA("2001:db8::1".parse().unwrap()))),
    ]);
    let answer = reads(&sent, RecordKind::Srv).unwrap();
    assert_eq!(answer.records, Records::Services(vec![Service { priority: 1, weight: 2, port: 80, target }]));
    assert_eq!(answer.glue["pod.example"].len(), 2);
}

#[test]
fn codes() {
    for (code, expected) in [
        (ResponseCode::NoError, Code::Ok),
        (ResponseCode::NXDomain, Code::NoSuchName),
        (ResponseCode::ServFail, Code::ServerFailure),
        (ResponseCode::Refused, Code::Refused),
        (ResponseCode::FormErr, Code::FormatError),
        (ResponseCode::NotImp, Code::Other(4)),
    ] {
        let mut sent = message(RecordKind::A);
        sent.metadata.response_code = code;
        assert_eq!(reads(&sent, RecordKind::A).unwrap().code, expected);
        // Failures may leave the question out; answers may not.
        sent.queries.clear();
        let failure = !matches!(expected, Code::Ok | Code::NoSuchName);
        assert_eq!(reads(&sent, RecordKind::A).is_ok(), failure, "{code}");
    }
}

#[test]
fn b14_b15_what_answers_another_question() {
    let sent = message(RecordKind::A);
    let bytes = sent.to_vec().unwrap();
    assert!(matches!(read(&bytes, &question(RecordKind::A), 8), Err(NoAnswer::Foreign(_))));
    assert!(matches!(read(&bytes, &question(RecordKind::Aaaa), 7), Err(NoAnswer::Foreign(_))));
    let other = Question { name: Name::from_str("other.example.").unwrap(), kind: RecordKind::A };
    assert!(matches!(read(&bytes, &other, 7), Err(NoAnswer::Foreign(_))));
    assert!(matches!(read(&[0, 7], &question(RecordKind::A), 7), Err(NoAnswer::Foreign(_))));
    let asked = query(&question(RecordKind::A), 7, true).unwrap();
    assert!(matches!(read(&asked, &question(RecordKind::A), 7), Err(NoAnswer::Foreign(_))));
    let mut twice = sent;
    twice.queries.push(twice.queries[0].clone());
    assert!(matches!(reads(&twice, RecordKind::A), Err(NoAnswer::Foreign(_))));
}

#[test]
fn b16_no_bytes_are_a_panic() {
    let mut sent = message(RecordKind::Srv);
    let target = Name::from_str("pod.example.").unwrap();
    sent.add_answer(alias("web.example.", 5, "b.example."));
    sent.add_answer(record("b.example.", 5, RData::SRV(SRV::new(1, 2, 80, target))));
    sent.add_additional(a("pod.example.", 3, 1));
    let good = sent.to_vec().unwrap();
    let choice = crate::dns::nodes::Choice {
        families: crate::source::Families::Both,
        addresses: crate::source::Addresses::All,
        prefer: crate::Family::V4,
        loopback: false,
    };
    let run = |bytes: &[u8]| {
        let question = question(RecordKind::Srv);
        drop(crate::dns::nodes::of_message(bytes, &question, 7, 80, &choice, crate::SrvWeights::Honour));
    };
    for end in 0..=good.len() {
        run(&good[..end]);
    }
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..6) {
            let place = random.usize(3..bytes.len());
            bytes[place] = random.u8(..);
        }
        run(&bytes);
    }
}
