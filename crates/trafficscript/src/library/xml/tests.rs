use crate::{
    Described,
    library::testing::{call_with, give, lines, value},
    meter::Limits,
};

const SHOP: &str = r#"<?xml version="1.0"?>
<shop xml:lang="en-GB" xmlns="http://example.com/shop" xmlns:x="http://example.com/extra">
  <!-- two orders -->
  <?print now?>
  <order id="1" x:kind="new"><item price="2.50">pen</item><item price="10">ink &amp; paper</item></order>
  <order id="2"><item price="1">cup</item><note>  for   you </note></order>
</shop>"#;

const PREFIXES: &str = "xmlns:s=http://example.com/shop xmlns:e='http://example.com/extra'";

fn find(query: &str) -> String {
    let mut host = Described::request("GET", "/");
    let found = give(&mut host, "xml.xpath.matchNodeSet", &[SHOP, PREFIXES, query]);
    assert_eq!(lines(&host), [""; 0], "{query}");
    found
}

fn count(query: &str) -> i64 {
    let mut host = Described::request("GET", "/");
    let found = give(&mut host, "xml.xpath.matchNodeCount", &[SHOP, PREFIXES, query]);
    assert_eq!(lines(&host), [""; 0], "{query}");
    found.parse().unwrap()
}

#[test]
fn paths_find_nodes() {
    let table = [
        ("//s:item", 3),
        ("//item", 0),
        ("//*[local-name()='item']", 3),
        ("/s:shop/s:order", 2),
        ("/s:shop/s:order/@id", 2),
        ("//@*", 7),
        ("//@e:*", 1),
        ("//@e:kind/..", 1),
        ("//s:*", 7),
        ("//comment()", 1),
        ("//processing-instruction()", 1),
        ("//processing-instruction('print')", 1),
        ("//processing-instruction('other')", 0),
        ("//text()", 9),
        ("//s:order[2]/s:item", 1),
        ("//s:item[1]", 2),
        ("(//s:item)[1]", 1),
        ("(//s:item)[position() > 1]", 2),
        ("//s:item[last()]", 2),
        ("//s:order[s:note]", 1),
        ("//s:item[@price > 2]", 2),
        ("//s:item[@price > 2][contains(., 'ink')]", 1),
        ("//s:item | //s:note | //s:item", 4),
        ("//s:note/ancestor::*", 2),
        ("//s:note/ancestor-or-self::*", 3),
        ("//s:note/preceding::*", 4),
        ("//s:note/preceding-sibling::*", 1),
        ("//s:order[1]/following::s:*", 3),
        ("//s:order[1]/following-sibling::*", 1),
        ("//s:order[1]/descendant::node()", 4),
        ("//s:item/parent::s:order", 2),
        ("//s:order/self::s:order", 2),
        ("/", 1),
        ("/..", 0),
        ("//s:item/@price/following::s:note", 1),
        ("//s:order[lang('en')]", 2),
        ("//s:order[not(s:note)]", 1),
        ("//s:order[count(s:item) = 2]", 1),
        ("//s:item[. = //s:item[2]]", 1),
        ("child::s:shop/child::s:order/attribute::id", 2),
    ];
    for (query, expected) in table {
        assert_eq!(count(query), expected, "{query}");
    }
}

#[test]
fn nodes_become_text() {
    let table = [
        ("//s:item/text()", "penink & papercup"),
        ("//s:item[1]/@price", "2.501"),
        ("//s:item[2]", "<item price=\"10\">ink &amp; paper</item>"),
        ("//comment()", "<!-- two orders -->"),
        ("//s:nothing", ""),
        // Nodes come in the order of the document, whichever way they were found.
        ("//s:note/preceding::s:item/text()", "penink & papercup"),
        ("(//s:note/preceding::s:item)[1]/text()", "pen"),
        ("//s:note/preceding::s:item[1]/text()", "cup"),
        ("//s:item[3] | //s:item[1]/text()", "pencup"),
    ];
    for (query, expected) in table {
        assert_eq!(find(query), expected, "{query}");
    }
}

#[test]
fn values_become_text() {
    let table = [
        ("1 + 2 * 3 - 4 div 2", "5"),
        ("-(1 - 3)", "2"),
        ("--5", "5"),
        ("7 mod 3", "1"),
        ("1 div 0", "Infinity"),
        ("-1 div 0", "-Infinity"),
        ("0 div 0", "NaN"),
        (".5 + 1.", "1.5"),
        ("'1' = 1", "true"),
        ("'a' = 1 or true()", "true"),
        ("false() and x", "false"),
        ("2 >= 2", "true"),
        ("'2' < '10'", "true"),
        ("1 != 1", "false"),
        ("count(//s:item)", "3"),
        ("sum(//s:item/@price)", "13.5"),
        ("string(//s:note)", "  for   you "),
        ("normalize-space(//s:note)", "for you"),
        ("string-length('é')", "1"),
        ("concat('a', 1, true())", "a1true"),
        ("substring('12345', 2, 3)", "234"),
        ("substring('12345', 1.5, 2.6)", "234"),
        ("substring('12345', 0, 3)", "12"),
        ("substring('12345', 0 div 0, 3)", ""),
        ("substring('12345', -42, 1 div 0)", "12345"),
        ("substring-before('1999/04/01', '/')", "1999"),
        ("substring-after('1999/04/01', '/')", "04/01"),
        ("substring-before('x', '/')", ""),
        ("translate('bar', 'abc', 'AB')", "BAr"),
        ("translate('--aaa--', 'abc-', 'ABC')", "AAA"),
        ("starts-with('abc', 'ab')", "true"),
        ("name(//@e:kind)", "x:kind"),
        ("local-name(//@e:kind)", "kind"),
        ("namespace-uri(//@e:kind)", "http://example.com/extra"),
        ("name(/*)", "shop"),
        ("name(//text())", ""),
        ("floor(-1.5)", "-2"),
        ("ceiling(1.2)", "2"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-2"),
        ("number('  -3.5 ')", "-3.5"),
        ("number('1e3')", "NaN"),
        ("number('inf')", "NaN"),
        ("boolean(//s:item) = true()", "true"),
        ("//s:item = 'cup'", "true"),
        ("//s:item != 'cup'", "true"),
        ("//s:nothing = //s:nothing", "false"),
        ("div div div", "NaN"),
        ("* * 2", "NaN"),
    ];
    for (query, expected) in table {
        assert_eq!(find(query), expected, "{query}");
    }
}

#[test]
fn faults_are_warnings() {
    let table = [
        (SHOP, PREFIXES, "", "the query ends"),
        (SHOP, PREFIXES, "//", "the query ends"),
        (SHOP, PREFIXES, "//s:item[", "the query ends"),
        (SHOP, PREFIXES, "//s:item[1", "`]` is missing"),
        (SHOP, PREFIXES, "//s:item)", "`)` is not expected"),
        (SHOP, PREFIXES, "//z:item", "prefix z:"),
        (SHOP, PREFIXES, "$x", "variables"),
        (SHOP, PREFIXES, "id('a')", "no function id()"),
        (SHOP, PREFIXES, "count()", "does not take 0"),
        (SHOP, PREFIXES, "namespace::x", "no axis"),
        (SHOP, PREFIXES, "'open", "has no end"),
        (SHOP, PREFIXES, "a b", "operator"),
        (SHOP, PREFIXES, "#", "`#`"),
        (SHOP, PREFIXES, "count(1)", "needs nodes"),
        (SHOP, "s=http://example.com/shop", "//s:item", "is no namespace"),
        ("<a>", "", "/", "no XML"),
        ("", "", "/", "no XML"),
        ("<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>", "", "/a", "no XML"),
    ];
    for (document, prefixes, query, expected) in table {
        let mut host = Described::request("GET", "/");
        assert_eq!(give(&mut host, "xml.xpath.matchNodeSet", &[document, prefixes, query]), "", "{query}");
        assert_eq!(
            give(&mut host, "xml.xpath.matchNodeCount", &[document, prefixes, query]),
            "-1",
            "{query}"
        );
        let lines = lines(&host);
        assert!(lines.len() == 2 && lines[0].contains(expected), "{query}: {lines:?}");
    }
    let mut host = Described::request("GET", "/");
    assert_eq!(give(&mut host, "xml.xpath.matchNodeCount", &["<a/>", "", "1"]), "-1");
    assert!(lines(&host)[0].contains("no nodes"));
}

#[test]
fn encodings() {
    let mut host = Described::request("GET", "/");
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>".to_vec();
    let arguments = [value("\u{feff}<a>\u{e9}</a>"), value(""), value("/a/text()")];
    let found = call_with(&mut host, "xml.xpath.matchNodeSet", &arguments, Limits::default());
    assert_eq!(crate::library::testing::shown(&found.outcome.unwrap()), "\u{e9}");
    let arguments = [crate::Value::from(latin), value(""), value("/a/text()")];
    let found = call_with(&mut host, "xml.xpath.matchNodeSet", &arguments, Limits::default());
    assert_eq!(crate::library::testing::shown(&found.outcome.unwrap()), "\u{e9}");
    assert_eq!(lines(&host), [""; 0]);
    let arguments = [crate::Value::from(b"<a>\xe9</a>".to_vec()), value(""), value("/a")];
    let found = call_with(&mut host, "xml.xpath.matchNodeSet", &arguments, Limits::default());
    assert_eq!(crate::library::testing::shown(&found.outcome.unwrap()), "");
    assert_eq!(lines(&host).len(), 1);
}

/// Queries and documents that would take for ever end by the limits of the run.
#[test]
fn work_is_bounded() {
    let wide = format!("<a>{}</a>", "<b>x</b>".repeat(2000));
    let deep = format!("{}{}", "<a>".repeat(3000), "</a>".repeat(3000));
    let table = [
        (&wide, "//b[count(//b[count(//b) > 0]) > 0]".to_owned()),
        (&wide, "//b[. = //b[. = 'y']]".to_owned()),
        (&wide, format!("//b{}", "/following::b".repeat(50))),
        (&deep, "//a[count(.//a[count(.//a) > 0]) > 0]".to_owned()),
        (&deep, format!("//a{}", "//a".repeat(60))),
    ];
    for (document, query) in table {
        let mut host = Described::request("GET", "/");
        let arguments = [document.as_str(), "", &query].map(value);
        let called = call_with(&mut host, "xml.xpath.matchNodeCount", &arguments, Limits::default());
        assert!(called.outcome.is_err(), "{query}");
    }
    let mut host = Described::request("GET", "/");
    let table = [
        format!("{}1{}", "(".repeat(100), ")".repeat(100)),
        format!("1{}", " + 1".repeat(1000)),
        "a".repeat(5000),
        "-".repeat(400) + "1",
    ];
    for query in table {
        assert_eq!(give(&mut host, "xml.xpath.matchNodeCount", &["<a/>", "", &query]), "-1");
    }
}

/// Documents made to hurt a parser are read in reasonable time, or refused.
#[test]
fn hostile_documents() {
    let many = |piece: &str, times: usize| format!("<a>{}</a>", piece.repeat(times));
    let attributes = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("a{n}='1'")).collect();
        format!("<a {}/>", list.join(" "))
    };
    let table = [
        (format!("{}{}", "<a>".repeat(90_000), "</a>".repeat(90_000)), "/a", "1"),
        (format!("{}{}", "<a>".repeat(110_000), "</a>".repeat(110_000)), "/a", "-1"),
        (many("<![CDATA[x]]>", 50_000), "/a/text()", "1"),
        (many("&amp;", 50_000), "/a/text()", "1"),
        (many("<b/>", 110_000), "/a/b", "-1"),
        (many("<!-- = = = -->", 50_000), "/a/b", "0"),
        (attributes(256), "/a/@*", "256"),
        (attributes(257), "/a/@*", "-1"),
        (many("<b xmlns:p='urn:p' p:c=\"it's\"/>", 1_000), "/a/b/@*", "1000"),
        (many("<b xmlns:p='urn:p'/>", 1_001), "/a/b", "-1"),
        (many("\0", 1), "/a", "-1"),
        (format!("<a b='{}'/>", "=".repeat(5_000)), "/a/@b", "1"),
    ];
    for (document, query, expected) in table {
        let mut host = Described::request("GET", "/");
        let found = give(&mut host, "xml.xpath.matchNodeCount", &[&document, "", query]);
        assert_eq!(found, expected, "{} {query}: {:?}", &document[..40.min(document.len())], lines(&host));
    }
}
