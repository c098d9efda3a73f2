//! The probe `http`: one GET request with a bounded answer.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use base64::Engine as _;
use regex::bytes::Regex;

use super::{
    Destination, excerpt, regex,
    tcp::{Stream, connect},
};

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;

/// Most header fields of an answer.
const MAX_FIELDS: usize = 128;

/// Most bytes of a body that are read; `body_regex` sees these.
const MAX_BODY: usize = 64 * 1024;

/// Most bytes read altogether: the framing of a chunked body may be as long as the body.
const MAX_ANSWER: usize = MAX_HEAD + 2 * MAX_BODY;

/// Interim answers (1xx) before the final one.
const MAX_INTERIM: usize = 8;

/// How long the rest of an answer is waited for when nothing depends on it, so that the node sees a clean end.
const DRAIN: Duration = Duration::from_millis(250);

/// The request and what its answer must look like.
#[derive(Debug)]
pub(crate) struct Request {
    /// Request target.
    target: String,
    /// `Host`, where the monitor sets it.
    host: Option<String>,
    /// `Authorization` line with CRLF, or nothing.
    authorization: String,
    status: Regex,
    body: Option<Regex>,
}

impl Request {
    pub(super) fn compile(
        path: &str,
        host: Option<&str>,
        authentication: Option<&str>,
        status: &str,
        body: Option<&str>,
    ) -> Result<Self, String> {
        let authorization = authentication.map_or_else(String::new, |credentials| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            format!("Authorization: Basic {encoded}\r\n")
        });
        Ok(Self {
            target: target(path),
            host: host.map(|host| host.chars().filter(char::is_ascii_graphic).collect()),
            authorization,
            status: regex(status)?,
            body: body.map(regex).transpose()?,
        })
    }

    pub(super) async fn run(&self, to: &Destination, socket: SocketAddr) -> Result<(), String> {
        let host = self.host.clone().unwrap_or_else(|| to.host());
        let mut stream = connect(to, socket, Some(without_port(&host))).await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Tidegate-Monitor\r\nAccept: */*\r\n{}Connection: close\r\n\r\n",
            self.target, self.authorization,
        );
        stream.write(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        let head = read_head(&mut stream, &mut answer).await?;
        let digits = head.status.to_string();
        if !self.status.is_match(digits.as_bytes()) {
            return Err(format!("status {digits} does not match `{}`", self.status.as_str()));
        }
        if let Some(regex) = &self.body {
            let body = read_body(&mut stream, &head, &mut answer).await?;
            if !regex.is_match(&body) {
                return Err(format!("the body {} does not match `{}`", excerpt(&body), regex.as_str()));
            }
        } else if let Ok(Err(error)) =
            tokio::time::timeout(DRAIN, read_body(&mut stream, &head, &mut answer)).await
        {
            tracing::trace!(error, "a probe's answer did not end cleanly");
        }
        stream.finish().await;
        Ok(())
    }
}

/// The path as a request target: begins with `/`, and whatever may not stand in a target is percent-encoded.
fn target(path: &str) -> String {
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'#' {
            target.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    target
}

/// The host of `host:port`; brackets of an IPv6 address stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// Head of a final answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
    /// Where the body begins.
    body_at: usize,
}

/// Reads up to the end of the first final head.
async fn read_head(stream: &mut Stream, answer: &mut Vec<u8>) -> Result<Head, String> {
    let mut interim = 0;
    loop {
        match parse_head(answer)? {
            Some(head) if (100..200).contains(&head.status) && head.status != 101 => {
                interim += 1;
                if interim > MAX_INTERIM {
                    return Err(format!("more than {MAX_INTERIM} interim answers"));
                }
                answer.drain(..head.body_at);
            }
            Some(head) => return Ok(head),
            None if answer.len() >= MAX_HEAD => {
                return Err(format!("the answer's head exceeds {MAX_HEAD} bytes"));
            }
            None => {
                if stream.read(answer, MAX_HEAD).await? == 0 {
                    return Err(if answer.is_empty() {
                        "connection closed without an answer".to_owned()
                    } else {
                        format!("connection closed inside the answer's head {}", excerpt(answer))
                    });
                }
            }
        }
    }
}

/// `None` while the head is incomplete.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let body_at = match response.parse(bytes) {
        Ok(httparse::Status::Complete(at)) => at,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer {} is not HTTP: {error}", excerpt(bytes))),
    };
    let status = response.code.unwrap_or_default();
    let field = |name: &str| {
        response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let framing = if matches!(status, 100..=199 | 204 | 304) {
        Framing::Length(0)
    } else if field("Transfer-Encoding")
        .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"chunked"))
    {
        Framing::Chunked
    } else if let Some(length) = field("Content-Length") {
        let length = std::str::from_utf8(length).ok().and_then(|text| text.trim().parse().ok());
        Framing::Length(length.ok_or("the answer's Content-Length is not a number")?)
    } else {
        Framing::Close
    };
    Ok(Some(Head { status, framing, body_at }))
}

/// Reads the body, at most [`MAX_BODY`] bytes of it.
async fn read_body(stream: &mut Stream, head: &Head, answer: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    loop {
        let raw = &answer[head.body_at..];
        let (mut body, complete) = match head.framing {
            Framing::Length(length) => (raw[..raw.len().min(length)].to_vec(), raw.len() >= length),
            Framing::Close => (raw.to_vec(), false),
            Framing::Chunked => dechunk(raw)?,
        };
        if complete || body.len() >= MAX_BODY {
            body.truncate(MAX_BODY);
            return Ok(body);
        }
        if stream.read(answer, MAX_ANSWER).await? == 0 {
            return if head.framing == Framing::Close || answer.len() >= MAX_ANSWER {
                Ok(body)
            } else {
                Err("connection closed inside the body".into())
            };
        }
    }
}

/// The data of a chunked body so far, and whether the last chunk is there.
fn dechunk(mut raw: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let mut body = Vec::new();
    loop {
        match httparse::parse_chunk_size(raw) {
            Ok(httparse::Status::Partial) => return Ok((body, false)),
            Err(_) => return Err(format!("the chunk size at {} is not valid", excerpt(raw))),
            Ok(httparse::Status::Complete((_, 0))) => return Ok((body, true)),
            Ok(httparse::Status::Complete((at, size))) => {
                raw = &raw[at..];
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                body.extend_from_slice(&raw[..raw.len().min(size)]);
                let Some(rest) = raw.get(size..) else { return Ok((body, false)) };
                raw = rest.get(2..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_nothing_that_could_end_the_request_line() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("health?a=b&c=%20", "/health?a=b&c=%20"),
            ("/a b\r\nHost: x", "/a%20b%0D%0AHost:%20x"),
            ("/ü#x", "/%C3%BC%23x"),
        ] {
            assert_eq!(target(path), expected);
        }
    }

    #[test]
    fn hosts_lose_their_port_for_the_server_name() {
        for (host, expected) in [
            ("a.example:8080", "a.example"),
            ("a.example", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), expected);
        }
    }

    #[test]
    fn chunked_bodies_are_put_together() {
        for (raw, expected) in [
            (&b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"[..], Ok(("hello world", true))),
            (b"5\r\nhel", Ok(("hel", false))),
            (b"5\r\nhello\r", Ok(("hello", false))),
            (b"5", Ok(("", false))),
            (b"", Ok(("", false))),
            (b"0\r\n\r\n", Ok(("", true))),
            (b"x\r\n", Err(())),
        ] {
            let result =
                dechunk(raw).map(|(body, end)| (String::from_utf8(body).unwrap(), end)).map_err(drop);
            assert_eq!(result, expected.map(|(body, end)| (body.to_owned(), end)), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn heads_say_how_the_body_ends() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some((200, Framing::Length(5)))),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Some((200, Framing::Chunked))),
            ("HTTP/1.0 404 Not Found\r\n\r\n", Some((404, Framing::Close))),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Some((204, Framing::Length(0)))),
            ("HTTP/1.1 200 OK\r\n", None),
        ] {
            let parsed = parse_head(head.as_bytes()).unwrap();
            assert_eq!(parsed.map(|head| (head.status, head.framing)), expected, "{head}");
        }
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
