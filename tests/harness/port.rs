//! Ports chosen by the system and kept until Tidegate has them.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A loopback port that nobody else gets while this lives.
///
/// The socket is bound and never listens, with `SO_REUSEPORT` as Tidegate's own listeners have it: Tidegate can
/// take the port beside it, and until then a connection to it is refused.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _kept: Socket,
}

impl Port {
    /// A free port of 127.0.0.1.
    pub fn free() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _kept: socket }
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port alone.
    pub fn number(&self) -> u16 {
        self.address.port()
    }
}
