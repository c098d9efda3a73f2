//! Handshakes against what `tls::server` and `tls::node` build, in memory, with certificates made for each test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic as tests do; the lint exempts only functions marked as tests"
)]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair as RcgenKey, PKCS_RSA_SHA256,
    RsaKeySize,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tidegate_model::{
    CaName, GlobalSettings, KeyName, PoolName, VirtualServerName,
    tls::{ClientCertificate, ClientHeaders, HostMapping, KeyPair, NodeTls, ServerTls, TlsVersions},
};
use tidegate_proxy::{
    Problem,
    tls::{
        headers, node, provider,
        server::{self, TlsServer},
    },
};

const LOCAL: &str = "127.0.0.1:443";

type Versions = &'static [&'static rustls::SupportedProtocolVersion];

static ONLY_12: Versions = &[&rustls::version::TLS12];
static ONLY_13: Versions = &[&rustls::version::TLS13];

// ---- certificates ------------------------------------------------------------------------------------------------

fn pair(name: &str, certificate: String, private_key: String) -> Arc<KeyPair> {
    Arc::new(KeyPair { name: name.into(), certificate: certificate.into(), private_key: private_key.into() })
}

fn signed_with(key: &RcgenKey, name: &str, hosts: &[&str]) -> Arc<KeyPair> {
    let mut params =
        CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    pair(name, params.self_signed(key).unwrap().pem(), key.serialize_pem())
}

fn ecdsa(name: &str, hosts: &[&str]) -> Arc<KeyPair> {
    signed_with(&RcgenKey::generate().unwrap(), name, hosts)
}

fn rsa(name: &str, hosts: &[&str]) -> Arc<KeyPair> {
    signed_with(&RcgenKey::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), name, hosts)
}

struct Authority {
    pem: Arc<str>,
    issuer: Issuer<'static, RcgenKey>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = RcgenKey::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem().into();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, hosts: &[&str]) -> Arc<KeyPair> {
        self.issue_with(name, hosts, |_| {})
    }

    fn issue_with(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<KeyPair> {
        let key = RcgenKey::generate().unwrap();
        let mut params =
            CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        pair(name, params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn catalogue(pairs: &[&Arc<KeyPair>]) -> BTreeMap<KeyName, Arc<KeyPair>> {
    pairs.iter().map(|pair| (pair.name.clone(), Arc::clone(pair))).collect()
}

fn authorities(list: &[(&str, &Authority)]) -> BTreeMap<CaName, Arc<str>> {
    list.iter().map(|(name, authority)| (CaName::from(*name), Arc::clone(&authority.pem))).collect()
}

fn leaf(pair: &KeyPair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
}

// ---- the two sides -----------------------------------------------------------------------------------------------

fn settings(default: &[&str]) -> ServerTls {
    ServerTls::of(default.iter().map(|name| KeyName::from(*name)))
}

fn mapping(host: &str, certificates: &[&str]) -> HostMapping {
    HostMapping {
        host: host.into(),
        certificates: certificates.iter().map(|name| KeyName::from(*name)).collect(),
    }
}

fn build(
    settings: &ServerTls,
    keys: &BTreeMap<KeyName, Arc<KeyPair>>,
    cas: &BTreeMap<CaName, Arc<str>>,
    previous: Option<&Arc<TlsServer>>,
) -> (Option<Arc<TlsServer>>, Vec<Problem>) {
    server::build(&VirtualServerName::from("site"), settings, keys, cas, &GlobalSettings::default(), previous)
}

fn good(
    settings: &ServerTls,
    keys: &BTreeMap<KeyName, Arc<KeyPair>>,
    previous: Option<&Arc<TlsServer>>,
) -> Arc<TlsServer> {
    let (server, problems) = build(settings, keys, &BTreeMap::new(), previous);
    assert!(problems.is_empty(), "{problems:?}");
    server.unwrap()
}

/// Trusts everyone and can verify only `schemes`.
#[derive(Debug)]
struct Trusting {
    schemes: Vec<SignatureScheme>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

struct Client {
    versions: Versions,
    schemes: Option<Vec<SignatureScheme>>,
    certificate: Option<Arc<KeyPair>>,
}

impl Client {
    fn any() -> Self {
        Self { versions: rustls::ALL_VERSIONS, schemes: None, certificate: None }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let schemes = self
            .schemes
            .clone()
            .unwrap_or_else(|| provider().signature_verification_algorithms.supported_schemes());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting { schemes, provider: provider() }));
        Arc::new(match &self.certificate {
            Some(pair) => builder
                .with_client_auth_cert(
                    vec![leaf(pair)],
                    PrivateKeyDer::from_pem_slice(pair.private_key.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }
}

/// Both ends of a finished handshake and the header lines made for it.
#[derive(Debug)]
struct Met {
    client: ClientConnection,
    server: ServerConnection,
    headers: String,
}

impl Met {
    fn shown(&self) -> &CertificateDer<'static> {
        &self.client.peer_certificates().unwrap()[0]
    }
}

/// Moves bytes between the two until nothing is left to send; `Err` is the first fault, the server's if both have one.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
    for _ in 0..20 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut moved = !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        moved |= !wire.is_empty();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().inspect_err(|_| {
                // The alert goes back, as it would on a socket.
                let mut alert = Vec::new();
                client.write_tls(&mut alert).unwrap();
            })?;
        }
        if !moved {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn meet(server: &TlsServer, config: &Arc<ClientConfig>, name: &str) -> Result<Met, rustls::Error> {
    meet_at(server, config, name, LOCAL)
}

fn meet_at(
    server: &TlsServer,
    config: &Arc<ClientConfig>,
    name: &str,
    local: &str,
) -> Result<Met, rustls::Error> {
    let local: SocketAddr = local.parse().unwrap();
    let mut client =
        ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut connection = ServerConnection::new(Arc::clone(server.config_for(local))).unwrap();
    let session = headers::prepare(&mut connection, server.settings());
    shake(&mut client, &mut connection)?;
    let headers = headers::client_headers(&connection, server.settings(), session);
    Ok(Met { client, server: connection, headers: String::from_utf8(headers).unwrap() })
}

// ---- towards clients ---------------------------------------------------------------------------------------------

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
    let (e, r) = (ecdsa("e", &["site"]), rsa("r", &["site"]));
    let keys = catalogue(&[&e, &r]);
    for default in [["e", "r"], ["r", "e"]] {
        let server = good(&settings(&default), &keys, None);
        for versions in [ONLY_12, ONLY_13] {
            for (schemes, expected) in [
                (None, &e),
                (Some(vec![SignatureScheme::ECDSA_NISTP256_SHA256]), &e),
                (Some(vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]), &r),
            ] {
                let config = Client { versions, schemes: schemes.clone(), certificate: None }.config();
                let met = meet(&server, &config, "site").unwrap();
                assert_eq!(met.shown(), &leaf(expected), "{default:?} {versions:?} {schemes:?}");
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
fn versions_that_are_off_are_refused() {
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    let only12 = Client { versions: ONLY_12, ..Client::any() }.config();
    let only13 = Client { versions: ONLY_13, ..Client::any() }.config();
    for (tls12, tls13) in [(true, true), (true, false), (false, true)] {
        let mut tls = settings(&["e"]);
        tls.versions = TlsVersions { tls12, tls13 };
        let server = good(&tls, &keys, None);
        assert_eq!(meet(&server, &only12, "site").is_ok(), tls12);
        assert_eq!(meet(&server, &only13, "site").is_ok(), tls13);
    }
}

#[test]
fn sessions_resume_over_a_certificate_swap() {
    let keys = catalogue(&[&ecdsa("e", &["site"])]);
    for versions in [ONLY_12, ONLY_13] {
        for (tickets, session_cache) in [(true, true), (true, false), (false, true), (false, false)] {
            let what = format!("{versions:?}, tickets {tickets}, cache {session_cache}");
            let mut tls = settings(&["e"]);
            (tls.tickets, tls.session_cache) = (tickets, session_cache);
            let before = good(&tls, &keys, None);
            let config = Client { versions, ..Client::any() }.config();
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
        let keys = catalogue(&[&pair("e", certificate, key)]);
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

// ---- client certificates -----------------------------------------------------------------------------------------

#[test]
fn client_certificates_are_required_requested_and_described() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server_key = ecdsa("e", &["site"]);
    let cas = authorities(&[("ours", &ours)]);
    let known = ours.issue("known client", &["client"]);
    let unknown = theirs.issue("unknown client", &["client"]);
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
        for versions in [ONLY_12, ONLY_13] {
            let config = Client { versions, schemes: None, certificate: certificate.cloned() }.config();
            // The second connection resumes and must be described alike.
            for round in 0..2 {
                let headers = meet(&server, &config, "site").ok().map(|met| met.headers);
                let expected = status.map(|status| format!("SSLClientCertStatus: {status}\r\n"));
                assert_eq!(headers, expected, "{mode:?}, named {named}, {versions:?}, round {round}");
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
    assert_eq!(lines["SSLClientCipher"], "TLS_AES_256_GCM_SHA384, version=TLSv1.3, bits=256");
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
    let known = Client { certificate: Some(authority.issue("client", &["c"])), ..Client::any() }.config();
    let unknown = Client { certificate: Some(ecdsa("stranger", &["c"])), ..Client::any() }.config();
    assert!(meet(&after, &known, "site").is_ok());
    assert!(meet(&after, &unknown, "site").is_err());
}

// ---- towards nodes -----------------------------------------------------------------------------------------------

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
    let mut server = ServerConnection::new(Arc::clone(server.config_for(LOCAL.parse().unwrap()))).unwrap();
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
    let by_address = ours.issue("plain", &["10.0.0.1"]);
    let by_name = ours.issue("backend.example.com", &["node.example.com"]);
    let wild = ours.issue("*.example.org", &["irrelevant"]);
    let stranger = theirs.issue("node", &["10.0.0.1"]);
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
        ("not listed", &by_address, true, &["node.example.com"], None, false),
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
    let key = RcgenKey::generate().unwrap();
    let mut params = CertificateParams::new(vec!["10.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = pair("own", params.self_signed(&key).unwrap().pem(), key.serialize_pem());
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
    let server = good(&settings(&["node"]), &catalogue(&[&authority.issue("node", &["10.0.0.1"])]), None);
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
    let keys = catalogue(&[&authority.issue("us", &["us"])]);
    let (client, problems) = node::build(&pool, &tls, &keys, &BTreeMap::new(), None);
    assert!(problems.is_empty(), "{problems:?}");
    let client = client.unwrap();
    assert!(connect(&client, "10.0.0.1:443", None, None, &server).is_ok());
    let bad = catalogue(&[&pair("us", "x".into(), "y".into())]);
    let (after, problems) = node::build(&pool, &tls, &bad, &BTreeMap::new(), Some(&client));
    assert_eq!(problems[0].object, "ssl/client_keys/us");
    assert!(connect(&after.unwrap(), "10.0.0.1:443", None, None, &server).is_ok());
    let (none, _) = node::build(&pool, &tls, &bad, &BTreeMap::new(), None);
    assert!(connect(&none.unwrap(), "10.0.0.1:443", None, None, &server).is_err());
}
