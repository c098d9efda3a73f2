//! What request and response heads share: finding the end, header lines as spans, character classes.

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

/// Where `part`, a slice of `whole`, begins in it.
pub(crate) fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

/// Turns what httparse saw into spans, and refuses what it lets through: line ends other than CRLF.
///
/// `start` is where the header section begins, `end` where the blank line does.
pub(crate) fn lines<R: Copy>(
    bytes: &[u8],
    start: usize,
    end: usize,
    parsed: &[httparse::Header<'_>],
    headers: &mut Vec<Header<R>>,
    mut role: impl FnMut(&[u8], &[u8]) -> R,
) -> Result<(), Syntax> {
    headers.clear();
    let mut at = start;
    for header in parsed {
        let name = header.name.as_bytes();
        let line = offset(bytes, name);
        if line != at {
            return Err(Syntax::LineEnd);
        }
        // httparse has stopped at the line's end and trimmed: only spaces and tabs may stand before CRLF.
        let value = if header.value.is_empty() { line + name.len() + 1 } else { offset(bytes, header.value) };
        let value_end = value + header.value.len();
        let rest = bytes.get(value_end..end).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if rest.get(blank..blank + 2) != Some(b"\r\n") {
            return Err(Syntax::LineEnd);
        }
        at = value_end + blank + 2;
        headers.push(Header {
            line: line as u16,
            name: (line + name.len()) as u16,
            value: value as u16,
            value_end: value_end as u16,
            end: at as u16,
            role: role(name, header.value),
        });
    }
    if at == end { Ok(()) } else { Err(Syntax::LineEnd) }
}

/// What httparse says is wrong, in our terms.
pub(crate) fn syntax(error: httparse::Error, bytes: &[u8]) -> Syntax {
    match error {
        httparse::Error::HeaderName if folded(bytes) => Syntax::Fold,
        httparse::Error::HeaderName => Syntax::Name,
        httparse::Error::HeaderValue => Syntax::Value,
        httparse::Error::TooManyHeaders => Syntax::TooMany,
        _ => Syntax::LineEnd,
    }
}

fn folded(bytes: &[u8]) -> bool {
    [b"\r\n ", b"\r\n\t"].iter().any(|fold| memchr::memmem::find(bytes, *fold).is_some())
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
