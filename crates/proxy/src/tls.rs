//! TLS towards clients and towards nodes.
//!
//! ```text
//! model::tls::ServerTls + ssl/server_keys + ssl/cas ──server::build──► TlsServer ──config_for(local)──► rustls
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

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider};
use tidegate_model::tls::TlsVersions;

/// The cryptography of the whole process: aws-lc-rs with X25519MLKEM768 as the first key exchange group.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

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
