//! The keys of the document format: one definition each, read once from the embedded `data/schema.json`.
//!
//! Also the factory objects of `data/builtins.json`. Both are data of the format and are not edited here; what
//! Tidegate does with a key is the business of [`crate::acted_on`].

use std::{collections::BTreeMap, ops::RangeInclusive, sync::LazyLock};

use serde::Deserialize;

use crate::coerce::Value;

/// The format, parsed on first use.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let raw: RawSchema = embedded(include_str!("../data/schema.json"));
    Schema::from(raw)
});

/// Factory objects by type and name, parsed on first use.
static BUILTINS: LazyLock<BTreeMap<String, BTreeMap<String, Builtin>>> =
    LazyLock::new(|| embedded(include_str!("../data/builtins.json")));

#[expect(clippy::panic, reason = "the text is part of the program, and a test reads it")]
fn embedded<T: for<'a> Deserialize<'a>>(text: &str) -> T {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("embedded data: {error}"),
    }
}

/// Every type of object.
#[derive(Debug)]
pub(crate) struct Schema {
    /// By path, such as `ssl/server_keys`.
    pub(crate) types: BTreeMap<String, ObjectType>,
    /// Versions of the format, oldest first.
    pub(crate) versions: Vec<String>,
}

/// A type of object.
#[derive(Debug)]
pub(crate) struct ObjectType {
    /// Such as `ssl/server_keys`.
    pub(crate) path: String,
    /// Where its objects stand in a document, such as `["ssl", "server_keys"]`.
    pub(crate) document_keys: Vec<String>,
    /// Raw content instead of properties.
    pub(crate) raw: bool,
    /// One object without a name.
    pub(crate) singleton: bool,
    /// Keys (`section.key`) that an object must have.
    pub(crate) required: Vec<String>,
    /// First version that has the type, as an index into [`Schema::versions`].
    pub(crate) since: usize,
    /// Section → key → definition.
    pub(crate) sections: BTreeMap<String, BTreeMap<String, Key>>,
}

impl ObjectType {
    /// The definition of a key.
    pub(crate) fn key(&self, section: &str, key: &str) -> Option<&Key> {
        self.sections.get(section)?.get(key)
    }

    /// Where its objects stand in a document, as a path: `ssl.server_keys`.
    pub(crate) fn document_path(&self) -> String {
        self.document_keys.join(".")
    }
}

/// A key of an object.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) kind: KeyKind,
    /// Absent for keys that must be given, and for hidden ones whose default nobody has told.
    pub(crate) default: Option<Value>,
    /// The value must not be shown.
    pub(crate) secret: bool,
    /// Text of several lines, taken as it is.
    pub(crate) freeform: bool,
    /// Type of object that the value names, such as `pools`.
    pub(crate) reference: Option<String>,
    /// First and last version that has the key, as indexes into [`Schema::versions`].
    pub(crate) since: usize,
    pub(crate) until: usize,
    /// Shown and written through REST only when a client names it.
    pub(crate) expert: bool,
    /// REST shows a digest instead of the value.
    pub(crate) hashed: bool,
}

/// What values a key takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KeyKind {
    Bool,
    /// Inclusive limits.
    Int {
        min: i64,
        max: i64,
    },
    Float,
    Text,
    Enum(Vec<String>),
    List,
    /// Rows of columns.
    Table(BTreeMap<String, Column>),
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) kind: KeyKind,
    pub(crate) required: bool,
    pub(crate) default: Option<Value>,
}

/// A factory object.
#[derive(Debug, Deserialize)]
pub(crate) struct Builtin {
    /// Section → key → value; absent for raw objects.
    #[serde(default)]
    pub(crate) values: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// Factory objects of a type.
pub(crate) fn builtins(path: &str) -> impl Iterator<Item = (&'static str, &'static Builtin)> {
    BUILTINS.get(path).into_iter().flatten().map(|(name, builtin)| (name.as_str(), builtin))
}

#[derive(Deserialize)]
struct RawSchema {
    meta: RawMeta,
    resources: BTreeMap<String, RawType>,
}

#[derive(Deserialize)]
struct RawMeta {
    api_versions: Vec<String>,
}

#[derive(Deserialize)]
struct RawType {
    document_keys: Vec<String>,
    kind: String,
    singleton: bool,
    #[serde(default)]
    since: String,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    sections: BTreeMap<String, BTreeMap<String, RawKey>>,
}

#[derive(Deserialize)]
struct RawKey {
    r#type: String,
    #[serde(default)]
    default: Option<serde_json::Value>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    min: Option<i64>,
    #[serde(default)]
    max: Option<i64>,
    #[serde(default, rename = "enum")]
    allowed: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, Self>,
    #[serde(default)]
    subtype: Option<String>,
    #[serde(default)]
    returned_as_sha256_base64: bool,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    expert: bool,
}

impl From<RawSchema> for Schema {
    fn from(raw: RawSchema) -> Self {
        let versions = raw.meta.api_versions;
        let index = |word: &str| versions.iter().position(|version| version == word);
        let types = raw.resources.into_iter().map(|(path, raw)| {
            let sections = raw.sections.into_iter().map(|(section, keys)| {
                let keys = keys.into_iter().map(|(name, key)| {
                    let secret = SECRET_KEYS.contains(&(path.as_str(), section.as_str(), name.as_str()));
                    let since = index(&key.since).unwrap_or_default();
                    let until = key.until.as_deref().and_then(index).unwrap_or(usize::MAX);
                    (name, Key::new(&key, secret, since..=until))
                });
                (section.clone(), keys.collect())
            });
            let object = ObjectType {
                document_keys: raw.document_keys,
                raw: raw.kind == "text",
                singleton: raw.singleton,
                required: raw.required,
                since: index(&raw.since).unwrap_or_default(),
                sections: sections.collect(),
                path: path.clone(),
            };
            (path.clone(), object)
        });
        Self { types: types.collect(), versions }
    }
}

/// Keys that can hold a secret and are not marked as passwords in the format.
const SECRET_KEYS: [(&str, &str, &str); 4] = [
    ("monitors", "http", "authentication"),
    ("monitors", "script", "arguments"),
    ("pools", "auto_scaling", "extraargs"),
    ("pools", "service_discovery", "plugin_args"),
];

impl Key {
    fn new(raw: &RawKey, secret: bool, versions: RangeInclusive<usize>) -> Self {
        let kind = raw.kind();
        let subtype = raw.subtype.as_deref().unwrap_or_default();
        Self {
            default: raw.default.as_ref().map(|default| Value::from_data(default, &kind)),
            secret: secret || subtype == "password" || raw.returned_as_sha256_base64,
            freeform: subtype == "freeform",
            reference: subtype.strip_prefix("ref:").map(str::to_owned),
            since: *versions.start(),
            until: *versions.end(),
            expert: raw.expert,
            hashed: subtype == "password" || raw.returned_as_sha256_base64,
            kind,
        }
    }
}

/// Where the format states no limit, numbers end where 32 bits do.
const LOWEST: i64 = i32::MIN as i64;
const HIGHEST: i64 = u32::MAX as i64;

impl RawKey {
    fn kind(&self) -> KeyKind {
        let columns = || {
            let column = |raw: &Self| {
                let kind = raw.kind();
                let default = raw.default.as_ref().map(|default| Value::from_data(default, &kind));
                Column { required: raw.required, default, kind }
            };
            self.columns.iter().map(|(name, raw)| (name.clone(), column(raw))).collect()
        };
        let max = self.max.unwrap_or(HIGHEST);
        match self.r#type.as_str() {
            "bool" => KeyKind::Bool,
            "int" => KeyKind::Int { min: self.min.unwrap_or(LOWEST), max },
            "uint" => KeyKind::Int { min: self.min.unwrap_or(0), max },
            "float" => KeyKind::Float,
            "enum" => KeyKind::Enum(self.allowed.clone()),
            "list" | "list<string>" => KeyKind::List,
            "table" => KeyKind::Table(columns()),
            _ => KeyKind::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_data_is_whole() {
        assert_eq!(SCHEMA.types.len(), 43);
        let keys: usize =
            SCHEMA.types.values().flat_map(|object| object.sections.values()).map(BTreeMap::len).sum();
        assert_eq!(keys, 987);
        assert_eq!(SCHEMA.versions.last().map(String::as_str), Some("8.3"));
        assert_eq!(builtins("monitors").count(), 16);
    }

    #[test]
    fn factory_objects_use_known_keys() {
        for path in ["monitors", "actions", "event_types"] {
            for (name, builtin) in builtins(path) {
                for (section, keys) in &builtin.values {
                    for key in keys.keys() {
                        assert!(
                            SCHEMA.types[path].key(section, key).is_some(),
                            "{path} {name} {section}.{key}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn secrets_are_known() {
        assert!(SCHEMA.types["ssl/server_keys"].key("basic", "private").is_some_and(|key| key.secret));
        for (path, section, key) in SECRET_KEYS {
            assert!(
                SCHEMA.types[path].key(section, key).is_some_and(|key| key.secret),
                "{path} {section}.{key}"
            );
        }
    }
}
