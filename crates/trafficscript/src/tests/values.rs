//! Casts, operators, comparison, literals.

use crate::testing::{logged, result};

/// Pairs of an expression and what it gives.
fn table(rows: &[(&str, &str)]) {
    for (expression, wanted) in rows {
        assert_eq!(result(expression), *wanted, "{expression}");
    }
}

#[test]
fn casts() {
    table(&[
        ("lang.toInt(14)", "14"),
        ("lang.toInt(3.25)", "3"),
        ("lang.toInt(3.75)", "4"),
        ("lang.toInt(\"abcde\")", "0"),
        ("lang.toInt(\"3.75\")", "3"),
        ("lang.toInt(\"14str\")", "14"),
        ("lang.toInt(\"3.2.7\")", "3"),
        ("lang.toDouble(14)", "14.0"),
        ("lang.toDouble(\"abcde\")", "0.0"),
        ("lang.toDouble(\"3.75\")", "3.75"),
        ("lang.toDouble(\"14str\")", "14.0"),
        ("lang.toDouble(\"3.2.7\")", "3.2"),
        ("lang.toString(14)", "\"14\""),
        ("lang.toString(3.25)", "\"3.25\""),
        ("lang.toString(1234567.5)", "\"1.23457e+06\""),
        ("lang.toString(0.1 + 0.2)", "\"0.3\""),
    ]);
}

#[test]
fn comparison_and_truth() {
    table(&[
        ("\"9\" > \"10\"", "1"),
        ("\"9\" > 10", "0"),
        ("\"abc\" == 0", "1"),
        ("\"abc\" == 0.0", "1"),
        ("3 == \"3.7\"", "1"),
        ("3.7 == \"3.7\"", "1"),
        ("3.0 == 3", "1"),
        ("\"a\" < \"b\"", "1"),
        ("\"a\" == \"A\"", "0"),
        ("\"a\" != \"A\"", "1"),
        ("\"2048\" > 1024*1", "1"),
        ("!\"0\"", "0"),
        ("!0", "1"),
        ("!0.0", "1"),
        ("!\"\"", "1"),
        ("![]", "1"),
        ("![0]", "0"),
        ("!$unset", "1"),
        ("$unset == 0", "1"),
        ("$unset + 1", "1"),
        ("$unset . \"x\"", "\"x\""),
        ("true", "1"),
        ("false", "0"),
    ]);
}

#[test]
fn precedence() {
    table(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("1 + 1/2 + 0.25", "1.75"),
        ("2 - 1 - 1", "0"),
        ("1 . 2 + 3", "15"),
        ("1 + 2 . \"x\"", "\"3x\""),
        ("\"a\" . 1 . \"b\" . 2.5", "\"a1b2.5\""),
        ("1 << 2 + 1", "8"),
        ("1 << 2 < 5", "1"),
        ("1 < 2 == 1", "1"),
        ("6 & 3 == 3", "0"),
        ("6 | 1 ^ 1", "6"),
        ("1 | 6 & 4", "5"),
        ("0 && 1 || 1", "1"),
        ("1 || 0 && 0", "1"),
        ("0 ? 1 : 0 ? 2 : 3", "3"),
        ("1 ? 2 : 3", "2"),
        ("-2 * -3", "6"),
        ("!1 == 0", "1"),
        ("~5 & 7", "2"),
        ("- - 3", "3"),
        ("7 % 3", "1"),
        ("3 % 7", "3"),
        ("-7 % 3", "-1"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("\"10, 2.71828\" + 4", "14"),
        ("\"1.5\" + 1", "2.5"),
        ("\"1e2x\" + 1", "101.0"),
        ("\".5\" + 1", "1.5"),
        ("1 << 64", "0"),
        ("-1 >> 70", "-1"),
        ("1 << -1", "0"),
        ("9223372036854775807 + 1", "-9223372036854775808"),
        ("5 && \"x\"", "1"),
        ("0 || \"\"", "0"),
    ]);
}

#[test]
fn literals() {
    table(&[
        ("0x1F", "31"),
        ("0xffffffffffffffff", "-1"),
        ("0b101", "5"),
        ("0o17", "15"),
        ("1_000", "1000"),
        (".5", "0.5"),
        ("1.5e3", "1500.0"),
        ("\"$1 $x\"", "\"$1 $x\""),
        (r#""\n\r\t\a\b\f\v\\\"\'""#, r#""\n\r\t\x07\x08\x0c\x0b\\\"\'""#),
        (r#""\x41\101\u00e9\U0001F600""#, "\"AA\\xc3\\xa9\\xf0\\x9f\\x98\\x80\""),
        (r#""\$\s\q\x4""#, r#""\\$\\s\\q\\x4""#),
        (r"'^192\.168\.' ", r#""^192\\.168\\.""#),
        (r#""^192\\.168\\.""#, r#""^192\\.168\\.""#),
        (r"'it\'s'", r#""it\'s""#),
        ("'a\nb' . \"c\nd\"", r#""a\nbc\nd""#),
        ("'a\\\nb' . \"c\\\nd\"", "\"abcd\""),
        ("'a\\\r\nb'", "\"ab\""),
        ("\"# no comment\" # comment\n", "\"# no comment\""),
        ("[1, \"a\", 2.5, [3]]", "[1,\"a\",2.5,[3]]"),
        ("[1, 2,]", "[1,2]"),
        ("[\"k\" => 1, 2 => [], 2.5 => \"x\"]", "[k=>1,2=>[],2.5=>\"x\"]"),
        ("[]", "[]"),
        ("\u{feff}1\u{a0}+\u{200b}1", "2"),
        ("$a .5", "\"5\""),
    ]);
    assert_eq!(logged("test.show(1); # a comment; test.show(2)\ntest.show(3);"), ["1", "3"]);
    assert_eq!(logged(b"test.show(\"\xff\x00\xfe\");"), [r#""\xff\x00\xfe""#]);
}

#[test]
fn faults_while_computing_warn_and_give_zero() {
    let warn = |what: &str| format!("! Rule test: Line 1: {what}");
    for (expression, lines) in [
        ("1 / 0", vec![warn("Division by zero"), "0".into()]),
        ("1 % 0", vec![warn("Division by zero"), "0".into()]),
        ("1.5 / 0.0", vec![warn("Division by zero"), "0".into()]),
        ("[1] + 1", vec![warn("Cannot convert array to integer value"), "1".into()]),
        ("[\"a\" => 1] . \"x\"", vec![warn("Cannot convert hash to string value"), "\"0x\"".into()]),
        ("[1] == 0", vec![warn("Cannot convert array to integer value"), "1".into()]),
        ("-[1]", vec![warn("Cannot convert array to integer value"), "0".into()]),
        ("lang.toString([1])", vec![warn("Cannot convert array to string value"), "\"0\"".into()]),
        ("3[0]", vec![warn("Cannot convert scalar to array or hash value"), "\"\"".into()]),
    ] {
        assert_eq!(logged(format!("test.show( {expression} );")), lines, "{expression}");
    }
}
