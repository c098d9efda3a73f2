//! What the compiler says.

use crate::{
    Note, Options, Severity, compile,
    host::Phase,
    testing::{compiled, compiled_with},
};

/// Remarks as `severity line:column message | hint`.
fn notes(text: &str) -> Vec<String> {
    compile("test", text.as_bytes(), &Options::default(), &|_| None).notes.iter().map(brief).collect()
}

fn brief(note: &Note) -> String {
    let hint = note.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default();
    format!("{} {}:{} {}{hint}", note.severity, note.line, note.column, note.message)
}

#[test]
fn exact_lines() {
    let mut wrong = Vec::new();
    for (text, wanted) in [
        ("log.inof(1);", "Error 1:1 unknown function log.inof | did you mean log.info?"),
        ("completely.different(1);", "Error 1:1 unknown function completely.different"),
        ("\n  $x = string.len();", "Error 2:8 string.len takes 1 argument, not 0 | string.len(s)"),
        (
            "string.regexmatch(1);",
            "Error 1:1 string.regexmatch takes 2 to 3 arguments, not 1 | string.regexmatch(s, regex[, flags])",
        ),
        ("array.push([]);", "Error 1:1 array.push takes at least 2 arguments, not 1 | array.push(a, v…)"),
        ("sub f( $a ) { } f();", "Error 1:17 f takes 1 argument, not 0"),
        ("test.planned();", "Error 1:1 test.planned is not supported yet | it waits for a moon"),
        ("test.never();", "Error 1:1 test.never is not supported | there is no Java"),
        ("test.old(1);", "Warning 1:1 test.old is deprecated | please use log.info instead"),
        ("test.switch(1);", "Note 1:1 test.switch has no effect yet: it waits for caching"),
        (
            "string.regexmatch(\"a\", \"(a\");",
            "Error 1:24 not a regular expression: missing closing parenthesis (behind the first 2 bytes)",
        ),
        (
            "test.pool(\"a\" . \"b\");",
            "Error 1:15 the pool of test.pool is not a string literal | write its name here, or switch the setting \
          trafficscript!variable_pool_use on",
        ),
        ("$x = 1;\n$y = $X;", "Warning 2:6 nothing sets $X | did you mean $x?"),
        ("continue;", "Error 1:1 `continue` outside a loop"),
        ("If( 1 ) { log.info(1); }", "Error 1:1 unknown word `If` | keywords are lower case: write `if`"),
        ("IF( 1 ) log.info(1);", "Error 1:1 unknown word `IF` | keywords are lower case: write `if`"),
        ("$x = TRUE;", "Error 1:6 unexpected word `TRUE` | keywords are lower case: write `true`"),
        (
            "switch( 1 ) { log.info(1); case 1: log.info(2); }",
            "Error 1:15 `case` or `default` expected, found `log.info`",
        ),
        (
            "switch( 1 ) { case 1: break; }",
            "Note 1:23 `break` leaves the `switch` only | cases do not fall through, so it is not needed at their end",
        ),
        ("if( $x = 1 ) { }", "Warning 1:8 a constant is assigned in a condition | to compare, use =="),
        ("$x = \"abc", "Error 1:6 the string does not end | the quotation mark that ends it is missing"),
        ("$x = 1\n$y = 2;", "Error 1:7 `;` is missing before $y"),
        ("$x = ;", "Error 1:6 a value expected, found `;`"),
        ("$x = 1 +;", "Error 1:9 a value expected, found `;`"),
        ("$x = (1;", "Error 1:8 `)` expected behind an expression, found `;`"),
        ("if $x { }", "Error 1:4 `(` expected behind `if`, found $x | write if( … ) { … }"),
        (
            "if( 1 ) {\n",
            "Error 2:1 `}` expected, found the end of the rule | the block that begins in line 1 has no `}`",
        ),
        ("}", "Error 1:1 a value expected, found `}`"),
        ("else { }", "Error 1:1 `else` without `if`"),
        ("if( 1 ) { } elsif( 2 ) { }", "Error 1:13 unknown word `elsif` | use else if"),
        ("if( 1 and 2 ) { }", "Error 1:7 `and` is no operator | use &&"),
        ("if( \"a\" =~ \"b\" ) { }", "Error 1:9 `=` needs a variable | to compare, use =="),
        (
            "if( $1 =~ \"b\" ) { }",
            "Error 1:8 `=~` is no operator | patterns are matched by string.regexmatch()",
        ),
        ("f() = 3; sub f() { }", "Error 1:5 `=` needs a variable | to compare, use =="),
        ("5++;", "Error 1:2 `++` needs a variable"),
        (
            "$x = foo;",
            "Error 1:6 unexpected word `foo` | a variable is written $foo, a string \"foo\", a call foo()",
        ),
        (
            "$x = \u{201c}a\u{201d};",
            "Error 1:6 typographic quotation mark | strings stand between plain \" or '",
        ),
        ("$ = 1;", "Error 1:1 a name is missing behind $ | a variable is written $name"),
        ("$x = 5x;", "Error 1:6 not a number | names do not begin with a digit"),
        ("$x = 99999999999999999999;", "Error 1:6 the number has more than 64 bits"),
        ("$x = 0xfg;", "Error 1:6 not a number of base 16"),
        ("$x = [1, 2 => 3];", "Error 1:12 either all elements have a key or none"),
        ("sub f() { } sub F() { }", "Error 1:17 a second sub F"),
        ("sub f( $a, $a ) { }", "Error 1:12 a second parameter $a"),
        ("if( 1 ) { sub f() { } }", "Error 1:11 `sub` stands at the top level of a rule, not within a block"),
        ("sub log.info( $x ) { }", "Warning 1:5 this sub hides the function log.info"),
        ("switch( 1 ) { foo(); }", "Error 1:15 `case` or `default` expected, found `foo`"),
        (
            "switch( 1, 2 ) { }",
            "Error 1:12 the name of a function expected, found `2` | such as switch( $path, string.startsWith )",
        ),
        (
            "switch( 1, strin.startsWith ) { case 1: }",
            "Error 1:12 unknown function strin.startsWith | did you mean string.startsWith?",
        ),
        ("import other;", "Error 1:8 there is no rule `other` to import"),
        ("import test;", "Error 1:8 rules import each other: test → test"),
        ("$x = \\ 1;", "Error 1:6 unexpected \\\\"),
    ] {
        let found = notes(text);
        if found.first().map(String::as_str) != Some(wanted) {
            wrong.push(format!("{text}\n   {wanted}\n   {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_faults_at_once() {
    let text = "$x = ;\n\
        if( $y ) {\n\
        \tfoo(1);\n\
        \t$z = 1 +;\n\
        }\n\
        bar( \"unbalanced\";\n\
        log.info(\"fine\");\n\
        foreach( $v of $x ) { baz(); }\n\
        sub broken( x ) { }\n\
        log.warm(1, 2);\n\
        continue;";
    let lines: Vec<u32> = {
        let compiled = compile("test", text.as_bytes(), &Options::default(), &|_| None);
        assert!(compiled.program.is_none());
        compiled.notes.iter().filter(|note| note.severity == Severity::Error).map(|note| note.line).collect()
    };
    assert_eq!(lines, [1, 3, 4, 6, 8, 9, 10, 11]);
}

#[test]
fn notes_are_bounded() {
    let many = "foo();\n".repeat(10_000);
    assert_eq!(notes(&many).len(), crate::MAX_NOTES);
    let syntax = "$x = ;\n".repeat(10_000);
    assert_eq!(notes(&syntax).len(), crate::MAX_NOTES);
    let long = format!("foo({});", "1,".repeat(5_000));
    let compiled = compile("test", long.as_bytes(), &Options::default(), &|_| None);
    assert!(compiled.notes.iter().all(|note| note.source_line.chars().count() <= 200));
}

#[test]
fn a_note_shows_the_place() {
    let compiled =
        compile("test", "$a = 1;\n\tlog.inof(\"ä\");\n".as_bytes(), &Options::default(), &|_| None);
    let shown: Vec<_> = compiled.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "Error: line 2, column 2: unknown function log.inof\n    \tlog.inof(\"ä\");\n    \t^\n    did you mean log.info?"
        ]
    );
    let behind = compile("test", "$ä = 1;".as_bytes(), &Options::default(), &|_| None);
    assert!(behind.program.is_none());
    let shown = behind.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(!shown.contains('\0'));
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("!", ""), ("- ", ""), ("$a = ", ""), ("1 ? 2 : ", ""), ("f(", ")")]
    {
        for (levels, good) in [(30, true), (100_000, false)] {
            let text = format!("$x = {}1{}; sub f( $a ) {{ }}", open.repeat(levels), close.repeat(levels));
            let compiled = compile("test", text.as_bytes(), &Options::default(), &|_| None);
            assert_eq!(compiled.program.is_some(), good, "{open} {levels} {:?}", compiled.notes);
        }
    }
    for (open, close) in
        [("{", "}"), ("if( 1 ) {", "}"), ("while( 1 ) ", ";"), ("switch( 1 ) { case 1: ", "}")]
    {
        for (levels, good) in [(20, true), (20_000, false)] {
            let text = format!("{}{}", open.repeat(levels), close.repeat(levels));
            let compiled = compile("test", text.as_bytes(), &Options::default(), &|_| None);
            assert_eq!(compiled.program.is_some(), good, "{open} {levels} {:?}", compiled.notes);
        }
    }
    // Chains are no nesting.
    for chain in [" + 1", " . \"a\"", " && $a", " || $a", " == 1", " < $a . 1"] {
        compiled(format!("$a = 1; $x = 1{}; if( 1{} ) {{ }}", chain.repeat(10_000), chain.repeat(10_000)));
    }
    compiled(format!("if( 0 ) {{ }}{}", " else if( 0 ) { }".repeat(10_000)));
    let subscripts = format!("$x{} = 1;", "[0]".repeat(10_000));
    assert!(compile("test", subscripts.as_bytes(), &Options::default(), &|_| None).program.is_none());
}

#[test]
fn size_is_bounded() {
    let text = " ".repeat(crate::MAX_TEXT + 1);
    let compiled = compile("test", text.as_bytes(), &Options::default(), &|_| None);
    assert_eq!(
        compiled.notes.iter().map(brief).collect::<Vec<_>>(),
        ["Error 1:1 the rule has 1048577 bytes, 1048576 is the most"]
    );
    let variables = |count: usize| (0..count).map(|n| format!("$v{n} = 1;")).collect::<Vec<_>>().concat();
    compiled_with(&variables(2_000), &[]).program.expect("as many as there may be");
    assert!(compiled_with(&variables(2_001), &[]).program.is_none());
}

#[test]
fn faults_of_imports() {
    let told = |text: &str, others: &[(&str, &str)]| {
        compiled_with(text, others).notes.iter().map(brief).collect::<Vec<_>>()
    };
    assert_eq!(
        told("\nimport lib;", &[("lib", "\n\nsub f( ) { $x = ; }")]),
        ["Error 2:8 in the imported rule `lib`, line 3: a value expected, found `;`"]
    );
    // Subs that nobody calls are the business of the rule they stand in.
    assert_eq!(told("import lib;", &[("lib", "sub f( ) { foo(); } bar();")]), Vec::<String>::new());
    assert_eq!(
        told("import lib; lib.f();", &[("lib", "sub f( ) { foo(); }")]),
        ["Error 1:8 in the imported rule `lib`, line 1: unknown function foo"]
    );
    assert_eq!(
        told("import lib; lib.g();", &[("lib", "sub f( ) { }")]),
        ["Error 1:13 the imported rule `lib` has no sub g | did you mean lib.f?"]
    );
    assert_eq!(
        told("import a;", &[("a", "import b;"), ("b", "import a;")]),
        ["Error 1:8 in the imported rule `b`, line 1: rules import each other: a → b → a"]
    );
    assert_eq!(
        told("import a;", &[("a", "import b;"), ("b", "import test;")]),
        ["Error 1:8 in the imported rule `b`, line 1: rules import each other: test → a → b → test"]
    );
    let names: Vec<String> = (0..100).map(|n| format!("r{n}")).collect();
    let chain: Vec<String> = (0..100).map(|n| format!("import r{};", n + 1)).collect();
    let others: Vec<(&str, &str)> = names.iter().zip(&chain).map(|(name, text)| (&**name, &**text)).collect();
    let wide = names.iter().map(|name| format!("import {name};")).collect::<Vec<_>>().concat();
    assert!(told("import r0;", &others).iter().any(|note| note.contains("a chain of more than 16")));
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
    assert!(told(&wide, &empty).iter().any(|note| note.contains("more than 64 imports")));
}

#[test]
fn what_a_rule_uses() {
    let text = "import lib; test.pool(\"a\");\nlib.f(); test.response(); test.pool(\"b\"); test.pool(\"a\");";
    let compiled = compiled_with(text, &[("lib", "\n\nsub f() { test.pool(\"c\"); }")]);
    let program = compiled.program.expect("a program");
    let uses = program.uses();
    assert_eq!(uses.pools, ["a", "b", "c"]);
    let functions: Vec<_> = uses.functions.iter().map(|(function, line)| (function.name, *line)).collect();
    assert_eq!(
        functions,
        [("test.pool", 1), ("test.response", 2), ("test.pool", 2), ("test.pool", 2), ("test.pool", 1)]
    );
    assert_eq!(program.name(), "test");
    assert!(uses.misplaced(Phase::Response).is_empty());
    assert_eq!(
        uses.misplaced(Phase::Request).iter().map(brief).collect::<Vec<_>>(),
        ["Error 2:10 test.response cannot be called in request rules | it works in response rules"]
    );
    let options = Options { variable_pool_use: true, ..Options::default() };
    let computed = compile("test", b"test.pool($1 . \"x\");", &options, &|_| None);
    assert!(computed.program.is_some() && computed.notes.is_empty());
}

#[test]
fn calls_that_exclude_each_other_are_told() {
    const LISTS: &str = "make a rule for each list of it";
    const PROTOCOLS: &str = "make a rule for each protocol of it";
    for (text, wanted) in [
        (
            "http.getResponseBody();\npool.use( \"x\" );",
            format!(
                "Warning 2:1 no list of rules admits all calls: http.getResponseBody (line 1) works in response rules, \
                 pool.use (line 2) works in request rules | {LISTS}"
            ),
        ),
        (
            "$x = http.getPath();\n if( request.endsWith( $x ) ) log.info( 1 );",
            format!(
                "Warning 2:6 no virtual server has both: http.getPath (line 1) is for the protocol http, \
                 request.endsWith (line 2) for others | {PROTOCOLS}"
            ),
        ),
        ("f(); sub f() { pool.use( \"x\" ); test.response(); }", String::new()),
        ("http.getResponseBody(); pool.use( \"x\" ); $x = rule.getState();", String::new()),
        ("sub f() { http.getResponseBody(); } sub g() { pool.use( \"x\" ); }", String::new()),
        ("http.getResponseBody(); http.getPath(); http.setResponseHeader( \"a\", \"b\" );", String::new()),
        ("pool.use( \"x\" ); request.getRemoteIP(); http.getHeader( \"a\" );", String::new()),
    ] {
        let found = notes(text);
        if text.starts_with("f()") {
            assert!(found.iter().any(|note| note.contains("no list of rules")), "{text}: {found:?}");
            continue;
        }
        let told: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(told, wanted.lines().collect::<Vec<_>>(), "{text}");
    }
}

fn send_and_sync<T: Send + Sync>(_: &T) {}

#[test]
fn programs_are_shared() {
    send_and_sync(&compiled("log.info(\"a\" . 1);").program);
}
