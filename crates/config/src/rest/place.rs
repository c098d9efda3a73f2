//! Paths below `config/active`: which collection, object or directory they name.

use super::{Type, Version};
use crate::{nearest, schema::SCHEMA};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'p> {
    /// A directory; its children are [`children`].
    Directory,
    /// The objects of a type.
    Collection(Type),
    /// One object, which may or may not be there.
    Object(Type, &'p str),
    /// The one object of a type without names.
    Singleton(Type),
}

/// What the segments (decoded) below `config/active` name; `None` if this version has nothing there.
pub fn place(version: Version, segments: &[String]) -> Option<Place<'_>> {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    for length in [1, 2] {
        let Some(head) = words.get(..length) else { break };
        let found = SCHEMA.types.get(&head.join("/")).filter(|found| version.has_type(found.since));
        let Some(found) = found.map(Type) else { continue };
        return match (words.get(length..).unwrap_or_default(), found.is_singleton()) {
            ([], true) => Some(Place::Singleton(found)),
            ([], false) => Some(Place::Collection(found)),
            ([name], false) => Some(Place::Object(found, name)),
            _ => None,
        };
    }
    let is_directory = words.len() < 2 && !children(version, segments).is_empty();
    is_directory.then_some(Place::Directory)
}

/// Children of a directory below `config/active`, each with whether it has children itself. Sorted.
pub fn children(version: Version, segments: &[String]) -> Vec<(String, bool)> {
    let prefix = segments.join("/");
    let mut found: Vec<(String, bool)> = Vec::new();
    for (path, object_type) in &SCHEMA.types {
        if !version.has_type(object_type.since) {
            continue;
        }
        let rest = match (prefix.is_empty(), path.strip_prefix(prefix.as_str())) {
            (true, _) => path.as_str(),
            (false, Some(rest)) => match rest.strip_prefix('/') {
                Some(rest) => rest,
                None => continue,
            },
            (false, None) => continue,
        };
        let child = match rest.split_once('/') {
            Some((directory, _)) => (directory.to_owned(), true),
            None => (rest.to_owned(), !object_type.singleton),
        };
        if !found.contains(&child) {
            found.push(child);
        }
    }
    found.sort();
    found
}

/// The collection or directory that was probably meant by these segments, as words to add to an error.
pub fn hint(segments: &[String]) -> Option<String> {
    let known = SCHEMA.types.keys().map(String::as_str);
    let two = segments.get(..2).map(|two| two.join("/"));
    let tails =
        known.clone().filter(|path| segments.first().is_some_and(|word| path.ends_with(&format!("/{word}"))));
    let tail = tails.into_iter().next().map(|path| format!("did you mean “{path}”?"));
    tail.or_else(|| two.as_deref().and_then(|two| nearest::hint(two, known.clone())))
        .or_else(|| segments.first().and_then(|word| nearest::hint(word, known)))
}
