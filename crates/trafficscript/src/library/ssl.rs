//! `ssl.*`: the client's TLS session and the certificates in it. Certificates that cannot be read have empty fields.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use x509_parser::{
    objects::{oid_registry, oid2sn},
    prelude::{ASN1Time, FromDer, X509Certificate},
};

use super::{
    Call, Function, Outcome, clock, raw,
    row::{REQUEST, never, works},
};
use crate::{
    host::{Order, Side, TlsFact},
    value::Value,
};

const NO_RENEGOTIATION: &str = "certificates are asked for in the first handshake only, for TLS 1.3 has no other; \
                                set request_client_cert in the virtual server and look at ssl.clientCertStatus";
const CLOSE_ALERTS: &str = "TLS connections always end with a closing alert";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("ssl.isSSL", "", (0, 0),
        "1 if the client's TLS ends here, else 0.",
        |call| Ok(Value::flag(call.host.is_tls()))),
    works("ssl.clientCipher", "", (0, 0),
        "Cipher suite, version and bits of the client's TLS, as in the header `SSLClientCipher`.",
        |call| fact(call, TlsFact::Cipher)),
    works("ssl.getTLSServerName", "", (0, 0),
        "The name that the client asks for (SNI); in request rules of TLS that is passed through, too.",
        |call| in_hello(call, TlsFact::ServerName)).waits(),
    works("ssl.setTLSServerName", "name", (1, 1), "The name to ask a node for (SNI).", |call| {
        let name = call.text(0)?.to_vec();
        if !call.host.order(Order::ServerName(name.clone())) {
            call.warn(&format!("`{}` cannot be asked for over TLS", name.escape_ascii()))?;
        }
        Ok(Value::EMPTY)
    }).only(REQUEST),
    works("ssl.sslSessionID", "", (0, 0),
        "Identity of the client's TLS session in hexadecimal; in request rules of TLS that is passed through, of the session \
         that the client wants to resume.",
        |call| in_hello(call, TlsFact::SessionId)).waits(),
    works("ssl.serverSiteName", "", (0, 0),
        "The row of the host mapping whose certificate the client was shown; empty for the default.",
        |call| fact(call, TlsFact::SiteName)),
    works("ssl.serverCertName", "", (0, 0),
        "Name of the certificate the client was shown.",
        |call| fact(call, TlsFact::CertificateName)),
    works("ssl.clientCertStatus", "", (0, 0),
        "`OK` or `NoClientCert`; empty without TLS.",
        |call| fact(call, TlsFact::ClientCertificateStatus)),
    works("ssl.clientCert", "", (0, 0),
        "The client's certificate in PEM.",
        |call| field(call, Of::Client, |_, der| pem("CERTIFICATE", der))),
    works("ssl.clientCertChain", "", (0, 0), "The client's certificate and its chain in PEM.", |call| {
        let chain: String = call.host.client_certificates().iter().map(|der| pem("CERTIFICATE", der)).collect();
        call.make(chain)
    }),
    works("ssl.clientCertCommonName", "", (0, 0),
        "Common name in the client's certificate.",
        |call| field(call, Of::Client, common_name)),
    works("ssl.clientCertSubject", "", (0, 0),
        "Subject of the client's certificate.",
        |call| field(call, Of::Client, subject)),
    works("ssl.clientCertIssuer", "", (0, 0),
        "Issuer of the client's certificate.",
        |call| field(call, Of::Client, issuer)),
    works("ssl.clientCertSerial", "", (0, 0),
        "Serial number of the client's certificate in hexadecimal.",
        |call| field(call, Of::Client, serial)),
    works("ssl.clientCertSerialDec", "", (0, 0),
        "Serial number of the client's certificate in decimal.",
        |call| field(call, Of::Client, serial_decimal)),
    works("ssl.clientCertSHA1", "", (0, 0),
        "SHA-1 of the client's certificate in hexadecimal.",
        |call| field(call, Of::Client, sha1)),
    works("ssl.clientCertHash", "", (0, 0),
        "MD5 of the client's certificate in hexadecimal.",
        |call| field(call, Of::Client, md5)),
    works("ssl.clientCertStartDate", "", (0, 0),
        "When the client's certificate begins to be valid, such as `Feb 29 14:30:05 2024 GMT`.",
        |call| field(call, Of::Client, start)),
    works("ssl.clientCertEndDate", "", (0, 0),
        "When the client's certificate ends to be valid.",
        |call| field(call, Of::Client, end)),
    works("ssl.clientCertVersion", "", (0, 0),
        "Version of the client's certificate, such as 3.",
        |call| field(call, Of::Client, version)),
    works("ssl.clientCertAlgorithm", "", (0, 0),
        "Signature algorithm of the client's certificate.",
        |call| field(call, Of::Client, algorithm)),
    works("ssl.clientCertPublicKey", "", (0, 0),
        "Public key in the client's certificate in PEM.",
        |call| field(call, Of::Client, public_key)),
    works("ssl.serverCert", "", (0, 0),
        "The certificate shown to the client in PEM.",
        |call| field(call, Of::Server, |_, der| pem("CERTIFICATE", der))),
    works("ssl.serverCertCommonName", "", (0, 0),
        "Common name in the certificate shown.",
        |call| field(call, Of::Server, common_name)),
    works("ssl.serverCertSubject", "", (0, 0),
        "Subject of the certificate shown.",
        |call| field(call, Of::Server, subject)),
    works("ssl.serverCertIssuer", "", (0, 0),
        "Issuer of the certificate shown.",
        |call| field(call, Of::Server, issuer)),
    works("ssl.serverCertSerial", "", (0, 0),
        "Serial number of the certificate shown in hexadecimal.",
        |call| field(call, Of::Server, serial)),
    works("ssl.serverCertSHA1", "", (0, 0),
        "SHA-1 of the certificate shown in hexadecimal.",
        |call| field(call, Of::Server, sha1)),
    works("ssl.serverCertHash", "", (0, 0),
        "MD5 of the certificate shown in hexadecimal.",
        |call| field(call, Of::Server, md5)),
    works("ssl.serverCertStartDate", "", (0, 0),
        "When the certificate shown begins to be valid.",
        |call| field(call, Of::Server, start)),
    works("ssl.serverCertEndDate", "", (0, 0),
        "When the certificate shown ends to be valid.",
        |call| field(call, Of::Server, end)),
    works("ssl.serverCertVersion", "", (0, 0),
        "Version of the certificate shown, such as 3.",
        |call| field(call, Of::Server, version)),
    works("ssl.serverCertAlgorithm", "", (0, 0),
        "Signature algorithm of the certificate shown.",
        |call| field(call, Of::Server, algorithm)),
    works("ssl.serverCertPublicKey", "", (0, 0),
        "Public key in the certificate shown in PEM.",
        |call| field(call, Of::Server, public_key)),
    works("ssl.clientSupportsSecureRenegotiation", "", (0, 0),
        "1 if the client's TLS ends here: it is never renegotiated, so what RFC 5746 guards against cannot \
         happen. Else 0.",
        |call| Ok(Value::flag(call.host.is_tls()))),
    never("ssl.requestCert", "", (0, 0),
        "Asks the client for a certificate in a further handshake.",
        NO_RENEGOTIATION),
    never("ssl.requireCert", "", (0, 0),
        "Demands a certificate of the client in a further handshake.",
        NO_RENEGOTIATION),
    never("ssl.getClientCloseAlert", "", (0, 0), "Whether the client gets a closing alert.", CLOSE_ALERTS),
    never("ssl.setClientCloseAlert", "flag", (1, 1),
        "Says whether the client gets a closing alert.",
        CLOSE_ALERTS),
    never("ssl.getServerCloseAlert", "", (0, 0), "Whether the node gets a closing alert.", CLOSE_ALERTS),
    never("ssl.setServerCloseAlert", "flag", (1, 1),
        "Says whether the node gets a closing alert.",
        CLOSE_ALERTS),
    never("ssl.sslkeylogline", "", (0, 0),
        "Secrets of the client's TLS session.",
        "secrets of TLS sessions are not given away"),
];

/// What the client's first message says, waiting for all of it where TLS is passed through.
fn in_hello<'p>(call: &mut Call<'_, 'p>, what: TlsFact) -> Outcome<'p> {
    if call.host.awaits_hello() {
        let there = call.host.body(Side::Request).bytes.len();
        raw::arrived(call, Side::Request, there + 1)?;
    }
    fact(call, what)
}

fn fact<'p>(call: &mut Call<'_, 'p>, fact: TlsFact) -> Outcome<'p> {
    let text = call.host.tls(fact).map(String::from).unwrap_or_default();
    call.make(text)
}

/// Whose certificate.
#[derive(Clone, Copy)]
enum Of {
    Client,
    Server,
}

/// A field of a certificate, from what it holds and its DER.
fn field<'p>(
    call: &mut Call<'_, 'p>,
    of: Of,
    field: fn(&X509Certificate<'_>, &[u8]) -> String,
) -> Outcome<'p> {
    let der = match of {
        Of::Client => call.host.client_certificates().into_iter().next(),
        Of::Server => call.host.server_certificate(),
    };
    let text = der.and_then(|der| {
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        Some(field(&certificate, &der))
    });
    call.make(text.unwrap_or_default())
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text + "-----END " + label + "-----\n"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}

fn common_name(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    let name = certificate.subject().iter_common_name().next();
    name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

fn subject(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    certificate.subject().to_string()
}

fn issuer(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    certificate.issuer().to_string()
}

fn serial(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    hex(certificate.raw_serial())
}

fn serial_decimal(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    certificate.tbs_certificate.serial.to_string()
}

fn sha1(_: &X509Certificate<'_>, der: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref())
}

fn md5(_: &X509Certificate<'_>, der: &[u8]) -> String {
    hex(&Md5::digest(der))
}

fn date(time: ASN1Time) -> String {
    let text = clock::format(b"%b %e %T %Y GMT", &clock::calendar(time.timestamp(), 0), "GMT");
    String::from_utf8(text).unwrap_or_default()
}

fn start(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    date(certificate.validity().not_before)
}

fn end(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    date(certificate.validity().not_after)
}

fn version(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    certificate.version().0.saturating_add(1).to_string()
}

fn algorithm(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    let algorithm = &certificate.signature_algorithm.algorithm;
    oid2sn(algorithm, oid_registry()).map_or_else(|_| algorithm.to_id_string(), str::to_owned)
}

fn public_key(certificate: &X509Certificate<'_>, _: &[u8]) -> String {
    pem("PUBLIC KEY", certificate.public_key().raw)
}
