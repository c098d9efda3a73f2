use super::*;
use crate::{Compiled, Document, Input, References, Severity, compile};

struct Files(&'static [(&'static str, &'static [u8])]);

impl References for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| "there is no such file".to_owned())
    }
}

fn documents(texts: &[(&str, &str)]) -> Vec<Document> {
    texts
        .iter()
        .map(|(name, text)| Document { name: (*name).to_owned(), text: text.as_bytes().to_vec() })
        .collect()
}

fn with_files(base: &[(&str, &str)], watched: &[(&str, &str)], files: &Files) -> Compiled {
    let (base, watched) = (documents(base), documents(watched));
    compile(&Input { base: &base, watched: &watched, ..Input::default() }, files)
}

fn one(text: &str) -> Compiled {
    with_files(&[], &[("config/a", text)], &Files(&[]))
}

fn port(compiled: &Compiled, name: &str) -> Option<u16> {
    compiled.configuration.as_ref().unwrap().virtual_servers.get(name).map(|server| server.port)
}

const SITE: &str =
    "virtual_servers: [{name: site, properties: {basic: {port: 80, pool: discard, enabled: true}}}]";

#[test]
fn later_documents_win_key_by_key_and_lists_are_replaced_whole() {
    let monitors = |list: &str| format!("pools: [{{name: p, properties: {{basic: {{monitors: {list}}}}}}}]");
    let (first, second) = (monitors("[Ping, Connect]"), monitors("[Simple HTTP]"));
    let compiled = with_files(
        &[],
        &[
            ("config/50-later", "virtual_servers: [{name: site, properties: {basic: {port: 81}}}]"),
            ("config/40-first", SITE),
            ("config/41", &first),
            ("config/60", &second),
        ],
        &Files(&[]),
    );
    assert_eq!(compiled.diagnostics, []);
    let configuration = compiled.configuration.as_ref().unwrap();
    let site = &configuration.virtual_servers["site"];
    assert_eq!((site.port, site.enabled), (81, true), "one key is replaced, the others stay");
    assert_eq!(configuration.pools["p"].monitors, ["Simple HTTP".into()]);
    assert_eq!(compiled.objects, ["pools/p", "virtual_servers/site"]);
}

#[test]
fn the_base_lies_under_the_watched_documents_whatever_its_name() {
    let over = "virtual_servers: [{name: site, properties: {basic: {port: 90}}}]";
    let compiled = with_files(&[("zz", SITE)], &[("aa", over)], &Files(&[]));
    assert_eq!(port(&compiled, "site"), Some(90));
    let alone = with_files(&[("zz", SITE)], &[], &Files(&[]));
    assert_eq!(port(&alone, "site"), Some(80), "each import starts from the base");
    let nothing = with_files(&[], &[], &Files(&[]));
    assert!(nothing.configuration.unwrap().virtual_servers.is_empty());
}

#[test]
fn an_object_may_stand_before_what_it_refers_to() {
    let compiled = one("virtual_servers:\n- {name: s, properties: {basic: {port: 80, pool: p}}}\n\
         pools:\n- {name: p, properties: {}}\n");
    assert_eq!(compiled.diagnostics, []);
    assert_eq!(port(&compiled, "s"), Some(80));
}

#[test]
fn an_object_that_stands_twice_in_one_document_is_reported_and_laid_over_itself() {
    let compiled = one("virtual_servers:\n- {name: s, properties: {basic: {port: 80, pool: discard}}}\n\
         - {name: s, properties: {basic: {port: 81}}}\n");
    let [fault] = compiled.diagnostics.as_slice() else { panic!("{:?}", compiled.diagnostics) };
    assert_eq!(
        (fault.severity, fault.line, fault.path.as_str()),
        (Severity::Error, Some(3), "virtual_servers.s")
    );
    assert!(fault.message.contains("twice") && fault.message.contains("line 2"), "{fault}");
    assert_eq!(port(&compiled, "s"), Some(81));
}

#[test]
fn a_key_that_stands_twice_hides_nothing() {
    let compiled = one(
        "pools:\n- name: p\n  properties:\n    basic: {monitor: []}\n    basic: {monitrs: []}\npools: []\n",
    );
    assert!(compiled.configuration.is_none() && compiled.remains.is_some());
    let lines: Vec<Option<usize>> = compiled.diagnostics.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [Some(4), Some(5), Some(5), Some(6)], "{:?}", compiled.diagnostics);
}

#[test]
fn what_follows_from_a_reported_fault_is_a_warning() {
    for (text, follows) in [
        (SITE.replace("80", "lots"), "“basic.port” has no usable value"),
        ("extra_files: [{name: f, content: {valueFrom: {fileRef: {name: no}}}}]".to_owned(), "no content"),
        (
            "monitors: [{name: m, properties: {basic: {type: program}, script: {program: no.sh}}}]\n\
             pools: [{name: p, properties: {basic: {monitors: [m]}}}]"
                .to_owned(),
            "the monitor “m” has a fault and is left out",
        ),
    ] {
        let compiled = one(&text);
        let errors = compiled.diagnostics.iter().filter(|fault| fault.severity == Severity::Error);
        assert_eq!(errors.count(), 1, "{text}: {:?}", compiled.diagnostics);
        let warning = compiled.diagnostics.iter().find(|fault| fault.severity == Severity::Warning).unwrap();
        assert!(warning.message.contains(follows), "{warning}");
    }
    let documents = documents(&[("a", SITE), ("b", "pools: [")]);
    let server = one(&SITE.replace("discard", "elsewhere"));
    assert_eq!(server.diagnostics[0].severity, Severity::Error);
    let mut unread = documents;
    unread[0].text = SITE.replace("discard", "elsewhere").into_bytes();
    let compiled = compile(&Input { watched: &unread, ..Input::default() }, &Files(&[]));
    let severities: Vec<Severity> = compiled.diagnostics.iter().map(|fault| fault.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Error], "{:?}", compiled.diagnostics);
}

#[test]
fn faults_found_later_are_put_in_their_place() {
    let mut compiled =
        one("pools:\n- name: p\n  properties:\n    basic: {monitors: [nope]}\nextra_files:\n- name: f\n");
    compiled.add(Severity::Error, "pools/p", Some("basic.monitors"), "late".to_owned(), None);
    compiled.add(Severity::Error, "pools/p", Some("ssl.enable"), "early".to_owned(), None);
    compiled.add(Severity::Error, "pools/other", Some("ssl.enable"), "nowhere".to_owned(), None);
    let lines: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], "error: config/a:2:3: pools.p.properties.ssl.enable: early");
    assert_eq!(lines[2], "error: config/a:4:23: pools.p.properties.basic.monitors: late");
    assert_eq!(lines[4], "error: pools.other.properties.ssl.enable: nowhere");
}

#[test]
fn nothing_is_a_document_too() {
    for text in [
        "",
        "# only remarks\n",
        "~",
        "virtual_servers:\n",
        "virtual_servers: []\nversion: 7.0\n",
        "pools: [{name: p}, {name: q, properties: ~}, {name: r, properties: {basic: ~}}]",
    ] {
        let compiled = one(text);
        assert_eq!(compiled.diagnostics, [], "{text}");
        assert!(compiled.configuration.is_some(), "{text}");
    }
}

#[test]
fn faults_of_form_change_nothing_and_say_what_is_known() {
    for (text, path, message, hint) in [
        ("a: [", "", "", ""),
        ("just text", "", "a document is a mapping, not a single value", "virtual_servers:"),
        ("[]", "", "a document is a mapping, not a list", ""),
        ("virtual_server: []", "virtual_server", "no collection “virtual_server”", "“virtual_servers”"),
        ("kind: ConfigMap", "kind", "no collection", "Kubernetes manifest"),
        ("ssl: {server_key: []}", "ssl.server_key", "no collection “server_key” in “ssl”", "“server_keys”"),
        ("ssl.server_keys: []", "ssl.server_keys", "no collection", "“ssl/server_keys”"),
        ("ssl/server_keys: []", "ssl/server_keys", "no collection", "is written as “ssl:” with"),
        ("ssl/server-key: []", "ssl/server-key", "no collection", "“ssl/server_keys”"),
        ("server_keys: []", "server_keys", "no collection", "“ssl:” with “server_keys:” below it"),
        (
            "pools: [{name: p, properties: {basic.monitors: []}}]",
            "pools.p.properties.basic.monitors",
            "no section “basic.monitors”",
            "write basic: and below it monitors:",
        ),
        ("ssl: {zzz: []}", "ssl.zzz", "no collection", "server_keys"),
        ("ssl: []", "ssl", "a mapping of collections is expected here, not a list", ""),
        ("pools: {web: {}}", "pools", "a list of objects is expected here, not a mapping", "- name:"),
        ("pools: [web]", "pools[0]", "a mapping of name is expected here", ""),
        ("pools: [{properties: {}}]", "pools[0]", "the object has no name", "name:"),
        ("pools: [{name: [x]}]", "pools[0]", "the object has no name", ""),
        ("pools: [{name: p, propertys: {}}]", "pools.p.propertys", "no key “propertys”", "“properties”"),
        ("pools: [{name: p, content: x}]", "pools.p.content", "no key “content”", "name and properties"),
        (
            "kerberos: {krb5confs: [{name: r, properties: {}}]}",
            "kerberos.krb5confs.r.properties",
            "no key “properties”",
            "name and content",
        ),
        (
            "kerberos: {krb5confs: [{name: r, content: [x]}]}",
            "kerberos.krb5confs.r.content",
            "text is expected here, not a list",
            "content: |",
        ),
        ("pools: [{name: p, properties: []}]", "pools.p.properties", "a mapping of sections", ""),
        ("pools: [{name: p, properties: {basic: x}}]", "pools.p.properties.basic", "a mapping of keys", ""),
        (
            "pools: [{name: p, properties: {basics: {}}}]",
            "pools.p.properties.basics",
            "no section “basics” in pools",
            "“basic”",
        ),
        (
            "pools: [{name: p, properties: {monitors: []}}]",
            "pools.p.properties.monitors",
            "no section",
            "section “basic”",
        ),
        (
            "pools: [{name: p, properties: {basic: {monitor: []}}}]",
            "pools.p.properties.basic.monitor",
            "no key “monitor”",
            "“monitors”",
        ),
        (
            "pools: [{name: p, properties: {basic: {algorithm: random}}}]",
            "pools.p.properties.basic.algorithm",
            "no key",
            "section “load_balancing”",
        ),
        (
            "pools: [{name: p, properties: {basic: {nodes_table: [{nod: x}]}}}]",
            "pools.p.properties.basic.nodes_table[0].nod",
            "no column “nod”",
            "“node”",
        ),
        ("global_settings: {java: {}}", "global_settings.java", "no key “java”", "properties"),
        ("version: [6]", "version", "the version is a number", ""),
        (
            "pools: {valueFrom: {secretKeyRef: {name: x}}}",
            "pools.valueFrom.secretKeyRef",
            "no kind of reference",
            "fileRef",
        ),
        ("pools: {valueFrom: x}", "pools.valueFrom", "takes a mapping with one key", "fileRef"),
        (
            "pools: {valueFrom: {fileRef: {path: x}}}",
            "pools.valueFrom.fileRef",
            "the single key “name”",
            "fileRef",
        ),
    ] {
        let compiled = one(text);
        assert!(compiled.configuration.is_none(), "{text}: something is changed");
        assert!(compiled.objects.is_empty(), "{text}");
        let first =
            compiled.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error).unwrap();
        assert_eq!(first.document, "config/a", "{text}");
        assert!(first.line.is_some() && first.column.is_some(), "{text}");
        assert_eq!(first.path, path, "{text}: {first}");
        assert!(first.message.contains(message), "{text}: {first}");
        assert!(first.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {first}");
    }
}

#[test]
fn values_that_do_not_fit_are_told_and_the_rest_is_applied() {
    let compiled = one(
        "virtual_servers:\n- name: site\n  properties:\n    basic: {port: 80, pool: discard, connect_timeout: soon}\n\
         \x20   connection: {timeout: 100000, keepalive: perhaps}\n\
         \x20   http: {location_rewrite: sometimes}\n- name: other\n  properties: {basic: {port: 0, pool: discard}}\n",
    );
    let lines: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "error: config/a:4:55: virtual_servers.site.properties.basic.connect_timeout: “soon” is not a whole number from 0 to 99999",
            "error: config/a:5:27: virtual_servers.site.properties.connection.timeout: “100000” is not a whole number from 0 to 99999",
            "error: config/a:5:46: virtual_servers.site.properties.connection.keepalive: “perhaps” is not true or false",
            "error: config/a:6:30: virtual_servers.site.properties.http.location_rewrite: “sometimes” is not one of always, if_host_matches, never",
            "error: config/a:8:30: virtual_servers.other.properties.basic.port: “0” is not a whole number from 1 to 65535",
            "warning: config/a:8:30: virtual_servers.other.properties.basic.port: “basic.port” has no usable value, and the object needs one; it is left out",
        ]
    );
    let configuration = compiled.configuration.unwrap();
    assert_eq!(configuration.virtual_servers.len(), 1);
    assert_eq!(configuration.virtual_servers["site"].timeout, Some(std::time::Duration::from_mins(5)));
}

#[test]
fn all_faults_of_all_documents_are_told_at_once() {
    let compiled = with_files(
        &[],
        &[("b", "pools: [{name: p, properties: {basic: {x: 1}, y: {}}}]\nz: 1\n"), ("a", "q: [")],
        &Files(&[]),
    );
    let places: Vec<_> =
        compiled.diagnostics.iter().map(|d| (d.document.as_str(), d.path.as_str())).collect();
    assert_eq!(
        places,
        [("a", ""), ("b", "pools.p.properties.basic.x"), ("b", "pools.p.properties.y"), ("b", "z")]
    );
}

#[test]
fn versions() {
    for text in ["version: 6.2", "version: '8.3'", "version: 7.0", "version: 7", "version: 7.00", "version:"]
    {
        assert_eq!(one(text).diagnostics, [], "{text}");
    }
    let compiled = one("version: 9.9");
    assert_eq!(compiled.diagnostics.len(), 1);
    assert_eq!(compiled.diagnostics[0].severity, Severity::Warning);
    assert!(compiled.configuration.is_some());
}

#[test]
fn names_that_cannot_name_a_file_are_refused() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    for name in ["''", "'..'", "'a/b'", "\"a\\u0000\"", "\"a\\n\"", &long] {
        let compiled =
            one(&format!("extra_files: [{{name: {name}, content: x}}, {{name: good, content: y}}]"));
        let configuration = compiled.configuration.unwrap();
        assert_eq!(configuration.extra_files.len(), 1, "{name}");
        assert_eq!(compiled.diagnostics.len(), 1, "{name}: {:?}", compiled.diagnostics);
        assert!(!compiled.diagnostics[0].to_string().contains('\n'));
    }
}

#[test]
fn references_to_files() {
    let files = Files(&[
        ("data/port", b"8080\n"),
        ("data/args", b"--hostname=x\n"),
        ("data/raw", b"\x00\xff\n"),
        ("data/list", b"- Ping\n- Connect\n"),
        ("data/pool.json", b"{\"basic\": {\"note\": \"from a file\"}}"),
        ("data/broken", b"[1"),
    ]);
    let text = "
virtual_servers:
- name: s
  properties: {basic: {pool: p, port: {valueFrom: {fileRef: {name: data/port}}}}}
pools:
- name: p
  properties:
    basic: {monitors: {valueFrom: {fileRef: {name: data/list}}}}
    service_discovery:
      enabled: true
      plugin: BuiltIn-DNS_Stateless
      plugin_args: {valueFrom: {fileRef: {name: data/args}}}
- name: q
  properties: {valueFrom: {fileRef: {name: data/pool.json}}}
extra_files:
- {name: raw, content: {valueFrom: {fileRef: {name: data/raw}}}}
- {name: inline, content: !!binary AP8=}
";
    let compiled = with_files(&[], &[("a", text)], &files);
    assert_eq!(compiled.diagnostics, []);
    let configuration = compiled.configuration.unwrap();
    assert_eq!(configuration.virtual_servers["s"].port, 8080);
    assert_eq!(configuration.pools["p"].monitors.len(), 2);
    assert_eq!(&*configuration.pools["p"].discovery.as_ref().unwrap().arguments, "--hostname=x");
    assert_eq!(&*configuration.extra_files["raw"], b"\x00\xff\n", "raw content is taken byte for byte");
    assert_eq!(&*configuration.extra_files["inline"], b"\x00\xff");

    let broken = with_files(
        &[],
        &[("a", "pools: [{name: p, properties: {valueFrom: {fileRef: {name: data/broken}}}}]")],
        &files,
    );
    assert!(broken.configuration.is_none(), "a syntax fault in the file is one of the documents");
    assert!(broken.diagnostics[0].message.contains("data/broken"), "{}", broken.diagnostics[0]);
}

#[test]
fn the_text_of_files_is_not_told() {
    let files = Files(&[("tls/key", b"NEVER-SHOWN")]);
    for (section, key) in
        [("basic", "port"), ("basic", "enabled"), ("basic", "request_rules"), ("cookie", "secure")]
    {
        let text = format!(
            "virtual_servers: [{{name: s, properties: {{{section}: {{{key}: \
             {{valueFrom: {{fileRef: {{name: tls/key}}}}}}}}}}}}]"
        );
        let lines = format!("{:?}", with_files(&[], &[("a", &text)], &files).diagnostics);
        assert!(lines.contains("error") || lines.contains("Error"), "{key}: {lines}");
        assert!(!lines.contains("NEVER-SHOWN"), "{key}: {lines}");
    }
}

#[test]
fn objects_that_are_left_out_are_not_created() {
    let compiled = one("virtual_servers: [{name: s, properties: {basic: {port: 80}}}]\npools: [{name: p}]");
    assert_eq!(compiled.objects, ["pools/p"]);
}

#[test]
fn files_that_cannot_be_had_leave_the_value_out() {
    for (path, message) in [
        ("data/none", "there is no such file"),
        ("/etc/passwd", "absolute"),
        ("../secret", "upwards"),
        ("data/../../secret", "upwards"),
        (&"x".repeat(5000), "too long"),
        ("''", "empty"),
        ("\"a\\0b\"", "NUL"),
    ] {
        let text = format!(
            "virtual_servers: [{{name: s, properties: {{basic: {{port: 80, pool: discard, note: \
             {{valueFrom: {{fileRef: {{name: {path}}}}}}}}}}}}}]"
        );
        let compiled = one(&text);
        assert_eq!(port(&compiled, "s"), Some(80), "{path}");
        assert_eq!(compiled.diagnostics.len(), 1, "{path}: {:?}", compiled.diagnostics);
        let diagnostic = &compiled.diagnostics[0];
        assert_eq!(diagnostic.path, "virtual_servers.s.properties.basic.note.valueFrom.fileRef");
        assert!(diagnostic.message.contains(message), "{path}: {diagnostic}");
    }
}

#[test]
fn reports_are_bounded() {
    let keys: Vec<String> = (0..5000).map(|n| format!("k{n}: 1")).collect();
    let compiled = one(&keys.join("\n"));
    assert_eq!(compiled.diagnostics.len(), crate::MAX_DIAGNOSTICS + 1);
    assert!(compiled.diagnostics.last().unwrap().message.contains("4000 more faults"));
    assert!(compiled.has_errors());

    let many: Vec<String> = (0..=MAX_OBJECTS).map(|n| format!("- {{name: r{n}, content: x}}")).collect();
    let compiled = one(&format!("extra_files:\n{}", many.join("\n")));
    assert!(compiled.configuration.is_none());
}
