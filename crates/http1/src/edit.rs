//! Edits of a head that are collected first and written once: what rules change of a request or a response.
//!
//! Until they are written, a head that is looked at through its edits shows them. Nothing gets past the strict parser by being
//! edited in: a request is parsed again, a response is made of lines that were and of edits that it would take.

use smallvec::SmallVec;

use crate::head::{field_value_end, is_token, looks_like, token_end};

/// Most fields of one head that can be edited.
pub const MAX_EDITED_FIELDS: usize = 64;

/// Most values that edits can give to one field.
pub const MAX_VALUES: usize = 64;

/// Most bytes that all names and values of the edits of one head have. More than any head may have, so that edits which
/// are taken back later do not count against what is sent.
pub const MAX_EDIT_BYTES: usize = 64 * 1024;

/// Edits of the fields of a head, one entry per name.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    fields: Vec<FieldEdit>,
    /// Bytes of all names and values.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct FieldEdit {
    name: Bytes,
    /// Whether the lines of the head stay, in front of `values`.
    keeps: bool,
    values: SmallVec<[Bytes; 1]>,
}

/// A name or a value. Most are short, and most fields have one value: such edits allocate nothing of their own.
type Bytes = SmallVec<[u8; 32]>;

/// Why an edit is refused, for people.
pub type Refusal = &'static str;

/// Fields that say where a message ends or belong to one connection, of requests and responses alike. They are the proxy's
/// own: nobody else writes them. The parsers tell what becomes of a line that has come: their roles are others, and a match
/// for each kind of head, as every line goes through it.
pub const FRAMING: [&[u8]; 9] = [
    b"connection",
    b"content-length",
    b"expect",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

impl FieldEdit {
    /// Bytes of its values.
    fn bytes(&self) -> usize {
        self.values.iter().map(SmallVec::len).sum()
    }
}

impl HeaderEdits {
    /// Whether nothing was edited.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field gets this value and no other.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        check(name, value)?;
        let before = self.of(name).map_or(0, FieldEdit::bytes);
        self.make_room(name, value, before)?;
        let field = self.field(name)?;
        field.keeps = false;
        field.values.clear();
        field.values.push(Bytes::from_slice(value.trim_ascii()));
        self.bytes = self.bytes - before + value.trim_ascii().len();
        Ok(())
    }

    /// One more field of this name.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        check(name, value)?;
        self.make_room(name, value, 0)?;
        let field = self.field(name)?;
        if field.values.len() >= MAX_VALUES {
            return Err("a header field would have too many values");
        }
        field.values.push(Bytes::from_slice(value.trim_ascii()));
        self.bytes += value.trim_ascii().len();
        Ok(())
    }

    /// No field of this name.
    pub fn remove(&mut self, name: &[u8]) -> Result<(), Refusal> {
        check(name, b"")?;
        let before = self.of(name).map_or(0, FieldEdit::bytes);
        self.make_room(name, b"", before)?;
        let field = self.field(name)?;
        field.keeps = false;
        field.values.clear();
        self.bytes -= before;
        Ok(())
    }

    /// The field has these values and no others. Refused, nothing has changed.
    pub fn replace(&mut self, name: &[u8], values: &[Vec<u8>]) -> Result<(), Refusal> {
        let mut made = self.clone();
        made.remove(name)?;
        for value in values {
            made.add(name, value)?;
        }
        *self = made;
        Ok(())
    }

    /// Whether there is room for a name and a value, `less` bytes of values being given up for them.
    fn make_room(&self, name: &[u8], value: &[u8], less: usize) -> Result<(), Refusal> {
        let name = if self.of(name).is_some() { 0 } else { name.len() };
        if self.bytes - less + name + value.trim_ascii().len() > MAX_EDIT_BYTES {
            return Err("all edits of one head would have too many bytes");
        }
        Ok(())
    }

    /// Whether edits give the field a value.
    pub fn gives(&self, name: &[u8]) -> bool {
        self.of(name).is_some_and(|field| !field.values.is_empty())
    }

    fn field(&mut self, name: &[u8]) -> Result<&mut FieldEdit, Refusal> {
        let known = self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
        let index = known.unwrap_or(self.fields.len());
        if known.is_none() {
            if self.fields.len() >= MAX_EDITED_FIELDS {
                return Err("too many header fields are edited");
            }
            self.bytes += name.len();
            self.fields.push(FieldEdit {
                name: Bytes::from_slice(name),
                keeps: true,
                values: SmallVec::new(),
            });
        }
        self.fields.get_mut(index).ok_or("too many header fields are edited")
    }

    fn of(&self, name: &[u8]) -> Option<&FieldEdit> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Calls `each` with the values of `name` as edited; `original` are the head's own fields.
    pub fn values<'h>(
        &self,
        name: &[u8],
        original: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        each: &mut dyn FnMut(&[u8]),
    ) {
        let edit = self.of(name);
        if edit.is_none_or(|field| field.keeps) {
            original.filter(|(other, _)| other.eq_ignore_ascii_case(name)).for_each(|(_, value)| each(value));
        }
        edit.iter().flat_map(|field| &field.values).for_each(|value| each(value));
    }

    /// Calls `each` with every field as edited, in the order in which they are written.
    pub fn fields<'h>(
        &self,
        original: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let mut placed = Placed::default();
        for (name, value) in original {
            match self.take_place(name, &mut placed) {
                None => each(name, value),
                Some(values) => values.for_each(|value| each(name, value)),
            }
        }
        self.unplaced(placed).for_each(|(name, value)| each(name, value));
    }

    /// Appends the lines of the head as edited; `original` are the head's own names and lines. A field that is set
    /// stands where the head has its first line of that name, what is added stands at the end.
    pub fn write<'h>(&self, original: impl Iterator<Item = (&'h [u8], &'h [u8])>, out: &mut Vec<u8>) {
        let mut placed = Placed::default();
        for (name, line) in original {
            match self.take_place(name, &mut placed) {
                None => out.extend_from_slice(line),
                Some(values) => values.for_each(|value| write_line(name, value, out)),
            }
        }
        self.unplaced(placed).for_each(|(name, value)| write_line(name, value, out));
    }

    /// The values that stand at the place of a line of the head: `None` = the line itself.
    pub(crate) fn take_place(&self, name: &[u8], placed: &mut Placed) -> Option<impl Iterator<Item = &[u8]>> {
        let index =
            self.fields.iter().position(|field| !field.keeps && field.name.eq_ignore_ascii_case(name))?;
        let first = placed.0 & (1 << index) == 0;
        placed.0 |= 1 << index;
        let values =
            self.fields.get(index).filter(|_| first).map_or(&[][..], |field| field.values.as_slice());
        Some(values.iter().map(|value| &**value))
    }

    /// The values of all fields that have no place among the lines of the head.
    pub(crate) fn unplaced(&self, placed: Placed) -> impl Iterator<Item = (&[u8], &[u8])> {
        let left = self.fields.iter().enumerate().filter(move |(index, _)| placed.0 & (1 << index) == 0);
        left.flat_map(|(_, field)| field.values.iter().map(|value| (&*field.name, &**value)))
    }
}

/// A bit for every field whose values have been given out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Placed(u64);

const _: () = assert!(MAX_EDITED_FIELDS <= u64::BITS as usize, "one bit for each");

/// Appends a header line.
pub fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether name and value may be a field that is not about framing (RFC 9110 §5.1, §5.5).
pub fn check(name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() || token_end(name) < name.len() {
        return Err("a header name has to be a token");
    }
    if field_value_end(value, 0) < value.len() {
        return Err("a header value holds control bytes");
    }
    // Nearly every name is sorted out by its first letter.
    let first = name.iter().find(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    if FRAMING.iter().any(|own| own.first().copied() == first && looks_like(name, own)) {
        return Err(
            "this header field says where the message ends or belongs to one connection: the proxy sets it",
        );
    }
    Ok(())
}

/// Whether `method` may be a method: a token of reasonable length (RFC 9110 §9.1).
pub fn is_method(method: &[u8]) -> bool {
    const LONGEST: usize = 32;
    !method.is_empty() && method.len() <= LONGEST && method.iter().copied().all(is_token)
}

/// Whether `target` may be a request target in origin form, or `*` (RFC 9112 §3.2).
pub fn is_target(target: &[u8]) -> bool {
    (target.starts_with(b"/") || target == b"*") && target.iter().all(|byte| (0x21..0x7f).contains(byte))
}

/// Whether `reason` may be a reason phrase (RFC 9112 §4).
pub fn is_reason(reason: &[u8]) -> bool {
    field_value_end(reason, 0) == reason.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::Limits,
        request::{self, RequestHead},
        response::{self, ResponseHead},
    };

    const HEAD: [(&[u8], &[u8]); 4] = [(b"Host", b"a"), (b"X-A", b"1"), (b"Accept", b"*/*"), (b"x-a", b"2")];

    fn written(edits: &HeaderEdits) -> String {
        let lines: Vec<Vec<u8>> =
            HEAD.iter().map(|(name, value)| [name, b": ".as_slice(), value, b"\r\n"].concat()).collect();
        let mut out = Vec::new();
        edits.write(HEAD.iter().zip(&lines).map(|((name, _), line)| (*name, line.as_slice())), &mut out);
        let mut seen = Vec::new();
        edits.fields(HEAD.iter().copied(), &mut |name, value| write_line(name, value, &mut seen));
        assert_eq!(out, seen, "what is seen is what is written");
        String::from_utf8(out).unwrap()
    }

    fn values(edits: &HeaderEdits, name: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        edits.values(name, HEAD.iter().copied(), &mut |value| {
            all.push(String::from_utf8_lossy(value).into_owned());
        });
        all
    }

    #[test]
    fn edits_show_and_are_written() {
        let mut edits = HeaderEdits::default();
        assert_eq!(written(&edits), "Host: a\r\nX-A: 1\r\nAccept: */*\r\nx-a: 2\r\n");
        edits.set(b"x-A", b" 3 ").unwrap();
        assert_eq!(written(&edits), "Host: a\r\nX-A: 3\r\nAccept: */*\r\n");
        assert_eq!(values(&edits, b"X-a"), ["3"]);
        assert!(edits.gives(b"x-a") && !edits.gives(b"Accept"));
        edits.add(b"X-A", b"4").unwrap();
        edits.add(b"X-New", b"5").unwrap();
        assert_eq!(written(&edits), "Host: a\r\nX-A: 3\r\nX-A: 4\r\nAccept: */*\r\nX-New: 5\r\n");
        edits.remove(b"x-a").unwrap();
        assert_eq!(written(&edits), "Host: a\r\nAccept: */*\r\nX-New: 5\r\n");
        assert_eq!(values(&edits, b"x-a"), [""; 0]);
        assert!(!edits.gives(b"x-a"));
        edits.add(b"Accept", b"text/html").unwrap();
        assert_eq!(values(&edits, b"accept"), ["*/*", "text/html"]);
        assert_eq!(written(&edits), "Host: a\r\nAccept: */*\r\nX-New: 5\r\nAccept: text/html\r\n");
    }

    /// What edits may not touch is nothing that a parser takes for a field like any other, but for fields that say nothing
    /// in that kind of head, and `Trailer`, which goes with the trailers.
    #[test]
    fn parsers_know_the_framing_fields() {
        let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
        for name in FRAMING {
            let value = match name {
                b"content-length" => "0",
                b"transfer-encoding" => "chunked",
                _ => "100-continue",
            };
            let line = format!("{}: {value}\r\n\r\n", String::from_utf8_lossy(name));
            request
                .parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}").as_bytes(), &Limits::default())
                .unwrap();
            let known = request.headers()[1].role() != request::Role::Other;
            assert_eq!(known, name != b"trailer", "{line}");
            let head = format!("HTTP/1.1 200 OK\r\n{line}");
            response.parse(head.as_bytes(), &Limits::default(), &request).unwrap();
            let known = response.headers()[0].role() != response::Role::Other;
            assert_eq!(known, !matches!(name, b"expect" | b"te" | b"trailer"), "{line}");
        }
    }

    #[test]
    fn what_would_break_a_message_is_refused() {
        let mut edits = HeaderEdits::default();
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a", "x\r\nB: y"),
            ("a", "x\0"),
            ("Content-Length", "3"),
            ("content_length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
        ] {
            assert!(edits.set(name.as_bytes(), value.as_bytes()).is_err(), "{name:?} {value:?}");
            assert!(edits.add(name.as_bytes(), value.as_bytes()).is_err(), "{name:?} {value:?}");
        }
        for index in 0..MAX_EDITED_FIELDS {
            edits.set(format!("x-{index}").as_bytes(), b"v").unwrap();
        }
        assert!(edits.set(b"x-more", b"v").is_err());
        let half = vec![b'a'; MAX_EDIT_BYTES / 2];
        assert!(edits.set(b"x-2", &half).is_ok() && edits.set(b"x-2", &half).is_ok());
        assert!(edits.set(b"x-3", &half).is_err() && edits.add(b"x-2", &half).is_err());
        assert!(edits.remove(b"x-2").is_ok() && edits.add(b"x-3", &half).is_ok());
        assert_eq!(edits.bytes, edits.fields.iter().map(|field| field.name.len() + field.bytes()).sum());
        assert!(edits.set(b"x-1", b"w").is_ok());
        assert!(
            is_target(b"/a?b")
                && is_target(b"*")
                && !is_target(b"a")
                && !is_target(b"/a b")
                && !is_target(b"")
        );
        assert!(is_method(b"PATCH") && !is_method(b"GE T") && !is_method(b""));
    }
}
