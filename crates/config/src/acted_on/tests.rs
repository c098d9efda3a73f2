use super::*;
use crate::{Diagnostic, Document, Input, References, Severity, compile, schema::builtins};

struct NoFiles;

impl References for NoFiles {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("there are no files here".to_owned())
    }
}

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    let documents = [Document { name: "a".to_owned(), text: text.as_bytes().to_vec() }];
    compile(&Input { watched: &documents, ..Input::default() }, &NoFiles).diagnostics
}

#[test]
fn the_table_names_keys_that_exist_once() {
    let mut seen = std::collections::BTreeSet::new();
    let fully =
        FULLY.iter().flat_map(|(path, section, keys)| keys.iter().map(move |key| (*path, *section, *key)));
    let partly = PARTLY.iter().map(|(path, section, key, _)| (*path, *section, *key));
    for (path, section, key) in fully.chain(partly) {
        assert!(SCHEMA.types[path].key(section, key).is_some(), "{path} {section}.{key} is no key");
        assert!(seen.insert((path, section, key)), "{path} {section}.{key} stands twice");
    }
    for (path, section, key, values) in PARTLY {
        if let crate::schema::KeyKind::Enum(allowed) = &SCHEMA.types[*path].key(section, key).unwrap().kind {
            assert!(
                values.iter().all(|value| allowed.iter().any(|known| known == value)),
                "{path} {section}.{key}"
            );
        }
    }
    for path in RAW_TYPES {
        assert!(SCHEMA.types[path].raw, "{path}");
    }
}

#[test]
fn a_key_that_is_not_acted_on_is_one_warning_unless_it_has_its_default() {
    let server = |section: &str| {
        format!(
            "virtual_servers: [{{name: s, properties: {{basic: {{port: 80, pool: discard}}, {section}}}}}]"
        )
    };
    for (section, warnings) in [
        ("gzip: {enabled: true, compress_level: 9}", 2),
        ("gzip: {enabled: false, compress_level: 1}", 0),
        ("gzip: {include_mime: [text/html, text/plain]}", 0),
        ("gzip: {include_mime: []}", 1),
        ("tcp: {mss: 0}", 1),
        ("http2: {enabled: false}", 0),
        ("http2: {enabled: true}", 0),
        ("ssl: {support_tls1: disabled}", 0),
        ("ssl: {support_tls1: use_default}", 0),
        ("ssl: {support_tls1: enabled}", 1),
        ("web_cache: {enabled: true}", 1),
        ("connection: {timeout: 1}", 0),
    ] {
        let diagnostics = diagnostics(&server(section));
        assert_eq!(diagnostics.len(), warnings, "{section}: {diagnostics:?}");
        assert!(diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning), "{section}");
    }
}

#[test]
fn a_key_set_by_several_documents_is_one_warning_where_the_last_one_stands() {
    let document = |name: &str, value: u32| Document {
        name: name.to_owned(),
        text: format!("pools: [{{name: p, properties: {{udp: {{response_timeout: {value}}}}}}}]")
            .into_bytes(),
    };
    let documents = [document("a", 1), document("b", 2)];
    let told = compile(&Input { watched: &documents, ..Input::default() }, &NoFiles).diagnostics;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].document.as_str(), told[0].path.as_str()),
        ("b", "pools.p.properties.udp.response_timeout")
    );

    let back = [document("a", 1), document("b", 0)];
    assert_eq!(
        compile(&Input { watched: &back, ..Input::default() }, &NoFiles).diagnostics,
        [],
        "the default again"
    );
}

#[test]
fn objects_that_nothing_is_done_with_are_told_once() {
    for (text, path, message) in [
        (
            "kerberos: {krb5confs: [{name: k, content: x}]}",
            "kerberos.krb5confs.k",
            "does not act on kerberos.krb5confs yet",
        ),
        ("bgpneighbors: [{name: b, properties: {}}]", "bgpneighbors.b", "does not act on bgpneighbors yet"),
        (
            "bgpneighbors: [{name: b, properties: {basic: {holdtime: 7}}}]",
            "bgpneighbors.b.properties.basic.holdtime",
            "this key",
        ),
        ("ssl: {admin_cas: [{name: c, content: x}]}", "ssl.admin_cas.c", "does not act on ssl.admin_cas yet"),
        (
            "persistence: [{name: p, properties: {basic: {type: j2ee}}}]",
            "persistence.p.properties.basic.type",
            "“j2ee” yet, only on cookie",
        ),
        (
            "monitors: [{name: m, properties: {basic: {type: sip}}}]",
            "monitors.m.properties.basic.type",
            "“sip” yet",
        ),
    ] {
        let diagnostics = diagnostics(text);
        assert_eq!(diagnostics.len(), 1, "{text}: {diagnostics:?}");
        assert_eq!(diagnostics[0].path, path, "{text}");
        assert!(diagnostics[0].message.contains(message), "{text}: {}", diagnostics[0]);
        assert_eq!(diagnostics[0].severity, Severity::Warning);
    }
}

#[test]
fn factory_objects_are_told_of_only_when_a_document_names_them() {
    assert!(builtins("rules").count() > 0);
    assert_eq!(diagnostics(""), []);
    assert_eq!(diagnostics("monitors: [{name: 'SIP UDP', properties: {basic: {delay: 9}}}]"), []);
}
