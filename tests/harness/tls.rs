//! Certificates and TLS settings made for each test.

use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::{
    CipherSuite, ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
    client::WantsClientCert,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// A certificate chain and its key, as PEM text.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The chain.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Pair {
    /// Self-signed, ECDSA P-256.
    pub fn ecdsa(hosts: &[&str]) -> Self {
        self_signed(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), hosts)
    }

    /// Self-signed, RSA 2048.
    pub fn rsa(hosts: &[&str]) -> Self {
        self_signed(&KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), hosts)
    }

    /// Self-signed, and over since 2020.
    pub fn ended(hosts: &[&str]) -> Self {
        Self::with(hosts, |parameters| parameters.not_after = rcgen::date_time_ymd(2020, 1, 1))
    }

    /// Self-signed, ECDSA P-256, with other parameters.
    pub fn with(hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut parameters = parameters(hosts[0], hosts);
        change(&mut parameters);
        Self { certificate: parameters.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// The leaf, DER.
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap().to_vec()
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect()
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

fn parameters(common_name: &str, hosts: &[&str]) -> CertificateParams {
    let mut parameters =
        CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters
}

fn self_signed(key: &KeyPair, hosts: &[&str]) -> Pair {
    Pair {
        certificate: parameters(hosts[0], hosts).self_signed(key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate, PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let certificate = parameters.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    /// A certificate for hosts (the first is its common name), ECDSA.
    pub fn issue(&self, hosts: &[&str]) -> Pair {
        self.issue_with(hosts[0], hosts, |_| {})
    }

    /// A certificate for hosts under a common name of its own, with other parameters.
    pub fn issue_with(
        &self,
        common_name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut parameters = parameters(common_name, hosts);
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// Which versions a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Only TLS 1.2.
    Tls12,
    /// Only TLS 1.3.
    Tls13,
    /// Both.
    Both,
}

static ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn versions(version: Version) -> &'static [&'static SupportedProtocolVersion] {
    match version {
        Version::Tls12 => ONLY_12,
        Version::Tls13 => ONLY_13,
        Version::Both => rustls::ALL_VERSIONS,
    }
}

/// Client settings that trust everybody.
pub fn client(version: Version) -> Arc<ClientConfig> {
    client_with(version, None, None)
}

/// Client settings that trust everybody, able to verify only `schemes` if given, showing `certificate` if given.
pub fn client_with(
    version: Version,
    schemes: Option<&[SignatureScheme]>,
    certificate: Option<&Pair>,
) -> Arc<ClientConfig> {
    let builder = trusting(aws_lc_rs::default_provider(), version, schemes);
    Arc::new(match certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_auth_cert(pair.chain(), pair.private()).unwrap(),
    })
}

/// Client settings that trust everybody and offer these cipher suites in this order.
pub fn client_offering(version: Version, suites: &[CipherSuite]) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
    provider.cipher_suites.sort_by_key(|known| suites.iter().position(|suite| *suite == known.suite()));
    Arc::new(trusting(provider, version, None).with_no_client_auth())
}

fn trusting(
    provider: CryptoProvider,
    version: Version,
    schemes: Option<&[SignatureScheme]>,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(provider);
    let schemes = schemes.map_or_else(
        || provider.signature_verification_algorithms.supported_schemes(),
        <[SignatureScheme]>::to_vec,
    );
    let verifier = Arc::new(TrustAll { provider: Arc::clone(&provider), schemes });
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(version))
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// Server settings of a node. Server names that clients ask for are noted in `names`.
pub fn server(pair: &Pair, request_client_certificate: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap();
    let builder = if request_client_certificate {
        builder.with_client_cert_verifier(Arc::new(AskAll { provider }))
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(builder.with_single_cert(pair.chain(), pair.private()).unwrap())
}

/// Server settings of a node that notes the server names clients ask for.
pub fn server_noting(pair: &Pair, names: Arc<Mutex<Vec<Option<String>>>>) -> Arc<ServerConfig> {
    let mut config = (*server(pair, false)).clone();
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(pair.private()).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(pair.chain(), key));
    config.cert_resolver = Arc::new(Noting { names, certified });
    Arc::new(config)
}

#[derive(Debug)]
struct Noting {
    names: Arc<Mutex<Vec<Option<String>>>>,
    certified: Arc<rustls::sign::CertifiedKey>,
}

impl rustls::server::ResolvesServerCert for Noting {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.names.lock().unwrap().push(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.certified))
    }
}

#[derive(Debug)]
struct TrustAll {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for TrustAll {
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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Asks for a certificate and takes any.
#[derive(Debug)]
struct AskAll {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AskAll {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
