//! API versions. A version is a view: keys it does not know are neither shown nor taken, and a few defaults and
//! values differ.

use crate::{
    coerce::Value,
    schema::{Key, SCHEMA},
};

/// A version of the API, such as 8.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(usize);

/// Keys whose default was another one in versions before 6.2: type, section, key, old default.
const BEFORE_6_2: [(&str, &str, &str, Old); 4] = [
    ("actions", "basic", "syslog_msg_len_limit", Old::Number(1024)),
    ("global_settings", "java", "enabled", Old::Switch(true)),
    ("security", "ssh_intrusion", "enabled", Old::Switch(false)),
    ("virtual_servers", "syslog", "msg_len_limit", Old::Number(1024)),
];

/// Values that versions before 6.2 do not know: type, section, key, value.
const NOT_BEFORE_6_2: (&str, &str, &str, &str) = ("traffic_ip_groups", "basic", "mode", "gceexternal");

#[derive(Clone, Copy)]
enum Old {
    Number(i64),
    Switch(bool),
}

impl Version {
    /// Every version, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SCHEMA.versions.len()).map(Self)
    }

    /// The version written like this; `None` if there is no such version.
    pub fn parse(text: &str) -> Option<Self> {
        SCHEMA.versions.iter().position(|version| version == text).map(Self)
    }

    /// The newest.
    pub fn newest() -> Self {
        Self(SCHEMA.versions.len().saturating_sub(1))
    }

    /// As it is written, such as `8.3`.
    pub fn text(self) -> &'static str {
        SCHEMA.versions.get(self.0).map_or("", String::as_str)
    }

    pub(crate) fn has_type(self, since: usize) -> bool {
        since <= self.0
    }

    pub(crate) fn has(self, key: &Key) -> bool {
        (key.since..=key.until).contains(&self.0)
    }

    fn is_before_6_2(self) -> bool {
        Self::parse("6.2").is_some_and(|changed| self < changed)
    }

    /// The default that this version shows for a key.
    pub(crate) fn default(self, path: &str, section: &str, name: &str, key: &Key) -> Option<Value> {
        let old = BEFORE_6_2.iter().find(|(p, s, k, _)| (*p, *s, *k) == (path, section, name));
        match old {
            Some((.., Old::Number(number))) if self.is_before_6_2() => Some(Value::Int(*number)),
            Some((.., Old::Switch(on))) if self.is_before_6_2() => Some(Value::Bool(*on)),
            _ => key.default.clone(),
        }
    }

    /// Whether this version knows a value of an enumeration.
    pub(crate) fn has_value(self, path: &str, section: &str, name: &str, value: &str) -> bool {
        !self.is_before_6_2() || NOT_BEFORE_6_2 != (path, section, name, value)
    }
}
