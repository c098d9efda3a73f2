//! Literal replacement. Case-blind forms (`…I`) disregard the case of ASCII letters only.

use memchr::memmem;

use super::{
    super::{
        Argument, Call, Function, Interrupt, Outcome,
        cost::Found,
        make::{Output, charge_work},
        row::{deprecated, works},
    },
    folded,
};

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("string.replace", "s, find, replacement", (3, 3), "s with the first find replaced.", replace),
    works("string.replaceAll", "s, find, replacement", (3, 3), "s with every find replaced.", replace_all),
    works("string.replaceI", "s, find, replacement", (3, 3), "As string.replace, in either case.", replace_i),
    works(
        "string.replaceAllI",
        "s, find, replacement",
        (3, 3),
        "As string.replaceAll, in either case.",
        replace_all_i,
    ),
    deprecated("string.Ireplace", "s, find, replacement", (3, 3), "string.replaceI", replace_i),
    deprecated("string.IreplaceAll", "s, find, replacement", (3, 3), "string.replaceAllI", replace_all_i),
];

/// `string.replace(s, find, replacement)` → s with the first find replaced; s as it is if find is empty or not in it.
fn replace<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    replaced(call, false, 1)
}

/// `string.replaceAll(s, find, replacement)` → s with every find replaced, from the left and without overlap; what a
/// replacement brings is not searched again.
fn replace_all<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    replaced(call, false, usize::MAX)
}

/// `string.replaceI(s, find, replacement)` → as `string.replace`.
fn replace_i<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    replaced(call, true, 1)
}

/// `string.replaceAllI(s, find, replacement)` → as `string.replaceAll`.
fn replace_all_i<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    replaced(call, true, usize::MAX)
}

fn replaced<'p>(call: &mut Call<'_, 'p>, caseless: bool, most: usize) -> Outcome<'p> {
    let (text, find, replacement) = (call.text(0)?, call.text(1)?, call.text(2)?);
    if find.is_empty() {
        return Ok(text.into());
    }
    charge_work(call, text.len().saturating_add(find.len()))?;
    if caseless {
        let (searched, find) = (folded(call, &text)?, folded(call, &find)?);
        composed(call, &text, &searched, &find, &replacement, most)
    } else {
        composed(call, &text, &text, &find, &replacement, most)
    }
}

/// `text` with the finds in `searched`, which is `text` in the case to compare, replaced.
fn composed<'p>(
    call: &mut Call<'_, 'p>,
    text: &Argument<'_, 'p>,
    searched: &[u8],
    find: &[u8],
    replacement: &[u8],
    most: usize,
) -> Result<crate::Value<'p>, Interrupt> {
    let mut output = Output::default();
    let mut from = 0;
    let mut found = Found::default();
    for at in memmem::find_iter(searched, find).take(most) {
        found.another(call)?;
        output.push(call, text.get(from..at).unwrap_or_default())?;
        output.push(call, replacement)?;
        from = at + find.len();
    }
    if from == 0 {
        return Ok(text.as_text().clone().into());
    }
    output.push(call, text.get(from..).unwrap_or_default())?;
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
            ("string.replace", v!["banana", "an", "AN"], "\"bANana\""),
            ("string.replace", v!["banana", "", "x"], "\"banana\""),
            ("string.replace", v!["banana", "x", "y"], "\"banana\""),
            ("string.replace", v!["$1", "$1", "$2"], "\"$2\""),
            ("string.replaceAll", v!["banana", "an", ""], "\"ba\""),
            ("string.replaceAll", v!["aaa", "aa", "aaaa"], "\"aaaaa\""),
            ("string.replaceI", v!["Banana", "AN", "-"], "\"B-ana\""),
            ("string.replaceAllI", v!["bAnana", "aN", "-"], "\"b--a\""),
            ("string.Ireplace", v!["Banana", "AN", "-"], "\"B-ana\""),
            ("string.IreplaceAll", v!["bAnana", "aN", "-"], "\"b--a\""),
        ]);
    }

    #[test]
    fn growth_is_bounded() {
        let (text, replacement) = ("a".repeat(100_000), "b".repeat(100_000));
        let arguments = v![text.as_str(), "a", replacement.as_str()];
        assert!(matches!(Trial::new().call("string.replaceAll", arguments), Err(Interrupt::Abort(_))));
    }
}
