//! Whether the regular expressions of the documents compile, each found out once.

use std::{collections::HashMap, sync::Arc};

use regex::RegexBuilder;

/// Largest compiled form of a pattern, bytes.
pub const MAX_PATTERN_BYTES: usize = 1024 * 1024;
/// Most different patterns of one compilation.
pub const MAX_PATTERNS: usize = 2000;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
}

/// What has been found out so far.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    known: HashMap<Arc<str>, Result<(), Refusal>>,
}

impl Patterns {
    /// Whether `pattern` compiles within the bounds.
    pub(crate) fn check(&mut self, pattern: &Arc<str>) -> Result<(), Refusal> {
        if let Some(verdict) = self.known.get(pattern) {
            return verdict.clone();
        }
        if self.known.len() >= MAX_PATTERNS {
            let reason = format!("there are more than {MAX_PATTERNS} different patterns");
            return Err(Refusal { reason, hint: None });
        }
        let verdict = compile(pattern);
        self.known.insert(Arc::clone(pattern), verdict.clone());
        verdict
    }
}

fn compile(pattern: &str) -> Result<(), Refusal> {
    match RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build() {
        Ok(_) => Ok(()),
        Err(regex::Error::Syntax(text)) => Err(Refusal { reason: reason(&text), hint: hint(&text) }),
        Err(_) => {
            Err(Refusal { reason: format!("it compiles to more than {MAX_PATTERN_BYTES} bytes"), hint: None })
        }
    }
}

/// The last line of a syntax error, which holds the reason; those above it repeat the pattern.
fn reason(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}

fn hint(text: &str) -> Option<String> {
    let beyond = text.contains("look-around") || text.contains("backreferences");
    beyond.then(|| {
        "patterns here run in linear time; write it without look-around and backreferences".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_counted_once_each() {
        let mut patterns = Patterns::default();
        for number in 0..MAX_PATTERNS {
            assert_eq!(patterns.check(&format!("{number}").into()), Ok(()));
        }
        assert!(patterns.check(&Arc::from("one more")).is_err());
        assert_eq!(patterns.check(&Arc::from("7")), Ok(()), "known ones still pass");
    }
}
