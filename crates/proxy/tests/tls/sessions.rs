//! Sessions that resume, and what ends them.

use std::sync::Arc;

use rustls::HandshakeKind;
use tidegate_model::tls::ClientCertificate;

use crate::sides::{Client, Met, VERSIONS, catalogue, ecdsa, good, meet, settings};

#[test]
fn sessions_resume_over_a_certificate_swap() {
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    for version in VERSIONS {
        for (tickets, session_cache) in [(true, true), (true, false), (false, true), (false, false)] {
            let what = format!("{version:?}, tickets {tickets}, cache {session_cache}");
            let mut tls = settings(&["e"]);
            (tls.tickets, tls.session_cache) = (tickets, session_cache);
            let before = good(&tls, &keys, None);
            let config = Client { version, ..Client::any() }.config();
            let first = meet(&before, &config, "site").unwrap();
            assert_eq!(first.server.handshake_kind().unwrap(), full_of(&first), "{what}");
            let after = good(&tls, &catalogue(&[&ecdsa("e", &["site"])]), Some(&before));
            assert!(!Arc::ptr_eq(&before, &after));
            let second = meet(&after, &config, "site").unwrap();
            let resumed = second.server.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, tickets || session_cache, "{what}");
        }
    }
}

/// A full handshake, whether or not it took a retry of the hello.
fn full_of(met: &Met) -> HandshakeKind {
    match met.server.handshake_kind() {
        Some(HandshakeKind::FullWithHelloRetryRequest) => HandshakeKind::FullWithHelloRetryRequest,
        _ => HandshakeKind::Full,
    }
}

#[test]
fn sessions_do_not_resume_once_client_certificates_are_asked_for() {
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    let before = good(&settings(&["e"]), &keys, None);
    let config = Client::any().config();
    meet(&before, &config, "site").unwrap();
    let mut tls = settings(&["e"]);
    tls.client_certificate = ClientCertificate::Require;
    let after = good(&tls, &keys, Some(&before));
    assert!(
        meet(&after, &config, "site").is_err(),
        "a session without a certificate must not count as one with"
    );
}
