//! What a rule computes with: integers, doubles, byte strings, arrays and hashes.
//!
//! Strings that stand in the rule's text are borrowed from the [`Program`](crate): running a rule touches no count that
//! workers share. Containers are references; the compiler copies them where the language says so (assignment,
//! insertion), which also keeps a container from ever holding itself.

pub mod cast;
pub(crate) mod own;

pub use self::own::ELEMENT;

use std::{cell::RefCell, fmt, ops::Deref, rc::Rc};

use indexmap::IndexMap;

/// Most levels of containers within each other. What would go deeper aborts the rule, so walking a value may recurse.
pub const MAX_LEVELS: usize = 64;

/// A value. `'p` is the life of the program whose constants it may borrow.
#[derive(Clone, Debug)]
pub enum Value<'p> {
    /// A whole number; arithmetic wraps around.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// Bytes.
    Text(Text<'p>),
    /// An array or a hash, by reference.
    Container(Rc<RefCell<Container<'p>>>),
}

/// A byte string, cheap to clone.
#[derive(Clone)]
pub enum Text<'p> {
    /// Part of the program.
    Constant(&'p [u8]),
    /// Made while running.
    Made(Rc<[u8]>),
    /// Made by appending: it can grow where it is as long as nothing else holds it.
    Grown(Rc<Vec<u8>>),
}

/// An array, a hash, or what `[]` gives, which becomes either by its first use.
#[derive(Clone, Debug, Default)]
pub enum Container<'p> {
    /// `[]`.
    #[default]
    Empty,
    /// Elements from index 0.
    Array(Vec<Value<'p>>),
    /// Entries in the order of insertion.
    Hash(IndexMap<Box<[u8]>, Value<'p>>),
}

impl Value<'_> {
    /// The empty string: an unset variable, a missing key, nothing to return.
    pub const EMPTY: Self = Self::Text(Text::Constant(b""));

    /// 1 or 0.
    pub fn flag(truth: bool) -> Self {
        Self::Int(i64::from(truth))
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Constant(bytes) => bytes,
            Self::Made(bytes) => bytes,
            Self::Grown(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<&[u8]> for Value<'_> {
    fn from(bytes: &[u8]) -> Self {
        Self::Text(Text::Made(bytes.into()))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Text(Text::Made(bytes.into()))
    }
}

impl<'p> From<Text<'p>> for Value<'p> {
    fn from(text: Text<'p>) -> Self {
        Self::Text(text)
    }
}

impl<'p> From<Container<'p>> for Value<'p> {
    fn from(container: Container<'p>) -> Self {
        Self::Container(Rc::new(RefCell::new(container)))
    }
}
