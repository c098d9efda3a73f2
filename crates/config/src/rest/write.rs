//! Bodies of PUT to changes of the layer. Strict where documents are lenient: JSON types must be right, and every
//! fault of the body is told in one refusal. Nothing is changed by a body with a fault.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    ExpertKeys, Refusal, Running, Type, Version,
    layer::{Entry, Layer, MAX_LAYER_BYTES, Settings},
    refusal::{Faults, MAX_FAULTS},
    view::digest,
};
use crate::{
    coerce::{Row, Value, allowed},
    diagnostic::quote,
    merge::{MAX_OBJECTS, check_name},
    schema::{Column, Key, KeyKind},
};

/// Deepest nesting of a JSON body.
pub const MAX_JSON_DEPTH: usize = 32;

/// A change of the layer that was found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    path: &'static str,
    name: String,
    /// `None` takes back whatever the layer says of the object.
    entry: Option<Arc<Entry>>,
    /// Whether the object is new.
    pub created: bool,
}

impl Layer {
    /// Makes a change. Refused when there is no room for it.
    ///
    /// # Errors
    /// A refusal that says which bound was reached.
    pub fn apply(&mut self, change: Change) -> Result<(), Refusal> {
        let Change { path, name, entry, .. } = change;
        let more = entry.as_ref().map_or(0, |entry| entry.bytes(&name));
        let less = self.entry(path, &name).map_or(0, |entry| entry.bytes(&name));
        let grows = more > less;
        if grows && self.bytes() - less + more > MAX_LAYER_BYTES {
            let text = format!("what REST wrote may hold at most {MAX_LAYER_BYTES} bytes together");
            return Err(Refusal::new("resource.no_space", text));
        }
        if grows && self.entry(path, &name).is_none() && self.len() >= MAX_OBJECTS {
            let text = format!("REST may write at most {MAX_OBJECTS} objects");
            return Err(Refusal::new("resource.no_space", text));
        }
        self.set(path, &name, entry);
        Ok(())
    }
}

/// Whether no list or object of this JSON text is nested deeper than [`MAX_JSON_DEPTH`]. Safe for any bytes.
pub fn is_shallow(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_JSON_DEPTH {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

impl Running<'_> {
    /// What a PUT of `body` does to an object with properties: changes the keys that are named, makes the object
    /// if it is new.
    ///
    /// # Errors
    /// The error document; nothing is to be changed then.
    pub fn put(
        &self,
        version: Version,
        of: Type,
        name: &str,
        expert: &ExpertKeys,
        body: &[u8],
    ) -> Result<Change, Refusal> {
        self.may_write(of, name)?;
        let properties = properties(body)?;
        let created = !self.has(of, name);
        let mut faults = Faults::default();
        let mut written =
            Writing { running: self, version, of, name, expert, faults: &mut faults }.properties(&properties);
        if created {
            for required in &of.0.required {
                let Some((section, key)) = required.split_once('.') else { continue };
                let named = properties.get(section).and_then(|keys| keys.get(key)).is_some();
                if !named {
                    let takes = of.0.key(section, key).map(|key| allowed(&key.kind)).unwrap_or_default();
                    let text = format!("a new object needs this key, which takes {takes}");
                    faults.add(&[section, key], "property.no_default", &text);
                }
            }
        }
        self.check_nat(of, &written, &mut faults);
        faults.into_refusal()?;

        let below = self.is_below(of, name);
        let alone = match self.layer.entry(of.path(), name).map(|entry| &**entry) {
            Some(Entry::Removed) => below,
            Some(Entry::Written { alone, settings, .. }) => {
                for (key, value) in settings {
                    written.entry(key.clone()).or_insert_with(|| value.clone());
                }
                *alone
            }
            None => false,
        };
        let entry = Entry::Written { alone, settings: written, content: None };
        Ok(Change { path: of.path(), name: name.to_owned(), entry: Some(Arc::new(entry)), created })
    }

    /// What a PUT of `content` does to a raw object.
    ///
    /// # Errors
    /// The error document; nothing is to be changed then.
    pub fn put_content(&self, of: Type, name: &str, content: Arc<[u8]>) -> Result<Change, Refusal> {
        self.may_write(of, name)?;
        let created = !self.has(of, name);
        let alone = created && self.is_below(of, name);
        let entry = Entry::Written { alone, settings: Settings::new(), content: Some(content) };
        Ok(Change { path: of.path(), name: name.to_owned(), entry: Some(Arc::new(entry)), created })
    }

    /// What a DELETE does.
    ///
    /// # Errors
    /// The error document: there is no such object.
    pub fn delete(&self, of: Type, name: &str) -> Result<Change, Refusal> {
        if !self.has(of, name) {
            return Err(not_found(of, name));
        }
        let entry = self.is_below(of, name).then(|| Arc::new(Entry::Removed));
        Ok(Change { path: of.path(), name: name.to_owned(), entry, created: false })
    }

    fn may_write(&self, of: Type, name: &str) -> Result<(), Refusal> {
        if of.is_singleton() {
            return Ok(());
        }
        if of.is_machines() {
            return if self.has(of, name) { Ok(()) } else { Err(not_found(of, name)) };
        }
        check_name(name).map_err(|text| Refusal::new("filename.forbiddenpath", text))
    }

    /// Rows of address translation are the one place where a reference that leads nowhere is refused.
    fn check_nat(&self, of: Type, written: &Settings, faults: &mut Faults) {
        if of.path() != "appliance/nat" {
            return;
        }
        let Some(pools) = Type::of("pools") else { return };
        for ((section, key), value) in written {
            let Value::Table(rows) = value else { continue };
            for (index, row) in rows.iter().enumerate() {
                if let Some(Value::Text(pool)) = row.get("pool")
                    && !self.has(pools, pool)
                {
                    let text = format!("there is no pool {}", quote(pool));
                    let row = text_row_key(row, index);
                    faults.add(&[section, key, &row, "pool"], "filename.forbiddenpath", &text);
                }
            }
        }
    }
}

/// The refusal of whoever asks for an object that is not there.
pub(super) fn not_found(of: Type, name: &str) -> Refusal {
    Refusal::new("resource.not_found", format!("there is no object {} in {}", quote(name), of.path()))
}

/// The `properties` of a body.
fn properties(body: &[u8]) -> Result<serde_json::Map<String, Json>, Refusal> {
    if !is_shallow(body) {
        let text = format!("the body nests lists and objects deeper than {MAX_JSON_DEPTH}");
        return Err(Refusal::new("json.too_deep", text));
    }
    let json = super::json::read(body).map_err(|error| {
        let text = if error.is_data() { "the body cannot be read" } else { "the body is not JSON" };
        Refusal::new("json.syntax_error", format!("{text}: {error}"))
    })?;
    let Json::Object(mut members) = json else {
        let text = "the body is to be an object with the member “properties”";
        return Err(Refusal::new("json.wrong_type", text));
    };
    let properties = members.remove("properties");
    if let Some(stray) = members.keys().next() {
        let text = format!("the body has the member {} beside “properties”", quote(stray));
        return Err(Refusal::new("json.field_unknown", text));
    }
    match properties {
        Some(Json::Object(properties)) => Ok(properties),
        Some(_) => Err(Refusal::new("json.wrong_type", "“properties” is to be an object of sections")),
        None => Err(Refusal::new("resource.validation_error", "the body has no member “properties”")),
    }
}

struct Writing<'a> {
    running: &'a Running<'a>,
    version: Version,
    of: Type,
    name: &'a str,
    expert: &'a ExpertKeys,
    faults: &'a mut Faults,
}

impl Writing<'_> {
    fn properties(&mut self, properties: &serde_json::Map<String, Json>) -> Settings {
        let mut written = Settings::new();
        for (section, keys) in properties {
            let known = self.of.0.sections.get(section);
            let Json::Object(keys) = keys else {
                self.faults.add(&[section, section], "json.wrong_type", "a section is an object of keys");
                continue;
            };
            if known.is_none() && keys.is_empty() {
                let text = format!("there is no section {}", quote(section));
                self.faults.add(&[section, section], "json.unknown_property", &text);
            }
            for (name, json) in keys {
                if self.faults.count() > MAX_FAULTS {
                    return written;
                }
                let key = known
                    .and_then(|known| known.get(name))
                    .filter(|key| self.version.has(key) && (!key.expert || self.expert.names(section, name)));
                let Some(key) = key else {
                    let text = format!("API version {} has no such key", self.version.text());
                    self.faults.add(&[section, name], "json.unknown_property", &text);
                    continue;
                };
                if let Some(value) = self.value(section, name, key, json) {
                    written.insert((section.clone(), name.clone()), value);
                }
            }
        }
        written
    }

    fn value(&mut self, section: &str, name: &str, key: &Key, json: &Json) -> Option<Value> {
        if let (KeyKind::Table(columns), Json::Array(rows)) = (&key.kind, json) {
            return self.table(section, name, columns, rows);
        }
        let value = match scalar(&key.kind, json) {
            Ok(value) => value,
            Err((id, text)) => {
                self.faults.add(&[section, name], id, &text);
                return None;
            }
        };
        if let Value::Text(text) = &value {
            if !self.version.has_value(self.of.path(), section, name, text) {
                let text = format!("API version {} does not know this value", self.version.text());
                self.faults.add(&[section, name], "enum.invalid", &text);
                return None;
            }
            if key.hashed
                && let Some(secret) = self.unchanged_secret(section, name, text)
            {
                return Some(secret);
            }
        }
        Some(value)
    }

    /// The secret that is there, if `text` is what a GET shows of it: who writes back what was read changes nothing.
    fn unchanged_secret(&self, section: &str, name: &str, text: &str) -> Option<Value> {
        let settings = self.running.settings(self.of, self.name);
        match settings.get(&(section, name)) {
            Some(Value::Text(secret)) if !secret.is_empty() && digest(secret) == text => {
                Some(Value::Text(Arc::clone(secret)))
            }
            _ => None,
        }
    }

    fn table(
        &mut self,
        section: &str,
        name: &str,
        columns: &BTreeMap<String, Column>,
        rows: &[Json],
    ) -> Option<Value> {
        let before = self.faults.count();
        let mut good = Vec::with_capacity(rows.len());
        for (index, json) in rows.iter().enumerate() {
            if self.faults.count() > MAX_FAULTS {
                return None;
            }
            let Json::Object(cells) = json else {
                self.faults.add(&[section, name], "json.invalid_table", "each row is an object of columns");
                return None;
            };
            let at = row_key(cells, index);
            let mut row = Row::new();
            for (column, json) in cells {
                let path = [section, name, at.as_str(), column.as_str()];
                let Some(definition) = columns.get(column) else {
                    self.faults.add(&path, "json.unknown_property", "the table has no such column");
                    continue;
                };
                match scalar(&definition.kind, json) {
                    Ok(value) => drop(row.insert(column.clone(), value)),
                    Err((id, text)) => self.faults.add(&path, id, &text),
                }
            }
            for (column, definition) in columns {
                if cells.contains_key(column) {
                    continue;
                }
                if let Some(default) = &definition.default {
                    row.insert(column.clone(), default.clone());
                } else if definition.required {
                    let text =
                        format!("every row needs this column, which takes {}", allowed(&definition.kind));
                    self.faults.add(&[section, name, &at, column], "property.no_default", &text);
                }
            }
            good.push(row);
        }
        (self.faults.count() == before).then_some(Value::Table(good))
    }
}

/// Columns that name a row, first choice first.
const ROW_NAMES: [&str; 8] = ["name", "node", "host", "rule_number", "ip", "domain", "issuer", "mac"];

/// What a fault calls a row.
fn row_key(cells: &serde_json::Map<String, Json>, index: usize) -> String {
    let named = ROW_NAMES.iter().find_map(|column| cells.get(*column)?.as_str());
    named.filter(|name| !name.is_empty()).map_or_else(|| index.to_string(), str::to_owned)
}

fn text_row_key(row: &Row, index: usize) -> String {
    let named = ROW_NAMES.iter().find_map(|column| match row.get(*column) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.to_string()),
        _ => None,
    });
    named.unwrap_or_else(|| index.to_string())
}

type Misfit = (&'static str, String);

/// A value that is no table, as strictly as JSON tells types apart.
pub(super) fn scalar(kind: &KeyKind, json: &Json) -> Result<Value, Misfit> {
    let wrong = || ("json.wrong_type", format!("{} is expected here, not {}", allowed(kind), noun(json)));
    match (kind, json) {
        (KeyKind::Bool, Json::Bool(on)) => Ok(Value::Bool(*on)),
        (KeyKind::Int { min, max }, Json::Number(number)) => {
            if number.is_f64() {
                return Err(wrong());
            }
            let within = number.as_i64().filter(|number| (min..=max).contains(&number));
            within
                .map(Value::Int)
                .ok_or_else(|| ("num.out_of_range", format!("{number} is not {}", allowed(kind))))
        }
        (KeyKind::Float, Json::Number(number)) => number.as_f64().map(Value::Float).ok_or_else(wrong),
        (KeyKind::Text, Json::String(text)) => Ok(Value::Text(text.as_str().into())),
        (KeyKind::Enum(values), Json::String(text)) => {
            if values.contains(text) {
                Ok(Value::Text(text.as_str().into()))
            } else {
                Err(("enum.invalid", format!("{} is not {}", quote(text), allowed(kind))))
            }
        }
        (KeyKind::List, Json::Array(items)) => {
            let texts: Option<Vec<Arc<str>>> =
                items.iter().map(|item| item.as_str().map(Arc::from)).collect();
            texts
                .map(Value::List)
                .ok_or_else(|| ("json.wrong_type", "every item of the list is to be a text".to_owned()))
        }
        (KeyKind::Table(_), _) => {
            Err(("json.invalid_table", format!("a list of rows is expected here, not {}", noun(json))))
        }
        _ => Err(wrong()),
    }
}

fn noun(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
