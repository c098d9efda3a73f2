//! The part of BER that LDAP uses (RFC 4511 §5.1): tags of one byte, lengths that are known. Pure.

/// Longest length that is written out, in bytes.
const MOST_LENGTH_BYTES: usize = 4;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;

/// What cannot be read.
pub(super) type Fault = &'static str;

/// Adds an element.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = content.len().to_be_bytes();
            let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
            let bytes = bytes.get(first..).unwrap_or_default();
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
}

/// Adds an element whose content is made by `fill`.
pub(super) fn nest(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    fill(&mut content);
    put(out, tag, &content);
}

/// Adds a number that is not negative.
pub(super) fn number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let bytes = u64::from(number).to_be_bytes();
    // A leading bit would mean a negative number.
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let first = first - usize::from(bytes.get(first).is_some_and(|byte| byte & 0x80 != 0));
    put(out, tag, bytes.get(first..).unwrap_or_default());
}

/// Elements one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    /// The next element: tag and content. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (header, length) = extent(self.0)?.ok_or("an element is cut off")?;
        let tag = self.0.first().copied().unwrap_or_default();
        let content = self.0.get(header..header + length).ok_or("an element is cut off")?;
        self.0 = self.0.get(header + length..).unwrap_or_default();
        Ok(Some((tag, content)))
    }

    /// The next element, which has to have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Fault> {
        match self.next()? {
            Some((found, content)) if found == tag => Ok(content),
            Some(_) => Err("an element is of another kind than it should be"),
            None => Err("an element is missing"),
        }
    }

    /// The next element, a number.
    pub(super) fn number(&mut self, tag: u8) -> Result<u32, Fault> {
        let content = self.expect(tag)?;
        match content {
            [] => Err("a number has no digits"),
            [first, ..] if first & 0x80 != 0 => Err("a number is negative"),
            _ => content
                .iter()
                .try_fold(0_u32, |number, byte| number.checked_mul(256)?.checked_add(u32::from(*byte)))
                .ok_or("a number is too large"),
        }
    }
}

/// Bytes of the header of the first element, and of its content, once the header is there.
pub(super) fn extent(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let (Some(tag), Some(first)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err("a tag has more than one byte");
    }
    if *first < 0x80 {
        return Ok(Some((2, usize::from(*first))));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > MOST_LENGTH_BYTES {
        return Err("a length is not known or too large");
    }
    let Some(digits) = bytes.get(2..2 + count) else { return Ok(None) };
    let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
    Ok(Some((2 + count, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers() {
        for (length, header) in [
            (0, vec![4, 0]),
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (70_000, vec![4, 0x83, 1, 0x11, 0x70]),
        ] {
            let mut out = Vec::new();
            put(&mut out, OCTETS, &vec![7; length]);
            assert_eq!(out[..header.len()], header);
            assert_eq!(extent(&out), Ok(Some((header.len(), length))));
            assert_eq!(extent(&out[..header.len() - 1]), Ok(None));
            let mut elements = Elements(&out);
            assert_eq!(elements.expect(OCTETS).map(<[u8]>::len), Ok(length));
            assert_eq!(elements.next(), Ok(None));
        }
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0, 128]),
            (256, vec![1, 0]),
            (u32::MAX, vec![0, 255, 255, 255, 255]),
        ] {
            let mut out = Vec::new();
            number(&mut out, INTEGER, value);
            assert_eq!(out[2..], bytes, "{value}");
            assert_eq!(Elements(&out).number(INTEGER), Ok(value));
        }
    }

    #[test]
    fn what_cannot_be_read() {
        for bytes in
            [&[4, 5, 1][..], &[0x1f, 1, 1], &[4, 0x80, 0, 0], &[4, 0x85, 1, 1, 1, 1, 1], &[4], &[2, 1, 1]]
        {
            assert!(Elements(bytes).expect(OCTETS).is_err(), "{bytes:?}");
        }
        for bytes in [&[2, 0][..], &[2, 1, 0x80], &[2, 5, 1, 0, 0, 0, 0]] {
            assert!(Elements(bytes).number(INTEGER).is_err(), "{bytes:?}");
        }
    }
}
