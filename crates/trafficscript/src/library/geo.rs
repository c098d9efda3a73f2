//! `geo.*`: where addresses are, and how far places are from each other.

use super::{
    Call, Function, Outcome,
    row::{planned, works},
};
use crate::value::Value;

const PLACES: &str = "a database of places, which the configuration cannot name yet";
const LOCATIONS: &str = "locations of traffic managers, which the configuration does not have yet";

/// Mean radius of the Earth in km (IUGG).
const RADIUS: f64 = 6_371.008_8;
/// Kilometres of a mile.
const MILE: f64 = 1.609_344;

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    planned("geo.getCountryCode", "address", (1, 1), "Code of an address's country; empty if unknown.", PLACES),
    planned("geo.getCountry", "address", (1, 1), "Name of an address's country; empty if unknown.", PLACES),
    planned("geo.getCity", "address", (1, 1), "City of an address; empty if unknown.", PLACES),
    planned("geo.getRegion", "address", (1, 1), "Region of an address; empty if unknown.", PLACES),
    planned("geo.getRegionCode", "address", (1, 1), "Code of an address's region; empty if unknown.", PLACES),
    planned("geo.getLatitude", "address", (1, 1), "Latitude of an address in degrees; -1 if unknown.", PLACES),
    planned("geo.getLongitude", "address", (1, 1), "Longitude of an address in degrees; -1 if unknown.", PLACES),
    planned("geo.getIPDistanceKM", "address, address", (2, 2),
        "Kilometres between two addresses; -1 if unknown.", PLACES),
    planned("geo.getIPDistanceMiles", "address, address", (2, 2),
        "Miles between two addresses; -1 if unknown.", PLACES),
    works("geo.getDistanceKM", "latitude, longitude, latitude, longitude", (4, 4),
        "Kilometres between two places given in degrees; -1 if they are none.",
        |call| distance(call, 1.0)),
    works("geo.getDistanceMiles", "latitude, longitude, latitude, longitude", (4, 4),
        "Miles between two places given in degrees; -1 if they are none.",
        |call| distance(call, MILE)),
    planned("geo.getLocation", "", (0, 0), "Name of the traffic manager's location.", LOCATIONS),
    planned("geo.getLocationLonLat", "", (0, 0), "Longitude and latitude of the traffic manager's location.", LOCATIONS),
];

/// Along the great circle, by the haversine formula.
fn distance<'p>(call: &mut Call<'_, 'p>, unit: f64) -> Outcome<'p> {
    let (from, to) = ((call.double(0)?, call.double(1)?), (call.double(2)?, call.double(3)?));
    let is_place = |(latitude, longitude): (f64, f64)| latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    if !is_place(from) || !is_place(to) {
        return Ok(Value::Int(-1));
    }
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let chord = half(from.0, to.0) + from.0.to_radians().cos() * to.0.to_radians().cos() * half(from.1, to.1);
    Ok(Value::Double(2.0 * RADIUS * chord.sqrt().min(1.0).asin() / unit))
}
