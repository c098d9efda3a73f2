//! `geo.*`: where addresses are, how far places are from each other, and where this traffic manager is.
//!
//! Addresses go to the host's database of places (`place` of [`Surroundings`](crate::host::Surroundings)); without one
//! every place is unknown. Places are degrees, distances run along the surface of a sphere.

use std::net::IpAddr;

use super::{
    Call, Function, Interrupt, Outcome, make,
    row::{needs_places, works},
};
use crate::{
    host::{Place, Position},
    value::Value,
};

/// Mean radius of the Earth in km (IUGG).
const RADIUS: f64 = 6_371.008_8;
/// Kilometres of a mile.
const MILE: f64 = 1.609_344;
/// What is not known, of numbers.
const UNKNOWN: i64 = -1;

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    needs_places(works("geo.getCountryCode", "address", (1, 1),
        "Code of an address's country, two letters (ISO 3166-1); empty if unknown.",
        |call| name(call, |place| place.country_code))),
    needs_places(works("geo.getCountry", "address", (1, 1),
        "English name of an address's country; empty if unknown.",
        |call| name(call, |place| place.country))),
    needs_places(works("geo.getCity", "address", (1, 1),
        "English name of an address's city; empty if unknown.",
        |call| name(call, |place| place.city))),
    needs_places(works("geo.getRegion", "address", (1, 1),
        "English name of an address's region, the largest part of its country; empty if unknown.",
        |call| name(call, |place| place.region))),
    needs_places(works("geo.getRegionCode", "address", (1, 1),
        "Code of an address's region (ISO 3166-2 without the country); empty if unknown.",
        |call| name(call, |place| place.region_code))),
    needs_places(works("geo.getLatitude", "address", (1, 1),
        "Latitude of an address in degrees north, as double; -1 if unknown.",
        |call| Ok(position_at(call, 0)?.map_or(Value::Int(UNKNOWN), |at| Value::Double(at.latitude))))),
    needs_places(works("geo.getLongitude", "address", (1, 1),
        "Longitude of an address in degrees east, as double; -1 if unknown.",
        |call| Ok(position_at(call, 0)?.map_or(Value::Int(UNKNOWN), |at| Value::Double(at.longitude))))),
    needs_places(works("geo.getIPDistanceKM", "address, address", (2, 2),
        "Kilometres between two addresses, as double; -1 if unknown.",
        |call| between_addresses(call, 1.0))),
    needs_places(works("geo.getIPDistanceMiles", "address, address", (2, 2),
        "Miles between two addresses, as double; -1 if unknown.",
        |call| between_addresses(call, MILE))),
    works("geo.getDistanceKM", "latitude, longitude, latitude, longitude", (4, 4),
        "Kilometres between two places given in degrees; -1 if they are none.",
        |call| between_places(call, 1.0)),
    works("geo.getDistanceMiles", "latitude, longitude, latitude, longitude", (4, 4),
        "Miles between two places given in degrees; -1 if they are none.",
        |call| between_places(call, MILE)),
    works("geo.getLocation", "", (0, 0),
        "Name of the traffic manager's location (setting `--location`); empty if unknown.",
        |call| {
            let name = call.host.location().map(|location| location.name).unwrap_or_default();
            call.make(name)
        }),
    works("geo.getLocationLonLat", "", (0, 0),
        "Array of the longitude and the latitude of the traffic manager's location in degrees; -1 if unknown.",
        |call| Ok(call.host.location().map_or(Value::Int(UNKNOWN), |location| {
            let Position { latitude, longitude } = location.position;
            make::array(vec![Value::Double(longitude), Value::Double(latitude)])
        }))),
];

/// Where the address is that an argument gives. What is no address is a warning.
fn place_at(call: &mut Call<'_, '_>, index: usize) -> Result<Option<Place>, Interrupt> {
    let text = call.text(index)?;
    let address = std::str::from_utf8(&text).ok().map(|text| text.trim().trim_matches(['[', ']']));
    if let Some(address) = address.and_then(|text| text.parse::<IpAddr>().ok()) {
        // Databases have IPv4 addresses as such only.
        return Ok(call.host.place(address.to_canonical()));
    }
    let shown = text.get(..MOST_SHOWN).unwrap_or(&text).escape_ascii();
    call.warn(&format!("`{shown}` is not an IP address")).map(|()| None)
}

/// Most bytes of a text that are shown when it is no address.
const MOST_SHOWN: usize = 100;

fn name<'p>(call: &mut Call<'_, 'p>, part: fn(Place) -> String) -> Outcome<'p> {
    let text = place_at(call, 0)?.map(part).unwrap_or_default();
    call.make(text)
}

fn position_at(call: &mut Call<'_, '_>, index: usize) -> Result<Option<Position>, Interrupt> {
    Ok(place_at(call, index)?.and_then(|place| place.position))
}

fn between_addresses<'p>(call: &mut Call<'_, 'p>, unit: f64) -> Outcome<'p> {
    let (from, to) = (position_at(call, 0)?, position_at(call, 1)?);
    Ok(from.zip(to).map_or(Value::Int(UNKNOWN), |(from, to)| Value::Double(distance(from, to) / unit)))
}

fn between_places<'p>(call: &mut Call<'_, 'p>, unit: f64) -> Outcome<'p> {
    let from = Position { latitude: call.double(0)?, longitude: call.double(1)? };
    let to = Position { latitude: call.double(2)?, longitude: call.double(3)? };
    let is_place = |at: Position| at.latitude.abs() <= 90.0 && at.longitude.abs() <= 180.0;
    if !is_place(from) || !is_place(to) {
        return Ok(Value::Int(UNKNOWN));
    }
    Ok(Value::Double(distance(from, to) / unit))
}

/// Kilometres along the great circle, by the haversine formula.
fn distance(from: Position, to: Position) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let chord = half(from.latitude, to.latitude)
        + from.latitude.to_radians().cos()
            * to.latitude.to_radians().cos()
            * half(from.longitude, to.longitude);
    2.0 * RADIUS * chord.sqrt().min(1.0).asin()
}
