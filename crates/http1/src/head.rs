//! What request and response heads share: header lines read in one pass and kept as spans, finding the end of a head that
//! comes in pieces, character classes.

use std::{ops::Range, sync::LazyLock};

use memchr::memmem::Finder;

/// Outcome of looking at bytes that may be a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is complete and so many bytes long.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

/// One header line, as offsets into the head's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header<R> {
    line: u16,
    name: u16,
    value: u16,
    value_end: u16,
    end: u16,
    role: R,
}

impl<R: Copy> Header<R> {
    /// What the line is for.
    pub fn role(&self) -> R {
        self.role
    }

    /// The whole line with its CRLF.
    pub fn line(&self) -> Range<usize> {
        usize::from(self.line)..usize::from(self.end)
    }

    /// The field name as written.
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(usize::from(self.line)..usize::from(self.name)).unwrap_or_default()
    }

    /// The field value without white space around it.
    pub fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(usize::from(self.value)..usize::from(self.value_end)).unwrap_or_default()
    }

    pub(crate) fn set_role(&mut self, role: R) {
        self.role = role;
    }

    /// The same line at another place.
    pub(crate) fn moved_to(self, line: usize) -> Self {
        let by = (line as u16).wrapping_sub(self.line);
        let moved = |offset: u16| offset.wrapping_add(by);
        Self {
            line: moved(self.line),
            name: moved(self.name),
            value: moved(self.value),
            value_end: moved(self.value_end),
            end: moved(self.end),
            role: self.role,
        }
    }

    /// The line that [`crate::edit::write_line`] writes at `line`.
    pub(crate) fn written_at(line: usize, name: &[u8], value: &[u8], role: R) -> Self {
        let name = line + name.len();
        let value_end = name + 2 + value.len();
        Self {
            line: line as u16,
            name: name as u16,
            value: (value_end - value.len()) as u16,
            value_end: value_end as u16,
            end: (value_end + 2) as u16,
            role,
        }
    }
}

/// Why bytes cannot be a head, before their meaning is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// RFC 9112 §2.2: a line ends with CRLF and CR or LF stand nowhere else.
    LineEnd,
    /// RFC 9112 §5.2: obs-fold.
    Fold,
    /// RFC 9110 §5.1: a name is a token, directly followed by a colon.
    Name,
    /// RFC 9110 §5.5: control bytes in a value.
    Value,
    /// More lines than the limit.
    TooMany,
    /// More bytes than the limit.
    TooLong,
}

/// Finds the end of a head (behind the blank line), looking only at bytes from `from` on.
pub(crate) fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    /// Prepared once: preparing costs as much as searching a small head.
    static BLANK_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let start = from.saturating_sub(3);
    BLANK_LINE.find(bytes.get(start..)?).map(|at| start + at + 4)
}

/// Whether a line of these bytes ends with a bare LF, looking only from `from` on. Only asked while a head is not
/// complete, so that a sender of bare LFs hears at once.
pub(crate) fn has_bare_lf(bytes: &[u8], from: usize) -> bool {
    memchr::memchr_iter(b'\n', bytes.get(from..).unwrap_or_default())
        .any(|at| from + at == 0 || bytes.get(from + at - 1) != Some(&b'\r'))
}

/// Reads header lines from `at` on, up to and with the blank line, in one pass. Returns where the head ends, or `None` where
/// the bytes end before that. `role` sees each name and value.
pub(crate) fn read_lines<R: Copy>(
    bytes: &[u8],
    mut at: usize,
    most: usize,
    headers: &mut Vec<Header<R>>,
    mut role: impl FnMut(&[u8], &[u8]) -> R,
) -> Result<Option<usize>, Syntax> {
    headers.clear();
    while let Some(line) = bytes.get(at..) {
        let name = token_end(line);
        if name == 0 || line.get(name) != Some(&b':') {
            return without_name(line, name).map(|blank| blank.then_some(at + 2));
        }
        let blank = |at: usize| matches!(line.get(at), Some(b' ' | b'\t'));
        let mut value = name + 1;
        while blank(value) {
            value += 1;
        }
        let stop = field_value_end(line, value);
        if line.get(stop..stop + 2) != Some(b"\r\n") {
            return without_end(line.get(stop..).unwrap_or_default()).map(|()| None);
        }
        if headers.len() >= most {
            return Err(Syntax::TooMany);
        }
        let mut value_end = stop;
        while value_end > value && blank(value_end - 1) {
            value_end -= 1;
        }
        headers.push(Header {
            line: at as u16,
            name: (at + name) as u16,
            value: (at + value) as u16,
            value_end: (at + value_end) as u16,
            end: (at + stop + 2) as u16,
            role: role(line.get(..name).unwrap_or_default(), line.get(value..value_end).unwrap_or_default()),
        });
        at += stop + 2;
    }
    Ok(None)
}

/// What a line is that has no name and colon: the blank one (true), or one that has not all come.
fn without_name(line: &[u8], token: usize) -> Result<bool, Syntax> {
    match line.get(token..).unwrap_or_default() {
        [b'\r', b'\n', ..] if token == 0 => Ok(true),
        [] => Ok(false),
        // The blank line may be on its way.
        [b'\r'] if token == 0 => Ok(false),
        [b' ' | b'\t', ..] if token == 0 => Err(Syntax::Fold),
        [b'\r' | b'\n', ..] if token == 0 => Err(Syntax::LineEnd),
        _ => Err(Syntax::Name),
    }
}

/// What stands behind a value where its CRLF should: nothing yet, or what may not.
fn without_end(rest: &[u8]) -> Result<(), Syntax> {
    match rest {
        [] | [b'\r'] => Ok(()),
        [b'\r' | b'\n', ..] => Err(Syntax::LineEnd),
        _ => Err(Syntax::Value),
    }
}

/// Where the token ends that the bytes begin with.
pub(crate) fn token_end(bytes: &[u8]) -> usize {
    run_end(bytes, 0, neither_letters_nor_dashes_in, is_token)
}

/// Where, from `at` on, the bytes of a field value end: at a control byte other than a tab, or with the bytes.
pub(crate) fn field_value_end(bytes: &[u8], at: usize) -> usize {
    run_end(bytes, at, controls_in, is_field_value)
}

/// Where, from `at` on, the bytes end that `belong`. Eight are looked at at once: `suspects` marks, by the highest bit of
/// each, those that may not belong; all below the first one that is marked do.
#[inline]
fn run_end(
    bytes: &[u8],
    mut at: usize,
    suspects: impl Fn(u64) -> u64,
    belongs: impl Fn(u8) -> bool,
) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match suspects(u64::from_le_bytes(*eight)) {
            0 => at += 8,
            found => {
                at += found.trailing_zeros() as usize / 8;
                if !bytes.get(at).is_some_and(|byte| belongs(*byte)) {
                    return at;
                }
                at += 1;
            }
        }
    }
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| belongs(**byte)).count()
}

/// Eight bytes of 1: times a byte, eight of that.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The control bytes among eight, tabs too. What is marked above the first one has no meaning.
fn controls_in(word: u64) -> u64 {
    // A byte borrows from the next one only if it is a control byte itself: the first one found is one.
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    (below_space | (delete.wrapping_sub(ONES) & !delete)) & (ONES * 0x80)
}

/// Of eight bytes those that are neither letters nor dashes, of which nearly all names consist.
fn neither_letters_nor_dashes_in(word: u64) -> u64 {
    // No byte carries into the next one: sums of seven bits, the eighth tells.
    let seven = word & (ONES * 0x7f);
    let lower = seven | (ONES * 0x20);
    let from_a = lower + ONES * (0x80 - b'a' as u64);
    let behind_z = lower + ONES * (0x7f - b'z' as u64);
    let no_dash = (seven ^ (ONES * b'-' as u64)) + ONES * 0x7f;
    ((!from_a | behind_z) & no_dash | word) & (ONES * 0x80)
}

/// Whether a name, or any text without control bytes, is `exact` in any case: letters in lower case, digits and dashes.
#[expect(
    clippy::inline_always,
    reason = "it is asked for every line, and a few instructions where `exact` is known"
)]
#[inline(always)]
pub(crate) fn is_named<const N: usize>(name: &[u8], exact: &[u8; N]) -> bool {
    // Without a branch per byte. Besides letters only control bytes would be taken for others.
    let differ =
        |(a, b): (&[u8; 8], &[u8; 8])| (u64::from_le_bytes(*a) | (ONES * 0x20)) ^ u64::from_le_bytes(*b);
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let (eights, rest) = name.as_chunks();
    let (exact_eights, exact_rest) = exact.as_chunks();
    let in_eights = eights.iter().zip(exact_eights).fold(0, |differs, pair| differs | differ(pair));
    let in_rest = rest.iter().zip(exact_rest).fold(0, |differs, (a, b)| differs | ((a | 0x20) ^ b));
    in_eights | u64::from(in_rest) == 0
}

/// RFC 9110 §5.6.2 tchar.
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// RFC 9110 §5.5: visible bytes, space, tab, and bytes above 127.
pub(crate) fn is_field_value(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0usize;
    while byte < 128 {
        let one = byte as u8;
        table[byte] = one.is_ascii_alphanumeric()
            || matches!(
                one,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// The elements of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether `name` could be taken for `exact` by a lenient parser: equal once everything but letters and digits
/// is left out.
pub(crate) fn looks_like(name: &[u8], exact: &[u8]) -> bool {
    let mut wanted = exact.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    let mut seen = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    loop {
        match (wanted.next(), seen.next()) {
            (None, None) => return true,
            (a, b) if a != b => return false,
            _ => {}
        }
    }
}

/// A decimal length: digits only, nothing else, within `u64` (RFC 9110 §8.6).
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The bytes with a few of them changed, left out or doubled, mostly by those that mean something in a head.
    pub(crate) fn spoilt(whole: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        for _ in 0..random.usize(..3) {
            let at = random.usize(..bytes.len());
            let byte = if random.bool() {
                *random.choice(b"\r\n :\t,a-0\0\x7f\xff").unwrap()
            } else {
                random.u8(..)
            };
            match random.u8(..3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    }

    /// The same header lines, in the eyes of another parser.
    pub(crate) fn assert_same<R: Copy>(ours: &[Header<R>], theirs: &[httparse::Header<'_>], bytes: &[u8]) {
        assert_eq!(ours.len(), theirs.len(), "{bytes:?}");
        for (our, their) in ours.iter().zip(theirs) {
            assert_eq!(our.name(bytes), their.name.as_bytes(), "{bytes:?}");
            assert_eq!(our.value(bytes), their.value, "{bytes:?}");
        }
    }

    #[test]
    fn a_value_ends_at_the_first_byte_that_may_not_stand_in_it() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut text = [b'a'; 20];
                text[place] = byte;
                let expected = if is_field_value(byte) { 20 } else { place };
                for from in 0..=place {
                    assert_eq!(field_value_end(&text, from), expected, "{byte:#04x} at {place}, from {from}");
                }
                // Whatever stands before and behind it.
                let mut tabs = [b'\t'; 20];
                tabs[place] = byte;
                assert_eq!(field_value_end(&tabs, 0), expected, "{byte:#04x} at {place} among tabs");
                let mut high = [0xff; 20];
                high[place] = byte;
                assert_eq!(field_value_end(&high, 0), expected, "{byte:#04x} at {place} among high bytes");
            }
        }
    }

    #[test]
    fn a_token_ends_at_the_first_byte_that_may_not_stand_in_it() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let expected = if is_token(byte) { 20 } else { place };
                for around in [b'a', b'Z', b'-', b'7', b'~'] {
                    let mut text = [around; 20];
                    text[place] = byte;
                    assert_eq!(token_end(&text), expected, "{byte:#04x} at {place} among {around:#04x}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_one_in_any_case() {
        let exact = b"content-length";
        for place in 0..exact.len() {
            for byte in (0..=255u8).filter(|byte| is_field_value(*byte)) {
                let mut name = *exact;
                name[place] = byte;
                assert_eq!(is_named(&name, exact), name.eq_ignore_ascii_case(exact), "{name:?}");
                name.make_ascii_uppercase();
                assert_eq!(is_named(&name, exact), name.eq_ignore_ascii_case(exact), "{name:?}");
            }
        }
        assert!(!is_named(b"content-lengt", exact) && !is_named(b"content-length-", exact));
    }
}
