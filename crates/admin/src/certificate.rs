//! TLS of the interface: a certificate of its own making, or one from files.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tracing::{info, warn};

use crate::files;

/// Largest file of certificates or keys, bytes.
const MAX_PEM: u64 = 1 << 20;
/// Certificate and key of our own making in the state directory: one file, so that they always fit together.
const FILE: &str = "tls.pem";

/// How the interface is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS with a certificate made at the first start.
    SelfSigned,
    /// TLS with the certificates and key of these files (PEM).
    Files {
        /// Certificate and those that lead from it to its authority.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// No TLS.
    Plain,
}

/// Settings of the TLS server; `None` for [`Transport::Plain`]. Blocks.
///
/// # Errors
/// A sentence for the operator.
pub(crate) fn load(
    transport: &Transport,
    directory: Option<&Path>,
    host: &str,
) -> Result<Option<Arc<ServerConfig>>, String> {
    let (certificates, key) = match transport {
        Transport::Plain => return Ok(None),
        Transport::Files { certificate, key } => (read(certificate)?, read(key)?),
        Transport::SelfSigned => {
            let pem = own(directory, host)?;
            (pem.clone(), pem)
        }
    };
    server(&certificates, &key).map(Some).map_err(|reason| match transport {
        Transport::Files { certificate, key } => unusable(certificate, key, &reason),
        _ => format!("the certificate of the REST interface cannot be used: {reason}"),
    })
}

/// The files of [`Transport::Files`], and what was read of them last.
#[derive(Debug)]
pub(crate) struct Followed {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<Result<[String; 2], String>>,
}

impl Followed {
    /// `None`: there are no files to follow.
    pub(crate) fn new(transport: &Transport) -> Option<Self> {
        let Transport::Files { certificate, key } = transport else { return None };
        Some(Self { certificate: certificate.clone(), key: key.clone(), seen: None })
    }

    /// Settings of the TLS server if the files differ from what they were, or why they cannot be used. `None`: they
    /// are as before. What they hold is compared, not their times: volumes of Secrets keep neither. Blocks.
    pub(crate) fn changed(&mut self) -> Option<Result<Arc<ServerConfig>, String>> {
        let now = read(&self.certificate).and_then(|certificate| Ok([certificate, read(&self.key)?]));
        if self.seen.as_ref() == Some(&now) {
            return None;
        }
        let config = now.clone().and_then(|[certificate, key]| {
            server(&certificate, &key).map_err(|reason| unusable(&self.certificate, &self.key, &reason))
        });
        self.seen = Some(now);
        Some(config)
    }
}

fn unusable(certificate: &Path, key: &Path, reason: &str) -> String {
    format!("{} and {} cannot be used: {reason}", certificate.display(), key.display())
}

fn read(path: &Path) -> Result<String, String> {
    files::read_text(path, MAX_PEM)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?
        .ok_or_else(|| format!("there is no file {}", path.display()))
}

/// The certificate and key of our own making: those that are kept, or new ones.
fn own(directory: Option<&Path>, host: &str) -> Result<String, String> {
    let path = directory.map(|directory| directory.join(FILE));
    if let Some(path) = &path {
        match files::read_text(path, MAX_PEM) {
            Ok(Some(pem)) if server(&pem, &pem).is_ok() => return Ok(pem),
            Ok(None) => {}
            Ok(Some(_)) => warn!("{} holds no certificate and key; new ones are made", path.display()),
            Err(error) => warn!("{} cannot be read: {error}; new ones are made", path.display()),
        }
    }
    let pem = make(host).map_err(|error| format!("no certificate can be made: {error}"))?;
    let Some(path) = path else {
        info!("a certificate for the REST interface was made; it lasts until the end of the process");
        return Ok(pem);
    };
    match files::write(&path, &[pem.as_bytes()]) {
        Ok(()) => info!("a certificate for the REST interface was made: {}", path.display()),
        Err(error) => warn!("{} cannot be written: {error}; the next start makes another", path.display()),
    }
    Ok(pem)
}

fn make(host: &str) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut names = vec!["localhost".to_owned()];
    if host.is_ascii() && !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    let mut parameters = CertificateParams::new(names)?;
    parameters.subject_alt_names.push(SanType::IpAddress(IpAddr::from([127, 0, 0, 1])));
    parameters.distinguished_name.push(DnType::CommonName, host);
    let certificate = parameters.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn server(certificates: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("the certificate is not PEM: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the key is not PEM: {error}"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = kernel.trim();
    if name.is_empty() || name.contains('/') { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_certificate_stays_and_a_broken_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let get = || own(Some(directory.path()), "tm1").unwrap();
        let first = get();
        assert_eq!(get(), first);
        fs::write(directory.path().join(FILE), "garbage").unwrap();
        let second = get();
        assert_ne!(second, first);
        assert_eq!(get(), second);
        for host in ["localhost", "ünïcode", "a b", ""] {
            let pem = make(host);
            assert!(pem.is_ok() || host.is_empty() || host.contains(' '), "{host}");
        }
    }

    #[test]
    fn files_are_read_and_faults_named() {
        let directory = tempfile::tempdir().unwrap();
        let pem = make("tm1").unwrap();
        let path = directory.path().join("both.pem");
        fs::write(&path, &pem).unwrap();
        let of = |certificate: &Path, key: &Path| {
            let transport = Transport::Files { certificate: certificate.to_owned(), key: key.to_owned() };
            load(&transport, None, "tm1")
        };
        assert!(of(&path, &path).unwrap().is_some());
        let missing = directory.path().join("missing");
        assert!(of(&path, &missing).unwrap_err().contains("missing"));
        fs::write(&missing, "no key").unwrap();
        assert!(of(&path, &missing).unwrap_err().contains("key"));
        assert!(load(&Transport::Plain, None, "tm1").unwrap().is_none());
    }

    #[test]
    fn files_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
        let transport = Transport::Files { certificate: certificate.clone(), key: key.clone() };
        let write = |of_certificate: &str, of_key: &str| {
            fs::write(&certificate, of_certificate).unwrap();
            fs::write(&key, of_key).unwrap();
        };
        let (first, second) = (make("one").unwrap(), make("two").unwrap());
        let mut followed = Followed::new(&transport).unwrap();
        assert!(followed.changed().unwrap().unwrap_err().contains("there is no file"));
        assert!(followed.changed().is_none(), "told once");
        write(&first, &first);
        assert!(followed.changed().unwrap().is_ok());
        assert!(followed.changed().is_none());
        // Renewed one file after the other.
        write(&second, &first);
        let reason = followed.changed().unwrap().unwrap_err();
        assert!(reason.contains("tls.crt") && reason.contains("tls.key"), "{reason}");
        assert!(followed.changed().is_none());
        write(&second, &second);
        assert!(followed.changed().unwrap().is_ok());
        for transport in [Transport::Plain, Transport::SelfSigned] {
            assert!(Followed::new(&transport).is_none());
        }
    }
}
