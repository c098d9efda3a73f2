//! Documents laid over each other: one set of objects, every value with the place it came from.
//!
//! Documents arrive in order (base documents, then watched ones, each in lexical order). The unit of merging is
//! the key: a later document replaces a key that an earlier one set, and leaves the others. Lists and tables are
//! replaced whole. Faults of form stop the import, values that do not fit leave the key as it was.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    coerce::{self, Value},
    diagnostic::{DocumentId, Origin, Position, Report, quote},
    document::{self, Reading},
    nearest,
    schema::{Key, KeyKind, ObjectType, SCHEMA, Schema, builtins},
    tree::{Entry, Kind, Node, Scalar},
};

/// Longest name of an object, bytes: the longest name a file can have.
pub const MAX_NAME_BYTES: usize = 255;

/// Most objects of all documents together.
pub const MAX_OBJECTS: usize = 20_000;

/// Every object of the documents and of the factory, by type and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    pub(crate) objects: BTreeMap<&'static str, BTreeMap<String, Object>>,
    /// Entries of the documents that named one.
    named: usize,
}

/// An object with what was written about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    /// Where it is named first; `None` for a factory object that no document names.
    pub(crate) origin: Option<Origin>,
    /// Section and key → value. Keys that are not written are absent.
    pub(crate) settings: BTreeMap<(String, String), Setting>,
    /// Content of a raw object.
    pub(crate) content: Option<Arc<[u8]>>,
    /// Where that stands; `None` for a factory object.
    pub(crate) content_place: Option<ContentPlace>,
    /// Keys (section and key; for content an empty section) given something that cannot be used, which has been
    /// reported, with its place.
    pub(crate) unusable: BTreeMap<(String, String), Origin>,
}

/// Where the content of a raw object stands.
#[derive(Clone, Debug)]
pub(crate) struct ContentPlace {
    pub(crate) origin: Origin,
    /// The file it was read from, for content given by reference.
    pub(crate) file: Option<Arc<str>>,
    /// Where its first character stands, if it is written line by line behind `|`.
    pub(crate) literal: Option<Position>,
}

/// A value with its place; `None` for a factory value.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Option<Origin>,
}

impl Merged {
    /// The factory objects, which lie under every document.
    pub(crate) fn factory() -> Self {
        let mut merged = Self::default();
        for (path, object_type) in &SCHEMA.types {
            for (name, builtin) in builtins(path) {
                let mut object = Object::default();
                for (section, keys) in &builtin.values {
                    for (key, data) in keys {
                        if let Some(definition) = object_type.key(section, key) {
                            let value = Value::from_data(data, &definition.kind);
                            let setting = Setting { value, origin: None };
                            object.settings.insert((section.clone(), key.clone()), setting);
                        }
                    }
                }
                merged.objects.entry(path).or_default().insert(name.to_owned(), object);
            }
        }
        merged
    }

    /// Objects of a type.
    pub(crate) fn of(&self, path: &str) -> impl Iterator<Item = (&str, &Object)> {
        self.objects.get(path).into_iter().flatten().map(|(name, object)| (name.as_str(), object))
    }

    /// Whether there is such an object.
    pub(crate) fn has(&self, path: &str, name: &str) -> bool {
        self.objects.get(path).is_some_and(|objects| objects.contains_key(name))
    }

    /// Whether a document names such an object.
    pub(crate) fn written(&self, path: &str, name: &str) -> bool {
        self.objects.get(path).and_then(|all| all.get(name)).is_some_and(|object| object.origin.is_some())
    }

    /// Lays a document over what is there. Its references have been resolved.
    pub(crate) fn lay(&mut self, root: &Node, document: DocumentId, report: &mut Report<'_>) {
        Laying { merged: self, schema: &SCHEMA, document, seen: HashMap::new(), report }.root(root);
    }
}

/// Path of an object in the documents: `virtual_servers.site`.
pub(crate) fn object_path(object_type: &ObjectType, name: &str) -> String {
    let collection = object_type.document_path();
    if object_type.singleton { collection } else { format!("{collection}.{name}") }
}

struct Laying<'a, 'r> {
    merged: &'a mut Merged,
    schema: &'static Schema,
    document: DocumentId,
    /// Objects of this document, by type and name, and where each begins.
    seen: HashMap<(&'static str, String), Position>,
    report: &'a mut Report<'r>,
}

impl Laying<'_, '_> {
    fn origin(&self, at: Position) -> Origin {
        Origin { document: self.document, at }
    }

    fn stop(&mut self, at: Position, path: &str, message: String, hint: Option<String>) {
        let origin = self.origin(at);
        self.report.stop(origin, path, message, hint);
    }

    fn root(&mut self, root: &Node) {
        let entries = match &root.kind {
            Kind::Map(entries) => entries,
            Kind::Null | Kind::Unresolved => return,
            Kind::List(_) | Kind::Scalar(_) => {
                let message = format!("a document is a mapping, not {}", root.noun());
                let hint = "begin with a collection such as virtual_servers:".to_owned();
                return self.stop(root.at, "", message, Some(hint));
            }
        };
        for entry in entries {
            if entry.key == "version" {
                self.version(entry);
            } else {
                self.first_level(entry);
            }
        }
    }

    fn version(&mut self, entry: &Entry) {
        let known = |word: &str| {
            let number: Option<f64> = word.trim().parse().ok();
            self.schema.versions.iter().any(|version| {
                version == word.trim() || (number.is_some() && version.parse::<f64>().ok() == number)
            })
        };
        let newest = self.schema.versions.last().map_or("", String::as_str);
        match &entry.value.kind {
            Kind::Null => {}
            Kind::Scalar(scalar) if known(&scalar.text) => {}
            Kind::Scalar(scalar) => {
                let message = format!(
                    "{} is not a version Tidegate knows ({}); the document is read as {newest}",
                    quote(&scalar.text),
                    self.schema.versions.join(", "),
                );
                let origin = self.origin(entry.value.at);
                self.report.warn(origin, "version", message, None);
            }
            _ => {
                let message = format!("the version is a number such as {newest}, not {}", entry.value.noun());
                self.stop(entry.value.at, "version", message, None);
            }
        }
    }

    fn first_level(&mut self, entry: &Entry) {
        let single = |object_type: &&ObjectType| object_type.document_keys.as_slice() == [entry.key.as_str()];
        if let Some(object_type) = self.schema.types.values().find(single) {
            return self.collection(object_type, &entry.value);
        }
        let below: Vec<&'static ObjectType> = self
            .schema
            .types
            .values()
            .filter(|object_type| {
                object_type.document_keys.len() > 1 && object_type.document_keys[0] == entry.key
            })
            .collect();
        if below.is_empty() && self.report.is_full() {
            return self.stop(entry.at, "", String::new(), None);
        }
        if below.is_empty() {
            let known: BTreeSet<&str> =
                self.schema.types.values().map(|object_type| object_type.document_keys[0].as_str()).collect();
            let hint = match entry.key.as_str() {
                "apiVersion" | "kind" | "metadata" | "data" | "spec" => Some(
                    "this looks like a Kubernetes manifest; the documents are the values below “data” of its \
                     ConfigMaps"
                        .to_owned(),
                ),
                word => collection_below(word, |a, b| a == b)
                    .or_else(|| nearest::hint(word, known.into_iter().chain(["version"])))
                    .or_else(|| collection_below(word, |a, b| nearest::nearest(a, [b]).is_some())),
            };
            let message = format!("there is no collection {}", quote(&entry.key));
            return self.stop(entry.at, &entry.key, message, hint);
        }
        let Some(inner) = self.mapping(&entry.value, &entry.key, "collections") else { return };
        for inner in inner.iter() {
            let found = below.iter().find(|object_type| object_type.document_keys[1] == inner.key);
            if let Some(object_type) = found {
                self.collection(object_type, &inner.value);
            } else {
                let names = below.iter().map(|object_type| object_type.document_keys[1].as_str());
                let hint = nearest::hint(&inner.key, names.clone())
                    .or_else(|| Some(format!("it holds {}", names.collect::<Vec<_>>().join(", "))));
                let message =
                    format!("there is no collection {} in {}", quote(&inner.key), quote(&entry.key));
                self.stop(inner.at, &format!("{}.{}", entry.key, inner.key), message, hint);
            }
        }
    }

    fn collection(&mut self, object_type: &'static ObjectType, node: &Node) {
        let path = object_type.document_path();
        if object_type.singleton {
            let Some(entries) = self.mapping(node, &path, "properties") else { return };
            let object =
                self.merged.objects.entry(&object_type.path).or_default().entry(String::new()).or_default();
            object.origin.get_or_insert(Origin { document: self.document, at: node.at });
            for entry in entries.iter() {
                if entry.key == "properties" {
                    self.properties(object_type, "", &entry.value);
                } else {
                    self.unknown_member(entry, &path, &["properties"]);
                }
            }
            return;
        }
        match &self.structure(node, &path).kind {
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.object(object_type, item, index);
                }
            }
            Kind::Null | Kind::Unresolved => {}
            _ => {
                let hint = "write each object as an entry that begins with “- name:”".to_owned();
                let message = format!("a list of objects is expected here, not {}", node.noun());
                self.stop(node.at, &path, message, Some(hint));
            }
        }
    }

    fn object(&mut self, object_type: &'static ObjectType, node: &Node, index: usize) {
        let path = object_type.document_path();
        let Some(entries) = self.mapping(node, &format!("{path}[{index}]"), "name") else { return };
        let name = entries.iter().find(|entry| entry.key == "name").map(|entry| &entry.value.kind);
        let Some(Kind::Scalar(name)) = name else {
            let hint = "begin the entry with “name:”".to_owned();
            return self.stop(
                node.at,
                &format!("{path}[{index}]"),
                "the object has no name".to_owned(),
                Some(hint),
            );
        };
        let name = name.text.as_str();
        let path = format!("{path}.{name}");
        let origin = self.origin(node.at);
        if let Err(message) = check_name(name) {
            return self.report.error(origin, &path, format!("{message}; the object is left out"), None);
        }
        if let Some(first) = self.seen.insert((&object_type.path, name.to_owned()), node.at) {
            let message = format!(
                "the object stands twice in this document, first in line {}; where both set a key, the later one counts",
                first.line
            );
            let hint = "join the two entries, or give one of them another name".to_owned();
            self.report.error(origin, &path, message, Some(hint));
        }
        self.merged.named += 1;
        if self.merged.named > MAX_OBJECTS {
            return self.stop(node.at, &path, format!("there are more than {MAX_OBJECTS} objects"), None);
        }
        let member = if object_type.raw { "content" } else { "properties" };
        let object =
            self.merged.objects.entry(&object_type.path).or_default().entry(name.to_owned()).or_default();
        object.origin.get_or_insert(origin);
        for entry in entries.iter() {
            match entry.key.as_str() {
                "name" => {}
                "properties" if !object_type.raw => self.properties(object_type, name, &entry.value),
                "content" if object_type.raw => self.content(object_type, name, &entry.value),
                _ => self.unknown_member(entry, &path, &["name", member]),
            }
        }
    }

    fn unknown_member(&mut self, entry: &Entry, path: &str, known: &[&str]) {
        if self.report.is_full() {
            return self.stop(entry.at, path, String::new(), None);
        }
        let hint = nearest::hint(&entry.key, known.iter().copied())
            .or_else(|| Some(format!("an object of this type has {}", known.join(" and "))));
        let message = format!("there is no key {}", quote(&entry.key));
        self.stop(entry.at, &format!("{path}.{}", entry.key), message, hint);
    }

    fn content(&mut self, object_type: &'static ObjectType, name: &str, node: &Node) {
        let content: Arc<[u8]> = match &node.kind {
            Kind::Scalar(scalar) => scalar.binary.as_deref().unwrap_or(scalar.text.as_bytes()).into(),
            Kind::Null => Arc::from([].as_slice()),
            Kind::Unresolved => return self.unusable(object_type, name, ("", "content"), node.at),
            _ => {
                let path = format!("{}.content", object_path(object_type, name));
                let hint = "write the text behind “content: |”, or name a file by valueFrom".to_owned();
                return self.stop(
                    node.at,
                    &path,
                    format!("text is expected here, not {}", node.noun()),
                    Some(hint),
                );
            }
        };
        let origin = self.origin(node.at);
        if let Some(object) =
            self.merged.objects.get_mut(object_type.path.as_str()).and_then(|all| all.get_mut(name))
        {
            object.content = Some(content);
            let (file, literal) = match &node.kind {
                Kind::Scalar(scalar) => (scalar.file.clone(), scalar.literal),
                _ => (None, None),
            };
            object.content_place = Some(ContentPlace { origin, file, literal });
        }
    }

    fn properties(&mut self, object_type: &'static ObjectType, name: &str, node: &Node) {
        let path = format!("{}.properties", object_path(object_type, name));
        let Some(sections) = self.mapping(node, &path, "sections") else { return };
        for section in sections.iter() {
            let path = format!("{path}.{}", section.key);
            let Some(keys) = object_type.sections.get(&section.key) else {
                self.unknown_section(object_type, section, &path);
                continue;
            };
            let Some(entries) = self.mapping(&section.value, &path, "keys") else { continue };
            for entry in entries.iter() {
                let path = format!("{path}.{}", entry.key);
                match keys.get(&entry.key) {
                    Some(key) => self.setting(object_type, name, &section.key, entry, key, &path),
                    None => self.unknown_key(object_type, &section.key, entry, &path),
                }
            }
        }
    }

    fn unknown_section(&mut self, object_type: &ObjectType, section: &Entry, path: &str) {
        if self.report.is_full() {
            return self.stop(section.at, path, String::new(), None);
        }
        let homes = homes(object_type, &section.key);
        let dotted =
            section.key.split_once('.').filter(|(section, key)| object_type.key(section, key).is_some());
        let hint = match (homes.first(), dotted) {
            (Some(home), _) => Some(format!("the key “{}” stands in the section “{home}”", section.key)),
            (None, Some((section, key))) => Some(format!("write {section}: and below it {key}:")),
            (None, None) => nearest::hint(&section.key, object_type.sections.keys().map(String::as_str)),
        };
        let message =
            format!("there is no section {} in {}", quote(&section.key), object_type.document_path());
        self.stop(section.at, path, message, hint);
    }

    fn unknown_key(&mut self, object_type: &ObjectType, section: &str, entry: &Entry, path: &str) {
        if self.report.is_full() {
            return self.stop(entry.at, path, String::new(), None);
        }
        let siblings = object_type.sections.get(section).into_iter().flatten().map(|(name, _)| name.as_str());
        let hint = match homes(object_type, &entry.key).first() {
            Some(home) => Some(format!("the key “{}” stands in the section “{home}”", entry.key)),
            None => nearest::hint(&entry.key, siblings),
        };
        let message = format!(
            "there is no key {} in the section “{section}” of {}",
            quote(&entry.key),
            object_type.document_path()
        );
        self.stop(entry.at, path, message, hint);
    }

    fn setting(
        &mut self,
        object_type: &'static ObjectType,
        name: &str,
        section: &str,
        entry: &Entry,
        key: &Key,
        path: &str,
    ) {
        let mut misfits = Vec::new();
        let node = match key.kind {
            KeyKind::List | KeyKind::Table(_) => self.structure(&entry.value, path),
            _ => Cow::Borrowed(&entry.value),
        };
        let value = coerce::coerce(&node, key, &mut misfits);
        let origin = self.origin(entry.value.at);
        if value.is_none() && (!misfits.is_empty() || matches!(node.kind, Kind::Unresolved)) {
            self.unusable(object_type, name, (section, &entry.key), entry.value.at);
        }
        for misfit in misfits {
            let origin = self.origin(misfit.at);
            let path = format!("{path}{}", misfit.below);
            if misfit.form {
                self.report.stop(origin, &path, misfit.message, misfit.hint);
            } else {
                self.report.error(origin, &path, misfit.message, misfit.hint);
            }
        }
        if let Some(value) = value
            && let Some(object) =
                self.merged.objects.get_mut(object_type.path.as_str()).and_then(|all| all.get_mut(name))
        {
            let setting = Setting { value, origin: Some(origin) };
            object.settings.insert((section.to_owned(), entry.key.clone()), setting);
        }
    }

    /// Notes that what a key was given cannot be used and has been reported.
    fn unusable(
        &mut self,
        object_type: &'static ObjectType,
        name: &str,
        (section, key): (&str, &str),
        at: Position,
    ) {
        let origin = self.origin(at);
        let objects = self.merged.objects.get_mut(object_type.path.as_str());
        if let Some(object) = objects.and_then(|all| all.get_mut(name)) {
            object.unusable.insert((section.to_owned(), key.to_owned()), origin);
        }
    }

    /// The entries of a mapping; nothing at all counts as an empty one.
    fn mapping<'n>(&mut self, node: &'n Node, path: &str, of: &str) -> Option<Cow<'n, [Entry]>> {
        let noun = node.noun();
        match self.structure(node, path) {
            Cow::Borrowed(Node { kind: Kind::Map(entries), .. }) => Some(Cow::Borrowed(entries)),
            Cow::Owned(Node { kind: Kind::Map(entries), .. }) => Some(Cow::Owned(entries)),
            node if matches!(node.kind, Kind::Null | Kind::Unresolved) => None,
            _ => {
                self.stop(node.at, path, format!("a mapping of {of} is expected here, not {noun}"), None);
                None
            }
        }
    }

    /// A node where a list or mapping is expected. Text that came from a file is read as a document of its own and
    /// keeps the place of the reference, which is where people have to look.
    fn structure<'n>(&mut self, node: &'n Node, path: &str) -> Cow<'n, Node> {
        let Kind::Scalar(Scalar { text, binary: None, file: Some(file), .. }) = &node.kind else {
            return Cow::Borrowed(node);
        };
        let Reading { root, faults } = document::read(text.as_bytes());
        for fault in faults {
            let (line, column) = (fault.at.line, fault.at.column);
            let message = format!("{} line {line} column {column}: {}", quote(file), fault.message);
            self.stop(node.at, path, message, fault.hint);
        }
        let kind = root.map_or(Kind::Unresolved, |mut root| {
            root.stand_at(node.at, file);
            root.kind
        });
        Cow::Owned(Node { kind, at: node.at })
    }
}

/// A hint for a collection that stands below another key and was written as `ssl.server_keys`, `ssl/server_keys` or
/// `server_keys`. `same` says whether two names are taken to be one.
fn collection_below(word: &str, same: impl Fn(&str, &str) -> bool) -> Option<String> {
    let (first, last) = match word.split_once(['.', '/']) {
        Some((first, last)) => (Some(first), last),
        None => (None, word),
    };
    SCHEMA.types.values().find_map(|object_type| {
        let [above, below] = object_type.document_keys.as_slice() else { return None };
        let meant = same(last, below) && first.is_none_or(|first| same(first, above));
        meant.then(|| {
            if object_type.path == word {
                return format!("it is written as “{above}:” with “{below}:” below it");
            }
            format!(
                "did you mean “{}”? It is written as “{above}:” with “{below}:” below it",
                object_type.path
            )
        })
    })
}

/// Sections of a type that have a key of this name.
fn homes<'t>(object_type: &'t ObjectType, key: &str) -> Vec<&'t str> {
    let sections = object_type.sections.iter();
    sections.filter(|(_, keys)| keys.contains_key(key)).map(|(section, _)| section.as_str()).collect()
}

/// Objects become files (plugins, scripts, logs), so their names must be able to name one.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Err(format!("{} is not a name", quote(name)));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("the name has {} bytes; at most {MAX_NAME_BYTES} are allowed", name.len()));
    }
    match name.chars().find(|c| *c == '/' || c.is_control()) {
        Some(c) => {
            Err(format!("the name holds {}, which no name may hold", quote(&c.escape_default().to_string())))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
