//! The collector as seen from here: one connection over which spans are posted by OTLP/HTTP.
//!
//! What an answer means is decided by [`verdict`]; the rest connects, sends and reads, each post within its time.

use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{
        CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
    },
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::options::Options;

/// Longest answer that is read, bytes.
const MAX_ANSWER: usize = 64 << 10;
/// Longest text of a collector that is told, characters.
const MAX_MESSAGE: usize = 300;
/// Longest pause that a collector is granted.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Spans were taken, perhaps not all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Spans that were refused.
    pub(super) rejected: u64,
    /// What the collector said of it.
    pub(super) message: String,
}

/// Spans were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Why, for people.
    pub(super) why: String,
    /// Whether they may be sent again.
    pub(super) again: bool,
    /// How long the collector wants to be left alone.
    pub(super) pause: Option<Duration>,
}

impl Refusal {
    /// The collector cannot be reached, now.
    fn out_of_reach(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: true, pause: None }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// The way to the collector.
pub(super) struct Collector {
    options: Options,
    headers: HeaderMap,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The connection, while it can be used.
    sender: Option<Sender>,
}

impl Collector {
    /// Makes ready without connecting. The error is for the operator.
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let Some((name, mut value)) = parsed else {
                return Err(format!("the header {name} for the collector of traces cannot be sent"));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let host = HeaderValue::from_str(&options.endpoint.authority)
            .map_err(|_| format!("the host of {} cannot be sent", options.endpoint))?;
        headers.insert(HOST, host);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        if options.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let tls = if options.endpoint.tls { Some(tls(&options)?) } else { None };
        Ok(Self { options, headers, tls, sender: None })
    }

    /// What is sent for these bytes.
    pub(super) fn packed(&self, bytes: Vec<u8>) -> Bytes {
        if !self.options.gzip {
            return bytes.into();
        }
        let mut packed = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        // Writing to memory does not fail; whoever gets nothing would refuse it.
        let done = packed.write_all(&bytes).and_then(|()| packed.finish());
        done.unwrap_or_default().into()
    }

    /// Posts what [`Collector::packed`] gave, within the time that is set.
    pub(super) async fn post(&mut self, body: &Bytes) -> Result<Taken, Refusal> {
        let limit = self.options.timeout;
        let post = Box::pin(self.post_unlimited(body));
        if let Ok(outcome) = tokio::time::timeout(limit, post).await {
            return outcome;
        }
        self.sender = None;
        Err(Refusal::out_of_reach(format!("no answer within {limit:?}")))
    }

    async fn post_unlimited(&mut self, body: &Bytes) -> Result<Taken, Refusal> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            match self.exchange(sender, body).await {
                // The collector had closed it meanwhile. Spans have numbers: who gets one twice knows it.
                Err((true, _)) => {}
                Err((false, refusal)) => return Err(refusal),
                Ok(taken) => return Ok(taken),
            }
        }
        let sender = self.connect().await.map_err(Refusal::out_of_reach)?;
        self.exchange(sender, body).await.map_err(|(_, refusal)| refusal)
    }

    /// One request and its answer. The first part of an error is whether the connection was at fault.
    async fn exchange(&mut self, mut sender: Sender, body: &Bytes) -> Result<Taken, (bool, Refusal)> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        let path = self.options.endpoint.path.parse();
        *request.uri_mut() =
            path.map_err(|_| (false, Refusal::out_of_reach("the path of its URL is none")))?;
        let broken =
            |error: &dyn std::fmt::Display| Refusal::out_of_reach(format!("the connection broke: {error}"));
        let response = sender.send_request(request).await.map_err(|error| {
            let stale = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
            (stale, broken(&error))
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| (false, broken(&error)))?;
        self.sender = Some(sender);
        let after = head.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        verdict(head.status, after, &body.to_bytes()).map_err(|refusal| (false, refusal))
    }

    async fn connect(&self) -> Result<Sender, String> {
        let endpoint = &self.options.endpoint;
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|error| format!("no connection to {}:{}: {error}", endpoint.host, endpoint.port))?;
        let Some((config, name)) = &self.tls else { return handshake(stream).await };
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
        let stream =
            connector.connect(name.clone(), stream).await.map_err(|error| format!("TLS: {error}"))?;
        handshake(stream).await
    }
}

/// Begins HTTP/1.1. A task of the runtime drives the connection until both sides are done with it.
async fn handshake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Result<Sender, String> {
    let begun = http1::Builder::new().max_buf_size(MAX_ANSWER).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = begun.map_err(|error| error.to_string())?;
    drop(tokio::spawn(async move {
        // Whoever waits for the answer hears of it.
        drop(connection.await);
    }));
    Ok(sender)
}

fn tls(options: &Options) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.authorities {
        let wrong =
            |error: &dyn std::fmt::Display| format!("{} holds no authorities: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let name = ServerName::try_from(options.endpoint.host.clone())
        .map_err(|_| format!("{} cannot be the name of a TLS server", options.endpoint.host))?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(config), name))
}

/// What an answer means (OTLP/HTTP): 429, 502, 503 and 504 may be asked again, other refusals are final.
fn verdict(status: StatusCode, retry_after: Option<&str>, body: &[u8]) -> Result<Taken, Refusal> {
    if status.is_success() {
        // An answer that cannot be read comes with spans that were taken all the same.
        let partial =
            ExportTraceServiceResponse::decode(body).ok().and_then(|response| response.partial_success);
        return Ok(partial.map_or_else(Taken::default, |partial| Taken {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or_default(),
            message: told(&partial.error_message),
        }));
    }
    let again = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let seconds = retry_after.and_then(|after| after.trim().parse().ok());
    Err(Refusal {
        why: format!("it answers {status}"),
        again,
        pause: seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_PAUSE)),
    })
}

/// A text of the collector, fit for a line of the log.
fn told(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn answers() {
        let partial = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too\nold".to_owned(),
            }),
        };
        let partial = partial.encode_to_vec();
        let taken = |rejected, message: &str| Taken { rejected, message: message.to_owned() };
        let good: [(u16, &[u8], Taken); 4] = [
            (200, b"", Taken::default()),
            (202, b"", Taken::default()),
            (200, b"{}", Taken::default()),
            (200, &partial, taken(3, "too old")),
        ];
        for (status, body, expected) in good {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(verdict(status, None, body), Ok(expected), "{body:?}");
        }
        for (status, again) in [
            (400, false),
            (401, false),
            (404, false),
            (413, false),
            (500, false),
            (301, false),
            (429, true),
            (502, true),
            (503, true),
            (504, true),
        ] {
            let refusal = verdict(StatusCode::from_u16(status).unwrap(), None, b"").unwrap_err();
            assert_eq!((refusal.again, refusal.pause), (again, None), "{status}");
            assert!(refusal.why.contains(&status.to_string()));
        }
        let busy = |after| verdict(StatusCode::SERVICE_UNAVAILABLE, Some(after), b"").unwrap_err().pause;
        assert_eq!(busy("2"), Some(Duration::from_secs(2)));
        assert_eq!(busy("86400"), Some(MAX_PAUSE));
        assert_eq!(busy("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
