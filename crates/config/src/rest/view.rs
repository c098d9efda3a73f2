//! What there is: the documents with the REST layer over them, as REST shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::Engine as _;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};
use tidegate_trafficscript::{Options, Severity, compile};

use super::{
    TRAFFIC_MANAGERS, Type, Version,
    layer::{Entry, Layer, Settings},
};
use crate::{
    Imported, acted_on,
    coerce::Value,
    schema::{Key, SCHEMA},
};

/// Most expert keys that one request may name.
pub const MAX_EXPERT_KEYS: usize = 200;

/// Hidden keys that a client asks for by `?expert_keys=section/key,key`; a bare key stands in `basic`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpertKeys(BTreeSet<(String, String)>);

impl ExpertKeys {
    /// Reads the value of the parameter, decoded. What goes beyond [`MAX_EXPERT_KEYS`] is not asked for.
    pub fn parse(text: &str) -> Self {
        let named = text.split(',').filter(|part| !part.is_empty()).take(MAX_EXPERT_KEYS);
        Self(
            named
                .map(|part| {
                    let (section, key) =
                        part.trim().split_once('/').unwrap_or_else(|| ("basic", part.trim()));
                    (section.to_owned(), key.to_owned())
                })
                .collect(),
        )
    }

    pub(crate) fn names(&self, section: &str, key: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&(section.to_owned(), key.to_owned()))
    }
}

/// The documents with the REST layer over them.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// The documents.
    pub imported: &'a Imported,
    /// What REST wrote over them.
    pub layer: &'a Layer,
    /// Name of this traffic manager.
    pub traffic_manager: &'a str,
}

impl<'a> Running<'a> {
    /// Names of the objects of a type, sorted.
    pub fn names(&self, of: Type) -> Vec<&'a str> {
        let below = self.imported.merged.of(of.path()).map(|(name, _)| name);
        let mut names: BTreeSet<&str> = below.collect();
        for (name, entry) in self.layer.objects.get(of.path()).into_iter().flatten() {
            match **entry {
                Entry::Removed => names.remove(name.as_str()),
                Entry::Written { .. } => names.insert(name),
            };
        }
        if of.path() == TRAFFIC_MANAGERS {
            names.insert(self.traffic_manager);
        }
        names.into_iter().collect()
    }

    /// Whether there is such an object. Singletons always are.
    pub fn has(&self, of: Type, name: &str) -> bool {
        if of.is_singleton() || of.path() == TRAFFIC_MANAGERS && name == self.traffic_manager {
            return true;
        }
        match self.layer.entry(of.path(), name).map(|entry| &**entry) {
            Some(Entry::Removed) => false,
            Some(Entry::Written { .. }) => true,
            None => self.is_below(of, name),
        }
    }

    /// Whether documents or factory have such an object.
    pub(crate) fn is_below(&self, of: Type, name: &str) -> bool {
        self.imported.merged.has(of.path(), name)
    }

    /// Content of a raw object; `None` if there is no such object. Factory objects come without a content.
    pub fn content(&self, of: Type, name: &str) -> Option<Arc<[u8]>> {
        let below = || {
            let object = self.imported.merged.objects.get(of.path())?.get(name)?;
            Some(object.content.clone().unwrap_or_else(|| Arc::from([].as_slice())))
        };
        match self.layer.entry(of.path(), name).map(|entry| &**entry) {
            Some(Entry::Removed) => None,
            Some(Entry::Written { content: Some(content), .. }) => Some(Arc::clone(content)),
            Some(Entry::Written { alone: true, .. }) => Some(Arc::from([].as_slice())),
            Some(Entry::Written { .. }) | None => below(),
        }
    }

    /// Every value that was written, by documents or REST.
    pub(crate) fn settings(&self, of: Type, name: &str) -> BTreeMap<(&'a str, &'a str), &'a Value> {
        let entry = self.layer.entry(of.path(), name).map(|entry| &**entry);
        let mut settings = BTreeMap::new();
        if !matches!(entry, Some(Entry::Removed | Entry::Written { alone: true, .. })) {
            let below = self.imported.merged.objects.get(of.path()).and_then(|objects| objects.get(name));
            for ((section, key), setting) in below.into_iter().flat_map(|object| &object.settings) {
                settings.insert((section.as_str(), key.as_str()), &setting.value);
            }
        }
        if let Some(Entry::Written { settings: written, .. }) = entry {
            for ((section, key), value) in written {
                settings.insert((section.as_str(), key.as_str()), value);
            }
        }
        settings
    }

    /// An object as a GET shows it: `{"properties": {section: {key: value}}}` with every key of the version that
    /// is not hidden. `None` if there is no such object.
    pub fn get(&self, version: Version, of: Type, name: &str, expert: &ExpertKeys) -> Option<Json> {
        if !self.has(of, name) || of.is_raw() {
            return None;
        }
        let written = self.settings(of, name);
        let mut sections = Map::new();
        for (section, keys) in &of.0.sections {
            let mut shown = Map::new();
            for (name, key) in keys {
                if !version.has(key) || key.expert && !expert.names(section, name) {
                    continue;
                }
                let value = match written.get(&(section.as_str(), name.as_str())) {
                    Some(value) => Some(shown_value(key, value)),
                    None => {
                        version.default(of.path(), section, name, key).map(|value| shown_value(key, &value))
                    }
                };
                // A key without a value: hidden with an unknown default, or missing in an object whose
                // documents are faulty. Never `null`: clients stop at it.
                if let Some(value) = value {
                    shown.insert(name.clone(), value);
                }
            }
            // A section of nothing but hidden keys is shown empty.
            if keys.values().any(|key| version.has(key)) {
                sections.insert(section.clone(), Json::Object(shown));
            }
        }
        Some(serde_json::json!({ "properties": sections }))
    }

    /// What of an object is kept and not acted on, as sentences for whoever wrote it.
    pub fn not_acted_on(&self, of: Type, name: &str) -> Vec<String> {
        if !acted_on::acted_type(of.path()) {
            return vec![format!("Tidegate does not act on {} yet", of.path())];
        }
        let settings = self.settings(of, name);
        let told = settings.into_iter().filter_map(|((section, key), value)| {
            let definition = of.0.key(section, key)?;
            let message = acted_on::not_acted_on(of.0, section, key, definition, value)?;
            Some(format!("{section}.{key}: {message}"))
        });
        told.collect()
    }

    /// Why a rule does not run, one sentence for each error; nothing for what is no rule.
    pub fn rule_errors(&self, of: Type, name: &str) -> Vec<String> {
        if of.path() != "rules" {
            return Vec::new();
        }
        let Some(text) = self.content(of, name) else { return Vec::new() };
        // Whether names may be computed is a setting; the log tells of it.
        let options = Options { variable_pool_use: true, ..Options::default() };
        let compiled = compile(name, &text, &options, &|import| self.content(of, import));
        let errors = compiled.notes.iter().filter(|note| note.severity == Severity::Error);
        let told = errors.map(|note| format!("line {} column {}: {}", note.line, note.column, note.message));
        told.collect()
    }

    /// Everything there is as a layer that stands on its own: what a backup holds.
    pub fn everything(&self) -> Layer {
        let mut whole = Layer::default();
        for object_type in SCHEMA.types.values() {
            let of = Type(object_type);
            let singleton = of.is_singleton().then_some("");
            let names = if singleton.is_some() { Vec::new() } else { self.names(of) };
            for name in names.into_iter().chain(singleton) {
                let settings: Settings = self
                    .settings(of, name)
                    .into_iter()
                    .map(|((section, key), value)| ((section.to_owned(), key.to_owned()), value.clone()))
                    .collect();
                if of.is_singleton() && settings.is_empty() {
                    continue;
                }
                let content = if of.is_raw() { self.content(of, name) } else { None };
                let entry = Entry::Written { alone: true, settings, content };
                whole.set(&object_type.path, name, Some(Arc::new(entry)));
            }
        }
        whole
    }

    /// The layer that makes these documents say what `whole` (a backup) says: its objects stand alone, whatever
    /// else the documents have is removed, and what is the same needs no entry.
    pub fn restore(&self, whole: &Layer) -> Layer {
        let bare = Layer::default();
        let below = Running { layer: &bare, ..*self };
        let documents = below.everything();
        let mut layer = Layer::default();
        for (path, objects) in &whole.objects {
            for (name, entry) in objects {
                if documents.entry(path, name) != Some(entry) {
                    layer.set(path, name, Some(Arc::clone(entry)));
                }
            }
        }
        for (path, objects) in &documents.objects {
            let of = SCHEMA.types.get(*path).map(Type);
            for name in objects.keys() {
                if whole.entry(path, name).is_some() || of.is_some_and(Type::is_machines) {
                    continue;
                }
                let entry = if of.is_some_and(Type::is_singleton) {
                    Entry::Written { alone: true, settings: Settings::new(), content: None }
                } else {
                    Entry::Removed
                };
                layer.set(path, name, Some(Arc::new(entry)));
            }
        }
        layer
    }
}

/// What REST shows for a value: secrets as digests, everything else as it is.
fn shown_value(key: &Key, value: &Value) -> Json {
    match value {
        Value::Text(text) if key.hashed && !text.is_empty() => Json::String(digest(text)),
        _ => value.to_json(),
    }
}

/// base64(SHA-256(text)).
pub(crate) fn digest(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()))
}
