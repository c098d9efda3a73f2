//! Where the collector is: an URL taken apart.

use std::fmt;

use hyper::{Uri, http::uri::Scheme};

/// Path of spans below an endpoint that is for everything (OTLP/HTTP).
const TRACES: &str = "/v1/traces";

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// `Host` of requests.
    pub authority: String,
}

impl Endpoint {
    /// The endpoint of an URL that is for spans alone: its path counts as it is.
    pub fn of_traces(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}; an URL such as http://collector:4318 is expected"));
        let Ok(uri) = url.trim().parse::<Uri>() else { return wrong("that is no URL") };
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) => return wrong("the scheme is neither http nor https"),
            None => return wrong("it has no scheme"),
        };
        let Some(authority) = uri.authority() else { return wrong("it has no host") };
        if authority.as_str().contains('@') {
            return wrong("it holds a user; secrets go into OTEL_EXPORTER_OTLP_HEADERS");
        }
        let bracketed = authority.host();
        let host = bracketed.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return wrong("it has no host");
        }
        let port = match authority.as_str().strip_prefix(bracketed) {
            Some("") => Some(if tls { 443 } else { 80 }),
            Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port > 0),
            None => None,
        };
        let Some(port) = port else { return wrong("its port is none") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            authority: authority.as_str().to_owned(),
        })
    }

    /// The endpoint of an URL that is for everything: spans have a path below it, unless the URL names that already.
    pub fn of_all(url: &str) -> Result<Self, String> {
        let mut endpoint = Self::of_traces(url)?;
        let base = endpoint.path.trim_end_matches('/');
        if endpoint.path.contains('?') {
            return Err("it has a query, behind which no path can stand".to_owned());
        }
        if !base.ends_with(TRACES) {
            endpoint.path = format!("{base}{TRACES}");
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let table = [
            ("http://collector:4318", ("collector", 4318, "/v1/traces", "/")),
            ("http://collector:4318/", ("collector", 4318, "/v1/traces", "/")),
            ("https://otel.example/base/", ("otel.example", 443, "/base/v1/traces", "/base/")),
            ("http://[::1]:4318/v1/traces", ("::1", 4318, "/v1/traces", "/v1/traces")),
            ("http://127.0.0.1", ("127.0.0.1", 80, "/v1/traces", "/")),
        ];
        for (url, (host, port, all, own)) in table {
            let general = Endpoint::of_all(url).unwrap();
            assert_eq!((&*general.host, general.port, &*general.path), (host, port, all), "{url}");
            assert_eq!(Endpoint::of_traces(url).unwrap().path, own, "{url}");
            assert_eq!(general.tls, url.starts_with("https"));
        }
        assert_eq!(Endpoint::of_traces("http://c:1/x?y=z").unwrap().to_string(), "http://c:1/x?y=z");
        for url in [
            "collector:4318",
            "",
            "ftp://c",
            "http://",
            "http://u:p@c",
            "/v1/traces",
            "http://c:99999",
            "http://c:0",
            "http://c:",
            "http://a b",
        ] {
            assert!(Endpoint::of_traces(url).is_err(), "{url}");
        }
        assert!(Endpoint::of_all("http://c/?x").is_err());
    }
}
