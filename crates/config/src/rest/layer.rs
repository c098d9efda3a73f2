//! What REST wrote: objects with the keys that were written, and objects that were removed.
//!
//! It lies over the documents like one more of them. Its text form (JSON) is what is kept over a restart and what
//! backups hold; what this program does not know or no key may have is left out when it is read again, and told.

use std::{collections::BTreeMap, sync::Arc};

use base64::Engine as _;
use serde_json::{Map, Value as Json, json};

use super::write::scalar;
use crate::{
    coerce::{Row, Value},
    diagnostic::{DocumentId, Origin, Position, quote},
    merge::{ContentPlace, Merged, Setting, check_name},
    schema::{Column, KeyKind, ObjectType, SCHEMA},
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

    /// Reads the form that is kept, like [`Layer::read`], and does not tell what was left out.
    pub fn from_json(json: &Json) -> Self {
        Self::read(json).0
    }

    /// Reads the form that is kept. It may come from another release or another hand: what this program does not
    /// know, and every value that its key may not have, is left out and told.
    pub fn read(json: &Json) -> (Self, LeftOut) {
        let (mut layer, mut left_out) = (Self::default(), LeftOut::default());
        for (path, objects) in json.as_object().into_iter().flatten() {
            let Some(object_type) = SCHEMA.types.get(path) else {
                left_out.add(&quote(path), "there is no such type of object");
                continue;
            };
            for (name, entry) in objects.as_object().into_iter().flatten() {
                let at = format!("{path}/{}", quote(name));
                let named = if object_type.singleton && name.is_empty() { Ok(()) } else { check_name(name) };
                match named.and_then(|()| entry_from_json(object_type, entry, &at, &mut left_out)) {
                    Ok(entry) => layer.set(&object_type.path, name, Some(Arc::new(entry))),
                    Err(text) => left_out.add(&at, &text),
                }
            }
        }
        (layer, left_out)
    }
}

/// Most sentences about what was left out.
const MAX_TOLD: usize = 20;

/// What of a kept form could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    told: Vec<String>,
    found: usize,
}

impl LeftOut {
    fn add(&mut self, at: &str, text: &str) {
        self.found += 1;
        if self.told.len() < MAX_TOLD {
            // Names may come from any hand.
            self.told.push(format!("{at}: {text}; left out").replace(char::is_control, "?"));
        }
    }

    /// One sentence for each, and one for those that are too many to tell. Empty: nothing was left out.
    pub fn sentences(self) -> Vec<String> {
        let Self { mut told, found } = self;
        let more = found - told.len();
        if more > 0 {
            told.push(format!("{more} more values or objects were left out"));
        }
        told
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

fn entry_from_json(of: &ObjectType, json: &Json, at: &str, left_out: &mut LeftOut) -> Result<Entry, String> {
    let fields = json.as_object().ok_or("an object is expected here")?;
    if fields.get("removed").and_then(Json::as_bool) == Some(true) {
        return Ok(Entry::Removed);
    }
    let content = if let Some(text) = fields.get("text").and_then(Json::as_str) {
        Some(Arc::from(text.as_bytes()))
    } else if let Some(encoded) = fields.get("base64").and_then(Json::as_str) {
        let content = base64::engine::general_purpose::STANDARD.decode(encoded);
        Some(Arc::from(content.map_err(|error| format!("its content is no base64 ({error})"))?))
    } else {
        None
    };
    let mut settings = Settings::new();
    for (section, keys) in fields.get("properties").and_then(Json::as_object).into_iter().flatten() {
        for (key, value) in keys.as_object().into_iter().flatten() {
            let at = format!("{at}: {}", quote(&format!("{section}.{key}")));
            match of.key(section, key) {
                Some(definition) => {
                    if let Some(value) = value_from_json(&definition.kind, value, &at, left_out) {
                        settings.insert((section.clone(), key.clone()), value);
                    }
                }
                None => left_out.add(&at, "there is no such key"),
            }
        }
    }
    let alone = fields.get("alone").and_then(Json::as_bool).unwrap_or_default();
    Ok(Entry::Written { alone, settings, content })
}

fn value_from_json(kind: &KeyKind, json: &Json, at: &str, left_out: &mut LeftOut) -> Option<Value> {
    if let (KeyKind::Table(columns), Json::Array(rows)) = (kind, json) {
        let rows = rows.iter().enumerate().filter_map(|(index, row)| {
            row_from_json(columns, row).map_err(|text| left_out.add(&format!("{at}[{index}]"), &text)).ok()
        });
        return Some(Value::Table(rows.collect()));
    }
    scalar(kind, json).map_err(|(_, text)| left_out.add(at, &text)).ok()
}

/// A row with all its cells, or what is wrong with it.
fn row_from_json(columns: &BTreeMap<String, Column>, json: &Json) -> Result<Row, String> {
    let mut row = Row::new();
    for (name, cell) in json.as_object().ok_or("a row is expected here")? {
        let column = columns.get(name).ok_or_else(|| format!("there is no column {}", quote(name)))?;
        let value = scalar(&column.kind, cell).map_err(|(_, text)| format!("{name}: {text}"))?;
        row.insert(name.clone(), value);
    }
    for (name, column) in columns {
        if row.contains_key(name) {
            continue;
        }
        match &column.default {
            Some(default) => drop(row.insert(name.clone(), default.clone())),
            None if column.required => return Err(format!("the row has no {}", quote(name))),
            None => {}
        }
    }
    Ok(row)
}
