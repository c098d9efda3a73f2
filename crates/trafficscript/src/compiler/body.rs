//! The instructions of one body: the top level of a rule, or a sub.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use super::{Compiler, import::Module};
use crate::{
    note::Severity,
    program::{Number, Op},
    syntax::{Block, Expression, Id, Node, Place, Span},
    value::Value,
};

/// Most variables of a body.
const MAX_VARIABLES: usize = 2_000;
/// Most parameters of a sub.
const MAX_PARAMETERS: usize = 255;

/// A variable of a body.
struct Variable {
    name: String,
    first: Place,
    /// Something sets it.
    set: bool,
}

/// What `break` and `continue` refer to.
#[derive(Default)]
pub(super) struct Enclosing {
    pub switch: bool,
    /// Jumps to be pointed behind it.
    pub breaks: Vec<usize>,
    /// Jumps to be pointed to its next round.
    pub continues: Vec<usize>,
}

pub(super) struct Body<'c, 'a> {
    pub compiler: &'c mut Compiler<'a>,
    pub module: Rc<Module>,
    slots: HashMap<String, u16>,
    variables: Vec<Variable>,
    /// Slots below this are parameters: their containers may be parts of others.
    pub parameters: u16,
    pub enclosing: Vec<Enclosing>,
    pub is_sub: bool,
    /// Names behind a dollar sign in strings, each once, and the first such string.
    mentioned: BTreeMap<String, Place>,
    /// Instructions before this are reached by jumps, those from it on only from above.
    barrier: usize,
}

impl<'c, 'a> Body<'c, 'a> {
    pub(super) fn new(compiler: &'c mut Compiler<'a>, module: Rc<Module>, parameters: &[Span]) -> Self {
        let mut body = Self {
            barrier: compiler.ops.len(),
            compiler,
            module,
            slots: HashMap::new(),
            variables: Vec::new(),
            parameters: 0,
            enclosing: Vec::new(),
            is_sub: false,
            mentioned: BTreeMap::new(),
        };
        for parameter in parameters {
            let before = body.variables.len();
            body.variable(*parameter, true);
            if body.variables.len() == before {
                let name = body.module.str(parameter.to_owned()).to_owned();
                body.error(parameter.place, format!("a second parameter ${name}"), None);
            }
        }
        if parameters.len() > MAX_PARAMETERS
            && let Some(first) = parameters.first()
        {
            body.error(first.place, format!("more than {MAX_PARAMETERS} parameters"), None);
        }
        body.parameters = parameters.len() as u16;
        body
    }

    /// The top level of the rule. Gives the number of its variables.
    pub(super) fn whole_rule(mut self) -> u16 {
        let module = Rc::clone(&self.module);
        self.check_subs();
        self.block(&module.tree.block);
        self.emit(Op::End, Place::default());
        self.unset_variables();
        self.variables.len() as u16
    }

    /// A sub. Gives the number of its variables.
    pub(super) fn whole_sub(mut self, block: &Block) -> u16 {
        self.is_sub = true;
        self.block(block);
        let nothing = self.compiler.text(b"");
        self.emit(Op::Text(nothing), Place::default());
        self.emit(Op::Return, Place::default());
        self.unset_variables();
        self.variables.len() as u16
    }

    pub(super) fn node(&self, id: Id) -> Node {
        const NOTHING: Node = Node { place: Place { at: 0, line: 0 }, expression: Expression::Int(0) };
        self.module.tree.nodes.get(id as usize).cloned().unwrap_or(NOTHING)
    }

    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.note(place, Severity::Error, message, hint);
    }

    pub(super) fn note(
        &mut self,
        place: Place,
        severity: Severity,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let module = Rc::clone(&self.module);
        self.compiler.note(&module, place, severity, message, hint);
    }

    /// Adds an instruction and gives its index.
    pub(super) fn emit(&mut self, op: Op, place: Place) -> usize {
        let at = self.compiler.ops.len();
        if place.line != 0 && self.compiler.lines.last().is_none_or(|(_, line)| *line != place.line) {
            self.compiler.lines.push((at as u32, place.line));
        }
        self.compiler.ops.push(op);
        at
    }

    /// The index of the next instruction, to which jumps may go.
    pub(super) fn here(&mut self) -> u32 {
        self.barrier = self.compiler.ops.len();
        self.barrier as u32
    }

    /// Points jumps to the next instruction.
    pub(super) fn land(&mut self, jumps: &[usize]) {
        if jumps.is_empty() {
            return;
        }
        let here = self.here();
        self.point(jumps, here);
    }

    pub(super) fn point(&mut self, jumps: &[usize], target: u32) {
        for jump in jumps {
            if let Some(Op::Jump(to) | Op::JumpIf(to) | Op::JumpUnless(to) | Op::Next(to)) =
                self.compiler.ops.get_mut(*jump)
            {
                *to = target;
            }
        }
    }

    /// The constant that the `back`-th last instruction puts on the stack, if nothing jumps behind it.
    pub(super) fn constant(&self, back: usize) -> Option<Value<'static>> {
        let at = self.compiler.ops.len().checked_sub(back)?;
        if at < self.barrier {
            return None;
        }
        Some(match self.compiler.ops.get(at)? {
            Op::Int(number) => Value::Int((*number).into()),
            Op::Number(index) => match self.compiler.numbers.get(*index as usize)? {
                Number::Int(number) => Value::Int(*number),
                Number::Double(number) => Value::Double(*number),
            },
            Op::Text(index) => Value::from(&**self.compiler.texts.get(*index as usize)?),
            _ => return None,
        })
    }

    /// Replaces the last instructions by one that gives a constant.
    pub(super) fn replace(&mut self, back: usize, value: &Value<'_>, place: Place) -> bool {
        let op = match value {
            Value::Int(number) => self.compiler.number(Number::Int(*number)),
            Value::Double(number) => self.compiler.number(Number::Double(*number)),
            Value::Text(text) => Op::Text(self.compiler.text(text)),
            Value::Container(_) => return false,
        };
        self.take_back(back);
        self.emit(op, place);
        true
    }

    /// Takes the last instructions away.
    fn take_back(&mut self, count: usize) {
        let left = self.compiler.ops.len().saturating_sub(count);
        self.compiler.ops.truncate(left);
        while self.compiler.lines.last().is_some_and(|(first, _)| *first as usize >= left) {
            self.compiler.lines.pop();
        }
    }

    /// Takes the last instruction away if it concatenates, and gives how many values it does.
    pub(super) fn take_concatenation(&mut self) -> Option<u16> {
        let last = self.compiler.ops.len().checked_sub(1).filter(|last| *last >= self.barrier)?;
        let Some(Op::Concatenate(count)) = self.compiler.ops.get(last).copied() else { return None };
        self.take_back(1);
        Some(count)
    }

    /// The slot of a variable that is read, or `set`.
    pub(super) fn variable(&mut self, span: Span, set: bool) -> u16 {
        let module = Rc::clone(&self.module);
        let name = module.str(span);
        if let Some(slot) = self.slots.get(name) {
            if set && let Some(variable) = self.variables.get_mut(usize::from(*slot)) {
                variable.set = true;
            }
            return *slot;
        }
        let slot = self.hidden(span.place);
        if let Some(variable) = self.variables.get_mut(usize::from(slot)) {
            name.clone_into(&mut variable.name);
            variable.set = set;
        }
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    /// A variable without a name.
    pub(super) fn hidden(&mut self, first: Place) -> u16 {
        if self.variables.len() >= MAX_VARIABLES {
            if self.variables.len() == MAX_VARIABLES {
                self.error(first, format!("more than {MAX_VARIABLES} variables"), None);
            }
            return 0;
        }
        self.variables.push(Variable { name: String::new(), first, set: true });
        (self.variables.len() - 1) as u16
    }

    /// Notes what looks like variables in a string.
    pub(super) fn mentions(&mut self, text: &[u8], place: Place) {
        for at in memchr::memchr_iter(b'$', text) {
            let behind = text.get(at + 1..).unwrap_or_default();
            let behind = behind.strip_prefix(b"{").unwrap_or(behind);
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let length = behind.iter().take_while(|byte| is_name(byte)).count();
            if let Ok(name) = std::str::from_utf8(behind.get(..length).unwrap_or_default())
                && name.starts_with(|first: char| !first.is_ascii_digit())
                && self.mentioned.len() < MAX_VARIABLES
            {
                self.mentioned.entry(name.to_owned()).or_insert(place);
            }
        }
    }

    /// Tells of strings that seem to hold variables, which they do not.
    fn mentioned_variables(&mut self) {
        let mut mentioned: Vec<_> = std::mem::take(&mut self.mentioned).into_iter().collect();
        // Those of one place stay in the order of their names.
        mentioned.sort_by_key(|(_, place)| place.at);
        for (name, place) in mentioned {
            if self.variables.iter().any(|variable| variable.set && variable.name == name) {
                let message = format!("strings hold no variables: ${name} stays as it is written");
                let hint = format!("to put its value there, write \"…\" . ${name} . \"…\"");
                self.note(place, Severity::Note, message, Some(hint));
            }
        }
    }

    /// Warns of variables that are read and never set.
    fn unset_variables(&mut self) {
        self.mentioned_variables();
        let variables = std::mem::take(&mut self.variables);
        for variable in variables.iter().filter(|variable| !variable.set) {
            let others = variables.iter().filter(|other| other.set && !other.name.is_empty());
            let hint = super::call::nearest(&variable.name, others.map(|other| other.name.as_str()))
                .map(|name| format!("did you mean ${name}?"));
            let message = format!("nothing sets ${}", variable.name);
            self.note(variable.first, Severity::Warning, message, hint);
        }
        self.variables = variables;
    }
}
