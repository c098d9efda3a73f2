//! What rules see, mark and replace of a connection whose protocol is known by its bytes only: what the client has sent and
//! nobody has consumed, and what the node has answered and the client has not got.
//!
//! Pure: bytes are put in by whoever reads them, and taken out when the rules of a phase are over.

use crate::{buffer::Buffer, rules::MAX_TAKEN};

/// Both sides, as far as rules hold them.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// `request.sendResponse`.
    pub(crate) reply: Option<Vec<u8>>,
}

impl Talk {
    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.input.held.bytes.len() + self.output.held.bytes.len() + self.output.flushed.len()
    }
}

/// What one side has sent and rules hold.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    finished: bool,
}

impl Held {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes what was read, as much of it as may be held. Returns how much that is.
    pub(crate) fn absorb(&mut self, buffer: &mut Buffer) -> usize {
        buffer.pour(MAX_TAKEN.saturating_sub(self.bytes.len()), &mut self.bytes)
    }

    /// The side sends nothing more.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether nothing more will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }
}

/// What the client has sent.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) held: Held,
    /// Where the request ends, which may not be there yet.
    end: Option<usize>,
}

/// What is still to come of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: all of it is at hand.
    Whole,
    /// So many bytes.
    More(u64),
    /// Whatever the client sends: no end is marked.
    #[default]
    Unbounded,
}

/// A request as the rules have left it.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// As far as it is here.
    pub(crate) bytes: Vec<u8>,
    pub(crate) rest: Rest,
    /// What the client has sent behind it.
    pub(crate) behind: Vec<u8>,
}

impl Input {
    /// Begins with what was sent behind the last request; `finished` = nothing more will come.
    pub(crate) fn beginning_with(bytes: Vec<u8>, finished: bool) -> Self {
        Self { held: Held { bytes, finished }, end: None }
    }

    /// `request.endsAt`, `request.endsWith`.
    pub(crate) fn ends_at(&mut self, end: usize) {
        self.end = Some(end);
    }

    /// `request.set`: other bytes in place of the request as far as it is there, or of all that is there if no end is
    /// marked. What is still to come of it follows them.
    pub(crate) fn set(&mut self, bytes: Vec<u8>) {
        match self.end {
            Some(end) => {
                self.end = Some(bytes.len() + end.saturating_sub(self.held.bytes.len()));
                let behind = self.held.bytes.split_off(end.min(self.held.bytes.len()));
                self.held.bytes = bytes;
                self.held.bytes.extend_from_slice(&behind);
            }
            None => self.held.bytes = bytes,
        }
    }

    /// `request.skip`
    pub(crate) fn skip(&mut self, count: usize) {
        self.held.bytes.drain(..count.min(self.held.bytes.len()));
        self.end = self.end.map(|end| end.saturating_sub(count));
    }

    /// The request, when its rules are over.
    pub(crate) fn take(&mut self) -> Request {
        let mut bytes = std::mem::take(&mut self.held.bytes);
        let (rest, behind) = match self.end.take() {
            None => (Rest::Unbounded, Vec::new()),
            Some(end) if end > bytes.len() => (Rest::More((end - bytes.len()) as u64), Vec::new()),
            Some(end) => (Rest::Whole, bytes.split_off(end)),
        };
        Request { bytes, rest, behind }
    }
}

/// What the node has answered.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) held: Held,
    /// For the client before the rules are over.
    pub(crate) flushed: Vec<u8>,
    /// `response.close`
    pub(crate) closes: bool,
}

impl Output {
    /// `response.set`
    pub(crate) fn set(&mut self, bytes: Vec<u8>) {
        self.held.bytes = bytes;
    }

    /// `response.append`; false = it would be too much.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> bool {
        let fits = self.held.bytes.len() + bytes.len() <= MAX_TAKEN;
        if fits {
            self.held.bytes.extend_from_slice(bytes);
        }
        fits
    }

    /// `response.flush`: so many bytes, or all, are for the client now.
    pub(crate) fn flush(&mut self, count: Option<usize>) {
        let count = count.unwrap_or(self.held.bytes.len()).min(self.held.bytes.len());
        self.flushed.extend(self.held.bytes.drain(..count));
    }

    /// All that is for the client, when the rules are over.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.flushed);
        bytes.append(&mut self.held.bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &str) -> Input {
        Input::beginning_with(bytes.as_bytes().to_vec(), false)
    }

    /// What rules do; the request, what is still to come of it, and what is behind it.
    type Row = (fn(&mut Input), &'static str, Rest, &'static str);

    fn taken(input: &mut Input) -> (String, Rest, String) {
        let Request { bytes, rest, behind } = input.take();
        (String::from_utf8(bytes).unwrap(), rest, String::from_utf8(behind).unwrap())
    }

    #[test]
    fn requests() {
        // What rules do, what comes of `one\ntwo\n`.
        let table: [Row; 10] = [
            (|_| (), "one\ntwo\n", Rest::Unbounded, ""),
            (|input| input.ends_at(4), "one\n", Rest::Whole, "two\n"),
            (|input| input.ends_at(8), "one\ntwo\n", Rest::Whole, ""),
            (|input| input.ends_at(10), "one\ntwo\n", Rest::More(2), ""),
            (|input| input.skip(4), "two\n", Rest::Unbounded, ""),
            (
                |input| {
                    input.ends_at(4);
                    input.skip(2);
                },
                "e\n",
                Rest::Whole,
                "two\n",
            ),
            (|input| input.set(b"x".to_vec()), "x", Rest::Unbounded, ""),
            (
                |input| {
                    input.ends_at(4);
                    input.set(b"other\n".to_vec());
                },
                "other\n",
                Rest::Whole,
                "two\n",
            ),
            (
                |input| {
                    input.ends_at(10);
                    input.set(b"other\n".to_vec());
                },
                "other\n",
                Rest::More(2),
                "",
            ),
            (
                |input| {
                    input.skip(99);
                    input.ends_at(3);
                },
                "",
                Rest::More(3),
                "",
            ),
        ];
        for (row, (does, bytes, rest, behind)) in table.into_iter().enumerate() {
            let mut input = input("one\ntwo\n");
            does(&mut input);
            assert_eq!(taken(&mut input), (bytes.to_owned(), rest, behind.to_owned()), "row {row}");
        }
    }

    #[test]
    fn responses() {
        let mut output = Output::default();
        output.set(b"abc".to_vec());
        assert!(output.append(b"def"));
        output.flush(Some(2));
        assert_eq!((output.held.bytes(), &output.flushed[..]), (&b"cdef"[..], &b"ab"[..]));
        output.flush(None);
        assert!(output.append(b"g") && !output.append(&vec![0; MAX_TAKEN]));
        assert_eq!(output.take(), b"abcdefg");
        assert!(output.take().is_empty());
    }
}
