//! Names and values of a head, wherever it is kept: parsed in a buffer, or as bytes that were sent.

use std::slice;

use tidegate_http1::{head::Header, request, response};

/// Names and values of a head.
pub(super) enum Fields<'s> {
    Request(slice::Iter<'s, Header<request::Role>>, &'s [u8]),
    Response(slice::Iter<'s, Header<response::Role>>, &'s [u8]),
    /// The lines of a head that was sent, not parsed any more.
    Sent(&'s [u8]),
}

impl<'s> Iterator for Fields<'s> {
    type Item = (&'s [u8], &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Request(headers, bytes) => {
                headers.next().map(|header| (header.name(bytes), header.value(bytes)))
            }
            Self::Response(headers, bytes) => {
                headers.next().map(|header| (header.name(bytes), header.value(bytes)))
            }
            Self::Sent(lines) => loop {
                let end = memchr::memchr(b'\n', lines)?;
                let (line, rest) = lines.split_at_checked(end + 1)?;
                *lines = rest;
                if let Some((name, value)) =
                    memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at))
                {
                    return Some((name, value.get(1..)?.trim_ascii()));
                }
            },
        }
    }
}
