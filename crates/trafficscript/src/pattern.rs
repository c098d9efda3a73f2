//! Regular expressions in the syntax of Perl, over bytes, with a bound on the work of a match.
//!
//! Most patterns mean the same to an engine whose time is linear in the subject ([`linear`] says which): that one matches
//! them. The others (look-around, back-references, …) are matched by backtracking, which counts its steps.

mod linear;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use pcre2::bytes::{Regex, RegexBuilder};

use crate::{library::Interrupt, meter::Meter};

/// Most memory of a match in KiB, where the matcher needs memory.
const MATCH_MEMORY: usize = 16 << 10;
/// Longest pattern in bytes.
const MAX_PATTERN: usize = 64 << 10;
/// Work areas of a pattern that are kept for the next match, whichever worker it is of.
const KEPT_AREAS: usize = 8;

/// Steps of a match that counts as [`QUICK_COST`] instructions, some 0.1 ms.
const QUICK_STEPS: u32 = 10_000;
/// Instructions that a match by backtracking counts for.
const QUICK_COST: u32 = 100;
/// Instructions that a linear match counts for, and how much more a byte of its subject counts than one that is copied.
const LINEAR_COST: u32 = 4;
const LINEAR_FACTOR: usize = 8;
/// Most bytes of a subject for patterns with possessive quantifiers, whose loops count no steps.
const MAX_UNCOUNTED: usize = 16 << 10;

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
    text: Box<str>,
    flags: Flags,
    groups: usize,
    match_steps: u32,
    /// Made by the first match: most patterns of most rules are never needed.
    engine: OnceLock<Engine>,
}

enum Engine {
    Linear {
        regex: regex::bytes::Regex,
        has_dollar: bool,
        areas: Areas<regex::bytes::CaptureLocations>,
    },
    /// `quick` gives up soon; what it gives up costs more instructions.
    Backtracking {
        quick: Regex,
        /// Gives up where a match begins to be told, which most patterns never do.
        warning: OnceLock<Option<Regex>>,
        regex: Regex,
        areas: Areas<pcre2::bytes::CaptureLocations>,
    },
    /// Why there is none. The pattern has been compiled before, so this does not happen.
    None(String),
}

/// Work areas for matches. Making one costs more than most matches.
struct Areas<T>(Mutex<Vec<T>>);

impl<T> Areas<T> {
    fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// `make`s one if there is none, or another worker is in here right now.
    fn take(&self, make: impl FnOnce() -> T) -> T {
        self.0.try_lock().ok().and_then(|mut areas| areas.pop()).unwrap_or_else(make)
    }

    fn keep(&self, area: T) {
        if let Ok(mut areas) = self.0.try_lock()
            && areas.len() < KEPT_AREAS
        {
            areas.push(area);
        }
    }
}

/// Groups that are kept without allocating: the match and `$1` to `$9`.
const INLINE: usize = 10;

/// Where a pattern and its groups matched: begin and end in bytes.
#[derive(Clone, Debug)]
pub struct Captures {
    groups: [Option<(usize, usize)>; INLINE],
    more: Vec<Option<(usize, usize)>>,
    count: usize,
}

impl Captures {
    /// The whole match (0) or a group; `None` if there is no such group or it took no part.
    pub fn get(&self, group: usize) -> Option<(usize, usize)> {
        match group.checked_sub(INLINE) {
            None => *self.groups.get(group)?,
            Some(more) => *self.more.get(more)?,
        }
    }

    /// Number of groups with the whole.
    #[expect(clippy::len_without_is_empty, reason = "there is always the whole")]
    pub fn len(&self) -> usize {
        self.count
    }

    fn of(count: usize, place: impl Fn(usize) -> Option<(usize, usize)>) -> Self {
        let mut groups = [None; INLINE];
        for (group, found) in groups.iter_mut().enumerate().take(count) {
            *found = place(group);
        }
        Self { groups, more: (INLINE..count).map(&place).collect(), count }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.text)
    }
}

impl Pattern {
    /// Compiles `text`, with at most `match_steps` steps per match.
    pub fn compile(text: &[u8], flags: Flags, match_steps: u32) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("it has {} bytes, {MAX_PATTERN} is the most", text.len()));
        }
        let text = readable(text);
        let regex = backtracking(&text, flags, match_steps, false)?;
        let groups = regex.captures_len();
        let inner = Inner { text: text.into(), flags, groups, match_steps, engine: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The first match at or behind `from`. An error is a limit that was reached.
    pub fn captures_at(&self, subject: &[u8], from: usize) -> Result<Option<Captures>, String> {
        if from > subject.len() {
            return Ok(None);
        }
        let inner = &*self.inner;
        let count = inner.groups;
        match inner.engine.get_or_init(|| inner.engine()) {
            Engine::None(message) => Err(message.clone()),
            // At the end of the subject Perl's `$` also matches in front of a newline, that of the linear engine does not.
            Engine::Linear { has_dollar: true, .. } if subject.ends_with(b"\n") => {
                let regex = inner.backtracking(inner.match_steps)?;
                inner.search(&regex, &mut regex.capture_locations(), subject, from)
            }
            Engine::Linear { regex, areas, .. } => {
                if count == 1 {
                    let found = regex.find_at(subject, from);
                    return Ok(found.map(|found| Captures::of(1, |_| Some((found.start(), found.end())))));
                }
                let mut area = areas.take(|| regex.capture_locations());
                let found = regex.captures_read_at(&mut area, subject, from);
                let captures = found.map(|_| Captures::of(count, |group| area.get(group)));
                areas.keep(area);
                Ok(captures)
            }
            Engine::Backtracking { regex, areas, .. } => {
                let mut area = areas.take(|| regex.capture_locations());
                let found = inner.search(regex, &mut area, subject, from);
                areas.keep(area);
                found
            }
        }
    }

    /// As [`captures_at`](Self::captures_at), with the work counted: a match by backtracking that takes long uses up half
    /// of the instructions of a run.
    pub(crate) fn captures(
        &self,
        subject: &[u8],
        from: usize,
        meter: &mut Meter,
    ) -> Result<Option<Captures>, Interrupt> {
        let inner = &*self.inner;
        if let Engine::Backtracking { quick, warning, areas, .. } =
            inner.engine.get_or_init(|| inner.engine())
        {
            meter.steps(QUICK_COST)?;
            if from > subject.len() {
                return Ok(None);
            }
            let mut area = areas.take(|| quick.capture_locations());
            let found = inner.search(quick, &mut area, subject, from);
            areas.keep(area);
            match found {
                Ok(found) => return Ok(found),
                Err(_) => meter.steps(meter.limits().instructions / 2)?,
            }
            let told = inner.told_steps(meter.limits().match_warning);
            if told > QUICK_STEPS
                && let Some(warning) = warning.get_or_init(|| inner.backtracking(told).ok())
                && let Ok(found) = inner.search(warning, &mut warning.capture_locations(), subject, from)
            {
                return Ok(found);
            }
            if told < inner.match_steps {
                meter.slow_match(told);
            }
        }
        let found = self.captures_at(subject, from).map_err(Interrupt::Abort)?;
        let end = found.as_ref().and_then(|found| found.get(0)).map_or(subject.len(), |(_, end)| end);
        meter.steps(LINEAR_COST)?;
        meter.work(LINEAR_FACTOR.saturating_mul(end.saturating_sub(from)))?;
        Ok(found)
    }
}

impl Inner {
    fn engine(&self) -> Engine {
        if let Some((regex, has_dollar)) = linear::compile(&self.text, self.flags) {
            return Engine::Linear { regex, has_dollar, areas: Areas::new() };
        }
        let quick = self.backtracking(self.match_steps.min(QUICK_STEPS));
        match (quick, self.backtracking(self.match_steps)) {
            (Ok(quick), Ok(regex)) => {
                Engine::Backtracking { quick, warning: OnceLock::new(), regex, areas: Areas::new() }
            }
            (Err(message), _) | (_, Err(message)) => Engine::None(message),
        }
    }

    /// Steps from which a match is told: so many hundredths of the most, and not before the work is worth a word.
    fn told_steps(&self, percentage: u8) -> u32 {
        let steps = u64::from(self.match_steps) * u64::from(percentage) / 100;
        u32::try_from(steps).unwrap_or(u32::MAX).max(QUICK_STEPS)
    }

    fn backtracking(&self, match_steps: u32) -> Result<Regex, String> {
        backtracking(&self.text, self.flags, match_steps, true)
    }

    fn search(
        &self,
        regex: &Regex,
        area: &mut pcre2::bytes::CaptureLocations,
        subject: &[u8],
        from: usize,
    ) -> Result<Option<Captures>, String> {
        let length = subject.len();
        if length > MAX_UNCOUNTED
            && ["*+", "++", "?+", "}+", "(?>"].iter().any(|part| self.text.contains(part))
        {
            return Err(format!(
                "a regular expression with possessive quantifiers or atomic groups is not matched with a text of \
                 {length} bytes, {MAX_UNCOUNTED} is the most"
            ));
        }
        match regex.captures_read_at(area, subject, from) {
            Ok(found) => Ok(found.map(|_| Captures::of(self.groups, |group| area.get(group)))),
            Err(error) => {
                let message = error.to_string();
                let reason = message.rsplit_once(": ").map_or(&*message, |(_, reason)| reason);
                Err(format!(
                    "matching a regular expression was given up on a text of {length} bytes: {reason}"
                ))
            }
        }
    }
}

/// Compiles a pattern for backtracking. The engine counts the steps from each start of a match anew; `total` lets it
/// count over all of them, by making the search for the start a part of the pattern.
fn backtracking(text: &str, flags: Flags, match_steps: u32, total: bool) -> Result<Regex, String> {
    // Compiled code counts too few steps; so does a loop that is known never to be left backwards.
    let limits =
        format!("(*LIMIT_MATCH={match_steps})(*LIMIT_HEAP={MATCH_MEMORY})(*NO_JIT)(*NO_AUTO_POSSESS)");
    let whole = if total && can_be_wrapped(text) {
        format!("{limits}\\G(?s:.)*?\\K(?:{text})")
    } else {
        format!("{limits}{text}")
    };
    RegexBuilder::new().caseless(flags.caseless).build(&whole).map_err(|error| {
        let message = error.to_string();
        let reason = message.rsplit_once(": ").map_or(&*message, |(_, reason)| reason);
        let at = error.offset().map_or(0, |offset| offset.saturating_sub(limits.len()));
        format!("{reason} (behind the first {at} bytes)")
    })
}

/// Whether a pattern means the same as a part of a larger one.
fn can_be_wrapped(text: &str) -> bool {
    // Control verbs, recursion into the whole pattern, quotation and comments that may swallow what follows.
    let whole = ["(*", "(?R", "(?0", "\\g", "\\Q"];
    let flags = |rest: &str| {
        rest.chars().take_while(|c| c.is_ascii_alphabetic() || "^-".contains(*c)).any(|c| c == 'x')
    };
    !whole.iter().any(|part| text.contains(part)) && !text.split("(?").skip(1).any(flags)
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
            0x80.. => {
                let escaped = format!("\\x{byte:02x}");
                let (before, behind) = if quoted { ("\\E", "\\Q") } else { ("", "") };
                readable.extend([before, &escaped, behind]);
            }
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
