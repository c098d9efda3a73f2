//! Bounds of what is read as HTTP/1.1.

/// Largest sizes accepted, in bytes unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The request line with its CRLF; more is 414.
    pub request_line: usize,
    /// A whole head, start line and blank line included; more is 431. At most 65,535.
    pub head: usize,
    /// Header lines in a head; more is 431. At most [`MAX_HEADERS`].
    pub headers: usize,
}

/// Most header lines any head may have.
pub const MAX_HEADERS: usize = 128;

/// Most options that the `Connection` headers of a head may list together: each is looked for among all headers.
pub const MAX_CONNECTION_OPTIONS: usize = 32;

/// Longest extension of one chunk.
pub const MAX_CHUNK_EXTENSION: usize = 256;

/// Trailer section of a chunked body, all lines together.
pub const MAX_TRAILERS: usize = 8 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self { request_line: 16 * 1024, head: 32 * 1024, headers: 100 }
    }
}
