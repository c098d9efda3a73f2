//! Arrays and hashes: making them, reading and writing their elements, going through them.

use std::rc::Rc;

use super::Machine;
use crate::{
    host::Host,
    library::{Interrupt, NUMBER},
    meter::Reached,
    value::{Container, Text, Value, cast, own},
};

impl<'p> Machine<'p> {
    pub(super) fn array(&mut self, count: usize) -> Result<(), Interrupt> {
        self.meter.elements(count)?;
        let from = self.stack.len().saturating_sub(count);
        let meter = &mut self.meter;
        let elements: Result<Vec<_>, Reached> =
            self.stack.drain(from..).map(|value| own::part(value, meter)).collect();
        let container = match elements? {
            none if none.is_empty() => Container::Empty,
            elements => Container::Array(elements),
        };
        self.stack.push(Value::from(container));
        Ok(())
    }

    pub(super) fn hash(&mut self, count: usize, host: &mut dyn Host) -> Result<(), Interrupt> {
        self.meter.elements(count)?;
        let from = self.stack.len().saturating_sub(2 * count);
        let mut entries = indexmap::IndexMap::with_capacity(count);
        let items: Vec<_> = self.stack.drain(from..).collect();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            let key = self.key(&key, host)?;
            self.meter.charge(key.len())?;
            let value = own::part(value, &mut self.meter)?;
            entries.insert(Box::from(&*key), value);
        }
        self.stack.push(Value::from(Container::Hash(entries)));
        Ok(())
    }

    /// A key as string.
    fn key(&mut self, key: &Value<'p>, host: &mut dyn Host) -> Result<Text<'p>, Interrupt> {
        if let Some(text) = cast::text(key) {
            Ok(text)
        } else {
            self.cannot_convert(key, "string", host)?;
            Ok(Text::Constant(b"0"))
        }
    }

    /// A key as index, from the end if it is negative; `None` = outside.
    fn index(
        &mut self,
        key: &Value<'p>,
        length: usize,
        host: &mut dyn Host,
    ) -> Result<Option<usize>, Interrupt> {
        if let Value::Text(text) = key {
            self.meter.work(text.len().saturating_mul(NUMBER))?;
        }
        let index = if let Some(index) = cast::int(key) {
            index
        } else {
            self.cannot_convert(key, "integer", host)?;
            0
        };
        let index = if index < 0 { index.checked_add_unsigned(length as u64) } else { Some(index) };
        Ok(index.and_then(|index| usize::try_from(index).ok()).filter(|index| *index < length))
    }

    /// Reads an element; the empty string if there is none.
    pub(super) fn element(
        &mut self,
        container: &Value<'p>,
        key: &Value<'p>,
        host: &mut dyn Host,
    ) -> Result<Value<'p>, Interrupt> {
        let shared = match container {
            Value::Container(shared) => shared,
            Value::Text(text) if text.is_empty() => return Ok(Value::EMPTY),
            _ => {
                self.warn("Cannot convert scalar to array or hash value", host)?;
                return Ok(Value::EMPTY);
            }
        };
        if let Value::Text(text) = key {
            self.meter.work(text.len())?;
        }
        Ok(match &*shared.borrow() {
            Container::Empty => Value::EMPTY,
            Container::Array(elements) => {
                let index = self.index(key, elements.len(), host)?;
                index.and_then(|index| elements.get(index)).cloned().unwrap_or(Value::EMPTY)
            }
            Container::Hash(entries) => match key {
                Value::Text(text) => entries.get(&**text),
                _ => entries.get(&*self.key(key, host)?),
            }
            .cloned()
            .unwrap_or(Value::EMPTY),
        })
    }

    pub(super) fn vivify(&mut self, slot: u16) -> Result<(), Interrupt> {
        if is_unset(self.slot(slot)) {
            let container = self.new_container()?;
            if let Some(place) = self.stack.get_mut(self.base + usize::from(slot)) {
                *place = container;
            }
        }
        let container = self.slot(slot).clone();
        self.stack.push(container);
        Ok(())
    }

    pub(super) fn vivify_capture(&mut self, number: u8) -> Result<(), Interrupt> {
        let container = self.new_container()?;
        let Some(capture) = self.capture(number) else { return Ok(()) };
        if is_unset(capture) {
            *capture = container;
        }
        let value = capture.clone();
        self.stack.push(value);
        Ok(())
    }

    fn new_container(&mut self) -> Result<Value<'p>, Reached> {
        self.meter.elements(0)?;
        Ok(Value::from(Container::Empty))
    }

    /// container, key → the container that is its element, made if there is no such element.
    pub(super) fn vivify_element(&mut self, level: u8, host: &mut dyn Host) -> Result<(), Interrupt> {
        let (key, container) = (self.pop(), self.pop());
        let mut element = self.element(&container, &key, host)?;
        if let Value::Container(_) = container
            && is_unset(&element)
        {
            element = self.new_container()?;
            // The element is on the stack and in the container.
            self.stack.push(element.clone());
            return self.set(&container, &key, element, level, 1, host);
        }
        self.stack.push(element);
        Ok(())
    }

    /// container, key, value → value
    pub(super) fn store_element(&mut self, level: u8, host: &mut dyn Host) -> Result<(), Interrupt> {
        let (value, key, container) = (self.pop(), self.pop(), self.pop());
        if let (Value::Container(_), Value::Container(_)) = (&value, &container) {
            // `$a[0] = $a[0]`
            let old = self.element(&container, &key, host)?;
            if let (Value::Container(new), Value::Container(old)) = (&value, &old)
                && Rc::ptr_eq(new, old)
            {
                self.stack.push(value);
                return Ok(());
            }
        }
        let (value, levels) = own::owned(value, &mut self.meter)?;
        self.stack.push(value.clone());
        self.set(&container, &key, value, level, levels, host)
    }

    pub(super) fn step_element(
        &mut self,
        by: i8,
        before: bool,
        host: &mut dyn Host,
    ) -> Result<(), Interrupt> {
        let (key, container) = (self.pop(), self.pop());
        let old = self.element(&container, &key, host)?;
        let new = self.stepped(&old, by, host)?;
        self.stack.push(if before { new.clone() } else { old });
        self.set(&container, &key, new, 0, 0, host)
    }

    /// Puts a value that is owned and has so many levels into a container that is in `level` others.
    pub(super) fn set(
        &mut self,
        container: &Value<'p>,
        key: &Value<'p>,
        value: Value<'p>,
        level: u8,
        levels: usize,
        host: &mut dyn Host,
    ) -> Result<(), Interrupt> {
        let Value::Container(shared) = container else {
            return match container {
                // Something has warned already.
                Value::Text(text) if text.is_empty() => Ok(()),
                _ => self.warn("Cannot convert scalar to array or hash value", host),
            };
        };
        if levels > 0 {
            self.has_room(shared, level, levels)?;
        }
        let length = match &*shared.borrow() {
            Container::Array(elements) => Some(elements.len()),
            Container::Empty | Container::Hash(_) => None,
        };
        if let Some(length) = length {
            let index = self.index(key, length, host)?;
            let Some(index) = index else {
                let key = cast::int(key).unwrap_or(0);
                let message = format!("Array index {key} is out of range, the array has {length} elements");
                return self.warn(&message, host);
            };
            if let Container::Array(elements) = &mut *shared.borrow_mut()
                && let Some(element) = elements.get_mut(index)
            {
                *element = value;
            }
            return Ok(());
        }
        let key = self.key(key, host)?;
        self.meter.work(key.len())?;
        let mut container = shared.borrow_mut();
        if let Container::Empty = *container {
            *container = Container::Hash(indexmap::IndexMap::new());
        }
        let Container::Hash(entries) = &mut *container else { return Ok(()) };
        if let Some(element) = entries.get_mut(&*key) {
            *element = value;
        } else {
            self.meter.charge(key.len())?;
            self.meter.elements(1)?;
            entries.insert(Box::from(&*key), value);
        }
        Ok(())
    }

    /// value → container, index of the element that is next
    pub(super) fn iterate(&mut self, host: &mut dyn Host) -> Result<(), Interrupt> {
        let value = self.pop();
        let container = if let Value::Container(_) = &value {
            value
        } else {
            if !is_unset(&value) {
                self.warn("Cannot convert scalar to array or hash value", host)?;
            }
            Value::EMPTY
        };
        self.stack.push(container);
        self.stack.push(Value::Int(0));
        Ok(())
    }

    /// container, index → container, index + 1, element (of a hash: key). False = there is none.
    pub(super) fn next(&mut self) -> Result<bool, Interrupt> {
        let (index, container) = (self.pop(), self.pop());
        let at = cast::int(&index).and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX);
        let element = match &container {
            Value::Container(shared) => match &*shared.borrow() {
                Container::Empty => None,
                Container::Array(elements) => elements.get(at).cloned(),
                Container::Hash(entries) => match entries.get_index(at) {
                    Some((key, _)) => {
                        self.meter.charge(key.len())?;
                        Some(Value::from(&**key))
                    }
                    None => None,
                },
            },
            _ => None,
        };
        self.stack.push(container);
        self.stack.push(Value::Int(at.saturating_add(1).cast_signed() as i64));
        let found = element.is_some();
        self.stack.extend(element);
        Ok(found)
    }
}

/// Whether a value is that of a variable nobody has set.
fn is_unset(value: &Value<'_>) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}
