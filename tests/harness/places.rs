//! A small database of places in the format of MaxMind: networks and what is known of them in, the bytes of a file out.

use std::{collections::BTreeMap, net::IpAddr, str::FromStr};

/// When every database was made, seconds since 1970.
pub const MADE: u64 = 1_700_000_000;

/// A network such as `192.0.2.0/24`.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    bits: u128,
    length: u32,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').ok_or("a network has a /")?;
        let length: u32 = length.parse().map_err(|_| "no length")?;
        // IPv4 lies in ::/96.
        Ok(match address.parse().map_err(|_| "no address")? {
            IpAddr::V4(address) => Self { bits: u128::from(address.to_bits()), length: length + 96 },
            IpAddr::V6(address) => Self { bits: address.to_bits(), length },
        })
    }
}

/// What is known of a network.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Code and name of the country.
    pub country: (&'static str, &'static str),
    /// Code and name of the region.
    pub region: Option<(&'static str, &'static str)>,
    /// Name of the city.
    pub city: Option<&'static str>,
    /// Latitude and longitude.
    pub position: Option<(f64, f64)>,
}

/// A value of the format.
enum Data {
    Text(String),
    Double(f64),
    Number(u8, u64),
    Map(Vec<(&'static str, Self)>),
    Array(Vec<Self>),
}

impl Data {
    fn write(&self, out: &mut Vec<u8>) {
        let control = |out: &mut Vec<u8>, kind: u8, size: usize| {
            let (low, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
            if kind < 8 {
                out.push(kind << 5 | low as u8);
            } else {
                out.extend([low as u8, kind - 7]);
            }
            out.extend(more.map(|more| u8::try_from(more).expect("short values")));
        };
        match self {
            Self::Text(text) => {
                control(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Self::Double(number) => {
                control(out, 3, 8);
                out.extend(number.to_be_bytes());
            }
            Self::Number(kind, number) => {
                let bytes = number.to_be_bytes();
                let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(8);
                control(out, *kind, 8 - first);
                out.extend(&bytes[first..]);
            }
            Self::Map(entries) => {
                control(out, 7, entries.len());
                for (key, value) in entries {
                    Self::Text((*key).to_owned()).write(out);
                    value.write(out);
                }
            }
            Self::Array(values) => {
                control(out, 11, values.len());
                for value in values {
                    value.write(out);
                }
            }
        }
    }
}

fn text(text: &str) -> Data {
    Data::Text(text.to_owned())
}

fn named(code: Option<&str>, name: &str) -> Data {
    let code = code.map(|code| ("iso_code", text(code)));
    Data::Map(code.into_iter().chain([("names", Data::Map(vec![("en", text(name))]))]).collect())
}

fn record(record: &Record) -> Data {
    let mut entries = vec![("country", named(Some(record.country.0), record.country.1))];
    entries.extend(record.city.map(|city| ("city", named(None, city))));
    let region = record.region.map(|(code, name)| Data::Array(vec![named(Some(code), name)]));
    entries.extend(region.map(|region| ("subdivisions", region)));
    entries.extend(record.position.map(|(latitude, longitude)| {
        let position = [("latitude", Data::Double(latitude)), ("longitude", Data::Double(longitude))];
        ("location", Data::Map(position.into()))
    }));
    Data::Map(entries)
}

/// A database of these networks, none of which lies in another. `kind` is such as `GeoLite2-City`.
pub fn database(kind: &str, networks: &[(Network, Record)]) -> Vec<u8> {
    const BITS: u32 = 24;
    let mut values = Vec::new();
    // A node's two records: another node, or a value at an offset.
    let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None; 2]];
    for (network, known) in networks {
        let offset = values.len();
        record(known).write(&mut values);
        let mut at = 0;
        for bit in 0..network.length {
            let side = (network.bits >> (127 - bit) & 1) as usize;
            if bit + 1 == network.length {
                nodes[at][side] = Some(Err(offset));
            } else if let Some(Ok(next)) = nodes[at][side] {
                at = next;
            } else {
                nodes.push([None; 2]);
                nodes[at][side] = Some(Ok(nodes.len() - 1));
                at = nodes.len() - 1;
            }
        }
    }
    let mut file = Vec::new();
    let count = nodes.len();
    for side in nodes.iter().flatten() {
        let number = match side {
            Some(Ok(node)) => *node,
            None => count,
            Some(Err(offset)) => count + 16 + offset,
        };
        file.extend(&u32::try_from(number).expect("a small database").to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(values);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let facts = BTreeMap::from([
        ("binary_format_major_version", Data::Number(5, 2)),
        ("binary_format_minor_version", Data::Number(5, 0)),
        ("build_epoch", Data::Number(9, MADE)),
        ("database_type", text(kind)),
        ("description", Data::Map(vec![("en", text("places for tests"))])),
        ("ip_version", Data::Number(5, 6)),
        ("languages", Data::Array(vec![text("en")])),
        ("node_count", Data::Number(6, count as u64)),
        ("record_size", Data::Number(5, BITS.into())),
    ]);
    Data::Map(facts.into_iter().collect()).write(&mut file);
    file
}
