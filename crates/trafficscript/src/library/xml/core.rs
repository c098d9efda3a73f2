//! The conversions of XPath 1.0 (3.2 to 3.5, 4.2 to 4.4), and what its functions do with strings.

use super::evaluate::Value;

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A string as number: a decimal with perhaps a minus in front and white space around, else NaN.
pub(super) fn number(text: &str) -> f64 {
    let text = text.trim_matches(SPACE);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().any(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// A number as string: without exponent, whole numbers without point.
pub(super) fn number_text(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        number.to_string()
    }
}

/// A value as boolean.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Nodes(nodes) => !nodes.is_empty(),
        Value::Boolean(truth) => *truth,
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Text(text) => !text.is_empty(),
    }
}

/// A value that is no set of nodes, as number.
pub(super) fn plain_number(value: &Value) -> f64 {
    match value {
        Value::Number(number) => *number,
        Value::Boolean(truth) => f64::from(u8::from(*truth)),
        Value::Text(text) => number(text),
        Value::Nodes(_) => f64::NAN,
    }
}

/// Without white space at the ends, and with one space for each run of it.
pub(super) fn normalized(text: &str) -> String {
    let words: Vec<&str> = text.split(SPACE).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The characters from position `from` (from 1), so many of them; both are rounded, halves up.
pub(super) fn substring(text: &str, from: f64, length: f64) -> String {
    let round = |number: f64| (number + 0.5).floor();
    let (first, behind) = (round(from), round(from) + round(length));
    let inside = |position: usize| {
        let position = position as f64;
        position >= first && position < behind
    };
    text.chars().zip(1..).filter(|(_, position)| inside(*position)).map(|(c, _)| c).collect()
}

/// With each character of `from` replaced by the one at the same place in `to`, or left out.
pub(super) fn translated(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    text.chars()
        .filter_map(|c| match from.chars().position(|other| other == c) {
            None => Some(c),
            Some(at) => to.get(at).copied(),
        })
        .collect()
}
