//! Names: what may be one, and the full names that a relative one may mean, in order. Pure.

use hickory_proto::rr::Name;

/// Longest name in the presentation form, without the final dot (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// Most full names one relative name is tried as.
pub const MAX_CANDIDATES: usize = 33;

/// Reads a name; one that ends with a dot is full.
pub fn parse(text: &str) -> Result<Name, String> {
    if text.is_empty() || text == "." {
        return Err("it is empty".to_owned());
    }
    let name = if text.is_ascii() { Name::from_ascii(text) } else { Name::from_utf8(text) };
    let name = name.map_err(|error| error.to_string())?;
    let ascii = name.to_ascii();
    if ascii.trim_end_matches('.').len() > MAX_NAME {
        return Err(format!("it is longer than {MAX_NAME} characters"));
    }
    if name.iter().any(<[u8]>::is_empty) {
        return Err("it has an empty label".to_owned());
    }
    Ok(name)
}

/// The key that equal names share: lower case, no final dot.
pub fn key(name: &Name) -> String {
    let mut key = name.to_ascii();
    key.make_ascii_lowercase();
    if key.ends_with('.') {
        key.pop();
    }
    key
}

/// How the name reads in messages: full, with its final dot.
pub fn show(name: &Name) -> String {
    let mut text = name.to_ascii();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

/// The full names `name` may mean, in the order they are tried: a full name only itself; one with at least
/// `ndots` dots first itself and then with each search domain; any other the other way round.
pub fn candidates(name: &Name, search: &[Name], ndots: u8) -> Vec<Name> {
    let full = |mut name: Name| {
        name.set_fqdn(true);
        name
    };
    if name.is_fqdn() {
        return vec![name.clone()];
    }
    let dots = name.iter().count().saturating_sub(1);
    let itself = full(name.clone());
    let mut all: Vec<Name> = Vec::new();
    if dots >= usize::from(ndots) {
        all.push(itself.clone());
    }
    // An expansion that is too long to be a name cannot exist.
    all.extend(search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).map(full));
    all.push(itself);
    let mut seen = std::collections::HashSet::new();
    all.retain(|name| seen.insert(key(name)));
    all.truncate(MAX_CANDIDATES);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, search: &[&str], ndots: u8) -> Vec<String> {
        let search: Vec<Name> = search.iter().map(|domain| parse(domain).unwrap()).collect();
        candidates(&parse(name).unwrap(), &search, ndots).iter().map(show).collect()
    }

    #[test]
    fn search_lists() {
        let search = ["ns.svc.c.local", "svc.c.local", "c.local"];
        assert_eq!(
            tried("_http._tcp.svc", &search, 5),
            [
                "_http._tcp.svc.ns.svc.c.local.",
                "_http._tcp.svc.svc.c.local.",
                "_http._tcp.svc.c.local.",
                "_http._tcp.svc."
            ]
        );
        assert_eq!(tried("a.b", &["x"], 1), ["a.b.", "a.b.x."]);
        assert_eq!(tried("a", &["x"], 1), ["a.x.", "a."]);
        assert_eq!(tried("a", &["x", "X.", "x"], 1), ["a.x.", "a."]);
    }

    #[test]
    fn e2_a_final_dot_is_one_name() {
        assert_eq!(tried("a.b.", &["x", "y"], 5), ["a.b."]);
    }

    #[test]
    fn keys_ignore_case_and_the_final_dot() {
        assert_eq!(key(&parse("A.b.").unwrap()), key(&parse("a.B").unwrap()));
    }

    #[test]
    fn international_names_are_encoded() {
        assert_eq!(show(&parse("bücher.example").unwrap()), "xn--bcher-kva.example.");
    }

    #[test]
    fn what_is_no_name() {
        for text in ["", ".", "a..b", &"x".repeat(64)] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
