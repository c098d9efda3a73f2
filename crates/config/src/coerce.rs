//! What a node of a document means for the key it is given to.
//!
//! Scalars are text until here, so coercion goes both ways: a text key given `0` holds “0”, a number key given
//! `"40"` holds 40, and `"yes"` turns a switch on. Everything that does not fit is reported with the path, the
//! value (unless it is secret) and what is allowed.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::{
    diagnostic::{Position, quote},
    nearest,
    schema::{Column, Key, KeyKind},
    tree::{Entry, Kind, Node, Scalar},
};

/// Most misfits that are told of one value.
pub const MAX_MISFITS: usize = 20;

/// A value of a key, of the type the key has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text, and the value of an enumeration.
    Text(Arc<str>),
    List(Vec<Arc<str>>),
    Table(Vec<Row>),
}

/// A row of a table: column → value, with the defaults of columns that are not written.
pub(crate) type Row = BTreeMap<String, Value>;

/// A value that does not fit its key.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit {
    pub(crate) at: Position,
    /// Path below the key, such as `[2].weight`.
    pub(crate) below: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The form is wrong (an unknown column), not only a value.
    pub(crate) form: bool,
}

impl Value {
    /// A value of the embedded data.
    pub(crate) fn from_data(data: &serde_json::Value, kind: &KeyKind) -> Self {
        use serde_json::Value as Json;
        let text = |value: &Json| -> Arc<str> {
            value.as_str().map_or_else(|| value.to_string().into(), Into::into)
        };
        match (kind, data) {
            (KeyKind::Bool, _) => Self::Bool(data.as_bool().unwrap_or_default()),
            (KeyKind::Int { .. }, _) => Self::Int(data.as_i64().unwrap_or_default()),
            (KeyKind::Float, _) => Self::Float(data.as_f64().unwrap_or_default()),
            (KeyKind::List, Json::Array(items)) => Self::List(items.iter().map(text).collect()),
            (KeyKind::List, _) => Self::List(Vec::new()),
            (KeyKind::Table(columns), Json::Array(rows)) => {
                // A row has all its cells, as those of documents do.
                let row = |row: &Json| {
                    let cells = columns.iter().filter_map(|(name, column)| {
                        let given = row.get(name).map(|cell| Self::from_data(cell, &column.kind));
                        Some((name.clone(), given.or_else(|| column.default.clone())?))
                    });
                    cells.collect()
                };
                Self::Table(rows.iter().map(row).collect())
            }
            (KeyKind::Table(_), _) => Self::Table(Vec::new()),
            (KeyKind::Text | KeyKind::Enum(_), _) => Self::Text(text(data)),
        }
    }

    /// The value as REST shows and keeps it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Bool(on) => Json::Bool(*on),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Text(text) => Json::from(&**text),
            Self::List(items) => items.iter().map(|item| Json::from(&**item)).collect(),
            Self::Table(rows) => rows
                .iter()
                .map(|row| {
                    Json::Object(row.iter().map(|(name, value)| (name.clone(), value.to_json())).collect())
                })
                .collect(),
        }
    }

    /// Whether this is the default of `key`. Where no default is known, no value is.
    pub(crate) fn is_default(&self, key: &Key) -> bool {
        key.default.as_ref() == Some(self)
    }
}

/// Coerces `node` to the type of `key`. `None`: nothing is given (`null`), or everything given was a misfit.
pub(crate) fn coerce(node: &Node, key: &Key, misfits: &mut Vec<Misfit>) -> Option<Value> {
    Coercion { secret: key.secret, freeform: key.freeform, misfits, found: 0 }.value(node, &key.kind, "")
}

struct Coercion<'a> {
    secret: bool,
    freeform: bool,
    misfits: &'a mut Vec<Misfit>,
    /// How many there are, told or not.
    found: usize,
}

impl Coercion<'_> {
    fn value(&mut self, node: &Node, kind: &KeyKind, below: &str) -> Option<Value> {
        match (kind, &node.kind) {
            (_, Kind::Null | Kind::Unresolved) => None,
            (KeyKind::List, Kind::List(items)) => Some(self.list(items, below)),
            (KeyKind::Table(columns), Kind::List(rows)) => Some(self.table(rows, columns, below)),
            (KeyKind::List, _) => {
                self.misfit(node, below, "a list is expected here", "write it as [ first, second ]")
            }
            (KeyKind::Table(_), _) => {
                self.misfit(node, below, "a list of rows is expected here", "write it as - column: value")
            }
            (_, Kind::Scalar(scalar)) => self.scalar(node, scalar, kind, below),
            (_, Kind::List(_) | Kind::Map(_)) => {
                let message = format!("{} is expected here, not {}", allowed(kind), node.noun());
                self.push(node.at, below, message, None)
            }
        }
    }

    fn misfit<T>(&mut self, node: &Node, below: &str, message: &str, hint: &str) -> Option<T> {
        let message = match &node.kind {
            Kind::Scalar(scalar) if !self.secret && scalar.file.is_none() => {
                format!("{message}, not {}", quote(&scalar.text))
            }
            _ => format!("{message}, not {}", node.noun()),
        };
        self.push(node.at, below, message, Some(hint.to_owned()))
    }

    fn push<T>(&mut self, at: Position, below: &str, message: String, hint: Option<String>) -> Option<T> {
        self.tell(Misfit { at, below: below.to_owned(), message, hint, form: false });
        None
    }

    fn tell(&mut self, misfit: Misfit) {
        self.found += 1;
        if self.misfits.len() < MAX_MISFITS {
            self.misfits.push(misfit);
        } else if misfit.form {
            // What stops the import must not go by unseen.
            self.misfits.truncate(MAX_MISFITS - 1);
            self.misfits.push(misfit);
        }
    }

    fn list(&mut self, items: &[Node], below: &str) -> Value {
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if let Kind::Scalar(scalar) = &item.kind
                && scalar.binary.is_none()
            {
                texts.push(self.text(scalar).into());
            } else if item.kind != Kind::Unresolved {
                let message = format!("text is expected here, not {}", item.noun());
                self.push::<()>(item.at, &format!("{below}[{index}]"), message, None);
            }
        }
        Value::List(texts)
    }

    fn table(&mut self, rows: &[Node], columns: &BTreeMap<String, Column>, below: &str) -> Value {
        let mut good = Vec::with_capacity(rows.len());
        for (index, node) in rows.iter().enumerate() {
            let below = format!("{below}[{index}]");
            match &node.kind {
                Kind::Map(cells) => {
                    if let Some(row) = self.row(node, cells, columns, &below) {
                        good.push(row);
                    }
                }
                Kind::Unresolved => {}
                _ => {
                    let names: Vec<&str> = columns.keys().map(String::as_str).collect();
                    let message = format!("a row is expected here, not {}", node.noun());
                    self.push::<()>(
                        node.at,
                        &below,
                        message,
                        Some(format!("its columns are {}", names.join(", "))),
                    );
                }
            }
        }
        Value::Table(good)
    }

    fn row(
        &mut self,
        node: &Node,
        cells: &[Entry],
        columns: &BTreeMap<String, Column>,
        below: &str,
    ) -> Option<Row> {
        let before = self.found;
        let mut row = Row::new();
        for cell in cells {
            let Some(column) = columns.get(&cell.key) else {
                let full = self.found >= MAX_MISFITS;
                let hint =
                    (!full).then(|| nearest::hint(&cell.key, columns.keys().map(String::as_str))).flatten();
                self.tell(Misfit {
                    at: cell.at,
                    below: format!("{below}.{}", cell.key),
                    message: format!("there is no column {}", quote(&cell.key)),
                    hint,
                    form: true,
                });
                continue;
            };
            if let Some(value) = self.value(&cell.value, &column.kind, &format!("{below}.{}", cell.key)) {
                row.insert(cell.key.clone(), value);
            }
        }
        for (name, column) in columns.iter().filter(|(_, column)| column.required) {
            if !row.contains_key(name) && self.found == before {
                let message = format!("the row has no “{name}”, which takes {}", allowed(&column.kind));
                self.push::<()>(node.at, below, message, None);
            }
        }
        for (name, column) in columns {
            if let Some(default) = &column.default {
                row.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        (self.found == before).then_some(row)
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, kind: &KeyKind, below: &str) -> Option<Value> {
        let word = scalar.text.trim();
        let value = match kind {
            KeyKind::Bool => truth(word).map(Value::Bool),
            KeyKind::Int { min, max } => {
                whole_number(word).filter(|number| (min..=max).contains(&number)).map(Value::Int)
            }
            KeyKind::Float => word.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
            KeyKind::Enum(values) => {
                values.iter().find(|value| *value == word).map(|value| Value::Text(value.as_str().into()))
            }
            _ if scalar.binary.is_some() => None,
            _ => Some(Value::Text(self.text(scalar).into())),
        };
        if value.is_some() {
            return value;
        }
        let message = match (scalar.binary.is_some(), self.secret) {
            (true, _) => "text is expected here, not bytes".to_owned(),
            (false, true) => format!("the value is not {}", allowed(kind)),
            // Files hold what documents must not show, so only their name is told.
            (false, false) => match &scalar.file {
                Some(file) => format!("the text of {} is not {}", quote(file), allowed(kind)),
                None => format!("{} is not {}", quote(&scalar.text), allowed(kind)),
            },
        };
        let hint = match kind {
            KeyKind::Enum(values) => nearest::hint(word, values.iter().map(String::as_str)),
            _ => None,
        };
        self.push(node.at, below, message, hint)
    }

    /// Text of a value. A file's last line break is not part of it, unless the key takes text of several lines.
    fn text<'t>(&self, scalar: &'t Scalar) -> &'t str {
        if scalar.file.is_none() || self.freeform {
            return &scalar.text;
        }
        let text = scalar.text.strip_suffix('\n').unwrap_or(&scalar.text);
        text.strip_suffix('\r').unwrap_or(text)
    }
}

/// What a key of this kind takes, for people.
pub(crate) fn allowed(kind: &KeyKind) -> Cow<'static, str> {
    match kind {
        KeyKind::Bool => "true or false".into(),
        KeyKind::Int { min, max } => format!("a whole number from {min} to {max}").into(),
        KeyKind::Float => "a number".into(),
        KeyKind::Text => "text".into(),
        KeyKind::Enum(values) => format!("one of {}", values.join(", ")).into(),
        KeyKind::List => "a list".into(),
        KeyKind::Table(_) => "a list of rows".into(),
    }
}

fn truth(word: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    if is(&["true", "yes", "on", "1"]) {
        Some(true)
    } else if is(&["false", "no", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Whole numbers as YAML and JSON write them: `40`, `+40`, `0x28`, `0o50`, `40.0`, `4e1`.
fn whole_number(word: &str) -> Option<i64> {
    if let Some(digits) = word.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = word.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    if let Ok(number) = word.parse::<i64>() {
        return Some(number);
    }
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) {
        return None;
    }
    /// Beyond this, floating point no longer tells whole numbers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = word.parse().ok()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn unsigned(digits: &str, radix: u32) -> Option<i64> {
    digits.chars().all(|digit| digit.is_digit(radix)).then(|| i64::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests;
