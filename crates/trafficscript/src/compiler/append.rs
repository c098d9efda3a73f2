//! Instructions of appending: `$a .= x`, `$a = $a . x . y` and `$h["k"] .= x` put only what is appended on the stack, so
//! that the string can grow where it is.

use super::body::Body;
use crate::{
    library,
    program::Op,
    syntax::{Binary, Expression, Id, Place, Span},
};

/// Most values that one instruction appends.
const MAX_PIECES: usize = 1_000;

impl Body<'_, '_> {
    /// Compiles an assignment that appends. False = it is another one, or computing the value might change what it is
    /// appended to, which has to be read before.
    pub(super) fn append(
        &mut self,
        target: Id,
        operator: Option<Binary>,
        value: Id,
        place: Place,
        wanted: bool,
    ) -> bool {
        let Some(variable) = self.root(target) else { return false };
        let name = self.name(variable);
        let is_element = matches!(self.node(target).expression, Expression::Index(..));
        let pieces = match operator {
            Some(Binary::Concatenate) => vec![value],
            None if !is_element => self.behind(&name, value),
            _ => return false,
        };
        if pieces.is_empty()
            || pieces.len() > MAX_PIECES
            || !pieces.iter().all(|piece| self.leaves_alone(*piece, &name, is_element))
        {
            return false;
        }
        let slot = if is_element {
            self.target(target);
            None
        } else {
            Some(self.variable(variable, true))
        };
        for piece in &pieces {
            self.value(*piece);
        }
        let mut count = pieces.len() as u16;
        if let ([_], Some(joined)) = (&*pieces, self.take_concatenation()) {
            count = joined;
        }
        if let Some(slot) = slot {
            self.emit(Op::Append(slot, count), place);
            if wanted {
                self.emit(Op::Load(slot), place);
            }
        } else {
            self.emit(Op::AppendIndex(count), place);
            if !wanted {
                self.emit(Op::Pop(1), place);
            }
        }
        true
    }

    /// What is concatenated to the variable in `$a . x . y`, in its order; nothing if it is another expression.
    fn behind(&self, name: &str, value: Id) -> Vec<Id> {
        let mut pieces = Vec::new();
        let mut first = value;
        while let Expression::Binary(Binary::Concatenate, left, right) = self.node(first).expression {
            pieces.push(right);
            first = left;
        }
        match self.node(first).expression {
            Expression::Variable(span) if self.name(span) == name => {
                pieces.reverse();
                pieces
            }
            _ => Vec::new(),
        }
    }

    /// The variable that a place is in.
    fn root(&self, mut id: Id) -> Option<Span> {
        loop {
            match self.node(id).expression {
                Expression::Variable(span) => return Some(span),
                Expression::Index(container, _) => id = container,
                _ => return None,
            }
        }
    }

    /// Whether computing an expression surely leaves a variable (or an element of a container in it) as it is. Parameters
    /// may be parts of any container, so for an element every change of another counts.
    fn leaves_alone(&self, id: Id, name: &str, is_element: bool) -> bool {
        let is_changed = |place: Id| {
            let is_part = matches!(self.node(place).expression, Expression::Index(..));
            (is_element && is_part) || self.root(place).is_some_and(|root| self.name(root) == name)
        };
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            match self.node(id).expression {
                Expression::Int(_)
                | Expression::Double(_)
                | Expression::Text(_)
                | Expression::Variable(_)
                | Expression::Capture(_) => {}
                Expression::Array(parts) | Expression::Hash(parts) => todo.extend(parts),
                Expression::Unary(_, operand) => todo.push(operand),
                Expression::Index(left, right)
                | Expression::Binary(_, left, right)
                | Expression::Both(left, right)
                | Expression::Either(left, right) => todo.extend([left, right]),
                Expression::Choice(condition, yes, no) => todo.extend([condition, yes, no]),
                Expression::Assign(place, _, value) => {
                    if is_changed(place) {
                        return false;
                    }
                    todo.extend([place, value]);
                }
                Expression::Step(place, ..) => {
                    if is_changed(place) {
                        return false;
                    }
                    todo.push(place);
                }
                Expression::Call(function, arguments) => {
                    if self.changes_arguments(function)
                        && (is_element || arguments.first().is_some_and(|first| is_changed(*first)))
                    {
                        return false;
                    }
                    todo.extend(arguments);
                }
            }
        }
        true
    }

    /// Whether a call may change what its arguments refer to: calls of subs, and some functions.
    fn changes_arguments(&self, name: Span) -> bool {
        let name = self.name(name).to_ascii_lowercase();
        self.module.subs.contains_key(&name)
            || library::find(&name).is_none_or(|function| function.traits.changes_first)
    }
}
