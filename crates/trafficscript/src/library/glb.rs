//! `glb.*`: global load balancing, which is done by DNS services elsewhere.

use super::{Function, row::never};

const NO_GLB: &str = "DNS answers are not changed here: there is no global load balancing";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    never("glb.getDomain", "", (0, 0), "Name that was asked for.", NO_GLB),
    never("glb.getIPs", "", (0, 0), "Addresses of the answer.", NO_GLB),
    never("glb.service.getName", "", (0, 0), "Name of the service.", NO_GLB),
    never("glb.service.listDomains", "", (0, 0), "Domains of the service.", NO_GLB),
    never("glb.service.listLocations", "", (0, 0), "Locations of the service.", NO_GLB),
    never("glb.service.isLocationLive", "location", (1, 1), "Whether a location works.", NO_GLB),
    never("glb.service.getNearestLocation", "[address]", (0, 1), "The nearest location.", NO_GLB),
    never("glb.service.getLocationWeight", "location", (1, 1), "Weight of a location.", NO_GLB),
    never("glb.service.preferLocation", "location", (1, 1), "Prefers a location.", NO_GLB),
    never("glb.service.avoidLocation", "location", (1, 1), "Avoids a location.", NO_GLB),
    never("glb.service.ignoreLocation", "location", (1, 1), "Ignores a location.", NO_GLB),
    never("glb.service.useLocation", "location", (1, 1), "Uses a location.", NO_GLB),
    never("glb.service.skip", "", (0, 0), "Leaves the answer as it is.", NO_GLB),
];
