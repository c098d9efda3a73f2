//! Request targets and percent-encoding. Bytes in, bytes out.

/// Path and query of a request target; scheme and authority of an absolute one are left out.
pub(super) fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let target = without_authority(target);
    let end = memchr::memchr(b'#', target).unwrap_or(target.len());
    let target = target.get(..end).unwrap_or_default();
    match memchr::memchr(b'?', target) {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
        None => (target, None),
    }
}

/// The target without scheme and authority.
pub(super) fn without_authority(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let Some(scheme) = scheme_end(target) else { return target };
    let rest = target.get(scheme..).unwrap_or_default();
    match rest.iter().position(|&byte| matches!(byte, b'/' | b'?' | b'#')) {
        Some(at) => rest.get(at..).unwrap_or_default(),
        None => b"/",
    }
}

/// Where the authority of an absolute URL begins.
pub(super) fn scheme_end(url: &[u8]) -> Option<usize> {
    let colon = url.iter().position(|&byte| byte == b':')?;
    let scheme = url.get(..colon)?;
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (named && url.get(colon..colon + 3) == Some(b"://")).then_some(colon + 3)
}

/// Decodes `%XX`; the `%` of a malformed escape becomes `_`. With `plus`, `+` is a space, as in forms.
pub(super) fn decode(text: &[u8], plus: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        decoded.push(match byte {
            b'%' => match behind {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    rest = after;
                    digit(*high) << 4 | digit(*low)
                }
                _ => b'_',
            },
            b'+' if plus => b' ',
            _ => byte,
        });
    }
    decoded
}

/// Encodes every byte that `keep` does not want as `%XX`.
pub(super) fn encode(text: &[u8], keep: impl Fn(u8) -> bool) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(text.len());
    for &byte in text {
        if keep(byte) {
            encoded.push(byte);
        } else {
            encoded.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    encoded
}

/// RFC 3986 §2.3.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §2.2.
pub(super) fn is_reserved(byte: u8) -> bool {
    b":/?#[]@!$&'()*+,;=".contains(&byte)
}

/// Whether a byte may stand in a request target as it is: visible ASCII, and no fragment (RFC 9112 §3.2).
pub(crate) fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// A path without `//`, `/./` and `/x/../`; `None` if it does not begin with `/` or leaves its root.
pub(super) fn normalized(path: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(b"/")?;
    let mut kept: Vec<&[u8]> = Vec::new();
    // Whether the path ends as a directory does.
    let mut open = true;
    for segment in rest.split(|&byte| byte == b'/') {
        open = true;
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop()?;
            }
            _ => {
                kept.push(segment);
                open = false;
            }
        }
    }
    let mut whole = vec![b'/'];
    whole.extend(kept.join(&b'/'));
    if open && !kept.is_empty() {
        whole.push(b'/');
    }
    Some(whole)
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split() {
        let cases: [(&str, &str, Option<&str>); 8] = [
            ("/a?b=c", "/a", Some("b=c")),
            ("/a", "/a", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("http://h:80/a?b", "/a", Some("b")),
            ("http://h", "/", None),
            ("http://h?x", "", Some("x")),
            ("/redirect?to=http://h/", "/redirect", Some("to=http://h/")),
        ];
        for (target, path, query) in cases {
            assert_eq!(split(target.as_bytes()), (path.as_bytes(), query.map(str::as_bytes)), "{target}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_bad_ones_marked() {
        for (text, plus, decoded) in [
            ("/a%20b", false, "/a b"),
            ("%zz%4", false, "_zz_4"),
            ("a+b", true, "a b"),
            ("a+b", false, "a+b"),
        ] {
            assert_eq!(decode(text.as_bytes(), plus), decoded.as_bytes(), "{text}");
        }
    }

    #[test]
    fn paths_are_normalized() {
        let cases: [(&str, Option<&str>); 14] = [
            ("/", Some("/")),
            ("//", Some("/")),
            ("/a//b", Some("/a/b")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/b/..", Some("/a/")),
            ("/a/..", Some("/")),
            ("/a/", Some("/a/")),
            ("/a/.", Some("/a/")),
            ("/..", None),
            ("/a/../../b", None),
            ("a", None),
            ("", None),
            ("/...", Some("/...")),
        ];
        for (path, normal) in cases {
            assert_eq!(normalized(path.as_bytes()).as_deref(), normal.map(str::as_bytes), "{path}");
        }
    }
}
