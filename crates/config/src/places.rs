//! Where objects and their keys stand in the documents, kept for faults that show only when the configuration is put
//! to use: a key that does not belong to its certificate, arguments a plugin does not take.

use std::collections::BTreeMap;

use crate::{
    diagnostic::{Diagnostic, Origin, Severity},
    merge::{Merged, object_path},
    schema::SCHEMA,
};

/// Types of objects that may turn out to be faulty later.
const TYPES: [&str; 5] = ["pools", "ssl/cas", "ssl/client_keys", "ssl/server_keys", "virtual_servers"];

/// Places of objects and keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Names of the documents, in their order.
    documents: Vec<String>,
    /// By path, such as `ssl/server_keys/site`.
    objects: BTreeMap<String, Place>,
}

#[derive(Clone, Debug)]
struct Place {
    object: Origin,
    /// Section and key, such as `basic.public`.
    keys: BTreeMap<String, Origin>,
}

impl Places {
    pub(crate) fn of(merged: &Merged, documents: &[&str]) -> Self {
        let mut objects = BTreeMap::new();
        for path in TYPES {
            for (name, object) in merged.of(path) {
                let Some(origin) = object.origin else { continue };
                let keys = object.settings.iter().filter_map(|((section, key), setting)| {
                    Some((format!("{section}.{key}"), setting.origin?))
                });
                objects.insert(format!("{path}/{name}"), Place { object: origin, keys: keys.collect() });
            }
        }
        Self { documents: documents.iter().map(|name| (*name).to_owned()).collect(), objects }
    }

    /// The fault with its place; without one where no document names the object.
    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        object: &str,
        key: Option<&str>,
        message: String,
        hint: Option<String>,
    ) -> Diagnostic {
        let place = self.objects.get(object);
        let origin = place.map(|place| {
            let of_key = key.and_then(|key| place.keys.get(key));
            of_key.copied().unwrap_or(place.object)
        });
        let mut path = match object.rsplit_once('/') {
            Some((collection, name)) => SCHEMA
                .types
                .get(collection)
                .map_or_else(|| object.to_owned(), |object_type| object_path(object_type, name)),
            None => object.to_owned(),
        };
        if let Some(key) = key {
            path.push_str(if key == "content" { "." } else { ".properties." });
            path.push_str(key);
        }
        let known = |number: u32| (number > 0).then_some(number as usize);
        Diagnostic {
            severity,
            document: origin
                .and_then(|origin| self.documents.get(origin.document.0).cloned())
                .unwrap_or_default(),
            line: origin.and_then(|origin| known(origin.at.line)),
            column: origin.and_then(|origin| known(origin.at.column)),
            path,
            message,
            hint,
            excerpt: None,
        }
    }

    /// What diagnostics are sorted by: documents and lines, then what has no document.
    pub(crate) fn order(&self, fault: &Diagnostic) -> (usize, Option<usize>, Option<usize>) {
        let document = self.documents.iter().position(|name| *name == fault.document);
        (document.unwrap_or(usize::MAX), fault.line, fault.column)
    }
}
