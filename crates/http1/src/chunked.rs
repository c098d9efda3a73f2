//! Chunked bodies, checked and re-framed as they pass (RFC 9112 §7.1).
//!
//! A [`ChunkedRelay`] takes whatever bytes are there and appends what may go on: canonical chunks with the same
//! boundaries, extensions left out, or the bare data. Nothing is passed on before it was understood: a chunk's
//! size line goes out only when the whole line was read and is good.

use std::fmt;

use crate::{
    edit::FRAMING,
    head::{is_field_value, is_token},
    limits::{MAX_CHUNK_EXTENSION, MAX_TRAILERS},
};

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Longest chunk size line: 16 digits, an extension, CRLF.
const MAX_SIZE_LINE: usize = 16 + MAX_CHUNK_EXTENSION + 2;

/// What comes out of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Canonical chunks and the trailers.
    Chunked,
    /// The data alone, for a reader that does not know chunks.
    Plain,
}

/// What one call of [`ChunkedRelay::relay`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes of the input that are done with. The rest is an incomplete line: offer it again with more behind it.
    pub consumed: usize,
    /// Whether the body has ended.
    pub finished: bool,
}

/// Why a chunked body cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The size is not 1–16 hexadecimal digits, or white space follows it.
    Size,
    /// The extension is not made of tokens and quoted strings, or is too long.
    Extension,
    /// CRLF does not follow where it must.
    LineEnd,
    /// A trailer line is not a header line, or the trailers are too long.
    Trailer,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a chunk size is not 1 to 16 hexadecimal digits",
            Self::Extension => "a chunk extension is malformed or too long",
            Self::LineEnd => "a chunk does not end with CR LF",
            Self::Trailer => "a trailer line is malformed or the trailers are too long",
        })
    }
}

impl std::error::Error for ChunkError {}

/// Checks and re-frames one chunked body.
#[derive(Debug)]
pub struct ChunkedRelay {
    output: Output,
    state: State,
    data: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a size line.
    Size,
    /// Inside a chunk, so many bytes to go.
    Data(u64),
    /// At the CRLF behind a chunk.
    DataEnd,
    /// The same, behind a chunk whose end is written already.
    DataEndWritten,
    /// In the trailer section, after so many bytes of it.
    Trailers(usize),
    Finished,
}

impl ChunkedRelay {
    /// A relay at the start of a body.
    pub fn new(output: Output) -> Self {
        Self { output, state: State::Size, data: 0 }
    }

    /// Data bytes seen so far, framing not counted.
    pub fn data_bytes(&self) -> u64 {
        self.data
    }

    /// Goes on as chunks behind a beginning that was taken as bare data and has been written to `out` as whole chunks.
    pub fn go_on_chunked(&mut self, out: &mut Vec<u8>) {
        self.output = Output::Chunked;
        match self.state {
            State::Data(left) => write_chunk_head(usize::try_from(left).unwrap_or(usize::MAX), out),
            State::DataEnd => self.state = State::DataEndWritten,
            State::Trailers(_) => out.extend_from_slice(b"0\r\n"),
            State::Finished => out.extend_from_slice(LAST_CHUNK),
            State::Size | State::DataEndWritten => {}
        }
    }

    /// Takes what it can from `input` and appends what may go on to `out`.
    pub fn relay(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Relayed, ChunkError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match self.state {
                State::Finished => break,
                State::Size => {
                    let Some(line) = line(rest, MAX_SIZE_LINE, ChunkError::Extension)? else {
                        check_size_so_far(rest)?;
                        break;
                    };
                    let size = size_of(line)?;
                    at += line.len() + 2;
                    if size > 0 && self.output == Output::Chunked {
                        write_chunk_head(size as usize, out);
                    }
                    self.state = if size == 0 { State::Trailers(0) } else { State::Data(size) };
                    if size == 0 && self.output == Output::Chunked {
                        out.extend_from_slice(b"0\r\n");
                    }
                }
                State::Data(left) => {
                    if rest.is_empty() {
                        break;
                    }
                    let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    out.extend_from_slice(rest.get(..n).unwrap_or_default());
                    at += n;
                    self.data += n as u64;
                    let left = left - n as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::DataEnd | State::DataEndWritten => match rest {
                    [b'\r', b'\n', ..] => {
                        if self.output == Output::Chunked && self.state == State::DataEnd {
                            out.extend_from_slice(b"\r\n");
                        }
                        at += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(ChunkError::LineEnd),
                },
                State::Trailers(seen) => {
                    let Some(line) = line(rest, MAX_TRAILERS - seen.min(MAX_TRAILERS), ChunkError::Trailer)?
                    else {
                        break;
                    };
                    let length = line.len() + 2;
                    at += length;
                    if line.is_empty() {
                        if self.output == Output::Chunked {
                            out.extend_from_slice(b"\r\n");
                        }
                        self.state = State::Finished;
                        continue;
                    }
                    let name = trailer_name(line)?;
                    if self.output == Output::Chunked && !is_forbidden_trailer(name) {
                        out.extend_from_slice(line);
                        out.extend_from_slice(b"\r\n");
                    }
                    self.state = State::Trailers(seen + length);
                }
            }
        }
        Ok(Relayed { consumed: at, finished: self.state == State::Finished })
    }
}

/// Appends the size line of a chunk of `length` bytes.
pub fn write_chunk_head(length: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(DIGITS[(length >> (place * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// The line at the start of `bytes` without its CRLF; `None` while it is not complete.
fn line(bytes: &[u8], limit: usize, too_long: ChunkError) -> Result<Option<&[u8]>, ChunkError> {
    let window = bytes.get(..limit).unwrap_or(bytes);
    match memchr::memchr(b'\n', window) {
        Some(end) => {
            bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ChunkError::LineEnd).map(Some)
        }
        None if bytes.len() >= limit => Err(too_long),
        None => Ok(None),
    }
}

/// An incomplete size line that can no longer become a good one is refused without waiting for the rest.
fn check_size_so_far(bytes: &[u8]) -> Result<(), ChunkError> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    match bytes.get(digits) {
        _ if digits > 16 => Err(ChunkError::Size),
        None | Some(b';') if digits > 0 || bytes.is_empty() => Ok(()),
        Some(b'\r') if digits > 0 && bytes.len() == digits + 1 => Ok(()),
        _ => Err(ChunkError::Size),
    }
}

fn size_of(line: &[u8]) -> Result<u64, ChunkError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if !(1..=16).contains(&digits) {
        return Err(ChunkError::Size);
    }
    let extension = line.get(digits..).unwrap_or_default();
    if !extension.is_empty() {
        check_extension(extension)?;
    }
    let value = |digit: &u8| u64::from((*digit as char).to_digit(16).unwrap_or_default());
    Ok(line.iter().take(digits).fold(0, |size, digit| size << 4 | value(digit)))
}

/// RFC 9112 §7.1.1 without the "bad white space" it tolerates: `;name`, `;name=token`, `;name="quoted"`.
fn check_extension(mut rest: &[u8]) -> Result<(), ChunkError> {
    while let Some(after) = rest.strip_prefix(b";") {
        let (_, after) = token(after)?;
        rest = match after.split_first() {
            Some((b'=', [b'"', quoted @ ..])) => quoted_end(quoted)?,
            Some((b'=', value)) => token(value)?.1,
            _ => after,
        };
    }
    if rest.is_empty() {
        return Ok(());
    }
    // White space right behind the size is its own fault.
    Err(if matches!(rest.first(), Some(b' ' | b'\t')) { ChunkError::Size } else { ChunkError::Extension })
}

fn token(bytes: &[u8]) -> Result<(&[u8], &[u8]), ChunkError> {
    let length = bytes.iter().take_while(|byte| is_token(**byte)).count();
    if length == 0 { Err(ChunkError::Extension) } else { Ok(bytes.split_at(length)) }
}

fn quoted_end(bytes: &[u8]) -> Result<&[u8], ChunkError> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', byte, after @ ..] if is_field_value(*byte) => after,
            [byte, after @ ..] if *byte != b'\\' && is_field_value(*byte) => after,
            _ => return Err(ChunkError::Extension),
        };
    }
}

fn trailer_name(line: &[u8]) -> Result<&[u8], ChunkError> {
    let length = line.iter().take_while(|byte| is_token(**byte)).count();
    let value = line.get(length + 1..).unwrap_or_default();
    if length == 0 || line.get(length) != Some(&b':') || !value.iter().all(|byte| is_field_value(*byte)) {
        return Err(ChunkError::Trailer);
    }
    Ok(line.get(..length).unwrap_or_default())
}

/// Fields that mean something before the body and must not come after it (RFC 9110 §6.5.1): dropped. More than frames the
/// message: whoever puts trailers among the headers would take them for what the head says of client and body.
fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&[u8]; 14] = [
        b"host",
        b"authorization",
        b"proxy-authorization",
        b"location",
        b"cache-control",
        b"cookie",
        b"set-cookie",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"sslsessionid",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-cluster-client-ip",
    ];
    FRAMING.iter().chain(&FORBIDDEN).any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        // What only a proxy may tell a node.
        || name.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"sslclient"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8], output: Output, step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let mut relay = ChunkedRelay::new(output);
        let (mut out, mut held, mut taken) = (Vec::new(), Vec::new(), 0);
        let mut finished = false;
        for piece in input.chunks(step) {
            held.extend_from_slice(piece);
            let relayed = relay.relay(&held, &mut out)?;
            held.drain(..relayed.consumed);
            taken += relayed.consumed;
            finished = relayed.finished;
        }
        Ok((out, taken, finished))
    }

    #[test]
    fn a_beginning_taken_plain_goes_on_as_chunks() {
        let input = b"5\r\nhello\r\n3\r\nyou\r\n0\r\nX-Sum: 7\r\n\r\n";
        for cut in 0..=input.len() {
            let mut relay = ChunkedRelay::new(Output::Plain);
            let mut data = Vec::new();
            let taken = relay.relay(&input[..cut], &mut data).unwrap().consumed;
            let mut out = Vec::new();
            if !data.is_empty() {
                write_chunk_head(data.len(), &mut out);
                out.extend_from_slice(&data);
                out.extend_from_slice(b"\r\n");
            }
            relay.go_on_chunked(&mut out);
            relay.relay(&input[taken..], &mut out).unwrap();
            let (plain, all, finished) = run(&out, Output::Plain, 1).unwrap();
            assert_eq!(
                (plain.as_slice(), all, finished),
                (b"helloyou".as_slice(), out.len(), true),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn good_bodies_come_out_canonical_however_they_arrive() {
        let cases: [(&str, &str, &str); 6] = [
            ("5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("00005\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"),
            (
                "1;a=b;c=\"d\\\"e\"\r\nx\r\nA\r\n0123456789\r\n0;z\r\n\r\n",
                "1\r\nx\r\na\r\n0123456789\r\n0\r\n\r\n",
                "x0123456789",
            ),
            ("0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n", "0\r\nX-Sum: 7\r\n\r\n", ""),
            ("0\r\n\r\nGET / HTTP/1.1", "0\r\n\r\n", ""),
            ("F\r\n012345678901234\r\n0\r\n\r\n", "f\r\n012345678901234\r\n0\r\n\r\n", "012345678901234"),
        ];
        for (input, chunked, plain) in cases {
            for step in [1, 2, 3, 7, input.len()] {
                let (out, taken, finished) = run(input.as_bytes(), Output::Chunked, step).expect(input);
                assert_eq!(
                    (String::from_utf8_lossy(&out).as_ref(), finished),
                    (chunked, true),
                    "{input:?} by {step}"
                );
                assert!(taken <= input.len());
                let (out, _, _) = run(input.as_bytes(), Output::Plain, step).expect(input);
                assert_eq!(out, plain.as_bytes());
            }
        }
    }

    #[test]
    fn anything_that_could_be_read_two_ways_is_refused() {
        for input in [
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "-5\r\n",
            "0x5\r\nhello\r\n",
            "\r\n",
            "g\r\n",
            "5\nhello\r\n",
            "5\rhello",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "10000000000000000\r\n",
            "5;\r\nhello\r\n",
            "5; a\r\nhello\r\n",
            "5;a=\r\n",
            "5;a=\"\r\n",
            "5;a b\r\n",
            "5;a\0\r\n",
            "0\r\nBad Name: x\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nX: a\rb\r\n\r\n",
            "0\r\nX: a\nY: b\r\n\r\n",
            ";a\r\n",
        ] {
            for step in [1, input.len()] {
                assert!(run(input.as_bytes(), Output::Chunked, step).is_err(), "{input:?} by {step}");
            }
        }
    }

    #[test]
    fn bounds_hold() {
        let long = format!("1;{}\r\nx\r\n", "a".repeat(300));
        assert_eq!(run(long.as_bytes(), Output::Chunked, 1), Err(ChunkError::Extension));
        let many = format!("0\r\n{}", "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(300));
        assert_eq!(run(many.as_bytes(), Output::Chunked, 64), Err(ChunkError::Trailer));
    }

    #[test]
    fn size_lines_are_hexadecimal() {
        for length in [0usize, 1, 9, 10, 15, 16, 255, 256, 65_535, 65_536, usize::MAX] {
            let mut out = Vec::new();
            write_chunk_head(length, &mut out);
            assert_eq!(String::from_utf8(out).expect("ascii"), format!("{length:x}\r\n"));
        }
    }
}
