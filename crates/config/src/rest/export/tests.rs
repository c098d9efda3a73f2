use super::*;
use crate::{Document, Imported, Input, Layer, References, import};

#[derive(Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl References for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.get(path).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
}

fn read(text: &str, files: &Files) -> Imported {
    let watched = [Document { name: "config/a".to_owned(), text: text.as_bytes().to_vec() }];
    import(&Input { watched: &watched, ..Input::default() }, files)
}

fn running<'a>(imported: &'a Imported, layer: &'a Layer) -> Running<'a> {
    Running { imported, layer, traffic_manager: "tm1" }
}

/// Every value there is, whatever it was written by.
fn everything(imported: &Imported, layer: &Layer) -> Json {
    running(imported, layer).everything().to_json()
}

fn same_again(imported: &Imported, layer: &Layer) -> String {
    let export = running(imported, layer).export(Secrets::Clear);
    assert_eq!((export.notes.as_slice(), export.files.len()), ([].as_slice(), 0));
    let text = yaml(&export.document);
    let again = read(&text, &Files::default());
    assert!(!again.stopped(), "{text}");
    let diagnostics = again.lay(&Layer::default(), None).diagnostics;
    let form: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(everything(&again, &Layer::default()), everything(imported, layer), "{form:?}\n{text}");
    text
}

const SITE: &str = r#"
version: 6.2
virtual_servers:
- name: "a site: ünï #1"
  properties:
    basic: { enabled: true, port: 8080, pool: web, request_rules: [ r1, /r2 ], note: "two\nlines" }
    web_cache: { max_time: 600 }
pools:
- name: web
  properties:
    basic:
      monitors: [ Ping, "Simple HTTP" ]
      nodes_table: [ { node: "127.0.0.1:9001", weight: 3 }, { node: "[::1]:80", state: draining } ]
    service_discovery: { enabled: "yes", plugin_args: "--x='y: z' # no" }
monitors:
- name: Ping
  properties: { basic: { delay: 7 } }
rules:
- name: r1
  content: |
    # a comment

    if( 1 ) {
    	log.info( "tab\t" );
    }
- name: r2
  content: "no end"
- name: r3
  content: "\n  begins with a space\n\n\n"
- name: r4
  content: "trailing \u0007 \u2028 \ufeff \U0001F600 bell\r\n"
- name: r5
  content: "ends with many\n\n\n"
- name: r6
  content: ""
extra_files:
- name: bytes
  content: !!binary "//79AAE="
global_settings:
  properties:
    basic: { so_rbuff_size: 1, }
    ssl: { signature_algorithms: "yes" }
"#;

#[test]
fn what_is_imported_again_is_the_same() {
    let text = same_again(&read(SITE, &Files::default()), &Layer::default());
    assert!(text.starts_with("version: 8.3\n"), "{text}");
    assert!(!text.contains("Simple HTTP\n"), "factory objects that nobody changed are left out: {text}");
    assert!(text.contains("- name: Ping\n    properties:\n      basic:\n        delay: 7\n"), "{text}");
    assert!(text.contains("content: |\n      # a comment\n\n      if( 1 ) {\n"), "{text}");
    assert!(text.contains("- node: \"127.0.0.1:9001\"\n            weight: 3\n"), "{text}");
    // And once more.
    assert_eq!(same_again(&read(&text, &Files::default()), &Layer::default()), text);
}

#[test]
fn rest_writes_are_in_it_and_what_no_document_can_say_is_told() {
    let imported = read(SITE, &Files::default());
    let mut layer = Layer::default();
    let monitors = Type::of("monitors").unwrap();
    let json = json!({ "monitors": {
        "Ping": { "alone": true, "properties": { "basic": { "delay": 9 } } },
        "Simple HTTP": { "removed": true },
        "own": { "properties": { "basic": { "type": "http" } } },
    } });
    let written = Layer::from_json(&json);
    for (name, entry) in &written.objects["monitors"] {
        layer.set(monitors.path(), name, Some(entry.clone()));
    }
    let export = running(&imported, &layer).export(Secrets::Clear);
    assert_eq!(export.notes.len(), 1, "{:?}", export.notes);
    assert!(export.notes[0].contains("monitors/Simple HTTP"));
    let again = read(&yaml(&export.document), &Files::default());
    let bare = Layer::default();
    let shown = |imported, layer, name| {
        running(imported, layer).get(Version::newest(), monitors, name, &super::super::ExpertKeys::default())
    };
    for name in ["Ping", "own"] {
        assert_eq!(shown(&again, &bare, name), shown(&imported, &layer, name), "{name}");
    }
}

const KEYS: &str = "
ssl:
  server_keys:
  - name: a b
    properties: { basic: { public: p, private: q } }
  - name: site
    properties: { basic: { public: shown, private: \"TOP SECRET\\n\" } }
";

#[test]
fn secrets_are_references_unless_asked_for() {
    let imported = read(KEYS, &Files::default());
    let bare = Layer::default();
    let export = running(&imported, &bare).export(Secrets::References);
    let text = yaml(&export.document);
    assert!(!text.contains("TOP SECRET") && text.contains("shown"), "{text}");
    let file = "secrets/ssl.server_keys.site.basic.private";
    let expected = SecretFile { key: "ssl/server_keys/site basic.private".to_owned(), content: None };
    assert_eq!(export.files.get(file), Some(&expected));
    let told = running(&imported, &bare).export(Secrets::Files);
    assert_eq!(told.document, export.document);
    let content = |(path, file): (String, SecretFile)| (path, file.content.unwrap().into_bytes());
    let files = Files(told.files.into_iter().map(content).collect());
    assert_eq!(everything(&read(&text, &files), &bare), everything(&imported, &bare), "{text}");
    assert!(yaml(&running(&imported, &bare).export(Secrets::Clear).document).contains("TOP SECRET"));
}

#[test]
fn files_of_secrets_have_names_that_files_can_have() {
    let of = SCHEMA.types.get("ssl/server_keys").unwrap();
    assert_eq!(
        file_of(of, "a b..ü", "basic", "private"),
        "secrets/ssl.server_keys.a%20b..%C3%BC.basic.private"
    );
    let long = file_of(of, &"ü".repeat(120), "basic", "private");
    assert!(long.len() < 250 && long != file_of(of, &"ü".repeat(119), "basic", "private"), "{long}");
}

#[test]
fn scalars_mean_what_they_meant() {
    for text in [
        "",
        " ",
        "yes",
        "null",
        "~",
        "1",
        "0x1f",
        "-",
        "- a",
        "a: b",
        "#",
        "a #b",
        "{",
        "[",
        "!x",
        "&x",
        "*x",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "\\",
        "|",
        ">",
        "a\u{85}b",
        "\u{7f}",
        "---",
        "...",
        "é",
        "\n",
        "\n\n",
        "a\n b",
        "a \nb",
        "a\n \nb",
        "a\n\t\nb",
        " a\nb",
        "a\nb\n",
        "a\nb\n\n",
        "日本\n語",
    ] {
        let document = json!({ "rules": [{ "name": "r", "content": text }], "x": {}, "y": [] });
        let written = yaml(&json!({ "rules": document["rules"] }));
        let imported = read(&written, &Files::default());
        let bare = Layer::default();
        let content = running(&imported, &bare).content(Type::of("rules").unwrap(), "r");
        assert_eq!(content.as_deref(), Some(text.as_bytes()), "{written}");
    }
    assert_eq!(yaml(&json!({})), "{}\n");
    assert_eq!(yaml(&json!([1, "a b"])), "- 1\n- \"a b\"\n");
    assert_eq!(
        yaml(&json!({"a": {"b": [{"name": "x", "c": []}], "d": ["e", true]}})),
        "a:\n  b:\n    - name: x\n      c: []\n  d: [ e, true ]\n"
    );
}
