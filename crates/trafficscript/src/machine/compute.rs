//! Operators of a running rule: values are taken from the stack, what long strings cost is counted, and what has no
//! result by the language warns.

use super::{Machine, operate};
use crate::{
    host::Host,
    library::{Interrupt, NUMBER},
    meter::Reached,
    syntax::{Binary, Unary},
    value::{Value, cast},
};

/// The buffer in which strings are put together is kept up to this many bytes.
const SCRATCH_KEPT: usize = 64 << 10;

impl<'p> Machine<'p> {
    #[inline]
    pub(super) fn binary(&mut self, operator: Binary, host: &mut dyn Host) -> Result<(), Interrupt> {
        let quick = match self.stack.as_slice() {
            [.., Value::Int(left), Value::Int(right)] => match operator {
                Binary::Add => Some(left.wrapping_add(*right)),
                Binary::Subtract => Some(left.wrapping_sub(*right)),
                Binary::Less => Some(i64::from(left < right)),
                Binary::Equal => Some(i64::from(left == right)),
                _ => None,
            },
            [.., Value::Text(left), Value::Text(right)] => match operator {
                Binary::Equal if left.len() != right.len() => Some(0),
                Binary::NotEqual if left.len() != right.len() => Some(1),
                _ => None,
            },
            _ => None,
        };
        match quick {
            Some(result) => {
                self.stack.truncate(self.stack.len().saturating_sub(1));
                if let Some(place) = self.stack.last_mut() {
                    *place = Value::Int(result);
                }
                Ok(())
            }
            None => self.binary_in_general(operator, host),
        }
    }

    fn binary_in_general(&mut self, operator: Binary, host: &mut dyn Host) -> Result<(), Interrupt> {
        let (right, left) = (self.pop(), self.pop());
        self.look_at(operator, &left, &right)?;
        let result = match operate::binary(operator, &left, &right) {
            Some(result) => result,
            None => self.binary_with_warning(operator, left, right, host)?,
        };
        self.stack.push(result);
        Ok(())
    }

    /// Accounts for an operator on long strings.
    fn look_at(&mut self, operator: Binary, left: &Value<'p>, right: &Value<'p>) -> Result<(), Reached> {
        let length = |value: &Value<'p>| match value {
            Value::Text(text) => text.len(),
            _ => 0,
        };
        let bytes = length(left) + length(right);
        match operator {
            Binary::Concatenate => self.meter.charge(bytes),
            // Two strings are compared as they are, at the speed of copying.
            _ if matches!((left, right), (Value::Text(_), Value::Text(_))) && operator.compares() => {
                self.meter.work(bytes)
            }
            _ => self.meter.work(bytes.saturating_mul(NUMBER)),
        }
    }

    #[cold]
    fn binary_with_warning(
        &mut self,
        operator: Binary,
        mut left: Value<'p>,
        mut right: Value<'p>,
        host: &mut dyn Host,
    ) -> Result<Value<'p>, Interrupt> {
        let to = match operator {
            Binary::Concatenate => "string",
            _ => "integer",
        };
        for side in [&mut left, &mut right] {
            if let Value::Container(_) = side {
                self.cannot_convert(side, to, host)?;
                *side = Value::Int(0);
            }
        }
        if let Some(result) = operate::binary(operator, &left, &right) {
            Ok(result)
        } else {
            self.warn("Division by zero", host)?;
            Ok(Value::Int(0))
        }
    }

    pub(super) fn unary(&mut self, operator: Unary, host: &mut dyn Host) -> Result<(), Interrupt> {
        let value = self.pop();
        if let Value::Text(text) = &value {
            self.meter.work(text.len().saturating_mul(NUMBER))?;
        }
        let result = if let Some(result) = operate::unary(operator, &value) {
            result
        } else {
            self.cannot_convert(&value, "integer", host)?;
            operate::unary(operator, &Value::Int(0)).unwrap_or(Value::EMPTY)
        };
        self.stack.push(result);
        Ok(())
    }

    pub(super) fn step(
        &mut self,
        slot: u16,
        by: i8,
        before: bool,
        host: &mut dyn Host,
    ) -> Result<(), Interrupt> {
        if let Some(Value::Int(number)) = self.stack.get_mut(self.base + usize::from(slot)) {
            let old = *number;
            *number = old.wrapping_add(by.into());
            let result = if before { *number } else { old };
            self.stack.push(Value::Int(result));
            return Ok(());
        }
        let old = self.slot(slot).clone();
        let new = self.stepped(&old, by, host)?;
        let result = if before { new.clone() } else { old };
        if let Some(place) = self.stack.get_mut(self.base + usize::from(slot)) {
            *place = new;
        }
        self.stack.push(result);
        Ok(())
    }

    pub(super) fn stepped(
        &mut self,
        old: &Value<'p>,
        by: i8,
        host: &mut dyn Host,
    ) -> Result<Value<'p>, Interrupt> {
        if let Value::Int(number) = old {
            return Ok(Value::Int(number.wrapping_add(by.into())));
        }
        let by = Value::Int(by.into());
        self.look_at(Binary::Add, old, &by)?;
        match operate::binary(Binary::Add, old, &by) {
            Some(new) => Ok(new),
            None => self.binary_with_warning(Binary::Add, old.clone(), by, host),
        }
    }

    pub(super) fn concatenate(&mut self, count: usize, host: &mut dyn Host) -> Result<(), Interrupt> {
        let from = self.stack.len().saturating_sub(count);
        let bytes = self.joined_length(from, host)?;
        self.meter.charge(bytes)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        self.join(from, &mut scratch);
        self.stack.push(Value::from(scratch.as_slice()));
        if scratch.capacity() <= SCRATCH_KEPT {
            self.scratch = scratch;
        }
        Ok(())
    }

    /// No fewer bytes than the values on the stack have as strings, from an index on. Containers warn.
    pub(super) fn joined_length(&mut self, from: usize, host: &mut dyn Host) -> Result<usize, Interrupt> {
        /// No number is longer as text.
        const NUMBER: usize = 24;
        let mut bytes = 0;
        for at in from..self.stack.len() {
            match self.stack.get(at) {
                Some(Value::Text(text)) => bytes += text.len(),
                Some(value @ Value::Container(_)) => {
                    let value = value.clone();
                    self.cannot_convert(&value, "string", host)?;
                    bytes += 1;
                }
                _ => bytes += NUMBER,
            }
        }
        Ok(bytes)
    }

    /// Takes the values from an index on from the stack and appends them as strings, containers as `0`.
    pub(super) fn join(&mut self, from: usize, bytes: &mut Vec<u8>) {
        for value in self.stack.drain(from..) {
            match &value {
                Value::Text(text) => bytes.extend_from_slice(text),
                Value::Int(number) => bytes.extend_from_slice(number.to_string().as_bytes()),
                Value::Double(number) => bytes.extend_from_slice(cast::general(*number).as_bytes()),
                Value::Container(_) => bytes.push(b'0'),
            }
        }
    }
}
