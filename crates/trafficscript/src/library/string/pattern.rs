//! Regular expressions (Perl syntax, searched anywhere in the string) and shell globs.

use std::ops::Range;

use super::super::{
    CAPTURES, Call, Function, Interrupt, Outcome,
    cost::{ESCAPE, WILDCARDS, charge_times},
    make::{Output, charge_work, part},
    row::{with_pattern, works},
};
use crate::{
    pattern::{Captures, Flags},
    value::Value,
};

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    with_pattern(
        works(
            "string.regexmatch",
            "s, regex[, flags]",
            (2, 3),
            "1 if the regular expression matches somewhere, else 0; sets $1 to $9 to the groups. Flag: i either case.",
            regexmatch,
        ),
        1,
        2,
    ),
    with_pattern(
        works(
            "string.regexsub",
            "s, regex, replacement[, flags]",
            (3, 4),
            "s with the first match replaced; $1 to $9 in the replacement are groups. Flags: g every match, i either case.",
            regexsub,
        ),
        1,
        3,
    ),
    works("string.regexescape", "s", (1, 1), "s as a regular expression that matches just it.", regexescape),
    works(
        "string.wildmatch",
        "s, pattern",
        (2, 2),
        "1 if a shell glob (? one byte, * any) matches all of s, else 0.",
        wildmatch,
    ),
];

/// Flags of the functions that take a regular expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::library) struct CallFlags {
    /// What the pattern is compiled with: `i`.
    pub(in crate::library) pattern: Flags,
    /// `g`: every match.
    pub(in crate::library) every: bool,
    /// `!`: what does not match.
    pub(in crate::library) negate: bool,
}

/// The flags an argument gives; letters that are not among those of the function are disregarded with a warning.
pub(in crate::library) fn flags_at(
    call: &mut Call<'_, '_>,
    index: usize,
    known: &str,
) -> Result<CallFlags, Interrupt> {
    let text = call.text(index)?;
    charge_work(call, text.len())?;
    if let Some(unknown) = text.iter().find(|flag| !known.as_bytes().contains(flag)) {
        let unknown = unknown.escape_ascii();
        call.warn(&format!(
            "`{unknown}` is no flag of this function and has no effect; its flags are `{known}`"
        ))?;
    }
    let has = |flag: u8| text.contains(&flag);
    Ok(CallFlags { pattern: Flags { caseless: has(b'i') }, every: has(b'g'), negate: has(b'!') })
}

/// `string.regexmatch(s, regex[, flags])` → 1 or 0. A match sets `$1` to `$9` to its groups, the empty string where
/// there is none; no match leaves them. Flag: `i`. A bad expression, or a match that reaches its limit, aborts the rule.
fn regexmatch<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let flags = flags_at(call, 2, "i")?;
    let pattern = call.pattern(1, flags.pattern)?;
    charge_work(call, text.len())?;
    let Some(places) = call.captures(&pattern, &text, 0)? else {
        return Ok(Value::flag(false));
    };
    for number in 1..=CAPTURES {
        let value = part(call, &text, group(&places, number))?;
        call.set_capture(number, value);
    }
    Ok(Value::flag(true))
}

/// Where a group of a match stands; empty if it did not take part or there is none.
fn group(places: &Captures, number: usize) -> Range<usize> {
    if number >= places.len() {
        return 0..0;
    }
    // `\K` can move the beginning of a match behind its end.
    places.get(number).map_or(0..0, |(start, end)| start.min(end)..end)
}

/// `string.regexsub(s, regex, replacement[, flags])` → s with the first match, with flag `g` every match, replaced.
/// `$1` to `$9` in the replacement stand for the groups. Flag `i`. Behind an empty match the search goes on one byte
/// further. A bad expression, or a match that reaches its limit, aborts the rule.
fn regexsub<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let replacement = call.text(2)?;
    let flags = flags_at(call, 3, "gi")?;
    let pattern = call.pattern(1, flags.pattern)?;
    let mut output = Output::default();
    let mut copied = 0;
    let mut from = 0;
    let mut changed = false;
    while from <= text.len() {
        call.meter.step().map_err(|limit| Interrupt::Abort(limit.to_string()))?;
        let found = call.captures(&pattern, &text, from)?;
        let Some(places) = found else {
            charge_work(call, text.len() - from)?;
            break;
        };
        let whole = group(&places, 0);
        charge_work(call, whole.end.saturating_sub(from))?;
        // A match that looks back to before what is already copied would repeat it.
        let start = whole.start.max(copied);
        output.push(call, text.get(copied..start).unwrap_or_default())?;
        expand(call, &mut output, &replacement, &text, &places)?;
        changed = true;
        copied = whole.end.max(copied);
        from = if whole.end > from && !whole.is_empty() { whole.end } else { whole.end.max(from) + 1 };
        if !flags.every {
            break;
        }
    }
    if !changed {
        return Ok(text.into());
    }
    output.push(call, text.get(copied..).unwrap_or_default())?;
    Ok(output.value())
}

/// Adds the replacement, its `$1` to `$9` being groups.
fn expand(
    call: &mut Call<'_, '_>,
    output: &mut Output,
    replacement: &[u8],
    text: &[u8],
    places: &Captures,
) -> Result<(), Interrupt> {
    charge_work(call, replacement.len())?;
    let mut rest = replacement;
    while let Some(at) = memchr::memchr(b'$', rest) {
        let (before, from_dollar) = rest.split_at(at);
        output.push(call, before)?;
        rest = match from_dollar {
            [b'$', digit @ b'1'..=b'9', behind @ ..] => {
                let range = group(places, usize::from(digit - b'0'));
                output.push(call, text.get(range).unwrap_or_default())?;
                behind
            }
            [dollar, behind @ ..] => {
                output.push(call, &[*dollar])?;
                behind
            }
            [] => from_dollar,
        };
    }
    output.push(call, rest)
}

/// `string.regexescape(s)` → s with a backslash before every byte outside `A-Z a-z 0-9 _`.
fn regexescape<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    charge_times(call, text.len(), ESCAPE)?;
    call.charge(text.len() + text.iter().filter(|byte| !plain(**byte)).count())?;
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text.iter().copied() {
        if !plain(byte) {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    Ok(Value::from(escaped))
}

/// `string.wildmatch(s, pattern)` → 1 or 0. `?` stands for one byte, `*` for any number; the pattern must match all of
/// s, in the case it is written in.
fn wildmatch<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    /// Comparisons that are accounted for at once.
    const BLOCK: usize = 4096;
    let (text, pattern) = (call.text(0)?, call.text(1)?);
    let (mut at, mut of_pattern) = (0, 0);
    // Behind the last `*`: where the pattern goes on, and where in the text it was tried last.
    let mut retry: Option<(usize, usize)> = None;
    let mut steps = 0;
    loop {
        steps += 1;
        if steps == BLOCK {
            steps = 0;
            charge_times(call, BLOCK, WILDCARDS)?;
        }
        match (text.get(at), pattern.get(of_pattern)) {
            (_, Some(b'*')) => {
                of_pattern += 1;
                retry = Some((of_pattern, at));
            }
            (Some(_), Some(b'?')) => {
                at += 1;
                of_pattern += 1;
            }
            (Some(byte), Some(wanted)) if byte == wanted => {
                at += 1;
                of_pattern += 1;
            }
            (None, None) => return Ok(Value::flag(true)),
            _ => match retry {
                Some((behind, tried)) if tried < text.len() => {
                    retry = Some((behind, tried + 1));
                    at = tried + 1;
                    of_pattern = behind;
                }
                _ => return Ok(Value::flag(false)),
            },
        }
    }
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
            ("string.regexmatch", v!["/a/b.gif", r"\.(gif|png)$"], "1"),
            ("string.regexmatch", v!["/a/b.GIF", r"\.(gif|png)$"], "0"),
            ("string.regexmatch", v!["/a/b.GIF", r"\.(gif|png)$", "i"], "1"),
            ("string.regexmatch", v!["", "^$"], "1"),
            ("string.regexsub", v!["banana", "an", "AN"], "\"bANana\""),
            ("string.regexsub", v!["banana", "an", "AN", "g"], "\"bANANa\""),
            ("string.regexsub", v!["Banana", "b(a)(n)", "$2$1$3$x$"], "\"Banana\""),
            ("string.regexsub", v!["Banana", "b(a)(n)", "$2$1$3$x$", "i"], "\"na$x$ana\""),
            ("string.regexsub", v!["abc", "", "-", "g"], "\"-a-b-c-\""),
            ("string.regexsub", v!["abc", "x*", "-", "g"], "\"-a-b-c-\""),
            ("string.regexsub", v!["aab", "^a", "-", "g"], "\"-ab\""),
            ("string.regexsub", v!["a,b", r"(?<=,)b", "-"], "\"a,-\""),
            ("string.regexsub", v!["abab", r"a\Kb", "-", "g"], "\"a-a-\""),
            ("string.regexsub", v!["", "^", "x", "g"], "\"x\""),
            ("string.regexescape", v!["a.b_1-é"], "\"a\\\\.b_1\\\\-\\\\\u{fffd}\\\\\u{fffd}\""),
            ("string.wildmatch", v!["/images/a.gif", "/images/*.gif"], "1"),
            ("string.wildmatch", v!["/images/a.gif", "*.png"], "0"),
            ("string.wildmatch", v!["abc", "a?c"], "1"),
            ("string.wildmatch", v!["abc", "a?"], "0"),
            ("string.wildmatch", v!["abc", "A*"], "0"),
            ("string.wildmatch", v!["", "*"], "1"),
            ("string.wildmatch", v!["", "?"], "0"),
            ("string.wildmatch", v!["aab", "*ab"], "1"),
            ("string.wildmatch", v!["mississippi", "m*iss*i?pi"], "1"),
            ("string.wildmatch", v!["mississippi", "m*iss*z*"], "0"),
        ]);
    }

    #[test]
    fn groups_are_match_variables() {
        let mut trial = Trial::new();
        assert_eq!(trial.shown("string.regexmatch", v!["GET /a", r"^(\w+) (x)?(.*)$"]), "1");
        assert_eq!(trial.captures(), ["GET", "", "/a", "", "", "", "", "", ""]);
        assert_eq!(trial.shown("string.regexmatch", v!["GET /a", "(POST)"]), "0");
        assert_eq!(trial.captures()[0], "GET");
        assert_eq!(trial.shown("string.regexmatch", v!["b", "b"]), "1");
        assert_eq!(trial.captures()[0], "");
        let eleven = "(.)".repeat(11);
        assert_eq!(trial.shown("string.regexmatch", v!["abcdefghijk", eleven.as_str()]), "1");
        assert_eq!(trial.captures()[8], "i");
    }

    #[test]
    fn what_is_no_flag_and_no_expression_is_told() {
        let mut trial = Trial::new();
        assert_eq!(trial.shown("string.regexmatch", v!["A", "a", "im"]), "1");
        let told = crate::library::testing::lines(&trial.host);
        assert!(told.len() == 1 && told[0].contains("`m` is no flag of this function"), "{told:?}");
        match trial.call("string.regexmatch", v!["a.gif", "*.gif"]) {
            Err(Interrupt::Abort(why)) => {
                assert!(why.starts_with("`*.gif` is not a regular expression: quantifier"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_escaped_string_matches_itself() {
        for text in ["a.b*c", "(?:[\\]^$|", "-{2}+?/", "\n\t #"] {
            let mut trial = Trial::new();
            let escaped = trial.call("string.regexescape", v![text]).unwrap();
            assert_eq!(trial.shown("string.regexmatch", v![text, escaped]), "1", "{text:?}");
        }
    }

    #[test]
    fn bad_expressions_and_limits_abort() {
        let mut trial = Trial::new();
        trial.match_steps(100);
        for arguments in [v!["a", "("], v!["aaaaaaaaaaaaaaaaaaaaaaaaaaaab", "(?!b)(a|aa)+$"]] {
            let mut more = arguments.clone();
            assert!(matches!(trial.call("string.regexmatch", arguments), Err(Interrupt::Abort(_))));
            more.extend(v!["x", "g"]);
            assert!(matches!(trial.call("string.regexsub", more), Err(Interrupt::Abort(_))));
        }
        let (text, replacement) = ("a".repeat(10_000), "b".repeat(100_000));
        let arguments = v![text.as_str(), "a", replacement.as_str(), "g"];
        assert!(matches!(Trial::new().call("string.regexsub", arguments), Err(Interrupt::Abort(_))));
        let (text, stars) = ("a".repeat(1 << 20), format!("{}b", "*a".repeat(1 << 18)));
        let arguments = v![text.as_str(), stars.as_str()];
        assert!(Trial::new().call("string.wildmatch", arguments).is_ok());
        let many = format!("*{}b*", "a".repeat(1 << 18));
        let arguments = v![text.as_str(), many.as_str()];
        assert!(matches!(Trial::new().call("string.wildmatch", arguments), Err(Interrupt::Abort(_))));
    }
}
