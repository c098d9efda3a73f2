//! Copies of values. Assignment and insertion copy, so that no two variables share a container and none holds itself.

use super::{Container, Value};
use crate::meter::{Meter, Reached};

/// Levels of containers within each other that are copied, dumped and serialised.
pub const MAX_NESTING: usize = 100;

/// Bytes that an element of a container, or an entry without its key, is accounted for.
pub const ELEMENT: usize = 32;

impl Value<'_> {
    /// A value that shares no container with this one. Scalars are as cheap as a clone; elements and keys are charged
    /// to the meter. An error is a limit that was reached, [`MAX_NESTING`] among them.
    pub fn copied(&self, meter: &mut Meter) -> Result<Self, Reached> {
        copied(self, meter, MAX_NESTING)
    }
}

fn copied<'p>(value: &Value<'p>, meter: &mut Meter, levels: usize) -> Result<Value<'p>, Reached> {
    let Value::Container(container) = value else { return Ok(value.clone()) };
    let levels = levels.checked_sub(1).ok_or(Reached::Nesting(MAX_NESTING))?;
    let copy = match &*container.borrow() {
        Container::Empty => Container::Empty,
        Container::Array(elements) => {
            meter.charge(elements.len().saturating_add(1).saturating_mul(ELEMENT))?;
            let copies: Result<_, _> =
                elements.iter().map(|element| copied(element, meter, levels)).collect();
            Container::Array(copies?)
        }
        Container::Hash(entries) => {
            let keys: usize = entries.keys().map(|key| key.len()).sum();
            meter.charge(entries.len().saturating_add(1).saturating_mul(ELEMENT).saturating_add(keys))?;
            let copies: Result<_, _> =
                entries.iter().map(|(key, entry)| Ok((key.clone(), copied(entry, meter, levels)?))).collect();
            Container::Hash(copies?)
        }
    };
    Ok(copy.into())
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
        assert!(nested(MAX_NESTING).copied(&mut meter).is_ok());
        assert!(matches!(nested(MAX_NESTING + 1).copied(&mut meter), Err(Reached::Nesting(MAX_NESTING))));
        let mut meter = Meter::new(Limits { made: 1000, ..Limits::default() });
        let wide: Value<'_> = Container::Array(vec![Value::Int(0); 40]).into();
        assert!(matches!(wide.copied(&mut meter), Err(Reached::Made(1000))));
    }
}
