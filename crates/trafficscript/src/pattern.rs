//! Regular expressions in the syntax of Perl, with a bound on the work of a match.

use std::{collections::VecDeque, fmt, sync::Arc};

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

/// Flags of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `i`: letters match in either case.
    pub caseless: bool,
}

/// A compiled pattern, cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    regex: Arc<Regex>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.regex.as_str())
    }
}

impl Pattern {
    /// Compiles `text`, with at most `match_steps` steps per match.
    pub fn compile(text: &[u8], flags: Flags, match_steps: u32) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text);
        let regex = RegexBuilder::new()
            .caseless(flags.caseless)
            .jit_if_available(true)
            .build(&format!("(*LIMIT_MATCH={match_steps}){text}"))
            .map_err(|error| error.to_string())?;
        Ok(Self { regex: Arc::new(regex) })
    }

    /// Where the first match at or behind `from` and its groups stand. An error is a limit that was reached.
    pub fn captures_at(&self, subject: &[u8], from: usize) -> Result<Option<CaptureLocations>, String> {
        if from > subject.len() {
            return Ok(None);
        }
        let mut places = self.regex.capture_locations();
        let found =
            self.regex.captures_read_at(&mut places, subject, from).map_err(|error| error.to_string())?;
        Ok(found.is_some().then_some(places))
    }
}

/// Compiled patterns that are not constant, the latest used first. One per worker.
#[derive(Debug)]
pub struct PatternCache {
    entries: VecDeque<(Vec<u8>, Flags, Pattern)>,
    most: usize,
    match_steps: u32,
}

impl PatternCache {
    /// Keeps up to `most` patterns (`regex_cache_size`).
    pub fn new(most: usize, match_steps: u32) -> Self {
        Self { entries: VecDeque::new(), most, match_steps }
    }

    /// The pattern, compiled now or before.
    pub fn get(&mut self, text: &[u8], flags: Flags) -> Result<Pattern, String> {
        if let Some(at) = self.entries.iter().position(|(known, with, _)| *with == flags && known == text)
            && let Some(entry) = self.entries.remove(at)
        {
            let pattern = entry.2.clone();
            self.entries.push_front(entry);
            return Ok(pattern);
        }
        let pattern = Pattern::compile(text, flags, self.match_steps)?;
        self.entries.truncate(self.most.saturating_sub(1));
        self.entries.push_front((text.to_vec(), flags, pattern.clone()));
        Ok(pattern)
    }
}
