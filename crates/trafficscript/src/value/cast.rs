//! The casts of the language. `None` = the value is a container, which has no scalar form.

use std::io::Write as _;

use super::{Container, Text, Value};

/// As integer: doubles are rounded to the nearest, strings give their leading integer.
pub fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Double(number) => Some(number.round() as i64),
        Value::Text(text) => Some(leading_int(text)),
        Value::Container(_) => None,
    }
}

/// As double: strings give their leading number.
pub fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        Value::Text(text) => Some(leading_double(text)),
        Value::Container(_) => None,
    }
}

/// As string.
pub fn text<'p>(value: &Value<'p>) -> Option<Text<'p>> {
    match value {
        Value::Int(number) => Some(integer(*number)),
        Value::Double(number) => Some(Text::Made(general(*number).as_bytes().into())),
        Value::Text(text) => Some(text.clone()),
        Value::Container(_) => None,
    }
}

/// An integer in decimal.
fn integer<'p>(number: i64) -> Text<'p> {
    /// The longest has 19 digits and a sign.
    const LONGEST: usize = 20;
    let mut text = [0; LONGEST];
    let mut room = &mut text[..];
    match write!(room, "{number}") {
        Ok(()) => {
            let length = LONGEST - room.len();
            Text::Made(text.get(..length).unwrap_or_default().into())
        }
        Err(_) => Text::Made(number.to_string().as_bytes().into()),
    }
}

/// Whether it is true: a number that is not zero, a string or container that is not empty.
pub fn truth(value: &Value<'_>) -> bool {
    match value {
        Value::Int(number) => *number != 0,
        Value::Double(number) => *number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::Container(container) => match &*container.borrow() {
            Container::Empty => false,
            Container::Array(elements) => !elements.is_empty(),
            Container::Hash(entries) => !entries.is_empty(),
        },
    }
}

/// What people call its type.
pub fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Int(_) => "integer",
        Value::Double(_) => "double",
        Value::Text(_) => "string",
        Value::Container(container) => match &*container.borrow() {
            Container::Hash(_) => "hash",
            Container::Empty | Container::Array(_) => "array",
        },
    }
}

/// The integer a string begins with, 0 if it begins with none.
pub fn leading_int(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let number = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |number, byte| number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0')));
    if negative { number.wrapping_neg() } else { number }
}

/// The number a string begins with, 0 if it begins with none.
pub fn leading_double(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let digits =
        |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let mut end = sign + digits(sign);
    if text.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let found = digits(exponent);
        if found > 0 {
            end = exponent + found;
        }
    }
    let prefix = text.get(..end).unwrap_or_default();
    std::str::from_utf8(prefix).ok().and_then(|prefix| prefix.parse().ok()).unwrap_or(0.0)
}

/// The C format `%g`: six significant digits.
pub fn general(number: f64) -> String {
    const DIGITS: i32 = 6;
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    if !number.is_finite() {
        return if number.is_nan() {
            "nan".into()
        } else if number > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let scientific = format!("{number:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..DIGITS).contains(&exponent) {
        trim(&format!("{number:.*}", usize::try_from(DIGITS - 1 - exponent).unwrap_or(0)))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}
