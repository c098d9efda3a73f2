//! Search filters of directories (RFC 4515), with places for the name of a user.
//!
//! Text in, a tree out. The user's name goes into values of the tree, never into text that is read again: whatever it
//! holds, it can neither end a value nor be a wildcard.

use std::sync::Arc;

/// Longest text of a filter, bytes.
const MOST_TEXT: usize = 4096;
/// Most filters within each other.
const MOST_LEVELS: usize = 16;

/// What stands for the user's name.
const USER: &[u8] = b"%u";

/// A search filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `(&…)`: all of them; none is true (RFC 4526).
    And(Vec<Self>),
    /// `(|…)`: one of them; none is false (RFC 4526).
    Or(Vec<Self>),
    /// `(!…)`
    Not(Box<Self>),
    /// `(uid=ada)`
    Equal(Arc<str>, Template),
    /// `(age>=7)`
    AtLeast(Arc<str>, Template),
    /// `(age<=7)`
    AtMost(Arc<str>, Template),
    /// `(cn~=ada)`
    Like(Arc<str>, Template),
    /// `(mail=*)`
    Present(Arc<str>),
    /// `(cn=a*b*c)`: what it begins with, holds, and ends with; an empty template = nothing in particular.
    Parts {
        /// The attribute.
        attribute: Arc<str>,
        /// In front of the first `*`.
        first: Template,
        /// Between two of them.
        middle: Vec<Template>,
        /// Behind the last one.
        last: Template,
    },
    /// `(cn:dn:2.5.13.5:=ada)`
    Rule {
        /// The attribute; empty = all to which the rule applies.
        attribute: Arc<str>,
        /// Identity of the matching rule; empty = that of the attribute's equality.
        rule: Arc<str>,
        /// Whether attributes of the entry's name count too.
        of_name: bool,
        /// The value.
        value: Template,
    },
}

/// A value in which the user's name may stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// Part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    User,
}

impl Template {
    /// The value for a user.
    pub fn of(&self, user: &[u8]) -> Vec<u8> {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.as_slice(),
            Piece::User => user,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    /// Whether nothing stands in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn names_user(&self) -> bool {
        self.0.contains(&Piece::User)
    }
}

impl Filter {
    /// Reads a filter. Brackets around all of it may be left out. The error is a phrase for people.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > MOST_TEXT {
            return Err(format!("it is longer than {MOST_TEXT} bytes"));
        }
        let text = text.trim();
        let bare = format!("({text})");
        let mut reader = Reader { text: if text.starts_with('(') { text } else { &bare }.as_bytes(), at: 0 };
        let filter = reader.filter(0)?;
        if reader.at < reader.text.len() {
            return Err(reader.fault("there is more behind its end"));
        }
        Ok(filter)
    }

    /// Whether it depends on the user at all.
    pub fn names_user(&self) -> bool {
        match self {
            Self::And(filters) | Self::Or(filters) => filters.iter().any(Self::names_user),
            Self::Not(filter) => filter.names_user(),
            Self::Equal(_, value)
            | Self::AtLeast(_, value)
            | Self::AtMost(_, value)
            | Self::Like(_, value)
            | Self::Rule { value, .. } => value.names_user(),
            Self::Present(_) => false,
            Self::Parts { first, middle, last, .. } => {
                first.names_user() || last.names_user() || middle.iter().any(Template::names_user)
            }
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn fault(&self, what: &str) -> String {
        format!("{what} (at byte {})", self.at + 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.fault(&format!("`{}` is missing", char::from(byte))))
    }

    fn filter(&mut self, level: usize) -> Result<Filter, String> {
        if level >= MOST_LEVELS {
            return Err(format!("more than {MOST_LEVELS} filters are within each other"));
        }
        self.expect(b'(')?;
        let filter = match self.peek() {
            Some(b'&') => Filter::And(self.list(level)?),
            Some(b'|') => Filter::Or(self.list(level)?),
            Some(b'!') => {
                self.at += 1;
                Filter::Not(Box::new(self.filter(level + 1)?))
            }
            _ => self.item()?,
        };
        self.expect(b')')?;
        Ok(filter)
    }

    fn list(&mut self, level: usize) -> Result<Vec<Filter>, String> {
        self.at += 1;
        let mut filters = Vec::new();
        while self.peek() == Some(b'(') {
            filters.push(self.filter(level + 1)?);
        }
        Ok(filters)
    }

    fn item(&mut self) -> Result<Filter, String> {
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.;".contains(byte);
        let attribute = self.take(name);
        let compare: Option<fn(Arc<str>, Template) -> Filter> = match self.peek() {
            Some(b':') => return self.rule(attribute),
            Some(b'=') => None,
            Some(b'>') => Some(Filter::AtLeast),
            Some(b'<') => Some(Filter::AtMost),
            Some(b'~') => Some(Filter::Like),
            _ => return Err(self.fault("`=` is missing")),
        };
        if attribute.is_empty() {
            return Err(self.fault("the name of an attribute is missing"));
        }
        if let Some(compare) = compare {
            self.at += 1;
            self.expect(b'=')?;
            return Ok(compare(attribute, self.value()?));
        }
        self.at += 1;
        let mut parts = vec![self.value()?];
        while self.peek() == Some(b'*') {
            self.at += 1;
            parts.push(self.value()?);
        }
        let last = parts.pop().unwrap_or_default();
        if parts.is_empty() {
            return Ok(Filter::Equal(attribute, last));
        }
        let first = parts.remove(0);
        if first.is_empty() && last.is_empty() && parts.iter().all(Template::is_empty) {
            return Ok(Filter::Present(attribute));
        }
        // `a**b` is `a*b`.
        let middle = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(Filter::Parts { attribute, first, middle, last })
    }

    /// Behind the attribute: `[:dn][:rule]:=value`.
    fn rule(&mut self, attribute: Arc<str>) -> Result<Filter, String> {
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
        let (mut of_name, mut rule) = (false, Arc::<str>::from(""));
        self.at += 1;
        while self.peek() != Some(b'=') {
            let word = self.take(name);
            if word.is_empty() || !rule.is_empty() {
                return Err(self.fault("`:=` is missing"));
            }
            if word.eq_ignore_ascii_case("dn") && !of_name {
                of_name = true;
            } else {
                rule = word;
            }
            self.expect(b':')?;
        }
        self.at += 1;
        if attribute.is_empty() && rule.is_empty() {
            return Err(self.fault("neither an attribute nor a matching rule is named"));
        }
        Ok(Filter::Rule { attribute, rule, of_name, value: self.value()? })
    }

    fn take(&mut self, wanted: impl Fn(&u8) -> bool) -> Arc<str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        self.at += length;
        String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into()
    }

    fn value(&mut self) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            match rest {
                [] | [b')' | b'*', ..] => break,
                [b'(', ..] => return Err(self.fault("a bracket in a value is written \\28")),
                [b'\\', high, low, ..] => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                        return Err(self.fault("two hexadecimal digits belong behind `\\`"));
                    };
                    bytes.push((high * 16 + low) as u8);
                    self.at += 3;
                }
                [b'\\', ..] => return Err(self.fault("two hexadecimal digits belong behind `\\`")),
                _ if rest.starts_with(USER) => {
                    if !bytes.is_empty() {
                        pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    }
                    pieces.push(Piece::User);
                    self.at += USER.len();
                }
                [byte, ..] => {
                    bytes.push(*byte);
                    self.at += 1;
                }
            }
        }
        if !bytes.is_empty() {
            pieces.push(Piece::Bytes(bytes));
        }
        Ok(Template(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &str) -> Template {
        Template(vec![Piece::Bytes(bytes.into())])
    }

    fn user() -> Template {
        Template(vec![Piece::User])
    }

    #[test]
    fn filters() {
        let equal = |attribute: &str, value| Filter::Equal(attribute.into(), value);
        let table = [
            ("(uid=%u)", equal("uid", user())),
            (" uid=%u ", equal("uid", user())),
            (r"(cn=a\2ab\5c)", equal("cn", text(r"a*b\"))),
            ("(cn=)", equal("cn", Template::default())),
            ("(cn;lang-de=ä)", equal("cn;lang-de", text("ä"))),
            ("(mail=*)", Filter::Present("mail".into())),
            ("(&)", Filter::And(Vec::new())),
            (
                "(&(objectClass=person)(|(uid=%u)(!(mail=*))))",
                Filter::And(vec![
                    equal("objectClass", text("person")),
                    Filter::Or(vec![
                        equal("uid", user()),
                        Filter::Not(Box::new(Filter::Present("mail".into()))),
                    ]),
                ]),
            ),
            ("(a>=1)", Filter::AtLeast("a".into(), text("1"))),
            ("(a<=1)", Filter::AtMost("a".into(), text("1"))),
            ("(a~=x)", Filter::Like("a".into(), text("x"))),
            (
                "(mail=%u@*b**c*)",
                Filter::Parts {
                    attribute: "mail".into(),
                    first: Template(vec![Piece::User, Piece::Bytes(b"@".into())]),
                    middle: vec![text("b"), text("c")],
                    last: Template::default(),
                },
            ),
            (
                "(memberOf:1.2.840.113556.1.4.1941:=cn=%u)",
                Filter::Rule {
                    attribute: "memberOf".into(),
                    rule: "1.2.840.113556.1.4.1941".into(),
                    of_name: false,
                    value: Template(vec![Piece::Bytes(b"cn=".into()), Piece::User]),
                },
            ),
            (
                "(:DN:caseIgnoreMatch:=x)",
                Filter::Rule {
                    attribute: "".into(),
                    rule: "caseIgnoreMatch".into(),
                    of_name: true,
                    value: text("x"),
                },
            ),
        ];
        for (written, expected) in table {
            let read = Filter::read(written);
            assert_eq!(read.as_ref().map(Filter::names_user), Ok(written.contains("%u")), "{written}");
            assert_eq!(read, Ok(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_filter() {
        let deep = format!("{}a=b{}", "(!".repeat(16) + "(", ")".repeat(17));
        let long = format!("(a={})", "x".repeat(MOST_TEXT));
        for written in [
            "",
            "()",
            "(uid)",
            "(=x)",
            "(uid=%u",
            "(uid=%u))",
            "(uid=a(b)",
            r"(a=\4)",
            r"(a=\zz)",
            "(a>1)",
            "(&(a=b)",
            "(!)",
            "(:=x)",
            "(a:b:c:=x)",
            "(a b=c)",
            &deep,
            &long,
        ] {
            assert!(Filter::read(written).is_err(), "{written}: {:?}", Filter::read(written));
        }
    }

    #[test]
    fn a_name_stays_a_value() {
        let Ok(Filter::Equal(_, value)) = Filter::read("(uid=x-%u-%u)") else { panic!() };
        assert_eq!(value.of(b"*)(uid=*"), b"x-*)(uid=*-*)(uid=*");
        assert_eq!(value.of(b""), b"x--");
    }
}
