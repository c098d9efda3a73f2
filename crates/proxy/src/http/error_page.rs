//! Replies of Tidegate's own: error pages (`connection_errors.error_file`) and session redirects.

use tidegate_http1::edit::write_line;
use tidegate_model::virtual_server::ErrorPage;
use tidegate_trafficscript::host::usual_reason;

use crate::rules::ResponseFields;

/// Appends a complete response that reports `status`, with the header fields that rules have edited.
pub(crate) fn compose(
    out: &mut Vec<u8>,
    status: u16,
    detail: &str,
    page: &ErrorPage,
    edits: &ResponseFields,
    head_only: bool,
    close: bool,
) {
    let reason = reason(status);
    let own;
    // The configured file stands in for failures of the service, not for a client's own mistakes.
    let (body, kind): (&[u8], &str) = match page {
        ErrorPage::File(bytes) if status >= 500 => {
            (bytes, if looks_like_html(bytes) { "text/html" } else { "text/plain" })
        }
        ErrorPage::File(_) | ErrorPage::Default => {
            own =
                format!("<!doctype html><title>{status} {reason}</title><h1>{reason}</h1><p>{detail}.</p>\n");
            (own.as_bytes(), "text/html")
        }
    };
    let length = body.len().to_string();
    let mut fields =
        vec![("Content-Type", kind), ("Content-Length", &*length), ("Cache-Control", "no-store")];
    if status == 503 {
        fields.push(("Retry-After", "1"));
    }
    if close {
        fields.push(("Connection", "close"));
    }
    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
    write_fields(out, &fields, edits);
    out.extend_from_slice(b"\r\n");
    if !head_only {
        out.extend_from_slice(body);
    }
}

/// Appends a redirect to `url`, for a lost session whose class says so. `cookie` is a complete header line that
/// makes the client forget the session, or nothing.
pub(crate) fn redirect(out: &mut Vec<u8>, url: &str, cookie: &[u8], edits: &ResponseFields, close: bool) {
    out.extend_from_slice(b"HTTP/1.1 302 Found\r\nLocation: ");
    super::location::append_clean(out, url.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(cookie);
    let fields = [("Content-Length", "0"), ("Cache-Control", "no-store"), ("Connection", "close")];
    write_fields(out, if close { &fields } else { fields.get(..2).unwrap_or(&fields) }, edits);
    out.extend_from_slice(b"\r\n");
}

/// Header lines as edited. Edits never name those that frame the message.
fn write_fields(out: &mut Vec<u8>, fields: &[(&str, &str)], edits: &ResponseFields) {
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    edits.over(&fields).fields(fields, &mut |name, value| write_line(name, value, out));
}

fn looks_like_html(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'<')
}

/// The usual reason phrase of a status; `Error` for one that has none.
pub(crate) fn reason(status: u16) -> &'static str {
    match usual_reason(status) {
        "" => "Error",
        usual => usual,
    }
}
