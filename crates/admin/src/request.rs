//! Targets of requests: path segments decoded, and the few parameters there are.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tidegate_config::rest::{ExpertKeys, export::Secrets};

/// Most segments of a path; nothing lies deeper.
const MAX_SEGMENTS: usize = 12;

/// What is encoded in a segment of a link: everything but what RFC 3986 section 3.3 leaves alone.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The target of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Segments of the path, decoded, without the empty one behind a final slash.
    pub(crate) segments: Vec<String>,
    /// `?expert_keys=`.
    pub(crate) expert: ExpertKeys,
    /// `?restore`.
    pub(crate) restore: bool,
    /// `?after=`: the number of an event; 0 without one.
    pub(crate) after: u64,
    /// `?secrets=`: how an export writes them.
    pub(crate) secrets: Secrets,
}

impl Target {
    /// Reads path and query. `None`: no resource can have this path (text that is no UTF-8, an empty segment, too
    /// many of them).
    pub(crate) fn read(path: &str, query: Option<&str>) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = match path.strip_suffix('/') {
            Some("") => return None,
            Some(path) => path,
            None => path,
        };
        let mut target = Self::default();
        if !path.is_empty() {
            for segment in path.split('/') {
                if segment.is_empty() || target.segments.len() == MAX_SEGMENTS {
                    return None;
                }
                target.segments.push(decoded(segment)?);
            }
        }
        for parameter in query.unwrap_or_default().split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "expert_keys" => target.expert = ExpertKeys::parse(&decoded(value)?),
                "restore" => target.restore = true,
                "after" => target.after = value.parse().unwrap_or_default(),
                "secrets" => target.secrets = Secrets::of(value).unwrap_or_default(),
                // Unknown parameters, such as those that keep caches away, change nothing.
                _ => {}
            }
        }
        Some(target)
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A segment as it stands in a link.
pub(crate) fn encoded(segment: &str) -> String {
    utf8_percent_encode(segment, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Option<Vec<String>> {
        Target::read(path, None).map(|target| target.segments)
    }

    #[test]
    fn paths() {
        let of = |parts: &[&str]| Some(parts.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (path, expected) in [
            ("/", of(&[])),
            ("/api", of(&["api"])),
            ("/api/", of(&["api"])),
            ("/api/tm/8.3/config/active/monitors/Simple%20HTTP", {
                of(&["api", "tm", "8.3", "config", "active", "monitors", "Simple HTTP"])
            }),
            ("/a%2Fb", of(&["a/b"])),
            ("/%2e%2E/x", of(&["..", "x"])),
            ("/100%", of(&["100%"])),
            ("/a+b", of(&["a+b"])),
            ("/%C3%BC", of(&["ü"])),
            ("/%FF", None),
            ("//", None),
            ("/a//b", None),
            ("api", None),
        ] {
            assert_eq!(segments(path), expected, "{path}");
        }
        assert_eq!(segments(&"/a".repeat(MAX_SEGMENTS + 1)), None);
    }

    #[test]
    fn parameters() {
        let read = |query| Target::read("/", Some(query)).unwrap();
        assert!(read("restore").restore && read("restore=1&x=y").restore && !read("restored").restore);
        assert_eq!(read("expert_keys=a%2Fb,c").expert, ExpertKeys::parse("a/b,c"));
        assert_eq!(read("expert_keys=a/b,c").expert, ExpertKeys::parse("a/b,basic/c"));
    }

    #[test]
    fn links_lead_back() {
        for name in ["plain", "Simple HTTP", "a/b?c#d%e", "ünïcode", "[::1]:80", "a\u{7f}b"] {
            let path = format!("/{}", encoded(name));
            assert_eq!(segments(&path), Some(vec![name.to_owned()]), "{path}");
        }
    }
}
