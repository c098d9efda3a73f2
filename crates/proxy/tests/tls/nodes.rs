//! TLS towards nodes: what is verified, sent and kept.

use std::{collections::BTreeMap, sync::Arc};

use rcgen::{BasicConstraints, IsCa};
use rustls::{ClientConnection, HandshakeKind, ServerConnection};
use tidegate_harness::tls::{Authority, Pair};
use tidegate_model::{
    CaName, KeyName, PoolName,
    tls::{ClientCertificate, NodeTls, TlsVersions},
};
use tidegate_proxy::tls::{node, server::TlsServer};

use crate::sides::{
    LOCAL, Met, authorities, build, catalogue, ecdsa, entry, good, issued, named, settings, shake,
};

fn node_settings(strict_verify: bool, names: &[&str]) -> NodeTls {
    NodeTls {
        send_server_name: false,
        strict_verify,
        common_name_match: names.iter().map(|name| Arc::from(*name)).collect(),
        client_key: None,
        versions: TlsVersions::default(),
        send_close_alerts: true,
    }
}

fn connect(
    client: &node::TlsClient,
    node: &str,
    node_name: Option<&str>,
    host: Option<&[u8]>,
    server: &TlsServer,
) -> Result<Met, rustls::Error> {
    let (config, name) = client.session(node.parse().unwrap(), node_name, host);
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut server =
        ServerConnection::new(Arc::clone(server.config_for(LOCAL.parse().unwrap(), &[]))).unwrap();
    shake(&mut connection, &mut server)?;
    Ok(Met { client: connection, server, headers: String::new() })
}

#[test]
fn nodes_are_verified_as_strictly_as_asked() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let cas = authorities(&[("ours", &ours)]);
    let expired = ours.issue_with("node", &["10.0.0.1"], |params| {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let expired = named("node", &expired);
    let by_address = issued(&ours, "plain", &["10.0.0.1"]);
    let by_name = issued(&ours, "backend.example.com", &["node.example.com"]);
    let wild = issued(&ours, "*.example.org", &["irrelevant"]);
    let stranger = issued(&theirs, "node", &["10.0.0.1"]);
    let own = ecdsa("own", &["10.0.0.1"]);
    for (what, key, strict, names, node_name, expected) in [
        ("anything goes when lax", &stranger, false, &[][..], None, true),
        ("expired goes when lax", &expired, false, &[], None, true),
        ("address in the certificate", &by_address, true, &[], None, true),
        ("name in the certificate", &by_name, true, &[], Some("node.example.com"), true),
        ("other address", &by_name, true, &[], None, false),
        ("other name", &by_address, true, &[], Some("node.example.com"), false),
        ("expired", &expired, true, &[], None, false),
        ("unknown authority", &stranger, true, &[], None, false),
        ("self-signed", &own, true, &[], None, false),
        ("listed name", &by_name, true, &["node.example.com"], None, true),
        ("listed common name", &by_name, true, &["BACKEND.example.com"], None, true),
        ("listed under a wildcard common name", &wild, true, &["x", "a.example.org"], None, true),
        ("wildcard one label only", &wild, true, &["a.b.example.org"], None, false),
        ("own address besides the listed names", &by_address, true, &["node.example.com"], None, true),
        ("neither listed nor own", &by_name, true, &["other.example.com"], None, false),
    ] {
        let (client, problems) =
            node::build(&PoolName::from("pool"), &node_settings(strict, names), &BTreeMap::new(), &cas, None);
        assert!(problems.is_empty(), "{problems:?}");
        let server = good(&settings(&[key.name.as_str()]), &catalogue(&[key]), None);
        let result = connect(&client.unwrap(), "10.0.0.1:443", node_name, None, &server);
        assert_eq!(result.is_ok(), expected, "{what}: {:?}", result.err());
    }
}

#[test]
fn a_node_that_shows_a_certificate_of_the_catalogue_is_trusted() {
    let own = Pair::with(&["10.0.0.1"], |parameters| {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let own = named("own", &own);
    let cas = BTreeMap::from([(CaName::from("own"), Arc::clone(&own.certificate))]);
    let (client, _) =
        node::build(&PoolName::from("pool"), &node_settings(true, &[]), &BTreeMap::new(), &cas, None);
    let client = client.unwrap();
    let server = good(&settings(&["own"]), &catalogue(&[&own]), None);
    assert!(connect(&client, "10.0.0.1:443", None, None, &server).is_ok());
    assert!(connect(&client, "10.0.0.2:443", None, None, &server).is_err(), "the name still counts");
}

#[test]
fn the_server_name_is_sent_only_when_asked_and_never_decides_trust() {
    let authority = Authority::new("ca");
    let server = good(&settings(&["node"]), &catalogue(&[&issued(&authority, "node", &["10.0.0.1"])]), None);
    for (send, host, node_name, seen) in [
        (false, Some(&b"www.example.com"[..]), None, None),
        (true, Some(&b"WWW.example.com"[..]), None, Some("www.example.com")),
        (true, Some(b"10.9.9.9"), None, None),
        (true, Some(b"not a name"), None, None),
        (true, None, None, None),
    ] {
        let mut tls = node_settings(true, &[]);
        tls.send_server_name = send;
        let (client, _) = node::build(
            &PoolName::from("pool"),
            &tls,
            &BTreeMap::new(),
            &authorities(&[("ca", &authority)]),
            None,
        );
        let met = connect(&client.unwrap(), "10.0.0.1:443", node_name, host, &server).unwrap();
        assert_eq!(met.server.server_name(), seen, "send {send}, host {host:?}");
    }
}

#[test]
fn connections_to_a_node_resume_and_rebuilds_keep_them() {
    let server = good(&settings(&["e"]), &catalogue(&[&ecdsa("e", &["n"])]), None);
    let mut tls = node_settings(false, &[]);
    tls.send_server_name = true;
    let pool = PoolName::from("pool");
    let (client, _) = node::build(&pool, &tls, &BTreeMap::new(), &BTreeMap::new(), None);
    let client = client.unwrap();
    let (again, _) = node::build(&pool, &tls, &BTreeMap::new(), &BTreeMap::new(), Some(&client));
    assert!(Arc::ptr_eq(&client, &again.unwrap()));
    let host = Some(&b"www.example.com"[..]);
    for (node, kind) in [
        ("10.0.0.1:443", HandshakeKind::Full),
        ("10.0.0.2:443", HandshakeKind::Full),
        ("10.0.0.1:443", HandshakeKind::Resumed),
        ("10.0.0.2:443", HandshakeKind::Resumed),
    ] {
        let met = connect(&client, node, None, host, &server).unwrap();
        assert_eq!(met.server.handshake_kind(), Some(kind), "{node}");
    }
}

#[test]
fn a_client_certificate_is_shown_to_nodes_and_a_bad_one_keeps_the_last() {
    let authority = Authority::new("ca");
    let mut server_settings = settings(&["node"]);
    server_settings.client_certificate = ClientCertificate::Require;
    server_settings.client_authorities = vec![CaName::from("ca")];
    let (server, _) = build(
        &server_settings,
        &catalogue(&[&ecdsa("node", &["n"])]),
        &authorities(&[("ca", &authority)]),
        None,
    );
    let server = server.unwrap();
    let mut tls = node_settings(false, &[]);
    tls.client_key = Some(KeyName::from("us"));
    let pool = PoolName::from("pool");
    let keys = catalogue(&[&issued(&authority, "us", &["us"])]);
    let (client, problems) = node::build(&pool, &tls, &keys, &BTreeMap::new(), None);
    assert!(problems.is_empty(), "{problems:?}");
    let client = client.unwrap();
    assert!(connect(&client, "10.0.0.1:443", None, None, &server).is_ok());
    let bad = catalogue(&[&entry("us", "x", "y")]);
    let (after, problems) = node::build(&pool, &tls, &bad, &BTreeMap::new(), Some(&client));
    assert_eq!(problems[0].object, "ssl/client_keys/us");
    assert!(connect(&after.unwrap(), "10.0.0.1:443", None, None, &server).is_ok());
    let (none, _) = node::build(&pool, &tls, &bad, &BTreeMap::new(), None);
    assert!(connect(&none.unwrap(), "10.0.0.1:443", None, None, &server).is_err());
}
