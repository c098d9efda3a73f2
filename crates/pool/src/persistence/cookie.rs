//! Cookies by name in `Cookie` and `Set-Cookie` field values.
//!
//! Names are compared byte by byte. White space around names and values is tolerated, a pair without `=` is
//! skipped, and a value keeps what is inside its quotes.

/// Every value of the cookie in `Cookie` field values, in order.
pub(super) fn values<'a, 'n>(
    cookies: impl IntoIterator<Item = &'a [u8], IntoIter: 'n>,
    name: &'n [u8],
) -> impl Iterator<Item = &'a [u8]> + 'n
where
    'a: 'n,
{
    cookies
        .into_iter()
        .flat_map(|field| field.split(|byte| *byte == b';'))
        .filter_map(move |pair| value_of(pair, name))
}

/// The value a `Set-Cookie` field gives the cookie. `None` for other cookies, and for an empty value or a
/// `Max-Age` that is not positive: with those an application ends a session.
pub(super) fn set_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut parts = line.split(|byte| *byte == b';');
    let value = value_of(parts.next()?, name)?;
    let ends = parts.any(|attribute| {
        let (name, value) = split(attribute).unwrap_or_default();
        name.eq_ignore_ascii_case(b"max-age") && (value.starts_with(b"-") || value == b"0")
    });
    (!value.is_empty() && !ends).then_some(value)
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = split(pair)?;
    (found == name).then_some(match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    })
}

fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at(at);
    Some((name.trim_ascii(), value[1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_fields() {
        let table: [(&[&str], &[&str]); 17] = [
            (&[], &[]),
            (&[""], &[]),
            (&["s=1"], &["1"]),
            (&["a=2; s=1"], &["1"]),
            (&["a=2;s=1;b=3"], &["1"]),
            (&["  s = 1 "], &["1"]),
            (&["s=\"1\""], &["1"]),
            (&["s=\""], &["\""]),
            (&["s="], &[""]),
            (&["s"], &[]),
            (&["S=1"], &[]),
            (&["xs=1; sx=2; x=s=3"], &[]),
            (&["s=a=b"], &["a=b"]),
            (&["s=1; s=2"], &["1", "2"]),
            (&["s=1", "a=0", "s=2"], &["1", "2"]),
            (&[";;; ;s=1;=;=x"], &["1"]),
            (&["$Version=1; s=1; $Path=/"], &["1"]),
        ];
        for (fields, expected) in table {
            let found: Vec<&[u8]> = values(fields.iter().map(|text| text.as_bytes()), b"s").collect();
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(found, expected, "{fields:?}");
        }
    }

    #[test]
    fn any_bytes_are_tolerated() {
        let mut state = 7;
        for _ in 0..2000 {
            let alphabet = b"s=; \"\t\0\xff,";
            let length = crate::hash::next(&mut state) % 20;
            let field: Vec<u8> = (0..length)
                .map(|_| alphabet[crate::hash::below(crate::hash::next(&mut state), alphabet.len())])
                .collect();
            let _: usize = values([&*field], b"s").map(<[u8]>::len).sum();
            let _: Option<&[u8]> = set_value(&field, b"s");
        }
    }

    #[test]
    fn set_cookie_fields() {
        let table: [(&str, Option<&str>); 12] = [
            ("s=1", Some("1")),
            ("s=1; Path=/; HttpOnly", Some("1")),
            ("s=\"1\"; Max-Age=60", Some("1")),
            ("s=1; Max-Age=0", None),
            ("s=1; max-age = -5", None),
            ("s=; expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("t=1; s=2", None),
            ("S=1", None),
            ("", None),
            ("s", None),
            (" s = 1 ;x", Some("1")),
            ("s=0", Some("0")),
        ];
        for (line, expected) in table {
            assert_eq!(set_value(line.as_bytes(), b"s"), expected.map(str::as_bytes), "{line}");
        }
    }
}
