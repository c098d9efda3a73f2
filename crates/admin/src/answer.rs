//! Answers: JSON documents, bytes, lists of children, refusals, and which status each has.

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value as Json, json};
use tidegate_config::rest::Refusal;

use crate::request::encoded;

/// Tells the writer what becomes of the change: a word, a semicolon, a sentence.
pub(crate) const NOTICE: HeaderName = HeaderName::from_static("tidegate-notice");
/// Most notices of one answer.
const MAX_NOTICES: usize = 8;
/// Longest notice, bytes.
const MAX_NOTICE: usize = 200;

/// An answer in the making.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Body,
    pub(crate) notices: Vec<String>,
    pub(crate) allow: Option<&'static str>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

/// What an answer carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Nothing,
    Json(Json),
    Bytes { media_type: &'static str, bytes: Bytes },
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Body) -> Self {
        Self { status, body, notices: Vec::new(), allow: None, retry_after: None }
    }

    pub(crate) fn json(body: Json) -> Self {
        Self::new(StatusCode::OK, Body::Json(body))
    }

    pub(crate) fn nothing() -> Self {
        Self::new(StatusCode::NO_CONTENT, Body::Nothing)
    }

    pub(crate) fn bytes(media_type: &'static str, bytes: Bytes) -> Self {
        Self::new(StatusCode::OK, Body::Bytes { media_type, bytes })
    }

    /// A directory or collection at `path`, which has no final slash: names, each with whether it has children.
    pub(crate) fn children<'n>(path: &str, children: impl IntoIterator<Item = (&'n str, bool)>) -> Self {
        let child = |(name, has_children): (&str, bool)| {
            let slash = if has_children { "/" } else { "" };
            json!({ "name": name, "href": format!("{path}/{}{slash}", encoded(name)) })
        };
        let children: Vec<Json> = children.into_iter().map(child).collect();
        Self::json(json!({ "children": children }))
    }

    pub(crate) fn refusal(refusal: &Refusal) -> Self {
        Self::new(status(refusal.id), Body::Json(refusal.body()))
    }

    pub(crate) fn refused(id: &'static str, text: impl Into<String>) -> Self {
        Self::refusal(&Refusal::new(id, text))
    }

    pub(crate) fn not_found() -> Self {
        Self::refused("resource.not_found", "there is no resource with this path")
    }

    pub(crate) fn not_allowed(allow: &'static str) -> Self {
        let mut answer = Self::refused("http.method_not_allowed", format!("this resource takes {allow}"));
        answer.allow = Some(allow);
        answer
    }

    /// The bytes of the answer.
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let (media_type, bytes) = match self.body {
            Body::Nothing => (None, Bytes::new()),
            Body::Json(json) => (Some("application/json"), Bytes::from(json.to_string())),
            Body::Bytes { media_type, bytes } => (Some(media_type), bytes),
        };
        let mut response = Response::new(Full::new(bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(media_type) = media_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"REST API\""));
        }
        for notice in self.notices.iter().take(MAX_NOTICES) {
            if let Ok(value) = HeaderValue::from_str(&header_text(notice)) {
                headers.append(NOTICE, value);
            }
        }
        response
    }
}

/// Text that can stand in a header line.
fn header_text(text: &str) -> String {
    let plain = text.chars().map(|character| match character {
        '“' | '”' => '"',
        ' '..='~' => character,
        _ => '?',
    });
    plain.take(MAX_NOTICE).collect()
}

/// Which status an error has.
pub(crate) fn status(id: &str) -> StatusCode {
    match id {
        "auth.invalid" => StatusCode::UNAUTHORIZED,
        "auth.throttled" => StatusCode::TOO_MANY_REQUESTS,
        "resource.not_found" => StatusCode::NOT_FOUND,
        "resource.forbidden" => StatusCode::FORBIDDEN,
        "resource.too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "resource.no_space" => StatusCode::INSUFFICIENT_STORAGE,
        "http.method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "http.unsupported_media_type" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "http.timeout" => StatusCode::REQUEST_TIMEOUT,
        "service.busy" | "service.starting" | "service.stopping" => StatusCode::SERVICE_UNAVAILABLE,
        "service.not_kept" | "service.not_serving" | "service.failed" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_that_clients_expect() {
        for (id, expected) in [
            ("auth.invalid", 401),
            ("resource.not_found", 404),
            ("resource.validation_error", 400),
            ("json.field_unknown", 400),
            ("filename.forbiddenpath", 400),
            ("statistics.no_counters", 400),
            ("http.unsupported_media_type", 415),
            ("resource.forbidden", 403),
        ] {
            assert_eq!(status(id).as_u16(), expected, "{id}");
            let Body::Json(body) = Answer::refused(id, "x").body else { panic!("no body") };
            assert_eq!(body, json!({"error_id": id, "error_text": "x", "error_info": {}}));
        }
    }

    #[test]
    fn children_have_links_that_can_be_followed() {
        let answer =
            Answer::children("/api/tm/8.3/config/active/monitors", [("Simple HTTP", false), ("d", true)]);
        let expected = json!({"children": [
            {"name": "Simple HTTP", "href": "/api/tm/8.3/config/active/monitors/Simple%20HTTP"},
            {"name": "d", "href": "/api/tm/8.3/config/active/monitors/d/"},
        ]});
        assert_eq!(answer.body, Body::Json(expected));
        assert_eq!(Answer::children("/x", []).body, Body::Json(json!({"children": []})));
    }

    #[test]
    fn notices_are_header_lines_whatever_they_say() {
        let mut answer = Answer::nothing();
        answer.notices = vec!["a; “b”\r\nX: y ü".to_owned(), "n".repeat(10_000)];
        let response = answer.into_response();
        let notices: Vec<_> = response.headers().get_all(NOTICE).iter().collect();
        assert_eq!(notices[0], "a; \"b\"??X: y ?");
        assert_eq!(notices[1].len(), MAX_NOTICE);
    }
}
