//! A connection to the REST interface: TLS, HTTP Basic, answers, and what failures mean for people.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::Engine as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{Failure, Kind};
use crate::settings::ctl::{Access, Password, Trust};

/// Longest wait for a connection, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for an answer: a write is answered when it serves.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// Largest answer, bytes.
const MAX_ANSWER: usize = 256 << 20;
/// Largest file with a password, bytes.
const MAX_PASSWORD: u64 = 4096;
/// Tells the writer what becomes of the change.
const NOTICE: &str = "tidegate-notice";

/// The REST interface.
pub(super) struct Client {
    access: Access,
    uri: Uri,
    authorization: HeaderValue,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) is_json: bool,
    pub(super) body: Bytes,
    /// What will become of a change.
    pub(super) notices: Vec<String>,
}

impl Answer {
    /// The document in it.
    pub(super) fn json(&self) -> Result<Json, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::refused(format!("the answer is no JSON ({error}); is this a REST interface?"))
        })
    }
}

impl Client {
    /// Reads what is needed; connects with the first request.
    pub(super) fn new(access: Access) -> Result<Self, Failure> {
        let uri: Uri = access.url.parse().map_err(|error| bad_url(&access, &format!("{error}")))?;
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(Arc::new(tls(&access.trust)?)),
            _ => return Err(bad_url(&access, "it begins with https:// or http://")),
        };
        if uri.host().is_none_or(str::is_empty) || !matches!(uri.path(), "" | "/") {
            return Err(bad_url(&access, "a host and a port are expected, such as https://127.0.0.1:9070"));
        }
        let password = password(&access)?;
        let credential =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", access.user));
        let mut authorization = HeaderValue::try_from(format!("Basic {credential}"))
            .map_err(|error| Failure::usage(format!("the password cannot be sent: {error}")))?;
        authorization.set_sensitive(true);
        Ok(Self { access, uri, authorization, tls, connection: None })
    }

    /// GET of a path that has to be there.
    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// GET of a JSON document.
    pub(super) async fn document(&mut self, path: &str) -> Result<Json, Failure> {
        self.get(path).await?.json()
    }

    /// Sends a request and takes a good answer.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Answer, Failure> {
        let response = self.send(&method, path, body.as_ref()).await?;
        let (head, body) = response.into_parts();
        let body = timeout(ANSWER_LIMIT, Limited::new(body, MAX_ANSWER).collect()).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(self.lost(&format!("the answer broke off: {error}"))),
            Err(_) => return Err(self.lost("the answer took too long")),
        };
        if head.status.is_success() {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            return Ok(Answer {
                status: head.status,
                is_json: head
                    .headers
                    .get(CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")),
                body,
                notices: head.headers.get_all(NOTICE).iter().map(text).collect(),
            });
        }
        let retry = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Err(self.refused(head.status, &method, path, &body, retry))
    }

    async fn send(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&(&'static str, Bytes)>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut known = self.connection.take();
        loop {
            let is_fresh = known.is_none();
            let mut connection = match known.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let request = self.request(method, path, body)?;
            if connection.ready().await.is_err() {
                if is_fresh {
                    return Err(self.lost("it closed the connection"));
                }
                continue;
            }
            return match timeout(ANSWER_LIMIT, connection.send_request(request)).await {
                Ok(Ok(response)) => {
                    self.connection = Some(connection);
                    Ok(response)
                }
                // It was closed while nothing was asked; reading twice does no harm.
                Ok(Err(_)) if !is_fresh && *method == Method::GET => continue,
                Ok(Err(error)) => Err(self.lost(&format!("the request failed: {}", causes(&error)))),
                Err(_) => Err(self.lost("there was no answer in time")),
            };
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&(&'static str, Bytes)>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/json, */*")
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some((media_type, _)) = body {
            request = request.header(CONTENT_TYPE, *media_type);
        }
        let bytes = body.map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        request
            .body(Full::new(bytes))
            .map_err(|error| Failure::usage(format!("“{path}” is no path: {error}")))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        match timeout(CONNECT_LIMIT, self.open()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.unreachable("it does not answer")),
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.uri.port_u16().unwrap_or_else(|| if self.tls.is_some() { 443 } else { 80 });
        let stream =
            TcpStream::connect((host, port)).await.map_err(|error| self.unreachable(&error.to_string()))?;
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else { return self.speak(TokioIo::new(stream)).await };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| bad_url(&self.access, &format!("“{host}” is no host name")))?;
        match TlsConnector::from(Arc::clone(tls)).connect(name, stream).await {
            Ok(stream) => self.speak(TokioIo::new(stream)).await,
            Err(error) => Err(self.tls_failed(&error)),
        }
    }

    async fn speak(
        &self,
        stream: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let (sender, connection) =
            handshake(stream).await.map_err(|error| self.unreachable(&causes(&error)))?;
        // Its end shows in the next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::new(
            Kind::NoConnection,
            format!(
                "no connection to {}: {why}; is Tidegate running there, and --url (TIDEGATE_CTL_URL) right?",
                self.access.url
            ),
        )
    }

    fn lost(&self, why: &str) -> Failure {
        let plain = match self.tls {
            None => "; does it speak https?",
            Some(_) => "",
        };
        Failure::new(Kind::NoConnection, format!("{}: {why}{plain}", self.access.url))
    }

    fn tls_failed(&self, error: &io::Error) -> Failure {
        let url = &self.access.url;
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        let text = match tls {
            Some(TlsError::InvalidCertificate(CertificateError::Other(other))) => {
                let print = other.0.to_string();
                let known = match &self.access.trust {
                    Trust::File(path) => format!("neither it nor its authority is in {}", path.display()),
                    Trust::System(Some(path)) if path.exists() => {
                        format!("it is not the one of {}", path.display())
                    }
                    _ => "no authority that this machine trusts has signed it".to_owned(),
                };
                format!(
                    "the certificate of {url} is not trusted: {known}, {print}. Give it with --ca FILE (a Tidegate \
                     with a state directory keeps its own in rest/tls.pem), or trust any with --insecure"
                )
            }
            Some(TlsError::InvalidCertificate(reason)) => {
                format!(
                    "the certificate of {url} is not valid: {reason}; name it as it says, or use --insecure"
                )
            }
            Some(TlsError::InvalidMessage(_)) => format!("{url} does not speak TLS; is it http://?"),
            _ => format!("TLS with {url} failed: {error}"),
        };
        Failure::new(Kind::NoConnection, text)
    }

    /// An answer that is none.
    fn refused(
        &self,
        status: StatusCode,
        method: &Method,
        path: &str,
        body: &[u8],
        retry_after: Option<&str>,
    ) -> Failure {
        let error: Json = serde_json::from_slice(body).unwrap_or_default();
        let text = error["error_text"].as_str().map_or_else(
            || format!("the answer is {status} without an explanation; is this a REST interface?"),
            str::to_owned,
        );
        match status {
            StatusCode::UNAUTHORIZED => {
                let source = match &self.access.password {
                    Password::None => {
                        "no password is given: set TIDEGATE_ADMIN_PASSWORD or name a file with --password-file"
                    }
                    Password::Text(_) => "the user or the password of TIDEGATE_ADMIN_PASSWORD is wrong",
                    Password::File(_) => "the user or the password in the file is wrong",
                };
                Failure::new(
                    Kind::NotAllowed,
                    format!("{} does not let {} in: {source}", self.access.url, self.access.user),
                )
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = retry_after.map(|seconds| format!(" in {seconds} s")).unwrap_or_default();
                Failure::new(Kind::NotAllowed, format!("{}: {text}{wait}", self.access.url))
            }
            StatusCode::NOT_FOUND => Failure::new(Kind::NotFound, format!("{path}: {text}")),
            _ => {
                let faults = faults(&error["error_info"]);
                // The sentence of the whole says no more than those of its keys.
                let text = if faults.is_empty() { format!("{text} ({status})") } else { faults.join("\n  ") };
                Failure::refused(format!("{method} {path}: {text}"))
            }
        }
    }
}

/// `section.key: text` of every fault in an error document.
fn faults(info: &Json) -> Vec<String> {
    fn walk(path: &str, level: &Json, found: &mut Vec<String>) {
        if let Some(text) = level["error_text"].as_str() {
            found.push(format!("{path}: {text}"));
            return;
        }
        for (name, below) in level.as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(&path, below, found);
        }
    }
    let mut found = Vec::new();
    walk("", info, &mut found);
    found
}

fn bad_url(access: &Access, why: &str) -> Failure {
    Failure::usage(format!("the URL {}: {why}", access.url))
}

/// An error with its causes.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The password; one final line end of a file does not count. Without one the interface says what is missing.
fn password(access: &Access) -> Result<String, Failure> {
    let path = match &access.password {
        Password::None => return Ok(String::new()),
        Password::Text(text) => return Ok(text.clone()),
        Password::File(path) => path,
    };
    let text = read(path, MAX_PASSWORD).map_err(|error| {
        Failure::usage(format!("the password cannot be read from {}: {error}", path.display()))
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn read(path: &Path, limit: u64) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    std::fs::read_to_string(path)
}

/// Largest file with certificates, bytes.
const MAX_PEM: u64 = 1 << 20;

fn tls(trust: &Trust) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (pinned, mut roots) = match trust {
        Trust::Any => (Vec::new(), RootCertStore::empty()),
        Trust::File(path) => {
            let pinned = certificates(path).map_err(|error| {
                Failure::usage(format!("no certificate can be read from {}: {error}", path.display()))
            })?;
            (pinned, RootCertStore::empty())
        }
        Trust::System(own) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            // Who may not read it is told so when the certificate is not trusted.
            let pinned = own.as_ref().and_then(|path: &PathBuf| certificates(path).ok());
            (pinned.unwrap_or_default(), roots)
        }
    };
    roots.add_parsable_certificates(pinned.iter().cloned());
    let verifier = Verifier { provider: Arc::clone(&provider), any: *trust == Trust::Any, pinned, roots };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::refused(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path, MAX_PEM).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is none in it".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// Believes certificates that it has been given, whatever they say, and those that lead to a trusted authority and
/// name the host.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    any: bool,
    pinned: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
}

/// Nobody vouches for a certificate; shown with what tells it from others.
#[derive(Debug)]
struct Unknown(String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unknown {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.any || self.pinned.iter().any(|pinned| pinned == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)
            .map_err(|error| match error {
                TlsError::InvalidCertificate(
                    CertificateError::UnknownIssuer
                    | CertificateError::BadSignature
                    | CertificateError::Other(_),
                ) => {
                    let digest = Sha256::digest(end_entity);
                    let print =
                        digest.iter().fold(String::new(), |print, byte| print + &format!("{byte:02x}"));
                    let unknown = Unknown(format!("SHA-256 fingerprint {print}"));
                    TlsError::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(
                        unknown,
                    ))))
                }
                other => other,
            })?;
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a host is this machine: what is said to it is heard by nobody else.
pub(super) fn is_local(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_come_with_their_keys() {
        let info = json!({
            "basic": { "port": { "error_id": "num.out_of_range", "error_text": "too large" } },
            "x": { "table": { "0": { "node": { "error_text": "no node" } } } },
        });
        assert_eq!(faults(&info), ["basic.port: too large", "x.table.0.node: no node"]);
        assert_eq!(faults(&json!({})), [""; 0]);
        assert_eq!(faults(&json!("?")), [""; 0]);
    }

    #[test]
    fn this_machine_is_known() {
        for (url, local) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://10.0.0.1:1", false),
            ("http://tm.example", false),
            ("?", false),
        ] {
            assert_eq!(is_local(url), local, "{url}");
        }
    }

    fn access(url: &str, trust: Trust) -> Access {
        Access { url: url.to_owned(), user: "admin".to_owned(), password: Password::None, trust }
    }

    #[test]
    fn settings_that_cannot_be_used_are_named() {
        let missing = PathBuf::from("/nowhere/at/all");
        for (access, told) in [
            (access("ftp://x", Trust::Any), "https://"),
            (access("https://x/api", Trust::Any), "host and a port"),
            (access("a b", Trust::Any), "URL"),
            (access("https://x", Trust::File(missing.clone())), "/nowhere"),
            (Access { password: Password::File(missing), ..access("http://x", Trust::Any) }, "/nowhere"),
        ] {
            let error = Client::new(access).err().expect("an error");
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.text.contains(told), "{error}");
        }
    }
}
