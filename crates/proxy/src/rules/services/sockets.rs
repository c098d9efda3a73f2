//! Sockets of a rule's own: `tcp.*` and `udp.sendTo`.
//!
//! In: a [`Talk`] and the [`Sockets`] of the request. Out: what was heard, or why not; `timeout` when the time was over.
//! Sockets live on the worker that serves the request, as long as the request: whatever ends it closes them.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_trafficscript::host::{Heard, Talk};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};

use super::{
    dial::{addresses, dial},
    names::Names,
};

/// Sockets of one request; a further one fails (counted).
const MOST_OF_REQUEST: usize = 16;

/// Sockets of all requests of the process; a further one fails (counted).
const MOST_OPEN: u64 = 4096;

/// Most bytes that one call reads.
const MOST_READ: usize = 1 << 20;

/// Bytes that are made room for before some arrive.
const ROOM: usize = 16 << 10;

/// Time of a call whose rule says nothing.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time of a call, whatever the rule says.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

/// What a rule gets to see when the time is over.
const TIME_IS_OVER: &str = "timeout";

/// Counters since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketCounters {
    /// Connections that rules opened.
    pub(crate) opened: u64,
    /// Of these, those that are open now.
    pub(crate) open: u64,
    /// Datagrams that rules sent.
    pub(crate) datagrams: u64,
    /// Calls that failed, timeouts and refusals included.
    pub(crate) failed: u64,
    /// Connections refused because too many were open.
    pub(crate) refused: u64,
}

/// The sockets of one request.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: Vec<(u32, Socket)>,
    last: u32,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    _place: Place,
}

/// One of [`MOST_OPEN`].
#[derive(Debug)]
struct Place(Arc<AtomicU64>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sockets {
    /// Closes a socket. False = there is none of this number.
    pub(crate) fn close(&mut self, number: u32) -> bool {
        let before = self.open.len();
        self.open.retain(|(known, _)| *known != number);
        self.open.len() < before
    }

    fn find(&mut self, number: u32) -> Result<&mut TcpStream, String> {
        let found = self.open.iter_mut().find(|(known, _)| *known == number);
        found.map(|(_, socket)| &mut socket.stream).ok_or_else(|| "there is no such connection".to_owned())
    }
}

/// Talks for the rules of all workers.
#[derive(Debug)]
pub(crate) struct Talker {
    names: Names,
    open: Arc<AtomicU64>,
    opened: AtomicU64,
    datagrams: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Talker {
    /// Servers are found by `names`.
    pub(crate) fn new(names: Names) -> Self {
        Self {
            names,
            open: Arc::default(),
            opened: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Does what a rule says. The error is what the rule gets to see. To be awaited on the worker of the request;
    /// dropping the future gives up, what was written of a piece of data is written.
    pub(crate) async fn talk(&self, sockets: &mut Sockets, talk: &Talk) -> Result<Heard, String> {
        let heard = match talk {
            Talk::Connect { host, port, limit } => {
                within(*limit, self.connect(sockets, host, *port)).await.map(Heard::Connected)
            }
            Talk::Read { socket, most, limit } => within(*limit, read(sockets, *socket, *most)).await,
            Talk::Write { socket, data, limit } => within(*limit, write(sockets, *socket, data)).await,
            Talk::SendTo { host, port, data } => within(None, self.send_to(host, *port, data)).await,
        };
        if heard.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        heard
    }

    /// Counters since the process started.
    pub(crate) fn counters(&self) -> SocketCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SocketCounters {
            opened: read(&self.opened),
            open: read(&self.open),
            datagrams: read(&self.datagrams),
            failed: read(&self.failed),
            refused: read(&self.refused),
        }
    }

    async fn connect(&self, sockets: &mut Sockets, host: &[u8], port: u16) -> Result<u32, String> {
        if sockets.open.len() >= MOST_OF_REQUEST {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(format!("{MOST_OF_REQUEST} connections of this request are open already"));
        }
        let place = Place(Arc::clone(&self.open));
        if self.open.fetch_add(1, Ordering::Relaxed) >= MOST_OPEN {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(format!("{MOST_OPEN} connections of rules are open already"));
        }
        let stream = Box::pin(dial(&self.names, host, port)).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        sockets.last = sockets.last.saturating_add(1);
        sockets.open.push((sockets.last, Socket { stream, _place: place }));
        Ok(sockets.last)
    }

    async fn send_to(&self, host: &[u8], port: u16, data: &[u8]) -> Result<Heard, String> {
        let address = Box::pin(addresses(&self.names, host)).await?;
        let address = *address.first().ok_or("it has no address")?;
        let any = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let fault = |error: io::Error| format!("{}: {error}", SocketAddr::new(address, port));
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(fault)?;
        let sent = socket.send_to(data, SocketAddr::new(address, port)).await.map_err(fault)?;
        self.datagrams.fetch_add(1, Ordering::Relaxed);
        Ok(Heard::Sent(sent))
    }
}

async fn read(sockets: &mut Sockets, number: u32, most: usize) -> Result<Heard, String> {
    let stream = sockets.find(number)?;
    let most = most.min(MOST_READ);
    // What the peer sends decides how much is held, not what the rule would take.
    let mut bytes = Vec::with_capacity(most.min(ROOM));
    let mut limited = (&mut *stream).take(most as u64);
    limited.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
    while !bytes.is_empty() && bytes.len() < most {
        bytes.reserve(ROOM.min(most - bytes.len()));
        let room = bytes.capacity().min(most) - bytes.len();
        let held = bytes.len();
        bytes.resize(held + room, 0);
        let piece = bytes.get_mut(held..).unwrap_or_default();
        let more = match stream.try_read(piece) {
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // A connection that broke tells so once: what it has brought is not all there was.
            Err(error) => return Err(error.to_string()),
        };
        bytes.truncate(held + more);
        if more == 0 {
            break;
        }
    }
    Ok(Heard::Bytes(bytes))
}

async fn write(sockets: &mut Sockets, number: u32, data: &[u8]) -> Result<Heard, String> {
    let stream = sockets.find(number)?;
    stream.write_all(data).await.map_err(|error| error.to_string())?;
    Ok(Heard::Sent(data.len()))
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let limit = limit.unwrap_or(TIMEOUT).min(LONGEST_TIMEOUT);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(TIME_IS_OVER.to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::rules::services::names::tests::{Table, names};

    fn talker() -> Talker {
        Talker::new(names(Table::default()).0)
    }

    fn connect(address: SocketAddr) -> Talk {
        Talk::Connect { host: address.ip().to_string().into(), port: address.port(), limit: None }
    }

    const SHORT: Option<Duration> = Some(Duration::from_millis(30));

    #[tokio::test]
    async fn a_conversation() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"ping");
            stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
        });
        let (talker, mut sockets) = (talker(), Sockets::default());
        let mut talk = async |talk: Talk| talker.talk(&mut sockets, &talk).await;
        assert_eq!(talk(connect(address)).await, Ok(Heard::Connected(1)));
        let read = |most, limit| Talk::Read { socket: 1, most, limit };
        assert_eq!(talk(read(10, SHORT)).await, Err("timeout".to_owned()));
        let write = Talk::Write { socket: 1, data: b"ping".into(), limit: None };
        assert_eq!(talk(write).await, Ok(Heard::Sent(4)));
        assert_eq!(talk(read(3, None)).await, Ok(Heard::Bytes(b"xxx".into())));
        let mut received = 3;
        loop {
            let Ok(Heard::Bytes(bytes)) = talk(read(usize::MAX, None)).await else { panic!() };
            received += bytes.len();
            if bytes.is_empty() {
                break;
            }
        }
        assert_eq!(received, 100_000);
        server.await.unwrap();
        let counters = talker.counters();
        assert_eq!((counters.opened, counters.open, counters.failed), (1, 1, 1));
        assert!(sockets.close(1) && !sockets.close(1));
        assert_eq!(talker.counters().open, 0);
        let gone = talker.talk(&mut sockets, &read(1, None)).await;
        assert_eq!(gone, Err("there is no such connection".to_owned()));
    }

    #[tokio::test]
    async fn what_cannot_be_reached() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        let (talker, mut sockets) = (talker(), Sockets::default());
        let fault = talker.talk(&mut sockets, &connect(closed)).await.unwrap_err();
        assert!(fault.contains("refused"), "{fault}");
        let nowhere = Talk::Connect { host: b"nowhere.test".into(), port: 1, limit: None };
        assert_eq!(talker.talk(&mut sockets, &nowhere).await, Err("nowhere.test has no address".to_owned()));
        assert_eq!(talker.counters().open, 0, "what fails holds no place");
    }

    #[tokio::test]
    async fn sockets_are_bounded_and_closed_with_their_request() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (talker, mut sockets) = (talker(), Sockets::default());
        for number in 1..=MOST_OF_REQUEST as u32 {
            assert_eq!(talker.talk(&mut sockets, &connect(address)).await, Ok(Heard::Connected(number)));
        }
        assert!(talker.talk(&mut sockets, &connect(address)).await.unwrap_err().contains("of this request"));
        talker.open.store(MOST_OPEN, Ordering::Relaxed);
        let mut others = Sockets::default();
        assert!(talker.talk(&mut others, &connect(address)).await.unwrap_err().contains("of rules"));
        talker.open.store(MOST_OF_REQUEST as u64, Ordering::Relaxed);
        drop(sockets);
        let counters = talker.counters();
        assert_eq!((counters.open, counters.refused, counters.opened), (0, 2, MOST_OF_REQUEST as u64));
    }

    #[tokio::test]
    async fn datagrams() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = receiver.local_addr().unwrap().port();
        let (talker, mut sockets) = (talker(), Sockets::default());
        let send = |data: Vec<u8>| Talk::SendTo { host: b"localhost".into(), port, data };
        assert_eq!(talker.talk(&mut sockets, &send(b"hello".into())).await, Ok(Heard::Sent(5)));
        let mut buffer = [0; 10];
        let (length, _) = receiver.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"hello");
        assert!(talker.talk(&mut sockets, &send(vec![0; 70_000])).await.is_err());
        assert_eq!((talker.counters().datagrams, talker.counters().failed), (1, 1));
    }
}
