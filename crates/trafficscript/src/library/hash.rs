//! `hash.*`. Entries keep the order of their insertion.

use super::{
    Call, Function, Interrupt, Outcome,
    cost::charge_each,
    make::{array, charge_elements, charge_made, charge_work, copied, hash_at, number},
    row::{mutator, works},
};
use crate::value::{Container, ELEMENT, Value};

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    works("hash.keys", "h", (1, 1), "An array of the keys, in the order of insertion.", keys),
    works("hash.values", "h", (1, 1), "An array of copies of the values, in the order of the keys.", values),
    works("hash.count", "h", (1, 1), "Number of entries.", count),
    works("hash.contains", "h, key", (2, 2), "1 if there is an entry of this key, else 0.", contains),
    mutator("hash.delete", "h, key", (2, 2), "Removes an entry; the hash.", delete),
    mutator("hash.empty", "h", (1, 1), "Removes all entries; the hash.", empty),
];

/// `hash.keys(h)` → array of strings.
fn keys<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (keys, _) = entries(call)?;
    Ok(array(keys))
}

/// `hash.values(h)` → array of copies.
fn values<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (_, values) = entries(call)?;
    let copies: Result<Vec<_>, _> = values.iter().map(|value| copied(call, value)).collect();
    Ok(array(copies?))
}

/// `hash.count(h)` → integer; what is no hash warns and gives 0.
fn count<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let Some(container) = call.container(0)? else { return Ok(Value::Int(0)) };
    let count = match &*container.borrow() {
        Container::Empty => 0,
        Container::Hash(entries) => entries.len(),
        Container::Array(_) => {
            call.warn("Cannot convert array to hash value")?;
            0
        }
    };
    Ok(number(count))
}

/// `hash.contains(h, key)` → 1 or 0; what is no hash warns and gives 0.
fn contains<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let key = call.text(1)?;
    call.charge(key.len())?;
    let Some(container) = call.container(0)? else { return Ok(Value::flag(false)) };
    let found = match &*container.borrow() {
        Container::Empty => false,
        Container::Hash(entries) => entries.contains_key(&*key),
        Container::Array(_) => {
            call.warn("Cannot convert array to hash value")?;
            false
        }
    };
    Ok(Value::flag(found))
}

/// `hash.delete(h, key)` → the hash, without the entry. No such entry is no error; what is no hash warns and gives the
/// empty string.
fn delete<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    /// Bytes that moving an entry up by one place is accounted for.
    const MOVE: usize = 2;
    let key = call.text(1)?;
    call.charge(key.len())?;
    let Some(container) = hash_at(call, 0)? else { return Ok(Value::EMPTY) };
    if let Container::Hash(entries) = &mut *container.borrow_mut() {
        charge_work(call, entries.len().saturating_mul(MOVE))?;
        entries.shift_remove(&*key);
    }
    Ok(Value::Container(container))
}

/// `hash.empty(h)` → the hash, without entries. What is no hash warns and gives the empty string.
fn empty<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let Some(container) = hash_at(call, 0)? else { return Ok(Value::EMPTY) };
    if let Container::Hash(entries) = &mut *container.borrow_mut() {
        entries.clear();
    }
    Ok(Value::Container(container))
}

/// Keys and values (by reference) of the first argument; none, and a warning, if it is no hash.
fn entries<'p>(call: &mut Call<'_, 'p>) -> Result<(Vec<Value<'p>>, Vec<Value<'p>>), Interrupt> {
    let Some(container) = call.container(0)? else { return Ok((Vec::new(), Vec::new())) };
    match &*container.borrow() {
        Container::Empty => Ok((Vec::new(), Vec::new())),
        Container::Hash(entries) => {
            charge_elements(call, entries.len(), entries.len())?;
            charge_each(call, entries.len())?;
            let bytes: usize = entries.keys().map(|key| key.len().saturating_add(ELEMENT)).sum();
            charge_made(call, bytes)?;
            Ok(entries.iter().map(|(key, value)| (Value::from(&**key), value.clone())).unzip())
        }
        Container::Array(_) => {
            call.warn("Cannot convert array to hash value")?;
            Ok((Vec::new(), Vec::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, check, hash, list, v};
    use crate::value::{Container, Value};

    #[test]
    fn values() {
        let sample = || hash(&[("b", 1), ("a", 2)]);
        check(&[
            ("hash.keys", v![sample()], "[ \"b\", \"a\" ]"),
            ("hash.values", v![sample()], "[ 1, 2 ]"),
            ("hash.count", v![sample()], "2"),
            ("hash.contains", v![sample(), "a"], "1"),
            ("hash.contains", v![sample(), "A"], "0"),
            ("hash.delete", v![sample(), "b"], "[ \"a\" => 2 ]"),
            ("hash.delete", v![sample(), "x"], "[ \"b\" => 1, \"a\" => 2 ]"),
            ("hash.empty", v![sample()], "[ ]"),
            ("hash.keys", v![Value::from(Container::Empty)], "[ ]"),
            ("hash.contains", v![hash(&[("1", 1)]), 1], "1"),
        ]);
    }

    #[test]
    fn changes_are_the_callers() {
        let mut trial = Trial::new();
        let sample = hash(&[("b", 1), ("a", 2)]);
        trial.call("hash.delete", v![sample.clone(), "b"]).unwrap();
        assert_eq!(trial.show(&sample), "[ \"a\" => 2 ]");
        trial.call("hash.empty", v![sample.clone()]).unwrap();
        assert_eq!(trial.show(&sample), "[ ]");
    }

    #[test]
    fn misuse_warns_and_goes_on() {
        for (name, arguments, result) in [
            ("hash.keys", v![list(v![1])], "[ ]"),
            ("hash.values", v!["x"], "[ ]"),
            ("hash.count", v![list(v![1])], "0"),
            ("hash.contains", v![list(v![1]), "x"], "0"),
            ("hash.delete", v![list(v![1]), "x"], "\"\""),
            ("hash.empty", v![1], "\"\""),
        ] {
            let mut trial = Trial::new();
            assert_eq!(trial.shown(name, arguments), result, "{name}");
            assert_eq!(trial.log().len(), 1, "{name}");
        }
    }
}
