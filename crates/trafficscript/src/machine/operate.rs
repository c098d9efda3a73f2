//! Operators on values. Pure: the compiler folds constants with the same functions. `None` = not without a warning
//! (a container, a division by zero), see the machine.

use std::cmp::Ordering;

use crate::{
    syntax::{Binary, Unary},
    value::{Value, cast},
};

/// A number as arithmetic sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

/// A value as number: strings give the number they begin with, a double if it has a fraction or an exponent.
pub(crate) fn number(value: &Value<'_>) -> Option<Number> {
    match value {
        Value::Int(number) => Some(Number::Int(*number)),
        Value::Double(number) => Some(Number::Double(*number)),
        Value::Text(text) => {
            let digits = text.trim_ascii_start();
            let digits = digits.strip_prefix(b"-").or_else(|| digits.strip_prefix(b"+")).unwrap_or(digits);
            let behind = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
            let has_digits = behind > 0;
            let is_double = match digits.get(behind..).unwrap_or_default() {
                [b'.', digit, ..] => digit.is_ascii_digit(),
                [b'e' | b'E', b'+' | b'-', digit, ..] | [b'e' | b'E', digit, ..] => {
                    has_digits && digit.is_ascii_digit()
                }
                _ => false,
            };
            Some(if is_double {
                Number::Double(cast::leading_double(text))
            } else {
                Number::Int(cast::leading_int(text))
            })
        }
        Value::Container(_) => None,
    }
}

/// Operators with one operand.
pub(crate) fn unary<'p>(operator: Unary, value: &Value<'p>) -> Option<Value<'p>> {
    Some(match operator {
        Unary::Not => Value::flag(!cast::truth(value)),
        Unary::Flip => Value::Int(!cast::int(value)?),
        Unary::Negate => match number(value)? {
            Number::Int(number) => Value::Int(number.wrapping_neg()),
            Number::Double(number) => Value::Double(-number),
        },
    })
}

/// Operators with two operands.
pub(crate) fn binary<'p>(operator: Binary, left: &Value<'p>, right: &Value<'p>) -> Option<Value<'p>> {
    Some(match operator {
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide => {
            return arithmetic(operator, number(left)?, number(right)?);
        }
        Binary::Remainder => {
            let (left, right) = (cast::int(left)?, cast::int(right)?);
            if right == 0 {
                return None;
            }
            Value::Int(left.wrapping_rem(right))
        }
        Binary::Concatenate => {
            let (left, right) = (cast::text(left)?, cast::text(right)?);
            Value::from([&*left, &*right].concat())
        }
        Binary::ShiftLeft => {
            let (left, right) = (cast::int(left)?, cast::int(right)?);
            Value::Int(u32::try_from(right).ok().and_then(|by| left.checked_shl(by)).unwrap_or(0))
        }
        Binary::ShiftRight => {
            let (left, right) = (cast::int(left)?, cast::int(right)?);
            let shifted = u32::try_from(right).ok().and_then(|by| left.checked_shr(by));
            Value::Int(shifted.unwrap_or(if left < 0 && right > 0 { -1 } else { 0 }))
        }
        Binary::And => Value::Int(cast::int(left)? & cast::int(right)?),
        Binary::Xor => Value::Int(cast::int(left)? ^ cast::int(right)?),
        Binary::Or => Value::Int(cast::int(left)? | cast::int(right)?),
        Binary::Equal => Value::flag(compare(left, right)? == Some(Ordering::Equal)),
        Binary::NotEqual => Value::flag(compare(left, right)? != Some(Ordering::Equal)),
        Binary::Less => Value::flag(compare(left, right)? == Some(Ordering::Less)),
        Binary::LessEqual => Value::flag(compare(left, right)?.is_some_and(Ordering::is_le)),
        Binary::Greater => Value::flag(compare(left, right)? == Some(Ordering::Greater)),
        Binary::GreaterEqual => Value::flag(compare(left, right)?.is_some_and(Ordering::is_ge)),
    })
}

fn arithmetic<'p>(operator: Binary, left: Number, right: Number) -> Option<Value<'p>> {
    if let (Number::Int(left), Number::Int(right)) = (left, right) {
        return match operator {
            Binary::Add => Some(Value::Int(left.wrapping_add(right))),
            Binary::Subtract => Some(Value::Int(left.wrapping_sub(right))),
            Binary::Multiply => Some(Value::Int(left.wrapping_mul(right))),
            _ if right == 0 => None,
            _ if left.wrapping_rem(right) == 0 => Some(Value::Int(left.wrapping_div(right))),
            _ => Some(Value::Double(left as f64 / right as f64)),
        };
    }
    let double = |number| match number {
        Number::Int(number) => number as f64,
        Number::Double(number) => number,
    };
    let (left, right) = (double(left), double(right));
    Some(Value::Double(match operator {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        _ if right == 0.0 => return None,
        _ => left / right,
    }))
}

/// Compares as doubles if one side is one, else as integers if one side is one, else byte by byte. The inner `None`: not
/// a number on one side. For `==`, `<` and the like, `lang.min` and `lang.max`.
#[expect(clippy::option_option, reason = "cannot be compared at all, or has no order")]
pub(crate) fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    Some(match (left, right) {
        (Value::Container(_), _) | (_, Value::Container(_)) => return None,
        (Value::Double(_), _) | (_, Value::Double(_)) => {
            cast::double(left)?.partial_cmp(&cast::double(right)?)
        }
        (Value::Int(_), _) | (_, Value::Int(_)) => Some(cast::int(left)?.cmp(&cast::int(right)?)),
        (Value::Text(left), Value::Text(right)) => Some(left[..].cmp(&right[..])),
    })
}
