//! Why a request is refused: the error document of the interface.

use serde_json::{Map, Value as Json, json};

/// An error document in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Such as `resource.validation_error`.
    pub id: &'static str,
    /// For people.
    pub text: String,
    /// Section → key → fault, one level deeper for rows of tables. Always an object of objects.
    pub info: Map<String, Json>,
}

impl Refusal {
    /// A refusal without details.
    pub fn new(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, text: text.into(), info: Map::new() }
    }

    /// The body of the answer.
    pub fn body(&self) -> Json {
        json!({ "error_id": self.id, "error_text": self.text, "error_info": self.info })
    }
}

/// Most faults that one refusal names.
pub(crate) const MAX_FAULTS: usize = 200;

/// Collects the faults of one body.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    info: Map<String, Json>,
    found: usize,
}

impl Faults {
    /// Enters a fault at `path`: section, key, and for a cell of a table row and column.
    pub(crate) fn add(&mut self, path: &[&str], id: &str, text: &str) {
        self.found += 1;
        if self.found > MAX_FAULTS {
            return;
        }
        let mut level = &mut self.info;
        let Some((last, above)) = path.split_last() else { return };
        for step in above {
            let entry = level.entry((*step).to_owned()).or_insert_with(|| Json::Object(Map::new()));
            match entry {
                Json::Object(inner) => level = inner,
                // Never: a path is either a fault or leads to some.
                _ => return,
            }
        }
        level.insert((*last).to_owned(), json!({ "error_id": id, "error_text": text }));
    }

    /// How many were found.
    pub(crate) fn count(&self) -> usize {
        self.found
    }

    /// The refusal, if there are any.
    pub(crate) fn into_refusal(self) -> Result<(), Refusal> {
        if self.found == 0 {
            return Ok(());
        }
        let text = if self.found == 1 {
            "the resource has a fault; see error_info".to_owned()
        } else {
            format!("the resource has {} faults; see error_info", self.found)
        };
        Err(Refusal { id: "resource.validation_error", text, info: self.info })
    }
}
