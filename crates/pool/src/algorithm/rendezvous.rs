//! Rendezvous hashing: a session key chooses among the nodes the same way on every traffic manager of a cluster.
//!
//! Every node draws a lot from the key and its own address; the highest wins. A node that joins or leaves moves
//! only the keys that it wins or had won. With an algorithm that uses weights the lots are weighted. O(n), for the first
//! request of a session only.

use tidegate_model::pool::Algorithm;

use super::Candidates;
use crate::hash::{FNV, fnv, mix};

/// What an address contributes to its lots. The same everywhere.
pub(crate) fn token(address: std::net::SocketAddr) -> u64 {
    let hash = match address.ip() {
        std::net::IpAddr::V4(ip) => fnv(FNV, &ip.octets()),
        std::net::IpAddr::V6(ip) => fnv(FNV, &ip.octets()),
    };
    mix(fnv(hash, &address.port().to_be_bytes()))
}

/// The available node with the highest lot.
pub(crate) fn pick(candidates: &Candidates<'_>, key: u64, tokens: &[u64]) -> Option<u32> {
    let weighted = matches!(
        candidates.pool.settings.algorithm,
        Algorithm::WeightedRoundRobin | Algorithm::WeightedLeastConnections
    );
    let lot = |slot: u32| {
        let lot = mix(key ^ tokens[slot as usize]);
        if weighted { weighted_lot(lot, candidates.member(slot).weight) } else { lot }
    };
    let available = candidates.roster.ready.iter().copied().filter(|slot| candidates.is_available(*slot));
    available.max_by_key(|slot| lot(*slot))
}

/// The lot for which a node wins in proportion to its weight: `-weight / ln(lot)`, here with an order-preserving
/// mapping to integers (bits of a positive float grow with its value).
fn weighted_lot(lot: u64, weight: u32) -> u64 {
    // Within (0, 1).
    let unit = ((lot >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (-f64::from(weight) / unit.ln()).to_bits()
}
