//! Catalogue entries turned into certificates with keys, and into trust anchors.
//!
//! In: PEM text by name, and what the previous build made of it. Out: parsed entries, each the newest that could be
//! read, and one problem per entry that could not. Parsing is skipped for text that did not change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use tidegate_model::{CaName, KeyName, tls::KeyPair};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::provider;
use crate::Problem;

/// Certificates of a chain that are read; more is a mistake in the document.
const MAX_CHAIN: usize = 32;

/// A certificate chain with its key, ready for handshakes.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The text it was read from.
    pair: Arc<KeyPair>,
    /// Chain and signing key.
    pub(crate) certified: Arc<CertifiedKey>,
    /// End of validity of the leaf, seconds since 1970.
    pub(crate) not_after: i64,
}

/// Certificates by name.
#[derive(Debug, Default)]
pub(crate) struct Certificates(BTreeMap<KeyName, Arc<Certificate>>);

impl Certificates {
    /// Reads `names` from `catalogue`. `collection` is `ssl/server_keys` or `ssl/client_keys`, for problems. An entry that
    /// cannot be read is served by the previous build's certificate of that name, if there is one.
    pub(crate) fn load(
        names: &BTreeSet<&KeyName>,
        catalogue: &BTreeMap<KeyName, Arc<KeyPair>>,
        previous: Option<&Self>,
        collection: &str,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut loaded = BTreeMap::new();
        for name in names.iter().copied() {
            let Some(pair) = catalogue.get(name) else {
                problems.push(Problem {
                    object: format!("{collection}/{name}"),
                    message: "is used and not in the catalogue; add it or name another".into(),
                });
                continue;
            };
            let last = previous.and_then(|previous| previous.0.get(name));
            if let Some(last) = last.filter(|last| last.pair == *pair) {
                loaded.insert(name.clone(), Arc::clone(last));
                continue;
            }
            match read(pair) {
                Ok(certificate) => {
                    loaded.insert(name.clone(), Arc::new(certificate));
                }
                Err(fault) => {
                    let serving = if last.is_some() {
                        "the last good certificate of this name keeps serving"
                    } else {
                        "it is left out"
                    };
                    problems.push(Problem {
                        object: format!("{collection}/{name}"),
                        message: format!("{fault}; {serving}"),
                    });
                    if let Some(last) = last {
                        loaded.insert(name.clone(), Arc::clone(last));
                    }
                }
            }
        }
        Self(loaded)
    }

    /// The certificate of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.0.get(name)
    }

    /// Every certificate by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&KeyName, &Arc<Certificate>)> {
        self.0.iter()
    }

    /// Whether none could be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads one entry. The error is a sentence for people, without a full stop.
fn read(pair: &Arc<KeyPair>) -> Result<Certificate, String> {
    let chain = chain(&pair.certificate, "basic.public")?;
    let key = PrivateKeyDer::from_pem_slice(pair.private_key.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound if pair.private_key.contains("ENCRYPTED") => {
            "basic.private is encrypted; store the key without a passphrase".to_owned()
        }
        pem::Error::NoItemsFound => {
            "basic.private holds no private key; PEM text with `-----BEGIN PRIVATE KEY-----` is expected"
                .to_owned()
        }
        error => format!("basic.private is not readable PEM text: {error}"),
    })?;
    let not_after = leaf_end(&chain)?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the private key does not belong to the certificate (the server's own certificate must be the first in \
             basic.public)"
                .to_owned()
        }
        error => format!("basic.private is not a key that can be used (RSA 2048 bits and up, ECDSA, Ed25519): {error}"),
    })?;
    Ok(Certificate { pair: Arc::clone(pair), certified: Arc::new(certified), not_after })
}

/// The certificates in a PEM text: at least one, at most [`MAX_CHAIN`].
fn chain(text: &str, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if chain.len() == MAX_CHAIN {
            return Err(format!("{key} holds more than {MAX_CHAIN} certificates"));
        }
        chain.push(certificate.map_err(|error| format!("{key} is not readable PEM text: {error}"))?);
    }
    if chain.is_empty() {
        return Err(format!(
            "{key} holds no certificate; PEM text with `-----BEGIN CERTIFICATE-----` is expected"
        ));
    }
    Ok(chain)
}

/// When the first certificate of a chain ends.
fn leaf_end(chain: &[CertificateDer<'_>]) -> Result<i64, String> {
    let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| {
        format!("the certificate in basic.public is not a valid X.509 certificate: {error}")
    })?;
    Ok(leaf.validity().not_after.timestamp())
}

/// One entry of `ssl/cas`: certificates that are trusted as issuers.
#[derive(Debug)]
struct Authority {
    text: Arc<str>,
    certificates: Vec<CertificateDer<'static>>,
    anchors: RootCertStore,
}

/// Certificate authorities by name.
#[derive(Debug, Default)]
pub(crate) struct Authorities(BTreeMap<CaName, Arc<Authority>>);

/// Certificates one entry of `ssl/cas` may hold; a bundle of public authorities has about 150.
const MAX_AUTHORITY_CERTIFICATES: usize = 1024;

impl Authorities {
    /// Reads `names` from `catalogue`, as [`Certificates::load`] does.
    pub(crate) fn load<'a>(
        names: impl IntoIterator<Item = &'a CaName>,
        catalogue: &BTreeMap<CaName, Arc<str>>,
        previous: Option<&Self>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut loaded = BTreeMap::new();
        for name in names {
            let Some(text) = catalogue.get(name) else {
                problems.push(Problem {
                    object: format!("ssl/cas/{name}"),
                    message: "is used and not in the catalogue; add it or name another".into(),
                });
                continue;
            };
            let last = previous.and_then(|previous| previous.0.get(name));
            if let Some(last) = last.filter(|last| last.text == *text) {
                loaded.insert(name.clone(), Arc::clone(last));
                continue;
            }
            match read_authority(text) {
                Ok(authority) => {
                    loaded.insert(name.clone(), Arc::new(authority));
                }
                Err(fault) => {
                    let serving =
                        if last.is_some() { "its last good text stays in use" } else { "it is left out" };
                    problems.push(Problem {
                        object: format!("ssl/cas/{name}"),
                        message: format!("{fault}; {serving}"),
                    });
                    if let Some(last) = last {
                        loaded.insert(name.clone(), Arc::clone(last));
                    }
                }
            }
        }
        Self(loaded)
    }

    /// Everything that is trusted, as one store.
    pub(crate) fn store(&self) -> RootCertStore {
        RootCertStore {
            roots: self.0.values().flat_map(|authority| authority.anchors.roots.clone()).collect(),
        }
    }

    /// The certificates themselves.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.values().flat_map(|authority| &authority.certificates)
    }
}

fn read_authority(text: &Arc<str>) -> Result<Authority, String> {
    let mut certificates = Vec::new();
    let mut anchors = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if certificates.len() == MAX_AUTHORITY_CERTIFICATES {
            return Err(format!("holds more than {MAX_AUTHORITY_CERTIFICATES} certificates"));
        }
        let certificate = certificate.map_err(|error| format!("is not readable PEM text: {error}"))?;
        anchors.add(certificate.clone()).map_err(|error| {
            format!("certificate {} is not a valid X.509 v3 certificate: {error}", certificates.len() + 1)
        })?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err("holds no certificate; PEM text with `-----BEGIN CERTIFICATE-----` is expected".into());
    }
    Ok(Authority { text: Arc::clone(text), certificates, anchors })
}
