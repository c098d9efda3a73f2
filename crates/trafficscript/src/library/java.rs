//! `java.*`.

use super::{ANY, Function, row::never};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    never("java.run", "class[, argument…]", (1, ANY),
        "Runs a Java extension.",
        "there is no Java in the traffic manager; do it in the rule, or ask a server with http.request.post"),
];
