//! The server with clients over loopback, and a desk that works when the test lets it.

use base64::Engine as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::*;
use crate::{
    api::{
        Identity,
        tests::{Seen, control, read},
    },
    backups::Backups,
    body::Places,
    connections::MAX_CONNECTIONS,
    desk::Desk,
    kept::Generations,
    password::{PasswordSource, load},
};

const DEADLINE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "a long password";

struct Site {
    server: Arc<Server>,
    address: SocketAddr,
    /// Until it works.
    desk: Option<(Desk, JoinHandle<()>)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Site {
    fn new() -> Self {
        let (imports, imported) = watch::channel(Some(read("")));
        let mut imported = imported;
        imported.mark_changed();
        let (batch_sender, batches) = mpsc::channel(1);
        let (_, faults) = watch::channel(Arc::default());
        let backups = Arc::new(Backups::open(None).unwrap());
        let name: Arc<str> = "tm1".into();
        let kept = Generations::open(None).unwrap();
        let (desk, counter, current) =
            Desk::new(kept, imported, batch_sender, Arc::clone(&backups), Arc::clone(&name));
        let loops = tokio::spawn(control(batches, imports, Arc::default(), None));
        let api = Api {
            current,
            counter,
            backups,
            observe: Arc::new(Seen),
            faults,
            identity: Identity { name, uuid: "u".to_owned(), platform: "p".to_owned() },
            keeps: false,
            large: Places::default(),
        };
        let guard = Guard::new(load(&PasswordSource::Text(PASSWORD.to_owned()), None).unwrap()).unwrap();
        let server = Arc::new(Server::new(api, guard, None));
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = vec![tokio::spawn(Arc::clone(&server).accept(listener))];
        Self { server, address, desk: Some((desk, loops)), tasks }
    }

    fn work(&mut self) {
        let (desk, loops) = self.desk.take().unwrap();
        self.tasks.extend([tokio::spawn(desk.run()), loops]);
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which a request was sent.
    async fn ask(&self, request: &str, password: &str, body: &[u8]) -> TcpStream {
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("admin:{password}"));
        let head = format!(
            "{request} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {credential}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = self.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }
}

/// The status of the answer.
async fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut line)).await.unwrap().unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_large_body_has_its_place_until_its_write_is_answered() {
    let mut site = Site::new();
    let all = site.server.api.large.free();
    let body = vec![b'x'; LARGE + 1];
    let mut writers = Vec::new();
    for number in 0..all.0 {
        writers
            .push(site.ask(&format!("PUT /api/tm/8.3/config/active/rules/{number}"), PASSWORD, &body).await);
    }
    until("all wait at the desk", || site.server.api.counter.waiting() == all.0).await;
    assert_eq!(site.server.api.large.free(), (0, all.1));
    // Whoever goes away leaves the bytes behind.
    drop(writers.pop());
    let mut late = site.ask("PUT /api/tm/8.3/config/active/rules/late", PASSWORD, &body).await;
    let small = site.ask("PUT /api/tm/8.3/config/active/rules/small", PASSWORD, b"x").await;
    until("small bodies pass", || site.server.api.counter.waiting() == all.0 + 1).await;
    assert_eq!(site.server.api.large.free(), (0, all.1));
    site.work();
    for writer in writers.iter_mut().chain([&mut late]) {
        assert_eq!(status(writer).await, "201");
    }
    until("all places are given back", || site.server.api.large.free() == all).await;
    drop(small);
}

#[tokio::test]
async fn who_does_not_log_in_keeps_no_place() {
    let mut site = Site::new();
    site.work();
    // From one host, more than there are places.
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 10 {
        silent.push(site.connect().await);
    }
    let mut good = site.ask("GET /", PASSWORD, b"").await;
    assert_eq!(status(&mut good).await, "200");
    // The first of the silent ones had to go.
    let read = tokio::time::timeout(DEADLINE, silent[0].read(&mut [0])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    // Whoever has come in stays.
    for _ in 0..64 {
        silent.push(site.connect().await);
    }
    let credential = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
    let head = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {credential}\r\nConnection: close\r\n\r\n"
    );
    good.write_all(head.as_bytes()).await.unwrap();
    let mut rest = String::new();
    tokio::time::timeout(DEADLINE, good.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.contains("HTTP/1.1 200"), "{rest}");
}

#[tokio::test]
async fn the_connection_ends_with_the_first_answer_to_who_is_not_let_in() {
    let mut site = Site::new();
    site.work();
    let mut wrong = site.ask("GET /", "wrong", b"").await;
    let mut text = String::new();
    tokio::time::timeout(DEADLINE, wrong.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 401 ") && text.to_lowercase().contains("connection: close"), "{text}");
}
