//! `auth.*`: questions to directories.

use super::{Function, rows::TRAFFIC};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    Function::planned("auth.query", "authenticator, user[, password]", (2, 3), TRAFFIC, "Asks a directory about a user. Hash: OK, Error, and the attributes of the user."),
];
