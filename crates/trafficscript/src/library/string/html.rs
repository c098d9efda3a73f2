//! Text as part of an HTML document, and back.

use super::{
    super::{
        Call, Function, Outcome,
        cost::{DECODE, Found, charge_times},
        make::{Output, charge_work},
        row::works,
    },
    entities::named,
};

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works(
        "string.htmlencode",
        "s",
        (1, 1),
        "s with < > \" & and control bytes as character references.",
        htmlencode,
    ),
    works(
        "string.htmldecode",
        "s",
        (1, 1),
        "s with the character references of HTML 4, `&apos;`, `&#N;` and `&#xH;` as the characters they stand for, in UTF-8.",
        htmldecode,
    ),
];

/// `string.htmlencode(s)` → `<`, `>`, `"`, `&` as `&lt;`, `&gt;`, `&quot;`, `&amp;`; bytes below 32 and 127 as `&#N;`.
fn htmlencode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_times(call, text.len(), DECODE)?;
    let mut found = Found::default();
    let mut output = Output::default();
    let mut rest = &*text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'"' | b'&' | 0..=31 | 127))
    {
        found.another(call)?;
        let (before, special) = rest.split_at(at);
        output.push(call, before)?;
        let Some((byte, behind)) = special.split_first() else { break };
        match byte {
            b'<' => output.push(call, b"&lt;")?,
            b'>' => output.push(call, b"&gt;")?,
            b'"' => output.push(call, b"&quot;")?,
            b'&' => output.push(call, b"&amp;")?,
            control => output.push(call, format!("&#{control};").as_bytes())?,
        }
        rest = behind;
    }
    output.push(call, rest)?;
    Ok(output.value())
}

/// References that count as one instruction: their names are looked for in a table.
const REFERENCES: usize = 4;

/// Bytes of the longest reference between `&` and `;` that is looked for.
const LONGEST_REFERENCE: usize = 10;

/// `string.htmldecode(s)` → the named references of HTML 4 (such as `&lt;` and `&eacute;`), `&apos;`, `&#N;` and `&#xH;`
/// as what they stand for, in UTF-8. Other references, and those without a semicolon, stay.
fn htmldecode<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    let mut found = Found::default();
    let mut output = Output::default();
    let mut rest = &*text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        found.another_of(call, REFERENCES)?;
        let (before, reference) = rest.split_at(at);
        output.push(call, before)?;
        rest = if let Some((character, behind)) = decoded(reference) {
            output.push(call, character.encode_utf8(&mut [0; 4]).as_bytes())?;
            behind
        } else {
            output.push(call, b"&")?;
            reference.get(1..).unwrap_or_default()
        };
    }
    output.push(call, rest)?;
    Ok(output.value())
}

/// What the reference at the beginning of `text` stands for, and what is behind it.
fn decoded(text: &[u8]) -> Option<(char, &[u8])> {
    let inner = text.get(1..)?;
    let end = memchr::memchr(b';', inner.get(..=LONGEST_REFERENCE).unwrap_or(inner))?;
    let (name, behind) = (inner.get(..end)?, inner.get(end + 1..)?);
    let character = match name {
        [b'#', b'x' | b'X', digits @ ..] => numbered(digits, 16)?,
        [b'#', digits @ ..] => numbered(digits, 10)?,
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        name => named(name)?,
    };
    Some((character, behind))
}

fn numbered(digits: &[u8], radix: u32) -> Option<char> {
    // `from_str_radix` would take a sign.
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{Trial, check, v};
    use crate::value::Value;

    #[test]
    fn values() {
        check(&[
            ("string.htmlencode", v!["<a href=\"x\">&'\n"], "\"&lt;a href=&quot;x&quot;&gt;&amp;'&#10;\""),
            ("string.htmlencode", v!["plain é"], "\"plain é\""),
            ("string.htmldecode", v!["&lt;&gt;&quot;&amp;&apos;&nbsp;"], "\"<>\\\"&'\u{a0}\""),
            ("string.htmldecode", v!["&#65;&#x42;&#X43;&#8364;"], "\"ABC€\""),
            ("string.htmldecode", v!["caf&eacute; &Eacute;&euro;&hellip;&thetasym;"], "\"café É€…ϑ\""),
            ("string.htmldecode", v!["&amp;lt;"], "\"&lt;\""),
            (
                "string.htmldecode",
                v!["&unknown; & &#; &#xd800; &#+5; &lt"],
                "\"&unknown; & &#; &#xd800; &#+5; &lt\"",
            ),
        ]);
    }

    #[test]
    fn every_ascii_byte_comes_back() {
        let all: Vec<u8> = (0..128).collect();
        let mut trial = Trial::new();
        let encoded = trial.call("string.htmlencode", v![&all[..]]).unwrap();
        let Value::Text(decoded) = trial.call("string.htmldecode", vec![encoded]).unwrap() else {
            panic!("no text")
        };
        assert_eq!(&*decoded, all);
    }
}
