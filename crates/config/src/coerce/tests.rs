use super::*;
use crate::{document, schema::SCHEMA};

fn given(path: &str, section: &str, key: &str, yaml: &str) -> (Option<Value>, Vec<Misfit>) {
    let node = document::read(yaml.as_bytes()).root.unwrap();
    let mut misfits = Vec::new();
    let value = coerce(&node, SCHEMA.types[path].key(section, key).unwrap(), &mut misfits);
    (value, misfits)
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn a_table_of_coercions() {
    let (vs, pool, global) = ("virtual_servers", "pools", "global_settings");
    let list = |items: &[&str]| Some(Value::List(items.iter().map(|item| (*item).into()).collect()));
    for (path, section, key, yaml, expected) in [
        (global, "web_cache", "size", "0", Some(text("0"))),
        (global, "web_cache", "size", "\"20%\"", Some(text("20%"))),
        (vs, "basic", "note", "6.10", Some(text("6.10"))),
        (vs, "basic", "note", "true", Some(text("true"))),
        (vs, "basic", "note", "''", Some(text(""))),
        (vs, "basic", "note", "~", None),
        (vs, "basic", "port", "80", Some(Value::Int(80))),
        (vs, "basic", "port", "\"80\"", Some(Value::Int(80))),
        (vs, "basic", "port", "' 80 '", Some(Value::Int(80))),
        (vs, "basic", "port", "0080", Some(Value::Int(80))),
        (vs, "basic", "port", "0x50", Some(Value::Int(80))),
        (vs, "basic", "port", "0o120", Some(Value::Int(80))),
        (vs, "basic", "port", "80.0", Some(Value::Int(80))),
        (vs, "basic", "port", "8e1", Some(Value::Int(80))),
        (vs, "basic", "port", "+80", Some(Value::Int(80))),
        (vs, "udp", "response_datagrams_expected", "-1", Some(Value::Int(-1))),
        (vs, "basic", "enabled", "true", Some(Value::Bool(true))),
        (vs, "basic", "enabled", "'Yes'", Some(Value::Bool(true))),
        (vs, "basic", "enabled", "on", Some(Value::Bool(true))),
        (vs, "basic", "enabled", "1", Some(Value::Bool(true))),
        (vs, "basic", "enabled", "OFF", Some(Value::Bool(false))),
        (vs, "basic", "enabled", "0", Some(Value::Bool(false))),
        (vs, "basic", "protocol", "http", Some(text("http"))),
        (vs, "basic", "request_rules", "[]", list(&[])),
        (vs, "basic", "request_rules", "[a, 7, true]", list(&["a", "7", "true"])),
        (pool, "basic", "nodes_table", "[]", Some(Value::Table(Vec::new()))),
        ("locations", "basic", "latitude", "'51.5'", Some(Value::Float(51.5))),
    ] {
        let (value, misfits) = given(path, section, key, yaml);
        assert_eq!(misfits, [], "{key}: {yaml}");
        assert_eq!(value, expected, "{key}: {yaml}");
    }
}

#[test]
fn misfits_name_value_and_what_is_allowed() {
    for (path, section, key, yaml, below, message) in [
        ("virtual_servers", "basic", "port", "0", "", "“0” is not a whole number from 1 to 65535"),
        ("virtual_servers", "basic", "port", "65536", "", "“65536” is not a whole number from 1 to 65535"),
        ("virtual_servers", "basic", "port", "80.5", "", "“80.5” is not"),
        ("virtual_servers", "basic", "port", "8O", "", "“8O” is not"),
        ("virtual_servers", "basic", "port", "''", "", "“” is not"),
        ("virtual_servers", "basic", "port", "1e400", "", "“1e400” is not"),
        ("virtual_servers", "basic", "port", "0x-50", "", "is not"),
        ("virtual_servers", "basic", "port", "0x+50", "", "is not"),
        ("virtual_servers", "basic", "port", "nan", "", "is not"),
        ("virtual_servers", "basic", "port", "[80]", "", "expected here, not a list"),
        ("virtual_servers", "basic", "port", "{a: 1}", "", "expected here, not a mapping"),
        ("virtual_servers", "basic", "enabled", "maybe", "", "“maybe” is not true or false"),
        ("virtual_servers", "basic", "enabled", "2", "", "“2” is not true or false"),
        ("virtual_servers", "cookie", "secure", "set", "", "one of no_modify, set_secure, unset_secure"),
        ("virtual_servers", "basic", "note", "[a]", "", "text is expected here, not a list"),
        ("virtual_servers", "basic", "request_rules", "one", "", "a list is expected here, not “one”"),
        ("virtual_servers", "basic", "request_rules", "[a, [b]]", "[1]", "text is expected here, not a list"),
        ("virtual_servers", "basic", "request_rules", "[a, ~]", "[1]", "text is expected here, not nothing"),
        ("pools", "basic", "nodes_table", "['a:80']", "[0]", "a row is expected"),
        ("pools", "basic", "nodes_table", "[{weight: 5}]", "[0]", "the row has no “node”"),
        ("pools", "basic", "nodes_table", "[{node: 'a:1', weight: 101}]", "[0].weight", "from 1 to 100"),
        (
            "pools",
            "basic",
            "nodes_table",
            "[{node: 'a:1', state: dead}]",
            "[0].state",
            "active, disabled, draining",
        ),
        ("locations", "basic", "latitude", "inf", "", "“inf” is not a number"),
    ] {
        let (_, misfits) = given(path, section, key, yaml);
        assert_eq!(misfits.len(), 1, "{key}: {yaml}: {misfits:?}");
        assert_eq!(misfits[0].below, below, "{key}: {yaml}");
        assert!(misfits[0].message.contains(message), "{key}: {yaml}: {misfits:?}");
        assert!(!misfits[0].form, "{key}: {yaml}");
    }
}

#[test]
fn an_unknown_column_is_a_fault_of_form() {
    let (_, misfits) = given("pools", "basic", "nodes_table", "[{node: 'a:80', wieght: 5}]");
    assert!(misfits[0].form, "{misfits:?}");
    assert_eq!(misfits[0].hint.as_deref(), Some("did you mean “weight”?"));
}

#[test]
fn good_rows_and_items_stay_beside_bad_ones_and_all_bad_ones_are_told() {
    let (value, misfits) = given(
        "pools",
        "basic",
        "nodes_table",
        "[{node: 'a:80', weight: 0}, {node: 'b:80'}, 7, {state: active}]",
    );
    assert_eq!(misfits.len(), 3, "{misfits:?}");
    let Some(Value::Table(rows)) = value else { panic!("{value:?}") };
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get("weight"), Some(&Value::Int(1)), "defaults are filled in");
}

#[test]
fn misfits_are_bounded_and_form_faults_are_not_lost() {
    let rows = vec!["{node: 'a:1', weight: 0}"; 1000].join(", ");
    let (value, misfits) = given("pools", "basic", "nodes_table", &format!("[{rows}, {{nod: x}}]"));
    assert_eq!(misfits.len(), MAX_MISFITS);
    assert!(misfits.iter().any(|misfit| misfit.form));
    assert_eq!(value, Some(Value::Table(Vec::new())));
}

#[test]
fn secret_values_are_not_told() {
    for (path, section, key, yaml) in [
        ("ssl/server_keys", "basic", "private", "[NEVER-SHOWN]"),
        ("pools", "service_discovery", "plugin_args", "{NEVER-SHOWN: 1}"),
        ("monitors", "script", "arguments", "NEVER-SHOWN"),
        ("monitors", "script", "arguments", "[{name: a, value: [NEVER-SHOWN]}]"),
    ] {
        let (_, misfits) = given(path, section, key, yaml);
        assert!(!misfits.is_empty());
        assert!(!format!("{misfits:?}").contains("NEVER-SHOWN"), "{misfits:?}");
    }
}
