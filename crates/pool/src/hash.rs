//! Small stable hashes: the same on every machine of a cluster and in every release.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// FNV-1a, 64 bit.
pub(crate) fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Start value of [`fnv`].
pub(crate) const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// Finaliser of splitmix64: every bit of the result depends on every bit of `value`.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The next number of a splitmix64 sequence.
#[cfg(test)]
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*state)
}

/// Maps a random number evenly onto `0..bound`.
pub(crate) fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

/// Hasher of tables whose keys are evenly spread already: results of [`mix`], of an HMAC, or counted numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain(u64);

impl Hasher for Plain {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = fnv(self.0, bytes);
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map with evenly spread keys.
pub(crate) type PlainMap<K, V> = HashMap<K, V, BuildHasherDefault<Plain>>;
