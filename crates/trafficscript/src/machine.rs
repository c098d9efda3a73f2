//! Runs a program. The machine stops when the rule is over or needs something that takes time, and goes on from there.
//!
//! One stack holds the variables of all frames and the values being computed. Arguments of a function are a slice of
//! it. Every instruction counts; what works on many bytes counts them too ([`Meter`]).

mod append;
mod compute;
mod element;
pub(crate) mod operate;

use std::rc::Rc;

use crate::{
    host::{Answer, Host, Need, tag},
    library::{CAPTURES, Call, Interrupt, Subject},
    meter::{Limits, Meter, Reached, WARNING},
    pattern::PatternCache,
    program::{CallSite, Number, Op, Program, UNKNOWN_LEVEL},
    value::{Container, MAX_LEVELS, Text, Value, cast, own},
};

/// What a machine stopped for.
#[derive(Debug)]
pub enum Step {
    /// The rule is over.
    Done(End),
    /// It goes on when this is there: [`Machine::resume`], then [`Machine::run`].
    Wait(Need),
}

/// How a rule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By its last statement, `break`, `return`, or a function that ends the rule. Later rules run.
    Finished,
    /// A function ended the rules of this phase; what follows has been ordered.
    EndedPhase,
    /// By a limit or a fault, with the line for the event log. Later rules run.
    Aborted(String),
}

/// Room on the stack for values being computed; it grows if that is not enough.
const ROOM: usize = 16;

/// Where a sub returns to.
struct Frame {
    pc: usize,
    base: usize,
    sub: u32,
}

/// One run of a rule.
pub struct Machine<'p> {
    program: &'p Program,
    meter: Meter,
    stack: Vec<Value<'p>>,
    frames: Vec<Frame>,
    pc: usize,
    /// Index on the stack of the first variable of the frame.
    base: usize,
    sub: u32,
    /// Name of the rule whose text is being run.
    rule: &'p str,
    /// `import strict` stands in it.
    strict: bool,
    captures: [Value<'p>; CAPTURES],
    answer: Option<Box<Answer>>,
    scratch: Vec<u8>,
    over: bool,
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("rule", &self.program.name())
            .field("line", &self.program.line(self.pc))
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl<'p> Machine<'p> {
    /// At the beginning of a rule.
    pub fn new(program: &'p Program, limits: Limits) -> Self {
        let (slots, strict) =
            program.subs.first().map_or((0, false), |sub| (usize::from(sub.slots), sub.strict));
        let mut stack = Vec::with_capacity(slots + ROOM);
        stack.resize(slots, Value::EMPTY);
        Self {
            program,
            meter: Meter::new(limits),
            stack,
            frames: Vec::new(),
            pc: 0,
            base: 0,
            sub: 0,
            rule: program.name(),
            strict,
            captures: [Value::EMPTY; CAPTURES],
            answer: None,
            scratch: Vec::new(),
            over: false,
        }
    }

    /// Runs until the rule is over or has to wait. A machine that is over stays [`End::Finished`].
    pub fn run(&mut self, host: &mut dyn Host, patterns: &mut PatternCache) -> Step {
        if self.over {
            return Step::Done(End::Finished);
        }
        let end = match self.execute(host, patterns) {
            Ok(()) | Err(Interrupt::EndRule) => End::Finished,
            Err(Interrupt::EndPhase) => End::EndedPhase,
            Err(Interrupt::Wait(need)) => return Step::Wait(*need),
            Err(Interrupt::Abort(message)) if message.starts_with("Rule ") => End::Aborted(message),
            Err(Interrupt::Abort(message)) => End::Aborted(self.located(&message)),
        };
        self.over = true;
        Step::Done(end)
    }

    /// Hands over what the machine has waited for. The count of instructions begins anew.
    pub fn resume(&mut self, answer: Answer) {
        self.answer = Some(Box::new(answer));
        self.meter.yielded();
    }

    /// Instructions since the beginning or the last suspension; work on many bytes counts too.
    pub fn instructions(&self) -> u32 {
        self.meter.used()
    }

    fn execute(&mut self, host: &mut dyn Host, patterns: &mut PatternCache) -> Result<(), Interrupt> {
        let program = self.program;
        // The field is written for whoever wants to know the line, and read only behind what may jump.
        let mut pc = self.pc;
        while let Some(op) = program.ops.get(pc) {
            self.meter.step()?;
            pc += 1;
            self.pc = pc;
            match *op {
                Op::Load(slot) => match self.slot(slot) {
                    Value::Int(number) => {
                        let number = *number;
                        self.stack.push(Value::Int(number));
                    }
                    Value::Text(Text::Made(bytes)) => {
                        let bytes = Rc::clone(bytes);
                        self.stack.push(Value::Text(Text::Made(bytes)));
                    }
                    value => {
                        let value = value.clone();
                        self.stack.push(value);
                    }
                },
                Op::Text(index) => {
                    let bytes = program.texts.get(index as usize).map_or(&b""[..], |text| text);
                    self.stack.push(Value::Text(Text::Constant(bytes)));
                }
                Op::Native(index) => {
                    if let Some(site) = program.sites.get(index as usize) {
                        self.native(site, host, patterns)?;
                    }
                }
                Op::JumpUnless(to) => {
                    if !self.take_truth() {
                        pc = to as usize;
                    }
                }
                Op::JumpIf(to) => {
                    if self.take_truth() {
                        pc = to as usize;
                    }
                }
                Op::Jump(to) => pc = to as usize,
                Op::Store(slot) => self.store(slot)?,
                Op::Pop(count) => self.stack.truncate(self.stack.len().saturating_sub(count.into())),
                Op::Int(number) => self.stack.push(Value::Int(number.into())),
                Op::Binary(operator) => self.binary(operator, host)?,
                Op::Unary(operator) => self.unary(operator, host)?,
                Op::Concatenate(count) => self.concatenate(count.into(), host)?,
                Op::Append(slot, count) => self.append(slot, count.into(), host)?,
                Op::Step(slot, by, before) => self.step(slot, by, before, host)?,
                Op::Sub(index) => {
                    self.call(index)?;
                    pc = self.pc;
                }
                Op::Return => {
                    self.give_back();
                    pc = self.pc;
                }
                Op::End => return Ok(()),
                Op::Next(exit) => {
                    if !self.next()? {
                        pc = exit as usize;
                    }
                }
                _ => self.rest(*op, host)?,
            }
        }
        Ok(())
    }

    /// The instructions on containers, captures and large numbers.
    fn rest(&mut self, op: Op, host: &mut dyn Host) -> Result<(), Interrupt> {
        match op {
            Op::Number(index) => {
                let number = match self.program.numbers.get(index as usize) {
                    Some(Number::Int(number)) => Value::Int(*number),
                    Some(Number::Double(number)) => Value::Double(*number),
                    None => Value::EMPTY,
                };
                self.stack.push(number);
            }
            Op::LoadCapture(number) => {
                let value = self.capture(number).map_or(Value::EMPTY, |value| value.clone());
                self.stack.push(value);
            }
            Op::StoreCapture(number) => {
                let (value, _) = own::owned(self.pop(), &mut self.meter)?;
                if let Some(capture) = self.capture(number) {
                    *capture = value;
                }
            }
            Op::Pair => {
                let from = self.stack.len().saturating_sub(2);
                self.stack.extend_from_within(from..);
            }
            Op::IndexSlot(slot) => {
                let key = self.pop();
                let container = self.slot(slot).clone();
                let element = self.element(&container, &key, host)?;
                self.stack.push(element);
            }
            Op::Index => {
                let (key, container) = (self.pop(), self.pop());
                let element = self.element(&container, &key, host)?;
                self.stack.push(element);
            }
            Op::Array(count) => self.array(count.into())?,
            Op::Hash(count) => self.hash(count.into(), host)?,
            Op::Vivify(slot) => self.vivify(slot)?,
            Op::VivifyCapture(number) => self.vivify_capture(number)?,
            Op::VivifyIndex(level) => self.vivify_element(level, host)?,
            Op::StoreIndex(level) => self.store_element(level, host)?,
            Op::AppendIndex(count) => self.append_element(count.into(), host)?,
            Op::StepIndex(by, before) => self.step_element(by, before, host)?,
            Op::Iterate => self.iterate(host)?,
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn pop(&mut self) -> Value<'p> {
        self.stack.pop().unwrap_or(Value::EMPTY)
    }

    /// Pops a condition. Values are looked at where they are: moving what has just been written stalls the processor.
    #[inline]
    fn take_truth(&mut self) -> bool {
        let truth = match self.stack.last() {
            Some(Value::Int(number)) => *number != 0,
            Some(value) => cast::truth(value),
            None => false,
        };
        self.stack.truncate(self.stack.len().saturating_sub(1));
        truth
    }

    #[inline]
    fn slot(&self, slot: u16) -> &Value<'p> {
        self.stack.get(self.base + usize::from(slot)).unwrap_or(&Value::EMPTY)
    }

    fn capture(&mut self, number: u8) -> Option<&mut Value<'p>> {
        self.captures.get_mut(usize::from(number).checked_sub(1)?)
    }

    #[inline]
    fn store(&mut self, slot: u16) -> Result<(), Interrupt> {
        if let Some(Value::Container(_)) = self.stack.last() {
            return self.store_container(slot);
        }
        let (place, top) = (self.base + usize::from(slot), self.stack.len().saturating_sub(1));
        if place < top {
            self.stack.swap_remove(place);
        }
        Ok(())
    }

    fn store_container(&mut self, slot: u16) -> Result<(), Interrupt> {
        let value = self.pop();
        // `$a = array.push( $a, 1 )`
        if let (Value::Container(old), Value::Container(new)) = (self.slot(slot), &value)
            && Rc::ptr_eq(old, new)
        {
            return Ok(());
        }
        let (value, _) = own::owned(value, &mut self.meter)?;
        if let Some(place) = self.stack.get_mut(self.base + usize::from(slot)) {
            *place = value;
        }
        Ok(())
    }

    /// A call of a function of the library. If it has to wait, it is called again with the same arguments.
    #[inline]
    fn native(
        &mut self,
        site: &'p CallSite,
        host: &mut dyn Host,
        patterns: &mut PatternCache,
    ) -> Result<(), Interrupt> {
        let from = self.stack.len().saturating_sub(site.arguments.into());
        if let Some(level) = site.changes {
            self.settle_arguments(from, level)?;
        }
        let (rule, strict) = (self.rule, self.strict);
        let mut call = Call {
            host,
            rule,
            arguments: self.stack.get(from..).unwrap_or_default(),
            answer: self.answer.take(),
            captures: &mut self.captures,
            site: &site.site,
            meter: &mut self.meter,
            patterns,
            strict,
        };
        if site.subject != Subject::Any && !site.subject.is_there(call.host.speaks_http()) {
            return Err(call.fault(&site.subject.is_missing(site.name)));
        }
        match (site.does)(&mut call) {
            // Taken apart and put together again: as a whole it would be read before it is written.
            Ok(Value::Int(number)) => {
                self.stack.truncate(from);
                self.stack.push(Value::Int(number));
                Ok(())
            }
            Ok(value) => {
                self.stack.truncate(from);
                self.stack.push(value);
                Ok(())
            }
            Err(interrupt) => {
                if let Interrupt::Wait(_) = interrupt {
                    self.pc -= 1;
                }
                Err(interrupt)
            }
        }
    }

    /// What is put into a container is copied before, and bounded in its depth.
    fn settle_arguments(&mut self, from: usize, level: u8) -> Result<(), Interrupt> {
        let mut deepest = 0;
        for at in from + 1..self.stack.len() {
            if let Some(argument @ Value::Container(_)) = self.stack.get_mut(at) {
                let value = std::mem::replace(argument, Value::EMPTY);
                let (value, levels) = own::owned(value, &mut self.meter)?;
                deepest = deepest.max(levels);
                if let Some(argument) = self.stack.get_mut(at) {
                    *argument = value;
                }
            }
        }
        if deepest > 0
            && let Some(Value::Container(container)) = self.stack.get(from).cloned()
        {
            self.has_room(&container, level, deepest)?;
        }
        Ok(())
    }

    /// Whether `levels` more levels of containers may be put into a container.
    fn has_room(
        &mut self,
        container: &Rc<std::cell::RefCell<Container<'p>>>,
        level: u8,
        levels: usize,
    ) -> Result<(), Interrupt> {
        let mut above = usize::from(level);
        if level == UNKNOWN_LEVEL {
            // Everything that can be reached is reached from the stack.
            above = 0;
            for value in &self.stack {
                above = above.max(own::find(value, container, &mut self.meter)?.unwrap_or(0));
            }
        }
        if above + 1 + levels > MAX_LEVELS {
            return Err(Reached::Levels(MAX_LEVELS).into());
        }
        Ok(())
    }

    fn call(&mut self, index: u32) -> Result<(), Interrupt> {
        let limit = self.meter.limits().depth;
        if self.frames.len() >= limit.into() {
            return Err(Reached::Depth(limit).into());
        }
        let Some(sub) = self.program.subs.get(index as usize) else { return Ok(()) };
        let slots = usize::from(sub.slots);
        self.meter.work(slots * size_of::<Value<'_>>())?;
        self.frames.push(Frame { pc: self.pc, base: self.base, sub: self.sub });
        self.base = self.stack.len().saturating_sub(sub.parameters.into());
        self.stack.resize(self.base + slots, Value::EMPTY);
        self.pc = sub.entry as usize;
        self.enter(index);
        Ok(())
    }

    fn give_back(&mut self) {
        let value = self.pop();
        self.stack.truncate(self.base);
        self.stack.push(value);
        if let Some(frame) = self.frames.pop() {
            self.pc = frame.pc;
            self.base = frame.base;
            self.enter(frame.sub);
        }
    }

    /// Notes which sub is being run.
    fn enter(&mut self, index: u32) {
        self.sub = index;
        if let Some(sub) = self.program.subs.get(index as usize) {
            self.rule = self.program.rules.get(usize::from(sub.rule)).map_or("", String::as_str);
            self.strict = sub.strict;
        }
    }

    /// A message with rule and line.
    fn located(&self, message: &str) -> String {
        let line = self.program.line(self.pc.saturating_sub(1));
        format!("Rule {}: Line {line}: {message}", self.rule)
    }

    /// A warning in the event log. Aborts under `import strict`.
    #[cold]
    fn warn(&mut self, message: &str, host: &mut dyn Host) -> Result<(), Interrupt> {
        let line = self.located(message);
        if self.strict {
            return Err(Interrupt::Abort(line));
        }
        self.meter.steps(WARNING)?;
        host.warn(tag::FAULT, line.as_bytes());
        Ok(())
    }

    #[cold]
    fn cannot_convert(&mut self, value: &Value<'p>, to: &str, host: &mut dyn Host) -> Result<(), Interrupt> {
        self.warn(&format!("Cannot convert {} to {to} value", cast::kind(value)), host)
    }
}
