//! Read buffers lent by the worker: a connection holds one only while it has bytes in flight.

use std::{cell::RefCell, ops::Range, rc::Rc};

/// Size of every buffer. The largest request or response head, and the unit of copying bodies
/// (smaller units measurably cost CPU, larger ones gain nothing).
pub(crate) const BUFFER: usize = 64 * 1024;

/// Free buffers a worker keeps; more than that are given back to the allocator.
const KEPT: usize = 64;

/// The free buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    reads: RefCell<Vec<Box<[u8]>>>,
    writes: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty read buffer.
    pub(crate) fn lend(self: &Rc<Self>) -> Buffer {
        let data = self.reads.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
        Buffer { data, start: 0, end: 0, home: Rc::clone(self) }
    }

    /// An empty growable buffer for composing what is written.
    pub(crate) fn lend_output(self: &Rc<Self>) -> Output {
        let bytes = self.writes.borrow_mut().pop().unwrap_or_default();
        Output { bytes, home: Rc::clone(self) }
    }
}

/// A read buffer: filled at the end, consumed at the start. Goes home when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Box<[u8]>,
    start: usize,
    end: usize,
    home: Rc<Buffers>,
}

impl Buffer {
    /// The bytes that were read and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Room for more bytes, at most `limit` of it.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        let end = self.data.len().min(self.end.saturating_add(limit));
        self.data.get_mut(self.end..end).unwrap_or_default()
    }

    /// Says that `n` bytes of the room were filled.
    pub(crate) fn fill(&mut self, n: usize) {
        self.end = self.data.len().min(self.end + n);
    }

    /// Says that `n` bytes at the start are done with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Moves the unconsumed bytes to the front, so that the room is as large as it can be.
    pub(crate) fn compact(&mut self) {
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Whether nothing is waiting to be consumed.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes wait to be consumed.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Part of the unconsumed bytes.
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.filled().get(range).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.reads.borrow_mut();
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.data));
        }
    }
}

/// A growable buffer on its way to a socket. Goes home when dropped.
#[derive(Debug)]
pub(crate) struct Output {
    /// The bytes, in order.
    pub(crate) bytes: Vec<u8>,
    home: Rc<Buffers>,
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut free = self.home.writes.borrow_mut();
        if free.len() < KEPT && self.bytes.capacity() <= 4 * BUFFER {
            self.bytes.clear();
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.lend();
        buffer.room(5)[..5].copy_from_slice(b"hello");
        buffer.fill(5);
        buffer.consume(2);
        assert_eq!(buffer.filled(), b"llo");
        buffer.compact();
        assert_eq!(buffer.room(usize::MAX).len(), BUFFER - 3);
        assert_eq!(buffer.filled(), b"llo");
        buffer.consume(3);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_dropped_buffer_is_lent_again() {
        let buffers = Rc::new(Buffers::default());
        drop(buffers.lend());
        drop(buffers.lend());
        assert_eq!(buffers.reads.borrow().len(), 1);
    }
}
