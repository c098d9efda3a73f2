//! How deep rules ask servers whose rules ask servers, where those servers are this process's own: a rule that asks its own
//! virtual server would never come to an end. Our own requests are known by the addresses of the connections they come over.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So deep rules may ask each other.
pub(super) const MOST_DEPTH: u8 = 8;

/// The open connections of rules by their own addresses, and how deep the request is that goes over each: 1 = a client of others
/// has asked for it. As many as there are connections.
#[derive(Debug, Default)]
pub(super) struct Depths(Mutex<HashMap<SocketAddr, u8>>);

impl Depths {
    /// How deep a request is that comes from this address; 0 = it is none of ours.
    pub(super) fn of(&self, client: SocketAddr) -> u8 {
        self.lock().get(&canonical(client)).copied().unwrap_or(0)
    }

    /// A connection has been opened from this address.
    pub(super) fn opened(self: &Arc<Self>, from: SocketAddr) -> Mark {
        Mark { depths: Arc::clone(self), address: canonical(from) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An open connection. Dropping it forgets the address.
#[derive(Debug)]
pub(super) struct Mark {
    depths: Arc<Depths>,
    address: SocketAddr,
}

impl Mark {
    /// A request of this depth goes over the connection.
    pub(super) fn set(&self, depth: u8) {
        self.depths.lock().insert(self.address, depth);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.depths.lock().remove(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_known_as_long_as_connections_are_open() {
        let depths = Arc::new(Depths::default());
        let address: SocketAddr = "127.0.0.1:1000".parse().unwrap();
        let mark = depths.opened("[::ffff:127.0.0.1]:1000".parse().unwrap());
        assert_eq!(depths.of(address), 0);
        for depth in [1, 3] {
            mark.set(depth);
            assert_eq!(depths.of(address), depth);
        }
        drop(mark);
        assert_eq!((depths.of(address), depths.lock().len()), (0, 0));
    }
}
