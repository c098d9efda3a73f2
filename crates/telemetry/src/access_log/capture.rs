//! The parts of a request and its response that a log line needs after their buffers are gone.
//!
//! A worker keeps one [`Captured`] per request in flight on a logged virtual server and reuses it: nothing is
//! allocated once it has grown to the size of usual requests.

use std::ops::Range;

use super::format::Format;

/// Longest part of one value that is kept, bytes. A longer one is cut: a log line is for reading.
pub const MAX_VALUE: usize = 4096;

/// Request line and header values, copied out of the request and response.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    bytes: Vec<u8>,
    line: Range<usize>,
    request: Vec<Option<Range<usize>>>,
    response: Vec<Option<Range<usize>>>,
}

impl Captured {
    /// Starts over with a request: its line (method, target and version as the client sent them, without the line
    /// end) and its headers as (name, value). The first of repeated headers counts.
    pub fn request<'h>(
        &mut self,
        format: &Format,
        line: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        self.bytes.clear();
        self.response.clear();
        self.line = keep(&mut self.bytes, line);
        pick(&mut self.bytes, &mut self.request, format.request_headers(), headers);
    }

    /// Adds the headers of the response that was sent to the client, replacing those of an earlier one.
    pub fn response<'h>(&mut self, format: &Format, headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>) {
        pick(&mut self.bytes, &mut self.response, format.response_headers(), headers);
    }

    /// The request line, empty when the request never had one.
    pub fn line(&self) -> &[u8] {
        self.part(&self.line)
    }

    /// The value of the `index`th of [`Format::request_headers`].
    pub fn request_header(&self, index: usize) -> Option<&[u8]> {
        self.request.get(index)?.as_ref().map(|range| self.part(range))
    }

    /// The value of the `index`th of [`Format::response_headers`].
    pub fn response_header(&self, index: usize) -> Option<&[u8]> {
        self.response.get(index)?.as_ref().map(|range| self.part(range))
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

fn keep(bytes: &mut Vec<u8>, value: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(value.get(..MAX_VALUE).unwrap_or(value));
    start..bytes.len()
}

fn pick<'h>(
    bytes: &mut Vec<u8>,
    found: &mut Vec<Option<Range<usize>>>,
    wanted: &[Box<str>],
    headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
) {
    found.clear();
    if wanted.is_empty() {
        return;
    }
    found.resize(wanted.len(), None);
    for (name, value) in headers {
        for (slot, wanted) in found.iter_mut().zip(wanted) {
            if slot.is_none() && name.eq_ignore_ascii_case(wanted.as_bytes()) {
                *slot = Some(keep(bytes, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_the_format_names_and_starts_over() {
        let format = Format::parse("%{Referer}i %{x-a}i %{Server}o").unwrap();
        let mut captured = Captured::default();
        let headers: [(&[u8], &[u8]); 3] = [(b"REFERER", b"one"), (b"referer", b"two"), (b"other", b"no")];
        captured.request(&format, b"GET / HTTP/1.1", headers);
        let answer: [(&[u8], &[u8]); 1] = [(b"server", b"s")];
        captured.response(&format, answer);
        assert_eq!(captured.line(), b"GET / HTTP/1.1");
        assert_eq!(captured.request_header(0), Some(&b"one"[..]));
        assert_eq!(captured.request_header(1), None);
        assert_eq!(captured.response_header(0), Some(&b"s"[..]));
        captured.request(&format, b"", []);
        assert_eq!(
            (captured.line(), captured.request_header(0), captured.response_header(0)),
            (&b""[..], None, None)
        );
    }

    #[test]
    fn long_values_are_cut() {
        let format = Format::parse("%{a}i").unwrap();
        let long = vec![b'x'; MAX_VALUE * 2];
        let mut captured = Captured::default();
        captured.request(&format, &long, [(&b"a"[..], &long[..])]);
        assert_eq!(
            (captured.line().len(), captured.request_header(0).unwrap().len()),
            (MAX_VALUE, MAX_VALUE)
        );
    }
}
