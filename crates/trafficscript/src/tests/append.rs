//! Appending: what it costs, and that nobody but the place appended to sees it.

use crate::{
    End, Limits,
    testing::{compiled, logged, run, run_with},
};

#[test]
fn collecting_in_pieces_counts_what_is_added() {
    // 8 MB in pieces of 100 KB.
    let collect = |statement: &str| {
        format!(
            "$piece = test.fill(100000); for( $i = 0; $i < 80; $i++ ) {{ {statement} }} \
             test.show( string.len( $out ) . string.len( $h[\"x\"] ) . string.len( $a[0] ) );"
        )
    };
    for (statement, wanted) in [
        ("$out .= $piece;", "\"800000000\""),
        ("$out = $out . $piece;", "\"800000000\""),
        ("$out .= string.substring( $piece, 0, 49999 ) . $piece;", "\"1200000000\""),
        ("$out = $out . \"<\" . $piece . \">\";", "\"800016000\""),
        ("$h[\"x\"] .= $piece;", "\"080000000\""),
        ("if( !$a ) $a = [\"\"]; $a[0] .= $piece;", "\"008000000\""),
    ] {
        assert_eq!(logged(collect(statement)), [wanted], "{statement}");
    }
    // What the whole run makes is 8 MB and the piece, plus what the first growth copies.
    let (_, end) = run_with(
        &compiled("$p = test.fill(100000); for( $i = 0; $i < 80; $i++ ) $out .= $p;"),
        Limits { made: 8_200_000, ..Limits::default() },
    );
    assert_eq!(end, End::Finished);
    let (_, end) = run("$p = test.fill(100000); while( 1 ) $out .= $p;");
    assert!(matches!(end, End::Aborted(message) if message.contains("longer than 16777216 bytes")));
    // A copy that is kept each time is made each time.
    let (_, end) = run("$p = test.fill(100000); while( 1 ) { $out .= $p; array.push( $all, $out ); }");
    assert!(matches!(end, End::Aborted(message) if message.contains("100000 instructions")));
}

#[test]
fn copies_stay_as_they_are() {
    let long = "$s = test.fill(600); $s .= \"b\";";
    for (text, wanted) in [
        ("$t = $s; $s .= \"c\"; test.show( string.len( $t ) . string.right( $s, 2 ) );", vec!["\"601bc\""]),
        ("$h[\"k\"] = $s; $s .= \"c\"; test.show( string.right( $h[\"k\"], 2 ) );", vec!["\"ab\""]),
        (
            "$h[\"k\"] = $s; $g = $h; $h[\"k\"] .= \"c\"; test.show( string.right( $g[\"k\"], 2 ) );",
            vec!["\"ab\""],
        ),
        ("$s .= $s; test.show( string.len( $s ) . string.right( $s, 2 ) );", vec!["\"1202ab\""]),
        ("$s .= $s . $s; test.show( string.len( $s ) );", vec!["1803"]),
        ("$s .= ( $s = \"x\" ); test.show( string.len( $s ) . string.right( $s, 2 ) );", vec!["\"602bx\""]),
        ("$i = 0; $s .= $i++ . $i; test.show( string.right( $s, 3 ) );", vec!["\"b01\""]),
        ("test.show( string.right( $s .= \"c\", 2 ) . string.right( $s .= \"d\", 3 ) );", vec!["\"bcbcd\""]),
        (
            "$z = string.hexDecode( \"00\" ); $s .= $z; $s .= $z . \"x\"; test.show( string.right( $s, 4 ) );",
            vec!["\"b\\x00\\x00x\""],
        ),
        ("$s .= 1 + 2; $s .= 0.5; test.show( string.right( $s, 5 ) );", vec!["\"b30.5\""]),
        ("$s .= 1 ? \"y\" : \"a\" . \"b\"; test.show( string.right( $s, 2 ) );", vec!["\"by\""]),
        (
            "$h[\"k\"] = $s; $h[\"k\"] .= f( $h ); test.show( string.right( $h[\"k\"], 2 ) ); sub f( $p ) { $p[\"k\"] = 1; return \"!\"; }",
            vec!["\"b!\""],
        ),
        ("$a = [$s]; $a[-1] .= \"c\"; test.show( string.right( $a[0], 2 ) );", vec!["\"bc\""]),
        ("$1 .= $s; $1 .= \"c\"; test.show( string.len( $1 ) );", vec!["602"]),
        (
            "test.show( f( $s ) . string.right( $s, 1 ) ); sub f( $p ) { $p .= \"c\"; return string.right( $p, 2 ); }",
            vec!["\"bcb\""],
        ),
        ("test.show( string.hashMD5( $s ) == string.hashMD5( test.fill(600) . \"b\" ) );", vec!["1"]),
    ] {
        let lines = logged(format!("{long} {text}"));
        assert_eq!(lines, wanted, "{text}");
    }
}

#[test]
fn what_is_no_string_warns_as_ever() {
    for (text, wanted) in [
        ("$a = [1]; $a .= \"x\"; test.show( $a );", vec!["Cannot convert array to string value", "\"0x\""]),
        ("$a .= [1]; test.show( $a );", vec!["Cannot convert array to string value", "\"0\""]),
        ("$a = 1; $a .= 2; test.show( $a );", vec!["\"12\""]),
        (
            "$a = 1; $a[\"x\"] .= 2; test.show( $a );",
            vec!["Cannot convert scalar", "Cannot convert scalar", "1"],
        ),
        ("$a = [1]; $a[5] .= 2; test.show( $a );", vec!["Array index 5 is out of range", "[1]"]),
        (
            "$a = [[1]]; $a[0] .= 2; test.show( $a );",
            vec!["Cannot convert array to string value", "[\"02\"]"],
        ),
    ] {
        let lines = logged(text);
        assert_eq!(lines.len(), wanted.len(), "{text}: {lines:?}");
        for (line, wanted) in lines.iter().zip(wanted) {
            assert!(line.contains(wanted), "{text}: {lines:?}");
        }
    }
}

/// Appending gives what concatenating and assigning gives, whatever is held where.
#[test]
fn appending_is_concatenating() {
    const PLACES: [&str; 5] = ["$a", "$b", "$h[\"k\"]", "$h[\"l\"]", "$c[0]"];
    const PIECES: [&str; 10] = [
        "\"x\"",
        "$a",
        "$b",
        "$h[\"k\"]",
        "$c[0]",
        "test.fill(300)",
        "( $a = \"y\" )",
        "f( $h )",
        "$i++",
        "string.right( $b, 400 )",
    ];
    let seed = 7_u64;
    let mut random = seed;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    for round in 0..400 {
        let (mut appending, mut concatenating) = (String::new(), String::new());
        for _ in 0..12 {
            let (place, piece, other) =
                (PLACES[next(PLACES.len())], PIECES[next(PIECES.len())], PIECES[next(PIECES.len())]);
            let (append, plain) = match next(4) {
                0 => (format!("{place} .= {piece}; "), format!("{place} = \"\" . {place} . {piece}; ")),
                1 => (
                    format!("{place} .= {piece} . {other}; "),
                    format!("{place} = \"\" . {place} . ( {piece} . {other} ); "),
                ),
                2 => (
                    format!("{place} = {place} . {piece} . {other}; "),
                    format!("{place} = \"\" . {place} . {piece} . {other}; "),
                ),
                _ => (format!("{place} = {piece}; "), format!("{place} = {piece}; ")),
            };
            appending.push_str(&append);
            concatenating.push_str(&plain);
        }
        let rule = |body: &str| {
            format!(
                "$i = 0; $c = [\"\"]; {body} test.show( [$a, $b, $h, $c] ); \
                 sub f( $p ) {{ $p[\"k\"] .= \"f\"; return test.fill(200); }}"
            )
        };
        let limits = Limits::default();
        let (appended, concatenated) = (rule(&appending), rule(&concatenating));
        assert_eq!(
            run_with(&compiled(&appended), limits),
            run_with(&compiled(&concatenated), limits),
            "seed {seed}, round {round}:\n{appended}\n{concatenated}"
        );
    }
}
