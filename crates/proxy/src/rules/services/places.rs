//! Where addresses are: a database in the format of MaxMind (GeoLite2, GeoIP2; City or Country) for `geo.*`.
//!
//! In: the bytes of a file, read and checked by [`Database::read`] off the workers. Out: a [`Place`] per address, found
//! on the worker in microseconds. [`Atlas`] holds the database in use; whoever watches the file replaces it.

use std::{fmt, net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use maxminddb::{Reader, geoip2};
use tidegate_trafficscript::host::{Place, Places, Position};

/// Largest database, bytes.
pub const MOST_BYTES: u64 = 1 << 30;

/// A database that is sound throughout.
pub struct Database {
    reader: Reader<Vec<u8>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Database {
    /// Reads a database and walks through all of it, which takes a second or so for a large one. The error is for
    /// people.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes)
            .map_err(|error| format!("it is not a database in the format of MaxMind: {error}"))?;
        reader.verify().map_err(|error| format!("the database is damaged: {error}"))?;
        let database = Self { reader };
        let kind = database.kind();
        if !kind.contains("City") && !kind.contains("Country") && !kind.contains("Enterprise") {
            return Err(format!("it holds {kind}, but cities or countries are needed"));
        }
        Ok(database)
    }

    /// What it holds, such as `GeoLite2-City`.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was made, seconds since 1970.
    pub fn made(&self) -> u64 {
        self.reader.metadata().build_epoch
    }
}

impl Places for Database {
    fn place(&self, address: IpAddr) -> Option<Place> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        // A record of a country has the same form with less in it.
        let record = found.decode::<geoip2::City<'_>>().ok()??;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let region = record.subdivisions.first();
        let position = record.location.latitude.zip(record.location.longitude);
        Some(Place {
            country_code: text(record.country.iso_code),
            country: text(record.country.names.english),
            city: text(record.city.names.english),
            region: text(region.and_then(|region| region.names.english)),
            region_code: text(region.and_then(|region| region.iso_code)),
            position: position.map(|(latitude, longitude)| Position { latitude, longitude }),
        })
    }
}

/// The database in use.
#[derive(Debug, Default)]
pub(crate) struct Atlas {
    database: ArcSwapOption<Database>,
}

impl Atlas {
    /// Another database from now on.
    pub(crate) fn replace(&self, database: Arc<Database>) {
        self.database.store(Some(database));
    }

    /// The database in use.
    pub(crate) fn database(&self) -> Option<Arc<Database>> {
        self.database.load_full()
    }

    /// Where an address is. Touches nothing that workers share but the database itself.
    pub(crate) fn place(&self, address: IpAddr) -> Option<Place> {
        self.database.load().as_ref()?.place(address)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_harness::places::{self, Record};

    use super::*;

    fn bytes(kind: &str) -> Vec<u8> {
        let london = Record {
            country: ("GB", "United Kingdom"),
            region: Some(("ENG", "England")),
            city: Some("London"),
            position: Some((51.5, -0.25)),
        };
        let france = Record { country: ("FR", "France"), ..Record::default() };
        places::database(
            kind,
            &[
                ("192.0.2.0/24".parse().unwrap(), london.clone()),
                ("198.51.100.7/32".parse().unwrap(), france),
                ("2001:db8::/32".parse().unwrap(), london),
            ],
        )
    }

    #[test]
    fn places_of_addresses() {
        let database = Database::read(bytes("GeoLite2-City")).unwrap();
        assert_eq!((database.kind(), database.made()), ("GeoLite2-City", places::MADE));
        let place = |address: &str| database.place(address.parse().unwrap());
        let london = place("192.0.2.200").unwrap();
        assert_eq!((london.country_code.as_str(), london.country.as_str()), ("GB", "United Kingdom"));
        assert_eq!((london.region_code.as_str(), london.region.as_str()), ("ENG", "England"));
        assert_eq!(london.city, "London");
        assert_eq!(london.position, Some(Position { latitude: 51.5, longitude: -0.25 }));
        for same in ["::ffff:192.0.2.1", "2001:db8:ffff::1"] {
            assert_eq!(place(same), Some(london.clone()), "{same}");
        }
        let france = place("198.51.100.7").unwrap();
        assert_eq!((france.country.as_str(), france.city.as_str(), france.position), ("France", "", None));
        for unknown in ["198.51.100.8", "192.0.3.1", "2001:db9::1", "::1", "0.0.0.0"] {
            assert_eq!(place(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_no_database() {
        let good = bytes("GeoLite2-City");
        let damaged = |at: usize| {
            let mut bytes = good.clone();
            bytes[at..at + 12].fill(0xff);
            bytes
        };
        for (bytes, part) in [
            (Vec::new(), "not a database"),
            (b"PK\x03\x04".repeat(100), "not a database"),
            (good[..good.len() / 2].to_vec(), "not a database"),
            (damaged(0), "damaged"),
            (bytes("GeoLite2-ASN"), "holds GeoLite2-ASN"),
        ] {
            let fault = Database::read(bytes).unwrap_err();
            assert!(fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn damage_anywhere_is_no_panic() {
        const SEED: u64 = 7;
        println!("seed {SEED}");
        let mut random = fastrand::Rng::with_seed(SEED);
        let good = bytes("GeoLite2-City");
        for _ in 0..3000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let Ok(database) = Database::read(bytes) else { continue };
            for address in ["192.0.2.1", "198.51.100.7", "2001:db8::1", "203.0.113.1"] {
                drop(database.place(address.parse().unwrap()));
            }
        }
    }

    #[test]
    fn the_database_is_replaced() {
        let atlas = Atlas::default();
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(atlas.place(address), None);
        atlas.replace(Arc::new(Database::read(bytes("GeoIP2-City")).unwrap()));
        assert!(atlas.place(address).is_some() && atlas.database().is_some());
    }
}
