//! Session persistence classes at work.

use std::fmt;

/// Key of the HMAC behind transparent cookies: every traffic manager with the same key names nodes alike.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

impl SessionKey {
    /// A key as it is.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A key from a secret of any length: `HMAC-SHA256(key = secret, message = "tidegate session key v1")`.
    pub fn derived(secret: &[u8]) -> Self {
        todo!("{secret:?}")
    }
}
