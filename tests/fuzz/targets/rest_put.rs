//! PUT through REST: any bodies on any object leave a layer that can be shown, kept, read back and compiled.
//!
//! The first byte of each piece chooses type and version, NUL bytes cut pieces; a piece that begins with `-` deletes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_config::{
    Document, Input, Layer, References, import,
    rest::{ExpertKeys, Running, Type, Version},
};

/// Most writes of one input.
const WRITES: usize = 8;
/// Objects that are written, with properties, raw, without a name.
const TYPES: [&str; 8] = [
    "pools",
    "virtual_servers",
    "monitors",
    "ssl/server_keys",
    "rules",
    "global_settings",
    "appliance/nat",
    "traffic_managers",
];

struct NoFiles;

impl References for NoFiles {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("it is not there".to_owned())
    }
}

fuzz_target!(|data: &[u8]| {
    let text = b"pools: [{name: a, properties: {basic: {note: from a document}}}]";
    let watched = [Document { name: "config/a".to_owned(), text: text.to_vec() }];
    let imported = import(&Input { watched: &watched, ..Input::default() }, &NoFiles);
    let mut layer = Layer::default();
    for piece in data.splitn(WRITES, |byte| *byte == 0) {
        let Some((choice, rest)) = piece.split_first() else { continue };
        let of = Type::of(TYPES[usize::from(choice % 8)]).expect("a type");
        let version = Version::all().nth(usize::from(choice / 8) % 9).expect("a version");
        // The name stands before the first line break.
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let (name, body) = rest.split_at(end);
        let name = String::from_utf8_lossy(name);
        let expert = ExpertKeys::parse("basic/can_use_ssl,telemetry/autotest_schedule");
        let running = Running { imported: &imported, layer: &layer, traffic_manager: "tm" };
        let name = if of.is_singleton() { "" } else { name.strip_prefix('-').unwrap_or(&name) };
        let change = if rest.starts_with(b"-") && !of.is_singleton() && !of.is_machines() {
            running.delete(of, name)
        } else if of.is_raw() {
            running.put_content(of, name, body.into())
        } else {
            running.put(version, of, name, &expert, body)
        };
        let before = layer.clone();
        match change {
            Ok(change) => layer.apply(change).expect("room"),
            Err(refusal) => {
                assert!(!refusal.text.is_empty());
                for keys in refusal.body()["error_info"].as_object().expect("an object").values() {
                    assert!(keys.is_object(), "clients read error_info without looking first");
                }
                assert_eq!(layer, before, "a refused body changed something");
                continue;
            }
        }
        let running = Running { imported: &imported, layer: &layer, traffic_manager: "tm" };
        if !of.is_raw() && running.has(of, name) {
            let shown = running.get(version, of, name, &expert).expect("an object");
            assert!(!shown.to_string().contains(":null"), "clients stop at null: {shown}");
            // What was read can be written back, and changes nothing.
            let body = shown.to_string();
            let again = running.put(version, of, name, &expert, body.as_bytes()).expect("what was shown");
            assert!(!again.created);
            let mut same = layer.clone();
            same.apply(again).expect("room");
            let same = Running { layer: &same, ..running };
            assert_eq!(same.get(version, of, name, &expert), Some(shown));
        }
    }
    assert_eq!(Layer::from_json(&layer.to_json()), layer, "what is kept is not what was written");
    let compiled = imported.lay(&layer, None);
    assert!(compiled.configuration.is_some(), "a layer cannot stop what documents did not");
    let running = Running { imported: &imported, layer: &layer, traffic_manager: "tm" };
    let whole = running.everything();
    let restored = running.restore(&whole);
    let restored = Running { layer: &restored, ..running };
    assert_eq!(restored.everything(), whole, "a backup does not restore");
});
