//! The two sides of a handshake, and certificates in the form the model has them in.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, ServerConnection, SignatureScheme,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    server::Acceptor,
};
use tidegate_harness::tls::{self, Authority, Pair, Version};
use tidegate_model::{
    CaName, GlobalSettings, KeyName, VirtualServerName,
    tls::{KeyPair, ServerTls},
};
use tidegate_proxy::{
    Problem,
    tls::{
        headers,
        server::{self, TlsServer},
    },
};

/// Where clients connect to unless a test says otherwise.
pub(crate) const LOCAL: &str = "127.0.0.1:443";

/// The versions that a client can be held to.
pub(crate) const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// An entry of a catalogue.
pub(crate) fn entry(name: &str, certificate: &str, private_key: &str) -> Arc<KeyPair> {
    Arc::new(KeyPair { name: name.into(), certificate: certificate.into(), private_key: private_key.into() })
}

pub(crate) fn named(name: &str, pair: &Pair) -> Arc<KeyPair> {
    entry(name, &pair.certificate, &pair.key)
}

pub(crate) fn ecdsa(name: &str, hosts: &[&str]) -> Arc<KeyPair> {
    named(name, &Pair::ecdsa(hosts))
}

/// A certificate whose common name is the name of its entry.
pub(crate) fn issued(authority: &Authority, name: &str, hosts: &[&str]) -> Arc<KeyPair> {
    named(name, &authority.issue_with(name, hosts, |_| {}))
}

pub(crate) fn catalogue(pairs: &[&Arc<KeyPair>]) -> BTreeMap<KeyName, Arc<KeyPair>> {
    pairs.iter().map(|pair| (pair.name.clone(), Arc::clone(pair))).collect()
}

pub(crate) fn authorities(list: &[(&str, &Authority)]) -> BTreeMap<CaName, Arc<str>> {
    list.iter().map(|(name, authority)| (CaName::from(*name), Arc::from(&*authority.certificate))).collect()
}

pub(crate) fn leaf(pair: &KeyPair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
}

pub(crate) fn settings(default: &[&str]) -> ServerTls {
    ServerTls::of(default.iter().map(|name| KeyName::from(*name)))
}

pub(crate) fn build(
    settings: &ServerTls,
    keys: &BTreeMap<KeyName, Arc<KeyPair>>,
    cas: &BTreeMap<CaName, Arc<str>>,
    previous: Option<&Arc<TlsServer>>,
) -> (Option<Arc<TlsServer>>, Vec<Problem>) {
    server::build(&VirtualServerName::from("site"), settings, keys, cas, &GlobalSettings::default(), previous)
}

pub(crate) fn good(
    settings: &ServerTls,
    keys: &BTreeMap<KeyName, Arc<KeyPair>>,
    previous: Option<&Arc<TlsServer>>,
) -> Arc<TlsServer> {
    let (server, problems) = build(settings, keys, &BTreeMap::new(), previous);
    assert!(problems.is_empty(), "{problems:?}");
    server.unwrap()
}

/// What a client can do, and the certificate it shows.
pub(crate) struct Client {
    pub(crate) version: Version,
    pub(crate) schemes: Option<Vec<SignatureScheme>>,
    pub(crate) certificate: Option<Arc<KeyPair>>,
}

impl Client {
    pub(crate) fn any() -> Self {
        Self { version: Version::Both, schemes: None, certificate: None }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let certificate = self.certificate.as_ref().map(|entry| Pair {
            certificate: entry.certificate.to_string(),
            key: entry.private_key.to_string(),
        });
        tls::client_with(self.version, self.schemes.as_deref(), certificate.as_ref())
    }
}

/// Both ends of a finished handshake and the header lines made for it.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    pub(crate) headers: String,
}

impl Met {
    pub(crate) fn shown(&self) -> &CertificateDer<'static> {
        &self.client.peer_certificates().unwrap()[0]
    }
}

/// Moves bytes between the two until nothing is left to send; `Err` is the first fault, the server's if both have one.
pub(crate) fn shake(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
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

pub(crate) fn meet(server: &TlsServer, config: &Arc<ClientConfig>, name: &str) -> Result<Met, rustls::Error> {
    meet_at(server, config, name, LOCAL)
}

pub(crate) fn meet_at(
    server: &TlsServer,
    config: &Arc<ClientConfig>,
    name: &str,
    local: &str,
) -> Result<Met, rustls::Error> {
    let local: SocketAddr = local.parse().unwrap();
    let mut client =
        ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    // As on a socket: the configuration is chosen by the client's first message.
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    let accepted = acceptor.accept().unwrap().expect("the whole first message");
    let settled = Arc::clone(server.config_for(local, accepted.client_hello().cipher_suites()));
    let mut connection = accepted.into_connection(settled).map_err(|(error, _)| error)?;
    let session = headers::prepare(&mut connection, server.settings().add_http_headers);
    shake(&mut client, &mut connection)?;
    let headers = headers::client_headers(&connection, server.settings(), session);
    Ok(Met { client, server: connection, headers: String::from_utf8(headers).unwrap() })
}
