//! `Location` headers of nodes made right for clients (`http.location_regex`, `http.location_rewrite`).

use tidegate_model::virtual_server::LocationRewrite;

use super::response_head::Rewrite;
use crate::snapshot::RunningServer;

/// Whether any setting can change a `Location`.
pub(crate) fn may_rewrite(server: &RunningServer) -> bool {
    server.rewrites.location.is_some() || server.settings.http.location_rewrite != LocationRewrite::Never
}

/// Appends the value the client gets for `value`.
pub(crate) fn rewrite(out: &mut Vec<u8>, value: &[u8], context: &Rewrite<'_>) {
    // The pattern has the first word; `location_rewrite` applies where it does not match.
    if let Some((regex, replace)) = &context.server.rewrites.location
        && regex.is_match(value)
    {
        append_clean(out, &regex.replace(value, &**replace));
        return;
    }
    let scheme = if context.tls { "https" } else { "http" };
    match corrected(value, context.server.settings.http.location_rewrite, context.request_host, scheme) {
        Some(corrected) => out.extend_from_slice(&corrected),
        None => out.extend_from_slice(value),
    }
}

/// The location with scheme, port and perhaps host corrected to those the client used; `None` = leave it.
fn corrected(value: &[u8], policy: LocationRewrite, request_host: &[u8], scheme: &str) -> Option<Vec<u8>> {
    let (authority, rest) = split(value)?;
    let ours = host_without_port(request_host);
    if ours.is_empty() {
        return None;
    }
    let same = host_without_port(authority).eq_ignore_ascii_case(ours);
    match policy {
        LocationRewrite::Never => return None,
        LocationRewrite::IfHostMatches if !same => return None,
        LocationRewrite::IfHostMatches | LocationRewrite::Always => {}
    }
    // The client's own idea of the address is in its Host header, port included. A Host without a port means
    // the scheme's default port, whatever port we listen on behind a NodePort or MetalLB.
    let mut out = format!("{scheme}://").into_bytes();
    out.extend_from_slice(request_host);
    out.extend_from_slice(rest);
    Some(out)
}

/// Authority and the rest of an absolute http or https URL.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = [b"http://".as_slice(), b"https://"].into_iter().find_map(|scheme| {
        let head = value.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| value.get(scheme.len()..).unwrap_or_default())
    })?;
    let end = after.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(after.len());
    Some(after.split_at(end))
}

/// The host of an authority; an IPv6 address keeps its brackets.
pub(crate) fn host_without_port(authority: &[u8]) -> &[u8] {
    if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|&byte| byte == b']').map_or(authority.len(), |at| at + 1);
        return authority.get(..end).unwrap_or_default();
    }
    let end = authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len());
    authority.get(..end).unwrap_or_default()
}

/// A replacement pattern may be written to produce anything: line breaks never leave.
pub(super) fn append_clean(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(value.iter().filter(|&&byte| byte >= b' ' && byte != 0x7f || byte == b'\t'));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_follow_the_client_when_the_host_matches() {
        use LocationRewrite::{Always, IfHostMatches, Never};
        let cases: [(&str, LocationRewrite, &str, &str, Option<&str>); 8] = [
            ("http://shop/x", IfHostMatches, "shop", "https", Some("https://shop/x")),
            ("http://shop:8080/x?a", IfHostMatches, "shop:8443", "https", Some("https://shop:8443/x?a")),
            ("http://SHOP/x", IfHostMatches, "shop", "http", Some("http://shop/x")),
            ("http://other/x", IfHostMatches, "shop", "https", None),
            ("http://other/x", Always, "shop", "https", Some("https://shop/x")),
            ("http://shop/x", Never, "shop", "https", None),
            ("/relative", Always, "shop", "https", None),
            ("http://[::1]:80", IfHostMatches, "[::1]:443", "https", Some("https://[::1]:443")),
        ];
        for (value, policy, host, scheme, expected) in cases {
            let got = corrected(value.as_bytes(), policy, host.as_bytes(), scheme);
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{value} {policy:?}");
        }
    }
}
