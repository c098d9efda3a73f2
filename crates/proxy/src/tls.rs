//! TLS towards clients and towards nodes.
//!
//! ```text
//! model::tls::ServerTls + ssl/server_keys + ssl/cas ──server::build──► TlsServer ──config_for(local, offer)──► rustls
//! model::tls::NodeTls   + ssl/client_keys + ssl/cas ──node::build────► TlsClient ──session(node, host)──► rustls
//! ```
//!
//! In: settings and PEM text, already checked for shape and not yet parsed. Out: rustls configurations, and a
//! [`Problem`](crate::Problem) for every key, certificate or authority that cannot be used. A name whose new PEM text is bad keeps
//! the last good certificate of the previous build. Ticket keys and session stores outlive builds, so clients
//! resume their sessions over certificate swaps and on any worker.
//!
//! Nothing here does network I/O; handshakes are driven by whoever owns the connection.

pub(crate) mod certificate;
pub(crate) mod choose;
pub mod headers;
pub(crate) mod hello;
pub mod node;
pub(crate) mod outbound;
pub mod server;
pub(crate) mod ticket;
pub(crate) mod verify;

pub use self::certificate::check_catalogues;

use std::sync::{Arc, LazyLock};

use rustls::{CipherSuite, SupportedProtocolVersion, crypto::CryptoProvider};
use tidegate_model::tls::TlsVersions;

/// The cryptography of the whole process: aws-lc-rs with X25519MLKEM768 as the first key exchange group, and AES with 128 bits
/// before 256. Both are out of reach for whoever listens; the shorter one takes less per byte, and its handshakes hash by
/// SHA-256, which processors have instructions for.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| (suite.tls13().is_none(), Bulk::of(suite.suite())));
    Arc::new(provider)
});

/// What encrypts the data of a connection, in our order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bulk {
    Aes128,
    Aes256,
    ChaCha20,
    /// Nothing that we have.
    Other,
}

impl Bulk {
    fn of(suite: CipherSuite) -> Self {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Self::Aes128,
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Self::Aes256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Self::ChaCha20,
            _ => Self::Other,
        }
    }
}

/// Whether a client that offers `suites` would rather not have AES: it puts `ChaCha20` first because its processor has no
/// instructions for AES.
fn avoids_aes(suites: &[CipherSuite]) -> bool {
    let first = suites.iter().map(|suite| Bulk::of(*suite)).find(|bulk| *bulk != Bulk::Other);
    first == Some(Bulk::ChaCha20)
}

/// The process-wide cryptography provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// The protocol versions that are on, for a rustls builder. Never empty: with both off (which a configuration
/// cannot say) both are on.
fn versions(versions: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    match (versions.tls12, versions.tls13) {
        (true, false) => TLS12,
        (false, true) => TLS13,
        _ => BOTH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_avoid_aes_put_chacha20_first() {
        const GREASE: CipherSuite = CipherSuite::Unknown(0x1a1a);
        const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        const AES: CipherSuite = CipherSuite::TLS13_AES_256_GCM_SHA384;
        const SCSV: CipherSuite = CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV;
        for (offered, avoids) in [
            (&[GREASE, CHACHA, AES][..], true),
            (&[SCSV, CHACHA], true),
            (&[GREASE, AES, CHACHA], false),
            (&[GREASE, SCSV], false),
            (&[], false),
        ] {
            assert_eq!(avoids_aes(offered), avoids, "{offered:?}");
        }
    }
}
