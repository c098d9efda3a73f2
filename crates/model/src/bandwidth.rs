//! Bandwidth classes: how many bytes per second are sent to clients or nodes, and who shares them.

use std::num::NonZeroU32;

use crate::BandwidthName;

/// An entry of `bandwidth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthClass {
    /// Its name.
    pub name: BandwidthName,
    /// `basic.maximum`, kbit/s: thousands of bits per second.
    pub maximum: NonZeroU32,
    /// `basic.sharing`.
    pub sharing: Sharing,
}

impl BandwidthClass {
    /// `basic.maximum` of a class that does not say (kbit/s).
    pub const DEFAULT_MAXIMUM: NonZeroU32 = const { NonZeroU32::new(10_000).unwrap() };
}

/// `basic.sharing`: who has the bandwidth of a class together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Every connection of the cluster. A process is a machine and knows no other one: the connections of this process.
    #[default]
    Cluster,
    /// Every connection of this process.
    Machine,
    /// Nobody: each connection has all of it.
    Connection,
}

impl Sharing {
    /// As documents write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Machine => "machine",
            Self::Connection => "connection",
        }
    }
}
