//! Cookies set by nodes made right for clients (`cookie.domain`, `cookie.path_regex`, `cookie.secure`).

use tidegate_model::virtual_server::{CookieDomain, CookieSecure};

use super::{
    location::{append_clean, host_without_port},
    response_head::Rewrite,
};

/// Appends the `Set-Cookie` value the client gets for `value`.
pub(crate) fn rewrite(out: &mut Vec<u8>, value: &[u8], context: &Rewrite<'_>) {
    let settings = &context.server.settings.cookie;
    let mut secure = false;
    for (index, part) in value.split(|&byte| byte == b';').enumerate() {
        let part = part.trim_ascii();
        if index == 0 {
            out.extend_from_slice(part);
            continue;
        }
        let name = part.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
        let text = part.get(name.len()..).unwrap_or_default().trim_ascii();
        let text = text.strip_prefix(b"=").unwrap_or(text).trim_ascii();
        if name.eq_ignore_ascii_case(b"domain") {
            match &settings.domain {
                CookieDomain::Keep => attribute(out, part),
                CookieDomain::Request => {
                    let host = host_without_port(context.request_host);
                    attribute(out, &[b"Domain=", host].concat());
                }
                CookieDomain::Named(domain) => attribute(out, &[b"Domain=", domain.as_bytes()].concat()),
            }
        } else if name.eq_ignore_ascii_case(b"path") {
            match &context.server.rewrites.cookie_path {
                Some((regex, replace)) => {
                    out.extend_from_slice(b"; Path=");
                    append_clean(out, &regex.replace(text, &**replace));
                }
                None => attribute(out, part),
            }
        } else if name.eq_ignore_ascii_case(b"secure") {
            secure = true;
            if settings.secure != CookieSecure::Unset {
                attribute(out, part);
            }
        } else if !part.is_empty() {
            attribute(out, part);
        }
    }
    if settings.secure == CookieSecure::Set && !secure {
        attribute(out, b"Secure");
    }
}

fn attribute(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(b"; ");
    out.extend_from_slice(text);
}
