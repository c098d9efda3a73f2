//! The floor of the load bench: bytes from one socket to the other and back, on epoll, without looking at them.
//!
//! It makes the calls that any proxy has to make for a keep-alive request (receive, send, receive, send) and nothing
//! else, so that what a proxy costs above it is the proxy's own work.
//!
//! `relay LISTEN_PORT NODE_PORT…`, loopback only, one thread; each new connection goes to the next node.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, OwnedFd},
    process::ExitCode,
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, connect, listen,
        recv, send, socket, socket_with, sockopt,
    },
};

/// Most sockets at a time, and the bound of a descriptor's number.
const SOCKETS: usize = 65_536;
/// Bytes moved at once.
const CHUNK: usize = 64 << 10;
/// Events taken at once.
const EVENTS: usize = 256;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Longest wait for a peer that does not read.
const STALLED: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A socket and the number of the one its bytes go to.
struct Side {
    socket: OwnedFd,
    other: usize,
}

fn main() -> ExitCode {
    let ports: Option<Vec<u16>> = std::env::args().skip(1).map(|word| word.parse().ok()).collect();
    let Some([listen_port, nodes @ ..]) = ports.as_deref() else { return usage() };
    if nodes.is_empty() {
        return usage();
    }
    match relay(*listen_port, nodes) {
        Ok(never) => match never {},
        Err(error) => {
            tell(&format!("relay: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    tell("usage: relay LISTEN_PORT NODE_PORT...");
    ExitCode::from(2)
}

#[expect(clippy::print_stderr, reason = "a command line tool says what is wrong on standard error")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn relay(port: u16, nodes: &[u16]) -> Result<std::convert::Infallible, Box<dyn Error>> {
    let here = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let listener = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    bind(&listener, &here(port))?;
    listen(&listener, BACKLOG)?;
    let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let number = |socket: &OwnedFd| usize::try_from(socket.as_raw_fd()).unwrap_or(SOCKETS);
    let listening = number(&listener) as u64;
    epoll::add(&ready, &listener, epoll::EventData::new_u64(listening), epoll::EventFlags::IN)?;

    let mut sides: Vec<Option<Side>> = Vec::new();
    sides.resize_with(SOCKETS, || None);
    let mut turn = nodes.iter().cycle();
    let mut events = Vec::with_capacity(EVENTS);
    let mut buffer = vec![0; CHUNK];
    loop {
        events.clear();
        match epoll::wait(&ready, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            if event.data.u64() == listening {
                while let Ok(client) = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    let Some(node_port) = turn.next() else { break };
                    let node = socket(AddressFamily::INET, SocketType::STREAM, None)?;
                    if connect(&node, &here(*node_port)).is_err() {
                        continue;
                    }
                    let (a, b) = (number(&client), number(&node));
                    if a >= SOCKETS || b >= SOCKETS {
                        continue;
                    }
                    for (socket, this, other) in [(client, a, b), (node, b, a)] {
                        sockopt::set_tcp_nodelay(&socket, true)?;
                        let wanted = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
                        epoll::add(&ready, &socket, epoll::EventData::new_u64(this as u64), wanted)?;
                        if let Some(place) = sides.get_mut(this) {
                            *place = Some(Side { socket, other });
                        }
                    }
                }
                continue;
            }
            let this = event.data.u64() as usize;
            let Some(Some(side)) = sides.get(this) else { continue };
            let Some(Some(other)) = sides.get(side.other) else { continue };
            let open = match recv(&side.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN | Errno::INTR) => true,
                Err(_) | Ok((0, _)) => false,
                Ok((n, _)) => pass_on(&other.socket, buffer.get(..n).unwrap_or_default()),
            };
            if !open {
                let other = side.other;
                for place in [this, other] {
                    if let Some(place) = sides.get_mut(place) {
                        *place = None;
                    }
                }
            }
        }
    }
}

/// Sends everything; `false` when the receiver is gone or stopped reading.
fn pass_on(to: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match send(to, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut writable = [PollFd::new(to, PollFlags::OUT)];
                if poll(&mut writable, Some(&STALLED)) != Ok(1) {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}
