//! `http.*`: bodies of the request and of the response.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::{array, body, edit, field, lines, wanted};
use crate::{
    host::{Edit, Side},
    library::{
        Call, Function, Interrupt, Outcome,
        row::{REQUEST, RESPONSE, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.getBody", "[bytes]", (0, 1),
        "Body of the request, or its first so many bytes; empty, with a warning, if it is too long.",
        |call| {
            let most = wanted(call, 0)?;
            let body = body(call, Side::Request, most)?;
            call.make(body.unwrap_or_default())
        }).only(REQUEST).waits(),
    works("http.getBodyLines", "[bytes]", (0, 1),
        "Array of the lines of the request's body, or of its first so many bytes.",
        |call| {
            let most = wanted(call, 0)?;
            let body = body(call, Side::Request, most)?.unwrap_or_default();
            array(call, lines(&body))
        }).only(REQUEST).waits(),
    works("http.setBody", "body", (1, 1), "Sets the body of the request; `Content-Length` follows.", |call| {
        let body = call.text(0)?;
        set(call, Side::Request, &body)
    }).only(REQUEST),
    works("http.getMultipartAttachment", "index", (1, 1),
        "Content of a part of a multipart body, counted from 0; empty if there is none. $1: its type, $2: \
         its header fields as text.",
        get_attachment).only(REQUEST).waits(),
    works("http.getResponseBody", "[bytes]", (0, 1),
        "Body of the response, or its first so many bytes, without gzip and deflate coding; empty, with a \
         warning, if it is too long.",
        |call| {
            let most = wanted(call, 0)?;
            let body = response_body(call, most)?;
            call.make(body)
        }).only(RESPONSE).waits(),
    works("http.getResponseBodyLines", "[bytes]", (0, 1),
        "Array of the lines of the response's body, or of its first so many bytes.",
        |call| {
            let most = wanted(call, 0)?;
            let body = response_body(call, most)?;
            array(call, lines(&body))
        }).only(RESPONSE).waits(),
    works("http.setResponseBody", "body[, transfer encoding]", (1, 2),
        "Sets the body of the response; `Content-Length` follows, `Content-Encoding` is removed. The \
         transfer encoding is the proxy's own choice.",
        |call| {
            let body = call.text(0)?;
            edit(call, Side::Response, Edit::Remove(b"content-encoding"))?;
            set(call, Side::Response, &body)
        }).only(RESPONSE),
];

fn set<'p>(call: &mut Call<'_, 'p>, side: Side, body: &[u8]) -> Outcome<'p> {
    call.charge(body.len())?;
    if let Err(refusal) = call.host.set_body(side, body.to_vec()) {
        call.warn(&format!("the body was not changed: {refusal}"))?;
    }
    Ok(Value::EMPTY)
}

/// The first `most` bytes (0 = all) of the response's body without content coding.
fn response_body(call: &mut Call<'_, '_>, most: usize) -> Result<Vec<u8>, Interrupt> {
    let coding = field(call, Side::Response, b"content-encoding")?.trim_ascii().to_ascii_lowercase();
    let coding = match coding.as_slice() {
        b"" | b"identity" => return Ok(body(call, Side::Response, most)?.unwrap_or_default()),
        b"gzip" | b"x-gzip" => Coding::Gzip,
        b"deflate" => Coding::Deflate,
        _ => {
            let body = body(call, Side::Response, most)?.unwrap_or_default();
            let coding = coding.escape_ascii();
            call.warn(&format!("the response has the coding `{coding}`, which is not decoded"))?;
            return Ok(body);
        }
    };
    let Some(encoded) = body(call, Side::Response, 0)? else { return Ok(Vec::new()) };
    let limit = call.meter.limits().body;
    let decoded = match decode(coding, &encoded, limit) {
        Ok(decoded) => decoded,
        Err(message) => {
            // It may have been decoded up to its limit.
            call.meter.work(limit)?;
            call.warn(&format!("the body of the response is not decoded: {message}"))?;
            return Ok(Vec::new());
        }
    };
    call.meter.work(decoded.len())?;
    let end = if most == 0 { decoded.len() } else { most.min(decoded.len()) };
    Ok(decoded.get(..end).unwrap_or_default().to_vec())
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    /// With or, as some send it, without the frame of RFC 1950.
    Deflate,
}

/// Decodes up to `limit` bytes; more is an error.
fn decode(coding: Coding, encoded: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    if encoded.is_empty() {
        return Ok(Vec::new());
    }
    let read = |decoder: &mut dyn Read| {
        let mut decoded = Vec::new();
        let most = (limit as u64).saturating_add(1);
        match decoder.take(most).read_to_end(&mut decoded) {
            Err(error) => Err(format!("it is damaged ({error})")),
            Ok(_) if decoded.len() > limit => Err(format!("it is longer than {limit} bytes")),
            Ok(_) => Ok(decoded),
        }
    };
    match coding {
        Coding::Gzip => read(&mut MultiGzDecoder::new(encoded)),
        Coding::Deflate if has_zlib_frame(encoded) => read(&mut ZlibDecoder::new(encoded)),
        Coding::Deflate => read(&mut DeflateDecoder::new(encoded)),
    }
}

/// RFC 1950 §2.2: method 8, and the first two bytes are a multiple of 31.
fn has_zlib_frame(bytes: &[u8]) -> bool {
    matches!(bytes, [cmf, flags, ..] if cmf & 15 == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0)
}

fn get_attachment<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let index = call.int(0)?;
    let kind = field(call, Side::Request, b"content-type")?;
    let body = match boundary(&kind) {
        Some(_) => body(call, Side::Request, 0)?.unwrap_or_default(),
        None => Vec::new(),
    };
    let part = boundary(&kind)
        .zip(usize::try_from(index).ok())
        .and_then(|(boundary, index)| parts(&body, &boundary).nth(index));
    let (head, content) = part.unwrap_or_default();
    let kind = lines(head).find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let named = line[..colon].trim_ascii().eq_ignore_ascii_case(b"content-type");
        named.then(|| line[colon + 1..].trim_ascii().to_vec())
    });
    let (kind, head) = (call.make(kind.unwrap_or_default())?, call.make(head)?);
    call.set_capture(1, kind);
    call.set_capture(2, head);
    call.make(content)
}

/// The boundary of a multipart media type (RFC 2046 §5.1.1).
fn boundary(kind: &[u8]) -> Option<Vec<u8>> {
    let mut parts = kind.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let family = parts.next()?.get(..10)?;
    if !family.eq_ignore_ascii_case(b"multipart/") {
        return None;
    }
    parts.find_map(|parameter| {
        let at = parameter.iter().position(|&byte| byte == b'=')?;
        let value = parameter[at + 1..].trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        (parameter[..at].trim_ascii().eq_ignore_ascii_case(b"boundary") && !value.is_empty())
            .then(|| value.to_vec())
    })
}

/// Head and content of every part of a multipart body.
fn parts<'b>(body: &'b [u8], boundary: &[u8]) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
    let delimiter = [b"--", boundary].concat();
    let mut rest = after_delimiter(body, &delimiter).map(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let part = rest?;
        // The last delimiter ends with two more dashes.
        if part.starts_with(b"--") {
            return None;
        }
        let part = &part[part.iter().position(|&byte| byte == b'\n')? + 1..];
        let (content, behind) = after_delimiter(part, &delimiter)?;
        rest = Some(behind);
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        Some(if let Some(content) = content.strip_prefix(b"\r\n") {
            (&b""[..], content)
        } else {
            match find(content, b"\r\n\r\n") {
                Some(at) => (&content[..at + 2], &content[at + 4..]),
                None => (content, &b""[..]),
            }
        })
    })
}

/// What is before and behind the first delimiter. One begins a line and has nothing behind it but two dashes or white
/// space: text that merely begins like it is content.
fn after_delimiter<'b>(text: &'b [u8], delimiter: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let mut from = 0;
    loop {
        let at = from + find(text.get(from..)?, delimiter)?;
        let (before, behind) = (text.get(..at)?, text.get(at + delimiter.len()..)?);
        let blank = behind.trim_ascii_start().len();
        let ends = behind.starts_with(b"--") || behind[..behind.len() - blank].contains(&b'\n');
        if ends && before.last().is_none_or(|&byte| byte == b'\n') {
            return Some((before, behind));
        }
        from = at + 1;
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}
