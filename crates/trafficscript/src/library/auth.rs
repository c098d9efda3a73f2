//! `auth.*`: questions to directories.

use super::{
    Function,
    row::{TRAFFIC, planned},
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    planned("auth.query", "authenticator, user[, password]", (2, 3),
        "Asks a directory about a user. Hash: OK, Error, and the attributes of the user.", "authenticators, which the configuration does not have yet").only(TRAFFIC),
];
