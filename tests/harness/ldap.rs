//! A small LDAP server: people and how it behaves in, answers to binds and searches out, in the clear, over TLS or with
//! StartTLS. What it was asked is remembered.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// An entry of the directory.
#[derive(Clone, Debug)]
pub struct Person {
    /// Name of the entry.
    pub dn: String,
    /// Its password.
    pub password: String,
    /// Attributes and their values.
    pub attributes: Vec<(String, Vec<String>)>,
}

impl Person {
    /// `uid=<uid>,dc=example` with these attributes besides `uid`.
    pub fn new(uid: &str, password: &str, attributes: &[(&str, &[&str])]) -> Self {
        let own = ("uid", &[uid][..]);
        let attribute = |(name, values): (&str, &[&str])| {
            (name.to_owned(), values.iter().map(ToString::to_string).collect())
        };
        Self {
            dn: format!("uid={uid},dc=example"),
            password: password.to_owned(),
            attributes: std::iter::once(own).chain(attributes.iter().copied()).map(attribute).collect(),
        }
    }
}

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Answers what it is asked.
    #[default]
    Answers,
    /// Says nothing.
    Silent,
    /// Says what is no LDAP.
    Garbage,
    /// Closes the connection when it is asked something.
    Closes,
}

/// The server, on a loopback port. It stops when dropped.
#[derive(Debug)]
pub struct Ldap {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    people: Vec<Person>,
    tls: Option<(bool, Arc<ServerConfig>)>,
    mode: Mutex<Mode>,
    /// Only who has given a name may search.
    is_closed: bool,
    seen: Mutex<Vec<String>>,
}

impl Drop for Ldap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ldap {
    /// In the clear; everybody may search.
    pub async fn start(people: &[Person]) -> Self {
        Self::with(people, None, false).await
    }

    /// `tls`: from the first byte (`false`) or after StartTLS (`true`). `is_closed`: only who has given a name may search.
    pub async fn with(people: &[Person], tls: Option<(bool, Arc<ServerConfig>)>, is_closed: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            people: people.to_vec(),
            tls,
            mode: Mutex::default(),
            is_closed,
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(tokio::spawn(Arc::clone(&shared).serve(stream)));
            }
        });
        Self { address, state, task }
    }

    /// Behaves so from now on.
    pub fn mode(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// What it was asked: `bind NAME`, `search BASE`, `starttls`, `unbind`.
    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }
}

impl State {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        match self.tls.clone() {
            Some((false, config)) => {
                if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                    drop(self.talk(stream).await);
                }
            }
            Some((true, config)) => {
                if let Some(stream) = self.talk(stream).await
                    && let Ok(stream) = TlsAcceptor::from(config).accept(stream).await
                {
                    drop(self.talk(stream).await);
                }
            }
            None => drop(self.talk(stream).await),
        }
    }

    /// Until the end; gives the stream back to go on with TLS.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) -> Option<S> {
        let mut held = Vec::new();
        let mut who = String::new();
        loop {
            let message = loop {
                if let Some((_, content, length)) = element(&held) {
                    let content = content.to_vec();
                    held.drain(..length);
                    break content;
                }
                if stream.read_buf(&mut held).await.ok()? == 0 {
                    return None;
                }
            };
            let mode = *self.mode.lock().unwrap();
            match mode {
                Mode::Answers => {}
                Mode::Silent => continue,
                Mode::Garbage => {
                    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()?;
                    continue;
                }
                Mode::Closes => return None,
            }
            let parts = elements(&message);
            let (id, (tag, operation)) = (&parts[0].1, (parts[1].0, elements(&parts[1].1)));
            let note = |text: String| self.seen.lock().unwrap().push(text);
            match tag {
                0x60 => {
                    let name = text(&operation[1].1);
                    note(format!("bind {name}"));
                    let password = text(&operation[2].1);
                    let known =
                        self.people.iter().any(|known| known.dn == name && known.password == password);
                    let code = if known || (name.is_empty() && password.is_empty()) { 0 } else { 49 };
                    if code == 0 {
                        who = name;
                    }
                    stream.write_all(&done(id, 0x61, code)).await.ok()?;
                }
                0x63 => {
                    note(format!("search {}", text(&operation[0].1)));
                    for answer in self.search(id, &operation, &who) {
                        stream.write_all(&answer).await.ok()?;
                    }
                }
                0x77 => {
                    note("starttls".to_owned());
                    let offers = matches!(self.tls, Some((true, _)));
                    stream.write_all(&done(id, 0x78, if offers { 0 } else { 52 })).await.ok()?;
                    if offers {
                        return Some(stream);
                    }
                }
                _ => {
                    note("unbind".to_owned());
                    return None;
                }
            }
        }
    }

    fn search(&self, id: &[u8], operation: &[(u8, Vec<u8>)], who: &str) -> Vec<Vec<u8>> {
        if self.is_closed && who.is_empty() {
            return vec![done(id, 0x65, 50)];
        }
        let most = usize::from(operation[3].1[0]);
        let wanted: Vec<String> = elements(&operation[7].1).iter().map(|(_, name)| text(name)).collect();
        let matching: Vec<_> = self.people.iter().filter(|person| matches(person, &operation[6])).collect();
        let mut answers: Vec<Vec<u8>> = matching
            .iter()
            .take(most)
            .map(|person| {
                let attributes = person.attributes.iter().filter(|(name, _)| {
                    wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
                });
                let attributes = attributes.map(|(name, values)| {
                    let values = values.iter().map(|value| put(4, value.as_bytes())).collect::<Vec<_>>();
                    put(0x30, &[put(4, name.as_bytes()), put(0x31, &values.concat())].concat())
                });
                let attributes = attributes.collect::<Vec<_>>().concat();
                let entry = [put(4, person.dn.as_bytes()), put(0x30, &attributes)].concat();
                put(0x30, &[put(2, id), put(0x64, &entry)].concat())
            })
            .collect();
        answers.push(done(id, 0x65, if matching.len() > most { 4 } else { 0 }));
        answers
    }
}

/// Whether a filter holds for a person: `&`, `|`, `!`, equality and presence.
fn matches(person: &Person, (tag, content): &(u8, Vec<u8>)) -> bool {
    let parts = elements(content);
    let values = |name: &[u8]| {
        let name = text(name);
        let found = person.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        found.map(|(_, values)| values.clone()).unwrap_or_default()
    };
    match tag {
        0xa0 => parts.iter().all(|part| matches(person, part)),
        0xa1 => parts.iter().any(|part| matches(person, part)),
        0xa2 => !matches(person, &parts[0]),
        0xa3 => values(&parts[0].1).contains(&text(&parts[1].1)),
        0x87 => !values(content).is_empty(),
        _ => panic!("a filter of the kind {tag:#x} is not known here"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(id: &[u8], tag: u8, code: u8) -> Vec<u8> {
    let outcome = [put(10, &[code]), put(4, b""), put(4, b"")].concat();
    put(0x30, &[put(2, id), put(tag, &outcome)].concat())
}

fn put(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = match length {
        0..0x80 => vec![tag, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    out.extend(content);
    out
}

/// Tag, content and whole length of the first element, once it is there.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (tag, first) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    let (header, length) = if first < 0x80 {
        (2, first)
    } else {
        let digits = bytes.get(2..2 + (first & 0x7f))?;
        (2 + digits.len(), digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
    };
    Some((tag, bytes.get(header..header + length)?, header + length))
}

fn elements(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((tag, content, length)) = element(bytes) {
        found.push((tag, content.to_vec()));
        bytes = &bytes[length..];
    }
    found
}
