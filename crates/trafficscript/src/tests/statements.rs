//! Statements, containers, subs, imports.

use crate::{
    End,
    testing::{compiled_with, logged, run, run_with},
};

/// Rules and what they log.
fn table(rows: &[(&str, &[&str])]) {
    for (text, wanted) in rows {
        assert_eq!(logged(text), *wanted, "{text}");
    }
}

#[test]
fn assignments() {
    table(&[
        ("$a = 1; $a += 2; $a *= 5; $a -= 1; $a /= 4; test.show($a);", &["3.5"]),
        ("$a = 7; $a %= 4; $a <<= 3; $a |= 1; $a ^= 3; $a &= 30; $a >>= 1; test.show($a);", &["13"]),
        ("$s = \"a\"; $s .= 1; $s .= \"b\"; test.show($s);", &["\"a1b\""]),
        ("test.show($a++); test.show(++$a); test.show($a--); test.show(--$a);", &["\"\"", "2", "2", "0"]),
        ("$a = $b = 3; test.show($a + $b);", &["6"]),
        ("test.show( ($a = 2) * $a );", &["4"]),
        ("if( !$port = lang.toInt(\"x\") ) test.show($port);", &["0"]),
        ("$x = 1; if( $x && $y = lang.toInt(\"5\") ) test.show($y);", &["5"]),
        (
            "$1 = \"x\"; $1 .= \"y\"; test.show($1); $2++; test.show($2++); test.show(++$2);",
            &["\"xy\"", "1", "3"],
        ),
        (
            "$h[\"n\"]++; ++$h[\"n\"]; $h[\"n\"] += 3; test.show($h[\"n\"]--); test.show($h);",
            &["5", "[n=>4]"],
        ),
        ("$A = 1; $a = 2; test.show($A);", &["1"]),
    ]);
}

#[test]
fn branches_and_loops() {
    table(&[
        ("if( 0 ) test.show(1); else if( \"x\" ) { test.show(2); } else test.show(3);", &["2"]),
        ("if( 0 ) { } else { test.show(3); }", &["3"]),
        (
            "$i = 0; while( $i < 5 ) { $i++; if( $i == 2 ) continue; if( $i == 4 ) break; test.show($i); }",
            &["1", "3"],
        ),
        ("$i = 0; do { test.show($i); if( $i == 1 ) { $i = 5; continue; } } while( $i++ < 2 );", &["0", "1"]),
        ("for( $i = 0; $i < 3; $i++ ) { if( $i == 1 ) continue; test.show($i); }", &["0", "2"]),
        ("for( $i = 0, $j = 9; ; $i++, $j-- ) { if( $i > $j ) break; } test.show($i);", &["5"]),
        ("foreach( $v in [1, \"a\", 2.5] ) { if( $v == 1 ) continue; test.show($v); }", &["\"a\"", "2.5"]),
        ("foreach( $k in [\"a\" => 1, \"b\" => 2] ) test.show($k);", &["\"a\"", "\"b\""]),
        ("foreach( $k in [] ) test.show($k); foreach( $k in $none ) test.show($k); ;;", &[]),
        (
            "foreach( $a in [1, 2] ) { foreach( $b in [1, 2, 3] ) { if( $b == 2 ) break; test.show($a * 10 + $b); } }",
            &["11", "21"],
        ),
        ("test.show(1); break; test.show(2);", &["1"]),
        ("test.show(1); if( 1 ) return 5; test.show(2);", &["1"]),
        ("sub f() { break; } test.show(1); f(); test.show(2);", &["1"]),
        (
            "$a = [1, 2]; foreach( $v in $a ) { array.push($a, $v); if( array.length($a) > 5 ) break; } test.show($a);",
            &["[1,2,1,2,1,2]"],
        ),
    ]);
    assert_eq!(
        logged("foreach( $k in 5 ) test.show($k);"),
        ["! Rule test: Line 1: Cannot convert scalar to array or hash value"]
    );
}

#[test]
fn switches() {
    table(&[
        (
            "switch( 2 ) { case 1: test.show(1); case 3, 2: test.show(2); case 2: test.show(3); default: test.show(4); }",
            &["2"],
        ),
        ("switch( 9 ) { default: test.show(4); case 1: test.show(1); }", &["4"]),
        (
            "switch( \"/shop/x\", string.startsWith ) { case \"/a\": test.show(1); case \"/b\", \"/shop\": test.show(2); }",
            &["2"],
        ),
        ("switch( 1 ) { case 1: test.show(1); break; test.show(2); } test.show(3);", &["1", "3"]),
        ("foreach( $v in [1, 2, 3] ) { switch( $v ) { case 2: continue; } test.show($v); }", &["1", "3"]),
        (
            "sub same( $a, $b ) { return $a == $b + 1; } switch( 2, same ) { case 2: test.show(2); case 1: test.show(1); }",
            &["1"],
        ),
        ("switch( 1 ) { }", &[]),
    ]);
}

#[test]
fn containers() {
    table(&[
        ("$a = [1, 2, 3]; $b = $a; $b[0] = 9; test.show($a); test.show($b);", &["[1,2,3]", "[9,2,3]"]),
        (
            "$a = [1, 2, 3]; test.show($a[-1]); test.show($a[3]); test.show($a[-4]); $a[-1] = 0; test.show($a);",
            &["3", "\"\"", "\"\"", "[1,2,0]"],
        ),
        (
            "$h[\"a\"][\"b\"] = 1; $h[\"a\"][\"c\"] = 2; test.show($h); test.show($h[\"x\"][\"y\"]);",
            &["[a=>[b=>1,c=>2]]", "\"\""],
        ),
        ("$h = \"\"; $h[7] = \"x\"; test.show($h); test.show($h[\"7\"]);", &["[7=>\"x\"]", "\"x\""]),
        (
            "$e = []; array.push($e, 1); array.push($e, 2); test.show($e); $f = []; $f[\"k\"] = 1; test.show($f);",
            &["[1,2]", "[k=>1]"],
        ),
        (
            "array.push($new, 1); array.push($h[\"list\"], 2); test.show($new); test.show($h);",
            &["[1]", "[list=>[2]]"],
        ),
        (
            "$a = [[1], [2]]; $b = $a[0]; $b[0] = 7; test.show($a); $a[0][0] = 8; test.show($a);",
            &["[[1],[2]]", "[[8],[2]]"],
        ),
        ("$a = [1]; $a[0] = $a; $a[0] = $a; test.show($a);", &["[[[1]]]"]),
        ("$a = [1]; array.push($a, $a); array.push($a, $a); test.show($a);", &["[1,[1],[1,[1]]]"]),
        ("$a = [1]; $b = [$a, $a]; $a[0] = 2; $b[0][0] = 3; test.show($b);", &["[[3],[1]]"]),
        ("$a = array.push($a, 1); $a = array.push(array.push($a, 2), 3); test.show($a);", &["[1,2,3]"]),
        ("$a = [[1, 2], 3]; $x = array.pop($a[0]); test.show($x); test.show($a);", &["2", "[[1],3]"]),
        ("sub f() { return [5, 6]; } test.show( f()[1] ); test.show( [7, 8][0] );", &["6", "7"]),
        (
            "$h = [\"a\" => 1]; foreach( $k in $h ) { $h[$k . \"x\"] = 1; if( $n++ ) break; } test.show($h);",
            &["[a=>1,ax=>1,axx=>1]"],
        ),
        ("$a = [1]; $b = $a; array.push($b, 2); test.show($a);", &["[1]"]),
        ("$a = [0, 0]; $a[0] = $a[1] = [1]; $a[0][0] = 2; test.show($a);", &["[[2],[1]]"]),
    ]);
    let warning = "! Rule test: Line 2: Array index 3 is out of range, the array has 3 elements";
    assert_eq!(logged("$a = [1, 2, 3];\n$a[3] = 4; test.show($a);"), [warning, "[1,2,3]"]);
    let scalar = "! Rule test: Line 1: Cannot convert scalar to array or hash value";
    assert_eq!(logged("$a = 5; $a[0] = 1; test.show($a);"), [scalar, "5"]);
    assert_eq!(logged("$a = 5; $a[0][1] = 1; test.show($a);").len(), 2);
    assert_eq!(
        logged("$h[[1]] = 2; test.show($h);"),
        ["! Rule test: Line 1: Cannot convert array to string value", "[0=>2]"]
    );
}

#[test]
fn subs() {
    table(&[
        ("test.show(twice(4)); sub twice( $n ) { return $n * 2; }", &["8"]),
        ("sub none() { } test.show(none());", &["\"\""]),
        ("sub empty() { return; } test.show(empty());", &["\"\""]),
        ("sub f( $n ) { if( $n < 2 ) return 1; return $n * f($n - 1); } test.show(f(10));", &["3628800"]),
        ("sub set.first( $a, $v ) { $a[0] = $v; } $x = [1, 2]; set.first($x, 9); test.show($x);", &["[9,2]"]),
        ("sub rebind( $a ) { $a = [0]; $a[0] = 5; } $x = [1]; rebind($x); test.show($x);", &["[1]"]),
        (
            "sub add( $a ) { array.push($a, 7); return $a; } $x = [1]; $y = add($x); $y[0] = 0; test.show($x);",
            &["[1,7]"],
        ),
        (
            "sub add( $a ) { array.push($a, 7); } $h[\"l\"] = [1]; add($h[\"l\"]); test.show($h);",
            &["[l=>[1,7]]"],
        ),
        ("sub f() { $x = 2; return $x; } $x = 1; f(); test.show($x);", &["1"]),
        (
            "sub f() { foreach( $i in [1, 2] ) { foreach( $j in [1, 2] ) { if( $j == 2 ) return $i * 10 + $j; } } } \
          test.show(f() + 1);",
            &["13"],
        ),
        ("sub Mixed.Case( $x ) { return $x; } test.show(mixed.case(3)); TEST.Show(4);", &["3", "4"]),
        (
            "sub even( $n ) { return $n == 0 ? 1 : odd($n - 1); } sub odd( $n ) { return $n ? even($n - 1) : 0; } \
          test.show(even(10));",
            &["1"],
        ),
        (
            "sub swap( $a, $i ) { $t = $a[$i]; $a[$i] = $a[$i + 1]; $a[$i + 1] = $t; } $x = [[1], [2]]; swap($x, 0); \
          test.show($x);",
            &["[[2],[1]]"],
        ),
    ]);
}

#[test]
fn match_variables() {
    table(&[
        (
            "if( string.regexmatch( \"abc-123\", \"(\\\\w+)-(\\\\d+)\" ) ) test.show($2 . $1);",
            &["\"123abc\""],
        ),
        (
            "$p = \"B(.)\"; string.regexmatch(\"abc\", $p, \"i\"); test.show($1); test.show($9);",
            &["\"c\"", "\"\""],
        ),
        ("sub f() { string.regexmatch(\"x\", \"(x)\"); } f(); test.show($1);", &["\"x\""]),
    ]);
}

#[test]
fn imports() {
    let lib =
        "sub double( $n ) { return helper($n) * 2; } sub helper( $n ) { return $n; } test.show(\"not run\");";
    let rows = [
        ("import lib; test.show(lib.double(3));", vec!["6"]),
        ("import lib as l; test.show(L.Double(3));", vec!["6"]),
        ("import \"my lib\" as l; test.show(l.double(4));", vec!["8"]),
        ("import outer; test.show(outer.f(1));", vec!["[1,2]"]),
        ("import lib; import outer; test.show(lib.double(1)); test.show(outer.f(2));", vec!["2", "[2,4]"]),
        ("import dotted as d; test.show(d.a.b());", vec!["5"]),
    ];
    let others = [
        ("lib", lib),
        ("my lib", lib),
        ("outer", "import lib as x; sub f( $n ) { return [$n, x.double($n)]; }"),
        ("dotted", "sub a.b() { return 5; }"),
    ];
    for (text, wanted) in rows {
        let compiled = compiled_with(text, &others);
        assert!(compiled.program.is_some(), "{text}: {:?}", compiled.notes);
        assert_eq!(
            run_with(&compiled, crate::Limits::default()),
            (to_owned(&wanted), End::Finished),
            "{text}"
        );
    }
    // Warnings name the rule whose text it is; each rule is strict for itself.
    let compiled = compiled_with(
        "import strict;\nimport lax;\ntest.show(lax.f());",
        &[("lax", "\nsub f() { return 1 / 0; }")],
    );
    let (lines, _) = run_with(&compiled, crate::Limits::default());
    assert_eq!(lines, ["! Rule lax: Line 2: Division by zero", "0"]);
}

fn to_owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn ends() {
    let aborted = |message: &str| End::Aborted(message.to_owned());
    for (text, lines, end) in [
        (
            "test.show(1);\n$x = [1] . \"\"; test.show(2);",
            vec!["1", "! Rule test: Line 2: Cannot convert array to string value", "2"],
            End::Finished,
        ),
        (
            "import strict;\ntest.show(1);\n$x = [1] . \"\"; test.show(2);",
            vec!["1"],
            aborted("Rule test: Line 3: Cannot convert array to string value"),
        ),
        (
            "import strict;\n\nlang.toInt([1]);",
            vec![],
            aborted("Rule test: Line 3: Cannot convert array to integer value"),
        ),
        ("test.show(1); test.endRule(); test.show(2);", vec!["1"], End::Finished),
        ("sub f() { test.endPhase(); } test.show(1); f(); test.show(2);", vec!["1"], End::EndedPhase),
        ("test.show(test.wait() + test.wait());", vec!["2"], End::Finished),
        ("$a = [1]; $a[0] = [test.wait(), $a]; test.show($a);", vec!["[[1,[1]]]"], End::Finished),
        ("", vec![], End::Finished),
    ] {
        assert_eq!(run(text), (to_owned(&lines), end), "{text}");
    }
}
