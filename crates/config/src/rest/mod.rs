//! The REST interface's view of the configuration: pure, over the one schema.
//!
//! ```text
//! GET   path ──place──► Place ──► Running (documents + layer) ──view──► JSON of one API version
//! PUT   JSON ──write──► Change or Refusal ──► Layer ──lay──► compiled like a document
//! ```
//!
//! REST is one more writer of documents. What it writes is a [`layer::Layer`]: objects with the keys that were
//! written, and objects that were removed. The layer lies over the documents and is compiled with them; nothing
//! here knows the model.

pub mod export;
mod json;
pub mod layer;
pub mod place;
mod refusal;
pub mod text;
mod version;
mod view;
mod write;

#[cfg(test)]
mod tests;

pub use layer::LeftOut;
pub use refusal::Refusal;
pub use version::Version;
pub use view::{ExpertKeys, MAX_EXPERT_KEYS, Running};
pub use write::{Change, MAX_JSON_DEPTH, is_shallow};

pub use crate::merge::{MAX_NAME_BYTES, MAX_OBJECTS};
use crate::schema::{ObjectType, SCHEMA};

/// A type of object, such as `pools`.
#[derive(Clone, Copy, Debug)]
pub struct Type(pub(crate) &'static ObjectType);

impl Type {
    /// The type with this path.
    pub fn of(path: &str) -> Option<Self> {
        SCHEMA.types.get(path).map(Self)
    }

    /// Its path, such as `ssl/server_keys`.
    pub fn path(self) -> &'static str {
        &self.0.path
    }

    /// Whether its objects are raw bytes instead of properties.
    pub fn is_raw(self) -> bool {
        self.0.raw
    }

    /// Whether there is one object without a name.
    pub fn is_singleton(self) -> bool {
        self.0.singleton
    }

    /// Whether its objects are the machines of a cluster, which come and go by themselves.
    pub fn is_machines(self) -> bool {
        self.0.path == TRAFFIC_MANAGERS
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Type {}

/// The type whose objects are traffic managers.
const TRAFFIC_MANAGERS: &str = "traffic_managers";
