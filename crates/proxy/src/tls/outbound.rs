//! TLS towards servers that rules ask: HTTPS servers and directories. They always have to show a certificate for their
//! name.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::{
    node::native_roots,
    provider,
    verify::{StrictNode, Trust},
};

/// Whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// The authorities of the machine.
    Machine,
    /// Servers that show one of these certificates, or one that is issued by one of them.
    Only(Vec<CertificateDer<'static>>),
}

impl Trusted {
    /// Only what is in a PEM text. The error is for people.
    pub(crate) fn only_pem(text: &str) -> Result<Self, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err("there is no certificate to trust".to_owned()),
            Ok(certificates) => Ok(Self::Only(certificates)),
            Err(error) => Err(format!("the certificates to trust are not readable PEM text: {error}")),
        }
    }

    /// Settings for connections to the server of this name. The error is for people.
    pub(crate) fn config(&self, server: &ServerName<'static>) -> Result<Arc<ClientConfig>, String> {
        let (roots, pinned) = match self {
            Self::Machine => (native_roots(), Vec::new()),
            Self::Only(certificates) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates {
                    roots
                        .add(certificate.clone())
                        .map_err(|error| format!("a certificate to trust cannot be read: {error}"))?;
                }
                (roots, certificates.clone())
            }
        };
        let trust = Trust { roots, pinned, names: Vec::new() };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.dangerous().set_certificate_verifier(Arc::new(StrictNode {
            provider: provider(),
            trust: Arc::new(trust),
            node: server.clone(),
        }));
        Ok(Arc::new(config))
    }
}
