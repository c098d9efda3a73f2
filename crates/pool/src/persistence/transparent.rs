//! `transparent` persistence: a cookie that names the node by an HMAC nobody without the key can make.
//!
//! `X-Mapping-<8 letters a–p>=<32 hex digits>; path=/`. The letters depend on the class name, the digits on class
//! name and node address only, so they are the same for all clients of a node, on every traffic manager and after
//! a restart. Pools that share a class share the cookie: a client that uses two of them on one host name keeps
//! the session of the one it used last, so such pools are better given classes of their own. Both directions are
//! prepared with the build: a map from values to slots, and a line per slot.

use std::net::SocketAddr;

use tidegate_model::PersistenceName;

use super::{cookie, key::SessionKey};
use crate::{
    choose::Slot,
    hash::{FNV, PlainMap, fnv, mix},
    session::Found,
};

/// A `transparent` class prepared for one build of a pool.
#[derive(Debug)]
pub(super) struct Transparent {
    name: Box<str>,
    always_set: bool,
    slots: PlainMap<u128, u32>,
    lines: Box<[Box<[u8]>]>,
    forget: Box<[u8]>,
}

const VALUE_DIGITS: usize = 32;

/// `X-Mapping-` and a letter per nibble of a 32-bit hash of the class name.
pub(super) fn cookie_name(class: &PersistenceName) -> String {
    let hash = (mix(fnv(FNV, class.as_str().as_bytes())) >> 32) as u32;
    let letters = (0..8).map(|nibble| char::from(b'a' + (hash >> (28 - nibble * 4) & 15) as u8));
    "X-Mapping-".chars().chain(letters).collect()
}

impl Transparent {
    pub(super) fn new(
        class: &PersistenceName,
        directives: &str,
        always_set: bool,
        key: &SessionKey,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Self {
        let name = cookie_name(class);
        let attributes = attributes(directives);
        let namer = key.namer();
        let values: Vec<u128> = addresses.map(|address| namer.name(class, address)).collect();
        let line = |value: &u128| -> Box<[u8]> {
            format!("Set-Cookie: {name}={value:032X}{attributes}\r\n").into_bytes().into()
        };
        Self {
            lines: values.iter().map(line).collect(),
            slots: values.iter().copied().zip(0..).collect(),
            // Attributes of the original, so that the browser finds it; of repeated ones the last counts.
            forget: format!(
                "Set-Cookie: {name}={attributes}; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=0\r\n"
            )
            .into_bytes()
            .into(),
            always_set,
            name: name.into(),
        }
    }

    pub(super) fn find<'a>(&self, cookies: impl IntoIterator<Item = &'a [u8]>) -> Found {
        let mut found = Found::New;
        for value in cookie::values(cookies, self.name.as_bytes()).filter_map(value) {
            match self.slots.get(&value) {
                // Of several cookies of the name, the first that names a node counts.
                Some(slot) => return Found::Node(Slot(*slot)),
                None => found = Found::Lost,
            }
        }
        found
    }

    pub(super) fn response_cookie(&self, found: Found, slot: Slot) -> Option<&[u8]> {
        let needed = match found {
            Found::Off => false,
            Found::Node(known) => known != slot || self.always_set,
            Found::New | Found::Lost => true,
        };
        if needed { self.lines.get(slot.0 as usize).map(|line| &**line) } else { None }
    }

    pub(super) fn forget_cookie(&self) -> &[u8] {
        &self.forget
    }
}

/// `; path=/` and the directives, which cannot end the line whatever they hold.
fn attributes(directives: &str) -> String {
    let directives: String = directives.chars().filter(|c| !c.is_control()).collect();
    let directives = directives.trim_matches([' ', ';']);
    if directives.is_empty() { "; path=/".to_owned() } else { format!("; path=/; {directives}") }
}

/// 32 hex digits.
fn value(text: &[u8]) -> Option<u128> {
    if text.len() != VALUE_DIGITS {
        return None;
    }
    text.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_eight_letters_by_class() {
        let name = |class: &str| cookie_name(&class.into());
        assert_eq!(name("cookie"), name("cookie"));
        assert_ne!(name("cookie"), name("cookies"));
        let letters = name("cookie").strip_prefix("X-Mapping-").unwrap().to_owned();
        assert_eq!(letters.len(), 8);
        assert!(letters.bytes().all(|letter| (b'a'..=b'p').contains(&letter)), "{letters}");
    }

    #[test]
    fn directives_follow_the_path() {
        let table = [
            ("", "; path=/"),
            (" ; ", "; path=/"),
            ("secure", "; path=/; secure"),
            ("; secure; httponly ;", "; path=/; secure; httponly"),
            ("secure\r\nX: y", "; path=/; secureX: y"),
        ];
        for (directives, expected) in table {
            assert_eq!(attributes(directives), expected, "{directives:?}");
        }
    }

    #[test]
    fn values_are_32_hex_digits() {
        assert_eq!(value(b"0000000000000000000000000000001F"), Some(31));
        assert_eq!(value(b"0000000000000000000000000000001f"), Some(31));
        for wrong in ["", "1F", "0000000000000000000000000000001G", "00000000000000000000000000000001F"] {
            assert_eq!(value(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
