//! Rebuilds: what stays the same, and what becomes of keys that cannot be used.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_harness::tls::Authority;

use crate::sides::{Client, build, catalogue, ecdsa, entry, good, leaf, meet, named, settings};

#[test]
fn unchanged_inputs_give_the_same_tls_back() {
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    let before = good(&settings(&["e"]), &keys, None);
    assert!(Arc::ptr_eq(&before, &good(&settings(&["e"]), &keys, Some(&before))));
    let mut more = keys.clone();
    more.extend(catalogue(&[&ecdsa("unrelated", &["x"])]));
    assert!(Arc::ptr_eq(&before, &good(&settings(&["e"]), &more, Some(&before))));
    let mut tls = settings(&["e"]);
    tls.add_http_headers = true;
    assert!(!Arc::ptr_eq(&before, &good(&tls, &keys, Some(&before))));
}

#[test]
fn a_bad_key_is_a_problem_of_that_key_and_the_last_good_one_serves() {
    let (first, other) = (ecdsa("e", &["site"]), ecdsa("e", &["site"]));
    let before = good(&settings(&["e"]), &catalogue(&[&first]), None);
    let config = Client::any().config();
    let bad = [
        ("mismatch", first.certificate.to_string(), other.private_key.to_string(), "does not belong"),
        ("no certificate", String::new(), first.private_key.to_string(), "basic.public holds no certificate"),
        ("no key", first.certificate.to_string(), "x".into(), "basic.private holds no private key"),
        (
            "encrypted",
            first.certificate.to_string(),
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".into(),
            "without a passphrase",
        ),
        (
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            first.private_key.to_string(),
            "X.509",
        ),
    ];
    for (what, certificate, key, expected) in bad {
        let keys = catalogue(&[&entry("e", &certificate, &key)]);
        let (after, problems) = build(&settings(&["e"]), &keys, &BTreeMap::new(), Some(&before));
        assert_eq!(problems.len(), 1, "{what}: {problems:?}");
        assert_eq!(problems[0].object, "ssl/server_keys/e");
        assert!(problems[0].message.contains(expected), "{what}: {}", problems[0].message);
        let after = after.expect("the last good certificate serves");
        assert_eq!(meet(&after, &config, "site").unwrap().shown(), &leaf(&first), "{what}");
        // A further build with the same text says the same and changes nothing.
        let (again, problems) = build(&settings(&["e"]), &keys, &BTreeMap::new(), Some(&after));
        assert!(Arc::ptr_eq(&after, &again.unwrap()) && problems.len() == 1);
        // Without a last good one there is nothing to serve.
        let (none, problems) = build(&settings(&["e"]), &keys, &BTreeMap::new(), None);
        assert!(none.is_none());
        assert_eq!(problems.last().unwrap().object, "virtual_servers/site");
    }
}

#[test]
fn certificates_near_their_end_are_noticed() {
    let authority = Authority::new("authority");
    let old =
        authority.issue_with("old", &["site"], |params| params.not_after = rcgen::date_time_ymd(2030, 1, 1));
    let old = named("old", &old);
    let server = good(&settings(&["old"]), &catalogue(&[&old]), None);
    let end = 1_893_456_000;
    for (now, expected) in [
        (end - 15 * 86_400, None),
        (end - 13 * 86_400, Some("ends in 13 days")),
        (end + 2 * 86_400, Some("ended 2 days ago")),
    ] {
        let notices = server.expiry_notices(now);
        assert_eq!(notices.len(), usize::from(expected.is_some()), "{now}");
        if let Some(expected) = expected {
            assert!(notices[0].message.contains(expected), "{}", notices[0].message);
        }
    }
}
