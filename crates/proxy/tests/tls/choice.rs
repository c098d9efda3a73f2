//! Which certificate, version and key exchange a client gets.

use std::sync::Arc;

use rustls::{CipherSuite, ClientConfig, NamedGroup, ProtocolVersion, SignatureScheme};
use tidegate_harness::tls::{Pair, Version, client_offering};
use tidegate_model::{
    KeyName,
    tls::{HostMapping, TlsVersions},
};

use crate::sides::{Client, LOCAL, VERSIONS, catalogue, ecdsa, good, leaf, meet, meet_at, named, settings};

fn mapping(host: &str, certificates: &[&str]) -> HostMapping {
    HostMapping {
        host: host.into(),
        certificates: certificates.iter().map(|name| KeyName::from(*name)).collect(),
    }
}

#[test]
fn the_certificate_follows_the_server_name_and_the_destination_address() {
    let names = ["default", "exact", "wild", "wilder", "address"];
    let pairs = names.map(|name| ecdsa(name, &[name]));
    let keys = catalogue(&pairs.each_ref());
    let mut tls = settings(&["default"]);
    tls.host_mapping = vec![
        mapping("*.example.com", &["wild"]),
        mapping("www.example.com", &["exact"]),
        mapping("*.deep.example.com", &["wilder"]),
        mapping("a?c.example.org", &["wild"]),
        mapping("10.1.2.3", &["address"]),
    ];
    let server = good(&tls, &keys, None);
    for (name, local, expected) in [
        ("www.example.com", LOCAL, "exact"),
        ("WWW.Example.COM", LOCAL, "exact"),
        ("other.example.com", LOCAL, "wild"),
        ("x.deep.example.com", LOCAL, "wilder"),
        ("abc.example.org", LOCAL, "wild"),
        ("abbc.example.org", LOCAL, "default"),
        ("example.net", LOCAL, "default"),
        ("127.0.0.1", LOCAL, "default"),
        ("127.0.0.1", "10.1.2.3:443", "address"),
        ("127.0.0.1", "[::ffff:10.1.2.3]:443", "address"),
        ("example.net", "10.1.2.3:443", "address"),
        ("www.example.com", "10.1.2.3:443", "exact"),
    ] {
        // A new client each time: one that resumes is not shown a certificate.
        let met = meet_at(&server, &Client::any().config(), name, local).unwrap();
        let expected_leaf = leaf(&keys[expected]);
        assert_eq!(met.shown(), &expected_leaf, "{name} on {local} should be shown {expected}");
    }
}

#[test]
fn the_alternative_certificate_goes_to_clients_that_can_verify_only_it() {
    let (e, r) = (ecdsa("e", &["site"]), named("r", &Pair::rsa(&["site"])));
    let keys = catalogue(&[&e, &r]);
    for default in [["e", "r"], ["r", "e"]] {
        let server = good(&settings(&default), &keys, None);
        for version in VERSIONS {
            for (schemes, expected) in [
                (None, &e),
                (Some(vec![SignatureScheme::ECDSA_NISTP256_SHA256]), &e),
                (Some(vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]), &r),
            ] {
                let config = Client { version, schemes: schemes.clone(), certificate: None }.config();
                let met = meet(&server, &config, "site").unwrap();
                assert_eq!(met.shown(), &leaf(expected), "{default:?} {version:?} {schemes:?}");
            }
        }
    }
}

#[test]
fn the_hybrid_key_exchange_is_preferred_and_http11_is_negotiated() {
    let server = good(&settings(&["e"]), &catalogue(&[&ecdsa("e", &["site"])]), None);
    let mut config = ClientConfig::clone(&Client::any().config());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let met = meet(&server, &Arc::new(config), "site").unwrap();
    assert_eq!(met.server.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(met.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(met.server.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn the_cheapest_cipher_is_preferred_unless_the_client_avoids_aes() {
    use CipherSuite as Suite;
    let tls13 = [
        Suite::TLS13_AES_128_GCM_SHA256,
        Suite::TLS13_AES_256_GCM_SHA384,
        Suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let tls12 = [
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let server = good(&settings(&["e"]), &catalogue(&[&ecdsa("e", &["site"])]), None);
    for (version, [short, long, chacha]) in [(Version::Tls13, tls13), (Version::Tls12, tls12)] {
        for (offered, expected) in [
            (&[long, short, chacha][..], short),
            (&[long, chacha, short], short),
            (&[long, chacha], long),
            (&[chacha, long, short], chacha),
            (&[chacha], chacha),
            (&[long], long),
        ] {
            let met = meet(&server, &client_offering(version, offered), "site").unwrap();
            let chosen = met.server.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(chosen, expected, "{offered:?}");
        }
    }
}

#[test]
fn versions_that_are_off_are_refused() {
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    let only12 = Client { version: Version::Tls12, ..Client::any() }.config();
    let only13 = Client { version: Version::Tls13, ..Client::any() }.config();
    for (tls12, tls13) in [(true, true), (true, false), (false, true)] {
        let mut tls = settings(&["e"]);
        tls.versions = TlsVersions { tls12, tls13 };
        let server = good(&tls, &keys, None);
        assert_eq!(meet(&server, &only12, "site").is_ok(), tls12);
        assert_eq!(meet(&server, &only13, "site").is_ok(), tls13);
    }
}
