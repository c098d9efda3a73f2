//! `json.*`: containers as JSON text (RFC 8259) and back. Whole numbers are integers, others doubles; `true` and
//! `false` are 1 and 0, `null` is the empty string.

use std::{cell::RefCell, fmt, marker::PhantomData};

use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    Call, Function, Interrupt, Outcome,
    cost::{JSON, charge_each, charge_times},
    make::Output,
    row::works,
};
use crate::{
    meter::{Meter, Reached},
    value::{Container, ELEMENT, MAX_LEVELS, Value},
};

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    works("json.serialize", "v", (1, 1), "A value as JSON text.", serialize),
    works(
        "json.deserialize",
        "s",
        (1, 1),
        "The value of a JSON text; empty, with a warning, if it is none.",
        deserialize,
    ),
];

/// `json.serialize(v)` → JSON text without white space, hashes in the order of insertion. Strings that are not UTF-8
/// get U+FFFD for what is not; a double that is not finite is `null`; `[]` is an empty array. Containers nested deeper
/// than [`MAX_LEVELS`] abort the rule.
fn serialize<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let value = call.value(0);
    let mut output = Output::default();
    write(call, &mut output, &value, MAX_LEVELS)?;
    Ok(output.value())
}

fn write<'p>(
    call: &mut Call<'_, 'p>,
    output: &mut Output,
    value: &Value<'p>,
    levels: usize,
) -> Result<(), Interrupt> {
    let container = match value {
        Value::Int(number) => return output.push(call, number.to_string().as_bytes()),
        Value::Double(number) => {
            let text = serde_json::Number::from_f64(*number).map_or_else(|| "null".into(), |n| n.to_string());
            return output.push(call, text.as_bytes());
        }
        Value::Text(text) => return write_text(call, output, text),
        Value::Container(container) => container,
    };
    let levels =
        levels.checked_sub(1).ok_or_else(|| Interrupt::Abort(Reached::Levels(MAX_LEVELS).to_string()))?;
    match &*container.borrow() {
        Container::Empty => output.push(call, b"[]"),
        Container::Array(elements) => {
            charge_each(call, elements.len())?;
            output.push(call, b"[")?;
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    output.push(call, b",")?;
                }
                write(call, output, element, levels)?;
            }
            output.push(call, b"]")
        }
        Container::Hash(entries) => {
            // Keys are escaped as the strings they are.
            charge_each(call, entries.len().saturating_mul(2))?;
            output.push(call, b"{")?;
            for (index, (key, entry)) in entries.iter().enumerate() {
                if index > 0 {
                    output.push(call, b",")?;
                }
                write_text(call, output, key)?;
                output.push(call, b":")?;
                write(call, output, entry, levels)?;
            }
            output.push(call, b"}")
        }
    }
}

/// Bytes of a string that are escaped at a time: what this makes before it is charged for stays small.
const PIECE: usize = 4096;

fn write_text(call: &mut Call<'_, '_>, output: &mut Output, text: &[u8]) -> Result<(), Interrupt> {
    charge_times(call, text.len(), JSON)?;
    let text = String::from_utf8_lossy(text);
    output.push(call, b"\"")?;
    let mut rest: &str = &text;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(PIECE));
        let quoted = serde_json::to_string(piece)
            .map_err(|error| Interrupt::Abort(format!("json.serialize: {error}")))?;
        let escaped = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
        output.push(call, escaped.as_bytes())?;
        rest = behind;
    }
    output.push(call, b"\"")
}

/// `json.deserialize(s)` → the value of a JSON text: a container, or the scalar it is. Bad text, or one nested deeper
/// than [`MAX_LEVELS`], warns and gives the empty string. Whole numbers beyond 64 bits become doubles; of equal keys the
/// last counts.
fn deserialize<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_times(call, text.len(), JSON)?;
    let reached = RefCell::new(None);
    let parsed = {
        let meter = RefCell::new(&mut *call.meter);
        let seed = Seed { meter: &meter, reached: &reached, levels: MAX_LEVELS, life: PhantomData };
        let mut reader = serde_json::Deserializer::from_slice(&text);
        seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value))
    };
    if let Some(limit) = reached.into_inner() {
        return Err(Interrupt::Abort(Reached::to_string(&limit)));
    }
    match parsed {
        Ok(value) => Ok(value),
        Err(error) => {
            call.warn(&format!("json.deserialize: {error}"))?;
            Ok(Value::EMPTY)
        }
    }
}

/// Elements of an array, and entries of a hash, that count as an instruction when they are made.
const ELEMENTS: usize = 8;
const ENTRIES: usize = 1;

/// Makes a value of what comes next in a text.
#[derive(Clone)]
struct Seed<'s, 'm, 'p> {
    meter: &'s RefCell<&'m mut Meter>,
    /// The limit that ended the parsing, if one did.
    reached: &'s RefCell<Option<Reached>>,
    levels: usize,
    life: PhantomData<Value<'p>>,
}

impl Seed<'_, '_, '_> {
    /// For the `count`-th part of a container, of which so many count as one instruction, and its bytes.
    fn charge_part<E: Error>(&self, count: usize, parts: usize, bytes: usize) -> Result<(), E> {
        let mut meter = self.meter.borrow_mut();
        let steps = u32::from(count.is_multiple_of(parts));
        self.kept(meter.steps(steps).and_then(|()| meter.charge(bytes)))
    }

    fn charge<E: Error>(&self, bytes: usize) -> Result<(), E> {
        self.kept(self.meter.borrow_mut().charge(bytes))
    }

    /// Remembers a limit that was reached: the parser knows errors of its own only.
    fn kept<E: Error>(&self, charged: Result<(), Reached>) -> Result<(), E> {
        charged.map_err(|limit| {
            *self.reached.borrow_mut() = Some(limit);
            E::custom(limit)
        })
    }

    fn inner<E: Error>(&self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1).ok_or_else(|| E::custom(Reached::Levels(MAX_LEVELS)))?;
        Ok(Self { levels, ..self.clone() })
    }
}

impl<'de, 'p> DeserializeSeed<'de> for Seed<'_, '_, 'p> {
    type Value = Value<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'p> Visitor<'de> for Seed<'_, '_, 'p> {
    type Value = Value<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::EMPTY)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::flag(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Value::Double(number as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.charge(text.len())?;
        Ok(Value::from(text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(inner.clone())? {
            self.charge_part(elements.len(), ELEMENTS, ELEMENT)?;
            elements.push(element);
        }
        Ok(Container::Array(elements).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut entries = IndexMap::new();
        while let Some(key) = access.next_key::<String>()? {
            self.charge_part(entries.len(), ENTRIES, ELEMENT + key.len())?;
            let value = access.next_value_seed(inner.clone())?;
            entries.insert(Box::from(key.as_bytes()), value);
        }
        Ok(Container::Hash(entries).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Interrupt,
        trial::{Trial, check, hash, list, v},
    };
    use crate::value::{MAX_LEVELS, Value};

    #[test]
    fn values() {
        check(&[
            ("json.serialize", v![hash(&[("b", 1), ("a\n", 2)])], r#""{\"b\":1,\"a\\n\":2}""#),
            ("json.serialize", v![list(v![1, 2.0, 0.1, "x\"", list(v![])])], r#""[1,2.0,0.1,\"x\\\"\",[]]""#),
            ("json.serialize", v![f64::NAN], "\"null\""),
            ("json.serialize", v!["plain"], r#""\"plain\"""#),
            ("json.serialize", v![&b"a\xff"[..]], "\"\\\"a\u{fffd}\\\"\""),
            (
                "json.deserialize",
                v![r#"{"b":1,"a":[true,false,null]}"#],
                r#"[ "b" => 1, "a" => [ 1, 0, "" ] ]"#,
            ),
            ("json.deserialize", v!["[1, 1.5, -3, 1e2, 3.0]"], "[ 1, 1.5, -3, 100, 3 ]"),
            ("json.deserialize", v!["18446744073709551616"], "1.84467e+19"),
            ("json.deserialize", v![r#" "\u00e9" "#], "\"é\""),
            ("json.deserialize", v![r#"{"a":1,"a":2}"#], r#"[ "a" => 2 ]"#),
            ("json.deserialize", v!["{}"], "[ ]"),
        ]);
    }

    #[test]
    fn long_strings_are_escaped_in_pieces() {
        let text = "é\u{1}".repeat(5000);
        let mut trial = Trial::new();
        let json = trial.call("json.serialize", v![text.as_str()]).unwrap();
        let back = trial.call("json.deserialize", vec![json]).unwrap();
        let Value::Text(back) = back else { panic!("no text") };
        assert_eq!(&*back, text.as_bytes());
    }

    #[test]
    fn bad_text_warns_and_gives_nothing() {
        for text in ["", "{", "[1,]", "{\"a\"}", "[1] 2", "nul", "\u{0}", "{1:2}"] {
            let mut trial = Trial::new();
            assert_eq!(trial.shown("json.deserialize", v![text]), "\"\"", "{text:?}");
            assert_eq!(trial.log().len(), 1, "{text:?}");
        }
        assert_eq!(Trial::new().shown("json.deserialize", v![&b"\"\xff\""[..]]), "\"\"");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let mut trial = Trial::new();
        let value = trial.call("json.deserialize", v![deep(MAX_LEVELS).as_str()]).unwrap();
        assert!(trial.call("json.serialize", v![value.clone()]).is_ok());
        assert!(matches!(trial.call("json.serialize", v![list(vec![value])]), Err(Interrupt::Abort(_))));
        assert_eq!(trial.shown("json.deserialize", v![deep(MAX_LEVELS + 1).as_str()]), "\"\"");
        assert_eq!(trial.shown("json.deserialize", v![deep(100_000).as_str()]), "\"\"");
        let wide = format!("[{}0]", "0,".repeat(5_000_000));
        assert!(matches!(trial.call("json.deserialize", v![wide.as_str()]), Err(Interrupt::Abort(_))));
    }
}
