//! Whether a peer's certificate is believed.
//!
//! Three verifiers: any client certificate (asked for, no authority chosen), any node certificate (`strict_verify`
//! off), and a node certificate that must be valid for the node. All of them check the handshake's signature, so that
//! whoever answers holds the key of the certificate shown.

use std::{net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// Implements the signature half of a verifier over `self.provider`.
macro_rules! checks_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// Accepts every client certificate: `request_client_cert` is on and `client_cert_cas` names nobody.
#[derive(Debug)]
pub(super) struct AnyClient {
    pub(super) provider: Arc<CryptoProvider>,
    /// `request_client_cert` is `require`.
    pub(super) mandatory: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        ParsedCertificate::try_from(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    checks_signatures!();
}

/// Accepts every node certificate: `ssl.strict_verify` is off.
#[derive(Debug)]
pub(super) struct AnyNode {
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

/// What `ssl.strict_verify` trusts, shared by all nodes of a pool.
#[derive(Debug)]
pub(super) struct Trust {
    /// Issuers.
    pub(super) roots: RootCertStore,
    /// Certificates of `ssl/cas` themselves: a node that shows one of them needs no issuer.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    /// `ssl.common_name_match`: names that count besides the node's own.
    pub(super) names: Vec<Arc<str>>,
}

/// Accepts a certificate that chains to a trusted authority, is within its dates, and names the node or one of
/// `common_name_match`.
#[derive(Debug)]
pub(super) struct StrictNode {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) trust: Arc<Trust>,
    /// The node's own name: host name if it was configured by name, else its address.
    pub(super) node: ServerName<'static>,
}

impl ServerCertVerifier for StrictNode {
    /// The name rustls hands over is the one sent as SNI, which may be the client's choice; it plays no part here.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if self.trust.pinned.contains(end_entity) {
            within_dates(end_entity, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.trust.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        let listed = self.trust.names.iter().any(|name| {
            ServerName::try_from(name.as_ref()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
                || common_name_is(end_entity, name)
        });
        if listed {
            return Ok(ServerCertVerified::assertion());
        }
        verify_server_name(&parsed, &self.node)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

/// Whether now lies in a certificate's validity.
fn within_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = || Error::from(CertificateError::BadEncoding);
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| bad())?;
    let now = i64::try_from(now.as_secs())
        .ok()
        .and_then(|now| ASN1Time::from_timestamp(now).ok())
        .ok_or_else(bad)?;
    if now < certificate.validity().not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > certificate.validity().not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Whether the subject's common name is `name`, or `*.` and a domain that `name` is directly under. Names that are
/// addresses are compared as text.
fn common_name_is(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    certificate.subject().iter_common_name().filter_map(|common| common.as_str().ok()).any(|common| {
        common.eq_ignore_ascii_case(name)
            || common.strip_prefix("*.").zip(name.split_once('.')).is_some_and(|(domain, (_, parent))| {
                name.parse::<IpAddr>().is_err() && domain.eq_ignore_ascii_case(parent)
            })
    })
}
