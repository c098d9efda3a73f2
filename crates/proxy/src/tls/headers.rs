//! Header lines that tell nodes about a client's TLS: `add_http_headers` and `client_cert_headers`.
//!
//! In: a connection whose handshake is done. Out: bytes of complete header lines, computed once per connection and
//! inserted into every request of it. Names a client could forge are listed by [`is_reserved`].

use std::fmt::Write as _;

use rustls::{CipherSuite, ProtocolVersion, ServerConnection};
use tidegate_model::tls::{ClientHeaders, ServerTls};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Bytes of a session identifier.
const SESSION_ID: usize = 32;

/// Longest value of one header; a longer one is cut.
const MAX_VALUE: usize = 1024;

/// An identifier that a client keeps while it resumes, for `SSLSessionID`.
///
/// rustls shows no session identifier, and TLS 1.3 has none that lasts, so one is made up and travels in the session.
#[derive(Clone, Copy, Debug)]
pub struct SessionId([u8; SESSION_ID]);

/// Gives a new connection its session identifier. To be called before its tickets are sent.
/// `None` when it is not `wanted` (by `add_http_headers`, or by rules), or when the system has no randomness left.
pub fn prepare(connection: &mut ServerConnection, wanted: bool) -> Option<SessionId> {
    if !wanted {
        return None;
    }
    let mut id = [0; SESSION_ID];
    aws_lc_rs::rand::fill(&mut id).ok()?;
    connection.set_resumption_data(&id);
    Some(SessionId(id))
}

/// Whether a header of this name from a client must be removed before the request goes on.
pub fn is_reserved(name: &[u8]) -> bool {
    const CERTIFICATE: &[u8] = b"SSLClientCert";
    name.eq_ignore_ascii_case(b"SSLClientCipher")
        || name.eq_ignore_ascii_case(b"SSLSessionID")
        || name.get(..CERTIFICATE.len()).is_some_and(|start| start.eq_ignore_ascii_case(CERTIFICATE))
}

/// The header lines of a connection, each ending with CRLF; empty when the settings ask for none.
///
/// * `add_http_headers`: `SSLClientCipher: <suite>, version=<version>, bits=<key bits>` and `SSLSessionID: <hex>`;
/// * `client_cert_headers` `simple`: `SSLClientCertStatus: OK` or `NoClientCert`;
/// * `all`: for a certificate also `SSLClientCertVersion`, `-SerialNumber`, `-Subject`, `-Issuer`, `-NotBefore`,
///   `-NotAfter`, `-PublicKeyAlgorithm`, `-SignatureAlgorithm` (object identifiers) and `-Hash` (SHA-256 of the certificate).
///
/// Values hold visible ASCII and spaces only; any other byte is written `\xHH`.
pub fn client_headers(
    connection: &ServerConnection,
    settings: &ServerTls,
    session: Option<SessionId>,
) -> Vec<u8> {
    let mut lines = Vec::new();
    if settings.add_http_headers {
        line(&mut lines, "SSLClientCipher", &cipher(connection));
        if let Some(id) = session_id(connection, session) {
            line(&mut lines, "SSLSessionID", &id);
        }
    }
    if settings.client_headers != ClientHeaders::None {
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        line(&mut lines, "SSLClientCertStatus", if certificate.is_some() { "OK" } else { "NoClientCert" });
        if settings.client_headers == ClientHeaders::All
            && let Some(certificate) = certificate
        {
            certificate_lines(&mut lines, certificate);
        }
    }
    lines
}

fn certificate_lines(lines: &mut Vec<u8>, der: &[u8]) {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    if let Ok((_, certificate)) = X509Certificate::from_der(der) {
        line(lines, "SSLClientCertVersion", &format!("{}", certificate.version().0.saturating_add(1)));
        line(lines, "SSLClientCertSerialNumber", &hex(certificate.raw_serial()));
        line(lines, "SSLClientCertSubject", &certificate.subject().to_string());
        line(lines, "SSLClientCertIssuer", &certificate.issuer().to_string());
        line(lines, "SSLClientCertNotBefore", &certificate.validity().not_before.to_string());
        line(lines, "SSLClientCertNotAfter", &certificate.validity().not_after.to_string());
        line(
            lines,
            "SSLClientCertPublicKeyAlgorithm",
            &certificate.public_key().algorithm.algorithm.to_id_string(),
        );
        line(
            lines,
            "SSLClientCertSignatureAlgorithm",
            &certificate.signature_algorithm.algorithm.to_id_string(),
        );
    }
    line(lines, "SSLClientCertHash", &hex(hash.as_ref()));
}

/// The cipher of a connection, as `SSLClientCipher` has it.
pub fn cipher(connection: &ServerConnection) -> String {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    cipher_text(suite, connection.protocol_version())
}

/// The identifier that a resumed session has brought along, or else that of the new one, hexadecimal.
pub fn session_id(connection: &ServerConnection, session: Option<SessionId>) -> Option<String> {
    let resumed = connection.received_resumption_data().filter(|id| id.len() == SESSION_ID);
    resumed.or_else(|| session.as_ref().map(|id| &id.0[..])).map(hex)
}

/// `<suite>, version=<version>, bits=<key bits>` with the suite's registered name.
fn cipher_text(suite: Option<CipherSuite>, version: Option<ProtocolVersion>) -> String {
    let name = suite.and_then(|suite| suite.as_str()).unwrap_or("unknown");
    let version = match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    let bits = if name.contains("AES_128") { 128 } else { 256 };
    let (prefix, rest) = name.split_once('_').unwrap_or((name, ""));
    let prefix = if prefix == "TLS13" { "TLS" } else { prefix };
    format!("{prefix}_{rest}, version={version}, bits={bits}")
}

/// Appends one header line; the value is made safe and cut to [`MAX_VALUE`].
fn line(lines: &mut Vec<u8>, name: &str, value: &str) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    let limit = lines.len() + MAX_VALUE;
    for byte in value.trim().bytes() {
        if lines.len() + 4 > limit {
            break;
        }
        if matches!(byte, b' '..=b'~') {
            lines.push(byte);
        } else {
            lines.extend_from_slice(format!("\\x{byte:02X}").as_bytes());
        }
    }
    lines.extend_from_slice(b"\r\n");
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_end_a_header_early_or_grow_without_bound() {
        let mut lines = Vec::new();
        line(&mut lines, "Name", "CN=a\r\nInjected: yes\0é");
        assert_eq!(lines, b"Name: CN=a\\x0D\\x0AInjected: yes\\x00\\xC3\\xA9\r\n");
        lines.clear();
        line(&mut lines, "Name", &"\n x".repeat(MAX_VALUE));
        assert!(lines.len() <= "Name: ".len() + MAX_VALUE + 2);
    }

    #[test]
    fn names_a_client_could_forge_are_reserved() {
        for (name, expected) in [
            ("SSLClientCipher", true),
            ("sslsessionid", true),
            ("SSLCLIENTCERTSTATUS", true),
            ("SSLClientCertSubject", true),
            ("SSLClientCer", false),
            ("SSLSessionIDs", false),
            ("Host", false),
        ] {
            assert_eq!(is_reserved(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn ciphers_are_named_as_registered() {
        for (suite, version, text) in [
            (
                CipherSuite::TLS13_AES_256_GCM_SHA384,
                ProtocolVersion::TLSv1_3,
                "TLS_AES_256_GCM_SHA384, version=TLSv1.3, bits=256",
            ),
            (
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                ProtocolVersion::TLSv1_3,
                "TLS_CHACHA20_POLY1305_SHA256, version=TLSv1.3, bits=256",
            ),
            (
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                ProtocolVersion::TLSv1_2,
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, version=TLSv1.2, bits=128",
            ),
        ] {
            assert_eq!(cipher_text(Some(suite), Some(version)), text);
        }
    }
}
