//! Parts of strings, and strings put together or turned.

use super::{
    super::{
        ANY, Argument, Call, Function, Outcome,
        cost::charge_each,
        make::{Output, array, charge_elements, charge_work, part},
        row::works,
    },
    offset_at,
};
use crate::value::{Text, Value};

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("string.substring", "s, base, end", (3, 3), "The bytes from base to end, end included.", substring),
    works("string.left", "s, n", (2, 2), "The first n bytes.", left),
    works("string.right", "s, n", (2, 2), "The last n bytes.", right),
    works("string.skip", "s, n", (2, 2), "All but the first n bytes.", skip),
    works("string.drop", "s, n", (2, 2), "All but the last n bytes.", drop_end),
    works(
        "string.split",
        "s[, separator]",
        (1, 2),
        "An array of what lies between the separators (a space by default); an empty separator gives single bytes.",
        split,
    ),
    works("string.append", "a, b…", (1, ANY), "The strings one after the other.", append),
    works("string.trim", "s", (1, 1), "Without white space and control bytes at both ends.", trim),
    works("string.lowercase", "s", (1, 1), "With ASCII letters in lower case.", lowercase),
    works("string.uppercase", "s", (1, 1), "With ASCII letters in upper case.", uppercase),
    works("string.reverse", "s", (1, 1), "The bytes in reverse order.", reverse),
    works(
        "string.insertBytes",
        "s, inserted, offset",
        (3, 3),
        "s with other bytes inserted at an offset; unchanged if the offset is outside s.",
        insert_bytes,
    ),
    works(
        "string.replaceBytes",
        "s, bytes, offset",
        (3, 3),
        "s with the bytes at an offset replaced, as long as before; unchanged if the offset is outside s.",
        replace_bytes,
    ),
];

/// `string.substring(s, base, end)` → bytes base to end, both included. What lies outside s is left out; empty if end
/// is before base.
fn substring<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, base, end) = (call.text(0)?, offset_at(call, 1)?, call.int(2)?);
    let Ok(end) = usize::try_from(end) else { return Ok(Value::EMPTY) };
    let end = end.saturating_add(1).min(text.len());
    if base >= end {
        return Ok(Value::EMPTY);
    }
    part(call, &text, base..end)
}

/// `string.left(s, n)` → first n bytes; all if there are fewer, empty if n is not above 0.
fn left<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, count) = (call.text(0)?, offset_at(call, 1)?);
    let end = count.min(text.len());
    part(call, &text, 0..end)
}

/// `string.right(s, n)` → last n bytes; all if there are fewer, empty if n is not above 0.
fn right<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, count) = (call.text(0)?, offset_at(call, 1)?);
    let from = text.len() - count.min(text.len());
    part(call, &text, from..text.len())
}

/// `string.skip(s, n)` → all but the first n bytes; empty if there are fewer, all if n is not above 0.
fn skip<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, count) = (call.text(0)?, offset_at(call, 1)?);
    let from = count.min(text.len());
    part(call, &text, from..text.len())
}

/// `string.drop(s, n)` → all but the last n bytes; empty if there are fewer, all if n is not above 0.
fn drop_end<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, count) = (call.text(0)?, offset_at(call, 1)?);
    let end = text.len() - count.min(text.len());
    part(call, &text, 0..end)
}

/// `string.split(s[, separator=" "])` → array, one element more than there are separators in s. The empty separator
/// gives one element per byte.
fn split<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let separator = if call.has(1) { call.text(1)? } else { Argument::Made(Text::Constant(b" ")) };
    charge_work(call, text.len().saturating_add(separator.len()))?;
    let mut elements = Vec::new();
    if separator.is_empty() {
        charge_elements(call, text.len(), text.len())?;
        charge_each(call, text.len())?;
        for at in 0..text.len() {
            elements.push(part(call, &text, at..at + 1)?);
        }
        return Ok(array(elements));
    }
    let finder = memchr::memmem::Finder::new(&*separator);
    let count = finder.find_iter(&text).count() + 1;
    charge_elements(call, count, count)?;
    charge_each(call, count)?;
    elements.reserve_exact(count);
    let mut from = 0;
    for at in finder.find_iter(&text) {
        elements.push(part(call, &text, from..at)?);
        from = at + separator.len();
    }
    elements.push(part(call, &text, from..text.len())?);
    Ok(array(elements))
}

/// `string.append(a, b…)` → concatenation.
fn append<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let mut output = Output::default();
    for index in 0..call.count() {
        let text = call.text(index)?;
        output.push(call, &text)?;
    }
    Ok(output.value())
}

/// `string.trim(s)` → without bytes 0 to 32 and 127 at both ends.
fn trim<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    let stays = |byte: &u8| *byte > b' ' && *byte != 127;
    let Some(from) = text.iter().position(stays) else { return Ok(Value::EMPTY) };
    let end = text.iter().rposition(stays).map_or(from, |last| last + 1);
    part(call, &text, from..end)
}

/// `string.lowercase(s)` → ASCII letters in lower case, other bytes as they are.
fn lowercase<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len())?;
    Ok(Value::from(text.to_ascii_lowercase()))
}

/// `string.uppercase(s)` → ASCII letters in upper case, other bytes as they are.
fn uppercase<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len())?;
    Ok(Value::from(text.to_ascii_uppercase()))
}

/// `string.reverse(s)` → bytes in reverse order.
fn reverse<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len())?;
    Ok(Value::from(text.iter().rev().copied().collect::<Vec<u8>>()))
}

/// `string.insertBytes(s, inserted, offset)` → longer string; s as it is if the offset is below 0 or above its length.
fn insert_bytes<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, inserted, offset) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let Some((before, behind)) = usize::try_from(offset).ok().and_then(|at| text.split_at_checked(at)) else {
        return Ok(text.into());
    };
    let mut output = Output::default();
    output.push(call, before)?;
    output.push(call, &inserted)?;
    output.push(call, behind)?;
    Ok(output.value())
}

/// `string.replaceBytes(s, bytes, offset)` → string as long as s; bytes that would stand behind its end are left out. s
/// as it is if the offset is below 0 or above its length.
fn replace_bytes<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (text, bytes, offset) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let Some((before, behind)) = usize::try_from(offset).ok().and_then(|at| text.split_at_checked(at)) else {
        return Ok(text.into());
    };
    let replaced = bytes.len().min(behind.len());
    let mut output = Output::default();
    output.push(call, before)?;
    output.push(call, bytes.get(..replaced).unwrap_or_default())?;
    output.push(call, behind.get(replaced..).unwrap_or_default())?;
    Ok(output.value())
}

#[cfg(test)]
mod tests {
    use super::super::super::{
        Interrupt,
        trial::{Trial, check, v},
    };

    #[test]
    fn values() {
        check(&[
            ("string.substring", v!["abcdefghij", 2, 8], "\"cdefghi\""),
            ("string.substring", v!["abc", 0, 0], "\"a\""),
            ("string.substring", v!["abc", 0, -1], "\"\""),
            ("string.substring", v!["abc", -3, 1], "\"ab\""),
            ("string.substring", v!["abc", 1, i64::MAX], "\"bc\""),
            ("string.substring", v!["abc", 3, 5], "\"\""),
            ("string.substring", v!["abc", 2, 1], "\"\""),
            ("string.left", v!["abcdef", 2], "\"ab\""),
            ("string.left", v!["abcdef", 99], "\"abcdef\""),
            ("string.left", v!["abcdef", -1], "\"\""),
            ("string.right", v!["abcdef", 2], "\"ef\""),
            ("string.right", v!["abcdef", 99], "\"abcdef\""),
            ("string.right", v!["abcdef", 0], "\"\""),
            ("string.skip", v!["abcdef", 2], "\"cdef\""),
            ("string.skip", v!["abcdef", 6], "\"\""),
            ("string.skip", v!["abcdef", i64::MAX], "\"\""),
            ("string.skip", v!["abcdef", i64::MIN], "\"abcdef\""),
            ("string.drop", v!["report.txt", 4], "\"report\""),
            ("string.drop", v!["abc", 4], "\"\""),
            ("string.drop", v!["abc", -4], "\"abc\""),
            ("string.split", v!["a b c"], "[ \"a\", \"b\", \"c\" ]"),
            ("string.split", v!["a, b,", ", "], "[ \"a\", \"b,\" ]"),
            ("string.split", v![",a,", ","], "[ \"\", \"a\", \"\" ]"),
            ("string.split", v!["abc", ""], "[ \"a\", \"b\", \"c\" ]"),
            ("string.split", v!["", ","], "[ \"\" ]"),
            ("string.split", v!["", ""], "[ ]"),
            ("string.append", v!["a"], "\"a\""),
            ("string.append", v!["a", 1, 2.5, ""], "\"a12.5\""),
            ("string.trim", v!["\r\n\t a b \u{0}\u{7f}"], "\"a b\""),
            ("string.trim", v![" \n"], "\"\""),
            ("string.lowercase", v!["AbC-1"], "\"abc-1\""),
            ("string.uppercase", v!["AbC-1"], "\"ABC-1\""),
            ("string.reverse", v!["abc"], "\"cba\""),
            ("string.insertBytes", v!["ad", "bc", 1], "\"abcd\""),
            ("string.insertBytes", v!["ad", "bc", 2], "\"adbc\""),
            ("string.insertBytes", v!["ad", "bc", 3], "\"ad\""),
            ("string.insertBytes", v!["ad", "bc", -1], "\"ad\""),
            ("string.replaceBytes", v!["abcdef", "WXYZ", 4], "\"abcdWX\""),
            ("string.replaceBytes", v!["abcdef", "Z", 1], "\"aZcdef\""),
            ("string.replaceBytes", v!["abc", "Z", 4], "\"abc\""),
            ("string.replaceBytes", v!["abc", "Z", -1], "\"abc\""),
        ]);
    }

    #[test]
    fn sizes_are_bounded() {
        let many = "a".repeat(1_000_000);
        for arguments in [v![many.as_str(), ""], v![many.as_str(), "a"]] {
            assert!(matches!(Trial::new().call("string.split", arguments), Err(Interrupt::Abort(_))));
        }
        let large = "a".repeat(9 << 20);
        let arguments = v![large.as_str(), large.as_str()];
        assert!(matches!(Trial::new().call("string.append", arguments), Err(Interrupt::Abort(_))));
    }
}
