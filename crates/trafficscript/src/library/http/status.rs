//! Status lines as rules write them: `403`, `"302"`, `"403 Forbidden"`.

/// The usual reason phrase of a status (RFC 9110 §15 and its registry); empty if it has none.
pub fn usual_reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Status and reason of `403`, `403 Forbidden` or `HTTP/1.1 403 Forbidden`; the reason is the usual one unless given.
/// `None` if it does not begin with a final status, 200 to 999, or the reason holds control bytes.
pub(super) fn parse(text: &[u8]) -> Option<(u16, Vec<u8>)> {
    let text = text.trim_ascii();
    let text = match text.iter().position(|&byte| byte == b' ') {
        Some(space) if text.starts_with(b"HTTP/") => text[space..].trim_ascii(),
        _ => text,
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, reason) = text.split_at(digits);
    let status: u16 = std::str::from_utf8(number).ok()?.parse().ok()?;
    let valid = (200..=999).contains(&status)
        && (reason.is_empty() || reason.starts_with(b" "))
        && reason.iter().copied().all(super::is_field_byte);
    let reason = match reason.trim_ascii() {
        b"" => usual_reason(status).as_bytes(),
        given => given,
    };
    valid.then(|| (status, reason.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn all_forms_are_read() {
        let cases: [(&str, Option<(u16, &str)>); 10] = [
            ("403", Some((403, "Forbidden"))),
            ("302", Some((302, "Found"))),
            ("403 Go away", Some((403, "Go away"))),
            ("HTTP/1.1 200 OK", Some((200, "OK"))),
            (" 404 ", Some((404, "Not Found"))),
            ("799", Some((799, ""))),
            ("99", None),
            ("1000", None),
            ("OK", None),
            ("200 O\nK", None),
        ];
        for (text, status) in cases {
            let parsed = parse(text.as_bytes());
            let parsed =
                parsed.as_ref().map(|(status, reason)| (*status, std::str::from_utf8(reason).unwrap()));
            assert_eq!(parsed, status, "{text}");
        }
    }
}
