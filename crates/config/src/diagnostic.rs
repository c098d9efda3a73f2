//! What the people who write documents are told: one line per fault, with document, place, key and remedy.
//!
//! Every part of the compiler pushes into one [`Report`], which bounds how much is kept. Values of secret keys
//! never get here: callers quote through [`quote`] only what the schema does not call secret.

use std::fmt;

use crate::pattern::Patterns;

/// Most diagnostics kept for one compilation; further ones are counted and summed up in a last line.
pub const MAX_DIAGNOSTICS: usize = 1000;
/// Longest piece of a document that is repeated in a diagnostic, characters.
pub const MAX_QUOTE_CHARS: usize = 60;

/// Longest piece of a line that is shown with a caret below, characters.
const MAX_EXCERPT_CHARS: usize = 120;
/// How much of it is kept for what stands behind the caret, characters.
const EXCERPT_BEHIND: usize = 40;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something is wrong in the documents: what is said there is not, or not wholly, applied.
    Error,
    /// The documents are right, and Tidegate does less than they say.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One fault. Its `Display` form is a single line whatever the documents hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Name of the document, as given in [`crate::Document::name`].
    pub document: String,
    /// Line, counted from 1.
    pub line: Option<usize>,
    /// Column in characters, counted from 1.
    pub column: Option<usize>,
    /// Key path, such as `virtual_servers.site.properties.basic.port`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the rule that it is about, for places where several lines can be shown.
    pub excerpt: Option<Excerpt>,
}

/// A line of a rule with the place of a fault. Its `Display` form is that line and below it a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line.
    pub text: String,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.column.saturating_sub(1);
        // Of a long line, what stands around the fault.
        let from = (before + EXCERPT_BEHIND).saturating_sub(MAX_EXCERPT_CHARS).min(before);
        let shown = self.text.chars().skip(from).take(MAX_EXCERPT_CHARS);
        let shown: String = shown.map(|c| if c.is_control() || is_direction(c) { ' ' } else { c }).collect();
        write!(f, "{}\n{:>width$}", shown.trim_end(), '^', width = before - from + 1)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.sentence())
    }
}

impl Diagnostic {
    /// The diagnostic on one line without its severity, for places that show that themselves.
    pub fn sentence(&self) -> impl fmt::Display {
        Sentence(self)
    }
}

struct Sentence<'a>(&'a Diagnostic);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { line, column, path, message, hint, document, .. } = self.0;
        if !document.is_empty() {
            write!(f, "{}", OneLine(document))?;
            if let Some(line) = line {
                write!(f, ":{line}")?;
                if let Some(column) = column {
                    write!(f, ":{column}")?;
                }
            }
            f.write_str(": ")?;
        }
        if !path.is_empty() {
            write!(f, "{}: ", OneLine(path))?;
        }
        write!(f, "{}", OneLine(message))?;
        if let Some(hint) = hint {
            write!(f, " ({})", OneLine(hint))?;
        }
        Ok(())
    }
}

/// Shows text without line breaks or terminal control.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() || is_direction(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

/// Breaks lines or turns the direction of writing.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
}

/// `text` in quotation marks, cut at [`MAX_QUOTE_CHARS`].
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => format!("“{}…”", &text[..end]),
        None => format!("“{text}”"),
    }
}

/// Where in a document something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// From 1; 0 when not known.
    pub(crate) line: u32,
    /// From 1; 0 when not known.
    pub(crate) column: u32,
}

/// Where a value came from: an index into the documents of the compilation, and a place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) document: DocumentId,
    pub(crate) at: Position,
}

/// Index of a document among those of the compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DocumentId(pub(crate) usize);

/// Collects the faults of a compilation.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Verdicts on patterns, kept here because whoever asks for one also reports it.
    pub(crate) patterns: Patterns,
    /// A document could not be read, so that references may lead into what it says.
    pub(crate) incomplete: bool,
    names: &'a [&'a str],
    findings: Findings,
}

/// What a report holds so far: kept between reading documents and laying something over them.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    diagnostics: Vec<Diagnostic>,
    left_out: usize,
    /// Severity of the worst of those left out.
    worst_left_out: Severity,
    /// A fault was found after which nothing may be changed.
    stopped: bool,
}

impl Default for Findings {
    fn default() -> Self {
        Self { diagnostics: Vec::new(), left_out: 0, worst_left_out: Severity::Warning, stopped: false }
    }
}

impl Findings {
    /// Whether a fault was found after which nothing may be changed.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }
}

impl<'a> Report<'a> {
    /// A report about the documents of these names.
    pub(crate) fn new(names: &'a [&'a str]) -> Self {
        Self::resume(names, Findings::default(), false)
    }

    /// A report that goes on from what was found before, about the same documents and perhaps more.
    pub(crate) fn resume(names: &'a [&'a str], findings: Findings, incomplete: bool) -> Self {
        Self { patterns: Patterns::default(), incomplete, names, findings }
    }

    /// What was found, for [`Report::resume`].
    pub(crate) fn into_findings(self) -> Findings {
        self.findings
    }

    /// A fault of form: the import must change nothing.
    pub(crate) fn stop(&mut self, origin: Origin, path: &str, message: String, hint: Option<String>) {
        self.findings.stopped = true;
        self.tell(Severity::Error, origin, path, message, hint, None);
    }

    /// A fault of meaning: the rest is applied.
    pub(crate) fn error(&mut self, origin: Origin, path: &str, message: String, hint: Option<String>) {
        self.tell(Severity::Error, origin, path, message, hint, None);
    }

    /// Something that is right and not acted on.
    pub(crate) fn warn(&mut self, origin: Origin, path: &str, message: String, hint: Option<String>) {
        self.tell(Severity::Warning, origin, path, message, hint, None);
    }

    /// Whether further faults are only counted, so that no work need go into describing them.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.diagnostics.len() >= MAX_DIAGNOSTICS
    }

    /// Counts a fault that is not described, because the report is full.
    pub(crate) fn count(&mut self, severity: Severity) {
        self.findings.left_out += 1;
        self.findings.worst_left_out = self.findings.worst_left_out.min(severity);
    }

    /// A fault of meaning, perhaps with the line of a rule it is about.
    pub(crate) fn tell(
        &mut self,
        severity: Severity,
        origin: Origin,
        path: &str,
        message: String,
        hint: Option<String>,
        excerpt: Option<Excerpt>,
    ) {
        if self.is_full() {
            return self.count(severity);
        }
        let known = |number: u32| (number > 0).then_some(number as usize);
        self.findings.diagnostics.push(Diagnostic {
            severity,
            document: self.names.get(origin.document.0).copied().unwrap_or_default().to_owned(),
            line: known(origin.at.line),
            column: known(origin.at.column),
            path: path.to_owned(),
            message,
            hint,
            excerpt,
        });
    }

    /// Every fault in the order of documents and lines, with a last line when some were left out.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let Self { names, findings, .. } = self;
        let Findings { mut diagnostics, left_out, worst_left_out, .. } = findings;
        let order = |document: &str| names.iter().position(|name| *name == document);
        diagnostics.sort_by_cached_key(|diagnostic| {
            (order(&diagnostic.document), diagnostic.line, diagnostic.column)
        });
        if left_out > 0 {
            diagnostics.push(Diagnostic {
                severity: worst_left_out,
                document: String::new(),
                line: None,
                column: None,
                path: String::new(),
                message: format!("{left_out} more faults are not shown"),
                hint: Some("correct those above first".to_owned()),
                excerpt: None,
            });
        }
        diagnostics
    }
}
