//! What a rule may know of the process and its machine.

use std::{
    borrow::Cow,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use tidegate_trafficscript::host::{Interface, Location, Place, Surroundings};

use super::{super::process, Seen};

impl Surroundings for Seen<'_, '_> {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn local_offset(&self, at: i64) -> (i32, Cow<'_, str>) {
        let (offset, zone) = process::local_offset(at);
        (offset, zone.into())
    }

    fn random(&mut self) -> u64 {
        self.client.worker.random()
    }

    fn secret_bytes(&mut self, bytes: &mut [u8]) {
        // The system's generator fails only where the process cannot run at all.
        if aws_lc_rs::rand::fill(bytes).is_err() {
            bytes.fill_with(|| self.client.worker.random() as u8);
        }
    }

    fn host_name(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        let (host, domain) = process::host_name();
        (host.into(), domain.into())
    }

    fn environment(&self, name: &[u8]) -> Option<Vec<u8>> {
        process::environment(name)
    }

    fn process_id(&self) -> u32 {
        std::process::id()
    }

    fn interfaces(&self) -> Vec<Interface> {
        process::interfaces()
    }

    fn rest_port(&self) -> Option<u16> {
        self.services().facts().rest_port
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        self.services().places.place(address)
    }

    fn location(&self) -> Option<Location> {
        self.client.worker.view().location(self.services().facts().location.as_ref())
    }
}
