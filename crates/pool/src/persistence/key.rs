//! The secret behind transparent cookies.

use std::{fmt, net::SocketAddr};

use aws_lc_rs::hmac;
use tidegate_model::PersistenceName;

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
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"tidegate session key v1");
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    pub(super) fn namer(&self) -> Namer {
        Namer(hmac::Key::new(hmac::HMAC_SHA256, &self.0))
    }
}

/// Names nodes for cookies.
pub(super) struct Namer(hmac::Key);

impl Namer {
    /// The first half of `HMAC-SHA256(session key, "tidegate session v1" 0 class 0 address:port)`.
    pub(super) fn name(&self, class: &PersistenceName, address: SocketAddr) -> u128 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tidegate session v1\0");
        context.update(class.as_str().as_bytes());
        context.update(b"\0");
        context.update(address.to_string().as_bytes());
        let tag = context.sign();
        tag.as_ref().iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_key_class_and_address_and_never_change() {
        let name = |secret: &[u8], class: &str, address: &str| {
            SessionKey::derived(secret).namer().name(&class.into(), address.parse().unwrap())
        };
        let base = name(b"k", "class", "10.0.0.1:80");
        // A release that changed these would lose the sessions of every client.
        assert_eq!(base, name(b"k", "class", "10.0.0.1:80"));
        assert_eq!(format!("{base:032X}"), "BASE");
        assert_ne!(base, name(b"l", "class", "10.0.0.1:80"));
        assert_ne!(base, name(b"k", "klass", "10.0.0.1:80"));
        assert_ne!(base, name(b"k", "class", "10.0.0.2:80"));
        assert_ne!(base, name(b"k", "class", "10.0.0.1:81"));
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", SessionKey::new([65; 32])), "SessionKey(…)");
    }
}
