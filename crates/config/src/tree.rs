//! A document as a tree whose every node knows its place in the text.
//!
//! Scalars stay text: what `40` or `yes` means is decided by the key it is given to (see [`crate::coerce`]).

use std::sync::Arc;

use crate::diagnostic::Position;

/// A node of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) at: Position,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `null`, `~` or nothing at all.
    Null,
    /// A reference that could not be read and has been reported.
    Unresolved,
    /// A single value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written. Keys differ from each other, unless that has been reported.
    Map(Vec<Entry>),
}

/// A single value as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Bytes of a `!!binary` scalar, or of a file that is not text.
    pub(crate) binary: Option<Vec<u8>>,
    /// The file it was read from, for a value given by reference.
    pub(crate) file: Option<Arc<str>>,
    /// Where its first character stands, for text written line by line behind `|`.
    pub(crate) literal: Option<Position>,
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// Text that stands in no document.
    pub(crate) fn text(text: &str) -> Self {
        let scalar = Scalar { text: text.to_owned(), binary: None, file: None, literal: None };
        Self { kind: Kind::Scalar(scalar), at: Position { line: 1, column: 1 } }
    }

    /// What people call this kind of node.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Null | Kind::Unresolved => "nothing",
            Kind::Scalar(Scalar { binary: Some(_), .. }) => "bytes",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// Makes this tree one that was read from `file` by a reference at `at`.
    pub(crate) fn stand_at(&mut self, at: Position, file: &Arc<str>) {
        self.at = at;
        match &mut self.kind {
            Kind::Null | Kind::Unresolved => {}
            Kind::Scalar(scalar) => scalar.file = Some(Arc::clone(file)),
            Kind::List(items) => items.iter_mut().for_each(|item| item.stand_at(at, file)),
            Kind::Map(entries) => {
                for entry in entries {
                    entry.at = at;
                    entry.value.stand_at(at, file);
                }
            }
        }
    }

    /// What a copy of this tree costs.
    pub(crate) fn cost(&self) -> Cost {
        let leaf = Cost { nodes: 1, bytes: 0, depth: 0 };
        match &self.kind {
            Kind::Null | Kind::Unresolved => leaf,
            Kind::Scalar(scalar) => {
                Cost { bytes: scalar.text.len() + scalar.binary.as_ref().map_or(0, Vec::len), ..leaf }
            }
            Kind::List(items) => {
                items.iter().fold(Cost { depth: 1, ..leaf }, |sum, item| sum.holding(item.cost()))
            }
            Kind::Map(entries) => entries.iter().fold(Cost { depth: 1, ..leaf }, |sum, entry| {
                let sum = sum.holding(entry.value.cost());
                Cost { bytes: sum.bytes.saturating_add(entry.key.len()), ..sum }
            }),
        }
    }
}

/// Size of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) nodes: usize,
    /// Of text and keys.
    pub(crate) bytes: usize,
    /// Levels of lists and mappings.
    pub(crate) depth: usize,
}

impl Cost {
    /// This tree with `inner` put into it.
    fn holding(self, inner: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(inner.nodes),
            bytes: self.bytes.saturating_add(inner.bytes),
            depth: self.depth.max(inner.depth + 1),
        }
    }
}
