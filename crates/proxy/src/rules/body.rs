//! Bodies that rules read: buffered as far as they were asked for, put back in front of what is still to come.

use std::future::poll_fn;

use memchr::memmem;
use tidegate_http1::{
    chunked::{self, ChunkedRelay, Output as ChunkedOutput},
    request::BodyFraming,
    response::ResponseFraming,
};
use tidegate_trafficscript::Answer as Given;

use crate::{
    buffer::{BUFFER, Buffer, Output},
    connection::Client,
    failure::{Failure, Kind, Progress},
    forward::attempt::{Answer, RequestBody},
    relay::{Framing, Guarded},
    virtual_server::Exchange,
};

/// Most bytes of a body that are held for rules; what is asked beyond is refused.
pub(crate) const MAX_TAKEN: usize = 16 * 1024 * 1024;

/// The beginning of a body, without transfer coding, and how the rest is framed.
///
/// ```text
/// bytes: ┌ gone: pieces that a response of the rule's own has replaced
///        │         ┌ seen: pieces that rules have looked at, still part of the message
///        │         │        ┌ what the next piece is cut from
///        0 ─────── start ── next ────────────► behind it: what is still to come
/// ```
#[derive(Debug)]
pub(crate) struct Taken {
    bytes: Vec<u8>,
    /// Where the body begins in `bytes`.
    start: usize,
    /// Where the next piece begins in `bytes`.
    next: usize,
    /// What is still to come; `None` = nothing.
    rest: Option<Framing>,
    /// The connection it comes on cannot carry another message: a rule has put other bytes in the place of what is still
    /// to come, or it ends with the body.
    pub(crate) abandons: bool,
    /// A rule has put it in the place of what was there.
    pub(crate) replaced: bool,
    /// Bytes read, framing included.
    pub(crate) read: u64,
}

/// How a piece is cut: most bytes, the delimiter that ends it (empty = none), and whether it is the last one in them.
pub(crate) type Cut<'a> = (usize, &'a [u8], bool);

/// The framing is broken.
struct Malformed;

impl Taken {
    /// Puts a body of a rule's own in its place.
    pub(crate) fn replace(&mut self, bytes: Vec<u8>) {
        self.abandons |= self.rest.take().is_some();
        self.replaced = true;
        self.bytes = bytes;
        (self.start, self.next) = (0, 0);
    }

    fn new(rest: Option<Framing>) -> Self {
        Self { bytes: Vec::new(), start: 0, next: 0, rest, abandons: false, replaced: false, read: 0 }
    }

    /// The body as far as it is here.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Bytes of it that are here.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes of it that pieces have had.
    pub(crate) fn seen(&self) -> usize {
        self.next - self.start
    }

    /// Bytes of it that no piece has had.
    pub(crate) fn ahead(&self) -> usize {
        self.bytes.len() - self.next
    }

    /// Pieces begin at the front again: what a rule has looked at is still part of the message, for whoever comes next.
    pub(crate) fn rewind(&mut self) {
        self.next = self.start;
    }

    /// What pieces have had is no part of the body any more: it goes to the client in another way.
    pub(crate) fn let_go(&mut self) {
        self.start = self.next;
        // Each byte is moved once at most for every byte that has gone.
        if self.start >= self.bytes.len() - self.start {
            self.bytes.drain(..self.start);
            (self.start, self.next) = (0, 0);
        }
    }

    /// Of a request, before a byte of it was read.
    pub(crate) fn of_request(framing: BodyFraming) -> Self {
        Self::new(match framing {
            BodyFraming::None | BodyFraming::Length(0) => None,
            BodyFraming::Length(length) => Some(Framing::Length(length)),
            BodyFraming::Chunked => Some(Framing::Chunked(Box::new(ChunkedRelay::new(ChunkedOutput::Plain)))),
        })
    }

    /// Of a response, before a byte of it was read.
    pub(crate) fn of_response(framing: ResponseFraming) -> Self {
        Self::new(match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => None,
            ResponseFraming::Length(length) => Some(Framing::Length(length)),
            ResponseFraming::Chunked => {
                Some(Framing::Chunked(Box::new(ChunkedRelay::new(ChunkedOutput::Plain))))
            }
            ResponseFraming::UntilClose => Some(Framing::UntilClose),
        })
    }

    /// Whether nothing more will come.
    pub(crate) fn is_complete(&self) -> bool {
        self.rest.is_none()
    }

    /// Takes what is in `buffer` of the body.
    fn absorb(&mut self, buffer: &mut Buffer) -> Result<(), Malformed> {
        let before = buffer.len();
        match &mut self.rest {
            None => {}
            Some(Framing::Length(left)) => {
                *left -= buffer.pour(usize::try_from(*left).unwrap_or(usize::MAX), &mut self.bytes) as u64;
                if *left == 0 {
                    self.rest = None;
                }
            }
            Some(Framing::Chunked(relay)) => {
                let relayed = relay.relay(buffer.filled(), &mut self.bytes).map_err(|_| Malformed)?;
                buffer.consume(relayed.consumed);
                if relayed.finished {
                    self.rest = None;
                }
            }
            Some(_) => {
                buffer.pour(usize::MAX, &mut self.bytes);
            }
        }
        self.read += (before - buffer.len()) as u64;
        Ok(())
    }

    /// The source has ended. False = in the middle of the body.
    fn end(&mut self) -> bool {
        let ends_here = matches!(self.rest, Some(Framing::UntilClose));
        if ends_here {
            self.rest = None;
            self.abandons = true;
        }
        ends_here
    }

    /// The body as it goes on: what was taken, framed into `out`, and the framing of the rest. `plain` = the sink does
    /// not know chunks.
    pub(crate) fn go_on(self, out: &mut Vec<u8>, plain: bool) -> Framing {
        let bytes = self.bytes.get(self.start..).unwrap_or_default();
        let chunk = |out: &mut Vec<u8>| {
            if !bytes.is_empty() {
                chunked::write_chunk_head(bytes.len(), out);
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
        };
        match self.rest {
            Some(Framing::Chunked(mut relay)) if !plain => {
                chunk(out);
                relay.go_on_chunked(out);
                Framing::Chunked(relay)
            }
            Some(Framing::UntilClose) if !plain => {
                chunk(out);
                Framing::UntilCloseChunked
            }
            rest => {
                out.extend_from_slice(bytes);
                rest.unwrap_or(Framing::None)
            }
        }
    }

    /// As an attempt takes it; `out` is empty.
    pub(crate) fn into_upload(self, mut out: Output) -> RequestBody {
        match (self.is_complete(), self.go_on(&mut out.bytes, false)) {
            (true, _) if out.bytes.is_empty() => RequestBody::None,
            (true, _) => RequestBody::Whole(out),
            (false, rest) => RequestBody::Streaming(Some(Framing::After(out, Box::new(rest)))),
        }
    }

    /// The next piece: up to `most` bytes, cut behind the first or last (`bulk`) `delimiter` among them. `None` while more
    /// of the body could bring it; `searched` then says how far it is known not to be, and is 0 for another piece.
    pub(crate) fn piece(
        &mut self,
        (most, delimiter, bulk): Cut<'_>,
        searched: &mut usize,
    ) -> Option<Vec<u8>> {
        let ahead = self.bytes.get(self.next..).unwrap_or_default();
        let window = ahead.get(..most).unwrap_or(ahead);
        let full = window.len() == most || self.is_complete();
        let found = match (delimiter, bulk) {
            ([], _) => None,
            // Only the whole window knows which is the last one.
            (_, true) => full.then(|| memmem::rfind(window, delimiter)).flatten(),
            (_, false) => {
                // One may have begun in what was there already.
                let from = searched.saturating_sub(delimiter.len() - 1);
                *searched = window.len();
                memmem::find(window.get(from..).unwrap_or_default(), delimiter).map(|at| from + at)
            }
        };
        let cut = match found {
            Some(at) => at + delimiter.len(),
            None if full || (delimiter.is_empty() && !window.is_empty()) => window.len(),
            None => return None,
        };
        let piece = window.get(..cut).unwrap_or(window).to_vec();
        self.next += piece.len();
        Some(piece)
    }
}

const TOO_LARGE: Given = Given::Refused("the body is larger than rules may hold");

fn malformed_request() -> Failure {
    Failure::new(Kind::BadRequest(400, "the chunked body is malformed"), Progress::Unsent)
}

/// Reads at least `wanted` bytes of the request's body, or all of it.
pub(crate) async fn take_request(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    wanted: usize,
) -> Result<Given, Failure> {
    if wanted > MAX_TAKEN {
        return Ok(TOO_LARGE);
    }
    let framing = exchange.head.framing();
    let mut taken = exchange.said_mut().request_body.take().unwrap_or_else(|| Taken::of_request(framing));
    let before = taken.read;
    let outcome = read_request(client, exchange, &mut taken, wanted).await;
    exchange.answered.bytes_in += taken.read - before;
    exchange.said_mut().request_body = Some(taken);
    outcome
}

async fn read_request(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    taken: &mut Taken,
    wanted: usize,
) -> Result<Given, Failure> {
    loop {
        taken.absorb(&mut client.buffer).map_err(|Malformed| malformed_request())?;
        if taken.is_complete() || taken.len() >= wanted {
            return Ok(Given::Done);
        }
        if exchange.head.expects_continue() && !exchange.said_mut().request.continued {
            exchange.said_mut().request.continued = true;
            let mut out = client.worker.buffers.lend_output();
            out.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            let unsent = |kind| Failure::new(kind, Progress::Unsent);
            client.send(out, exchange).await.map_err(unsent)?;
        }
        client.buffer.compact();
        let (idle, end) = (exchange.idle_limit(), exchange.end());
        let Client { worker, stream, deadline, buffer, .. } = client;
        let mut guard = Guarded::new(worker, deadline, idle, end);
        guard.progress();
        let read = poll_fn(|cx| {
            let polled = stream.poll_fill(cx, buffer, BUFFER);
            guard.or_passed(cx, polled)
        })
        .await;
        let kind = match read {
            Some(Ok(n)) if n > 0 => continue,
            Some(_) => Kind::ClientGone,
            None if guard.transaction_is_over() => Kind::TransactionTimedOut,
            None => Kind::ClientTimedOut,
        };
        return Err(Failure::new(kind, Progress::Unsent));
    }
}

/// Reads at least `wanted` bytes of the response's body, or all of it, while what is left of the request goes on.
pub(crate) async fn take_response(
    client: &mut Client,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
    wanted: usize,
) -> Result<Given, Failure> {
    if wanted > MAX_TAKEN {
        return Ok(TOO_LARGE);
    }
    answer.detach_head(client.worker.buffers.lend_output());
    let framing = answer.head.framing();
    let mut taken = exchange.said_mut().response_body.take().unwrap_or_else(|| Taken::of_response(framing));
    let uploaded = answer.upload.moved;
    let outcome = read_response(client, exchange, answer, &mut taken, wanted).await;
    exchange.answered.bytes_in += answer.upload.moved - uploaded;
    exchange.said_mut().response_body = Some(taken);
    outcome.map_err(|kind| Failure::new(kind, Progress::Sent))
}

async fn read_response(
    client: &mut Client,
    exchange: &Exchange<'_>,
    answer: &mut Answer,
    taken: &mut Taken,
    wanted: usize,
) -> Result<Given, Kind> {
    const MALFORMED: Kind = Kind::InvalidResponse("the node's chunked body is malformed");
    loop {
        taken.absorb(&mut answer.buffer).map_err(|Malformed| MALFORMED)?;
        if taken.is_complete() || taken.len() >= wanted {
            return Ok(Given::Done);
        }
        answer.buffer.compact();
        let (idle, end) = (exchange.idle_limit(), exchange.end());
        let Client { worker, stream, deadline, buffer: body_buffer, .. } = client;
        let mut guard = Guarded::new(worker, deadline, idle, end);
        guard.progress();
        let Answer { connection, buffer, upload, .. } = answer;
        let mut upload_ended = upload.is_complete();
        let read = poll_fn(|cx| {
            let mut moving = false;
            if !upload_ended
                && upload.poll(cx, stream, body_buffer, &mut connection.stream, &mut moving).is_ready()
            {
                // Whatever ended the upload, the response may still be read.
                upload_ended = true;
            }
            if moving {
                guard.progress();
            }
            let polled = connection.stream.poll_fill(cx, buffer, BUFFER);
            guard.or_passed(cx, polled)
        })
        .await;
        match read {
            Some(Ok(n)) if n > 0 => {}
            Some(Ok(_)) if taken.end() => {}
            Some(_) => return Err(Kind::ClosedEarly),
            None if guard.transaction_is_over() => return Err(Kind::TransactionTimedOut),
            None => return Err(Kind::ReplyTimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, complete: bool) -> Taken {
        let mut taken = Taken::of_response(if complete {
            ResponseFraming::None
        } else {
            ResponseFraming::Length(1_000_000)
        });
        taken.bytes.extend_from_slice(body.as_bytes());
        taken
    }

    #[test]
    fn pieces() {
        let all = |body: &str, complete, cut: Cut<'_>| {
            let mut taken = of(body, complete);
            let pieces: Vec<Vec<u8>> = std::iter::from_fn(|| taken.piece(cut, &mut 0)).take(9).collect();
            pieces
                .iter()
                .map(|piece| String::from_utf8_lossy(piece).into_owned())
                .collect::<Vec<_>>()
                .join("|")
        };
        // body, complete; most, delimiter, bulk; pieces
        let table: [(&str, bool, Cut<'_>, &str); 9] = [
            ("abcdefg", true, (3, b"", false), "abc|def|g||||||"),
            ("abcdefg", false, (3, b"", false), "abc|def|g"),
            ("a,b,cd,e", true, (4, b",", false), "a,|b,|cd,|e|||||"),
            ("a,b,cd,e", true, (4, b",", true), "a,b,|cd,|e||||||"),
            ("a,b,cd,e", false, (4, b",", false), "a,|b,|cd,"),
            ("a,b,cd,e", false, (4, b",", true), "a,b,|cd,"),
            ("abcdefg", false, (4, b",", false), "abcd"),
            ("ab--cd--", false, (3, b"--", false), "ab-|-cd|--"),
            ("", true, (4, b",", false), "||||||||"),
        ];
        for (body, complete, cut, expected) in table {
            let got = all(body, complete, cut);
            let got = if complete { got } else { got.trim_end_matches('|').to_owned() };
            assert_eq!(got, expected, "{body:?} {cut:?}");
        }
    }

    #[test]
    fn a_delimiter_that_arrives_in_two_parts_is_found() {
        let mut taken = of("ab-", false);
        let mut searched = 0;
        assert_eq!(taken.piece((100, b"--", false), &mut searched), None);
        assert_eq!(searched, 3);
        taken.bytes.extend_from_slice(b"-cd");
        assert_eq!(taken.piece((100, b"--", false), &mut searched).unwrap(), b"ab--");
    }

    #[test]
    fn what_was_looked_at_is_still_there() {
        let mut taken = of("abcdef", true);
        assert_eq!(taken.piece((2, b"", false), &mut 0).unwrap(), b"ab");
        assert_eq!((taken.bytes(), taken.seen(), taken.ahead()), (&b"abcdef"[..], 2, 4));
        taken.rewind();
        assert_eq!(taken.piece((4, b"", false), &mut 0).unwrap(), b"abcd");
        // A response of the rule's own begins: the pieces are the rule's.
        taken.let_go();
        assert_eq!((taken.bytes(), taken.seen(), taken.ahead()), (&b"ef"[..], 0, 2));
        let mut out = Vec::new();
        taken.go_on(&mut out, false);
        assert_eq!(out, b"ef");
    }
}
