//! What rules ask of the process and of the machine it runs on: the time, random numbers, names, interfaces, and where on
//! the globe addresses are.

use std::{borrow::Cow, fmt, net::IpAddr, time::Duration};

/// The process and its machine.
pub trait Surroundings {
    /// Time since 1970.
    fn now(&self) -> Duration;
    /// Seconds that local time is ahead of UTC at a time (seconds since 1970), and the name of the zone.
    fn local_offset(&self, at: i64) -> (i32, Cow<'_, str>);
    /// A random number, not for secrets.
    fn random(&mut self) -> u64;
    /// Fills with random bytes fit for secrets.
    fn secret_bytes(&mut self, bytes: &mut [u8]);
    /// Host name without and domain.
    fn host_name(&self) -> (Cow<'_, str>, Cow<'_, str>);
    /// A variable of the process environment.
    fn environment(&self, name: &[u8]) -> Option<Vec<u8>>;
    /// Identity of the process.
    fn process_id(&self) -> u32;
    /// The network interfaces of the host, in its order.
    fn interfaces(&self) -> Vec<Interface>;
    /// Port of the REST interface; `None` = it is off.
    fn rest_port(&self) -> Option<u16>;
    /// Where an address is; `None` = unknown, or there is no database.
    fn place(&self, address: IpAddr) -> Option<Place>;
    /// Where this traffic manager is; `None` = unknown.
    fn location(&self) -> Option<Location>;
}

/// A point on the globe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// Where an address is, as far as a database knows; what it does not know is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// ISO 3166-1, two letters.
    pub country_code: String,
    /// English name of the country.
    pub country: String,
    /// English name of the city.
    pub city: String,
    /// English name of the largest subdivision of the country.
    pub region: String,
    /// Code of that subdivision, ISO 3166-2 without the country.
    pub region_code: String,
    /// Where about it is.
    pub position: Option<Position>,
}

/// A database of places.
pub trait Places: fmt::Debug + Send + Sync {
    /// Where an address is; `None` = the database does not have it.
    fn place(&self, address: IpAddr) -> Option<Place>;
}

/// Where this traffic manager is: an entry of the catalogue `locations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// Its name.
    pub name: String,
    /// `basic.latitude`, `basic.longitude`.
    pub position: Position,
}

/// A network interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// Its addresses with the bits of their network, in the order of the system.
    pub addresses: Vec<(IpAddr, u8)>,
    /// It is switched on.
    pub is_up: bool,
    /// It leads to this host only.
    pub is_loopback: bool,
}
