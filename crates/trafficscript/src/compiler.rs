//! From the structure of a rule to its program: names become slots and call sites, imported subs are found, everything
//! that can be known before the rule runs is checked.

mod append;
mod body;
mod call;
mod expression;
mod import;
mod statement;

use std::{collections::HashMap, rc::Rc, sync::Arc};

use self::{body::Body, import::Module};
use crate::{
    library::Subject,
    meter::Limits,
    note::{Note, Severity, place},
    program::{CallSite, Called, Number, Op, Program, SubCode, Uses},
    syntax::{self, Notes, Place},
};

/// Settings of the compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Limits of runs; `match_steps` is compiled into constant patterns.
    pub limits: Limits,
    /// `trafficscript!variable_pool_use`: the pool of `pool.use` and its like may be computed.
    pub variable_pool_use: bool,
}

/// What came of compiling.
#[derive(Debug)]
pub struct Compiled {
    /// The program; `None` when there is an error.
    pub program: Option<Arc<Program>>,
    /// Remarks, in the order of the text.
    pub notes: Vec<Note>,
}

/// Compiles the rule `name`. `imports` gives the text of another rule of the catalogue.
pub fn compile(
    name: &str,
    text: &[u8],
    options: &Options,
    imports: &dyn Fn(&str) -> Option<Arc<[u8]>>,
) -> Compiled {
    let mut tree = syntax::parse(text);
    let notes = std::mem::take(&mut tree.notes);
    let main = Rc::new(Module::new(0, name, text.into(), tree, None));
    let mut compiler = Compiler {
        options,
        imports,
        modules: vec![Rc::clone(&main)],
        aliases: HashMap::new(),
        notes,
        ops: Vec::new(),
        texts: Vec::new(),
        text_indices: HashMap::new(),
        numbers: Vec::new(),
        sites: Vec::new(),
        subs: Vec::new(),
        sub_indices: HashMap::new(),
        pending: Vec::new(),
        lines: Vec::new(),
        uses: Uses::default(),
    };
    compiler.load_imports(&main, &mut vec![name.to_owned()]);
    compiler.rule(&main);
    // What has nothing but subs is there for other rules.
    if !main.tree.block.is_empty() && compiler.notes.errors == 0 {
        let contradictions = compiler.uses.contradictions();
        compiler.notes.notes.extend(contradictions);
    }
    let Compiler { mut notes, ops, texts, numbers, sites, subs, lines, uses, modules, .. } = compiler;
    notes.notes.sort_by_key(|note| (note.line, note.column));
    let program = (notes.errors == 0).then(|| {
        let rules = modules.iter().map(|module| module.name.clone()).collect();
        Arc::new(Program { ops, texts, numbers, sites, subs, rules, lines, uses })
    });
    Compiled { program, notes: notes.notes }
}

/// A program in the making.
struct Compiler<'a> {
    options: &'a Options,
    imports: &'a dyn Fn(&str) -> Option<Arc<[u8]>>,
    /// The rule, then those it imports.
    modules: Vec<Rc<Module>>,
    /// Module and name in front of a dot (lower case) → module.
    aliases: HashMap<(usize, String), usize>,
    notes: Notes,
    ops: Vec<Op>,
    texts: Vec<Box<[u8]>>,
    text_indices: HashMap<Box<[u8]>, u32>,
    numbers: Vec<Number>,
    sites: Vec<CallSite>,
    subs: Vec<SubCode>,
    /// Module and index of the sub in it → index in `subs`.
    sub_indices: HashMap<(usize, usize), u32>,
    /// Subs that are called and have no instructions yet.
    pending: Vec<(Rc<Module>, usize, u32)>,
    lines: Vec<(u32, u32)>,
    uses: Uses,
}

impl Compiler<'_> {
    /// The rule, its subs, and what they call.
    fn rule(&mut self, main: &Rc<Module>) {
        self.subs.push(SubCode { entry: 0, parameters: 0, slots: 0, rule: 0, strict: main.tree.strict });
        let slots = Body::new(self, Rc::clone(main), &[]).whole_rule();
        if let Some(sub) = self.subs.first_mut() {
            sub.slots = slots;
        }
        // Every sub of the rule itself is compiled so that its errors are told.
        for index in 0..main.tree.subs.len() {
            self.sub_index(main, index);
        }
        while let Some((module, index, number)) = self.pending.pop() {
            let Some(sub) = module.tree.subs.get(index) else { continue };
            let entry = self.ops.len() as u32;
            let slots = Body::new(self, Rc::clone(&module), &sub.parameters).whole_sub(&sub.block);
            if let Some(code) = self.subs.get_mut(number as usize) {
                code.entry = entry;
                code.slots = slots;
            }
        }
    }

    /// The number of a sub, which is compiled sooner or later.
    fn sub_index(&mut self, module: &Rc<Module>, index: usize) -> u32 {
        if let Some(number) = self.sub_indices.get(&(module.index, index)) {
            return *number;
        }
        let number = self.subs.len() as u32;
        let parameters = module.tree.subs.get(index).map_or(0, |sub| sub.parameters.len()) as u16;
        let (rule, strict) = (module.index as u16, module.tree.strict);
        self.subs.push(SubCode { entry: 0, parameters, slots: parameters, rule, strict });
        self.sub_indices.insert((module.index, index), number);
        self.pending.push((Rc::clone(module), index, number));
        number
    }

    /// A remark on a place of a module. Errors of imported subs are told where they are imported, their warnings not at
    /// all: they are told with the imported rule.
    fn note(
        &mut self,
        module: &Module,
        at: Place,
        severity: Severity,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let message = message.into();
        match module.imported_at {
            None => self.notes.add(&module.text, at, severity, message, hint),
            Some(import) if severity == Severity::Error => {
                let Some(main) = self.modules.first().cloned() else { return };
                let message = format!("in the imported rule `{}`, line {}: {message}", module.name, at.line);
                self.notes.add(&main.text, import, severity, message, hint);
            }
            Some(_) => {}
        }
    }

    /// Notes a call of a function.
    fn used(&mut self, module: &Module, function: &'static crate::library::Function, at: Place) {
        let Some(main) = self.modules.first() else { return };
        let at = module.imported_at.unwrap_or(at);
        self.uses.functions.push((function, at.line));
        if !function.phases.is_empty() || function.subject() != Subject::Any {
            let (column, source_line) = place(&main.text, at.at as usize);
            self.uses.places.push(Called { function, line: at.line, column, source_line });
        }
    }

    fn text(&mut self, bytes: &[u8]) -> u32 {
        if let Some(index) = self.text_indices.get(bytes) {
            return *index;
        }
        let index = self.texts.len() as u32;
        self.texts.push(bytes.into());
        self.text_indices.insert(bytes.into(), index);
        index
    }

    fn number(&mut self, number: Number) -> Op {
        if let Number::Int(number) = number
            && let Ok(number) = i32::try_from(number)
        {
            return Op::Int(number);
        }
        self.numbers.push(number);
        Op::Number((self.numbers.len() - 1) as u32)
    }
}
