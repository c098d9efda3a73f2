//! What people write (YAML, or `section.key=value`) as the JSON that a PUT takes.
//!
//! YAML does not say whether `40` is a number: the key decides, as in documents. JSON that REST takes is not touched here;
//! REST itself is strict about it.

use serde_json::{Map, Value as Json};

use super::Type;
use crate::{
    coerce::{self, Misfit},
    document::{self, Reading},
    nearest,
    schema::Key,
    tree::{Kind, Node},
};

/// The body of a PUT from YAML: an object with `properties`, or the properties themselves.
///
/// # Errors
/// Every fault, one line each, with line and column.
pub fn body(of: Type, text: &[u8]) -> Result<Json, Vec<String>> {
    let root = read(text)?;
    let mut faults = Vec::new();
    let mut sections = Map::new();
    for (section, keys) in entries(properties(&root), &mut faults, "sections") {
        if !of.0.sections.contains_key(section) {
            faults.push(format!("{}: there is no section “{section}” in {}{}", place(keys), of.path(), {
                let known = of.0.sections.keys().map(String::as_str);
                nearest::hint(section, known).map(|hint| format!(" ({hint})")).unwrap_or_default()
            }));
            continue;
        }
        let mut shown = Map::new();
        for (name, node) in entries(keys, &mut faults, "keys") {
            match known_key(of, section, name) {
                Ok(key) => drop(
                    value(node, key, &format!("{section}.{name}"), &mut faults)
                        .map(|value| shown.insert(name.to_owned(), value)),
                ),
                Err(fault) => faults.push(format!("{}: {fault}", place(node))),
            }
        }
        sections.insert(section.to_owned(), Json::Object(shown));
    }
    if faults.is_empty() { Ok(Json::Object(sections)) } else { Err(faults) }
}

/// Section, key and value from `section.key=value`; the value is read as YAML where the key takes a list or a table.
///
/// # Errors
/// What is wrong, for people.
pub fn setting(of: Type, text: &str) -> Result<(String, String, Json), String> {
    let form = || format!("“{text}” is not of the form section.key=value");
    let (path, written) = text.split_once('=').ok_or_else(form)?;
    let (section, name) = path.trim().split_once('.').ok_or_else(form)?;
    let key = known_key(of, section, name)?;
    // Only lists and tables have a form; other values are taken as they are.
    let is_structure = matches!(key.kind, crate::schema::KeyKind::List | crate::schema::KeyKind::Table(_));
    let node = if is_structure {
        read(written.as_bytes()).map_err(|faults| format!("{path}: {}", faults.join("; ")))?
    } else {
        Node::text(written)
    };
    let mut faults = Vec::new();
    let value = value(&node, key, path.trim(), &mut faults);
    match (value, faults.is_empty()) {
        (Some(value), true) => Ok((section.to_owned(), name.to_owned(), value)),
        (None, true) => Err(format!("{path}: a value is missing behind “=”")),
        (_, false) => Err(faults.join("\n")),
    }
}

fn known_key(of: Type, section: &str, name: &str) -> Result<&'static Key, String> {
    of.0.key(section, name).ok_or_else(|| {
        let siblings = of.0.sections.get(section).into_iter().flatten().map(|(name, _)| name.as_str());
        let home = of.0.sections.iter().find(|(_, keys)| keys.contains_key(name));
        let hint = match home {
            Some((home, _)) => Some(format!("did you mean “{home}.{name}”?")),
            None => nearest::hint(name, siblings),
        };
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("there is no key “{section}.{name}” in {}{hint}", of.path())
    })
}

fn read(text: &[u8]) -> Result<Node, Vec<String>> {
    let Reading { root, faults } = document::read(text);
    let faults: Vec<String> = faults
        .into_iter()
        .map(|fault| format!("line {} column {}: {}", fault.at.line, fault.at.column, fault.message))
        .collect();
    match root {
        Some(root) if faults.is_empty() => Ok(root),
        _ => Err(faults),
    }
}

/// What stands below `properties`, or all of it where nothing does.
fn properties(root: &Node) -> &Node {
    match &root.kind {
        Kind::Map(entries) => {
            let below = entries.iter().find(|entry| entry.key == "properties");
            below.map_or(root, |entry| &entry.value)
        }
        _ => root,
    }
}

fn entries<'n>(node: &'n Node, faults: &mut Vec<String>, of: &str) -> Vec<(&'n str, &'n Node)> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().map(|entry| (entry.key.as_str(), &entry.value)).collect(),
        Kind::Null => Vec::new(),
        _ => {
            faults.push(format!("{}: a mapping of {of} is expected here, not {}", place(node), node.noun()));
            Vec::new()
        }
    }
}

fn value(node: &Node, key: &Key, path: &str, faults: &mut Vec<String>) -> Option<Json> {
    let mut misfits = Vec::new();
    let value = coerce::coerce(node, key, &mut misfits);
    for Misfit { at, below, message, hint, .. } in misfits {
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        faults.push(format!("line {} column {}: {path}{below}: {message}{hint}", at.line, at.column));
    }
    value.map(|value| value.to_json())
}

fn place(node: &Node) -> String {
    format!("line {} column {}", node.at.line, node.at.column)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pools() -> Type {
        Type::of("pools").unwrap()
    }

    #[test]
    fn yaml_gets_the_types_of_the_keys() {
        let expected = json!({ "basic": {
            "monitors": ["Ping"], "note": "5", "max_idle_connections_pernode": 7, "passive_monitoring": true,
            "nodes_table": [{ "node": "a:80", "priority": 1, "source_ip": "", "state": "active", "weight": 3 }],
        } });
        let inner = "basic:\n  monitors: [ Ping ]\n  note: 5\n  max_idle_connections_pernode: \"7\"\n  passive_monitoring: yes\n  nodes_table:\n  - { node: a:80, weight: 3 }\n";
        assert_eq!(body(pools(), inner.as_bytes()).unwrap(), expected);
        let outer = format!("name: web\nproperties:\n  {}", inner.trim_end().replace('\n', "\n  "));
        assert_eq!(body(pools(), outer.as_bytes()).unwrap(), expected);
        assert_eq!(body(pools(), b"").unwrap(), json!({}));
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let text =
            "basic:\n  monitrs: [ Ping ]\n  note: [ a ]\n  passive_monitoring: maybe\nbasics: {}\ntcp: 5\n";
        let faults = body(pools(), text.as_bytes()).unwrap_err().join("\n");
        for part in [
            "line 2",
            "did you mean “monitors”",
            "line 3",
            "line 4",
            "basics",
            "did you mean “basic”",
            "line 6",
        ] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
        assert!(body(pools(), b"a: [").is_err());
    }

    #[test]
    fn settings_of_a_command_line() {
        let of = |text: &str| setting(pools(), text);
        let good = |section: &str, key: &str, value| Ok((section.to_owned(), key.to_owned(), value));
        assert_eq!(of("basic.note=a=b # c"), good("basic", "note", json!("a=b # c")));
        assert_eq!(
            of("basic.monitors=[Ping, \"Simple HTTP\"]"),
            good("basic", "monitors", json!(["Ping", "Simple HTTP"]))
        );
        assert_eq!(of("connection.max_reply_time=7"), good("connection", "max_reply_time", json!(7)));
        for (text, told) in [
            ("basic.note", "form"),
            ("note=x", "form"),
            ("basic.max_reply_time=7", "connection.max_reply_time"),
            ("connection.max_reply_time=soon", "max_reply_time"),
            ("basic.monitors=Ping", "list"),
            ("basic.monitors=", "missing"),
        ] {
            let fault = of(text).unwrap_err();
            assert!(fault.contains(told), "{text}: {fault}");
        }
    }
}
