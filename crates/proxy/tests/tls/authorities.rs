//! Certificates of clients: asked for, believed, described to nodes.

use std::{collections::BTreeMap, sync::Arc};

use rcgen::DnType;
use rustls::HandshakeKind;
use tidegate_harness::tls::Authority;
use tidegate_model::{
    CaName,
    tls::{ClientCertificate, ClientHeaders},
};

use crate::sides::{Client, VERSIONS, authorities, build, catalogue, ecdsa, issued, meet, named, settings};

#[test]
fn client_certificates_are_required_requested_and_described() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server_key = ecdsa("e", &["site"]);
    let cas = authorities(&[("ours", &ours)]);
    let known = issued(&ours, "known client", &["client"]);
    let unknown = issued(&theirs, "unknown client", &["client"]);
    use ClientCertificate::{DontRequest, Request, Require};
    for (mode, named, certificate, status) in [
        (Require, true, Some(&known), Some("OK")),
        (Require, true, Some(&unknown), None),
        (Require, true, None, None),
        (Require, false, Some(&unknown), Some("OK")),
        (Require, false, None, None),
        (Request, true, Some(&known), Some("OK")),
        (Request, true, Some(&unknown), None),
        (Request, true, None, Some("NoClientCert")),
        (Request, false, Some(&unknown), Some("OK")),
        (Request, false, None, Some("NoClientCert")),
        (DontRequest, true, Some(&known), Some("NoClientCert")),
    ] {
        let mut tls = settings(&["e"]);
        tls.client_certificate = mode;
        tls.client_authorities = if named { vec![CaName::from("ours")] } else { Vec::new() };
        tls.client_headers = ClientHeaders::Simple;
        let (server, problems) = build(&tls, &catalogue(&[&server_key]), &cas, None);
        assert!(problems.is_empty(), "{problems:?}");
        let server = server.unwrap();
        for version in VERSIONS {
            let config = Client { version, certificate: certificate.cloned(), ..Client::any() }.config();
            // The second connection resumes and must be described alike.
            for round in 0..2 {
                let headers = meet(&server, &config, "site").ok().map(|met| met.headers);
                let expected = status.map(|status| format!("SSLClientCertStatus: {status}\r\n"));
                assert_eq!(headers, expected, "{mode:?}, named {named}, {version:?}, round {round}");
            }
        }
    }
}

#[test]
fn the_certificate_and_the_session_are_described_in_header_lines() {
    let authority = Authority::new("Test authority");
    let client = authority.issue_with("Jane\r\nInjected: yes", &["client"], |params| {
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x12, 0xab]));
        params.distinguished_name.push(DnType::OrganizationName, "Übermut");
    });
    let client = named("jane", &client);
    let mut tls = settings(&["e"]);
    tls.client_certificate = ClientCertificate::Require;
    tls.client_authorities = vec![CaName::from("ca")];
    tls.client_headers = ClientHeaders::All;
    tls.add_http_headers = true;
    let (server, _) =
        build(&tls, &catalogue(&[&ecdsa("e", &["site"])]), &authorities(&[("ca", &authority)]), None);
    let server = server.unwrap();
    let config = Client { certificate: Some(client), ..Client::any() }.config();
    let met = meet(&server, &config, "site").unwrap();
    let lines: BTreeMap<&str, &str> = met
        .headers
        .split_terminator("\r\n")
        .map(|line| line.split_once(": ").expect("name and value"))
        .collect();
    assert_eq!(lines["SSLClientCipher"], "TLS_AES_128_GCM_SHA256, version=TLSv1.3, bits=128");
    assert_eq!(lines["SSLSessionID"].len(), 64);
    assert_eq!(lines["SSLClientCertStatus"], "OK");
    assert_eq!(lines["SSLClientCertVersion"], "3");
    assert_eq!(lines["SSLClientCertSerialNumber"], "12AB");
    assert!(lines["SSLClientCertSubject"].contains("Injected: yes"), "{lines:?}");
    assert!(lines["SSLClientCertIssuer"].contains("Test authority"));
    assert_eq!(lines["SSLClientCertHash"].len(), 64);
    assert_eq!(lines.len(), 12, "{lines:?}");
    assert!(met.headers.lines().all(|line| line.starts_with("SSL")), "{}", met.headers);
    assert!(met.headers.is_ascii());
    // A client that resumes keeps its identifier.
    let again = meet(&server, &config, "site").unwrap();
    assert_eq!(again.server.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(again.headers.contains(lines["SSLSessionID"]));
}

#[test]
fn bad_authorities_are_problems_and_never_open_the_door() {
    let authority = Authority::new("ca");
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    let mut tls = settings(&["e"]);
    tls.client_certificate = ClientCertificate::Require;
    tls.client_authorities = vec![CaName::from("ca")];
    let bad = BTreeMap::from([(CaName::from("ca"), Arc::from("rubbish"))]);
    let (server, problems) = build(&tls, &keys, &bad, None);
    assert!(server.is_none());
    assert_eq!(problems[0].object, "ssl/cas/ca");
    let (before, _) = build(&tls, &keys, &authorities(&[("ca", &authority)]), None);
    let (after, problems) = build(&tls, &keys, &bad, before.as_ref());
    assert_eq!(problems.len(), 1);
    let after = after.expect("the last good authority stays in use");
    let known = Client { certificate: Some(issued(&authority, "client", &["c"])), ..Client::any() }.config();
    let unknown = Client { certificate: Some(ecdsa("stranger", &["c"])), ..Client::any() }.config();
    assert!(meet(&after, &known, "site").is_ok());
    assert!(meet(&after, &unknown, "site").is_err());
}
