//! Whether and where a string is in another. Case-blind forms (`…I`) disregard the case of ASCII letters only.

use std::cmp::Ordering;

use memchr::memmem;

use super::{
    super::{
        Call, Function, Interrupt, Outcome,
        cost::{CASELESS, Found, charge_times},
        make::{charge_work, number},
        row::works,
    },
    folded, offset_at,
};
use crate::{meter::BYTES_PER_INSTRUCTION, value::Value};

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("string.len", "s", (1, 1), "Length in bytes.", len),
    works("string.length", "s", (1, 1), "The same as string.len.", len),
    works("string.startsWith", "s, prefix", (2, 2), "1 if s begins with the prefix, else 0.", starts_with),
    works("string.startsWithI", "s, prefix", (2, 2), "The same in either case.", starts_with_i),
    works("string.endsWith", "s, suffix", (2, 2), "1 if s ends with the suffix, else 0.", ends_with),
    works("string.endsWithI", "s, suffix", (2, 2), "The same in either case.", ends_with_i),
    works("string.contains", "s, part", (2, 2), "1 if the part is somewhere in s, else 0.", contains),
    works("string.containsI", "s, part", (2, 2), "The same in either case.", contains_i),
    works(
        "string.find",
        "s, part[, start]",
        (2, 3),
        "Offset of the first part at or behind start, or -1.",
        find,
    ),
    works("string.findI", "s, part[, start]", (2, 3), "The same in either case.", find_i),
    works(
        "string.findr",
        "s, part[, skip]",
        (2, 3),
        "Offset of the last part, or -1; skip bytes at the end of s are left out.",
        findr,
    ),
    works("string.count", "s, part[, start]", (2, 3), "How often the part is in s, without overlap.", count),
    works("string.cmp", "a, b", (2, 2), "-1, 0 or 1: a is less than, equal to or greater than b.", cmp),
    works("string.icmp", "a, b", (2, 2), "The same in either case.", icmp),
];

/// `string.len(s)` → bytes.
fn len<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(text) = call.bytes(0) {
        return Ok(number(text.len()));
    }
    Ok(number(call.text(0)?.len()))
}

/// 1 or 0: what the first two arguments are to each other. Work is in proportion to the second.
#[inline]
fn test<'p>(call: &mut Call<'_, 'p>, test: fn(&[u8], &[u8]) -> bool) -> Outcome<'p> {
    match (call.bytes(0), call.bytes(1)) {
        (Some(text), Some(part)) if part.len() < BYTES_PER_INSTRUCTION => Ok(Value::flag(test(text, part))),
        _ => tested(call, test),
    }
}

/// As [`test()`], of any arguments.
#[inline(never)]
fn tested<'p>(call: &mut Call<'_, 'p>, test: fn(&[u8], &[u8]) -> bool) -> Outcome<'p> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    charge_work(call, part.len())?;
    Ok(Value::flag(test(&text, &part)))
}

/// `string.startsWith(s, prefix)` → 1 or 0. Every string begins with the empty one.
fn starts_with<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    test(call, <[u8]>::starts_with)
}

/// `string.startsWithI(s, prefix)` → 1 or 0.
fn starts_with_i<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    test(call, |text, prefix| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

/// `string.endsWith(s, suffix)` → 1 or 0. Every string ends with the empty one.
fn ends_with<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    test(call, <[u8]>::ends_with)
}

/// `string.endsWithI(s, suffix)` → 1 or 0.
fn ends_with_i<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    test(call, |text, suffix| {
        let end = text.len().checked_sub(suffix.len()).and_then(|from| text.get(from..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    })
}

/// `string.contains(s, part)` → 1 or 0. The empty string is in every string.
fn contains<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::flag(found(call, false)?.is_some()))
}

/// `string.containsI(s, part)` → 1 or 0.
fn contains_i<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::flag(found(call, true)?.is_some()))
}

/// `string.find(s, part[, start=0])` → offset from the beginning of s, or -1. A start below 0 counts as 0; the empty
/// part is found at start.
fn find<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let at = found(call, false)?;
    Ok(offset(at))
}

/// `string.findI(s, part[, start=0])` → offset or -1.
fn find_i<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let at = found(call, true)?;
    Ok(offset(at))
}

fn found(call: &mut Call<'_, '_>, caseless: bool) -> Result<Option<usize>, Interrupt> {
    if !call.has(2)
        && !caseless
        && let (Some(text), Some(part)) = (call.bytes(0), call.bytes(1))
    {
        charge_work(call, text.len().saturating_add(part.len()))?;
        return Ok(memmem::find(text, part));
    }
    let (text, part, start) = (call.text(0)?, call.text(1)?, offset_at(call, 2)?);
    let Some(rest) = text.get(start..) else { return Ok(None) };
    charge_work(call, rest.len().saturating_add(part.len()))?;
    let at = if caseless {
        memmem::find(&folded(call, rest)?, &folded(call, &part)?)
    } else {
        memmem::find(rest, &part)
    };
    Ok(at.map(|at| start + at))
}

fn offset<'p>(at: Option<usize>) -> Value<'p> {
    at.map_or(Value::Int(-1), number)
}

/// `string.findr(s, part[, skip=0])` → offset of the last part that lies wholly before the last `skip` bytes of s, or
/// -1.
fn findr<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, part, skip) = (call.text(0)?, call.text(1)?, offset_at(call, 2)?);
    let Some(searched) = text.len().checked_sub(skip).and_then(|end| text.get(..end)) else {
        return Ok(offset(None));
    };
    charge_work(call, searched.len().saturating_add(part.len()))?;
    Ok(offset(memmem::rfind(searched, &part)))
}

/// `string.count(s, part[, start=0])` → number of parts that do not overlap; 0 for the empty part.
fn count<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, part, start) = (call.text(0)?, call.text(1)?, offset_at(call, 2)?);
    let rest = text.get(start..).unwrap_or_default();
    if part.is_empty() {
        return Ok(Value::Int(0));
    }
    charge_work(call, rest.len().saturating_add(part.len()))?;
    let mut found = Found::default();
    for _ in memmem::find_iter(rest, &*part) {
        found.another(call)?;
    }
    Ok(number(found.count))
}

/// `string.cmp(a, b)` → -1, 0 or 1, byte by byte.
fn cmp<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (left, right) = (call.text(0)?, call.text(1)?);
    charge_work(call, left.len().min(right.len()))?;
    Ok(Value::Int(sign((*left).cmp(&*right))))
}

/// `string.icmp(a, b)` → -1, 0 or 1, byte by byte with ASCII letters in lower case.
fn icmp<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (left, right) = (call.text(0)?, call.text(1)?);
    charge_times(call, left.len().min(right.len()), CASELESS)?;
    let ordering = left.iter().map(u8::to_ascii_lowercase).cmp(right.iter().map(u8::to_ascii_lowercase));
    Ok(Value::Int(sign(ordering)))
}

fn sign(ordering: Ordering) -> i64 {
    match ordering {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{check, v};

    #[test]
    fn values() {
        check(&[
            ("string.len", v!["é"], "2"),
            ("string.len", v![1.5], "3"),
            ("string.length", v![""], "0"),
            ("string.startsWith", v!["/images/a", "/images"], "1"),
            ("string.startsWith", v!["/images", "/images/a"], "0"),
            ("string.startsWith", v!["a", ""], "1"),
            ("string.startsWithI", v!["Hello", "hE"], "1"),
            ("string.startsWithI", v!["H", "hello"], "0"),
            ("string.endsWith", v!["a.gif", ".gif"], "1"),
            ("string.endsWith", v!["a.gif", ".GIF"], "0"),
            ("string.endsWithI", v!["a.gif", ".GIF"], "1"),
            ("string.endsWithI", v!["f", ".GIF"], "0"),
            ("string.contains", v!["banana", "nan"], "1"),
            ("string.contains", v!["banana", ""], "1"),
            ("string.contains", v!["", "a"], "0"),
            ("string.containsI", v!["banana", "NAN"], "1"),
            ("string.find", v!["banana", "an"], "1"),
            ("string.find", v!["banana", "an", 2], "3"),
            ("string.find", v!["banana", "x"], "-1"),
            ("string.find", v!["banana", "b", -5], "0"),
            ("string.find", v!["banana", "", 6], "6"),
            ("string.find", v!["banana", "", 7], "-1"),
            ("string.find", v!["banana", "a", i64::MAX], "-1"),
            ("string.findI", v!["HELLO", "ell"], "1"),
            ("string.findI", v!["HELLO", "l", 3], "3"),
            ("string.findr", v!["banana", "a"], "5"),
            ("string.findr", v!["banana", "a", 1], "3"),
            ("string.findr", v!["banana", "x"], "-1"),
            ("string.findr", v!["banana", "a", 99], "-1"),
            ("string.count", v!["banana", "an"], "2"),
            ("string.count", v!["aaa", "aa"], "1"),
            ("string.count", v!["banana", "a", 2], "2"),
            ("string.count", v!["banana", ""], "0"),
            ("string.cmp", v!["a", "b"], "-1"),
            ("string.cmp", v!["b", "a"], "1"),
            ("string.cmp", v!["a", "a"], "0"),
            ("string.cmp", v!["a", "ab"], "-1"),
            ("string.icmp", v!["A", "a"], "0"),
            ("string.icmp", v!["B", "a"], "1"),
        ]);
    }
}
