//! `array.*`. Mutators change the caller's array and give it back by reference; what goes into an array is copied.

use std::cmp::Ordering;

use super::{
    ANY, Argument, Call, Function, Interrupt, Outcome,
    cost::{NUMBER, charge_each, charge_times},
    lang::compare,
    make::{
        MAX_ELEMENTS, Output, array, array_at, charge_elements, charge_work, copied, copy_of, elements_at,
        number, text_bytes, text_of,
    },
    row::{mutator, with_pattern, works},
    string::pattern::flags_at,
};
use crate::value::{Container, ELEMENT, Text, Value, cast};

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    works("array.length", "a", (1, 1), "Number of elements.", length),
    mutator("array.push", "a, v…", (2, ANY), "Adds elements at the end; the array.", push),
    mutator("array.pop", "a", (1, 1), "Removes the last element and gives it; empty if there is none.", pop),
    mutator(
        "array.shift",
        "a",
        (1, 1),
        "Removes the first element and gives it; empty if there is none.",
        shift,
    ),
    mutator(
        "array.unshift",
        "a, v…",
        (2, ANY),
        "Adds elements at the front, in their order; the array.",
        unshift,
    ),
    mutator("array.append", "a, b", (2, 2), "Adds each element of b at the end of a; the array a.", append),
    works(
        "array.contains",
        "a, v",
        (2, 2),
        "1 if an element equals v, else 0; nested containers do not count.",
        contains,
    ),
    works(
        "array.join",
        "a[, separator]",
        (1, 2),
        "The elements as one string; separator a space by default.",
        join,
    ),
    works("array.create", "n[, default]", (1, 2), "An array of n elements, each a copy of default.", create),
    mutator("array.resize", "a, n[, default]", (2, 3), "Makes the array n elements long; the array.", resize),
    works("array.copy", "a", (1, 1), "A copy that shares nothing with the array.", copy),
    mutator("array.sort", "a[, reverse]", (1, 2), "Sorts by string, so 10 before 2; the array.", sort),
    mutator("array.sortNumerical", "a[, reverse]", (1, 2), "Sorts by number; the array.", sort_numerical),
    mutator("array.reverse", "a", (1, 1), "Turns the order round; the array.", reverse),
    with_pattern(
        mutator(
            "array.filter",
            "a, regex[, flags]",
            (2, 3),
            "Keeps the elements that match; flags: i either case, ! those that do not match; the array.",
            filter,
        ),
        1,
        2,
    ),
    mutator(
        "array.splice",
        "a, offset, length[, v…]",
        (3, ANY),
        "Replaces length elements from offset on by the values; the array.",
        splice,
    ),
];

/// `array.length(a)` → integer; what is no array warns and gives 0.
fn length<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let Some(container) = call.container(0)? else { return Ok(Value::Int(0)) };
    let length = match &*container.borrow() {
        Container::Empty => 0,
        Container::Array(elements) => elements.len(),
        Container::Hash(_) => {
            call.warn("Cannot convert hash to array value")?;
            0
        }
    };
    Ok(number(length))
}

/// `array.push(a, v…)` → the array, with copies of the values at its end.
fn push<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let values = copies_from(call, 1)?;
    change(call, |call, elements| {
        charge_elements(call, values.len(), elements.len() + values.len())?;
        elements.extend(values);
        Ok(None)
    })
}

/// `array.pop(a)` → the element that was last, which is removed; the empty string if there is none.
fn pop<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    change(call, |_, elements| Ok(Some(elements.pop().unwrap_or(Value::EMPTY))))
}

/// `array.shift(a)` → the element that was first, which is removed; the empty string if there is none.
fn shift<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    change(call, |call, elements| {
        moved(call, elements.len())?;
        Ok(Some(if elements.is_empty() { Value::EMPTY } else { elements.remove(0) }))
    })
}

/// `array.unshift(a, v…)` → the array, with copies of the values in front, in their order.
fn unshift<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let values = copies_from(call, 1)?;
    change(call, |call, elements| {
        charge_elements(call, values.len(), elements.len() + values.len())?;
        moved(call, elements.len())?;
        elements.splice(0..0, values);
        Ok(None)
    })
}

/// `array.append(a, b)` → the array a, longer by copies of the elements of b.
fn append<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let more = elements_at(call, 1)?;
    let more = copied_all(call, &more)?;
    change(call, |call, elements| {
        charge_elements(call, 0, elements.len() + more.len())?;
        elements.extend(more);
        Ok(None)
    })
}

/// `array.contains(a, v)` → 1 if an element equals v as `==` compares them, else 0. Nested containers are not searched;
/// a container as v warns and gives 0.
fn contains<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let elements = elements_at(call, 0)?;
    let wanted = call.value(1);
    if matches!(wanted, Value::Container(_)) {
        call.warn(&format!("Cannot convert {} to string value", cast::kind(&wanted)))?;
        return Ok(Value::flag(false));
    }
    let texts = text_bytes(&elements);
    if let Value::Text(text) = &wanted {
        // Read as number for each number it is compared with.
        let numbers = elements.iter().filter(|element| !matches!(element, Value::Text(_))).count();
        charge_work(call, texts)?;
        charge_times(call, text.len().saturating_mul(numbers), NUMBER)?;
    } else {
        charge_times(call, texts, NUMBER)?;
    }
    Ok(Value::flag(elements.iter().any(|element| compare(element, &wanted) == Some(Ordering::Equal))))
}

/// `array.join(a[, separator=" "])` → string. Nested containers warn and count as `0`.
fn join<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let elements = elements_at(call, 0)?;
    let separator = if call.has(1) { call.text(1)? } else { Argument::Made(Text::Constant(b" ")) };
    charge_each(call, elements.len())?;
    let mut output = Output::default();
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            output.push(call, &separator)?;
        }
        let text = text_of(call, element)?;
        output.push(call, &text)?;
    }
    Ok(output.value())
}

/// `array.create(n[, default=""])` → array. n below 0 warns and gives an empty array.
fn create<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let size = size_at(call, 0)?;
    let default = call.value(1);
    let mut elements = Vec::new();
    grow(call, &mut elements, size, &default)?;
    Ok(array(elements))
}

/// `array.resize(a, n[, default=""])` → the array, cut off or grown by copies of default. n below 0 warns and counts
/// as 0.
fn resize<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let size = size_at(call, 1)?;
    // Copied first: the default may be the array itself.
    let default = copy_of(call, 2)?;
    change(call, |call, elements| {
        elements.truncate(size);
        grow(call, elements, size, &default)?;
        Ok(None)
    })
}

/// `array.copy(a)` → array that shares nothing with a, nested containers included.
fn copy<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let elements = elements_at(call, 0)?;
    Ok(array(copied_all(call, &elements)?))
}

/// `array.sort(a[, reverse])` → the array, sorted byte by byte as strings; equal elements keep their order. Nested
/// containers warn and sort as `0`.
fn sort<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let descending = call.truth(1);
    change(call, |call, elements| {
        charge_sort(call, elements)?;
        let mut keyed = Vec::with_capacity(elements.len());
        for element in elements.iter() {
            keyed.push((text_of(call, element)?, element.clone()));
        }
        keyed.sort_by(|(left, _), (right, _)| directed((**left).cmp(&**right), descending));
        *elements = keyed.into_iter().map(|(_, element)| element).collect();
        Ok(None)
    })
}

/// `array.sortNumerical(a[, reverse])` → the array, sorted by number; elements keep their types, equal ones their
/// order. Nested containers warn and sort as 0.
fn sort_numerical<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let descending = call.truth(1);
    change(call, |call, elements| {
        charge_sort(call, elements)?;
        let mut keyed = Vec::with_capacity(elements.len());
        for element in elements.iter() {
            if matches!(element, Value::Container(_)) {
                call.warn(&format!("Cannot convert {} to double value", cast::kind(element)))?;
            }
            // The integer settles what a double is too coarse for.
            let key = (cast::double(element).unwrap_or(0.0), cast::int(element).unwrap_or(0));
            keyed.push((key, element.clone()));
        }
        keyed.sort_by(|(left, _), (right, _)| {
            directed(left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)), descending)
        });
        *elements = keyed.into_iter().map(|(_, element)| element).collect();
        Ok(None)
    })
}

/// `array.reverse(a)` → the array, turned round.
fn reverse<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    change(call, |call, elements| {
        moved(call, elements.len())?;
        elements.reverse();
        Ok(None)
    })
}

/// `array.filter(a, regex[, flags])` → the array with the elements whose string matches somewhere. Flags: `i` letters
/// match in either case, `!` keeps those that do not match. Nested containers warn and count as `0`. A match that
/// reaches its limit aborts the rule.
fn filter<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let flags = flags_at(call, 2, "i!")?;
    let pattern = call.pattern(1, flags.pattern)?;
    change(call, |call, elements| {
        charge_work(call, elements.len().saturating_mul(ELEMENT).saturating_add(text_bytes(elements)))?;
        let mut kept = Vec::new();
        for element in elements.iter() {
            call.meter.step().map_err(|limit| Interrupt::Abort(limit.to_string()))?;
            let text = text_of(call, element)?;
            let found = call.captures(&pattern, &text, 0)?.is_some();
            if found != flags.negate {
                kept.push(element.clone());
            }
        }
        *elements = kept;
        Ok(None)
    })
}

/// `array.splice(a, offset, length[, v…])` → the array, with `length` elements from `offset` on replaced by copies of
/// the values. A length below 0 counts as 0, one beyond the end as up to the end; an offset outside the array warns
/// and changes nothing.
fn splice<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (offset, length) = (call.int(1)?, call.int(2)?);
    let values = copies_from(call, 3)?;
    change(call, |call, elements| {
        let Some(from) = usize::try_from(offset).ok().filter(|from| *from <= elements.len()) else {
            call.warn(&format!(
                "array.splice: offset {offset} is outside an array of {} elements",
                elements.len()
            ))?;
            return Ok(None);
        };
        let to = from.saturating_add(usize::try_from(length).unwrap_or(0)).min(elements.len());
        charge_elements(call, values.len(), elements.len() - (to - from) + values.len())?;
        moved(call, elements.len() - from)?;
        elements.splice(from..to, values);
        Ok(None)
    })
}

/// Takes the elements of the first argument out, lets `does` change them and puts them back; gives what it gives, or
/// the array. What is no array warns and gives the empty string.
fn change<'p>(
    call: &mut Call<'_, 'p>,
    does: impl FnOnce(&mut Call<'_, 'p>, &mut Vec<Value<'p>>) -> Result<Option<Value<'p>>, Interrupt>,
) -> Outcome<'p> {
    let Some(container) = array_at(call, 0)? else { return Ok(Value::EMPTY) };
    // Not borrowed meanwhile: another argument may be the same array.
    let mut elements = match &mut *container.borrow_mut() {
        Container::Array(elements) => std::mem::take(elements),
        Container::Empty | Container::Hash(_) => Vec::new(),
    };
    let result = does(call, &mut elements);
    *container.borrow_mut() = Container::Array(elements);
    Ok(result?.unwrap_or(Value::Container(container)))
}

/// Copies of the arguments from `first` on.
fn copies_from<'p>(call: &mut Call<'_, 'p>, first: usize) -> Result<Vec<Value<'p>>, Interrupt> {
    (first..call.count()).map(|index| copy_of(call, index)).collect()
}

/// A size that an argument asks for; below 0 warns and counts as 0.
fn size_at(call: &mut Call<'_, '_>, index: usize) -> Result<usize, Interrupt> {
    let size = call.int(index)?;
    if size < 0 {
        call.warn(&format!("An array cannot have {size} elements"))?;
    }
    Ok(usize::try_from(size.max(0)).unwrap_or(usize::MAX))
}

/// Adds copies of `default` up to `size` elements.
fn grow<'p>(
    call: &mut Call<'_, 'p>,
    elements: &mut Vec<Value<'p>>,
    size: usize,
    default: &Value<'p>,
) -> Result<(), Interrupt> {
    charge_elements(call, size.saturating_sub(elements.len()), size)?;
    while elements.len() < size {
        elements.push(copied(call, default)?);
    }
    Ok(())
}

fn copied_all<'p>(call: &mut Call<'_, 'p>, elements: &[Value<'p>]) -> Result<Vec<Value<'p>>, Interrupt> {
    charge_elements(call, elements.len(), elements.len())?;
    elements.iter().map(|element| copied(call, element)).collect()
}

/// Accounts for moving so many elements by one place, which costs far less than making them.
fn moved(call: &mut Call<'_, '_>, count: usize) -> Result<(), Interrupt> {
    const MOVE: usize = 2;
    charge_work(call, count.saturating_mul(MOVE))
}

/// Accounts for sorting: each element takes part in about as many comparisons as their number has bits.
fn charge_sort(call: &mut Call<'_, '_>, elements: &[Value<'_>]) -> Result<(), Interrupt> {
    charge_elements(call, elements.len(), elements.len().min(MAX_ELEMENTS))?;
    charge_each(call, elements.len())?;
    let bits = usize::BITS - elements.len().leading_zeros();
    let size = elements.len().saturating_mul(ELEMENT).saturating_add(text_bytes(elements));
    charge_work(call, size.saturating_mul(bits as usize))
}

fn directed(ordering: Ordering, descending: bool) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Interrupt,
        trial::{Trial, check, hash, list, v},
    };
    use crate::value::Value;

    fn shown(value: &Value<'static>) -> String {
        Trial::new().show(value)
    }

    #[test]
    fn values() {
        let nested = || list(v![1, list(v!["x"])]);
        check(&[
            ("array.length", v![list(v![1, 2])], "2"),
            ("array.length", v![list(v![])], "0"),
            ("array.push", v![list(v![1]), "a"], "[ 1, \"a\" ]"),
            ("array.push", v![list(v![]), 1, 2], "[ 1, 2 ]"),
            ("array.unshift", v![list(v![3]), 1, 2], "[ 1, 2, 3 ]"),
            ("array.pop", v![list(v![1, 2])], "2"),
            ("array.pop", v![list(v![])], "\"\""),
            ("array.shift", v![list(v![1, 2])], "1"),
            ("array.shift", v![list(v![])], "\"\""),
            ("array.unshift", v![list(v![1, 2]), 0], "[ 0, 1, 2 ]"),
            ("array.append", v![list(v![1]), nested()], "[ 1, 1, [ \"x\" ] ]"),
            ("array.contains", v![list(v![1, "b"]), "b"], "1"),
            ("array.contains", v![list(v![1, "b"]), "1"], "1"),
            ("array.contains", v![nested(), "x"], "0"),
            ("array.contains", v![list(v![2, "b"]), 3], "0"),
            ("array.join", v![list(v![1, "b", 2.5])], "\"1 b 2.5\""),
            ("array.join", v![list(v![1, "b"]), ", "], "\"1, b\""),
            ("array.join", v![list(v![])], "\"\""),
            ("array.create", v![2], "[ \"\", \"\" ]"),
            ("array.create", v![2, 7], "[ 7, 7 ]"),
            ("array.resize", v![list(v![1, 2, 3]), 2], "[ 1, 2 ]"),
            ("array.resize", v![list(v![1]), 3, 0], "[ 1, 0, 0 ]"),
            ("array.copy", v![nested()], "[ 1, [ \"x\" ] ]"),
            ("array.sort", v![list(v![2, 1, 10])], "[ 1, 10, 2 ]"),
            ("array.sort", v![list(v![2, 1, 10]), true], "[ 2, 10, 1 ]"),
            ("array.sortNumerical", v![list(v![10, "9", 2])], "[ 2, \"9\", 10 ]"),
            ("array.sortNumerical", v![list(v![10, "9", 9.5]), 1], "[ 10, 9.5, \"9\" ]"),
            ("array.reverse", v![list(v![1, 2, 3])], "[ 3, 2, 1 ]"),
            ("array.filter", v![list(v!["ab", "b", "AB"]), "^a"], "[ \"ab\" ]"),
            ("array.filter", v![list(v!["ab", "b", "AB"]), "^a", "i"], "[ \"ab\", \"AB\" ]"),
            ("array.filter", v![list(v!["ab", "b", "AB"]), "^a", "i!"], "[ \"b\" ]"),
            ("array.splice", v![list(v![0, 1, 2, 3]), 1, 1, "a", "b"], "[ 0, \"a\", \"b\", 2, 3 ]"),
            ("array.splice", v![list(v![0, 1]), 1, 99], "[ 0 ]"),
            ("array.splice", v![list(v![0, 1]), 2, 0, 2], "[ 0, 1, 2 ]"),
            ("array.splice", v![list(v![0, 1]), 0, -1, 2], "[ 2, 0, 1 ]"),
        ]);
    }

    #[test]
    fn mutators_change_the_callers_array_and_copy_what_goes_in() {
        let mut trial = Trial::new();
        let outer = list(v![1]);
        let inner = list(v![2]);
        trial.call("array.push", vec![outer.clone(), inner.clone()]).unwrap();
        trial.call("array.push", vec![inner, Value::Int(3)]).unwrap();
        assert_eq!(shown(&outer), "[ 1, [ 2 ] ]");
        trial.call("array.push", vec![outer.clone(), outer.clone()]).unwrap();
        assert_eq!(shown(&outer), "[ 1, [ 2 ], [ 1, [ 2 ] ] ]");
        trial.call("array.append", vec![outer.clone(), outer.clone()]).unwrap();
        trial.call("array.resize", vec![outer.clone(), Value::Int(1)]).unwrap();
        trial.call("array.resize", vec![outer.clone(), Value::Int(2), outer.clone()]).unwrap();
        assert_eq!(shown(&outer), "[ 1, [ 1 ] ]");
        trial.call("array.append", vec![outer.clone(), outer.clone()]).unwrap();
        assert_eq!(shown(&outer), "[ 1, [ 1 ], 1, [ 1 ] ]");
        assert!(trial.log().is_empty());
    }

    #[test]
    fn misuse_warns_and_goes_on() {
        for (name, arguments, result, warning) in [
            ("array.length", v!["abc"], "0", "Cannot convert scalar to array or hash value"),
            ("array.length", v![hash(&[("a", 1)])], "0", "Cannot convert hash to array value"),
            ("array.push", v![hash(&[]), 1], "\"\"", "Cannot convert hash to array value"),
            ("array.join", v![list(v![list(v![])])], "\"0\"", "Cannot convert array to string value"),
            ("array.create", v![-1], "[ ]", "An array cannot have -1 elements"),
            ("array.contains", v![list(v![1]), list(v![1])], "0", "Cannot convert array to string value"),
            (
                "array.splice",
                v![list(v![1]), -1, 1],
                "[ 1 ]",
                "array.splice: offset -1 is outside an array of 1 elements",
            ),
            (
                "array.sortNumerical",
                v![list(v![1, list(v![])])],
                "[ [ ], 1 ]",
                "Cannot convert array to double value",
            ),
        ] {
            let mut trial = Trial::new();
            assert_eq!(trial.shown(name, arguments), result, "{name}");
            assert_eq!(trial.log(), [format!("Rule test: Line 1: {warning}")], "{name}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        for (name, arguments) in [
            ("array.create", v![i64::MAX]),
            ("array.create", v![1 << 30, "x"]),
            ("array.resize", v![list(v![]), i64::MAX]),
        ] {
            assert!(matches!(Trial::new().call(name, arguments), Err(Interrupt::Abort(_))), "{name}");
        }
        // Each copy of the default is charged for, too.
        let mut trial = Trial::new();
        let large = trial.call("array.create", v![10_000]).unwrap();
        let result = trial.call("array.create", vec![Value::Int(10_000), large]);
        assert!(matches!(result, Err(Interrupt::Abort(_))));
    }

    #[test]
    fn a_match_that_reaches_its_limit_aborts() {
        let mut trial = Trial::new();
        trial.match_steps(100);
        let result =
            trial.call("array.filter", v![list(v!["aaaaaaaaaaaaaaaaaaaaaaaaaaaaab"]), "(?!b)(a|aa)+$"]);
        assert!(matches!(result, Err(Interrupt::Abort(_))), "{result:?}");
    }
}
