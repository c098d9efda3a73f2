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
use tidegate_model::{CaName, Configuration, KeyName, tls::KeyPair};
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
                let message = "is used and not in the catalogue; add it or name another";
                problems.push(Problem::new(format!("{collection}/{name}"), message));
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
                Err(faults) => {
                    let serving = if last.is_some() {
                        "the last good certificate of this name keeps serving"
                    } else {
                        "it is left out"
                    };
                    problems.extend(faults.into_iter().map(|fault| {
                        let message = format!("{}; {serving}", fault.message);
                        Problem::new(format!("{collection}/{name}"), message).of_key(fault.key)
                    }));
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

/// Why an entry cannot be used.
struct Fault {
    /// Which of its keys is to blame.
    key: &'static str,
    /// A sentence for people, without a full stop.
    message: String,
}

const PUBLIC: &str = "basic.public";
const PRIVATE: &str = "basic.private";

impl Fault {
    fn public(message: String) -> Self {
        Self { key: PUBLIC, message }
    }

    fn private(message: String) -> Self {
        Self { key: PRIVATE, message }
    }
}

/// Reads one entry. Both halves are looked at, whatever is wrong with the other.
fn read(pair: &Arc<KeyPair>) -> Result<Certificate, Vec<Fault>> {
    let public = chain(&pair.certificate).and_then(|chain| Ok((leaf_end(&chain)?, chain)));
    let ((not_after, chain), key) = match (public, private_key(&pair.private_key)) {
        (Ok(public), Ok(key)) => (public, key),
        (public, key) => return Err(public.err().into_iter().chain(key.err()).collect()),
    };
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        vec![Fault::private(match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("the private key does not belong to the certificate (the server's own certificate must be the first in \
                         {PUBLIC})")
            }
            error => format!("{PRIVATE} is not a key that can be used (RSA 2048 bits and up, ECDSA, Ed25519): {error}"),
        })]
    })?;
    Ok(Certificate { pair: Arc::clone(pair), certified: Arc::new(certified), not_after })
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        Fault::private(match error {
            pem::Error::NoItemsFound if text.contains("ENCRYPTED") => {
                format!("{PRIVATE} is encrypted; store the key without a passphrase")
            }
            pem::Error::NoItemsFound => {
                format!(
                    "{PRIVATE} holds no private key; PEM text with `-----BEGIN PRIVATE KEY-----` is expected"
                )
            }
            error => format!("{PRIVATE} is not readable PEM text: {error}"),
        })
    })
}

/// The certificates in a PEM text: at least one, at most [`MAX_CHAIN`].
fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if chain.len() == MAX_CHAIN {
            return Err(Fault::public(format!("{PUBLIC} holds more than {MAX_CHAIN} certificates")));
        }
        let certificate = certificate
            .map_err(|error| Fault::public(format!("{PUBLIC} is not readable PEM text: {error}")))?;
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err(Fault::public(format!(
            "{PUBLIC} holds no certificate; PEM text with `-----BEGIN CERTIFICATE-----` is expected"
        )));
    }
    Ok(chain)
}

/// When the first certificate of a chain ends.
fn leaf_end(chain: &[CertificateDer<'_>]) -> Result<i64, Fault> {
    let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| {
        Fault::public(format!("the certificate in {PUBLIC} is not a valid X.509 certificate: {error}"))
    })?;
    Ok(leaf.validity().not_after.timestamp())
}

/// Reads every key, certificate and authority, used or not, and tells what is wrong with them.
pub fn check_catalogues(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (collection, keys) in
        [("ssl/server_keys", &configuration.server_keys), ("ssl/client_keys", &configuration.client_keys)]
    {
        Certificates::load(&keys.keys().collect(), keys, None, collection, &mut problems);
    }
    let authorities = &configuration.certificate_authorities;
    Authorities::load(authorities.keys(), authorities, None, &mut problems);
    problems
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
                let message = "is used and not in the catalogue; add it or name another";
                problems.push(Problem::new(format!("ssl/cas/{name}"), message));
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
                    let message = format!("{fault}; {serving}");
                    problems.push(Problem::new(format!("ssl/cas/{name}"), message).of_key("content"));
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
