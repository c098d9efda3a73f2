//! How much a rule may do before it is aborted.

use std::fmt;

/// Limits of a run, from the settings `trafficscript!*` where they exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max_instr`: instructions between two suspensions.
    pub instructions: u32,
    /// `regex_match_limit`: steps of a match, counted over the whole text. The original's default is 10,000,000 per
    /// position in the text; a step takes some 13 ns, so ours keeps a worker below 100 ms. Only patterns with look-around,
    /// back-references and the like take steps at all, see [`pattern`](crate::pattern).
    pub match_steps: u32,
    /// Bytes of the largest string.
    pub string: usize,
    /// `regex_match_warn_percentage`: hundredths of [`match_steps`](Self::match_steps) from which a match is told.
    pub match_warning: u8,
    /// `memory_warning`: bytes that `request.getLine` and `response.getLine` look at for the end of a line.
    pub line: usize,
    /// Bytes of strings and container elements made in one run.
    pub made: usize,
    /// Calls of subs within each other.
    pub depth: u16,
    /// Bytes of a body that functions may ask for.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instructions: 100_000,
            match_steps: 5_000_000,
            match_warning: 5,
            line: 1 << 20,
            string: 16 << 20,
            made: 128 << 20,
            depth: 128,
            body: 16 << 20,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// [`Limits::instructions`]
    Instructions(u32),
    /// [`Limits::string`]
    String(usize),
    /// [`Limits::made`]
    Made(usize),
    /// [`Limits::depth`]
    Depth(u16),
    /// [`MAX_LEVELS`](crate::value::MAX_LEVELS)
    Levels(usize),
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instructions(limit) => {
                write!(f, "the rule has executed {limit} instructions without yielding")
            }
            Self::String(limit) => write!(f, "a string would be longer than {limit} bytes"),
            Self::Made(limit) => write!(f, "the rule has made more than {limit} bytes of values"),
            Self::Depth(limit) => write!(f, "subs call each other more than {limit} levels deep"),
            Self::Levels(limit) => write!(f, "containers would be nested more than {limit} levels deep"),
        }
    }
}

/// Bytes whose handling counts as one instruction.
pub(crate) const BYTES_PER_INSTRUCTION: usize = 1024;

/// Instructions that telling people of a fault counts for.
pub(crate) const WARNING: u32 = 5;

/// What is left of the limits.
#[derive(Debug)]
pub struct Meter {
    limits: Limits,
    instructions: u32,
    made: usize,
    /// Steps that a match has taken more than, if that is to be told.
    slow_match: Option<u32>,
}

impl Meter {
    /// A full one.
    pub fn new(limits: Limits) -> Self {
        Self { limits, instructions: limits.instructions, made: limits.made, slow_match: None }
    }

    /// Notes a match that took more than so many steps.
    pub(crate) fn slow_match(&mut self, steps: u32) {
        self.slow_match = Some(steps);
    }

    /// What [`slow_match`](Self::slow_match) has noted.
    pub(crate) fn take_slow_match(&mut self) -> Option<u32> {
        self.slow_match.take()
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// One instruction.
    #[inline]
    pub fn step(&mut self) -> Result<(), Reached> {
        self.steps(1)
    }

    /// So many instructions.
    #[inline]
    pub fn steps(&mut self, count: u32) -> Result<(), Reached> {
        if let Some(left) = self.instructions.checked_sub(count) {
            self.instructions = left;
            Ok(())
        } else {
            self.instructions = 0;
            Err(Reached::Instructions(self.limits.instructions))
        }
    }

    /// So many bytes handled or made, of one string.
    #[inline]
    pub fn charge(&mut self, bytes: usize) -> Result<(), Reached> {
        if bytes > self.limits.string {
            return Err(Reached::String(self.limits.string));
        }
        self.made(bytes)
    }

    /// So many bytes added to a string of so many.
    pub fn append(&mut self, length: usize, added: usize) -> Result<(), Reached> {
        if length.saturating_add(added) > self.limits.string {
            return Err(Reached::String(self.limits.string));
        }
        self.made(added)
    }

    /// So many bytes made, of more than one value.
    #[inline]
    pub fn made(&mut self, bytes: usize) -> Result<(), Reached> {
        self.made = self.made.checked_sub(bytes).ok_or(Reached::Made(self.limits.made))?;
        self.work(bytes)
    }

    /// So many bytes looked at.
    #[inline]
    pub fn work(&mut self, bytes: usize) -> Result<(), Reached> {
        self.steps(u32::try_from(bytes / BYTES_PER_INSTRUCTION).unwrap_or(u32::MAX))
    }

    /// Instructions since the beginning or the last suspension.
    pub fn used(&self) -> u32 {
        self.limits.instructions.saturating_sub(self.instructions)
    }

    /// The rule was suspended: instructions count anew.
    pub fn yielded(&mut self) {
        self.instructions = self.limits.instructions;
    }
}
