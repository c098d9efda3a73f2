//! Which patterns mean the same to the linear engine as they do in Perl. What is not known to be the same is refused.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{
    AssertionKind, Ast, ClassPerl, ClassSet, ClassSetItem, Flag, FlagsItemKind, GroupKind, HexLiteralKind,
    Literal, LiteralKind, SpecialLiteralKind, parse::Parser,
};

use super::Flags;

/// Largest compiled form in bytes; time is at worst its size times that of the subject.
const MAX_SIZE: usize = 256 << 10;
/// Most memory per worker and pattern for what matching learns.
const MAX_LEARNED: usize = 256 << 10;

/// The pattern for the linear engine, if it means the same there, and whether it has a `$`.
pub(super) fn compile(text: &str, flags: Flags) -> Option<(Regex, bool)> {
    if !text.is_ascii() {
        return None;
    }
    let ast = Parser::new().parse(text).ok()?;
    let mut check = Check { text, has_dollar: false };
    if !check.pattern(&ast) {
        return None;
    }
    let regex = RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(flags.caseless)
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_LEARNED)
        .build()
        .ok()?;
    Some((regex, check.has_dollar))
}

struct Check<'t> {
    text: &'t str,
    has_dollar: bool,
}

impl Check<'_> {
    /// The whole: flags may stand at its beginning.
    fn pattern(&mut self, ast: &Ast) -> bool {
        match ast {
            Ast::Concat(concat) => match concat.asts.split_first() {
                Some((Ast::Flags(set), rest)) => {
                    plain_flags(&set.flags) && rest.iter().all(|ast| self.same(ast))
                }
                _ => self.same(ast),
            },
            _ => self.same(ast),
        }
    }

    fn same(&mut self, ast: &Ast) -> bool {
        match ast {
            Ast::Empty(_) | Ast::Dot(_) | Ast::ClassPerl(_) => true,
            // Flags in the middle reach differently far.
            Ast::Flags(_) | Ast::ClassUnicode(_) => false,
            Ast::Literal(literal) => plain_literal(literal),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary => true,
                AssertionKind::EndLine => {
                    self.has_dollar = true;
                    true
                }
                _ => false,
            },
            Ast::ClassBracketed(class) => match &class.kind {
                ClassSet::Item(item) => plain_item(item),
                ClassSet::BinaryOp(_) => false,
            },
            Ast::Repetition(repetition) => {
                // `a++` is possessive in Perl; rounds that match nothing end a loop differently.
                let written = self.text.get(repetition.op.span.start.offset..).unwrap_or_default();
                !matches!(*repetition.ast, Ast::Repetition(_))
                    && !written.starts_with("{,")
                    && !can_be_empty(&repetition.ast)
                    && self.same(&repetition.ast)
            }
            Ast::Group(group) => {
                let plain = match &group.kind {
                    GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => true,
                    GroupKind::NonCapturing(flags) => plain_flags(flags),
                };
                plain && self.same(&group.ast)
            }
            Ast::Alternation(alternation) => alternation.asts.iter().all(|ast| self.same(ast)),
            Ast::Concat(concat) => concat.asts.iter().all(|ast| self.same(ast)),
        }
    }
}

fn plain_flags(flags: &regex_syntax::ast::Flags) -> bool {
    flags.items.iter().all(|item| {
        matches!(
            item.kind,
            FlagsItemKind::Negation | FlagsItemKind::Flag(Flag::CaseInsensitive | Flag::DotMatchesNewLine)
        )
    })
}

fn plain_literal(literal: &Literal) -> bool {
    match literal.kind {
        LiteralKind::Verbatim | LiteralKind::Meta | LiteralKind::Superfluous => literal.c.is_ascii(),
        LiteralKind::HexFixed(HexLiteralKind::X) => true,
        LiteralKind::Octal | LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => false,
        // `\v` is any vertical space in Perl.
        LiteralKind::Special(ref kind) => {
            !matches!(kind, SpecialLiteralKind::VerticalTab | SpecialLiteralKind::Space)
        }
    }
}

fn plain_item(item: &ClassSetItem) -> bool {
    match item {
        ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) | ClassSetItem::Perl(ClassPerl { .. }) => true,
        ClassSetItem::Literal(literal) => plain_literal(literal),
        ClassSetItem::Range(range) => plain_literal(&range.start) && plain_literal(&range.end),
        ClassSetItem::Unicode(_) | ClassSetItem::Bracketed(_) => false,
        ClassSetItem::Union(union) => union.items.iter().all(plain_item),
    }
}

/// Whether something can match nothing.
fn can_be_empty(ast: &Ast) -> bool {
    match ast {
        Ast::Empty(_) | Ast::Flags(_) | Ast::Assertion(_) => true,
        Ast::Dot(_) | Ast::Literal(_) | Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_) => {
            false
        }
        Ast::Repetition(repetition) => {
            use regex_syntax::ast::{RepetitionKind, RepetitionRange};
            let least = match &repetition.op.kind {
                RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore => 0,
                RepetitionKind::OneOrMore => 1,
                RepetitionKind::Range(
                    RepetitionRange::Exactly(least)
                    | RepetitionRange::AtLeast(least)
                    | RepetitionRange::Bounded(least, _),
                ) => *least,
            };
            least == 0 || can_be_empty(&repetition.ast)
        }
        Ast::Group(group) => can_be_empty(&group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter().any(can_be_empty),
        Ast::Concat(concat) => concat.asts.iter().all(can_be_empty),
    }
}
