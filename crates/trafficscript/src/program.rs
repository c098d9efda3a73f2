//! A compiled rule: instructions for the machine, the constants and call sites they refer to, and what the rule uses.
//!
//! The instructions of the rule and of all subs stand in one list; jumps name an index in it. Variables are slots of a
//! frame on the stack of the machine.

use std::fmt;

use crate::{
    host::Phase,
    library::{Function, Native, Site, Subject},
    note::{Note, Severity},
    syntax::{Binary, Unary},
};

/// An instruction. Comments give the top of the stack before and behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// → integer
    Int(i32),
    /// → number of [`Program::numbers`]
    Number(u32),
    /// → string of [`Program::texts`]
    Text(u32),
    /// so many elements → array
    Array(u16),
    /// so many keys and values → hash
    Hash(u16),
    /// → value of a variable, containers by reference
    Load(u16),
    LoadCapture(u8),
    /// value →
    Store(u16),
    StoreCapture(u8),
    /// so many values →
    Pop(u8),
    /// a, b → a, b, a, b
    Pair,
    /// container, key → element
    Index,
    /// key → element of the container in a variable
    IndexSlot(u16),
    /// → container in a variable, made if the variable is empty
    Vivify(u16),
    VivifyCapture(u8),
    /// container, key → container at the key, made if there is nothing. The byte: see [`UNKNOWN_LEVEL`].
    VivifyIndex(u8),
    /// container, key, value → value
    StoreIndex(u8),
    /// Adds to a variable; → value before (`false`) or behind (`true`) it
    Step(u16, i8, bool),
    /// container, key → value before or behind adding
    StepIndex(i8, bool),
    /// left, right → result
    Binary(Binary),
    /// so many values → string
    Concatenate(u16),
    /// so many values → ; appends them to a variable
    Append(u16, u16),
    /// container, key, so many values → element with them appended
    AppendIndex(u16),
    Unary(Unary),
    Jump(u32),
    /// condition →
    JumpUnless(u32),
    JumpIf(u32),
    /// arguments → result
    Native(u32),
    Sub(u32),
    /// value → container, 0: what a `foreach` goes through
    Iterate,
    /// container, index → container, index + 1, element; a jump behind the last
    Next(u32),
    /// value → ; leaves a sub
    Return,
    /// Ends the rule.
    End,
}

/// How many containers the container on the stack is in is not known to the compiler: it came in by a parameter.
pub(crate) const UNKNOWN_LEVEL: u8 = u8::MAX;

/// A number that is not in an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

/// A call of a function of the library.
#[derive(Debug)]
pub(crate) struct CallSite {
    pub site: Site,
    pub does: Native,
    pub arguments: u16,
    /// The function changes its first argument, a container that is in so many others (or [`UNKNOWN_LEVEL`]).
    pub changes: Option<u8>,
    /// What the function is about.
    pub subject: Subject,
    pub name: &'static str,
}

/// A sub, or (the first) the rule itself.
#[derive(Debug)]
pub(crate) struct SubCode {
    /// Index of its first instruction.
    pub entry: u32,
    pub parameters: u16,
    /// Variables with parameters.
    pub slots: u16,
    /// Index in [`Program::rules`]: whose text it is in.
    pub rule: u16,
    pub strict: bool,
}

/// A compiled rule, shared by all workers.
#[derive(Debug)]
pub struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) texts: Vec<Box<[u8]>>,
    pub(crate) numbers: Vec<Number>,
    pub(crate) sites: Vec<CallSite>,
    pub(crate) subs: Vec<SubCode>,
    /// Name of the rule, then of those it imports.
    pub(crate) rules: Vec<String>,
    /// Index of the first instruction of a line, and the line.
    pub(crate) lines: Vec<(u32, u32)>,
    pub(crate) uses: Uses,
}

impl Program {
    /// Name of the rule.
    pub fn name(&self) -> &str {
        self.rules.first().map_or("", String::as_str)
    }

    /// What the rule uses.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Line of an instruction.
    pub(crate) fn line(&self, op: usize) -> u32 {
        let behind = self.lines.partition_point(|(first, _)| *first as usize <= op);
        behind.checked_sub(1).and_then(|at| self.lines.get(at)).map_or(0, |(_, line)| *line)
    }
}

/// What a rule uses.
#[derive(Default)]
pub struct Uses {
    /// Pools named by literals, each once.
    pub pools: Vec<String>,
    /// Bandwidth classes named by literals, each once.
    pub bandwidth: Vec<String>,
    /// Calls of functions of the library with their lines, those of imported subs with the line of the import.
    pub functions: Vec<(&'static Function, u32)>,
    /// Where calls stand that are not valid in every phase, or not with every protocol.
    pub(crate) places: Vec<Called>,
}

/// A call that is not valid in every phase, or not with every protocol.
#[derive(Debug)]
pub(crate) struct Called {
    pub function: &'static Function,
    pub line: u32,
    pub column: u32,
    pub source_line: String,
}

impl Called {
    fn may_stand_in(&self, phase: Phase) -> bool {
        let phases = self.function.phases;
        phases.is_empty() || phases.contains(&phase)
    }

    /// What the rules are called that it may stand in.
    fn rules(&self) -> String {
        let valid: Vec<_> = self.function.phases.iter().copied().map(rules_of).collect();
        valid.join(" and ")
    }

    fn warning(&self, message: String, hint: &str) -> Note {
        Note {
            severity: Severity::Warning,
            line: self.line,
            column: self.column,
            source_line: self.source_line.clone(),
            message,
            hint: Some(hint.to_owned()),
        }
    }
}

impl fmt::Debug for Uses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<_> = self.functions.iter().map(|(function, line)| (function.name, line)).collect();
        f.debug_struct("Uses")
            .field("pools", &self.pools)
            .field("functions", &functions)
            .finish_non_exhaustive()
    }
}

/// What people call the rules of a phase.
fn rules_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Request => "request rules",
        Phase::Response => "response rules",
        Phase::Completion => "completion rules",
    }
}

impl Uses {
    /// The first call that looks into a database of places, and its line.
    pub fn asks_for_places(&self) -> Option<(&'static str, u32)> {
        let calls = self.functions.iter().filter(|(function, _)| function.traits.places);
        calls.map(|(function, line)| (function.name, *line)).min_by_key(|(_, line)| *line)
    }

    /// Whether a request that the rule sees may go elsewhere than the one before it, or nowhere.
    pub fn diverts(&self) -> bool {
        self.functions.iter().any(|(function, _)| function.traits.diverts)
    }

    /// Whether it calls a function of the library.
    pub fn calls(&self, name: &str) -> bool {
        self.functions.iter().any(|(function, _)| function.name == name)
    }

    /// The first call that has no subject where HTTP is spoken, or is not: its line, and why.
    pub fn pointless(&self, speaks_http: bool) -> Option<(u32, String)> {
        let calls = self.functions.iter().filter(|(function, _)| !function.subject().is_there(speaks_http));
        let (function, line) = calls.min_by_key(|(_, line)| *line)?;
        Some((*line, function.subject().is_missing(function.name)))
    }

    /// An error for every call that is not valid in a phase.
    pub fn misplaced(&self, phase: Phase) -> Vec<Note> {
        let wrong = self.places.iter().filter(|called| !called.may_stand_in(phase));
        wrong
            .map(|called| Note {
                severity: Severity::Error,
                line: called.line,
                column: called.column,
                source_line: called.source_line.clone(),
                message: format!("{} cannot be called in {}", called.function.name, rules_of(phase)),
                hint: Some(format!("it works in {}", called.rules())),
            })
            .collect()
    }

    /// Warnings of calls that exclude each other, so that there is no list of rules, or no virtual server, for all of
    /// them. None if the rule asks in which phase it runs.
    pub(crate) fn contradictions(&self) -> Vec<Note> {
        if self.functions.iter().any(|(function, _)| function.name == "rule.getState") {
            return Vec::new();
        }
        [self.in_no_list(), self.of_no_protocol()].into_iter().flatten().collect()
    }

    fn in_no_list(&self) -> Option<Note> {
        let mut left = vec![Phase::Request, Phase::Response, Phase::Completion];
        let mut narrowing: Vec<&Called> = Vec::new();
        for called in &self.places {
            let before = left.len();
            left.retain(|phase| called.may_stand_in(*phase));
            if left.len() < before {
                narrowing.push(called);
            }
            if left.is_empty() {
                break;
            }
        }
        let last = *narrowing.last().filter(|_| left.is_empty())?;
        let apart = |other: &&&Called| !other.function.phases.iter().any(|phase| last.may_stand_in(*phase));
        if let Some(one) = narrowing.iter().find(apart) {
            narrowing = vec![*one, last];
        }
        let calls = narrowing.iter().map(|called| {
            format!("{} (line {}) works in {}", called.function.name, called.line, called.rules())
        });
        let calls: Vec<_> = calls.collect();
        let message = format!("no list of rules admits all calls: {}", calls.join(", "));
        Some(last.warning(message, "make a rule for each list of it"))
    }

    fn of_no_protocol(&self) -> Option<Note> {
        let first = |subject| self.places.iter().find(|called| called.function.subject() == subject);
        let (http, bytes) = (first(Subject::Http)?, first(Subject::Bytes)?);
        let message = format!(
            "no virtual server has both: {} (line {}) is for the protocol http, {} (line {}) for others",
            http.function.name, http.line, bytes.function.name, bytes.line
        );
        let later = if http.line > bytes.line { http } else { bytes };
        Some(later.warning(message, "make a rule for each protocol of it"))
    }
}
