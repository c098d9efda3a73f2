//! `lang.*`: types, casts, comparison, and help for finding faults.

use std::cmp::Ordering;

use indexmap::IndexMap;

use super::{
    ANY, Call, Function, Interrupt, Outcome,
    cost::{DECODE, Found, NUMBER, charge_each, charge_times},
    make::{Output, array, charge_work, copy_of},
    row::works,
};
use crate::value::{Container, MAX_LEVELS, Value, cast};

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    works("lang.toInt", "v", (1, 1), "The value as integer; strings give their leading integer.", to_int),
    works("lang.toDouble", "v", (1, 1), "The value as double; strings give their leading number.", to_double),
    works(
        "lang.toString",
        "v",
        (1, 1),
        "The value as string; doubles have six significant digits.",
        to_string,
    ),
    works("lang.toArray", "v…", (0, ANY), "An array of the arguments.", to_array),
    works("lang.toHash", "k, v…", (0, ANY), "A hash of the arguments, keys and values in turn.", to_hash),
    works("lang.isArray", "v", (1, 1), "1 if the value is an array (or `[]`), else 0.", is_array),
    works("lang.isHash", "v", (1, 1), "1 if the value is a hash (or `[]`), else 0.", is_hash),
    works("lang.min", "a, b", (2, 2), "The lesser of two values, as `<` compares them.", min),
    works("min", "a, b", (2, 2), "The same as lang.min.", min),
    works("lang.max", "a, b", (2, 2), "The greater of two values, as `>` compares them.", max),
    works("max", "a, b", (2, 2), "The same as lang.max.", max),
    works("lang.chr", "n", (1, 1), "A string of the one byte n (its low 8 bits).", chr),
    works("chr", "n", (1, 1), "The same as lang.chr.", chr),
    works("lang.tochar", "n", (1, 1), "The same as lang.chr.", chr),
    works("lang.ord", "s", (1, 1), "The first byte of a string as integer; 0 if it is empty.", ord),
    works("ord", "s", (1, 1), "The same as lang.ord.", ord),
    works("lang.dump", "v", (1, 1), "Any value in printable form, for debugging.", dump),
    works("lang.assert", "condition, message", (2, 2), "If false: a warning, and the rule ends.", assert),
    works(
        "lang.warn",
        "message",
        (1, 1),
        "A warning with rule and line; aborts under `import strict`.",
        warn,
    ),
];

/// `lang.toInt(v)` → integer. Doubles are rounded to the nearest, strings give their leading integer or 0; a container
/// warns and gives 0.
fn to_int<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(call.int(0)?.into())
}

/// `lang.toDouble(v)` → double. Strings give their leading number or 0; a container warns and gives 0.
fn to_double<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(call.double(0)?.into())
}

/// `lang.toString(v)` → string. Doubles as C's `%g` writes them; a container warns and gives `0`.
fn to_string<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(call.text(0)?.into())
}

/// `lang.toArray(v…)` → array of copies of the arguments.
fn to_array<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let elements: Result<Vec<_>, _> = (0..call.count()).map(|index| copy_of(call, index)).collect();
    Ok(array(elements?))
}

/// `lang.toHash(k, v, …)` → hash of copies of the values. A key without value gets the empty string; of equal keys the
/// last counts.
fn to_hash<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let mut entries = IndexMap::new();
    for index in (0..call.count()).step_by(2) {
        let key = call.text(index)?;
        call.charge(key.len())?;
        let value = copy_of(call, index + 1)?;
        entries.insert(Box::from(&*key), value);
    }
    Ok(Container::Hash(entries).into())
}

/// `lang.isArray(v)` → 1 for an array and for `[]`, else 0.
#[expect(clippy::unnecessary_wraps, reason = "it is a `Native`")]
fn is_array<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::flag(match call.value(0) {
        Value::Container(container) => !matches!(*container.borrow(), Container::Hash(_)),
        _ => false,
    }))
}

/// `lang.isHash(v)` → 1 for a hash and for `[]`, else 0.
#[expect(clippy::unnecessary_wraps, reason = "it is a `Native`")]
fn is_hash<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::flag(match call.value(0) {
        Value::Container(container) => !matches!(*container.borrow(), Container::Array(_)),
        _ => false,
    }))
}

/// `lang.min(a, b)` → the lesser argument as it is; `a` if neither is less.
fn min<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    pick(call, Ordering::Less)
}

/// `lang.max(a, b)` → the greater argument as it is; `a` if neither is greater.
fn max<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    pick(call, Ordering::Greater)
}

fn pick<'p>(call: &mut Call<'_, 'p>, wanted: Ordering) -> Outcome<'p> {
    let mut sides = [call.value(0), call.value(1)];
    for side in &mut sides {
        if matches!(side, Value::Container(_)) {
            call.warn(&format!("Cannot convert {} to integer value", cast::kind(side)))?;
            *side = Value::Int(0);
        }
    }
    let [first, second] = sides;
    charge_compared(call, &first, &second)?;
    Ok(if compare(&second, &first) == Some(wanted) { second } else { first })
}

/// Accounts for a comparison of two scalars.
fn charge_compared<'p>(
    call: &mut Call<'_, 'p>,
    left: &Value<'p>,
    right: &Value<'p>,
) -> Result<(), Interrupt> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => charge_work(call, left.len().min(right.len())),
        (Value::Text(text), _) | (_, Value::Text(text)) => charge_times(call, text.len(), NUMBER),
        _ => Ok(()),
    }
}

/// Compares two scalars as the operators do: as doubles if either is one, else as integers if either is one, else byte
/// by byte. `None` if one is not a number (NaN) or a container.
pub(super) fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Container(_), _) | (_, Value::Container(_)) => None,
        (Value::Double(_), _) | (_, Value::Double(_)) => {
            cast::double(left)?.partial_cmp(&cast::double(right)?)
        }
        (Value::Int(_), _) | (_, Value::Int(_)) => Some(cast::int(left)?.cmp(&cast::int(right)?)),
        (Value::Text(left), Value::Text(right)) => Some((**left).cmp(&**right)),
    }
}

/// `lang.chr(n)` → string of one byte: the low 8 bits of n.
fn chr<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let number = call.int(0)?;
    call.make([number as u8])
}

/// `lang.ord(s)` → first byte of the string, 0 to 255; 0 if it is empty.
fn ord<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(i64::from(call.text(0)?.first().copied().unwrap_or(0)).into())
}

/// `lang.dump(v)` → the value as the language would write it: `"text"`, `14`, `[ 1, "a" ]`, `[ "k" => 1 ]`. Control
/// bytes are escaped. Containers nested deeper than [`MAX_LEVELS`] show as `[ … ]`.
fn dump<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let mut output = Output::default();
    let value = call.value(0);
    dumped(call, &mut output, &value, MAX_LEVELS)?;
    Ok(output.value())
}

fn dumped<'p>(
    call: &mut Call<'_, 'p>,
    output: &mut Output,
    value: &Value<'p>,
    levels: usize,
) -> Result<(), Interrupt> {
    let container = match value {
        Value::Text(text) => return quoted(call, output, text),
        Value::Container(container) => container,
        scalar => return output.push(call, cast::text(scalar).as_deref().unwrap_or_default()),
    };
    let Some(levels) = levels.checked_sub(1) else { return output.push(call, "[ … ]".as_bytes()) };
    let separator = |first: bool| if first { &b"[ "[..] } else { &b", "[..] };
    let mut first = true;
    match &*container.borrow() {
        Container::Empty => {}
        Container::Array(elements) => {
            charge_each(call, elements.len())?;
            for element in elements {
                output.push(call, separator(std::mem::take(&mut first)))?;
                dumped(call, output, element, levels)?;
            }
        }
        Container::Hash(entries) => {
            charge_each(call, entries.len().saturating_mul(2))?;
            for (key, entry) in entries {
                output.push(call, separator(std::mem::take(&mut first)))?;
                quoted(call, output, key)?;
                output.push(call, b" => ")?;
                dumped(call, output, entry, levels)?;
            }
        }
    }
    output.push(call, if first { b"[ ]" } else { b" ]" })
}

fn quoted(call: &mut Call<'_, '_>, output: &mut Output, text: &[u8]) -> Result<(), Interrupt> {
    charge_times(call, text.len(), DECODE)?;
    output.push(call, b"\"")?;
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=31 | 127);
    let mut found = Found::default();
    let mut rest = text;
    while let Some(at) = rest.iter().position(special) {
        found.another(call)?;
        let (plain, from_special) = rest.split_at(at);
        output.push(call, plain)?;
        let Some((byte, behind)) = from_special.split_first() else { break };
        let escaped: Vec<u8> = std::ascii::escape_default(*byte).collect();
        output.push(call, &escaped)?;
        rest = behind;
    }
    output.push(call, rest)?;
    output.push(call, b"\"")
}

/// `lang.assert(condition, message)`. If the condition is false: the message as warning with rule and line, and this
/// rule ends (aborts under `import strict`); later rules run.
fn assert<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if call.truth(0) {
        return Ok(Value::EMPTY);
    }
    let message = call.text(1)?;
    call.charge(message.len())?;
    call.warn(&format!("Assertion failed: {}", String::from_utf8_lossy(&message)))?;
    Err(Interrupt::EndRule)
}

/// `lang.warn(message)`: a warning with rule and line; aborts the rule under `import strict`.
fn warn<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let message = call.text(0)?;
    call.charge(message.len())?;
    call.warn(&String::from_utf8_lossy(&message))?;
    Ok(Value::EMPTY)
}

#[cfg(test)]
mod tests {
    use super::super::{
        Interrupt,
        trial::{Trial, check, hash, list, v},
    };

    #[test]
    fn casts_and_types() {
        check(&[
            ("lang.toInt", v!["12ab"], "12"),
            ("lang.toInt", v![3.75], "4"),
            ("lang.toInt", v!["3.75"], "3"),
            ("lang.toDouble", v!["??"], "0"),
            ("lang.toDouble", v!["3.25x"], "3.25"),
            ("lang.toString", v![3.25], "\"3.25\""),
            ("lang.toArray", v![1, "a"], "[ 1, \"a\" ]"),
            ("lang.toArray", v![], "[ ]"),
            ("lang.toHash", v!["a", 1, 2, list(v![3]), "c"], "[ \"a\" => 1, \"2\" => [ 3 ], \"c\" => \"\" ]"),
            ("lang.isArray", v![list(v![1])], "1"),
            ("lang.isArray", v![hash(&[("a", 1)])], "0"),
            ("lang.isArray", v!["a"], "0"),
            ("lang.isHash", v![hash(&[("a", 1)])], "1"),
            ("lang.isHash", v![list(v![1])], "0"),
        ]);
    }

    #[test]
    fn least_and_greatest() {
        check(&[
            ("max", v!["9", "10"], "\"9\""),
            ("lang.max", v![2, "4.8"], "\"4.8\""),
            ("min", v![2, "4.8"], "2"),
            ("lang.min", v![0.5, 1], "0.5"),
            ("lang.min", v!["b", "a"], "\"a\""),
            ("lang.max", v![1, "1a"], "1"),
        ]);
        let mut trial = Trial::new();
        assert_eq!(trial.shown("max", v![list(v![7]), 1]), "1");
        assert_eq!(trial.log(), ["Rule test: Line 1: Cannot convert array to integer value"]);
    }

    #[test]
    fn bytes_and_dumps() {
        check(&[
            ("chr", v![65], "\"A\""),
            ("lang.chr", v![256 + 66], "\"B\""),
            ("lang.tochar", v![-1], "\"\u{fffd}\""),
            ("ord", v!["A"], "65"),
            ("lang.ord", v![""], "0"),
            ("lang.dump", v!["a\"\n"], "\"\\\"a\\\\\\\"\\\\n\\\"\""),
            ("lang.dump", v![list(v![1, 1.5, list(v![])])], "\"[ 1, 1.5, [ ] ]\""),
        ]);
    }

    #[test]
    fn warnings() {
        let mut trial = Trial::new();
        assert_eq!(trial.shown("lang.assert", v![1, "no"]), "\"\"");
        assert!(trial.log().is_empty());
        assert_eq!(trial.call("lang.assert", v![0, "no"]).unwrap_err(), Interrupt::EndRule);
        assert_eq!(trial.shown("lang.warn", v!["look"]), "\"\"");
        assert_eq!(trial.log(), ["Rule test: Line 1: Assertion failed: no", "Rule test: Line 1: look"]);
        trial.strict = true;
        assert!(matches!(trial.call("lang.warn", v!["look"]), Err(Interrupt::Abort(_))));
    }
}
