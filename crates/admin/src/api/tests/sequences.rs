//! Any sequence of right and wrong requests leaves what a reference model of a few lines says.

use std::collections::BTreeMap;

use super::*;

/// Collections and the singleton that are written to. Raw ones hold bytes.
const TYPES: [(&str, Kind); 8] = [
    ("pools", Kind::Properties),
    ("virtual_servers", Kind::Properties),
    ("monitors", Kind::Properties),
    ("rate", Kind::Properties),
    ("ssl/ticket_keys", Kind::Properties),
    ("global_settings", Kind::Singleton),
    ("rules", Kind::Raw),
    ("ssl/cas", Kind::Raw),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Properties,
    Singleton,
    Raw,
}

/// Names, and whether they may be names.
const NAMES: [(&str, bool); 16] = [
    ("web", true),
    ("from documents", true),
    ("a b", true),
    ("100%", true),
    ("per%20cent", true),
    ("%", true),
    ("ünïcode 網", true),
    ("a+b&c=d", true),
    ("x?y#z", true),
    ("\"quoted\" \\ {it}", true),
    ("...", true),
    ("a/b", false),
    ("..", false),
    (".", false),
    ("tab\there", false),
    ("nul\0", false),
];

const DOCUMENT: &str = r#"{
    "pools": [{"name": "from documents", "properties": {"basic": {"note": "written there"}}}],
    "rules": [{"name": "from documents", "content": "log.info(1);"}],
    "virtual_servers": [
        {"name": "from documents", "properties": {"basic": {"port": 8080, "pool": "from documents"}}}
    ]
}"#;

const ROUNDS: usize = 6;
const STEPS: usize = 120;

/// What is there: properties as a GET shows them, or bytes.
#[derive(Debug, PartialEq)]
enum Object {
    Properties(Json),
    Raw(Vec<u8>),
}

/// The whole configuration, by type and name.
type Model = BTreeMap<(&'static str, String), Object>;

/// A path with a name of any letters in it: percent-encoded as a link has it, or wholly.
fn path(random: &mut fastrand::Rng, collection: &str, name: Option<&str>) -> String {
    let version = ["6.0", "7.1", "8.3"][random.usize(..3)];
    let mut path = format!("/api/tm/{version}/config/active/{collection}");
    if let Some(name) = name {
        path.push('/');
        if random.bool() {
            path.push_str(&crate::request::encoded(name));
        } else {
            path.extend(name.bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    if random.u8(..4) == 0 {
        path.push('/');
    }
    path
}

/// One key with a value, and whether it is right.
fn setting(random: &mut fastrand::Rng, of: &str) -> (&'static str, &'static str, Json, bool) {
    let text = |random: &mut fastrand::Rng| json!(NAMES[random.usize(..NAMES.len())].0);
    let list = |random: &mut fastrand::Rng| {
        let length = random.usize(..4);
        json!((0..length).map(|_| NAMES[random.usize(..NAMES.len())].0).collect::<Vec<_>>())
    };
    match (of, random.u8(..8)) {
        ("global_settings", 0..4) => ("connection", "listen_queue_size", json!(random.u16(..10_001)), true),
        ("global_settings", 4) => ("connection", "listen_queue_size", json!(10_001), false),
        ("global_settings", 5) => ("connection", "listen_queue_size", json!([1]), false),
        ("global_settings", 6) => ("nothing", "such", json!(1), false),
        ("global_settings", _) => ("nothing", "such", Json::Null, false),
        ("rate", 0..3) => ("basic", "max_rate_per_second", json!(random.u32(..1_000_000)), true),
        ("monitors", 0) => ("basic", "type", json!(["ping", "http", "connect"][random.usize(..3)]), true),
        ("monitors", 1) => ("basic", "delay", json!(random.u16(1..)), true),
        ("monitors", 2) => ("basic", "delay", json!(0), false),
        ("monitors", 3) => ("basic", "type", json!("guess"), false),
        ("virtual_servers", 0) => ("basic", "port", json!(random.u16(1..)), true),
        ("virtual_servers", 1) => ("basic", "request_rules", list(random), true),
        ("virtual_servers", 2) => ("basic", "pool", text(random), true),
        ("virtual_servers", 3) => ("basic", "port", json!([0, 70_000][random.usize(..2)]), false),
        ("pools", 0) => ("basic", "nodes_table", rows(random), true),
        ("pools", 1) => ("basic", "monitors", list(random), true),
        ("pools", 2) => ("connection", "max_queue_size", json!(random.u16(..)), true),
        ("pools", 3) => ("basic", "nodes_table", json!([{"weight": 1}]), false),
        ("pools", 4) => ("basic", "nodes_table", json!([{"node": "192.0.2.1:80", "weight": "1"}]), false),
        ("pools", 5) => ("load_balancing", "algorithm", json!("random"), true),
        ("ssl/ticket_keys", 0..3) => ("basic", "algorithm", json!("aes_256_cbc_hmac_sha256"), true),
        ("ssl/ticket_keys", 3) => ("basic", "algorithm", json!("rot13"), false),
        ("ssl/ticket_keys", 4) => ("basic", "id", json!(random.alphanumeric().to_string()), true),
        ("ssl/ticket_keys", _) => ("basic", "unknown", json!(""), false),
        (_, 6) => ("basic", "note", json!(1.5), false),
        _ => ("basic", "note", text(random), true),
    }
}

/// Rows of a nodes table; columns are left out at random.
fn rows(random: &mut fastrand::Rng) -> Json {
    let count = random.usize(..4);
    let row = |number: usize, random: &mut fastrand::Rng| {
        let mut row = json!({"node": format!("192.0.2.{number}:80")});
        if random.bool() {
            row["weight"] = json!(random.u8(1..=100));
        }
        if random.bool() {
            row["state"] = json!(["active", "draining", "disabled"][random.usize(..3)]);
        }
        if random.bool() {
            row["priority"] = json!(random.u8(..));
        }
        row
    };
    Json::Array((0..count).map(|number| row(number, random)).collect())
}

/// What a GET shows of a table: every column of every row.
fn filled(value: &Json) -> Json {
    let whole = |row: &Json| {
        let mut whole = json!({"node": "", "priority": 1, "source_ip": "", "state": "active", "weight": 1});
        for (column, value) in row.as_object().unwrap() {
            whole[column] = value.clone();
        }
        whole
    };
    Json::Array(value.as_array().unwrap().iter().map(whole).collect())
}

/// Lays a body's keys over an object.
fn lay(object: &mut Json, properties: &Map<String, Json>) {
    for (section, keys) in properties {
        // A secret is shown as its digest, which the defaults have: there is only one in these tests.
        for (key, value) in keys.as_object().unwrap().iter().filter(|(key, _)| *key != "key") {
            object[section][key] = if key == "nodes_table" { filled(value) } else { value.clone() };
        }
    }
}

/// Keys that a new object must have.
fn required(of: &str) -> Map<String, Json> {
    let keys = match of {
        "virtual_servers" => json!({"port": 80, "pool": "web"}),
        "ssl/ticket_keys" => {
            json!({"id": "a", "key": "b", "validity_start": 1, "validity_end": 2})
        }
        _ => return Map::new(),
    };
    Map::from_iter([("basic".to_owned(), keys)])
}

/// Properties of a body, whether they are right, and whether they have what a new object needs.
fn properties(random: &mut fastrand::Rng, of: &str) -> (Map<String, Json>, bool, bool) {
    let whole = random.u8(..4) > 0;
    let mut properties = if whole { required(of) } else { Map::new() };
    let mut right = true;
    for _ in 0..random.usize(..4) {
        let (section, key, value, is_right) = setting(random, of);
        let keys = properties.entry(section).or_insert_with(|| json!({})).as_object_mut().unwrap();
        let needed = required(of).get(section).and_then(|keys| keys.get(key)).cloned();
        if !keys.contains_key(key) || keys.get(key) == needed.as_ref() {
            keys.insert(key.to_owned(), value);
            right &= is_right;
        }
    }
    let has =
        |section: &String, key: &String| properties.get(section).is_some_and(|keys| keys.get(key).is_some());
    let enough = required(of)
        .iter()
        .all(|(section, keys)| keys.as_object().unwrap().keys().all(|key| has(section, key)));
    (properties, right, enough)
}

/// Everything that GETs show, found by following links.
async fn shown(desktop: &Desktop) -> Model {
    let mut found = Model::new();
    for (of, kind) in TYPES {
        let collection = format!("{ACTIVE}/{of}");
        if kind == Kind::Singleton {
            let object = json_of(desktop.get(&collection).await)["properties"].take();
            found.insert((of, String::new()), Object::Properties(object));
            continue;
        }
        let listed = json_of(desktop.get(&collection).await);
        let children = listed["children"].as_array().unwrap();
        let names: Vec<&str> = children.iter().map(|child| child["name"].as_str().unwrap()).collect();
        assert!(names.is_sorted(), "{of}: {names:?}");
        for child in children {
            let answer = desktop.get(child["href"].as_str().unwrap()).await;
            assert_eq!(status(&answer), 200, "{child}");
            let object = match answer.body {
                Body::Bytes { bytes, .. } => Object::Raw(bytes.to_vec()),
                body => Object::Properties(json_of(Answer { body, ..answer })["properties"].take()),
            };
            found.insert((of, child["name"].as_str().unwrap().to_owned()), object);
        }
    }
    found
}

/// Fails the test with what differs first.
fn assert_same(shown: &Model, expected: &Model, when: &str) {
    let (names, wanted): (Vec<_>, Vec<_>) = (shown.keys().collect(), expected.keys().collect());
    assert_eq!(names, wanted, "{when}");
    for (place, object) in shown {
        match (object, &expected[place]) {
            (Object::Properties(object), Object::Properties(wanted)) => {
                for (section, keys) in object.as_object().unwrap() {
                    for (key, value) in keys.as_object().unwrap() {
                        assert_eq!(value, &wanted[section][key], "{when}: {place:?} {section}.{key}");
                    }
                }
            }
            (object, wanted) => assert!(object == wanted, "{when}: {place:?}: {object:?}, not {wanted:?}"),
        }
    }
}

/// What a new object of each type begins with.
async fn defaults() -> BTreeMap<&'static str, Json> {
    let desktop = Desktop::new("").await;
    let mut defaults = BTreeMap::new();
    for (of, kind) in TYPES {
        if kind == Kind::Properties {
            let answer = desktop.put(&format!("{ACTIVE}/{of}/new"), Json::Object(required(of))).await;
            assert_eq!(status(&answer), 201, "{of}: {answer:?}");
            defaults.insert(of, json_of(answer)["properties"].take());
        }
    }
    defaults
}

/// One request at random: made, and its status compared with what the model says, which then follows.
async fn step(
    random: &mut fastrand::Rng,
    desktop: &Desktop,
    model: &mut Model,
    defaults: &BTreeMap<&'static str, Json>,
) {
    let (of, kind) = TYPES[random.usize(..TYPES.len())];
    let (name, good_name) =
        if kind == Kind::Singleton { ("", true) } else { NAMES[random.usize(..NAMES.len())] };
    let target = path(random, of, (kind != Kind::Singleton).then_some(name));
    let place = (of, name.to_owned());
    let known = model.contains_key(&place);
    let what = random.u8(..20);
    let expected = |ok: u16| if good_name { ok } else { 400 };
    match (what, kind) {
        (0, _) => {
            let verb = ["POST", "PATCH", "OPTIONS"][random.usize(..3)];
            let answer = desktop.ask(verb, &target, None, b"{}").await;
            assert_eq!(status(&answer), 405, "{verb} {target}");
        }
        (1, _) => {
            let collection = if random.bool() { of } else { "ssl" };
            let collection = path(random, collection, None);
            let answer = desktop.ask("PUT", &collection, None, br#"{"properties":{"connection":1}}"#).await;
            assert!(matches!(status(&answer), 400 | 403 | 405), "PUT {collection}: {answer:?}");
        }
        (2..=4, Kind::Properties | Kind::Raw) => {
            let answer = desktop.ask("DELETE", &target, None, b"").await;
            assert_eq!(status(&answer), if known { 204 } else { 404 }, "DELETE {target}");
            model.remove(&place);
        }
        (2..=4, Kind::Singleton) => {
            assert_eq!(status(&desktop.ask("DELETE", &target, None, b"").await), 405);
        }
        (5, _) => {
            let media = if kind == Kind::Raw { "application/json" } else { "application/octet-stream" };
            let answer = desktop.ask("PUT", &target, Some(media), br#"{"properties":{}}"#).await;
            assert_eq!(status(&answer), 415, "PUT {target} as {media}");
        }
        (6, Kind::Properties | Kind::Singleton) => {
            let bodies: [&[u8]; 8] = [
                b"",
                b"{",
                b"[]",
                b"{}",
                br#"{"properties":[]}"#,
                br#"{"properties":{},"more":1}"#,
                br#"{"properties":{"basic":3}}"#,
                b"\xff{}",
            ];
            let body = bodies[random.usize(..bodies.len())];
            let answer = desktop.ask("PUT", &target, Some("application/json"), body).await;
            assert_eq!(status(&answer), 400, "PUT {target}: {body:?}");
        }
        (_, Kind::Raw) => {
            let length = random.usize(..40);
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let answer = desktop.ask("PUT", &target, Some("application/octet-stream"), &bytes).await;
            assert_eq!(status(&answer), expected(if known { 204 } else { 201 }), "PUT {target}");
            if good_name {
                model.insert(place, Object::Raw(bytes));
            }
        }
        (_, Kind::Properties | Kind::Singleton) => {
            let (properties, right, enough) = properties(random, of);
            let answer = desktop.put(&target, Json::Object(properties.clone())).await;
            let right = right && (known || enough);
            let success = if known { 200 } else { 201 };
            let told = format!("PUT {target}: {properties:?}: {answer:?}");
            assert_eq!(status(&answer), expected(if right { success } else { 400 }), "{told}");
            if !right || !good_name {
                let info = json_of(answer)["error_info"].take();
                let sections = info.as_object().expect("an object of sections");
                assert!(sections.values().all(Json::is_object), "{info}");
                return;
            }
            let object = model.entry(place).or_insert_with(|| Object::Properties(defaults[of].clone()));
            let Object::Properties(object) = object else { panic!("{of} holds no properties") };
            lay(object, &properties);
            let asked_in_newest = target.contains("/8.3/");
            if asked_in_newest {
                assert_eq!(json_of(answer)["properties"], *object, "{told}");
            }
        }
    }
}

#[tokio::test]
async fn any_sequence_of_requests_leaves_what_the_reference_model_says() {
    let seed = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_402);
    println!("seed {seed}; set TIDEGATE_SEED to try another");
    let mut random = fastrand::Rng::with_seed(seed);
    let defaults = defaults().await;
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir().unwrap();
        let desktop = Desktop::of(DOCUMENT, Some(directory.path()), None).await;
        let mut model = shown(&desktop).await;
        assert!(model.contains_key(&("pools", "from documents".to_owned())));
        for at in 0..STEPS {
            step(&mut random, &desktop, &mut model, &defaults).await;
            if at % 20 == 0 {
                assert_same(&shown(&desktop).await, &model, &format!("round {round}, step {at}"));
            }
        }
        let left = shown(&desktop).await;
        assert_same(&left, &model, &format!("round {round}"));
        // What is kept over a restart is the same.
        drop(desktop);
        let again = Desktop::of(DOCUMENT, Some(directory.path()), None).await;
        assert_same(&shown(&again).await, &left, &format!("round {round}, after a restart"));
    }
}
