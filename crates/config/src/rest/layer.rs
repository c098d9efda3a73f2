//! What REST wrote: objects with the keys that were written, and objects that were removed.
//!
//! It lies over the documents like one more of them. Its text form (JSON) is what is kept over a restart; keys
//! that a later program no longer knows are left out when it is read again.

use std::{collections::BTreeMap, sync::Arc};

use base64::Engine as _;
use serde_json::{Map, Value as Json, json};

use crate::{
    coerce::Value,
    diagnostic::{DocumentId, Origin, Position},
    merge::{ContentPlace, Merged, Setting, check_name},
    schema::SCHEMA,
};

/// Most bytes that all REST writes may hold together.
pub const MAX_LAYER_BYTES: usize = 128 * 1024 * 1024;
/// What an object costs beside its values, bytes: names and tables.
const OBJECT_BYTES: usize = 64;

/// Section and key → value.
pub(crate) type Settings = BTreeMap<(String, String), Value>;

/// What REST wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    pub(crate) objects: BTreeMap<&'static str, BTreeMap<String, Arc<Entry>>>,
    bytes: usize,
    count: usize,
}

/// What was done to an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// It is gone, whatever the documents say.
    Removed,
    /// It has these values.
    Written {
        /// What the documents say of it does not count: it was removed and made anew.
        alone: bool,
        settings: Settings,
        /// Of a raw object.
        content: Option<Arc<[u8]>>,
    },
}

impl Entry {
    /// What it costs to keep, bytes.
    pub(crate) fn bytes(&self, name: &str) -> usize {
        let inner = match self {
            Self::Removed => 0,
            Self::Written { settings, content, .. } => {
                let keys: usize = settings
                    .iter()
                    .map(|((section, key), value)| section.len() + key.len() + value_bytes(value))
                    .sum();
                keys + content.as_ref().map_or(0, |content| content.len())
            }
        };
        OBJECT_BYTES + name.len() + inner
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => 8,
        Value::Text(text) => 16 + text.len(),
        Value::List(items) => items.iter().map(|item| 16 + item.len()).sum(),
        Value::Table(rows) => {
            rows.iter().flatten().map(|(column, value)| 16 + column.len() + value_bytes(value)).sum()
        }
    }
}

impl Layer {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// What it costs to keep, bytes, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many objects were written or removed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// What was done to an object.
    pub(crate) fn entry(&self, path: &str, name: &str) -> Option<&Arc<Entry>> {
        self.objects.get(path)?.get(name)
    }

    /// Enters what is done to an object; `None` takes back whatever was.
    pub(crate) fn set(&mut self, path: &'static str, name: &str, entry: Option<Arc<Entry>>) {
        if let Some(entry) = &entry {
            self.bytes += entry.bytes(name);
            self.count += 1;
        }
        let before = match entry {
            Some(entry) => self.objects.entry(path).or_default().insert(name.to_owned(), entry),
            None => self.objects.get_mut(path).and_then(|objects| objects.remove(name)),
        };
        if let Some(before) = before {
            self.bytes = self.bytes.saturating_sub(before.bytes(name));
            self.count -= 1;
        }
        if self.objects.get(path).is_some_and(BTreeMap::is_empty) {
            self.objects.remove(path);
        }
    }

    /// Lays it over the objects of the documents, as the document `id`.
    pub(crate) fn lay_over(&self, merged: &mut Merged, id: DocumentId) {
        let origin = Origin { document: id, at: Position::default() };
        for (path, objects) in &self.objects {
            let below = merged.objects.entry(path).or_default();
            for (name, entry) in objects {
                match &**entry {
                    Entry::Removed => drop(below.remove(name)),
                    Entry::Written { alone, settings, content } => {
                        if *alone {
                            below.remove(name);
                        }
                        let object = below.entry(name.clone()).or_default();
                        object.origin.get_or_insert(origin);
                        for (key, value) in settings {
                            let setting = Setting { value: value.clone(), origin: Some(origin) };
                            object.settings.insert(key.clone(), setting);
                        }
                        if let Some(content) = content {
                            object.content = Some(Arc::clone(content));
                            object.content_place = Some(ContentPlace { origin, file: None, literal: None });
                        }
                    }
                }
            }
        }
    }

    /// The form that is kept: JSON.
    pub fn to_json(&self) -> Json {
        let mut types = Map::new();
        for (path, objects) in &self.objects {
            let objects = objects.iter().map(|(name, entry)| (name.clone(), entry_to_json(entry)));
            types.insert((*path).to_owned(), Json::Object(objects.collect()));
        }
        Json::Object(types)
    }

    /// Reads the form that is kept. Whatever this program does not know is left out.
    pub fn from_json(json: &Json) -> Self {
        let mut layer = Self::default();
        for (path, objects) in json.as_object().into_iter().flatten() {
            let Some(object_type) = SCHEMA.types.get(path) else { continue };
            for (name, entry) in objects.as_object().into_iter().flatten() {
                let named = object_type.singleton && name.is_empty() || check_name(name).is_ok();
                if named && let Some(entry) = entry_from_json(path, entry) {
                    layer.set(&object_type.path, name, Some(Arc::new(entry)));
                }
            }
        }
        layer
    }
}

fn entry_to_json(entry: &Entry) -> Json {
    let Entry::Written { alone, settings, content } = entry else { return json!({ "removed": true }) };
    let mut fields = Map::new();
    if *alone {
        fields.insert("alone".to_owned(), Json::Bool(true));
    }
    if let Some(content) = content {
        if let Ok(text) = std::str::from_utf8(content) {
            fields.insert("text".to_owned(), text.into());
        } else {
            let encoded = base64::engine::general_purpose::STANDARD.encode(content);
            fields.insert("base64".to_owned(), encoded.into());
        }
    }
    if !settings.is_empty() {
        fields.insert("properties".to_owned(), Json::Object(settings_to_json(settings)));
    }
    Json::Object(fields)
}

fn settings_to_json(settings: &Settings) -> Map<String, Json> {
    let mut sections = Map::new();
    for ((section, key), value) in settings {
        let entry = sections.entry(section.clone()).or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(keys) = entry {
            keys.insert(key.clone(), value.to_json());
        }
    }
    sections
}

fn entry_from_json(path: &str, json: &Json) -> Option<Entry> {
    let fields = json.as_object()?;
    if fields.get("removed").and_then(Json::as_bool) == Some(true) {
        return Some(Entry::Removed);
    }
    let content = if let Some(text) = fields.get("text").and_then(Json::as_str) {
        Some(Arc::from(text.as_bytes()))
    } else if let Some(encoded) = fields.get("base64").and_then(Json::as_str) {
        Some(Arc::from(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?))
    } else {
        None
    };
    let mut settings = Settings::new();
    for (section, keys) in fields.get("properties").and_then(Json::as_object).into_iter().flatten() {
        for (key, value) in keys.as_object().into_iter().flatten() {
            if let Some(definition) = SCHEMA.types.get(path).and_then(|of| of.key(section, key)) {
                let value = Value::from_data(value, &definition.kind);
                settings.insert((section.clone(), key.clone()), value);
            }
        }
    }
    let alone = fields.get("alone").and_then(Json::as_bool).unwrap_or_default();
    Some(Entry::Written { alone, settings, content })
}
