use std::{net::Ipv4Addr, sync::atomic::AtomicUsize};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::rules::services::names::{
    Found,
    tests::{Table, names},
};

/// Whose request the rules run on.
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a server does with a connection's requests.
type Script = fn(&str) -> Vec<u8>;

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 Fine\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into()
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, seen: Arc<Seen>, script: Script) {
    seen.connections.fetch_add(1, Ordering::Relaxed);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        // A head, and a body if there is a length.
        let end = loop {
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if text.len() >= end + 4 + length.unwrap_or(0) {
                    break end + 4 + length.unwrap_or(0);
                }
            }
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => text.extend_from_slice(&buffer[..length]),
            }
        };
        let request = String::from_utf8(text.drain(..end).collect()).unwrap();
        let answer = script(&request);
        seen.requests.lock().unwrap().push(request);
        if answer.is_empty() {
            return;
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// A server on loopback, until the test ends.
async fn server(script: Script) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::<Seen>::default());
    let shared = Arc::clone(&seen);
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio::spawn(talk(stream, Arc::clone(&shared), script)));
        }
    }));
    (port, seen)
}

fn fetcher() -> Fetcher {
    let mut table = Table::default();
    let found = Found { addresses: vec![Ipv4Addr::LOCALHOST.into()], name: None, ttl: None };
    table.answers.insert("web.test".into(), found);
    Fetcher::new(names(table).0, Handle::current(), Some(RootCertStore::empty()))
}

fn get(url: String) -> Fetch {
    Fetch {
        method: "GET",
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: None,
        trusted: None,
    }
}

#[tokio::test]
async fn a_response_as_rules_see_it() {
    let (port, seen) = server(|_| ok("hello")).await;
    let fetch =
        Fetch { headers: vec![(b"X-A".into(), b"b".into())], ..get(format!("http://web.test:{port}/x?y")) };
    let fetched = fetcher().fetch(fetch, CLIENT).await.unwrap();
    assert_eq!(
        fetched,
        Fetched {
            status: 200,
            status_line: b"HTTP/1.1 200 Fine".into(),
            head: b"Content-Type: text/plain\r\nContent-Length: 5\r\n".into(),
            content_type: b"text/plain".into(),
            body: b"hello".into(),
        }
    );
    let requests = seen.requests.lock().unwrap();
    assert_eq!(*requests, [format!("GET /x?y HTTP/1.1\r\nX-A: b\r\nHost: web.test:{port}\r\n\r\n")]);
}

#[tokio::test]
async fn which_requests_share_connections() {
    let (port, seen) = server(|_| ok("x")).await;
    let fetcher = fetcher();
    let url = format!("http://127.0.0.1:{port}/");
    for method in ["GET", "DELETE", "GET"] {
        fetcher.fetch(Fetch { method, ..get(url.clone()) }, CLIENT).await.unwrap();
    }
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
    for method in ["POST", "PUT"] {
        fetcher.fetch(Fetch { method, body: b"abc".into(), ..get(url.clone()) }, CLIENT).await.unwrap();
    }
    assert_eq!(seen.connections.load(Ordering::Relaxed), 3);
    let last = seen.requests.lock().unwrap().pop().unwrap();
    assert!(
        last.starts_with("PUT / ") && last.contains("Content-Length: 3\r\n") && last.ends_with("\r\nabc"),
        "{last}"
    );
    assert_eq!(fetcher.counters(), FetchCounters { requests: 5, connections: 3, ..FetchCounters::default() });
}

#[tokio::test]
async fn head_has_no_body() {
    let (port, _) = server(|_| b"HTTP/1.1 404 \r\nContent-Length: 99\r\n\r\n".into()).await;
    let fetched = fetcher()
        .fetch(Fetch { method: "HEAD", ..get(format!("http://127.0.0.1:{port}/")) }, CLIENT)
        .await
        .unwrap();
    assert_eq!((fetched.status, fetched.body.len(), &*fetched.status_line), (404, 0, &b"HTTP/1.1 404"[..]));
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    // One answer for each connection, without saying so.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                stream.write_all(&ok("once")).await.unwrap();
                // The next request is read before the connection is closed: it looks as if it had been lost.
                drop(stream.read(&mut buffer).await);
            }
        }
    }));
    let fetcher = fetcher();
    for n in 0..5 {
        let fetched = fetcher.fetch(get(format!("http://127.0.0.1:{port}/")), CLIENT).await;
        assert_eq!(fetched.unwrap().body, b"once", "request {n}");
    }
    assert_eq!(fetcher.counters().connections, 5);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (port, seen) = server(|_| {
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n".into()
    })
    .await;
    let fetched = fetcher().fetch(get(format!("http://127.0.0.1:{port}/")), CLIENT).await.unwrap();
    assert_eq!(fetched.status, 302);
    assert!(fetched.head.starts_with(b"Location: http://elsewhere.test/\r\n"));
    assert_eq!(seen.requests.lock().unwrap().len(), 1);
}

async fn fault(script: Script) -> String {
    let (port, _) = server(script).await;
    fetcher().fetch(get(format!("http://127.0.0.1:{port}/")), CLIENT).await.unwrap_err()
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    assert!(fault(|_| b"nonsense\r\n\r\n".into()).await.contains("invalid HTTP"));
    assert!(fault(|_| Vec::new()).await.contains("connection closed before message completed"));
    for length in [MOST_HEAD, 4 * MOST_HEAD] {
        let long: Script = match length {
            MOST_HEAD => |_| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MOST_HEAD)).into(),
            _ => |_| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(4 * MOST_HEAD)).into(),
        };
        let long = fault(long).await;
        assert!(long.contains("too large") || long.contains("longer than"), "{long}");
    }
    let many =
        fault(|_| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS + 1)).into()).await;
    assert!(many.contains("too large"), "{many}");
    let body = fault(|_| ok(&"x".repeat(MOST_BODY + 1))).await;
    assert_eq!(body, format!("the body of the response is longer than {MOST_BODY} bytes"));
    let short = fault(|_| b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nx".into());
    // The server waits for another request; the client waits for the body.
    assert!(tokio::time::timeout(Duration::from_millis(50), short).await.is_err());

    let fetcher = fetcher();
    let fault = async |url: &str| fetcher.fetch(get(url.into()), CLIENT).await.unwrap_err();
    assert_eq!(fault("http://nowhere.test/").await, "nowhere.test has no address");
    assert!(fault("ftp://web.test/").await.contains("neither http nor https"));
    let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    assert!(fault(&format!("http://{refused}/")).await.contains("refused"));
    assert_eq!(fetcher.counters().failed, 3);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let fetcher = fetcher();
    let fetch = Fetch { timeout: Some(Duration::from_millis(50)), ..get(url.clone()) };
    assert!(fetcher.fetch(fetch, CLIENT).await.unwrap_err().starts_with("timeout: "));
    // The rule's client has gone: so does the request, and its connection.
    let (mut first, _) = listener.accept().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), fetcher.fetch(get(url), CLIENT)).await.is_err());
    let (mut second, _) = listener.accept().await.unwrap();
    for stream in [&mut first, &mut second] {
        let mut text = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
        assert!(closed.is_ok(), "the connection is still open");
        assert!(text.starts_with(b"GET / "));
    }
    assert_eq!(fetcher.inner.waiting.available_permits(), MOST_WAITING);
}

#[tokio::test]
async fn bodies_are_bounded_together() {
    let (port, _) = server(|_| ok("12345")).await;
    let fetcher = fetcher();
    let url = format!("http://127.0.0.1:{port}/");
    fetcher.inner.held.store(MOST_HELD - 4, Ordering::Relaxed);
    assert!(fetcher.fetch(get(url.clone()), CLIENT).await.unwrap_err().contains("together"));
    fetcher.inner.held.fetch_sub(1, Ordering::Relaxed);
    assert!(fetcher.fetch(get(url), CLIENT).await.is_ok());
    assert_eq!(fetcher.inner.held.load(Ordering::Relaxed), MOST_HELD - 5);
    assert_eq!(fetcher.counters().too_large, 1);
}

#[tokio::test]
async fn tls_servers_have_to_prove_their_name() {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["web.test".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::<Seen>::default();
    let shared = Arc::clone(&seen);
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                drop(tokio::spawn(talk(stream, Arc::clone(&shared), |_| ok("secret"))));
            }
        }
    }));
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let trusting = Fetcher::new(fetcher().inner.names.clone(), Handle::current(), Some(roots));
    let url = format!("https://web.test:{port}/");
    for _ in 0..2 {
        assert_eq!(trusting.fetch(get(url.clone()), CLIENT).await.unwrap().body, b"secret");
    }
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
    let other = trusting.fetch(get(format!("https://127.0.0.1:{port}/")), CLIENT).await.unwrap_err();
    assert!(other.contains("not valid for name"), "{other}");
    let unknown = fetcher().fetch(get(url), CLIENT).await.unwrap_err();
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
}
