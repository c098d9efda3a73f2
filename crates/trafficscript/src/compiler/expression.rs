//! Instructions of expressions.

use super::body::Body;
use crate::{
    machine::operate,
    note::Severity,
    program::{Number, Op, UNKNOWN_LEVEL},
    syntax::{Binary, Expression, Id, Place, Span, Unary},
};

/// Where a value is put.
pub(super) enum Target {
    Slot(u16),
    Capture(u8),
    /// Container and key are on the stack; the level of the container.
    Element(u8),
}

impl Body<'_, '_> {
    /// Puts the value of an expression on the stack.
    pub(super) fn value(&mut self, id: Id) {
        let node = self.node(id);
        let place = node.place;
        match node.expression {
            Expression::Int(number) => {
                let op = self.compiler.number(Number::Int(number));
                self.emit(op, place);
            }
            Expression::Double(number) => {
                let op = self.compiler.number(Number::Double(number));
                self.emit(op, place);
            }
            Expression::Text(index) => {
                let module = std::rc::Rc::clone(&self.module);
                let bytes = module.tree.texts.get(index as usize).map_or(&[][..], |text| text);
                self.mentions(bytes, place);
                let text = self.compiler.text(bytes);
                self.emit(Op::Text(text), place);
            }
            Expression::Variable(span) => {
                let slot = self.variable(span, false);
                self.emit(Op::Load(slot), place);
            }
            Expression::Capture(number) => {
                self.emit(Op::LoadCapture(number), place);
            }
            Expression::Array(items) => {
                for item in &items {
                    self.value(*item);
                }
                self.emit(Op::Array(items.len() as u16), place);
            }
            Expression::Hash(items) => {
                for item in &items {
                    self.value(*item);
                }
                self.emit(Op::Hash((items.len() / 2) as u16), place);
            }
            Expression::Index(..) => self.element(id),
            Expression::Call(name, arguments) => self.call(name, &arguments, place),
            Expression::Unary(operator, operand) => {
                self.value(operand);
                let folded = self.constant(1).and_then(|value| operate::unary(operator, &value));
                if !folded.is_some_and(|value| self.replace(1, &value, place)) {
                    self.emit(Op::Unary(operator), place);
                }
            }
            Expression::Binary(..) => self.chain(id),
            Expression::Both(..) | Expression::Either(..) => {
                let no = self.jump_unless(id);
                self.emit(Op::Int(1), place);
                let end = self.emit(Op::Jump(0), place);
                self.land(&no);
                self.emit(Op::Int(0), place);
                self.land(&[end]);
            }
            Expression::Choice(condition, yes, no) => {
                let otherwise = self.jump_unless(condition);
                self.value(yes);
                let end = self.emit(Op::Jump(0), place);
                self.land(&otherwise);
                self.value(no);
                self.land(&[end]);
            }
            Expression::Assign(target, operator, value) => self.assign(target, operator, value, place, true),
            Expression::Step(target, by, before) => self.step(target, by, before, place),
        }
    }

    /// Computes an expression for what it does only.
    pub(super) fn effect(&mut self, id: Id) {
        let node = self.node(id);
        if let Expression::Assign(target, operator, value) = node.expression {
            self.assign(target, operator, value, node.place, false);
        } else {
            self.value(id);
            self.emit(Op::Pop(1), node.place);
        }
    }

    /// Operators with two operands, from left to right without recursion along the left operands. Concatenations next
    /// to each other become one.
    fn chain(&mut self, id: Id) {
        let mut links = Vec::new();
        let mut first = id;
        while let Expression::Binary(operator, left, right) = self.node(first).expression {
            links.push((operator, right, self.node(first).place));
            first = left;
        }
        self.value(first);
        let mut joined = 1_u16;
        let mut before = first;
        while let Some((operator, right, place)) = links.pop() {
            self.check_sum(operator, &[before, right], place);
            before = right;
            self.value(right);
            if operator == Binary::Concatenate {
                let both = (joined == 1).then(|| self.constant(2).zip(self.constant(1))).flatten();
                let folded = both.and_then(|(left, right)| operate::binary(operator, &left, &right));
                if folded.is_some_and(|value| self.replace(2, &value, place)) {
                    continue;
                }
                joined += 1;
                let goes_on = matches!(links.last(), Some((Binary::Concatenate, ..)));
                if !goes_on || joined >= 1000 {
                    self.emit(Op::Concatenate(joined), place);
                    joined = 1;
                }
                continue;
            }
            let both = self.constant(2).zip(self.constant(1));
            let folded = both.and_then(|(left, right)| operate::binary(operator, &left, &right));
            if !folded.is_some_and(|value| self.replace(2, &value, place)) {
                self.emit(Op::Binary(operator), place);
            }
        }
    }

    /// Jumps that are taken when the condition is false; when it is true, the next instruction follows.
    pub(super) fn jump_unless(&mut self, id: Id) -> Vec<usize> {
        let node = self.node(id);
        match node.expression {
            Expression::Both(..) => {
                let mut no = Vec::new();
                for operand in self.operands(id, true) {
                    no.extend(self.jump_unless(operand));
                }
                no
            }
            Expression::Either(..) => {
                let mut operands = self.operands(id, false);
                let last = operands.pop();
                let mut yes = Vec::new();
                for operand in operands {
                    yes.extend(self.jump_if(operand));
                }
                let no = last.map(|last| self.jump_unless(last)).unwrap_or_default();
                self.land(&yes);
                no
            }
            Expression::Unary(Unary::Not, operand) => self.jump_if(operand),
            _ => {
                self.value(id);
                vec![self.emit(Op::JumpUnless(0), node.place)]
            }
        }
    }

    /// Jumps that are taken when the condition is true.
    pub(super) fn jump_if(&mut self, id: Id) -> Vec<usize> {
        let node = self.node(id);
        match node.expression {
            Expression::Either(..) => {
                let mut yes = Vec::new();
                for operand in self.operands(id, false) {
                    yes.extend(self.jump_if(operand));
                }
                yes
            }
            Expression::Both(..) => {
                let mut operands = self.operands(id, true);
                let last = operands.pop();
                let mut no = Vec::new();
                for operand in operands {
                    no.extend(self.jump_unless(operand));
                }
                let yes = last.map(|last| self.jump_if(last)).unwrap_or_default();
                self.land(&no);
                yes
            }
            Expression::Unary(Unary::Not, operand) => self.jump_unless(operand),
            _ => {
                self.value(id);
                vec![self.emit(Op::JumpIf(0), node.place)]
            }
        }
    }

    /// The operands of a chain of `&&` (`both`) or `||` along its left side, in their order.
    fn operands(&self, id: Id, both: bool) -> Vec<Id> {
        let mut operands = Vec::new();
        let mut first = id;
        loop {
            match self.node(first).expression {
                Expression::Both(left, right) if both => (operands.push(right), first = left).1,
                Expression::Either(left, right) if !both => (operands.push(right), first = left).1,
                _ => break,
            }
        }
        operands.push(first);
        operands.reverse();
        operands
    }

    /// Reads an element.
    fn element(&mut self, id: Id) {
        let mut keys = Vec::new();
        let mut base = id;
        while let Expression::Index(container, key) = self.node(base).expression {
            keys.push((key, self.node(base).place));
            base = container;
        }
        if let Expression::Variable(span) = self.node(base).expression {
            let slot = self.variable(span, false);
            if let Some((key, place)) = keys.pop() {
                self.value(key);
                self.emit(Op::IndexSlot(slot), place);
            }
        } else {
            self.value(base);
        }
        while let Some((key, place)) = keys.pop() {
            self.value(key);
            self.emit(Op::Index, place);
        }
    }

    /// Warns of a sum with a string that is no number.
    fn check_sum(&mut self, operator: Binary, operands: &[Id], place: Place) {
        let is_number =
            |text: &[u8]| matches!(text.trim_ascii_start(), [b'0'..=b'9' | b'+' | b'-' | b'.', ..]);
        let has_text =
            operands.iter().any(|operand| self.literal(*operand).is_some_and(|text| !is_number(&text)));
        if operator == Binary::Add && has_text {
            let hint = Some("strings are joined by .".to_owned());
            self.note(place, Severity::Warning, "`+` adds numbers, and this string is none", hint);
        }
    }

    fn assign(&mut self, target: Id, operator: Option<Binary>, value: Id, place: Place, wanted: bool) {
        if self.append(target, operator, value, place, wanted) {
            return;
        }
        let target = self.target(target);
        if let Some(operator) = operator {
            self.check_sum(operator, &[value], place);
            match target {
                Target::Slot(slot) => _ = self.emit(Op::Load(slot), place),
                Target::Capture(number) => _ = self.emit(Op::LoadCapture(number), place),
                Target::Element(_) => {
                    self.emit(Op::Pair, place);
                    self.emit(Op::Index, place);
                }
            }
            self.value(value);
            self.emit(Op::Binary(operator), place);
        } else {
            self.value(value);
        }
        match target {
            Target::Slot(slot) => {
                self.emit(Op::Store(slot), place);
                if wanted {
                    self.emit(Op::Load(slot), place);
                }
            }
            Target::Capture(number) => {
                self.emit(Op::StoreCapture(number), place);
                if wanted {
                    self.emit(Op::LoadCapture(number), place);
                }
            }
            Target::Element(level) => {
                self.emit(Op::StoreIndex(level), place);
                if !wanted {
                    self.emit(Op::Pop(1), place);
                }
            }
        }
    }

    fn step(&mut self, target: Id, by: i8, before: bool, place: Place) {
        match self.target(target) {
            Target::Slot(slot) => _ = self.emit(Op::Step(slot, by, before), place),
            Target::Element(_) => _ = self.emit(Op::StepIndex(by, before), place),
            Target::Capture(number) => {
                if !before {
                    self.emit(Op::LoadCapture(number), place);
                }
                self.emit(Op::LoadCapture(number), place);
                self.emit(Op::Int(by.into()), place);
                self.emit(Op::Binary(Binary::Add), place);
                self.emit(Op::StoreCapture(number), place);
                if before {
                    self.emit(Op::LoadCapture(number), place);
                }
            }
        }
    }

    /// Prepares the place that is assigned to: containers on the way are made where there are none.
    pub(super) fn target(&mut self, id: Id) -> Target {
        let node = self.node(id);
        match node.expression {
            Expression::Capture(number) => Target::Capture(number),
            Expression::Index(container, key) => {
                let level = self.vivify(container);
                self.value(key);
                Target::Element(level)
            }
            Expression::Variable(span) => Target::Slot(self.variable(span, true)),
            // The parser lets nothing else through.
            _ => Target::Slot(self.hidden(node.place)),
        }
    }

    /// Puts a container on the stack that is made if there is none, and gives its level.
    pub(super) fn vivify(&mut self, id: Id) -> u8 {
        let node = self.node(id);
        match node.expression {
            Expression::Variable(span) => {
                let slot = self.variable(span, true);
                self.emit(Op::Vivify(slot), node.place);
                if slot < self.parameters { UNKNOWN_LEVEL } else { 0 }
            }
            Expression::Capture(number) => {
                self.emit(Op::VivifyCapture(number), node.place);
                0
            }
            Expression::Index(container, key) => {
                let level = self.vivify(container);
                self.value(key);
                self.emit(Op::VivifyIndex(level), node.place);
                level.saturating_add(1)
            }
            _ => {
                self.value(id);
                UNKNOWN_LEVEL
            }
        }
    }

    /// Whether something is a place in a variable.
    pub(super) fn is_place(&self, id: Id) -> bool {
        match self.node(id).expression {
            Expression::Variable(_) | Expression::Capture(_) => true,
            Expression::Index(container, _) => self.is_place(container),
            _ => false,
        }
    }

    /// The bytes of a string literal.
    pub(super) fn literal(&self, id: Id) -> Option<Vec<u8>> {
        match self.node(id).expression {
            Expression::Text(index) => self.module.tree.texts.get(index as usize).cloned(),
            _ => None,
        }
    }

    /// Text of a name.
    pub(super) fn name(&self, span: Span) -> String {
        self.module.str(span).to_owned()
    }
}
