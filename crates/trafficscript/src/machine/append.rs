//! Appending to a variable or an element: `$a .= x`, `$a = $a . x`, `$h["k"] .= x`. A long string that nothing else
//! holds grows where it is, so that collecting a text in pieces takes time and counts in proportion to the text.

use std::rc::Rc;

use super::Machine;
use crate::{
    host::Host,
    library::Interrupt,
    value::{Container, Text, Value, cast},
};

/// Shorter strings are made anew: they are read more often than they grow, and one allocation less stands in the way.
const GROWS_FROM: usize = 512;

impl<'p> Machine<'p> {
    /// so many values → ; appends them to a variable.
    pub(super) fn append(&mut self, slot: u16, count: usize, host: &mut dyn Host) -> Result<(), Interrupt> {
        let place = self.base + usize::from(slot);
        let from = self.stack.len().saturating_sub(count);
        // Taken out: as long as the variable has it, it is held twice. Errors end the rule.
        let taken = self.stack.get_mut(place).map(|variable| std::mem::replace(variable, Value::EMPTY));
        let new = self.appended(taken.unwrap_or(Value::EMPTY), from, host)?;
        if let Some(variable) = self.stack.get_mut(place) {
            *variable = new;
        }
        Ok(())
    }

    /// container, key, so many values → the element with them appended.
    pub(super) fn append_element(&mut self, count: usize, host: &mut dyn Host) -> Result<(), Interrupt> {
        let from = self.stack.len().saturating_sub(count);
        let part = |back: usize| from.checked_sub(back).and_then(|at| self.stack.get(at)).cloned();
        let (container, key) = (part(2).unwrap_or(Value::EMPTY), part(1).unwrap_or(Value::EMPTY));
        let old = self.element(&container, &key, host)?;
        if let Value::Text(Text::Grown(_)) = &old {
            take(&container, &key);
        }
        let new = self.appended(old, from, host)?;
        self.stack.truncate(from.saturating_sub(2));
        self.stack.push(new.clone());
        self.set(&container, &key, new, 0, 0, host)
    }

    /// A value with those of the stack from an index on appended, which are taken from it.
    fn appended(
        &mut self,
        mut old: Value<'p>,
        from: usize,
        host: &mut dyn Host,
    ) -> Result<Value<'p>, Interrupt> {
        if let Value::Container(_) = old {
            self.cannot_convert(&old, "string", host)?;
            old = Value::Int(0);
        }
        let added = self.joined_length(from, host)?;
        if let Value::Text(Text::Grown(shared)) = &mut old
            && let Some(bytes) = Rc::get_mut(shared)
        {
            self.meter.append(bytes.len(), added)?;
            make_room(bytes, added, self.meter.limits().string);
            self.join(from, bytes);
            return Ok(old);
        }
        let old = cast::text(&old).unwrap_or(Text::Constant(b""));
        let length = old.len().saturating_add(added);
        self.meter.charge(length)?;
        if length < GROWS_FROM {
            let mut bytes = std::mem::take(&mut self.scratch);
            bytes.clear();
            bytes.extend_from_slice(&old);
            self.join(from, &mut bytes);
            let new = Value::from(bytes.as_slice());
            self.scratch = bytes;
            return Ok(new);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&old);
        self.join(from, &mut bytes);
        Ok(Value::Text(Text::Grown(Rc::new(bytes))))
    }
}

/// Room for so many more bytes: half as much again as there is, so that few growths copy, but no more than a string may
/// have unless it is needed.
fn make_room(bytes: &mut Vec<u8>, added: usize, longest: usize) {
    let needed = bytes.len().saturating_add(added);
    if needed > bytes.capacity() {
        let ample = bytes.len().saturating_add(bytes.len() / 2).min(longest);
        bytes.reserve_exact(needed.max(ample) - bytes.len());
    }
}

/// Leaves an unset variable in the place of an element that has been read.
fn take<'p>(container: &Value<'p>, key: &Value<'p>) {
    let Value::Container(shared) = container else { return };
    let element = match &mut *shared.borrow_mut() {
        Container::Empty => None,
        Container::Array(elements) => cast::int(key).and_then(|index| {
            let index = if index < 0 { index.checked_add_unsigned(elements.len() as u64)? } else { index };
            elements
                .get_mut(usize::try_from(index).ok()?)
                .map(|element| std::mem::replace(element, Value::EMPTY))
        }),
        Container::Hash(entries) => {
            let element = cast::text(key).and_then(|key| entries.get_mut(&*key));
            element.map(|element| std::mem::replace(element, Value::EMPTY))
        }
    };
    drop(element);
}
