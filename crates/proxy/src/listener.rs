//! Accepts client connections on one worker's socket of one address.
//!
//! Every worker has a socket of its own per address (`SO_REUSEPORT`): the kernel spreads connections and no
//! lock is shared. Sockets are opened by the control side ([`open`]) so that a failure is reported once.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::atomic::Ordering,
    time::Duration,
};

use nix::{setsockopt_impl, sockopt_impl, sys::socket::SetSockOpt};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::SocketFlags,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::JoinHandle,
};

use crate::{
    connection,
    snapshot::ListenKey,
    socket::{self, Socket},
    tally,
    worker::Worker,
};

/// Backlog of listening sockets where `listen_queue_size` is 0; the kernel caps it at `somaxconn`.
const BACKLOG: u32 = 4096;

/// Connections taken from the kernel before other tasks of the worker get a turn.
const ACCEPT_BATCH: usize = 64;

/// Rest after accepting failed for want of descriptors or memory, and while a virtual server is at
/// `max_concurrent_connections`.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// Seconds that the kernel keeps a connection to itself until its first bytes are there: most connections are then
/// accepted and read in one go, without a turn of the event loop in between.
const DEFER: i32 = 1;

sockopt_impl!(
    /// `TCP_DEFER_ACCEPT` (tcp(7)).
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    i32
);

/// An accept task; dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Listening {
    task: JoinHandle<()>,
    socket: Rc<OwnedFd>,
}

impl Listening {
    /// The settings have changed.
    pub(crate) fn adjust(&self, options: Options) -> io::Result<()> {
        options.apply(&self.socket)
    }

    /// Before the socket closes: connections that the kernel still holds back are to be accepted without waiting
    /// for their first bytes.
    pub(crate) fn last_call(&self) {
        // Where it cannot be switched off, such a connection is accepted when its bytes come, or never was deferred.
        let _off = DeferAccept.set(&self.socket, &0);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What settings say about a listening socket. Both can be changed while it listens; connections that are there keep
/// what they were accepted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `connection.listen_queue_size`.
    pub(crate) backlog: Option<u32>,
    /// `tcp.nagle` turned off.
    pub(crate) nodelay: bool,
    /// Clients speak first: the kernel keeps their connections to itself for a moment.
    pub(crate) defer: bool,
}

impl Options {
    /// Makes them those of a socket that is bound, and starts listening if it does not listen yet. Connections that
    /// wait to be accepted stay.
    fn apply(self, socket: &impl AsFd) -> io::Result<()> {
        // Accepted sockets inherit this, which saves a call per connection.
        rustix::net::sockopt::set_tcp_nodelay(socket, self.nodelay)?;
        // A system without it accepts a little earlier.
        let _on = DeferAccept.set(socket, &if self.defer { DEFER } else { 0 });
        let backlog = i32::try_from(self.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX);
        Ok(rustix::net::listen(socket, backlog)?)
    }
}

/// Opens one worker's listening socket.
pub(crate) fn open(address: SocketAddr, options: Options) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket as Raw, Type};
    let raw = Raw::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    raw.set_reuse_address(true)?;
    raw.set_reuse_port(true)?;
    if address.is_ipv6() {
        // "Any" is one dual-stack socket; a written IPv6 address is itself only.
        raw.set_only_v6(!address.ip().is_unspecified())?;
    }
    raw.bind(&address.into())?;
    options.apply(&raw)?;
    Ok(raw.into())
}

/// Starts accepting on this worker.
pub(crate) fn start(worker: &Rc<Worker>, key: ListenKey, socket: TcpListener) -> io::Result<Listening> {
    let socket = Rc::new(OwnedFd::from(socket));
    let fd = socket::watch(Rc::clone(&socket), Interest::READABLE)?;
    Ok(Listening { task: tokio::task::spawn_local(accept(Rc::clone(worker), key, fd)), socket })
}

async fn accept(worker: Rc<Worker>, key: ListenKey, listener: AsyncFd<Rc<OwnedFd>>) {
    // Somebody waits because the virtual server is full, and that has been counted.
    let mut held_up = false;
    loop {
        let Ok(mut ready) = listener.readable().await else { return };
        for _ in 0..ACCEPT_BATCH {
            let view = worker.view();
            let Some(server) = view.server(&key) else { return };
            if server.is_full() {
                if !held_up && is_waited_at(ready.get_inner()) {
                    held_up = true;
                    server.counters.shard(worker.index).connections_over_limit.add(1);
                }
                drop(view);
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
            held_up = false;
            match rustix::net::acceptfrom_with(
                ready.get_inner().as_fd(),
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            ) {
                Ok((fd, peer)) => {
                    let Some(peer) = peer.and_then(|any| SocketAddr::try_from(any).ok()) else { continue };
                    let Some(listen) = view.listening.get(&key.address.ip()) else { return };
                    worker.shared.connections.fetch_add(1, Ordering::AcqRel);
                    connection::spawn(&worker, &key, (server, listen), Socket::new(fd), canonical(peer));
                }
                Err(rustix::io::Errno::AGAIN) => {
                    ready.clear_ready();
                    break;
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(error) => {
                    tally::process(&worker).accept_failures.add(1);
                    tracing::warn!(virtual_server = %server.settings.name, %error, "failed to accept; resting");
                    tokio::time::sleep(ACCEPT_REST).await;
                    break;
                }
            }
        }
        // Other tasks of this worker get a turn before the next batch.
        tokio::task::yield_now().await;
    }
}

/// Whether there is a connection to accept.
fn is_waited_at(listener: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    rustix::event::poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// IPv4 clients of a dual-stack socket are shown as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn options_change_while_connections_wait() {
        let mut options = Options { backlog: Some(2), nodelay: false, defer: false };
        let listener = open(([127, 0, 0, 1], 0).into(), options).unwrap();
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect(address).unwrap();
        let _plain = connect();
        assert!(!listener.accept().unwrap().0.nodelay().unwrap());
        let waiting = connect();
        options = Options { backlog: Some(64), nodelay: true, defer: false };
        options.apply(&listener).unwrap();
        assert_eq!(listener.accept().unwrap().1, waiting.local_addr().unwrap(), "it is still there");
        let _many: Vec<TcpStream> = (0..20).map(|_| connect()).collect();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }
}
