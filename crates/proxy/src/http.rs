//! Message heads rewritten as bytes: what a node gets for a client's head, and the other way round.
//!
//! Heads are copied in runs: only lines that must go or change interrupt the copy.

pub(crate) mod cookie;
pub(crate) mod error_page;
pub(crate) mod location;
pub(crate) mod request_head;
pub(crate) mod response_head;

/// Appends the lines of `bytes[..end]` from `start`, leaving out the ranges that `dropped` yields in order.
pub(crate) fn copy_lines_without(
    out: &mut Vec<u8>,
    bytes: &[u8],
    start: usize,
    end: usize,
    dropped: impl Iterator<Item = std::ops::Range<usize>>,
) {
    let mut from = start;
    for line in dropped {
        out.extend_from_slice(bytes.get(from..line.start).unwrap_or_default());
        from = line.end;
    }
    out.extend_from_slice(bytes.get(from..end).unwrap_or_default());
}
