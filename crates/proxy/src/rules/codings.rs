//! What nodes may encode a response in that rules are to read (RFC 9110 §12.5.3): rules decode gzip and deflate, and clients
//! of today ask for more.

use tidegate_http1::head::list;

/// Codings that `http.getResponseBody` takes off.
const DECODED: [&[u8]; 4] = [b"gzip", b"x-gzip", b"deflate", b"identity"];

/// What is left of a request's `Accept-Encoding` when only those codings may come; `None` = all of it. A request without such a
/// field is left alone: nodes encode nothing then.
pub(super) fn decodable(accepted: &[Vec<u8>]) -> Option<Vec<u8>> {
    let elements = || accepted.iter().flat_map(|value| list(value));
    let is_decoded = |element: &&[u8]| {
        let coding = element.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        DECODED.iter().any(|decoded| decoded.eq_ignore_ascii_case(coding))
    };
    if elements().all(|element| is_decoded(&element)) {
        return None;
    }
    let left: Vec<&[u8]> = elements().filter(is_decoded).collect();
    Some(if left.is_empty() { b"identity".to_vec() } else { left.join(&b", "[..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_decoded_is_asked_for() {
        for (accepted, expected) in [
            (&["gzip"][..], None),
            (&["GZip;q=0.5, identity", "deflate"], None),
            (&[""], None),
            (&["gzip, deflate, br, zstd"], Some("gzip, deflate")),
            (&["br;q=1.0, gzip;q=0.8, *;q=0.1"], Some("gzip;q=0.8")),
            (&["br", "deflate"], Some("deflate")),
            (&["br"], Some("identity")),
            (&["*"], Some("identity")),
            (&[], None),
        ] {
            let accepted: Vec<_> = accepted.iter().map(|value| value.as_bytes().to_vec()).collect();
            assert_eq!(decodable(&accepted).as_deref(), expected.map(str::as_bytes), "{accepted:?}");
        }
    }
}
