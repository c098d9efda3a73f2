//! Which certificate a client gets: by server name, by destination address, then by what the client can verify.
//!
//! Pure but for the one `impl` that rustls calls. In: the rows of `server_cert_host_mapping` with the certificates
//! that could be read. Out: the certificate for one handshake.
//!
//! rustls does not tell afterwards which certificate that was. The `impl` leaves a note on its thread; whoever drives
//! the handshake takes it ([`take_shown`]) as soon as the call into rustls is over.

use std::{cell::Cell, collections::HashMap, net::IpAddr, sync::Arc};

use rustls::{
    SignatureAlgorithm, SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tidegate_model::KeyName;

/// A certificate that clients are shown, and why they are.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The `host` of its row; `None` = the default.
    pub(crate) site: Option<Box<str>>,
    /// Its name in the catalogue.
    pub(crate) name: KeyName,
    /// Chain and signing key.
    pub(crate) certified: Arc<CertifiedKey>,
}

thread_local! {
    static SHOWN: Cell<Option<Arc<Shown>>> = const { Cell::new(None) };
}

/// The certificate that was chosen by a handshake on this thread since the last call. Handshakes of several connections
/// take turns on a thread, so this is asked behind every call into one of them.
pub(crate) fn take_shown() -> Option<Arc<Shown>> {
    SHOWN.take()
}

/// Certificates for the same names with keys of different kinds, best first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alternatives(Arc<[Arc<Shown>]>);

impl Alternatives {
    /// Orders certificates: ECDSA before the others because signing is cheap, RSA last because every client has it;
    /// within a kind as written.
    pub(crate) fn new(certificates: impl IntoIterator<Item = Shown>) -> Self {
        let mut certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
        certificates.sort_by_key(|shown| match shown.certified.key.algorithm() {
            SignatureAlgorithm::ECDSA => 0,
            SignatureAlgorithm::RSA => 2,
            _ => 1,
        });
        Self(certificates.into())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first certificate whose signatures the client can verify. A client that can verify none gets the first,
    /// so that it is told why the handshake failed.
    fn pick(&self, schemes: &[SignatureScheme]) -> Option<&Arc<Shown>> {
        self.0
            .iter()
            .find(|shown| shown.certified.key.choose_scheme(schemes).is_some())
            .or_else(|| self.0.first())
    }
}

/// Certificates by server name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, Alternatives>,
    /// Patterns with `*` and `?`, the one with most literal characters first.
    patterns: Vec<(Box<str>, Alternatives)>,
}

/// One row of the host mapping, sorted by what its `host` is.
pub(crate) enum Host<'a> {
    /// A server name.
    Exact(&'a str),
    /// A name with `*` or `?`.
    Pattern(&'a str),
    /// A destination address.
    Address(IpAddr),
}

/// What the `host` of a mapping row means.
pub(crate) fn classify(host: &str) -> Host<'_> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        Host::Address(address.to_canonical())
    } else if host.contains(['*', '?']) {
        Host::Pattern(host)
    } else {
        Host::Exact(host)
    }
}

impl Names {
    /// Builds the table from (host, certificates); of equal hosts the first row counts.
    pub(crate) fn new<'a>(rows: impl IntoIterator<Item = (Host<'a>, Alternatives)>) -> Self {
        let mut names = Self::default();
        for (host, certificates) in rows {
            match host {
                Host::Exact(host) => {
                    names.exact.entry(normal(host).into()).or_insert(certificates);
                }
                Host::Pattern(host) => names.patterns.push((normal(host).into(), certificates)),
                Host::Address(_) => {}
            }
        }
        names.patterns.sort_by_key(|(pattern, _)| {
            std::cmp::Reverse(pattern.bytes().filter(|byte| !matches!(byte, b'*' | b'?')).count())
        });
        names
    }

    /// The certificates of a server name.
    fn get(&self, name: &str) -> Option<&Alternatives> {
        if self.exact.is_empty() && self.patterns.is_empty() {
            return None;
        }
        let name = normal(name);
        self.exact.get(name.as_str()).or_else(|| {
            self.patterns
                .iter()
                .find(|(pattern, _)| matches(pattern, &name))
                .map(|(_, certificates)| certificates)
        })
    }
}

/// Lower case without the root dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whether `name` matches `pattern`: `*` stands for any run of characters, dots included, `?` for exactly one.
/// Takes at most `pattern.len() * name.len()` steps.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Chooses the certificate of a handshake: by server name, else those of the destination address, else the default.
#[derive(Debug)]
pub(crate) struct Resolver {
    names: Arc<Names>,
    otherwise: Alternatives,
}

impl Resolver {
    /// `otherwise` serves clients whose server name has no row, or that send none.
    pub(crate) fn new(names: Arc<Names>, otherwise: Alternatives) -> Self {
        Self { names, otherwise }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = client_hello
            .server_name()
            .and_then(|name| self.names.get(name))
            .unwrap_or(&self.otherwise)
            .pick(client_hello.signature_schemes())?;
        SHOWN.set(Some(Arc::clone(shown)));
        Some(Arc::clone(&shown.certified))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_shell_globs() {
        for (pattern, name, expected) in [
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*", "anything", true),
            ("*", "", true),
            ("?", "", false),
            ("w?w.example.com", "wxw.example.com", true),
            ("w?w.example.com", "ww.example.com", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("exact", "exact", true),
            ("exact*", "exact", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} against {name}");
        }
    }

    #[test]
    fn hosts_are_told_apart() {
        assert!(matches!(classify("10.0.0.1"), Host::Address(_)));
        assert!(matches!(classify("[2001:db8::1]"), Host::Address(_)));
        assert!(matches!(classify("2001:db8::1"), Host::Address(_)));
        assert!(matches!(classify("::ffff:10.0.0.1"), Host::Address(IpAddr::V4(_))));
        assert!(matches!(classify("*.example.com"), Host::Pattern(_)));
        assert!(matches!(classify("www.example.com"), Host::Exact(_)));
    }

    #[test]
    fn the_most_literal_pattern_wins_and_exact_beats_patterns() {
        let rows = ["*", "*.example.com", "*.b.example.com", "a.b.example.com"];
        let names = Names::new(rows.map(|row| (classify(row), Alternatives::default())));
        let order: Vec<_> = names.patterns.iter().map(|(pattern, _)| &**pattern).collect();
        assert_eq!(order, ["*.b.example.com", "*.example.com", "*"]);
        assert!(names.exact.contains_key("a.b.example.com"));
        assert!(names.get("A.B.Example.COM.").is_some());
    }
}
