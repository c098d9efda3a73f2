//! The health address: `/livez` and `/readyz`.
//!
//! In flows what the control loop says of readiness, out flow 200 or 503 with a text that lists what is missing.

use std::{fmt::Write as _, future::ready};

use hyper::StatusCode;
use tokio::sync::watch;

use crate::pages::{Page, Pages};

/// Whether traffic should be sent here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// What is still waited for, each as a sentence without a full stop; nothing = ready.
    pub(crate) missing: Vec<String>,
}

impl Readiness {
    /// Before anything was read.
    pub(crate) fn starting() -> Self {
        Self { missing: vec!["the documents are being read for the first time".to_owned()] }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }
}

/// What the health address answers.
#[derive(Debug)]
pub(crate) struct Health(pub(crate) watch::Receiver<Readiness>);

impl Pages for Health {
    const ABOUT: (&'static str, &'static [&'static str]) = ("health", &["/livez", "/readyz"]);

    fn page(&self, path: &str, _accept: &str) -> impl Future<Output = Page> + Send {
        let readiness = self.0.borrow();
        ready(match path {
            "/livez" => Page::text(StatusCode::OK, "alive\n"),
            _ if readiness.is_ready() => Page::text(StatusCode::OK, "ready\n"),
            _ => Page::text(StatusCode::SERVICE_UNAVAILABLE, not_ready(&readiness)),
        })
    }
}

/// Lines of a readiness answer.
const MAX_LINES: usize = 100;

fn not_ready(readiness: &Readiness) -> String {
    let mut text = "not ready:\n".to_owned();
    for missing in readiness.missing.iter().take(MAX_LINES) {
        text.push_str("- ");
        text.push_str(missing);
        text.push('\n');
    }
    if let Some(more) = readiness.missing.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        // Writing to a string cannot fail.
        _ = writeln!(text, "- and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use hyper::{Method, Request};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::pages::{accept, answer, listen};

    #[tokio::test]
    async fn answers() {
        let waiting = Readiness { missing: vec!["pool p has no answer from discovery yet".to_owned()] };
        for (method, path, readiness, status) in [
            (Method::GET, "/livez", &waiting, 200),
            (Method::GET, "/readyz", &waiting, 503),
            (Method::GET, "/readyz", &Readiness::default(), 200),
            (Method::HEAD, "/readyz", &Readiness::default(), 200),
            (Method::POST, "/readyz", &Readiness::default(), 405),
            (Method::GET, "/", &Readiness::default(), 404),
        ] {
            let (_sender, receiver) = watch::channel(readiness.clone());
            let request = Request::builder().method(&method).uri(path).body(()).unwrap();
            let response = answer(&request, &Health(receiver)).await;
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
        }
        assert_eq!(not_ready(&waiting), "not ready:\n- pool p has no answer from discovery yet\n");
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn readiness_follows_what_the_control_loop_says() {
        let (sender, receiver) = watch::channel(Readiness::starting());
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::new(Health(receiver))));
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").await.contains("read for the first time"));
        sender.send_replace(Readiness::default());
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        // A second process may take the same address.
        listen(address).unwrap();
        task.abort();
    }
}
