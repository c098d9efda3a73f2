//! A call of a function: its arguments with the casts of the language, and what it may use.

use std::{cell::RefCell, fmt, ops::Deref, rc::Rc};

use super::cost::{NUMBER, charge_times};
use crate::{
    host::{Answer, Host, Need, tag},
    meter::{Meter, Reached, WARNING},
    pattern::{Captures, Flags, Pattern, PatternCache},
    value::{Container, Text, Value, cast},
};

/// Most bytes of a pattern that are shown when it is none.
const SHOWN_PATTERN: usize = 100;

/// What a function gives, or why the rule does not go on here.
pub type Outcome<'p> = Result<Value<'p>, Interrupt>;

/// Why a rule does not go on behind a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// This rule is over, later ones run.
    EndRule,
    /// The rules of this phase are over; what follows has been ordered.
    EndPhase,
    /// The rule is aborted with this message; later ones run.
    Abort(String),
    /// The function is called again once the answer is there ([`Call::answer`]).
    Wait(Box<Need>),
}

impl From<Reached> for Interrupt {
    fn from(limit: Reached) -> Self {
        Self::Abort(limit.to_string())
    }
}

/// Number of match variables, `$1` to `$9`.
pub const CAPTURES: usize = 9;

/// Where in the rule a call stands.
#[derive(Debug, Default)]
pub struct Site {
    /// Line, from 1.
    pub line: u32,
    /// The pattern, when it is constant.
    pub pattern: Option<Pattern>,
}

/// A string that a function was given: an argument where it is, or what was made of one that is no string.
#[derive(Debug)]
pub enum Argument<'c, 'p> {
    /// Still on the stack.
    Borrowed(&'c Text<'p>),
    /// Made by a cast.
    Made(Text<'p>),
}

impl<'p> Argument<'_, 'p> {
    /// The string as the machine knows it.
    pub fn as_text(&self) -> &Text<'p> {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }

    /// The string as one of its own, which shares the bytes.
    pub fn into_text(self) -> Text<'p> {
        match self {
            Self::Borrowed(text) => text.clone(),
            Self::Made(text) => text,
        }
    }
}

impl Deref for Argument<'_, '_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_text()
    }
}

impl<'p> From<Argument<'_, 'p>> for Value<'p> {
    fn from(argument: Argument<'_, 'p>) -> Self {
        Self::Text(argument.into_text())
    }
}

/// A call of a function.
pub struct Call<'c, 'p> {
    /// The world.
    pub host: &'c mut dyn Host,
    /// Name of the rule, for messages.
    pub(crate) rule: &'c str,
    pub(crate) arguments: &'c [Value<'p>],
    /// Boxed because there seldom is one and it is large.
    pub(crate) answer: Option<Box<Answer>>,
    pub(crate) captures: &'c mut [Value<'p>; CAPTURES],
    pub(crate) site: &'p Site,
    pub(crate) meter: &'c mut Meter,
    pub(crate) patterns: &'c mut PatternCache,
    /// `import strict`: what is a warning otherwise aborts.
    pub(crate) strict: bool,
}

impl fmt::Debug for Call<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("rule", &self.rule)
            .field("line", &self.site.line)
            .finish_non_exhaustive()
    }
}

impl<'c, 'p> Call<'c, 'p> {
    /// Number of arguments.
    pub fn count(&self) -> usize {
        self.arguments.len()
    }

    /// Whether the argument was given.
    pub fn has(&self, index: usize) -> bool {
        index < self.arguments.len()
    }

    /// An argument as it is (containers by reference); the empty string if it was not given.
    pub fn value(&self, index: usize) -> Value<'p> {
        self.arguments.get(index).cloned().unwrap_or(Value::EMPTY)
    }

    /// What came of the need the function has waited for; `None` in the first call.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer.take().map(|answer| *answer)
    }

    /// An argument that is a string already. What [`text`](Self::text) gives is moved right after it was written, which
    /// stalls the processor for longer than most functions take: the shortest ones try this first.
    #[inline]
    pub fn bytes(&self, index: usize) -> Option<&'c [u8]> {
        match self.arguments.get(index) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An argument as string; a container warns and gives `0`. Strings are borrowed from the arguments.
    #[inline]
    pub fn text(&mut self, index: usize) -> Result<Argument<'c, 'p>, Interrupt> {
        match self.arguments.get(index) {
            Some(Value::Text(text)) => Ok(Argument::Borrowed(text)),
            other => self.converted(other, index).map(Argument::Made),
        }
    }

    #[inline(never)]
    fn converted(&mut self, value: Option<&Value<'p>>, index: usize) -> Result<Text<'p>, Interrupt> {
        let Some(value) = value else { return Ok(Text::Constant(b"")) };
        match cast::text(value) {
            Some(text) => Ok(text),
            None => self.cannot_convert(index, "string").map(|()| Text::Constant(b"0")),
        }
    }

    /// An argument as integer; a container warns and gives 0.
    pub fn int(&mut self, index: usize) -> Result<i64, Interrupt> {
        self.read_as_number(index)?;
        match self.arguments.get(index).map_or(Some(0), cast::int) {
            Some(number) => Ok(number),
            None => self.cannot_convert(index, "integer").map(|()| 0),
        }
    }

    /// An argument as double; a container warns and gives 0.
    pub fn double(&mut self, index: usize) -> Result<f64, Interrupt> {
        self.read_as_number(index)?;
        match self.arguments.get(index).map_or(Some(0.0), cast::double) {
            Some(number) => Ok(number),
            None => self.cannot_convert(index, "double").map(|()| 0.0),
        }
    }

    /// Accounts for reading a string as number.
    fn read_as_number(&mut self, index: usize) -> Result<(), Interrupt> {
        match self.arguments.get(index) {
            Some(Value::Text(text)) => charge_times(self, text.len(), NUMBER),
            _ => Ok(()),
        }
    }

    /// Whether an argument is true.
    pub fn truth(&self, index: usize) -> bool {
        self.arguments.get(index).is_some_and(cast::truth)
    }

    /// An argument as container by reference; a scalar warns and gives `None`.
    pub fn container(&mut self, index: usize) -> Result<Option<Rc<RefCell<Container<'p>>>>, Interrupt> {
        match self.value(index) {
            Value::Container(container) => Ok(Some(container)),
            _ => self.warn("Cannot convert scalar to array or hash value").map(|()| None),
        }
    }

    /// A pattern argument with its flags: compiled with the rule, or found in or put into the cache.
    pub fn pattern(&mut self, index: usize, flags: Flags) -> Result<Pattern, Interrupt> {
        if let Some(pattern) = &self.site.pattern {
            return Ok(pattern.clone());
        }
        let text = self.text(index)?;
        self.patterns.get(&text, flags).map_err(|message| {
            // Globs and plain texts are often meant.
            let shown = text.get(..SHOWN_PATTERN).unwrap_or(&text).escape_ascii();
            Interrupt::Abort(format!("`{shown}` is not a regular expression: {message}"))
        })
    }

    /// The first match of a pattern at or behind `from`, with the work counted. Use this rather than
    /// [`Pattern::captures_at`]: it is what keeps a loop over matches within the limits.
    pub fn captures(
        &mut self,
        pattern: &Pattern,
        subject: &[u8],
        from: usize,
    ) -> Result<Option<Captures>, Interrupt> {
        let found = pattern.captures(subject, from, self.meter)?;
        if let Some(steps) = self.meter.take_slow_match() {
            let (bytes, limit) = (subject.len(), self.meter.limits().match_steps);
            let message = format!(
                "a regular expression took more than {steps} of the {limit} steps it may, on a text of {bytes} bytes"
            );
            self.notice(tag::SLOW_MATCH, &message);
        }
        Ok(found)
    }

    /// Sets a match variable, `$1` to `$9`.
    pub fn set_capture(&mut self, number: usize, value: impl Into<Value<'p>>) {
        if let Some(slot) = number.checked_sub(1).and_then(|index| self.captures.get_mut(index)) {
            *slot = value.into();
        }
    }

    /// A copy of a string as value, within the limits.
    pub fn copy(&mut self, bytes: &[u8]) -> Outcome<'p> {
        self.charge(bytes.len())?;
        Ok(Value::from(bytes))
    }

    /// A string made here, within the limits.
    pub fn make(&mut self, bytes: impl Into<Vec<u8>>) -> Outcome<'p> {
        let bytes = bytes.into();
        self.charge(bytes.len())?;
        Ok(Value::from(bytes))
    }

    /// Accounts for work on, or the making of, so many bytes. Call it before work that is not bounded otherwise.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Interrupt> {
        Ok(self.meter.charge(bytes)?)
    }

    /// Suspends the rule until `need` is there.
    pub fn wait(&self, need: Need) -> Outcome<'p> {
        Err(Interrupt::Wait(Box::new(need)))
    }

    /// A warning in the event log, with rule and line. Aborts under `import strict`.
    pub fn warn(&mut self, message: &str) -> Result<(), Interrupt> {
        self.warn_as(tag::FAULT, message)
    }

    /// A warning of another kind than most.
    pub fn warn_as(&mut self, tag: &'static str, message: &str) -> Result<(), Interrupt> {
        if self.strict {
            return Err(Interrupt::Abort(self.located(message)));
        }
        self.meter.steps(WARNING)?;
        self.notice(tag, message);
        Ok(())
    }

    /// A warning that is no fault of the rule and never aborts it.
    pub fn notice(&mut self, tag: &'static str, message: &str) {
        let line = self.located(message);
        self.host.warn(tag, line.as_bytes());
    }

    /// The end of a rule that goes wrong here, with rule and line.
    pub(crate) fn fault(&self, message: &str) -> Interrupt {
        Interrupt::Abort(self.located(message))
    }

    fn located(&self, message: &str) -> String {
        format!("Rule {}: Line {}: {message}", self.rule, self.site.line)
    }

    /// Name of the rule.
    pub fn rule(&self) -> &str {
        self.rule
    }

    #[cold]
    fn cannot_convert(&mut self, index: usize, to: &str) -> Result<(), Interrupt> {
        let kind = self.arguments.get(index).map_or("string", cast::kind);
        self.warn(&format!("Cannot convert {kind} to {to} value"))
    }
}
