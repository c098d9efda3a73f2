//! Buffers of a worker. A [`Buffer`] has memory only while there are bytes in it: a connection that waits, for its
//! client or for a node, holds none, and the few buffers in use stay in the processor's cache.

use std::{cell::RefCell, ops::Range, rc::Rc};

/// Size of every buffer. The largest request or response head, and the unit of copying bodies
/// (smaller units measurably cost CPU, larger ones gain nothing).
pub(crate) const BUFFER: usize = 64 * 1024;

/// Free read buffers a worker keeps; more than that are given back to the allocator.
const KEPT: usize = 64;

/// Free composing buffers a worker keeps: every request in flight holds two.
const KEPT_OUTPUTS: usize = 1024;

/// Composing buffers that have grown larger are given back to the allocator.
const LARGEST_KEPT_OUTPUT: usize = 8 * 1024;

/// The free buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    reads: RefCell<Vec<Box<[u8]>>>,
    writes: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty read buffer.
    pub(crate) fn lend(self: &Rc<Self>) -> Buffer {
        Buffer { data: Box::default(), start: 0, end: 0, home: Rc::clone(self) }
    }

    fn keep(&self, data: Box<[u8]>) {
        let mut free = self.reads.borrow_mut();
        if free.len() < KEPT {
            free.push(data);
        }
    }

    /// An empty growable buffer for composing what is written.
    pub(crate) fn lend_output(self: &Rc<Self>) -> Output {
        let bytes = self.writes.borrow_mut().pop().unwrap_or_default();
        Output { bytes, home: Rc::clone(self) }
    }
}

/// A read buffer: filled at the end, consumed at the start.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Empty while there are no bytes.
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

    /// Room for more bytes, at most `limit` of it. [`Buffer::fill`] says what has become of it.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.data.is_empty() {
            let kept = self.home.reads.borrow_mut().pop();
            self.data = kept.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
        }
        let end = self.data.len().min(self.end.saturating_add(limit));
        self.data.get_mut(self.end..end).unwrap_or_default()
    }

    /// Says that `n` bytes of the room were filled, or none: memory without bytes in it is given back.
    pub(crate) fn fill(&mut self, n: usize) {
        self.end = self.data.len().min(self.end.saturating_add(n));
        self.rest();
    }

    /// Says that `n` bytes at the start are done with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start.saturating_add(n));
        self.rest();
    }

    /// Moves the unconsumed bytes, at most `most` of them, behind `into`. Returns how many.
    pub(crate) fn pour(&mut self, most: usize, into: &mut Vec<u8>) -> usize {
        let n = self.len().min(most);
        into.extend_from_slice(self.slice(0..n));
        self.consume(n);
        n
    }

    /// Gives the memory back if there are no bytes in it.
    fn rest(&mut self) {
        if self.start == self.end && !self.data.is_empty() {
            (self.start, self.end) = (0, 0);
            self.home.keep(std::mem::take(&mut self.data));
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
        if !self.data.is_empty() {
            self.home.keep(std::mem::take(&mut self.data));
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
        if free.len() < KEPT_OUTPUTS && self.bytes.capacity() <= LARGEST_KEPT_OUTPUT {
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
        let mut poured = b"he".to_vec();
        assert_eq!((buffer.pour(2, &mut poured), buffer.filled()), (2, &b"o"[..]));
        assert_eq!((buffer.pour(usize::MAX, &mut poured), poured.as_slice()), (1, &b"hello"[..]));
        assert!(buffer.is_empty());
    }

    #[test]
    fn more_than_there_is_can_be_consumed() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.lend();
        buffer.room(5);
        buffer.fill(5);
        buffer.consume(2);
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
    }

    #[test]
    fn memory_is_shared_by_buffers_that_take_turns() {
        let buffers = Rc::new(Buffers::default());
        let (mut one, mut other) = (buffers.lend(), buffers.lend());
        one.room(1);
        one.fill(0);
        other.room(1);
        other.fill(1);
        assert_eq!(buffers.reads.borrow().len(), 0);
        other.consume(1);
        assert_eq!(buffers.reads.borrow().len(), 1);
        one.room(1);
        drop(one);
        assert_eq!(buffers.reads.borrow().len(), 1);
    }
}
