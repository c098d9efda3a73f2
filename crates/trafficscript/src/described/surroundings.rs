//! The process and the machine of a described request.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use super::Described;
use crate::host::{Interface, Location, Place, Surroundings};

impl Surroundings for Described {
    fn now(&self) -> Duration {
        self.now
    }

    fn local_offset(&self, _at: i64) -> (i32, Cow<'_, str>) {
        (self.zone.0, Cow::Borrowed(&self.zone.1))
    }

    fn random(&mut self) -> u64 {
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn secret_bytes(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let random = self.random().to_le_bytes();
            piece.copy_from_slice(random.get(..piece.len()).unwrap_or_default());
        }
    }

    fn host_name(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        (Cow::Borrowed(&self.host_name.0), Cow::Borrowed(&self.host_name.1))
    }

    fn environment(&self, name: &[u8]) -> Option<Vec<u8>> {
        let value = self.environment.get(&*String::from_utf8_lossy(name))?;
        Some(value.clone().into_bytes())
    }

    fn process_id(&self) -> u32 {
        1
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.interfaces.clone()
    }

    fn rest_port(&self) -> Option<u16> {
        self.rest_port
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        self.places.as_ref()?.place(address)
    }

    fn location(&self) -> Option<Location> {
        self.location.clone()
    }
}
