use std::fmt::Write as _;

use super::*;

fn text(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "~".to_owned(),
        Kind::Unresolved => "?".to_owned(),
        Kind::Scalar(scalar) => match &scalar.binary {
            Some(bytes) => format!("{bytes:?}"),
            None => format!("{:?}", scalar.text),
        },
        Kind::List(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", entry.key, text(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Reads a document without faults.
fn whole(document: &[u8]) -> Node {
    let Reading { root, faults } = read(document);
    assert_eq!(faults, [], "{}", String::from_utf8_lossy(document));
    root.unwrap()
}

/// Reads a document with one fault.
fn fault(document: &[u8]) -> SyntaxFault {
    let Reading { faults, .. } = read(document);
    assert_eq!(faults.len(), 1, "{}: {faults:?}", String::from_utf8_lossy(document));
    faults.into_iter().next().unwrap()
}

#[test]
fn yaml_and_json_are_read() {
    for (document, expected) in [
        ("", "~"),
        ("# nothing\n", "~"),
        ("---\n", "~"),
        ("\u{feff}a: 1", "{a: \"1\"}"),
        ("a: 1\n", "{a: \"1\"}"),
        ("a: 007\nb: 6.10\nc: yes\n", "{a: \"007\", b: \"6.10\", c: \"yes\"}"),
        ("a:\nb: ~\nc: null\nd: 'null'\ne: ''\n", "{a: ~, b: ~, c: ~, d: \"null\", e: \"\"}"),
        ("a: |\n  x\n  y\n", "{a: \"x\\ny\\n\"}"),
        ("- a\n- [b, {c: d}]\n", "[\"a\", [\"b\", {c: \"d\"}]]"),
        ("a: !!str 1\nb: ! 2\nc: !!int 3\n", "{a: \"1\", b: \"2\", c: \"3\"}"),
        ("a: !!binary AAEC\n", "{a: [0, 1, 2]}"),
        ("a: &x [1, 2]\nb: *x\n", "{a: [\"1\", \"2\"], b: [\"1\", \"2\"]}"),
        ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n", "{a: {p: \"1\", q: \"2\"}, b: {q: \"3\", p: \"1\"}}"),
        ("{\"a\": [1, true, null, \"\\u00e9\\ud83d\\ude00\\/\"]}", "{a: [\"1\", \"true\", ~, \"é😀/\"]}"),
        ("{\n\t\"a\":\t{\n\t\t\"b\": 1\n\t}\n}\n", "{a: {b: \"1\"}}"),
        ("a: 1\r\nb: 2\r\n", "{a: \"1\", b: \"2\"}"),
    ] {
        assert_eq!(text(&whole(document.as_bytes())), expected, "{document:?}");
    }
}

#[test]
fn syntax_faults_have_a_place_and_a_reason() {
    for (document, line, column, reason) in [
        ("a: [1, 2", 1, 9, ""),
        ("a: 1\n b: 2\n", 2, 3, ""),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "“a” stands twice"),
        ("{\"a\": 1, \"a\": 2}", 1, 10, "“a” stands twice"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second YAML document"),
        ("a: *nowhere\n", 1, 4, ""),
        ("a: &a [*a]\n", 1, 8, ""),
        ("a: !secret x\n", 1, 12, "“!secret” has no meaning"),
        ("a: !!set {x}\n", 1, 10, "has no meaning"),
        ("a: !!binary '*'\n", 1, 13, "not base64"),
        ("? [a]\n: b\n", 1, 3, "a key must be a single value"),
        ("a:\n\tb: 1\n", 2, 1, ""),
        ("<<: 1\n", 1, 1, "takes a mapping"),
    ] {
        let fault = fault(document.as_bytes());
        assert!(fault.message.contains(reason), "{document:?}: {fault:?}");
        assert!(!fault.message.is_empty(), "{document:?}");
        assert_eq!(fault.at.line, line, "{document:?}: {fault:?}");
        if !reason.is_empty() {
            assert_eq!(fault.at.column, column, "{document:?}: {fault:?}");
        }
    }
    let fault = fault(b"a: 1\nb: \xff\n");
    assert_eq!((fault.at.line, fault.at.column), (2, 4));
    assert!(fault.message.contains("UTF-8"));
}

#[test]
fn reading_goes_on_after_faults_that_leave_the_rest_readable() {
    let Reading { root, faults } =
        read(b"a: 1\na: [x]\nb: !secret y\nc: !set {z: 1}\nd: {<<: [1], e: f}\na: 2\n");
    assert_eq!(text(&root.unwrap()), "{a: \"1\", a: [\"x\"], b: ?, c: {z: \"1\"}, d: {e: \"f\"}, a: \"2\"}");
    let lines: Vec<u32> = faults.iter().map(|fault| fault.at.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6], "{faults:?}");
    let Reading { root, faults } = read("a: 1\n".repeat(MAX_SYNTAX_FAULTS + 10).as_bytes());
    assert_eq!((root, faults.len()), (None, MAX_SYNTAX_FAULTS + 1));
    assert!(faults.last().unwrap().message.contains("too many"));
}

#[test]
fn places_are_known() {
    let node = whole(b"a:\n  b: [x,\n   y]\n");
    let Kind::Map(outer) = &node.kind else { panic!("{node:?}") };
    let Kind::Map(inner) = &outer[0].value.kind else { panic!("{node:?}") };
    assert_eq!(inner[0].at, Position { line: 2, column: 3 });
    let Kind::List(items) = &inner[0].value.kind else { panic!("{node:?}") };
    assert_eq!(items[1].at, Position { line: 3, column: 4 });
}

#[test]
fn bombs_are_refused() {
    let laughs = |width: usize, rounds: usize| {
        let mut document = format!("l0: &l0 [{}]\n", vec!["ha"; width].join(", "));
        for round in 1..rounds {
            let aliases = vec![format!("*l{}", round - 1); width].join(", ");
            writeln!(document, "l{round}: &l{round} [{aliases}]").unwrap();
        }
        document
    };
    // Deep through aliases although no line of it is.
    let ladder: String = (1..200).fold("a0: &a0 x\n".to_owned(), |mut text, step| {
        writeln!(text, "a{step}: &a{step} [[*a{}]]", step - 1).unwrap();
        text
    });
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    for (name, document) in [
        ("a billion laughs", laughs(10, 10)),
        ("a ladder of aliases", ladder),
        ("a long scalar copied", long),
        ("deep flow", "[".repeat(100_000)),
        ("deep maps", "{a: ".repeat(100_000)),
        ("deep blocks", (0..300).map(|depth| " ".repeat(depth) + "a:").collect::<Vec<_>>().join("\n")),
        ("deep sequences", "- ".repeat(10_000)),
        ("many values", format!("[{}]", "1,".repeat(MAX_NODES + 10))),
        ("a long document", " ".repeat(MAX_DOCUMENT_BYTES + 1)),
        ("a long key", format!("{}: 1", "k".repeat(100_000))),
    ] {
        assert!(read(document.as_bytes()).root.is_none(), "{name} was read");
    }
    assert!(read(laughs(3, 4).as_bytes()).root.is_some(), "a few aliases are fine");
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(read(deep.as_bytes()).root.is_some(), "the limit itself is fine");
}

#[test]
fn text_written_line_by_line_knows_where_it_begins() {
    for (text, expected) in [
        ("a: |\n  one\n  two\n", Some((2, 3))),
        ("a: |\n\n\n    one\n      two\n", Some((2, 5))),
        ("a: |2-\n     one\n", Some((2, 3))),
        ("a: one\n", Some((1, 4))),
        ("a: one\n   two\n", None),
        ("a: >\n  one\n  two\n", None),
        ("a: 'one'\n", None),
    ] {
        let node = read(text.as_bytes()).root.unwrap();
        let Kind::Map(entries) = &node.kind else { panic!("{text}") };
        let Kind::Scalar(scalar) = &entries[0].value.kind else { panic!("{text}") };
        assert_eq!(scalar.literal.map(|at| (at.line, at.column)), expected, "{text}");
    }
}
