//! Instructions of statements.

use super::body::{Body, Enclosing};
use crate::{
    note::Severity,
    program::Op,
    syntax::{Binary, Block, Case, Expression, Id, Place, Span, Statement},
};

impl Body<'_, '_> {
    pub(super) fn block(&mut self, block: &Block) {
        for statement in block {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Expression(id) => self.effect(*id),
            Statement::If { branches, otherwise } => self.branches(branches, otherwise.as_ref()),
            Statement::Switch { place, value, comparator, cases, default } => {
                self.switch(*place, *value, *comparator, cases, default.as_ref());
            }
            Statement::While(condition, block) => {
                let start = self.here();
                let done = self.condition(*condition);
                self.enclosing.push(Enclosing::default());
                self.block(block);
                let again = self.emit(Op::Jump(0), Place::default());
                self.point(&[again], start);
                self.leave(start, &done);
            }
            Statement::Do(block, condition) => {
                let start = self.here();
                self.enclosing.push(Enclosing::default());
                self.block(block);
                let next = self.here();
                let again = self.jump_if(*condition);
                self.point(&again, start);
                self.leave(next, &[]);
            }
            Statement::For { place, first, condition, step, block } => {
                self.counted(*place, first, *condition, step, block);
            }
            Statement::Foreach(variable, container, block) => self.each(*variable, *container, block),
            Statement::Break(place) => self.leave_loop(*place),
            Statement::Continue(place) => {
                let jump = self.emit(Op::Jump(0), *place);
                match self.enclosing.iter_mut().rev().find(|enclosing| !enclosing.switch) {
                    Some(enclosing) => enclosing.continues.push(jump),
                    None => self.error(*place, "`continue` outside a loop", None),
                }
            }
            Statement::Return(place, value) => match (value, self.is_sub) {
                (Some(value), true) => {
                    self.value(*value);
                    self.emit(Op::Return, *place);
                }
                (None, true) => {
                    let nothing = self.compiler.text(b"");
                    self.emit(Op::Text(nothing), *place);
                    self.emit(Op::Return, *place);
                }
                (value, false) => {
                    if let Some(value) = value {
                        self.effect(*value);
                    }
                    self.emit(Op::End, *place);
                }
            },
            Statement::Block(block) => self.block(block),
        }
    }

    /// Ends the body of a loop or switch: its `continue` goes to `next`, its `break` and `done` to here.
    fn leave(&mut self, next: u32, done: &[usize]) {
        let Enclosing { breaks, continues, .. } = self.enclosing.pop().unwrap_or_default();
        self.point(&continues, next);
        self.land(done);
        self.land(&breaks);
    }

    /// A condition; an assignment of what need not be computed is hardly meant in it.
    fn condition(&mut self, id: Id) -> Vec<usize> {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let node = self.node(id);
            let value = match node.expression {
                Expression::Assign(_, None, value) => self.node(value).expression,
                Expression::Both(left, right) | Expression::Either(left, right) => {
                    todo.extend([right, left]);
                    continue;
                }
                _ => continue,
            };
            let what = match value {
                Expression::Int(_) | Expression::Double(_) | Expression::Text(_) => "a constant",
                Expression::Variable(_) => "a variable",
                _ => continue,
            };
            let hint = Some("to compare, use ==".to_owned());
            self.note(node.place, Severity::Warning, format!("{what} is assigned in a condition"), hint);
        }
        self.jump_unless(id)
    }

    fn branches(&mut self, branches: &[(Id, Block)], otherwise: Option<&Block>) {
        let mut ends = Vec::new();
        for (at, (condition, block)) in branches.iter().enumerate() {
            let no = self.condition(*condition);
            self.block(block);
            if at + 1 < branches.len() || otherwise.is_some() {
                ends.push(self.emit(Op::Jump(0), Place::default()));
            }
            self.land(&no);
        }
        if let Some(otherwise) = otherwise {
            self.block(otherwise);
        }
        self.land(&ends);
    }

    fn switch(
        &mut self,
        place: Place,
        value: Id,
        comparator: Option<Span>,
        cases: &[Case],
        default: Option<&Block>,
    ) {
        self.value(value);
        let slot = self.hidden(place);
        self.emit(Op::Store(slot), place);
        self.enclosing.push(Enclosing { switch: true, ..Enclosing::default() });
        let mut ends = Vec::new();
        for case in cases {
            let mut found = Vec::new();
            for value in &case.values {
                let at = self.node(*value).place;
                self.emit(Op::Load(slot), at);
                self.value(*value);
                match comparator {
                    Some(name) => self.call_prepared(name, 2, at),
                    None => _ = self.emit(Op::Binary(Binary::Equal), at),
                }
                found.push(self.emit(Op::JumpIf(0), at));
            }
            let next = self.emit(Op::Jump(0), place);
            self.land(&found);
            self.block(&case.block);
            ends.push(self.emit(Op::Jump(0), Place::default()));
            self.land(&[next]);
        }
        if let Some(default) = default {
            self.block(default);
        }
        self.leave(0, &ends);
    }

    fn counted(&mut self, place: Place, first: &[Id], condition: Option<Id>, step: &[Id], block: &Block) {
        for expression in first {
            self.effect(*expression);
        }
        let start = self.here();
        let done = condition.map(|condition| self.condition(condition)).unwrap_or_default();
        self.enclosing.push(Enclosing::default());
        self.block(block);
        let next = self.here();
        for expression in step {
            self.effect(*expression);
        }
        let again = self.emit(Op::Jump(0), place);
        self.point(&[again], start);
        self.leave(next, &done);
    }

    /// The container and the index of the next element stay on the stack while the loop runs.
    fn each(&mut self, variable: Span, container: Id, block: &Block) {
        let place = self.node(container).place;
        self.value(container);
        self.emit(Op::Iterate, place);
        let start = self.here();
        let done = self.emit(Op::Next(0), variable.place);
        let slot = self.variable(variable, true);
        self.emit(Op::Store(slot), variable.place);
        self.enclosing.push(Enclosing::default());
        self.block(block);
        let again = self.emit(Op::Jump(0), Place::default());
        self.point(&[again], start);
        self.leave(start, &[done]);
        self.emit(Op::Pop(2), Place::default());
    }

    /// `break`: leaves the innermost loop or switch; outside of them it ends the rule.
    fn leave_loop(&mut self, place: Place) {
        if self.enclosing.is_empty() {
            self.emit(Op::End, place);
            return;
        }
        let jump = self.emit(Op::Jump(0), place);
        let mut in_switch = false;
        if let Some(enclosing) = self.enclosing.last_mut() {
            enclosing.breaks.push(jump);
            in_switch = enclosing.switch;
        }
        if in_switch {
            let hint = "cases do not fall through, so it is not needed at their end".to_owned();
            self.note(place, Severity::Note, "`break` leaves the `switch` only", Some(hint));
        }
    }

    /// Two subs of one name, subs that hide functions.
    pub(super) fn check_subs(&mut self) {
        let module = std::rc::Rc::clone(&self.module);
        for (index, sub) in module.tree.subs.iter().enumerate() {
            let name = module.str(sub.name).to_ascii_lowercase();
            if module.subs.get(&name) != Some(&index) {
                self.error(sub.name.place, format!("a second sub {}", module.str(sub.name)), None);
            } else if let Some(function) = crate::library::find(&name) {
                let message = format!("this sub hides the function {}", function.name);
                self.note(sub.name.place, Severity::Warning, message, None);
            }
        }
    }
}
