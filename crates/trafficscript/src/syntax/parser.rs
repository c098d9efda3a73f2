//! The state of the parser: the tokens and where it is in them, what it has built, how it goes on behind a fault.

use super::{
    Expression, Id, MAX_NESTING, MAX_TEXT, Node, Notes, Place, Span, Tree,
    lexer::{self, Kind, Token},
};
use crate::note::Severity;

/// A fault has been noted; the statement it is in is given up.
#[derive(Debug)]
pub(super) struct GivenUp;

pub(super) type Parsed<T> = Result<T, GivenUp>;

/// The structure of a rule, with remarks on what is wrong in it.
pub(crate) fn parse(text: &[u8]) -> Tree {
    let mut notes = Notes::default();
    let mut text = text;
    if text.len() > MAX_TEXT {
        notes.add(
            b"",
            Place { at: 0, line: 1 },
            Severity::Error,
            format!("the rule has {} bytes, {MAX_TEXT} is the most", text.len()),
            None,
        );
        text = b"";
    }
    let (tokens, texts) = lexer::tokens(text, &mut notes);
    let mut parser =
        Parser { text, tokens, next: 0, depth: 0, blocks: 0, tree: Tree { texts, notes, ..Tree::default() } };
    parser.rule();
    parser.tree
}

pub(super) struct Parser<'t> {
    pub text: &'t [u8],
    tokens: Vec<Token>,
    next: usize,
    depth: u32,
    /// Blocks around this place.
    pub blocks: u32,
    pub tree: Tree,
}

impl Parser<'_> {
    pub(super) fn token(&self) -> Token {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> Token {
        const END: Token = Token { kind: Kind::End, place: Place { at: 0, line: 1 }, end: 0 };
        self.tokens.get(self.next + count).or_else(|| self.tokens.last()).copied().unwrap_or(END)
    }

    /// The token before this one.
    pub(super) fn last(&self) -> Option<Token> {
        self.tokens.get(self.next.checked_sub(1)?).copied()
    }

    /// The token before [`last`](Self::last).
    pub(super) fn before_last(&self) -> Option<Token> {
        self.tokens.get(self.next.checked_sub(2)?).copied()
    }

    pub(super) fn advance(&mut self) -> Token {
        let token = self.token();
        if token.kind != Kind::End {
            self.next += 1;
        }
        token
    }

    pub(super) fn is(&self, symbol: &str) -> bool {
        matches!(self.token().kind, Kind::Symbol(found) if found == symbol)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.token().kind == Kind::Name && self.word(self.token()) == word
    }

    /// The text of a token, of a variable its name.
    pub(super) fn word(&self, token: Token) -> &str {
        let span = span(token);
        let bytes = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.next += 1;
        }
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next += 1;
        }
        found
    }

    /// The symbol, or a remark that it is missing `here`.
    pub(super) fn expect(&mut self, symbol: &str, here: &str) -> Parsed<()> {
        if self.take(symbol) {
            return Ok(());
        }
        let (found, hint) = (self.found(), self.instead_of_end());
        Err(self.fault(self.token().place, format!("`{symbol}` expected {here}, found {found}"), hint))
    }

    /// As [`expect`](Self::expect), with what to say if there is something else.
    pub(super) fn expect_with(&mut self, symbol: &str, here: &str, hint: &str) -> Parsed<()> {
        if self.take(symbol) {
            return Ok(());
        }
        let message = format!("`{symbol}` expected {here}, found {}", self.found());
        Err(self.fault(self.token().place, message, Some(hint.to_owned())))
    }

    pub(super) fn expect_variable(&mut self, here: &str) -> Parsed<Span> {
        let token = self.token();
        if token.kind == Kind::Variable {
            self.next += 1;
            return Ok(span(token));
        }
        let (found, hint) = (self.found(), self.instead_of_variable());
        Err(self.fault(token.place, format!("a variable expected {here}, found {found}"), hint))
    }

    /// What stands here, for people.
    pub(super) fn found(&self) -> String {
        let token = self.token();
        match token.kind {
            Kind::End => "the end of the rule".to_owned(),
            Kind::Text(_) => "a string".to_owned(),
            Kind::Variable => format!("${}", self.word(token)),
            _ => format!("`{}`", self.word(token)),
        }
    }

    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.tree.notes.add(self.text, place, Severity::Error, message, hint);
    }

    pub(super) fn fault(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> GivenUp {
        self.error(place, message, hint);
        GivenUp
    }

    /// Parses something one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_NESTING {
            let place = self.token().place;
            return Err(self.fault(place, format!("nested more than {MAX_NESTING} levels deep"), None));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub(super) fn node(&mut self, place: Place, expression: Expression) -> Id {
        self.tree.nodes.push(Node { place, expression });
        (self.tree.nodes.len() - 1) as Id
    }

    pub(super) fn expression_of(&self, id: Id) -> Option<&Expression> {
        self.tree.nodes.get(id as usize).map(|node| &node.expression)
    }

    /// Goes behind the statement that was given up: behind its semicolon or its block, or before the brace that ends
    /// the block around it. `began` is where the statement began, so that something is skipped in any case.
    pub(super) fn recover(&mut self, began: usize) {
        if self.next == began && !(self.is("}") && self.blocks > 0) {
            self.advance();
        }
        let mut open = 0_u32;
        loop {
            match self.token().kind {
                Kind::End => return,
                Kind::Symbol("{") => open += 1,
                Kind::Symbol("}") if open == 0 => {
                    if self.blocks == 0 {
                        self.advance();
                    }
                    return;
                }
                Kind::Symbol("}") => {
                    open -= 1;
                    if open == 0 {
                        self.advance();
                        return;
                    }
                }
                Kind::Symbol(";") if open == 0 => {
                    self.advance();
                    return;
                }
                _ => {}
            }
            self.advance();
        }
    }

    pub(super) fn position(&self) -> usize {
        self.next
    }
}

pub(super) fn span(token: Token) -> Span {
    let start = token.place.at + u32::from(token.kind == Kind::Variable);
    Span { place: token.place, start, end: token.end }
}
