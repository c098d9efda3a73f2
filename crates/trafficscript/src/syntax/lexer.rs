//! Text to tokens. Any bytes are taken; what cannot be a token is noted and skipped.

use super::{Notes, Place};
use crate::note::Severity;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `$name`
    Variable,
    /// `$1` to `$9`.
    Capture(u8),
    /// A word, perhaps with dots in it.
    Name,
    /// Index of the string.
    Text(u32),
    Int(i64),
    Double(f64),
    Symbol(&'static str),
    End,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub place: Place,
    /// Byte offset behind it.
    pub end: u32,
}

/// Operators and brackets, longer ones before those they begin with.
const SYMBOLS: [&str; 45] = [
    "<<=", ">>=", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "++", "--", "+=", "-=", "*=", "/=", "%=",
    ".=", "&=", "|=", "^=", "=>", "=", "+", "-", "*", "/", "%", ".", "<", ">", "!", "~", "&", "|", "^", "?",
    ":", ";", ",", "(", ")", "{", "}", "[",
];

/// Tokens of a text, the last of which is [`Kind::End`], and its strings.
pub(crate) fn tokens(text: &[u8], notes: &mut Notes) -> (Vec<Token>, Vec<Vec<u8>>) {
    let mut lexer = Lexer { text, at: 0, line: 1, tokens: Vec::new(), texts: Vec::new(), notes };
    lexer.tokens.reserve(text.len() / 4);
    while let Some(token) = lexer.next() {
        lexer.tokens.push(token);
    }
    let place = lexer.place();
    lexer.tokens.push(Token { kind: Kind::End, place, end: place.at });
    (lexer.tokens, lexer.texts)
}

struct Lexer<'t, 'n> {
    text: &'t [u8],
    at: usize,
    line: u32,
    tokens: Vec<Token>,
    texts: Vec<Vec<u8>>,
    notes: &'n mut Notes,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Lexer<'_, '_> {
    fn place(&self) -> Place {
        Place { at: self.at as u32, line: self.line }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<&str>) {
        self.notes.add(self.text, place, Severity::Error, message, hint.map(str::to_owned));
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            self.skip_space();
            let place = self.place();
            let kind = match self.byte(0)? {
                b'$' => self.variable(place),
                quote @ (b'"' | b'\'') => Some(self.string(quote, place)),
                b'0'..=b'9' => Some(self.number(place)),
                b'.' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) && !self.behind_operand() => {
                    Some(self.number(place))
                }
                byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                    self.name();
                    Some(Kind::Name)
                }
                b'/' if matches!(self.byte(1), Some(b'/' | b'*')) => {
                    self.foreign_comment(place);
                    None
                }
                _ => self.symbol(place),
            };
            if let Some(kind) = kind {
                return Some(Token { kind, place, end: self.at as u32 });
            }
        }
    }

    /// Whether a `.` here joins what stands before it rather than beginning a number.
    fn behind_operand(&self) -> bool {
        self.tokens.last().is_some_and(|token| match token.kind {
            Kind::Symbol(symbol) => matches!(symbol, ")" | "]"),
            Kind::Name | Kind::End => false,
            _ => true,
        })
    }

    fn skip_space(&mut self) {
        /// White space of web pages that rules are pasted from: no-break and zero-width spaces, byte order mark.
        const FOREIGN: [&[u8]; 6] = [
            b"\xc2\xa0",
            b"\xef\xbb\xbf",
            b"\xe2\x80\x8b",
            b"\xe2\x80\x8c",
            b"\xe2\x80\x8d",
            b"\xe2\x81\xa0",
        ];
        while let Some(byte) = self.byte(0) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'#' => {
                    let rest = self.rest();
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                0x80.. => match FOREIGN.iter().find(|space| self.rest().starts_with(space)) {
                    Some(space) => self.at += space.len(),
                    None => return,
                },
                _ => return,
            }
        }
    }

    fn variable(&mut self, place: Place) -> Option<Kind> {
        self.at += 1;
        let start = self.at;
        while self.byte(0).is_some_and(is_word) {
            self.at += 1;
        }
        match self.text.get(start..self.at).unwrap_or_default() {
            [] => {
                self.error(place, "a name is missing behind $", Some("a variable is written $name"));
                None
            }
            [digit @ b'1'..=b'9'] => Some(Kind::Capture(digit - b'0')),
            [first, ..] if first.is_ascii_digit() => {
                self.error(place, "not a variable", Some("match variables are $1 to $9"));
                Some(Kind::Capture(1))
            }
            _ => Some(Kind::Variable),
        }
    }

    fn name(&mut self) {
        loop {
            while self.byte(0).is_some_and(is_word) {
                self.at += 1;
            }
            let goes_on = self.byte(0) == Some(b'.')
                && self.byte(1).is_some_and(|next| next.is_ascii_alphabetic() || next == b'_');
            if !goes_on {
                return;
            }
            self.at += 1;
        }
    }

    fn symbol(&mut self, place: Place) -> Option<Kind> {
        if self.byte(0) == Some(b']') {
            self.at += 1;
            return Some(Kind::Symbol("]"));
        }
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol.as_bytes())) {
            self.at += symbol.len();
            return Some(Kind::Symbol(symbol));
        }
        if self.rest().starts_with(b"@") {
            let hint = "arrays and hashes are variables like others: $name";
            self.error(place, "unexpected @", Some(hint));
            self.at += 1;
            return None;
        }
        let rest = self.rest();
        let curly = [b"\xe2\x80\x9c", b"\xe2\x80\x9d", b"\xe2\x80\x98", b"\xe2\x80\x99"];
        if curly.iter().any(|quote| rest.starts_with(*quote)) {
            self.error(place, "typographic quotation mark", Some("strings stand between plain \" or '"));
            self.at += 3;
            return None;
        }
        // One remark for a run of such bytes.
        let odd = |byte: &u8| !byte.is_ascii() || (byte.is_ascii_control() && !byte.is_ascii_whitespace());
        let length = rest.iter().take_while(|byte| odd(byte)).count().max(1);
        let shown = rest.get(..length.min(12)).unwrap_or_default().escape_ascii().to_string();
        self.error(place, format!("unexpected {shown}"), None);
        self.at += length;
        None
    }

    /// `// …` and `/* … */` are told and skipped: what is behind them is most likely meant as it stands.
    fn foreign_comment(&mut self, place: Place) {
        let rest = self.rest();
        let (mark, length) = if rest.starts_with(b"/*") {
            ("`/*`", memchr::memmem::find(rest, b"*/").map(|end| end + 2))
        } else {
            ("`//`", memchr::memchr(b'\n', rest))
        };
        let skipped = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        let (bytes, lines) = (skipped.len(), memchr::memchr_iter(b'\n', skipped).count() as u32);
        let hint = "a comment begins with # and ends with its line";
        self.error(place, format!("{mark} begins no comment"), Some(hint));
        self.at += bytes;
        self.line += lines;
    }

    fn number(&mut self, place: Place) -> Kind {
        let radix = match (self.byte(0), self.byte(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => 16,
            (Some(b'0'), Some(b'b' | b'B')) => 2,
            (Some(b'0'), Some(b'o' | b'O')) => 8,
            _ => return self.decimal(place),
        };
        self.at += 2;
        let start = self.at;
        while self.byte(0).is_some_and(is_word) {
            self.at += 1;
        }
        let digits = self.digits(start);
        // All 64 bits may be written out.
        u64::from_str_radix(&digits, radix).map_or_else(
            |_| {
                self.error(place, format!("not a number of base {radix}"), None);
                Kind::Int(0)
            },
            |number| Kind::Int(number.cast_signed()),
        )
    }

    fn digits(&self, start: usize) -> String {
        let digits = self.text.get(start..self.at).unwrap_or_default();
        digits.iter().filter(|byte| **byte != b'_').map(|byte| char::from(*byte)).collect()
    }

    fn decimal(&mut self, place: Place) -> Kind {
        let start = self.at;
        let mut whole = true;
        let skip = |lexer: &mut Self| {
            while lexer.byte(0).is_some_and(|byte| byte.is_ascii_digit() || byte == b'_') {
                lexer.at += 1;
            }
        };
        let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
        skip(self);
        if self.byte(0) == Some(b'.') && is_digit(self.byte(1)) {
            whole = false;
            self.at += 1;
            skip(self);
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
            if is_digit(self.byte(1 + sign)) {
                whole = false;
                self.at += 1 + sign;
                skip(self);
            }
        }
        if self.byte(0).is_some_and(is_word) {
            while self.byte(0).is_some_and(is_word) {
                self.at += 1;
            }
            self.error(place, "not a number", Some("names do not begin with a digit"));
            return Kind::Int(0);
        }
        let digits = self.digits(start);
        if !whole {
            return Kind::Double(digits.parse().unwrap_or(0.0));
        }
        digits.parse().map_or_else(
            |_| {
                self.error(place, "the number has more than 64 bits", None);
                Kind::Int(0)
            },
            Kind::Int,
        )
    }

    fn string(&mut self, quote: u8, place: Place) -> Kind {
        self.at += 1;
        let mut bytes = Vec::new();
        let index = self.texts.len() as u32;
        loop {
            let Some(byte) = self.byte(0) else {
                let hint = "the quotation mark that ends it is missing";
                self.error(place, "the string does not end", Some(hint));
                break;
            };
            self.at += 1;
            match byte {
                b'\n' => {
                    self.line += 1;
                    bytes.push(byte);
                }
                b'\\' if self.byte(0) == Some(b'\n') => {
                    self.line += 1;
                    self.at += 1;
                }
                b'\\' if self.rest().starts_with(b"\r\n") => {
                    self.line += 1;
                    self.at += 2;
                }
                b'\\' if quote == b'"' => self.escape(&mut bytes, place),
                b'\\' if self.byte(0) == Some(b'\'') => {
                    self.at += 1;
                    bytes.push(b'\'');
                }
                _ if byte == quote => break,
                _ => bytes.push(byte),
            }
        }
        self.texts.push(bytes);
        Kind::Text(index)
    }

    /// What stands behind a backslash between double quotes. A backslash before any other character stays.
    fn escape(&mut self, bytes: &mut Vec<u8>, place: Place) {
        let Some(byte) = self.byte(0) else { return };
        self.at += 1;
        let simple = match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'v' => 0x0b,
            b'\\' | b'"' | b'\'' => byte,
            b'x' => return self.coded(bytes, byte, 2, place),
            b'u' => return self.coded(bytes, byte, 4, place),
            b'U' => return self.coded(bytes, byte, 8, place),
            b'0'..=b'3' => {
                let octal = |byte: Option<u8>| byte.filter(|byte| (b'0'..=b'7').contains(byte));
                if let (Some(second), Some(third)) = (octal(self.byte(0)), octal(self.byte(1))) {
                    self.at += 2;
                    bytes.push((byte - b'0') << 6 | (second - b'0') << 3 | (third - b'0'));
                } else {
                    bytes.extend([b'\\', byte]);
                }
                return;
            }
            _ => {
                bytes.extend([b'\\', byte]);
                return;
            }
        };
        bytes.push(simple);
    }

    /// A byte in two hexadecimal digits or a character in four or eight.
    fn coded(&mut self, bytes: &mut Vec<u8>, letter: u8, length: usize, place: Place) {
        let digits = self.rest().get(..length).unwrap_or_default();
        let code = Some(digits)
            .filter(|digits| digits.len() == length && digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(code) = code else {
            bytes.extend([b'\\', letter]);
            return;
        };
        self.at += length;
        if letter == b'x' {
            bytes.push(code as u8);
        } else if let Some(character) = char::from_u32(code) {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.error(place, format!("there is no character {code:x}"), None);
        }
    }
}
