//! `string.sprintf`.

use super::super::{
    ANY, Call, Function, Interrupt, Outcome,
    cost::{FORMAT, Found, charge_times},
    make::Output,
    row::works,
};

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[works(
    "string.sprintf",
    "format, v…",
    (1, ANY),
    "The format with %s, %c, %d and %f (flags - + 0 and space, width, precision) replaced by the values.",
    sprintf,
)];

/// Largest width.
const MAX_WIDTH: usize = 4096;
/// Most digits behind the point, as many as a double can have that differ from 0.
const MAX_DIGITS: usize = 1074;

/// One `%…` of a format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Directive {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    kind: u8,
}

/// `string.sprintf(format, v…)` → string. `%s` a string (the precision is its most bytes), `%c` the byte of an integer,
/// `%d` an integer (the precision is its fewest digits), `%f` a double (the precision is its digits behind the point, 6
/// by default), `%%` a percent sign. Widths are cut to [`MAX_WIDTH`]. A value too few counts as the empty string or 0; it
/// and any other directive, which stays as it is written, warn.
fn sprintf<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let format = call.text(0)?;
    charge_times(call, format.len(), FORMAT)?;
    let mut found = Found::default();
    let mut output = Output::default();
    let mut next = 1;
    let mut rest = &*format;
    while let Some(at) = memchr::memchr(b'%', rest) {
        found.another(call)?;
        let (before, directive) = rest.split_at(at);
        output.push(call, before)?;
        rest = match parsed(directive) {
            Some((Directive { kind: b'%', .. }, behind)) => {
                output.push(call, b"%")?;
                behind
            }
            Some((directive, behind)) => {
                if !call.has(next) {
                    call.warn("string.sprintf: there are fewer values than the format asks for")?;
                }
                put(call, &mut output, directive, next)?;
                next += 1;
                behind
            }
            None => {
                call.warn("string.sprintf: the format has a directive other than %s, %c, %d and %f")?;
                output.push(call, b"%")?;
                directive.get(1..).unwrap_or_default()
            }
        };
    }
    output.push(call, rest)?;
    Ok(output.value())
}

/// The directive at the beginning of `text`, and what is behind it.
fn parsed(text: &[u8]) -> Option<(Directive, &[u8])> {
    let mut rest = text.get(1..)?;
    let mut directive = Directive::default();
    while let Some((flag, behind)) = rest.split_first() {
        match flag {
            b'-' => directive.left = true,
            b'+' => directive.plus = true,
            b' ' => directive.space = true,
            b'0' => directive.zero = true,
            _ => break,
        }
        rest = behind;
    }
    (directive.width, rest) = number(rest, MAX_WIDTH);
    if let [b'.', behind @ ..] = rest {
        let (precision, behind) = number(behind, usize::MAX);
        directive.precision = Some(precision);
        rest = behind;
    }
    let (kind, behind) = rest.split_first()?;
    directive.kind = *kind;
    matches!(kind, b's' | b'c' | b'd' | b'f' | b'%').then_some((directive, behind))
}

/// The number at the beginning of `text`, at most `most`, and what is behind it.
fn number(text: &[u8], most: usize) -> (usize, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = text.split_at(digits);
    let number = digits
        .iter()
        .fold(0_usize, |number, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    (number.min(most), behind)
}

/// Adds the argument at `index` as the directive asks for.
fn put(
    call: &mut Call<'_, '_>,
    output: &mut Output,
    directive: Directive,
    index: usize,
) -> Result<(), Interrupt> {
    match directive.kind {
        b's' => {
            let text = call.text(index)?;
            let shown = text.len().min(directive.precision.unwrap_or(usize::MAX));
            padded(call, output, directive, "", text.get(..shown).unwrap_or_default(), false)
        }
        b'c' => {
            let byte = call.int(index)? as u8;
            padded(call, output, directive, "", &[byte], false)
        }
        b'd' => {
            let number = call.int(index)?;
            let least = directive.precision.unwrap_or(1).min(MAX_WIDTH);
            let digits = format!("{:0least$}", number.unsigned_abs());
            let sign = sign_of(directive, number < 0);
            // As in C, a precision makes the flag 0 void.
            padded(call, output, directive, sign, digits.as_bytes(), directive.precision.is_none())
        }
        _ => {
            let number = call.double(index)?;
            let digits = directive.precision.unwrap_or(6).min(MAX_DIGITS);
            let sign = sign_of(directive, number.is_sign_negative() && !number.is_nan());
            let text = if number.is_nan() { "nan".to_owned() } else { format!("{:.digits$}", number.abs()) };
            padded(call, output, directive, sign, text.as_bytes(), number.is_finite())
        }
    }
}

fn sign_of(directive: Directive, negative: bool) -> &'static str {
    match (negative, directive.plus, directive.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

fn padded(
    call: &mut Call<'_, '_>,
    output: &mut Output,
    directive: Directive,
    sign: &str,
    body: &[u8],
    zeros: bool,
) -> Result<(), Interrupt> {
    let missing = directive.width.saturating_sub(sign.len() + body.len());
    let zeros = zeros && directive.zero && !directive.left;
    if !directive.left && !zeros {
        output.fill(call, b' ', missing)?;
    }
    output.push(call, sign.as_bytes())?;
    if zeros {
        output.fill(call, b'0', missing)?;
    }
    output.push(call, body)?;
    if directive.left {
        output.fill(call, b' ', missing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{Trial, check, v};

    #[test]
    fn values() {
        check(&[
            ("string.sprintf", v!["%s=%d", "a", "7x"], "\"a=7\""),
            ("string.sprintf", v!["[%5s|%-5s|%.2s]", "ab", "ab", "abc"], "\"[   ab|ab   |ab]\""),
            ("string.sprintf", v!["%c%c", 72, 105], "\"Hi\""),
            ("string.sprintf", v!["%05d|%+d|% d|%-4d|%.3d", 42, 7, 7, 7, 7], "\"00042|+7| 7|7   |007\""),
            ("string.sprintf", v!["%05d|%3d", -42, -12345], "\"-0042|-12345\""),
            ("string.sprintf", v!["%d", i64::MIN], "\"-9223372036854775808\""),
            ("string.sprintf", v!["%f", 1_700_000_000.25], "\"1700000000.250000\""),
            (
                "string.sprintf",
                v!["%.2f|%8.1f|%08.1f|%.0f", 1.005, 2.25, -2.25, 2.5],
                "\"1.00|     2.2|-00002.2|2\"",
            ),
            (
                "string.sprintf",
                v!["%f|%5f|%05f", f64::INFINITY, f64::NAN, f64::NEG_INFINITY],
                "\"inf|  nan| -inf\"",
            ),
            ("string.sprintf", v!["100%%"], "\"100%\""),
            ("string.sprintf", v![""], "\"\""),
            ("string.sprintf", v!["%s", "$1 %d"], "\"$1 %d\""),
        ]);
    }

    #[test]
    fn faulty_formats_warn() {
        for (arguments, result) in [
            (v!["%s|"], "\"|\""),
            (v!["%d"], "\"0\""),
            (v!["%x", 1], "\"%x\""),
            (v!["%"], "\"%\""),
            (v!["%5"], "\"%5\""),
            (v!["%*d", 1, 2], "\"%*d\""),
            (v!["%ld", 1], "\"%ld\""),
        ] {
            let mut trial = Trial::new();
            assert_eq!(trial.shown("string.sprintf", arguments), result);
            assert_eq!(trial.log().len(), 1, "{result}");
        }
    }

    #[test]
    fn widths_are_bounded() {
        let mut trial = Trial::new();
        let wide = trial.call("string.sprintf", v!["%99999999999999999999s%.999999999f", "a", 0.5]).unwrap();
        assert_eq!(trial.shown("string.len", vec![wide]), (4096 + 2 + 1074).to_string());
    }
}
