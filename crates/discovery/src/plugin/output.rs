//! A plugin's standard output to nodes: one JSON object `{"version": 1, "code": 200, "nodes": [{"ip": …,
//! "port": …, "draining": …, "weight": …}], "error": …, "interval_override": …}`. Pure.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use tidegate_model::{DiscoveredNode, NodeSet};

use crate::dns::nodes::usable;

/// Largest output read, in bytes: room for about 15 000 nodes.
pub const MAX_OUTPUT: usize = 1024 * 1024;
/// Shortest and longest `interval_override`, in seconds.
pub const OVERRIDE_LIMITS: (f64, f64) = (1.0, 3600.0);
/// Longest `error` text kept, in characters.
const MAX_ERROR: usize = 300;
/// Largest weight of a node.
const MAX_WEIGHT: u64 = 100;

/// What a plugin said.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `code`: 200 with nodes, 204 with none, 4xx configuration, 5xx source.
    pub code: i64,
    /// `nodes`; `None` when absent, an error when one of them cannot be a node.
    pub nodes: Result<Option<Listed>, String>,
    /// `error`.
    pub error: Option<String>,
    /// `interval_override` in seconds, clamped; an error when it is no number.
    pub interval_override: Option<Result<f64, String>>,
}

/// The nodes of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Them.
    pub nodes: NodeSet,
    /// Nodes named more than once.
    pub duplicates: u64,
    /// Nodes left out, and why; only when lenient.
    pub dropped: Vec<String>,
}

/// Why an output cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputError {
    /// Nothing was written.
    Nothing,
    /// Not one JSON document.
    Json(String),
    /// Not an object.
    NoObject,
    /// `version` is not 1.
    Version(String),
    /// `code` is not an integer.
    Code,
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("it wrote nothing on standard output"),
            Self::Json(why) => write!(f, "its output is not one JSON document: {why}"),
            Self::NoObject => f.write_str("its output is not a JSON object"),
            Self::Version(given) => write!(f, "unsupported version {given}: \"version\": 1 is needed"),
            Self::Code => f.write_str("\"code\" is not an integer"),
        }
    }
}

/// Reads strictly; see [`read`].
pub fn parse(bytes: &[u8]) -> Result<Output, OutputError> {
    read(bytes, false)
}

/// Reads an output. `lenient` drops bad nodes instead of refusing the list, and takes numbers written as text.
pub fn read(bytes: &[u8], lenient: bool) -> Result<Output, OutputError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(OutputError::Nothing);
    }
    let json: Json = serde_json::from_slice(bytes).map_err(|error| OutputError::Json(error.to_string()))?;
    let Json::Object(object) = json else { return Err(OutputError::NoObject) };
    match object.get("version") {
        Some(Json::Number(number)) if number.as_f64() == Some(1.0) => {}
        Some(Json::Text(text)) if lenient && text == "1" => {}
        Some(other) => return Err(OutputError::Version(other.show())),
        None => return Err(OutputError::Version("(none)".to_owned())),
    }
    let code = object.get("code").and_then(|code| code.integer(lenient)).ok_or(OutputError::Code)?;
    let error = match object.get("error") {
        Some(Json::Text(text)) if !text.is_empty() => {
            Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR).collect())
        }
        _ => None,
    };
    let interval_override = match object.get("interval_override") {
        None | Some(Json::Null) => None,
        Some(Json::Number(number)) => Some(
            number
                .as_f64()
                .filter(|seconds| seconds.is_finite())
                .map(|seconds| seconds.clamp(OVERRIDE_LIMITS.0, OVERRIDE_LIMITS.1))
                .ok_or_else(|| "interval_override is no finite number and is ignored".to_owned()),
        ),
        Some(other) => Some(Err(format!("interval_override {} is no number and is ignored", other.show()))),
    };
    let nodes = match object.get("nodes") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Array(list)) => nodes(list, lenient).map(Some),
        Some(_) => Err("\"nodes\" is not an array".to_owned()),
    };
    Ok(Output { code, nodes, error, interval_override })
}

/// The override as a time; `second` is its unit.
pub fn override_time(seconds: f64, second: Duration) -> Duration {
    second.mul_f64(seconds.clamp(OVERRIDE_LIMITS.0, OVERRIDE_LIMITS.1))
}

fn nodes(list: &[Json], lenient: bool) -> Result<Listed, String> {
    let mut listed = Listed::default();
    for (place, entry) in list.iter().enumerate() {
        match node(entry, lenient) {
            Ok((address, node)) => match listed.nodes.nodes.entry(address) {
                Entry::Vacant(vacant) => {
                    vacant.insert(node);
                }
                Entry::Occupied(mut occupied) => {
                    listed.duplicates += 1;
                    let known = occupied.get_mut();
                    known.draining &= node.draining;
                    known.weight = known.weight.max(node.weight);
                }
            },
            Err(why) if lenient => listed.dropped.push(format!("node {}: {why}", place + 1)),
            Err(why) => return Err(format!("node {} of {}: {why}", place + 1, list.len())),
        }
    }
    Ok(listed)
}

fn node(entry: &Json, lenient: bool) -> Result<(SocketAddr, DiscoveredNode), String> {
    let Json::Object(entry) = entry else { return Err("it is not an object".to_owned()) };
    let ip = match entry.get("ip") {
        Some(Json::Text(text)) => text
            .parse::<IpAddr>()
            .ok()
            .and_then(|ip| usable(ip, true))
            .ok_or_else(|| format!("ip {:?} is not the address of a host", shorten(text)))?,
        Some(other) => return Err(format!("ip {} is not text", other.show())),
        None => return Err("ip is missing".to_owned()),
    };
    let port = match entry.get("port") {
        Some(port) => port
            .integer(lenient)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("port {} is not a number from 1 to 65535", port.show()))?,
        None => return Err("port is missing".to_owned()),
    };
    let draining = match entry.get("draining") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(draining)) => *draining,
        Some(other) => return Err(format!("draining {} is not true or false", other.show())),
    };
    let weight = match entry.get("weight") {
        None | Some(Json::Null) => None,
        Some(weight) => Some(
            weight
                .integer(lenient)
                .and_then(|weight| u64::try_from(weight).ok())
                .filter(|weight| (1..=MAX_WEIGHT).contains(weight))
                .and_then(|weight| u32::try_from(weight).ok())
                .ok_or_else(|| format!("weight {} is not a number from 1 to 100", weight.show()))?,
        ),
    };
    Ok((SocketAddr::new(ip, port), DiscoveredNode { draining, weight, priority: None, name: None }))
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

/// JSON that refuses an object with the same key twice.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Json {
    fn integer(&self, lenient: bool) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64().or_else(|| {
                // 80.0 is the integer 80 in JSON.
                number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 1e9).map(|n| n as i64)
            }),
            Self::Text(text) if lenient => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("{:?}", shorten(text)),
            Self::Array(_) => "(an array)".to_owned(),
            Self::Object(_) => "(an object)".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            match object.entry(key) {
                Entry::Occupied(known) => {
                    return Err(de::Error::custom(format_args!(
                        "key {:?} stands twice",
                        shorten(known.key())
                    )));
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(entries.next_value()?);
                }
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Output {
        parse(text.as_bytes()).unwrap()
    }

    fn with_node(node: &str) -> String {
        format!(r#"{{"version":1,"code":200,"nodes":[{{"ip":"192.0.2.1","port":80}},{node}]}}"#)
    }

    #[test]
    fn p1_two_nodes_one_draining() {
        let output =
            ok(r#" { "version":1, "code":200, "nodes":[ { "ip":"192.0.2.0", "port":80, "draining":false },
            { "ip":"192.0.2.1", "port":81, "draining":true, "weight": 7, "extra": {} } ], "more": [] } "#);
        let listed = output.nodes.unwrap().unwrap();
        let all: Vec<_> =
            listed.nodes.nodes.iter().map(|(a, n)| (a.to_string(), n.draining, n.weight)).collect();
        assert_eq!(
            all,
            [("192.0.2.0:80".to_owned(), false, None), ("192.0.2.1:81".to_owned(), true, Some(7))]
        );
    }

    #[test]
    fn p10_what_is_not_one_document() {
        let json = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert_eq!(json(b""), OutputError::Nothing);
        assert_eq!(json(b" \n"), OutputError::Nothing);
        let good = r#"{"version":1,"code":204}"#;
        for bad in [
            b"hello".to_vec(),
            format!("{good}{good}").into_bytes(),
            format!("{good} trailing").into_bytes(),
            format!("\u{feff}{good}").into_bytes(),
            format!("{good}\0").into_bytes(),
            b"{\"version\":1,\"code\":204,\"error\":\"\xff\"}".to_vec(),
            br#"{"version":1,"code":204,"code":200}"#.to_vec(),
            b"{\"version\":1".to_vec(),
            "[".repeat(100_000).into_bytes(),
        ] {
            assert!(
                matches!(json(&bad), OutputError::Json(_)),
                "{:?}",
                String::from_utf8_lossy(&bad[..20.min(bad.len())])
            );
        }
        assert_eq!(json(b"[1]"), OutputError::NoObject);
        assert!(parse(format!("\n {good} \n").as_bytes()).is_ok());
    }

    #[test]
    fn p25_versions() {
        assert!(matches!(parse(br#"{"version":2,"code":200}"#), Err(OutputError::Version(_))));
        assert!(matches!(parse(br#"{"code":200}"#), Err(OutputError::Version(_))));
        assert!(matches!(parse(br#"{"version":"1","code":200}"#), Err(OutputError::Version(_))));
        assert!(read(br#"{"version":"1","code":200}"#, true).is_ok());
        assert_eq!(parse(br#"{"version":1,"code":"200"}"#), Err(OutputError::Code));
        assert_eq!(parse(br#"{"version":1}"#), Err(OutputError::Code));
    }

    #[test]
    fn p12_one_bad_node_refuses_the_list() {
        for bad in [
            r#"{"ip":"null","port":80}"#,
            r#"{"ip":"192.0.2.2","port":0}"#,
            r#"{"ip":"192.0.2.2","port":70000}"#,
            r#"{"ip":"192.0.2.2","port":80.5}"#,
            r#"{"port":80}"#,
            r#"{"ip":"192.0.2.2"}"#,
            r#"{"ip":"0.0.0.0","port":80}"#,
            r#"{"ip":"::","port":80}"#,
            r#"{"ip":"224.0.0.1","port":80}"#,
            r#"{"ip":"fe80::1%eth0","port":80}"#,
            r#"{"ip":"host.example","port":80}"#,
            r#"{"ip":"192.0.2.2","port":80,"draining":"yes"}"#,
            r#"{"ip":"192.0.2.2","port":80,"weight":0}"#,
            "null",
        ] {
            assert!(ok(&with_node(bad)).nodes.is_err(), "{bad}");
            let lenient = read(with_node(bad).as_bytes(), true).unwrap().nodes.unwrap().unwrap();
            assert_eq!((lenient.nodes.len(), lenient.dropped.len()), (1, 1), "{bad}");
        }
        let text = with_node(r#"{"ip":"192.0.2.2","port":"80"}"#);
        assert!(ok(&text).nodes.is_err());
        assert_eq!(read(text.as_bytes(), true).unwrap().nodes.unwrap().unwrap().nodes.len(), 2);
    }

    #[test]
    fn p11_duplicates_drain_only_together() {
        let listed = |draining: bool| {
            let text = format!(
                r#"{{"version":1,"code":200,"nodes":[{{"ip":"::ffff:192.0.2.1","port":80,"draining":true}},
                {{"ip":"192.0.2.1","port":80,"draining":{draining}}}]}}"#
            );
            ok(&text).nodes.unwrap().unwrap()
        };
        for draining in [true, false] {
            let listed = listed(draining);
            assert_eq!((listed.nodes.len(), listed.duplicates), (1, 1));
            assert!(listed.nodes.nodes.values().all(|node| node.draining == draining));
        }
    }

    #[test]
    fn p18_overrides_are_clamped_or_ignored() {
        let given = |text: &str| {
            ok(&format!(r#"{{"version":1,"code":204,"interval_override":{text}}}"#)).interval_override
        };
        for (text, seconds) in [("0", 1.0), ("-5", 1.0), ("1e12", 3600.0), ("0.5", 1.0), ("60", 60.0)] {
            assert_eq!(given(text), Some(Ok(seconds)), "{text}");
        }
        assert!(matches!(given("\"abc\""), Some(Err(_))));
        assert_eq!(given("null"), None);
        assert_eq!(override_time(60.0, Duration::from_millis(10)), Duration::from_millis(600));
    }

    #[test]
    fn error_texts_are_bounded_and_clean() {
        let text = format!(r#"{{"version":1,"code":500,"error":"a\n{}"}}"#, "x".repeat(1000));
        let error = ok(&text).error.unwrap();
        assert_eq!(error.chars().count(), MAX_ERROR);
        assert!(!error.contains('\n'));
    }

    #[test]
    fn p9_nodes_of_another_type() {
        assert!(ok(r#"{"version":1,"code":200,"nodes":{}}"#).nodes.is_err());
        assert_eq!(ok(r#"{"version":1,"code":200}"#).nodes, Ok(None));
    }
}
