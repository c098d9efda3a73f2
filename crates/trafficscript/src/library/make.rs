//! What functions make, within the limits of the run: strings that grow, containers, parts of strings.

use std::{cell::RefCell, ops::Range, rc::Rc};

use indexmap::IndexMap;

use super::{Argument, Call, Interrupt, Outcome};
use crate::{
    meter::Reached,
    value::{Container, ELEMENT, Text, Value, cast},
};

/// Most elements of an array, or entries of a hash, that a function makes.
pub(super) const MAX_ELEMENTS: usize = 1 << 19;

/// A string that grows piece by piece. It is charged for as it grows, never after.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    charged: usize,
}

impl Output {
    /// Adds a piece.
    pub(super) fn push(&mut self, call: &mut Call<'_, '_>, piece: &[u8]) -> Result<(), Interrupt> {
        self.reserve(call, piece.len())?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Adds the same byte `times` times.
    pub(super) fn fill(&mut self, call: &mut Call<'_, '_>, byte: u8, times: usize) -> Result<(), Interrupt> {
        self.reserve(call, times)?;
        self.bytes.resize(self.bytes.len() + times, byte);
        Ok(())
    }

    /// What has grown.
    pub(super) fn value<'p>(self) -> Value<'p> {
        Value::from(self.bytes)
    }

    fn reserve(&mut self, call: &mut Call<'_, '_>, more: usize) -> Result<(), Interrupt> {
        let length = self.bytes.len().saturating_add(more);
        let limit = call.meter.limits().string;
        if length > limit {
            return Err(Interrupt::Abort(Reached::String(limit).to_string()));
        }
        if length > self.charged {
            // Twice the length at least: many small pieces are charged for as few large ones.
            let block = (length - self.charged).max(self.charged.min(limit - self.charged));
            call.charge(block)?;
            self.charged += block;
        }
        Ok(())
    }
}

/// Accounts for `count` elements before they are made or walked. `length` is what the container will have then.
pub(super) fn charge_elements(call: &mut Call<'_, '_>, count: usize, length: usize) -> Result<(), Interrupt> {
    if length > MAX_ELEMENTS {
        return Err(Interrupt::Abort(format!("an array would have more than {MAX_ELEMENTS} elements")));
    }
    call.meter.elements_moved(count)?;
    charge_made(call, count.saturating_mul(ELEMENT))
}

/// Accounts for making so many bytes, which may be more than one string could have.
pub(super) fn charge_made(call: &mut Call<'_, '_>, bytes: usize) -> Result<(), Interrupt> {
    let piece = call.meter.limits().string.max(1);
    let mut left = bytes;
    while left > piece {
        call.charge(piece)?;
        left -= piece;
    }
    call.charge(left)
}

/// Accounts for reading so many bytes, of which nothing is kept: they count as instructions only.
pub(super) fn charge_work(call: &mut Call<'_, '_>, bytes: usize) -> Result<(), Interrupt> {
    Ok(call.meter.work(bytes)?)
}

/// Part of a string; empty if the range is not within it. Parts of constants are not copied.
pub(super) fn part<'p>(call: &mut Call<'_, 'p>, text: &Argument<'_, 'p>, range: Range<usize>) -> Outcome<'p> {
    if range == (0..text.len()) {
        return Ok(text.as_text().clone().into());
    }
    match text.as_text() {
        Text::Constant(bytes) => {
            let bytes: &'p [u8] = bytes;
            Ok(Value::Text(Text::Constant(bytes.get(range).unwrap_or_default())))
        }
        made => {
            let bytes = made.get(range).unwrap_or_default();
            call.charge(bytes.len())?;
            Ok(Value::from(bytes))
        }
    }
}

/// A length, an offset or a number of things as integer.
pub(super) fn number<'p>(size: usize) -> Value<'p> {
    Value::Int(i64::try_from(size).unwrap_or(i64::MAX))
}

/// A new array.
pub(super) fn array(elements: Vec<Value<'_>>) -> Value<'_> {
    Container::Array(elements).into()
}

/// The text of any value; a container warns and gives `0`.
pub(super) fn text_of<'p>(call: &mut Call<'_, 'p>, value: &Value<'p>) -> Result<Text<'p>, Interrupt> {
    if let Some(text) = cast::text(value) {
        return Ok(text);
    }
    call.warn(&format!("Cannot convert {} to string value", cast::kind(value)))?;
    Ok(Text::Constant(b"0"))
}

/// A copy of an argument that may go into a container.
pub(super) fn copy_of<'p>(call: &mut Call<'_, 'p>, index: usize) -> Outcome<'p> {
    let value = call.value(index);
    copied(call, &value)
}

/// A copy of a value that may go into a container.
pub(super) fn copied<'p>(call: &mut Call<'_, 'p>, value: &Value<'p>) -> Outcome<'p> {
    value.copied(call.meter).map_err(|limit| Interrupt::Abort(limit.to_string()))
}

/// A container by reference.
pub(super) type Shared<'p> = Rc<RefCell<Container<'p>>>;

/// An argument as array by reference, `[]` becoming one; anything else warns and gives `None`.
pub(super) fn array_at<'p>(call: &mut Call<'_, 'p>, index: usize) -> Result<Option<Shared<'p>>, Interrupt> {
    let Some(container) = call.container(index)? else { return Ok(None) };
    let is_hash = match &mut *container.borrow_mut() {
        Container::Hash(_) => true,
        Container::Array(_) => false,
        empty @ Container::Empty => {
            *empty = Container::Array(Vec::new());
            false
        }
    };
    if is_hash {
        call.warn("Cannot convert hash to array value")?;
        return Ok(None);
    }
    Ok(Some(container))
}

/// An argument as hash by reference, `[]` becoming one; anything else warns and gives `None`.
pub(super) fn hash_at<'p>(call: &mut Call<'_, 'p>, index: usize) -> Result<Option<Shared<'p>>, Interrupt> {
    let Some(container) = call.container(index)? else { return Ok(None) };
    let is_array = match &mut *container.borrow_mut() {
        Container::Array(_) => true,
        Container::Hash(_) => false,
        empty @ Container::Empty => {
            *empty = Container::Hash(IndexMap::new());
            false
        }
    };
    if is_array {
        call.warn("Cannot convert array to hash value")?;
        return Ok(None);
    }
    Ok(Some(container))
}

/// The elements of an argument as they are now, nested containers by reference; none (and a warning) if it is no array.
/// `[]` stays what it is.
pub(super) fn elements_at<'p>(call: &mut Call<'_, 'p>, index: usize) -> Result<Vec<Value<'p>>, Interrupt> {
    let Some(container) = call.container(index)? else { return Ok(Vec::new()) };
    let container = container.borrow();
    match &*container {
        Container::Empty => Ok(Vec::new()),
        Container::Array(elements) => {
            charge_work(call, elements.len().saturating_mul(ELEMENT))?;
            Ok(elements.clone())
        }
        Container::Hash(_) => call.warn("Cannot convert hash to array value").map(|()| Vec::new()),
    }
}

/// Bytes of the strings among values.
pub(super) fn text_bytes(values: &[Value<'_>]) -> usize {
    values
        .iter()
        .map(|value| if let Value::Text(text) = value { text.len() } else { 0 })
        .fold(0, usize::saturating_add)
}
