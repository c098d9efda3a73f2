//! A TCP socket that tells epoll about itself only when it must wait.
//!
//! A short-lived connection often has its bytes there when it is accepted, and room for the answer when the
//! answer is written. [`Socket`] therefore tries the system call first and registers with the reactor only when
//! the kernel says "would block": a connection that never waits costs no `epoll_ctl` at all. Once registered,
//! reads follow the reactor's readiness (no call that would end in `EAGAIN`), and a short read clears it.
//!
//! Flow: `listener` and `node::connect` make sockets, [`crate::stream::Stream`] wraps them, with or without TLS.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use nix::{getsockopt_impl, sockopt_impl, sys::socket::GetSockOpt};
use rustix::net::{RecvFlags, SendFlags};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    task::coop,
};

use crate::buffer::Buffer;

sockopt_impl!(
    /// `SO_MEMINFO` (linux/sock_diag.h), as far as it is needed.
    MemoryInfo,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; WRITE_QUEUE + 1]
);

/// Place of `SK_MEMINFO_WMEM_QUEUED` in [`MemoryInfo`].
const WRITE_QUEUE: usize = 5;

/// A non-blocking TCP socket, registered with the worker's reactor on first need.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `None` until the socket had to wait for something. Dropped before `fd`, so that the reactor forgets the
    /// descriptor while it is open.
    registered: Option<AsyncFd<Rc<OwnedFd>>>,
    fd: Rc<OwnedFd>,
    /// What is written waits for the end of the connection, to leave in one segment with it.
    ending: bool,
}

impl Socket {
    /// Wraps a descriptor that is already non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { registered: None, fd: Rc::new(fd), ending: false }
    }

    /// Starts a connection to `remote`, from `source` if one is given. The connection is up when
    /// [`Socket::poll_connected`] says so.
    pub(crate) fn connect(
        remote: SocketAddr,
        source: Option<std::net::IpAddr>,
        nodelay: bool,
    ) -> io::Result<Self> {
        use socket2::{Domain, Protocol, Socket as Raw, Type};
        let raw = Raw::new(Domain::for_address(remote), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if nodelay {
            raw.set_tcp_nodelay(true)?;
        }
        if let Some(source) = source {
            raw.bind(&SocketAddr::new(source, 0).into())?;
        }
        match raw.connect(&remote.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(Self::new(raw.into()))
    }

    /// Whether a connection begun by [`Socket::connect`] is up.
    pub(crate) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fd = self.registered()?;
        ready!(fd.poll_write_ready(cx))?.retain_ready();
        match rustix::net::sockopt::socket_error(fd.get_ref())? {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Reads what is there into `buf`; 0 means the peer has finished sending.
    pub(crate) fn poll_read_slice(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, |fd| receive(fd, buf))
    }

    /// Reads what is there into `buffer`, at most `limit` bytes; 0 means the peer has finished sending, or that the
    /// buffer is full. The buffer gets memory only for bytes that are there.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, |fd| {
            let received = receive(fd, buffer.room(limit));
            buffer.fill(received.as_ref().map_or(0, |(n, _)| *n));
            received
        })
    }

    /// Calls `call` once there may be something to receive; see [`receive`] for what it says.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&OwnedFd) -> io::Result<(usize, bool)>,
    ) -> Poll<io::Result<usize>> {
        if self.registered.is_none() {
            // The reactor sees to it that a task gives way to others; who does not ask it has to see to it himself.
            let turn = ready!(coop::poll_proceed(cx));
            match call(&self.fd) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    turn.made_progress();
                    return Poll::Ready(outcome.map(|(n, _)| n));
                }
            }
        }
        let fd = self.registered()?;
        loop {
            let mut guard = ready!(fd.poll_read_ready(cx))?;
            match call(guard.get_inner()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Ok((n, more)) => {
                    // A stream socket that filled less than the buffer is empty until the next event (epoll(7)).
                    if n > 0 && !more {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes the slices in order, as far as the kernel takes them.
    pub(crate) fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let flags = if self.ending { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        // Trying first is right even when registered: a socket nearly always has room.
        match send(self.as_fd(), slices, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
        let fd = self.registered()?;
        loop {
            let mut guard = ready!(fd.poll_write_ready(cx))?;
            match send(guard.get_inner().as_fd(), slices, flags) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Whether the peer has reset the connection, as the kernel knows at this moment. Consumes that knowledge: to be asked
    /// when nothing more is to be written.
    pub(crate) fn has_been_reset(&self) -> bool {
        use rustix::io::Errno;
        match rustix::net::recv(&self.fd, &mut [0u8; 1], RecvFlags::PEEK) {
            Ok(_) => false,
            Err(error) => !matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }

    /// Ready once the connection is over in both directions: the peer has reset it. A peer that has only finished
    /// sending keeps this waiting. Registers the socket, and leaves it to the next write to find out that there is
    /// room, which writes do anyway.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(fd) = self.registered() else { return Poll::Ready(()) };
        loop {
            match ready!(fd.poll_write_ready(cx)) {
                Ok(guard) if guard.ready().is_write_closed() => return Poll::Ready(()),
                // Room to write: the reactor tells of a reset by another event.
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Memory of what was written and the peer has not acknowledged, bytes; 0 = it has everything.
    pub(crate) fn undelivered(&self) -> io::Result<u32> {
        Ok(MemoryInfo.get(&self.fd)?[WRITE_QUEUE])
    }

    /// Runs `call` when the socket is ready for `interest`, until it does not say "would block".
    pub(crate) fn poll_io<T>(
        &mut self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let fd = self.registered()?;
        loop {
            let mut guard = if interest.is_readable() {
                ready!(fd.poll_read_ready(cx))?
            } else {
                ready!(fd.poll_write_ready(cx))?
            };
            match call(guard.get_inner().as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Such readiness is never cleared: what is missing will not come.
                    if interest.is_readable() && guard.ready().is_read_closed() {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    guard.clear_ready();
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Whether an idle connection may no longer be used: the peer closed it or sent something unasked.
    /// Looks at what the reactor has already seen, and asks the kernel only where that leaves doubt.
    pub(crate) fn is_stale(&mut self) -> bool {
        let Some(fd) = &self.registered else { return false };
        match fd.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
            // Readiness may be left over from the last response, when it was read to its end and no further.
            Poll::Ready(Ok(mut guard)) => match rustix::net::recv(&self.fd, &mut [0u8; 1], RecvFlags::PEEK) {
                Err(rustix::io::Errno::AGAIN) => {
                    guard.clear_ready();
                    false
                }
                _ => true,
            },
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Ends one or both directions.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(self.as_fd(), how)?)
    }

    /// The next bytes are the last: the connection is closed, or finished for writing, as soon as they are written. They
    /// leave in one segment with its end, where two would wake the peer twice.
    pub(crate) fn end_with_next(&mut self) {
        self.ending = true;
    }

    /// Whether the peer has sent bytes that nobody has read. A close would throw away what it has not read either.
    pub(crate) fn has_unread(&self) -> bool {
        rustix::net::recv(&self.fd, &mut [0u8; 1], RecvFlags::PEEK).is_ok_and(|(n, _)| n > 0)
    }

    /// Makes the coming close send RST instead of FIN.
    pub(crate) fn reset_on_close(&self) {
        // Failing to set the option leaves an ordinary close, which is safe.
        let _set = rustix::net::sockopt::set_socket_linger(self.as_fd(), Some(std::time::Duration::ZERO));
    }

    /// The address this end of the connection has.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        let address = SocketAddr::try_from(rustix::net::getsockname(self.as_fd()).ok()?).ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    fn registered(&mut self) -> io::Result<&AsyncFd<Rc<OwnedFd>>> {
        match self.registered {
            Some(ref fd) => Ok(fd),
            ref mut none => {
                Ok(none.insert(watch(Rc::clone(&self.fd), Interest::READABLE | Interest::WRITABLE)?))
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Tells the worker's reactor about a descriptor.
#[expect(
    deprecated,
    reason = "its successor is unsafe for types that may lie about their descriptor; ours own it"
)]
pub(crate) fn watch<T: AsRawFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(fd, interest)
}

/// Receives what is there. Says how many bytes that was, and whether there may be more.
fn receive(fd: &OwnedFd, buf: &mut [u8]) -> io::Result<(usize, bool)> {
    loop {
        match rustix::net::recv(fd, &mut *buf, RecvFlags::empty()) {
            Ok((n, _)) => return Ok((n, n == buf.len())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn send(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
    loop {
        let outcome = match slices {
            [one] => rustix::net::send(fd, one, flags),
            many => rustix::io::writev(fd, many),
        };
        match outcome {
            Ok(n) => return Ok(n),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = ready!(self.poll_read_slice(cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}
