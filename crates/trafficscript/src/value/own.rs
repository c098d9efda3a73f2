//! Containers belong to one variable or one container each: what is assigned or inserted is copied unless nothing else
//! refers to it. So no container can contain itself, and each can be dropped without deep recursion.

use std::rc::Rc;

use super::{Container, MAX_LEVELS, Value};
use crate::meter::{Meter, Reached};

/// Bytes that an element of a container, or an entry without its key, counts for.
pub const ELEMENT: usize = 32;

impl Value<'_> {
    /// A value that shares no container with this one. Scalars are as cheap as a clone; elements and keys are charged
    /// to the meter. An error is a limit that was reached, [`MAX_LEVELS`] among them.
    pub fn copied(&self, meter: &mut Meter) -> Result<Self, Reached> {
        copy(self, MAX_LEVELS, meter).map(|(copied, _)| copied)
    }
}

/// A value that nothing else refers to any part of, and how many levels of containers it has (a scalar: 0).
pub(crate) fn owned<'p>(value: Value<'p>, meter: &mut Meter) -> Result<(Value<'p>, usize), Reached> {
    match value {
        Value::Container(_) => own(value, MAX_LEVELS, meter),
        scalar => Ok((scalar, 0)),
    }
}

/// A value for a new container: owned, and with a level less than there may be.
pub(crate) fn part<'p>(value: Value<'p>, meter: &mut Meter) -> Result<Value<'p>, Reached> {
    match value {
        Value::Container(_) => own(value, MAX_LEVELS - 1, meter).map(|(value, _)| value),
        scalar => Ok(scalar),
    }
}

fn own<'p>(mut value: Value<'p>, room: usize, meter: &mut Meter) -> Result<(Value<'p>, usize), Reached> {
    let Value::Container(shared) = &mut value else { return Ok((value, 0)) };
    let room = room.checked_sub(1).ok_or(Reached::Levels(MAX_LEVELS))?;
    if let Some(alone) = Rc::get_mut(shared) {
        let container = alone.get_mut();
        let mut levels = 0;
        let mut settle = |element: &mut Value<'p>| {
            if let Value::Container(_) = element {
                let (settled, deep) = own(std::mem::replace(element, Value::EMPTY), room, meter)?;
                *element = settled;
                levels = levels.max(deep);
            }
            Ok::<(), Reached>(())
        };
        match container {
            Container::Empty => {}
            Container::Array(elements) => elements.iter_mut().try_for_each(&mut settle)?,
            Container::Hash(entries) => entries.values_mut().try_for_each(&mut settle)?,
        }
        let count = count(container);
        meter.work(count * size_of::<Value<'_>>() / 4)?;
        return Ok((value, levels + 1));
    }
    copy(&value, room + 1, meter)
}

/// A copy down to the scalars.
fn copy<'p>(value: &Value<'p>, room: usize, meter: &mut Meter) -> Result<(Value<'p>, usize), Reached> {
    let Value::Container(shared) = value else { return Ok((value.clone(), 0)) };
    let room = room.checked_sub(1).ok_or(Reached::Levels(MAX_LEVELS))?;
    let container = shared.borrow();
    // Memory is asked for: some 100 ns.
    meter.steps(1)?;
    meter.elements(count(&container))?;
    let mut levels = 0;
    let mut element = |value: &Value<'p>| -> Result<Value<'p>, Reached> {
        let (copied, deep) = copy(value, room, meter)?;
        levels = levels.max(deep);
        Ok(copied)
    };
    let copied = match &*container {
        Container::Empty => Container::Empty,
        Container::Array(elements) => {
            Container::Array(elements.iter().map(&mut element).collect::<Result<_, _>>()?)
        }
        Container::Hash(entries) => {
            let mut copied = indexmap::IndexMap::with_capacity(entries.len());
            let mut bytes = 0;
            for (key, value) in entries {
                bytes += key.len();
                copied.insert(key.clone(), element(value)?);
            }
            meter.made(bytes)?;
            // Each key is hashed and copied: some 100 ns.
            meter.steps(u32::try_from(entries.len() / 4).unwrap_or(u32::MAX))?;
            Container::Hash(copied)
        }
    };
    Ok((Value::from(copied), levels + 1))
}

fn count(container: &Container<'_>) -> usize {
    match container {
        Container::Empty => 0,
        Container::Array(elements) => elements.len(),
        Container::Hash(entries) => entries.len(),
    }
}

impl Meter {
    /// So many elements of containers made.
    pub fn elements(&mut self, count: usize) -> Result<(), Reached> {
        self.elements_moved(count)?;
        // One for the container itself.
        self.made((count + 2) * ELEMENT)
    }

    /// So many elements put somewhere: making or copying one takes some 15 ns, whatever its size.
    pub(crate) fn elements_moved(&mut self, count: usize) -> Result<(), Reached> {
        const ELEMENTS_PER_INSTRUCTION: usize = 16;
        self.steps(u32::try_from(count / ELEMENTS_PER_INSTRUCTION).unwrap_or(u32::MAX))
    }
}

/// Through how many containers one gets from `value` to `target`, if at all. Counts as work.
pub(crate) fn find<'p>(
    value: &Value<'p>,
    target: &Rc<std::cell::RefCell<Container<'p>>>,
    meter: &mut Meter,
) -> Result<Option<usize>, Reached> {
    let Value::Container(shared) = value else { return Ok(None) };
    if Rc::ptr_eq(shared, target) {
        return Ok(Some(0));
    }
    let container = shared.borrow();
    meter.work(count(&container) * size_of::<Value<'_>>())?;
    let mut inner = |value: &Value<'p>| find(value, target, meter).transpose();
    let found = match &*container {
        Container::Empty => None,
        Container::Array(elements) => elements.iter().find_map(&mut inner),
        Container::Hash(entries) => entries.values().find_map(&mut inner),
    };
    Ok(found.transpose()?.map(|levels| levels + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Limits;

    fn nested(levels: usize) -> Value<'static> {
        (0..levels).fold(Value::Int(1), |inner, _| Container::Array(vec![inner]).into())
    }

    #[test]
    fn a_copy_shares_nothing() {
        let mut meter = Meter::new(Limits::default());
        let original = nested(2);
        let copy = original.copied(&mut meter).unwrap();
        let Value::Container(outer) = &original else { panic!("not a container") };
        if let Container::Array(elements) = &mut *outer.borrow_mut() {
            elements.clear();
        }
        let Value::Container(outer) = &copy else { panic!("not a container") };
        assert!(matches!(&*outer.borrow(), Container::Array(elements) if elements.len() == 1));
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        let mut meter = Meter::new(Limits::default());
        assert!(nested(MAX_LEVELS).copied(&mut meter).is_ok());
        assert!(matches!(nested(MAX_LEVELS + 1).copied(&mut meter), Err(Reached::Levels(MAX_LEVELS))));
        let mut meter = Meter::new(Limits { made: 1000, ..Limits::default() });
        let wide: Value<'_> = Container::Array(vec![Value::Int(0); 40]).into();
        assert!(matches!(wide.copied(&mut meter), Err(Reached::Made(1000))));
    }
}
