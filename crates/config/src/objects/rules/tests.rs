use tidegate_model::{PoolName, rule::MemoryAmount};
use tidegate_trafficscript::MAX_TEXT;

use super::*;
use crate::{Compiled, Diagnostic, Document, Input, References, compile_after};

/// One file, `data/rule`.
struct Files(&'static [u8]);

impl References for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if path == "data/rule" { Ok(self.0.to_vec()) } else { Err("there is no such file".to_owned()) }
    }
}

fn compiled_after(text: &str, file: &'static str, previous: Option<&Configuration>) -> Compiled {
    let documents = [Document { name: "a".to_owned(), text: text.as_bytes().to_vec() }];
    compile_after(&Input { watched: &documents, ..Input::default() }, &Files(file.as_bytes()), previous)
}

fn compiled(text: &str) -> Compiled {
    compiled_after(text, "", None)
}

/// Compiles without any diagnostic.
fn clean(text: &str, previous: Option<&Configuration>) -> Configuration {
    let compiled = compiled_after(text, "", previous);
    assert_eq!(compiled.diagnostics, [], "{text}");
    compiled.configuration.unwrap()
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// A virtual server with these lists of rules.
fn server(lists: &str) -> String {
    format!(
        "virtual_servers: [{{name: s, properties: {{basic: {{port: 80, enabled: true, pool: discard, {lists}}}}}}}]\n"
    )
}

#[test]
fn a_fault_is_told_with_its_place_in_the_document_and_in_the_rule() {
    let compiled = compiled("rules:\n- name: r\n  content: |\n\n    $a = 1;\n    $b = ;\n");
    let [fault] = compiled.diagnostics.as_slice() else { panic!("{:?}", compiled.diagnostics) };
    assert_eq!(fault.severity, Severity::Error);
    assert_eq!((fault.document.as_str(), fault.path.as_str()), ("a", "rules/r"));
    assert_eq!((fault.line, fault.column), (Some(6), Some(10)), "{fault}");
    assert!(fault.message.starts_with("line 3 column 6: "), "{fault}");
    assert_eq!(fault.excerpt.as_ref().unwrap().to_string(), "$b = ;\n     ^");
    assert_eq!(compiled.objects, [""; 0], "a rule with an error is not created");
    let rule = &compiled.configuration.unwrap().rules["r"];
    assert!(rule.program.is_none() && rule.notes.len() == 1);
}

#[test]
fn a_fault_in_another_form_of_text_is_told_where_the_value_stands() {
    for (content, line, column) in [
        ("content: \"$a = 1;\\n$b = ;\\n\"", 2, 12),
        ("content: >\n    $a = 1;\n    $b = ;\n", 3, 5),
        ("content: {valueFrom: {fileRef: {name: data/rule}}}", 2, 12),
    ] {
        let text = format!("rules:\n- {content}\n  name: r\n");
        let compiled = compiled_after(&text, "$a = 1;\n$b = ;\n", None);
        let [fault] = compiled.diagnostics.as_slice() else { panic!("{text}: {:?}", compiled.diagnostics) };
        assert_eq!((fault.line, fault.column), (Some(line), Some(column)), "{text}");
        let from_file = content.contains("valueFrom");
        assert_eq!(fault.message.starts_with("“data/rule” line 2 column 6: "), from_file, "{fault}");
    }
}

#[test]
fn every_fault_of_every_rule_is_told_and_hurts_no_other_rule() {
    let text = server("request_rules: [good, bad, /bad, worse, gone, goood]")
        + "rules:\n- name: good\n  content: $a = 1;\n- name: bad\n  content: |\n    $a = ;\n    if (\n"
        + "- name: worse\n  content: foo.bar();\n";
    let compiled = compiled(&text);
    let told = errors(&compiled.diagnostics);
    let expected = [
        "warning: a:1:105: virtual_servers.s.properties.basic.request_rules: the rule “bad” has an error",
        "warning: a:1:105: virtual_servers.s.properties.basic.request_rules: the rule “worse” has an error",
        "error: a:1:105: virtual_servers.s.properties.basic.request_rules: there is no rule “gone”",
        "error: a:1:105: virtual_servers.s.properties.basic.request_rules: there is no rule “goood”; the entry is left \
         out (did you mean “good”?)",
        "error: a:7:10: rules/bad: line 1 column 6: ",
        "error: a:9:5: rules/bad: line 3 column 1: ",
        "error: a:10:12: rules/worse: line 1 column 1: ",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    let configuration = compiled.configuration.unwrap();
    let server = &configuration.virtual_servers["s"];
    let entries: Vec<_> =
        server.request_rules.iter().map(|entry| (entry.rule.as_str(), entry.enabled)).collect();
    assert_eq!(entries, [("good", true), ("bad", false), ("bad", false), ("worse", false)]);
}

#[test]
fn a_rule_is_compiled_again_only_when_it_or_what_it_imports_changed() {
    let text = |shared: &str, user: &str, global: &str| {
        format!(
            "{global}\nrules:\n- name: alone\n  content: $a = 1;\n- name: shared\n  content: |\n    {shared}\n- name: \
             user\n  content: |\n    import shared;\n    {user}\n"
        )
    };
    let sub = "sub one() { return 1; }";
    let first = clean(&text(sub, "$a = shared.one();", ""), None);
    let kept = |configuration: &Configuration| {
        ["alone", "shared", "user"].map(|name| {
            let (before, after) = (&first.rules[name], &configuration.rules[name]);
            assert_eq!(Arc::ptr_eq(before, after), before == after, "{name}");
            Arc::ptr_eq(before, after)
        })
    };
    for (what, text, expected) in [
        ("nothing", text(sub, "$a = shared.one();", ""), [true; 3]),
        ("the rule", text(sub, "$b = shared.one();", ""), [true, true, false]),
        ("the import", text("sub one() { return 2; }", "$a = shared.one();", ""), [true, false, false]),
        (
            "a limit",
            text(sub, "$a = shared.one();", "global_settings: {properties: {trafficscript: {max_instr: 7}}}"),
            [false; 3],
        ),
    ] {
        assert_eq!(kept(&clean(&text, Some(&first))), expected, "{what} changed");
    }
    let gone =
        compiled_after("rules: [{name: user, content: \"import shared;\\n$a = shared.one();\"}]", "", None);
    assert!(gone.has_errors(), "the import is not there");
    // It comes back when what it imports does.
    let again = text(sub, "$a = shared.one();", "");
    assert!(clean(&again, gone.configuration.as_ref()).rules["user"].program.is_some());
}

#[test]
fn what_is_told_of_a_rule_is_told_again_at_every_import() {
    let text = "rules:\n- name: r\n  content: |\n    $b = ;\n";
    let first = compiled(text);
    let again = compiled_after(text, "", first.configuration.as_ref());
    assert_eq!(first.diagnostics, again.diagnostics);
    assert!(again.has_errors());
}

#[test]
fn rules_without_content_and_beyond_their_bound_do_not_run() {
    let long = format!("rules: [{{name: r, content: \"{}\"}}]", "#".repeat(MAX_TEXT + 1));
    for (text, piece) in
        [(long.as_str(), "is the most"), ("rules: [{name: r}]", "has no content and is left out")]
    {
        let compiled = compiled(text);
        assert_eq!(compiled.diagnostics.len(), 1, "{:?}", compiled.diagnostics);
        assert!(compiled.diagnostics[0].message.contains(piece), "{}", compiled.diagnostics[0]);
        assert!(compiled.objects.is_empty());
    }
    assert!(
        clean("rules: [{name: e, content: }]", None).rules["e"].program.is_some(),
        "an empty rule does nothing"
    );
}

#[test]
fn rate_classes() {
    let configuration = clean(
        "rate:\n- {name: both, properties: {basic: {max_rate_per_minute: 60, max_rate_per_second: 5}}}\n\
         - {name: none, properties: {}}\n",
        None,
    );
    let limits = |name: &str| {
        let class = &configuration.rates[name];
        (class.per_minute.map(NonZeroU32::get), class.per_second.map(NonZeroU32::get))
    };
    assert_eq!(limits("both"), (Some(60), Some(5)));
    assert_eq!(limits("none"), (None, None));
}

#[test]
fn settings() {
    let configuration = clean(
        "global_settings: {properties: {snmp: {user_counters: 20}, trafficscript: {max_instr: 5000, \
         execution_time_warning: 0, regex_cache_size: 4000000, regex_match_limit: 77, regex_match_warn_percentage: 20, \
         memory_warning: 0, data_size: 64MB, data_local_size: 1%, \
         variable_pool_use: true}}}",
        None,
    );
    let (global, rules) = (&configuration.global, &configuration.global.rules);
    assert_eq!(global.user_counters, 20);
    assert_eq!((rules.instructions.get(), rules.match_steps.get()), (5000, 77));
    assert_eq!(rules.execution_time_warning, None);
    assert_eq!((rules.match_warning, rules.memory_warning), (20, None));
    assert_eq!(rules.pattern_cache, 10_000);
    assert_eq!(
        (rules.data_size, rules.data_local_size),
        (MemoryAmount::Bytes(64 << 20), MemoryAmount::Percent(1))
    );
    let options = rules.options();
    assert!(
        options.variable_pool_use && options.limits.instructions == 5000 && options.limits.match_steps == 77
    );
    assert_eq!((options.limits.match_warning, options.limits.line), (20, usize::MAX));

    // Silence means the language's own limits.
    let silent =
        clean("global_settings: {properties: {trafficscript: {max_instr: 100000}}}", None).global.rules;
    assert_eq!(silent.options(), Options::default());

    let wrong = compiled(
        "global_settings: {properties: {trafficscript: {max_instr: 0, regex_match_limit: 0, data_size: much}}}",
    );
    assert_eq!(errors(&wrong.diagnostics).len(), 3, "{:?}", wrong.diagnostics);
    assert_eq!(wrong.configuration.unwrap().global.rules, tidegate_model::rule::RuleSettings::default());
}

#[test]
fn pools_that_rules_name_are_in_use() {
    let pools = "pools:\n- {name: main, properties: {basic: {failure_pool: spare}}}\n- {name: spare, properties: {}}\n\
                 - {name: named, properties: {basic: {failure_pool: last}}}\n- {name: last, properties: {}}\n\
                 - {name: idle, properties: {}}\nrules: [{name: r, content: 'pool.use(\"named\");'}]\n";
    let text = |lists: &str, global: &str| {
        format!("{}{pools}{global}", server(lists)).replace("pool: discard", "pool: main")
    };
    let variable = "global_settings: {properties: {trafficscript: {variable_pool_use: true}}}";
    for (text, expected) in [
        (text("", ""), ["main", "spare"].as_slice()),
        (text("request_rules: [/r]", ""), &["main", "spare"]),
        (text("request_rules: [r]", ""), &["last", "main", "named", "spare"]),
        (text("request_rules: [r]", variable), &["idle", "last", "main", "named", "spare"]),
        (text("", variable), &["main", "spare"]),
    ] {
        let configuration = clean(&text, None);
        let used: Vec<&str> = configuration.pools_in_use().into_iter().map(PoolName::as_str).collect();
        assert_eq!(used, expected, "{text}");
    }
}

#[test]
fn a_pool_that_is_not_there_is_a_warning() {
    let rule = "rules: [{name: r, content: 'pool.select(\"sparee\"); pool.use(\"discard\");'}]\n";
    let compiled = compiled(&format!("{rule}pools: [{{name: spare, properties: {{}}}}]"));
    let expected = "warning: a:1:28: rules/r: there is no pool “sparee”; where the rule chooses it, the virtual server's \
                    own pool serves (did you mean “spare”?)";
    assert_eq!(errors(&compiled.diagnostics), [expected]);
    assert!(compiled.configuration.unwrap().rules["r"].program.is_some());
}

#[test]
fn a_bandwidth_class_that_is_not_there_is_a_warning() {
    let rule = "rules: [{name: r, content: 'response.setBandwidthClass(\"slo\"); request.setBandwidthClass(\"\");'}]\n";
    let compiled = compiled(&format!("{rule}bandwidth: [{{name: slow, properties: {{}}}}]"));
    let expected = "warning: a:1:28: rules/r: there is no bandwidth class “slo”; where the rule chooses it, the limit stays \
                    as it was (did you mean “slow”?)";
    assert_eq!(errors(&compiled.diagnostics), [expected]);
    assert!(compiled.configuration.unwrap().rules["r"].program.is_some());
}

#[test]
fn a_rule_in_a_phase_it_is_not_for_does_not_run_there() {
    let text = server("request_rules: [r], response_rules: [r]")
        + "rules:\n- name: r\n  content: |\n    pool.select(\"discard\");\n    pool.use(\"discard\");\n";
    let compiled = compiled(&text);
    let [fault] = compiled.diagnostics.as_slice() else { panic!("{:#?}", compiled.diagnostics) };
    for piece in [
        "response_rules: the rule “r” does not run in response rules: line 1 column 1: ",
        "so is one more call",
    ] {
        assert!(fault.to_string().contains(piece), "{fault}");
    }
    let configuration = compiled.configuration.unwrap();
    let server = &configuration.virtual_servers["s"];
    assert!(server.request_rules[0].enabled && !server.response_rules[0].enabled);
}

#[test]
fn a_rule_for_another_protocol_is_a_warning() {
    let rules = "rules:\n- {name: web, content: 'log.info(\"a\"); $a = http.request.get(\"http://a/\"); $b = http.getPath();'}\n\
                 - {name: bytes, content: \"request.endsWith(\\\"x\\\");\"}\n";
    for (protocol, rule, expected) in [
        ("http", "web", None),
        ("client_first", "bytes", None),
        (
            "client_first",
            "web",
            Some(
                "the rule “web” is aborted where it gets to line 1: http.getPath is for virtual servers whose protocol is http",
            ),
        ),
        (
            "http",
            "bytes",
            Some(
                "the rule “bytes” is aborted where it gets to line 1: request.endsWith is for virtual servers whose \
                 protocol is not http",
            ),
        ),
    ] {
        let compiled = compiled(&format!(
            "{}{rules}",
            server(&format!("protocol: {protocol}, request_rules: [{rule}]"))
        ));
        match (compiled.diagnostics.as_slice(), expected) {
            ([], None) => {}
            ([fault], Some(expected)) => {
                assert_eq!(fault.severity, Severity::Warning);
                assert!(fault.to_string().contains(expected), "{fault}");
            }
            (other, _) => panic!("{protocol} {rule}: {other:?}"),
        }
    }
}

#[test]
fn classes_of_service() {
    let classes = "service_level_monitors:\n- {name: gold, properties: {basic: {response_time: 250, serious_threshold: 40}}}\n";
    let configuration = clean(&format!("{classes}{}", server("slm_class: gold")), None);
    let class = &configuration.service_levels["gold"];
    assert_eq!(class.response_time, Duration::from_millis(250));
    assert_eq!((class.warning_threshold, class.serious_threshold), (50, 40));
    let of_server = |configuration: &Configuration| configuration.virtual_servers["s"].service_level.clone();
    assert_eq!(of_server(&configuration).unwrap().as_str(), "gold");
    let missing = compiled(&format!("{classes}{}", server("slm_class: golf")));
    let [fault] = missing.diagnostics.as_slice() else { panic!("{:?}", missing.diagnostics) };
    assert!(
        fault.to_string().contains("there is no service level class “golf”; its requests count for none"),
        "{fault}"
    );
    assert_eq!(of_server(&missing.configuration.unwrap()), None);
}
