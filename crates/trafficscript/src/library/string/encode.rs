//! Strings in other alphabets: base 64, hexadecimal, URLs.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::super::{
    Call, Function, Outcome,
    cost::{DECODE, ENCODE, Found, charge_times},
    make::{Output, charge_work},
    row::works,
};
use crate::value::Value;

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("string.base64encode", "s", (1, 1), "s in base 64, padded.", base64encode),
    works(
        "string.base64decode",
        "s",
        (1, 1),
        "What a string in base 64 stands for; empty if it is none.",
        base64decode,
    ),
    works("string.hexencode", "s", (1, 1), "Two upper-case hexadecimal digits per byte.", hexencode),
    works(
        "string.hexdecode",
        "s",
        (1, 1),
        "What hexadecimal digits stand for; empty if they are none.",
        hexdecode,
    ),
    works("string.urlencode", "s", (1, 1), "s with all but A-Za-z0-9.-_ as %XX.", urlencode),
    works(
        "string.urlencodeexceptreserved",
        "s",
        (1, 1),
        "As string.urlencode, but the reserved characters of URLs stay.",
        urlencode_except_reserved,
    ),
    works("string.escape", "s", (1, 1), "s with spaces, control bytes below 32 and % as %XX.", escape),
    works(
        "string.unescape",
        "s",
        (1, 1),
        "s with %XX and %uXXXX (as UTF-8) decoded; a bad escape has _ for its %; sets $1 to 0 if there was one, else 1.",
        unescape,
    ),
];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// `string.base64encode(s)` → RFC 4648 §4 with padding, without line breaks.
fn base64encode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len().div_ceil(3).saturating_mul(4))?;
    charge_times(call, text.len(), ENCODE)?;
    Ok(Value::from(BASE64.encode(&*text).into_bytes()))
}

/// `string.base64decode(s)` → bytes. White space is disregarded and padding may be missing; any other byte outside the
/// alphabet gives the empty string.
fn base64decode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len())?;
    charge_times(call, text.len(), DECODE)?;
    let decoded = if text.iter().any(u8::is_ascii_whitespace) {
        let packed: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64.decode(packed)
    } else {
        BASE64.decode(&*text)
    };
    Ok(decoded.map_or(Value::EMPTY, Value::from))
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// The two upper-case digits of a byte.
pub(super) fn hex_digits(byte: u8) -> [u8; 2] {
    [UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]
}

/// The value of a hexadecimal digit in either case.
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// `string.hexencode(s)` → two digits per byte, `A` to `F` in upper case.
fn hexencode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len().saturating_mul(2))?;
    charge_times(call, text.len(), ENCODE)?;
    Ok(Value::from(text.iter().flat_map(|byte| hex_digits(*byte)).collect::<Vec<u8>>()))
}

/// `string.hexdecode(s)` → bytes; digits in either case. An odd number of digits, or anything else in s, gives the empty
/// string.
fn hexdecode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    call.charge(text.len())?;
    charge_times(call, text.len(), DECODE)?;
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(hex_value(*high)? << 4 | hex_value(*low)?)).collect();
    Ok(match bytes {
        Some(bytes) if rest.is_empty() => Value::from(bytes),
        _ => Value::EMPTY,
    })
}

/// `string.urlencode(s)` → all bytes but `A-Z a-z 0-9 . - _` as `%XX`.
fn urlencode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    percent(call, |byte| !is_plain(byte))
}

/// `string.urlencodeexceptreserved(s)` → all bytes but `A-Z a-z 0-9 . - _` and the reserved characters of RFC 3986 §2.2
/// as `%XX`.
fn urlencode_except_reserved<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    percent(call, |byte| !is_plain(byte) && !is_reserved(byte))
}

/// `string.escape(s)` → bytes 0 to 32 and `%` as `%XX`.
fn escape<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    percent(call, |byte| byte <= b' ' || byte == b'%')
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn is_reserved(byte: u8) -> bool {
    matches!(byte, b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

fn percent<'p>(call: &mut Call<'_, 'p>, encode: impl Fn(u8) -> bool) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_times(call, text.len(), ENCODE)?;
    let encoded = text.iter().filter(|byte| encode(**byte)).count();
    if encoded == 0 {
        return Ok(text.into());
    }
    let length = text.len().saturating_add(encoded.saturating_mul(2));
    call.charge(length)?;
    charge_times(call, text.len(), DECODE)?;
    let mut made = Vec::with_capacity(length);
    for byte in text.iter().copied() {
        if encode(byte) {
            made.push(b'%');
            made.extend(hex_digits(byte));
        } else {
            made.push(byte);
        }
    }
    Ok(Value::from(made))
}

/// `string.unescape(s)` → s with `%XX` as that byte and `%uXXXX` as that character in UTF-8 (two halves of a surrogate
/// pair as one). An escape that is none, or stands for no character, has its `%` turned into `_`. Sets `$1` to 0 if
/// there was one, else to 1.
fn unescape<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    let mut found = Found::default();
    let mut output = Output::default();
    let mut good = true;
    let mut rest = &*text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        found.another(call)?;
        let (before, escaped) = rest.split_at(at);
        output.push(call, before)?;
        rest = match unescaped(escaped) {
            Some((Decoded::Byte(byte), behind)) => {
                output.push(call, &[byte])?;
                behind
            }
            Some((Decoded::Character(character), behind)) => {
                output.push(call, character.encode_utf8(&mut [0; 4]).as_bytes())?;
                behind
            }
            None => {
                good = false;
                output.push(call, b"_")?;
                escaped.get(1..).unwrap_or_default()
            }
        };
    }
    output.push(call, rest)?;
    call.set_capture(1, i64::from(good));
    Ok(output.value())
}

enum Decoded {
    Byte(u8),
    Character(char),
}

/// What the escape at the beginning of `text` stands for, and what is behind it.
fn unescaped(text: &[u8]) -> Option<(Decoded, &[u8])> {
    match text {
        [b'%', b'u' | b'U', ..] => {
            let (unit, behind) = unit(text)?;
            if let Some(character) = char::from_u32(u32::from(unit)) {
                return Some((Decoded::Character(character), behind));
            }
            let (second, behind) = self::unit(behind)?;
            let character = char::decode_utf16([unit, second]).next()?.ok()?;
            Some((Decoded::Character(character), behind))
        }
        [b'%', high, low, behind @ ..] => {
            Some((Decoded::Byte(hex_value(*high)? << 4 | hex_value(*low)?), behind))
        }
        _ => None,
    }
}

/// The UTF-16 code unit that `%uXXXX` at the beginning of `text` stands for, and what is behind it.
fn unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let [b'%', b'u' | b'U', digits @ ..] = text else { return None };
    let (digits, behind) = digits.split_at_checked(4)?;
    let unit =
        digits.iter().try_fold(0_u16, |unit, digit| Some(unit << 4 | u16::from(hex_value(*digit)?)))?;
    Some((unit, behind))
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{Trial, check, v};

    #[test]
    fn values() {
        check(&[
            ("string.base64encode", v!["user:pass"], "\"dXNlcjpwYXNz\""),
            ("string.base64encode", v!["a"], "\"YQ==\""),
            ("string.base64decode", v!["YQ=="], "\"a\""),
            ("string.base64decode", v!["dXNl\r\ncjpwYXNz"], "\"user:pass\""),
            ("string.base64decode", v!["YQ"], "\"a\""),
            ("string.base64decode", v!["!!"], "\"\""),
            ("string.hexencode", v!["jk"], "\"6A6B\""),
            ("string.hexdecode", v!["6a6B"], "\"jk\""),
            ("string.hexdecode", v!["6a6"], "\"\""),
            ("string.hexdecode", v!["6g"], "\"\""),
            ("string.urlencode", v!["/a b?c=1&d=$"], "\"%2Fa%20b%3Fc%3D1%26d%3D%24\""),
            ("string.urlencode", v!["aZ0.-_~"], "\"aZ0.-_%7E\""),
            ("string.urlencodeexceptreserved", v!["/a b?c=[1]%"], "\"/a%20b?c=[1]%25\""),
            ("string.escape", v!["a b\r\n"], "\"a%20b%0D%0A\""),
            ("string.escape", v!["100%/é"], "\"100%25/é\""),
            ("string.unescape", v!["a%20b%2f"], "\"a b/\""),
            ("string.unescape", v!["x%ZZy"], "\"x_ZZy\""),
            ("string.unescape", v!["%u0041"], "\"A\""),
            ("string.unescape", v!["%u20AC%uD83D%uDE00"], "\"€\u{1f600}\""),
            ("string.unescape", v!["%uD83D!%u12"], "\"_uD83D!_u12\""),
            ("string.unescape", v!["%%41%"], "\"_A_\""),
            ("string.unescape", v!["%4"], "\"_4\""),
        ]);
    }

    #[test]
    fn unescape_says_whether_all_was_well() {
        let mut trial = Trial::new();
        trial.shown("string.unescape", v!["x%ZZy"]);
        assert_eq!(trial.captures()[0], "0");
        trial.shown("string.unescape", v!["x%41y"]);
        assert_eq!(trial.captures()[0], "1");
    }
}
