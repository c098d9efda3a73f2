//! Regular expressions in the syntax of Perl, over bytes, with a bound on the work of a match.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, TryLockError},
};

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

/// Most memory of a match in KiB, where the matcher needs memory.
const MATCH_MEMORY: usize = 16 << 10;
/// Most bytes of the stack of compiled matching.
const MATCH_STACK: usize = 1 << 20;
/// Longest pattern in bytes.
const MAX_PATTERN: usize = 64 << 10;
/// Work areas of a pattern that are kept for the next match, whichever worker it is of.
const KEPT_AREAS: usize = 8;

/// Flags of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `i`: letters match in either case.
    pub caseless: bool,
}

/// A compiled pattern, cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    inner: Arc<Inner>,
}

struct Inner {
    regex: Regex,
    groups: usize,
    /// Making a work area costs more than most matches.
    areas: Mutex<Vec<CaptureLocations>>,
}

/// A part of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'s> {
    subject: &'s [u8],
    start: usize,
    end: usize,
}

impl<'s> Match<'s> {
    /// Byte offset of its beginning.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Byte offset behind it.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The part.
    pub fn as_bytes(&self) -> &'s [u8] {
        self.subject.get(self.start..self.end).unwrap_or_default()
    }
}

/// Groups that are kept without allocating: the match and `$1` to `$9`.
const INLINE: usize = 10;

/// What a pattern matched: the whole (0) and its groups.
#[derive(Clone, Debug)]
pub struct Captures<'s> {
    subject: &'s [u8],
    groups: [Option<(usize, usize)>; INLINE],
    more: Vec<Option<(usize, usize)>>,
    count: usize,
}

impl<'s> Captures<'s> {
    /// A group; `None` if there is no such group or it took no part.
    pub fn get(&self, group: usize) -> Option<Match<'s>> {
        let found = match group.checked_sub(INLINE) {
            None => self.groups.get(group),
            Some(more) => self.more.get(more),
        };
        let (start, end) = (*found?)?;
        Some(Match { subject: self.subject, start, end })
    }

    /// Number of groups with the whole.
    #[expect(clippy::len_without_is_empty, reason = "there is always the whole")]
    pub fn len(&self) -> usize {
        self.count
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.inner.regex.as_str())
    }
}

impl Pattern {
    /// Compiles `text`, with at most `match_steps` steps per match.
    pub fn compile(text: &[u8], flags: Flags, match_steps: u32) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("it has {} bytes, {MAX_PATTERN} is the most", text.len()));
        }
        let limits = format!("(*LIMIT_MATCH={match_steps})(*LIMIT_HEAP={MATCH_MEMORY})");
        let regex = RegexBuilder::new()
            .caseless(flags.caseless)
            .jit_if_available(true)
            .max_jit_stack_size(Some(MATCH_STACK))
            .build(&format!("{limits}{}", readable(text)))
            .map_err(|error| {
                let message = error.to_string();
                let reason = message.rsplit_once(": ").map_or(&*message, |(_, reason)| reason);
                let at = error.offset().map_or(0, |offset| offset.saturating_sub(limits.len()));
                format!("{reason} (behind the first {at} bytes)")
            })?;
        let groups = regex.captures_len();
        Ok(Self { inner: Arc::new(Inner { regex, groups, areas: Mutex::new(Vec::new()) }) })
    }

    /// The first match at or behind `from`. An error is a limit that was reached.
    pub fn captures_at<'s>(&self, subject: &'s [u8], from: usize) -> Result<Option<Captures<'s>>, String> {
        if from > subject.len() {
            return Ok(None);
        }
        let inner = &*self.inner;
        let mut area = inner.area().unwrap_or_else(|| inner.regex.capture_locations());
        let found = inner.regex.captures_read_at(&mut area, subject, from);
        let outcome = match found {
            Ok(Some(_)) => {
                let mut groups = [None; INLINE];
                for (group, place) in groups.iter_mut().enumerate().take(inner.groups) {
                    *place = area.get(group);
                }
                let more = (INLINE..inner.groups).map(|group| area.get(group)).collect();
                Ok(Some(Captures { subject, groups, more, count: inner.groups }))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let message = error.to_string();
                let reason = message.rsplit_once(": ").map_or(&*message, |(_, reason)| reason);
                Err(format!(
                    "a regular expression was given up on a text of {} bytes: {reason} (regex_match_limit)",
                    subject.len()
                ))
            }
        };
        inner.keep(area);
        outcome
    }
}

impl Inner {
    fn area(&self) -> Option<CaptureLocations> {
        // Another worker in here right now: a new area is made rather than waiting.
        match self.areas.try_lock() {
            Ok(mut areas) => areas.pop(),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }

    fn keep(&self, area: CaptureLocations) {
        if let Ok(mut areas) = self.areas.try_lock()
            && areas.len() < KEPT_AREAS
        {
            areas.push(area);
        }
    }
}

/// The pattern as text that means the same bytes: those that are no UTF-8 are written out.
fn readable(text: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(text) {
        return text.to_owned();
    }
    let mut readable = String::with_capacity(text.len() * 2);
    let mut rest = text;
    let mut quoted = false;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'\\' => match behind.split_first() {
                Some((b'Q', behind)) if !quoted => {
                    quoted = true;
                    readable.push_str("\\Q");
                    rest = behind;
                }
                Some((b'E', behind)) => {
                    quoted = false;
                    readable.push_str("\\E");
                    rest = behind;
                }
                // A backslash in front of such a byte means the byte.
                Some((0x80.., _)) if !quoted => {}
                Some((next @ ..0x80, behind)) if !quoted => {
                    readable.extend(['\\', char::from(*next)]);
                    rest = behind;
                }
                _ => readable.push('\\'),
            },
            0x80.. if quoted => readable.push_str(&format!("\\E\\x{byte:02x}\\Q")),
            0x80.. => readable.push_str(&format!("\\x{byte:02x}")),
            _ => readable.push(char::from(*byte)),
        }
    }
    readable
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
        if self.most > 0 {
            self.entries.push_front((text.to_vec(), flags, pattern.clone()));
        }
        Ok(pattern)
    }
}
