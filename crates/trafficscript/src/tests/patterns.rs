//! Regular expressions: bytes, Perl's meaning whichever engine matches, bounded work.

use crate::{
    PatternCache,
    pattern::{Flags, Pattern},
};

fn groups(pattern: &[u8], subject: &[u8], from: usize) -> Result<Option<Vec<String>>, String> {
    let pattern = Pattern::compile(pattern, Flags::default(), 100_000)?;
    let found = pattern.captures_at(subject, from)?;
    Ok(found.map(|found| {
        (0..found.len())
            .map(|at| {
                found.get(at).map_or_else(
                    || "-".to_owned(),
                    |(start, end)| subject[start..end].escape_ascii().to_string(),
                )
            })
            .collect()
    }))
}

#[test]
fn meaning() {
    for (pattern, subject, wanted) in [
        (&b"(\\w+)-(\\d+)?"[..], &b"x abc-"[..], Some("abc-|abc|-")),
        (b"^a$", b"a\n", Some("a")),
        (b"^a\\z", b"a\n", None),
        (b"(a)|b", b"b", Some("b|-")),
        (b"a.c", b"a\xffc", Some("a\\xffc")),
        (b"a.c", b"a\nc", None),
        (b"(?s)a.c", b"a\nc", Some("a\\nc")),
        (b"(?i)AbC", b"xaBc", Some("aBc")),
        (b"a\0b", b"xa\0b", Some("a\\x00b")),
        (b"\xff+", b"a\xff\xffb", Some("\\xff\\xff")),
        (b"\\\xff", b"a\xff\xffb", Some("\\xff")),
        (b"[\xfe\xff]", b"\xfe", Some("\\xfe")),
        (b"\\Q\xff.\\E.", b"\xff.x", Some("\\xff.x")),
        ("é".as_bytes(), "caf\u{e9}".as_bytes(), Some("\\xc3\\xa9")),
        (b"\\xe9", b"\xe9", Some("\\xe9")),
        (b"(?<=a)b(?!c)", b"abcab", Some("b")),
        (b"(a+)\\1", b"xaaaa", Some("aaaa|aa")),
        (b"a++b", b"aab", Some("aab")),
        (b"a++a", b"aaa", None),
        (b"(?>a|ab)c", b"abc", None),
        (b"(|a)*", b"aaa", Some("|")),
        (b"\\<a\\>", b"<a>", Some("<a>")),
        (b"[[:alpha:]]+", b"1ab2", Some("ab")),
        (b"[a&&b]+", b"1a&b2", Some("a&b")),
        (b"(?x) a b # comment", b"ab", Some("ab")),
        (b"b(?R)?a", b"xbbaa", Some("bbaa")),
        (b"a(?#note)b", b"ab", Some("ab")),
        (b"a(?i)b|c", b"C", Some("C")),
        (b"\\v+", b"\n\x0b", Some("\\n\\x0b")),
        (b"(?:(a)|b)*", b"ab", Some("ab|a")),
        (b"(*UTF)^.$", "é".as_bytes(), Some("\\xc3\\xa9")),
        (b"", b"a", Some("")),
        (b"(1)(2)(3)(4)(5)(6)(7)(8)(9)(0)(x)?", b"1234567890", Some("1234567890|1|2|3|4|5|6|7|8|9|0|-")),
    ] {
        let found = groups(pattern, subject, 0)
            .unwrap_or_else(|message| panic!("{}: {message}", pattern.escape_ascii()));
        assert_eq!(found.map(|found| found.join("|")).as_deref(), wanted, "{}", pattern.escape_ascii());
    }
}

#[test]
fn from_an_offset_on() {
    for pattern in [&b"a(.)"[..], b"a(?=(.))."] {
        assert_eq!(
            groups(pattern, b"abac", 1).map(|found| found.map(|all| all.join("|"))),
            Ok(Some("ac|c".into()))
        );
        assert_eq!(groups(pattern, b"abac", 4), Ok(None));
        assert_eq!(groups(pattern, b"abac", 5), Ok(None));
    }
    // What is before the offset is there for the pattern to see.
    for pattern in [&b"^b"[..], b"(?<!a)b", b"\\Bx\\b"] {
        assert_eq!(groups(pattern, b"ab", 1), Ok(None));
    }
    assert!(groups(b"(?<=a)b", b"ab", 1).is_ok_and(|found| found.is_some()));
}

#[test]
fn faults() {
    for (pattern, message) in [
        (&b"(a"[..], "missing closing parenthesis (behind the first 2 bytes)"),
        (b"a)b", "unmatched closing parenthesis (behind the first 1 bytes)"),
        (b"*a", "quantifier does not follow a repeatable item (behind the first 0 bytes)"),
        (b"[z-a]", "range out of order in character class (behind the first 3 bytes)"),
    ] {
        assert_eq!(groups(pattern, b"", 0), Err(message.to_owned()), "{}", pattern.escape_ascii());
    }
    assert!(groups(&vec![b'a'; 100_000], b"", 0).is_err());
    assert!(groups(&b"(".repeat(10_000), b"", 0).is_err());
    assert!(groups(&[b"(".repeat(200), b")".repeat(200)].concat(), b"", 0).is_ok());
}

/// Both engines agree wherever both can match.
#[test]
fn engines_agree() {
    let mut random = 7_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    const PARTS: [&str; 28] = [
        "a",
        "b",
        "ab",
        ".",
        "\\w",
        "\\d",
        "[ab]",
        "[^a]",
        "(a|b)",
        "(a|ab)",
        "(?:a|b|)",
        "a*",
        "b+?",
        "(a*)",
        "(b+)*",
        "(?:ab)+",
        "a?",
        "^",
        "$",
        "\\b",
        "a{2,3}",
        "(?:a{1,2}){2}",
        "(b)?",
        "|",
        "(a+|b)+",
        "\\s",
        "1",
        "x*?",
    ];
    const BYTES: &[u8] = b"aabbab1 \nx";
    for round in 0..3_000 {
        let pattern: String = (0..=next(5)).map(|_| PARTS[next(PARTS.len())]).collect();
        let subject: Vec<u8> = (0..next(12)).map(|_| BYTES[next(BYTES.len())]).collect();
        // An empty look-ahead changes nothing but the engine.
        let other = format!("(?:{pattern})(?=)");
        let (found, wanted) =
            (groups(pattern.as_bytes(), &subject, 0), groups(other.as_bytes(), &subject, 0));
        assert_eq!(found, wanted, "round {round}: {pattern} on {}", subject.escape_ascii());
    }
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = PatternCache::new(3, 1_000);
    for round in 0..3 {
        for n in 0..10 {
            let pattern =
                cache.get(format!("^{n}$").as_bytes(), Flags { caseless: round == 1 }).expect("a pattern");
            assert!(pattern.captures_at(n.to_string().as_bytes(), 0).is_ok_and(|found| found.is_some()));
        }
    }
    assert!(format!("{cache:?}").matches("^9$").count() <= 3);
    assert!(PatternCache::new(0, 1_000).get(b"a", Flags::default()).is_ok());
}
