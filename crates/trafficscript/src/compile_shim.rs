//! Shape of the compiler, until it is here.

use std::sync::Arc;

use crate::{host::Phase, meter::Limits};

/// Settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Limits.
    pub limits: Limits,
    /// Pools by expression.
    pub variable_pool_use: bool,
}

/// Outcome.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// None = error.
    pub program: Option<Arc<Program>>,
    /// Notes.
    pub notes: Vec<Note>,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Error.
    Error,
    /// Warning.
    Warning,
    /// Note.
    Note,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How bad.
    pub severity: Severity,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// Line.
    pub source_line: String,
    /// Message.
    pub message: String,
    /// Hint.
    pub hint: Option<String>,
}

/// A program.
#[derive(Debug)]
pub struct Program {
    name: Arc<str>,
    uses: Uses,
}

/// What it uses.
#[derive(Debug, Default)]
pub struct Uses {
    /// Pools.
    pub pools: Vec<String>,
}

impl Uses {
    /// Calls that are not valid in the phase.
    pub fn misplaced(&self, _phase: Phase) -> Vec<Note> {
        Vec::new()
    }
}

impl Program {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// What it uses.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }
}

/// Compiles.
pub fn compile(
    name: &str,
    text: &[u8],
    _options: &Options,
    imports: &dyn Fn(&str) -> Option<Arc<[u8]>>,
) -> Compiled {
    let text = String::from_utf8_lossy(text);
    let mut notes = Vec::new();
    let mut uses = Uses::default();
    for (index, line) in text.lines().enumerate() {
        if let Some(at) = line.find('@') {
            notes.push(Note {
                severity: Severity::Error,
                line: index as u32 + 1,
                column: at as u32 + 1,
                source_line: line.to_owned(),
                message: "“@” is not expected here".to_owned(),
                hint: None,
            });
        }
        if let Some(rest) = line.strip_prefix("pool.use(\"")
            && let Some((pool, _)) = rest.split_once('"')
        {
            uses.pools.push(pool.to_owned());
        }
        if let Some(rest) = line.strip_prefix("import ")
            && let Some((name, _)) = rest.split_once(';')
            && name != "strict"
        {
            drop(imports(name));
        }
    }
    let program = notes.is_empty().then(|| Arc::new(Program { name: name.into(), uses }));
    Compiled { program, notes }
}
