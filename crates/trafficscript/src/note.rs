//! What the compiler tells people about a rule: where, what, and what to do about it.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// The rule works, though perhaps not as meant.
    Warning,
    /// The rule cannot run.
    Error,
}

/// One remark about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// That line of the rule, long ones cut; without control characters but tabs.
    pub source_line: String,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "Note",
            Self::Warning => "Warning",
            Self::Error => "Error",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names out of the rule's text may hold anything.
        let message = self.message.replace(|c: char| c.is_control(), "\u{fffd}");
        writeln!(f, "{}: line {}, column {}: {message}", self.severity, self.line, self.column)?;
        writeln!(f, "    {}", self.source_line)?;
        f.write_str("    ")?;
        let before = (self.column as usize).saturating_sub(1);
        for character in self.source_line.chars().take(before) {
            f.write_str(if character == '\t' { "\t" } else { " " })?;
        }
        f.write_str("^")?;
        match &self.hint {
            Some(hint) => write!(f, "\n    {hint}"),
            None => Ok(()),
        }
    }
}

/// Most characters of a source line in a note.
const LINE_SHOWN: usize = 200;

/// Column (from 1) of the byte at `at`, and the line it stands in as people may see it.
pub(crate) fn place(text: &[u8], at: usize) -> (u32, String) {
    let at = at.min(text.len());
    let (before, behind) = text.split_at(at);
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let end = at + behind.iter().position(|byte| *byte == b'\n').unwrap_or(behind.len());
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1;
    let line = text.get(start..end.min(start + 4 * LINE_SHOWN)).unwrap_or_default();
    let shown = String::from_utf8_lossy(line)
        .chars()
        .filter(|character| *character == '\t' || !character.is_control())
        .take(LINE_SHOWN)
        .collect();
    (u32::try_from(column).unwrap_or(u32::MAX), shown)
}
