//! TLS settings of virtual servers and pools.

use std::{fmt, sync::Arc};

use crate::{CaName, KeyName};

/// An entry of `ssl/server_keys` or `ssl/client_keys`. PEM text that has not been parsed yet: whether the
/// key fits the certificate is found when a snapshot is built, and a pair that does not keeps the last good one.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Its name.
    pub name: KeyName,
    /// `basic.public`: certificate chain, PEM, leaf first.
    pub certificate: Arc<str>,
    /// `basic.private`: private key, PEM.
    pub private_key: Arc<str>,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Protocol versions that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// `support_tls1_2`.
    pub tls12: bool,
    /// `support_tls1_3`.
    pub tls13: bool,
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { tls12: true, tls13: true }
    }
}

/// `ssl.*` of a virtual server with `ssl_decrypt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// `server_cert_default` followed by `server_cert_alt_certificates`.
    pub default: Vec<KeyName>,
    /// `server_cert_host_mapping`.
    pub host_mapping: Vec<HostMapping>,
    /// `support_tls1_2`, `support_tls1_3`, with the global settings applied. At least one is on.
    pub versions: TlsVersions,
    /// `session_tickets_enabled`, with the global setting applied.
    pub tickets: bool,
    /// `session_cache_enabled`, with the global setting applied.
    pub session_cache: bool,
    /// `request_client_cert`.
    pub client_certificate: ClientCertificate,
    /// `client_cert_cas`.
    pub client_authorities: Vec<CaName>,
    /// `client_cert_headers`.
    pub client_headers: ClientHeaders,
    /// `add_http_headers`: `SSLClientCipher` and `SSLSessionID`.
    pub add_http_headers: bool,
}

impl ServerTls {
    /// What a document gives that only names the default certificates, the first one first.
    pub fn of(default: impl IntoIterator<Item = KeyName>) -> Self {
        Self {
            default: default.into_iter().collect(),
            host_mapping: Vec::new(),
            versions: TlsVersions::default(),
            tickets: true,
            session_cache: true,
            client_certificate: ClientCertificate::DontRequest,
            client_authorities: Vec::new(),
            client_headers: ClientHeaders::None,
            add_http_headers: false,
        }
    }
}

/// A row of `ssl.server_cert_host_mapping`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMapping {
    /// Server name in lower case, destination IP, or a pattern with `*` and `?`.
    pub host: Arc<str>,
    /// `certificate` followed by `alt_certificates`.
    pub certificates: Vec<KeyName>,
}

/// `ssl.request_client_cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// `dont_request`.
    #[default]
    DontRequest,
    /// `request`: a client may show one.
    Request,
    /// `require`: the handshake fails without one.
    Require,
}

/// `ssl.client_cert_headers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientHeaders {
    /// `none`.
    #[default]
    None,
    /// `simple`: `SSLClientCertStatus` only.
    Simple,
    /// `all`: the certificate's fields as well.
    All,
}

/// `ssl.*` of a pool with `ssl.enable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTls {
    /// `server_name`: send the request's host as SNI.
    pub send_server_name: bool,
    /// `strict_verify`: refuse a certificate that is not valid for the node: for the host name it is configured by, or else
    /// its address.
    pub strict_verify: bool,
    /// `common_name_match`: names that are accepted besides the node's own.
    pub common_name_match: Vec<Arc<str>>,
    /// `client_auth` with `ssl_fixed_client_certificate`.
    pub client_key: Option<KeyName>,
    /// `support_tls1_2`, `support_tls1_3`, with the global settings applied. At least one is on.
    pub versions: TlsVersions,
    /// `send_close_alerts`.
    pub send_close_alerts: bool,
}
