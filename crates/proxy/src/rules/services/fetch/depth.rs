//! How deep rules ask servers whose rules ask servers, where those servers are this process's own: a rule that asks its own
//! virtual server would never come to an end. Our own requests are known by the addresses of the connections they come over.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// So deep rules may ask each other.
pub(super) const MOST_DEPTH: u8 = 8;

/// The connections of rules that have a request, by their own addresses, and how deep that is: 1 = a client of others has asked
/// for it. Several connections to different servers may have one address. As many as there are connections.
#[derive(Debug, Default)]
pub(super) struct Depths {
    requests: Mutex<BTreeMap<(SocketAddr, u64), u8>>,
    opened: AtomicU64,
}

impl Depths {
    /// How deep a request is that comes from this address; 0 = it is none of ours.
    pub(super) fn of(&self, client: SocketAddr) -> u8 {
        let client = canonical(client);
        let requests = self.lock();
        requests.range((client, 0)..=(client, u64::MAX)).map(|(_, depth)| *depth).max().unwrap_or(0)
    }

    /// A connection from this address, over which nothing has been asked yet.
    pub(super) fn opened(self: &Arc<Self>, from: SocketAddr) -> Mark {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        Mark { depths: Arc::clone(self), key: (canonical(from), number) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SocketAddr, u64), u8>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An open connection. Dropping it forgets what goes over it.
#[derive(Debug)]
pub(super) struct Mark {
    depths: Arc<Depths>,
    key: (SocketAddr, u64),
}

impl Mark {
    /// A request of this depth goes over the connection from now on.
    pub(super) fn set(&self, depth: u8) {
        self.depths.lock().insert(self.key, depth);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.depths.lock().remove(&self.key);
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
        // To another server, from the same address.
        let other = depths.opened(address);
        other.set(2);
        assert_eq!(depths.of(address), 3);
        drop(mark);
        assert_eq!(depths.of(address), 2);
        drop(other);
        assert_eq!((depths.of(address), depths.lock().len()), (0, 0));
    }
}
