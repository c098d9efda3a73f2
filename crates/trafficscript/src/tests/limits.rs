//! Everything ends within the limits, in bounded time.

use crate::{
    Described, End, Limits, Machine, PatternCache, Step,
    meter::BYTES_PER_INSTRUCTION,
    testing::{compiled, logged, run, run_with},
};

/// Why the rule is aborted.
fn aborted(text: &str) -> String {
    match run(text) {
        (_, End::Aborted(message)) => message,
        (lines, end) => panic!("{end:?} {lines:?}: {text}"),
    }
}

#[test]
fn what_never_ends_is_aborted() {
    const INSTRUCTIONS: &str = "the rule has executed 100000 instructions without yielding";
    const STRING: &str = "a string would be longer than 16777216 bytes";
    const MADE: &str = "the rule has made more than 134217728 bytes of values";
    const DEPTH: &str = "subs call each other more than 128 levels deep";
    const LEVELS: &str = "containers would be nested more than 64 levels deep";
    for (text, wanted) in [
        ("while( 1 ) { }", vec![INSTRUCTIONS]),
        ("do { } while( 1 );", vec![INSTRUCTIONS]),
        ("for( ;; ) { }", vec![INSTRUCTIONS]),
        ("$a = [1]; foreach( $v in $a ) array.push($a, $v);", vec![INSTRUCTIONS]),
        ("$h = [1 => 1]; foreach( $k in $h ) $h[$k . 1] = 1;", vec![INSTRUCTIONS, MADE]),
        ("sub f() { f(); } f();", vec![DEPTH]),
        ("sub f() { return f() + f(); } f();", vec![DEPTH]),
        ("sub f( $n ) { if( $n ) { f($n - 1); f($n - 1); } } f(100);", vec![INSTRUCTIONS]),
        ("$s = \"aaaa\"; while( 1 ) $s .= $s;", vec![STRING]),
        ("$s = \"aaaa\"; while( 1 ) $s = $s . $s . $s;", vec![STRING]),
        ("$s = test.fill(10000000); while( 1 ) $t = $s . 1;", vec![INSTRUCTIONS, MADE]),
        ("$s = test.fill(10000000); while( 1 ) $t = $s == $s;", vec![INSTRUCTIONS]),
        ("$s = test.fill(10000000); while( 1 ) $t = $s + 1;", vec![INSTRUCTIONS]),
        ("$s = test.fill(10000000); while( 1 ) $h[$s] = 1;", vec![INSTRUCTIONS, MADE]),
        ("$s = test.fill(1000000); $h[$s] = 1; while( 1 ) foreach( $k in $h ) { }", vec![INSTRUCTIONS, MADE]),
        ("$s = test.fill(20000000);", vec![STRING]),
        ("$a = [1]; while( 1 ) $a = [$a, $a];", vec![INSTRUCTIONS, MADE, LEVELS]),
        ("$a = [1]; while( 1 ) $a = [$a];", vec![LEVELS]),
        ("$a = []; while( 1 ) $a[\"x\"] = $a;", vec![LEVELS]),
        ("$a = [0]; while( 1 ) $a[0] = $a;", vec![LEVELS]),
        ("$a = []; while( 1 ) array.push($a, $a);", vec![INSTRUCTIONS, MADE, LEVELS]),
        ("sub f( $p ) { while( 1 ) array.push($p, $p); } f([]);", vec![INSTRUCTIONS, MADE, LEVELS]),
        (
            "sub f( $p, $n ) { $p[0] = []; $p[0][\"x\"] = []; f($p[0][\"x\"], $n + 1); } $a = [0]; f($a, 0);",
            vec![LEVELS, "Array index"],
        ),
        ("sub f( $p ) { $p[\"x\"] = []; f($p[\"x\"]); } f($a = []);", vec![LEVELS]),
        ("sub f( $p ) { array.push($p, []); f($p[0]); } f($a = []);", vec![LEVELS]),
        (
            "sub g( $p ) { $p[\"x\"] = []; return $p[\"x\"]; } \
          sub h( $p ) { return g(g(g(g(g(g(g(g(g(g($p)))))))))); } \
          sub i( $p ) { return h(h(h(h(h(h(h(h(h(h($p)))))))))); } $a = []; i(i(i(i($a))));",
            vec![LEVELS],
        ),
        ("$a = [1]; while( 1 ) { $b = $a; array.push($a, $b); }", vec![INSTRUCTIONS, MADE, LEVELS]),
        ("$a = []; while( 1 ) $a[\"a\"][\"b\"][\"c\"] = $a[\"a\"];", vec![LEVELS]),
    ] {
        let message = aborted(text);
        assert!(wanted.iter().any(|wanted| message.contains(wanted)), "{message}: {text}");
        assert!(message.starts_with("Rule test: Line 1: "), "{message}");
    }
}

#[test]
fn patterns_are_given_up() {
    let subject = "$s = test.fill(8000) . \"b\"; ";
    // Linear: nothing to give up.
    assert_eq!(logged(format!("{subject} test.show( string.regexmatch($s, \"(a+)+$\") );")), ["0"]);
    for pattern in ["(?=a|x)(a+)+$", "(a|a)+?\\\\1*[xyz]", "(?!b)(a*)*[^a]$x"] {
        let message = aborted(&format!("{subject}\n\nstring.regexmatch($s, \"{pattern}\");"));
        assert_eq!(
            message,
            "Rule test: Line 3: matching a regular expression was given up on a text of 8001 bytes: \
             match limit exceeded"
        );
    }
    // Many matches that take long, none of them too long.
    let loops = format!("{subject} $s = test.fill(700); while( 1 ) string.regexmatch($s, \"(?!b)a*a*[x]\");");
    assert!(aborted(&loops).contains("instructions without yielding"));
    let short = format!("{subject} while( 1 ) string.regexmatch(\"abc\", \"(?!b)c\");");
    assert!(aborted(&short).contains("instructions without yielding"));
    assert!(aborted("$s = test.fill(100000); string.regexmatch($s, \"(?!b)a++b\");").contains("possessive"));
}

#[test]
fn waiting_restarts_the_count() {
    let rounds =
        "for( $i = 0; $i < 30; $i++ ) { for( $j = 0; $j < 2000; $j++ ) { } test.wait(); } test.show($i);";
    assert_eq!(logged(rounds), ["30"]);
    // What is made counts for the whole run.
    let made = "while( 1 ) { $s = test.fill(10000000) . 1; test.wait(); }";
    assert!(aborted(made).contains("bytes of values"));
}

/// Instructions that a rule executes, work on long values included.
fn counted(text: &str) -> u32 {
    let compiled = compiled(text);
    let program = compiled.program.expect("a program");
    let limits = Limits::default();
    let mut machine = Machine::new(&program, limits);
    let mut host = Described::request("GET", "/");
    let step = machine.run(&mut host, &mut PatternCache::new(16, limits.match_steps));
    assert!(matches!(step, Step::Done(End::Finished)), "{step:?}: {text}");
    machine.instructions()
}

/// What takes long counts for it, so that no rule holds its worker for longer than others do; short values cost nothing.
#[test]
fn costly_functions_count_for_what_they_take() {
    for (call, least, most) in [
        ("$x . 1", 100, 200),
        ("$x + 1", 500, 600),
        ("lang.toInt( $x )", 500, 600),
        ("string.hash( $x )", 600, 700),
        ("string.hashMD5( $x )", 800, 900),
        ("string.hashSHA1( $x )", 300, 400),
        ("string.hashSHA256( $x )", 300, 400),
        ("string.hashSHA512( $x )", 800, 900),
        ("string.base64encode( $x )", 300, 500),
        ("string.base64decode( $x )", 500, 700),
        ("string.hexencode( $x )", 300, 500),
        ("string.urlencode( $x )", 100, 300),
        ("string.htmlencode( $x )", 400, 700),
        ("string.icmp( $x, $x )", 500, 600),
        ("string.count( $x, \"a\" )", 6_000, 8_000),
        ("string.replaceAll( $x, \"a\", \"b\" )", 6_000, 8_000),
        ("string.split( $x, \"a\" )", 30_000, 50_000),
        ("string.wildmatch( $x, \"*a\" )", 1_000, 5_000),
        ("json.serialize( $x )", 300, 600),
        ("array.join( array.create( 10000 ), \"\" )", 2_500, 5_000),
    ] {
        let of = |bytes: u32| {
            let make = |call: &str| counted(&format!("$x = test.fill( {bytes} ); {call}"));
            make(&format!("$y = {call};")) - make("$y = 1;")
        };
        let long = of(102_400);
        assert!((least..=most).contains(&long), "{call}: {long}");
        if !call.starts_with("array") {
            let short = of(20);
            assert!(short <= 12, "{call}: {short}");
        }
    }
}

#[test]
fn limits_are_settings() {
    let limits = Limits { instructions: 50, depth: 3, string: 10, made: 1_000, ..Limits::default() };
    for (text, good) in [
        ("for( $i = 0; $i < 5; $i++ ) { }", true),
        ("for( $i = 0; $i < 50; $i++ ) { }", false),
        ("sub f( $n ) { if( $n ) f($n - 1); } f(2);", true),
        ("sub f( $n ) { if( $n ) f($n - 1); } f(3);", false),
        ("$s = \"12345\"; $s .= \"12345\";", true),
        ("$s = \"12345\"; $s .= \"12345x\";", false),
    ] {
        let (_, end) = run_with(&compiled(text), limits);
        assert_eq!(end == End::Finished, good, "{text}: {end:?}");
    }
    assert_eq!(BYTES_PER_INSTRUCTION, 1024, "the measurements in its comment are of this");
}

/// Programs put together at random from statements that make, copy and nest.
#[test]
fn random_programs_end() {
    const EXPRESSIONS: [&str; 20] = [
        "$a",
        "$b",
        "$a[0]",
        "$b[\"k\"]",
        "[$a, $b]",
        "[\"k\" => $a]",
        "[]",
        "1",
        "\"xyz\"",
        "f($a)",
        "f($b[0])",
        "$a . $b",
        "$a + 1",
        "$a[-1]",
        "array.push($a, $b)",
        "array.pop($a)",
        "array.length($b)",
        "$1",
        "!$a",
        "($b = $a)",
    ];
    const PLACES: [&str; 6] = ["$a", "$b", "$a[0]", "$b[\"k\"]", "$b[\"k\"][\"l\"]", "$p"];
    let seed = 42_u64;
    let mut random = seed;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    let limits =
        Limits { instructions: 2_000, made: 100_000, string: 10_000, depth: 20, ..Limits::default() };
    for round in 0..1_500 {
        let mut statement = |sub: bool| {
            let (value, other) = (EXPRESSIONS[next(EXPRESSIONS.len())], EXPRESSIONS[next(EXPRESSIONS.len())]);
            let place = PLACES[next(PLACES.len() - usize::from(!sub))];
            match next(8) {
                0 => format!("while( {value} ) {{ {place} = {other}; }}"),
                1 => format!("foreach( $v in {value} ) {{ {place} .= $v; array.push($b, $v); }}"),
                2 => format!("array.push({place}, {value});"),
                3 => format!("{place} .= {value};"),
                4 => format!("{place}++;"),
                5 if sub => format!("return {value};"),
                _ => format!("{place} = {value};"),
            }
        };
        let body: String = (0..6).map(|_| statement(false)).collect();
        let sub: String = (0..3).map(|_| statement(true)).collect();
        let text =
            format!("$a = [1]; $b = []; while( 1 ) {{ {body} }} sub f( $p ) {{ $a = $p; $b = []; {sub} }}");
        let (_, end) = run_with(&compiled(&text), limits);
        assert!(matches!(end, End::Aborted(_)), "seed {seed}, round {round}: {end:?}\n{text}");
    }
}

/// In front of a newline at the end of a text, a `$` is matched by backtracking: it costs what that costs.
#[test]
fn a_dollar_in_front_of_a_newline_is_matched_with_counted_steps() {
    let often = |subject: &str| {
        run(format!(
            "for( $i = 0; $i < 2000; $i++ ) $found = string.regexmatch( \"{subject}\", \"^(a|b)+$\" ); test.show( $found );"
        ))
    };
    assert_eq!(often("aab").1, End::Finished);
    assert!(matches!(often("aab\\n").1, End::Aborted(message) if message.contains("instructions")));
    let slow = "string.regexmatch( \"aaaaaaaaaaaaaa!\\n\", \"^(a|a)*(a|a)*$\" );";
    assert!(aborted(&slow.repeat(3)).contains("instructions"));
}
