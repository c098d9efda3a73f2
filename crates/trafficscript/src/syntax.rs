//! From the text of a rule to its structure: tokens, then expressions in an arena and statements above them. Every fault
//! is noted and the parser goes on behind it.

mod expression;
mod foreign;
pub(crate) mod lexer;
mod parser;
mod statement;

pub(crate) use self::{foreign::function as foreign_function, parser::parse, statement::miscased};

use crate::note::{Note, Severity, place};

/// Longest text of a rule in bytes.
pub const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting of brackets, operators and blocks within each other.
pub const MAX_NESTING: u32 = 100;
/// Most remarks on one rule; the rest is left out.
pub const MAX_NOTES: usize = 50;

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Byte offset.
    pub at: u32,
    /// Line, from 1.
    pub line: u32,
}

/// A stretch of the text: a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where it stands, a variable with its dollar sign.
    pub place: Place,
    pub start: u32,
    pub end: u32,
}

/// Index of an expression in [`Tree::nodes`].
pub(crate) type Id = u32;

/// Operators with two operands that are both computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
    Concatenate,
    ShiftLeft,
    ShiftRight,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Xor,
    Or,
}

impl Binary {
    /// Whether it gives 1 or 0.
    pub(crate) fn compares(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual | Self::Equal | Self::NotEqual
        )
    }
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Flip,
    Negate,
}

/// An expression. Operands are indices, so that dropping a long chain of operators needs no recursion.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Int(i64),
    Double(f64),
    /// Index in [`Tree::texts`].
    Text(u32),
    Variable(Span),
    /// `$1` to `$9`.
    Capture(u8),
    Array(Box<[Id]>),
    /// Keys and values in turn.
    Hash(Box<[Id]>),
    Index(Id, Id),
    Call(Span, Box<[Id]>),
    Unary(Unary, Id),
    Binary(Binary, Id, Id),
    /// `&&`
    Both(Id, Id),
    /// `||`
    Either(Id, Id),
    /// `?:`
    Choice(Id, Id, Id),
    /// Place, operator of a compound assignment, value.
    Assign(Id, Option<Binary>, Id),
    /// `++`, `--`: place, 1 or -1, whether the operator stands in front.
    Step(Id, i8, bool),
}

/// An expression and where it stands (an operator: where the operator stands).
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub place: Place,
    pub expression: Expression,
}

pub(crate) type Block = Vec<Statement>;

/// A case of a switch: its values, then what is done.
#[derive(Debug)]
pub(crate) struct Case {
    pub values: Vec<Id>,
    pub block: Block,
}

#[derive(Debug)]
pub(crate) enum Statement {
    Expression(Id),
    If { branches: Vec<(Id, Block)>, otherwise: Option<Block> },
    Switch { place: Place, value: Id, comparator: Option<Span>, cases: Vec<Case>, default: Option<Block> },
    While(Id, Block),
    Do(Block, Id),
    For { place: Place, first: Vec<Id>, condition: Option<Id>, step: Vec<Id>, block: Block },
    Foreach(Span, Id, Block),
    Break(Place),
    Continue(Place),
    Return(Place, Option<Id>),
    Block(Block),
}

/// A sub.
#[derive(Debug)]
pub(crate) struct Sub {
    pub name: Span,
    pub parameters: Vec<Span>,
    pub block: Block,
}

/// An import of another rule's subs.
#[derive(Debug)]
pub(crate) struct Import {
    pub place: Place,
    /// Name of the rule.
    pub rule: String,
    /// The name in front of the dot when its subs are called.
    pub alias: String,
}

/// The structure of a rule.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub nodes: Vec<Node>,
    pub texts: Vec<Vec<u8>>,
    pub block: Block,
    pub subs: Vec<Sub>,
    pub imports: Vec<Import>,
    pub strict: bool,
    pub notes: Notes,
}

/// Remarks, up to [`MAX_NOTES`].
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub notes: Vec<Note>,
    pub errors: usize,
}

impl Notes {
    pub(crate) fn add(
        &mut self,
        text: &[u8],
        place_of: Place,
        severity: Severity,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.errors += usize::from(severity == Severity::Error);
        // Errors are told even if there are warnings galore.
        let room = if severity == Severity::Error { MAX_NOTES } else { MAX_NOTES / 2 };
        if self.notes.len() < room {
            let (column, source_line) = place(text, place_of.at as usize);
            let message = message.into();
            self.notes.push(Note { severity, line: place_of.line, column, source_line, message, hint });
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.errors >= MAX_NOTES
    }
}
