//! A rule's request as a message, and the response as a rule sees it. Pure.

use std::fmt::Write as _;

use http_body_util::Full;
use hyper::{
    Request, Version,
    body::Bytes,
    ext::ReasonPhrase,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue},
    http::response::Parts,
};
use tidegate_http1::edit::FRAMING;
use tidegate_trafficscript::host::{Fetch, Fetched};

use super::target::Target;

/// The message. Header fields of the rule that are the proxy's own are left out; what cannot be a field is an error
/// that the rule gets to see.
pub(super) fn request(fetch: &Fetch, target: &Target) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(fetch.method)
        .uri(&*target.path)
        .version(Version::HTTP_11)
        .body(Full::new(Bytes::copy_from_slice(&fetch.body)))
        .map_err(|error| error.to_string())?;
    let fields = request.headers_mut();
    for (name, value) in &fetch.headers {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let name = HeaderName::from_bytes(name)
            .map_err(|_| format!("{:?} cannot be the name of a header", shown()))?;
        let value = HeaderValue::from_bytes(value.trim_ascii())
            .map_err(|_| format!("the value of the header {:?} has bytes that may not be in one", shown()))?;
        if !FRAMING.contains(&name.as_str().as_bytes()) {
            fields.append(name, value);
        }
    }
    if !fields.contains_key(HOST) {
        let host = HeaderValue::from_str(&target.authority).map_err(|error| error.to_string())?;
        fields.insert(HOST, host);
    }
    if matches!(fetch.method, "POST" | "PUT") || !fetch.body.is_empty() {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(fetch.body.len()));
    }
    Ok(request)
}

/// Status and header section; the body is yet to come.
pub(super) fn fetched(head: &Parts) -> Fetched {
    let version = if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let reason = match head.extensions.get::<ReasonPhrase>() {
        Some(reason) => reason.as_bytes(),
        None => head.status.canonical_reason().unwrap_or_default().as_bytes(),
    };
    let mut status_line = format!("{version} {} ", head.status.as_u16()).into_bytes();
    status_line.extend_from_slice(reason);
    Fetched {
        status: head.status.as_u16(),
        status_line: status_line.trim_ascii_end().to_owned(),
        head: section(&head.headers),
        content_type: head
            .headers
            .get(CONTENT_TYPE)
            .map(|value| value.as_bytes().to_owned())
            .unwrap_or_default(),
        body: Vec::new(),
    }
}

/// Header fields as lines, their names written the usual way.
fn section(fields: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in fields {
        let mut begins = true;
        text.extend(name.as_str().bytes().map(|byte| {
            let written = if begins { byte.to_ascii_uppercase() } else { byte };
            begins = byte == b'-';
            written
        }));
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// The error and its causes.
pub(super) fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        // Writing to a string does not fail.
        let _written = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::services::fetch::target::target;

    fn fetch(method: &'static str, headers: &[(&str, &str)], body: &str) -> Fetch {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()));
        Fetch {
            method,
            url: Vec::new(),
            headers: headers.collect(),
            body: body.into(),
            timeout: None,
            trusted: None,
        }
    }

    fn fields(method: &'static str, headers: &[(&str, &str)], body: &str) -> Result<Vec<String>, String> {
        let target = target(b"http://web:81/x").unwrap();
        let request = request(&fetch(method, headers, body), &target)?;
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        Ok(request.headers().iter().map(text).collect())
    }

    #[test]
    fn fields_of_the_rule_and_our_own() {
        assert_eq!(fields("GET", &[], "").unwrap(), ["host: web:81"]);
        assert_eq!(fields("POST", &[], "").unwrap(), ["host: web:81", "content-length: 0"]);
        let given = [
            ("X-A", " 1 "),
            ("x-a", "2"),
            ("Host", "other"),
            ("Connection", "close"),
            ("Content-Length", "99"),
            ("Transfer-Encoding", "chunked"),
        ];
        assert_eq!(
            fields("PUT", &given, "abc").unwrap(),
            ["x-a: 1", "x-a: 2", "host: other", "content-length: 3"]
        );
        for (name, value) in [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\ny: z"), ("a", "x\0")] {
            assert!(fields("GET", &[(name, value)], "").is_err(), "{name:?} {value:?}");
        }
    }

    #[test]
    fn sections_are_written_the_usual_way() {
        let mut map = HeaderMap::new();
        map.append("content-type", HeaderValue::from_static("text/plain"));
        map.append("x-cache-a", HeaderValue::from_static("1"));
        map.append("x-cache-a", HeaderValue::from_static("2"));
        assert_eq!(section(&map), b"Content-Type: text/plain\r\nX-Cache-A: 1\r\nX-Cache-A: 2\r\n");
    }
}
