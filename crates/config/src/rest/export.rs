//! Everything there is as one document: what `tidegate export` writes.
//!
//! In: documents with the REST layer over them. Out: a document (as JSON; [`yaml`] writes it for people) with every value
//! that was written and nothing else, so that importing it gives the same configuration: what was silent stays silent.
//! Factory objects that nobody changed are left out.
//!
//! Secrets (private keys, passwords) stand in it as references to files, `valueFrom: {fileRef: …}`, unless they are asked
//! for in clear.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use base64::Engine as _;
use serde_json::{Map, Value as Json, json};

use super::{
    Type, Version,
    layer::Settings,
    view::{Running, digest},
};
use crate::{
    document::MAX_DOCUMENT_BYTES,
    merge::Merged,
    schema::{Key, KeyKind, ObjectType, SCHEMA},
};

/// Directory of the files that secrets are in, below the base directory.
pub const SECRETS: &str = "secrets";
/// Longest name of such a file, bytes.
const MAX_FILE_NAME: usize = 200;
/// Member of the mapping that stands for bytes that are no text; [`yaml`] writes it as `!!binary`.
const BINARY: &str = "!!binary";

/// How secrets are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// As references to files, whose content is not told.
    #[default]
    References,
    /// As references to files, whose content is told beside the document.
    Files,
    /// In clear.
    Clear,
}

impl Secrets {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::References => "references",
            Self::Files => "files",
            Self::Clear => "clear",
        }
    }

    /// The one with this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::References, Self::Files, Self::Clear].into_iter().find(|secrets| secrets.word() == word)
    }
}

/// A file that the document refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFile {
    /// What it holds, such as `ssl/server_keys/site basic.private`.
    pub key: String,
    /// Its content, with [`Secrets::Files`].
    pub content: Option<String>,
}

/// A configuration as one document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Export {
    /// The document: `version` and the collections.
    pub document: Json,
    /// Files that the document refers to, by path below the base directory.
    pub files: BTreeMap<String, SecretFile>,
    /// What a document cannot say, as sentences.
    pub notes: Vec<String>,
}

impl Running<'_> {
    /// Everything as a document.
    pub fn export(&self, secrets: Secrets) -> Export {
        let factory = Merged::factory();
        let mut export = Export::default();
        let mut root = json!({ "version": version() });
        for object_type in SCHEMA.types.values() {
            let of = Type(object_type);
            let objects = self.objects(of, &factory, secrets, &mut export);
            let Some(objects) = objects else { continue };
            // Indexing makes what is not there, and no collection lies below another.
            let place = object_type.document_keys.iter().fold(&mut root, |level, key| &mut level[key]);
            *place = objects;
        }
        export.document = root;
        export
    }

    /// The objects of a type; `None` if there is nothing to write.
    fn objects(&self, of: Type, factory: &Merged, secrets: Secrets, export: &mut Export) -> Option<Json> {
        let path = of.path();
        if of.is_singleton() {
            let properties = properties(of.0, "", &self.owned(of, ""), secrets, export);
            return (!properties.is_empty()).then(|| json!({ "properties": properties }));
        }
        let names: BTreeSet<&str> = self.names(of).into_iter().collect();
        for (name, _) in factory.of(path) {
            if !names.contains(name) {
                export.notes.push(format!(
                    "{path}/{name}: this factory object was removed, which no document can say; it will be there again"
                ));
            }
        }
        let mut objects = Vec::new();
        for name in names {
            let mut settings = self.owned(of, name);
            let content = if of.is_raw() { self.content(of, name) } else { None };
            if factory.has(path, name) {
                let below = factory.objects.get(path).and_then(|objects| objects.get(name));
                let below: BTreeMap<_, _> = below.into_iter().flat_map(|object| &object.settings).collect();
                // Removed and made anew with less than the factory gives it: the defaults are written out.
                for (section, key) in below.keys() {
                    let known = of.0.key(section, key).and_then(|key| key.default.clone());
                    if let Some(default) = known {
                        settings.entry((section.clone(), key.clone())).or_insert(default);
                    }
                }
                settings.retain(|key, value| below.get(key).is_none_or(|below| below.value != *value));
                if settings.is_empty() && content.as_ref().is_none_or(|content| content.is_empty()) {
                    continue;
                }
            } else if of.is_machines() && settings.is_empty() {
                continue;
            }
            let mut object = Map::from_iter([("name".to_owned(), Json::from(name))]);
            if let Some(content) = content {
                let text = std::str::from_utf8(&content).map_or_else(|_| binary(&content), Json::from);
                object.insert("content".to_owned(), text);
            }
            let properties = properties(of.0, name, &settings, secrets, export);
            if !properties.is_empty() {
                object.insert("properties".to_owned(), Json::Object(properties));
            }
            objects.push(Json::Object(object));
        }
        (!objects.is_empty()).then_some(Json::Array(objects))
    }

    fn owned(&self, of: Type, name: &str) -> Settings {
        let settings = self.settings(of, name).into_iter();
        settings
            .map(|((section, key), value)| ((section.to_owned(), key.to_owned()), value.clone()))
            .collect()
    }
}

/// The version as documents write it: a number.
fn version() -> Json {
    let text = Version::newest().text();
    text.parse::<f64>().map_or_else(|_| text.into(), Json::from)
}

fn properties(
    of: &ObjectType,
    name: &str,
    settings: &Settings,
    secrets: Secrets,
    export: &mut Export,
) -> Map<String, Json> {
    let mut sections = Map::new();
    for ((section, key), value) in settings {
        let is_secret = of.key(section, key).is_some_and(|key| key.secret || key.hashed);
        let mut value = value.to_json();
        leave_out_defaults(of.key(section, key), &mut value);
        if is_secret
            && secrets != Secrets::Clear
            && let Some(text) = value.as_str().filter(|text| !text.is_empty())
        {
            let path = file_of(of, name, section, key);
            let content = (secrets == Secrets::Files).then(|| text.to_owned());
            let file = SecretFile { key: format!("{}/{name} {section}.{key}", of.path), content };
            value = json!({ "valueFrom": { "fileRef": { "name": path } } });
            export.files.insert(path, file);
        }
        let entry = sections.entry(section.clone()).or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(keys) = entry {
            keys.insert(key.clone(), value);
        }
    }
    sections
}

/// Takes the cells out of a table that are filled in again when it is read.
fn leave_out_defaults(key: Option<&Key>, value: &mut Json) {
    let (Some(Key { kind: KeyKind::Table(columns), .. }), Json::Array(rows)) = (key, value) else { return };
    for row in rows.iter_mut().filter_map(Json::as_object_mut) {
        row.retain(|name, cell| {
            let default = columns.get(name).and_then(|column| column.default.as_ref());
            default.is_none_or(|default| default.to_json() != *cell)
        });
    }
}

/// Where a secret is looked for: one file per key, with a name that any file can have.
fn file_of(of: &ObjectType, name: &str, section: &str, key: &str) -> String {
    let plain = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let mut file = format!("{}.{}.{section}.{key}", of.document_path(), plain(name));
    if file.len() > MAX_FILE_NAME {
        file = format!("{}.{}.{section}.{key}", of.document_path(), plain(&digest(name)));
    }
    format!("{SECRETS}/{file}")
}

fn binary(bytes: &[u8]) -> Json {
    json!({ BINARY: base64::engine::general_purpose::STANDARD.encode(bytes) })
}

/// Whether a document holds bytes that are no text, which JSON cannot hold.
pub fn has_binary(document: &Json) -> bool {
    match document {
        Json::Object(map) => map.contains_key(BINARY) || map.values().any(has_binary),
        Json::Array(items) => items.iter().any(has_binary),
        _ => false,
    }
}

/// Why a document of this text could not be imported, if so.
pub fn too_large(text: &str) -> Option<String> {
    let bytes = text.len();
    (bytes > MAX_DOCUMENT_BYTES).then(|| {
        format!(
            "the document has {bytes} bytes, and at most {MAX_DOCUMENT_BYTES} are read; split it into several"
        )
    })
}

/// Any JSON value as YAML: block style, `version` and `name` first, text of several lines behind `|`.
pub fn yaml(value: &Json) -> String {
    let mut text = String::new();
    match value {
        Json::Object(map) if !map.is_empty() && !map.contains_key(BINARY) => mapping(&mut text, map, 0),
        Json::Array(items) if !items.is_empty() => sequence(&mut text, items, 0),
        _ => {
            text.push_str(&flow(value));
            text.push('\n');
        }
    }
    text
}

fn indent(text: &mut String, depth: usize) {
    text.extend(std::iter::repeat_n("  ", depth));
}

/// Entries, each on lines of its own; the first one stands where the writer is.
fn mapping(text: &mut String, map: &Map<String, Json>, depth: usize) {
    const FIRST: [&str; 2] = ["version", "name"];
    let first = FIRST.iter().filter_map(|key| map.get_key_value(*key));
    let rest = map.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
    for (index, (key, value)) in first.chain(rest).enumerate() {
        if index > 0 {
            indent(text, depth);
        }
        text.push_str(&string(key));
        text.push(':');
        below(text, value, depth);
    }
}

/// Items, each on lines of its own; the first one stands where the writer is.
fn sequence(text: &mut String, items: &[Json], depth: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            indent(text, depth);
        }
        match item {
            Json::Object(map) if !map.is_empty() && !map.contains_key(BINARY) => {
                text.push_str("- ");
                mapping(text, map, depth + 1);
            }
            _ => {
                text.push('-');
                below(text, item, depth);
            }
        }
    }
}

/// A value behind a key or a dash, with the end of its line.
fn below(text: &mut String, value: &Json, depth: usize) {
    match value {
        Json::Object(map) if !map.is_empty() && !map.contains_key(BINARY) => {
            text.push('\n');
            indent(text, depth + 1);
            mapping(text, map, depth + 1);
        }
        Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            text.push('\n');
            indent(text, depth + 1);
            sequence(text, items, depth + 1);
        }
        Json::String(lines) if is_block(lines) => block(text, lines, depth + 1),
        _ => {
            text.push(' ');
            text.push_str(&flow(value));
            text.push('\n');
        }
    }
}

/// A value on one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Object(map) => match map.get(BINARY).and_then(Json::as_str) {
            Some(encoded) => format!("{BINARY} \"{encoded}\""),
            None => "{}".to_owned(),
        },
        Json::Array(items) if items.is_empty() => "[]".to_owned(),
        Json::Array(items) => format!("[ {} ]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::String(text) => string(text),
        _ => value.to_string(),
    }
}

/// Text as it is where nothing else could be read in it, otherwise in quotes.
fn string(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    let lower = text.to_ascii_lowercase();
    let means_else = matches!(
        lower.as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
    );
    if is_word && !means_else {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if is_plain(c) => quoted.push(c),
            _ if u32::from(c) > 0xffff => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            _ => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a character can stand in YAML as it is and is seen (YAML 1.2 section 5.1, without spaces that are no space).
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a1}'..='\u{1fff}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{d7ff}' | '\u{e000}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Whether text of several lines can stand behind `|` and be read as it was.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_plain(c))
        && text.lines().all(|line| line.is_empty() || !line.trim_start_matches([' ', '\t']).is_empty())
}

fn block(text: &mut String, lines: &str, depth: usize) {
    let ends = lines.len() - lines.trim_end_matches('\n').len();
    text.push_str(match ends {
        0 => " |-\n",
        1 => " |\n",
        _ => " |+\n",
    });
    let body = lines.strip_suffix('\n').unwrap_or(lines);
    for line in body.split('\n') {
        if !line.is_empty() {
            indent(text, depth);
            text.push_str(line);
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests;
