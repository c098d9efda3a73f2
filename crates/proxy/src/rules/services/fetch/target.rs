//! The URL of a rule's request: which server, and what to ask it for. Pure.

use std::sync::Arc;

use hyper::Uri;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// A name or an address, without brackets, in lower case.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// The `Host` field: the port only if it is not the scheme's.
    pub(super) authority: Arc<str>,
    /// Path and query.
    pub(super) path: Arc<str>,
}

/// What requests over one connection have in common: whether by TLS, host and port.
pub(super) type Server = (bool, Arc<str>);

impl Target {
    /// The server of the request.
    pub(super) fn server(&self) -> Server {
        (self.tls, format!("{}:{}", self.host, self.port).into())
    }
}

/// Reads an absolute `http` or `https` URL. The error is what the rule gets to see.
pub(super) fn target(url: &[u8]) -> Result<Target, String> {
    let text = std::str::from_utf8(url).map_err(|_| "the URL is not text".to_owned())?.trim();
    // A fragment is the client's own business (RFC 3986 §3.5).
    let text = text.split('#').next().unwrap_or_default();
    let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("the URL is neither http nor https but {other}")),
        None => return Err(format!("{text:?} has no scheme; write http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| format!("{text:?} has no host"))?;
    if authority.as_str().contains('@') {
        return Err("the URL holds a user name; send it in an Authorization header".to_owned());
    }
    let bracketed = authority.host().to_ascii_lowercase();
    let host = bracketed.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(format!("{text:?} has no host"));
    }
    let usual = if tls { 443 } else { 80 };
    let port = match authority.port() {
        None => usual,
        Some(port) => port.as_u16(),
    };
    if port == 0
        || (authority.port().is_none()
            && authority.as_str().rsplit(']').next().is_some_and(|rest| rest.contains(':')))
    {
        return Err(format!("{text:?} has no port that can be used"));
    }
    Ok(Target {
        tls,
        host: host.into(),
        port,
        authority: if port == usual { bracketed.clone() } else { format!("{bracketed}:{port}") }.into(),
        path: match uri.path_and_query().map_or("/", |path| path.as_str()) {
            query if query.starts_with('?') => format!("/{query}").into(),
            path => path.into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        // tls, host, port, Host field, path
        type Parts = (bool, &'static str, u16, &'static str, &'static str);
        let table: [(&str, Parts); 10] = [
            ("http://a.example", (false, "a.example", 80, "a.example", "/")),
            ("https://a.example/", (true, "a.example", 443, "a.example", "/")),
            ("HTTP://A.Example:80/x?y=z", (false, "a.example", 80, "a.example", "/x?y=z")),
            ("http://a:8080/x#part", (false, "a", 8080, "a:8080", "/x")),
            ("https://a:80?q", (true, "a", 80, "a:80", "/?q")),
            ("http://10.0.0.1:81/a/../b", (false, "10.0.0.1", 81, "10.0.0.1:81", "/a/../b")),
            ("http://[2001:db8::1]/", (false, "2001:db8::1", 80, "[2001:db8::1]", "/")),
            ("https://[::1]:8443/%20", (true, "::1", 8443, "[::1]:8443", "/%20")),
            (" http://a/ ", (false, "a", 80, "a", "/")),
            ("http://a/x#", (false, "a", 80, "a", "/x")),
        ];
        for (url, (tls, host, port, authority, path)) in table {
            let expected =
                Target { tls, host: host.into(), port, authority: authority.into(), path: path.into() };
            assert_eq!(target(url.as_bytes()), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_url() {
        for url in [
            "",
            "a.example",
            "/x",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a/x y",
            "http://u:p@a/",
            "http://a:0/",
            "http://a:99999/",
            "http://a:/",
            "http://a\r\n/",
            "mailto:a",
        ] {
            assert!(target(url.as_bytes()).is_err(), "{url:?}: {:?}", target(url.as_bytes()));
        }
        assert!(target(b"http://\xff/").is_err());
    }
}
