//! Names and values of a head, wherever it is kept: parsed in a buffer, or as bytes that were sent.

use std::slice;

use tidegate_http1::{edit::HeaderEdits, head::Header, request, response};
use tidegate_model::virtual_server::HttpOptions;

use crate::http::request_head::is_reserved;

/// Names and values of a head.
pub(super) enum Fields<'s> {
    Request(slice::Iter<'s, Header<request::Role>>, &'s [u8], Shown<'s>),
    Response(slice::Iter<'s, Header<response::Role>>, &'s [u8]),
    /// The lines of a head that was sent, not parsed any more.
    Sent(&'s [u8]),
}

/// Which fields of a request rules see.
#[derive(Clone, Copy)]
pub(super) struct Shown<'s> {
    pub(super) http: &'s HttpOptions,
    /// What rules have given, once it is part of the head.
    pub(super) given: Option<&'s HeaderEdits>,
}

impl Shown<'_> {
    /// All but what a client sends of what only Tidegate and its rules may say.
    fn shows(self, role: request::Role, name: &[u8]) -> bool {
        !is_reserved(role, self.http) || self.given.is_some_and(|given| given.gives(name))
    }
}

impl<'s> Iterator for Fields<'s> {
    type Item = (&'s [u8], &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Request(headers, bytes, shown) => headers
                .find(|header| shown.shows(header.role(), header.name(bytes)))
                .map(|header| (header.name(bytes), header.value(bytes))),
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
