//! Statistics by group, object and counter, in the names and spellings of the REST API's `status/…/statistics`: pure
//! functions of an [`Observation`].
//!
//! Every group of the schema is there. A group of something that does not exist here has no objects, and a counter of
//! something that is not counted is 0; `docs/statistics.md` says which ones are counted. Numbers are not cut to 32
//! bits; a counter that is 64 bits wide is also there as `*_hi` and `*_lo`.

mod counters;
mod machine;
mod objects;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::LazyLock};

pub use self::objects::objects;
use crate::observation::Observation;

/// A group of statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its path below `statistics/`, such as `virtual_servers` or `nodes/per_pool_node`.
    pub path: &'static str,
    /// Whether it has an object of counters per configured object; else it is one itself.
    pub per_object: bool,
    /// Its counters in the order of names.
    pub counters: Vec<(&'static str, Kind)>,
}

/// What a counter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number,
    /// A whole number that is also there as two halves of 32 bits.
    Wide,
    /// One of a few words.
    Word,
}

/// The value of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A word.
    Word(&'static str),
}

/// The counters of one object, by name.
pub type Counters = BTreeMap<String, Value>;

/// The schema in short.
const SCHEMA: &str = include_str!("../data/statistics.txt");

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let mut groups: Vec<Group> = Vec::new();
    for line in SCHEMA.lines().filter(|line| !line.starts_with('#')) {
        if let Some(counters) = line.strip_prefix("    ") {
            let counters = counters.split(' ').map(|name| match name.as_bytes().last() {
                Some(b'*') => (name.trim_end_matches('*'), Kind::Wide),
                Some(b'=') => (name.trim_end_matches('='), Kind::Word),
                _ => (name, Kind::Number),
            });
            if let Some(group) = groups.last_mut() {
                group.counters.extend(counters);
            }
        } else {
            let path = line.trim_end_matches('/');
            groups.push(Group { path, per_object: path != line, counters: Vec::new() });
        }
    }
    groups
});

/// Every group, in the order of paths.
pub fn groups() -> &'static [Group] {
    &GROUPS
}

/// The group of this path.
pub fn group(path: &str) -> Option<&'static Group> {
    groups().iter().find(|group| group.path == path)
}

/// The counters of `object`, one of [`objects()`]; of a group without objects, `object` is
/// not looked at, except that it may be the number of a user counter (`extras/user_counters_…`; else the first). `None` if there
/// is no such group or object. Every counter of the group is in it.
pub fn counters(observation: &Observation, path: &str, object: &str) -> Option<Counters> {
    let group = group(path)?;
    let mut values = Values { group, counters: Counters::new() };
    for (name, kind) in &group.counters {
        match kind {
            Kind::Number | Kind::Wide => values.set(name, 0),
            Kind::Word => values.word(name, ""),
        }
    }
    counters::fill(&mut values, observation, path, object)?;
    Some(values.counters)
}

/// The counters of a group while they are filled in.
struct Values {
    group: &'static Group,
    counters: Counters,
}

impl Values {
    /// Sets a number, and its halves if the group has them. A name that the group does not have is left out.
    fn set(&mut self, name: &str, value: u64) {
        let kind = self.group.counters.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        debug_assert!(kind.is_some(), "{} has no counter {name}", self.group.path);
        if kind.is_none() {
            return;
        }
        self.counters.insert(name.to_owned(), Value::Number(value));
        if kind == Some(Kind::Wide) {
            self.counters.insert(format!("{name}_hi"), Value::Number(value >> 32));
            self.counters.insert(format!("{name}_lo"), Value::Number(value & u64::from(u32::MAX)));
        }
    }

    fn all<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, u64)>) {
        for (name, value) in values {
            self.set(name, value);
        }
    }

    fn word(&mut self, name: &str, value: &'static str) {
        debug_assert!(self.group.counters.contains(&(name, Kind::Word)), "{} has no {name}", self.group.path);
        self.counters.insert(name.to_owned(), Value::Word(value));
    }
}
