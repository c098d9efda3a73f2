//! Paths of the command line: what people write to the path of the REST interface.
//!
//! ```text
//! pools/web/basic/monitors   /api/tm/8.3/config/active/pools/web, then basic.monitors of it
//! status/state               /api/tm/8.3/status/local_tm/state
//! /api/tm                    as it is
//! ```

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use tidegate_config::rest::{
    Type, Version,
    place::{self, Place},
};

/// What may stand in a segment as it is (RFC 3986 section 3.3, without what shells or people may take for something else).
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');
/// What may never stand in a request target.
const TARGET: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What is meant by a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    /// Path of the interface, encoded.
    pub(super) path: String,
    /// The type of the object, where it is one of the configuration.
    pub(super) of: Option<Type>,
    /// Section and key to be shown of the object, as far as they are given.
    pub(super) below: Vec<String>,
}

/// What is meant. The error says what there is instead.
pub(super) fn meant(text: &str) -> Result<Meant, String> {
    if let Some(rest) = text.strip_prefix('/') {
        if !rest.is_empty() && !rest.starts_with("api") {
            return Err(format!("“{text}” begins with a slash and not with /api; leave the slash out"));
        }
        return Ok(Meant {
            path: utf8_percent_encode(text, TARGET).to_string(),
            of: None,
            below: Vec::new(),
        });
    }
    let segments: Vec<String> =
        text.trim_end_matches('/').split('/').filter(|_| !text.is_empty()).map(str::to_owned).collect();
    if segments.iter().any(String::is_empty) {
        return Err(format!("“{text}” has nothing between two slashes"));
    }
    let version = Version::newest();
    if let Some((first, rest)) = segments.split_first()
        && first == "status"
    {
        let root = format!("/api/tm/{}/status/local_tm", version.text());
        return Ok(Meant { path: join(root, rest), of: None, below: Vec::new() });
    }
    let root = format!("/api/tm/{}/config/active", version.text());
    for length in (0..=segments.len()).rev() {
        let (head, below) = segments.split_at(length);
        let of = match place::place(version, head) {
            Some(Place::Object(of, _) | Place::Singleton(of)) => Some(of),
            Some(Place::Collection(_) | Place::Directory) if below.is_empty() => None,
            _ => continue,
        };
        if below.len() > 2 || of.is_some_and(Type::is_raw) && !below.is_empty() {
            return Err(format!("“{text}” goes on behind what there is below {}", head.join("/")));
        }
        return Ok(Meant { path: join(root, head), of, below: below.to_vec() });
    }
    let hint = place::hint(&segments)
        .map_or_else(|| "; “tidegate ctl get” lists the collections".to_owned(), |hint| format!(" ({hint})"));
    Err(format!("there is no collection “{text}”{hint}"))
}

fn join(root: String, segments: &[String]) -> String {
    segments.iter().fold(root, |path, segment| path + "/" + &encoded(segment))
}

/// A name as a segment of a path.
pub(super) fn encoded(segment: &str) -> String {
    // A path of dots only would be taken for a relative one.
    match segment {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(segment, SEGMENT).to_string(),
    }
}

/// The part of an object that `below` names.
pub(super) fn part<'j>(
    object: &'j serde_json::Value,
    below: &[String],
) -> Result<&'j serde_json::Value, String> {
    let Some(properties) = object.get("properties").filter(|_| !below.is_empty()) else { return Ok(object) };
    below.iter().try_fold(properties, |level, step| {
        let known = || {
            let names: Vec<&str> =
                level.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            names.join(", ")
        };
        level.get(step).ok_or_else(|| format!("there is no “{step}” in it; there are {}", known()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACTIVE: &str = "/api/tm/8.3/config/active";

    #[test]
    fn paths_of_people_become_paths_of_the_interface() {
        for (text, path, of, below) in [
            ("", "", None, &[][..]),
            ("pools", "/pools", None, &[]),
            ("pools/", "/pools", None, &[]),
            ("ssl", "/ssl", None, &[]),
            ("ssl/server_keys", "/ssl/server_keys", None, &[]),
            ("pools/web", "/pools/web", Some("pools"), &[]),
            ("pools/web/", "/pools/web", Some("pools"), &[]),
            ("pools/web/basic", "/pools/web", Some("pools"), &["basic"]),
            ("pools/web/basic/monitors", "/pools/web", Some("pools"), &["basic", "monitors"]),
            ("monitors/Simple HTTP", "/monitors/Simple%20HTTP", Some("monitors"), &[]),
            ("monitors/100%", "/monitors/100%25", Some("monitors"), &[]),
            ("rules/ünï", "/rules/%C3%BCn%C3%AF", Some("rules"), &[]),
            ("rules/..", "/rules/%2E%2E", Some("rules"), &[]),
            ("ssl/server_keys/a.b/basic", "/ssl/server_keys/a.b", Some("ssl/server_keys"), &["basic"]),
            ("global_settings", "/global_settings", Some("global_settings"), &[]),
            ("global_settings/basic", "/global_settings", Some("global_settings"), &["basic"]),
            ("appliance/nat", "/appliance/nat", Some("appliance/nat"), &[]),
        ] {
            let meant = meant(text).unwrap();
            assert_eq!(meant.path, format!("{ACTIVE}{path}"), "{text}");
            assert_eq!(meant.of.map(Type::path), of, "{text}");
            assert_eq!(meant.below, below, "{text}");
        }
        for (text, path) in [
            ("/api/tm", "/api/tm"),
            (
                "/api/tm/8.3/config/active/monitors/Simple%20HTTP",
                "/api/tm/8.3/config/active/monitors/Simple%20HTTP",
            ),
            ("/api/a b", "/api/a%20b"),
            ("/", "/"),
            ("status/state", "/api/tm/8.3/status/local_tm/state"),
            ("status", "/api/tm/8.3/status/local_tm"),
            (
                "status/statistics/nodes/node/[::1]:80",
                "/api/tm/8.3/status/local_tm/statistics/nodes/node/%5B::1%5D:80",
            ),
        ] {
            assert_eq!(meant(text).unwrap().path, path, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (text, told) in [
            ("pool/web", "did you mean “pools”"),
            ("server_keys/site", "did you mean “ssl/server_keys”"),
            ("xyzzy", "lists the collections"),
            ("pools//web", "between two slashes"),
            ("pools/web/basic/monitors/0", "goes on"),
            ("rules/r/basic", "goes on"),
            ("/pools", "leave the slash out"),
        ] {
            let error = meant(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_part_of_an_object() {
        let object = json!({ "properties": { "basic": { "note": "n" } } });
        let of = |below: &[&str]| {
            part(&object, &below.iter().map(ToString::to_string).collect::<Vec<_>>()).cloned()
        };
        assert_eq!(of(&[]), Ok(object.clone()));
        assert_eq!(of(&["basic"]), Ok(json!({ "note": "n" })));
        assert_eq!(of(&["basic", "note"]), Ok(json!("n")));
        assert!(of(&["basic", "x"]).unwrap_err().contains("note"));
        assert!(of(&["x"]).unwrap_err().contains("basic"));
    }
}
